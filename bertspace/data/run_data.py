"""A run's own rows, in its data/: written under the canonical column names with each label's name, and read.

A number is never a label's place there: runs of earlier versions wrote places, and what reads them is told.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.data.columns import Columns
from bertspace.data.labels import label_counts
from bertspace.data.origin import Origin
from bertspace.errors import Remedy

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "validation", "test")
ABOUT = "source.json"


@dataclass(frozen=True)
class Splits:
    """A run's rows: columns `text`, `pair` (of pairs), `label` (int64, into label_names).

    `source` says in words where the rows are from; `findings` are sentences on what to look at, `remedies`
    settings that read the data otherwise; `origin` is what a model card cites; `columns` have the names that
    they had where the rows are from, or none.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame | None
    label_names: tuple[str, ...]
    source: str
    findings: tuple[str, ...]
    origin: Origin = Origin()
    remedies: tuple[Remedy, ...] = ()
    columns: Columns = Columns("")


def write_splits(splits: Splits, folder: Path) -> None:
    """train.parquet, validation.parquet, test.parquet (if any) and source.json, each written in one piece.

    source.json: {source, findings, origin, columns, rows: {part: count}, labels: {part: {name: count}}}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = _frames(splits)
    for part, frame in frames.items():
        unfinished = folder / f"{part}.parquet.tmp"
        named(frame, splits.label_names).to_parquet(unfinished, index=False)
        os.replace(unfinished, folder / f"{part}.parquet")
    about: dict[str, Any] = {
        "source": splits.source,
        "findings": list(splits.findings),
        "origin": asdict(splits.origin),
        "columns": asdict(splits.columns),
        "rows": {part: len(frame) for part, frame in frames.items()},
        "labels": {part: label_counts(frame, splits.label_names) for part, frame in frames.items()}
        if splits.label_names
        else {},
    }
    unfinished = folder / f"{ABOUT}.tmp"
    unfinished.write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, folder / ABOUT)


def _frames(splits: Splits) -> dict[str, pd.DataFrame]:
    frames = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return {part: frame for part, frame in frames.items() if frame is not None}


def about(file: Path) -> dict[str, Any]:
    """What write_splits left beside the file of one of a run's parts; empty beside any other file."""
    if file.name not in {f"{part}.parquet" for part in PARTS}:
        return {}
    try:
        record = json.loads(file.with_name(ABOUT).read_text(encoding="utf-8"))
        return record if isinstance(record["labels"], dict) and isinstance(record["rows"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none, or another program's
        return {}


def label_names(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a run's labels in their order, as its source.json has them."""
    return tuple(map(str, next(iter((record.get("labels") or {}).values()), ())))


def columns(record: Mapping[str, Any]) -> Columns:
    """The columns that the rows had where they came from; without names where that is not known."""
    names = record.get("columns")
    names = names if isinstance(names, Mapping) else {}
    return Columns(*(str(names.get(name) or "")[:1000] for name in ("text", "pair", "label")))


def named(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The frame with its labels by their names, where they are places among them."""
    if not names or "label" not in frame or frame["label"].dtype.kind not in "iu":
        return frame
    return frame.assign(label=[names[place] for place in frame["label"].tolist()])


def coded(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The frame with its labels as places among the names (int64), where they are names."""
    if not names or "label" not in frame or frame["label"].dtype.kind in "iu":
        return frame
    places = {name: place for place, name in enumerate(names)}
    return frame.assign(label=frame["label"].map(places.__getitem__).astype("int64"))
