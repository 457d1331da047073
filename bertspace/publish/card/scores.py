"""The metrics of a split from its per-row table, with 95 % intervals; base and fine-tuned on the same rows.

How they are come by: see `bertspace.tasks.intervals`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bertspace.publish.card.content import ClassScore, Results, Score
from bertspace.tasks import TASKS
from bertspace.tasks.intervals import (
    Measured,
    Metrics,
    label_metrics,
    mask_metrics,
    newcombe,
    over_draws,
    wilson,
    with_interval,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def measure(
    task: str,
    split: str,
    labels: Sequence[str],
    tuned: pd.DataFrame,
    base: pd.DataFrame | None,
    recorded: Mapping[str, float],
    majority: Mapping[str, float],
) -> Results:
    """The results of one split.

    tuned, base: its rows of predictions.parquet and of base.parquet (None where a run has none: then
    `recorded`, the base's metrics as they were written, stand without intervals). Raises ValueError where the
    two are not of the same rows.
    """
    if base is not None and base["row"].tolist() != tuned["row"].tolist():
        raise ValueError("base.parquet and predictions.parquet are not of the same rows")
    fill_mask = task == "fill-mask"
    resampled = _resampled_masks(tuned, base) if fill_mask else _resampled_labels(tuned, base, len(labels))
    exact = {"tuned": _scores(task, tuned)}
    if base is not None or recorded:
        exact["base"] = _scores(task, base) if base is not None else dict(recorded)
    scores = [_score(metric.name, exact, resampled, majority) for metric in TASKS[task].metrics]
    if fill_mask:
        return Results(split, len(tuned), tuple(scores), masks=int(tuned["masks"].sum()))
    scores = [_by_count(score, tuned, base) if score.metric == "accuracy" else score for score in scores]
    return Results(split, len(tuned), tuple(scores), 0, *_by_class(tuned, labels))


def _score(
    metric: str,
    exact: Mapping[str, Mapping[str, float]],
    resampled: Mapping[str, Metrics],
    majority: Mapping[str, float],
) -> Score:
    measured = {
        who: with_interval(values[metric], resampled.get(who, {}).get(metric))
        for who, values in exact.items()
        if metric in values
    }
    change = None
    if "base" in measured and "base" in resampled:
        difference = resampled["tuned"][metric] - resampled["base"][metric]
        change = with_interval(measured["tuned"].value - measured["base"].value, difference)
        if measured["tuned"].low is None or measured["base"].low is None:
            change = Measured(change.value)
    return Score(metric, measured["tuned"], measured.get("base"), majority.get(metric), change)


def _by_count(score: Score, tuned: pd.DataFrame, base: pd.DataFrame | None) -> Score:
    """Accuracy, whose intervals need no resampling; the base's from its value alone, where that is all."""
    count = len(tuned)

    def share(measured: Measured) -> Measured:
        return Measured(measured.value, *wilson(round(measured.value * count), count))

    score = replace(score, tuned=share(score.tuned), base=share(score.base) if score.base else None)
    if base is None or score.base is None:
        return score
    mine, its = (predicted(rows) == rows["label"].to_numpy() for rows in (tuned, base))
    cells = (mine & its, mine & ~its, ~mine & its, ~mine & ~its)
    low, high = newcombe(*(int(cell.sum()) for cell in cells))
    return replace(score, change=Measured(score.tuned.value - score.base.value, low, high))


def _scores(task: str, rows: pd.DataFrame) -> dict[str, float]:
    """The task's own metrics of a table."""
    import numpy as np

    table = {
        name: np.stack(rows[name].to_list()) if name == "probabilities" else rows[name].to_numpy()
        for name in rows.columns
        if name not in ("split", "row")
    }
    return TASKS[task].score(table)


def predicted(rows: pd.DataFrame) -> np.ndarray:
    """The label that the model gives to each row."""
    import numpy as np

    return np.stack(rows["probabilities"].to_list()).argmax(-1)


# Resampling


def _resampled_labels(tuned: pd.DataFrame, base: pd.DataFrame | None, classes: int) -> dict[str, Metrics]:
    import numpy as np

    columns = [tuned["label"].to_numpy(), predicted(tuned)]
    columns += [predicted(base)] if base is not None else []
    kinds, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
    found = {"tuned": label_metrics(kinds[0], kinds[1], classes)}
    if base is not None:
        found["base"] = label_metrics(kinds[0], kinds[2], classes)
    return over_draws(found, counts)


def _resampled_masks(tuned: pd.DataFrame, base: pd.DataFrame | None) -> dict[str, Metrics]:
    """Whole rows are drawn: the hidden tokens of one text hang together."""
    import numpy as np

    found = {"tuned": _masks_of(tuned)}
    if base is not None:
        found["base"] = _masks_of(base)
    return over_draws(found, np.ones(len(tuned), dtype=np.int64))


def _masks_of(rows: pd.DataFrame) -> Callable[[np.ndarray], Metrics]:
    import numpy as np

    return mask_metrics(*(rows[name].to_numpy(np.float64) for name in ("loss_sum", "correct", "masks")))


# Labels one by one


def _by_class(
    rows: pd.DataFrame, labels: Sequence[str]
) -> tuple[tuple[ClassScore, ...], tuple[tuple[int, ...], ...]]:
    """Every label's scores, and the confusion matrix."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    truth, guesses, codes = rows["label"].to_numpy(), predicted(rows), range(len(labels))
    scores = precision_recall_fscore_support(truth, guesses, labels=list(codes), zero_division=0)
    matrix = confusion_matrix(truth, guesses, labels=list(codes))
    classes = tuple(
        ClassScore(label, float(precision), float(recall), float(f1), int(rows))
        for label, precision, recall, f1, rows in zip(labels, *scores, strict=True)
    )
    return classes, tuple(tuple(map(int, row)) for row in matrix)
