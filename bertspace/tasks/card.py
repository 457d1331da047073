"""What a model card says of a task: its sentences, its examples, its figures with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bertspace.schema import TrainConfig
from bertspace.tasks.intervals import Measured, Metrics
from bertspace.words import one_line

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Table = Mapping[str, np.ndarray]

EXAMPLES = 3
LONGEST = 120  # characters of a text that is shown
SHORTEST, FITTING = 15, 80  # characters: shorter texts show little, longer ones break the snippet's line


@dataclass(frozen=True)
class Example:
    """A held-out input, what is known of it, and what the model answered: (label or token, probability)."""

    text: str
    title: str
    pair: str = ""
    output: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Score:
    """One metric on the same rows: of the commonest label, of the base and of the fine-tuned model.

    change: fine-tuned less base, resampled together.
    """

    metric: str
    tuned: Measured
    base: Measured | None = None
    majority: float | None = None
    change: Measured | None = None


@dataclass(frozen=True)
class ClassScore:
    """A label's scores; rows: how many of it there were."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True)
class About:
    """What a task's sentences are made of. labels, data: in markdown, escaped; data: the data set's name."""

    config: TrainConfig
    labels: tuple[str, ...]
    data: str
    pairs: bool = False


class TaskCard:
    """The part of a model card that is a task's own; what a task does not override is left out of it.

    pipeline: transformers' pipeline that runs the model; "" for none, and then no lines of use are given.
    variable: what those lines call it. answer: the key of an answer's name. options: its keyword arguments.
    """

    pipeline: ClassVar[str] = ""
    variable: ClassVar[str] = "model"
    answer: ClassVar[str] = "label"
    options: ClassVar[Mapping[str, Any]] = {}

    def purpose(self, about: About) -> str:
        """After the base model's name: "fine-tuned to …", "trained further as …"."""
        return "fine-tuned with bertspace"

    def use(self, about: About) -> str:
        """A sentence on what the model is for."""
        return f"For texts like those of {about.data}."

    def settings(self, config: TrainConfig) -> Iterator[tuple[str, str]]:
        """(name, value) of the settings that decide what the model reads of a text."""
        yield "Maximum length", f"{config.max_length:,} tokens"

    def call_options(self, labels: int) -> dict[str, Any]:
        """Keyword arguments of the pipeline's call, with a text of a model of so many labels."""
        return {}

    def as_typed(self, text: str, model: Path) -> str:
        """The text as the model in this folder is asked it by a pipeline."""
        return text

    def examples(self, rows: pd.DataFrame, labels: Sequence[str], model: Path) -> Iterator[Example]:
        """A few held-out inputs to try, none of them chosen by what the model says of it."""
        for text, pair in islice(short_rows(rows), EXAMPLES):
            yield Example(text, "A held-out text", pair)

    # Figures

    def resampled(self, tables: Mapping[str, Table], labels: int) -> dict[str, Metrics]:
        """Metrics of resampled rows, the same rows for each of the models; {} where none are drawn."""
        return {}

    def measured(self, score: Score, tables: Mapping[str, Table]) -> Score:
        """The score with the intervals that need no resampling."""
        return score

    def intervals(self, unit: str, has_base: bool) -> str:
        """How the intervals were found, after "In brackets: 95 % intervals, "; "" where there are none."""
        return ""

    def detail(self, table: Table) -> str:
        """What the rows were measured by, where that is not the rows: "164 hidden tokens"."""
        return ""

    def by_class(
        self, table: Table, labels: Sequence[str]
    ) -> tuple[tuple[ClassScore, ...], tuple[tuple[int, ...], ...]]:
        """Every label's scores, and the confusion matrix: rows by truth, then by prediction."""
        return (), ()


def short_rows(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Each row's text and second text ("" where there is none), as one line each, of those that are short."""
    columns = [name for name in ("text", "pair") if name in rows]
    for row in rows[columns].itertuples(index=False, name=None):
        texts = tuple(one_line(text) for text in row)
        if all(texts) and max(map(len, texts)) <= LONGEST:
            yield texts[0], "".join(texts[1:])
