"""A model's files on disk, as huggingface_hub's cache lays them out: what is there, how the rest is brought.

The files are read by us, through the client's session, addresses and headers: the client (2.4) throws away
what has arrived of a file whenever a call fails, and cannot be stopped within one. Here a broken download
goes on where it broke off, can be stopped at any time, and every file is checked by the hash that the Hub has
of it. What is brought is what `snapshot_download` would have brought, and it takes it for its own.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertspace.errors import FULL, Cancelled, HubError, HubUnreachable, ModelError
from bertspace.files import home
from bertspace.hub import credentials
from bertspace.hub.client import api, faults, told
from bertspace.processes import sleep
from bertspace.safety.layout import CONFIG, INDEX, REWRITTEN, VARIANT, VOCABULARIES, bounded_json, weight_map

WEIGHTS = ".safetensors"
MODEL, PROBE = f"model{WEIGHTS}", f"probe{WEIGHTS}"  # the second is what a base knew, see probe.py
MERGED = "merged-"  # what the folder of a merged adapter is called begins with, see hub_adapters
ADAPTER, OF_ADAPTER = f"adapter_model{WEIGHTS}", "adapter_config.json"
# What `layout` makes a model of, and the card. A repository's top has much else: logs, pictures, checkpoints.
NEEDED = {CONFIG, INDEX, *REWRITTEN, *VOCABULARIES, "README.md"}
CHUNK = 1024 * 1024
LONGEST_PATH = 1000  # characters, within a repository
TRIES = 4  # in a row without a byte
READ_SECONDS, LONGEST_WAIT = 12, 30  # for the next bytes; for the Hub's own wish before a further try
HEADER_BYTES, MOST_NAMES = 4 * 1024 * 1024, 20_000  # of the names of a file's weights
SPARE = 64 * 1024 * 1024  # bytes left on the disk
WORDS = {"model": "model", "dataset": "data set"}  # of a repository's kind
COMMIT = re.compile("[0-9a-f]{40}")
_DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")  # as transformers calls them
_PLAIN = re.compile(r"\w[\w.-]{0,200}", re.ASCII)  # a name as those of all files that a model is loaded from


@dataclass(frozen=True)
class RemoteFile:
    """One file of a commit. digest: SHA-256 of a large file, git's SHA-1 of a blob of any other."""

    path: str
    size: int
    digest: str

    def __post_init__(self) -> None:
        """Raises HubError for what would be no place of its own in a cache."""
        parts = str(self.path).split("/")
        fits = all(part not in ("", ".", "..") and len(part.encode()) <= 255 for part in parts)
        known = isinstance(self.size, int) and self.size >= 0 and _DIGEST.fullmatch(str(self.digest))
        if not (fits and known and self.path.isprintable() and len(self.path) <= LONGEST_PATH):
            raise HubError(
                f"What the Hub says of the file {str(self.path)[:80]!r} cannot be right.",
                hint="Choose another model or data set.",
            )

    def is_whole(self, path: Path) -> bool:
        """Whether what lies there is this file, by its size and its hash."""
        if path.stat().st_size != self.size:
            return False
        found = self.hasher()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                found.update(chunk)
        return bool(found.hexdigest() == self.digest)

    def hasher(self) -> Any:
        """What makes the digest of its bytes."""
        if len(self.digest) == 64:
            return hashlib.sha256()
        return hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)


@dataclass
class Progress:
    """Bytes so far and in all, told to whoever asked; raises Cancelled where they want no more."""

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
        self.look()

    def look(self) -> None:
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


def common() -> Path:
    """The cache that the libraries share."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def of_owner(owner: str) -> Path:
    """Where models lie that this owner alone may see, beside their runs; no run is called so."""
    return home() / owner / "hub"


def places() -> list[Path]:
    """The caches that the caller may read from, their own first."""
    own = credentials.current().folder
    return [own, common()] if own else [common()]


def repo_folder(cache: Path, repo_id: str, kind: str = "model") -> Path:
    """kind: "model" or "dataset"."""
    return cache / f"{kind}s--{repo_id.replace('/', '--')}"


def find(repo_id: str, revision: str | None, caches: Sequence[Path]) -> Path | None:
    """The snapshot of the revision that has all its weights, in the first of the caches that has it."""
    for cache in caches:
        snapshot = snapshot_of(cache, repo_id, revision)
        if snapshot is not None and is_complete(snapshot):
            return snapshot
    return None


def snapshot_of(cache: Path, repo_id: str, revision: str | None, kind: str = "model") -> Path | None:
    """Where the cache has the revision, whole or in part, if it has it."""
    folder, name = repo_folder(cache, repo_id, kind), revision or "main"
    with suppress(OSError, ValueError):
        name = (folder / "refs" / name).read_text(encoding="ascii").strip() or name
    found = folder / "snapshots" / name
    return found if "/" not in name and found.is_dir() else None


def commit_of(folder: Path) -> str:
    """The commit of a snapshot, or of an adapter that lies merged within one."""
    return folder.parent.name if folder.name.startswith(MERGED) else folder.name


def is_complete(snapshot: Path) -> bool:
    """Whether a model can be loaded from the folder, or it is an adapter; a broken download lacks weights, or
    has some only."""
    if not (snapshot / CONFIG).is_file():
        return (snapshot / ADAPTER).is_file() and (snapshot / OF_ADAPTER).is_file()
    if not (snapshot / MODEL).is_file() and (snapshot / INDEX).is_file():
        named = shards(snapshot)
        return bool(named) and all((snapshot / name).is_file() for name in named)
    return any(path.is_file() for path in snapshot.glob(f"*{WEIGHTS}"))


def shards(snapshot: Path) -> set[str]:
    """The files beside its index that this names; none where it is too large, or names anything else."""
    with suppress(ModelError):
        return set(weight_map(snapshot, snapshot.name).values())
    return set()


def models_in(cache: Path) -> Iterator[str]:
    """The ids of the models in a cache that can be loaded without a network."""
    for folder in sorted(cache.glob("models--*")):
        repo_id = folder.name.removeprefix("models--").replace("--", "/")
        if find(repo_id, None, [cache]):
            yield repo_id


def needed(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The files that a model or an adapter is loaded from, and its card; weights last."""
    names = {file.path for file in files}
    weights = set(weights_of(names))
    wanted = weights | NEEDED | ({OF_ADAPTER} if ADAPTER in weights else set())
    found = [file for file in files if file.path in wanted]
    return sorted(found, key=lambda file: (file.path.endswith(WEIGHTS), file.path))


def weights_of(names: Collection[str]) -> list[str]:
    """The files of weights that a model is loaded from, by the names at the top of its repository.

    Whole ones go before shards, an adapter, and a variant such as model.fp16.safetensors.
    """
    if MODEL in names:
        return [MODEL, *({PROBE} & set(names))]
    if INDEX in names:
        plain = [
            name for name in names if name.endswith(WEIGHTS) and _PLAIN.fullmatch(name) and name != ADAPTER
        ]
        return [name for name in plain if _SHARD.fullmatch(name)] or plain
    if {ADAPTER, OF_ADAPTER} <= set(names):
        return [ADAPTER, *({PROBE} & set(names))]
    return sorted(name for name in names if VARIANT.fullmatch(name))[:1]


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
    first_weights = next((file for file in files if file.path.endswith(WEIGHTS)), None)
    for file in files:
        if check and file is first_weights:
            check(snapshot)
        url = hf_hub_url(repo_id, file.path, repo_type=kind, revision=commit)
        _link(_brought(url, file, folder / "blobs", progress), snapshot / file.path)
    if revision != commit:
        refer(snapshot, revision)
    return snapshot


def refer(snapshot: Path, revision: str | None) -> None:
    """Note that the revision was this commit when it was asked for last."""
    reference = snapshot.parent.parent / "refs" / (revision or "main")
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(snapshot.name, encoding="ascii")


def _tag(cache: Path) -> None:
    """The mark by which programs that make backups know a cache."""
    tag = cache / "CACHEDIR.TAG"
    if not tag.exists():
        tag.write_text("Signature: 8a477f597d28d172789f06886806bc55\n# Of huggingface_hub's layout\n")


def _brought(url: str, file: RemoteFile, blobs: Path, progress: Progress) -> Path:
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
            progress.look()  # someone else is at this file
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
        except faults() as error:
            if _is_full(error):
                raise HubError(
                    f"The disk is full: {progress.name} does not fit.", hint="Free some space and try again."
                ) from error
            arrived = partial.stat().st_size if partial.exists() else 0
            failed = 1 if arrived > have else failed + 1
            _wait_or_raise(
                told(error, progress.name, kind=progress.kind), failed, begin + arrived, progress, error
            )


def _wait_or_raise(why: HubError, failed: int, done: int, progress: Progress, error: BaseException) -> None:
    """Wait before a further try where one may help; else raise what happened, and what is kept."""
    wait = getattr(why, "seconds", 0.0) or 2.0 ** (failed - 1)
    if isinstance(why, HubUnreachable) and failed < TRIES and wait <= LONGEST_WAIT:
        sleep(wait, progress.look)
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
    import httpx2
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers: dict[str, Any] = build_hf_headers(token=credentials.current().token)
    headers["Accept-Encoding"] = "identity"  # bytes as they are, so that a range means what it says
    if have:
        headers["Range"] = f"bytes={have}-"
    timeout = httpx2.Timeout(READ_SECONDS)
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        if have and response.status_code != 206:  # the whole file comes, whatever was asked
            progress.done -= have
            have = 0
        with partial.open("r+b" if have else "wb") as target:
            target.seek(have)
            for chunk in response.iter_raw():  # as it arrives: what waits for more is lost by a cut
                target.write(chunk)
                target.flush()  # what is told as arrived is on disk when this process is killed
                progress.add(len(chunk))
                if target.tell() > file.size:
                    return  # an answer without an end would fill the disk


def small(url: str, file: RemoteFile) -> bytes:
    """The file's bytes, which are kept nowhere; raises HubError where they are not what the Hub says."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = build_hf_headers(token=credentials.current().token) | {"Accept-Encoding": "identity"}
    content = b""
    with get_session().stream("GET", url, headers=headers, timeout=READ_SECONDS) as response:
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        for chunk in response.iter_raw():
            content += chunk
            if len(content) > file.size:
                break
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
    return [name for name in found if name != "__metadata__"][:MOST_NAMES]


def _part(url: str, start: int, length: int) -> bytes:
    """So many bytes of a file."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = build_hf_headers(token=credentials.current().token) | {"Accept-Encoding": "identity"}
    headers["Range"] = f"bytes={start}-{start + length - 1}"
    content = b""
    with get_session().stream("GET", url, headers=headers, timeout=READ_SECONDS) as response:
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        if response.status_code != 206:
            raise ValueError("the whole file comes, whatever was asked")
        for chunk in response.iter_raw():
            content += chunk
            if len(content) >= length:
                break
    return content[:length]


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


def size_on_disk(repo_id: str, files: Sequence[RemoteFile], caches: Sequence[Path]) -> int:
    """Bytes of the files that are there already, whole or in part."""
    found = 0
    for file in files:
        for cache in caches:
            blob = repo_folder(cache, repo_id) / "blobs" / file.digest
            part = blob.with_name(f"{blob.name}.incomplete")
            if (there := next((path for path in (blob, part) if path.is_file()), None)) is not None:
                found += min(there.stat().st_size, file.size)
                break
    return found
