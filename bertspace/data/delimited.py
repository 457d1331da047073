"""Text -> cells: comma-separated and the like, in the dialects that programs write.

The rule is RFC 4180: a cell may be quoted, and a quote in it is doubled. An empty line is no row, but in a
table of one column, where it is how spreadsheets write an empty cell. Where a file breaks the rule, or may
be meant otherwise, `_guess` says which dialect is taken: that is a finding, with the setting that says
otherwise. What no dialect fits is refused with its row and the cause.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from bertspace.data.decoding import Text
from bertspace.data.header import judge
from bertspace.data.reading import Reading, row_words, shortened
from bertspace.errors import DataError, Remedy

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "none": "\x1f"}
_NAMES = {mark: name for name, mark in SEPARATORS.items()}
WORDS = {"comma": "commas", "semicolon": "semicolons", "tab": "tabs", "bar": "vertical bars"}
_WORDS = {SEPARATORS[name]: words for name, words in WORDS.items()}
_ONE = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_SEP_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?[ ;,\t]*(?:\r\n|\n|\r|\Z)', re.IGNORECASE)  # Excel's
_TYPE_LINE = re.compile(r'"?#TYPE [^\r\n,;\t"]+"?[,;\t]*(?:\r\n|\n|\r|\Z)')  # PowerShell's
_LINE_END = re.compile(r"\r\n|\n|\r")
SAMPLE = 1000  # records by which a separator and a header are judged
NAMED = 5  # columns that a finding lists
MAX_COLUMNS = 1000
MAX_FILLED = 10_000_000  # cells that blank lines are filled up with
LONGEST_CELL = 2**31 - 1  # Python's default is 128 kB; the file's own limit is enough
NEVER_CLOSED = 'Close the quote; a quote inside a quoted cell is written twice ("").'
FEWER_COLUMNS = "Keep the columns with the texts and the labels."
WRITE_TWICE = 'Write a quote inside a quoted cell twice ("").'


@dataclass(frozen=True)
class Cells:
    """Rows of as many cells as there are names; `numbers` are the rows' own, from 0.

    `findings` and `remedies` as a Table has them.
    """

    names: list[str]
    rows: list[list[str]]
    numbers: Sequence[int]
    findings: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()


def read_cells(text: Text, native: str, reading: Reading) -> Cells:
    """The text's cells; `native` is the separator that the file's name promises. Raises DataError."""
    start, skipped, declared = _preamble(text.string)
    source = _Source(text, start, skipped, native)
    given = SEPARATORS.get(reading.separator, declared)
    notes = [] if given else _separate(source, reading)
    source.separator = given or source.separator
    records = _records(source, reading)
    return _named(records, [*notes, *records.notes], text.name, reading)


@dataclass
class _Source:
    """A text from `start` on, before which `skipped` lines lie."""

    text: Text
    start: int
    skipped: int
    separator: str

    @property
    def name(self) -> str:
        return self.text.name

    def lines(self) -> Iterator[str]:
        """With their ends, of which a lone return is one."""
        return islice(self.text.lines(), self.skipped, None)

    @cached_property
    def has_lone_returns(self) -> bool:
        """Whether returns stand alone though lines end otherwise: they are no ends then."""
        string = self.text.string
        return "\n" in string and string.count("\r") != string.count("\r\n")

    @cached_property
    def end(self) -> re.Pattern[str]:
        return re.compile(r"\r?\n") if self.has_lone_returns else _LINE_END

    def line_at(self, position: int) -> int:
        """The number of the line that holds this place of the text."""
        return 1 + sum(1 for _ in self.end.finditer(self.text.string, 0, position))

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(number, cells) of every line, where no quote counts."""
        position, string, number = self.start, self.text.string, self.skipped
        while position < len(string):
            end, number = self.end.search(string, position), number + 1
            last = end.start() if end else len(string)
            yield number, string[position:last].split(self.separator)
            position = end.end() if end else last

    def are_lone(self, record: str, width: int) -> bool:
        """Whether the quotes that make a record of several lines are text: each line is a row by itself.

        Where texts often have a separator in them, one end of each such row must stand in other rows too.
        """
        if not _are_rows(record, self.separator, width):
            return False
        if self.separator == "\t":
            return True
        lines = [line.split(self.separator) for line in _LINE_END.split(record)]
        return all(cells[0] in self._known[0] or cells[-1] in self._known[-1] for cells in lines)

    @cached_property
    def _known(self) -> tuple[set[str], set[str]]:
        """What stands first, and what last, in several lines without a quote."""
        first, last = Counter[str](), Counter[str]()
        for _, cells in self.rows():
            if not any('"' in cell for cell in cells):
                first[cells[0].strip()] += 1
                last[cells[-1].strip()] += 1
        begins, ends = (
            {cell for cell, count in each.items() if cell and count > 1} for each in (first, last)
        )
        return begins, ends


@dataclass(frozen=True)
class _Note:
    """A finding about the rows at these places (the header's is 0); {} in its words stands for them."""

    words: str
    places: Sequence[int] = ()
    remedies: tuple[Remedy, ...] = ()


@dataclass
class _Records:
    """What a dialect makes of a source: rows of cells, the first line's first, and what was guessed.

    `odd`: (place, line) of the rows that are not as wide as the first one. `spread`: (place, first line,
    last line) of those whose lines would be rows each if no quote counted. `kept`: places of rows with a
    quote that was taken as text; `trimmed`: with blanks beside a quote; `returns`: with a return in a text.
    """

    rows: list[list[str]] = field(default_factory=list)
    odd: list[tuple[int, int]] = field(default_factory=list)
    spread: list[tuple[int, int, int]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    trimmed: list[int] = field(default_factory=list)
    returns: list[int] = field(default_factory=list)
    notes: list[_Note] = field(default_factory=list)

    @property
    def width(self) -> int:
        return len(self.rows[0]) if self.rows else 0


class _Broken(Exception):
    """The text does not follow the rule: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint


def remedy(title: str, name: str, value: str) -> Remedy:
    return Remedy(title, ((name, value),))


# The lines before the table, and the separator


def _preamble(string: str) -> tuple[int, int, str]:
    """(where the table begins, how many lines lie before it, the separator that a sep= line declares)."""
    start, skipped, declared = 0, 0, ""
    while match := _SEP_LINE.match(string, start) or _TYPE_LINE.match(string, start):
        declared = declared or (match[1] if match.re is _SEP_LINE else "")
        start, skipped = match.end(), skipped + 1
    return start, skipped, declared


def _separate(source: _Source, reading: Reading) -> list[_Note]:
    """Set the separator under which most records are as wide as the first; the native one where none is."""
    native = source.separator
    first = next((line for line in source.lines() if line.strip()), "")
    fitting = {
        mark: _agreeing(source, mark, reading)
        for mark in dict.fromkeys((native, *_WORDS))
        if len(next(_loosely([first], mark, reading), [])) > 1
    }
    if not fitting:
        return []
    source.separator = max(fitting, key=fitting.__getitem__)
    equal = [mark for mark, share in fitting.items() if share == fitting[source.separator] == 1]
    others = tuple(_separator_remedy(mark) for mark in equal if mark != source.separator)
    taken = _WORDS[source.separator]
    if others:
        also = " or ".join(_WORDS[mark] for mark in equal if mark != source.separator)
        return [_Note(f"{source.name} is read as separated by {taken}; it could be by {also}.", (), others)]
    if source.separator in (native, ";"):  # semicolons: as Excel saves where the comma is in the numbers
        return []
    return [_Note(f"{source.name} is separated by {taken}, not by {_WORDS[native]}.")]


def _agreeing(source: _Source, separator: str, reading: Reading) -> float:
    """The share of the first records that are as wide as the very first one."""
    first, *others = filter(None, _loosely(islice(source.lines(), SAMPLE), separator, reading))
    return sum(len(each) == len(first) for each in others) / max(1, len(others))


def _loosely(lines: Iterable[str], separator: str, reading: Reading) -> Iterator[list[str]]:
    csv.field_size_limit(LONGEST_CELL)
    options: dict[str, Any] = {"backslash": {"escapechar": "\\"}, "none": {"quoting": csv.QUOTE_NONE}}
    try:
        yield from csv.reader(lines, delimiter=separator, **options.get(reading.quoting, {}))
    except csv.Error:
        return


def _separator_remedy(mark: str) -> Remedy:
    title = f"Separate at {_WORDS[mark]}" if mark in _WORDS else "Take every line as one text"
    return remedy(title, "separator", _NAMES[mark])


# The dialects


def _records(source: _Source, reading: Reading) -> _Records:
    """The source's records in the dialect that is said, or guessed; raises DataError."""
    try:
        if reading.quoting == "auto":
            return _guess(source, reading)
        dialects: dict[str, Callable[[_Source], _Records]]
        dialects = {"quotes": _by_rule, "backslash": _escaped, "none": _without_quotes}
        records = dialects[reading.quoting](source)
        _shape(records, source)
        if records.odd:
            raise _misfit(records, source, reading)
        return records
    except _Broken as broken:
        remedies = _remedies(source, reading)
        raise DataError(broken.message, hint=broken.hint, remedies=remedies) from broken


def _guess(source: _Source, reading: Reading) -> _Records:
    """By the rule; else with quotes escaped by backslashes; else with the quotes as text that are none."""
    broken, records = None, None
    if not source.has_lone_returns:
        try:
            records = _by_rule(source)
            _shape(records, source)
        except _Broken as error:
            broken, records = error, None
    if records and not records.odd:
        return _with_alternatives(records, source)
    if escaped := _fitting(_escaped, source):
        return _note_escapes(escaped, source)
    if tolerant := _fitting(_tolerant, source):
        return _note_quotes(tolerant, source)
    if records is None:
        records = _tolerant(source)
        _shape(records, source)
    raise broken or _misfit(records, source, reading)


def _fitting(dialect: Callable[[_Source], _Records], source: _Source) -> _Records | None:
    """What a dialect makes of a source; None where rows are not as wide as the first one."""
    if dialect is _escaped and not _has_escapes(source):
        return None
    try:
        records = dialect(source)
        _shape(records, source)
    except _Broken:
        return None
    return None if records.odd else records


def _by_rule(source: _Source) -> _Records:
    """RFC 4180 to the letter, by Python's csv, which is fast."""
    csv.field_size_limit(LONGEST_CELL)
    records = _Records()
    rows, odd, separator, width, before = records.rows, records.odd, source.separator, 0, 0
    reader, blank = csv.reader(source.lines(), delimiter=separator, strict=True), [""]
    try:
        for row in reader:
            line = reader.line_num
            if not row and width != 1:
                before = line
                continue
            row = row or blank
            if line != before + 1 and width > 1 and _are_rows(separator.join(row), separator, width):
                records.spread.append((len(rows), source.skipped + before + 1, source.skipped + line))
            before, width = line, width or len(row)
            if len(row) != width:
                odd.append((len(rows), source.skipped + line))
            rows.append(row)
    except csv.Error as error:
        raise _broken_quote(source, source.skipped + before + 1, str(error)) from error
    return records


def _are_rows(record: str, separator: str, width: int) -> bool:
    """Whether each line of a record would be a row of its own if no quote counted."""
    return all(line.count(separator) == width - 1 for line in _LINE_END.split(record))


def _broken_quote(source: _Source, line: int, error: str) -> _Broken:
    if "unexpected end" in error:
        problem = f'{source.name}: a cell opened by a double quote (") in line {line:,} is never closed.'
        return _Broken(problem, NEVER_CLOSED)
    if "expected after" in error:
        problem = f"{source.name}, line {line:,}: a quoted cell goes on after its closing quote."
        return _Broken(problem, WRITE_TWICE)
    return _Broken(f"{source.name}, line {line:,}: {error}.", "Save the file again as plain csv.")


def _without_quotes(source: _Source) -> _Records:
    """Every quote is text, every line a row."""
    records = _Records()
    for number, row in source.rows():
        if row == [""] and records.width != 1:
            continue
        if records.rows and len(row) != records.width:
            records.odd.append((len(records.rows), number))
        records.rows.append(row)
    return records


def _escaped(source: _Source) -> _Records:
    """A backslash before a quote, a separator or a line's end takes its meaning away."""
    records = _cell_by_cell(source, escapes=True)
    if records.kept:
        raise _Broken(
            f"A quote at the start of a cell in row {records.kept[0]:,} of {source.name} is never closed.",
            "Close it, or write a backslash before it.",
        )
    return records


def _tolerant(source: _Source) -> _Records:
    """A quote counts where it opens a cell and closes it; else it is text."""
    return _cell_by_cell(source, escapes=False)


def _cell_by_cell(source: _Source, *, escapes: bool) -> _Records:
    records, parser = _Records(), _Parser(source, escapes)
    while parser.position < len(source.text.string):
        begin = parser.position
        row = parser.record(records)
        if row == [""] and not parser.quoted and records.width != 1:
            continue
        if records.rows and len(row) != records.width:
            records.odd.append((len(records.rows), begin))
        records.rows.append(row)
        parser.width = records.width
    records.odd = [(place, source.line_at(begin)) for place, begin in records.odd[:1]] + records.odd[1:]
    return records


class _Parser:
    """Reads one record after the other, from `position` on, each of `width` cells."""

    def __init__(self, source: _Source, escapes: bool) -> None:
        self.source, self.escapes, self.string = source, escapes, source.text.string
        self.position, self.width, self.quoted = source.start, 0, False
        self.line_end, self.may_be_lone = 0, False  # where the record's first line ends; see _is_lone
        mark = re.escape(source.separator)
        body = r'(?:[^"\\]++|\\.|"")*+' if escapes else r'(?:[^"]++|"")*+'
        text = [rf"[^{mark}\r\n\\]++" if escapes else rf"[^{mark}\r\n]++"]
        text += [r"\r(?!\n)"] if source.has_lone_returns else []
        text += [r"\\(?:\r\n|.|\Z)"] if escapes else []
        self._quoted = re.compile(rf' *"({body})" *(?={mark}|{source.end.pattern}|\Z)', re.DOTALL)
        self._open = re.compile(rf' *"{body}\Z', re.DOTALL)
        self._text = re.compile(rf"(?:{'|'.join(text)})*+", re.DOTALL)
        self._pair = re.compile(_pairs(source)) if escapes else None

    def record(self, records: _Records) -> list[str]:
        row, begin, self.quoted = [], self.position, False
        ended = self.source.end.search(self.string, begin)
        self.line_end = ended.start() if ended else len(self.string)
        separators = self.string.count(self.source.separator, begin, self.line_end)
        self.may_be_lone = not self.escapes and self.width > 1 and separators == self.width - 1
        while True:
            row.append(self._cell(records, begin))
            if not self.string.startswith(self.source.separator, self.position):
                break
            self.position += 1
        ended = self.source.end.match(self.string, self.position)
        self.position = ended.end() if ended else len(self.string)
        return row

    def _cell(self, records: _Records, begin: int) -> str:
        place, at = len(records.rows), self.position
        match = self._quoted.match(self.string, at)
        if match and not self._is_lone(match, begin):
            self.quoted, self.position = True, match.end()
            if " " in (self.string[at], self.string[self.position - 1]):
                records.trimmed.append(place)
            return self._plain(match[1].replace('""', '"'))
        text = self._text.match(self.string, at)
        cell = text[0] if text else ""
        self.position += len(cell)
        if cell.lstrip(" ").startswith('"'):
            self._check_open(at)
            records.kept.append(place)
        if "\r" in cell and not self.escapes:
            records.returns.append(place)
        return self._plain(cell)

    def _is_lone(self, match: re.Match[str], begin: int) -> bool:
        """Whether a quote that is closed lines further on is text, as each of the lines is a row.

        Where it is not, no later one of the record is: their lines are these and more.
        """
        if match.end() <= self.line_end or not self.may_be_lone:
            return False
        last = self.source.end.search(self.string, match.end())
        record = self.string[begin : last.start() if last else len(self.string)]
        self.may_be_lone = self.source.are_lone(record, self.width)
        return self.may_be_lone

    def _check_open(self, at: int) -> None:
        """In a tsv a quote that nothing closes is text; elsewhere the file may have lost its end."""
        if self.source.separator != "\t" and not self.escapes and self._open.match(self.string, at):
            raise _broken_quote(self.source, self.source.line_at(at), "unexpected end")

    def _plain(self, cell: str) -> str:
        return self._pair.sub(r"\1", cell) if self._pair and "\\" in cell else cell


def _pairs(source: _Source) -> str:
    """What a backslash is written before: also itself, where it stands before nothing else in the text."""
    mark = re.escape(source.separator)
    return rf'\\(["\\\r\n{mark}])' if _are_escapes(source) else rf'\\(["\r\n{mark}])'


def _are_escapes(source: _Source) -> bool:
    """Whether all backslashes stand before what needs one, as where a program wrote them."""
    alone = rf'\\(?!["\r\n{re.escape(source.separator)}])'
    return not re.search(alone, source.text.string.replace("\\\\", ""))


def _has_escapes(source: _Source) -> bool:
    mark = re.escape(source.separator)
    return "\\" in source.text.string and bool(re.search(rf'\\["\\\r\n{mark}]', source.text.string))


# What is told of a guess


def _with_alternatives(records: _Records, source: _Source) -> _Records:
    """What the rule made of a source, or what is likelier; with what it could be otherwise."""
    if _has_lone_quotes(records, source) or _has_blanks_at_quotes(records, source):
        tolerant = _fitting(_tolerant, source)
        if tolerant and tolerant.rows != records.rows:
            return _note_quotes(tolerant, source)
    escaped = _fitting(_escaped, source)
    if escaped and escaped.rows != records.rows:
        string = source.text.string
        bare = re.search(r'(?<!\\)"', string)
        if '\\"' in string and not bare and _are_escapes(source):  # no cell is quoted
            return _note_escapes(escaped, source)
        words = f"Backslashes in {source.name} are read as they stand, though each may be an escape."
        way = remedy("Take backslashes as escapes", "quoting", "backslash")
        records.notes.append(_Note(words, (), (way,)))
    if doubtful := [each for each in records.spread if each[2] - each[1] > 1]:
        words = (
            f"{{}} of {source.name} spans several lines, as a quote opens in line {doubtful[0][1]:,} and is "
            f"closed in line {doubtful[0][2]:,}; each of the lines could be a row."
        )
        records.notes.append(_Note(words, [place for place, *_ in doubtful], _no_quotes(source)))
    return records


def _has_lone_quotes(records: _Records, source: _Source) -> bool:
    spread = (
        source.separator.join(records.rows[place])
        for place, *_ in records.spread
        if place < len(records.rows)
    )
    return any(source.are_lone(record, records.width) for record in spread)


def _has_blanks_at_quotes(records: _Records, source: _Source) -> bool:
    string = source.text.string
    if ' "' not in string or not re.search(rf'(?:^|[\r\n{re.escape(source.separator)}]) +"', string):
        return False
    cells = (cell.strip(" ") for row in records.rows for cell in row if cell[:1] == " ")
    return any(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)


def _note_quotes(records: _Records, source: _Source) -> _Records:
    """With what was made of quotes, blanks and returns that the rule does not know."""
    by_rule = (remedy("Take quotes as quotes over several lines", "quoting", "quotes"),)
    ways = _no_quotes(source) + (by_rule if _fitting(_by_rule, source) else ())
    repairs = (
        (
            records.kept,
            "a double quote is taken as text: it opens a cell, and does not close at a cell's end",
        ),
        (records.trimmed, "blanks beside the quotes of a cell are left out"),
        (records.returns, "a return within a line is taken as text"),
    )
    records.notes += [
        _Note(f"In {{}} of {source.name} {words}.", places, ways) for places, words in repairs if places
    ]
    return records


def _note_escapes(records: _Records, source: _Source) -> _Records:
    words = f'In {source.name} a backslash escapes the quote (\\"), separator or line end after it.'
    by_rule = (remedy("Take backslashes as text", "quoting", "quotes"),)
    ways = by_rule if _fitting(_by_rule, source) else _no_quotes(source)
    records.notes.append(_Note(words, (), ways))
    return records


def _no_quotes(source: _Source) -> tuple[Remedy, ...]:
    """The way out of taking every quote as text, where rows are all as wide then."""
    fits = '"' in source.text.string and _fitting(_without_quotes, source)
    return (remedy("Take every quote as text", "quoting", "none"),) if fits else ()


# The shape: as many cells a row as there are names


def _shape(records: _Records, source: _Source) -> None:
    """Take out empty rows at the end and separators at lines' ends; `odd` keeps what still does not fit.

    Raises _Broken where the table would have far more cells than are written.
    """
    rows, all_rows = records.rows, len(records.rows)
    while len(rows) > 1 and _is_blank(rows[-1]):
        rows.pop()
    if left := all_rows - len(rows):
        rows_were = "rows at the end of {} were" if left > 1 else "row at the end of {} was"
        records.notes.append(_Note(f"{left:,} empty {rows_were.format(source.name)} left out."))
    named = max((place for place, cell in enumerate(rows[0], 1) if cell.strip()), default=1) if rows else 0
    blank = [place for place, _ in records.odd if place < len(rows) and _is_blank(rows[place])]
    if len(blank) * min(records.width, MAX_COLUMNS) > MAX_FILLED:
        problem = f"{source.name} has {len(blank):,} blank lines among rows of {records.width:,} cells."
        raise _Broken(problem, "Take the blank lines out.")
    if named <= MAX_COLUMNS and (records.odd or named < records.width) and _end_empty(rows, named):
        if named == records.width:
            mark = _ONE.get(source.separator, "a separator")
            records.notes.append(
                _Note(f"Every row of {source.name} ends with {mark} more than its first line.")
            )
        records.rows, records.odd = [row[:named] + [""] * (named - len(row)) for row in rows], []
        return
    if records.width > MAX_COLUMNS:
        problem = f"{source.name} has {records.width:,} columns; the limit is {MAX_COLUMNS:,}."
        raise _Broken(problem, FEWER_COLUMNS)
    for place in blank:
        rows[place] = [""] * records.width
    odd = [each for each in records.odd if each[0] < len(rows)]
    records.odd = [each for each in odd if len(rows[each[0]]) != records.width]


def _is_blank(row: Sequence[str]) -> bool:
    return not "".join(row).strip()


def _end_empty(rows: Sequence[list[str]], named: int) -> bool:
    """Whether all rows go on after the named columns, and with nothing in the cells."""
    begins = len(rows[0]) > named
    filled = [row for row in islice(rows, 1, None) if not _is_blank(row)]
    return bool(filled) and all(
        len(row) >= named and (begins or len(row) > named) and not any(row[named:]) for row in filled
    )


def _misfit(records: _Records, source: _Source, reading: Reading) -> _Broken:
    """The first row that is not as wide as the names, and why that is."""
    (place, line), width, mark = records.odd[0], records.width, _ONE.get(source.separator, "a separator")
    row, names = records.rows[place], "first row" if reading.header == "no" else "header"
    number = place + (reading.header == "no")
    cells = f"{len(row)} cell{'s'[: len(row) != 1]}"
    if width == 1:
        return _Broken(
            f"{source.name} has one name in its first line, {shortened(records.rows[0][0])}, and {cells} in "
            f"row {number:,} (line {line:,}).",
            f'Put double quotes (") around a text with {mark} in it; let nothing stand above the names.',
        )
    if len(row) > width and (cells_split := _split_by(source.separator, row)):
        return _Broken(
            f"Row {number:,} of {source.name} (line {line:,}) has {cells}; the {names} has {width}: "
            f"{shortened(cells_split)} has {mark} in it, and single quotes are text.",
            'Put double quotes (") around such texts instead of single ones.',
        )
    widths = Counter(len(each) for each in islice(records.rows, 1, None) if not _is_blank(each))
    if len(widths) == 1 and len(records.rows) > 2:
        return _Broken(
            f"Every row of {source.name} has {cells}; the {names} has {width}.",
            "Write a name for every column into the first line, and nothing above it.",
        )
    if len(row) > width and not any(row[width:]):
        ending = [p + number - place for p, _ in records.odd if not any(records.rows[p][width:])]
        ends = "ends" if len(ending) == 1 else "end"
        return _Broken(
            f"{row_words(ending).capitalize()} of {source.name} (line {line:,}) {ends} with {mark} more than "
            f"the {names} has.",
            f"Take it out; put double quotes around a text with {mark} in it.",
        )
    problem = f"Row {number:,} of {source.name} (line {line:,}) has {cells}; the {names} has {width}."
    if len(row) > width:
        return _Broken(problem, f'Put double quotes (") around a text with {mark} in it.')
    return _Broken(
        problem, "Fill in the missing cells; put double quotes around a text with a line break in it."
    )


def _split_by(separator: str, row: Sequence[str]) -> str:
    """A text in single quotes that the separator cuts into several of the row's cells; "" where none is."""
    quoted = re.finditer(r"(?<!\w)'[^']*+'(?!\w)", separator.join(row))
    return next((each[0] for each in quoted if separator in each[0]), "")


def _remedies(source: _Source, reading: Reading) -> tuple[Remedy, ...]:
    """Settings under which all rows, or the first many of them, are as wide as the first one."""
    ways: tuple[Remedy, ...]
    if reading.quoting == "auto" and reading.separator == "auto":
        first = next((line for line in source.lines() if line.strip()), "")
        wide = {mark: len(next(_loosely([first], mark, reading), [])) for mark in _NAMES}
        fits = [mark for mark in _WORDS if wide[mark] > 1 and _agreeing(source, mark, reading) == 1]
        fits += ["\x1f"] if wide[source.separator] == 1 else []
        ways = tuple(_separator_remedy(mark) for mark in fits if mark != source.separator)
    elif reading.quoting != "auto":
        ways = (remedy("Find out how cells are quoted", "quoting", "auto"),)
    else:
        ways = (remedy("Find out the separator", "separator", "auto"),)
    return ways if reading.quoting == "none" else ways + _no_quotes(source)


# The names


def _named(records: _Records, notes: list[_Note], name: str, reading: Reading) -> Cells:
    """The rows under the names in the first line, or under numbers where it is a row itself."""
    if not records.rows:
        raise DataError(f"{name} is empty.", hint="Pick a file with a row for every text.")
    first, rows = records.rows[0], records.rows[1:]
    verdict = {"yes": "names", "no": "row"}.get(reading.header) or judge(first, rows)
    if verdict == "row":
        names, rows = [f"column {place}" for place in range(1, len(first) + 1)], records.rows
    else:
        names = first
    numbers: Sequence[int] = range(len(rows))
    if (
        verdict != "row"
        and len(first) > 1
        and (again := [place for place in numbers if rows[place] == first])
    ):
        notes.append(_Note(f"{{}} of {name} repeats the header, and was left out.", [p + 1 for p in again]))
        numbers = [place for place in numbers if rows[place] != first]
        rows = [rows[place] for place in numbers]
    if reading.header == "auto" and verdict != "names":
        notes.insert(0, _header_note(first, names, verdict, name))
    return Cells(names, rows, numbers, *_findings(notes, verdict == "row"))


def _header_note(first: list[str], names: list[str], verdict: str, name: str) -> _Note:
    more = ", …" if len(first) > NAMED else ""
    if verdict == "row":
        called = zip(names[:NAMED], first, strict=False)
        shown = ", ".join(f"{each} ({shortened(cell, 30)})" for each, cell in called) + more
        words = f"{name} has no header, as its first line is a row like the others; its columns: {shown}."
        way = remedy("The first line names the columns", "header", "yes")
    else:
        shown = ", ".join(shortened(cell, 30) for cell in first[:NAMED]) + more
        words = f"The first line of {name} is taken for its header, but does not look like one: {shown}."
        way = remedy("The first line is a row", "header", "no")
    return _Note(words, (), (way,))


def _findings(notes: list[_Note], headless: bool) -> tuple[tuple[str, ...], tuple[Remedy, ...]]:
    """The findings, in which rows have their numbers, and the remedies, each once."""
    findings = []
    for note in notes:
        rows = [place + headless for place in dict.fromkeys(note.places)]
        where = row_words([row for row in rows if row]) if any(rows) else "the header"
        finding = note.words.replace("{}", where) if note.places else note.words
        findings.append(finding[:1].upper() + finding[1:] if finding.startswith("row") else finding)
    return tuple(findings), tuple(dict.fromkeys(each for note in notes for each in note.remedies))
