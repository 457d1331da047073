"""Two runs side by side -> HTML: their curves, what they reached, and the settings that differ. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bertspace.jobs.comparison import RunComparison
from bertspace.tasks import metric
from bertspace.ui.frame.chart import Line, chart, thin
from bertspace.ui.frame.html import cut, text


def draw_pair(found: RunComparison, first: str, second: str) -> str:
    """first, second: the runs' names."""
    parts = [draw(found, first, second) for draw in (_losses, _reached, _differences)]
    return f'<div class="bs-run">{"".join(parts)}</div>'


def _losses(found: RunComparison, first: str, second: str) -> str:
    lines = [
        Line(name, thin(points), colour)
        for name, points, colour in zip((second, first), found.curves[::-1], ("quiet", "tuned"), strict=True)
    ]
    last = max((points[-1][0] for points in found.curves if points), default=1)
    return chart("Training loss of both", lines, x_name="step", x_range=(0, last), floor=0)


def _reached(found: RunComparison, first: str, second: str) -> str:
    rows = [
        (f"{metric(name).title}, {split}", *(_figure(name, value) for value in pair))
        for split, metrics in found.metrics.items()
        for name, pair in metrics.items()
    ]
    if not rows:
        return '<p class="bs-note">What they reached stands here once both have been scored.</p>'
    return _table("What they reached", ("Metric", first, second), rows)


def _differences(found: RunComparison, first: str, second: str) -> str:
    rows = [(name.replace("_", " "), *map(_value, pair)) for name, pair in found.settings.items()]
    if not rows:
        return '<p class="bs-note">Their settings and their rows are the same.</p>'
    return _table("What differs", ("Setting", first, second), rows)


def _figure(name: str, value: float | None) -> str:
    return "–" if value is None else f'<span title="{value!r}">{metric(name).figure(value)}</span>'


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "the model's own"  # learning_rate and dropout
    if value == "":
        return "–"
    return cut(f"{value:g}" if isinstance(value, float) else value)


def _table(caption: str, head: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    """The cells after a row's first are markup already."""
    titles = "".join(f'<th scope="col">{text(each)}</th>' for each in head)
    return (
        f'<figure class="bs-rows bs-pair"><figcaption>{text(caption)}</figcaption>'
        f'<div class="bs-scroll" tabindex="0" role="region" aria-label="{text(caption)}">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(_rows(rows))}</tbody></table></div></figure>"
    )


def _rows(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for name, *cells in rows:
        yield f'<tr><th scope="row">{text(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
