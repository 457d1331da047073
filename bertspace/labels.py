"""The labels of a data set's parts -> indices into one tuple of names; what cannot be learned is refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertspace.columns import is_missing
from bertspace.errors import DataError
from bertspace.tables import Table, row_words, shortened

if TYPE_CHECKING:
    import pandas as pd

MAX_LABELS = 1000
NAMED = 5  # as many labels, and pairs of them, as a finding lists
FEW_ROWS = 10  # a label with fewer training rows is rarely learned
# What has more than 100 digits is a word: Python reads no number of more than 4,300.
_WHOLE = re.compile(r"-?(?:0|[1-9]\d{,99})(?:\.0+)?", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{,99})(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class _Labels:
    """One table's labels: each a bool, an int, a float or a stripped text; the table is named in messages."""

    table: Table
    column: str
    values: list[Any]

    def place(self, position: int) -> str:
        return f"row {self.table.frame.index[position] + 1:,} of {self.table.name}"


def parse_names(text: str) -> tuple[str, ...]:
    """label_names as it stands in a config -> the names: `a,b`, or a JSON list where names hold commas."""
    if not text.strip():
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if text.lstrip().startswith("["):
        try:
            names = tuple(json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(f"label_names is {shortened(text)}.", hint='Write a,b or ["a", "b"].') from error
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(
            f"label_names has an empty name: {shortened(text)}.", hint="Write a name for every label."
        )
    if doubles := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"label_names has {shortened(doubles[0])} twice.", hint="Write every name once.")
    return names


def join_names(names: Sequence[str]) -> str:
    """The names as a config holds them, so that parse_names gives them back as they were."""
    if not names:
        return ""
    joined = ",".join(names)
    plain = not joined.startswith("[") and tuple(part.strip() for part in joined.split(",")) == tuple(names)
    return joined if plain else json.dumps(list(names), ensure_ascii=False)


def label_counts(frame: pd.DataFrame, label_names: Sequence[str]) -> dict[str, int]:
    """{name: rows with that label}, in the order of the names; names without rows are there with 0."""
    counts = Counter(frame["label"].tolist())
    return {name: counts[index] for index, name in enumerate(label_names)}


def code_labels(
    tables: Sequence[Table], column: str, given: tuple[str, ...], findings: list[str]
) -> tuple[list[list[int]], tuple[str, ...]]:
    """Every table's labels as indices into the names, the training table first; raises DataError.

    Texts become classes in natural order (a2 before a10), or in the order of `given`; whole numbers (also as
    texts or floats) and booleans are named by `given`, name i for the number i, or by themselves.
    """
    found = [_read(table, column, findings) for table in tables]
    given = given or tables[0].class_names.get(column, ())
    numbers = _as_numbers(found, given)
    if not given:
        _check_count(found[0])
    if numbers is not None and given:
        codes, names = _named_numbers(found, numbers, given), given
    elif numbers is not None:
        classes = sorted(set(numbers[0]))
        boolean = all(isinstance(value, bool) for each in found for value in each.values)
        names = tuple(str(bool(number)) if boolean else str(number) for number in classes)
        codes = _look_up(found, numbers, dict(zip(classes, range(len(classes)), strict=True)), names)
    else:
        words = [[value if isinstance(value, str) else str(value) for value in each.values] for each in found]
        names = given or tuple(sorted(set(words[0]), key=natural))
        codes = _look_up(found, words, {name: index for index, name in enumerate(names)}, names)
    _check_learnable(found, codes, names)
    findings.extend(_alike(names))
    return codes, names


def code_known(table: Table, column: str, names: Sequence[str]) -> list[int]:
    """A table's labels as a finished model's: each its name, or its number; raises DataError."""
    labels = _read(table, column, [])
    index = {name: number for number, name in enumerate(names)}
    if not index.keys() & {str(value) for value in labels.values} and all(map(_is_whole, labels.values)):
        return _named_numbers([labels], [[_whole(value) for value in labels.values]], tuple(names))[0]
    for position, value in enumerate(labels.values):
        if str(value) not in index:
            raise DataError(
                f"The label {shortened(value)} in {labels.place(position)} is none of the model's; "
                f"known: {_known(names)}.",
                hint="Pick the column with the model's labels as label_column.",
            )
    return [index[str(value)] for value in labels.values]


def natural(name: str) -> tuple[list[Any], str]:
    """A sort key by which a2 comes before a10, and b after A."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [_size(part) if place % 2 else part for place, part in enumerate(parts)], name


def _size(digits: str) -> tuple[int, str]:
    """A key by which whole numbers are ordered, however many digits they have."""
    found = digits.lstrip("0")
    return len(found), found


def _read(table: Table, column: str, findings: list[str]) -> _Labels:
    values, missing, blanks = [], [], 0
    for row, value in zip(table.frame.index, table.frame[column].tolist(), strict=True):
        if isinstance(value, (list, tuple, dict, set, bytes)) or hasattr(value, "dtype"):
            raise DataError(
                f"Row {row + 1:,} of {table.name} has a {type(value).__name__} as its label "
                f"(column {column!r}): {shortened(value)}.",
                hint="Every row needs one label: a word or a number.",
            )
        hidden = value == -1 and column in table.class_names  # how the Hub marks unknown labels
        if hidden or is_missing(value):
            missing.append(row + 1)
            continue
        plain = value.strip() if isinstance(value, str) else value
        blanks += plain != value
        values.append(plain)
    if missing:
        raise DataError(
            f"{table.name} has no label in {row_words(missing)} (column {column!r}).",
            hint="Fill the labels in or take the rows out.",
        )
    if blanks:
        findings.append(f"Blanks around the labels of {blanks:,} rows of {table.name} were taken off.")
    return _Labels(table, column, values)


def _as_numbers(found: Sequence[_Labels], given: tuple[str, ...]) -> list[list[int]] | None:
    """The labels as whole numbers, None where some are words; raises DataError for unnamed fractions."""
    every = [value for labels in found for value in labels.values]
    if all(_is_whole(value) for value in set(every)):
        return [[_whole(value) for value in each.values] for each in found]
    if not given and all(_DECIMAL.fullmatch(str(value)) for value in set(every)):
        for labels in found:
            for position, value in enumerate(labels.values):
                if not _is_whole(value):
                    raise DataError(
                        f"The label in {labels.place(position)} is {value}, a number with a fraction "
                        f"(column {labels.column!r}).",
                        hint="Classes are words or whole numbers: group the numbers, or pick another column.",
                    )
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, bool | int) or _WHOLE.fullmatch(str(value)) is not None


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, bool | int) else int(str(value).split(".")[0])


def _named_numbers(
    found: Sequence[_Labels], numbers: list[list[int]], given: tuple[str, ...]
) -> list[list[int]]:
    for labels, each in zip(found, numbers, strict=True):
        for position, number in enumerate(each):
            if not 0 <= number < len(given):
                raise DataError(
                    f"The label in {labels.place(position)} is {number}; label_names names the labels "
                    f"0 to {len(given) - 1} ({shortened(', '.join(given))}).",
                    hint="Write a name for every number from 0 on, or leave label_names empty.",
                )
    return numbers


def _look_up(
    found: Sequence[_Labels], values: Sequence[Sequence[Any]], index: dict[Any, int], names: Sequence[str]
) -> list[list[int]]:
    for labels, each in zip(found, values, strict=True):
        for position, value in enumerate(each):
            if value not in index:
                raise _unknown(labels, position, str(value), found[0].table.name, names)
    return [[index[value] for value in each] for each in values]


def _unknown(labels: _Labels, position: int, label: str, train: str, names: Sequence[str]) -> DataError:
    known = f"known: {_known(names)}"
    if labels.table.name == train:
        return DataError(
            f"The label {shortened(label)} in {labels.place(position)} is none of label_names; {known}.",
            hint="Add it to label_names, or leave that empty.",
        )
    return DataError(
        f"The label {shortened(label)} in {labels.place(position)} stands in no row of {train}; {known}.",
        hint="Add training rows with it, or take it out.",
    )


def _check_count(train: _Labels) -> None:
    """As many labels as that are identifiers, numbers or free text."""
    rows, distinct = len(train.values), len({str(value) for value in train.values})
    if distinct > MAX_LABELS or (rows > 20 and distinct >= rows / 2):
        raise DataError(
            f"The label column {train.column!r} of {train.table.name} has {distinct:,} different values "
            f"in {rows:,} rows, {shortened(train.values[0])} for one: it looks like a number or free text.",
            hint="Pick the column with the classes as label_column.",
        )


def _check_learnable(found: Sequence[_Labels], codes: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    known = set(codes[0])
    if len(known) < 2:
        train = found[0]
        raise DataError(
            f"All {len(codes[0]):,} rows of {train.table.name} have one label: "
            f"{shortened(names[codes[0][0]])} (column {train.column!r}).",
            hint="Add rows of another label, or pick another column as label_column.",
        )
    learned = [name for index, name in enumerate(names) if index in known]
    for labels, each in zip(found, codes, strict=True):
        for position, code in enumerate(each):
            if code not in known:
                raise _unknown(labels, position, names[code], found[0].table.name, learned)


def _alike(names: Sequence[str]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(" ".join(name.casefold().split()), []).append(name)
    found = [
        f"The labels {_listed(group)} differ in case or blanks only; they count as different."
        for group in groups.values()
        if len(group) > 1
    ]
    return found[:NAMED]


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - NAMED:,} more"] if len(names) > NAMED else []
    return " and ".join([*map(shortened, names[:NAMED]), *more])


def _known(names: Sequence[str]) -> str:
    """The first of the names, as messages list what there is."""
    cut = [name if len(name) <= 40 else f"{name[:39]}…" for name in names[:20]]
    return f"{', '.join(cut)}{', …' if len(names) > 20 else ''}"
