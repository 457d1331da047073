"""Recipes: published experiments that also run on the starter and on local files."""

from pathlib import Path

import pytest

from bertspace import data, recipes
from bertspace.errors import ConfigError
from bertspace.schema import TrainConfig
from bertspace.tasks import METRICS, TASKS

PUBLIC = {
    name: folder for folder in ("cola", "emotion", "mrpc", "imdb") for name in recipes.NAMES if folder in name
}


def test_every_file_is_a_recipe_and_every_recipe_a_file() -> None:
    assert {path.stem for path in recipes.FOLDER.glob("*.yaml")} == set(recipes.NAMES)


@pytest.mark.parametrize("name", recipes.NAMES)
def test_a_recipe_is_a_config_on_the_hub_and_in_a_folder(name: str) -> None:
    published = TrainConfig.from_dict(recipes.load(name))
    assert published.dataset and not published.train_file and published.learning_rate
    local = TrainConfig.from_dict(recipes.load(name, model="starter", data_dir="rows"))
    assert (local.model, local.data_dir, local.dataset, local.dataset_config) == ("starter", "rows", "", "")
    assert local.train_file and local.learning_rate is None
    assert (local.epochs, local.batch_size) == (published.epochs, published.batch_size)
    assert published.best_metric in ("", *(each.name for each in TASKS[published.task].metrics))


def test_the_published_rate_stays_with_the_published_model() -> None:
    assert recipes.load("cola", data_dir="rows")["learning_rate"] == 2e-5
    assert recipes.load("cola", model="google-bert/bert-base-uncased")["learning_rate"] == 2e-5
    assert recipes.load("cola", model="prajjwal1/bert-tiny")["learning_rate"] is None


def test_the_two_colas_and_the_two_imdbs_differ_where_they_say() -> None:
    def difference(one: str, other: str) -> set[str]:
        first, second = (TrainConfig.from_dict(recipes.load(name)).to_dict() for name in (one, other))
        return {name for name in first if first[name] != second[name]}

    assert difference("cola", "cola-128") == {"max_length"}
    assert difference("imdb-domain", "imdb-domain-wwm") == {"mask_probability", "whole_words"}


def test_the_rows_that_cola_holds_out_are_no_training_rows() -> None:
    from datasets import ReadInstruction

    def rows(split: str) -> list[int]:
        parts = ReadInstruction.from_spec(split).to_absolute({"train": 8551})
        return [row for part in parts for row in range(part.from_, part.to)]

    config = TrainConfig.from_dict(recipes.load("cola"))
    train, held_out = rows(config.train_split), rows(config.validation_split)
    assert sorted(train + held_out) == list(range(8551))
    assert len(held_out) == pytest.approx(855, abs=5)


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="There is no recipe 'colla'. The recipes: cola, cola-128, emotion"):
        recipes.load("colla")


def test_a_description_says_what_was_published_and_what_is_needed() -> None:
    about = recipes.describe("cola")
    found = {(each["metric"], each["split"]): each for each in about["figures"] if "epoch" not in each}
    assert found["matthews_correlation", "test"]["value"] == 0.498
    assert found["accuracy", "validation"]["source"].startswith("McCormick and Ryan")
    assert about["needs"] == (
        "nyu-mll/glue (cola) from the Hub; cola_public_1.1.zip, or CoLA.zip of GLUE, as a folder or packed; "
        "or a folder with in_domain_train.tsv and out_of_domain_dev.tsv"
    )
    assert recipes.describe("imdb-domain-wwm")["figures"] == []


@pytest.mark.parametrize("name", recipes.NAMES)
def test_a_description_is_whole(name: str) -> None:
    about = recipes.describe(name)
    assert all(about[part] for part in ("title", "summary", "needs"))
    for figure in about["figures"]:
        assert {"metric", "split", "value", "source"} <= figure.keys()
        assert figure["split"] in ("base", "train", "validation", "test")
        assert figure["metric"] in METRICS


@pytest.mark.parametrize("name", ["cola", "emotion", "mrpc"])
def test_a_recipe_finds_its_rows_in_the_public_files(name: str, shared_data: Path) -> None:
    config = TrainConfig.from_dict(recipes.load(name, data_dir=str(shared_data / PUBLIC[name])))
    splits = data.load_splits(config)
    assert splits.test is not None
    sizes = (len(splits.train), len(splits.validation), len(splits.test))
    assert (
        sizes == {"cola": (7695, 856, 516), "emotion": (16000, 2000, 2000), "mrpc": (3668, 408, 1725)}[name]
    )
    assert ",".join(splits.label_names) == config.label_names
    assert ("pair" in splits.train) == (name == "mrpc")


def test_the_film_reviews_are_split_by_review(shared_data: Path) -> None:
    config = TrainConfig.from_dict(recipes.load("imdb-domain", data_dir=str(shared_data / "imdb")))
    splits = data.load_splits(config)
    assert (len(splits.train), len(splits.validation), splits.test) == (22500, 2500, None)
