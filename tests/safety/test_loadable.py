"""Why a model cannot be used here: one answer for search, look, pull, picker, load and start."""

import re
from pathlib import Path
from typing import ClassVar

import pytest

from bertspace import models
from bertspace.errors import ModelError
from bertspace.hub import adapters
from bertspace.safety import loadable
from bertspace.tasks import TASKS, Task

FILES = ("config.json", "model.safetensors", "tokenizer.json")
BERT = {"model_type": "bert", "architectures": ["BertForMaskedLM"]}


class Toy(Task):
    """A task that nothing here names."""

    name = "toy"
    does, to_do = "marks words", "mark words"
    head = "TokenClassification"
    head_weights: ClassVar[re.Pattern[str]] = re.compile(r"(^|\.)marker\.")
    columns = ("text", "label")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(TASKS, "toy", Toy())
    return "toy"


@pytest.mark.parametrize(
    ("config", "files", "why"),
    [
        (BERT, FILES, ""),
        (None, FILES, ""),
        (BERT, FILES[1:], "has no config.json"),
        (BERT, FILES[:1], "has no safetensors weights"),
        (BERT, (*FILES[:1], "tf_model.h5"), "has no safetensors weights, only tf_model.h5"),
        (BERT, FILES[:2], "has no tokenizer: none of tokenizer.json, vocab.txt, vocab.json is there"),
        ({}, FILES, "has a config.json that cannot be read: it is broken, or far too large"),
        (BERT | {"auto_map": {}}, FILES, ""),
        (
            BERT | {"auto_map": {"AutoModel": "x.Y"}},
            FILES,
            "needs code of its own to run, and no foreign code runs here",
        ),
        (
            BERT | {"model_type": "gpt2"},
            FILES,
            "is of the type gpt2: it is no encoder of the BERT family",
        ),
        (
            BERT | {"num_hidden_layers": 10**6},
            FILES,
            "cannot be loaded: its config.json says num_hidden_layers: 1,000,000; the limit is 10,000",
        ),
    ],
)
def test_the_reason_follows_the_models_name(
    config: dict[str, object] | None, files: tuple[str, ...], why: str
) -> None:
    assert loadable.why_not(config, files) == why
    if why:
        with pytest.raises(ModelError, match=re.escape(f"some/one {why}.")):
            loadable.check("some/one", config, files)


def test_a_task_of_another_head_is_known_by_what_it_says_of_itself(toy: str, tiny_bert: Path) -> None:
    marker = BERT | {"architectures": ["BertForTokenClassification"]}
    assert loadable.why_not(BERT, FILES, toy) == "is a BertForMaskedLM and does not mark words"
    assert loadable.why_not(marker, FILES, toy) == ""
    assert loadable.task_of(marker) == toy
    assert loadable.task_of({"model_type": "bert"}, ["marker.weight"]) == toy
    assert models.starter_why_not(toy) == "has no head that marks words yet: fine-tune it first"
    located = models.locate(str(tiny_bert))
    assert type(models.load_model(located, toy, new_head=True)).__name__ == "BertForTokenClassification"


def test_an_adapter_of_another_head_makes_a_model_of_it(toy: str) -> None:
    config = adapters.merged_config({"model_type": "bert"}, {"marker.weight": (3, 32)})
    assert config["architectures"] == ["BertForTokenClassification"]
