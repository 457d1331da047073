"""95 % intervals of metrics, from the counts of rows or from resamples of them. Knows nothing of runs.

Of a share of rows it is Wilson's and of a paired difference of two shares Newcombe's, which hold where no
row or every row is right. Everything else has a percentile bootstrap of the rows (Efron and Tibshirani
1993, chapter 13), of two models a paired one, as Dror et al. 2018 advise for metrics of an unknown
distribution ("The Hitchhiker's Guide to Testing Statistical Significance in Natural Language Processing"),
and no interval where all resamples are alike. Rows with the same truth and the same predictions are drawn
together, by a multinomial draw over their counts: the same as one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
SEED = 0  # of the resampling
LARGEST_DRAW = 4_000_000  # counts held at a time

Metrics = dict[str, "np.ndarray"]


@dataclass(frozen=True)
class Measured:
    """A value, and its 95 % interval where one can be told."""

    value: float
    low: float | None = None
    high: float | None = None


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(right, count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def newcombe(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares of the same rows (Newcombe 1998, method 10).

    both, first, second, neither: rows that both, the first alone, the second alone or none has right.
    """
    count = both + first + second + neither
    one, two = (both + first) / count, (both + second) / count
    (low1, high1), (low2, high2) = wilson(both + first, count), wilson(both + second, count)
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    surplus: float = both * neither - first * second
    if surplus > 0:
        surplus = max(surplus - count / 2, 0)
    phi = surplus / math.sqrt(product) if product else 0.0

    def reach(mine: float, other: float) -> float:
        return math.sqrt(max(0.0, mine**2 - 2 * phi * mine * other + other**2))

    return one - two - reach(one - low1, high2 - two), one - two + reach(high1 - one, two - low2)


def of_shares(first: np.ndarray, second: np.ndarray) -> tuple[Measured, Measured, Measured]:
    """The shares of rows that two models have right, by (rows,) booleans, and the first less the second."""
    count, shares = len(first), (float(first.mean()), float(second.mean()))
    cells = (first & second, first & ~second, ~first & second, ~first & ~second)
    one, two = (
        Measured(share, *wilson(int(right.sum()), count))
        for share, right in zip(shares, (first, second), strict=True)
    )
    change = Measured(one.value - two.value, *newcombe(*(int(cell.sum()) for cell in cells)))
    return one, two, change


def with_interval(value: float, resampled: np.ndarray | None) -> Measured:
    """With the middle 95 % of the resampled values, where they differ."""
    import numpy as np

    if resampled is None or np.ptp(resampled) < 1e-12:
        return Measured(value)
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return Measured(value, low, high)


def over_draws(
    functions: Mapping[str, Callable[[np.ndarray], Metrics]], counts: np.ndarray
) -> dict[str, Metrics]:
    """Each function's metrics of every draw, the same draws for all."""
    import numpy as np

    parts: dict[str, list[Metrics]] = {who: [] for who in functions}
    for weights in _draws(counts):
        for who, function in functions.items():
            parts[who].append(function(weights))
    return {
        who: {name: np.concatenate([part[name] for part in each]) for name in each[0]}
        for who, each in parts.items()
    }


def _draws(counts: np.ndarray) -> Iterator[np.ndarray]:
    """(draws, kinds) how often each kind is drawn, RESAMPLES draws in all, some at a time."""
    import numpy as np

    random, total = np.random.default_rng(SEED), counts.sum()
    at_once = max(1, LARGEST_DRAW // len(counts))
    for start in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - start)
        yield random.multinomial(total, counts / total, size=size).astype(np.float64)


def by_kind(
    truth: np.ndarray, guesses: Mapping[str, np.ndarray], classes: int
) -> tuple[dict[str, Callable[[np.ndarray], Metrics]], np.ndarray]:
    """`label_metrics` of each model over the kinds of rows, and how many rows there are of each kind.

    Rows are of one kind where the truth and every model's label are the same.
    """
    import numpy as np

    kinds, counts = np.unique(np.stack([truth, *guesses.values()]), axis=1, return_counts=True)
    return {
        who: label_metrics(kinds[0], each, classes) for who, each in zip(guesses, kinds[1:], strict=True)
    }, counts


def label_metrics(truth: np.ndarray, predicted: np.ndarray, classes: int) -> Callable[[np.ndarray], Metrics]:
    """(draws, kinds) weights -> scikit-learn's metrics of each draw, labels that a draw lacks left out."""
    import numpy as np
    from scipy.sparse import csr_array

    def one_hot(codes: np.ndarray, where: np.ndarray) -> csr_array:
        """(classes, kinds): sparse, as there may be a thousand classes."""
        kinds = np.flatnonzero(where)
        return csr_array((np.ones(len(kinds)), (codes[kinds], kinds)), shape=(classes, len(codes)))

    everywhere = np.ones(len(truth), dtype=bool)
    is_right = one_hot(truth, truth == predicted)
    is_truth, is_predicted = one_hot(truth, everywhere), one_hot(predicted, everywhere)

    def metrics(weights: np.ndarray) -> Metrics:
        # (draws, classes)
        right, true, guessed = ((each @ weights.T).T for each in (is_right, is_truth, is_predicted))
        total, hits = weights.sum(1), right.sum(1)
        there = ((true + guessed) > 0).sum(1)
        f1 = _ratio(2 * right, true + guessed)
        covariance = hits * total - (true * guessed).sum(1)
        spread = np.sqrt((total**2 - (true**2).sum(1)) * (total**2 - (guessed**2).sum(1)))
        return {
            "accuracy": hits / total,
            "f1_macro": f1.sum(1) / there,
            "f1_weighted": (f1 * true).sum(1) / total,
            "precision_macro": _ratio(right, guessed).sum(1) / there,
            "matthews_correlation": _ratio(covariance, spread),
        }

    return metrics


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, and 0 where that is 0 / 0, as scikit-learn has it."""
    import numpy as np

    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def mask_metrics(table: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], Metrics]:
    """(draws, rows) weights -> the metrics of each draw, of what the masks of each row add up to."""
    import numpy as np

    names = ("loss_sum", "correct", "masks")
    loss_sum, correct, masks = (np.asarray(table[name], dtype=np.float64) for name in names)

    def metrics(weights: np.ndarray) -> Metrics:
        total = weights @ masks
        mean = weights @ loss_sum / total
        perplexity = np.exp(np.minimum(mean, 700))  # as the task's score has it
        return {"loss": mean, "perplexity": perplexity, "accuracy": weights @ correct / total}

    return metrics


def means(values: np.ndarray, name: str) -> Callable[[np.ndarray], Metrics]:
    """(draws, rows) weights -> the mean of each draw."""
    return lambda weights: {name: weights @ values / weights.sum(1)}
