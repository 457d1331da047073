"""How much may be brought from the Hub by whom, and what makes room for it. The owner has no bounds."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from bertspace.errors import ForbiddenError
from bertspace.hub_client import RIGHTS


def check_size(repo_id: str, total: int) -> None:
    """Raises ForbiddenError where a model or data set has more bytes than the rights at hand may bring."""
    most = RIGHTS.get().most_bytes
    if most and total > most:
        _refuse_size(repo_id, total, most)


def make_room(cache: Path, wanted: int, name: str, commit: str) -> None:
    """Where the rights bound a cache, remove what was used longest ago until the commit's bytes fit too.

    What is removed can be brought again, and a model that is loaded keeps its files until it is let go.
    Raises ForbiddenError, with nothing removed, where that would not be enough.
    """
    rights = RIGHTS.get()
    most = rights.own_bytes if cache == rights.folder else rights.cache_bytes
    if not most:
        return
    from huggingface_hub import scan_cache_dir

    cache.mkdir(parents=True, exist_ok=True)
    found = scan_cache_dir(cache)
    over, doomed = found.size_on_disk + wanted - most, list[str]()
    for repo in sorted(found.repos, key=lambda each: each.last_accessed):
        for revision in sorted(repo.revisions, key=lambda each: each.last_modified):
            if found.delete_revisions(*doomed).expected_freed_size < over and revision.commit_hash != commit:
                doomed.append(revision.commit_hash)
    plan = found.delete_revisions(*doomed)
    if plan.expected_freed_size < over:
        _refuse_size(name, wanted, most)
    plan.execute()


def _refuse_size(name: str, total: int, most: int) -> NoReturn:
    from bertspace.hardware import size

    raise ForbiddenError(
        f"{name} takes {size(total)}; the limit here is {size(most)}.", hint="Choose a smaller one."
    )
