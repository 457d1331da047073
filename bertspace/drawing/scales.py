"""What a chart needs to know of its numbers, however it is drawn. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

MAX_POINTS = 300
Point = tuple[float, float]


def thin(points: Sequence[Point], most: int = MAX_POINTS) -> tuple[Point, ...]:
    """At most so many points, each the mean of a stretch of neighbours; fewer stay as they are."""
    if len(points) <= most:
        return tuple(points)
    edges = [round(place * len(points) / most) for place in range(most + 1)]
    stretches = [points[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    return tuple((_mean([x for x, _ in part]), _mean([y for _, y in part])) for part in stretches)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def ticks(low: float, high: float, most: int = 5, least: float = 0) -> list[float]:
    """Round numbers, `most` at most, that lie in low..high: 1, 2 or 5 times a power of ten apart.

    least: how far apart at least; 1 where only whole numbers mean something.
    """
    if not high > low:
        return [low]
    step = max(_step(low, high, most), least)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)][: most + 1]


def up_to_tick(low: float, high: float, most: int = 5) -> float:
    """Where low..top has a tick at its top and holds `high`: the least such top."""
    top, step = high, 0.0
    while (wider := _step(low, top, most)) > step:
        step = wider
        top = round(math.ceil(high / step - 1e-9) * step, 12)
    return top


def _step(low: float, high: float, most: int) -> float:
    power = 10 ** math.floor(math.log10((high - low) / most))
    return next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= most)
