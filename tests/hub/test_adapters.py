"""LoRA adapters of the Hub: merged into their bases as peft does it, used as models, and refused in words."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertspace import files, models, publish
from bertspace.errors import BertspaceError, HubError, ModelError, RunError
from bertspace.hub import adapters, quota
from bertspace.hub.credentials import Credentials, using
from bertspace.models import apart, comparison, tuning
from bertspace.models.probe import Probe
from bertspace.schema import TrainConfig

pytestmark = pytest.mark.slow

BASE, NAME = "alice/base", "alice/adapter"
LABELS = ("asks", "tells", "thanks")
TEXTS = ["the ship came in the night", "we need help", "a big red door"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, and nobody's rights."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with using(Credentials(token=False)):
        yield tmp_path / "hub"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def classifier(folder: Path) -> Any:
    named = dict(enumerate(LABELS))
    ids = {name: number for number, name in named.items()}
    located = models.Located("base", folder, "folder")
    options: dict[str, Any] = {"num_labels": 3, "id2label": named, "label2id": ids}
    return models.load_model(located, "text-classification", new_head=True, **options)


def scattered(model: Any) -> None:
    """Let every trained tensor be another than it was, LoRA's zeros too."""
    import torch

    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)


def logits(model: Any, folder: Path) -> Any:
    import torch

    tokenizer = models.load_tokenizer(models.Located("tokenizer", folder, "folder"))
    with torch.inference_mode():
        return model.eval()(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


@pytest.fixture
def own(tiny_bert: Path, tmp_path: Path) -> tuple[Path, Any]:
    """An adapter as bertspace pushes it, and what its model says."""
    model = classifier(tiny_bert)
    tuning.add_lora(model, 4)
    scattered(model)
    tuning.save_adapter(model, tmp_path / "own", BASE, "")
    for path in tiny_bert.glob("*token*"):
        shutil.copy(path, tmp_path / "own")
    return tmp_path / "own", logits(model, tiny_bert)


@pytest.fixture
def pooled(tiny_bert: Path, tmp_path: Path) -> Path:
    """The tiny BERT with a pooler, which peft takes from the base."""
    from transformers import BertForPreTraining

    folder = tmp_path / "pooled"
    shutil.copytree(tiny_bert, folder)
    with models.quiet():
        BertForPreTraining.from_pretrained(tiny_bert).save_pretrained(folder)
    return folder


@pytest.fixture
def others(pooled: Path, tmp_path: Path) -> tuple[Path, Any]:
    """One as peft itself writes it, with a scale and a classifier of its own, and no tokenizer."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=16, target_modules=["query", "value"])
    model = get_peft_model(classifier(pooled), config)
    scattered(model)
    said = logits(model, pooled)
    model.save_pretrained(tmp_path / "others")
    return tmp_path / "others", said


def put(server: Any, tiny_bert: Path, folder: Path, **settings: Any) -> None:
    """The base and the adapter, with these settings."""
    server.user("alice")
    server.put(BASE, contents(tiny_bert))
    files = contents(folder)
    said = json.loads(files["adapter_config.json"]) | {"base_model_name_or_path": BASE} | settings
    server.put(NAME, files | {"adapter_config.json": json.dumps(said).encode()})


@pytest.mark.parametrize("whose", ["own", "others"])
def test_an_adapter_is_a_model_that_says_what_it_said_when_it_was_trained(
    hub: Any, tiny_bert: Path, pooled: Path, whose: str, request: pytest.FixtureRequest
) -> None:
    import torch

    folder, expected = request.getfixturevalue(whose)
    put(hub, tiny_bert if whose == "own" else pooled, folder)
    facts = looked(NAME)
    assert facts.does == "text-classification"
    assert facts.why_not("text-classification") == ""
    assert (facts.base_model, facts.is_here) == (BASE, False)
    located = models.locate(NAME, "text-classification")
    assert (located.name, located.revision) == (NAME, facts.revision)
    model = models.load_model(located, "text-classification")
    assert torch.allclose(logits(model, located.path), expected, atol=1e-5)
    names = LABELS if whose == "own" else ("LABEL_0", "LABEL_1", "LABEL_2")
    assert tuple(model.config.id2label.values()) == names
    assert looked(NAME).is_here


def test_a_fill_mask_adapter_and_one_of_a_bare_encoder_are_read(
    hub: Any, tiny_bert: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import BertModel

    bare = tmp_path / "bare"
    shutil.copytree(tiny_bert, bare)
    with models.quiet():
        BertModel.from_pretrained(tiny_bert).save_pretrained(bare)
    base = models.Located("bare", bare, "folder")
    model = models.load_model(base, "fill-mask", new_head=True)
    tuning.add_lora(model, 4)
    scattered(model)
    tuning.save_adapter(model, tmp_path / "masks", BASE, "")
    put(hub, bare, tmp_path / "masks")
    located = models.locate(NAME, "fill-mask")
    assert torch.allclose(
        logits(models.load_model(located, "fill-mask"), tiny_bert), logits(model, tiny_bert), atol=1e-4
    )
    with pytest.raises(ModelError, match="does not classify"):
        models.load_model(located, "text-classification")


def test_it_computes_apart_trains_further_and_serves_without_the_hub(
    hub: Any, tiny_bert: Path, own: tuple[Path, Any]
) -> None:
    from bertspace import hub as client

    put(hub, tiny_bert, own[0])
    with using(Credentials(False, None, True)):
        stranger = models.locate(NAME)
        assert not stranger.is_trusted
        found = apart.compute(stranger, "token_counts", {"texts": TEXTS, "pairs": None})
        assert len(found) == 3
    assert models.load_model(stranger, "fill-mask", new_head=True) is not None
    assert client.folder_on_disk(NAME) == stranger.path
    assert client.on_disk() == [NAME, BASE]
    hub.fail(503, times=0)
    assert models.locate(NAME).path == stranger.path
    quota.take_over(stranger.path, asked=True)
    assert stranger.is_trusted


def test_the_base_is_the_one_of_its_revision_and_another_makes_another_model(
    hub: Any, tiny_bert: Path, own: tuple[Path, Any]
) -> None:
    put(hub, tiny_bert, own[0])
    first = hub.repo(BASE).refs["main"]
    hub.put(BASE, {"config.json": contents(tiny_bert)["config.json"] + b"\n"})
    newest = models.locate(NAME).path
    put(hub, tiny_bert, own[0], revision=first)
    pinned = models.locate(NAME).path
    assert {path.parent.name for path in adapters.made_of(newest)} == {"snapshots"}
    assert adapters.made_of(newest)[1].name != first == adapters.made_of(pinned)[1].name


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"peft_type": "IA3"}, "an adapter by 'IA3'; LoRA is read here"),
        ({"use_dora": True}, "sets use_dora"),
        ({"rank_pattern": {"(a+)+$": 3}}, "sets rank_pattern"),
        ({"auto_mapping": None, "layer_replication": [[0, 2]]}, "sets layer_replication"),
        ({"init_lora_weights": "pissa"}, "sets init_lora_weights"),
        ({"init_lora_weights": ["x"]}, "sets init_lora_weights"),
        ({"r": 10**9}, "has the rank 1000000000"),
        ({"r": True}, "has the rank"),
        ({"r": 3}, "does not fit"),
        ({"lora_alpha": "1"}, "has the lora_alpha '1'"),
        ({"base_model_name_or_path": "/content/my-model"}, "'/content/my-model' as its base"),
        ({"base_model_name_or_path": "../../etc"}, "as its base, which is no model of the Hub"),
        ({"base_model_name_or_path": None}, "as its base"),
        ({"base_model_name_or_path": NAME}, "is an adapter itself"),
        ({"base_model_name_or_path": "alice/nothing"}, "no model alice/nothing"),
        ({"revision": "../.."}, "as its base"),
    ],
)
def test_what_cannot_be_merged_is_refused_in_words(
    hub: Any, tiny_bert: Path, own: tuple[Path, Any], settings: dict[str, Any], told: str
) -> None:
    put(hub, tiny_bert, own[0], **settings)
    with pytest.raises(BertspaceError) as caught:
        models.locate(NAME)
    assert told in caught.value.message and caught.value.hint


@pytest.mark.parametrize("odd", ["unknown", "shape", "outside", "lone", "broken"])
def test_tensors_that_the_base_has_no_place_for_are_refused(
    hub: Any, tiny_bert: Path, own: tuple[Path, Any], odd: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    path = own[0] / "adapter_model.safetensors"
    tensors = load_file(path)
    some = next(key for key in tensors if key.endswith("lora_A.weight"))
    if odd == "unknown":
        tensors["base_model.model.bert.other.weight"] = torch.zeros(2)
    elif odd == "shape":
        tensors[some] = torch.zeros(4, 7)
    elif odd == "outside":
        tensors["bert.encoder.layer.0.attention.self.query.weight"] = torch.zeros(32, 32)
    else:
        del tensors[some]
    save_file(tensors, path)
    if odd == "broken":
        path.write_bytes(path.read_bytes()[:-9])
    put(hub, tiny_bert, own[0])
    with pytest.raises(ModelError, match=NAME):
        models.locate(NAME)
    assert not list(path for path in files.home().parent.rglob(".merging-*"))


def test_a_base_that_is_no_encoder_is_refused_before_its_weights_come(
    hub: Any, tiny_bert: Path, own: tuple[Path, Any]
) -> None:
    put(hub, tiny_bert, own[0])
    hub.put(BASE, {"config.json": b'{"model_type": "llama"}'})
    before = len(hub.requests)
    with pytest.raises(ModelError, match="llama"):
        models.locate(NAME)
    brought = [each.path for each in hub.requests[before:] if f"{BASE}/resolve" in each.path]
    assert brought and not [path for path in brought if path.endswith(".safetensors")]


def test_a_private_base_is_not_laid_where_everybody_may_read(
    hub: Any, tiny_bert: Path, own: tuple[Path, Any], tmp_path: Path, cache: Path
) -> None:
    put(hub, tiny_bert, own[0])
    hub.repo(BASE).private = True
    token, bob = hub.user("alice"), hub.user("bob")
    with using(Credentials(token)):  # the machine's owner, whose the common cache is
        merged = models.locate(NAME).path
    for rights in (Credentials(False, None, True), Credentials(bob, tmp_path / "bobs", True)):
        with using(rights), pytest.raises(HubError):
            models.locate(NAME)
    with using(Credentials(token, tmp_path / "alices", True)):
        with pytest.raises(HubError, match="Not everybody may see alice/base"):
            models.locate(NAME)
    assert merged.is_relative_to(cache)


def test_what_the_base_knew_comes_with_an_adapter_and_answers_for_the_base_by_any_name(
    hub: Any, tiny_bert: Path, own: tuple[Path, Any], tmp_path: Path
) -> None:
    put(hub, tiny_bert, own[0])
    commit = hub.repo(BASE).refs["main"]
    features = np.random.default_rng(0).normal(size=(9, 32)).astype(np.float32)
    Probe.fit(features, np.arange(9) % 3, 3).save(tmp_path / "probe.safetensors", f"{BASE}@{commit}")
    hub.put(NAME, {"probe.safetensors": (tmp_path / "probe.safetensors").read_bytes()})
    by_commit, by_name = (comparison.compare(name, NAME, TEXTS) for name in (f"{BASE}@{commit}", BASE))
    assert [pair.base for pair in by_name] == [pair.base for pair in by_commit]
    hub.put(BASE, {"config.json": hub.files(BASE)["config.json"] + b"\n"})  # the name is another commit's now
    with pytest.raises(ModelError, match="no probe of it"):
        comparison.compare(BASE, NAME, TEXTS)


def test_no_adapter_is_pushed_onto_an_adapter(hub: Any, tiny_bert: Path, own: tuple[Path, Any]) -> None:
    put(hub, tiny_bert, own[0])
    where = publish.Destination("alice/more", adapter=True)
    publish.check_config(TrainConfig(model=BASE, lora_rank=2), where)
    config = TrainConfig(model=f"{NAME}@{hub.repo(NAME).refs['main']}", lora_rank=2)
    with pytest.raises(RunError, match="alice/adapter, is an adapter itself"):
        publish.check_config(config, where)
    publish.check_config(config, publish.Destination("alice/more"))


def looked(name: str) -> Any:
    from bertspace import hub

    return hub.facts(name)


def test_an_adapter_of_an_adapter_is_looked_at_once(hub: Any, tiny_bert: Path, own: tuple[Path, Any]) -> None:
    put(hub, tiny_bert, own[0], base_model_name_or_path=NAME)
    with pytest.raises(ModelError, match="is an adapter itself"):
        looked(NAME)
