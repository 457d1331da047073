"""Text -> cells: what programs write is read back as it was, and what is not sure is told or refused."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertspace import tables
from bertspace.errors import DataError
from bertspace.tables import Reading, Table

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


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
