"""Labels by their names: what counts as one, what is taken for a place, and what is said of either."""

import json
import time
import unicodedata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertspace.data import alike, load_splits
from bertspace.data.labels import code_known, code_labels, label_name, model_labels, parse_names
from bertspace.data.tables import Table
from bertspace.errors import DataError, Remedy
from bertspace.schema import TrainConfig
from bertspace.tasks.base import distinct
from tests.support.data import config_of, put, refusal, some_rows


def a_table(*labels: Any, names: tuple[str, ...] = ()) -> Table:
    frame = pd.DataFrame({"text": [f"text {place}" for place in range(len(labels))], "label": list(labels)})
    return Table("new.csv", frame, {"label": names} if names else {})


def known(names: tuple[str, ...], *labels: Any, brought: tuple[str, ...] = ()) -> tuple[list[int], list[str]]:
    """The codes of the labels among a model's names, and the findings."""
    findings: list[str] = []
    return code_known(a_table(*labels, names=brought), "label", names, findings), findings


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1.0", "1"),
        ("01", "01"),
        (True, "True"),
        ("1.5", "1.5"),
        (1e18, "1" + "0" * 18),
    ],
)
def test_a_label_is_its_name_however_the_number_is_written(value: Any, name: str) -> None:
    assert label_name(value) == name


@pytest.mark.parametrize("labels", [(1.0, 3.0), (1, 3), ("1.0", "3.00"), ("1", "3")])
def test_a_number_is_a_name_where_the_models_labels_are_numbers(labels: tuple) -> None:
    assert known(("1", "2", "3"), *labels) == ([0, 2], [])
    assert known(("-1", "0", "1", "3"), *labels) == ([2, 3], [])


def test_a_number_is_a_place_among_words_alone_and_that_is_said() -> None:
    said = "The numbers in the column 'label' are places among the model's labels: 0 is 'neg', 1 is 'pos'."
    assert known(("neg", "pos"), 1, 0.0) == ([1, 0], [said])
    assert known(("LABEL_0", "LABEL_1"), "1")[0] == [1]
    assert known(("False", "True"), 0, 1)[0] == [0, 1]
    assert known(("False", "True"), False, True) == ([0, 1], [])
    with pytest.raises(
        DataError, match="The label in row 2 of new.csv is 2; the model's labels go from 0 to 1"
    ):
        known(("neg", "pos"), 0, 2)
    with pytest.raises(
        DataError, match="The label '4' in row 2 of new.csv is none of the model's; known: 1, 2"
    ):
        known(("1", "2"), 1, 4)


def test_names_that_the_data_brings_name_its_numbers() -> None:
    said = "The numbers in the column 'label' go by the names that the data brings: 0 is 'pos', 1 is 'neg'."
    assert known(("neg", "pos"), 0, 1, brought=("pos", "neg")) == ([1, 0], [said])
    assert known(("0", "1"), 0, 1, brought=("pos", "neg"))[0] == [0, 1]


def test_an_unknown_label_that_looks_like_a_known_one_is_told_so() -> None:
    with pytest.raises(DataError) as caught:
        known(("False", "True"), "false")
    assert caught.value.hint == "Write it as 'False': the two differ in case or blanks only."


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("Spam", "spam"), "'Spam' and 'spam' differ in case or blanks only"),
        (("not  spam", "not spam"), "'not  spam' and 'not spam' differ in case or blanks only"),
        (
            (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")),
            "'cafe\\u0301' and 'caf\\xe9' differ in how accents are stored only (composed or not)",
        ),
        (("yes", "yes\u200b"), "'yes' and 'yes\\u200b' differ in characters that do not show"),
        (("ABC", "ＡＢＣ"), "'ABC' and 'ＡＢＣ' differ in the width or the form of their characters only"),
        (("FALSE", "0"), "'0' and 'FALSE' are alike"),
        (("01", "1"), "'01' and '1' are alike"),
    ],
)
def test_labels_that_look_alike_are_found(tmp_path: Path, labels: tuple, said: str) -> None:
    put(tmp_path, "train.csv", some_rows(90, labels=(*labels, "other")))
    splits = load_splits(config_of(tmp_path))
    assert len(splits.label_names) == 3
    assert splits.findings == (f"The labels {said}; they count as different.",)


def test_numbers_that_are_written_in_two_ways_count_as_one_and_that_is_said(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(90, labels=("1", "1.0", "2")))
    splits = load_splits(config_of(tmp_path))
    assert splits.label_names == ("1", "2")
    assert splits.findings == ("The labels '1' and '1.0' count as one, '1'.",)


@pytest.mark.parametrize(
    "labels",
    [
        ("['joy']", "['joy', 'anger']"),
        ("joy", "anger", "joy;anger"),
        ("joy|anger", "joy", "anger|fear", "fear", "anger"),
    ],
)
def test_several_labels_in_a_cell_are_found(tmp_path: Path, labels: tuple) -> None:
    put(tmp_path, "train.csv", some_rows(100, labels=labels))
    (finding,) = load_splits(config_of(tmp_path)).findings
    assert "looks like several labels a row; only one label a row can be learned here" in finding


def test_names_with_a_comma_alone_are_no_lists(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(60, labels=("Food, drinks", "Sports", "Arts and crafts")))
    assert load_splits(config_of(tmp_path)).findings == ()


def test_columns_of_yes_and_no_are_several_labels_a_row(tmp_path: Path) -> None:
    hot = {name: [place // step % 2 for place in range(40)] for step, name in ((1, "joy"), (2, "fear"))}
    put(tmp_path, "train.csv", {"text": some_rows()["text"]} | hot)
    with pytest.raises(DataError, match="'joy', 'fear' say yes or no each.*several labels a row") as caught:
        load_splits(config_of(tmp_path))
    assert caught.value.remedies[0] == Remedy("Take 'joy' as the label", (("label_column", "joy"),))
    (finding,) = load_splits(config_of(tmp_path, label_column="joy")).findings
    assert "The columns 'joy', 'fear' say yes or no each" in finding


def test_missing_labels_can_be_left_out(tmp_path: Path) -> None:
    rows = some_rows()
    rows["label"][16] = rows["label"][20] = ""
    put(tmp_path, "train.csv", rows)
    with pytest.raises(DataError) as caught:
        load_splits(config_of(tmp_path))
    (remedy,) = caught.value.remedies
    assert remedy == Remedy("Leave these rows out", (("unlabelled_rows", "leave out"),))
    splits = load_splits(config_of(tmp_path, **dict(remedy.settings)))
    assert (len(splits.train) + len(splits.validation), splits.label_names) == (38, ("no", "yes"))
    assert splits.findings == ("2 rows were left out of train.csv for want of a label.",)
    rows["label"][20], rows["label"][30] = "a", "a"
    rows["text"][30] = " "
    put(tmp_path, "train.csv", rows)  # the numbers of the rows after it are still the file's
    assert "no text in row 31" in refusal(config_of(tmp_path, unlabelled_rows="leave out"))


def test_names_beside_the_numbers_are_offered(tmp_path: Path) -> None:
    rows = some_rows(labels=(0, 1))
    put(tmp_path, "train.csv", rows | {"label_text": ["bad", "good"] * 20})
    splits = load_splits(config_of(tmp_path))
    said = "The column 'label_text' names the numbers in 'label': 0 is 'bad', 1 is 'good'; it is not used."
    assert splits.findings == (said,)
    (remedy,) = splits.remedies
    assert remedy.settings == (("label_names", "bad,good"),)
    assert load_splits(config_of(tmp_path, **dict(remedy.settings))).label_names == ("bad", "good")
    rows = some_rows(labels=(3, 5))
    put(tmp_path, "train.csv", rows | {"label_text": ["bad", "good"] * 20})
    (remedy,) = load_splits(config_of(tmp_path)).remedies
    assert remedy.settings == (("label_column", "label_text"),)
    put(tmp_path, "train.csv", rows | {"label_text": ["bad", "good", "bad", "bad"] * 10})
    assert load_splits(config_of(tmp_path)).findings == ()


def test_columns_of_a_test_file_may_differ_from_the_trainings_in_case(tmp_path: Path) -> None:
    texts, labels = some_rows().values()
    put(tmp_path, "train.csv", {"text": texts, "label": labels})
    put(tmp_path, "test.csv", {"Label": labels[:9], "TEXT": texts[:9], "id": list(range(9))})
    splits = load_splits(config_of(tmp_path, test_file="test.csv"))
    assert splits.test is not None and splits.test["text"].tolist() == texts[:9]
    said = "The column 'TEXT' of test.csv is read as 'text'."
    assert splits.findings[:2] == (said, "The column 'Label' of test.csv is read as 'label'.")
    put(tmp_path, "test.csv", {"Label": labels[:9], "TEXT": texts[:9], "Text": texts[:9]})
    assert refusal(config_of(tmp_path, test_file="test.csv")).startswith("No column 'text' in test.csv")


@pytest.mark.parametrize(
    ("label", "other"), [("label", "sentiment"), ("target", "target_names"), ("class", "class_label")]
)
def test_a_column_of_words_that_goes_with_the_numbers_is_offered(
    tmp_path: Path, label: str, other: str
) -> None:
    texts, numbers = some_rows(labels=(0, 1)).values()
    put(tmp_path, "train.csv", {"text": texts, label: numbers, "id": list(range(40)), other: ["a", "b"] * 20})
    (remedy,) = load_splits(config_of(tmp_path, label_column=label)).remedies
    assert remedy == Remedy(f"Name the labels by {other!r}", (("label_names", "a,b"),))
    put(tmp_path, "train.csv", {"text": texts, label: numbers, other: ["x", *["a", "b"] * 19, "y"]})
    assert load_splits(config_of(tmp_path, label_column=label)).remedies == ()


def test_names_in_a_parquets_schema_are_used(tmp_path: Path) -> None:
    import datasets

    kinds = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])}
    whole = datasets.Dataset.from_dict(some_rows(labels=(0, 1)), features=datasets.Features(kinds))
    whole.to_parquet(tmp_path / "train.parquet")
    splits = load_splits(config_of(tmp_path, train_file="train.parquet"))
    assert splits.label_names == ("pos", "neg")
    said = "The numbers in the column 'label' go by the names that the data brings: 0 is 'pos', 1 is 'neg'."
    assert splits.findings == (said,)


def test_the_exact_name_of_a_column_wins_and_the_other_is_offered(tmp_path: Path) -> None:
    rows = some_rows()
    put(tmp_path, "train.csv", {"Text": ["junk"] * 40} | rows)
    splits = load_splits(config_of(tmp_path))
    assert splits.train["text"].nunique() > 30
    assert splits.findings == ("train.csv has the columns 'text' and 'Text': 'text' is read.",)
    assert splits.remedies == (Remedy("Read 'Text'", (("text_column", "Text"),)),)


def test_numbers_and_dates_beside_the_text_are_not_taken_for_the_label(tmp_path: Path) -> None:
    rows = some_rows()
    days = [f"2024-01-{place:02}" for place in range(40)]
    put(tmp_path, "train.csv", {"date": days, "text": rows["text"], "kind": rows["label"]})
    splits = load_splits(config_of(tmp_path))
    assert splits.label_names == ("no", "yes")
    assert splits.findings == ("The column 'kind' of train.csv is taken for the label.",)
    put(tmp_path, "train.csv", {"id": list(range(40)), "text": rows["text"]})
    assert refusal(config_of(tmp_path)) == "No column of train.csv looks like the label; found: id, text."


@pytest.mark.parametrize("names", [("01", "02", "03"), ("1.", "2.", "3."), ("+1", "-1", "x"), ("1e0", "2e0")])
@pytest.mark.parametrize("label", ["1", 1, 1.0])
def test_a_number_is_no_place_among_names_that_are_numbers_however_written(
    names: tuple[str, ...], label: Any
) -> None:
    with pytest.raises(DataError, match="The label '1' in row 1 of new.csv is none of the model's") as caught:
        known(names, label, label)
    assert caught.value.hint == f"Write it as {names[0]!r}: the two are alike."


def refused_test_labels(train: tuple[str, ...], *labels: Any) -> str:
    """The advice where a test part has these labels beside a training part."""
    with pytest.raises(DataError) as caught:
        code_labels([a_table(*train, *train), a_table(*labels)], "label", (), [])
    return caught.value.hint


def test_a_number_that_a_name_has_in_it_is_no_place_of_another() -> None:
    stars = ("1 star", "2 stars", "3 stars")
    with pytest.raises(DataError, match="The label '1' in row 1 of new.csv is none of") as caught:
        known(stars, 1, 2)
    assert caught.value.hint == "Write it as '1 star', if that is meant."
    said = "places among the model's labels: 0 is '1 star', 2 is '3 stars'."
    assert refused_test_labels(stars, "1") == "Write it as '1 star', if that is meant."
    codes, (finding,) = known(stars, 0, 2)
    assert codes == [0, 2] and finding.endswith(said)
    assert known(("LABEL_0", "LABEL_1"), 1, 1)[0] == [1, 1]


def test_what_programs_write_for_a_missing_value_is_a_label_and_told(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(labels=("nan", "yes", "no", "N/A")))
    findings = load_splits(config_of(tmp_path)).findings
    assert findings[0].startswith("What programs write where a value is missing is a label like the others")
    assert "'N/A' and 'nan'." in findings[0]
    put(tmp_path, "train.csv", some_rows(labels=("nano", "yes")))
    assert not load_splits(config_of(tmp_path)).findings


def test_a_whole_number_with_an_exponent_is_refused_as_what_it_is(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(labels=("1e+05", "200000")))
    with pytest.raises(DataError, match=r"row 1 of train.csv is 1e\+05, a number with an exponent") as caught:
        load_splits(config_of(tmp_path))
    assert caught.value.hint == "Write whole numbers out: 100000."


@pytest.mark.parametrize("spelled", ["+1", "01", "1.", "1.0", "1e0", "+1.00"])
def test_spellings_of_one_number_look_alike(spelled: str) -> None:
    assert alike.looks(spelled) == alike.looks("1") != alike.looks("-1")
    assert alike.looks("\N{MINUS SIGN}1") == alike.looks("-1.0") == alike.looks("-01")
    assert alike.looks("1.5") != alike.looks("1") and alike.looks("10") != alike.looks("1")


def test_two_outputs_of_one_name_are_kept_apart() -> None:
    assert distinct(["a", "b", "a", "a (2)", "a"]) == ("a", "b", "a (3)", "a (2)", "a (4)")
    assert model_labels({"id2label": {"1": "x", "0": "x", "10": "y"}}) == ("x", "x (2)", "y")


@pytest.mark.parametrize("label", ["0" * 300_000 + "x", "[" + "," * 300_000, "a" + "\u0300\u0323" * 20_000])
def test_a_label_that_no_model_can_have_is_refused_before_it_is_looked_at(tmp_path: Path, label: str) -> None:
    file = tmp_path / "a.jsonl"
    rows = [{"text": str(place), "label": each} for place, each in enumerate([label, "b"] * 6)]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    begun = time.process_time()
    with pytest.raises(DataError, match=r"The label in row 1 of a.jsonl has \d+,\d+ characters"):
        load_splits(TrainConfig(train_file=str(file)))
    with pytest.raises(DataError, match="label_names has a name of"):
        parse_names(json.dumps([label, "b"]))
    assert time.process_time() - begun < 2


def test_names_are_told_to_be_lists_in_no_time() -> None:
    begun = time.process_time()
    assert alike.several(["[" + "," * 400 + "a"] * 50 + ["['b']", "{c, d}", "(e)"]) == alike.several(
        ["['b']", "{c, d}"]
    )
    assert alike.looks("0" * 500 + "x") == "0" * 500 + "x" and alike.looks("007") == "7"
    assert time.process_time() - begun < 1
