"""Every metric equals its formula."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bertspace.tasks import METRICS, Metric, metric
from bertspace.tasks.metrics import compute

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


def counts(pairs: list[tuple[int, int]], label: int) -> tuple[int, int, int]:
    """True positives, predicted and actual rows of a label."""
    return (
        sum(p == r == label for p, r in pairs),
        sum(p == label for p, _ in pairs),
        sum(r == label for _, r in pairs),
    )


def labels(pairs: list[tuple[int, int]]) -> list[int]:
    return sorted({label for pair in pairs for label in pair})


def f1(pairs: list[tuple[int, int]], label: int) -> float:
    hit, predicted, actual = counts(pairs, label)
    return 2 * hit / (predicted + actual)


def precision(pairs: list[tuple[int, int]], label: int) -> float:
    hit, predicted, _ = counts(pairs, label)
    return hit / predicted if predicted else 0.0


def matthews(pairs: list[tuple[int, int]]) -> float:
    """Gorodkin 2004: the correlation of the two one-hot tables."""
    n, hits = len(pairs), sum(p == r for p, r in pairs)
    predicted = [counts(pairs, label)[1] for label in labels(pairs)]
    actual = [counts(pairs, label)[2] for label in labels(pairs)]
    covariance = hits * n - sum(p * a for p, a in zip(predicted, actual, strict=True))
    spread = (n * n - sum(p * p for p in predicted)) * (n * n - sum(a * a for a in actual))
    return covariance / math.sqrt(spread) if spread else 0.0


FORMULAS = {
    "accuracy": lambda pairs: sum(p == r for p, r in pairs) / len(pairs),
    "f1_macro": lambda pairs: sum(f1(pairs, each) for each in labels(pairs)) / len(labels(pairs)),
    "f1_weighted": lambda pairs: sum(f1(pairs, e) * counts(pairs, e)[2] for e in labels(pairs)) / len(pairs),
    "precision_macro": lambda pairs: sum(precision(pairs, e) for e in labels(pairs)) / len(labels(pairs)),
    "matthews_correlation": matthews,
}


COMPUTED = [each for each in METRICS.values() if each.compute]


def test_there_is_a_formula_for_every_metric_of_class_numbers() -> None:
    assert set(FORMULAS) == {each.name for each in COMPUTED}


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("metric", COMPUTED, ids=lambda metric: metric.name)
@given(pairs=PAIRS)
@example(pairs=[(0, 0)] * 5)
@example(pairs=[(1, 0), (1, 1), (1, 2)])
def test_a_metric_equals_its_formula(metric: Metric, pairs: list[tuple[int, int]]) -> None:
    predicted, truth = map(np.array, zip(*pairs, strict=True))
    found = compute([metric], predicted, truth)
    assert found == {metric.name: pytest.approx(FORMULAS[metric.name](pairs), abs=1e-12)}


def test_several_metrics_come_as_one_dict() -> None:
    found = compute([metric("accuracy"), metric("f1_macro")], np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
    assert found == {"accuracy": 0.75, "f1_macro": pytest.approx((4 / 5 + 2 / 3) / 2)}


def test_of_an_unknown_metric_the_name_is_known() -> None:
    assert (metric("train_loss").title, metric("train_loss").phrase) == ("Train loss", "train loss")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("accuracy", 0.9999, "1.000"),
        ("matthews_correlation", -0.0371, "−0.037"),
        ("loss", 0.00012, "0.000120"),
        ("perplexity", 76.93, "76.93"),
        ("perplexity", 125, "125.0"),
        ("perplexity", 9999.4, "9,999"),
        ("perplexity", 1e9, "1.00e+09"),
        ("accuracy", float("nan"), "–"),
        ("accuracy", None, "–"),
    ],
)
def test_a_value_is_written_for_people(name: str, value: float | None, shown: str) -> None:
    assert metric(name).figure(value) == shown


def test_every_metric_says_what_it_is() -> None:
    for each in METRICS.values():
        assert each.title and each.phrase and each.meaning.endswith(".")


@pytest.mark.parametrize(
    ("name", "better", "worse"), [("loss", 1, 2), ("perplexity", 10, 20), ("accuracy", 0.9, 0.8)]
)
def test_a_metric_knows_which_of_two_values_is_better(name: str, better: float, worse: float) -> None:
    assert metric(name).is_better(better, worse)
    assert not metric(name).is_better(worse, better) and not metric(name).is_better(worse, worse)
