"""Metrics as values: each is stated once, for the page, the card and the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from bertspace.words import decimals, number

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Metric:
    """name: in results and settings. title: as a heading; phrase: in a sentence; meaning: one sentence.

    hub_type, hub_arguments: what the Hub's evaluation results call it ("": they do not). is_share: a share of
    rows, so that its interval is Wilson's. is_ratio: two values are compared by their quotient.
    compute: (truth, predicted), class numbers, -> its value; None where the task computes it from its table.
    """

    name: str
    title: str
    phrase: str
    meaning: str
    hub_type: str = ""
    hub_arguments: Mapping[str, str] = field(default_factory=dict)
    lower_is_better: bool = False
    is_share: bool = False
    is_ratio: bool = False
    compute: Callable[[Any, Any], float] | None = None

    def is_better(self, new: float, old: float) -> bool:
        return new < old if self.lower_is_better else new > old

    def figure(self, value: float | None) -> str:
        """As people read it: three decimals; of a ratio, and of less than that, significant digits."""
        if value is None or not math.isfinite(value) or 0 < abs(value) < 0.0005:
            return number(value)
        if not self.is_ratio:
            return decimals(value)
        return number(value, 4) if value < 1e7 else f"{value:.2e}"


def _sklearn(name: str, **options: Any) -> Callable[[Any, Any], float]:
    """The function of sklearn.metrics of that name, loaded when it is called."""

    def compute(truth: Any, predicted: Any) -> float:
        from sklearn import metrics

        return float(getattr(metrics, name)(truth, predicted, **options))

    return compute


_by_label = partial(_sklearn, zero_division=0)

ACCURACY = Metric(
    "accuracy", "Accuracy", "accuracy", "Share of the answers that are right.",
    "accuracy", is_share=True, compute=_sklearn("accuracy_score"),
)  # fmt: skip
F1_MACRO = Metric(
    "f1_macro", "F1 (macro)", "macro F1",
    "Precision and recall in one number, every label counting the same.",
    "f1", {"average": "macro"}, compute=_by_label("f1_score", average="macro"),
)  # fmt: skip
F1_WEIGHTED = Metric(
    "f1_weighted", "F1 (weighted)", "weighted F1",
    "Precision and recall in one number, labels counting by their rows.",
    "f1", {"average": "weighted"}, compute=_by_label("f1_score", average="weighted"),
)  # fmt: skip
PRECISION_MACRO = Metric(
    "precision_macro", "Precision (macro)", "macro precision",
    "Of what is said to be a label, the share that is; mean over labels.",
    "precision", {"average": "macro"}, compute=_by_label("precision_score", average="macro"),
)  # fmt: skip
MATTHEWS = Metric(
    "matthews_correlation", "Matthews correlation", "Matthews correlation",
    "1 is perfect, 0 is chance, also with uneven labels.",
    "matthews_correlation", compute=_sklearn("matthews_corrcoef"),
)  # fmt: skip
PERPLEXITY = Metric(
    "perplexity", "Perplexity", "perplexity",
    "Between how many words the model hesitates at a mask; lower is better.",
    "perplexity", lower_is_better=True, is_ratio=True,
)  # fmt: skip
LOSS = Metric("loss", "Loss", "loss", "Mean cross-entropy in nats; lower is better.", lower_is_better=True)

METRICS: dict[str, Metric] = {LOSS.name: LOSS}  # with those of every task: see tasks.register


def metric(name: str) -> Metric:
    """The metric called `name`; of one that no task has, as training loss, no more than its name is known."""
    words = name.replace("_", " ")
    return METRICS.get(name) or Metric(name, words.capitalize(), words, "")


def compute(metrics: Sequence[Metric], predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """{name: value} of those metrics that are computed from class numbers."""
    return {each.name: each.compute(truth, predicted) for each in metrics if each.compute}
