"""The metrics of a split from its per-row tables, with 95 % intervals, base and fine-tuned alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bertspace.publish.card.content import Results
from bertspace.tasks import Task
from bertspace.tasks.card import Score
from bertspace.tasks.intervals import Measured, Metrics, with_interval

if TYPE_CHECKING:
    from bertspace.tasks.card import Table


def measure(
    task: Task,
    split: str,
    labels: Sequence[str],
    tables: Mapping[str, Table],
    recorded: Mapping[str, float],
    majority: Mapping[str, float],
) -> Results:
    """The results of one split.

    tables: of "tuned" and, where the run has them, of "base"; else `recorded`, the base's metrics as they
    were written, stand without intervals. Raises ValueError where the two are not of the same rows.
    """
    counts = {len(next(iter(table.values()))) for table in tables.values()}
    if len(counts) > 1:
        raise ValueError("base.parquet and predictions.parquet are not of the same rows")
    resampled = task.card.resampled(tables, len(labels))
    exact = {"base": recorded} if recorded else {}
    exact |= {who: task.score(dict(table)) for who, table in tables.items()}
    found = [_score(metric.name, exact, resampled, majority) for metric in task.metrics]
    scores, tuned = tuple(task.card.measured(score, tables) for score in found), tables["tuned"]
    return Results(split, counts.pop(), scores, task.card.detail(tuned), *task.card.by_class(tuned, labels))


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
