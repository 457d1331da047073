"""Quality apart from speed: this loop and transformers.Trainer with the same settings, several seeds each.

    python tests/benchmarks/quality.py [--seeds 1 2 3] [--rows 0] [--epochs 3] [--only cola|emotion]

CoLA is tested on its out-of-domain file by Matthews' correlation, emotion on its test file by accuracy and
macro F1. Same rows, model, head, rate, epochs, batch size, warm-up, weight decay and precision (bf16); what
differs is the loop.
All rows of both take about an hour on two cores; --rows N trains on N of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speed import ROOT, data_folder, machine  # beside this file; it makes bertspace importable

if TYPE_CHECKING:
    from bertspace.data import Splits
    from bertspace.schema import TrainConfig

OURS, TRAINER = "this loop", "Trainer"
TITLES = {"cola": "CoLA, out-of-domain file", "emotion": "Emotion, test file"}
METRICS = {"cola": ("matthews_correlation",), "emotion": ("accuracy", "f1_macro")}
FILES = {
    "cola": {
        "train_file": "cola/in_domain_train.tsv",
        "validation_file": "cola/in_domain_dev.tsv",
        "test_file": "cola/out_of_domain_dev.tsv",
        "text_column": "sentence",
        "label_column": "label",
    },
    "emotion": {
        "train_file": "emotion/train.csv",
        "validation_file": "emotion/validation.csv",
        "test_file": "emotion/test.csv",
    },
}


@dataclass(frozen=True)
class Setting:
    """One training: what both loops are given alike."""

    data_set: str
    data: str
    model: str
    rows: int
    epochs: float
    seed: int

    @property
    def config(self) -> TrainConfig:
        from bertspace import models
        from bertspace.schema import TrainConfig

        source = (
            {"data_dir": self.data, **FILES[self.data_set]} if self.data else {"dataset": "sample:office"}
        )
        return TrainConfig(
            model=self.model,
            epochs=self.epochs,
            batch_size=32,
            max_length=128,
            max_train_rows=self.rows,
            learning_rate=models.default_learning_rate(models.locate(self.model), "text-classification"),
            warmup_ratio=0.1,
            weight_decay=0.01,
            precision="bf16",
            seed=self.seed,
            **source,
        )


def load(config: TrainConfig) -> Splits:
    """The rows; a sample has no test part, so its validation part is the test."""
    from dataclasses import replace

    from bertspace import data

    splits = data.load_splits(config)
    return splits if splits.test is not None else replace(splits, test=splits.validation)


def ours(config: TrainConfig) -> dict[str, float]:
    """The test metrics of bertspace's own loop."""
    from bertspace import data, training
    from bertspace.runs import Run

    splits = load(config)
    run = Run.create(data.run_config(config, splits))
    data.write_splits(splits, run.path / "data")
    for _ in training.train(run.config(), run):
        pass
    result = run.result()
    assert result is not None
    return result["test"]


def by_trainer(config: TrainConfig) -> dict[str, float]:
    """The test metrics of transformers.Trainer, given the same rows as the same token ids."""
    from datasets import Dataset
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

    from bertspace import hardware, models
    from bertspace.tasks import TASKS, metrics

    splits, located, task = load(config), models.locate(config.model), TASKS[config.task]
    tokenizer = models.load_tokenizer(located)

    def items(frame: Any) -> Dataset:
        rows = task.encode(tokenizer, frame, config)
        ids = [each.tolist() for each in rows.input_ids]
        masks = [[1] * len(each) for each in ids]
        return Dataset.from_dict({"input_ids": ids, "attention_mask": masks, "labels": rows.labels.tolist()})

    set_seed(config.seed)  # the head is drawn from here, as in bertspace
    model = models.load_model(located, config.task, new_head=True, num_labels=len(splits.label_names))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=config.batch_size,
            per_device_eval_batch_size=config.batch_size,
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            warmup_steps=config.warmup_ratio,  # below 1 it is a share
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            lr_scheduler_type="linear",
            bf16=True,
            seed=config.seed,
            report_to="none",
            save_strategy="no",
            eval_strategy="no",
            disable_tqdm=True,
            use_cpu=hardware.device() == "cpu",
        )
        trainer = Trainer(model, arguments, DataCollatorWithPadding(tokenizer), items(splits.train))
        trainer.train()
        found = trainer.predict(items(splits.test))
    return metrics.compute(task.metrics, found.predictions.argmax(-1), found.label_ids)


LOOPS = {OURS: ours, TRAINER: by_trainer}


def train_apart(loop: str, setting: Setting) -> dict[str, float]:
    """The test metrics of one training in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {
            "BERTSPACE_HOME": home,
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "true",
        }
        command = [sys.executable, __file__, "--train", loop, "--setting", json.dumps(asdict(setting))]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{loop} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def summary(metric: str, found: dict[str, list[dict[str, float]]]) -> str:
    """A line a loop with its mean, its spread and its values; then the verdict."""
    values = {loop: [each[metric] for each in scores] for loop, scores in found.items()}
    lines = [f"  {metric:<22}  n      mean    spread  (lowest to highest)"]
    for loop, given in values.items():
        spread = statistics.stdev(given) if len(given) > 1 else 0.0
        told = " ".join(f"{each:.4f}" for each in sorted(given))
        lines.append(f"  {loop:<22}  {len(given)}    {statistics.mean(given):.4f}    {spread:.4f}  ({told})")
    return "\n".join([*lines, f"  {verdict(values[OURS], values[TRAINER])}"])


def verdict(mine: Sequence[float], others: Sequence[float]) -> str:
    """Whether the means differ by no more than the seeds do: by the wider of the two ranges."""
    gap = statistics.mean(mine) - statistics.mean(others)
    width = max(max(values) - min(values) for values in (mine, others))
    if abs(gap) <= width:
        return f"met: the means differ by {gap:+.4f}, the seeds by up to {width:.4f}"
    return (
        f"{'better' if gap > 0 else 'MISSED'}: the means differ by {gap:+.4f}, the seeds only by {width:.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rows", type=int, default=0, help="training rows; 0 for all (about an hour)")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--only", choices=tuple(TITLES), help="one of the two data sets")
    parser.add_argument(
        "--data", type=Path, help="the folder that holds cola/ and emotion/ (default: ../shared/data)"
    )
    parser.add_argument("--model", default="starter")
    parser.add_argument("--train", choices=tuple(LOOPS), help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(json.dumps(LOOPS[options.train](Setting(**json.loads(options.setting)).config)))
        return
    folder = data_folder(options.data)
    for data_set in [options.only] if options.only else TITLES:
        found: dict[str, list[dict[str, float]]] = {loop: [] for loop in LOOPS}
        for seed in options.seeds:
            for loop in LOOPS:
                setting = Setting(data_set, folder, options.model, options.rows, options.epochs, seed)
                found[loop].append(train_apart(loop, setting))
                print(f"  seed {seed} {loop}: {found[loop][-1][METRICS[data_set][0]]:.4f}", file=sys.stderr)
        rows = f"{options.rows:,} training rows" if options.rows else "all training rows"
        title = TITLES[data_set] if folder else "Support messages, a sample"
        print(f"\n{title}, {options.model}, {rows}, {options.epochs:g} epochs, bf16\n")
        print("\n\n".join(summary(metric, found) for metric in METRICS[data_set]))
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
