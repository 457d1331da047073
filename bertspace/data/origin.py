"""Where a run's rows came from, exact enough to cite; stored in data/source.json.

Of files it reads the bytes, for their SHA-256, and none of the rows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bertspace.data.tables import Table
from bertspace.hub import names as hub_names
from bertspace.schema import TrainConfig

FILES = {"train_file", "validation_file", "test_file"}
MAX_COLUMNS, LONGEST = 100, 200  # columns of a file that are noted; characters of a name
_HUB = re.compile(r"([\w.-]+/[\w.-]+)(?: \(([^()]+)\))?", re.ASCII)  # as data._sources words a Hub data set


@dataclass(frozen=True)
class Origin:
    """dataset: `sample:<name>`, a Hub id, or "" for files. revision: its commit, "" where it is not known.

    parts: what each part's rows were read from, by part; without "validation", those were held out. settings:
    those of TrainConfig that give the same rows again, where they are not the defaults, files by their names;
    empty where that is not known. files: of each part that was a file its name, columns and SHA-256.
    """

    dataset: str = ""
    dataset_config: str = ""
    revision: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def hub_id(self) -> str:
        """The data set's id on the Hub; "" for a sample and for files."""
        return "" if self.dataset.startswith("sample:") else self.dataset.partition("@")[0]


def origin(config: TrainConfig, tables: Mapping[str, Table]) -> Origin:
    """The origin of the tables that the config names, by part."""
    parts = {part: table.name for part, table in tables.items()}
    settings, files = _settings(config), {}
    revision, dataset = tables["train"].revision, config.dataset
    if dataset and not dataset.startswith("sample:"):
        dataset = hub_names.parse(dataset, "data set").repo_id
        settings["dataset"] = f"{dataset}@{revision}" if revision else config.dataset
    place = Path(config.data_dir).expanduser()

    def named_file(part: str) -> Path:
        return Path(getattr(config, f"{part}_file")).expanduser()

    if config.data_dir and place.is_file():
        files["data"] = {"name": place.name, "columns": [], "sha256": _sha256(place)}
    for part, table in tables.items():
        if named := settings.get(f"{part}_file"):
            columns = [str(name)[:LONGEST] for name in list(table.frame.columns)[:MAX_COLUMNS]]
            files[part] = {"name": named, "columns": columns, "sha256": _sha256(place / named_file(part))}
    return Origin(dataset, config.dataset_config, revision, parts, settings, files)


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What decides the rows, the seed of the split among it; files without their folders."""
    settings: dict[str, Any] = {}
    for each in fields(config):
        value = getattr(config, each.name)
        if each.metadata["group"] == "data" and value != each.default:
            settings[each.name] = value
    for name in FILES & settings.keys():
        settings[name] = _placeless(str(settings[name]), bool(config.data_dir))
    if config.data_dir:
        settings["data_dir"] = Path(config.data_dir).name
    return settings | {"seed": config.seed}


def _placeless(file: str, in_folder: bool) -> str:
    """The file's name, with its folders where they are those within the data's own."""
    path = Path(file)
    return file if in_folder and not path.is_absolute() and ".." not in path.parts else path.name


def _sha256(path: Path) -> str:
    """Of a file; "" for a folder, and for what is gone or lies in an archive."""
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def read(about: Mapping[str, Any]) -> Origin:
    """The origin in a source.json; of one written before there was any, what its words tell for sure."""
    if isinstance(recorded := about.get("origin"), Mapping):
        names = {each.name for each in fields(Origin)}
        return Origin(**{name: value for name, value in recorded.items() if name in names})
    # A file is named without its folders, so that a slash is a Hub id's.
    match = _HUB.fullmatch(str(about.get("source", "")))
    return Origin(match[1], match[2] or "") if match else Origin()
