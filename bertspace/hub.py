"""The Hub's client: models searched for, looked at and brought to disk, each with time-outs.

Whose rights it acts with is in RIGHTS: no token is in any signature. Knows nothing of how models are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace import hub_cache, hub_room
from bertspace.errors import HubError, HubUnreachable
from bertspace.hub_cache import Progress, RemoteFile
from bertspace.hub_client import (
    ANSWER_SECONDS,
    OFFLINE,
    RIGHTS,
    Rights,
    acting,
    answered,
    api,
    check_id,
    check_revision,
    with_or_without_login,
)
from bertspace.hub_words import day, first_lines, labels, one, parsed

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

__all__ = ["ANSWER_SECONDS", "OFFLINE", "RIGHTS", "Account", "Facts", "Found", "Rights", "acting", "answered"]
__all__ += ["check_id", "check_revision", "facts", "on_disk", "pulled_fresh", "search", "snapshot", "whoami"]

LARGEST_TEXT = 1024 * 1024  # bytes of a card or a configuration that are read for a look
MAY_WRITE = ("admin", "write", "contributor")  # roles in an organisation
_SEEN: set[str] = set()  # what the Hub has given to somebody without an account, in this process


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
    config: config.json.
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

    @property
    def is_here(self) -> bool:
        return self.here >= self.size


@dataclass(frozen=True)
class Account:
    """Whose token it is. organisations: those that it may write to."""

    id: str
    name: str
    organisations: tuple[str, ...]
    may_write: bool

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
        return bool(self.info.private or self.info.gated)


def search(text: str, task: str = "", limit: int = 20) -> list[Found]:
    """The models whose names hold the text, the most downloaded first; raises HubError."""

    def ask() -> list[Found]:
        found = api().list_models(
            search=text.strip() or None, pipeline_tag=task or None, sort="downloads", limit=limit
        )
        return [
            Found(
                each.id,
                each.pipeline_tag or "",
                each.downloads or 0,
                day(each.last_modified),
                bool(each.private),
                bool(each.gated),
            )
            for each in found
        ]

    return with_or_without_login(lambda: answered(ask, "the search"))


def facts(name: str) -> Facts:
    """What there is to know of owner/name[@revision] without its weights; raises HubError.

    Where the Hub does not answer, what is on disk is looked at.
    """
    repo_id, revision = _parts(name)
    try:
        return with_or_without_login(lambda: _facts(repo_id, revision))
    except HubUnreachable:
        if (found := _offline(repo_id, revision)) is None:
            raise
        return _facts_on_disk(repo_id, found)


def snapshot(
    repo_id: str,
    revision: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """The folder that holds a model repository's configuration, tokenizer and safetensors; the owner's call
    takes it over (see hub_room).

    One question with a time-out finds out whether the Hub answers; where it does not, what was brought before
    serves. progress: told bytes so far and in all. stopped: asked between them. check: looks at the folder
    before the weights come. Raises HubError, Cancelled, ForbiddenError and what check raises.
    """
    check_id(repo_id)
    check_revision(repo_id, revision)
    found = _snapshot(repo_id, revision, Progress(0, repo_id, progress, stopped), check)
    hub_room.take_over(found)
    return found


def _snapshot(
    repo_id: str, revision: str | None, progress: Progress, check: Callable[[Path], None] | None
) -> Path:
    cached = _offline(repo_id, revision)
    if cached is not None and cached.name == revision and not RIGHTS.get().guest:
        return cached  # a commit does not change
    try:
        return with_or_without_login(lambda: _pulled(repo_id, revision, progress, check))
    except HubUnreachable:  # not where the Hub says no: what another person's rights brought is not for all
        if cached is not None:
            return cached
        raise


def pulled_fresh(repo_id: str, commit: str, cache: Path, stopped: Callable[[], bool]) -> Path:
    """The files of a commit in a cache of its own, whatever is on disk elsewhere; raises as `snapshot`."""
    remote = _remote(repo_id, commit)
    files = hub_cache.needed(remote.files)
    progress = Progress(sum(file.size for file in files), repo_id, None, stopped)
    return hub_cache.bring(repo_id, commit, remote.commit, files, cache, progress)


def on_disk() -> list[str]:
    """The ids of the models that these rights can load without a network, sorted."""
    rights = RIGHTS.get()
    shared = list(hub_cache.models_in(hub_cache.common()))
    if rights.guest:
        shared = [repo_id for repo_id in shared if repo_id in _SEEN]
    own = list(hub_cache.models_in(rights.folder)) if rights.folder else []
    return sorted({*shared, *own})


def folder_on_disk(name: str) -> Path | None:
    """Where owner/name[@revision] lies that these rights can load without a network; None where it does not.

    Raises HubError for what is no name.
    """
    return _offline(*_parts(name))


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
        str(found.get("id") or found["name"]), str(found["name"]), organisations, token.get("role") != "read"
    )


def _parts(name: str) -> tuple[str, str | None]:
    repo_id, _, revision = name.partition("@")
    check_id(repo_id)
    check_revision(repo_id, revision or None)
    return repo_id, revision or None


def _offline(repo_id: str, revision: str | None) -> Path | None:
    """What is on disk of it, if these rights may have it without asking the Hub."""
    caches = hub_cache.places()
    if RIGHTS.get().guest and repo_id not in _SEEN:
        caches = [cache for cache in caches if cache != hub_cache.common()]
    return hub_cache.find(repo_id, revision, caches)


def _remote(repo_id: str, revision: str | None) -> _Remote:
    def ask() -> _Remote:
        from huggingface_hub.hf_api import RepoFile

        client = api()
        info = client.model_info(repo_id, revision=revision, timeout=ANSWER_SECONDS - 1)
        tree = client.list_repo_tree(repo_id, revision=info.sha, recursive=False)
        files = [
            RemoteFile(each.path, each.size, each.lfs.sha256 if each.lfs else each.blob_id)
            for each in tree
            if isinstance(each, RepoFile)
        ]
        return _Remote(info, tuple(files))

    found = answered(ask, repo_id, revision=revision or "")
    if not found.is_restricted:
        _SEEN.add(repo_id)
    return found


def _pulled(
    repo_id: str, revision: str | None, progress: Progress, check: Callable[[Path], None] | None
) -> Path:
    remote = _remote(repo_id, revision)
    files = hub_cache.needed(remote.files)
    if (found := hub_cache.find(repo_id, remote.commit, hub_cache.places())) is not None and _has(
        found, files
    ):
        return found
    check_files(repo_id, [file.path for file in remote.files])
    progress.total = sum(file.size for file in files)
    hub_room.check_size(repo_id, progress.total)
    own = RIGHTS.get().folder
    cache = own if own and remote.is_restricted else hub_cache.common()
    hub_room.make_room(cache, progress.total, repo_id, remote.commit)
    return hub_cache.bring(repo_id, revision, remote.commit, files, cache, progress, check)


def _has(snapshot: Path, files: Sequence[RemoteFile]) -> bool:
    return all((snapshot / file.path).is_file() for file in files)


def check_files(repo_id: str, names: Collection[str]) -> None:
    """Raises HubError where a repository, by its top's names, lacks what a model is loaded from."""
    if "config.json" not in names:
        raise HubError(f"{repo_id} has no config.json.", hint="Choose a model of the transformers library.")
    if not any(name.endswith(hub_cache.WEIGHTS) for name in names):
        pickled = [name for name in names if name.endswith((".bin", ".h5", ".ckpt", ".msgpack"))]
        raise HubError(
            f"{repo_id} has no safetensors weights{f', only {pickled[0]}' if pickled else ''}.",
            hint="Pickled weights can run code when read; choose a model with model.safetensors, or download "
            "it yourself and use: python -m bertspace import FOLDER",
        )


def _facts(repo_id: str, revision: str | None) -> Facts:
    remote = _remote(repo_id, revision)
    info, files = remote.info, hub_cache.needed(remote.files)
    names = {file.path: file.size for file in remote.files}
    read = partial(_text, repo_id, remote.commit, names)
    card = info.card_data.to_dict() if info.card_data else {}
    config = parsed(read("config.json"))
    return Facts(
        repo_id,
        remote.commit,
        info.pipeline_tag or "",
        labels(config),
        one(card.get("license")),
        one(card.get("language")),
        one(card.get("base_model")),
        day(info.last_modified),
        sum(file.size for file in files),
        hub_cache.size_on_disk(repo_id, files, hub_cache.places()),
        first_lines(read("README.md")),
        bool(info.private),
        bool(info.gated),
        tuple(names),
        config,
    )


def _facts_on_disk(repo_id: str, found: Path) -> Facts:
    files = [path for path in found.iterdir() if path.is_file()]
    taken = sum(path.stat().st_size for path in files)
    config = parsed((found / "config.json").read_text(encoding="utf-8", errors="replace"))
    names = tuple(path.name for path in files)
    words = "Seen as it lies on this machine: the Hub does not answer."
    return Facts(
        repo_id,
        found.name,
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


def _text(repo_id: str, commit: str, names: dict[str, int], name: str) -> str:
    """A small file of the repository as text; "" where it is not there or not small."""
    if names.get(name, LARGEST_TEXT + 1) > LARGEST_TEXT:
        return ""

    def ask() -> str:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        headers = build_hf_headers(token=RIGHTS.get().token)
        url = hf_hub_url(repo_id, name, revision=commit)
        response = get_session().get(url, headers=headers, timeout=ANSWER_SECONDS - 1)
        hf_raise_for_status(response)
        return response.text

    return answered(ask, repo_id)
