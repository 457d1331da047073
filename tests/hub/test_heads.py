"""What a model of the Hub is taken for where its config.json does not say."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertspace import models
from bertspace.errors import HubError, ModelError
from bertspace.hub.credentials import Credentials, using


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, and nobody's rights."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with using(Credentials(token=False)):
        yield tmp_path / "hub"


def put(server: Any, folder: Path, repo_id: str, **config: Any) -> None:
    """The folder's model with these values in its config.json, None for none."""
    server.user("alice")
    said = json.loads((folder / "config.json").read_text()) | config
    kept = {key: value for key, value in said.items() if value is not None}
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    server.put(repo_id, files | {"config.json": json.dumps(kept).encode()})


@pytest.fixture
def pre_trained(tiny_bert: Path, tmp_path: Path) -> Path:
    """A BertForPreTraining: it fills masks, and tells next sentences."""
    from transformers import BertForPreTraining

    folder = tmp_path / "pre-trained"
    shutil.copytree(tiny_bert, folder)
    with models.quiet():
        BertForPreTraining.from_pretrained(tiny_bert).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("heads", [None, ["BertForPreTraining"], []])
def test_a_model_is_what_its_weights_are_where_its_configuration_does_not_say(
    hub: Any, pre_trained: Path, heads: list[str] | None
) -> None:
    put(hub, pre_trained, "alice/both", architectures=heads)
    facts = looked("alice/both")
    asked = [each for each in hub.requests if "storage" in each.path or "resolve" in each.path]
    assert not [each for each in asked if each.path.endswith("model.safetensors") and not each.range]
    assert facts.does == "fill-mask"
    assert not facts.why_not("fill-mask")
    assert "no weights of a head that could classify" in facts.why_not("text-classification")
    assert models.load_model(models.locate("alice/both", "fill-mask"), "fill-mask") is not None
    with pytest.raises(ModelError, match="no weights of a head that could classify"):
        models.load_model(models.locate("alice/both"), "text-classification")


def test_a_bare_encoder_is_none_for_either(hub: Any, tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import BertModel

    folder = tmp_path / "bare"
    shutil.copytree(tiny_bert, folder)
    with models.quiet():
        BertModel.from_pretrained(tiny_bert).save_pretrained(folder)
    put(hub, folder, "alice/bare", architectures=None)
    facts = looked("alice/bare")
    assert facts.weights and facts.does == ""
    located = models.locate("alice/bare", "fill-mask")  # known once its weights are here
    assert "no weights of a head" in models.why_not(located, "fill-mask")
    assert models.load_model(located, "fill-mask", new_head=True) is not None


def test_what_a_configuration_says_is_believed_without_a_look_at_the_weights(
    hub: Any, tiny_bert: Path
) -> None:
    put(hub, tiny_bert, "alice/tiny")
    assert looked("alice/tiny").weights == ()
    put(hub, tiny_bert, "alice/tagger", architectures=["BertForTokenClassification"])
    with pytest.raises(ModelError, match="is a BertForTokenClassification and does not fill masks"):
        models.locate("alice/tagger", "fill-mask")


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"[]", (99).to_bytes(8, "little") + b"{"]
)
def test_a_head_of_weights_that_is_none_says_nothing(hub: Any, tiny_bert: Path, content: bytes) -> None:
    put(hub, tiny_bert, "alice/odd", architectures=None)
    hub.put("alice/odd", {"model.safetensors": content})
    assert looked("alice/odd").weights == ()
    with pytest.raises((HubError, ModelError), match="alice/odd"):
        models.load_model(models.locate("alice/odd"), "fill-mask")


def looked(name: str) -> Any:
    from bertspace import hub

    return hub.facts(name)
