"""Base against fine-tuned: the same texts or the same held-out file through both.

The base of a run that classifies has no classifier of its own: it answers through the run's probe, a logistic
regression on its frozen features, and is named so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bertspace.data.labels import label_name, listed, model_labels
from bertspace.errors import ModelError, Remedy
from bertspace.models import apart, evaluation, held_out, inference, loading, sources
from bertspace.models.probe import Probe, answers
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, Answer, Judged, verdict
from bertspace.tasks.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PROBE = "probe.safetensors"


@dataclass(frozen=True)
class Compared:
    """One text under both models, as `inference.predict` gives it."""

    text: str
    pair: str
    base: list[Answer]
    tuned: list[Answer]

    @property
    def changed(self) -> bool:
        """Whether the first answers differ."""
        return [each.best for each in self.base] != [each.best for each in self.tuned]


@dataclass(frozen=True)
class FileComparison:
    """Both models on the same rows.

    table: as the task's `compare_rows` has it. fixed, broken: rows; 0 where a row is neither right nor wrong.
    verdict: by the task's headline metric. findings: how it was read; remedies: how it can be.
    """

    base_words: str
    tuned: str
    rows: int
    base_metrics: dict[str, float]
    tuned_metrics: dict[str, float]
    table: pd.DataFrame
    fixed: int
    broken: int
    verdict: Verdict
    findings: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()


def base_of(tuned: str) -> str:
    """The model that a run was trained from, also where it came back from the Hub; raises BertspaceError."""
    if tuned.startswith("run:"):
        return sources.run_called(tuned).config().model
    if base := Probe.base_of(sources.locate(tuned).path / PROBE):
        return base
    raise ModelError(f"{tuned} is no run, so its base is not known.", hint="Name the base model.")


def base_words(base: str, tuned: str) -> str:
    """How the base answers, in words."""
    if _needs_probe(base, tuned, inference.task_of(tuned)):
        return f"{base}, frozen, with a logistic-regression probe"
    return base


def _needs_probe(base: str, tuned: str, task: str) -> bool:
    """Whether the base has no such head, or one of other labels while there is a probe of these."""
    if TASKS[task].baseline != "probe":
        return False
    located = sources.locate(base)
    if sources.why_not(located, task) or TASKS[task].unscorable(located.config):
        return True
    return bool(_unshared(base, tuned)) and _is_base(base, tuned) and _probe_file(tuned).is_file()


def _is_base(base: str, tuned: str) -> bool:
    """Whether the tuned model was trained from this one; a name of the Hub means the commit that it is at."""
    if (known := base_known(tuned)) == base:
        return True
    located = sources.locate(base)
    return located.kind == "hub" and known == "@".join(located.on_hub)


def base_known(tuned: str) -> str:
    """`base_of`, or "" where it is not known."""
    try:
        return base_of(tuned)
    except ModelError:
        return ""


def _unshared(base: str, tuned: str) -> str:
    """In words, which labels one of two classifiers has and the other has not; "" where they are the same."""
    before, after = ([label_name(each) for each in _label_names(name)] for name in (base, tuned))
    parts = [
        f"{listed(only)} of {name} alone"
        for name, only in (
            (base, [each for each in before if each not in after]),
            (tuned, [each for each in after if each not in before]),
        )
        if only
    ]
    return ", ".join(parts)


def _probe_file(tuned: str) -> Path:
    own = tuned.startswith("run:")
    return (sources.run_called(tuned).path if own else sources.locate(tuned).path) / PROBE


def _probe(base: str, tuned: str, task: str) -> Probe:
    """The probe that was fitted on the tuned model's base; raises ModelError where there is none."""
    file = _probe_file(tuned)
    if not file.is_file() or not _is_base(base, tuned):
        if not sources.why_not(located := sources.locate(base), task):
            sources.check_scorable(located, task)
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
    sources.check_scorable(sources.locate(tuned), task)
    after = inference.predict(tuned, texts, task=task, pairs=pairs, top_k=top_k)
    length = sources.locate(tuned).max_length  # both read as much of a text
    if _needs_probe(base, tuned, task):
        before = inference.predict_with_probe(
            base, _probe(base, tuned, task), _label_names(tuned), texts, pairs, task=task, max_length=length
        )
    else:
        before = inference.predict(base, texts, task=task, pairs=pairs, top_k=top_k, max_length=length)
    return [
        Compared(text, pairs[place] if pairs else "", before[place], after[place])
        for place, text in enumerate(texts)
    ]


def _label_names(name: str) -> tuple[str, ...]:
    """The labels of a finished classifier, in the order of its outputs."""
    return model_labels(sources.locate(name).config)


def evaluate_file(
    model: str, file: Path, *, task: str = "", max_rows: int = 0, **settings: str
) -> dict[str, Any]:
    """{"model", "task", "file", "rows", "metrics", "findings", "remedies"} of a model on a file, and
    "max_length", the tokens that a text is cut to, where it is not cut into chunks.

    settings: of TrainConfig, how the file is read.
    """
    task = task or inference.task_of(model)
    sources.check_scorable(sources.locate(model), task)
    config = reading_config(model, task, settings)
    read = held_out.read(model, Path(file), config, _label_names(model))
    frame = read.frame.head(max_rows) if max_rows else read.frame
    config = evaluation.as_in_the_run(model, frame, config)
    metrics, table = evaluation.evaluate(sources.locate(model), frame, config)
    rows = len(next(iter(table.values())))
    about = {"model": model, "task": task, "file": Path(file).name, "rows": rows}
    about |= {"max_length": inference.longest(model)} if TASKS[task].text_length(config) else {}
    notes = {"findings": list(read.findings), "remedies": read.table.remedies}
    return about | {"metrics": metrics} | notes


def reading_config(model: str, task: str, settings: Mapping[str, str] = MappingProxyType({})) -> TrainConfig:
    """The settings that a model's held-out rows are read and encoded with: its run's own where it is a run.

    Any other model reads texts as far as it can, as it does when it is asked. settings: how the file is read.
    """
    known: dict[str, Any] = {"max_length": loading.LONGEST}
    if model.startswith("run:"):
        own = sources.run_called(model).config()
        names = ("max_length", "chunk_size", "mask_probability", "whole_words", "batch_size", "precision")
        known = {name: getattr(own, name) for name in (*names, "seed")}
    return TrainConfig(**{"task": task, "model": model} | known | dict(settings))


def compare_file(base: str, tuned: str, file: Path, **settings: str) -> FileComparison:
    """Both models on the same held-out rows; raises BertspaceError. settings: how the file is read."""
    task = inference.task_of(tuned)
    sources.check_scorable(sources.locate(tuned), task)
    config = reading_config(tuned, task, settings)
    words, by_probe = base_words(base, tuned), _needs_probe(base, tuned, task)
    labelled, names = TASKS[task].has_labels, _label_names(tuned)
    if not labelled:
        _check_vocabularies(base, tuned)
    elif not by_probe:
        _check_labels(base, tuned)
    rows = held_out.read(tuned, Path(file), config, names)
    frame, notes = rows.frame, (rows.findings, rows.table.remedies)
    config = evaluation.as_in_the_run(tuned, frame, config)
    after, tuned_table = evaluation.evaluate(sources.locate(tuned), frame, config)
    if by_probe:
        before, base_table = _probe_on(base, tuned, frame, config)
    elif labelled:
        before, base_table = _by_name(base, tuned, frame, config)
    else:
        before, base_table = evaluation.evaluate(_base(base, tuned), frame, config)
    against = verdict.PROBE if by_probe else verdict.BASE
    about = Judged(config, names, _trained_on(tuned, names), against)
    judged = TASKS[task].judge(TASKS[task].headline, tuned_table, base_table, about)
    table = TASKS[task].compare_rows(frame, base_table, tuned_table, names)
    outcomes = table["verdict"].value_counts() if "verdict" in table else {}
    fixed, broken = (int(outcomes.get(each, 0)) for each in ("fixed", "broken"))
    return FileComparison(words, tuned, len(table), before, after, table, fixed, broken, judged, *notes)


def _check_labels(base: str, tuned: str) -> None:
    """Raises ModelError: what has other labels cannot be right or wrong by these."""
    if unshared := _unshared(base, tuned):
        raise ModelError(
            f"{base} and {tuned} have different labels: {unshared}.",
            hint="Compare a model with the base that it was trained from, or with one of the same labels.",
        )


def _by_name(
    base: str, tuned: str, frame: pd.DataFrame, config: TrainConfig
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The base's metrics and table with its outputs in the order of the tuned model's labels."""
    before = [label_name(each) for each in _label_names(base)]
    places = [before.index(label_name(each)) for each in _label_names(tuned)]
    if places == list(range(len(places))):
        return evaluation.evaluate(_base(base, tuned), frame, config)
    label = frame["label"].to_numpy()
    own = frame.assign(label=[places[each] for each in label.tolist()])
    table = evaluation.tabulate(_base(base, tuned), own, config)
    table = table | {"probabilities": table["probabilities"][:, places], "label": label}
    return TASKS[config.task].score(table), table


def _trained_on(model: str, names: Sequence[str]) -> list[int]:
    """The training rows of each label, where the model is a run; [] where they are not known."""
    if not model.startswith("run:"):
        return []
    counts = sources.run_called(model).source().get("labels", {}).get("train", {})
    return [int(counts.get(name, 0)) for name in names]


def _probe_on(
    base: str, tuned: str, frame: pd.DataFrame, config: TrainConfig
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The metrics and the table of a frozen base, through the probe that was fitted on it."""
    probe, located = _probe(base, tuned, config.task), _base(base, tuned)
    pooled = evaluation.tabulate(located, frame, config, features=True)
    features = inference.checked_array(pooled.get("features"), len(frame))
    probe.check(len(_label_names(tuned)), features.shape[1])
    table = answers(probe.probabilities(features), frame["label"].to_numpy())
    return TASKS[config.task].score(table), table


def _base(base: str, tuned: str) -> sources.Located:
    """The base, which reads as much of a text as the tuned model."""
    located = sources.locate(base)
    return replace(located, max_length=sources.locate(tuned).max_length or located.max_length)


def _check_vocabularies(base: str, tuned: str) -> None:
    """Raises ModelError: a perplexity is a token's, and other tokens have another."""
    digests = [apart.compute(sources.locate(name), "vocabulary", {}) for name in (base, tuned)]
    if digests[0] != digests[1]:
        raise ModelError(
            f"{base} and {tuned} have different vocabularies: their losses are not of the same words.",
            hint="Compare a model with the base that it was trained from, or with another run of that base.",
        )
