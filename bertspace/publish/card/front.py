"""A card's front matter, as huggingface_hub's ModelCardData: what the Hub files a model under."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from bertspace.data import SAMPLE_PREFIX
from bertspace.errors import ConfigError
from bertspace.publish.card.content import Card
from bertspace.tasks import METRICS, TASKS, samples
from bertspace.words import one_line

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

# What `datasets` calls the kinds of files, which is what a model-index calls the data set made of one.
_FORMATS = {"csv": "csv", "tsv": "csv", "jsonl": "json", "json": "json", "parquet": "parquet", "txt": "text"}
_FRONT = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def metadata(card: Card, *, minimal: bool = False) -> ModelCardData:
    """The front matter; `minimal` leaves out what was measured and the examples."""
    from huggingface_hub import ModelCardData

    results = [] if minimal else list(_results(card))
    known = bool(card.base.repo_id)
    values: dict[str, Any] = {
        "language": _language(card),
        **_license(card),
        "library_name": "peft" if card.adapter else "transformers",
        "pipeline_tag": card.task or None,
        "base_model": card.base.repo_id or None,
        "base_model_relation": ("adapter" if card.adapter else "finetune") if known else None,
        "datasets": [card.origin.hub_id] if card.origin.hub_id else None,
        "metrics": list(dict.fromkeys(result.metric_type for result in results)) or None,
        "tags": _tags(card),
        "widget": None if minimal else _widget(card) or None,
    }
    if results:
        values |= {"model_name": card.name, "eval_results": results}
    return ModelCardData(**values)


def check_front(text: str) -> None:
    """Raises ConfigError for a card whose front matter cannot be read, with the line and why."""
    import yaml
    from huggingface_hub import ModelCard

    if not (front := _FRONT.match(text)):
        return
    hint = "Mend it, or leave the lines between the two --- out; the card's text is kept."
    try:
        found = yaml.safe_load(front[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = text.count("\n", 0, front.start(1)) + place.line + 1 if place else 0
        why = getattr(error, "problem", None) or str(error).partition("\n")[0] or type(error).__name__
        where = f"line {line}" if line else "its front matter"
        raise ConfigError(f"The card's YAML is wrong in {where}: {one_line(why, 200)}.", hint=hint) from error
    if found is not None and not isinstance(found, dict):
        raise ConfigError("The card's front matter is no list of name: value lines.", hint=hint)
    try:
        ModelCard(text)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"The card's front matter is wrong: {one_line(error, 200)}.", hint=hint) from error


def _language(card: Card) -> str | list[str] | None:
    codes = [one_line(code) for code in card.language]
    return codes[0] if len(codes) == 1 else codes or None


def _license(card: Card) -> dict[str, str]:
    """One that is no identifier goes by its name, as the Hub wants it."""
    if not card.license:
        return {}
    if _LICENSE.fullmatch(card.license):
        return {"license": card.license}
    return {"license": "other", "license_name": one_line(card.license, 80)}


def _tags(card: Card) -> list[str]:
    lora = ["lora"] if card.config.lora_rank else []
    return list(dict.fromkeys(["bertspace", *filter(None, [card.model_type]), *lora]))


def _results(card: Card) -> Iterator[EvalResult]:
    """An entry a metric; none where it is not known what it was measured on, as the Hub would refuse it."""
    from huggingface_hub import EvalResult

    kind, name = _dataset(card)
    if card.results is None or not (kind and name):
        return
    for score in card.results.scores:
        metric = METRICS[score.metric]
        yield EvalResult(
            task_type=card.task,
            task_name=TASKS[card.task].title,
            dataset_type=kind,
            dataset_name=name,
            dataset_config=card.origin.dataset_config or None,
            dataset_split=_split(card, card.results.split),
            dataset_revision=card.origin.revision or None,
            metric_type=metric.hub_type,
            metric_value=round(score.tuned.value, 4),
            metric_name=metric.title,
            metric_args=dict(metric.hub_arguments) or None,
        )


def _dataset(card: Card) -> tuple[str, str]:
    """The data set's type, as a model-index calls it, and its name."""
    origin = card.origin
    if origin.hub_id:
        return origin.hub_id, origin.hub_id.rpartition("/")[2]
    if (sample := samples().get(origin.dataset.removeprefix(SAMPLE_PREFIX))) and origin.dataset:
        return _format(sample.file), f"{sample.title} (sample of bertspace)"
    part = card.results.split if card.results else ""
    file = origin.parts.get(part) or origin.parts.get("train") or card.source
    return _format(file), one_line(PurePath(file).name, 80)


def _format(file: str) -> str:
    endings = [ending.lstrip(".").lower() for ending in PurePath(file).suffixes]
    return next((_FORMATS[ending] for ending in reversed(endings) if ending in _FORMATS), "")


def _split(card: Card, part: str) -> str:
    """The Hub's own name of the split; "validation" where rows of the training split were held out."""
    found = re.fullmatch(r".* \((.+)\)", card.origin.parts.get(part, "")) if card.origin.hub_id else None
    return found[1] if found else part


def _widget(card: Card) -> list[dict[str, Any]]:
    """Texts to try, with the answers that were recorded; the Hub has no form for pairs."""
    entries = []
    for example in card.examples:
        if example.pair:
            continue
        output = [{"label": name, "score": round(score, 4)} for name, score in example.output]
        entry: dict[str, Any] = {"text": example.text, "example_title": example.title}
        entries.append(entry | ({"output": output} if output else {}))
    return entries
