"""Runs made by hand, in the states that are slow or hard to reach, and of any length."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bertspace.files import write_atomically
from bertspace.models.probe import Probe
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig, TrainEvent

SOURCE = {
    "source": "sample: Office messages",
    "rows": {"train": 112, "validation": 48},
    "findings": [],
    "labels": {},
}


def made_run(
    status: str,
    *,
    name: str = "starter on Office messages",
    steps: int = 0,
    total: int = 42,
    checkpoint: int = 0,
    owner: str = "local",
    config: TrainConfig | None = None,
    **state: Any,
) -> Run:
    """A run of that status with so many steps behind it, a forecast, an epoch each third, a log."""
    run = Run.create(config or TrainConfig(train_file="data/train.parquet"), owner=owner, name=name)
    write_atomically(run.path / "data" / "source.json", json.dumps(SOURCE))
    if steps:
        write_events(run, steps, total)
        run.path.joinpath("log.txt").write_text("".join(f"{n:8.1f} s  line {n}\n" for n in range(200)))
    if checkpoint:
        (run.path / "checkpoints" / f"step-{checkpoint:09d}").mkdir(parents=True)
    now = time.time()
    life = (
        {"started": now - 120, "ended": 0.0 if status in ("queued", "running") else now - 30} if steps else {}
    )
    run.write_state(replace(run.state(), status=status, **(life | state)))
    if status == "done":
        finish(run, steps)
    return run


def write_events(run: Run, steps: int, total: int) -> None:
    """Events as a worker writes them, 0.5 s a step."""
    epoch = max(1, total // 3)
    with (run.path / "events.jsonl").open("w", encoding="utf-8") as file:

        def write(event: TrainEvent) -> None:
            file.write(json.dumps(event.to_dict()) + "\n")

        write(TrainEvent("status", message="Reading the texts"))
        write(TrainEvent("base", metrics={"loss": 0.71, "accuracy": 0.79, "f1_macro": 0.78}, seconds=2.0))
        write(TrainEvent("forecast", metrics={"seconds": total / 2, "memory_bytes": 1.3e9}, seconds=3.0))
        for step in range(1, steps + 1):
            loss = 1.1 * math.exp(-3 * step / total) + 0.05 * math.sin(step)
            at = {
                "step": step,
                "total_steps": total,
                "epoch": round(step / epoch, 4),
                "seconds": 4 + step / 2,
            }
            write(
                TrainEvent("step", **at, loss=loss, learning_rate=1e-4, examples=16 * step, tokens=400 * step)
            )
            if step % epoch == 0:
                reached = {
                    "train_loss": loss,
                    "loss": loss + 0.1,
                    "accuracy": 0.95 - loss / 4,
                    "f1_macro": 0.8,
                }
                write(TrainEvent("epoch", **at, metrics=reached))


def finish(run: Run, steps: int) -> None:
    """result.json and what says that there is a model."""
    base = {"validation": {"loss": 0.71, "accuracy": 0.79, "f1_macro": 0.78}}
    reached = {"loss": 0.2, "accuracy": 0.94, "f1_macro": 0.93}
    result = {"base": base, "validation": reached, "test": None, "headline": "accuracy", "best_step": steps}
    result |= {
        "rows": SOURCE["rows"],
        "config": run.config().to_dict(),
        "steps": steps,
        "environment": {"device": "CPU, 2 cores", "precision": "no"},
    }
    write_atomically(run.path / "result.json", json.dumps(result))
    write_atomically(run.path / "model" / "config.json", '{"model_type": "bert"}')


def grown(run: Run, *events: TrainEvent) -> None:
    """More events at the end."""
    for event in events:
        run.append(event)


def out_of_memory(**changed: Any) -> Run:
    """A run that needed more memory than there is, with the settings that would fit."""
    words = "Memory ran out at the longest batch: 32 rows of 128 tokens need 17.2 GB, and there are 15.4 GB."
    hint = "Use smaller batches, shorter texts or LoRA."
    advice = {"batch_size": 8, "gradient_accumulation": 4}
    return made_run("failed", message=words, hint=hint, advice=advice, **changed)


ROWS = pd.DataFrame(
    {
        "text": ["my parcel is late", "a refund please", "the parcel is here", "the price is too big"],
        "label": [0, 1, 0, 1],
    }
)


RESULT = {"headline": "accuracy", "validation": {"accuracy": 0.75}, "test": None}


def make_run(
    config: TrainConfig,
    name: str,
    rows: pd.DataFrame,
    *,
    status: str = "done",
    result: dict | None = None,
    owner: str = "local",
) -> Run:
    run = Run.create(config, name=name, owner=owner)
    (run.path / "data").mkdir()
    rows.to_parquet(run.path / "data" / "validation.parquet")
    run.write_state(RunState(status=status, name=name, created=time.time()))
    if result:
        (run.path / "result.json").write_text(json.dumps(result))
    return run


def make_classifier(
    tiny_bert: Path, name: str, rows: pd.DataFrame, *, owner: str = "local", **settings: str
) -> Run:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    config = TrainConfig(model=str(tiny_bert), max_length=32, precision="fp32", **settings)
    run = make_run(config, name, rows, result=RESULT, owner=owner)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(
            tiny_bert, num_labels=2, id2label={0: "delivery", 1: "billing"}
        )
    model.save_pretrained(run.path / "model")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(run.path / "model")
    features = np.random.default_rng(0).normal(size=(8, 32)).astype(np.float32)
    Probe.fit(features, np.arange(8) % 2, 2).save(run.path / "probe.safetensors")
    return run
