"""A file's rows as a finished model reads them: by the columns and the labels of its training, each said.

The columns that a run was trained on are in its data/source.json, and in the config.json of its model, so
that a model that was pushed and pulled knows them too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bertspace import data
from bertspace.data import run_data, squad
from bertspace.data.columns import (
    OFFERED,
    Columns,
    blank_rows,
    found_words,
    guess_columns,
    pick_columns,
    texts,
)
from bertspace.data.labels import code_known
from bertspace.data.tables import Table, guesses_in_errors, shortened
from bertspace.errors import DataError, ModelError, Remedy
from bertspace.models import sources
from bertspace.safety.json_values import CONFIG, read_json
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, task_with_head

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
KEY = "training_columns"  # of config.json
_UNNAMED = re.compile(r"column \d+")  # as columns of a file without a header are called
ROLES = {"text": "text", "pair": "second text", "label": "label"}


@dataclass(frozen=True)
class Trained:
    """What a model remembers of its training: its columns, "" where it had no names or does not know them.

    pairs: whether its texts were pairs; None where that is not known.
    """

    columns: Columns = Columns("")
    pairs: bool | None = None


@dataclass(frozen=True)
class FileRows:
    """A file as a model reads it. frame: `text`, `pair` (of pairs) and `label` (int64, into the model's).

    The frame's index is the row's number in the file less one; `blank` are the numbers, from 1, of the rows
    that it leaves out for want of a text. columns: those of the file. findings: what was read how.
    """

    table: Table
    columns: Columns
    frame: pd.DataFrame
    blank: tuple[int, ...] = ()
    findings: tuple[str, ...] = ()

    def placed(self, answers: Sequence[T]) -> list[T | None]:
        """One a row of the file, None for a blank one."""
        by_row = dict(zip(self.frame.index, answers, strict=True))
        return [by_row.get(row) for row in self.table.frame.index]


def trained(model: str) -> Trained:
    """What the model remembers; raises BertspaceError where there is no such model."""
    if model == "starter":
        return Trained()
    if model.startswith("run:"):
        run = sources.run_called(model)
        config, columns = run.config(), run_data.columns(run.source())
        return Trained(columns, bool(config.pair_column) and TASKS[config.task].takes_pairs)
    with suppress(ModelError):
        recorded = read_json(sources.locate(model).path / CONFIG).get(KEY)
        if isinstance(recorded, dict):
            columns = run_data.columns({"columns": recorded})
            return Trained(columns, bool(columns.pair))
    return Trained()


def read(
    model: str, file: Path, config: TrainConfig, names: Sequence[str] = (), *, labelled: bool = True
) -> FileRows:
    """The file's rows for the model: columns that the config names, else those of the training, else a guess.

    names: the model's labels. labelled=False takes the texts alone, and leaves blank ones out. Raises
    DataError, where a column of the training is missing too: another one is read only when it is asked for.
    """
    labelled = labelled and TASKS[config.task].has_labels
    table = data.read_file(file, config)
    with guesses_in_errors([table]):
        return _rows(model, file, table, config, names, labelled)


def _rows(
    model: str, file: Path, table: Table, config: TrainConfig, names: Sequence[str], labelled: bool
) -> FileRows:
    if labelled or not TASKS[config.task].has_labels:
        table = squad.for_task(table, config)
    columns, findings = pick(trained(model), config, table, labelled=labelled, own=bool(run_data.about(file)))
    findings += table.findings
    if columns.label:
        table = data.with_labels(table, columns.label, config, findings)
    blank = blank_rows(
        [texts(table, name) for name in (columns.text, columns.pair) if name], table.frame.index
    )
    frame = data.text_frame(table, columns, findings)
    if columns.label:
        codes = code_known(table, columns.label, names, findings)
        frame = frame.assign(label=data.int64(codes, frame))
    return FileRows(table, columns, frame, tuple(blank), tuple(findings))


def pick(
    known: Trained, config: TrainConfig, table: Table, *, labelled: bool, own: bool = False
) -> tuple[Columns, list[str]]:
    """The columns of a file that a model is to read, and a finding that names them; raises DataError.

    own: the file is a run's own, under the canonical names.
    """
    names = [str(name) for name in table.frame.columns]
    if own and not any((config.text_column, config.pair_column, config.label_column)):
        roles = [name if name in names else "" for name in ("text", "pair", "label" if labelled else "")]
        return Columns(*roles), []
    if data.is_headless(table) or not known.columns.text:
        return _guessed(known, config, table, labelled)
    asked = {"text": config.text_column, "pair": config.pair_column, "label": config.label_column}
    takes_pairs = TASKS[config.task].takes_pairs
    wanted = {"text": known.columns.text, "pair": known.columns.pair if takes_pairs else ""}
    wanted |= {"label": known.columns.label} if labelled else {}
    picked = {role: asked[role] or _as_trained(name, names) for role, name in wanted.items()}
    if missing := [role for role, name in wanted.items() if name and not picked[role]]:
        raise _missing(missing, wanted, config, table)
    if config.pair_column and not known.columns.pair:
        raise _not_pairs(table)
    chosen = replace(
        config,
        text_column=picked["text"],
        pair_column=picked["pair"],
        label_column=picked.get("label", ""),
    )
    columns = pick_columns(chosen, table) if labelled else _texts_of(chosen, table)
    return columns, [_columns_finding(columns, asked, wanted)]


def _as_trained(name: str, names: Sequence[str]) -> str:
    """The column of that name, or the only one that differs from it in case or outer blanks; or ""."""
    twins = [each for each in names if each.strip().lower() == name.strip().lower()]
    return name if name in names else twins[0] if len(twins) == 1 and name else ""


def _texts_of(config: TrainConfig, table: Table) -> Columns:
    """The text and the pair that the config names, looked up."""
    text = pick_columns(config, table, ("text",)).text
    pair = config.pair_column if TASKS[config.task].takes_pairs else ""
    if pair:
        pick_columns(replace(config, text_column=pair), table, ("text",))
    return Columns(text, pair)


def _guessed(known: Trained, config: TrainConfig, table: Table, labelled: bool) -> tuple[Columns, list[str]]:
    """By the columns' names, where the model knows none; whether there is a second text it may know."""
    columns = pick_columns(config, table) if labelled else _guessed_texts(config, table)
    if known.pairs is False and columns.pair:
        if config.pair_column:
            raise _not_pairs(table)
        columns = replace(columns, pair="")
    if TASKS[config.task].takes_pairs and known.pairs and not columns.pair:
        raise DataError(
            f"{table.name} has no second text that can be told by its name, and the model was trained on "
            f"pairs; {found_words([str(name) for name in table.frame.columns])}",
            hint="Name it by pair_column.",
        )
    if data.is_headless(table):
        return columns, []
    asked = {"text": config.text_column, "pair": config.pair_column, "label": config.label_column}
    return columns, [_columns_finding(columns, asked, {})]


def _guessed_texts(config: TrainConfig, table: Table) -> Columns:
    """A pair where one is named, or where names go together."""
    text = pick_columns(config, table, ("text",)).text
    roles = TASKS[config.task].columns
    guess = guess_columns([str(name) for name in table.frame.columns], roles)
    pair = config.pair_column or (guess["pair_column"] if text == guess["text_column"] else "")
    return Columns(text, pair if "pair" in roles else "")


def _not_pairs(table: Table) -> DataError:
    return DataError(
        f"A second text of {table.name} is named, and the model was trained on single texts.",
        hint="Leave pair_column out.",
    )


def _missing(missing: Sequence[str], wanted: dict[str, str], config: TrainConfig, table: Table) -> DataError:
    """What is not there, what there is, and the guess as a way out."""
    names = [str(name) for name in table.frame.columns]
    lacking = " and ".join(shortened(wanted[role]) for role in missing)
    remedies = []
    unnamed = all(_UNNAMED.fullmatch(wanted[role]) for role in missing)
    if unnamed and not any(map(_UNNAMED.fullmatch, names)):
        remedies.append(Remedy("The first line is a row", (("header", "no"),)))
    for guess in [] if unnamed else _guesses(missing, wanted, config, table):
        title = " and ".join(f"{shortened(name)} as the {ROLES[role]}" for role, name in guess.items())
        settings = tuple((f"{role}_column", name) for role, name in guess.items())
        remedies.append(Remedy(f"Read {title}", settings))
    flags = " and ".join(f"{role}_column" for role in missing)
    return DataError(
        f"{table.name} has no column {lacking}, which the model was trained on; {found_words(names)}",
        hint=f"Name what is to be read instead by {flags}, or rename the columns in the file.",
        remedies=tuple(remedies),
    )


def _guesses(
    missing: Sequence[str], wanted: dict[str, str], config: TrainConfig, table: Table
) -> list[dict[str, str]]:
    """What the missing columns could be: the guess, or where none is sure any column as the label."""
    with suppress(DataError):
        labelled = "label" in wanted
        columns = pick_columns(config, table) if labelled else _guessed_texts(config, table)
        guess = {role: getattr(columns, role) for role in missing}
        sure = all(guess.values()) and guess.get("label") not in wanted.values()
        return [guess] if sure else []
    if "label" not in missing:
        return []
    with suppress(DataError):
        columns = _guessed_texts(config, table)
        guess = {role: getattr(columns, role) for role in missing}
        taken = {*guess.values(), *wanted.values()}
        others = [str(name) for name in table.frame.columns if name not in taken]
        guesses = [{**guess, "label": name} for name in others[:OFFERED]]
        return guesses if all(all(each.values()) for each in guesses) else []
    return []


def _columns_finding(columns: Columns, asked: dict[str, str], wanted: dict[str, str]) -> str:
    """Which columns are read, and why these."""
    parts = []
    for role, words in ROLES.items():
        if name := getattr(columns, role):
            why = "as in the training" if name == wanted.get(role) else "by its name"
            if wanted.get(role) and name != wanted[role]:
                why = f"{shortened(wanted[role])} in the training"
            parts.append(f"{words}: column {shortened(name)}, {'as asked' if asked[role] else why}")
    sentence = "; ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def to_remember(columns: Columns, task: str) -> dict[str, Any]:
    """What the config.json of a model says of its training: columns that have names, and a task that its head
    does not tell.
    """
    named = {name: value for name in ROLES if (value := getattr(columns, name))}
    own = {} if task_with_head(TASKS[task].head) == task else {sources.TASK_KEY: task}
    return own | ({KEY: named} if named else {})
