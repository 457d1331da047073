"""Runs on a tiny BERT: their rows, their folders, and their training in this process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bertspace import data, training
from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.training import checkpoints

LABELS = ("bad", "good")


FAST = {"precision": "fp32", "batch_size": 8, "max_length": 32, "learning_rate": 2e-3, "warmup_ratio": 0.0}


def sentences(count: int, seed: int) -> pd.DataFrame:
    """Rows of 3 to 20 words; a row is good where "good" stands in it, and bad where "bad" does."""
    random = np.random.default_rng(seed)
    words = (
        "the a ship sea light storm keeper lamp night day old new big small house door we saw made".split()
    )
    labels = random.permutation(np.arange(count) % 2)
    texts = []
    for label in labels:
        chosen = list(random.choice(words, size=random.integers(3, 20)))
        chosen.insert(int(random.integers(len(chosen))), LABELS[label])
        texts.append(" ".join(chosen))
    return pd.DataFrame({"text": pd.array(texts, dtype="str"), "label": labels.astype("int64")})


SPLITS = data.Splits(sentences(64, 1), sentences(21, 2), sentences(13, 3), LABELS, "made here", ())


TEXTS = data.Splits(
    *(frame[["text"]] for frame in (SPLITS.train, SPLITS.validation, SPLITS.test)), (), "made here", ()
)


def made_run(folder: Path, config: TrainConfig, splits: data.Splits | None = None) -> Run:
    """A run's folder as engine.submit leaves it, with no process."""
    splits = splits or (TEXTS if config.task == "fill-mask" else SPLITS)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    data.write_splits(splits, folder / "data")
    run.write_config(data.run_config(config, splits))
    (folder / "lock").touch()
    return run


class Trained:
    """A finished training: its run, events and result."""

    def __init__(self, folder: Path, config: TrainConfig, splits: data.Splits | None = None) -> None:
        self.run = made_run(folder, config, splits)
        self.events = list(training.train(self.run.config(), self.run))
        self.result: dict[str, Any] = json.loads((folder / "result.json").read_text())

    def of(self, kind: str) -> list[TrainEvent]:
        return [event for event in self.events if event.kind == kind]

    @property
    def losses(self) -> list[float]:
        return [event.loss for event in self.of("step")]

    def weights(self) -> dict[str, Any]:
        from safetensors.torch import load_file

        return load_file(self.run.path / "model" / "model.safetensors")


TIMES = {"seconds", "training_seconds", "examples_per_second", "tokens_per_second", "peak_memory_bytes"}


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"gradient_accumulation": 3},
    "lora": {"lora_rank": 4, "freeze_layers": 1},
    "bf16": {"precision": "bf16", "gradient_accumulation": 2},
    "best": {"best_metric": "loss", "patience": 2, "learning_rate": 2e-2},
    "masks": {"task": "fill-mask", "chunk_size": 16, "whole_words": True},
    "lines": {"task": "fill-mask", "chunk_size": 0, "gradient_accumulation": 2, "lora_rank": 2},
}


def work(run: Run, until: int | None = None) -> list[TrainEvent]:
    """What a worker does, given up after so many events; None: to the end."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(
        reset_partial_state=True
    )  # precision is one a process, and a run has its own
    kept = checkpoints.newest(run)
    run.rewind(kept.values["step"] if kept else 0)
    for count, event in enumerate(training.train(run.config(), run)):
        run.append(event)
        if until is not None and count >= until:
            break
    return run.events()[0]
