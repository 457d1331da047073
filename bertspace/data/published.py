"""Corpora as their authors give them away: a file, a folder or an archive -> tables, one for each part.

A table that is written in no usual way is known by its first lines (FORMS), and which file is the training
part by its name. Knows nothing of what the columns are for.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace.data import archives, squad, tables
from bertspace.data.decoding import decode
from bertspace.data.reading import AUTO, Reading, shortened
from bertspace.data.tables import Table
from bertspace.errors import DataError, without_paths
from bertspace.schema import TrainConfig

if TYPE_CHECKING:
    import pandas as pd

PARTS = {  # a part, and the words in a file's name that say so; a name may have words of one part only
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "out-of-domain"),
}
UNLABELLED = "unsup"  # IMDb's folder of texts that belong to no class
PREFERRED = "raw"  # CoLA's folder of the sentences as they were written, beside those split into words
NAMED = 8  # files that a message lists
HEAD = 20  # lines by which a form is known
_ABOUT = re.compile(r"(?i)(read.?me|licen[cs]e|notice|citation|changes|sample.?submission)")


# A file in a form of its own


@dataclass(frozen=True)
class Form:
    """How a corpus is written: a line a row, whose cells are the groups of `row`; quotes are text.

    columns: the groups' names. header: what the first line is, where it is no row.
    """

    corpus: str
    row: re.Pattern[str]
    header: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.row.groupindex)

    def fits(self, lines: Sequence[str]) -> bool:
        if self.header:
            return lines[0] == self.header
        return all(map(self.row.fullmatch, lines[:HEAD]))


_MRPC = "#1 ID\t#2 ID\t#1 String\t#2 String"
_MRPC_ROW = r"\t(?P<id1>\d+)\t(?P<id2>\d+)\t(?P<sentence1>[^\t]+)\t(?P<sentence2>[^\t]+)"
FORMS = (
    Form(
        "CoLA",
        re.compile(
            r"(?P<sentence_source>[a-z]+[-_]?\d\d)\t(?P<label>[01])\t"
            r"(?P<label_notes>[ *?]*)\t(?P<sentence>[^\t]+)"
        ),
    ),
    Form("MRPC", re.compile(rf"(?P<label>[01]){_MRPC_ROW}"), f"Quality\t{_MRPC}"),
    Form(
        "MRPC", re.compile(rf"(?P<index>\d+){_MRPC_ROW}"), f"index\t{_MRPC}"
    ),  # GLUE's test part, unlabelled
    Form("emotion", re.compile(r"(?P<text>.*);(?P<label>sadness|joy|love|anger|fear|surprise)")),
)


def read(path: str | Path, reading: Reading = AUTO) -> Table:
    """The table in a file; or in a folder or an archive that holds one. Raises DataError."""
    return _tables({"": _piece(located(str(path)))}, reading)[""]


def read_table(path: str | Path, reading: Reading = AUTO) -> pd.DataFrame:
    """The frame of `read`, where nobody asks what was guessed."""
    return read(path, reading).frame


def _table(content: bytes, name: str, reading: Reading) -> Table:
    """A table out of a file's bytes: in a form of its own, or as any other."""
    suffix, packed = tables.file_kind(name)
    content = tables.unpack(content, name) if packed else content
    name = name[: -len(".gz")] if packed else name
    unsaid = replace(reading, encoding="auto") == AUTO
    if unsaid and suffix in (".tsv", ".txt") and (table := _in_form(content, name, reading)):
        return table
    if suffix == ".json" and squad.is_nested(content):
        return squad.read(content, name, reading)
    return tables.read_content(content, name, reading)


def _in_form(content: bytes, name: str, reading: Reading) -> Table | None:
    """The table, where the first lines are those of one of FORMS."""
    import pandas as pd

    try:
        text = decode(content, name, reading.encoding)
    except DataError:  # of which more is said where it is read as any other
        return None
    numbered = (
        (place, line.removesuffix("\r")) for place, line in enumerate(text.string.split("\n"), start=1)
    )
    lines = [(place, line) for place, line in numbered if line.strip()]
    head = [line for _, line in lines[:HEAD]]
    if not (form := next((each for each in FORMS if head and each.fits(head)), None)):
        return None
    rows = [_cells(form, line, place, name) for place, line in lines[bool(form.header) :]]
    if not rows:
        raise DataError(f"{name} has no rows below its header.", hint="Add a row for every text.")
    frame = pd.DataFrame(rows, columns=list(form.columns), dtype="str")
    finding = f"Read as {form.corpus} is published: columns {', '.join(form.columns)}; quotes are text."
    return Table(name, frame, findings=(finding, *text.findings), remedies=text.remedies)


def _cells(form: Form, line: str, place: int, name: str) -> tuple[str, ...]:
    if not (match := form.row.fullmatch(line)):
        raise DataError(
            f"Line {place:,} of {name} is no row as {form.corpus} has them ({', '.join(form.columns)}): "
            f"{shortened(line)}.",
            hint="Mend the line, or say how the file is written: header, separator, quoting.",
        )
    return match.groups()


# A folder or an archive


@dataclass(frozen=True)
class Source:
    """A file, a folder or an archive (`place`); or a file or a folder inside of one of the latter two."""

    place: Path
    inside: str = ""

    @property
    def name(self) -> str:
        """As messages call it; never like a data set of the Hub, which has a slash."""
        return f"{posixpath.basename(self.inside)} in {self.place.name}" if self.inside else self.place.name

    @property
    def is_place(self) -> bool:
        return self.place.is_dir() or (archives.is_archive(self.place) and os.path.lexists(self.place))


@dataclass(frozen=True)
class Piece:
    """What one table is made of: a file; or texts of one file each (`texts`), with a class each or none.

    classes: what is read for each class's name; "" for none. files: in the rows' order.
    """

    source: Source
    files: tuple[str, ...] = ()
    texts: bool = False
    classes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def parts(config: TrainConfig) -> dict[str, Table]:
    """A table for each part that the config's files name, or that its folder or its archive holds.

    Raises DataError, where it cannot be told which file is meant: it lists them.
    """
    tables = _tables(_named(config), Reading.of(config))
    return _labelled(tables, [part for part in PARTS if getattr(config, f"{part}_file")])


def training_part(config: TrainConfig) -> Table:
    """The training part alone; raises DataError."""
    return _tables({"train": _named(config)["train"]}, Reading.of(config))["train"]


def _named(config: TrainConfig) -> dict[str, Piece]:
    typed = {"validation": config.validation_file, "test": config.test_file}
    named = {part: _piece(located(each, config.data_dir)) for part, each in typed.items() if each}
    return _pieces(located(config.train_file, config.data_dir)) | named


def located(typed: str, data_dir: str = "") -> Source:
    """What a path means that may lead into an archive; raises DataError where there is nothing.

    data_dir: the folder or the archive that it is looked up in.
    """
    base = Path(data_dir).expanduser()
    if data_dir and not os.path.lexists(base):
        raise DataError(f"There is no folder or archive {without_paths(data_dir)}.", hint="Check data_dir.")
    path = base / Path(typed).expanduser()
    if (there := _there(path)) is None:
        raise tables.missing_file(typed)
    return there


def _there(path: Path) -> Source | None:
    if os.path.lexists(path):
        return Source(path)
    archive = next((each for each in path.parents if archives.is_archive(each) and each.is_file()), None)
    return Source(archive, path.relative_to(archive).as_posix()) if archive else None


def holds(data_dir: str, wanted: Iterable[str]) -> bool:
    """Whether a folder or an archive has all these files or folders; raises DataError where it is broken."""
    sources = [_there(Path(data_dir).expanduser() / name) for name in wanted]
    return all(each and (not each.inside or _below(each)) for each in sources)


def listed(place: Path) -> str:
    """Some of what is in a folder or an archive, as messages list it."""
    return _some(sorted(os.listdir(place)) if place.is_dir() else archives.names(place))


def _some(names: Sequence[str]) -> str:
    shown = [shortened(name, 80)[1:-1] for name in names[:NAMED]]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(shown)}{more}" if shown else "nothing"


def _below(source: Source) -> tuple[str, tuple[str, ...]] | None:
    """(its full name in the place, the names below it); None where the place has nothing of the name.

    Below a file there is nothing. The folder that everything lies in need not be named.
    """
    names = archives.names(source.place)
    top = posixpath.commonpath([posixpath.dirname(names[0]), posixpath.dirname(names[-1])]) if names else ""
    for own in dict.fromkeys((source.inside, posixpath.join(top, source.inside))):
        if own and own in names:
            return own, ()
        if below := _inside(own, names):
            return own, below
    return None


def _inside(folder: str, names: Iterable[str]) -> tuple[str, ...]:
    prefix = f"{folder}/" if folder else ""
    return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _piece(source: Source) -> Piece:
    """The one table that the source is or holds; raises DataError."""
    pieces = _pieces(source)
    if list(pieces) != ["train"]:
        raise _undecided(source, [each.source.inside for each in pieces.values()])
    return pieces["train"]


def _pieces(source: Source) -> dict[str, Piece]:
    """What there is in a folder or an archive, by part; under "train" alone what is one table."""
    if not source.is_place:
        return {"train": Piece(source)}
    if (listing := _below(source)) is None:
        raise DataError(
            f"{source.place.name} holds no {source.inside or 'files'}; found: {listed(source.place)}.",
            hint="Name one of these.",
        )
    own, below = listing
    here = replace(source, inside=own)
    readable = _readable(below, packed=not source.place.is_dir())
    while below and readable:
        if len(readable) == 1:
            return {"train": _file(here, readable[0])}
        if (pieces := _split(here, readable)) or (pieces := _texts(here, readable)):
            return pieces
        if not (inner := _only_folder(readable)):
            break
        here, readable = (
            replace(here, inside=posixpath.join(here.inside, inner)),
            list(_inside(inner, readable)),
        )
    if below:
        raise _undecided(here, [posixpath.join(here.inside, name) for name in readable])
    return {"train": Piece(here, (own,))}


def _readable(names: Iterable[str], *, packed: bool) -> list[str]:
    """The files that may be tables or texts. Parquet in an archive is none: it may unpack to anything."""
    known = tuple(suffix for suffix in tables.SUFFIXES if not (packed and suffix == ".parquet"))
    bases = ((name, posixpath.basename(name).lower().removesuffix(".gz")) for name in names)
    return [name for name, base in bases if base.endswith(known) and not _ABOUT.match(base)]


def _file(here: Source, name: str) -> Piece:
    own = posixpath.join(here.inside, name)
    return Piece(replace(here, inside=own), (own,))


def _only_folder(names: Sequence[str]) -> str:
    """The folder to look into: the one that all the names lie in, or the one that is preferred; or ""."""
    first = {name.partition("/")[0] if "/" in name else "" for name in names}
    return PREFERRED if PREFERRED in first else first.pop() if len(first) == 1 else ""


def _split(here: Source, names: Sequence[str]) -> dict[str, Piece]:
    """A piece for each part whose name a file or a folder bears; none where there is no training part.

    A file that is named train.tsv goes before one with more words in its name. Raises DataError for several.
    """
    entries: dict[str, list[str]] = {}
    for entry in dict.fromkeys(name.partition("/")[0] for name in names):
        if part := _part(entry):
            entries.setdefault(part, []).append(entry)
    parts: dict[str, Piece] = {}
    for part in PARTS:
        several = entries.get(part, [])
        exact = [entry for entry in several if entry.partition(".")[0].lower() in PARTS[part]] or several
        if len(exact) > 1:
            raise _undecided(here, [posixpath.join(here.inside, entry) for entry in exact])
        if exact and exact[0] in names:
            parts[part] = _file(here, exact[0])
        elif exact:
            parts[part] = _piece(replace(here, inside=posixpath.join(here.inside, exact[0])))
    if "train" not in parts:
        return {}
    taken = {
        posixpath.relpath(each.source.inside, here.inside or ".").partition("/")[0] for each in parts.values()
    }
    left = [name for name in names if name.partition("/")[0] not in taken]
    return parts | {"train": _with_finding(parts["train"], here, parts, left)}


def _with_finding(train: Piece, here: Source, pieces: Mapping[str, Piece], left: Sequence[str]) -> Piece:
    """The training part, with what is taken for which part as its finding."""
    named = [f"{posixpath.basename(each.source.inside)} is the {part} part" for part, each in pieces.items()]
    finding = f"In {here.place.name}, {', '.join(named)}." + (f" Not read: {_some(left)}." if left else "")
    return replace(train, findings=(finding, *train.findings))


def _part(entry: str) -> str:
    """The part that a file's or a folder's name says it is; "" for none."""
    words = f"-{re.sub('[^a-z]+', '-', entry.lower())}-"
    named = [part for part, names in PARTS.items() if any(f"-{name}-" in words for name in names)]
    return "test" if "test" in named and "out-of-domain" in words else named[0] if len(named) == 1 else ""


def _texts(here: Source, names: Sequence[str]) -> dict[str, Piece]:
    """Texts of one file each: in a folder for each class, or all in one; none where it is neither."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(posixpath.dirname(name), []).append(name)
    loose = folders.pop("", [])
    unlabelled = folders.pop(UNLABELLED, [])
    every = [name for several in folders.values() for name in several]
    if any("/" in folder for folder in folders) or not all(name.endswith(".txt") for name in every or loose):
        return {}
    if len(folders) > 1:
        return {"train": _classes(here, folders, unlabelled, loose)}
    if folders or unlabelled or len(loose) < 2:
        return {}
    files = tuple(posixpath.join(here.inside, name) for name in loose)
    finding = f"{here.name} holds {len(files):,} files, each of which is read as one text."
    return {"train": Piece(here, files, texts=True, findings=(finding,))}


def _classes(
    here: Source, folders: Mapping[str, list[str]], unlabelled: Sequence[str], loose: Sequence[str]
) -> Piece:
    """The classes take turns, so that the first rows have all of them."""
    turns = [
        (place, label, posixpath.join(here.inside, name))
        for label, several in folders.items()
        for place, name in enumerate(several)
    ]
    turns.sort()
    counts = ", ".join(f"{shortened(label)[1:-1]} {len(several):,}" for label, several in folders.items())
    finding = f"{here.name} holds a text a file, in a folder for each label: {counts}."
    if unlabelled:
        finding += f" The {len(unlabelled):,} texts in {UNLABELLED} have no label and are not read."
    if loose:
        finding += f" Not read: {_some(loose)}."
    files, labels = tuple(file for *_, file in turns), tuple(label for _, label, _ in turns)
    return Piece(here, files, texts=True, classes=labels, findings=(finding,))


def _undecided(source: Source, names: Sequence[str]) -> DataError:
    """Which files there are, and how one of them is named."""
    if not names:
        return DataError(
            f"{source.name} holds no file that can be read; found: {listed(source.place)}.",
            hint=f"Those can: {', '.join(tables.SUFFIXES)}; parquet outside of archives only.",
        )
    return DataError(
        f"{source.place.name} holds several files, and it cannot be told which one is meant: {_some(names)}.",
        hint=f"Name it ({source.place.name}/{names[0]}), or give that file alone.",
    )


def _tables(pieces: Mapping[str, Piece], reading: Reading) -> dict[str, Table]:
    """The pieces' tables. An archive is gone through once for all of them; what is said of several, once."""
    wanted: dict[Path, list[str]] = {}
    for piece in pieces.values():
        wanted.setdefault(piece.source.place, []).extend(piece.files)
    held = {place: archives.contents(place, files) for place, files in wanted.items() if files}
    tables, seen = dict[str, Table](), set[str]()
    for part, piece in pieces.items():
        table = _made(piece, held.get(piece.source.place, {}), reading)
        tables[part] = replace(table, findings=tuple(each for each in table.findings if each not in seen))
        seen.update(table.findings)
    return tables


def _made(piece: Piece, held: Mapping[str, bytes], reading: Reading) -> Table:
    source = piece.source
    if piece.texts:
        table = _table_of_texts(piece, held, reading)
    elif piece.files:
        table = _table(held[piece.files[0]], posixpath.basename(piece.files[0]), reading)
    else:
        tables.file_kind(source.place.name)
        table = _table(tables.file_bytes(source.place), source.place.name, reading)
    return replace(table, name=source.name, findings=(*piece.findings, *table.findings))


def _table_of_texts(piece: Piece, held: Mapping[str, bytes], reading: Reading) -> Table:
    import pandas as pd

    texts = [decode(held[file], posixpath.basename(file), reading.encoding).string for file in piece.files]
    columns: dict[str, Sequence[str]] = {"text": texts}
    if piece.classes:
        columns["label"] = piece.classes
    return Table(piece.source.name, pd.DataFrame(columns, dtype="str"))


def _labelled(tables: Mapping[str, Table], named: Sequence[str]) -> dict[str, Table]:
    """Without the parts that nobody named and that lack a column of the training part's.

    GLUE's test parts have no labels.
    """
    train, labelled, left = tables["train"], dict[str, Table](), []
    for part, table in tables.items():
        lacking = [str(name) for name in train.frame.columns if name not in table.frame.columns]
        if lacking and part not in named:
            left.append(f"{table.name} has no column {lacking[0]!r}, as {train.name} has, and is not read.")
        else:
            labelled[part] = table
    return labelled | {"train": replace(train, findings=(*train.findings, *left))}
