"""Predictions, comparisons and metrics -> accessible HTML. Pure; every text that is not ours is escaped.

The classes are styled in playgrounds.css. Knows nothing of gradio, files and models.
"""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bertspace.tasks import Metric, metric
from bertspace.ui.frame import theme
from bertspace.words import counted, number, shortened, signed

# The page's two colours, which its style sheet makes lighter in the dark.
BASE, TUNED = f"var(--bs-base, {theme.BASE})", f"var(--bs-tuned, {theme.TUNED})"
MOST_BARS = 100  # labels of one answer that are drawn; a model may have any number
LONGEST_NAME, LONGEST_CELL = 100, 400  # characters of a label, and of a table's cell
FULL_BARS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Side:
    """What one model says: its name as shown, its colour, and one Prediction a mask (or just one)."""

    name: str
    colour: str
    predictions: Sequence[Any]


def text(words: object) -> str:
    """Escaped, so that it is shown as it was written, by the page and by the page's template language."""
    escaped = html.escape(str(words))
    for sign in "{}$`\\":  # gr.HTML reads templates; a visitor's text must not be one
        escaped = escaped.replace(sign, f"&#{ord(sign)};")
    return escaped


def cut(words: object, most: int = LONGEST_CELL) -> str:
    """Escaped, and of more than so many characters the first."""
    return text(shortened(str(words), most))


def short(model: str) -> str:
    """A model's name with the commit after its @, if there is one, in seven signs."""
    return re.sub(r"@([0-9a-f]{7})[0-9a-f]{33}$", r"@\1", model)


# Bars


def bars(scores: Mapping[str, float], colour: str, *, full: float = 1.0, name: str = "") -> str:
    """A bar for each of the first scores; `full` is the score of a bar that fills its track.

    `name` begins the spoken text.
    """
    shown = dict(itertools.islice(scores.items(), MOST_BARS))
    spoken = ", ".join(f"{cut(label, LONGEST_NAME)} {number(score)}" for label, score in shown.items())
    rows = "".join(_bar(label, score, colour, full) for label, score in shown.items())
    spoken = f"{text(name)}: {spoken}" if name else spoken
    if more := len(scores) - len(shown):
        rest = f"and {counted(more, 'more label')}"
        spoken, rows = f"{spoken} {rest}", f'{rows}<p class="pg-small" style="grid-column:1/-1">{rest}</p>'
    return f'<div class="pg-bars" role="img" aria-label="{spoken}">{rows}</div>'


def _bar(label: str, score: float, colour: str, full: float) -> str:
    width = max(0.0, min(1.0, score / full)) * 100
    return (
        f'<span class="pg-label">{cut(label, LONGEST_NAME)}</span><span class="pg-track">'
        f'<span class="pg-fill" style="width:{width:.2f}%;background:{colour}"></span></span>'
        f'<span class="pg-value" title="{score!r}">{number(score)}</span>'
    )


def full_bar(sides: Sequence[Side]) -> float:
    """The smallest round score that no bar exceeds, so that small probabilities can be told apart."""
    top = max(
        (max(each.scores.values(), default=0) for side in sides for each in side.predictions), default=1
    )
    return next((full for full in FULL_BARS if top <= full), 1.0)


def column(side: Side, parts: Sequence[str]) -> str:
    """A model's column; each part is a row of the grid, so that the parts of two columns stand level."""
    return (
        f'<section class="pg-side" style="grid-row:span {len(parts) + 1}">'
        f"<h4>{swatch(side.colour)}{text(side.name)}</h4>{''.join(parts)}</section>"
    )


def swatch(colour: str) -> str:
    return f'<span class="pg-swatch" style="background:{colour}"></span>'


def columns(columns: Sequence[str]) -> str:
    return f'<div class="pg-columns">{"".join(columns)}</div>'


# What it comes to


def comparison(sentence: str, pictures: str) -> str:
    """The verdict, then the pictures."""
    return f'<p class="pg-verdict" role="status">{text(sentence)}</p>{pictures}'


def metric_table(
    base_name: str,
    tuned_name: str,
    base: Mapping[str, float],
    tuned: Mapping[str, float],
    n: str,
    clear: bool,
) -> str:
    """Both models' metrics and their difference; `n` says on what, in words.

    clear: whether a difference may be called better or worse, which few rows do not tell.
    """
    rows = "".join(_metric_row(name, base[name], tuned[name], clear) for name in base if name in tuned)
    return (
        '<div class="pg-scroll"><table class="pg-table">'
        f"<caption>Measured on {text(n)}. Base: {text(base_name)}. Fine-tuned: {text(tuned_name)}.</caption>"
        f'<thead><tr><th scope="col">Metric</th><th scope="col">{swatch(BASE)}Base</th>'
        f'<th scope="col">{swatch(TUNED)}Fine-tuned</th><th scope="col">Difference</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _metric_row(name: str, before: float, after: float, clear: bool) -> str:
    known = metric(name)
    cells = "".join(f'<td title="{value!r}">{known.figure(value)}</td>' for value in (before, after))
    return (
        f'<tr><th scope="row" title="{text(known.meaning)}">{text(known.title)}</th>{cells}'
        f'<td title="{after - before!r}">{_difference(known, before, after, clear)}</td></tr>'
    )


def _difference(known: Metric, before: float, after: float, clear: bool) -> str:
    change = after - before
    if known.figure(before) == known.figure(after) or not math.isfinite(change):
        return "–"
    shown = signed(known.figure(change))
    if not clear:
        return shown
    return f'{shown} <span class="pg-word">{"better" if known.is_better(after, before) else "worse"}</span>'


def rows_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows of a table under their caption; it scrolls by itself. The headings are markup, escaped already."""
    head = "".join(f'<th scope="col">{each}</th>' for each in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cut(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<figure class="bs-rows"><figcaption>{text(caption)}</figcaption>'
        f'<div class="bs-scroll" tabindex="0" role="region" aria-label="{text(caption)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></figure>"
    )


# States


def note(title: str, body: str = "") -> str:
    """A panel with nothing in it yet: what will be here, and how it comes."""
    return f'<div class="pg-note"><p class="pg-title">{text(title)}</p><p>{text(body)}</p></div>'


def failed(message: str, hint: str = "", buttons: str = "") -> str:
    """A panel that could not be filled: what happened, and what to do. buttons: markup that does it."""
    return (
        '<div class="bs-problem" role="status"><span aria-hidden="true">!</span>'
        f"<div><b>{text(message)}</b><p>{text(hint)}</p>{buttons}</div></div>"
    )


def problem(message: str, hint: str = "", buttons: str = "") -> str:
    """What happened and what to do, read out when it appears. buttons: markup that does it."""
    return (
        '<div class="bs-problem" role="alert"><span aria-hidden="true">!</span>'
        f"<div><strong>{text(message)}</strong><p>{text(hint)}</p>{buttons}</div></div>"
    )


def source_name(source: str) -> str:
    """What data is called: a sample by its name alone."""
    return source.removeprefix("sample: ")
