"""Search the Hub for models and describe them before any weights are downloaded."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bertspace.errors import HubError, HubUnreachable, ModelError
from bertspace.hub import adapters, cache, download
from bertspace.hub.cache import RemoteFile
from bertspace.hub.card_text import MAX_TEXT_BYTES, config_of, day, first_lines, joined, labels, parsed
from bertspace.hub.client import api, call_hub, readable, with_or_without_login
from bertspace.hub.pull import PUBLIC, on_disk_of, places, remote_of, split_name, usable
from bertspace.safety import loadable
from bertspace.safety.layout import ADAPTER_CONFIG, INDEX, weights_of


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
    size: int
    here: int
    words: str
    files: tuple[str, ...]
    config: dict[str, Any]
    labels: tuple[str, ...]
    task: str = ""
    license: str = ""
    language: str = ""
    base_model: str = ""
    changed: str = ""
    private: bool = False
    gated: bool = False
    weights: tuple[str, ...] = ()
    is_adapter: bool = False

    def why_not(self, task: str = "") -> str:
        """Why it cannot be used here, as what follows its name; "" where it can, as far as is known."""
        return loadable.why_not(self.config, self.files, task, self.weights)

    @property
    def does(self) -> str:
        """The task that it is for here; "" for a bare encoder and for what is not known."""
        return loadable.task_of(self.config, self.weights)

    @property
    def is_here(self) -> bool:
        return self.here >= self.size


def search(text: str, task: str = "", limit: int = 20) -> list[Found]:
    """The models whose names hold the text, the most downloaded first; raises HubError."""

    def ask() -> list[Found]:
        found = api().list_models(
            search=text.strip() or None, pipeline_tag=task or None, sort="downloads", limit=limit
        )
        return [
            Found(
                each.id,
                joined(each.pipeline_tag),
                each.downloads or 0,
                day(each.last_modified),
                bool(each.private),
                bool(each.gated),
            )
            for each in itertools.islice(found, limit)
        ]

    models = with_or_without_login(lambda: call_hub(lambda: readable(ask, "the search"), "the search"))
    for each in models:
        if each.private or each.gated:
            PUBLIC.forget(each.repo_id)
    return models


def facts(name: str) -> Facts:
    """What there is to know of owner/name[@revision] without its weights; raises HubError, ModelError.

    Where the Hub does not answer, what is on disk is looked at.
    """
    repo_id, revision = split_name(name)
    try:
        return with_or_without_login(lambda: _facts(repo_id, revision))
    except HubUnreachable as why:
        if (found := usable(on_disk_of(repo_id, revision))) is None:
            raise
        return _facts_on_disk(repo_id, found, why)


def _facts(repo_id: str, revision: str | None) -> Facts:
    found, adapter = _own_facts(repo_id, revision)
    if adapter is None:
        return found
    base, other = _own_facts(*split_name(adapter.base))
    if other is not None:
        raise adapters.two_adapters(repo_id, base.repo_id)
    return _with_base(found, base)


def _own_facts(repo_id: str, revision: str | None) -> tuple[Facts, adapters.Adapter | None]:
    """What the repository itself says; and as an adapter, where it is one."""
    from huggingface_hub import CardData

    remote = remote_of(repo_id, revision)
    info, files = remote.info, cache.needed(remote.files)
    there = {file.path: file for file in remote.files}
    read = partial(_text, repo_id, remote.commit, there)
    card = info.card_data if isinstance(info.card_data, CardData) else CardData()
    config = parsed(read("config.json"))
    adapter = None
    if adapters.is_adapter(there):
        adapter = adapters.read(parsed(read(ADAPTER_CONFIG)), repo_id)
    found = Facts(
        repo_id,
        remote.commit,
        sum(file.size for file in files),
        cache.size_on_disk(repo_id, files, places(not remote.is_restricted)),
        first_lines(read("README.md")),
        tuple(there),
        config,
        labels(config),
        joined(info.pipeline_tag),
        joined(card.get("license")),
        joined(card.get("language")),
        joined(card.get("base_model")),
        day(info.last_modified),
        bool(info.private),
        bool(info.gated),
        () if loadable.tells_head(config) else _weights(repo_id, remote.commit, there),
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
        for name in [INDEX] if INDEX in there else weights_of(there)[:1]:
            url = hf_hub_url(repo_id, name, revision=commit)
            found |= set(call_hub(partial(download.tensors, url, there[name]), repo_id))
    return tuple(sorted(found))


def _facts_on_disk(repo_id: str, found: Path, why: HubUnreachable) -> Facts:
    files = [path for path in found.iterdir() if path.is_file()]
    taken = sum(path.stat().st_size for path in files)
    config = config_of(found)
    names = tuple(path.name for path in files)
    words = f"Seen as it lies on this machine. {why.message}"
    return Facts(repo_id, cache.commit_of(found), taken, taken, words, names, config, labels(config))


def _text(repo_id: str, commit: str, there: dict[str, RemoteFile], name: str) -> str:
    """A small file of the repository as text; "" where it is not there or not small."""
    from huggingface_hub import hf_hub_url

    if (file := there.get(name)) is None or file.size > MAX_TEXT_BYTES:
        return ""
    url = hf_hub_url(repo_id, name, revision=commit)
    return call_hub(lambda: download.small(url, file), repo_id).decode(errors="replace")
