"""How much may be brought from the Hub by whom, and what makes room for it. The owner has no bounds.

The cache that everybody shares is also the machine's own people's, who have models and data sets there of
other programs: only what guests brought is counted, and only that is removed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bertspace import hub_cache
from bertspace.errors import ForbiddenError
from bertspace.hub_client import RIGHTS

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo, DeleteCacheStrategy, HFCacheInfo


def check_size(repo_id: str, total: int) -> None:
    """Raises ForbiddenError where a model or data set has more bytes than the rights at hand may bring."""
    most = RIGHTS.get().most_bytes
    if most and total > most:
        _refuse_size(repo_id, total, most)


def make_room(cache: Path, wanted: int, name: str, commit: str, kind: str = "model") -> None:
    """Where the rights bound a cache, remove what was used longest ago until the commit's bytes fit too.

    What is removed can be brought again, and a model that is loaded keeps its files until it is let go.
    Raises ForbiddenError, with nothing removed, where that would not be enough.
    """
    rights = RIGHTS.get()
    own, folder = cache == rights.folder, hub_cache.repo_folder(cache, name, kind)
    most = rights.own_bytes if own else rights.cache_bytes
    if most and not _made_room(own, wanted, most, folder, commit):
        _refuse_size(name, wanted, most)
    if rights.guest and not own:
        _note(folder, commit)


def _made_room(own: bool, wanted: int, most: int, folder: Path, commit: str) -> bool:
    """Whether the commit's bytes fit now. own: all that is in the cache is the guest's."""
    from huggingface_hub import scan_cache_dir

    folder.parent.mkdir(parents=True, exist_ok=True)
    plan = _Plan(scan_cache_dir(folder.parent))
    brought = [
        (repo, revision.commit_hash)
        for repo in sorted(plan.found.repos, key=lambda each: each.last_accessed)
        for revision in sorted(repo.revisions, key=lambda each: each.last_modified)
        if (repo.repo_path.name, revision.commit_hash) != (folder.name, commit)
        and (own or _notes(repo.repo_path, revision.commit_hash).exists())
    ]
    everything = _Plan(plan.found)
    for repo, revision in brought:
        everything.add(repo, revision)
    over = everything.size + wanted - most
    for repo, revision in brought:
        if plan.size < over:
            plan.add(repo, revision)
    if plan.size < over:
        return False
    plan.execute()
    return True


@dataclass
class _Plan:
    """What is to be removed, a repository at a time: forks have commits in common, and are not each other."""

    found: HFCacheInfo
    doomed: dict[CachedRepoInfo, list[str]] = field(default_factory=dict)

    def add(self, repo: CachedRepoInfo, revision: str) -> None:
        self.doomed.setdefault(repo, []).append(revision)

    @property
    def size(self) -> int:
        """Bytes that this frees."""
        return sum(each.expected_freed_size for each in self._strategies())

    def _strategies(self) -> list[DeleteCacheStrategy]:
        return [
            replace(self.found, repos=frozenset([repo])).delete_revisions(*revisions)
            for repo, revisions in self.doomed.items()
        ]

    def execute(self) -> None:
        for strategy in self._strategies():
            strategy.execute()
        for repo, revisions in self.doomed.items():
            for revision in revisions:
                _notes(repo.repo_path, revision).unlink(missing_ok=True)


def _notes(folder: Path, commit: str) -> Path:
    """The file that says that a guest's pull brought a repository's commit; among the client's locks, which
    nobody takes for a model's files."""
    return folder.parent / ".locks" / folder.name / f"{commit}.guest"


def _note(folder: Path, commit: str) -> None:
    """Note it unless the commit is there already: then it is the machine's own people's, or noted."""
    if not (folder / "snapshots" / commit).exists():
        place = _notes(folder, commit)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def _refuse_size(name: str, total: int, most: int) -> NoReturn:
    from bertspace.hardware import size

    raise ForbiddenError(
        f"{name} takes {size(total)}; the limit here is {size(most)}.", hint="Choose a smaller one."
    )
