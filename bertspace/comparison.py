"""Base against fine-tuned: the same texts or the same held-out file through both.

The base of a run that classifies has no classifier of its own: it answers through the run's probe, a logistic
regression on its frozen features, and is named so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace import apart, data, evaluation, inference, models
from bertspace.errors import ModelError
from bertspace.probe import Probe, answers
from bertspace.schema import Prediction, TrainConfig
from bertspace.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PROBE = "probe.safetensors"
VERDICTS = ("fixed", "broken", "same right", "same wrong")


@dataclass(frozen=True)
class Compared:
    """One text under both models, as `inference.predict` gives it."""

    text: str
    pair: str
    base: list[Prediction]
    tuned: list[Prediction]

    @property
    def changed(self) -> bool:
        """Whether the first answers differ."""
        return [each.label for each in self.base] != [each.label for each in self.tuned]


@dataclass(frozen=True)
class FileComparison:
    """Both models on the same rows.

    table: text, [pair], label, base, tuned, verdict; for fill-mask a row a chunk: base and tuned (loss a
    masked token, in nats) and masks (their number).
    """

    base_words: str
    tuned: str
    rows: int
    base_metrics: dict[str, float]
    tuned_metrics: dict[str, float]
    table: pd.DataFrame
    fixed: int
    broken: int


def base_of(tuned: str) -> str:
    """The model that a run was trained from, also where it came back from the Hub; raises BertspaceError."""
    if tuned.startswith("run:"):
        return models.run_called(tuned).config().model
    if base := Probe.base_of(models.locate(tuned).path / PROBE):
        return base
    raise ModelError(f"{tuned} is no run, so its base is not known.", hint="Name the base model.")


def base_words(base: str, tuned: str) -> str:
    """How the base answers, in words."""
    if _needs_probe(base, inference.task_of(tuned)):
        return f"{base}, frozen, with a logistic-regression probe"
    return base


def _needs_probe(base: str, task: str) -> bool:
    located = models.locate(base)
    return task == "text-classification" and bool(models.misfit(located, task) or models.meaning(located))


def _probe(base: str, tuned: str) -> Probe:
    """The probe that was fitted on the tuned model's base; raises ModelError where there is none."""
    own = tuned.startswith("run:")
    file = (models.run_called(tuned).path if own else models.locate(tuned).path) / PROBE
    if not file.is_file() or base_of(tuned) != base:
        if not models.misfit(located := models.locate(base), "text-classification"):
            models.check_one_label(located)
        raise ModelError(
            f"{base} has no classifier, and {tuned} has no probe of it.",
            hint="Compare a run with the model that it was trained from, or two models that classify.",
        )
    return Probe.load(file)


def compare(
    base: str, tuned: str, texts: Sequence[str], *, pairs: Sequence[str] | None = None, top_k: int = 5
) -> list[Compared]:
    """Both models' answers to the same texts; raises BertspaceError."""
    task = inference.task_of(tuned)
    if task == "text-classification":
        models.check_one_label(models.locate(tuned))
    after = inference.predict(tuned, texts, task=task, pairs=pairs, top_k=top_k)
    length = models.locate(tuned).max_length  # both read as much of a text
    if _needs_probe(base, task):
        before = inference.predict_with_probe(
            base, _probe(base, tuned), _label_names(tuned), texts, pairs, max_length=length
        )
    else:
        before = inference.predict(base, texts, task=task, pairs=pairs, top_k=top_k, max_length=length)
    return [
        Compared(text, pairs[place] if pairs else "", before[place], after[place])
        for place, text in enumerate(texts)
    ]


def _label_names(name: str) -> tuple[str, ...]:
    """The labels of a finished classifier, in the order of its outputs."""
    named = models.locate(name).config.get("id2label") or {}
    return tuple(str(named[number]) for number in sorted(named, key=int))


def evaluate_file(
    model: str,
    file: Path,
    *,
    task: str = "",
    text_column: str = "",
    pair_column: str = "",
    label_column: str = "",
    max_rows: int = 0,
    **reading: Any,
) -> dict[str, Any]:
    """{"model", "task", "file", "rows", "metrics"} of a model on a file of the task's columns, and
    "max_length", the tokens that a text is cut to, where it is not cut into chunks.

    reading: how the file is to be read, by the names of Reading's fields.
    """
    task = task or inference.task_of(model)
    config = replace(_config(model, task, text_column, pair_column, label_column), **reading)
    frame = data.load_held_out(Path(file), config, _label_names(model))
    frame = frame.head(max_rows) if max_rows else frame
    metrics, table = evaluation.evaluate(models.locate(model), frame, config)
    rows = len(next(iter(table.values())))
    found = {"model": model, "task": task, "file": Path(file).name, "rows": rows, "metrics": metrics}
    return found | ({"max_length": inference.longest(model)} if config.text_length else {})


def _config(model: str, task: str, text_column: str, pair_column: str, label_column: str) -> TrainConfig:
    """The settings that a model's held-out rows are encoded with: its run's own where it is a run.

    Any other model reads texts as far as it can, as it does when it is asked.
    """
    known: dict[str, Any] = {"max_length": models.LONGEST}
    if model.startswith("run:"):
        own = models.run_called(model).config()
        names = ("max_length", "chunk_size", "mask_probability", "whole_words", "batch_size", "precision")
        known = {name: getattr(own, name) for name in (*names, "seed")}
    return TrainConfig(
        task=task,
        model=model,
        text_column=text_column,
        pair_column=pair_column,
        label_column=label_column,
        **known,
    )


def compare_file(
    base: str,
    tuned: str,
    file: Path,
    *,
    text_column: str = "",
    pair_column: str = "",
    label_column: str = "",
    **reading: Any,
) -> FileComparison:
    """Both models on the same held-out rows, read as `reading` says; raises BertspaceError."""
    task = inference.task_of(tuned)
    config = replace(_config(tuned, task, text_column, pair_column, label_column), **reading)
    if task == "fill-mask":
        _check_vocabularies(base, tuned)
    frame = data.load_held_out(Path(file), config, _label_names(tuned))
    after, tuned_table = evaluation.evaluate(models.locate(tuned), frame, config)
    words = base_words(base, tuned)
    if _needs_probe(base, task):
        before, base_table = _probe_on(base, tuned, frame, config)
    else:
        before, base_table = evaluation.evaluate(_base(base, tuned), frame, config)
    if task == "fill-mask":
        table = _loss_table(base_table, tuned_table)
        return FileComparison(words, tuned, len(table), before, after, table, 0, 0)
    table = _verdicts(frame, base_table, tuned_table, _label_names(tuned))
    fixed, broken = (int((table["verdict"] == verdict).sum()) for verdict in ("fixed", "broken"))
    return FileComparison(words, tuned, len(table), before, after, table, fixed, broken)


def _probe_on(
    base: str, tuned: str, frame: pd.DataFrame, config: TrainConfig
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The metrics and the table of a frozen base, through the probe that was fitted on it."""
    probe, located = _probe(base, tuned), _base(base, tuned)
    pooled = evaluation.tabulate(located, frame, config, features=True)
    features = inference.checked_array(pooled.get("features"), len(frame))
    probe.check(len(_label_names(tuned)), features.shape[1])
    table = answers(probe.probabilities(features), frame["label"].to_numpy())
    return TASKS[config.task].score(table), table


def _base(base: str, tuned: str) -> models.Located:
    """The base, which reads as much of a text as the tuned model."""
    located = models.locate(base)
    return replace(located, max_length=models.locate(tuned).max_length or located.max_length)


def _check_vocabularies(base: str, tuned: str) -> None:
    """Raises ModelError: a perplexity is a token's, and other tokens have another."""
    found = [apart.compute(models.locate(name), "vocabulary", {}) for name in (base, tuned)]
    if found[0] != found[1]:
        raise ModelError(
            f"{base} and {tuned} have different vocabularies: their losses are not of the same words.",
            hint="Compare a model with the base that it was trained from, or with another run of that base.",
        )


def _verdicts(
    frame: pd.DataFrame, base: dict[str, np.ndarray], tuned: dict[str, np.ndarray], names: tuple[str, ...]
) -> pd.DataFrame:
    import numpy as np

    label = frame["label"].to_numpy()
    before, after = base["probabilities"].argmax(-1), tuned["probabilities"].argmax(-1)
    verdict = np.select(
        [(before != label) & (after == label), (before == label) & (after != label), after == label],
        VERDICTS[:3],
        VERDICTS[3],
    )
    found = frame[[name for name in ("text", "pair") if name in frame]].copy()
    named = {"label": label, "base": before, "tuned": after}
    return found.assign(
        **{key: [names[each] for each in value] for key, value in named.items()}, verdict=verdict
    )


def _loss_table(base: dict[str, np.ndarray], tuned: dict[str, np.ndarray]) -> pd.DataFrame:
    """Loss a masked token of every chunk, in nats."""
    import pandas as pd

    return pd.DataFrame(
        {
            "base": base["loss_sum"] / base["masks"],
            "tuned": tuned["loss_sum"] / tuned["masks"],
            "masks": tuned["masks"],
        }
    )
