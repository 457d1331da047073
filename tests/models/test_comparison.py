"""Both models on held-out rows: the numbers are those of the run, and of an independent computation."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bertspace import data, training
from bertspace.errors import ModelError
from bertspace.models import comparison, inference
from bertspace.runs import Run
from bertspace.schema import TrainConfig
from bertspace.tasks import verdict_of
from tests.support.models import classifier
from tests.support.training import FAST, SPLITS

pytestmark = pytest.mark.slow


def words_around(count: int) -> pd.DataFrame:
    """Texts of 30 words whose label stands behind the eighth: what is cut off decides."""
    random = np.random.default_rng(0)
    pool = "sea ship light storm keeper lamp night day morning year time door room".split()
    texts = [f"{' '.join(random.choice(pool, 24))}{(' bad', ' good')[n % 2] * 6}" for n in range(count)]
    frame = pd.DataFrame({"text": pd.array(texts, dtype="str"), "label": np.arange(count) % 2})
    return frame.astype({"label": "int64"})


@pytest.fixture
def tuned(tiny_bert: Path) -> Run:
    """A finished run that reads no more than eight tokens of its texts."""
    config = TrainConfig(model=str(tiny_bert), **FAST | {"max_length": 8, "epochs": 1})
    splits = replace(SPLITS, train=words_around(64), validation=words_around(21), test=words_around(13))
    run = Run.create(
        data.run_config(config, splits), fill=lambda path: data.write_splits(splits, path / "data")
    )
    list(training.train(run.config(), run))
    return run


def test_compare_says_of_the_base_what_the_run_says_of_it(tuned: Run) -> None:
    found = comparison.compare_file(tuned.config().model, f"run:{tuned.id}", tuned.held_out())
    assert found.base_metrics == pytest.approx(tuned.result()["base"]["test"], abs=1e-6)
    assert found.tuned_metrics == pytest.approx(tuned.result()["test"], abs=1e-6)
    assert list(found.table["label"]) == ["bad", "good"] * 6 + ["bad"]
    assert found.verdict == replace(verdict_of(tuned.result()), split="")


def test_a_model_that_is_no_run_is_scored_on_whole_texts_as_it_is_asked(
    tiny_bert: Path, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoTokenizer, BertForSequenceClassification

    names = {0: "bad", 1: "good"}
    config = AutoConfig.from_pretrained(tiny_bert, max_position_embeddings=512, id2label=names)
    config.initializer_range = 0.5  # so that each token tells
    BertForSequenceClassification(config).save_pretrained(tmp_path / "plain")
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert, model_max_length=512)
    tokenizer.save_pretrained(tmp_path / "plain")

    frame = words_around(12)
    texts = ["sea " * 150 + text for text in frame["text"]]
    labels = [names[each] for each in frame["label"]]
    pd.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / "long.csv", index=False)
    asked = [each[0].scores for each in inference.predict(str(tmp_path / "plain"), texts)]
    loss = -np.mean([np.log(each[label]) for each, label in zip(asked, labels, strict=True)])
    found = comparison.evaluate_file(str(tmp_path / "plain"), tmp_path / "long.csv")["metrics"]
    assert found["loss"] == pytest.approx(loss, abs=1e-6)


def test_a_base_that_classifies_by_other_labels_answers_by_its_probe(tiny_bert: Path, tmp_path: Path) -> None:
    base = classifier(tiny_bert, tmp_path / "base", [0, 1, 2], ["joy", "anger", "fear"])
    config = TrainConfig(model=base, **FAST | {"max_steps": 1})
    splits = replace(SPLITS, train=words_around(64), validation=words_around(21), test=None)
    run = Run.create(
        data.run_config(config, splits), fill=lambda path: data.write_splits(splits, path / "data")
    )
    list(training.train(run.config(), run))
    words_around(12).replace({"label": {0: "bad", 1: "good"}}).to_csv(tmp_path / "rows.csv", index=False)
    found = comparison.compare_file(base, f"run:{run.id}", tmp_path / "rows.csv")
    assert found.base_words == f"{base}, frozen, with a logistic-regression probe"
    assert set(found.table["base"]) <= {"bad", "good"}


def test_perplexities_of_other_words_are_not_compared(tiny_bert: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_bert, other)
    written = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(written.replace('"lamp"', '"lump"'))
    (tmp_path / "texts.txt").write_text("the lamp at sea\n" * 20)
    with pytest.raises(ModelError, match="different vocabularies.*the base that it was trained from"):
        comparison.compare_file(str(other), str(tiny_bert), tmp_path / "texts.txt")
    same = comparison.compare_file(str(tiny_bert), str(tiny_bert), tmp_path / "texts.txt")
    assert same.base_metrics == same.tuned_metrics
