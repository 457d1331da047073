"""Download models within limits, and find those that are on disk already."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bertspace.errors import HubError, HubUnreachable, ModelError
from bertspace.hub import adapters, cache, credentials, download, names, quota
from bertspace.hub.cache import RemoteFile
from bertspace.hub.card_text import config_of
from bertspace.hub.client import (
    ANSWER_SECONDS,
    api,
    call_hub,
    check_id,
    check_revision,
    readable,
    with_or_without_login,
)
from bertspace.hub.download import Progress
from bertspace.safety import loadable
from bertspace.safety.layout import INDEX, WEIGHTS
from bertspace.safety.room import weight_names

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

MAX_FILES = 5000  # at a repository's top


def snapshot(
    repo_id: str,
    revision: str | None = None,
    *,
    task: str = "",
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Path:
    """The folder that holds a model repository's configuration, tokenizer and safetensors; the owner's call
    takes it over (see quota). An adapter comes with its base, merged into it.

    One question with a time-out finds out whether the Hub answers; where it does not, what was brought before
    serves. task: what the model has to have a head for, "" for any; it is checked before the weights come.
    progress: told bytes so far and in all. stopped: asked between them. Raises HubError, ModelError,
    Cancelled and ForbiddenError.
    """
    check_id(repo_id)
    check_revision(repo_id, revision)
    found = _snapshot(repo_id, revision, Progress(0, repo_id, progress, stopped), task)
    quota.take_over(found)
    if not adapters.is_adapter(os.listdir(found)):
        return found
    base_id, base_revision = split_name(adapters.read_folder(found, repo_id).base)
    base = _snapshot(base_id, base_revision, Progress(0, base_id, progress, stopped), "")
    quota.take_over(base)
    return _merged(found, base, repo_id, base_id)


def _merged(found: Path, base: Path, repo_id: str, base_id: str) -> Path:
    """An adapter with its base; raises ModelError, ForbiddenError, HubError."""
    if adapters.is_adapter(os.listdir(base)):
        raise adapters.two_adapters(repo_id, base_id)
    own = credentials.current().folder
    if own and base.is_relative_to(own) and not found.is_relative_to(own):
        raise HubError(  # the merged weights would lie where everybody's are
            f"Not everybody may see {base_id}, and everybody may see {repo_id}.",
            hint="Merge the two by peft's merge_and_unload, and push that to a private repository.",
        )
    if not adapters.merged_place(found, base).is_dir():
        wanted = sum(path.stat().st_size for path in (*base.iterdir(), *found.iterdir()) if path.is_file())
        quota.check_size(repo_id, wanted)
        quota.make_room(found.parents[2], wanted, repo_id, found.name)
    return adapters.merge(found, base, repo_id)


def _snapshot(repo_id: str, revision: str | None, progress: Progress, task: str) -> Path:
    if not credentials.current().guest:
        cached = on_disk_of(repo_id, revision)
        if cached is not None and cached.name == revision:
            return cached  # a commit does not change
    try:
        return with_or_without_login(lambda: _pulled(repo_id, revision, progress, task))
    except HubUnreachable:  # not where the Hub says no: what another person brought is not for all
        if (cached := on_disk_of(repo_id, revision)) is not None:
            return cached
        raise


def pulled_fresh(repo_id: str, commit: str, place: Path, stopped: Callable[[], bool]) -> Path:
    """The files of a commit in a cache of its own, whatever is on disk elsewhere; raises as `snapshot`."""
    remote = remote_of(repo_id, commit)
    files = cache.needed(remote.files)
    progress = Progress(sum(file.size for file in files), repo_id, None, stopped)
    return download.bring(repo_id, commit, remote.commit, files, place, progress)


def on_disk() -> list[str]:
    """The ids of the models that the caller can load without a network, sorted."""
    caller = credentials.current()
    shared = list(cache.models_in(cache.common()))
    if caller.guest:
        shared = [repo_id for repo_id in shared if repo_id in PUBLIC]
    own = list(cache.models_in(caller.folder)) if caller.folder else []
    return sorted(repo_id for repo_id in {*shared, *own} if usable(on_disk_of(repo_id, None)))


def folder_on_disk(name: str) -> Path | None:
    """Where owner/name[@revision] lies that the caller can load without a network; None where it does not.

    The Hub is asked again of what it gave to everybody a while ago. Raises HubError for what is no name.
    """
    repo_id, revision = split_name(name)
    if credentials.current().guest and repo_id not in PUBLIC and PUBLIC.forget(repo_id):
        with suppress(HubError):
            remote_of(repo_id, None)
    return usable(on_disk_of(repo_id, revision))


def _pulled(repo_id: str, revision: str | None, progress: Progress, task: str) -> Path:
    remote = remote_of(repo_id, revision)
    files, caches = cache.needed(remote.files), places(not remote.is_restricted)
    found = cache.find(repo_id, remote.commit, caches)
    if found is not None and all((found / file.path).is_file() for file in files):
        return found
    if progress.stopped is None and not credentials.current().in_calls:
        return cache.find(repo_id, revision, caches) or _refuse_to_bring(repo_id)
    if not caches:
        raise HubError(
            f"{repo_id} asks for its terms to be accepted.", hint="Sign in, and accept them first."
        )
    listed = [file.path for file in remote.files]
    if not adapters.is_adapter(listed):
        loadable.check(repo_id, None, listed)
    progress.total = sum(file.size for file in files)
    quota.check_size(repo_id, progress.total)
    place = caches[0] if remote.is_restricted else cache.common()
    quota.make_room(place, progress.total, repo_id, remote.commit)
    return download.bring(
        repo_id, revision, remote.commit, files, place, progress, partial(_check_small, repo_id, listed, task)
    )


def _refuse_to_bring(repo_id: str) -> NoReturn:
    raise HubError(
        f"{repo_id} is not on this machine yet.",
        hint="Pull it first: in the Hub tab, or by the endpoint pull; pulling tells how far that is.",
    )


def _check_small(repo_id: str, listed: Collection[str], task: str, snapshot: Path) -> None:
    """Raises what says that the weights need not come, once all else is there."""
    if adapters.is_adapter(listed):
        adapters.read_folder(snapshot, repo_id)
        return
    if WEIGHTS not in listed and INDEX in listed:
        named = cache.shards(snapshot)
        if not named or named - set(listed):
            raise ModelError(
                f"The index of {repo_id}'s weights names other files than it has.",
                hint="Choose another model.",
            )
    loadable.check(repo_id, config_of(snapshot), listed, task, weight_names(snapshot))


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

    found = call_hub(lambda: readable(ask, repo_id), repo_id, revision=revision or "")
    if found.is_restricted:
        PUBLIC.forget(repo_id)
    else:
        PUBLIC.add(repo_id)
    return found


def split_name(name: str) -> tuple[str, str | None]:
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
        base = on_disk_of(*split_name(adapters.read_folder(found, found.name).base))
        if base and (merged := adapters.merged_place(found, base)).is_dir():
            return merged
    return None
