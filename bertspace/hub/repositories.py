"""The Hub's client: models searched for, looked at and brought to disk, each with time-outs.

The credentials in use count: no token is in any signature. Knows nothing of how models are loaded.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bertspace.errors import HubError, HubUnreachable, ModelError
from bertspace.hub import adapters, credentials, quota
from bertspace.hub import cache as hub_cache
from bertspace.hub import names as hub_names
from bertspace.hub.cache import Progress, RemoteFile
from bertspace.hub.card_text import LARGEST_TEXT, config_of, day, first_lines, labels, one, parsed
from bertspace.hub.client import (
    ANSWER_SECONDS,
    answered,
    api,
    check_id,
    check_revision,
    readable,
    with_or_without_login,
)
from bertspace.safety.layout import INDEX
from bertspace.safety.loadable import tells_head

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

MAY_WRITE = ("admin", "write", "contributor")  # roles in an organisation
MOST_LISTED = 5000  # files at a repository's top


class Public:
    """What the Hub lately said to be for everybody: a bounded memory, of this process, that wears off."""

    SECONDS, MOST = 3600.0, 10_000

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()  # repository: time.monotonic()
        self._lock = threading.Lock()

    def add(self, repo_id: str) -> None:
        with self._lock:
            self._seen[repo_id] = time.monotonic()
            self._seen.move_to_end(repo_id)
            if len(self._seen) > self.MOST:
                self._seen.popitem(last=False)

    def forget(self, repo_id: str) -> bool:
        """Whether it was known."""
        with self._lock:
            return self._seen.pop(repo_id, None) is not None

    def __contains__(self, repo_id: str) -> bool:
        with self._lock:
            return time.monotonic() - self._seen.get(repo_id, -math.inf) < self.SECONDS


_PUBLIC = Public()


@dataclass(frozen=True)
class Found:
    """One model that a search gave. changed: an ISO day, "" where the Hub does not say."""

    repo_id: str
    task: str
    downloads: int
    changed: str
    private: bool
    gated: bool


@dataclass(frozen=True)
class Facts:
    """What the Hub says of a model before any of its weights is here.

    size, here: bytes that a pull fetches, and those of them that are on disk. words: the card's first lines.
    config: config.json. weights: the names of its weights, where config.json does not tell its heads.
    is_adapter: whether it is LoRA's alone, which is merged into its base.
    """

    repo_id: str
    revision: str
    task: str
    labels: tuple[str, ...]
    license: str
    language: str
    base_model: str
    changed: str
    size: int
    here: int
    words: str
    private: bool
    gated: bool
    files: tuple[str, ...]
    config: dict[str, Any]
    weights: tuple[str, ...] = ()
    is_adapter: bool = False

    @property
    def is_here(self) -> bool:
        return self.here >= self.size


@dataclass(frozen=True)
class Account:
    """Whose token it is. organisations: those that it may write to.

    granted: the accounts, organisations and repositories that a fine-grained token may write to; None for a
    token of another kind, which may whatever its account may.
    """

    id: str
    name: str
    organisations: tuple[str, ...]
    may_write: bool
    granted: tuple[str, ...] | None = None

    @property
    def owners(self) -> tuple[str, ...]:
        """The names under which the account may own repositories, its own first."""
        return self.name, *self.organisations


@dataclass(frozen=True)
class _Remote:
    """A revision of a model as the Hub has it."""

    info: ModelInfo
    files: tuple[RemoteFile, ...]

    @property
    def commit(self) -> str:
        return str(self.info.sha)

    @property
    def is_restricted(self) -> bool:
        return self.info.private is not False or bool(self.info.gated)


def search(text: str, task: str = "", limit: int = 20) -> list[Found]:
    """The models whose names hold the text, the most downloaded first; raises HubError."""

    def ask() -> list[Found]:
        found = api().list_models(
            search=text.strip() or None, pipeline_tag=task or None, sort="downloads", limit=limit
        )
        return [
            Found(
                each.id,
                one(each.pipeline_tag),
                each.downloads or 0,
                day(each.last_modified),
                bool(each.private),
                bool(each.gated),
            )
            for each in itertools.islice(found, limit)
        ]

    models = with_or_without_login(lambda: answered(lambda: readable(ask, "the search"), "the search"))
    for each in models:
        if each.private or each.gated:
            _PUBLIC.forget(each.repo_id)
    return models


def facts(name: str) -> Facts:
    """What there is to know of owner/name[@revision] without its weights; raises HubError, ModelError.

    Where the Hub does not answer, what is on disk is looked at.
    """
    repo_id, revision = _parts(name)
    try:
        return with_or_without_login(lambda: _facts(repo_id, revision))
    except HubUnreachable as why:
        if (found := _made(_offline(repo_id, revision))) is None:
            raise
        return _facts_on_disk(repo_id, found, why)


def snapshot(
    repo_id: str,
    revision: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
    check: Callable[[Path], None] | None = None,
    check_base: Callable[[Path], None] | None = None,
) -> Path:
    """The folder that holds a model repository's configuration, tokenizer and safetensors; the owner's call
    takes it over (see hub_room). An adapter comes with its base, merged into it.

    One question with a time-out finds out whether the Hub answers; where it does not, what was brought before
    serves. progress: told bytes so far and in all. stopped: asked between them. check: looks at the folder
    before the weights come, check_base at that of an adapter's base. Raises HubError, ModelError, Cancelled,
    ForbiddenError and what check raises.
    """
    check_id(repo_id)
    check_revision(repo_id, revision)
    found = _snapshot(repo_id, revision, Progress(0, repo_id, progress, stopped), check)
    quota.take_over(found)
    if not adapters.is_adapter(os.listdir(found)):
        return found
    base_id, base_revision = _parts(adapters.read_folder(found, repo_id).base)
    base = _snapshot(base_id, base_revision, Progress(0, base_id, progress, stopped), check_base)
    quota.take_over(base)
    return _merged(found, base, repo_id, base_id)


def _merged(found: Path, base: Path, repo_id: str, base_id: str) -> Path:
    """An adapter with its base; raises ModelError, ForbiddenError, HubError."""
    if adapters.is_adapter(os.listdir(base)):
        raise _two_adapters(repo_id, base_id)
    own = credentials.current().folder
    if own and base.is_relative_to(own) and not found.is_relative_to(own):
        raise HubError(  # the merged weights would lie where everybody's are
            f"Not everybody may see {base_id}, and everybody may see {repo_id}.",
            hint="Merge the two by peft's merge_and_unload, and push that to a private repository.",
        )
    if not adapters.place(found, base).is_dir():
        wanted = sum(path.stat().st_size for path in (*base.iterdir(), *found.iterdir()) if path.is_file())
        quota.check_size(repo_id, wanted)
        quota.make_room(found.parents[2], wanted, repo_id, found.name)
    return adapters.merge(found, base, repo_id)


def _made(found: Path | None) -> Path | None:
    """What can be loaded of what lies here without a network: of an adapter, where it is merged already."""
    if found is None or not adapters.is_adapter(os.listdir(found)):
        return found
    with suppress(HubError, ModelError):
        base = _offline(*_parts(adapters.read_folder(found, found.name).base))
        if base and (merged := adapters.place(found, base)).is_dir():
            return merged
    return None


def _snapshot(
    repo_id: str, revision: str | None, progress: Progress, check: Callable[[Path], None] | None
) -> Path:
    if not credentials.current().guest:
        cached = _offline(repo_id, revision)
        if cached is not None and cached.name == revision:
            return cached  # a commit does not change
    try:
        return with_or_without_login(lambda: _pulled(repo_id, revision, progress, check))
    except HubUnreachable:  # not where the Hub says no: what another person brought is not for all
        if (cached := _offline(repo_id, revision)) is not None:
            return cached
        raise


def pulled_fresh(repo_id: str, commit: str, cache: Path, stopped: Callable[[], bool]) -> Path:
    """The files of a commit in a cache of its own, whatever is on disk elsewhere; raises as `snapshot`."""
    remote = _remote(repo_id, commit)
    files = hub_cache.needed(remote.files)
    progress = Progress(sum(file.size for file in files), repo_id, None, stopped)
    return hub_cache.bring(repo_id, commit, remote.commit, files, cache, progress)


def on_disk() -> list[str]:
    """The ids of the models that the caller can load without a network, sorted."""
    caller = credentials.current()
    shared = list(hub_cache.models_in(hub_cache.common()))
    if caller.guest:
        shared = [repo_id for repo_id in shared if repo_id in _PUBLIC]
    own = list(hub_cache.models_in(caller.folder)) if caller.folder else []
    return sorted(repo_id for repo_id in {*shared, *own} if _made(_offline(repo_id, None)))


def folder_on_disk(name: str) -> Path | None:
    """Where owner/name[@revision] lies that the caller can load without a network; None where it does not.

    The Hub is asked again of what it gave to everybody a while ago. Raises HubError for what is no name.
    """
    repo_id, revision = _parts(name)
    if credentials.current().guest and repo_id not in _PUBLIC and _PUBLIC.forget(repo_id):
        with suppress(HubError):
            _remote(repo_id, None)
    return _made(_offline(repo_id, revision))


def whoami() -> Account:
    """The account of the token at hand; raises HubError where there is none, or the Hub does not know it."""
    found = answered(lambda: api().whoami(), "your account")
    token = (found.get("auth") or {}).get("accessToken") or {}
    organisations = tuple(
        str(each["name"])
        for each in found.get("orgs") or ()
        if each.get("name") and each.get("roleInOrg", "write") in MAY_WRITE
    )
    return Account(
        str(found.get("id") or found["name"]),
        str(found["name"]),
        organisations,
        token.get("role") != "read",
        _granted(token),
    )


def _granted(token: dict[str, Any]) -> tuple[str, ...] | None:
    """The names that a fine-grained token may write to; None for a token of another kind."""
    told = token.get("fineGrained")
    if token.get("role") != "fineGrained" or not isinstance(told, dict):
        return None
    return tuple(
        str((each.get("entity") or {}).get("name") or "")
        for each in told.get("scoped") or ()
        if "repo.write" in (each.get("permissions") or ())
    )


def _parts(name: str) -> tuple[str, str | None]:
    found = hub_names.parse(name)
    return found.repo_id, found.revision or None


def _offline(repo_id: str, revision: str | None) -> Path | None:
    """What is on disk of it, if the caller may have it without asking the Hub."""
    return hub_cache.find(repo_id, revision, _places(repo_id in _PUBLIC))


def _places(is_public: bool) -> list[Path]:
    """Where the caller may read a model from: what not everybody may see is no guest's for lying here."""
    with_common = is_public or not credentials.current().guest
    return [cache for cache in hub_cache.places() if with_common or cache != hub_cache.common()]


def _remote(repo_id: str, revision: str | None) -> _Remote:
    def ask() -> _Remote:
        from huggingface_hub.errors import DisabledRepoError, RepositoryNotFoundError

        client = api()
        try:
            info = client.model_info(repo_id, revision=revision, timeout=ANSWER_SECONDS - 1)
        except (RepositoryNotFoundError, DisabledRepoError):  # the first one for gated ones too
            _PUBLIC.forget(repo_id)
            raise
        return _Remote(info, tuple(hub_cache.listed(repo_id, info.sha, MOST_LISTED)))

    found = answered(lambda: readable(ask, repo_id), repo_id, revision=revision or "")
    if found.is_restricted:
        _PUBLIC.forget(repo_id)
    else:
        _PUBLIC.add(repo_id)
    return found


def _pulled(
    repo_id: str, revision: str | None, progress: Progress, check: Callable[[Path], None] | None
) -> Path:
    remote = _remote(repo_id, revision)
    files, places = hub_cache.needed(remote.files), _places(not remote.is_restricted)
    found = hub_cache.find(repo_id, remote.commit, places)
    if found is not None and _has(found, files):
        return found
    if progress.stopped is None and not credentials.current().in_calls:
        return hub_cache.find(repo_id, revision, places) or _refuse_to_bring(repo_id)
    if not places:
        raise HubError(
            f"{repo_id} asks for its terms to be accepted.", hint="Sign in, and accept them first."
        )
    check_files(repo_id, [file.path for file in remote.files])
    progress.total = sum(file.size for file in files)
    quota.check_size(repo_id, progress.total)
    cache = places[0] if remote.is_restricted else hub_cache.common()
    quota.make_room(cache, progress.total, repo_id, remote.commit)
    return hub_cache.bring(
        repo_id, revision, remote.commit, files, cache, progress, partial(_check_small, repo_id, files, check)
    )


def _refuse_to_bring(repo_id: str) -> NoReturn:
    raise HubError(
        f"{repo_id} is not on this machine yet.",
        hint="Pull it first: in the Hub tab, or by the endpoint pull; pulling tells how far that is.",
    )


def _check_small(
    repo_id: str, files: Sequence[RemoteFile], check: Callable[[Path], None] | None, snapshot: Path
) -> None:
    """Raises what says that the weights need not come, once all else is there."""
    if adapters.is_adapter([file.path for file in files]):
        adapters.read_folder(snapshot, repo_id)
        return
    if not config_of(snapshot):
        raise HubError(
            f"The config.json of {repo_id} cannot be read: it is broken, or far too large.",
            hint="Choose another model.",
        )
    names = {file.path for file in files}
    if f"model{hub_cache.WEIGHTS}" not in names and INDEX in names:
        named = hub_cache.shards(snapshot)
        if not named or named - names:
            raise HubError(
                f"The index of {repo_id}'s weights names other files than it has.",
                hint="Choose another model.",
            )
    if check:
        check(snapshot)


def _has(snapshot: Path, files: Sequence[RemoteFile]) -> bool:
    return all((snapshot / file.path).is_file() for file in files)


def check_files(repo_id: str, names: Collection[str]) -> None:
    """Raises HubError where a repository, by its top's names, lacks what a model is loaded from."""
    if "config.json" not in names and hub_cache.OF_ADAPTER not in names:
        raise HubError(f"{repo_id} has no config.json.", hint="Choose a model of the transformers library.")
    if not hub_cache.weights_of(names):
        pickled = [name for name in names if name.endswith((".bin", ".h5", ".ckpt", ".msgpack"))]
        raise HubError(
            f"{repo_id} has no safetensors weights{f', only {pickled[0]}' if pickled else ''}.",
            hint="Pickled weights can run code when read; choose a model with model.safetensors, or download "
            "it yourself and use: python -m bertspace import FOLDER",
        )


def _facts(repo_id: str, revision: str | None) -> Facts:
    found, adapter = _own_facts(repo_id, revision)
    if adapter is None:
        return found
    base, other = _own_facts(*_parts(adapter.base))
    if other is not None:
        raise _two_adapters(repo_id, base.repo_id)
    return _with_base(found, base)


def _two_adapters(repo_id: str, base_id: str) -> ModelError:
    return ModelError(
        f"The base of {repo_id}, {base_id}, is an adapter itself.",
        hint="Merge it into its base by peft's merge_and_unload first.",
    )


def _own_facts(repo_id: str, revision: str | None) -> tuple[Facts, adapters.Adapter | None]:
    """What the repository itself says; and as an adapter, where it is one."""
    from huggingface_hub import CardData

    remote = _remote(repo_id, revision)
    info, files = remote.info, hub_cache.needed(remote.files)
    there = {file.path: file for file in remote.files}
    read = partial(_text, repo_id, remote.commit, there)
    card = info.card_data if isinstance(info.card_data, CardData) else CardData()
    config = parsed(read("config.json"))
    adapter = None
    if adapters.is_adapter(there):
        adapter = adapters.read(parsed(read(hub_cache.OF_ADAPTER)), repo_id)
    found = Facts(
        repo_id,
        remote.commit,
        one(info.pipeline_tag),
        labels(config),
        one(card.get("license")),
        one(card.get("language")),
        one(card.get("base_model")),
        day(info.last_modified),
        sum(file.size for file in files),
        hub_cache.size_on_disk(repo_id, files, _places(not remote.is_restricted)),
        first_lines(read("README.md")),
        bool(info.private),
        bool(info.gated),
        tuple(there),
        config,
        () if tells_head(config) else _weights(repo_id, remote.commit, there),
    )
    return found, adapter


def _with_base(found: Facts, base: Facts) -> Facts:
    """The facts of an adapter as those of the model that it makes of its base."""
    heads = {adapters.plain_name(name): () for name in found.weights}
    config = adapters.merged_config(base.config, heads)
    return replace(
        found,
        labels=labels(config) if config == base.config else (),
        base_model=base.repo_id,
        size=found.size + base.size,
        here=found.here + base.here,
        private=found.private or base.private,
        gated=found.gated or base.gated,
        files=tuple({*found.files, *base.files}),
        config=config,
        weights=() if config != base.config else base.weights,
        is_adapter=True,
    )


def _weights(repo_id: str, commit: str, there: dict[str, RemoteFile]) -> tuple[str, ...]:
    """The names of a model's weights, by its index or the heads of its files; none where they do not say."""
    from huggingface_hub import hf_hub_url

    found: set[str] = set()
    with suppress(HubError, ValueError, ModelError):
        for name in [INDEX] if INDEX in there else hub_cache.weights_of(there)[:1]:
            url = hf_hub_url(repo_id, name, revision=commit)
            found |= set(answered(partial(hub_cache.tensors, url, there[name]), repo_id))
    return tuple(sorted(found))


def _facts_on_disk(repo_id: str, found: Path, why: HubUnreachable) -> Facts:
    files = [path for path in found.iterdir() if path.is_file()]
    taken = sum(path.stat().st_size for path in files)
    config = config_of(found)
    names = tuple(path.name for path in files)
    words = f"Seen as it lies on this machine. {why.message}"
    return Facts(
        repo_id,
        hub_cache.commit_of(found),
        "",
        labels(config),
        "",
        "",
        "",
        "",
        taken,
        taken,
        words,
        False,
        False,
        names,
        config,
    )


def _text(repo_id: str, commit: str, there: dict[str, RemoteFile], name: str) -> str:
    """A small file of the repository as text; "" where it is not there or not small."""
    from huggingface_hub import hf_hub_url

    if (file := there.get(name)) is None or file.size > LARGEST_TEXT:
        return ""
    url = hf_hub_url(repo_id, name, revision=commit)
    return answered(lambda: hub_cache.small(url, file), repo_id).decode(errors="replace")
