"""The caches of huggingface_hub on disk: where they are, and what lies in them whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertspace.errors import HubError, ModelError
from bertspace.files import home
from bertspace.hub import credentials
from bertspace.safety.json_values import CONFIG
from bertspace.safety.layout import (
    ADAPTER,
    ADAPTER_CONFIG,
    INDEX,
    SAFETENSORS,
    WEIGHTS,
    weight_map,
    weights_of,
)
from bertspace.safety.tokenizer import REWRITTEN, VOCABULARIES

PROBE = f"probe{SAFETENSORS}"  # what a base knew, see models.probe
MERGED = "merged-"  # what the folder of a merged adapter begins with, see adapters
# What `layout` makes a model of, and the card. A repository's top has much else: logs, pictures, checkpoints.
NEEDED = {CONFIG, INDEX, *REWRITTEN, *VOCABULARIES, "README.md"}
WORDS = {"model": "model", "dataset": "data set"}  # of a repository's kind
_DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
MAX_PATH = 1000  # characters, within a repository
CHUNK = 1024 * 1024


@dataclass(frozen=True)
class RemoteFile:
    """One file of a commit. digest: SHA-256 of a large file, git's SHA-1 of a blob of any other."""

    path: str
    size: int
    digest: str

    def __post_init__(self) -> None:
        """Raises HubError for what would be no place of its own in a cache."""
        parts = str(self.path).split("/")
        is_inside = all(part not in ("", ".", "..") and len(part.encode()) <= 255 for part in parts)
        known = isinstance(self.size, int) and self.size >= 0 and _DIGEST.fullmatch(str(self.digest))
        if not (is_inside and known and self.path.isprintable() and len(self.path) <= MAX_PATH):
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
        return (snapshot / ADAPTER).is_file() and (snapshot / ADAPTER_CONFIG).is_file()
    if not (snapshot / WEIGHTS).is_file() and (snapshot / INDEX).is_file():
        named = shards(snapshot)
        return bool(named) and all((snapshot / name).is_file() for name in named)
    return any(path.is_file() for path in snapshot.glob(f"*{SAFETENSORS}"))


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
    wanted = weights | NEEDED | {PROBE} | ({ADAPTER_CONFIG} if ADAPTER in weights else set())
    found = [file for file in files if file.path in wanted]
    return sorted(found, key=lambda file: (file.path.endswith(SAFETENSORS), file.path))


def refer(snapshot: Path, revision: str | None) -> None:
    """Note that the revision was this commit when it was asked for last."""
    reference = snapshot.parent.parent / "refs" / (revision or "main")
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(snapshot.name, encoding="ascii")


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
