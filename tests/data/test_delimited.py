"""Text -> cells: what programs write is read back as it was, and what is not sure is told or refused."""

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertspace.data import tables
from bertspace.data.tables import Reading, Table
from bertspace.errors import DataError

Rows = list[list[str]]
HEADER = ["text", "label"]


def by_csv(suffix: str, encoding: str = "utf-8", before: str = "", **dialect: object) -> Callable:
    def write(rows: Rows) -> tuple[str, bytes]:
        out = io.StringIO(newline="")
        csv.writer(out, **dialect).writerows(rows)  # type: ignore[arg-type]
        return suffix, (before + out.getvalue()).encode(encoding)

    return write


def by_pandas(suffix: str, **options: object) -> Callable:
    def write(rows: Rows) -> tuple[str, bytes]:
        return suffix, pd.DataFrame(rows[1:], columns=rows[0]).to_csv(index=False, **options).encode()

    return write


NONE = {"quoting": csv.QUOTE_NONE, "escapechar": "\\"}
WRITERS = {
    "csv": by_csv("csv"),
    "csv, all quoted": by_csv("csv", quoting=csv.QUOTE_ALL),
    "csv, not numbers": by_csv("csv", quoting=csv.QUOTE_NONNUMERIC),
    "csv, backslashes": by_csv("csv", quoting=csv.QUOTE_NONE, escapechar="\\"),
    "csv, quotes escaped": by_csv("csv", doublequote=False, escapechar="\\"),
    "csv, all quoted, quotes escaped": by_csv("csv", "utf-8", quoting=1, doublequote=False, escapechar="\\"),
    "unix": by_csv("csv", dialect="unix"),
    "excel-tab": by_csv("tsv", dialect="excel-tab"),
    "tab, all quoted": by_csv("tsv", delimiter="\t", quoting=csv.QUOTE_ALL),
    "pandas": by_pandas("csv"),
    "pandas, tab": by_pandas("tsv", sep="\t"),
    "pandas, semicolon": by_pandas("csv", sep=";"),
    "pandas, backslashes": by_pandas("csv", **NONE),
    "pandas, backslashes, tab": by_pandas("tsv", sep="\t", **NONE),
    "pandas, backslashes, semicolon": by_pandas("csv", sep=";", **NONE),
    "Excel": by_csv("csv", "utf-8-sig"),
    "Excel, semicolon": by_csv("csv", "utf-8-sig", delimiter=";"),
    "Excel, sep=": by_csv("csv", "utf-8", "sep=;\r\n", delimiter=";"),
    "Excel, Unicode text": by_csv("tsv", "utf-16", dialect="excel-tab"),
    "LibreOffice": by_csv("csv", lineterminator="\n"),
    "PowerShell": by_csv("csv", "utf-8", "#TYPE System.Data.DataRow\r\n", quoting=csv.QUOTE_ALL),
    "PowerShell, UTF-16": by_csv("csv", "utf-16", quoting=csv.QUOTE_ALL),
    "bars": by_csv("csv", delimiter="|"),
}
# What the writer itself makes no difference of, or what only looks like something else.
TOLD = {"csv, backslashes", "csv, quotes escaped", "csv, all quoted, quotes escaped", "bars"}
TOLD |= {name for name in WRITERS if "backslashes" in name}


def read(folder: Path, suffix: str, content: bytes | str, **said: str) -> Table:
    path = folder / f"a.{suffix}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return tables.read(path, Reading(**said))


def cells(table: Table) -> Rows:
    return [list(table.frame.columns), *table.frame.to_numpy().tolist()]


TEXTS = [
    'She said "yes", and left.',
    '"Yes" is a word',
    '"All of it"',
    'the last word is "no"',
    "one, two; three|four\tfive",
    "two\nlines",
    "two\r\nlines, with a comma",
    "it's the dogs' dinner",
    "a C:\\new\\folder and a \\",
    "  blanks before and after  ",
    "naïve Café – “quoted” 漢字 🙂",
    "",
    "-",
    '"',
    '""',
    "the line after is not empty\n\nbut this one",
    "# no comment",
    "100%",
    "sep=;",
]


@pytest.mark.parametrize("name", WRITERS)
def test_what_programs_write_is_read_back_as_it_was(tmp_path: Path, name: str) -> None:
    rows = [HEADER, *([text, "good" if place % 3 else "bad"] for place, text in enumerate(TEXTS))]
    table = read(tmp_path, *WRITERS[name](rows))
    assert cells(table) == rows
    assert bool(table.findings) == (name in TOLD), table.findings


SIGNS = st.text(st.sampled_from([*"\"'\\,;|\t \n\rab", "ä"]), max_size=8)
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(WRITERS)),
    texts=st.lists(SIGNS | SIGNS | ANY, min_size=1, max_size=5),
    labels=st.lists(st.sampled_from(["x", "yy"]) | SIGNS, min_size=5, max_size=5),
)
def test_a_text_is_read_back_or_the_guess_is_told_or_the_file_refused(
    tmp_path: Path, name: str, texts: list[str], labels: list[str]
) -> None:
    rows = [HEADER, *(list(pair) for pair in zip(texts, labels, strict=False))]
    try:
        table = read(tmp_path, *WRITERS[name](rows))
    except DataError as error:
        assert error.hint
    else:
        # Some write a return before the line's end as it is, which is a line's end of another kind.
        found, meant = ([[text, label.rstrip("\r")] for text, label in each] for each in (cells(table), rows))
        assert found == meant or table.findings


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_said_is_not_guessed(tmp_path: Path, name: str) -> None:
    separator = next((word for word in ("semicolon", "tab") if word in name), "comma")
    quoting = "backslash" if name in TOLD - {"bars"} else "quotes"
    said = {"separator": "bar" if name == "bars" else separator, "quoting": quoting, "header": "yes"}
    if name in ("excel-tab", "Excel, Unicode text"):
        said["separator"] = "tab"
    rows = [HEADER, *([text, "good"] for text in TEXTS)]
    if name.startswith("Excel, sep"):
        said["separator"] = "semicolon"
    table = read(tmp_path, *WRITERS[name](rows), **said)
    assert cells(table) == rows and not table.findings


# The kinds of faults, each in a small file

LINES = [f"the soup of day {day} was {'warm' if day % 2 else 'cold'}" for day in range(8)]
LABELS = ["pos" if day % 2 else "neg" for day in range(8)]
PLAIN = "".join(f"{line},{label}\n" for line, label in zip(LINES, LABELS, strict=True))


def way(table: Table | DataError, name: str) -> list[str]:
    """The values of this setting that are offered."""
    return [value for each in table.remedies for key, value in each.settings if key == name]


def refused(folder: Path, suffix: str, content: str, **said: str) -> DataError:
    with pytest.raises(DataError) as caught:
        read(folder, suffix, content, **said)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("first", ["text", "label"])
def test_a_first_line_that_is_a_row_is_one_and_told(tmp_path: Path, first: str) -> None:
    rows = [[line, label] if first == "text" else [label, line] for line, label in zip(LINES, LABELS)]  # noqa: B905
    table = read(tmp_path, *by_csv("csv")(rows))
    assert table.frame.to_numpy().tolist() == rows
    assert list(table.frame.columns) == ["column 1", "column 2"]
    assert table.findings == (
        f"a.csv has no header, as its first line is a row like the others; its columns: "
        f"column 1 ({rows[0][0]!r}), column 2 ({rows[0][1]!r}).",
    )
    assert way(table, "header") == ["yes"]
    said = read(tmp_path, *by_csv("csv")(rows), header="yes")
    assert len(said.frame) == 7 and not said.findings
    assert not read(tmp_path, *by_csv("csv")(rows), header="no").findings


def test_a_lone_quote_of_a_tsv_is_text(tmp_path: Path) -> None:
    lines = [
        *PLAIN.splitlines(),
        '"our guide was late,neg',
        "more rows,pos",
        'she said",neg',
        '"all of it",pos',
    ]
    content = "\n".join(["text,label", *lines, ""]).replace(",", "\t")
    table = read(tmp_path, "tsv", content)
    assert table.frame["text"].tolist()[8:] == ['"our guide was late', "more rows", 'she said"', "all of it"]
    assert table.findings[0].startswith("In row 9 of a.tsv a double quote is taken as text")
    assert way(table, "quoting") == ["none", "quotes"]
    assert read(tmp_path, "tsv", content, quoting="none").frame["text"].tolist()[-1] == '"all of it"'
    assert len(read(tmp_path, "tsv", content, quoting="quotes").frame) == 10
    unclosed = read(tmp_path, "tsv", content.replace('said"', "said"))
    assert len(unclosed.frame) == 12 and unclosed.findings


def test_a_lone_quote_of_a_csv_merges_no_rows(tmp_path: Path) -> None:
    content = f'text,label\n{PLAIN}"our guide was late,neg\nmore rows,pos\nshe said",neg\n"a, b",pos\n'
    table = read(tmp_path, "csv", content)
    assert table.frame["text"].tolist()[8:] == ['"our guide was late', "more rows", 'she said"', "a, b"]
    assert table.findings and way(table, "quoting") == ["quotes"]


def test_a_cell_of_several_lines_that_could_be_rows_is_told(tmp_path: Path) -> None:
    poem = '"roses are red, as\nviolets are blue, so\nand one is here",pos\n'
    table = read(tmp_path, "csv", f"text,label\n{PLAIN}{poem}")
    assert len(table.frame) == 9
    assert table.findings[0].startswith("Row 9 of a.csv spans several lines, as a quote opens in line 10")
    letter = read(tmp_path, "csv", f'text,label\n{PLAIN}"Dear Sir,\nthanks a lot",pos\n')
    assert len(letter.frame) == 9 and not letter.findings


def test_a_quote_that_was_not_doubled_is_text_or_named(tmp_path: Path) -> None:
    table = read(tmp_path, "csv", f'text,label\n{PLAIN}"Our" guide was late,neg\n')
    assert table.frame["text"].tolist()[-1] == '"Our" guide was late' and table.findings
    error = refused(tmp_path, "csv", f'text,label\n{PLAIN}"He said "hi", and left",neg\n')
    assert error.message == "a.csv, line 10: a quoted cell goes on after its closing quote."
    error = refused(tmp_path, "csv", f'text,label\n{PLAIN}"cut off,neg\nhere,pos\n')
    assert error.message == 'a.csv: a cell opened by a double quote (") in line 10 is never closed.'
    assert way(error, "quoting") == ["none"]


def test_quotes_escaped_by_backslashes_are_read_and_told(tmp_path: Path) -> None:
    content = f'text,label\n{PLAIN}"The host said \\"welcome\\", and meant it","C:\\new"\n'
    table = read(tmp_path, "csv", content)
    assert table.frame.to_numpy().tolist()[-1] == ['The host said "welcome", and meant it', "C:\\new"]
    assert table.findings == (
        'In a.csv a backslash escapes the quote (\\"), separator or line end after it.',
    )
    tex = read(tmp_path, "csv", f'text,label\n{PLAIN}G\\"odel and \\alpha,pos\n')
    assert tex.frame["text"].tolist()[-1] == 'G\\"odel and \\alpha'
    assert tex.findings and way(tex, "quoting") == ["backslash"]


def test_blanks_beside_quotes_are_left_out_and_told(tmp_path: Path) -> None:
    table = read(tmp_path, "csv", 'text, label\n"a, b", "pos"\n"c" , "neg"\n')
    assert cells(table) == [HEADER, ["a, b", "pos"], ["c", "neg"]]
    assert table.findings == ("In rows 1 and 2 of a.csv blanks beside the quotes of a cell are left out.",)


@pytest.mark.parametrize(
    "start",
    ["sep=;\r\n", '"sep=;"\r\n', "\ufeffsep=;\r\n", "SEP=;\n", "sep=;;\r\n", "#TYPE A.B\r\nsep=;\r\n"],
)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_line_for_programs_is_no_header(tmp_path: Path, start: str, suffix: str) -> None:
    table = read(tmp_path, suffix, f"{start}text, as written;label\r\na;b\r\n")
    assert cells(table) == [["text, as written", "label"], ["a", "b"]] and not table.findings


def test_separators_at_the_end_of_all_lines_are_left_out(tmp_path: Path) -> None:
    ended = PLAIN.replace("\n", ",\n")
    for content, told in (
        (f"text,label,\n{ended}", 0),
        (f"text,label\n{ended}", 1),
        (f"text,label,\n{PLAIN}", 0),
    ):
        table = read(tmp_path, "csv", content)
        assert table.frame.shape == (8, 2) and len(table.findings) == told
    error = refused(tmp_path, "csv", f"text,label\n{PLAIN}one,pos,\ntwo,neg\nthree,pos,\n")
    assert error.message == "Rows 9 and 11 of a.csv (line 10) end with a comma more than the header has."


def test_empty_rows_at_the_end_of_an_export_are_left_out_and_those_between_kept(tmp_path: Path) -> None:
    table = read(tmp_path, "csv", "text;label\na;b\n;;;\nc;d\n;\n;;\n")
    assert table.frame.to_numpy().tolist() == [["a", "b"], ["", ""], ["c", "d"]]
    assert table.findings == ("2 empty rows at the end of a.csv were left out.",)
    table = read(tmp_path, "csv", "text;label\na;b\nc;d\n;\n")
    assert table.findings == ("1 empty row at the end of a.csv was left out.",)


def test_a_header_that_stands_again_is_left_out_and_rows_keep_their_numbers(tmp_path: Path) -> None:
    table = read(tmp_path, "csv", f"text,label\n{PLAIN}text,label\nlast,pos\n")
    assert table.frame.index.tolist() == [*range(8), 9]
    assert table.findings == ("Row 9 of a.csv repeats the header, and was left out.",)


@pytest.mark.parametrize(
    ("suffix", "header", "mark", "told"),
    [
        ("csv", "text;label", ";", ()),
        ("csv", "text, as written;label", ";", ()),
        ("csv", "text\tlabel", "\t", ("a.csv is separated by tabs, not by commas.",)),
        ("csv", "text|label", "|", ("a.csv is separated by vertical bars, not by commas.",)),
        ("tsv", "text,label", ",", ("a.tsv is separated by commas, not by tabs.",)),
    ],
)
def test_the_separator_is_the_one_that_all_rows_have(
    tmp_path: Path, suffix: str, header: str, mark: str, told: tuple[str, ...]
) -> None:
    table = read(tmp_path, suffix, f"{header}\n{PLAIN.replace(',', mark)}")
    assert table.frame.shape == (8, 2) and table.findings == told


def test_two_separators_that_fit_are_told(tmp_path: Path) -> None:
    table = read(tmp_path, "csv", "a,b;c\nx,y;z\n1,2;3\n")
    assert table.findings == ("a.csv is read as separated by commas; it could be by semicolons.",)
    assert way(table, "separator") == ["semicolon"]


def test_texts_with_separators_under_one_name_are_refused_with_the_way_out(tmp_path: Path) -> None:
    content = "text\nHello, you\nHi\nWell, now, then\n"
    error = refused(tmp_path, "csv", content)
    assert error.message == "a.csv has one name in its first line, 'text', and 2 cells in row 1 (line 2)."
    assert way(error, "separator") == ["none"]
    table = read(tmp_path, "csv", content, separator="none")
    assert table.frame["text"].tolist() == ["Hello, you", "Hi", "Well, now, then"]


def test_a_row_for_which_there_is_no_name_is_told_as_that(tmp_path: Path) -> None:
    error = refused(tmp_path, "csv", '"text","label"\n"1","a","b"\n"2","c","d"\n')
    assert error.message == "Every row of a.csv has 3 cells; the header has 2."


def test_a_lone_return_is_a_line_s_end_only_where_there_is_no_other(tmp_path: Path) -> None:
    assert read(tmp_path, "csv", f"text,label\n{PLAIN}".replace("\n", "\r")).frame.shape == (8, 2)
    table = read(tmp_path, "csv", "text,label\na\rb,pos\nc,neg\n")
    assert table.frame["text"].tolist() == ["a\rb", "c"]
    assert table.findings == ("In row 1 of a.csv a return within a line is taken as text.",)


def test_excel_s_unicode_text_is_told_and_read_as_is_said(tmp_path: Path) -> None:
    content = "text\tlabel\r\nä\tb\r\n".encode("utf-16")
    table = read(tmp_path, "txt", content)
    assert table.findings == (
        "Every line of a.txt has 2 parts with tabs between them, and is taken for one text.",
    )
    assert cells(read(tmp_path, "txt", content, separator="tab")) == [HEADER, ["ä", "b"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ['"a', '"""a', '"a"b', '"a\\', 'a\\"', ' "a"', '""', '"', '"a,b\nc', " " * 50, "\\", "\r"]
)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_hostile_quotes_take_no_more_time_than_others(tmp_path: Path, line: str, suffix: str) -> None:
    mark = "," if suffix == "csv" else "\t"
    begun = time.process_time()
    try:
        read(tmp_path, suffix, "text,label\n".replace(",", mark) + f"{line}{mark}x\n" * 20_000)
    except DataError as error:
        assert error.hint
    assert time.process_time() - begun < 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [
        ",".join(['"a"'] * 20_000),
        "x," + ",".join(['"1\n2"'] * 20_000),
        "1" * 100_000 + "x,a\n" + "1,a\n" * 5,
        ",".join(map(str, range(2000))) + "\n" + " \n" * 20_000 + ",x",
        "'" + "," * 100_000 + "'x",
    ],
    ids=["cells", "cells of several lines", "a number that is none", "blank lines", "a single quote"],
)
def test_one_hostile_line_takes_no_more_time_than_others(tmp_path: Path, rows: str) -> None:
    begun = time.process_time()
    for content in (rows, f"a,b\n{rows}"):
        try:
            read(tmp_path, "csv", content)
        except DataError as error:
            assert error.hint
    assert time.process_time() - begun < 4


def test_blank_lines_are_not_filled_up_without_bound(tmp_path: Path) -> None:
    names = ",".join(f"c{place}" for place in range(1000))
    with pytest.raises(DataError, match="blank lines among rows of 1,000 cells"):
        read(tmp_path, "csv", f"{names}\n" + " \n" * 10_001 + "x" + "," * 999)


@pytest.mark.parametrize("quoting", ["auto", "quotes", "backslash", "none"])
@pytest.mark.parametrize("more", ["", 'and "so" on', '"loose'])
def test_an_empty_line_in_a_lone_column_is_a_row(tmp_path: Path, quoting: str, more: str) -> None:
    if more == '"loose' and quoting in ("quotes", "backslash"):
        return  # never closed
    text = f"\ntext\nthe cake is good\n\nthe lamp is out\n{more or 'a'}\nb\n"
    table = read(tmp_path, "tsv", text, quoting=quoting)
    assert table.frame["text"].tolist() == ["the cake is good", "", "the lamp is out", more or "a", "b"]
    assert list(table.frame.index) == [0, 1, 2, 3, 4]
    several = f"\ntext\tlabel\nthe cake is good\tx\n\n{more or 'a'}\ty\n"
    assert len(read(tmp_path, "tsv", several, quoting=quoting).frame) == 2


@pytest.mark.parametrize("every", [True, False])
def test_texts_in_single_quotes_are_the_cause_that_is_named(tmp_path: Path, every: bool) -> None:
    quoted = "'good, and cheap','pos'"
    rows = [quoted if every or place == 3 else "fine,pos" for place in range(5)]
    with pytest.raises(DataError) as caught:
        read(tmp_path, "csv", "\n".join(["text,label", *rows]))
    assert "\"'good, and cheap'\" has a comma in it, and single quotes are text." in caught.value.message
    assert caught.value.hint == 'Put double quotes (") around such texts instead of single ones.'
