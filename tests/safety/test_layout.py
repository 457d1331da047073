"""A model is laid out before anything reads it: what is plain survives, and nothing else is obeyed."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bertspace import models
from bertspace.errors import ModelError
from bertspace.safety import config, layout, tokenizer
from tests.support.models import ARCHITECTURES, TEXTS, made


def encoded(folder: Path) -> list[Any]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = [dict(tokenizer(text, "and another")) for text in TEXTS]
    return [
        *(dict(tokenizer(text)) for text in TEXTS),
        *pairs,
        tokenizer.decode(tokenizer(TEXTS[1])["input_ids"]),
        sorted(tokenizer.get_vocab().items()),
        tokenizer.mask_token,
        tokenizer.model_max_length,
        tokenizer.padding_side,
    ]


def answers(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForMaskedLM

    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(input_ids=torch.arange(16).reshape(2, 8)).logits


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_what_transformers_saves_is_the_same_after_it_was_laid_out(kind: str, tmp_path: Path) -> None:
    import torch

    folder = made(kind, tmp_path / "model")
    laid = layout.laid_out(folder, kind)
    assert encoded(laid) == encoded(folder)
    assert torch.equal(answers(laid), answers(folder))
    assert not [path for path in laid.iterdir() if "chat" in path.name]


def test_the_configuration_of_every_encoder_says_the_same_afterwards() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    changed = {}
    for kind in config.encoder_types():
        if CONFIG_MAPPING[kind].sub_configs_defaults:
            with pytest.raises(ModelError, match="made of several models"):
                config.model_config({"model_type": kind}, kind)
            continue
        before = json.loads(CONFIG_MAPPING[kind](architectures=["A"]).to_json_string(use_diff=False))
        laid = config.model_config(before | {"model_type": kind}, kind)
        del laid["model_type"]
        after = json.loads(CONFIG_MAPPING[kind](**laid).to_json_string(use_diff=False))
        names = set(before) - config.LEFT_OUT - {"_name_or_path", "dtype"}
        changed[kind] = {name for name in names if before[name] != after.get(name)}
    assert len(changed) > 40 and not any(changed.values()), changed


@pytest.mark.parametrize("kind", ["bert", "bert cased", "mpnet", "roberta", "deberta", "distilbert"])
def test_vocabularies_without_a_tokenizer_json_are_the_same_too(kind: str, tmp_path: Path) -> None:
    folder = made(kind, tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    if "merges" in tokenizer["model"]:
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
        merges = [each if isinstance(each, str) else " ".join(each) for each in tokenizer["model"]["merges"]]
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    else:
        (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary))
    (folder / "tokenizer.json").unlink()
    assert encoded(layout.laid_out(folder, kind)) == encoded(folder)


def test_older_files_beside_the_tokenizer_are_the_same_too(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "old"))
    (folder / "special_tokens_map.json").write_text(
        json.dumps({"mask_token": {"content": "[MASK]", "lstrip": True}, "unk_token": "[UNK]"})
    )
    (folder / "added_tokens.json").write_text(json.dumps({"<new>": 400}))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("added_tokens_decoder", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert encoded(layout.laid_out(folder, "old")) == encoded(folder)


def test_a_sharded_model_and_a_half_precision_one_are_the_same(tiny_bert: Path, tmp_path: Path) -> None:
    import torch
    from transformers import BertForMaskedLM

    model = BertForMaskedLM.from_pretrained(tiny_bert)
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    model.half().save_pretrained(tmp_path / "half")
    for name in ("shards", "half"):
        laid = layout.laid_out(tmp_path / name, name)
        assert torch.equal(answers(laid), answers(tmp_path / name))


# What is not obeyed


SECRET = "a-secret-of-the-host"


@pytest.fixture
def hostile(tiny_bert: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT, beside a file of the host's that it must not reach."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "secret.txt").write_text(f"{SECRET}\nanother\n")
    (tmp_path / "host" / "secret.json").write_text(json.dumps({SECRET: 0, "another": 1}))
    return Path(shutil.copytree(tiny_bert, tmp_path / "hostile"))


def edit(path: Path, changes: dict[str, Any]) -> None:
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(before | changes))


POINTERS = [
    *({key: "HOST"} for key in ("vocab", "vocab_file", "merges", "merges_file", "tokenizer_file")),
    *(
        {key: "HOST"}
        for key in ("init_inputs", "name_or_path", "added_tokens_file", "special_tokens_map_file")
    ),
    *({key: ["HOST"]} for key in ("init_inputs", "vocab", "fast_tokenizer_files")),
    {"init_inputs": ["HOST", "HOST"]},
    {"vocab_file": "HOST", "tokenizer_file": None},
    {"tokenizer_object": "HOST"},
    {"gguf_file": "HOST"},
    {"spm_file": "HOST"},
    {"extra_special_tokens": {"vocab_file": "HOST"}},
    {"auto_map": {"AutoTokenizer": ["HOST", "HOST"]}},
    {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}},
    {"tokenizer_class": "HOST"},
    {"sp_model_kwargs": {"model_file": "HOST"}},
    {"fast_tokenizer_files": ["HOST"], "vocab": "HOST"},
    {"_spm_precompiled_charsmap": "HOST"},
    {"chat_template": "HOST"},
]


@pytest.mark.slow
@pytest.mark.parametrize("secret", ["secret.txt", "secret.json"])
@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("pointer", POINTERS, ids=lambda pointer: ",".join(pointer))
def test_no_file_of_the_host_becomes_a_vocabulary(
    hostile: Path, pointer: dict[str, Any], file: str, fast: bool, secret: str
) -> None:
    told = json.dumps(pointer).replace("HOST", str(hostile.parent / "host" / secret))
    edit(hostile / file, json.loads(told))
    if not fast:
        (hostile / "tokenizer.json").rename(hostile / "other")
        vocabulary = json.loads((hostile / "other").read_text())["model"]["vocab"]
        (hostile / "vocab.txt").write_text("\n".join(vocabulary))
    try:
        tokenizer = models.load_tokenizer(models.Located("evil", hostile, "folder"))
    except ModelError as error:
        assert str(hostile.parent) not in str(error)
        return
    assert SECRET not in tokenizer.get_vocab()
    tokenizer.save_pretrained(hostile.parent / "saved")  # as a run saves it, to be published
    for path in (hostile.parent / "saved").iterdir():
        assert SECRET not in path.read_text()


@pytest.mark.parametrize("key", ["vocab", "merges"])
@pytest.mark.parametrize("kind", ["WordPiece", "BPE", "WordLevel", "Unigram"])
def test_a_path_in_a_tokenizer_json_is_no_vocabulary(hostile: Path, kind: str, key: str) -> None:
    path = hostile / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"] = {"type": kind, "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
    content["model"][key] = str(hostile.parent / "host" / "secret.txt")
    path.write_text(json.dumps(content))
    try:
        tokenizer = models.load_tokenizer(models.Located("evil", hostile, "folder"))
    except ModelError as error:
        assert str(hostile.parent) not in str(error)
        return
    assert SECRET not in tokenizer.get_vocab()


HOSTILE_CONFIGS: list[dict[str, Any]] = [
    {"auto_map": {"AutoModelForMaskedLM": "modeling_evil.Evil"}},
    {"_attn_implementation": "kernels-community/evil"},
    {"attn_implementation": "kernels-community/evil:evil"},
    {"quantization_config": {"quant_method": "gptq", "bits": 4}},
    {"_name_or_path": "/etc/passwd"},
    {"transformers_weights": "../../evil.safetensors"},
    {"is_decoder": True, "add_cross_attention": True},
    {"return_dict": False},
    {"output_hidden_states": True, "output_attentions": True},
    {"pruned_heads": {"0": [0, 1]}},
    {"torchscript": True},
    {"per_layer_config": {"0": {"hidden_size": 10**9}}},
    {"tokenizer_class": "../../evil"},
    {"adapter_config": "/etc"},
    {"dtype": "evil"},
]


@pytest.mark.parametrize("changes", HOSTILE_CONFIGS, ids=lambda changes: ",".join(changes))
def test_what_a_config_has_no_business_to_say_changes_nothing(
    hostile: Path, tiny_bert: Path, changes: dict[str, Any]
) -> None:
    import torch

    edit(hostile / "config.json", changes)
    (hostile / "modeling_evil.py").write_text("raise SystemExit('ran')\n")
    (hostile / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/etc"}))
    found = models.load_model(models.Located("evil", hostile, "folder"), "fill-mask")
    ids = torch.arange(16).reshape(2, 8)
    with torch.inference_mode():
        assert torch.allclose(found(input_ids=ids).logits, answers(tiny_bert), atol=1e-6)


REFUSED: list[tuple[str, Any]] = [
    ("config.json", {"model_type": "../../evil"}),
    ("config.json", {"model_type": "llama"}),
    ("config.json", {"hidden_act": ["a"] * 30_000}),
    ("config.json", {"hidden_act": "/etc/passwd"}),
    ("config.json", {"hidden_size": "abc"}),
    ("config.json", {"hidden_size": [1]}),
    ("config.json", {"max_position_embeddings": True}),
    ("config.json", {"num_hidden_layers": 0}),
    ("config.json", {"num_hidden_layers": -3}),
    ("config.json", {"hidden_size": 10**400}),
    ("config.json", {"hidden_dropout_prob": float("nan")}),
    ("config.json", {"num_hidden_layers": 10**7}),
    ("config.json", {"id2label": {str(number): "a" for number in range(10_001)}}),
    ("config.json", {"id2label": {"a": "b"}}),
    ("config.json", {"id2label": {"5": "b"}}),
    ("config.json", {"layer_norm_eps": {"a": {"b": {"c": {"d": {"e": 1}}}}}}),
    ("config.json", b"[" * 100_000),
    ("config.json", b'{"a":' * 100_000),
    ("config.json", b'{"model_type": "bert", "a": [' + b"[]," * 2_000_000 + b"[]]}"),
    ("config.json", b"\xff\xfe"),
    ("tokenizer.json", b'{"model": [' + b"[]," * 2_000_000 + b"[]]}"),
    ("tokenizer.json", b'{"a": ' + b"[" * 100_000),
    ("tokenizer.json", b" " * (tokenizer.LARGE_BYTES + 1)),
    ("tokenizer.json", {"model": {"type": "Evil"}}),
    ("tokenizer.json", {"normalizer": {"type": "Evil", "file": "/etc/passwd"}}),
    ("tokenizer.json", {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a" * 5000}}}),
    ("tokenizer.json", {"added_tokens": [{"id": -1, "content": "a"}]}),
    ("tokenizer.json", {"added_tokens": [{"id": 1, "content": ["a"]}]}),
    ("tokenizer_config.json", b'{"a": [' + b"[]," * 5_000_000 + b"[]]}"),
    ("tokenizer_config.json", {"mask_token": 7}),
    ("tokenizer_config.json", {"mask_token": "m" * 5000}),
    ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "a"}}}),
    ("special_tokens_map.json", b"null"),
    ("added_tokens.json", {"a": "many"}),
]


@pytest.mark.parametrize(("file", "content"), REFUSED, ids=lambda value: repr(value)[:40])
def test_what_is_not_plain_is_refused_in_words(hostile: Path, file: str, content: Any) -> None:
    if isinstance(content, bytes):
        (hostile / file).write_bytes(content)
    else:
        edit(hostile / file, content)
    with pytest.raises(ModelError) as caught:
        layout.laid_out(hostile, "evil/model")
    assert caught.value.hint and str(hostile.parent) not in str(caught.value)


@pytest.mark.parametrize(
    "shard",
    [
        "../host/secret.safetensors",
        "/etc/passwd",
        "ABSOLUTE",
        "..",
        "",
        "sub/model.safetensors",
        "model.safetensors\0",
        "C:\\model.safetensors",
        "pytorch_model.bin",
        ["model.safetensors"],
        None,
    ],
)
def test_shards_lie_beside_their_index(hostile: Path, shard: Any) -> None:
    outside = hostile.parent / "host" / "secret.safetensors"
    (hostile / "model.safetensors").rename(outside)
    named = str(outside) if shard == "ABSOLUTE" else shard
    index = {"metadata": {}, "weight_map": {"bert.embeddings.word_embeddings.weight": named}}
    (hostile / layout.INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelError):
        layout.laid_out(hostile, "evil/model")


def test_a_word_piece_vocabulary_looks_up_short_words_alone(hostile: Path) -> None:
    path = hostile / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["max_input_chars_per_word"] = 10**9
    path.write_text(json.dumps(content))
    laid = json.loads((layout.laid_out(hostile, "evil") / "tokenizer.json").read_text())
    assert laid["model"]["max_input_chars_per_word"] == tokenizer.MAX_WORD


def test_labels_keep_their_names_and_lose_halves_of_characters(hostile: Path) -> None:
    edit(hostile / "config.json", {"id2label": {"1": "a/b", "0": "\ud800x"}, "label2id": {"evil": 7}})
    config = json.loads((layout.laid_out(hostile, "evil") / "config.json").read_text())
    assert config["id2label"] == {"0": "?x", "1": "a/b"}
    assert config["label2id"] == {"?x": 0, "a/b": 1}


def test_a_label_is_a_line(hostile: Path) -> None:
    edit(hostile / "config.json", {"id2label": {"0": "\0array", "1": "a\x1b[31m\nb"}})
    config = json.loads((layout.laid_out(hostile, "evil") / "config.json").read_text())
    assert config["id2label"] == {"0": " array", "1": "a [31m b"}


def test_a_pipe_beside_the_weights_is_not_waited_for(hostile: Path) -> None:
    os.mkfifo(hostile / "extra.safetensors")
    models.load_model(models.locate(str(hostile)), "fill-mask")


def test_a_text_is_never_longer_than_ours_whatever_the_model_says(hostile: Path) -> None:
    edit(hostile / "config.json", {"max_position_embeddings": 10**6})
    edit(hostile / "tokenizer_config.json", {"model_max_length": 10**9})
    assert models.load_tokenizer(models.Located("e", hostile, "folder")).model_max_length == models.LONGEST


def test_a_panic_in_the_tokenizer_is_an_error_in_words(hostile: Path) -> None:
    path = hostile / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"] = {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 9}
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="cannot be loaded"):
        tokenizer = models.load_tokenizer(models.Located("e", hostile, "folder"))
        with models.named("e"):
            tokenizer("xyz")


def test_a_layout_is_made_once_and_anew_when_a_file_has_changed(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    first = layout.laid_out(folder, "model")
    assert layout.laid_out(folder, "model") == first
    edit(folder / "config.json", {"hidden_act": "relu"})
    again = layout.laid_out(folder, "model")
    assert again != first
    assert json.loads((again / "config.json").read_text())["hidden_act"] == "relu"
