"""A file -> a table: csv, tsv, jsonl, parquet or txt, each also gzipped; what is wrong is said with its row.

Knows nothing of tasks, columns or labels.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import re
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.data.decoding import Text, decode
from bertspace.data.delimited import FEWER_COLUMNS, MAX_COLUMNS, read_cells
from bertspace.data.reading import AUTO, Reading, row_words, shortened, written
from bertspace.errors import DataError, Remedy, without_paths
from bertspace.safety.json_values import MAX_LABEL, bounded_json
from bertspace.words import size

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Reading", "Table", "file_kind", "missing_file", "read", "read_table", "row_words", "shortened"]

MAX_FILE_BYTES = 2 * 10**9  # of the file, and of what a gzipped file unpacks to
# The last two are WikiText's.
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt", ".tokens", ".raw")
LONGEST_NAME = 1000  # characters of a column's
# A frame has a cell for every row and column, a file of objects only those that are written: a table of more
# cells than that is refused where fewer than one in so many is written, before it is built.
MANY_CELLS, ONE_WRITTEN_IN = 10_000_000, 20
# What a spreadsheet takes for a formula, "=cmd|…"; numbers begin so too, and stay numbers.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-](\d++\.?\d*+|\.\d++)([eE][+-]?\d++)?", re.ASCII)  # possessive: see header


@dataclass(frozen=True)
class Table:
    """A frame and what messages call it: a file's base name, or a Hub data set's split.

    The frame's index is the row's number in the file less one, whatever rows were taken out.
    `class_names`: by column, the names that the data itself gives to the labels 0, 1, …; mostly none.
    `revision`: the Hub data set's commit, where it is known.
    `findings`: sentences on what was guessed or altered as it was read; `remedies`: how to say otherwise.
    """

    name: str
    frame: pd.DataFrame
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    revision: str = ""
    findings: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()


@contextmanager
def guesses_in_errors(tables: Iterable[Table]) -> Iterator[None]:
    """Within the block a DataError also tells what was guessed of the tables, and how to say otherwise."""
    try:
        yield
    except DataError as error:
        guessed = [table for table in tables if table.remedies]
        guesses = dict.fromkeys(finding for table in guessed for finding in table.findings)
        ways = dict.fromkeys(remedy for table in guessed for remedy in table.remedies)
        if not ways:
            raise
        hint = " ".join(filter(None, (error.hint, *guesses)))
        raise DataError(error.message, hint, tuple(dict.fromkeys((*error.remedies, *ways)))) from error


def read(path: str | Path, reading: Reading = AUTO) -> Table:
    """The file's rows under its (stripped) column names; a txt has one column, `text`, with a row a line.

    Cells stay as they are written: "NA", "null" and "nan" are texts, an empty cell is an empty text. Blank
    lines of jsonl, and of csv with several columns, are no rows. What is guessed, and what `reading` can say
    otherwise, is among the table's findings. Raises DataError, which names the file and the row or byte.
    """
    path = Path(path)
    file_kind(path.name)
    return read_content(file_bytes(path), path.name, reading)


def read_content(content: bytes, name: str, reading: Reading = AUTO) -> Table:
    """The same of what a file of this name holds."""
    suffix, packed = file_kind(name)
    if packed:
        content = unpack(content, name)
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        raise DataError(f"{name} is empty.", hint="Pick a file with a row for every text.")
    table = _READERS[suffix](content, name, reading)
    table.frame.columns = _column_names([str(name) for name in table.frame.columns], name)
    if table.frame.empty:
        raise DataError(f"{name} has no rows below its header.", hint="Add a row for every text.")
    return table


def read_table(path: str | Path, reading: Reading = AUTO) -> pd.DataFrame:
    """The frame of `read`, where nobody asks what was guessed."""
    return read(path, reading).frame


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """The table as a csv in which a spreadsheet computes nothing; `read_table` gives it back as it was.

    Texts and names that look like a formula get an apostrophe before them.
    """
    guarded = _mapped(frame, lambda text: f"'{text}" if _is_formula(text) else text)
    guarded.to_csv(path, index=False, lineterminator="\r\n")  # or a lone return would not be quoted


def _unguarded(frame: pd.DataFrame) -> pd.DataFrame:
    return _mapped(frame, lambda text: text[1:] if text[:1] == "'" and _is_formula(text) else text)


def _is_formula(text: str) -> bool:
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text)


def _mapped(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The frame with this change of every text, names of columns too."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    changed_frame = frame.rename(columns=changed)
    for name, kind in changed_frame.dtypes.items():
        if kind.kind == "O":  # texts, and whatever else is no number
            changed_frame[name] = changed_frame[name].map(changed)
    return changed_frame


def _is_own_export(columns: Sequence[str]) -> bool:
    """Whether bertspace wrote a csv with these columns: rows classified, or compared."""
    classified = "predicted_label" in columns and any(name.startswith("score_") for name in columns)
    return classified or {"label", "base", "tuned", "verdict"} <= set(columns)


def file_kind(name: str) -> tuple[str, bool]:
    """(".csv", True) for train.csv.gz: the kind, and whether it is gzipped; raises DataError for others."""
    base, packed = name.lower(), False
    if base.endswith(".gz"):
        base, packed = base.removesuffix(".gz"), True
    suffix = Path(base).suffix
    if suffix not in SUFFIXES:
        raise DataError(
            f"{name} is no kind of file that can be read here.",
            hint=f"Give one of {', '.join(SUFFIXES)}, as it is or gzipped (.gz).",
        )
    return suffix, packed


def file_bytes(path: Path) -> bytes:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path.name} is a folder.", hint="Name a file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path.name} is no regular file.", hint="Name a file on disk.")
        if status.st_size > MAX_FILE_BYTES:
            raise too_large(path.name, f"has {size(status.st_size)}")
        return path.read_bytes()
    except PermissionError as error:
        raise DataError(f"{path.name} may not be read.", hint="Change its permissions (chmod +r).") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
        raise missing_file(str(path)) from error


def missing_file(typed: str) -> DataError:
    """An absolute path is told by its last name: on a page it is the host's."""
    name = Path(typed).name if Path(typed).is_absolute() else typed
    return DataError(
        f"There is no file {name}.", hint="Check the name, and the folder that it is looked up in."
    )


def too_large(name: str, says: str) -> DataError:
    return DataError(
        f"{name} {says}; the limit is {size(MAX_FILE_BYTES)}.", hint="Cut it into smaller files."
    )


def unpack(content: bytes, name: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{name} cannot be unpacked: it is no gzip file, or only a part of one.",
            hint="Send it again, or unpack it yourself and give the file without .gz.",
        ) from error
    if len(unpacked) > MAX_FILE_BYTES:
        raise too_large(name, f"unpacks to more than {size(MAX_FILE_BYTES)}")
    return unpacked


def _column_names(raw: list[str], name: str) -> list[str]:
    if len(raw) > MAX_COLUMNS:
        raise DataError(f"{name} has {len(raw):,} columns; the limit is {MAX_COLUMNS:,}.", hint=FEWER_COLUMNS)
    names = [each.strip() or f"Unnamed: {place}" for place, each in enumerate(raw)]
    if long := [place for place, each in enumerate(names, 1) if len(each) > LONGEST_NAME]:
        raise DataError(
            f"The name of column {long[0]} in {name} has more than {LONGEST_NAME:,} characters.",
            hint="Give the file a header, a line with a short name for each column.",
        )
    if doubles := [each for each, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"Two columns of {name} are named {shortened(doubles[0])}.", hint="Rename one of them."
        )
    return names


def _read_csv(content: bytes, name: str, reading: Reading) -> Table:
    return _delimited(decode(content, name, reading.encoding), ",", reading)


def _read_tsv(content: bytes, name: str, reading: Reading) -> Table:
    return _delimited(decode(content, name, reading.encoding), "\t", reading)


def _delimited(text: Text, separator: str, reading: Reading) -> Table:
    import pandas as pd

    cells = read_cells(text, separator, reading)
    columns = list(zip(*cells.rows, strict=True)) or [()] * len(cells.names)
    frame = pd.concat([pd.Series(column, dtype="str") for column in columns], axis=1)
    frame.index, frame.columns = pd.Index(cells.numbers), pd.Index(cells.names)
    frame = _unguarded(frame) if _is_own_export(cells.names) else frame
    return _table(text, frame, cells.findings, cells.remedies)


def _table(
    text: Text, frame: pd.DataFrame, findings: tuple[str, ...] = (), remedies: tuple[Remedy, ...] = ()
) -> Table:
    """The table with what is to be said of its text too."""
    all_findings, ways = (*text.findings, *findings), (*text.remedies, *remedies)
    return Table(text.name, frame, findings=all_findings, remedies=ways)


def _read_json(content: bytes, name: str, reading: Reading) -> Table:
    """Lines of objects, or one list of objects."""
    text = decode(content, name, reading.encoding)
    as_list = text.string.lstrip()[:1] == "["
    records, columns, cells = [], set[str](), 0
    for row, value in _json_list(text) if as_list else _json_lines(text):
        if not isinstance(value, dict):
            raise DataError(
                f"Row {row:,} of {name} is {shortened(written(value, json.dumps))}, not an object.",
                hint='Write every row as {"text": "…", "label": "…"}.',
            )
        records.append(value)
        columns.update(value)
        cells += len(value)
        _check_spread(f"Row {row:,} of {name}", row, len(columns), cells)
    if not any(records):
        raise DataError(
            f"{name} has no rows with a column.", hint='Write every row as {"text": "…", "label": "…"}.'
        )
    return _table(text, _frame(records))


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    """A column a key; beside a null or a decimal a whole number stays as long as it is written."""
    import pandas as pd

    columns = {}
    for key in dict.fromkeys(key for record in records for key in record):
        values = [record.get(key) for record in records]
        uniform = len({type(value) for value in values}) == 1
        columns[key] = pd.Series(values, dtype=None if uniform else "object")
    return pd.DataFrame(columns)


def _check_spread(place: str, rows: int, columns: int, cells: int) -> None:
    """Raises DataError where the objects so far have too many keys, or make a table of next to no cells."""
    if columns > MAX_COLUMNS:
        raise DataError(
            f"{place} brings the columns to {columns:,}; the limit is {MAX_COLUMNS:,}.", hint=FEWER_COLUMNS
        )
    if rows * columns > max(MANY_CELLS, ONE_WRITTEN_IN * cells):
        raise DataError(
            f"{place} is one too many: the rows up to it have {cells / rows:.3g} of {columns:,} columns.",
            hint="Use the same keys in every row, or make smaller files.",
        )


def _json_lines(text: Text) -> Iterator[tuple[int, Any]]:
    filled = (line for line in text.lines() if line.strip())
    for row, line in enumerate(filled, start=1):
        yield row, _parsed(line, f"Row {row:,} of {text.name}")


def _json_list(text: Text) -> Iterator[tuple[int, Any]]:
    return enumerate(_parsed(text.string, text.name), start=1)


def _number(written: str) -> float | str:
    """A decimal as a float where that is the same number, else as it is written."""
    number = float(written)
    exact = len(written) < 17 and "e" not in written.lower()
    if exact:
        return number
    try:
        return number if Decimal(repr(number)) == Decimal(written) else written
    except InvalidOperation:  # an exponent of more digits than there are
        return written


_JSON = json.JSONDecoder(parse_float=_number)


def json_document(content: bytes, name: str, reading: Reading = AUTO) -> Any:
    """A whole file as one JSON value; raises DataError."""
    return _parsed(decode(content, name, reading.encoding).string, name)


def _parsed(text: str, place: str) -> Any:
    try:
        value = _JSON.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place} holds half of a character (\\ud800 to \\udfff).", hint="Write it whole."
        ) from error
    except RecursionError as error:
        raise DataError(f"{place} is nested too deeply.", hint="Keep the rows flat.") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place} is not JSON: {error.msg} (line {error.lineno:,}, column {error.colno:,}).",
            hint="A .jsonl has one object a line; a .json may hold a list of objects.",
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"{place} holds a value that cannot be read: {error}.", hint="Shorten it.") from error


def _read_parquet(content: bytes, name: str, reading: Reading) -> Table:
    import pandas as pd

    try:
        # Else whole numbers beside a null would become floats, which hold 15 digits.
        frame = pd.read_parquet(io.BytesIO(content), to_pandas_kwargs={"integer_object_nulls": True})
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        reason = without_paths(str(error)).strip().split("\n")[0][:200]
        raise DataError(
            f"{name} cannot be read as parquet: {reason}", hint="Write the file again."
        ) from error
    return Table(name, frame.reset_index(drop=frame.index.name is None), _class_names(content))


def _class_names(content: bytes) -> dict[str, tuple[str, ...]]:
    """{column: the names of its labels}, as the datasets library notes them in a parquet file's schema.

    Anybody may have written the note: what is no list of names is let be.
    """
    from pyarrow import parquet

    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        note = (parquet.read_schema(io.BytesIO(content)).metadata or {}).get(b"huggingface", b"")
        features = bounded_json(note)["info"]["features"]
        named = {str(column): kind.get("names") for column, kind in features.items() if _is_labels(kind)}
        return {column: tuple(names) for column, names in named.items() if _are_names(names)}
    return {}


def _is_labels(kind: Any) -> bool:
    return isinstance(kind, dict) and kind.get("_type") == "ClassLabel"


def _are_names(names: Any) -> bool:
    """Whether it is a list of different names, not too long."""
    return (
        isinstance(names, list)
        and all(isinstance(name, str) and name.strip() and len(name) <= MAX_LABEL for name in names)
        and len(set(names)) == len(names)
    )


def _read_txt(content: bytes, name: str, reading: Reading) -> Table:
    import pandas as pd

    text = decode(content, name, reading.encoding)
    if reading.separator not in ("auto", "none"):
        return _delimited(text, "\t", reading)
    lines = [line.rstrip("\r\n") for line in text.lines()]
    frame = pd.DataFrame({"text": lines}, dtype="str")
    if not (marks := lines[0].count("\t")) or any(line.count("\t") != marks for line in lines if line):
        return _table(text, frame)
    finding = f"Every line of {name} has {marks + 1} parts with tabs between them, and is taken for one text."
    return _table(text, frame, (finding,), (Remedy("Separate at tabs", (("separator", "tab"),)),))


_READERS: dict[str, Callable[[bytes, str, Reading], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".txt": _read_txt,
    ".tokens": _read_txt,
    ".raw": _read_txt,
}
