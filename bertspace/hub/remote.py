"""A model of the Hub: which revision there is, who may see it, and where it lies on this machine."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace.errors import HubError, ModelError
from bertspace.hub import adapters, cache, credentials, download, names
from bertspace.hub.client import ANSWER_SECONDS, answered, api, readable
from bertspace.hub.download import RemoteFile

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

MAX_FILES = 5000  # at a repository's top


class Public:
    """What the Hub lately said to be for everybody: a bounded memory, of this process, that wears off."""

    SECONDS, MAX = 3600.0, 10_000

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()  # repository: time.monotonic()
        self._lock = threading.Lock()

    def add(self, repo_id: str) -> None:
        with self._lock:
            self._seen[repo_id] = time.monotonic()
            self._seen.move_to_end(repo_id)
            if len(self._seen) > self.MAX:
                self._seen.popitem(last=False)

    def forget(self, repo_id: str) -> bool:
        """Whether it was known."""
        with self._lock:
            return self._seen.pop(repo_id, None) is not None

    def __contains__(self, repo_id: str) -> bool:
        with self._lock:
            return time.monotonic() - self._seen.get(repo_id, -math.inf) < self.SECONDS


PUBLIC = Public()


@dataclass(frozen=True)
class Remote:
    """A revision of a model as the Hub has it."""

    info: ModelInfo
    files: tuple[RemoteFile, ...]

    @property
    def commit(self) -> str:
        return str(self.info.sha)

    @property
    def is_restricted(self) -> bool:
        return self.info.private is not False or bool(self.info.gated)


def remote_of(repo_id: str, revision: str | None) -> Remote:
    def ask() -> Remote:
        from huggingface_hub.errors import DisabledRepoError, RepositoryNotFoundError

        client = api()
        try:
            info = client.model_info(repo_id, revision=revision, timeout=ANSWER_SECONDS - 1)
        except (RepositoryNotFoundError, DisabledRepoError):  # the first one for gated ones too
            PUBLIC.forget(repo_id)
            raise
        return Remote(info, tuple(download.listed(repo_id, info.sha, MAX_FILES)))

    found = answered(lambda: readable(ask, repo_id), repo_id, revision=revision or "")
    if found.is_restricted:
        PUBLIC.forget(repo_id)
    else:
        PUBLIC.add(repo_id)
    return found


def parts(name: str) -> tuple[str, str | None]:
    found = names.parse(name)
    return found.repo_id, found.revision or None


def on_disk_of(repo_id: str, revision: str | None) -> Path | None:
    """What is on disk of it, if the caller may have it without asking the Hub."""
    return cache.find(repo_id, revision, places(repo_id in PUBLIC))


def places(is_public: bool) -> list[Path]:
    """Where the caller may read a model from: what not everybody may see is no guest's for lying here."""
    with_common = is_public or not credentials.current().guest
    return [place for place in cache.places() if with_common or place != cache.common()]


def usable(found: Path | None) -> Path | None:
    """What can be loaded of what lies here without a network: of an adapter, where it is merged already."""
    if found is None or not adapters.is_adapter(os.listdir(found)):
        return found
    with suppress(HubError, ModelError):
        base = on_disk_of(*parts(adapters.read_folder(found, found.name).base))
        if base and (merged := adapters.place(found, base)).is_dir():
            return merged
    return None
