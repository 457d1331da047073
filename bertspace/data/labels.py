"""Label values to class numbers, the same in every split; what cannot be learned is refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bertspace.data import alike
from bertspace.data.alike import NAMED
from bertspace.data.columns import is_missing
from bertspace.data.tables import Table, row_words, shortened
from bertspace.errors import DataError, Remedy
from bertspace.safety.json_values import MAX_LABEL
from bertspace.tasks.base import distinct

if TYPE_CHECKING:
    import pandas as pd

MAX_LABELS = 1000
FEW_ROWS = 10  # a label with fewer training rows is rarely learned
LEAVE_OUT = Remedy("Leave these rows out", (("unlabelled_rows", "leave out"),))
# What has more than 100 digits is a word: Python reads no number of more than 4,300.
_WHOLE = re.compile(r"-?(?:0|[1-9]\d{,99})(?:\.0+)?", re.ASCII)
_NUMBER = re.compile(r"[+\-−]?\d[\d.,]*(?:[eE][+-]?\d+)?", re.ASCII)  # however it is written: 01, +1, 1.
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{,99})(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class _Labels:
    """One table's labels: each a bool, an int, a float or a text; the table is named in messages."""

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
    if long := next((name for name in names if len(name) > MAX_LABEL), ""):
        raise DataError(
            f"label_names has a name of {len(long):,} characters; the limit is {MAX_LABEL}.",
            hint="Write a shorter one.",
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


def model_labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of a classifier's configuration, in the order of its outputs, all different."""
    named = config.get("id2label") or {}
    return distinct([str(named[number]) for number in sorted(named, key=int)])


def label_name(value: Any) -> str:
    """What a value is called as a label: 1 for 1, 1.0 and "1.0", True for a boolean, any other as written."""
    return str(_whole(value)) if _is_whole(value) and not isinstance(value, bool) else str(value)


def labelled(table: Table, column: str, unlabelled_rows: str, findings: list[str]) -> Table:
    """The table without the rows that have no label, where they are to be left out; else raises DataError."""
    hides = column in table.class_names  # -1 is how the Hub marks unknown labels
    values = table.frame[column].tolist()
    missing = [place for place, value in enumerate(values) if _is_unlabelled(value, hides)]
    if not missing:
        return table
    rows = [int(table.frame.index[place]) + 1 for place in missing]
    if len(missing) == len(values):
        raise DataError(
            f"{table.name} has no label in any row (column {column!r}).",
            hint="Name another column, or other rows: there is nothing to learn or to score by.",
        )
    if unlabelled_rows != "leave out":
        raise DataError(
            f"{table.name} has no label in {row_words(rows)} (column {column!r}).",
            hint="Fill the labels in, take the rows out, or set unlabelled_rows to leave out.",
            remedies=(LEAVE_OUT,),
        )
    plural = "s were" if len(rows) > 1 else " was"
    findings.append(f"{len(rows):,} row{plural} left out of {table.name} for want of a label.")
    return replace(table, frame=table.frame.drop(index=table.frame.index[missing]))


def _is_unlabelled(value: Any, hides: bool) -> bool:
    if isinstance(value, (list, tuple, dict, set, bytes)) or hasattr(value, "dtype"):
        return False  # something, if no label
    return (hides and value == -1) or is_missing(value)


def code_labels(
    tables: Sequence[Table], column: str, given: tuple[str, ...], findings: list[str]
) -> tuple[list[list[int]], tuple[str, ...]]:
    """Every table's labels as indices into the names, the training table first; raises DataError.

    A label is its name. The names are `given`, or those that the data brings, or else the training table's
    labels in natural order (2 before 10, a2 before a10). Whole numbers are places among names that are no
    numbers, which is a finding.
    """
    own = tables[0].class_names.get(column, ())
    parts = [_read(table, column, findings, given or own) for table in tables]
    names = given or own
    if not names:
        _check_whole(parts)
        _check_count(parts[0])
        names = _own_names(parts[0], findings)
    codes = []
    for labels in parts:
        codes.append(_coded(labels, names, "label names", partial(_not_learned, parts[0], names), findings))
    _check_learnable(parts, codes, names)
    findings.extend(alike.alike(names))
    findings.extend(alike.several(names))
    findings.extend(alike.missing(names))
    return codes, names


def code_known(table: Table, column: str, names: Sequence[str], findings: list[str]) -> list[int]:
    """A table's labels as a finished model's: each by its name; raises DataError.

    Whole numbers are places among a model's labels only where those are no numbers, which is a finding.
    """
    labels = _read(table, column, findings, names)
    return _coded(labels, tuple(names), "model's labels", partial(_not_known, names), findings)


def natural(name: str) -> tuple[list[Any], str]:
    """A sort key by which a2 comes before a10, and b after A."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [_size(part) if place % 2 else part for place, part in enumerate(parts)], name


def _size(digits: str) -> tuple[int, str]:
    """A key by which whole numbers are ordered, however many digits they have."""
    significant = digits.lstrip("0")
    return len(significant), significant


def _read(table: Table, column: str, findings: list[str], known: Sequence[str]) -> _Labels:
    """The table's labels; blanks around them are taken off, but for names that are `known` with theirs."""
    values, blanks, as_written = [], 0, set(known)
    for row, value in zip(table.frame.index, table.frame[column].tolist(), strict=True):
        if isinstance(value, (list, tuple, dict, set, bytes)) or hasattr(value, "dtype"):
            raise DataError(
                f"Row {row + 1:,} of {table.name} has a {type(value).__name__} as its label "
                f"(column {column!r}): {shortened(value)}.",
                hint="Give every row one label, a word or a number: only one a row can be learned here.",
            )
        if isinstance(value, str) and len(value) > MAX_LABEL:
            raise DataError(
                f"The label in row {row + 1:,} of {table.name} has {len(value):,} characters (column "
                f"{column!r}); the limit is {MAX_LABEL}.",
                hint="Pick the column with the classes as label_column.",
            )
        plain = value.strip() if isinstance(value, str) and value not in as_written else value
        blanks += isinstance(value, str) and plain != value
        values.append(plain)
    if blanks:
        rows = f"{blanks:,} row{'s'[: blanks != 1]}"
        findings.append(f"Blanks around the labels of {rows} of {table.name} were taken off.")
    return _Labels(table, column, values)


def _own_names(train: _Labels, findings: list[str]) -> tuple[str, ...]:
    """The names that the training table's labels make, numbers in their order."""
    spelled: dict[str, set[str]] = {}
    for value in train.values:
        spelled.setdefault(label_name(value), set()).add(str(value))
    for name, spellings in spelled.items():
        if len(spellings) > 1:
            findings.append(f"The labels {listed(sorted(spellings))} count as one, {shortened(name)}.")
    return tuple(sorted(spelled, key=int if all(map(_is_whole, spelled)) else natural))


def _check_whole(parts: Sequence[_Labels]) -> None:
    """Raises DataError where all labels are numbers, and some of them no whole ones."""
    if not all(_DECIMAL.fullmatch(str(value)) for labels in parts for value in set(labels.values)):
        return
    for labels in parts:
        for position, value in enumerate(labels.values):
            if not _is_whole(value):
                raise _not_whole(labels, position)


def _not_whole(labels: _Labels, position: int) -> DataError:
    value = labels.values[position]
    whole = float(value).is_integer()  # 1e+05, as R writes 100000
    kind = "a number with an exponent" if whole else "a number with a fraction"
    return DataError(
        f"The label in {labels.place(position)} is {value}, {kind} (column {labels.column!r}).",
        hint=f"Write whole numbers out: {float(value):.0f}."
        if whole
        else "Classes are words or whole numbers: group the numbers, or pick another column.",
    )


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, bool | int) or _WHOLE.fullmatch(str(value)) is not None


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, bool | int | float) else int(str(value).split(".")[0])


Refusal = Callable[[_Labels, int], DataError]  # of the label at a position


def _coded(
    labels: _Labels, names: tuple[str, ...], of: str, refusal: Refusal, findings: list[str]
) -> list[int]:
    """Each label's index into the names; `of`: what a finding calls the names."""
    index = {label_name(name): place for place, name in reversed(list(enumerate(names)))}
    index |= {name: place for place, name in enumerate(names)}
    if all(map(_is_whole, labels.values)):
        index |= _numbered(labels, names, index, of, findings)
    codes = []
    for position, value in enumerate(labels.values):
        place = index.get(str(value), index.get(label_name(value)))
        if place is None:
            raise refusal(labels, position)
        codes.append(place)
    return codes


def _numbered(
    labels: _Labels, names: tuple[str, ...], index: Mapping[str, int], of: str, findings: list[str]
) -> dict[str, int]:
    """{label: place} of whole numbers that are no names, which is a finding; nothing where they are."""
    numbers = {label_name(value): _whole(value) for value in labels.values}
    own = labels.table.class_names.get(labels.column, ())
    brought = [own[number] for number in numbers.values() if 0 <= number < len(own)]
    if len(brought) == len(numbers) and all(name in index for name in brought):
        codes = dict(zip(numbers, (index[name] for name in brought), strict=True))
        rule = "go by the names that the data brings"
    elif len(own) == len(names) or not (set(numbers) & index.keys() or _are_meant(names, numbers.values())):
        _check_places(labels, names, of)
        codes, rule = numbers, f"are places among the {of}"
    else:
        return {}
    shown = [
        f"{number} is {shortened(names[codes[number]])}" for number in sorted(codes, key=numbers.__getitem__)
    ]
    more = ", …" if len(shown) > NAMED else "."
    words = f"The numbers in the column {labels.column!r} {rule}: {', '.join(shown[:NAMED])}{more}"
    findings.extend([words] if words not in findings else [])
    return codes


def _are_meant(names: Sequence[str], numbers: Iterable[int]) -> bool:
    """Whether the numbers may mean what stands in the names, 1 star and 2 stars or 01 and 02: no places."""
    return any(map(_NUMBER.fullmatch, names)) or set(numbers) <= _numbers_in(names).keys()


def _numbers_in(names: Sequence[str]) -> dict[int, str]:
    """{number: the name that it stands in} where that is another number for each, and no name's place."""
    digits = [re.findall(r"\d{1,15}", name, re.ASCII) for name in names]
    numbers = {int(each[0]): name for each, name in zip(digits, names, strict=True) if len(each) == 1}
    return numbers if len(numbers) == len(names) and list(numbers) != [*range(len(names))] else {}


def _check_places(labels: _Labels, names: Sequence[str], of: str) -> None:
    for position, value in enumerate(labels.values):
        if not 0 <= _whole(value) < len(names):
            raise DataError(
                f"The label in {labels.place(position)} is {_whole(value)}; the {of} go from "
                f"0 to {len(names) - 1} ({shortened(', '.join(names))}).",
                hint="Write the labels' names in the column, or give a name for every number from 0 on.",
            )


def _not_known(names: Sequence[str], labels: _Labels, position: int) -> DataError:
    label = label_name(labels.values[position])
    return DataError(
        f"The label {shortened(label)} in {labels.place(position)} is none of the model's; "
        f"known: {_known(names)}.",
        hint=_twin(label, names) or "Pick the column with the model's labels as label_column.",
    )


def _not_learned(train: _Labels, names: Sequence[str], labels: _Labels, position: int) -> DataError:
    return _unknown(labels, position, label_name(labels.values[position]), train.table.name, names)


def _twin(label: str, names: Sequence[str]) -> str:
    """What to do where a label is one of the names but for its looks, or the number in one of them; or ""."""
    number = _numbers_in(names).get(_whole(label)) if _is_whole(label) else None
    hint = f"Write it as {shortened(number)}, if that is meant." if number else ""
    return alike.hint(label, names) or hint


def _unknown(labels: _Labels, position: int, label: str, train: str, names: Sequence[str]) -> DataError:
    known = f"known: {_known(names)}"
    twin = _twin(label, names)
    if labels.table.name == train:
        return DataError(
            f"The label {shortened(label)} in {labels.place(position)} is none of label_names; {known}.",
            hint=twin or "Add it to label_names, or leave that empty.",
        )
    return DataError(
        f"The label {shortened(label)} in {labels.place(position)} stands in no row of {train}; {known}.",
        hint=twin or "Add training rows with it, or take it out.",
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


def _check_learnable(parts: Sequence[_Labels], codes: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    known = set(codes[0])
    if len(known) < 2:
        train = parts[0]
        raise DataError(
            f"All {len(codes[0]):,} rows of {train.table.name} have one label: "
            f"{shortened(names[codes[0][0]])} (column {train.column!r}).",
            hint="Add rows of another label, or pick another column as label_column.",
        )
    learned = [name for index, name in enumerate(names) if index in known]
    for labels, each in zip(parts, codes, strict=True):
        for position, code in enumerate(each):
            if code not in known:
                raise _unknown(labels, position, names[code], parts[0].table.name, learned)


def listed(names: Sequence[str]) -> str:
    """The first of the names, each quoted, and how many more there are."""
    more = [f"{len(names) - NAMED:,} more"] if len(names) > NAMED else []
    return " and ".join([*map(shortened, names[:NAMED]), *more])


def _known(names: Sequence[str]) -> str:
    """The first of the names, as messages list what there is."""
    cut = [name if len(name) <= 40 else f"{name[:39]}…" for name in names[:20]]
    return f"{', '.join(cut)}{', …' if len(names) > 20 else ''}"
