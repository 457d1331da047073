"""Bytes -> text: believed by their mark, read as UTF-8 or as is said, never guessed."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertspace.data.decoding import decode
from bertspace.errors import DataError
from bertspace.schema import ENCODINGS

WORDS = {
    "windows-1252": ["Größere Äpfel für 5 €", "L’été à la plage", "niño, mañana", "“Hello” – it’s fine"],
    "windows-1250": ["Zażółć gęślą jaźń"],
    "windows-1251": ["Привет, мир"],
    "mac-roman": ["Größere Äpfel", "L’été à la plage"],
    "shift-jis": ["東京は夜の七時 カタカナ"],
    "gb18030": ["今天天气很好 你好"],
}
SAID = [(encoding, words) for encoding, all_words in WORDS.items() for words in all_words]
CODEC = {"shift-jis": "cp932"}


def refused(content: bytes, encoding: str = "auto") -> DataError:
    with pytest.raises(DataError) as caught:
        decode(content, "a.csv", encoding)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_says_what_a_text_is_written_in(codec: str) -> None:
    for said in ("auto", "utf-8", "windows-1252"):
        text = decode("Größe 漢".encode(codec), "a.csv", said)
        assert (text.string, list(text.lines()), text.findings) == ("Größe 漢", ["Größe 漢"], ())


@pytest.mark.parametrize(("encoding", "words"), SAID)
def test_what_is_no_utf8_is_offered_as_it_would_read_and_read_as_is_said(encoding: str, words: str) -> None:
    content = f"text,label\n{words},x\n".encode(CODEC.get(encoding, encoding))
    error = refused(content)
    assert (("encoding", encoding),) in [remedy.settings for remedy in error.remedies]
    assert words.split()[0].strip(",") in error.message
    text = decode(content, "a.csv", encoding)
    assert words in text.string and "".join(text.lines()) == text.string and not text.findings


def test_excel_s_ordinary_csv_is_told_by_its_words() -> None:
    error = refused("text;label\nMüller aus Köln;gut\n".encode("cp1252"))
    assert error.message == (
        "a.csv is not UTF-8 text: the byte 0xfc at position 12 (line 2) does not fit. "
        "Its first odd words would read: as Windows-1252 'Müller', 'Köln'."
    )
    assert [remedy.title for remedy in error.remedies] == ["Read it as Windows-1252"]


def test_utf8_with_a_damaged_letter_is_not_offered_as_anything_else() -> None:
    error = refused("Größere Äpfel, schöne Grüße\n".encode() + b"Stra\xdfe\n")
    assert "though other letters do" in error.message and not error.remedies


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("words", ["text,label\nä,b\n", "текст,метка\nПривет мир,да\n"])
def test_utf16_without_a_mark_is_offered_and_read_as_is_said(codec: str, words: str) -> None:
    error = refused(words.encode(codec))
    assert error.message == "a.csv looks like UTF-16 text without a byte order mark."
    assert [remedy.settings for remedy in error.remedies] == [(("encoding", "utf-16"),)]
    assert decode(words.encode(codec), "a.csv", "utf-16").string == words


def test_utf8_that_is_read_as_something_else_is_told() -> None:
    text = decode("Grüße".encode(), "a.csv", "windows-1252")
    assert text.findings == ("a.csv would be UTF-8 text too, and was read as Windows-1252: 'GrÃ¼ÃŸe'.",)
    assert text.remedies[0].settings == (("encoding", "utf-8"),)
    assert not decode(b"plain", "a.csv", "windows-1252").findings


def test_what_is_said_wrongly_is_refused() -> None:
    assert "is not GB 18030 (Chinese) text" in refused(b"a\xff\xff", "gb18030").message
    assert "is not UTF-8 text" in refused("Müller".encode("cp1252"), "utf-8").message


@given(st.binary(), st.sampled_from(ENCODINGS))
def test_any_bytes_are_text_or_refused(content: bytes, encoding: str) -> None:
    try:
        text = decode(content, "a.csv", encoding)
    except DataError as error:
        assert "a.csv" in error.message and len(error.message) < 400
    else:
        assert "".join(text.lines()) == text.string


def test_a_long_word_takes_no_time_to_be_judged() -> None:
    begun = time.process_time()
    refused(b"x" * 1_000_000 + b"\xfc" + b"y" * 1_000_000)
    assert time.process_time() - begun < 5
