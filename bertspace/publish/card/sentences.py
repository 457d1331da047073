"""What a card says in words: each function gives markdown, with everything that came from data escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bertspace.data import PARTS, SAMPLE_PREFIX
from bertspace.publish.card.content import PART_NAMES, Card
from bertspace.publish.card.markdown import code, prose
from bertspace.publish.repeat import VERSIONS
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, metric, samples
from bertspace.tasks.card import About, Score
from bertspace.tasks.intervals import Measured
from bertspace.words import counted, duration, listed, percent, signed, size

HUB = "https://huggingface.co"
PROJECT = f"{HUB}/models?other=bertspace"  # what else was made with it
MAX_COLUMNS = 20  # of a file that are named
BASELINES = {  # as a heading, and after "against 0.81"
    "probe": ("Probe on the frozen base", "for a probe on the frozen base"),
    "model": ("Base", "before"),
}
_SCHEDULES = {"linear": "linear decay", "cosine": "cosine decay", "constant_with_warmup": "constant"}


def summary(card: Card) -> str:
    """One sentence: what from what, for what, how good."""
    reached = _reached(card)
    return f"{base(card)[:1].upper()}{base(card)[1:]} {_purpose(card)}{f': {reached}' if reached else ''}."


def base(card: Card) -> str:
    """The base model, as a link where it is on the Hub."""
    if card.base.repo_id:
        link = f"[{prose(card.base.repo_id)}]({HUB}/{card.base.repo_id})"
        return f"{link} with bertspace's adapter for masked words" if card.base.adapted else link
    return f"a local model ({prose(card.model_type)})" if card.model_type else "a local model"


def _purpose(card: Card) -> str:
    return TASKS[card.task].card.purpose(_about(card)) if card.task else "fine-tuned with bertspace"


def _about(card: Card) -> About:
    return About(card.config, tuple(map(code, card.label_names)), _data_name(card), card.pairs)


def _reached(card: Card) -> str:
    score = card.results.score(TASKS[card.task].headline) if card.results else None
    if card.results is None or score is None:
        return ""
    known = metric(score.metric)
    words = f"{known.phrase} {known.figure(score.tuned.value)} on {_count(card)}"
    if score.base is None:
        return words
    _, against = BASELINES[TASKS[card.task].baseline]
    return f"{words}, against {known.figure(score.base.value)} {against}"


def measured_on(card: Card) -> str:
    """What was measured on: 27 validation rows, 9 validation chunks (164 hidden tokens)."""
    if card.results is None:
        return ""
    return _count(card) + (f" ({card.results.detail})" if card.results.detail else "")


def _count(card: Card) -> str:
    results = card.results
    return counted(results.count, f"{results.split} {_row(card)}") if results else ""


def _row(card: Card) -> str:
    """What one row is."""
    return TASKS[card.task].unit(card.config)


def base_column(card: Card) -> str:
    """The heading of the base's figures; "" where there are none."""
    if card.results is None or all(score.base is None for score in card.results.scores):
        return ""
    return BASELINES[TASKS[card.task].baseline][0]


def intervals(card: Card) -> str:
    """How the intervals were found, and what the base's figures are; "" where there is none of them."""
    has_base = bool(base_column(card))
    how = TASKS[card.task].card.intervals(_row(card), has_base) if card.results else ""
    sentences = [f"In brackets: 95 % intervals, {how}"] if how else []
    if has_base and TASKS[card.task].baseline == "probe":
        rows = card.training["base"].get("probe_rows")
        fitted = f", fitted on {rows:,} training rows" if rows else ""
        sentences.append(
            f"The probe is a logistic regression on the mean-pooled features of the frozen base{fitted}; it "
            "shows what the base knew before it was fine-tuned."
        )
    return " ".join(sentences)


def interval(measured: Measured, name: str) -> str:
    """0.741 (0.553–0.868)."""
    figure = metric(name).figure
    value = figure(measured.value)
    if measured.low is None or measured.high is None:
        return value
    return f"{value} ({figure(measured.low)}–{figure(measured.high)})"


def change(score: Score) -> str:
    """+0.037 (−0.185 to +0.259); "" where it is not known."""
    if score.change is None:
        return ""
    figure = metric(score.metric).figure
    value = signed(figure(score.change.value))
    if score.change.low is None or score.change.high is None:
        return value
    return f"{value} ({signed(figure(score.change.low))} to {signed(figure(score.change.high))})"


def _data_name(card: Card) -> str:
    sample = samples().get(card.origin.dataset.removeprefix(SAMPLE_PREFIX))
    if sample and card.origin.dataset.startswith(SAMPLE_PREFIX):
        return f"“{prose(sample.title)}”"
    if card.origin.hub_id:
        return f"[{prose(card.origin.hub_id)}]({HUB}/datasets/{card.origin.hub_id})"
    return code(card.source, 80) if card.source else "texts of its author"


def source(card: Card) -> str:
    """Where the rows came from, as exactly as it is known."""
    origin = card.origin
    if origin.hub_id:
        configuration = f", configuration {code(origin.dataset_config)}" if origin.dataset_config else ""
        revision = f", revision {code(origin.revision)}" if origin.revision else ""
        return f"{_data_name(card)}{configuration}{revision}."
    if origin.dataset or not origin.parts:
        sample = ", a sample that comes with bertspace" if origin.dataset else ""
        return f"{_data_name(card)}{sample}." if origin.dataset or card.source else ""
    files = [f"{code(file, 80)} ({PART_NAMES[part]})" for part, file in origin.parts.items()]
    return f"{'Files' if len(files) > 1 else 'A file'} of the author's own: {listed(files)}."


def split(card: Card) -> Iterator[str]:
    """How the rows were divided and drawn, a sentence each."""
    config = card.config
    stratified = ", keeping each label's share" if card.label_names else ""
    if card.origin.parts and "validation" not in card.origin.parts:
        held_out = percent(round(10_000 * config.validation_share), 10_000)
        what = "rows" if card.label_names else "texts"
        yield (
            f"{held_out} of the {what} were held out at random for validation{stratified} "
            f"(seed {config.seed})."
        )
    if config.max_train_rows:
        yield f"Training used a random sample of at most {config.max_train_rows:,} {_row(card)}s."


def rows(card: Card) -> str:
    """243 training rows, 27 validation rows."""
    what = _row(card)
    return listed(
        [counted(card.rows[part], f"{PART_NAMES[part]} {what}") for part in PARTS if part in card.rows]
    )


# Settings


def settings(card: Card) -> Iterator[tuple[str, str]]:
    """What decided the training, and what it took: (name, value)."""
    config, result = card.config, card.training
    if not result:
        return
    yield "Epochs", f"{result['epochs'][-1]['epoch']:g} ({counted(int(result['steps']), 'step')})"
    yield "Batch", _batch(config, _row(card))
    warm_up = f", warm-up over {percent(round(1000 * config.warmup_ratio), 1000)} of the steps"
    schedule = f", {_SCHEDULES[config.schedule]}" + (warm_up if config.warmup_ratio else "")
    yield "Learning rate", f"{config.learning_rate:g}{schedule}"
    yield "Optimizer", _optimizer(config)
    if dropout := _dropout(card):
        yield "Dropout", dropout
    if config.label_smoothing:
        yield "Label smoothing", f"{config.label_smoothing:g}"
    yield from TASKS[card.task].card.settings(config)
    yield "Trained", _trained(card)
    yield (
        "Precision",
        {"no": "fp32"}.get(str(result["environment"]["precision"]), result["environment"]["precision"]),
    )
    yield "Seed", str(config.seed)
    yield (
        "Time",
        f"{duration(result['training_seconds'])} of training steps, {duration(result['seconds'])} in total",
    )
    yield from _machine(result, ("peft",) if config.lora_rank else ())


def _dropout(card: Card) -> str:
    """The one rate, or those that the model has of its own; "" where none is known."""
    rate = card.repeat.settings.get("dropout", card.config.dropout)
    if rate is not None:
        return f"{rate:g}"
    rates = [f"{rate:g} ({code(name)})" for name, rate in card.repeat.dropouts.items()]
    return f"the model's own: {', '.join(rates)}" if rates else ""


def _batch(config: TrainConfig, row: str) -> str:
    times = config.gradient_accumulation
    more = f", {times} batches a step ({config.batch_size * times:,} {row}s)" if times > 1 else ""
    return f"{counted(config.batch_size, row)}{more}"


def _optimizer(config: TrainConfig) -> str:
    clipped = f", gradients clipped at {config.max_grad_norm:g}" if config.max_grad_norm else ""
    return f"AdamW, weight decay {config.weight_decay:g}{clipped}"


def _trained(card: Card) -> str:
    config, count = card.config, card.training.get("parameters") or {}
    how = []
    if config.lora_rank:
        how.append(f"LoRA of rank {config.lora_rank}, biases, LayerNorms and the head")
    if config.freeze_layers:
        how.append(f"embeddings and {counted(config.freeze_layers, 'layer')} frozen")
    if not count:
        return "; ".join(how) or "all parameters"
    trained, every = count["trained"], count["all"]
    counts = f"all {every:,} parameters" if trained == every else f"{trained:,} of {every:,} parameters"
    return "; ".join([counts, *how])


def _machine(result: Mapping[str, Any], more: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    environment = result["environment"]
    processes = int(environment.get("processes", 1))
    device = re.sub(r", (?:bf16|fp16|fp32)$", "", str(environment["device"]))  # its best, not the run's
    shared = " that share the weights (FSDP)" if environment.get("sharded") else ""
    yield "Hardware", f"{prose(device)}{f', {processes} processes{shared}' if processes > 1 else ''}"
    if memory := result.get("peak_memory_bytes"):
        yield "Peak memory", size(memory)
    known = [name for name in (*VERSIONS, *more) if name in environment]
    yield "Versions", ", ".join(f"{name} {prose(environment[name])}" for name in known)


def repeated(card: Card) -> str:
    """What the command that trains the model again needs and comes to."""
    repeat = card.repeat
    if not repeat.command:
        return ""
    needed = "with bertspace installed" if card.origin.dataset else "with bertspace and the files below"
    words = f"In a copy of this repository, {needed}, this command trains the model again"
    if card.training.get("stopped"):
        words += ", beyond the step at which it was stopped"
    if not repeat.exact:
        return f"{words}:"
    threads = int(card.training["environment"].get("threads", 0))
    machine = f"on such a CPU with {counted(threads, 'thread')}" if threads else "on such a CPU"
    return f"{words}; with these versions, {machine}, the losses are the same, bit for bit:"


def files(card: Card) -> Iterator[str]:
    """The files of its author's own, with what tells whether another one is the same."""
    for part, file in card.origin.files.items():
        columns = ", ".join(code(name, 60) for name in list(file.get("columns", ()))[:MAX_COLUMNS])
        sha256 = str(file.get("sha256") or "")
        yield (
            f"{code(file.get('name', ''), 80)} ({PART_NAMES.get(part, part)})"
            + (f", columns {columns}" if columns else "")
            + (f", SHA-256 {code(sha256)}" if sha256 else "")
        )


def without_pipeline(card: Card) -> str:
    """How a model is loaded that no pipeline runs; "" where one does."""
    task = TASKS[card.task]
    return (
        ""
        if task.card.pipeline
        else f"Transformers has no pipeline for it: load it with `{task.auto_class}`."
    )


def intended(card: Card) -> list[str]:
    """What the model is for, and what it is not known to be good for."""
    if card.results is None:
        return []
    return [
        TASKS[card.task].card.use(_about(card)),
        "It was measured on rows of the same origin only: try it on texts of your own before you rely on it "
        "on others. Language models repeat the prejudices of the texts that they were trained on; no "
        "decision about a person should rest on this one alone.",
    ]


def adapted(card: Card) -> str:
    """What bertspace itself did to the base, on what, under which licence; "" where it did nothing."""
    if not card.base.adapted:
        return ""
    return (
        f"{prose(card.base.repo_id)} has no head for masked words. bertspace's starter adds one, and a "
        "low-rank update of the encoder: the encoder itself was trained further, on 6.55 million tokens of "
        "paragraphs from the training part of [SQuAD](https://huggingface.co/datasets/rajpurkar/squad) "
        "(CC BY-SA 4.0) and of English books from before 1900 (in the public domain). The encoder and the "
        "adapter are under apache-2.0. The figures above for the base are those of the two together."
    )


def licence(card: Card) -> str:
    """Whose licence it is; "" where none is known."""
    own, inherited = card.license, card.base.license
    if not own:
        return ""
    if not inherited:
        return f"{prose(own)}."
    return (
        f"{prose(own)}, like the base model."
        if own == inherited
        else f"{prose(own)}; the base model's is {prose(inherited)}."
    )


# Epochs


def epoch_metrics(card: Card) -> list[str]:
    """The columns of the epochs' table."""
    shown = ["train_loss", "loss", *(metric.name for metric in TASKS[card.task].metrics[:2])]
    if (chosen := card.training.get("headline")) and chosen not in shown:
        shown.append(chosen)
    return [name for name in shown if card.epochs and name in card.epochs[0]]


def shown_epochs(card: Card, most: int = 20) -> list[Mapping[str, float]]:
    """Evenly thinned where there are many; the first, the best and the last among them."""
    step = math.ceil(len(card.epochs) / most)
    best = card.training.get("best_step")
    last = len(card.epochs) - 1
    return [
        epoch
        for place, epoch in enumerate(card.epochs)
        if place % step == 0 or place == last or epoch["step"] == best
    ]
