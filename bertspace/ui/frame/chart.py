"""Charts as HTML and SVG: sharp at every width, in light and dark, and still where nothing changed. Pure.

The SVG is stretched over its box and holds lines only; the words beside it are HTML, so none is squeezed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bertspace.charts.scales import Point, thin, ticks, up_to_tick
from bertspace.ui.frame.html import LONGEST_NAME, cut, text
from bertspace.words import number, percent

__all__ = ["Line", "chart", "thin", "ticks"]

NOTHING = '<div class="bs-plot bs-plot-empty"><span>Drawn from the first step on</span></div>'


@dataclass(frozen=True)
class Line:
    """points: (x, y), x rising. colour: base, tuned or quiet. style: line, dots or dashed."""

    name: str
    points: tuple[Point, ...]
    colour: str
    style: str = "line"


def _tick(value: float) -> str:
    return f"{value:,.10g}"


def chart(
    title: str, lines: Sequence[Line], *, x_name: str, x_range: Point, floor: float | None = None
) -> str:
    """A line chart with its legend, or a panel while there is nothing to draw. x counts something.

    floor: where y begins, unless all lies in the upper half of what would be shown then.
    """
    drawn = [line for line in lines if line.points]
    ys = [y for line in drawn for _, y in line.points if math.isfinite(y)]
    if not ys:
        return f'<figure class="bs-chart">{_caption(title)}{NOTHING}</figure>'
    box = _Box(x_range[0], max(x_range[1], x_range[0] + 1e-9), *_heights(min(ys), max(ys), floor))
    legend = "".join(
        f'<span class="bs-key bs-{line.colour} bs-key-{line.style}">{text(line.name)}</span>'
        for line in drawn
    )
    return (
        f'<figure class="bs-chart">{_caption(title, legend)}'
        f'<div class="bs-plot" role="img" aria-label="{text(_words(title, drawn))}">{_grid(box)}'
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(_path(line, box) for line in drawn)}</svg>{_labels(box)}"
        f'</div><div class="bs-x-name">{text(x_name)}</div></figure>'
    )


def _heights(low: float, high: float, floor: float | None) -> Point:
    """Where y begins and ends: a little below the lowest value, or at the floor, and at a tick."""
    pad = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    bottom = low - pad if floor is None or low - floor > (high - floor) / 2 else floor
    return bottom, up_to_tick(bottom, high if high > bottom else bottom + pad)


def _caption(title: str, legend: str = "") -> str:
    keys = f'<span class="bs-legend">{legend}</span>' if legend else ""
    return f"<figcaption>{text(title)}{keys}</figcaption>"


def _words(title: str, lines: Sequence[Line]) -> str:
    """What the picture says, for who does not see it."""
    return f"{title}. " + " ".join(f"{line.name}: now {number(line.points[-1][1])}." for line in lines)


@dataclass(frozen=True)
class _Box:
    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return 1000 * (value - self.left) / (self.right - self.left)

    def y(self, value: float) -> float:
        return 1000 * (1 - (value - self.low) / (self.high - self.low))


def _grid(box: _Box) -> str:
    rules = "".join(
        f'<i class="bs-rule" style="top:{box.y(value) / 10:.2f}%"></i>' for value in ticks(box.low, box.high)
    )
    return f'<div class="bs-grid" aria-hidden="true">{rules}</div>'


def _labels(box: _Box) -> str:
    ys = "".join(
        f'<span class="bs-y" style="top:{box.y(value) / 10:.2f}%">{_tick(value)}</span>'
        for value in ticks(box.low, box.high)
    )
    xs = "".join(
        f'<span class="bs-x" style="left:{box.x(value) / 10:.2f}%">{_tick(value)}</span>'
        for value in ticks(box.left, box.right, 6, least=1)
    )
    return f'<div aria-hidden="true">{ys}{xs}</div>'


def _path(line: Line, box: _Box) -> str:
    places = [(box.x(x), box.y(y)) for x, y in line.points if math.isfinite(y)]
    if line.style == "dashed":  # a level, drawn from side to side
        places = [(0, places[-1][1]), (1000, places[-1][1])]
    course = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    drawn = f'<path class="bs-stroke bs-{line.colour} bs-stroke-{line.style}" d="{course}"/>'
    if line.style != "dots":
        return drawn
    # A line without length under a round cap is a dot that the stretching leaves round.
    dots = "".join(
        f'<path class="bs-dot bs-{line.colour}" d="M{box.x(x):.1f} {box.y(y):.1f}h0">'
        f"<title>{text(line.name)}: {number(y)} at {_tick(round(x, 3))}</title></path>"
        for x, y in line.points
        if math.isfinite(y)
    )
    return drawn + dots


def bars(title: str, counts: Sequence[tuple[str, int]], most: int = 12) -> str:
    """A labelled bar each, as long as its count; the rest is summed up where there are more."""
    total, top = sum(count for _, count in counts) or 1, max((count for _, count in counts), default=1) or 1
    shown = list(counts[:most])
    rest = counts[most:]
    rows = "".join(
        f'<div class="bs-bar-row"><span class="bs-bar-name" title="{cut(name)}">'
        f"{cut(name, LONGEST_NAME)}</span>"
        f'<span class="bs-bar"><i style="width:{100 * count / top:.1f}%"></i></span>'
        f'<span class="bs-bar-value">{count:,} <small>{percent(count, total)}</small></span></div>'
        for name, count in shown
    )
    if rest:
        rest_rows = sum(count for _, count in rest)
        rows += f'<p class="bs-note">and {len(rest):,} more labels with {rest_rows:,} rows</p>'
    return f'<figure class="bs-bars">{_caption(title)}{rows}</figure>'


def histogram(title: str, lengths: Sequence[int], limit: int | None, note: str, bins: int = 24) -> str:
    """How many texts have how many tokens; where they are cut, a line, and what lies behind it pale."""
    top = max([*lengths, 1])
    # With no text near the limit the line stands at the right edge, so that nothing is squeezed for it.
    right = max(top, limit) if limit and limit <= 3 * top else top
    width = max(1, math.ceil((right + 1) / bins))
    counts = [0] * math.ceil((right + 1) / width)
    for length in lengths:
        counts[length // width] += 1
    span, most = len(counts) * width, max(counts) or 1
    columns = "".join(_column(place * width, width, count, most, limit) for place, count in enumerate(counts))
    if limit and limit <= span:
        columns += f'<b class="bs-limit" style="left:{100 * limit / span:.2f}%"><span>{limit}</span></b>'
    marks = "".join(_mark(value, span) for value in ticks(0, span, 6))
    return (
        f'<figure class="bs-histogram">{_caption(title)}<div class="bs-columns" role="img" '
        f'aria-label="{text(f"{title}. {note}")}">{columns}<div aria-hidden="true">{marks}</div></div>'
        f'<p class="bs-note">{text(note)}</p></figure>'
    )


def _column(start: int, width: int, count: int, most: int, limit: int | None) -> str:
    """The texts of start to start + width - 1 tokens; hatched where all of them are cut."""
    style = ' class="bs-cut"' if limit and start >= limit else ""
    words = f"{start} to {start + width - 1} tokens: {count:,}" if width > 1 else f"{start} tokens: {count:,}"
    return f'<i{style} style="height:{100 * count / most:.1f}%" title="{words}"></i>'


def _mark(value: float, span: int) -> str:
    return f'<span class="bs-x" style="left:{100 * value / span:.2f}%">{_tick(value)}</span>'
