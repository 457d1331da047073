"""A data set on the Hub -> tables; says within seconds when the Hub does not answer.

One way for everybody: which files the configuration and the splits need is found out by their names, these
are brought by `hub_cache`, which checks their hashes, and read as `hub_confined` lays them out. Knows nothing
of what the columns mean.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.data import hub_confined
from bertspace.data.tables import Table
from bertspace.errors import DataError, HubError, HubUnreachable, without_paths
from bertspace.hub import cache as hub_cache
from bertspace.hub import credentials, download, quota
from bertspace.hub import names as hub_names
from bertspace.hub.cache import RemoteFile
from bertspace.hub.client import ANSWER_SECONDS, api, call_hub, readable, with_or_without_login
from bertspace.hub.names import HubName
from bertspace.schema import TrainConfig

if TYPE_CHECKING:
    import datasets

LISTING_SECONDS = 60  # of a repository's files, a thousand an answer
MAX_FILES, MAX_OF_GUESTS = 100_000, 1000  # of a data set
OWNERS_FRONT_BYTES = 2 * 1024 * 1024  # of a front matter: those of many configurations are long
_OFFLINE = "Use a sample (sample:office, sample:pairs, sample:lighthouse) or a file, or check the connection."
KIND = "data set"


@dataclass(frozen=True)
class _Commit:
    """A data set at one commit. names: of all its files; files: what the Hub says of them, without the Hub
    empty. cache: where they come to. findings: what to say of the rows.
    """

    name: HubName
    oid: str
    names: tuple[str, ...]
    files: dict[str, RemoteFile]
    cache: Path
    findings: tuple[str, ...] = ()

    @property
    def snapshot(self) -> Path:
        return hub_cache.repo_folder(self.cache, self.name.repo_id, "dataset") / "snapshots" / self.oid

    @property
    def cards(self) -> list[str]:
        return [name for name in hub_confined.CARDS if name in self.names]

    def bring(self, names: Sequence[str]) -> None:
        """Have these files on disk, each whole; raises HubError, ForbiddenError."""
        repo_id = self.name.repo_id
        if not self.files:
            if not all((self.snapshot / name).is_file() for name in names):
                raise _not_here(repo_id)
            return
        files = [self.files[name] for name in names]
        total = sum(file.size for file in files)
        quota.check_size(repo_id, total)
        quota.make_room(self.cache, total, repo_id, self.oid, "dataset")
        with _shown(total, repo_id) as tell:
            progress = download.Progress(total, repo_id, tell, kind=KIND)
            download.bring(repo_id, self.oid, self.oid, files, self.cache, progress, kind="dataset")

    def keep(self) -> None:
        """Note that what was brought of the commit can be read without the Hub, as the revision's newest."""
        if self.files:
            _listing(self.snapshot).parent.mkdir(parents=True, exist_ok=True)
            _listing(self.snapshot).write_text(json.dumps(self.names), encoding="utf-8")
            hub_cache.refer(self.snapshot, self.name.revision or None)


def load_hub(config: TrainConfig) -> dict[str, Table]:
    """{"train": …, "validation": …, "test": …}, the last two where there are any; or HubError, DataError.

    Where the Hub does not answer, what was brought before serves the machine's own people, as a finding.
    """
    return with_or_without_login(lambda: _loaded(config))


def _loaded(config: TrainConfig) -> dict[str, Table]:
    name = hub_names.parse(config.dataset, KIND)
    config = replace(config, dataset=str(name))
    try:
        commit = _asked(name)
    except HubUnreachable as why:
        commit = _downloaded_before(name, why)
    commit.bring(commit.cards)
    with tempfile.TemporaryDirectory(prefix="bertspace-") as folder:
        tables = _read(config, commit, Path(folder))
    commit.keep()
    return tables


def _asked(name: HubName) -> _Commit:
    """What the Hub says of the data set; raises HubError."""
    repo_id, caller = name.repo_id, credentials.current()

    def about() -> Any:
        return api().dataset_info(repo_id, revision=name.revision or None, timeout=ANSWER_SECONDS - 1)

    info = call_hub(lambda: readable(about, repo_id), repo_id, revision=name.revision, kind=KIND)
    most = MAX_OF_GUESTS if caller.guest else MAX_FILES
    files = call_hub(
        lambda: download.listed(repo_id, info.sha, most, "dataset", recursive=True),
        repo_id,
        LISTING_SECONDS,
        kind=KIND,
    )
    restricted = info.private is not False or bool(info.gated)
    if restricted and caller.guest and caller.folder is None:  # in the common cache it would be nobody's
        raise _gated(repo_id)
    cache = caller.folder if caller.folder and restricted else hub_cache.common()
    there = {file.path: file for file in files}
    return _Commit(name, str(info.sha), tuple(there), there, cache)


def _gated(repo_id: str) -> HubError:
    return HubError(
        f"{repo_id} asks for its terms to be accepted.", hint="Accept them on its page on the Hub first."
    )


def _downloaded_before(name: HubName, why: HubUnreachable) -> _Commit:
    """What was brought before, where the Hub does not answer; raises HubUnreachable where nothing was."""
    if not credentials.current().guest:  # what lies here is the machine's own people's
        for cache in hub_cache.places():
            folder = hub_cache.snapshot_of(cache, name.repo_id, name.revision or None, "dataset")
            with suppress(OSError, ValueError):
                if folder and (names := json.loads(_listing(folder).read_text(encoding="utf-8"))):
                    day = time.strftime("%Y-%m-%d", time.localtime(_listing(folder).stat().st_mtime))
                    finding = (
                        f"{why.message} The rows are those downloaded on {day}, commit {folder.name[:7]}."
                    )
                    return _Commit(name, folder.name, tuple(names), {}, cache, (finding,))
    raise _not_here(name.repo_id, why)


def _not_here(repo_id: str, why: HubUnreachable | None = None) -> HubUnreachable:
    problem = why.message if why else "The Hub does not answer."
    hint = why.hint if why and why.seconds else _OFFLINE
    return HubUnreachable(f"{problem} {repo_id} is not among what was downloaded before.", hint=hint)


def _listing(snapshot: Path) -> Path:
    """Where the names of all files of a commit are kept: among the client's locks, as hub_room's notes."""
    folder = snapshot.parent.parent
    return folder.parent / ".locks" / folder.name / f"{snapshot.name}.files"


def _read(config: TrainConfig, commit: _Commit, folder: Path) -> dict[str, Table]:
    """The tables of the splits that the config asks for. folder: for what is made meanwhile."""
    guest = credentials.current().guest
    place = folder / commit.name.repo_id.replace("/", "--")
    front_bytes = hub_confined.FRONT_BYTES if guest else OWNERS_FRONT_BYTES
    hub_confined.lay_out(commit.snapshot, commit.names, place, front_bytes)
    builder = _builder(config, place, folder / "cache")
    wanted_files = hub_confined.check(builder, place)
    splits = _wanted(config, list(wanted_files))
    needed = {base: wanted_files[base] for base in map(_base, splits.values())}
    names = list(dict.fromkeys(name for each in needed.values() for name in each))
    commit.bring([*commit.cards, *names])
    paths = hub_confined.fill(commit.snapshot, names, place)
    if guest:
        _guarded(lambda: hub_confined.check_packed(paths, credentials.current().max_bytes), config)
    data_files = builder.config.data_files
    for split in [each for each in data_files if str(each) not in needed]:
        del data_files[split]  # whose files are empty
    _guarded(builder.download_and_prepare, config)
    return {
        part: _table(f"{commit.name.repo_id} ({split})", _split(builder, split, config), commit, part)
        for part, split in splits.items()
    }


def _builder(config: TrainConfig, place: Path, cache: Path) -> datasets.DatasetBuilder:
    import datasets

    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # else names are told to a host that is not the Hub
    if not any(path.is_file() and path.name != hub_confined.CARDS[1] for path in place.rglob("*")):
        raise _no_tables(config)
    name = config.dataset_config or None
    return _guarded(lambda: datasets.load_dataset_builder(str(place), name, cache_dir=str(cache)), config)


def _no_tables(config: TrainConfig) -> DataError:
    return DataError(
        f"{config.dataset} has no tables that can be read here: {', '.join(hub_confined.TABLES)}.",
        hint=f"No program of a data set is run. The Hub may have it as parquet: try "
        f"{config.dataset.partition('@')[0]}@refs/convert/parquet, or upload a file of its rows.",
    )


def _wanted(config: TrainConfig, there: list[str]) -> dict[str, str]:
    """The split of each part, as the config names it; raises DataError for what is not there."""
    wanted = {"train": config.train_split, "validation": config.validation_split, "test": config.test_split}
    if not wanted["validation"] and "validation" in there:
        wanted["validation"] = "validation"
    for split in filter(None, wanted.values()):
        if _base(split) not in there:
            raise DataError(
                f"{config.dataset} has no split {_base(split)!r}; found: {', '.join(there)}.",
                hint="Name one of these.",
            )
    return {part: split for part, split in wanted.items() if split}


def _base(split: str) -> str:
    """train[:10%] is a part of train."""
    return split.partition("[")[0]


def _split(builder: datasets.DatasetBuilder, split: str, config: TrainConfig) -> datasets.Dataset:
    try:
        return builder.as_dataset(split=split)
    except (ValueError, AssertionError) as error:
        raise DataError(
            f"{split!r} is no part of {config.dataset}: {without_paths(str(error))}.",
            hint="Write it as train[:10%].",
        ) from error


def _guarded(load: Callable[[], Any], config: TrainConfig) -> Any:
    from datasets.exceptions import DatasetGenerationError, DatasetsError

    name = config.dataset_config
    where = f"{config.dataset}, configuration {name}" if name else config.dataset
    try:
        return load()
    except (DatasetsError, ValueError, RuntimeError, OSError) as error:
        cause = error.__cause__ if isinstance(error, DatasetGenerationError) else None
        # holds the names of the configurations there are
        reason = " ".join(without_paths(str(cause or error)).split())[:600]
        raise DataError(
            f"{where} cannot be loaded: {reason}", hint="Check dataset_config and the splits."
        ) from error


def _table(name: str, data: datasets.Dataset, commit: _Commit, part: str) -> Table:
    from datasets import ClassLabel

    named = {
        column: tuple(kind.names) for column, kind in data.features.items() if isinstance(kind, ClassLabel)
    }
    findings = commit.findings if part == "train" else ()  # said once
    return Table(name, data.to_pandas(), named, commit.oid, findings)


@contextmanager
def _shown(total: int, name: str) -> Iterator[Callable[[int, int], None] | None]:
    """What tells a download's bytes, on a terminal alone."""
    if not sys.stderr.isatty():
        yield None
        return
    from huggingface_hub.utils import tqdm

    with tqdm(total=total, unit="B", unit_scale=True, desc=name) as bar:
        yield lambda done, _: bar.update(done - bar.n)
