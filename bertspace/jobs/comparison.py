"""Two runs side by side: the settings that differ, their metrics and their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bertspace import models
from bertspace.errors import BertspaceError
from bertspace.runs import Run
from bertspace.schema import TrainEvent

MAX_POINTS = 300  # of a curve


@dataclass(frozen=True)
class RunComparison:
    """Pairs are (first, second). settings: those that differ, "data" for other rows. metrics: by split and
    name. curves: (step, loss), at most 300 points of each run.
    """

    settings: dict[str, tuple[Any, Any]]
    metrics: dict[str, dict[str, tuple[float | None, float | None]]]
    curves: tuple[list[tuple[int, float]], list[tuple[int, float]]]


def compare(first: Run, second: Run) -> RunComparison:
    """What two runs were told, reached and went through."""
    told = [_told(run) for run in (first, second)]
    events = [run.events()[0] for run in (first, second)]
    reached = [_reached(first, events[0]), _reached(second, events[1])]
    return RunComparison(
        settings={name: pair for name, pair in _paired(*told).items() if pair[0] != pair[1]},
        metrics={split: _paired(*(each.get(split, {}) for each in reached)) for split in _paired(*reached)},
        curves=(_curve(events[0]), _curve(events[1])),
    )


def _told(run: Run) -> dict[str, Any]:
    """The settings as the training had them, and in words which rows it was given."""
    result, source = run.result(), run.source()
    rows = ", ".join(f"{count:,} {part}" for part, count in source.get("rows", {}).items())
    settings = result["config"] if result else run.config().to_dict()
    if settings["learning_rate"] is None:
        settings = settings | {"learning_rate": _own_rate(run)}
    return settings | {"data": f"{source.get('source', '')}: {rows}"}


def _own_rate(run: Run) -> float | None:
    """The learning rate of the run's model; None where that is not on this machine: nothing is downloaded."""
    config = run.config()
    try:
        if not models.is_here(run):
            return None
        return models.default_learning_rate(models.of_run_or_base(run), config.task, config.lora_rank)
    except BertspaceError:
        return None


def _reached(run: Run, events: Sequence[TrainEvent]) -> dict[str, dict[str, float]]:
    """The metrics by split; of a run without a result those of the epoch that was scored last."""
    if result := run.result():
        return {split: result[split] for split in ("validation", "test") if result.get(split)}
    scored = next((event.metrics for event in reversed(events) if event.kind == "epoch"), {})
    found = {name: value for name, value in scored.items() if name != "train_loss"}
    return {"validation": found} if found else {}


def _paired(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (first.get(name), second.get(name)) for name in [*first, *(second.keys() - first.keys())]}


def _curve(events: Sequence[TrainEvent]) -> list[tuple[int, float]]:
    """(step, loss), evenly thinned, first and last among them; a step that was done again counts once."""
    losses = {event.step: event.loss for event in events if event.kind == "step" and event.loss is not None}
    points = sorted(losses.items())
    if len(points) <= MAX_POINTS:
        return points
    last = len(points) - 1
    return [points[round(place * last / (MAX_POINTS - 1))] for place in range(MAX_POINTS)]
