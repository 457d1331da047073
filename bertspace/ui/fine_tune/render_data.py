"""A look at data -> HTML. Pure; every text that is not ours is escaped."""

from __future__ import annotations

from bertspace.models import unknown
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS
from bertspace.ui.fine_tune.preview import Lengths, Preview
from bertspace.ui.frame import remedies
from bertspace.ui.frame.chart import bars, histogram
from bertspace.ui.frame.html import LONGEST_NAME, cut, source_name, text
from bertspace.words import percent

PARTS = {"train": "training", "validation": "validation", "test": "test"}


def summary(preview: Preview) -> str:
    """One line: where the rows are from and how many there are."""
    counts = ", ".join(f"{count:,} {PARTS[part]}" for part, count in preview.counts)
    labels = f" · {len(preview.labels):,} labels" if preview.labels else ""
    return f"{source_name(preview.source)} · {counts} rows{labels}"


def draw_preview(preview: Preview, lengths: Lengths | None, config: TrainConfig) -> str:
    """Rows on the left; labels, lengths and findings beside them."""
    side = bars("Labels of the training rows", preview.labels) if preview.labels else ""
    side += _lengths(preview, lengths, config)
    found = [*preview.findings, *filter(None, [unknown.words(lengths.unknown)] if lengths else [])]
    if found or preview.remedies:
        items = "".join(f"<li>{text(finding)}</li>" for finding in found)
        buttons = remedies.draw(preview.remedies)
        side += f'<div class="bs-findings"><h4>Worth a look</h4><ul>{items}</ul>{buttons}</div>'
    side = f'<div class="bs-side">{side}</div>'
    return (
        f'<div class="bs-look"><div class="bs-look-grid"><div>{rows_table(preview)}</div>{side}</div></div>'
    )


def rows_table(preview: Preview) -> str:
    """The first training rows, a column only where it has something in it."""
    names = [
        name
        for place, name in enumerate(("Text", "Second text", "Label"))
        if any(row[place] for row in preview.rows)
    ]
    places = [("Text", "Second text", "Label").index(name) for name in names]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[place], place)}</td>" for place in places) + "</tr>"
        for row in preview.rows
    )
    total = dict(preview.counts).get("train", 0)
    caption = (
        f"The first {len(preview.rows):,} of {total:,} training rows"
        if total > len(preview.rows)
        else "The training rows"
    )
    return (
        f'<figure class="bs-rows"><figcaption>{caption}</figcaption>'
        '<div class="bs-scroll" tabindex="0" role="region" '
        f'aria-label="{caption}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></figure>'
    )


def _cell(value: str, place: int) -> str:
    return f'<span class="bs-tag">{cut(value, LONGEST_NAME)}</span>' if place == 2 else cut(value)


def _lengths(preview: Preview, lengths: Lengths | None, config: TrainConfig) -> str:
    title = "Lengths in tokens"
    if lengths is None:
        return _uncounted(title, "Counting tokens …")
    if lengths.problem:
        return _uncounted(title, f"They cannot be counted. {lengths.problem}")
    if limit := TASKS[config.task].text_length(config):
        return histogram(title, lengths.tokens, limit, cut_words(lengths, limit))
    return histogram(title, lengths.tokens, None, joined_words(preview, lengths, config))


def _uncounted(title: str, note: str) -> str:
    note = f'<p class="bs-note">{text(note)}</p>'
    return f'<figure class="bs-histogram"><figcaption>{title}</figcaption>{note}</figure>'


def cut_words(lengths: Lengths, max_length: int) -> str:
    """The share of the texts that max_length cuts, in words."""
    n, cut = len(lengths.tokens), sum(length > max_length for length in lengths.tokens)
    if not cut:
        longest = max(lengths.tokens, default=0)
        return f"No text of {n:,} is longer than {max_length:,} tokens; the longest has {longest:,}."
    return f"{percent(cut, n)} of {n:,} texts are longer than {max_length:,} tokens and will be cut there."


def joined_words(preview: Preview, lengths: Lengths, config: TrainConfig) -> str:
    """How many rows the texts make once they are joined, in words."""
    task, n, total = TASKS[config.task], len(lengths.tokens), dict(preview.counts).get("train", 0)
    tokens = sum(lengths.tokens) * total / max(1, n)
    rows = max(1, int(task.expected_rows(config, total, tokens)))
    units = f"{'' if n >= total else 'about '}{rows:,} {task.unit(config)}s"
    return f"Nothing is cut off: the texts are joined and make {units} of {task.longest(config):,} tokens."
