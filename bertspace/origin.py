"""Where a run's rows came from, as exactly as it can be cited; kept in data/source.json. Reads no data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bertspace.schema import TrainConfig
from bertspace.tables import Table

_HUB = re.compile(r"([\w.-]+/[\w.-]+)(?: \(([^()]+)\))?", re.ASCII)  # as data._sources words a Hub data set


@dataclass(frozen=True)
class Origin:
    """dataset: `sample:<name>`, a Hub id, or "" for files. revision: its commit, "" where it is not known.

    parts: what each part's rows were read from, by part; without "validation", those were held out.
    """

    dataset: str = ""
    dataset_config: str = ""
    revision: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def hub_id(self) -> str:
        """The data set's id on the Hub; "" for a sample and for files."""
        return "" if self.dataset.startswith("sample:") else self.dataset


def origin(config: TrainConfig, tables: Mapping[str, Table]) -> Origin:
    """The origin of the tables that the config names, by part."""
    parts = {part: table.name for part, table in tables.items()}
    return Origin(config.dataset, config.dataset_config, tables["train"].revision, parts)


def read(about: Mapping[str, Any]) -> Origin:
    """The origin in a source.json; of one written before there was any, what its words tell for sure."""
    if isinstance(told := about.get("origin"), Mapping):
        names = {each.name for each in fields(Origin)}
        return Origin(**{name: value for name, value in told.items() if name in names})
    # A file is named without its folders, so that a slash is a Hub id's.
    found = _HUB.fullmatch(str(about.get("source", "")))
    return Origin(found[1], found[2] or "") if found else Origin()
