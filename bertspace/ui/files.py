"""Gradio's folder of uploads and downloads: a place of our own for it, bounded; and the files put into it."""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gradio.utils import get_upload_folder

from bertspace import policy
from bertspace.tables import write_csv

if TYPE_CHECKING:
    import pandas as pd

OLDEST = 24 * 3600  # seconds; what an app that was killed left behind goes at the next start
MOST_BYTES = 4 * 1024**3  # BERTSPACE_MAX_CACHE_BYTES
PREFIX = "written-"
# The folders that gradio (named by a digest) and `new_path` make: nothing else is ever removed.
_OURS = re.compile(rf"[0-9a-f]{{64}}|{PREFIX}\w+", re.ASCII)


def own_folder() -> str:
    """A folder that only this user may read: gradio's own default is one for everybody on the machine."""
    path = Path(tempfile.gettempdir()) / f"bertspace-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    safe = path.is_dir() and not path.is_symlink() and found.st_uid == os.getuid()
    if not safe or found.st_mode & 0o077:
        return tempfile.mkdtemp(prefix="bertspace-")
    return str(path)


def make_room(coming: int = 0) -> None:
    """Remove what is too old, then the oldest, until `coming` bytes fit under the bound."""
    most = policy.from_environment("cache_bytes", MOST_BYTES)
    found = sorted(_files(), key=lambda each: each[0])
    total = coming + sum(size for _, size, _ in found)
    for changed, size, path in found:
        if changed < time.time() - OLDEST or (most and total > most):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # another file is in it
                path.parent.rmdir()
            total -= size


def _files() -> list[tuple[float, int, Path]]:
    """(time of change, bytes, path) of the files that are in the folder."""
    found = []
    for folder in Path(get_upload_folder()).glob("*"):
        if not _OURS.fullmatch(folder.name) or folder.is_symlink():
            continue
        for path in folder.glob("*"):
            with suppress(FileNotFoundError):  # gradio cleans too
                status = path.lstat()
                found.append((status.st_ctime, status.st_size, path))
    return [each for each in found if not each[2].is_dir()]


def written_csv(frame: pd.DataFrame, name: str) -> str:
    """The path of a new csv file of that name, from which the page serves it."""
    path = new_path(name)
    write_csv(frame, path)
    return str(path)


def new_path(name: str) -> Path:
    """Where a file of that name can be written to be served: in a folder that nobody can guess."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder)) / name
