"""Line charts and confusion matrices as SVG: a part of the page, or a file that looks alike everywhere."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bertspace.drawing.scales import Point, ticks, up_to_tick
from bertspace.drawing.templates import Templates
from bertspace.words import counted, number, percent, shortened

BASE = "#0072B2"  # the base model, everywhere (Okabe and Ito's blue)
TUNED = "#D55E00"  # the fine-tuned model, everywhere (their vermillion)

MARGIN, LONGEST_LABEL, NARROWEST = 24, 24, 330  # of a file: points, characters, points
WIDTH, HEIGHT = 760, 300  # of a file with charts, in points


def tick(value: float) -> str:
    return f"{value:,.10g}"


_TEMPLATES = Templates(Path(__file__).parent, number, percent, tick)


@dataclass(frozen=True)
class Line:
    """points: (x, y), x rising. colour: base, tuned or quiet. style: line, dots or dashed (a level)."""

    name: str
    points: tuple[Point, ...]
    colour: str
    style: str = "line"

    @property
    def finite(self) -> list[Point]:
        return [point for point in self.points if math.isfinite(point[1])]


@dataclass(frozen=True)
class Chart:
    """A line chart. x counts something, from x_range[0] to x_range[1].

    floor: where y begins, unless all lies in the upper half of what would be shown then.
    """

    title: str
    lines: Sequence[Line]
    x_name: str
    x_range: Point
    floor: float | None = None

    @property
    def drawn(self) -> list[Line]:
        """The lines with points."""
        return [line for line in self.lines if line.finite]

    @property
    def y_range(self) -> Point:
        """From a little below the lowest value, or the floor, to a tick."""
        ys = [y for line in self.drawn for _, y in line.finite]
        low, high = min(ys), max(ys)
        pad = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        higher = self.floor is None or low - self.floor > (high - self.floor) / 2
        bottom = low - pad if higher else self.floor or 0.0
        return bottom, up_to_tick(bottom, high if high > bottom else bottom + pad)

    @property
    def x_ticks(self) -> list[float]:
        return ticks(*self.x_range, 6, least=1)

    @property
    def y_ticks(self) -> list[float]:
        return ticks(*self.y_range)

    def x(self, value: float) -> float:
        """Per cent of the width."""
        left, right = self.x_range
        return 100 * (value - left) / max(right - left, 1e-9)

    def y(self, value: float) -> float:
        """Per cent of the height, from above."""
        low, high = self.y_range
        return 100 * (1 - (value - low) / (high - low))

    def course(self, line: Line) -> str:
        """The line as an SVG path in thousandths."""
        places = [(10 * self.x(x), 10 * self.y(y)) for x, y in line.finite]
        if line.style == "dashed":  # from side to side
            places = [(0, places[-1][1]), (1000, places[-1][1])]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)

    def plot(self) -> Markup:
        """The SVG alone, which fills its box on the page; its words are not stretched with it."""
        return _TEMPLATES.render("charts.plot", self)


def in_a_row(charts: Sequence[Chart]) -> str:
    """The text of an SVG file with the charts beside each other."""
    shown = [chart for chart in charts if chart.drawn]
    return _TEMPLATES.render("charts.row", shown, WIDTH, HEIGHT, MARGIN, BASE, TUNED)


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows are true labels, columns what was predicted."""

    split: str
    labels: Sequence[str]
    counts: Sequence[Sequence[int]]

    @property
    def names(self) -> list[str]:
        return [shortened(label, LONGEST_LABEL) for label in self.labels]

    @property
    def title(self) -> str:
        return counted(sum(map(sum, self.counts)), f"{self.split} row")

    @property
    def cell(self) -> float:
        return max(20.0, min(84.0, 560 / len(self.labels)))

    @property
    def size(self) -> float:
        """Of the labels' letters."""
        return 12 if self.cell > 24 else 9

    @property
    def longest(self) -> float:
        return max(width(name) for name in self.names) * self.size

    @property
    def flat(self) -> bool:
        """Whether the names above the columns fit without being turned."""
        return self.longest < self.cell - 6

    @property
    def left(self) -> float:
        return MARGIN + 32 + self.longest

    @property
    def top(self) -> float:
        return MARGIN + 60 + (self.size if self.flat else self.longest)

    @property
    def width(self) -> float:
        return max(self.left + self.cell * len(self.labels) + MARGIN, NARROWEST)

    @property
    def height(self) -> float:
        return self.top + self.cell * len(self.labels) + MARGIN

    def svg(self) -> str:
        """The text of an SVG file. A cell's colour is its share of its row."""
        return _TEMPLATES.render("charts.matrix", self, MARGIN, TUNED)


def width(text: str) -> float:
    """About how wide a text is, in heights of its letters; no font is asked, as the reader's is unknown."""
    return sum(1.0 if unicodedata.east_asian_width(char) in "WF" else 0.6 for char in text)
