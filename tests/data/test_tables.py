"""Files -> tables: every kind read, every fault named."""

import csv
import dataclasses
import gzip
import importlib
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertspace import data
from bertspace.data import tables
from bertspace.data.tables import Reading, read_table, row_words, write_csv
from bertspace.errors import DataError
from bertspace.schema import TrainConfig

pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")  # come with datasets
ROWS = {"text": ['a, "b"', "NA", "two\nlines", "ä 漢 🙂"], "label": ["null", "", "nan", "None"]}


def as_csv(columns: dict[str, list[str]], separator: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue().encode()


def as_jsonl(columns: dict[str, list[str]]) -> bytes:
    rows = zip(*columns.values(), strict=True)
    return "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows).encode()


def as_json(columns: dict[str, list[str]]) -> bytes:
    return pd.DataFrame(columns).to_json(orient="records").encode()


def as_parquet(columns: dict[str, list[str]]) -> bytes:
    return pd.DataFrame(columns).to_parquet(None)


WRITERS = {
    "csv": as_csv,
    "tsv": lambda columns: as_csv(columns, "\t"),
    "jsonl": as_jsonl,
    "json": as_json,
    "parquet": as_parquet,
}


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def refusal(path: Path) -> str:
    """What read_table says against the file: one line that names it, without its folder, and what to do."""
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert path.name in caught.value.message
    assert str(path.parent) not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_gives_its_cells_back_as_they_were(tmp_path: Path, kind: str, packed: str) -> None:
    path = written(tmp_path, f"Data.{kind.upper()}{packed}", WRITERS[kind](ROWS))
    if packed:
        path.write_bytes(gzip.compress(WRITERS[kind](ROWS)))
    assert read_table(path).to_dict("list") == ROWS


@pytest.mark.parametrize("name", ["data.txt", "data.txt.gz"])
def test_a_txt_is_one_column_with_a_row_a_line(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, "one\r\n\ntwo\x0bstill two\u2028and still\nthree")
    assert read_table(path)["text"].tolist() == ["one", "", "two\x0bstill two\u2028and still", "three"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["jsonl", "json", "parquet"]),
    rows=st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))] * 2),
        min_size=1,
    ),
)
def test_any_text_survives_being_written_and_read(tmp_path: Path, kind: str, rows: list) -> None:
    columns = {"text": [first for first, _ in rows], "other": [second for _, second in rows]}
    assert read_table(written(tmp_path, f"any.{kind}", WRITERS[kind](columns))).to_dict("list") == columns


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet", "txt", "csv.gz"]), content=st.binary())
def test_any_bytes_are_read_or_refused_with_a_data_error(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / f"any.{kind}"
    path.write_bytes(content)
    try:
        assert len(read_table(path)) > 0
    except DataError as error:
        assert path.name in error.message and error.hint


def test_names_of_columns_lose_outer_blanks_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", b"\xef\xbb\xbf text , label,\r\na,b,\r\n\r\nc,d,\r\n")
    assert read_table(path).to_dict("list") == {"text": ["a", "c"], "label": ["b", "d"]}


def test_a_list_of_objects_may_leave_keys_out(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, "a.json", '[{"text": "a", "label": 1},\n {"text": "b"}]'))
    assert frame["text"].tolist() == ["a", "b"]
    assert frame["label"].isna().tolist() == [False, True]


BIG = 1582218195625938945


@pytest.mark.parametrize("beside", ["null", "0.5", '"a"', "true", "1.0"])
def test_a_whole_number_stays_as_long_as_it_is_written(tmp_path: Path, beside: str) -> None:
    rows = [f'{{"text": "a", "label": {label}}}' for label in (BIG, beside, BIG - 1)]
    labels = read_table(written(tmp_path, "a.jsonl", "\n".join(rows)))["label"].tolist()
    assert labels == [BIG, json.loads(beside), BIG - 1]
    assert list(map(type, labels)) == [int, type(json.loads(beside)), int]


def test_a_key_that_is_left_out_makes_no_decimals(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, "a.jsonl", f'{{"text": "a", "label": {BIG}}}\n{{"text": "b"}}'))
    assert frame["label"].tolist() == [BIG, None]


def test_a_decimal_that_no_float_holds_stays_as_it_is_written(tmp_path: Path) -> None:
    said = [
        f"{BIG - 1}.0",
        f"{BIG}.0",
        "1e400",
        "0.1",
        "2.50",
        "1E3",
        f"1e{'9' * 30}",
        "0.1000000000000000055",
    ]
    frame = read_table(written(tmp_path, "a.jsonl", "\n".join(f'{{"text": {each}}}' for each in said)))
    assert frame["text"].tolist() == [f"{BIG - 1}.0", f"{BIG}.0", "1e400", 0.1, 2.5, 1000.0, *said[-2:]]


def test_whole_numbers_of_a_parquet_stay_so_beside_a_null(tmp_path: Path) -> None:
    rows = pa.table({"text": ["a", "b"], "label": pa.array([BIG, None], pa.int64())})
    pq.write_table(rows, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet")["label"].tolist() == [BIG, None]


def test_numbers_of_a_csv_are_as_they_are_written(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, "a.csv", f"text,label\na,01\nb,{BIG}\nc,1.10\n"))
    assert frame["label"].tolist() == ["01", str(BIG), "1.10"]


def test_a_cell_may_be_longer_than_python_s_own_limit(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "text,label\n" + "x" * 200_000 + ",1\n")
    assert read_table(path)["text"].str.len().tolist() == [200_000]


def test_rows_in_words_stop_at_five() -> None:
    assert row_words([3]) == "row 3"
    assert row_words([3, 5]) == "rows 3 and 5"
    assert row_words([1, 2, 3, 4, 1234]) == "rows 1, 2, 3, 4 and 1,234"
    assert row_words(range(1, 13)) == "rows 1, 2, 3, 4, 5 and 7 more"


def test_a_csv_as_excel_saves_it_where_numbers_have_commas_is_read(tmp_path: Path) -> None:
    file = tmp_path / "noten.csv"
    file.write_bytes(b'\xef\xbb\xbftext;label\r\n"a; b, c";x\r\nd, e;y\r\n')
    found = read_table(file)
    assert found.to_dict("list") == {"text": ["a; b, c", "d, e"], "label": ["x", "y"]}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "a.csv is empty."),
        ("a.csv", " \n\n", "a.csv is empty."),
        ("a.txt", b"\xef\xbb\xbf", "a.txt is empty."),
        ("a.csv.gz", "", "a.csv.gz is empty."),
        ("a.csv", "text,label\n", "a.csv has no rows below its header."),
        ("a.jsonl", "{}\n{}\n", "a.jsonl has no rows with a column."),
        ("a.csv", "text,text \na,b\n", "Two columns of a.csv are named 'text'."),
        (
            "a.csv",
            "text;label\na;b\nc;d;e\n",
            "Row 2 of a.csv (line 3) has 3 cells; the header has 2.",
        ),
        (
            "a.csv",
            "text,label\na,b\n\nc,d,e\n",
            "Row 2 of a.csv (line 4) has 3 cells; the header has 2.",
        ),
        ("a.csv", 'text,label\n"a\nb",c\nd\n', "Row 2 of a.csv (line 4) has 1 cell; the header has 2."),
        (
            "a.csv",
            'text,label\na,b\n"c,d\ne,f\n',
            'a.csv: a cell opened by a double quote (") in line 3 is never closed.',
        ),
        (
            "a.csv",
            "text,label\nMüller,b\n".encode("latin-1"),
            "a.csv is not UTF-8 text: the byte 0xfc at position 12 (line 2) does not fit. "
            "Its first odd words would read: as Windows-1252 'Müller'.",
        ),
        ("a.csv", b"PK\x03\x04rest", "a.csv is an Excel or zip file."),
        (
            "a.csv",
            b"text,label\na\0,b\n",
            "a.csv is a binary file: there is a zero byte at position 12 (line 2).",
        ),
        (
            "a.jsonl",
            '{"text": "a"}\n\n{"text": }\n',
            "Row 2 of a.jsonl is not JSON: Expecting value (line 1, column 10).",
        ),
        ("a.json", '[{"text": "a"},\n{]', "a.json is not JSON: "),
        ("a.jsonl", '{"text": "a"}\n"b"\n', "Row 2 of a.jsonl is '\"b\"', not an object."),
        (
            "a.jsonl",
            '{"text": "\\ud800"}\n',
            "Row 1 of a.jsonl holds half of a character (\\ud800 to \\udfff).",
        ),
        ("a.json", "[" * 200_000, "a.json is nested too deeply."),
        ("a.jsonl", '{"text": ' + "1" * 5000 + "}", "Row 1 of a.jsonl holds a value that cannot be read: "),
        ("a.parquet", b"PAR1 not really", "a.parquet cannot be read as parquet: "),
        ("a.xlsx", b"PK", "a.xlsx is no kind of file that can be read here."),
        ("data", b"text", "data is no kind of file that can be read here."),
    ],
)
def test_a_faulty_file_is_refused_by_name_and_place(
    tmp_path: Path, name: str, content: bytes | str, says: str
) -> None:
    message = refusal(written(tmp_path, name, content))
    assert message == says if says.endswith(".") else message.startswith(says)


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_rows_that_each_bring_another_column_are_refused_at_the_limit(tmp_path: Path, kind: str) -> None:
    rows = [json.dumps({f"key {row}": row}) for row in range(1500)]
    content = "\n".join(rows) if kind == "jsonl" else f"[{','.join(rows)}]"
    said = refusal(written(tmp_path, f"a.{kind}", content))
    assert said == f"Row 1,001 of a.{kind} brings the columns to 1,001; the limit is 1,000."
    few = written(tmp_path, "few.jsonl", "\n".join(rows[:1000]))
    assert read_table(few).shape == (1000, 1000)


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_header_with_too_many_columns_is_refused(tmp_path: Path, kind: str) -> None:
    columns = {f"column {number}": ["a"] for number in range(1001)}
    said = refusal(written(tmp_path, f"a.{kind}", WRITERS[kind](columns)))
    assert said == f"a.{kind} has 1,001 columns; the limit is 1,000."
    columns.popitem()
    assert read_table(written(tmp_path, f"a.{kind}", WRITERS[kind](columns))).shape == (1, 1000)


def test_a_name_that_stands_twice_among_many_is_found(tmp_path: Path) -> None:
    header = ",".join([*(f"column {number}" for number in range(990)), " column 7 "])
    said = refusal(written(tmp_path, "a.csv", f"{header}\n{',' * 990}\n"))
    assert said == "Two columns of a.csv are named 'column 7'."


def test_many_rows_with_next_to_none_of_the_columns_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MANY_CELLS", 2000)
    rows = [json.dumps({f"key {row % 50}": row}) for row in range(60)]
    said = refusal(written(tmp_path, "a.jsonl", "\n".join(rows)))
    assert said == "Row 45 of a.jsonl is one too many: the rows up to it have 1 of 45 columns."
    filled = [json.dumps({f"key {column}": row for column in range(50)}) for row in range(60)]
    assert read_table(written(tmp_path, "b.jsonl", "\n".join(filled))).shape == (60, 50)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"text,label\na,b\n" * 99, mtime=0)[:-20]])
def test_a_bad_or_torn_gzip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content)
    assert refusal(path) == "a.csv.gz cannot be unpacked: it is no gzip file, or only a part of one."


def test_a_file_over_the_limit_is_refused_packed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_FILE_BYTES", 2048)
    assert refusal(written(tmp_path, "a.txt", "x" * 3000)) == "a.txt has 3 kB; the limit is 2 kB."
    packed = written(tmp_path, "a.txt.gz", "x" * 3000)
    assert refusal(packed) == "a.txt.gz unpacks to more than 2 kB; the limit is 2 kB."


def test_a_missing_file_is_named_as_it_was_given() -> None:
    with pytest.raises(DataError, match="There is no file no/such/train.csv."):
        read_table("no/such/train.csv")
    with pytest.raises(DataError, match="There is no file"):
        read_table("zero\0byte.csv")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    assert refusal(tmp_path / "a.csv") == "a.csv is a folder."


def test_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to("/dev/zero")
    assert refusal(tmp_path / "a.csv") == "a.csv is no regular file."


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:  # root may read everything, so chmod would show nothing
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert refusal(written(tmp_path, "a.csv", "text\na\n")) == "a.csv may not be read."


def test_a_parquet_s_named_index_is_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"label": [0, 1]}, index=pd.Index(["a", "b"], name="text"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").to_dict("list") == {"text": ["a", "b"], "label": [0, 1]}


# What bertspace writes

SIGNS = "=+-@\t\r\n"
WRITTEN = st.text(st.sampled_from([*"=+-@'\t\r\n", *'a1.,;" e']), max_size=8)


def exported(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "own.csv"
    write_csv(frame, path)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(WRITTEN, min_size=1, max_size=5), name=WRITTEN)
def test_a_spreadsheet_computes_no_text_of_an_export_and_it_is_read_back_as_it_was(
    tmp_path: Path, texts: list[str], name: str
) -> None:
    name = f"{name.strip()}x"
    scores = {"predicted_label": texts, "score_a": [-0.5] * len(texts)}
    frame = pd.DataFrame({name: texts, **scores}, dtype=None)
    path = exported(frame, tmp_path)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert not header[0].startswith(tuple(SIGNS))
    for row in rows:
        assert all(not cell.startswith(tuple(SIGNS)) or float(cell) < 1e9 for cell in row)
    found = read_table(path)
    assert list(found.columns) == [name, *scores]
    assert found[name].tolist() == found["predicted_label"].tolist() == texts
    assert found["score_a"].tolist() == ["-0.5"] * len(texts)


def test_names_get_an_apostrophe_and_numbers_none(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"=x": ["=1+1", "-5", "+.5e-3"], "@y": ["'=1", "'a", "＝1"], "n": [-1, -2, -3], "o": [None, 1, "-a"]}
    )
    before = frame.copy()
    with exported(frame, tmp_path).open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["'=x", "'@y", "n", "o"],
            ["'=1+1", "''=1", "-1", ""],
            ["-5", "'a", "-2", "1"],
            ["+.5e-3", "'＝1", "-3", "'-a"],
        ]
    pd.testing.assert_frame_equal(frame, before)


def test_apostrophes_of_other_files_stay(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("text,predicted_label\n'=1,'-a\n")
    assert read_table(path).values.tolist() == [["'=1", "'-a"]]
    path.write_text("text,label,base,tuned,verdict\n'=1,'-a,''@b,'c,same right\n")
    assert read_table(path).values.tolist() == [["=1", "-a", "'@b", "'c", "same right"]]


def test_categories_are_written_as_texts(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": pd.Categorical(["=a", "b", "=a"]), "predicted_label": "x", "score_x": 1.0})
    assert read_table(exported(frame, tmp_path))["text"].tolist() == ["=a", "b", "=a"]


# Hostile rows


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("depth", [*range(100, 1000, 60), *range(900, 1000, 5), 100_000])
@pytest.mark.parametrize(
    "row",
    ["{deep}", '{{"text": {deep}}}', '{{"text": "a", "more": {deep}}}', '{{"text": "\\u00e4", "x": {deep}}}'],
)
def test_a_row_nested_as_deep_as_it_goes_is_told(tmp_path: Path, row: str, depth: int) -> None:
    """What the parser still takes may be too deep for whoever writes it out again."""
    path = tmp_path / "deep.jsonl"
    path.write_text(row.format(deep=nested(depth)) + "\n")
    try:
        config = TrainConfig(task="fill-mask", train_file=str(path), text_column="text")
        with pytest.raises(DataError) as caught:
            data.load_splits(config)
        assert len(str(caught.value)) < 400
    finally:
        path.unlink()


def test_a_missing_file_and_a_broken_one_name_no_folder(tmp_path: Path) -> None:
    missing, broken = tmp_path / "a.csv", tmp_path / "b.parquet"
    broken.write_bytes(b"PAR1" + b"x" * 99 + b"PAR1")
    for path in (missing, broken):
        for said in (lambda path=path: read_table(path), lambda path=path: load(train_file=str(path))):
            with pytest.raises(DataError) as caught:
                said()
            assert path.name in caught.value.message and str(tmp_path) not in str(caught.value)


def load(**settings: str) -> data.Splits:
    return data.load_splits(TrainConfig(task="fill-mask", **settings))


def test_a_first_row_of_texts_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{'a' * 300_000},label\ntext,b\n")
    assert refusal(path) == "The name of column 1 in a.csv has more than 1,000 characters."


# What a person says of a file


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text|label\na, b|x\n", {"separator": "bar"}),
        ("a.csv", "text,label\nä,x\n".encode("cp1252"), {"encoding": "windows-1252"}),
        ("a.csv", "text,label\nä,x\n".encode("utf-16"), {}),
        ("a.csv", 'text,label\n"a,x\n', {"quoting": "none"}),
        ("a.csv", "a,x\nb,y\n", {"header": "no"}),
        ("a.csv", "1,2\nb,y\n", {"header": "yes"}),
    ],
)
def test_a_file_is_read_as_its_reader_says(
    tmp_path: Path, name: str, content: bytes | str, said: dict
) -> None:
    table = tables.read(written(tmp_path, name, content), Reading(**said))
    assert table.frame.shape == ((2, 2) if said == {"header": "no"} else (1, 2))


def test_a_run_s_data_is_read_by_the_settings_and_its_own_files_are_not(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "".join(f"ä{row}|x\nö{row}|y\n" for row in range(20)).encode("cp1252"))
    said = Reading(header="no", encoding="windows-1252", separator="bar")
    config = TrainConfig(train_file=str(path), **dataclasses.asdict(said))
    splits = data.load_splits(config)
    assert len(splits.train) + len(splits.validation) == 40
    assert Reading.of(data.run_config(config, splits)) == Reading()
