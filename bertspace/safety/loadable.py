"""Whether a model's files can be loaded here: nothing foreign is run, unpickled or read from elsewhere.

Knows nothing of where they come from.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.errors import ModelError
from bertspace.safety.layout import CONFIG, INDEX, check_counts, encoder_types, heads, read_json, weight_map

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

Shapes = Mapping[str, Sequence[int]]
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")  # and SentencePiece's *.model
SENTENCEPIECE = ("sentencepiece", "protobuf")  # the packages that those are read by
# What each task's checkpoints call themselves in config.json, "architectures".
HEADS = {"text-classification": "ForSequenceClassification", "fill-mask": "ForMaskedLM"}

# How the weights of such a head are called, by the model types that there are.
OF_HEAD = {
    "text-classification": re.compile(r"(^|\.)(classifier|score|pre_classifier|sequence_summary)\."),
    "fill-mask": re.compile(
        r"(^|\.)(cls\.predictions|lm_head|predictions|vocab_(transform|layer_norm|projector)|lm_predictions"
        r"|generator_(predictions|lm_head)|mlm_head|pred_layer|decoder)\."
    ),
}
_HEAD = re.compile(r"For[A-Z][A-Za-z]+$|Model$")  # what transformers' classes end in

# How much larger a model may be than its weights. A decoder that is tied to the embeddings is built as well,
# a pooler and a head may be new: at their usual sizes the encoders that transformers has are built of 0.9 to
# 1.7 times the values of the bare encoder; of 2.2, in 6.6 times the tensors, is I-BERT, which quantizes.
TIMES_VALUES, MORE_VALUES = 3, 10_000_000
TIMES_TENSORS, MORE_TENSORS = 8, 100

_BUILDING = threading.local()  # .room: what the model that this thread builds may take


def why_not(
    name: str, config: dict[str, Any], files: Iterable[str], task: str = "", weights: Collection[str] = ()
) -> str:
    """Why a model with this configuration and these files cannot be used; empty where it can.

    task: what it has to have a head for; "" where it is to be trained, which makes a head. weights: see
    `lacking_head`.
    """
    if config.get("auto_map"):
        return f"{name} needs code of its own to run, and no foreign code runs here."
    if (kind := str(config.get("model_type"))) not in encoder_types():
        return f"{name} is of the type {kind[:80]}: it is no encoder of the BERT family."
    if not any(file in TOKENIZERS or file.endswith(".model") for file in files):
        return f"{name} has no tokenizer: none of {', '.join(TOKENIZERS)} is there."
    if lacking := lacking_packages(files):
        return (
            f"The tokenizer of {name} is a file of SentencePiece, and the package {lacking} is not installed."
        )
    return lacking_head(name, config, task, weights) if task else ""


def lacking_packages(files: Iterable[str]) -> str:
    """What is not installed of what SentencePiece's files are read by, where a tokenizer is nothing else."""
    names = set(files)
    if names & set(TOKENIZERS) or not any(name.endswith(".model") for name in names):
        return ""
    return " and ".join(name for name in SENTENCEPIECE if not _is_installed(name))


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def checked_folder(folder: Path, name: str) -> Path:
    """The folder, if it has what a model is loaded from: see `layout` for how it is read then."""
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{name} has no config.json.", hint="Choose a folder saved by save_pretrained.")
    if not any(map(Path.is_file, folder.glob("*.safetensors"))):
        pickled = ", ".join(sorted(path.name for path in folder.glob("*.bin")))
        raise ModelError(
            f"{name} has no safetensors weights{f', only {pickled}' if pickled else ''}.",
            hint="Pickled weights can run code when read; choose a model with model.safetensors, or use: "
            "python -m bertspace import FOLDER",
        )
    if lacking := lacking_packages(path.name for path in folder.iterdir()):
        raise ModelError(
            f"The tokenizer of {name} is a file of SentencePiece, which is not read here.",
            hint=f"Run: pip install {lacking.replace(' and ', ' ')}",
        )
    check_counts(read_json(folder / CONFIG), name)
    return folder


@dataclass
class _Room:
    """What a model may still take while it is built: values, and tensors that hold them."""

    name: str
    held: int
    values: int
    tensors: int

    def take(self, values: int) -> None:
        self.values, self.tensors = self.values - values, self.tensors - 1
        if self.values < 0 or self.tensors < 0:
            raise ModelError(
                f"The config.json of {self.name} asks for a far larger model than its weights are: they are "
                f"{self.held:,} values.",
                hint="Choose another model, or put back the config.json that came with the weights.",
            )


@contextmanager
def no_larger_than_files(folder: Path, name: str) -> Iterator[None]:
    """`no_larger_than` the weights of this folder."""
    with no_larger_than(shapes_of(folder), name):
        yield


@contextmanager
def no_larger_than(shapes: Shapes, name: str) -> Iterator[None]:
    """In the block, a model that this thread builds is refused as soon as it is far larger than weights of
    these shapes: by ModelError, and before it takes memory.

    transformers builds a model on torch's meta device, where a tensor is its shape alone, and reads the
    weights then: what is counted is the meta tensors. Of the weights only the headers are read.
    """
    _count_tensors()
    values, tensors = sum(map(math.prod, shapes.values())), len(shapes)
    _BUILDING.room = _Room(
        name, values, TIMES_VALUES * values + MORE_VALUES, TIMES_TENSORS * tensors + MORE_TENSORS
    )
    try:
        yield
    finally:
        _BUILDING.room = None


@lru_cache(maxsize=1)
def _count_tensors() -> None:
    """Let torch tell of every tensor that a module gets; for good: other threads may go through its hooks."""
    from torch.nn.modules import module

    def tell(_: Module, name: str, tensor: Tensor | None) -> None:
        room: _Room | None = getattr(_BUILDING, "room", None)
        if room is not None and tensor is not None and tensor.is_meta:
            room.take(tensor.numel())

    module.register_module_parameter_registration_hook(tell)
    module.register_module_buffer_registration_hook(tell)


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each weight in the folder's safetensors, by its name; their headers alone are read."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[int, ...]] = {}
    for file in filter(Path.is_file, folder.glob("*.safetensors")):  # a pipe would be waited for
        # A broken one is told by who loads it; it may be none of the model's.
        with suppress(OSError, SafetensorError), safe_open(file, "numpy") as opened:
            found |= {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}
    return found


def lacking_head(name: str, config: dict[str, Any], task: str, weights: Collection[str] = ()) -> str:
    """Why this configuration has no head for the task; "" where it has one.

    weights: the names of its weights, as far as they are known: a configuration that names no head, or one of
    pre-training, which has several, is judged by them; without them it is let through, and judged when it is
    loaded.
    """
    named = heads(config)
    if task == "features" or any(head.endswith(HEADS[task]) for head in named):
        return ""
    what = "fill masks" if task == "fill-mask" else "classify"
    if not tells_head(config):
        if not weights or any(OF_HEAD[task].search(weight) for weight in weights):
            return ""
        return f"{name} has no weights of a head that could {what}."
    return f"{name} is a {named[0][:80]} and does not {what}."


def tells_head(config: dict[str, Any]) -> bool:
    """Whether a configuration says which heads there are: not where it names none, a class that is none of
    transformers', or one that was pretrained with several ("ForPreTraining" is another one for each type).
    """
    named = heads(config)
    several = any(head.endswith(("ForPreTraining", "LMHeadModel")) for head in named)
    return not several and any(_HEAD.search(head) for head in named)


def task_of(config: dict[str, Any], weights: Collection[str] = ()) -> str:
    """What a model does here, by its configuration, and where that does not say by its weights; "" for a bare
    encoder and for what is not known."""
    if tells_head(config) or weights:
        return next((task for task in HEADS if not lacking_head("", config, task, weights)), "")
    return ""


def telling_weights(config: dict[str, Any], folder: Path) -> Collection[str]:
    """`weight_names` of the folder, where its configuration does not tell the heads; else none."""
    return () if tells_head(config) else weight_names(folder)


def weight_names(folder: Path) -> list[str]:
    """The names of a folder's weights by their headers, or by the index where they are not here yet."""
    found = list(shapes_of(folder))
    if not found and (folder / INDEX).is_file():
        found = [*weight_map(folder, folder.name)]
    return found


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
