"""Small files of runs, read once and again when they are others: a list of many runs costs a look each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
MOST = 4096

_lock = threading.Lock()
_kept: OrderedDict[str, tuple[object, object]] = OrderedDict()


def kept(path: Path, read: Callable[[], T]) -> T:
    """What `read` makes of the file, as long as the file is the same; what `read` raises is not kept."""
    mark = stamp(path)
    with _lock:
        known = _kept.get(str(path))
    if known and known[0] == mark:
        return known[1]  # type: ignore[return-value]  # a path is always read by the same function
    value = read()
    with _lock:
        _kept[str(path)] = mark, value
        while len(_kept) > MOST:
            _kept.popitem(last=False)
    return value


def stamp(path: Path) -> tuple[int, ...]:
    """Equal as long as the file is the same; empty where there is none. Files are written by renaming."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size
