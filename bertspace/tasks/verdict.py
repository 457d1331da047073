"""Whether fine-tuning helped: the one verdict of the page, the command line, the card and comparisons.

A model is compared on the same held-out rows with the best of what there was without it: of a
classification the probe on the frozen base (or the base's own classifier) and the commonest label, of
fill-mask the base itself. It is better where the 95 % interval of the difference leaves 0 out. The
intervals are those of `intervals`: of accuracy Newcombe's for paired shares (1998, method 10), of
all else a paired bootstrap over the rows, of fill-mask over the chunks, whose hidden tokens hang together.
Knows nothing of files and models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from bertspace.tasks.intervals import (
    Measured,
    Metrics,
    by_kind,
    label_metrics,
    mask_metrics,
    means,
    of_shares,
    over_draws,
    with_interval,
)
from bertspace.tasks.metrics import METRICS
from bertspace.words import decimals, shortened, signed

if TYPE_CHECKING:
    import numpy as np

    Table = Mapping[str, np.ndarray]

BETTER, WORSE, UNCLEAR, UNKNOWN = "better", "worse", "unclear", "unknown"
TITLES = {BETTER: "Fine-tuning helped", WORSE: "Fine-tuning did not help", UNCLEAR: "No clear difference"}
# Of five pairs that all speak for one side a two-sided sign test gives 2 / 2**5 = 0.06: they show nothing.
FEWEST = 6
FEW = 100  # rows, below which an interval is wide
NAMED = 5  # labels in a sentence
PROBE, MAJORITY, BASE = "probe", "majority", "base"


@dataclass(frozen=True)
class Verdict:
    """What a model is against what there was before it, on the same rows.

    outcome: "better", "worse", "unclear" (no clear difference), or "unknown" without the rows' answers.
    against: "probe", "majority" or "base", the best of what there was; label: the commonest one. change:
    fine-tuned less before, of perplexity the ratio. unit: what `rows` counts. notes: sentences on what the
    headline hides.
    """

    outcome: str
    metric: str
    tuned: Measured
    before: Measured
    change: Measured
    against: str
    rows: int
    unit: str = "rows"
    split: str = ""
    masks: int = 0
    label: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The outcome, and the figures that it rests on."""
        words = f"{METRICS[self.metric].phrase} {self._with_range(self.tuned)} on {self._where()}, against "
        words += f"{self._with_range(self.before)} for {self._whom()}"
        if self.outcome == UNKNOWN:
            return f"{words[:1].upper()}{words[1:]}."
        return f"{TITLES[self.outcome]}: {words} ({self._change()})."

    @property
    def words(self) -> str:
        """The whole of it in sentences."""
        return " ".join((self.sentence, *self.notes))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"notes": list(self.notes), "words": self.words}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Verdict:
        """As `to_dict` wrote it; raises KeyError, TypeError or ValueError for anything else."""
        fields = {name: values[name] for name in cls.__dataclass_fields__}
        ranges = {name: Measured(**fields[name]) for name in ("tuned", "before", "change")}
        return cls(**(fields | ranges | {"notes": tuple(map(str, fields["notes"]))}))

    def _where(self) -> str:
        part = f"{self.split} " if self.split else ""
        unit = self.unit.removesuffix("s") if self.rows == 1 else self.unit
        masks = f" ({self.masks:,} hidden tokens)" if self.masks else ""
        return f"{self.rows:,} {part}{unit}{masks}"

    def _whom(self) -> str:
        if self.against == MAJORITY:
            return "always giving the commonest label" + (f", {quoted(self.label)}" if self.label else "")
        return "a probe on the frozen base" if self.against == PROBE else "the base"

    def _with_range(self, value: Measured) -> str:
        """Of fill-mask with its interval; of a classification that of the change says it."""
        figure = METRICS[self.metric].figure
        words = figure(value.value)
        if not self.masks or value.low is None or value.high is None:
            return words
        return f"{words} (95 %: {figure(value.low)} to {figure(value.high)})"

    def _change(self) -> str:
        ratio = METRICS[self.metric].is_ratio
        form = decimals if ratio else lambda value: signed(decimals(value))
        words = (
            f"{form(self.change.value)} times as high" if ratio else f"difference {form(self.change.value)}"
        )
        if self.change.low is None or self.change.high is None:
            return words
        return f"{words}, 95 % interval {form(self.change.low)} to {form(self.change.high)}"


def quoted(label: str) -> str:
    return f"“{shortened(label, 40)}”"


# From the tables of both models


def of_labels(
    metric: str,
    tuned: Table,
    base: Table,
    names: Sequence[str],
    counts: Sequence[int] = (),
    *,
    against: str = PROBE,
    split: str = "",
    chosen: bool = False,
) -> Verdict:
    """The verdict on a classifier, by the tables that its task gives of the same rows.

    counts: the training rows of each label; without them the commonest label of these rows stands for theirs.
    chosen: the model is of the epoch that was best on these rows.
    """
    import numpy as np

    truth, classes = tuned["label"], len(names)
    known = np.array(counts if sum(counts) else np.bincount(truth, minlength=classes))
    commonest = int(known.argmax())
    guesses = {
        "tuned": tuned["probabilities"].argmax(-1),
        against: base["probabilities"].argmax(-1),
        MAJORITY: np.full(len(truth), commonest),
    }
    if metric == "loss":  # the commonest label's: that of the labels' shares, smoothed by one row each
        shares = -np.log((known + 1) / (known.sum() + classes))[truth]
        losses = {"tuned": tuned["loss"], against: base["loss"], MAJORITY: shares}
        functions = {who: means(values, "loss") for who, values in losses.items()}
        weights = np.ones(len(truth), dtype=np.int64)
    else:
        functions, weights = by_kind(truth, guesses, classes)
    exact = {
        who: float(function(weights[None].astype(float))[metric][0]) for who, function in functions.items()
    }
    best = min if METRICS[metric].lower_is_better else max
    reference = best((against, MAJORITY), key=lambda who: exact[who])
    right = {who: labels == truth for who, labels in guesses.items()}
    ranges = _ranges(metric, exact, over_draws(functions, weights), right, reference)
    verdict = Verdict("", metric, *ranges, reference, len(truth), "rows", split, 0, names[commonest])
    notes = [*_labels_notes(metric, truth, guesses, names, against), *_notes(verdict, chosen)]
    return replace(verdict, outcome=_outcome(verdict), notes=tuple(notes))


def _ranges(
    metric: str,
    exact: Mapping[str, float],
    resampled: Mapping[str, Metrics],
    right: Mapping[str, np.ndarray],
    reference: str,
) -> tuple[Measured, Measured, Measured]:
    """Fine-tuned, before, and the change, with their intervals."""
    if METRICS[metric].is_share:
        return of_shares(right["tuned"], right[reference])
    change = exact["tuned"] - exact[reference]
    first, second = resampled["tuned"][metric], resampled[reference][metric]
    return (
        with_interval(exact["tuned"], first),
        with_interval(exact[reference], second),
        with_interval(change, first - second),
    )


def of_masks(
    metric: str, tuned: Table, base: Table, *, unit: str = "chunks", split: str = "", chosen: bool = False
) -> Verdict:
    """The verdict on a masked language model, by its task's tables of the same rows and masks."""
    functions = {"tuned": mask_metrics(tuned), BASE: mask_metrics(base)}
    masks = int(tuned["masks"].sum())
    return _paired(metric, functions, len(tuned["masks"]), unit, split, chosen, masks)


def of_losses(tuned: Table, base: Table, *, unit: str, split: str = "", chosen: bool = False) -> Verdict:
    """The verdict by the mean loss alone, from tables that have a loss a row."""
    functions = {"tuned": means(tuned["loss"], "loss"), BASE: means(base["loss"], "loss")}
    return _paired("loss", functions, len(tuned["loss"]), unit, split, chosen)


def _paired(
    metric: str,
    functions: Mapping[str, Callable[[np.ndarray], Metrics]],
    count: int,
    unit: str,
    split: str,
    chosen: bool,
    masks: int = 0,
) -> Verdict:
    """The verdict against the base by a bootstrap of the same rows of both."""
    import numpy as np

    exact = {who: float(function(np.ones((1, count)))[metric][0]) for who, function in functions.items()}
    resampled = over_draws(functions, np.ones(count, dtype=np.int64))
    first, second = (resampled[who][metric] for who in ("tuned", BASE))
    ratio = METRICS[metric].is_ratio
    change = with_interval(
        exact["tuned"] / exact[BASE] if ratio else exact["tuned"] - exact[BASE],
        first / second if ratio else first - second,
    )
    ranges = (with_interval(exact["tuned"], first), with_interval(exact[BASE], second), change)
    verdict = Verdict("", metric, *ranges, BASE, count, unit, split, masks)
    return replace(verdict, outcome=_outcome(verdict), notes=tuple(_notes(verdict, chosen)))


def _outcome(verdict: Verdict) -> str:
    """By the interval; where all resamples are alike, and so there is none, by the value."""
    nothing = 1.0 if METRICS[verdict.metric].is_ratio else 0.0
    value = verdict.change.value
    low = value if verdict.change.low is None else verdict.change.low
    high = value if verdict.change.high is None else verdict.change.high
    if verdict.rows < FEWEST or low <= nothing <= high or math.isclose(value, nothing, abs_tol=1e-9):
        return UNCLEAR
    return BETTER if (value < nothing) == METRICS[verdict.metric].lower_is_better else WORSE


# What the headline hides


def _labels_notes(
    metric: str, truth: np.ndarray, guesses: Mapping[str, np.ndarray], names: Sequence[str], against: str
) -> Iterator[str]:
    import numpy as np

    tuned = guesses["tuned"]
    present = np.unique(truth)
    if len(present) > 1 and len(np.unique(tuned)) == 1:
        yield f"It gives all of these rows one label, {quoted(names[int(tuned[0])])}."
    every = np.ones((1, len(truth)))
    mine, its = (
        float(label_metrics(truth, guesses[who], len(names))(every)["f1_macro"][0])
        for who in ("tuned", against)
    )
    if metric != "f1_macro" and round(mine, 3) < round(its, 3):
        whose = "the probe's" if against == PROBE else "the base's"
        yield f"Macro F1 fell: {mine:.3f}, against {whose} {its:.3f}."
    never = [names[label] for label in present if not (tuned[truth == label] == label).any()]
    if never:
        shown = ", ".join(map(quoted, never[:NAMED]))
        more = f" and {len(never) - NAMED:,} more" if len(never) > NAMED else ""
        yield f"F1 is 0 for {len(never):,} of the {len(present):,} labels: {shown}{more}."


def _notes(verdict: Verdict, chosen: bool) -> Iterator[str]:
    if chosen:
        yield (
            f"The epoch was chosen on the same {verdict.unit} that it is measured on, which makes the "
            "figures look better than they are."
        )
    unit = verdict.unit.removesuffix("s") if verdict.rows == 1 else verdict.unit
    if verdict.rows < FEWEST:
        yield f"{verdict.rows:,} {unit} can show no difference: hold out more."
    elif verdict.rows < FEW:
        yield f"Only {verdict.rows:,} {unit} were measured, so the intervals are wide."


# Of a run


def of_result(result: Mapping[str, Any], unit: str, baseline: str) -> Verdict:
    """The verdict in a run's result. An earlier version's has none: then its figures, and that no more is
    known. unit, baseline: the task's.
    """
    if recorded := result.get("verdict"):
        return Verdict.from_dict(recorded)
    split = "test" if result.get("test") else "validation"
    metric = result["headline"]
    before = {BASE if baseline == "model" else PROBE: result["base"][split]}
    before |= {MAJORITY: majority} if (majority := result["base"].get("majority", {}).get(split)) else {}
    values = {who: each[metric] for who, each in before.items() if metric in each}
    best = min if METRICS[metric].lower_is_better else max
    reference = best(values, key=lambda who: values[who])
    tuned = result[split][metric]
    change = tuned / values[reference] if METRICS[metric].is_ratio else tuned - values[reference]
    figures = (Measured(tuned), Measured(values[reference]), Measured(change))
    note = "Whether that is chance is not known: the answers to the single rows were not compared."
    rows = int(result.get("rows", {}).get(split, 0))
    return Verdict(UNKNOWN, metric, *figures, reference, rows, f"{unit}s", split, notes=(note,))
