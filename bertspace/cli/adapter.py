"""How the starter's masked-LM adapter is made: `python -m bertspace.cli.adapter FILE… --output FOLDER`.

The texts are mixed, the starter's encoder is trained on them by the ordinary loop (LoRA, biases,
LayerNorms and a new
head), and what changed is written as one small file: the low-rank factors of every matrix that changed
and, by its
name, every other parameter that did. `models.apply_adapter` adds it to the encoder again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace import data, models, runs
from bertspace.errors import BertspaceError, DataError
from bertspace.jobs import engine
from bertspace.schema import TrainConfig
from bertspace.tasks import task_with_head

if TYPE_CHECKING:
    import torch

MAX_REPEATS = 3  # a short file is read again so often, so that a long one does not drown it
TEXT_COLUMNS = ("text", "context", "sentence")


def mix(files: Sequence[Path], characters: int, seed: int) -> list[str]:
    """Distinct paragraphs of all the files in one random order: of every file as many characters as of the
    others.

    A file that is too short is taken up to three times over, and the others make up for it.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    sources = sorted((_paragraphs(file) for file in files), key=lambda texts: sum(map(len, texts)))
    chosen: list[str] = []
    left = characters
    for place, texts in enumerate(sources):
        share = left // (len(sources) - place)
        taken = 0
        for index in (number for _ in range(MAX_REPEATS) for number in random.permutation(len(texts))):
            if taken >= share:
                break
            chosen.append(texts[index])
            taken += len(texts[index])
        left -= taken
    return [chosen[place] for place in random.permutation(len(chosen))]


def _paragraphs(file: Path) -> list[str]:
    table = data.read_table(file)
    column = next((name for name in TEXT_COLUMNS if name in table), None)
    if column is None:
        raise DataError(
            f"{file.name} has none of the columns {', '.join(TEXT_COLUMNS)}.", hint="Rename its text column."
        )
    texts = table[column].astype(str).str.replace("_", "", regex=False).str.strip()
    return texts[texts.str.len() > 20].drop_duplicates().tolist()


def difference(
    base: dict[str, torch.Tensor], tuned: dict[str, torch.Tensor], rank: int
) -> dict[str, torch.Tensor]:
    """What turns base into tuned, in fp16: matrices that both have as factors of this rank, other tensors
    whole.

    Exact (but for fp16) where every matrix changed by an update of at most this rank, as LoRA's are.
    """
    import torch

    changes: dict[str, torch.Tensor] = {}
    for name, tensor in tuned.items():
        if name in base and torch.equal(base[name], tensor):
            continue
        if name in base and tensor.dim() == 2:
            left, values, right = torch.linalg.svd(tensor - base[name], full_matrices=False)
            root = values[:rank].sqrt()
            changes[f"{name}.left"] = (left[:, :rank] * root).half().contiguous()
            changes[f"{name}.right"] = (root[:, None] * right[:rank]).half().contiguous()
        else:
            changes[name] = tensor.half().contiguous()
    return changes


def write(run: runs.Run, rank: int, path: Path) -> None:
    """The adapter file of a finished run that trained the starter's encoder."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForMaskedLM

    located = models.locate("starter")
    # The head is new in any case, so nothing of it belongs to the base.
    base = {f"bert.{name}": tensor for name, tensor in load_file(located.path / "model.safetensors").items()}
    tuned = AutoModelForMaskedLM.from_pretrained(run.path / "model", local_files_only=True)
    save_file(difference(base, dict(tuned.named_parameters()), rank), path, metadata={"rank": str(rank)})


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bertspace.cli.adapter", description=__doc__)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="csv, jsonl, parquet or txt with text"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="the run's folder; adapter.safetensors goes there"
    )
    parser.add_argument("--steps", type=int, default=1600, help="optimizer steps of 32 chunks of 128 tokens")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    options = parser.parse_args(argv)
    config = TrainConfig(
        task=task_with_head(models.STARTER_HEAD),
        model=str(
            models.locate("starter").path
        ),  # as a folder: the encoder alone, without the adapter there is
        train_file="texts.parquet",
        max_steps=options.steps,
        max_train_rows=options.steps * 32,
        validation_share=0.01,
        chunk_size=128,
        batch_size=32,
        epochs=1,
        mask_probability=0.25,
        dropout=0.0,
        learning_rate=options.learning_rate,
        lora_rank=options.rank,
        warmup_ratio=0.05,
    )
    run = prepare(config, options.files, options.output)
    engine.wait(run)
    if run.state().status not in ("done", "stopped"):
        raise BertspaceError(run.state().message, hint=run.state().hint)
    write(run, options.rank, run.path / "adapter.safetensors")
    return 0


def prepare(config: TrainConfig, files: Sequence[Path], folder: Path) -> runs.Run:
    """A queued run on the mixed texts, enough of them for every step (about 4.5 characters a token)."""
    import tempfile

    import pandas as pd

    texts = mix(files, int(config.max_train_rows * config.chunk_size * 4.7), config.seed)
    with tempfile.TemporaryDirectory() as place:
        pd.DataFrame({"text": texts}).to_parquet(Path(place) / "texts.parquet")
        from dataclasses import replace

        return engine.submit(replace(config, data_dir=place), name="The starter's adapter", folder=folder)


if __name__ == "__main__":
    raise SystemExit(main())
