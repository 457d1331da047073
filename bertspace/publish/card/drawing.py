"""A card's two pictures: the confusion matrix, and how the model learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertspace.charts.canvas import BASE, INK, QUIET, RULE, TUNED, Canvas, can_write, length, mixed
from bertspace.charts.scales import Point, thin, ticks
from bertspace.publish.card.content import CONFUSION, CURVE, Card, Results
from bertspace.publish.card.markdown import clean
from bertspace.tasks import METRICS, TASKS
from bertspace.words import counted

MARGIN, LONGEST_LABEL = 24, 24  # points; characters
NARROWEST, CURVE_WIDTH, CURVE_HEIGHT = 330, 760, 300
POINTS = 120  # of the training loss: of more, each is a mean of neighbours


def pictures(card: Card, folder: Path) -> None:
    """The PNG files that the card's text links, `card.pictures`, in the folder of the README."""
    if CONFUSION in card.pictures and card.results:
        confusion_matrix(card.results).save(folder / CONFUSION)
    if CURVE in card.pictures:
        learning_curve(card).save(folder / CURVE)


# The confusion matrix


@dataclass(frozen=True)
class _Grid:
    """Where the cells lie on the sheet, and how their labels are written; in points."""

    names: list[str]
    cell: float
    size: float  # of the labels' letters
    longest: float

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
    def span(self) -> float:
        return self.cell * len(self.names)

    @property
    def width(self) -> float:
        return max(self.left + self.span + MARGIN, NARROWEST)


def _grid(results: Results) -> _Grid:
    names = _drawable([each.label for each in results.classes])
    cell = max(20.0, min(84.0, 560 / len(names)))
    size = 12 if cell > 24 else 9
    return _Grid(names, cell, size, max(length(name, size) for name in names))


def confusion_width(results: Results) -> float:
    """The picture's width in points, at which it is to be shown."""
    return _grid(results).width


def confusion_matrix(results: Results) -> Canvas:
    """Rows are true labels, columns what was found; a cell's colour is its share of its row."""
    grid = _grid(results)
    sheet = Canvas(grid.width, grid.top + grid.span + MARGIN)
    sheet.words((MARGIN, MARGIN + 6), counted(results.count, f"{results.split} row"), 15)
    sheet.words((grid.left + grid.span / 2, MARGIN + 40), "Label found", 11, QUIET, "mm")
    middle = grid.top + grid.span / 2 + length("True label", 11) / 2
    sheet.words((MARGIN + 6, middle), "True label", 11, QUIET, up=True)
    for place, name in enumerate(grid.names):
        centre = grid.cell * (place + 0.5)
        sheet.words((grid.left - 10, grid.top + centre), name, grid.size, INK, "rm")
        above = (grid.left + centre, grid.top - (10 if grid.flat else 6))
        sheet.words(above, name, grid.size, INK, "ms", up=not grid.flat)
    for row, counts in enumerate(results.confusion):
        for column, number in enumerate(counts):
            corner = (grid.left + grid.cell * column, grid.top + grid.cell * row)
            _cell(sheet, corner, grid.cell, number, sum(counts))
    return sheet


def _cell(sheet: Canvas, corner: Point, cell: float, number: int, of: int) -> None:
    x, y = corner
    share = number / of if of else 0.0
    # The power makes few visible; text turns white where dark no longer reads.
    fill = mixed(TUNED, share**0.8) if number else "#f4f6f8"
    sheet.box((x + 1, y + 1, x + cell - 1, y + cell - 1), fill)
    colour = "#ffffff" if share > 0.75 else INK if number else "#b0bbc8"
    if cell >= 48 and number:
        sheet.words((x + cell / 2, y + cell / 2 - 7), f"{number:,}", 16, colour, "mm")
        sheet.words((x + cell / 2, y + cell / 2 + 12), f"{100 * share:.0f} %", 10, colour, "mm")
    elif number or cell >= 30:
        size = min(12.0, 1.4 * cell / max(2, len(f"{number:,}")))
        sheet.words((x + cell / 2, y + cell / 2), f"{number:,}", size, colour, "mm")


def _drawable(labels: Sequence[str]) -> list[str]:
    """The labels, or their numbers in the tables' order where the font lacks letters of them."""
    names = [clean(label, LONGEST_LABEL) for label in labels]
    return names if all(map(can_write, names)) else [str(number + 1) for number in range(len(names))]


# The curve


@dataclass(frozen=True)
class _Line:
    """style: thin (the training rows), dots (after each epoch), dashed (the base, all across)."""

    name: str
    points: tuple[Point, ...]
    colour: str
    style: str


def learning_curve(card: Card) -> Canvas:
    """The loss of training and validation rows, and beside it the headline metric with the base's."""
    sheet = Canvas(CURVE_WIDTH, CURVE_HEIGHT)
    title = f"{METRICS[TASKS[card.task].headline].title}, validation rows"
    last = max(step for step, _ in card.curve)
    headline = TASKS[card.task].headline
    base = (card.training.get("base") or {}).get("validation") or {}
    loss = [
        _Line("training", thin(card.curve, POINTS), mixed(TUNED, 0.45), "thin"),
        _Line("validation", _after_epochs(card, "loss"), TUNED, "dots"),
    ]
    metric_lines = [_Line("fine-tuned", _after_epochs(card, headline), TUNED, "dots")]
    if headline in base:
        name = "probe on the frozen base" if card.task == "text-classification" else "base"
        metric_lines.append(_Line(name, ((0.0, base[headline]), (last, base[headline])), BASE, "dashed"))
    _panel(sheet, (0, CURVE_WIDTH / 2), "Loss", loss, last)
    _panel(sheet, (CURVE_WIDTH / 2, CURVE_WIDTH), title, metric_lines, last)
    return sheet


def _after_epochs(card: Card, name: str) -> tuple[Point, ...]:
    return tuple((float(each["step"]), each[name]) for each in card.epochs if name in each)


def _panel(sheet: Canvas, across: Point, title: str, lines: Sequence[_Line], last: float) -> None:
    """One chart between two x of the sheet, steps from 0 to `last`."""
    left, right, top, bottom = across[0] + MARGIN + 34, across[1] - MARGIN, 84, CURVE_HEIGHT - 46
    lines = [line for line in lines if line.points]
    ys = [y for line in lines for _, y in line.points if math.isfinite(y)] or [0.0]
    pad = (max(ys) - min(ys)) * 0.1 or abs(max(ys)) * 0.1 or 1.0
    low, high = max(min(ys) - pad, min(0.0, min(ys))), max(ys) + pad

    def place(point: Point) -> Point:
        x, y = point
        return left + (right - left) * x / last, bottom - (bottom - top) * (y - low) / (high - low)

    sheet.words((across[0] + MARGIN, MARGIN + 6), title, 15)
    _legend(sheet, (across[0] + MARGIN, MARGIN + 32), lines)
    for tick in ticks(low, high, 5):
        height = place((0, tick))[1]
        sheet.line([(left, height), (right, height)], RULE)
        sheet.words((left - 8, height), f"{tick:,.10g}", 11, QUIET, "rm")
    for tick in ticks(0, last, 5):
        sheet.words((place((tick, low))[0], bottom + 14), f"{tick:,.10g}", 11, QUIET, "mm")
    sheet.words((right, bottom + 32), "step", 11, QUIET, "rm")
    for line in lines:
        _draw(sheet, [place(point) for point in line.points if math.isfinite(point[1])], line)


def _legend(sheet: Canvas, at: Point, lines: Sequence[_Line]) -> None:
    x, y = at
    for line in lines:
        _draw(sheet, [(x, y), (x + 20, y)], line)
        sheet.words((x + 27, y), line.name, 11, QUIET)
        x += 27 + length(line.name, 11) + 18


def _draw(sheet: Canvas, points: Sequence[Point], line: _Line) -> None:
    sheet.line(points, line.colour, 1.6 if line.style == "thin" else 2.0, line.style == "dashed")
    if line.style == "dots":
        few = len(points) <= 40
        for point in points if few else ():
            sheet.dot(point, 3.2, line.colour)
