"""A data set on the Hub -> tables; says within seconds when the Hub does not answer.

Knows nothing of what the columns mean.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace import hub_cache, hub_confined, hub_room
from bertspace.errors import BertspaceError, DataError, HubError, without_paths
from bertspace.hub_cache import RemoteFile
from bertspace.hub_client import RIGHTS, api, readable
from bertspace.schema import TrainConfig
from bertspace.tables import Table, shortened

if TYPE_CHECKING:
    import datasets
    from huggingface_hub import DatasetInfo

ANSWER_SECONDS = 8  # datasets itself retries for 23 seconds, and waits for a hanging peer for ever
MOST_FILES = 1000  # of a data set that a guest names
_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OFFLINE = "Use a sample (sample:office, sample:pairs, sample:lighthouse) or a file, or check the connection."


def load_hub(config: TrainConfig) -> dict[str, Table]:
    """{"train": …, "validation": …, "test": …}, the last two where there are any; or HubError, DataError.

    Where the Hub does not answer, what the datasets library has in its cache serves the machine's own people.
    For guests the repository is brought whole, within their bounds and to their place, and read from there.
    """
    name, guest = check_id(config.dataset), RIGHTS.get().guest
    info = _answer(name)
    with tempfile.TemporaryDirectory(prefix="bertspace-") as folder:
        if info is None:
            splits, load = _cached(config)
        elif guest:
            splits, load = _confined(config, _brought(name, info), info, Path(folder))
        else:  # by this prefix no folder and no file format of the same name is taken instead
            splits, load = _online(config, f"hf://datasets/{name}", None)
        wanted = {
            "train": config.train_split,
            "validation": config.validation_split,
            "test": config.test_split,
        }
        if not wanted["validation"] and "validation" in splits:
            wanted["validation"] = "validation"
        commit = str(info.sha) if info is not None and guest else ""
        return {
            part: _table(f"{name} ({split})", _split(load, split, name, splits), commit)
            for part, split in wanted.items()
            if split
        }


def check_id(name: str) -> str:
    """The id, if it can be one: owner/name, or a name alone; raises DataError."""
    if not _ID.fullmatch(name) or ".." in name or "--" in name:
        raise DataError(
            f"{shortened(name)} is no name of a data set.",
            hint="Write owner/name as on the Hub, sample:<name>, or give a train_file.",
        )
    return name


def _answer(name: str) -> DatasetInfo | None:
    """What the Hub says of the data set, None where it does not answer; asked in a thread of its own.

    Name look-ups know no time-out. Raises HubError where the Hub says no.
    """
    answer: list[DatasetInfo | BertspaceError | None] = []
    context = copy_context()
    thread = threading.Thread(target=lambda: answer.append(context.run(_probe, name)), daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    found = answer[0] if answer else None
    if isinstance(found, BertspaceError):
        raise found
    return found


def _probe(name: str) -> DatasetInfo | BertspaceError | None:
    import httpx2
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        ask = partial(api().dataset_info, name, timeout=5, files_metadata=RIGHTS.get().guest)
        return readable(ask, name)
    except HubError as error:
        return error
    except GatedRepoError:
        return _gated(name)
    except RepositoryNotFoundError:
        return HubError(f"The Hub has no data set {name} (or it is private).", hint="Check the spelling.")
    except (HfHubHTTPError, httpx2.HTTPError, OSError):
        return None


def _gated(name: str) -> HubError:
    return HubError(
        f"{name} asks for its terms to be accepted.", hint="Accept them on its page on the Hub first."
    )


def _brought(name: str, info: DatasetInfo) -> Path:
    """The data set's files, in the guest's own place where not everybody may see them; raises HubError."""
    files = [
        RemoteFile(each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else str(each.blob_id))
        for each in info.siblings or ()
    ]
    if len(files) > MOST_FILES or not _COMMIT.fullmatch(str(info.sha)):
        raise HubError(f"{name} has too many files, or no commit.", hint="Upload a file of its rows.")
    total, own, commit = sum(file.size for file in files), RIGHTS.get().folder, str(info.sha)
    hub_room.check_size(name, total)
    restricted = info.private is not False or bool(info.gated)
    if restricted and own is None:  # that it lies in the common cache makes it nobody's
        raise _gated(name)
    cache = own if own and restricted else hub_cache.common()
    hub_room.make_room(cache, total, name, commit, "dataset")
    progress = hub_cache.Progress(total, name)
    return hub_cache.bring(name, commit, commit, files, cache, progress, kind="dataset")


_Loader = Callable[[str], "datasets.Dataset"]


def _confined(
    config: TrainConfig, snapshot: Path, info: DatasetInfo, folder: Path
) -> tuple[list[str], _Loader]:
    """The same of a stranger's repository, out of which no file leads. folder: for what is made meanwhile."""
    import datasets

    place, cache = folder / config.dataset.replace("/", "--"), str(folder / "cache")
    hub_confined.lay_out(snapshot, [each.rfilename for each in info.siblings or ()], place)
    name = config.dataset_config or None
    builder = _guarded(lambda: datasets.load_dataset_builder(str(place), name, cache_dir=cache), config)
    files = hub_confined.check(builder, place)
    _guarded(lambda: hub_confined.check_packed(files, RIGHTS.get().most_bytes), config)
    return _online(config, str(place), cache)


def _online(config: TrainConfig, path: str, cache: str | None) -> tuple[list[str], _Loader]:
    """The names of the splits, and what loads one of them. cache: None is the library's own."""
    import datasets

    # Else the name, a private one too, is told to a host that is not the Hub, or waited for 3 s.
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    name = config.dataset_config or None
    at: dict[str, Any] = {"token": RIGHTS.get().token, "cache_dir": cache}
    splits = _guarded(lambda: list(datasets.get_dataset_split_names(path, name, **at)), config)

    def load(split: str) -> datasets.Dataset:
        try:
            return datasets.load_dataset(path, name, split=split, **at)
        except datasets.exceptions.DatasetGenerationError:  # perhaps arrived damaged: nobody looks at hashes
            anew = datasets.DownloadMode.FORCE_REDOWNLOAD
            return datasets.load_dataset(path, name, split=split, download_mode=anew, **at)

    return splits, lambda split: _guarded(lambda: load(split), config)


def _guarded(load: Callable[[], Any], config: TrainConfig) -> Any:
    import httpx2
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    where = (
        f"{config.dataset}, configuration {config.dataset_config}"
        if config.dataset_config
        else config.dataset
    )
    try:
        return load()
    except (ConnectionError, httpx2.HTTPError) as error:
        message = f"The download of {where} broke off ({type(error).__name__})."
        raise HubError(message, hint="Try again: what has arrived is kept.") from error
    except DatasetNotFoundError as error:  # whether there is one was asked for: so its files are not for all
        raise _gated(config.dataset) from error
    except (DatasetsError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(without_paths(str(error)).split())[
            :600
        ]  # holds the names of the configurations there are
        raise DataError(
            f"{where} cannot be loaded: {reason}", hint="Check dataset_config and the splits."
        ) from error


def _cached(config: TrainConfig) -> tuple[list[str], _Loader]:
    """The same out of the datasets library's own cache.

    Its builder is asked directly: load_dataset tries the network first, whatever it is told (datasets 5.2).
    """
    from datasets.packaged_modules.cache.cache import Cache

    name = config.dataset
    try:
        if RIGHTS.get().guest:
            raise OSError("what lies in the library's cache is the machine's own people's")
        builder = Cache(
            repo_id=name,
            dataset_name=name.split("/")[-1],
            config_name=config.dataset_config or None,
            version="auto",
            hash="auto",
        )
    except (ValueError, OSError) as error:
        message = f"The Hub does not answer, and {name} is not among what was downloaded before."
        raise HubError(message, hint=_OFFLINE) from error
    return list(builder.info.splits), lambda split: builder.as_dataset(split=split)


def _split(load: _Loader, split: str, name: str, splits: list[str]) -> datasets.Dataset:
    if (base := split.split("[")[0]) not in splits:  # train[:10%] is a part of train
        raise DataError(
            f"{name} has no split {base!r}; found: {', '.join(splits)}.", hint="Name one of these."
        )
    try:
        return load(split)
    except (ValueError, AssertionError) as error:
        raise DataError(
            f"{split!r} is no part of {name}: {without_paths(str(error))}.", hint="Write it as train[:10%]."
        ) from error


def _table(name: str, data: datasets.Dataset, commit: str) -> Table:
    from datasets import ClassLabel

    named = {
        column: tuple(kind.names) for column, kind in data.features.items() if isinstance(kind, ClassLabel)
    }
    return Table(name, data.to_pandas(), named, commit or _revision(data))


def _revision(data: datasets.Dataset) -> str:
    """The commit that the rows were read from, as the library's cache has it in its paths; "" without one."""
    files = getattr(data, "cache_files", None) or []
    found = {Path(each["filename"]).parent.name for each in files}
    commit = found.pop() if len(found) == 1 else ""
    return commit if _COMMIT.fullmatch(commit) else ""
