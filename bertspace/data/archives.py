"""A folder, a zip or a tar.gz: which files are in it, and what they hold. Nothing of it is written to disk.

An archive may be a stranger's: what it unpacks to is counted as it comes, whatever its headers say. Python's
tarfile is not used: it takes a minute over 128 kB of a header made for it, and seven times as long for IMDb.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from bertspace import words
from bertspace.data import tables
from bertspace.data.tables import shortened
from bertspace.errors import DataError

SUFFIXES = (".zip", ".tar.gz", ".tgz")
ACCEPTED = (*tables.SUFFIXES, ".gz", ".zip", ".tgz")  # what a page lets people choose
MAX_FILES = 200_000  # folders and hidden files too; IMDb has 100,000
LONGEST_DIRECTORY = 64 * 1024**2  # bytes of a zip's table of contents, which is read in one piece
LONGEST_NAME = 64 * 1024  # bytes of what a tar says of one file's name
CHUNK = 1024**2
BLOCK = 512  # of a tar
DIGITS = 20  # of a number in a tar's headers
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others may ask for any memory, or take long
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ValueError, IndexError, OverflowError, NotImplementedError, RuntimeError),
)
UNPACK = "Unpack it yourself, and give the folder or a file of it."


def is_archive(path: str | Path) -> bool:
    """Whether it bears an archive's name; what it holds is found out when it is read."""
    return str(path).lower().endswith(SUFFIXES)


def names(place: Path) -> tuple[str, ...]:
    """The files in a folder or an archive ("a/b.csv"), sorted, without hidden ones; raises DataError."""
    if place.is_dir():
        return _listed(_in_folder(place), place)
    if not is_archive(place):
        raise DataError(
            f"{place.name} is neither a folder nor an archive ({', '.join(SUFFIXES)}).", hint="Give one."
        )
    status = _status(place)
    return _names(place, status.st_mtime_ns, status.st_size, tables.MAX_FILE_BYTES)


@lru_cache(maxsize=4)  # a tar.gz is unpacked to its end for them
def _names(place: Path, *version: int) -> tuple[str, ...]:
    with _opened(place) as archive:
        return _listed(archive.names(), place)


def contents(place: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """What these files of a folder or an archive hold, by name and in their order; raises DataError."""
    if place.is_dir():
        left, contents_by_name = tables.MAX_FILE_BYTES, dict[str, bytes]()
        for name in wanted:
            contents_by_name[name] = tables.file_bytes(place / name)
            left -= len(contents_by_name[name])
            if left < 0:
                raise tables.too_large(place.name, "has more in its files")
        return contents_by_name
    with _opened(place) as archive:
        contents_by_name = dict(archive.contents(frozenset(wanted)))
    return {name: contents_by_name[name] for name in wanted}


def _in_folder(place: Path) -> Iterator[str]:
    for folder, below, files in os.walk(place):  # follows no links to folders, which may lead in a circle
        below[:] = [name for name in below if not _is_hidden(name)]
        for name in files:
            yield (Path(folder) / name).relative_to(place).as_posix()


def _listed(members: Iterable[str], place: Path) -> tuple[str, ...]:
    names = list[str]()
    for count, name in enumerate(members, start=1):
        if count > MAX_FILES:
            raise DataError(
                f"{place.name} holds more than {MAX_FILES:,} files.", hint="Keep those with the texts."
            )
        if not any(map(_is_hidden, name.split("/"))):
            names.append(name)
    names.sort()
    if doubles := [name for name, after in zip(names, names[1:], strict=False) if name == after]:
        raise _doubled(doubles[0], place.name)
    return tuple(names)


def _doubled(name: str, archive: str) -> DataError:
    return DataError(f"{archive} holds two files named {shortened(name)}.", hint=UNPACK)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def _status(place: Path) -> os.stat_result:
    try:
        status = os.stat(place)
    except (OSError, ValueError) as error:
        raise tables.missing_file(str(place)) from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{place.name} is no regular file.", hint="Name a file on disk.")
    if status.st_size > tables.MAX_FILE_BYTES:
        raise tables.too_large(place.name, f"has {words.size(status.st_size)}")
    return status


@contextmanager
def _opened(place: Path) -> Iterator[_Zip | _Tar]:
    """The archive; what is wrong with it as a DataError."""
    _status(place)
    try:
        with place.open("rb") as file:
            yield _Zip(file, place.name) if place.suffix.lower() == ".zip" else _Tar(file, place.name)
    except PermissionError as error:
        raise DataError(
            f"{place.name} may not be read.", hint="Change its permissions (chmod +r)."
        ) from error
    except _BROKEN as error:
        kind = "zip" if place.suffix.lower() == ".zip" else "tar.gz"
        raise DataError(
            f"{place.name} cannot be unpacked: it is no {kind} file, or only a part of one.",
            hint="Send it again, or unpack it yourself and give the folder or a file of it.",
        ) from error


@dataclass
class _Count:
    """The bytes that may still be unpacked of the archive of this name."""

    name: str
    left: int

    def take(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            most = words.size(tables.MAX_FILE_BYTES)
            raise tables.too_large(self.name, f"unpacks to more than {most}")
        return data


def _checked(name: str, archive: str) -> str:
    """The name of a file in an archive; raises DataError where it is no path below the archive's own top."""
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or parts[0].endswith(":"):
        raise DataError(f"{archive} holds a path that leads out of it: {shortened(name)}.", hint=UNPACK)
    return "/".join(part for part in parts if part not in ("", "."))


def _no_file(name: str, archive: str) -> DataError:
    return DataError(
        f"{archive} holds a link, a device or a sparse file: {shortened(name)}. None of them is followed.",
        hint=UNPACK,
    )


class _Guarded(io.BufferedReader):
    """A file of which so much is read at once at most: zipfile reads a table of contents in one piece."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > LONGEST_DIRECTORY:
            raise zipfile.BadZipFile("its table of contents is too long")
        return super().read(size)


class _Zip:
    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name, self.count = name, _Count(name, tables.MAX_FILE_BYTES)
        self.zip = zipfile.ZipFile(_Guarded(file))  # type: ignore[arg-type]
        self.files: dict[str, zipfile.ZipInfo] = {}
        for each in self.zip.infolist():
            own = _checked(each.filename, name)
            if not each.filename.endswith(("/", "\\")):
                if own in self.files:
                    raise _doubled(own, name)
                self.files[own] = each

    def names(self) -> Iterator[str]:
        for name, each in self.files.items():
            if stat.S_ISLNK(each.external_attr >> 16):
                raise _no_file(name, self.name)
            if each.flag_bits & 1:
                raise DataError(f"{self.name} is locked with a password.", hint=UNPACK)
            yield name

    def contents(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for name in wanted:
            each = self.files[name]
            if each.compress_type not in _METHODS:
                raise DataError(
                    f"{self.name} is packed by another method than zip's usual one (deflate).", hint=UNPACK
                )
            with self.zip.open(each) as file:
                chunks = iter(lambda: file.read(CHUNK), b"")
                yield name, b"".join(map(self.count.take, chunks))


class _Tar:
    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name, self.count = name, _Count(name, tables.MAX_FILE_BYTES)
        self.stream = io.BufferedReader(gzip.GzipFile(fileobj=file), CHUNK)

    def names(self) -> Iterator[str]:
        for name, size in self._files():
            self._skip(size)
            yield name

    def contents(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        left = len(wanted)
        for name, size in self._files():
            if name in wanted:
                yield name, self._data(size)
                left -= 1
            else:
                self._skip(size)
            if not left:  # what comes after may be long: 50,000 texts of IMDb's without a label
                return

    def _files(self) -> Iterator[tuple[str, int]]:
        """(name, bytes) of every file; its data has to be read before the next one is asked for."""
        extended: dict[bytes, bytes] = {}  # of the next file, where its own header has no room for it
        while (header := self._read(BLOCK)) != bytes(BLOCK):
            _check_sum(header)
            kind, size = header[156:157], _number(header[124:136])
            if kind in (b"L", b"x"):
                extended |= self._extended_header(kind, size)
                continue
            if kind in (b"K", b"g"):  # where a link leads; what is said of all files
                self._skip(size)
                continue
            name = _checked(_text(extended.get(b"path") or _path(header)), self.name)
            size, extended = _whole(extended.get(b"size", b"%d" % size)), {}
            if kind == b"5" or (kind in _FILES and name.endswith("/")):
                self._skip(size)
            elif kind in _FILES:
                yield name, size
            else:
                raise _no_file(name, self.name)

    def _extended_header(self, kind: bytes, size: int) -> dict[bytes, bytes]:
        """What is said before a file's own header: its path or size, where they are too long for that."""
        if size > LONGEST_NAME:
            raise ValueError("a name is too long")
        data, records = self._data(size), dict[bytes, bytes]()
        if kind == b"L":
            return {b"path": data.rstrip(b"\0")}
        for key, value in _records(data):
            if key.startswith(b"GNU.sparse"):
                raise _no_file(_text(records.get(b"path", b"a file")), self.name)
            records[key] = value
        return records

    def _data(self, size: int) -> bytes:
        return b"".join(self._blocks(size))[:size]

    def _skip(self, size: int) -> None:
        for _ in self._blocks(size):
            pass

    def _blocks(self, size: int) -> Iterator[bytes]:
        """A file's data, filled up to whole blocks."""
        left = size + -size % BLOCK
        while left:
            yield (data := self._read(min(left, CHUNK)))
            left -= len(data)

    def _read(self, size: int) -> bytes:
        if len(data := self.count.take(self.stream.read(size))) < size:
            raise EOFError("it breaks off")
        return data


_FILES = (b"0", b"\0", b"7")  # a tar's kinds that are plain files


def _check_sum(header: bytes) -> None:
    if _number(header[148:156]) != sum(header) - sum(header[148:156]) + 8 * ord(" "):
        raise ValueError("a header that is none")


def _path(header: bytes) -> bytes:
    name, _, _ = header[:100].partition(b"\0")
    prefix, _, _ = header[345:500].partition(b"\0")
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _number(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if text.strip(b"01234567"):
        raise ValueError("a number that is none")
    return int(text or b"0", 8)


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The (key, value) of records written as "<length> <key>=<value>\\n"."""
    place = 0
    while place < len(data):
        digits = data[place : place + DIGITS].partition(b" ")[0]
        end = place + _whole(digits)
        if end <= place + len(digits):
            raise ValueError("a record that is none")
        key, _, value = data[place + len(digits) + 1 : end].removesuffix(b"\n").partition(b"=")
        yield key, value
        place = end


def _whole(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > DIGITS:
        raise ValueError("a number that is none")
    return int(digits)


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")  # which every byte is something in
