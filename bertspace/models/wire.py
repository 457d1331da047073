"""Messages between the app and an untrusted process: JSON and plain arrays, never a pickle.

A message is its length, the length of its JSON, the JSON, and the bytes of the arrays that the JSON names.
"""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

HEAD = struct.Struct(">QQ")  # bytes of the message behind this, and of its JSON
MAX_BYTES = 128 * 1024**2  # a csv of 10 MiB with every label's score is a few
DIMENSIONS = 4
_ARRAY = "\0array"  # a key that no table of ours has
_TYPES = ("float32", "float64", "int8", "int32", "int64", "bool")


def pack(value: Any) -> bytes:
    """A message of None, flags, numbers, texts, lists, dicts with texts as keys, and arrays."""
    arrays: list[bytes] = []
    text = json.dumps(_without_arrays(value, arrays), ensure_ascii=False).encode(errors="replace")
    body = b"".join((text, *arrays))
    return HEAD.pack(len(body), len(text)) + body


def _without_arrays(value: Any, arrays: list[bytes]) -> Any:
    if isinstance(value, dict):
        return {_escaped(key): _without_arrays(each, arrays) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(each, arrays) for each in value]
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        arrays.append(value.tobytes())
        return {_ARRAY: [str(value.dtype), list(value.shape)]}
    return value


def _escaped(key: Any) -> Any:
    """A vocabulary's piece or a label may begin as the mark of an array does."""
    return f"\0{key}" if isinstance(key, str) and key.startswith("\0") else key


def lengths(head: bytes) -> tuple[int, int]:
    """The two numbers of a message's head; raises ValueError for what cannot be one."""
    whole, text = HEAD.unpack(head)
    if not text <= whole <= MAX_BYTES:
        raise ValueError("a message of this length cannot be")
    return whole, text


def unpack(body: bytes, text: int) -> Any:
    """The value of a message; raises ValueError for what `pack` has not made."""
    view = _Arrays(body, text)
    try:
        value = view.put_back(json.loads(body[:text]))
    except (RecursionError, TypeError, KeyError) as error:
        raise ValueError("a message cannot be read") from error
    if view.place != len(body):
        raise ValueError("a message is longer than it says")
    return value


class _Arrays:
    """The arrays behind a message's JSON, taken off in their order."""

    def __init__(self, body: bytes, place: int) -> None:
        self.body, self.place = body, place

    def put_back(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.put_back(each) for each in value]
        if not isinstance(value, dict):
            return value
        return self._next(*value[_ARRAY]) if _ARRAY in value else self._table(value)

    def _table(self, value: dict[str, Any]) -> dict[str, Any]:
        return {key.removeprefix("\0"): self.put_back(each) for key, each in value.items()}

    def _next(self, kind: str, shape: list[int]) -> np.ndarray:
        import numpy as np

        is_valid = len(shape) <= DIMENSIONS and all(
            isinstance(size, int) and 0 <= size <= MAX_BYTES for size in shape
        )
        if kind not in _TYPES or not is_valid:
            raise ValueError("a message has an array of another kind")
        count = math.prod(shape)
        size = count * np.dtype(kind).itemsize
        if self.place + size > len(self.body):
            raise ValueError("a message has an array that is cut off")
        found = np.frombuffer(self.body, kind, count, self.place).reshape(shape)
        self.place += size
        return found
