"""A data set on the Hub -> tables; says within seconds when the Hub does not answer.

Knows nothing of what the columns mean.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.errors import BertspaceError, DataError, HubError
from bertspace.hub_client import RIGHTS, api
from bertspace.schema import TrainConfig
from bertspace.tables import Table, shortened

if TYPE_CHECKING:
    import datasets

ANSWER_SECONDS = 8  # datasets itself retries for 23 seconds, and waits for a hanging peer for ever
_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OFFLINE = "Use a sample (sample:office, sample:pairs, sample:lighthouse) or a file, or check the connection."


def load_hub(config: TrainConfig) -> dict[str, Table]:
    """{"train": …, "validation": …, "test": …}, the last two where there are any; or HubError, DataError.

    Where the Hub does not answer, what the datasets library has in its cache serves.
    """
    name = check_id(config.dataset)
    splits, load = _online(config) if _answers(name) else _cached(config)
    wanted = {"train": config.train_split, "validation": config.validation_split, "test": config.test_split}
    if not wanted["validation"] and "validation" in splits:
        wanted["validation"] = "validation"
    return {
        part: _table(f"{name} ({split})", _split(load, split, name, splits))
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


def _answers(name: str) -> bool:
    """Whether the Hub knows the data set (True) or does not answer (False); asked in a thread of its own.

    Name look-ups know no time-out. Raises HubError where the Hub says no.
    """
    answer: list[bool | BertspaceError] = []
    context = copy_context()
    thread = threading.Thread(target=lambda: answer.append(context.run(_probe, name)), daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    found = answer[0] if answer else False
    if isinstance(found, BertspaceError):
        raise found
    return found


def _probe(name: str) -> bool | BertspaceError:
    import httpx2
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        api().dataset_info(name, timeout=5)
        return True
    except GatedRepoError:
        return HubError(
            f"{name} asks for its terms to be accepted.", hint="Accept them on its page on the Hub first."
        )
    except RepositoryNotFoundError:
        return HubError(f"The Hub has no data set {name} (or it is private).", hint="Check the spelling.")
    except (HfHubHTTPError, httpx2.HTTPError, OSError):
        return False


_Loader = Callable[[str], "datasets.Dataset"]


def _online(config: TrainConfig) -> tuple[list[str], _Loader]:
    """The names of the splits, and what loads one of them."""
    import datasets

    # By this prefix no folder and no file format of the same name is taken instead.
    path, name = f"hf://datasets/{config.dataset}", config.dataset_config or None
    at: dict[str, Any] = {"token": RIGHTS.get().token, "cache_dir": _own_cache()}
    splits = _guarded(lambda: list(datasets.get_dataset_split_names(path, name, **at)), config)
    return splits, lambda split: _guarded(
        lambda: datasets.load_dataset(path, name, split=split, **at), config
    )


def _own_cache() -> str | None:
    """The folder for what only these rights may see; None for the cache that the libraries share."""
    folder = RIGHTS.get().folder
    return str(folder / "datasets") if folder else None


def _guarded(load: Callable[[], Any], config: TrainConfig) -> Any:
    import httpx2
    from datasets.exceptions import DatasetsError

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
    except (DatasetsError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:600]  # holds the names of the configurations there are
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
        if RIGHTS.get().guest and not _own_cache():
            raise OSError("what lies in the common cache is not for guests")
        builder = Cache(
            repo_id=name,
            dataset_name=name.split("/")[-1],
            config_name=config.dataset_config or None,
            version="auto",
            hash="auto",
            cache_dir=_own_cache(),
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
            f"{split!r} is no part of {name}: {error}.", hint="Write it as train[:10%]."
        ) from error


def _table(name: str, data: datasets.Dataset) -> Table:
    from datasets import ClassLabel

    named = {
        column: tuple(kind.names) for column, kind in data.features.items() if isinstance(kind, ClassLabel)
    }
    return Table(name, data.to_pandas(), named, _revision(data))


def _revision(data: datasets.Dataset) -> str:
    """The commit that the rows were read from, as the library's cache has it in its paths; "" without one."""
    files = getattr(data, "cache_files", None) or []
    found = {Path(each["filename"]).parent.name for each in files}
    commit = found.pop() if len(found) == 1 else ""
    return commit if _COMMIT.fullmatch(commit) else ""
