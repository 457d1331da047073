"""Quotas of what is brought from the Hub, and what is removed to make room. The owner has no quota.

The cache that everybody shares is also the machine's own people's, who have models and data sets there of
other programs: only what guests brought is counted, and only that is removed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bertspace.errors import ForbiddenError
from bertspace.hub import adapters, credentials
from bertspace.hub import cache as hub_cache

if TYPE_CHECKING:
    from filelock import FileLock
    from huggingface_hub import CachedRepoInfo, DeleteCacheStrategy, HFCacheInfo


def check_size(repo_id: str, total: int) -> None:
    """Raises ForbiddenError where a model or data set has more bytes than the caller may bring."""
    most = credentials.current().max_bytes
    if most and total > most:
        _refuse_size(repo_id, total, most)


def make_room(cache: Path, wanted: int, name: str, commit: str, kind: str = "model") -> None:
    """Where the cache is bounded for the caller, remove what was used longest ago until the commit fits too.

    What is removed can be brought again, and a model that is loaded keeps its files until it is let go.
    Raises ForbiddenError, with nothing removed, where that would not be enough.
    """
    caller = credentials.current()
    own, folder = cache == caller.folder, hub_cache.repo_folder(cache, name, kind)
    most = caller.own_bytes if own else caller.cache_bytes
    if most and not _made_room(own, wanted, most, folder, commit):
        _refuse_size(name, wanted, most)
    if not caller.is_owner and not own:
        _mark_guest(folder, commit)


def take_over(snapshot: Path, *, asked: bool = False) -> None:
    """Note that the owner, if it is they who ask, uses this commit: guests' pulls never set this mark.

    asked: by a pull. What a guest brought becomes the owner's by that alone: it may be used because somebody
    sent them a link.
    """
    if both := adapters.made_of(snapshot):
        for part in both:
            take_over(part, asked=asked)
        return
    folder = snapshot.parent.parent
    if not (credentials.current().is_owner and _is_common(folder)):
        return
    mark = _guest_mark(folder, snapshot.name)
    if asked or not mark.exists():
        _owner_mark(folder, snapshot.name).parent.mkdir(parents=True, exist_ok=True)
        _owner_mark(folder, snapshot.name).touch()
        mark.unlink(missing_ok=True)


def is_trusted(snapshot: Path) -> bool:
    """Whether the owner pulled or used this commit; what others left in the cache is not until then."""
    if both := adapters.made_of(snapshot):
        return all(map(is_trusted, both))
    folder = snapshot.parent.parent
    return (
        snapshot.parent.name == "snapshots"
        and _is_common(folder)
        and _owner_mark(folder, snapshot.name).exists()
    )


def _is_common(folder: Path) -> bool:
    return folder.parent.resolve() == hub_cache.common().resolve()


def _made_room(own: bool, wanted: int, most: int, folder: Path, commit: str) -> bool:
    """Whether the commit's bytes fit now. own: all that is in the cache is the guest's."""
    from huggingface_hub import scan_cache_dir

    folder.parent.mkdir(parents=True, exist_ok=True)
    plan = _Plan(scan_cache_dir(folder.parent))
    brought = [
        _Revision(repo, revision.commit_hash)
        for repo in sorted(plan.cache.repos, key=lambda each: each.last_accessed)
        for revision in sorted(repo.revisions, key=lambda each: each.last_modified)
        if (repo.repo_path.name, revision.commit_hash) != (folder.name, commit)
        and (own or _guest_mark(repo.repo_path, revision.commit_hash).exists())
    ]
    parts = _partials(folder.parent, own)
    ours = [each for each in parts if each.is_of(folder)]  # may be what this pull goes on with: last
    elsewhere = [each for each in parts if each not in ours]
    in_order: list[_Revision | _Partial] = [*elsewhere, *brought, *ours]
    over = _Plan(plan.cache, in_order).size + wanted - most
    in_use = credentials.current().in_use() if over > 0 else set()
    for each in in_order:
        if plan.size < over and not (
            each.is_arriving() if isinstance(each, _Partial) else each.name in in_use
        ):
            plan.removed.append(each)
    if plan.size < over:
        return False
    plan.execute()
    return True


@dataclass(frozen=True)
class _Revision:
    """A commit on disk."""

    repo: CachedRepoInfo
    commit: str

    @property
    def name(self) -> str:
        """As a run names its base."""
        return f"{self.repo.repo_id}@{self.commit}"


@dataclass(frozen=True)
class _Partial:
    """A file that has not arrived whole, named after its hash as hub_cache names it."""

    path: Path
    size: int

    def is_of(self, folder: Path) -> bool:
        return self.path.parent.parent == folder

    def is_arriving(self) -> bool:
        """Whether somebody is at it; at one that nobody is at, a cancelled pull was."""
        try:
            with self._lock():
                return False
        except TimeoutError:  # filelock's Timeout is one
            return True

    def remove(self) -> None:
        with suppress(TimeoutError), self._lock():
            self.path.unlink(missing_ok=True)

    def _lock(self) -> FileLock:
        from filelock import FileLock

        return FileLock(_locks(self.path.parent.parent) / f"{self.path.stem}.lock", timeout=0)


def _partials(cache: Path, own: bool) -> list[_Partial]:
    """What has not arrived whole, of the repositories that guests' pulls brought something of."""
    found = []
    for path in cache.glob("*--*/blobs/*.incomplete"):
        if "." not in path.stem and (own or any(_locks(path.parent.parent).glob("*.guest"))):
            with suppress(FileNotFoundError):  # it is whole by now
                found.append(_Partial(path, path.stat().st_size))
    return found


@dataclass
class _Plan:
    """What is to be removed, a repository at a time: forks have commits in common, and are not each other."""

    cache: HFCacheInfo
    removed: list[_Revision | _Partial] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes that this frees."""
        parts = sum(each.size for each in self.removed if isinstance(each, _Partial))
        return parts + sum(each.expected_freed_size for each in self._strategies())

    def _strategies(self) -> list[DeleteCacheStrategy]:
        commits: dict[CachedRepoInfo, list[str]] = {}
        for each in self.removed:
            if isinstance(each, _Revision):
                commits.setdefault(each.repo, []).append(each.commit)
        return [
            replace(self.cache, repos=frozenset([repo])).delete_revisions(*those)
            for repo, those in commits.items()
        ]

    def execute(self) -> None:
        for strategy in self._strategies():
            strategy.execute()
        for each in self.removed:
            if isinstance(each, _Partial):
                each.remove()
            else:
                _guest_mark(each.repo.repo_path, each.commit).unlink(missing_ok=True)


def _guest_mark(folder: Path, commit: str) -> Path:
    """The file that says that a guest's pull brought a repository's commit; among the client's locks, which
    nobody takes for a model's files."""
    return _locks(folder) / f"{commit}.guest"


def _owner_mark(folder: Path, commit: str) -> Path:
    """The file beside it that says that the owner uses the commit."""
    return _locks(folder) / f"{commit}.owner"


def _locks(folder: Path) -> Path:
    return folder.parent / ".locks" / folder.name


def _mark_guest(folder: Path, commit: str) -> None:
    """Note it unless the commit is there already: then it is the machine's own people's, or noted."""
    if not (folder / "snapshots" / commit).exists():
        place = _guest_mark(folder, commit)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def _refuse_size(name: str, total: int, most: int) -> NoReturn:
    from bertspace.words import size

    raise ForbiddenError(
        f"{name} takes {size(total)}; the limit here is {size(most)}.", hint="Choose a smaller one."
    )
