"""The base model of a run on the Hub, and its licence."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bertspace import models
from bertspace.errors import BertspaceError
from bertspace.publish.card.content import Base
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS

STARTER = Base(models.STARTER_HUB_ID, models.STARTER_REVISION, "apache-2.0", starter=True)
MAX_GENERATIONS = 50  # of runs of runs


def base_of(config: TrainConfig) -> Base:
    """The first model on the Hub, back along runs of runs; an empty Base for a local folder's model."""
    name, task = config.model, config.task
    for generation in range(MAX_GENERATIONS):
        if name == "starter":
            adapted = TASKS[task].head == models.STARTER_HEAD  # what is on the Hub has other weights
            return replace(STARTER, direct=not generation and not adapted, adapted=adapted)
        if not name.startswith("run:"):
            return _named(name, direct=not generation)
        try:
            before = models.run_called(name).config()
            name, task = before.model, before.task
        except BertspaceError:  # the run that this one goes on from is gone
            break
    return Base()


def _named(name: str, direct: bool) -> Base:
    repo_id, _, revision = name.partition("@")
    if name.startswith((".", "~")) or Path(name).is_absolute() or not _is_id(repo_id):
        return Base()
    return Base(repo_id, revision, inherited_license(repo_id, revision), direct=direct)


def _is_id(repo_id: str) -> bool:
    from bertspace import hub

    with suppress(BertspaceError):
        return bool(hub.check_id(repo_id))
    return False


def inherited_license(repo_id: str, revision: str = "") -> str:
    """The licence in the front matter of a model's README, where that lies in the cache; else ""."""
    if repo_id == models.STARTER_HUB_ID:
        return STARTER.license
    from huggingface_hub import try_to_load_from_cache

    from bertspace.hub.cache import places

    caches = [str(place) for place in places()]
    paths = [try_to_load_from_cache(repo_id, "README.md", each, revision or None) for each in caches]
    found = next((path for path in paths if isinstance(path, str)), None)
    if found is None:
        return ""
    text = Path(found).read_text(encoding="utf-8", errors="replace")[:20_000]
    front = re.match(r"\s*---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    written = re.search(r"^license:[ \t]*['\"]?([\w.-]+)", front[1], re.MULTILINE) if front else None
    return written[1].lower() if written else ""
