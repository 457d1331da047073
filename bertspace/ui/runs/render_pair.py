"""Two runs side by side as HTML: their curves, what they reached, and the settings that differ. Pure."""

from __future__ import annotations

from markupsafe import Markup

from bertspace.jobs.comparison import RunComparison
from bertspace.tasks import metric
from bertspace.ui.frame.chart import Line, chart, thin
from bertspace.ui.frame.html import LONGEST_CELL, exact, render, table
from bertspace.words import shortened

STYLE = "bs-rows bs-pair"


def draw_pair(found: RunComparison, first: str, second: str) -> Markup:
    """first, second: the runs' names."""
    names = first, second
    return render("runs.pair", (_losses(found, *names), _scores(found, *names), _settings(found, *names)))


def _losses(found: RunComparison, first: str, second: str) -> Markup:
    lines = [
        Line(name, thin(points), colour)
        for name, points, colour in zip((second, first), found.curves[::-1], ("quiet", "tuned"), strict=True)
    ]
    last = max((points[-1][0] for points in found.curves if points), default=1)
    return chart("Training loss of both", lines, x_name="step", x_range=(0, last), floor=0)


def _scores(found: RunComparison, first: str, second: str) -> Markup:
    rows = [
        (f"{metric(name).title}, {split}", *(exact(metric(name), value) for value in pair))
        for split, metrics in found.metrics.items()
        for name, pair in metrics.items()
    ]
    if not rows:
        return render("runs.small", "What they reached stands here once both have been scored.")
    return table("What they reached", ("Metric", first, second), rows, STYLE, named=True)


def _settings(found: RunComparison, first: str, second: str) -> Markup:
    rows = [(name.replace("_", " "), *map(_value, pair)) for name, pair in found.settings.items()]
    if not rows:
        return render("runs.small", "Their settings and their rows are the same.")
    return table("What differs", ("Setting", first, second), rows, STYLE, named=True)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "the model's own"  # learning_rate and dropout
    return shortened(f"{value:g}" if isinstance(value, float) else str(value), LONGEST_CELL) or "–"
