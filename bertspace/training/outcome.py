"""What a training leaves beside its model: result.json and predictions.parquet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bertspace import hardware
from bertspace.files import write_atomically
from bertspace.models import tuning
from bertspace.models.evaluation import read_tables, write_tables
from bertspace.runs import Run
from bertspace.tasks import Judged, verdict
from bertspace.tasks.verdict import Verdict
from bertspace.training.progress import hints
from bertspace.training.training import Training

if TYPE_CHECKING:
    import numpy as np

    Tables = dict[str, dict[str, np.ndarray]]
    Scores = dict[str, dict[str, float]]


def write(training: Training, tables: Tables, scores: Scores, stopped: bool) -> None:
    """Write both files; tables and scores are by split."""
    write_tables(tables, training.run.path / "predictions.parquet")
    result = _circumstances(training) | _figures(training, scores, stopped) | _words(training, tables)
    write_atomically(training.run.path / "result.json", json.dumps(result, indent=1))


def remove(run: Run) -> None:
    """Remove what an earlier stop left, before the run goes on."""
    for name in ("result.json", "predictions.parquet"):
        (run.path / name).unlink(missing_ok=True)


def _circumstances(training: Training) -> dict[str, Any]:
    """What a result was obtained with: settings, machine, rows, parameters, memory."""
    accelerator = training.accelerator
    return {
        "config": training.config.to_dict(),
        "environment": hardware.environment()
        | {
            "precision": accelerator.mixed_precision,
            "processes": accelerator.num_processes,
            "sharded": training.sharded,
        },
        "rows": {name: len(rows) for name, rows in training.rows.items()},
        "truncated": {name: rows.truncated for name, rows in training.rows.items()},
        "parameters": dict(zip(("trained", "all"), tuning.trained_count(training.model), strict=True)),
        "peak_memory_bytes": hardware.peak_memory_bytes(),
    }


def _figures(training: Training, scores: Scores, stopped: bool) -> dict[str, Any]:
    """Scores, steps and speed."""
    progress, best = training.progress, training.best
    trained = progress.trained_seconds
    return {
        "base": progress.base,
        "epochs": progress.epochs,
        "validation": scores["validation"],
        "test": scores.get("test"),
        "best_step": best.step,
        "headline": best.metric,
        "steps": progress.step,
        "stopped": stopped,
        "seconds": progress.elapsed(),
        "training_seconds": round(trained, 3),
        "examples_per_second": round(progress.examples / trained, 3) if trained else 0.0,
        "tokens_per_second": round(progress.tokens / trained, 1) if trained else 0.0,
    }


def _words(training: Training, tables: Tables) -> dict[str, Any]:
    """The verdict, which epoch's model is saved and why the training ended, and what to try."""
    judged = _verdict(training, tables)
    helped = judged is not None and judged.outcome == verdict.BETTER
    return {
        "verdict": judged.to_dict() if judged else None,
        "kept": training.best.sentence(training.progress, training.total_steps),
        "hints": [] if helped else list(hints(training.progress, training.config)),
    }


def _verdict(training: Training, tables: Tables) -> Verdict | None:
    """Of the test rows, or else the validation rows; None where the base was not scored."""
    import numpy as np

    split = "test" if "test" in tables else "validation"
    base = read_tables(training.run.path / "base.parquet").get(split)
    if not base:
        return None
    names = training.splits.label_names
    labels = training.splits.train["label"] if names else []
    rows = Judged(
        training.config,
        names=names,
        counts=np.bincount(labels, minlength=len(names)).tolist(),
        split=split,
        chosen=training.best.chosen and split == "validation",
    )
    return training.task.judge(training.best.metric, tables[split], base, rows)
