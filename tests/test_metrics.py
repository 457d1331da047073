"""Every metric equals its formula, through evaluate's own compute and without a network."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bertspace.errors import ConfigError
from bertspace.tasks import metrics

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


def test_there_is_a_formula_for_every_metric() -> None:
    assert set(FORMULAS) == set(metrics.NAMES)


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("name", metrics.NAMES)
@given(pairs=PAIRS)
@example(pairs=[(0, 0)] * 5)
@example(pairs=[(1, 0), (1, 1), (1, 2)])
def test_a_metric_equals_its_formula(name: str, pairs: list[tuple[int, int]]) -> None:
    predictions, references = zip(*pairs, strict=True)
    found = metrics.load(name).compute(predictions=list(predictions), references=list(references))
    assert found == {name: pytest.approx(FORMULAS[name](pairs), abs=1e-12)}


def test_a_metric_is_an_evaluate_metric_and_takes_batches_too() -> None:
    import evaluate

    metric = metrics.load("accuracy")
    assert isinstance(metric, evaluate.Metric)
    metric.add_batch(predictions=[0, 1], references=[0, 0])
    metric.add(prediction=1, reference=1)
    assert metric.compute() == {"accuracy": pytest.approx(2 / 3)}


def test_several_metrics_come_as_one_dict() -> None:
    found = metrics.compute(("accuracy", "f1_macro"), [0, 1, 1, 0], [0, 1, 0, 0])
    assert found == {"accuracy": 0.75, "f1_macro": pytest.approx((4 / 5 + 2 / 3) / 2)}


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        metrics.load("f1")
    assert str(caught.value) == (
        "There is no metric 'f1'."
        " Choose from: accuracy, f1_macro, f1_weighted, precision_macro, matthews_correlation."
    )


def test_a_failed_computation_leaves_nothing_behind_for_the_next_one() -> None:
    with pytest.raises(ValueError, match="[Mm]ismatch"):
        metrics.load("accuracy").compute(predictions=[0, 1, 1], references=[0])
    assert metrics.load("accuracy").compute(predictions=[1, 1], references=[1, 0]) == {"accuracy": 0.5}


def test_two_computations_at_the_same_time_do_not_mix() -> None:
    """The page evaluates files of several visitors in threads."""
    from concurrent.futures import ThreadPoolExecutor

    def accuracy(size: int) -> float:
        right = [1] * size + [0] * 10
        return metrics.load("accuracy").compute(predictions=[1] * (size + 10), references=right)["accuracy"]

    sizes = [10, 90, 190, 490] * 8
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(accuracy, sizes))
    assert found == [pytest.approx(size / (size + 10)) for size in sizes]
