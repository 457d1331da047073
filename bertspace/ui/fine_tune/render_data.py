"""Data before a training, as HTML: its first rows, labels, lengths and findings. Pure."""

from __future__ import annotations

from markupsafe import Markup

from bertspace.models import unknown
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS
from bertspace.ui.fine_tune.preview import Lengths, Preview
from bertspace.ui.frame import remedies
from bertspace.ui.frame.chart import bars, histogram
from bertspace.ui.frame.html import LONGEST_CELL, LONGEST_NAME, render, source_name, table
from bertspace.words import percent, shortened

COLUMNS = ("Text", "Second text", "Label")
PARTS = {"train": "training", "validation": "validation", "test": "test"}


def summary(preview: Preview) -> str:
    """One line: where the rows are from and how many there are."""
    counts = ", ".join(f"{count:,} {PARTS[part]}" for part, count in preview.counts)
    labels = f" · {len(preview.labels):,} labels" if preview.labels else ""
    return f"{source_name(preview.source)} · {counts} rows{labels}"


def draw_preview(preview: Preview, lengths: Lengths | None, config: TrainConfig) -> Markup:
    """Rows on the left; labels, lengths and findings beside them."""
    charts = [bars("Labels of the training rows", preview.labels)] if preview.labels else []
    charts.append(_lengths(preview, lengths, config))
    findings = [*preview.findings, *filter(None, [unknown.words(lengths.unknown)] if lengths else [])]
    return render("runs.look", rows_table(preview), charts, findings, remedies.draw(preview.remedies))


def rows_table(preview: Preview) -> Markup:
    """The first training rows, a column only where it has something in it."""
    places = [place for place in range(len(COLUMNS)) if any(row[place] for row in preview.rows)]
    rows = [[_cell(row[place], place) for place in places] for row in preview.rows]
    total = dict(preview.counts).get("train", 0)
    first = f"The first {len(rows):,} of {total:,} training rows"
    return table(
        first if total > len(rows) else "The training rows", [COLUMNS[each] for each in places], rows
    )


def _cell(value: str, place: int) -> str:
    is_label = COLUMNS[place] == "Label"
    return render("runs.tag", shortened(value, LONGEST_NAME)) if is_label else shortened(value, LONGEST_CELL)


def _lengths(preview: Preview, lengths: Lengths | None, config: TrainConfig) -> Markup:
    title = "Lengths in tokens"
    if lengths is None:
        return render("runs.uncounted", title, "Counting tokens …")
    if lengths.problem:
        return render("runs.uncounted", title, f"They cannot be counted. {lengths.problem}")
    if limit := TASKS[config.task].text_length(config):
        return histogram(title, lengths.tokens, limit, cut_words(lengths, limit))
    return histogram(title, lengths.tokens, None, joined_words(preview, lengths, config))


def cut_words(lengths: Lengths, max_length: int) -> str:
    """The share of the texts that max_length cuts, in words."""
    n, longer = len(lengths.tokens), sum(length > max_length for length in lengths.tokens)
    if not longer:
        longest = max(lengths.tokens, default=0)
        return f"No text of {n:,} is longer than {max_length:,} tokens; the longest has {longest:,}."
    return f"{percent(longer, n)} of {n:,} texts are longer than {max_length:,} tokens and will be cut there."


def joined_words(preview: Preview, lengths: Lengths, config: TrainConfig) -> str:
    """How many rows the texts make once they are joined, in words."""
    task, n, total = TASKS[config.task], len(lengths.tokens), dict(preview.counts).get("train", 0)
    tokens = sum(lengths.tokens) * total / max(1, n)
    rows = max(1, int(task.expected_rows(config, total, tokens)))
    units = f"{'' if n >= total else 'about '}{rows:,} {task.unit(config)}s"
    return f"Nothing is cut off: the texts are joined and make {units} of {task.longest(config):,} tokens."
