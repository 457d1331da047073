"""The folder of bertspace's own files, atomic writes, and reads that are cached until a file changes."""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
MAX_CACHED = 4096  # values of `cached`

_lock = threading.Lock()
_cache: OrderedDict[str, tuple[object, object]] = OrderedDict()


def home() -> Path:
    """The folder that holds every run: BERTSPACE_HOME, or ./runs."""
    return Path(os.environ.get("BERTSPACE_HOME") or "runs").resolve()


def write_atomically(path: Path, text: str) -> None:
    """Write beside, fsync, rename: a reader sees the old or the new file, a full disk leaves the old."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def folder_bytes(folder: Path) -> int:
    """What all files below it take on disk; files that disappear meanwhile take none."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            status = path.lstat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def cached(path: Path, read: Callable[[], T]) -> T:
    """What `read` makes of the file, computed anew only when the file changes; exceptions are not cached."""
    mark = stamp(path)
    with _lock:
        known = _cache.get(str(path))
    if known and known[0] == mark:
        return known[1]  # type: ignore[return-value]  # a path is always read by the same function
    value = read()
    with _lock:
        _cache[str(path)] = mark, value
        while len(_cache) > MAX_CACHED:
            _cache.popitem(last=False)
    return value


def stamp(path: Path) -> tuple[int, ...]:
    """Equal as long as the file is the same; empty where there is none. Files are written by renaming."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size
