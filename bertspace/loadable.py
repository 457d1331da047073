"""Whether a model's files can be loaded here: nothing foreign is run, unpickled or read from elsewhere.

Knows nothing of where they come from.
"""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")  # and SentencePiece's *.model
# What each task's checkpoints call themselves in config.json, "architectures".
HEADS = {"text-classification": "ForSequenceClassification", "fill-mask": "ForMaskedLM"}

# Keys of which transformers makes lists when it reads config.json: names of labels, types of layers.
COUNTED = ("num_labels", "num_hidden_layers", "num_layers", "n_layers", "n_layer")
MOST_COUNTED = 10_000
# How much larger a model may be than its weights. A decoder that is tied to the embeddings is built as well,
# a pooler and a head may be new: at their usual sizes the encoders that transformers has are built of 0.9 to
# 1.7 times the values of the bare encoder; of 2.2, in 6.6 times the tensors, is I-BERT, which quantizes.
TIMES_VALUES, MORE_VALUES = 3, 10_000_000
TIMES_TENSORS, MORE_TENSORS = 8, 100

_IMPORTING = threading.Lock()
_BUILDING = threading.local()  # .room: what the model that this thread builds may take


def library() -> Any:
    """transformers, imported by one thread at a time.

    It puts another object in its own place meanwhile, and a thread that waited for it gets the old one.
    """
    with _IMPORTING:
        import torch  # noqa: F401
        import transformers

        return sys.modules[transformers.__name__]


def why_not(name: str, config: dict[str, Any], files: Iterable[str], task: str = "") -> str:
    """Why a model with this configuration and these files cannot be used; empty where it can.

    task: what it has to have a head for; "" where it is to be trained, which makes a head.
    """
    if config.get("auto_map"):
        return f"{name} needs code of its own to run, and no foreign code runs here."
    if str(config.get("model_type")) not in encoder_types():
        return f"{name} is of the type {config.get('model_type')}: it is no encoder of the BERT family."
    if not any(file in TOKENIZERS or file.endswith(".model") for file in files):
        return f"{name} has no tokenizer: none of {', '.join(TOKENIZERS)} is there."
    return lacking_head(name, config, task) if task else ""


@lru_cache(maxsize=1)
def encoder_types() -> frozenset[str]:
    """The model types that fill masks and classify, and do not decode."""
    library()
    from transformers.models.auto import modeling_auto as auto

    both = set(auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES) & set(
        auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    )
    return frozenset(both - set(auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES))


def checked_folder(folder: Path, name: str) -> Path:
    """The folder, if what it holds can be loaded without running or unpickling anything foreign."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{name} has no config.json.", hint="Choose a folder saved by save_pretrained.")
    if not any(folder.glob("*.safetensors")):
        pickled = ", ".join(sorted(path.name for path in folder.glob("*.bin")))
        raise ModelError(
            f"{name} has no safetensors weights{f', only {pickled}' if pickled else ''}.",
            hint="Pickled weights can run code when read; choose a model with model.safetensors, or use: "
            "python -m bertspace import FOLDER",
        )
    check_tokenizer(folder, name)
    check_counts(folder, name)
    return folder


def check_tokenizer(folder: Path, name: str) -> None:
    """Raises ModelError where the tokenizer's configuration names files elsewhere.

    transformers prefers what stands there over the folder's own files: any text file of this machine could
    be read as a vocabulary, and shown to whoever asks for tokens.
    """
    path = folder / "tokenizer_config.json"
    for key, value in (read_config(path) if path.is_file() else {}).items():
        if key.endswith("_file") and value is not None and not _is_in(folder, value):
            raise ModelError(
                f"{name} names a file outside its folder in tokenizer_config.json ({key}).",
                hint="Choose another model, or take that line out.",
            )


def check_counts(folder: Path, name: str) -> None:
    """Raises ModelError where config.json has so many labels or layers that reading it takes gigabytes."""
    config = read_config(folder / "config.json")
    for key in COUNTED:
        if isinstance(count := config.get(key), int) and count > MOST_COUNTED:
            raise ModelError(
                f"The config.json of {name} says {key}: {count:,}; the limit is {MOST_COUNTED:,}.",
                hint="Choose another model.",
            )


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
    """In the block, a model that this thread builds for this folder is refused as soon as it is far larger
    than the folder's weights: by ModelError, and before it takes memory.

    transformers builds a model on torch's meta device, where a tensor is its shape alone, and reads the
    weights then: what is counted is the meta tensors. Of the weights only the headers are read.
    """
    _count_tensors()
    values, tensors = _held(folder)
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


def _held(folder: Path) -> tuple[int, int]:
    """How many values the folder's safetensors hold, and in how many tensors."""
    from safetensors import SafetensorError, safe_open

    values, tensors = 0, 0
    for file in folder.glob("*.safetensors"):
        # A broken one is told by who loads it; it may be none of the model's.
        with suppress(OSError, SafetensorError), safe_open(file, "numpy") as opened:
            shapes = [opened.get_slice(key).get_shape() for key in opened.keys()]
            values, tensors = values + sum(map(math.prod, shapes)), tensors + len(shapes)
    return values, tensors


def _is_in(folder: Path, name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name and (folder / name).is_file()


def read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path.parent.name}/config.json cannot be read.", hint="Choose another model."
        ) from error
    if not isinstance(config, dict):
        raise ModelError(
            f"{path.parent.name}/config.json is not a JSON object.", hint="Choose another model."
        )
    return config


def lacking_head(name: str, config: dict[str, Any], task: str) -> str:
    heads = config.get("architectures") or ["no known head"]
    if task == "features" or any(str(head).endswith(HEADS[task]) for head in heads):
        return ""
    what = "fill masks" if task == "fill-mask" else "classify"
    return f"{name} is a {heads[0]} and does not {what}."
