"""Files as finished models read them: the columns and labels of the training, blank rows, rows seen twice."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertspace import data
from bertspace.data import run_data
from bertspace.data.columns import Columns
from bertspace.data.tables import Table
from bertspace.errors import DataError, Remedy
from bertspace.models import comparison, held_out
from bertspace.models.held_out import Trained
from bertspace.runs import Run
from bertspace.schema import TrainConfig
from tests.support.data import put, some_rows, some_texts
from tests.support.models import classifier

TITLES = Trained(Columns("title", "", "stars"), False)
PAIRS = Trained(Columns("one", "two", "label"), True)
CLASSIFY = TrainConfig()


def a_run(folder: Path, columns: dict[str, list], **settings: Any) -> Run:
    """A run on these rows, as it is submitted."""
    put(folder, "train.csv", columns)
    config = TrainConfig(train_file=str(folder / "train.csv"), **settings)
    splits = data.load_splits(config)
    fill = lambda path: data.write_splits(splits, path / "data")  # noqa: E731
    return Run.create(data.run_config(config, splits), fill=fill)


def picked(known: Trained, columns: list[str], labelled: bool = True, **settings: str) -> tuple[Columns, str]:
    frame = pd.DataFrame({name: [f"{name} {place}" for place in range(4)] for name in columns})
    config = TrainConfig(**settings)
    found, said = held_out.pick(known, config, Table("new.csv", frame), labelled=labelled)
    return found, " ".join(said)


def test_the_columns_of_the_training_are_read_and_named() -> None:
    assert picked(TITLES, ["text", "title", "label", "stars"]) == (
        Columns("title", "", "stars"),
        "Text: column 'title', as in the training; label: column 'stars', as in the training.",
    )
    assert picked(TITLES, ["text", "title"], labelled=False)[0] == Columns("title")
    assert picked(TITLES, ["text", "Title "], labelled=False)[0] == Columns("Title ")
    assert picked(PAIRS, ["text", "two", "one", "label"])[0] == Columns("one", "two", "label")


def test_a_column_that_is_asked_for_wins() -> None:
    found, said = picked(TITLES, ["text", "title", "label", "stars"], text_column="text")
    assert found == Columns("text", "", "stars")
    assert said == "Text: column 'text', as asked; label: column 'stars', as in the training."
    assert picked(PAIRS, ["a", "two"], labelled=False, text_column="a")[0] == Columns("a", "two")


def test_a_file_without_the_columns_of_the_training_is_refused_with_what_there_is() -> None:
    with pytest.raises(DataError) as caught:
        picked(TITLES, ["id", "text", "label"])
    assert caught.value.message == (
        "new.csv has no column 'title' and 'stars', which the model was trained on; found: id, text, label."
    )
    assert caught.value.hint == (
        "Name what is to be read instead by text_column and label_column, or rename the columns in the file."
    )
    assert caught.value.remedies == (
        Remedy(
            "Read 'text' as the text and 'label' as the label",
            (("text_column", "text"), ("label_column", "label")),
        ),
    )
    with pytest.raises(DataError, match="no column 'two', which the model was trained on; found: one, label"):
        picked(PAIRS, ["one", "label"])


def test_where_no_guess_of_the_label_is_sure_each_column_is_offered_for_it() -> None:
    frame = pd.DataFrame(
        {
            "id": list("12345"),
            "klasse": list("abaab"),
            "body": [f"the parcel of day {day} is late again" for day in range(5)],
        }
    )
    with pytest.raises(DataError) as caught:
        held_out.pick(TITLES, TrainConfig(), Table("new.csv", frame), labelled=True)
    assert [each.title for each in caught.value.remedies] == [
        "Read 'body' as the text and 'id' as the label",
        "Read 'body' as the text and 'klasse' as the label",
    ]
    with pytest.raises(DataError) as caught:
        held_out.pick(TITLES, TrainConfig(), Table("new.csv", frame), labelled=False)
    assert [each.title for each in caught.value.remedies] == ["Read 'body' as the text"]


def test_no_text_of_the_training_is_offered_as_the_label() -> None:
    with pytest.raises(DataError, match="no column 'stars', which the model was trained on") as caught:
        picked(TITLES, ["title", "text"])
    assert caught.value.remedies == ()


def test_a_model_of_unnamed_columns_offers_to_take_the_first_line_for_a_row() -> None:
    unnamed = Trained(Columns("column 1", "", "column 2"), False)
    for columns, labelled in ((["good one yes"], False), (["good one yes", "pos"], True)):
        with pytest.raises(DataError, match="has no column 'column 1'") as caught:
            picked(unnamed, columns, labelled)
        assert caught.value.remedies == (Remedy("The first line is a row", (("header", "no"),)),)
    with pytest.raises(DataError, match="has no column 'column 2'") as caught:
        picked(unnamed, ["column 1"])
    assert caught.value.remedies == ()


def test_single_texts_are_not_scored_as_pairs_nor_pairs_as_single_texts() -> None:
    single, pairs = Trained(pairs=False), Trained(pairs=True)
    assert picked(single, ["text1", "text2", "label"])[0] == Columns("text1", "", "label")
    assert picked(pairs, ["text1", "text2", "label"])[0] == Columns("text1", "text2", "label")
    assert picked(Trained(), ["text1", "text2", "label"])[0] == Columns("text1", "text2", "label")
    with pytest.raises(DataError, match="no second text.*trained on pairs; found: text, label"):
        picked(pairs, ["text", "label"])
    with pytest.raises(DataError, match="trained on single texts"):
        picked(TITLES, ["title", "stars", "more"], pair_column="more")


def test_a_run_and_its_model_remember_the_columns(tmp_path: Path) -> None:
    rows = some_rows()
    columns = {"title": rows["text"], "text": ["see the file"] * 40, "label": rows["label"]}
    run = a_run(tmp_path, columns, text_column="title")
    assert held_out.trained(f"run:{run.id}") == Trained(Columns("title", "", "label"), False)
    assert run.config().text_column == "text"  # where its own rows are
    again = data.load_splits(TrainConfig(**run.config().to_dict() | {"data_dir": str(run.path)}))
    assert again.columns == Columns("title", "", "label")
    folder = tmp_path / "pulled"
    folder.mkdir()
    config = {"model_type": "bert"} | held_out.to_remember(again.columns, "text-classification")
    assert config["training_columns"] == {"text": "title", "label": "label"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").touch()
    (folder / "model.safetensors").touch()
    assert held_out.trained(str(folder)) == Trained(Columns("title", "", "label"), False)
    (folder / "config.json").write_text(json.dumps(config | {"training_columns": ["title"]}))
    assert held_out.trained(str(folder)) == Trained()


def test_a_run_of_lines_reads_any_file(tmp_path: Path) -> None:
    (tmp_path / "sea.txt").write_text("\n".join(some_texts(30)))
    config = TrainConfig(task="fill-mask", train_file=str(tmp_path / "sea.txt"))
    splits = data.load_splits(config)
    run = Run.create(
        data.run_config(config, splits), fill=lambda path: data.write_splits(splits, path / "data")
    )
    put(tmp_path, "new.csv", {"sentence": some_texts(3)})
    found = held_out.read(f"run:{run.id}", tmp_path / "new.csv", TrainConfig(task="fill-mask"))
    assert found.frame["text"].tolist() == some_texts(3)


def test_blank_rows_are_named_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    put(tmp_path, "new.csv", {"id": list(range(5)), "text": ["a", "", "b", " ", "c"]})
    found = held_out.read("starter", tmp_path / "new.csv", CLASSIFY, labelled=False)
    assert (found.frame.index.tolist(), found.blank) == ([0, 2, 4], (2, 4))
    assert found.placed(["A", "B", "C"]) == ["A", None, "B", None, "C"]
    assert found.findings[-1] == "2 blank rows of new.csv were left out."
    (tmp_path / "new.txt").write_text("a\n\nb\n")
    assert held_out.read("starter", tmp_path / "new.txt", CLASSIFY, labelled=False).blank == (2,)


@pytest.mark.parametrize("labels", [(1, 2, 3, 4, 5), (-1, 0, 1), (1.0, 2.0), ("b", "a")])
def test_a_runs_own_rows_keep_their_labels_whatever_the_numbers(tmp_path: Path, labels: tuple) -> None:
    run = a_run(tmp_path, {"review": some_texts(60)} | {"stars": some_rows(60, labels)["label"]})
    names = run_data.label_names(run.source())
    splits = data.load_splits(TrainConfig(**run.config().to_dict() | {"data_dir": str(run.path)}))
    assert splits.label_names == names
    found = held_out.read(f"run:{run.id}", run.held_out(), CLASSIFY, names)
    assert found.frame["label"].tolist() == splits.validation["label"].tolist()
    written = pd.read_parquet(run.held_out())["label"].tolist()
    assert written == [names[place] for place in splits.validation["label"]]


@pytest.mark.parametrize("labels", [(1, 2, 3, 4, 5), (-1, 0, 1), ("b", "a")])
def test_a_run_of_an_earlier_version_is_read_by_places(tmp_path: Path, labels: tuple) -> None:
    run = a_run(tmp_path, some_rows(60, labels))
    config = TrainConfig(**run.config().to_dict() | {"data_dir": str(run.path)})
    splits, names = data.load_splits(config), run_data.label_names(run.source())
    for part in ("train", "validation"):
        path = run.path / "data" / f"{part}.parquet"
        run_data.coded(pd.read_parquet(path), names).to_parquet(path)
    about = json.loads((run.path / "data" / "source.json").read_text())
    del about["columns"]
    (run.path / "data" / "source.json").write_text(json.dumps(about))
    again = data.load_splits(config)
    pd.testing.assert_frame_equal(again.train, splits.train)
    found = held_out.read(f"run:{run.id}", run.held_out(), CLASSIFY, names)
    assert found.frame["label"].tolist() == splits.validation["label"].tolist()
    assert held_out.trained(f"run:{run.id}") == Trained(Columns(""), False)


# Base and tuned by name


def test_the_same_model_with_its_labels_in_another_order_fixes_and_breaks_nothing(
    tiny_bert: Path, tmp_path: Path
) -> None:
    names = ["joy", "anger", "fear"]
    tuned = classifier(tiny_bert, tmp_path / "tuned", [0, 1, 2], names)
    base = classifier(tiny_bert, tmp_path / "base", [2, 0, 1], ["fear", "joy", "anger"])
    put(tmp_path, "rows.csv", some_rows(30, tuple(names)))
    found = comparison.compare_file(base, tuned, tmp_path / "rows.csv")
    assert (found.fixed, found.broken) == (0, 0)
    assert found.base_metrics == pytest.approx(found.tuned_metrics, abs=1e-5)
    assert found.table["base"].tolist() == found.table["tuned"].tolist()
    assert found.findings == ("Text: column 'text', by its name; label: column 'label', by its name.",)


def test_a_base_of_other_labels_is_refused_by_their_names(tiny_bert: Path, tmp_path: Path) -> None:
    tuned = classifier(tiny_bert, tmp_path / "tuned", [0, 1, 2], ["joy", "anger", "fear"])
    base = classifier(tiny_bert, tmp_path / "base", [0, 1, 2], ["joy", "rage", "fear"])
    put(tmp_path, "rows.csv", some_rows(30, ("joy", "fear")))
    with pytest.raises(comparison.ModelError, match="different labels: 'rage' of .*base alone, 'anger' of "):
        comparison.compare_file(base, tuned, tmp_path / "rows.csv")


def test_a_model_with_two_outputs_of_one_name_scores_both(tiny_bert: Path, tmp_path: Path) -> None:
    from bertspace.models import inference

    model = classifier(tiny_bert, tmp_path / "twice", [0, 1, 2], ["joy", "joy", "fear"])
    ((answer,),) = inference.predict(model, ["the sea"])
    assert set(answer.scores) == {"joy", "joy (2)", "fear"}
    assert sum(answer.scores.values()) == pytest.approx(1)
