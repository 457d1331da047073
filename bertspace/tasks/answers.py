"""What a model says of one input. Each task has an answer type of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class Answer:
    """What a model says of one input, or of one part of it. scores: by label or token; they fall.

    part: what the parts of an input are called where it has several answers ("" where it has one).
    """

    text: str
    scores: dict[str, float]

    part: ClassVar[str] = ""

    @property
    def best(self) -> str:
        """The likeliest label or token."""
        return next(iter(self.scores))

    @property
    def note(self) -> str:
        """What is to be known of the scores; "" where they are probabilities that add up to 1."""
        return ""

    @property
    def are_shares(self) -> bool:
        """Whether the scores lie between 0 and 1, so that a bar can show them."""
        return True

    @property
    def characters(self) -> int:
        return sum(len(str(value)) for value in astuple(self)) + sum(map(len, self.scores))

    def difference(self, other: Answer) -> float:
        """1 where the best answers differ, else the largest difference of the first three scores."""
        if self.best != other.best:
            return 1.0
        first = list(self.scores.items())[:3]
        return max(abs(score - other.scores.get(name, 0.0)) for name, score in first)

    def to_list(self) -> list[Any]:
        """As it is sent from the process that computed it."""
        return [getattr(self, each.name) for each in fields(self)]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Self:
        """As `to_list` wrote it; raises TypeError, ValueError or AttributeError for anything else."""
        text, scores, *others = values
        if not scores or len(others) != len(fields(cls)) - 2:
            raise ValueError(values)
        return cls(str(text), {str(key): float(value) for key, value in scores.items()}, *map(str, others))

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, self.scores.values()))
