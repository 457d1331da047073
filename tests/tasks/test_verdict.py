"""The verdict: by the rows, against the best of what there was, with what the headline hides."""

import json
import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from bertspace.tasks import intervals, verdict, verdict_of
from bertspace.tasks.verdict import Verdict, of_labels, of_masks

NAMES = ("no", "yes", "maybe")


def table(truth: Any, guesses: Any, classes: int = 3) -> dict[str, np.ndarray]:
    """A classifier's table that gives its guesses a probability of 0.8."""
    truth, guesses = np.asarray(truth), np.asarray(guesses)
    probabilities = np.full((len(truth), classes), 0.2 / (classes - 1))
    probabilities[np.arange(len(truth)), guesses] = 0.8
    loss = -np.log(probabilities[np.arange(len(truth)), truth])
    return {"probabilities": probabilities, "label": truth, "loss": loss}


def masks(per_mask: Any, count: int = 20) -> dict[str, np.ndarray]:
    """A masked model's table of chunks with so many masks, their mean loss given."""
    losses = np.asarray(per_mask, dtype=float)
    return {
        "loss_sum": losses * count,
        "correct": np.full(len(losses), count / 4),
        "masks": np.full(len(losses), float(count)),
    }


def wrong(truth: np.ndarray, rows: Any) -> np.ndarray:
    """The truth, but another label in these rows."""
    guesses = truth.copy()
    guesses[rows] = (guesses[rows] + 1) % 3
    return guesses


TRUTH = np.arange(120) % 3


# Against what, and how sure


def test_a_model_that_is_right_more_often_than_the_probe_helped() -> None:
    found = of_labels(
        "accuracy", table(TRUTH, wrong(TRUTH, range(6))), table(TRUTH, wrong(TRUTH, range(48))), NAMES
    )
    assert (found.outcome, found.against, found.rows) == ("better", "probe", 120)
    assert found.change.value == pytest.approx(0.35)
    assert (found.change.low, found.change.high) == intervals.newcombe(72, 42, 0, 6)
    assert found.words == (
        "Fine-tuning helped: accuracy 0.950 on 120 rows, against 0.600 for a probe on the frozen base "
        "(difference +0.350, 95 % interval +0.262 to +0.437)."
    )


@pytest.mark.parametrize("metric", ["accuracy", "matthews_correlation", "f1_macro", "loss"])
def test_a_model_that_always_says_the_commonest_label_has_not_helped(metric: str) -> None:
    truth = np.array([0] * 70 + [1] * 30)
    probe = truth.copy()
    probe[:40], probe[70:90] = 1, 0
    tuned = table(truth, np.zeros(100, dtype=int), 2)
    found = of_labels(metric, tuned, table(truth, probe, 2), NAMES[:2], [700, 300], split="test")
    assert found.outcome in ("unclear", "worse")
    assert "helped" not in found.words
    assert "It gives all of these rows one label, “no”." in found.notes
    assert "F1 is 0 for 1 of the 2 labels: “yes”." in found.notes
    if metric == "accuracy":
        assert (found.outcome, found.against) == ("unclear", "majority")
        assert found.sentence.startswith(
            "No clear difference: accuracy 0.700 on 100 test rows, against 0.700 for always giving the "
            "commonest label, “no” (difference 0.000, 95 % interval "
        )


def test_better_than_the_probe_is_not_enough_where_the_commonest_label_is_better_still() -> None:
    truth = np.array([0] * 90 + [1] * 10)
    tuned, probe = truth.copy(), truth.copy()
    tuned[:30], probe[:60] = 1, 1
    found = of_labels("accuracy", table(truth, tuned, 2), table(truth, probe, 2), NAMES[:2], [90, 10])
    assert (found.outcome, found.against, found.before.value) == ("worse", "majority", 0.9)
    assert found.sentence.startswith("Fine-tuning did not help: accuracy 0.700")


def test_the_commonest_label_is_that_of_the_training_rows() -> None:
    truth = np.array([0] * 60 + [1] * 40)
    found = of_labels("accuracy", table(truth, truth, 2), table(truth, 1 - truth, 2), NAMES[:2], [10, 90])
    assert (found.against, found.label, found.before.value) == ("majority", "yes", 0.4)


def test_one_row_more_of_twenty_is_no_clear_difference() -> None:
    truth = TRUTH[:20]
    found = of_labels("accuracy", table(truth, truth), table(truth, wrong(truth, [3])), NAMES)
    assert found.outcome == "unclear" and found.words.startswith("No clear difference: ")
    assert "Only 20 rows were measured, so the intervals are wide." in found.notes


@pytest.mark.parametrize(("rows", "outcome"), [(1, "unclear"), (5, "unclear"), (12, "better")])
def test_fewer_than_six_rows_show_no_difference(rows: int, outcome: str) -> None:
    truth = TRUTH[:rows]
    found = of_labels("accuracy", table(truth, truth), table(truth, (truth + 1) % 3), NAMES)
    assert found.outcome == outcome
    assert of_masks("perplexity", masks([1.0] * rows), masks([2.0] * rows)).outcome == outcome
    if rows == 1:
        assert found.notes[-1] == "1 row can show no difference: hold out more."


def test_a_perfect_model_by_a_metric_that_no_resample_changes_helped() -> None:
    found = of_labels("matthews_correlation", table(TRUTH, TRUTH), table(TRUTH, np.zeros(120, int)), NAMES)
    assert (found.outcome, found.tuned.value, found.before.value) == ("better", 1.0, 0.0)
    assert found.change.low is None


def test_the_figures_are_scikit_learns_and_the_verdict_is_the_same_each_time() -> None:
    random = np.random.default_rng(1)
    truth, first, second = (random.integers(3, size=200) for _ in range(3))
    one, two = table(truth, first), table(truth, second)
    for metric, function in (
        ("matthews_correlation", matthews_corrcoef),
        ("f1_macro", lambda t, p: f1_score(t, p, average="macro")),
    ):
        found = of_labels(metric, one, two, NAMES, against="base")
        assert found.tuned.value == pytest.approx(function(truth, first))
        before = max(function(truth, second), function(truth, np.full(200, np.bincount(truth).argmax())))
        assert found.before.value == pytest.approx(before)
        assert found.change.low < found.change.value < found.change.high
        assert found == of_labels(metric, one, two, NAMES, against="base")


def test_the_bootstrap_is_paired() -> None:
    """Both models have the same hard rows: their difference is surer than either's own loss."""
    hard = np.repeat([0.1, 5.0], 100)
    found = of_masks("loss", masks(hard), masks(hard + 0.05 + hard / 1000))
    assert found.outcome == "better"
    assert found.change.high - found.change.low < 0.01
    assert found.tuned.high - found.tuned.low > 0.5


# Fill-mask


def test_a_perplexity_has_intervals_and_a_ratio_that_a_loop_gives_too() -> None:
    random = np.random.default_rng(2)
    before = random.normal(4.0, 0.3, size=150)
    tuned = before - random.normal(0.5, 0.1, size=150)
    found = of_masks("perplexity", masks(tuned), masks(before), split="validation")
    assert (found.outcome, found.rows, found.masks) == ("better", 150, 3000)
    assert found.tuned.value == pytest.approx(math.exp(tuned.mean()))
    assert found.change.value == pytest.approx(math.exp((tuned - before).mean()))
    draws = random.integers(150, size=(4000, 150))
    for measured, values in ((found.tuned, tuned), (found.before, before), (found.change, tuned - before)):
        low, high = np.exp(np.quantile(values[draws].mean(1), [0.025, 0.975]))
        assert (measured.low, measured.high) == pytest.approx((low, high), rel=0.01)
    assert found.sentence.startswith("Fine-tuning helped: perplexity ")
    assert "on 150 validation chunks (3,000 hidden tokens), against " in found.sentence
    assert " times as high, 95 % interval 0." in found.sentence


def test_chunks_of_many_masks_weigh_more() -> None:
    tuned = {name: np.concatenate([masks([2.0], 10)[name], masks([4.0], 30)[name]]) for name in masks([1.0])}
    found = of_masks("perplexity", tuned, tuned)
    assert found.tuned.value == pytest.approx(math.exp((2.0 * 10 + 4.0 * 30) / 40))
    assert found.outcome == "unclear" and found.change.value == 1.0


# What the headline hides


def test_a_macro_f1_that_fell_and_labels_never_found_are_said() -> None:
    truth = np.array([0] * 80 + [1] * 20 + [2] * 20)
    tuned, probe = truth.copy(), truth.copy()
    tuned[80:] = 0
    probe[:50] = 1
    found = of_labels("accuracy", table(truth, tuned), table(truth, probe), NAMES, [8, 2, 2])
    fell = f1_score(truth, tuned, average="macro"), f1_score(truth, probe, average="macro")
    assert f"Macro F1 fell: {fell[0]:.3f}, against the probe's {fell[1]:.3f}." in found.notes
    assert "F1 is 0 for 2 of the 3 labels: “yes”, “maybe”." in found.notes


def test_an_epoch_chosen_by_the_rows_it_is_measured_on_says_so() -> None:
    found = of_masks("perplexity", masks([1.0] * 200), masks([2.0] * 200), chosen=True)
    assert found.notes == (
        "The epoch was chosen on the same chunks that it is measured on, which makes the figures look better "
        "than they are.",
    )


# Kept


def test_a_verdict_is_read_as_it_was_written() -> None:
    found = of_labels("accuracy", table(TRUTH, TRUTH), table(TRUTH, wrong(TRUTH, [1, 2])), NAMES)
    written = json.loads(json.dumps(found.to_dict()))
    assert verdict_of({"verdict": written, "base": {"kind": "probe"}}) == found
    assert written["words"] == found.words


def test_a_result_of_an_earlier_version_has_its_figures_and_no_verdict() -> None:
    scores = {"accuracy": 0.9}
    base = {"kind": "probe", "validation": {"accuracy": 0.7}, "majority": {"validation": {"accuracy": 0.8}}}
    old = {"headline": "accuracy", "validation": scores, "test": None, "base": base}
    found = verdict_of(old | {"rows": {"validation": 50}, "config": {"task": "text-classification"}})
    assert (found.outcome, found.against) == ("unknown", "majority")
    assert found.words == (
        "Accuracy 0.900 on 50 validation rows, against 0.800 for always giving the commonest label. Whether "
        "that is chance is not known: the answers to the single rows were not compared."
    )
    assert isinstance(found, Verdict) and verdict.UNKNOWN not in verdict.TITLES
