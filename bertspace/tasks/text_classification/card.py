"""What the model card of a classifier says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bertspace.tasks.card import (
    EXAMPLES,
    FITTING,
    SHORTEST,
    About,
    ClassScore,
    Example,
    Score,
    TaskCard,
    short_rows,
)
from bertspace.tasks.intervals import Measured, Metrics, by_kind, of_shares, over_draws, wilson
from bertspace.tasks.metrics import METRICS
from bertspace.words import listed, one_line

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from bertspace.tasks.card import Table

ALL_LABELS = 6  # up to so many, every label's score is shown; of more the first five
NAMED = 6  # labels that the first sentence names


class ClassificationCard(TaskCard):
    pipeline = "text-classification"
    variable = "classify"
    options = {"truncation": True}

    def purpose(self, about: About) -> str:
        what = _kind(about)
        if 0 < len(about.labels) <= NAMED:
            return f"fine-tuned to classify {what} as {listed(about.labels, 'or')}"
        by = f" by {len(about.labels):,} labels" if about.labels else ""
        return f"fine-tuned to classify {what}{by}"

    def use(self, about: About) -> str:
        return f"To put {_kind(about)} like those of {about.data} under one of {len(about.labels):,} labels."

    def call_options(self, labels: int) -> dict[str, Any]:
        return {"top_k": None if labels <= ALL_LABELS else 5}

    def examples(self, rows: pd.DataFrame, labels: Sequence[str], model: Path) -> Iterator[Example]:
        """One of each of the first labels."""
        there = [number for number in range(len(labels)) if (rows["label"] == number).any()]
        for label in there[:EXAMPLES]:
            chosen = list(short_rows(rows[rows["label"] == label]))
            telling = [texts for texts in chosen if SHORTEST <= len(texts[0]) <= FITTING]
            for text, pair in (telling or chosen)[:1]:
                yield Example(text, f"Labelled {one_line(labels[label], 40)}", pair)

    def resampled(self, tables: Mapping[str, Table], labels: int) -> dict[str, Metrics]:
        guesses = {who: predicted(table) for who, table in tables.items()}
        return over_draws(*by_kind(tables["tuned"]["label"], guesses, labels))

    def measured(self, score: Score, tables: Mapping[str, Table]) -> Score:
        """A share of rows by their counts; the base's from its value alone, where that is all."""
        if not METRICS[score.metric].is_share:
            return score
        right = {who: predicted(table) == table["label"] for who, table in tables.items()}
        if "base" in right:
            tuned, base, change = of_shares(right["tuned"], right["base"])
            return replace(score, tuned=tuned, base=base, change=change)
        count = len(right["tuned"])
        base_ = score.base and _by_count(score.base.value, count)
        return replace(score, tuned=_by_count(score.tuned.value, count), base=base_)

    def intervals(self, unit: str, has_base: bool) -> str:
        change = " (Newcombe's for its change)" if has_base else ""
        return f"Wilson's for accuracy{change}, for the others from 2,000 bootstrap resamples of the {unit}s."

    def by_class(
        self, table: Table, labels: Sequence[str]
    ) -> tuple[tuple[ClassScore, ...], tuple[tuple[int, ...], ...]]:
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        truth, guesses, codes = table["label"], predicted(table), list(range(len(labels)))
        scores = precision_recall_fscore_support(truth, guesses, labels=codes, zero_division=0)
        classes = tuple(
            ClassScore(label, float(precision), float(recall), float(f1), int(rows))
            for label, precision, recall, f1, rows in zip(labels, *scores, strict=True)
        )
        matrix = confusion_matrix(truth, guesses, labels=codes)
        return classes, tuple(tuple(map(int, row)) for row in matrix)


def predicted(table: Table) -> np.ndarray:
    """The label that the model gives to each row."""
    return table["probabilities"].argmax(-1)


def _by_count(share: float, count: int) -> Measured:
    return Measured(share, *wilson(round(share * count), count))


def _kind(about: About) -> str:
    return "pairs of texts" if about.pairs else "texts"
