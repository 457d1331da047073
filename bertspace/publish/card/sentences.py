"""What a card says in words: each function gives markdown, with everything that came from data escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bertspace.data import PARTS, SAMPLE_PREFIX
from bertspace.publish.card.content import PART_NAMES, Card, Score
from bertspace.publish.card.markdown import code, prose
from bertspace.publish.repeat import VERSIONS
from bertspace.tasks import TASKS, metric, samples
from bertspace.tasks.intervals import Measured
from bertspace.words import counted, duration, listed, percent, signed, size

HUB = "https://huggingface.co"
PROJECT = f"{HUB}/models?other=bertspace"  # what else was made with it
MOST_COLUMNS = 20  # of a file that are named
NAMED = 6  # labels that the first sentence names
PROBE = "Probe on the frozen base"
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
    if not card.task:
        return "fine-tuned with bertspace"
    if card.task == "fill-mask":
        return f"trained further as a masked language model on {_data_name(card)}"
    what = "pairs of texts" if card.pairs else "texts"
    if 0 < len(card.label_names) <= NAMED:
        return f"fine-tuned to classify {what} as {listed([code(name) for name in card.label_names], 'or')}"
    by = f" by {len(card.label_names):,} labels" if card.label_names else ""
    return f"fine-tuned to classify {what}{by}"


def _reached(card: Card) -> str:
    score = card.results.score(TASKS[card.task].headline) if card.results else None
    if card.results is None or score is None:
        return ""
    known = metric(score.metric)
    words = f"{known.phrase} {known.figure(score.tuned.value)} on {_count(card)}"
    if score.base is None:
        return words
    against = "for a probe on the frozen base" if card.task == "text-classification" else "before"
    return f"{words}, against {known.figure(score.base.value)} {against}"


def unit(card: Card) -> str:
    """What was measured on: 27 validation rows, 9 validation chunks (164 hidden tokens)."""
    if card.results is None:
        return ""
    masks = card.results.masks
    return _count(card) + (f" ({counted(masks, 'hidden token')})" if masks else "")


def _count(card: Card) -> str:
    results = card.results
    return counted(results.count, f"{results.split} {_row(card)}") if results else ""


def _row(card: Card) -> str:
    """What one row is."""
    if card.task != "fill-mask":
        return "row"
    return "chunk" if card.config["chunk_size"] else "text"


def base_column(card: Card) -> str:
    """The heading of the base's figures; "" where there are none."""
    if card.results is None or all(score.base is None for score in card.results.scores):
        return ""
    return PROBE if card.task == "text-classification" else "Base"


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


def kept(card: Card) -> str:
    """Which epoch's model this is, and what chose it."""
    if not card.epochs:
        return ""
    step = int(card.training["best_step"])
    chosen = next((each for each in card.epochs if each["step"] == step), None)
    if not (card.config["best_metric"] or card.config["patience"]) or chosen is None:
        return f"The model is the one after the last step ({step:,}); it was not chosen by a metric."
    name = metric(card.training["headline"]).phrase
    return (
        f"The model is the one after epoch {chosen['epoch']:g} (step {step:,}), the best of "
        f"{len(card.epochs)} by {name} on the validation rows."
    )


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
    kept = ", keeping each label's share" if card.label_names else ""
    if card.origin.parts and "validation" not in card.origin.parts:
        held_out = percent(round(10_000 * config["validation_share"]), 10_000)
        what = "rows" if card.label_names else "texts"
        yield (
            f"{held_out} of the {what} were held out at random for validation{kept} (seed {config['seed']})."
        )
    if config["max_train_rows"]:
        yield f"Training used a random sample of at most {config['max_train_rows']:,} {_row(card)}s."


def rows(card: Card) -> str:
    """243 training rows, 27 validation rows."""
    what = _row(card)
    found = [counted(card.rows[part], f"{PART_NAMES[part]} {what}") for part in PARTS if part in card.rows]
    return listed(found) if found else ""


# Settings


def settings(card: Card) -> Iterator[tuple[str, str]]:
    """What decided the training, and what it took: (name, value)."""
    config, told = card.config, card.training
    if not told:
        return
    yield "Epochs", f"{told['epochs'][-1]['epoch']:g} ({counted(int(told['steps']), 'step')})"
    yield "Batch", _batch(config, _row(card))
    warm_up = f", warm-up over {percent(round(1000 * config['warmup_ratio']), 1000)} of the steps"
    schedule = f", {_SCHEDULES[config['schedule']]}" + (warm_up if config["warmup_ratio"] else "")
    yield "Learning rate", f"{config['learning_rate']:g}{schedule}"
    yield "Optimizer", _optimizer(config)
    if dropout := _dropout(card):
        yield "Dropout", dropout
    if config["label_smoothing"]:
        yield "Label smoothing", f"{config['label_smoothing']:g}"
    yield from _lengths(card)
    yield "Trained", _trained(card)
    yield (
        "Precision",
        {"no": "fp32"}.get(str(told["environment"]["precision"]), told["environment"]["precision"]),
    )
    yield "Seed", str(config["seed"])
    yield (
        "Time",
        f"{duration(told['training_seconds'])} of training steps, {duration(told['seconds'])} in total",
    )
    yield from _machine(told, ("peft",) if config["lora_rank"] else ())


def _dropout(card: Card) -> str:
    """The one rate, or those that the model has of its own; "" where none is known."""
    rate = card.repeat.settings.get("dropout", card.config["dropout"])
    if rate is not None:
        return f"{rate:g}"
    rates = [f"{rate:g} ({code(name)})" for name, rate in card.repeat.dropouts.items()]
    return f"the model's own: {', '.join(rates)}" if rates else ""


def _batch(config: Mapping[str, Any], row: str) -> str:
    times = config["gradient_accumulation"]
    more = f", {times} batches a step ({config['batch_size'] * times:,} {row}s)" if times > 1 else ""
    return f"{counted(config['batch_size'], row)}{more}"


def _optimizer(config: Mapping[str, Any]) -> str:
    clipped = f", gradients clipped at {config['max_grad_norm']:g}" if config["max_grad_norm"] else ""
    return f"AdamW, weight decay {config['weight_decay']:g}{clipped}"


def _lengths(card: Card) -> Iterator[tuple[str, str]]:
    config = card.config
    if card.task == "fill-mask":
        hidden = f"{percent(round(1000 * config['mask_probability']), 1000)} of the "
        yield "Masked", hidden + ("words, whole" if config["whole_words"] else "tokens")
    if card.task == "fill-mask" and config["chunk_size"]:
        yield "Chunks", f"{config['chunk_size']:,} tokens"
    else:
        yield "Maximum length", f"{config['max_length']:,} tokens"


def _trained(card: Card) -> str:
    config, count = card.config, card.training.get("parameters") or {}
    how = []
    if config["lora_rank"]:
        how.append(f"LoRA of rank {config['lora_rank']}, biases, LayerNorms and the head")
    if config["freeze_layers"]:
        how.append(f"embeddings and {counted(config['freeze_layers'], 'layer')} frozen")
    if not count:
        return "; ".join(how) or "all parameters"
    trained, every = count["trained"], count["all"]
    said = f"all {every:,} parameters" if trained == every else f"{trained:,} of {every:,} parameters"
    return "; ".join([said, *how])


def _machine(told: Mapping[str, Any], more: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    environment = told["environment"]
    processes = int(environment.get("processes", 1))
    device = re.sub(r", (?:bf16|fp16|fp32)$", "", str(environment["device"]))  # its best, not the run's
    shared = " that share the weights (FSDP)" if environment.get("sharded") else ""
    yield "Hardware", f"{prose(device)}{f', {processes} processes{shared}' if processes > 1 else ''}"
    if memory := told.get("peak_memory_bytes"):
        yield "Peak memory", size(memory)
    known = [name for name in (*VERSIONS, *more) if name in environment]
    yield "Versions", ", ".join(f"{name} {prose(environment[name])}" for name in known)


def repeated(card: Card) -> str:
    """What the command that trains the model again needs and comes to."""
    told = card.repeat
    if not told.command:
        return ""
    needed = "with bertspace installed" if card.origin.dataset else "with bertspace and the files below"
    words = f"In a copy of this repository, {needed}, this command trains the model again"
    if card.training.get("stopped"):
        words += ", beyond the step at which it was stopped"
    if not told.exact:
        return f"{words}:"
    threads = int(card.training["environment"].get("threads", 0))
    machine = f"on such a CPU with {counted(threads, 'thread')}" if threads else "on such a CPU"
    return f"{words}; with these versions, {machine}, the losses are the same, bit for bit:"


def files(card: Card) -> Iterator[str]:
    """The files of its author's own, with what tells whether another one is the same."""
    for part, file in card.origin.files.items():
        columns = ", ".join(code(name, 60) for name in list(file.get("columns", ()))[:MOST_COLUMNS])
        sha256 = str(file.get("sha256") or "")
        yield (
            f"{code(file.get('name', ''), 80)} ({PART_NAMES.get(part, part)})"
            + (f", columns {columns}" if columns else "")
            + (f", SHA-256 {code(sha256)}" if sha256 else "")
        )


def intended(card: Card) -> list[str]:
    """What the model is for, and what it is not known to be good for."""
    if card.results is None:
        return []
    of = f"texts like those of {_data_name(card)}"
    if card.task == "fill-mask":
        use = f"To fill in words hidden in {of}, or as a base to be fine-tuned on such texts."
    else:
        kind = "pairs of texts" if card.pairs else "texts"
        use = f"To put {kind} like those of {_data_name(card)} under one of {len(card.label_names):,} labels."
    return [
        use,
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
    shown = ["train_loss", "loss", TASKS[card.task].headline]
    shown += ["f1_macro"] if card.task == "text-classification" else ["accuracy"]
    if (chosen := card.training.get("headline")) and chosen not in shown:
        shown.append(chosen)
    return [name for name in shown if card.epochs and name in card.epochs[0]]


def shown_epochs(card: Card, most: int = 20) -> list[Mapping[str, float]]:
    """Evenly thinned where there are many; the first, the kept and the last among them."""
    step = math.ceil(len(card.epochs) / most)
    best = card.training.get("best_step")
    last = len(card.epochs) - 1
    return [
        epoch
        for place, epoch in enumerate(card.epochs)
        if place % step == 0 or place == last or epoch["step"] == best
    ]
