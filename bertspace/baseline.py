"""What there was before step 1: the model's own perplexity, or the majority class and a probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bertspace.errors import DataError
from bertspace.probe import MOST_ROWS, Probe, mean_pooled
from bertspace.runs import Run, whole_file
from bertspace.tasks import Rows, Task

if TYPE_CHECKING:
    import numpy as np

    from bertspace.session import Session


def score_base(session: Session, run: Run) -> dict[str, Any]:
    """What there was before step 1: the model's own perplexity, or the majority class and a probe."""
    held_out = [name for name in ("validation", "test") if name in session.rows]
    session.model.to(session.accelerator.device)
    if session.task.name == "fill-mask":
        return {"kind": "model", **{name: session.task.score(session.evaluate(name)) for name in held_out}}
    import numpy as np

    random = np.random.default_rng(session.config.seed)
    labels = _labels(session.rows["train"])
    chosen = np.sort(random.permutation(len(labels))[:MOST_ROWS])
    probe = Probe.fit(
        _features(session, _take(session.rows["train"], chosen)),
        labels[chosen],
        len(session.splits.label_names),
    )
    if session.accelerator.is_main_process:
        with whole_file(run.path / "probe.safetensors") as path:
            probe.save(path)
    base: dict[str, Any] = {"kind": "probe", "probe_rows": len(chosen), "majority": {}}
    majority = np.bincount(labels).argmax()
    for name in held_out:
        truth = _labels(session.rows[name])
        base[name] = _score_labels(
            session.task, probe.probabilities(_features(session, session.rows[name])), truth
        )
        always = np.eye(len(session.splits.label_names))[np.full(len(truth), majority)]
        base["majority"][name] = {
            k: v for k, v in _score_labels(session.task, always, truth).items() if k != "loss"
        }
    return base


def _features(session: Session, rows: Rows) -> np.ndarray:
    return session.collect(lambda model, batch: {"features": mean_pooled(model, batch)}, rows)["features"]


def _take(rows: Rows, numbers: np.ndarray) -> Rows:
    return Rows(
        [rows.input_ids[number] for number in numbers],
        rows.labels[numbers] if rows.labels is not None else None,
        [rows.segments[number] for number in numbers] if rows.segments is not None else None,
    )


def _score_labels(task: Task, probabilities: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    import numpy as np

    loss = -np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-12, 1))
    return task.score({"probabilities": probabilities, "label": truth, "loss": loss})


def _labels(rows: Rows) -> np.ndarray:
    if rows.labels is None:
        raise DataError("The rows have no labels.", hint="Pick the label column.")
    return rows.labels
