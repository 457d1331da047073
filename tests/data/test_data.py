"""Data -> splits: columns, labels, splitting, findings, the Hub, and the way into a run folder and back."""

import io
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertspace.data import Splits, guess_columns, label_counts, load_splits, run_config, write_splits
from bertspace.data.labels import join_names, natural, parse_names
from bertspace.data.splitting import draw_rows
from bertspace.errors import ConfigError, DataError, HubError
from bertspace.schema import TrainConfig
from tests.support.data import config_of, put, refusal, some_rows, some_texts


def assert_same(one: Splits, other: Splits) -> None:
    for part in ("train", "validation", "test"):
        first, second = getattr(one, part), getattr(other, part)
        assert (first is None) == (second is None)
        if first is not None:
            pd.testing.assert_frame_equal(first, second)
    assert (one.label_names, one.source, one.findings) == (other.label_names, other.source, other.findings)


# Columns


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("sentence_source label label_notes sentence", ("sentence", "", "label")),
        ("label id1 id2 sentence1 sentence2", ("sentence1", "sentence2", "label")),
        ("id qid1 qid2 question1 question2 is_duplicate", ("question1", "question2", "is_duplicate")),
        ("premise hypothesis label", ("premise", "hypothesis", "label")),
        ("text pair label", ("text", "pair", "label")),
        ("text label rating review_id", ("text", "", "label")),
        ("Review Sentiment", ("Review", "", "Sentiment")),
        ("title text stars", ("text", "", "stars")),
        ("id utterance intent", ("utterance", "", "intent")),
        ("a b", ("", "", "")),
    ],
)
def test_columns_are_guessed_by_their_names(columns: str, expected: tuple[str, str, str]) -> None:
    text, pair, label = expected
    assert guess_columns(columns.split(), ("text", "pair", "label")) == {
        "text_column": text,
        "pair_column": pair,
        "label_column": label,
    }
    assert guess_columns(columns.split(), ("text",)) == {
        "text_column": text,
        "pair_column": "",
        "label_column": "",
    }


def test_without_known_names_the_longest_texts_and_the_column_left_over_are_taken(tmp_path: Path) -> None:
    rows = some_rows()
    put(tmp_path, "train.csv", {"kind": rows["label"], "what was said": rows["text"]})
    splits = load_splits(config_of(tmp_path))
    assert splits.label_names == ("no", "yes")
    assert splits.train["text"].str.len().min() > 5


def test_a_text_column_named_alone_means_single_texts(tmp_path: Path) -> None:
    rows = some_rows()
    put(tmp_path, "train.csv", {"sentence1": rows["text"], "sentence2": rows["text"], "label": rows["label"]})
    assert "pair" in load_splits(config_of(tmp_path)).train
    assert "pair" not in load_splits(config_of(tmp_path, text_column="sentence2")).train
    backwards = load_splits(config_of(tmp_path, pair_column="sentence1")).train
    assert list(backwards.columns) == ["text", "pair", "label"]
    named = load_splits(config_of(tmp_path, text_column="sentence2", pair_column="sentence1")).train
    assert list(named.columns) == ["text", "pair", "label"]


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", {"id": [1, 2], "review": ["a", "b"]})
    assert (
        refusal(config_of(tmp_path, text_column="text"))
        == "No column 'text' in train.csv; found: id, review."
    )
    put(tmp_path, "train.csv", {"id": [1, 2], "review": ["a", "b"], "year": [3, 4]})
    message = "No column of train.csv looks like the label; found: id, review, year."
    assert refusal(config_of(tmp_path)) == message


def test_a_column_cannot_be_text_and_label(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows())
    assert "two things at once" in refusal(config_of(tmp_path, text_column="label", label_column="label"))


def test_a_validation_file_needs_the_same_columns(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows())
    put(tmp_path, "valid.csv", {"text": ["a"], "kind": ["no"]})
    message = "No column 'label' in valid.csv; found: text, kind."
    assert refusal(config_of(tmp_path, validation_file="valid.csv")) == message


# Texts


def test_numbers_become_texts_and_lists_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train.parquet", some_rows(text=list(range(40))))
    config = config_of(tmp_path, train_file="train.parquet", text_column="text")
    splits = load_splits(config)
    assert set(splits.train["text"]) | set(splits.validation["text"]) == {str(i) for i in range(40)}
    put(tmp_path, "train.parquet", some_rows(text=[["a", "b"]] * 40))
    assert refusal(config).startswith("Row 1 of train.parquet has a ndarray in the column 'text'")
    put(tmp_path, "train.parquet", some_rows(text=[b"a"] * 40))
    assert refusal(config).startswith("Row 1 of train.parquet has a bytes in the column 'text'")


def test_blank_texts_are_refused_with_their_rows(tmp_path: Path) -> None:
    rows = some_rows()
    for row in (3, 5, 6, 7, 8, 9, 40):
        rows["text"][row - 1] = "  " if row % 2 else ""
    put(tmp_path, "train.csv", rows)
    message = "train.csv has no text in rows 3, 5, 6, 7, 8 and 2 more (column 'text')."
    assert refusal(config_of(tmp_path)) == message


def test_words_for_nothing_stay_texts_and_labels(tmp_path: Path) -> None:
    rows = some_rows(labels=("None", "null"))
    rows["text"][:3] = ["NA", "nan", "null"]
    put(tmp_path, "train.csv", rows)
    splits = load_splits(config_of(tmp_path))
    assert splits.label_names == ("None", "null")
    assert {"NA", "nan", "null"} <= {*splits.train["text"], *splits.validation["text"]}


def test_blank_lines_of_documents_are_left_out_as_a_finding(tmp_path: Path) -> None:
    (tmp_path / "sea.txt").write_text("\n\n".join(some_texts(30)))
    splits = load_splits(config_of(tmp_path, task="fill-mask", train_file="sea.txt"))
    assert splits.findings == ("29 blank rows of sea.txt were left out.",)
    assert sorted([*splits.train["text"], *splits.validation["text"]]) == sorted(some_texts(30))
    assert list(splits.train.columns) == ["text"]
    assert (len(splits.train), len(splits.validation), splits.label_names) == (27, 3, ())


def test_documents_need_no_label_and_may_come_from_files_of_two_kinds(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", {"content": some_texts(12), "label": ["a"] * 12})
    (tmp_path / "valid.txt").write_text("one\n")
    splits = load_splits(config_of(tmp_path, task="fill-mask", validation_file="valid.txt"))
    assert splits.validation.to_dict("list") == {"text": ["one"]}
    assert len(splits.train) == 12


# Labels


@pytest.mark.parametrize(
    ("labels", "given", "expected"),
    [
        (("b", "a10", "a2"), "", ("a2", "a10", "b")),
        (("b", "a"), "b,a", ("b", "a")),
        ((3, 1), "", ("1", "3")),
        ((10, 9, -1), "", ("-1", "9", "10")),
        ((1.0, 0.0), "", ("0", "1")),
        (("1", "0"), "bad, good", ("bad", "good")),
        ((1, 0), '["bad, really", "good"]', ("bad, really", "good")),
        ((True, False), "", ("False", "True")),
        ((True, False), "no,yes", ("no", "yes")),
        (("007", "7"), "", ("007", "7")),
        (("1.5", "x"), "", ("1.5", "x")),
        (("9" * 400, "2"), "", ("2", "9" * 400)),
        ((f"a{'9' * 400}", "a10"), "", ("a10", f"a{'9' * 400}")),
    ],
)
@pytest.mark.parametrize("file", ["train.jsonl", "train.parquet"])
def test_labels_become_indices_into_their_names(
    tmp_path: Path, file: str, labels: tuple, given: str, expected: tuple[str, ...]
) -> None:
    put(tmp_path, file, some_rows(labels=labels))
    splits = load_splits(config_of(tmp_path, train_file=file, label_names=given))
    assert splits.label_names == expected
    assert splits.train["label"].dtype == np.int64
    by_text = dict(zip(splits.train["text"], splits.train["label"], strict=True))
    for text, label in zip(some_texts(40), some_rows(labels=labels)["label"], strict=True):
        if text in by_text:
            if given and not isinstance(label, str) or label in ("0", "1"):
                name = expected[int(label)]
            else:
                name = str(int(label)) if isinstance(label, float) else str(label)
            assert expected[by_text[text]] == name


def test_every_label_is_counted_also_those_without_rows() -> None:
    assert label_counts(pd.DataFrame({"label": [1, 1, 0]}), ("a", "b", "c")) == {"a": 1, "b": 2, "c": 0}


def test_missing_labels_are_refused_with_their_rows(tmp_path: Path) -> None:
    rows = some_rows()
    rows["label"][16] = rows["label"][20] = None
    put(tmp_path, "train.jsonl", rows)
    message = "train.jsonl has no label in rows 17 and 21 (column 'label')."
    assert refusal(config_of(tmp_path, train_file="train.jsonl")) == message
    put(tmp_path, "train.parquet", rows)
    assert "rows 17 and 21" in refusal(config_of(tmp_path, train_file="train.parquet"))
    put(tmp_path, "train.csv", rows)
    assert "rows 17 and 21" in refusal(config_of(tmp_path))


@pytest.mark.parametrize(
    ("labels", "given", "says"),
    [
        (("same",), "", "All 40 rows of train.csv have one label: 'same' (column 'label')."),
        (
            (0, 1, 2.5),
            "",
            "The label in row 3 of train.csv is 2.5, a number with a fraction (column 'label').",
        ),
        (
            (0, 1, 2),
            "a,b",
            "The label in row 3 of train.csv is 2; the label names go from 0 to 1 ('a, b').",
        ),
        (("a", "c"), "a,b", "The label 'c' in row 2 of train.csv is none of label_names; known: a, b."),
        (("a", "b"), "a,,b", "label_names has an empty name: 'a,,b'."),
        (("a", "b"), "a,a", "label_names has 'a' twice."),
        (("a", "b"), "[a,b", "label_names is '[a,b'."),
        (("a", "b"), f"[{'9' * 5000}]", f"label_names is '[{'9' * 38}…'."),
        (("a", "b"), "[" * 200_000, f"label_names is '{'[' * 39}…'."),
        (
            tuple(range(100, 120)),
            "",
            "The label column 'label' of train.csv has 20 different values in 40 rows, '100' for one: "
            "it looks like a number or free text.",
        ),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(
    tmp_path: Path, labels: tuple, given: str, says: str
) -> None:
    rows = some_rows(labels=labels)
    rows["label"] = [str(label) for label in rows["label"]]
    put(tmp_path, "train.csv", rows)
    assert refusal(config_of(tmp_path, label_names=given)) == says


def test_more_than_a_thousand_labels_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(4004, labels=tuple(f"word{i}" for i in range(1001))))
    assert "1,001 different values in 4,004 rows" in refusal(config_of(tmp_path))


def test_a_list_as_label_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "train.jsonl", some_rows(labels=(["a"], ["b"])))
    message = "Row 1 of train.jsonl has a list as its label (column 'label'): \"['a']\"."
    assert refusal(config_of(tmp_path, train_file="train.jsonl")) == message


@pytest.mark.parametrize(
    ("labels", "strange"), [(("no", "yes"), "maybe"), (("0", "1"), "2"), (("0", "1"), "maybe")]
)
@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_label_that_training_lacks_is_named(tmp_path: Path, part: str, labels: tuple, strange: str) -> None:
    put(tmp_path, "train.csv", some_rows(labels=labels))
    put(tmp_path, "other.csv", {"text": ["x", "y"], "label": [labels[0], strange]})
    message = f"The label '{strange}' in row 2 of other.csv stands in no row of train.csv; known: "
    assert refusal(config_of(tmp_path, **{f"{part}_file": "other.csv"})) == f"{message}{', '.join(labels)}."


def test_a_named_label_without_training_rows_is_a_finding_unless_it_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(labels=(0, 1)))
    splits = load_splits(config_of(tmp_path, label_names="a,b,c"))
    assert splits.label_names == ("a", "b", "c")
    assert splits.findings == (
        "The numbers in the column 'label' are places among the label names: 0 is 'a', 1 is 'b'.",
        "Labels with fewer than 10 training rows are rarely learned: 'c' 0.",
    )
    put(tmp_path, "test.csv", {"text": ["x"], "label": [2]})
    message = "The label 'c' in row 1 of test.csv stands in no row of train.csv; known: a, b."
    assert refusal(config_of(tmp_path, label_names="a,b,c", test_file="test.csv")) == message


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
        unique=True,
        min_size=2,
    )
)
def test_any_names_survive_being_joined_and_parsed(names: list[str]) -> None:
    assert parse_names(join_names(names)) == tuple(names)
    assert sorted(sorted(names, key=natural), key=natural) == sorted(reversed(names), key=natural)


# Splitting


def test_a_tenth_is_held_out_with_every_label_s_share(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(200, labels=("a", "a", "a", "b")))
    splits = load_splits(config_of(tmp_path))
    assert label_counts(splits.train, splits.label_names) == {"a": 135, "b": 45}
    assert label_counts(splits.validation, splits.label_names) == {"a": 15, "b": 5}
    assert set(splits.train["text"]) & set(splits.validation["text"]) == set()
    assert_same(splits, load_splits(config_of(tmp_path)))
    assert set(load_splits(config_of(tmp_path, seed=1)).validation["text"]) != set(splits.validation["text"])


@given(
    counts=st.lists(st.integers(2, 30), min_size=1, max_size=12),
    share=st.floats(0.01, 0.5),
    seed=st.integers(0, 2**31),
)
def test_any_labels_with_two_rows_each_can_be_split(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    wanted = min(max(int(np.ceil(share * len(labels))), len(counts)), len(labels) - len(counts))
    drawn = draw_rows(labels, wanted, seed, spare=1)
    held = np.bincount(labels[drawn], minlength=len(counts))
    assert len(set(drawn.tolist())) == wanted
    assert (held >= 1).all() and (held < np.array(counts)).all()
    exact = wanted * np.array(counts) / len(labels)
    if (exact >= 1).all() and (exact <= np.array(counts) - 1).all():
        assert (np.abs(held - exact) < 1).all()


def test_ten_rows_of_two_labels_are_enough(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(10))
    splits = load_splits(config_of(tmp_path))
    assert label_counts(splits.validation, splits.label_names) == {"no": 1, "yes": 1}


@pytest.mark.parametrize("task", ["text-classification", "fill-mask"])
def test_too_few_rows_to_split_are_refused_but_not_with_a_validation_file(tmp_path: Path, task: str) -> None:
    put(tmp_path, "train.csv", some_rows(9))
    message = "train.csv has 9 rows with a text, too few to hold out some for validation."
    assert refusal(config_of(tmp_path, task=task)) == message
    assert len(load_splits(config_of(tmp_path, task=task, validation_file="train.csv")).train) == 9


def test_a_label_with_one_row_is_named_with_it(tmp_path: Path) -> None:
    rows = some_rows()
    rows["label"][16] = "x"
    put(tmp_path, "train.csv", rows)
    message = "The label 'x' stands in one row only (row 17 of train.csv): "
    assert refusal(config_of(tmp_path)) == message + "there is none to hold out for validation."


def test_a_sample_of_the_training_rows_is_drawn_after_the_split(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(200, labels=("a", "a", "a", "b")))
    whole, drawn = load_splits(config_of(tmp_path)), load_splits(config_of(tmp_path, max_train_rows=40))
    pd.testing.assert_frame_equal(whole.validation, drawn.validation)
    assert label_counts(drawn.train, drawn.label_names) == {"a": 30, "b": 10}
    assert set(drawn.train["text"]) < set(whole.train["text"])
    assert len(load_splits(config_of(tmp_path, max_train_rows=40, task="fill-mask")).train) == 180
    with pytest.raises(ConfigError, match="max_train_rows is 1, and there are 2 labels"):
        load_splits(config_of(tmp_path, max_train_rows=1))


# Findings


def test_repeats_overlaps_contradictions_and_rare_labels_are_found(tmp_path: Path) -> None:
    rows = some_rows(40, labels=("a", "a", "a", "a", "a", "a", "a", "B"))
    rows["text"][2], rows["text"][7] = rows["text"][1], rows["text"][6]
    rows["label"][12] = " a "
    put(tmp_path, "train.csv", rows)
    put(tmp_path, "valid.csv", {"text": [rows["text"][0], "new"], "label": ["a", "B"]})
    put(tmp_path, "test.csv", {"text": [rows["text"][0], "new"], "label": ["a", "B"]})
    splits = load_splits(config_of(tmp_path, validation_file="valid.csv", test_file="test.csv"))
    assert splits.source == "train.csv"
    assert splits.findings == (
        "Blanks around the labels of 1 row of train.csv were taken off.",
        "2 of the 40 training rows repeat the text of another one.",
        "1 training texts stand there again with another label.",
        "1 of the 2 validation rows are among the training rows too, which flatters the score.",
        "1 of the 2 test rows are among the training rows too, which flatters the score.",
        "Labels with fewer than 10 training rows are rarely learned: 'B' 5.",
    )


def test_labels_alike_but_for_case_are_found(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(90, labels=("Spam", "spam ", "ham")))
    splits = load_splits(config_of(tmp_path))
    assert splits.label_names == ("ham", "Spam", "spam")
    assert splits.findings == (
        "Blanks around the labels of 30 rows of train.csv were taken off.",
        "The labels 'Spam' and 'spam' differ in case or blanks only; they count as different.",
    )


# Which data


def test_no_data_and_two_sources_are_refused() -> None:
    assert refusal(TrainConfig()) == "No data is named."
    message = "Both the data set sample:office and the file train.csv are named."
    assert refusal(TrainConfig(dataset="sample:office", train_file="some/train.csv")) == message


def test_an_unknown_sample_names_the_known_ones() -> None:
    with pytest.raises(DataError, match="no sample 'x'.*sample:office or sample:pairs or sample:lighthouse"):
        load_splits(TrainConfig(dataset="sample:x"))


def test_a_missing_file_is_named_as_it_was_typed(tmp_path: Path) -> None:
    assert refusal(config_of(tmp_path, train_file="sub/train.csv")) == "There is no file sub/train.csv."


# Run folders


@pytest.mark.parametrize("labels", [("no", "yes"), ("a, b", "[c]"), (3, 7), (True, False), ("x", "y", "z")])
@pytest.mark.parametrize("pair", [False, True])
def test_a_run_folder_gives_the_same_splits_again(tmp_path: Path, labels: tuple, pair: bool) -> None:
    extra = {"pair": some_texts(60)[::-1]} if pair else {}
    put(tmp_path, "data.jsonl", some_rows(60, labels=labels, **extra))
    put(
        tmp_path,
        "test.jsonl",
        some_rows(6, labels=labels, **{name: each[:6] for name, each in extra.items()}),
    )
    config = config_of(
        tmp_path,
        train_file="data.jsonl",
        test_file="test.jsonl" if pair else "",
        max_train_rows=len(labels) + 1,
    )
    splits = load_splits(config)
    run = tmp_path / "run"
    write_splits(splits, run / "data")
    kept = run_config(config, splits)
    assert str(tmp_path) not in json.dumps(kept.to_dict())
    assert_same(load_splits(replace(kept, data_dir=str(run))), splits)
    assert TrainConfig.from_dict(kept.to_dict()) == kept
    again = load_splits(replace(kept, data_dir=str(run)))
    assert run_config(kept, again) == kept
    files = ["source.json", "train.parquet", "validation.parquet"]
    assert sorted(path.name for path in (run / "data").iterdir()) == sorted(
        [*files, *["test.parquet"][:pair]]
    )


def test_a_run_folder_of_documents_gives_the_same_splits_again(tmp_path: Path) -> None:
    (tmp_path / "sea.txt").write_text("\n\n".join(some_texts(30)))
    config = config_of(tmp_path, task="fill-mask", train_file="sea.txt", max_train_rows=5)
    splits = load_splits(config)
    write_splits(splits, tmp_path / "run" / "data")
    kept = run_config(config, splits)
    assert (kept.text_column, kept.label_column, kept.label_names) == ("text", "", "")
    assert_same(load_splits(replace(kept, data_dir=str(tmp_path / "run"))), splits)


def test_source_json_counts_rows_and_labels(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", some_rows(20))
    splits = load_splits(config_of(tmp_path))
    write_splits(splits, tmp_path / "data")
    assert json.loads((tmp_path / "data" / "source.json").read_text()) == {
        "source": "train.csv",
        "findings": ["Labels with fewer than 10 training rows are rarely learned: 'no' 9, 'yes' 9."],
        "origin": asdict(splits.origin),
        "columns": {"text": "text", "pair": "", "label": "label"},
        "rows": {"train": 18, "validation": 2},
        "labels": {"train": {"no": 9, "yes": 9}, "validation": {"no": 1, "yes": 1}},
    }


def test_another_program_s_source_json_is_let_be(tmp_path: Path) -> None:
    put(tmp_path, "train.parquet", some_rows())
    (tmp_path / "source.json").write_text("[1]")
    assert load_splits(config_of(tmp_path, train_file="train.parquet")).source == "train.parquet"


# The Hub


@pytest.fixture
def rows_on_hub(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What puts owner/name on a Hub of our own, with the splits train, validation and test."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(**columns: list) -> None:
        names = {"label": datasets.ClassLabel(names=["bad, really", "good"])}
        kinds = {"text": datasets.Value("string"), "idx": datasets.Value("int64")} | names
        rows = some_rows(60, labels=(0, 1), idx=list(range(60))) | columns
        whole = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
        hub.user("owner")
        for split, (begin, end) in {"train": (0, 40), "validation": (40, 50), "test": (50, 60)}.items():
            content = io.BytesIO()
            whole.select(range(begin, end)).to_parquet(content)
            hub.put("owner/name", {f"data/{split}-0.parquet": content.getvalue()}, kind="dataset")

    return put


def test_a_hub_data_set_brings_its_validation_split_and_label_names(rows_on_hub: Any) -> None:
    rows_on_hub()
    splits = load_splits(TrainConfig(dataset="owner/name", dataset_config="default"))
    assert splits.source == "owner/name (default)"
    assert splits.label_names == ("bad, really", "good")
    assert splits.train["text"].tolist() == some_texts(40)
    assert splits.train["label"].tolist() == [0, 1] * 20
    assert (len(splits.validation), splits.test) == (10, None)


def test_hub_splits_are_taken_by_name_and_part(rows_on_hub: Any) -> None:
    rows_on_hub()
    config = TrainConfig(
        dataset="owner/name",
        train_split="train[:30]",
        validation_split="test",
        test_split="validation",
        label_names="a,b",
    )
    splits = load_splits(config)
    assert (len(splits.train), len(splits.validation)) == (30, 10)
    assert splits.test is not None and splits.test["text"].tolist() == some_texts(50)[40:]
    assert splits.label_names == ("a", "b")


def test_a_missing_split_or_configuration_names_those_there_are(rows_on_hub: Any) -> None:
    rows_on_hub()
    message = "owner/name has no split 'dev'; found: train, validation, test."
    assert refusal(TrainConfig(dataset="owner/name", validation_split="dev")) == message
    said = refusal(TrainConfig(dataset="owner/name", dataset_config="nope"))
    assert (
        "configuration nope cannot be loaded: BuilderConfig 'nope' not found. Available: ['default']" in said
    )


def test_hidden_labels_of_a_hub_split_are_missing_ones(rows_on_hub: Any) -> None:
    rows_on_hub(label=[0, 1] * 25 + [-1] * 10)
    message = "owner/name (test) has no label in any row (column 'label')."
    assert refusal(TrainConfig(dataset="owner/name", test_split="test")) == message


@pytest.mark.parametrize("name", ["../up", "/etc", "a/b/c", "a b", "a\\b", ".hidden", "a--b", "https://x/y"])
def test_what_is_no_data_set_s_name_is_refused_unasked(name: str) -> None:
    with pytest.raises(HubError, match="is no data set name|is not the Hub"):
        load_splits(TrainConfig(dataset=name))


def test_without_a_network_the_samples_are_offered_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(HubError, match="not among what was downloaded before.*sample:office"):
        load_splits(TrainConfig(dataset="nobody/nothing"))
    assert time.monotonic() - begun < 30


# Real data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "rows", "names"),
    [
        (
            {
                "data_dir": "cola",
                "train_file": "in_domain_train.tsv",
                "validation_file": "in_domain_dev.tsv",
                "test_file": "out_of_domain_dev.tsv",
                "label_names": "unacceptable,acceptable",
            },
            (8551, 527, 516),
            ("unacceptable", "acceptable"),
        ),
        (
            {
                "data_dir": "emotion",
                "train_file": "train.csv",
                "validation_file": "validation.csv",
                "test_file": "test.csv",
            },
            (16000, 2000, 2000),
            ("anger", "fear", "joy", "love", "sadness", "surprise"),
        ),
        ({"data_dir": "imdb", "train_file": "train.parquet"}, (22500, 2500, 0), ("0", "1")),
        (
            {
                "data_dir": "mrpc",
                "train_file": "train.csv",
                "validation_file": "dev.csv",
                "test_file": "test.csv",
            },
            (3668, 408, 1725),
            ("0", "1"),
        ),
        (
            {
                "data_dir": "sst2",
                "train_file": "train.csv.gz",
                "test_file": "dev.csv",
                "max_train_rows": 1000,
            },
            (1000, 6735, 872),
            ("0", "1"),
        ),
        (
            {
                "task": "fill-mask",
                "data_dir": "text",
                "train_file": "books_validation.parquet",
                "test_file": "wikitext2_test.txt.gz",
            },
            (4289, 477, 2891),
            (),
        ),
    ],
)
def test_the_public_data_sets_load(shared_data: Path, settings: dict, rows: tuple, names: tuple) -> None:
    splits = load_splits(TrainConfig(**settings | {"data_dir": str(shared_data / settings["data_dir"])}))
    test = 0 if splits.test is None else len(splits.test)
    assert (len(splits.train), len(splits.validation), test) == rows
    assert splits.label_names == names
    assert ("pair" in splits.train) == (settings["data_dir"] == "mrpc")
    if settings["data_dir"] == "cola":
        assert label_counts(splits.train, names) == {"unacceptable": 2528, "acceptable": 6023}


def test_messages_stay_short_whatever_labels_there_are(tmp_path: Path) -> None:
    long = ("a" * 500, "A" * 500)
    put(tmp_path, "train.csv", some_rows(40, labels=long))
    findings = " ".join(load_splits(config_of(tmp_path, train_file="train.csv")).findings)
    assert "differ in case" in findings and len(findings) < 500
    put(tmp_path, "validation.csv", some_rows(40, labels=(*long, "b" * 500)))
    assert len(refusal(config_of(tmp_path, train_file="train.csv", validation_file="validation.csv"))) < 500


def test_a_refusal_tells_what_was_guessed_before_it(tmp_path: Path) -> None:
    lines = "".join(f"the cake at table {place} was good,{place % 3}\n" for place in range(30))
    (tmp_path / "train.csv").write_text(f"text,2024\n{lines}")
    with pytest.raises(DataError, match="The label '2024' stands in one row only") as caught:
        load_splits(config_of(tmp_path))
    assert "train.csv has no header, as its first line is a row like the others" in caught.value.hint
    assert [each.settings for each in caught.value.remedies] == [(("header", "yes"),)]


def test_the_column_that_is_taken_for_the_text_is_told_where_its_name_does_not_say_so(tmp_path: Path) -> None:
    lines = [f"{place}\tthe cake is good {place}\tno, it is not {place}\t{place % 2}" for place in range(30)]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    findings = load_splits(config_of(tmp_path, train_file="train.tsv")).findings
    assert "The column 'column 2' of train.tsv is taken for the text." in findings
    assert "The column 'column 4' of train.tsv is taken for the label." in findings


@pytest.mark.parametrize(
    ("name", "start", "mark", "way"),
    [
        ("train.csv", "sep=;\n", ",", "comma"),
        ("train.txt", "", ";", "semicolon"),
        ("train.txt", "", "\t", "tab"),
        ("train.csv", "", "^", ""),
    ],
)
def test_lines_that_stayed_whole_are_told_what_can_separate_them(
    tmp_path: Path, name: str, start: str, mark: str, way: str
) -> None:
    lines = [f"text{mark}label", *(f"the cake is good {place}{mark}{'ab'[place % 2]}" for place in range(30))]
    (tmp_path / name).write_text(start + "\n".join(lines))
    with pytest.raises(DataError, match="No column of train.* looks like the label") as caught:
        load_splits(config_of(tmp_path, train_file=name))
    assert caught.value.hint.startswith(
        "Separate the parts of a line by commas, semicolons, tabs or vertical"
    )
    assert [each.settings for each in caught.value.remedies] == ([(("separator", way),)] if way else [])
    if way:
        assert load_splits(config_of(tmp_path, train_file=name, separator=way)).label_names == ("a", "b")
