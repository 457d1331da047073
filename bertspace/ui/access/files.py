"""Gradio's folder of uploads and downloads: a place of our own, with a bounded folder for each person."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gradio.processing_utils import client_utils  # gradio pins its version
from gradio.utils import get_upload_folder

from bertspace import policy
from bertspace.data.tables import write_csv
from bertspace.errors import DataError, ForbiddenError
from bertspace.ui.access.admission import CACHE_BYTES, OWNER, SHARE

if TYPE_CHECKING:
    import pandas as pd

MAX_FILES = 200  # of a person: empty ones take room too, and all are looked at for each new one
OLDEST = 24 * 3600  # seconds; what an app that was killed left behind goes at the next start
PREFIX = "person-"
# A person's folder, gradio's (named by a digest), and what earlier versions made: nothing else is removed.
_OURS = re.compile(rf"{PREFIX}[0-9a-f]{{24}}|[0-9a-f]{{64}}|written-\w+", re.ASCII)
_whose: ContextVar[str] = ContextVar("whose", default=OWNER)


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


def whose() -> str:
    """The key of the person for whom this is done."""
    return _whose.get()


@contextmanager
def kept_for(key: str) -> Iterator[None]:
    """What is written in here, in threads with this context too, is the person's with this key."""
    before = _whose.set(key)
    try:
        yield
    finally:
        _whose.reset(before)


def folder() -> Path:
    """The person's own folder."""
    return Path(get_upload_folder()) / f"{PREFIX}{sha256(whose().encode()).hexdigest()[:24]}"


def check_own(inputs: object) -> None:
    """Raises DataError for a file among an event's inputs that is not this person's, or that is gone."""
    client_utils.traverse(inputs, _check_own, client_utils.is_file_obj_with_meta)


def _check_own(file: dict[str, Any]) -> dict[str, Any]:
    try:
        path = Path(file["path"]).resolve(strict=True)
        own = path.is_file() and path.is_relative_to(folder().resolve())
    except (OSError, TypeError, ValueError):  # gone; no path at all; a NUL in it
        own = False
    if not own:
        raise DataError("That file was not uploaded here.", hint="Upload it (again).")
    return file


def remove_old() -> None:
    """Remove everybody's files that are too old."""
    for changed, _, path in _files(Path(get_upload_folder())):
        if changed < time.time() - OLDEST:
            _remove(path)


def make_room(coming: int = 0) -> None:
    """Let the person's oldest files make room for `coming` bytes; nobody else's do.

    Raises ForbiddenError where those of all others than the owner leave no room for them.
    """
    most = policy.from_environment("cache_bytes", CACHE_BYTES)
    is_owners = whose() == OWNER
    own = sorted(_files(folder()), key=lambda each: each[0])
    total, left = coming + sum(size for _, size, _ in own), len(own)
    for changed, size, path in own:
        full = most and (total > (most if is_owners else most // SHARE) or left >= MAX_FILES)
        if changed < time.time() - OLDEST or full:
            _remove(path)
            total, left = total - size, left - 1
    if most and not is_owners and coming + _of_others() > most:
        raise ForbiddenError("There is no room for more files here at the moment.", hint="Try again later.")


def _of_others() -> int:
    """The bytes of all but the owner."""
    with kept_for(OWNER):
        owners = folder()
    return sum(size for _, size, path in _files(Path(get_upload_folder())) if owners not in path.parents)


def _files(below: Path) -> list[tuple[float, int, Path]]:
    """(time of change, bytes, path) of the files of ours that are below a folder."""
    found = []
    for path in below.rglob("*"):
        with suppress(OSError):  # gradio cleans too
            inside = path.relative_to(get_upload_folder()).parts[0]
            if _OURS.fullmatch(inside) and (path.is_symlink() or not path.is_dir()):
                status = path.lstat()
                found.append((status.st_ctime, status.st_size, path))
    return found


def _remove(path: Path) -> None:
    """The file, and the folders that are empty without it."""
    path.unlink(missing_ok=True)
    top = Path(get_upload_folder())
    with suppress(OSError):  # another file is in it
        for parent in path.parents:
            if parent == top:
                return
            parent.rmdir()


def taken(file: IO[bytes], name: str, size: int) -> str:
    """Where an upload is now, among the person's own; raises DataError for what is no name of a file."""
    named = client_utils.strip_invalid_filename_characters(Path(name).name).replace("\0", "")
    if named in ("", ".", ".."):
        raise DataError("That is no name of a file.", hint="Give it another.")
    path = new_path(named, size)
    with path.open("wb") as out:
        shutil.copyfileobj(file, out)
    return str(path)


def written_csv(frame: pd.DataFrame, name: str) -> str:
    """The path of a new csv file of that name, from which the page serves it."""
    path = new_path(name)
    write_csv(frame, path)
    return str(path)


def new_path(name: str, coming: int = 0) -> Path:
    """Where a file of that name can be written to be served: in a folder that nobody can guess."""
    make_room(coming)
    place = folder() / secrets.token_hex(16)
    place.mkdir(parents=True, mode=0o700)
    return place / name
