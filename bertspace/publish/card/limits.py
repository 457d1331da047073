"""Sentences on the limits of a model that its own run shows."""

from __future__ import annotations

from collections.abc import Iterator

from bertspace.publish.card.content import PART_NAMES, Card, Results
from bertspace.tasks.card import ClassScore
from bertspace.words import decimals, listed, percent

FEW_OF_A_CLASS = 20
WORST = 0.1  # below the macro F1, a label's F1 is worth a sentence


def limits(card: Card, total_steps: int) -> tuple[str, ...]:
    """total_steps: what the training was to have, for one that was stopped."""
    sentences = [*_stopped(card, total_steps), *_truncated(card)]
    sentences += card.verdict.notes if card.verdict else ()
    if card.results:
        sentences += _weak_labels(card.results)
    return tuple(sentences)


def _stopped(card: Card, total_steps: int) -> Iterator[str]:
    done = int(card.training["steps"])
    if card.training["stopped"]:
        of = f" of {total_steps:,}" if total_steps > done else ""
        yield f"The training was stopped after {done:,}{of} steps."


def _truncated(card: Card) -> Iterator[str]:
    length = card.config.max_length
    for part, count in (card.training.get("truncated") or {}).items():
        if count:
            rows, name = card.rows[part], PART_NAMES[part]
            yield (
                f"{percent(count, rows)} of the {name} rows ({count:,} of {rows:,}) are longer than {length} "
                "tokens and were cut off there."
            )


def _weak_labels(results: Results) -> Iterator[str]:
    present = [each for each in results.classes if each.rows]
    if never := [each.label for each in results.classes if not each.rows]:
        shown = listed([f"“{name}”" for name in never[:5]] + ["others"][: len(never) > 5])
        yield f"No {results.split} row has the label {shown}, so nothing is known about it."
    if len(present) < 2:
        return
    mean = sum(each.f1 for each in present) / len(present)
    for each in sorted((each for each in present if each.f1 < mean - WORST), key=lambda each: each.f1)[:3]:
        yield _weak(each, results)


def _weak(each: ClassScore, results: Results) -> str:
    number = next(n for n, other in enumerate(results.classes) if other.label == each.label)
    row = results.confusion[number]
    right = row[number]
    words = f"“{each.label}” is among the least reliable labels: F1 {decimals(each.f1)}, {right:,} of "
    words += f"{each.rows:,} rows found"
    wrong = [count if other != number else 0 for other, count in enumerate(row)]
    if most := max(wrong):
        words += f", {most:,} mistaken for “{results.classes[wrong.index(most)].label}”"
    few = " (with so few rows, chance plays a large part)" if each.rows < FEW_OF_A_CLASS else ""
    return f"{words}{few}."
