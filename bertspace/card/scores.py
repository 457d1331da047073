"""The metrics of a split from its per-row table, with 95 % intervals; base and fine-tuned on the same rows.

Accuracy of a classification has Wilson's interval and its change Newcombe's, which hold where no row or every
row is right. Everything else has a percentile bootstrap of the rows (Efron and Tibshirani 1993, chapter 13),
and no interval where all resamples are alike, which says nothing of other rows. Rows with the same truth and
the same two predictions are drawn together, by a multinomial draw over their counts: the same as one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bertspace.card.content import ClassScore, Measured, Results, Score
from bertspace.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

RESAMPLES = 2000
SEED = 0  # of the resampling
LARGEST_DRAW = 4_000_000  # counts held at a time
NORMAL_95 = 1.959963984540054

Metrics = dict[str, "np.ndarray"]


def measure(
    task: str,
    split: str,
    labels: Sequence[str],
    tuned: pd.DataFrame,
    base: pd.DataFrame | None,
    recorded: Mapping[str, float],
    majority: Mapping[str, float],
) -> Results:
    """The results of one split.

    tuned, base: its rows of predictions.parquet and of base.parquet (None where a run has none: then
    `recorded`, the base's metrics as they were written, stand without intervals). Raises ValueError where the
    two are not of the same rows.
    """
    if base is not None and base["row"].tolist() != tuned["row"].tolist():
        raise ValueError("base.parquet and predictions.parquet are not of the same rows")
    fill_mask = task == "fill-mask"
    resampled = _resampled_masks(tuned, base) if fill_mask else _resampled_labels(tuned, base, len(labels))
    exact = {"tuned": _scores(task, tuned)}
    if base is not None or recorded:
        exact["base"] = _scores(task, base) if base is not None else dict(recorded)
    scores = [_score(metric, exact, resampled, majority) for metric in TASKS[task].metrics]
    if fill_mask:
        return Results(split, len(tuned), tuple(scores), masks=int(tuned["masks"].sum()))
    scores = [_by_count(score, tuned, base) if score.metric == "accuracy" else score for score in scores]
    return Results(split, len(tuned), tuple(scores), 0, *_by_class(tuned, labels))


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share (Wilson 1927)."""
    share, z2 = right / count, NORMAL_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = NORMAL_95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    return (low if right else 0.0), (high if right < count else 1.0)


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


def _score(
    metric: str,
    exact: Mapping[str, Mapping[str, float]],
    resampled: Mapping[str, Metrics],
    majority: Mapping[str, float],
) -> Score:
    measured = {
        who: _measured(values[metric], resampled.get(who, {}).get(metric))
        for who, values in exact.items()
        if metric in values
    }
    change = None
    if "base" in measured and "base" in resampled:
        difference = resampled["tuned"][metric] - resampled["base"][metric]
        change = _measured(measured["tuned"].value - measured["base"].value, difference)
        if measured["tuned"].low is None or measured["base"].low is None:
            change = Measured(change.value)
    return Score(metric, measured["tuned"], measured.get("base"), majority.get(metric), change)


def _measured(value: float, resampled: np.ndarray | None) -> Measured:
    """With the middle 95 % of the resampled values, where they differ."""
    import numpy as np

    if resampled is None or np.ptp(resampled) < 1e-12:
        return Measured(value)
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return Measured(value, low, high)


def _by_count(score: Score, tuned: pd.DataFrame, base: pd.DataFrame | None) -> Score:
    """Accuracy, whose intervals need no resampling; the base's from its value alone, where that is all."""
    count = len(tuned)

    def share(measured: Measured) -> Measured:
        return Measured(measured.value, *wilson(round(measured.value * count), count))

    score = replace(score, tuned=share(score.tuned), base=share(score.base) if score.base else None)
    if base is None or score.base is None:
        return score
    mine, its = (predicted(rows) == rows["label"].to_numpy() for rows in (tuned, base))
    cells = (mine & its, mine & ~its, ~mine & its, ~mine & ~its)
    low, high = newcombe(*(int(cell.sum()) for cell in cells))
    return replace(score, change=Measured(score.tuned.value - score.base.value, low, high))


def _scores(task: str, rows: pd.DataFrame) -> dict[str, float]:
    """The task's own metrics of a table."""
    import numpy as np

    table = {
        name: np.stack(rows[name].to_list()) if name == "probabilities" else rows[name].to_numpy()
        for name in rows.columns
        if name not in ("split", "row")
    }
    return TASKS[task].score(table)


def predicted(rows: pd.DataFrame) -> np.ndarray:
    """The label that the model gives to each row."""
    import numpy as np

    return np.stack(rows["probabilities"].to_list()).argmax(-1)


# Resampling


def _resampled_labels(tuned: pd.DataFrame, base: pd.DataFrame | None, classes: int) -> dict[str, Metrics]:
    import numpy as np

    columns = [tuned["label"].to_numpy(), predicted(tuned)]
    columns += [predicted(base)] if base is not None else []
    kinds, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
    found = {"tuned": _label_metrics(kinds[0], kinds[1], classes)}
    if base is not None:
        found["base"] = _label_metrics(kinds[0], kinds[2], classes)
    return _over_draws(found, counts)


def _resampled_masks(tuned: pd.DataFrame, base: pd.DataFrame | None) -> dict[str, Metrics]:
    """Whole rows are drawn: the hidden tokens of one text hang together."""
    import numpy as np

    found = {"tuned": _mask_metrics(tuned)}
    if base is not None:
        found["base"] = _mask_metrics(base)
    return _over_draws(found, np.ones(len(tuned), dtype=np.int64))


def _over_draws(
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


def _label_metrics(truth: np.ndarray, predicted: np.ndarray, classes: int) -> Callable[[np.ndarray], Metrics]:
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
        right, true, said = ((each @ weights.T).T for each in (is_right, is_truth, is_predicted))
        total, hits = weights.sum(1), right.sum(1)
        there = ((true + said) > 0).sum(1)
        f1 = _ratio(2 * right, true + said)
        covariance = hits * total - (true * said).sum(1)
        spread = np.sqrt((total**2 - (true**2).sum(1)) * (total**2 - (said**2).sum(1)))
        return {
            "accuracy": hits / total,
            "f1_macro": f1.sum(1) / there,
            "f1_weighted": (f1 * true).sum(1) / total,
            "precision_macro": _ratio(right, said).sum(1) / there,
            "matthews_correlation": _ratio(covariance, spread),
        }

    return metrics


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, and 0 where that is 0 / 0, as scikit-learn has it."""
    import numpy as np

    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _mask_metrics(rows: pd.DataFrame) -> Callable[[np.ndarray], Metrics]:
    import numpy as np

    loss, right, masks = (rows[name].to_numpy(np.float64) for name in ("loss_sum", "correct", "masks"))

    def metrics(weights: np.ndarray) -> Metrics:
        total = weights @ masks
        mean = np.minimum(weights @ loss / total, 700)  # as the task's score has it
        return {"perplexity": np.exp(mean), "accuracy": weights @ right / total}

    return metrics


# Labels one by one


def _by_class(
    rows: pd.DataFrame, labels: Sequence[str]
) -> tuple[tuple[ClassScore, ...], tuple[tuple[int, ...], ...]]:
    """Every label's scores, and the confusion matrix."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    truth, guesses, codes = rows["label"].to_numpy(), predicted(rows), range(len(labels))
    scores = precision_recall_fscore_support(truth, guesses, labels=list(codes), zero_division=0)
    matrix = confusion_matrix(truth, guesses, labels=list(codes))
    classes = tuple(
        ClassScore(label, float(precision), float(recall), float(f1), int(rows))
        for label, precision, recall, f1, rows in zip(labels, *scores, strict=True)
    )
    return classes, tuple(tuple(map(int, row)) for row in matrix)
