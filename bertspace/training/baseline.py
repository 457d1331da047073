"""Score the untuned base: perplexity, or majority class and linear probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bertspace.errors import DataError
from bertspace.files import whole_file
from bertspace.models.evaluation import write_tables
from bertspace.models.probe import MAX_ROWS, Probe, answers, mean_pooled
from bertspace.tasks import Rows
from bertspace.training.training import Training

if TYPE_CHECKING:
    import numpy as np

    Tables = dict[str, dict[str, np.ndarray]]


def score_base(training: Training) -> dict[str, Any]:
    """What the base scores on the held-out rows, by split, and in which way it was scored ("kind").

    Leaves base.parquet, its answers to these rows, and with a probe probe.safetensors.
    """
    splits = [name for name in ("validation", "test") if name in training.rows]
    training.model.to(training.accelerator.device)
    base, tables = _scored(training, splits)
    if tables and training.accelerator.is_main_process:
        write_tables(tables, training.run.path / "base.parquet")
    return base | {name: training.task.score(table) for name, table in tables.items()}


def _scored(training: Training, splits: Sequence[str]) -> tuple[dict[str, Any], Tables]:
    if training.task.baseline == "probe":
        return _probed(training, splits)
    if training.task.baseline == "model":
        return {"kind": "model"}, {name: training.evaluate(name) for name in splits}
    if training.task.baseline == "none":
        return {"kind": "none"}, {}
    raise ValueError(f"unknown baseline {training.task.baseline!r}")


def _probed(training: Training, splits: Sequence[str]) -> tuple[dict[str, Any], Tables]:
    """The majority class's scores and how many rows the probe was fitted on; the probe's answers by split."""
    import numpy as np

    random = np.random.default_rng(training.config.seed)
    labels = _labels(training.rows["train"])
    chosen = np.sort(random.permutation(len(labels))[:MAX_ROWS])
    count = len(training.splits.label_names)
    probe = Probe.fit(_features(training, _take(training.rows["train"], chosen)), labels[chosen], count)
    if training.accelerator.is_main_process:
        with whole_file(training.run.path / "probe.safetensors") as path:
            probe.save(path)
    tables, majority = {}, {}
    for name in splits:
        truth = _labels(training.rows[name])
        tables[name] = answers(probe.probabilities(_features(training, training.rows[name])), truth)
        always = np.eye(count)[np.full(len(truth), np.bincount(labels).argmax())]
        scores = training.task.score(answers(always, truth))
        majority[name] = {metric: value for metric, value in scores.items() if metric != "loss"}
    return {"kind": "probe", "probe_rows": len(chosen), "majority": majority}, tables


def _features(training: Training, rows: Rows) -> np.ndarray:
    return training.collect(lambda model, batch: {"features": mean_pooled(model, batch)}, rows)["features"]


def _take(rows: Rows, numbers: np.ndarray) -> Rows:
    return Rows(
        [rows.input_ids[number] for number in numbers],
        rows.labels[numbers] if rows.labels is not None else None,
        [rows.segments[number] for number in numbers] if rows.segments is not None else None,
    )


def _labels(rows: Rows) -> np.ndarray:
    if rows.labels is None:
        raise DataError("The rows have no labels.", hint="Pick the label column.")
    return rows.labels
