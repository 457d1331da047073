"""What a classifier says of a text or a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bertspace.tasks.answers import Answer
from bertspace.tasks.base import distinct

# What the scores are, where they are not the probabilities of one of several labels.
MEANINGS = {
    "": "",
    "each": "Each label is judged on its own: the scores need not add up to 1.",
    "number": "A number that the model estimates, no probability.",
}


@dataclass(frozen=True)
class Classified(Answer):
    """scores: label -> probability, every label. meaning: a key of MEANINGS."""

    pair: str = ""
    meaning: str = ""

    def __post_init__(self) -> None:
        if self.meaning not in MEANINGS:
            raise ValueError(self.meaning)

    @property
    def note(self) -> str:
        return MEANINGS[self.meaning]

    @property
    def are_shares(self) -> bool:
        return self.meaning != "number"


def meaning(problem_type: str | None, labels: int) -> str:
    """What a classifier's outputs are, a key of MEANINGS; as transformers' pipeline tells it."""
    if problem_type == "regression":
        return "number"
    return "each" if problem_type == "multi_label_classification" or labels == 1 else ""


def meaning_in(config: Mapping[str, Any]) -> str:
    """`meaning` by a model's config.json."""
    labels = len(config.get("id2label") or ()) or config.get("num_labels") or 2
    return meaning(config.get("problem_type"), labels)


def ranked(
    rows: Sequence[Sequence[float]],
    names: Mapping[int, str],
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    meaning: str = "",
) -> list[Classified]:
    """An answer a row of scores, the highest first."""
    width = len(rows[0]) if rows else 0
    labels = distinct([str(names.get(label, label)) for label in range(width)])
    answers = []
    for place, row in enumerate(rows):
        order = sorted(range(len(row)), key=lambda label: -row[label])
        scores = {labels[label]: row[label] for label in order}
        answers.append(Classified(texts[place], scores, pairs[place] if pairs else "", meaning))
    return answers
