"""Whether a checkpoint's weights are those of the model that its config.json describes.

transformers draws at random whatever a checkpoint lacks, and leaves out what it has too much. Here a head and
a pooler may be new, and nothing else: an encoder that was not read would be trained, and looked at, as if it
had been. All is judged by names and shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertspace.errors import ModelError
from bertspace.safety.config import counts_from_padding, encoder_types

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Parts that may be new or left over: a pooler is a head's, and the others are computed, not learnt.
POOLER = re.compile(r"(^|\.)pooler\.")
COMPUTED = re.compile(r"(^|\.)(position_ids|token_type_ids|inv_freq|masked_bias|num_batches_tracked)$")
MAX_SHOWN, MAX_NAME = 3, 80  # names in a message, and characters of one
OTHER = "Put back the config.json that came with these weights, or choose another model."


@dataclass(frozen=True)
class Report:
    """What transformers says of a loading: names without a weight, weights without a place, and names whose
    weight is of another shape, with both shapes.
    """

    missing: frozenset[str]
    unexpected: frozenset[str]
    mismatched: Mapping[str, tuple[Sequence[int], Sequence[int]]]

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Report:
        shapes = {name: (tuple(held), tuple(wanted)) for name, held, wanted in said["mismatched_keys"]}
        return cls(frozenset(said["missing_keys"]), frozenset(said["unexpected_keys"]), shapes)

    @property
    def new(self) -> list[str]:
        """The weights that are drawn at random."""
        return sorted(self.missing | self.mismatched.keys())


def wrapper(model: PreTrainedModel, names: Iterable[str]) -> str:
    """What stands in front of all the encoder's names, as "module." of one that was trained in parallel, or
    "0.auto_model." of sentence-transformers; "" where nothing does.

    It is looked for at the embeddings; where two encoders have some, none of them is the model.
    """
    inner = model.base_model
    embeddings = inner.get_input_embeddings().weight
    tail = next((name for name, each in inner.named_parameters() if each is embeddings), "")
    found = {name.removesuffix(tail) for name in names if f".{name}".endswith(f".{tail}")} if tail else set()
    own = f"{model.base_model_prefix}."
    if len(found) != 1 or found & {"", own}:
        return ""
    return found.pop().removesuffix(own)


def other_type(prefix: str, model_type: str) -> str:
    """The model type whose name the prefix is, where it counts positions otherwise: its weights have the same
    names and shapes as this type's, and are read at other places.
    """
    last = prefix.rstrip(".").rpartition(".")[2].replace("_", "-")
    known = {kind.replace("_", "-") for kind in encoder_types()}
    return last if last in known and counts_from_padding(last) != counts_from_padding(model_type) else ""


def check(model: PreTrainedModel, report: Report, name: str) -> None:
    """Raises ModelError where anything but a head or a pooler is missing, left over or of another shape."""
    kind = type(model).__name__
    if missing := sorted(each for each in report.missing if _is_encoders(each, model)):
        others = len(report.unexpected) >= len(missing)
        held = f" Its weights are called {shown(sorted(report.unexpected))}." if others else ""
        raise ModelError(f"{name} lacks weights of a {kind}: {shown(missing)}.{held}", hint=OTHER)
    for each, (held_shape, wanted) in sorted(report.mismatched.items()):
        if _is_encoders(each, model):
            raise misshapen(name, each, held_shape, wanted)
    if extra := sorted(each for each in report.unexpected if _has_place(each, model)):
        raise ModelError(
            f"{name} has weights that a {kind} of its config.json has no place for: {shown(extra)}.", OTHER
        )


def check_head(report: Report, name: str) -> None:
    """Raises ModelError where a head is missing or of another shape."""
    for each, (held, wanted) in sorted(report.mismatched.items()):
        raise misshapen(name, each, held, wanted)
    if lacking := sorted(report.missing):
        raise ModelError(f"{name} lacks weights: {shown(lacking)}.", hint="Choose another model.")


def misshapen(name: str, weight: str, held: Sequence[int], wanted: Sequence[int]) -> ModelError:
    sizes = [" × ".join(map(str, shape)) or "a single number" for shape in (held, wanted)]
    return ModelError(f"{weight} of {name} is {sizes[0]}, and its config.json asks for {sizes[1]}.", OTHER)


def shown(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    few = [each if len(each) <= MAX_NAME else f"{each[: MAX_NAME - 1]}…" for each in names[:MAX_SHOWN]]
    more = len(names) - len(few)
    return ", ".join(few) + (f" and {more:,} more" if more else "")


def _is_encoders(name: str, model: PreTrainedModel) -> bool:
    """Whether a weight of the model's own is one of its encoder, its pooler apart."""
    bare = not hasattr(model, model.base_model_prefix)
    return (bare or name.startswith(f"{model.base_model_prefix}.")) and not POOLER.search(name)


def _has_place(name: str, model: PreTrainedModel) -> bool:
    """Whether a weight that was left over belongs into a part that the encoder has: to a layer too many, or
    to another way of computing it. Heads of other tasks do not.
    """
    part = name.removeprefix(f"{model.base_model_prefix}.").partition(".")[0]
    parts = {child for child, _ in model.base_model.named_children()}
    return part in parts and not POOLER.search(name) and not COMPUTED.search(name)
