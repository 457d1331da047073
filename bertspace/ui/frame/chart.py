"""Charts on the page: sharp at every width, in light and dark, and still where nothing changed. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from bertspace.drawing import Chart, Line, Point, thin, ticks
from bertspace.ui.frame.html import render
from bertspace.words import counted, number

__all__ = ["Line", "bars", "chart", "histogram", "thin"]

MAX_BARS, BINS = 12, 24


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_name: str,
    x_range: Point,
    floor: float | None = None,
) -> Markup:
    """A line chart with its legend, or a panel while there is nothing to draw; see Chart."""
    shown = Chart(title, lines, x_name, x_range, floor)
    now = [f"{line.name}: now {number(line.points[-1][1])}." for line in shown.drawn]
    return render("frame.chart", shown, " ".join([f"{title}.", *now]), shown.plot() if now else "")


def bars(title: str, counts: Sequence[tuple[str, int]]) -> Markup:
    """A labelled bar each, as long as its count; the rest is summed up where there are more."""
    whole, top = sum(count for _, count in counts) or 1, max((count for _, count in counts), default=1) or 1
    rest = counts[MAX_BARS:]
    words = f"and {counted(len(rest), 'more label')} with {counted(sum(count for _, count in rest), 'row')}"
    return render("frame.counts", title, counts[:MAX_BARS], top, whole, words if rest else "")


def histogram(title: str, lengths: Sequence[int], limit: int | None, note: str) -> Markup:
    """How many texts have how many tokens; where they are cut, a line, and what lies behind it pale."""
    top = max([*lengths, 1])
    # With no text near the limit the line stands at the right edge, so that nothing is squeezed for it.
    right = max(top, limit) if limit and limit <= 3 * top else top
    width = max(1, math.ceil((right + 1) / BINS))
    counts = [0] * math.ceil((right + 1) / width)
    for length in lengths:
        counts[length // width] += 1
    span, most = len(counts) * width, max(counts) or 1
    columns = []
    for start, count in zip(range(0, span, width), counts, strict=True):
        last = f" to {start + width - 1}" if width > 1 else ""
        words = f"{start}{last} tokens: {count:,}"
        columns.append((100 * count / most, words, bool(limit) and start >= (limit or 0)))
    limit = limit if limit and limit <= span else None
    return render("frame.histogram", title, note, columns, limit, span, ticks(0, span, 6))
