"""What there was before step 1: the model's own perplexity, or the majority class and a probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bertspace.errors import DataError
from bertspace.files import whole_file
from bertspace.models.evaluation import write_tables
from bertspace.models.probe import MOST_ROWS, Probe, answers, mean_pooled
from bertspace.runs import Run
from bertspace.tasks import Rows

if TYPE_CHECKING:
    import numpy as np

    from bertspace.training.session import Session


def score_base(session: Session, run: Run) -> dict[str, Any]:
    """What there was before step 1: the model's own perplexity, or the majority class and a probe.

    Leaves base.parquet, its answer to every held-out row, and of a classification probe.safetensors.
    """
    held_out: list[str] = [name for name in ("validation", "test") if name in session.rows]
    session.model.to(session.accelerator.device)
    if session.task.baseline == "model":
        base: dict[str, Any] = {"kind": "model"}
        tables = {name: session.evaluate(name) for name in held_out}
    elif session.task.baseline == "probe":
        base, tables = _probed(session, run, held_out)
    elif session.task.baseline == "none":
        base, tables = {"kind": "none"}, {}
    else:
        raise ValueError(session.task.baseline)
    if tables and session.accelerator.is_main_process:
        write_tables(tables, run.path / "base.parquet")
    return base | {name: session.task.score(table) for name, table in tables.items()}


def _probed(
    session: Session, run: Run, held_out: Sequence[str]
) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
    """What is to be said of the probe and of the majority class, and the probe's table of each split."""
    import numpy as np

    random = np.random.default_rng(session.config.seed)
    labels = _labels(session.rows["train"])
    chosen = np.sort(random.permutation(len(labels))[:MOST_ROWS])
    names = session.splits.label_names
    features = _features(session, _take(session.rows["train"], chosen))
    probe = Probe.fit(features, labels[chosen], len(names))
    if session.accelerator.is_main_process:
        with whole_file(run.path / "probe.safetensors") as path:
            probe.save(path)
    tables, majority = {}, {}
    for name in held_out:
        truth = _labels(session.rows[name])
        tables[name] = answers(probe.probabilities(_features(session, session.rows[name])), truth)
        always = np.eye(len(names))[np.full(len(truth), np.bincount(labels).argmax())]
        scores = session.task.score(answers(always, truth))
        majority[name] = {metric: value for metric, value in scores.items() if metric != "loss"}
    return {"kind": "probe", "probe_rows": len(chosen), "majority": majority}, tables


def _features(session: Session, rows: Rows) -> np.ndarray:
    return session.collect(lambda model, batch: {"features": mean_pooled(model, batch)}, rows)["features"]


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
