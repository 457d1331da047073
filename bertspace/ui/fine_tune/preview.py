"""A look at data before training: rows, labels and lengths in tokens, small enough to be a page's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace import data
from bertspace.data import published
from bertspace.data.hub_data import load_hub
from bertspace.data.reading import READING
from bertspace.errors import BertspaceError, DataError, Remedy
from bertspace.hub import credentials
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, samples
from bertspace.ui.frame import remedies

if TYPE_CHECKING:
    import pandas as pd

ROWS_SHOWN = 20
# The settings that rows depend on.
OF_DATA = ("task", "seed", *(each.name for each in fields(TrainConfig) if each.metadata["group"] == "data"))
PLACES = (
    "dataset",
    "dataset_config",
    "train_split",
    "validation_split",
    "test_split",
    "train_file",
    *READING,
)
ROWS_MEASURED = 2000  # lengths are counted on so many rows at most


@dataclass(frozen=True)
class Preview:
    """What is shown of a config's data. rows: (text, pair, label) of the first; "" where there is none.

    remedies: what can be chosen instead of what was guessed.
    """

    task: str
    source: str
    counts: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, str, str], ...]
    labels: tuple[tuple[str, int], ...]
    findings: tuple[str, ...]
    remedies: tuple[Remedy, ...] = ()


@dataclass(frozen=True)
class Lengths:
    """Tokens of each training row measured, special ones counted; or why they could not be counted.

    unknown: the share of the tokens that the vocabulary does not have.
    """

    tokens: tuple[int, ...] = ()
    model: str = ""
    problem: str = ""
    unknown: float = 0.0


def preview(splits: data.Splits, config: TrainConfig) -> Preview:
    """The look at what load_splits gave for the config."""
    frames = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    names = splits.label_names
    shown = splits.train.head(ROWS_SHOWN)
    pairs = shown["pair"] if "pair" in shown else [""] * len(shown)
    labels = [names[number] for number in shown["label"]] if names else [""] * len(shown)
    return Preview(
        config.task,
        splits.source,
        tuple((part, len(frame)) for part, frame in frames.items() if frame is not None),
        tuple(zip(shown["text"], pairs, labels, strict=True)),
        tuple(sorted(data.label_counts(splits.train, names).items(), key=lambda item: -item[1]))
        if names
        else (),
        splits.findings,
        remedies.open_to(splits.remedies, config),
    )


def measure(model: str, train: pd.DataFrame) -> Lengths:
    """The rows' lengths under the model's own tokenizer; a model that cannot be had is told, not raised."""
    from bertspace import models
    from bertspace.models import apart

    rows = train if len(train) <= ROWS_MEASURED else train.sample(ROWS_MEASURED, random_state=0)
    asked = {"texts": rows["text"].tolist(), "pairs": rows["pair"].tolist() if "pair" in rows else None}
    try:
        located = models.locate(model)
        found = apart.compute(located, "token_counts", asked)
        unknown = float(apart.compute(located, "unknown_share", asked))
    except BertspaceError as error:
        return Lengths(model=model, problem=str(error))
    return Lengths(tuple(int(count) for count in found), model, unknown=unknown)


def columns_of(config: TrainConfig) -> list[str]:
    """The columns that the config's training rows have, in their order; raises DataError or HubError."""
    caller = credentials.current()
    places = {name: getattr(config, name) for name in PLACES}
    return list(_columns(TrainConfig(**places), caller.folder, caller.guest))


@lru_cache(maxsize=64)  # names alone: choosing another column reads nothing anew
def _columns(config: TrainConfig, folder: Path | None, guest: bool) -> tuple[str, ...]:
    if config.dataset.startswith(data.SAMPLE_PREFIX):
        sample = samples().get(config.dataset.removeprefix(data.SAMPLE_PREFIX))
        return tuple(data.read_table(data.SAMPLE_FOLDER / sample.file).columns) if sample else ()
    if config.dataset:
        return tuple(str(name) for name in load_hub(config)["train"].frame.columns)
    return tuple(str(name) for name in published.training_part(config).frame.columns)


def guess_task(config: TrainConfig, columns: Sequence[str]) -> str:
    """The sample's own task; else the first with labels where there are any, without for a lone column."""
    sample = samples().get(config.dataset.removeprefix(data.SAMPLE_PREFIX))
    if sample and config.dataset.startswith(data.SAMPLE_PREFIX):
        return sample.task
    labelled = bool(data.guess_columns(list(columns), ("text", "label"))["label_column"])
    if len(columns) > 1 and not labelled:
        return config.task
    return next(name for name, task in TASKS.items() if task.has_labels == (len(columns) > 1))


def pick(columns: Sequence[str], task: str, chosen: Mapping[str, str], *, fresh: bool) -> dict[str, str]:
    """The columns to read. fresh: the guess, and where it has none what is chosen; else what is chosen.

    A missing text or label is guessed in any case; a second text left out stays out.
    """
    guess = data.guess_columns(list(columns), TASKS[task].columns)
    kept = {name: value if value in columns else "" for name, value in chosen.items()}
    if fresh:
        return {name: guess[name] or kept[name] for name in guess}
    return {name: kept[name] if name == "pair_column" else kept[name] or guess[name] for name in guess}


def load(config: TrainConfig) -> data.Splits:
    """load_splits, which may not be given a folder of the host; the data looked at last is read once.

    An upload has a path of its own, so that the same path is the same rows.
    """
    if config.data_dir:
        raise DataError("The page takes no folder.", hint="Upload the files.")
    caller = credentials.current()
    return _loaded(
        TrainConfig(**{name: getattr(config, name) for name in OF_DATA}), caller.folder, caller.guest
    )


@lru_cache(maxsize=2)
def _loaded(config: TrainConfig, folder: Path | None, guest: bool) -> data.Splits:
    """The rows, for those who have this folder: what one may see on the Hub, another may not."""
    return data.load_splits(config)
