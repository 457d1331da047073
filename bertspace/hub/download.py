"""Download files from the Hub: resumed where they broke off, cancellable, checked by hash.

They are read by us, through the client's session, addresses and headers: the client (2.4) throws away what
has arrived of a file whenever a call fails, and cannot be stopped within one. What is brought is what
`snapshot_download` would have brought, and it takes it for its own.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertspace.errors import FULL, Cancelled, HubError, HubUnreachable
from bertspace.hub import credentials
from bertspace.hub.cache import WORDS, RemoteFile, refer, repo_folder
from bertspace.hub.client import api, client_errors, hub_error
from bertspace.processes import sleep
from bertspace.safety.json_values import bounded_json
from bertspace.safety.layout import INDEX, SAFETENSORS

TRIES = 4  # in a row without a byte
READ_SECONDS, MAX_WAIT = 12, 30  # for the next bytes; for the Hub's own wish before a further try
HEADER_BYTES, MAX_NAMES = 4 * 1024 * 1024, 20_000  # of the names of a file's weights
SPARE = 64 * 1024 * 1024  # bytes left on the disk
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass
class Progress:
    """Bytes so far and in all, reported to `tell`; raises Cancelled where `stopped` says so."""

    total: int
    name: str
    tell: Callable[[int, int], None] | None = None
    stopped: Callable[[], bool] | None = None
    done: int = field(default=0)
    kind: str = "model"  # in words

    def add(self, count: int) -> None:
        self.done += count
        if self.tell:
            self.tell(self.done, self.total)
        self.check()

    def check(self) -> None:
        if self.stopped and self.stopped():
            raise Cancelled(f"The download of {self.name} was cancelled.", hint="What has arrived is kept.")


def listed(
    repo_id: str, commit: str, most: int, kind: str = "model", recursive: bool = False
) -> list[RemoteFile]:
    """The files of a commit; raises HubError for more than `most`, and for odd ones.

    recursive: not at its top alone.
    """
    from huggingface_hub.hf_api import RepoFile

    other = f"Choose another {WORDS[kind]}."
    if not COMMIT.fullmatch(str(commit)):
        raise HubError(f"The Hub names no commit of {repo_id}.", hint=other)
    tree = api().list_repo_tree(repo_id, revision=commit, repo_type=kind, recursive=recursive)
    found = list(itertools.islice(tree, most + 1))
    if len(found) > most:
        raise HubError(f"{repo_id} has more than {most:,} files.", hint=other)
    return [
        RemoteFile(each.path, each.size, each.lfs.sha256 if each.lfs else each.blob_id)
        for each in found
        if isinstance(each, RepoFile)
    ]


def bring(
    repo_id: str,
    revision: str | None,
    commit: str,
    files: Sequence[RemoteFile],
    cache: Path,
    progress: Progress,
    check: Callable[[Path], None] | None = None,
    kind: str = "model",
) -> Path:
    """Bring the files of a commit to the cache; its snapshot folder.

    check: looks at the folder once all but the weights are there, and raises where they need not come.
    """
    from huggingface_hub import hf_hub_url

    folder = repo_folder(cache, repo_id, kind)
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "blobs").mkdir(exist_ok=True)
    _tag(cache)
    first_weights = next((file for file in files if file.path.endswith(SAFETENSORS)), None)
    for file in files:
        if check and file is first_weights:
            check(snapshot)
        url = hf_hub_url(repo_id, file.path, repo_type=kind, revision=commit)
        _link(_blob_of(url, file, folder / "blobs", progress), snapshot / file.path)
    if revision != commit:
        refer(snapshot, revision)
    return snapshot


def _tag(cache: Path) -> None:
    """The mark by which programs that make backups know a cache."""
    tag = cache / "CACHEDIR.TAG"
    if not tag.exists():
        tag.write_text("Signature: 8a477f597d28d172789f06886806bc55\n# Of huggingface_hub's layout\n")


def _blob_of(url: str, file: RemoteFile, blobs: Path, progress: Progress) -> Path:
    """The file's blob, from disk where it is there."""
    from filelock import FileLock, Timeout

    blob = blobs / file.digest
    locks = blobs.parent.parent / ".locks" / blobs.parent.name  # the client's own place for them
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{file.digest}.lock")
    try:
        while not lock.is_locked:
            with suppress(Timeout):
                lock.acquire(timeout=0.5)
            progress.check()  # someone else is at this file
        if blob.is_file():
            progress.add(file.size)
            return blob
        partial = blob.with_name(f"{blob.name}.incomplete")
        _check_space(blobs, file.size - (partial.stat().st_size if partial.exists() else 0), progress.name)
        _read(url, file, partial, progress)
        if not file.is_whole(partial):
            partial.unlink()
            raise HubError(
                f"{file.path} of {progress.name} arrived damaged: its size or its hash is not what the "
                "Hub says. It was removed.",
                hint=f"Bring the {progress.kind} again.",
            )
        partial.replace(blob)
        return blob
    finally:
        lock.release()


def _read(url: str, file: RemoteFile, partial: Path, progress: Progress) -> None:
    """Append to the partial file what it lacks; a line that breaks is tried again from there."""
    failed, begin = 0, progress.done
    while True:
        have = partial.stat().st_size if partial.exists() else 0
        if have > file.size:
            partial.unlink()
            have = 0
        progress.done = begin
        progress.add(have)
        if have == file.size and partial.exists():
            return
        try:
            _append(url, file, partial, have, progress)
            if (arrived := partial.stat().st_size) > file.size:
                return  # it is not what it should be, whatever follows
            if arrived < file.size:
                raise ConnectionError("the answer ended early")
        except client_errors() as error:
            if _is_full(error):
                raise HubError(
                    f"The disk is full: {progress.name} does not fit.", hint="Free some space and try again."
                ) from error
            arrived = partial.stat().st_size if partial.exists() else 0
            failed = 1 if arrived > have else failed + 1
            _wait_or_raise(
                hub_error(error, progress.name, kind=progress.kind), failed, begin + arrived, progress, error
            )


def _wait_or_raise(why: HubError, failed: int, done: int, progress: Progress, error: BaseException) -> None:
    """Wait before a further try where one may help; else raise what happened, and what is kept."""
    wait = getattr(why, "seconds", 0.0) or 2.0 ** (failed - 1)
    if isinstance(why, HubUnreachable) and failed < TRIES and wait <= MAX_WAIT:
        sleep(wait, progress.check)
        return
    if not isinstance(why, HubUnreachable):
        raise why from error
    from bertspace.words import size

    again = f"Try again in {why.seconds:g} seconds." if why.seconds else "Try again."
    raise HubUnreachable(
        f"The download of {progress.name} broke off at {size(done)} of {size(progress.total)}: {why.message}",
        hint=f"{again} What has arrived is kept.",
        seconds=why.seconds,
    ) from error


def _append(url: str, file: RemoteFile, partial: Path, have: int, progress: Progress) -> None:
    with _answer(url, f"bytes={have}-" if have else "") as response:
        if have and response.status_code != 206:  # the whole file comes, whatever was asked
            progress.done -= have
            have = 0
        with partial.open("r+b" if have else "wb") as target:
            target.seek(have)
            for chunk in response.iter_raw():  # as it arrives: what waits for more is lost by a cut
                target.write(chunk)
                target.flush()  # what is reported as arrived is on disk when this process is killed
                progress.add(len(chunk))
                if target.tell() > file.size:
                    return  # an answer without an end would fill the disk


def small(url: str, file: RemoteFile) -> bytes:
    """The file's bytes, which are kept nowhere; raises HubError where they are not what the Hub says."""
    with _answer(url) as response:
        content = _first(response, file.size + 1)
    found = file.hasher()
    found.update(content)
    if found.hexdigest() != file.digest:
        raise HubError(f"{file.path} arrived damaged: it is not what the Hub says.", hint="Look again.")
    return content


def tensors(url: str, file: RemoteFile) -> list[str]:
    """The names of the weights in a safetensors file or an index of such, of which no more is read than that.

    Raises ValueError for what is neither. What a part of a file says has no hash to be checked by: it is good
    for a look.
    """
    if file.path == INDEX:
        found = bounded_json(small(url, file)).get("weight_map") if file.size <= HEADER_BYTES else None
    else:
        length = int.from_bytes(_part(url, 0, 8), "little")
        found = bounded_json(_part(url, 8, length)) if 0 < length <= min(HEADER_BYTES, file.size) else None
    if not isinstance(found, dict):
        raise ValueError("no names of weights")
    return [name for name in found if name != "__metadata__"][:MAX_NAMES]


def _part(url: str, start: int, length: int) -> bytes:
    """So many bytes of a file."""
    with _answer(url, f"bytes={start}-{start + length - 1}") as response:
        if response.status_code != 206:
            raise ValueError("the whole file comes, whatever was asked")
        return _first(response, length)


def _first(response: Any, count: int) -> bytes:
    """The first bytes of an answer; what follows is not waited for."""
    content = b""
    for chunk in response.iter_raw():
        content += chunk
        if len(content) >= count:
            break
    return content[:count]


@contextmanager
def _answer(url: str, range_: str = "") -> Iterator[Any]:
    """The Hub's answer to a GET, to be read as it arrives; raises for a refusal."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers: dict[str, Any] = build_hf_headers(token=credentials.current().token)
    headers["Accept-Encoding"] = "identity"  # bytes as they are, so that a range means what it says
    headers |= {"Range": range_} if range_ else {}
    with get_session().stream("GET", url, headers=headers, timeout=READ_SECONDS) as response:
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        yield response


def _link(blob: Path, place: Path) -> None:
    """A relative link, as the client makes them; a copy where the file system has none."""
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        place.symlink_to(os.path.relpath(blob, place.parent))
    except FileExistsError:
        return  # another process was quicker
    except OSError:
        shutil.copyfile(blob, place)


def _check_space(folder: Path, wanted: int, name: str) -> None:
    from bertspace.words import size

    free = shutil.disk_usage(folder).free
    if wanted + SPARE > free:
        raise HubError(
            f"{name} needs {size(wanted)}, and {size(free)} are free on the disk.",
            hint="Free some space and try again: what has arrived is kept.",
        )


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in FULL
