"""evaluate modules of ours: local, exact, no network (evaluate.load downloads and runs a script from the
Hub).

`load(name).compute(predictions=…, references=…)` works like the modules of the same names on the Hub.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from bertspace.errors import ConfigError

if TYPE_CHECKING:
    from evaluate import Metric

NAMES = ("accuracy", "f1_macro", "f1_weighted", "precision_macro", "matthews_correlation")


def load(name: str) -> Metric:
    """A new `evaluate.Metric` called `name`; raises ConfigError with the known names."""
    if name not in NAMES:
        raise ConfigError(f"There is no metric {name!r}.", hint=f"Choose from: {', '.join(NAMES)}.")
    return _module(name)(config_name=name, keep_in_memory=True)


@lru_cache
def _module(name: str) -> type[Metric]:
    """The class; each of its instances has one writer, so that threads must not share an instance."""
    import datasets
    import evaluate

    class LocalMetric(evaluate.Metric):
        def _info(self) -> evaluate.MetricInfo:
            feature = datasets.Value("int64")
            return evaluate.MetricInfo(
                description=f"{name}, computed by scikit-learn.",
                citation="Pedregosa et al. 2011, Scikit-learn: Machine Learning in Python",
                inputs_description="predictions, references: class numbers, as many of one as of the other.",
                features=datasets.Features({"predictions": feature, "references": feature}),
            )

        def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
            return {name: float(_function(name)(references, predictions))}

    return LocalMetric


def _function(name: str) -> Callable[..., Any]:
    from sklearn import metrics

    return {
        "accuracy": metrics.accuracy_score,
        "f1_macro": partial(metrics.f1_score, average="macro", zero_division=0),
        "f1_weighted": partial(metrics.f1_score, average="weighted", zero_division=0),
        "precision_macro": partial(metrics.precision_score, average="macro", zero_division=0),
        "matthews_correlation": metrics.matthews_corrcoef,
    }[name]


def compute(names: Sequence[str], predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Several metrics of the same predictions, each through its evaluate module."""
    scores: dict[str, float] = {}
    for name in names:
        scores |= load(name).compute(predictions=predictions, references=references)
    return scores
