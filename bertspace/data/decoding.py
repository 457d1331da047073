"""Bytes to text: by byte order mark, by the encoding given, or as UTF-8; anything else is refused.

Knows nothing of tables.
"""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from bertspace.data.reading import shortened
from bertspace.errors import DataError, Remedy

_FOREIGN = {  # the first bytes of files that often bear the wrong name
    b"PK\x03\x04": ("an Excel or zip file", "Save the sheet as 'CSV UTF-8'."),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", "Save the sheet as 'CSV UTF-8'."),
    b"\x1f\x8b": ("gzipped", "Add .gz to its name."),
    b"PAR1": ("a parquet file", "Name it .parquet."),
}
_MARKS = {  # the longest first: the mark of UTF-16 begins that of UTF-32
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_TITLES = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "windows-1252": "Windows-1252",
    "windows-1250": "Windows-1250 (Central European)",
    "windows-1251": "Windows-1251 (Cyrillic)",
    "mac-roman": "Mac Roman",
    "shift-jis": "Shift JIS",
    "gb18030": "GB 18030 (Chinese)",
}
_CODECS = {"shift-jis": "cp932"}  # as Windows writes it
SAVE_AGAIN = "Save it again with the encoding UTF-8 ('CSV UTF-8' in Excel)."
OFFERED, SHOWN, JUDGED = 3, 3, 100  # encodings that a refusal offers, words that it shows, words looked at
_ODD = re.compile(r"[^\s\x00-\x7f]")
_LETTERS = re.compile(r"[^\W\d_]*\Z")
_REST = re.compile(r"[^\s,;|\"]{0,30}")


@dataclass(frozen=True)
class Text:
    """A file's text, without a byte order mark; `findings` say what is odd about its encoding."""

    name: str
    content: bytes
    codec: str
    string: str
    findings: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    def lines(self) -> Iterator[str]:
        """The lines with their ends, of which a lone return is one."""
        return io.TextIOWrapper(io.BytesIO(self.content), encoding=self.codec, newline="")


def decode(content: bytes, name: str, encoding: str = "auto") -> Text:
    """The file's text; a mark at its start is believed before anything else. Raises DataError.

    What has no mark and is no UTF-8 is never guessed: the refusal shows how it would read.
    """
    for start, (kind, advice) in _FOREIGN.items():
        if content.startswith(start):
            raise DataError(f"{name} is {kind}.", hint=advice)
    marked = next((codec for mark, codec in _MARKS.items() if content.startswith(mark)), "")
    if not marked and encoding != "utf-16" and b"\0" in content:
        raise _binary(content, name)
    codec = marked or _codec(content, encoding)
    try:
        string = content.decode(codec)
    except UnicodeDecodeError as error:
        raise _undecodable(content, name, "utf-8" if encoding == "auto" else encoding, error) from error
    if "\0" in string:
        raise _binary(string.encode("utf-8", "replace"), name)
    if (
        marked
        or encoding in ("auto", "utf-8", "utf-16")
        or string.isascii()
        or not _decoded(content, "utf-8")
    ):
        return Text(name, content, codec, string)
    finding = f"{name} would be UTF-8 text too, and was read as {_TITLES[encoding]}: {_shown(string)}."
    return Text(name, content, codec, string, (finding,), (Remedy("Read it as UTF-8", _setting("utf-8")),))


def _codec(content: bytes, encoding: str) -> str:
    if encoding == "utf-16":
        return "utf-16-be" if content[::2].count(0) > content[1::2].count(0) else "utf-16-le"
    return _CODECS.get(encoding, "utf-8" if encoding == "auto" else encoding)


def _undecodable(content: bytes, name: str, encoding: str, error: UnicodeDecodeError) -> DataError:
    place = _place(content, error.start)
    problem = (
        f"{name} is not {_TITLES[encoding]} text: the byte 0x{content[error.start]:02x} {place} does not fit"
    )
    if encoding == "utf-8" and _is_damaged(content):
        return DataError(f"{problem}, though other letters do.", hint="It was damaged: make it anew.")
    readings: dict[str, str] = {}  # by the text, so that what reads the same is offered once
    for other in _TITLES:
        if (
            other not in (encoding, "utf-16")
            and len(readings) < OFFERED
            and (text := _plausible(content, other))
        ):
            readings.setdefault(text, other)
    if not readings and encoding != "windows-1252" and (text := _decoded(content, "windows-1252")):
        readings[text] = "windows-1252"
    if not readings:
        return DataError(f"{problem}.", hint=SAVE_AGAIN)
    shown = "; ".join(f"as {_TITLES[other]} {_shown(text)}" for text, other in readings.items())
    return DataError(
        f"{problem}. Its first odd words would read: {shown}.",
        hint="Say which encoding reads right, or save it again with the encoding UTF-8.",
        remedies=tuple(
            Remedy(f"Read it as {_TITLES[other]}", _setting(other)) for other in readings.values()
        ),
    )


def _setting(encoding: str) -> tuple[tuple[str, str], ...]:
    return (("encoding", encoding),)


def _is_damaged(content: bytes) -> bool:
    """Whether most of what is beyond ASCII is good UTF-8."""
    string = content.decode("utf-8", "replace")
    broken = string.count("�")
    return sum(1 for each in re.finditer(r"[^\x00-\x7f]", string)) > 2 * broken


def _binary(content: bytes, name: str) -> DataError:
    if _is_utf16(content):
        return DataError(
            f"{name} looks like UTF-16 text without a byte order mark.",
            hint="Say that it is UTF-16, or save it again with the encoding UTF-8.",
            remedies=(Remedy("Read it as UTF-16", _setting("utf-16")),),
        )
    return DataError(
        f"{name} is a binary file: there is a zero byte {_place(content, content.find(0))}.",
        hint="Give a text file (csv, tsv, jsonl, txt) or a parquet file by its own suffix.",
    )


def _is_utf16(content: bytes) -> bool:
    """Whether it is UTF-16 without a mark: zero bytes at every other place only, and lines."""
    string = _decoded(content, "utf-16")
    return "\n" in string and "\0" not in string


def _place(content: bytes, position: int) -> str:
    line = content.count(b"\n", 0, position) + 1
    return f"at position {position:,} (line {line:,})"


def _plausible(content: bytes, encoding: str) -> str:
    """The text in this encoding; empty where its odd words are no writing of anybody's."""
    string = _decoded(content, encoding)
    words = _odd_words(string)
    odd = sum(map(_is_garbled, words))
    return string if odd <= 0.1 * len(words) else ""


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(_codec(content, encoding))
    except UnicodeDecodeError:
        return ""


def _is_garbled(word: str) -> bool:
    """Whether scripts are mixed in a word, capitals follow small letters, or signs stand between letters."""
    latin = [_is_latin(letter) for letter in word if letter.isalpha()]
    foreign = all(ord(letter) > 127 for letter in word) and len(word) > 3
    mixed = len(set(latin)) > 1 or (foreign and all(latin) and bool(latin))
    inside = re.search(r"[^\W\d_][^\w\s\x00-\x7f’‘–—…´·][^\W\d_]|[a-zß-ÿ][À-ÞŠŽŸ]", word)
    return mixed or bool(inside) or not word.isprintable()


def _is_latin(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN")


def _odd_words(string: str) -> list[str]:
    """The first words with what is beyond ASCII in them, from the letters before it on, cut where long."""
    words, position = list[str](), 0
    while len(words) < JUDGED and (odd := _ODD.search(string, position)):
        letters = _LETTERS.search(string[max(position, odd.start() - 30) : odd.start()])
        rest = _REST.match(string, odd.start())
        words.append((letters[0] if letters else "") + (rest[0] if rest else ""))
        position = max(odd.end(), rest.end() if rest else 0)
    return words


def _shown(string: str) -> str:
    return ", ".join(shortened(word, 24) for word in [*dict.fromkeys(_odd_words(string))][:SHOWN])
