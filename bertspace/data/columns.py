"""Which columns of a table are the text, its pair and the label; and the texts in them, checked.

Knows nothing of files and of what the labels mean.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertspace.data.delimited import SEPARATORS, WORDS
from bertspace.data.tables import Table, shortened
from bertspace.errors import DataError, Remedy
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS

if TYPE_CHECKING:
    import pandas as pd

# Each list from the surest name to the vaguest; compared without case and outer blanks.
TEXT_NAMES = (
    *(
        "text",
        "sentence",
        "review",
        "comment",
        "content",
        "tweet",
        "message",
        "utterance",
        "document",
        "body",
    ),
    *("review_text", "comment_text", "review_body", "sms", "post", "article", "paragraph", "description"),
    *("question", "query", "abstract", "headline", "title", "phrase", "line"),
)
PAIR_NAMES = (
    *(("text", "pair"), ("sentence", "pair"), ("sentence1", "sentence2"), ("sentence_1", "sentence_2")),
    *(("sentence_a", "sentence_b"), ("text1", "text2"), ("text_1", "text_2"), ("text_a", "text_b")),
    *(("text", "text2"), ("question1", "question2"), ("question_1", "question_2"), ("premise", "hypothesis")),
    *(("question", "sentence"), ("query", "document"), ("query", "passage"), ("question", "passage")),
    *(("first", "second"), ("text", "text_pair")),
)
LABEL_NAMES = (
    *(
        "label",
        "labels",
        "target",
        "class",
        "category",
        "sentiment",
        "emotion",
        "intent",
        "topic",
        "is_duplicate",
    ),
    *("gold_label", "label_text", "class index", "class_index", "polarity", "stars", "score", "rating", "y"),
)
MEASURED = 1000  # rows in which it is looked up what a column holds
FEW = 20  # rows, among which classes may be as many as half
OFFERED = 5  # columns that an error or a finding lists
_DELIMITED = re.compile(r"\.(csv|tsv|txt)\b", re.IGNORECASE)  # files with a separator
NUMBER = re.compile(r"-?\d{1,15}(\.0+)?", re.ASCII)
TRUTHS = ({"0", "1"}, {"False", "True"}, {"FALSE", "TRUE"}, {"false", "true"})


@dataclass(frozen=True)
class Columns:
    """The names that a table's columns have; empty where the task has no use for one."""

    text: str
    pair: str = ""
    label: str = ""


def guess_columns(columns: list[str], roles: Collection[str]) -> dict[str, str]:
    """{"text_column": …, "pair_column": …, "label_column": …} by the names alone; "" where none fits.

    roles: the columns that the task has. Two texts are taken for a pair only where both have names that go
    together (sentence1 and sentence2, …).
    """
    known = {_folded(name): name for name in reversed(columns)}
    known |= {name: name for name in columns if name == _folded(name)}  # text, where there is Text too
    text = next((known[name] for name in TEXT_NAMES if name in known), "")
    pair = label = ""
    if "pair" in roles:
        both = next((names for names in PAIR_NAMES if known.keys() >= set(names)), None)
        text, pair = (known[both[0]], known[both[1]]) if both else (text, "")
    if "label" in roles:
        label = next((known[name] for name in LABEL_NAMES if name in known and known[name] != text), "")
    if not text:
        text = next((known[first] for first, _ in PAIR_NAMES if first in known), "")
    return {"text_column": text, "pair_column": pair, "label_column": label}


def _folded(name: object) -> str:
    return str(name).strip().lower()


def pick_columns(config: TrainConfig, table: Table, roles: Collection[str] = ()) -> Columns:
    """The columns named in the config, the others guessed: by their names, then by what is in them.

    roles: those that are wanted; the task's, where none are named.

    A pair is guessed only where the text is guessed too: a text column alone means single texts.
    Raises DataError, which names the file and the columns that it has.
    """
    names = [str(name) for name in table.frame.columns]
    roles = roles or TASKS[config.task].columns
    text, pair, label = (
        getattr(config, f"{role}_column") if role in roles else "" for role in ("text", "pair", "label")
    )
    for name in filter(None, (text, pair, label)):
        check_column(name, table)
    guess = guess_columns([name for name in names if name != label], roles)
    if not text:
        text, pair = guess["text_column"], pair or guess["pair_column"]
    if not text or (text == pair and not config.text_column):
        rest = [name for name in names if name not in (pair, label, guess["label_column"])]
        text = _longest(table.frame[rest])
    if "label" in roles and not label:
        label = _label(guess["label_column"], table.frame, text, pair)
    picked = Columns(text, pair, label)
    _check_picked(picked, table, "label" in roles)
    return picked


def _label(guessed: str, frame: pd.DataFrame, text: str, pair: str) -> str:
    """The guess, or else the only other column whose values repeat as classes do."""
    if guessed and guessed not in (text, pair):
        return guessed
    rest = [str(name) for name in frame.columns if str(name) not in (text, pair)]
    if len(rest) == 1:
        return "" if len(frame) > FEW and _distinct(frame[rest[0]]) == min(len(frame), MEASURED) else rest[0]
    repeating = [name for name in rest if _repeats(frame[name])]
    return repeating[0] if len(repeating) == 1 else ""


def _repeats(values: pd.Series) -> bool:
    """Whether there are so few different values that they can be classes: no ids, dates or texts."""
    rows, distinct = min(len(values), MEASURED), _distinct(values)
    return 1 < distinct and (rows <= FEW or distinct < rows / 2)


def _distinct(values: pd.Series) -> int:
    return len({str(value) for value in values.head(MEASURED).tolist()})


def _longest(frame: pd.DataFrame) -> str:
    """The column whose texts are longest in the mean, looked up in the first rows."""
    lengths = {}
    for name in frame.columns:
        texts = [value for value in frame[name].head(MEASURED) if isinstance(value, str)]
        if any(text.strip() for text in texts):
            lengths[str(name)] = sum(map(len, texts)) / len(texts)
    return max(lengths, key=lengths.__getitem__, default="")


def _check_picked(picked: Columns, table: Table, labelled: bool) -> None:
    if not picked.text:
        names = [str(name) for name in table.frame.columns]
        raise DataError(
            f"No column of {table.name} holds texts; {found_words(names)}",
            hint="Name it by text_column.",
        )
    if labelled and not picked.label:
        raise _no_label(picked, table)
    taken = [name for name in dataclasses.astuple(picked) if name]
    for name in taken:
        check_column(name, table)
        if taken.count(name) > 1:
            raise DataError(
                f"The column {name!r} of {table.name} is to be two things at once.",
                hint="Name different columns as text_column, pair_column and label_column.",
            )


def _no_label(picked: Columns, table: Table) -> DataError:
    names = [str(name) for name in table.frame.columns]
    rest = [name for name in names if name not in (picked.text, picked.pair)]
    hint = f"Name it by label_column; {_needs_no_labels()}"
    if len(truths := [name for name in rest if _is_truth(table.frame[name])]) > 1:
        hint = f"{_several(truths)} Name one of them by label_column, or make one column of them."
    offered = [name for name in rest if _repeats(table.frame[name])][:OFFERED]
    ways = [Remedy(f"Take {name!r} as the label", (("label_column", name),)) for name in offered]
    if len(names) == 1 and _DELIMITED.search(table.name):
        hint = (
            f"Separate the parts of a line by commas, semicolons, tabs or vertical bars; {_needs_no_labels()}"
        )
        marks = [name for name in WORDS if _has_everywhere(SEPARATORS[name], table.frame[names[0]])]
        ways = [Remedy(f"Separate at {WORDS[name]}", (("separator", name),)) for name in marks]
    return DataError(
        f"No column of {table.name} looks like the label; {found_words(names)}",
        hint=hint,
        remedies=tuple(ways),
    )


def _needs_no_labels() -> str:
    names = [name for name, task in TASKS.items() if not task.has_labels]
    return f"{' and '.join(names)} need{'' if len(names) > 1 else 's'} no labels."


def _has_everywhere(mark: str, values: pd.Series) -> bool:
    """Whether every text that is not blank has the mark in it, as lines of several parts would."""
    filled = [str(value) for value in values.head(MEASURED) if str(value).strip()]
    return bool(filled) and all(mark in each for each in filled)


def _is_truth(values: pd.Series) -> bool:
    """Whether a column says yes or no of each row."""
    return {str(value) for value in values.head(MEASURED)} in TRUTHS


def _several(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:OFFERED])) + (", …" if len(names) > OFFERED else "")
    return (
        f"The columns {shown} say yes or no each, which looks like several labels a row; only one label a "
        "row can be learned here."
    )


def look_at(picked: Columns, config: TrainConfig, table: Table) -> tuple[list[str], list[Remedy]]:
    """(findings, remedies) on the columns that were picked: which others could have been meant."""
    names = [str(name) for name in table.frame.columns]
    findings, remedies = [], []
    chosen = {"text_column": picked.text, "pair_column": picked.pair, "label_column": picked.label}
    for key, name in chosen.items():
        twins = [each for each in names if each != name and _folded(each) == _folded(name)]
        if name and twins:
            findings.append(f"{table.name} has the columns {name!r} and {twins[0]!r}: {name!r} is read.")
            remedies.append(Remedy(f"Read {twins[0]!r}", ((key, twins[0]),)))
    known = {*TEXT_NAMES, *(name for names in PAIR_NAMES for name in names)}
    if len(names) > 1 and not config.text_column and _folded(picked.text) not in known:
        findings.append(f"The column {picked.text!r} of {table.name} is taken for the text.")
    if not picked.label:
        return findings, remedies
    if not config.label_column and _folded(picked.label) not in LABEL_NAMES:
        findings.append(f"The column {picked.label!r} of {table.name} is taken for the label.")
    rest = [name for name in names if name not in dataclasses.astuple(picked)]
    truths = [name for name in rest if _is_truth(table.frame[name])]
    if truths and _is_truth(table.frame[picked.label]):
        findings.append(_several([picked.label, *truths]))
    return findings, remedies


def names_beside(picked: Columns, table: Table) -> tuple[str, dict[int, str]]:
    """The column that has a name for every number of the label column, and {number: name}; or "" and none.

    So label_text beside label, or another column of words: each number has one name, and another.
    """
    values = [str(value) for value in table.frame[picked.label].tolist()]
    if not all(NUMBER.fullmatch(value) for value in set(values)):
        return "", {}
    numbers = [int(value.partition(".")[0]) for value in values]
    others = [name for name in map(str, table.frame.columns) if name not in dataclasses.astuple(picked)]
    sure = {name for name in others if _is_named_after(name, picked.label)}
    for other in sorted(others, key=lambda name: name not in sure):
        named = _named(numbers[:MEASURED], table.frame[other].head(MEASURED)) and _named(
            numbers, table.frame[other]
        )
        if named and (other in sure or 2 * len(named) <= len(numbers)):
            return other, named
    return "", {}


def _named(numbers: Sequence[int], values: pd.Series) -> dict[int, str]:
    """{number: name} where each number has one name beside it that no other has, a word; else none."""
    names = [str(value).strip() for value in values.tolist()]
    named = dict(zip(numbers, names, strict=True))
    words = all(names) and not any(map(NUMBER.fullmatch, named.values()))
    one_each = len(set(zip(numbers, names, strict=True))) == len(named) == len(set(names))
    return named if words and one_each else {}


def _is_named_after(other: str, column: str) -> bool:
    """label_text beside label, target_names beside target."""
    stem = _folded(column)
    endings = ("_text", "_name", "_names", " name", "name")
    return _folded(other) in {"label_text", "label_name", *(stem + ending for ending in endings)}


def check_column(name: str, table: Table) -> None:
    """Raises DataError where the table has no column of that name."""
    names = [str(each) for each in table.frame.columns]
    if name not in names:
        raise DataError(
            f"No column {name!r} in {table.name}; {found_words(names)}", hint="Pick one of these."
        )


def found_words(names: Sequence[str]) -> str:
    """Which columns there are, as messages list them."""
    shown = [name if len(name) <= 40 else name[:39] + "…" for name in names[:20]]
    return f"found: {', '.join(shown)}{', …' if len(names) > 20 else ''}."


def texts(table: Table, column: str) -> list[str]:
    """The column's values as texts: numbers are written out, what is missing is empty; raises DataError."""
    values = table.frame[column].tolist()
    return [
        value if isinstance(value, str) else _as_text(value, table, column, row)
        for row, value in zip(table.frame.index, values, strict=True)
    ]


def _as_text(value: Any, table: Table, column: str, row: int) -> str:
    if isinstance(value, (list, tuple, dict, set, bytes)) or hasattr(value, "dtype"):
        raise DataError(
            f"Row {row + 1:,} of {table.name} has a {type(value).__name__} in the column {column!r}: "
            f"{shortened(value)}.",
            hint="Pick a column with one text in every row.",
        )
    return "" if is_missing(value) else str(value)


def is_missing(value: Any) -> bool:
    """None, NaN, NaT, NA or a blank text."""
    import pandas as pd

    return not value.strip() if isinstance(value, str) else bool(pd.isna(value))


def blank_rows(columns: Iterable[list[str]], index: Iterable[int]) -> list[int]:
    """The numbers (from 1) of the rows in which one of the columns is blank."""
    return [row + 1 for row, *values in zip(index, *columns, strict=True) if not all(map(str.strip, values))]
