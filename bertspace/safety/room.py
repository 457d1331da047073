"""The size of a model's weights from their headers, and a limit on how large a model may be built."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace.errors import ModelError
from bertspace.safety.layout import INDEX, weight_map

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Shapes = Mapping[str, Sequence[int]]

# How much larger a model may be than its weights. A decoder that is tied to the embeddings is built as well,
# a pooler and a head may be new: at their usual sizes the encoders that transformers has are built of 0.9 to
# 1.7 times the values of the bare encoder; of 2.2, in 6.6 times the tensors, is I-BERT, which quantizes.
TIMES_VALUES, MORE_VALUES = 3, 10_000_000
TIMES_TENSORS, MORE_TENSORS = 8, 100

_BUILDING = threading.local()  # .room: what the model that this thread builds may take


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


def weight_names(folder: Path) -> list[str]:
    """The names of a folder's weights by their headers, or by the index where they are not here yet."""
    found = list(shapes_of(folder))
    if not found and (folder / INDEX).is_file():
        found = [*weight_map(folder, folder.name)]
    return found
