"""Panels as HTML, by the templates beside this file; every value that they are given is escaped. Pure.

The classes are styled in playgrounds.css. Knows nothing of files and models.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bertspace.drawing import Templates, tick
from bertspace.drawing import escaped as text
from bertspace.tasks import Metric, metric
from bertspace.ui.frame import theme
from bertspace.words import counted, duration, moment, number, percent, shortened, signed, size

__all__ = [
    "BASE",
    "TUNED",
    "Side",
    "bars",
    "comparison",
    "exact",
    "failed",
    "full_bar",
    "metric_table",
    "note",
    "problem",
    "render",
    "rows_table",
    "short",
    "source_name",
    "swatch",
    "table",
    "text",
]

# The page's two colours, which its style sheet makes lighter in the dark.
BASE, TUNED = f"var(--bs-base, {theme.BASE})", f"var(--bs-tuned, {theme.TUNED})"
MAX_BARS = 100  # labels of one answer that are drawn; a model may have any number
LONGEST_NAME, LONGEST_CELL = 100, 400  # characters of a label, and of a table's cell
FULL_BARS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Side:
    """What one model says: its name as shown, its colour, and one answer a mask (or just one)."""

    name: str
    colour: str
    predictions: Sequence[Any]


def short(model: str) -> str:
    """A model's name with the commit after its @, if there is one, in seven signs."""
    return re.sub(r"@([0-9a-f]{7})[0-9a-f]{33}$", r"@\1", model)


_FOLDER = Path(__file__).parent / "templates"
render = Templates(_FOLDER, counted, duration, moment, number, percent, short, shortened, size, tick).render


# Bars


def bars(scores: Mapping[str, float], colour: str, *, full: float = 1.0, name: str = "") -> Markup:
    """A bar for each of the first scores; `full` is the score of a bar that fills its track.

    `name` begins the spoken text.
    """
    shown = [
        (shortened(label, LONGEST_NAME), score, 100 * max(0.0, min(1.0, score / full)))
        for label, score in itertools.islice(scores.items(), MAX_BARS)
    ]
    more = len(scores) - len(shown)
    return render("frame.bars", shown, f"and {counted(more, 'more label')}" if more else "", colour, name)


def full_bar(sides: Sequence[Side]) -> float:
    """The smallest round score that no bar exceeds, so that small probabilities can be told apart."""
    top = max(
        (max(each.scores.values(), default=0) for side in sides for each in side.predictions), default=1
    )
    return next((full for full in FULL_BARS if top <= full), 1.0)


def swatch(colour: str) -> Markup:
    return render("frame.swatch", colour)


# What it comes to


def comparison(sentence: str, pictures: Markup) -> Markup:
    """The verdict, then the pictures."""
    return render("frame.comparison", sentence, pictures)


def metric_table(
    base_name: str,
    tuned_name: str,
    base: Mapping[str, float],
    tuned: Mapping[str, float],
    n: str,
    clear: bool,
) -> Markup:
    """Both models' metrics and their difference; `n` says on what, in words.

    clear: whether a difference may be called better or worse, which few rows do not tell.
    """
    rows = []
    for name in base:
        if name in tuned:
            known, before, after = metric(name), base[name], tuned[name]
            rows.append((known, before, after, *_difference(known, before, after, clear)))
    return render("frame.metric_table", base_name, tuned_name, n, rows, BASE, TUNED)


def _difference(known: Metric, before: float, after: float, clear: bool) -> tuple[str, str]:
    """(the change, "better" or "worse" where that may be said)."""
    change = after - before
    if known.figure(before) == known.figure(after) or not math.isfinite(change):
        return "–", ""
    word = "better" if known.is_better(after, before) else "worse"
    return signed(known.figure(change)), word if clear else ""


# Tables


def rows_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """Rows of a file under their caption; long cells are cut."""
    return table(caption, headings, [[shortened(str(cell), LONGEST_CELL) for cell in row] for row in rows])


def table(
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    style: str = "bs-rows",
    *,
    named: bool = False,
    base: bool = False,
    note: str = "",
) -> Markup:
    """A table that scrolls by itself. named: a row's first cell is its heading. base: the first row is."""
    return render("frame.table", caption, headings, rows, style, named, base, note)


def exact(metric: Metric, value: float | None) -> str:
    """A metric's value as it is written, and all its digits where a pointer rests on it."""
    return metric.figure(value) if value is None else render("frame.exact", value, metric.figure(value))


# States


def note(title: str, body: str = "") -> Markup:
    """A panel with nothing in it yet: what will be here, and how it comes."""
    return render("frame.note", title, body)


def failed(message: str, hint: str = "", buttons: str = "") -> Markup:
    """A panel that could not be filled: what happened, and what to do. buttons: markup that does it."""
    return render("frame.problem", message, hint, buttons, "status")


def problem(message: str, hint: str = "", buttons: str = "") -> Markup:
    """What happened and what to do, read out when it appears. buttons: markup that does it."""
    return render("frame.problem", message, hint, buttons, "alert")


def source_name(source: str) -> str:
    """What data is called: a sample by its name alone."""
    return source.removeprefix("sample: ")
