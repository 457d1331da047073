"""Only a head and a pooler may be new: what else a checkpoint lacks, or has too much, is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertspace import models
from bertspace.errors import ModelError
from bertspace.models.legacy import checkpoints
from tests.support.models import ARCHITECTURES, made

TASKS = ("fill-mask", "text-classification")


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    """A tiny BERT that a test may spoil."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "copy"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    from safetensors.torch import load_file, save_file

    weights = change(load_file(folder / "model.safetensors"))
    save_file(
        {name: each.clone() for name, each in weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    return folder


def prefixed(prefix: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda weights: {f"{prefix}{name}": each for name, each in weights.items()}


def without(part: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda weights: {name: each for name, each in weights.items() if part not in name}


def configure(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def load(folder: Path, task: str = "fill-mask", **options: Any) -> Any:
    return models.load_model(models.locate(str(folder)), task, **options)


def refusal(folder: Path, task: str, new_head: bool) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder, task, new_head=new_head)
    return str(caught.value).replace(str(folder), "copy")


PREFIXES = ["module.", "model.", "auto_model.", "0.auto_model.", "_orig_mod.module.", "electra."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_is_wrapped_around_a_model_is_taken_off_and_said(
    prefix: str, tiny_bert: Path, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    rewrite(copy, prefixed(prefix))
    wanted, found = load(tiny_bert).state_dict(), load(copy).state_dict()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert f"weights begin with {prefix}, which was taken off." in caplog.text
    fresh = load(copy, "text-classification", new_head=True)
    assert torch.equal(
        fresh.bert.encoder.layer[1].output.dense.weight, wanted["bert.encoder.layer.1.output.dense.weight"]
    )
    assert all(name.startswith(("classifier.", "bert.pooler.")) for name in fresh.new_weights)


def test_a_bare_encoder_in_a_wrapper_beside_a_head_is_read_too(copy: Path, tiny_bert: Path) -> None:
    import torch

    def bare(weights: dict[str, Any]) -> dict[str, Any]:
        return {name.replace("bert.", "encoder.", 1): each for name, each in weights.items()}

    found = load(rewrite(copy, bare), "features").state_dict()
    wanted = load(tiny_bert, "features").state_dict()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted if "pooler" not in name)


@pytest.mark.parametrize("new_head", [False, True])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda folder: rewrite(folder, without("layer.1.")),
            "lacks weights of a BertForMaskedLM: bert.encoder.",
        ),
        (lambda folder: rewrite(folder, without("embeddings.")), "bert.embeddings.LayerNorm.bias"),
        (
            lambda folder: rewrite(folder, without("layer.0.output.dense.bias")),
            "bert.encoder.layer.0.output.dense",
        ),
        (lambda folder: configure(folder, num_hidden_layers=3), "and 13 more"),
        (lambda folder: configure(folder, num_hidden_layers=1), "has no place for: bert.encoder.layer.1."),
        (lambda folder: configure(folder, vocab_size=400), "and its config.json asks for 400 × 32."),
        (
            lambda folder: configure(folder, type_vocab_size=1),
            "token_type_embeddings.weight of copy is 2 × 32",
        ),
        (
            lambda folder: configure(folder, intermediate_size=32),
            "dense.bias of copy is 64, and its config.json asks for 32.",
        ),
        (
            lambda folder: configure(folder, model_type="distilbert"),
            "lacks weights of a DistilBertForMaskedLM: ",
        ),
        (
            lambda folder: rewrite(
                folder,
                lambda weights: {
                    name.replace("bert.", "roberta.", 1): each for name, each in weights.items()
                },
            ),
            "as those of a roberta, and its config.json says bert: the two count positions otherwise.",
        ),
        (
            lambda folder: rewrite(
                folder,
                lambda weights: (
                    weights
                    | {
                        "bert.encoder.layer.0.crossattention.self.query.weight": weights[
                            "bert.encoder.layer.0.attention.self.query.weight"
                        ]
                    }
                ),
            ),
            "no place for: bert.encoder.layer.0.crossattention.self.query.weight.",
        ),
        (
            lambda folder: rewrite(
                folder, lambda weights: prefixed("query.")(weights) | prefixed("passage.")(weights)
            ),
            "Its weights are called passage.bert.",
        ),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused_by_name_however_it_is_loaded(
    spoil: Callable[[Path], Path], said: str, new_head: bool, copy: Path
) -> None:
    assert said in refusal(spoil(copy), "fill-mask", new_head)
    if new_head:
        refusal(copy, "text-classification", True)
        refusal(copy, "features", False)


@pytest.mark.slow
def test_a_run_on_weights_that_are_not_there_ends_before_its_first_step(copy: Path, tmp_path: Path) -> None:
    from bertspace.runs import Run
    from bertspace.schema import TrainConfig
    from bertspace.training import train

    rewrite(copy, without("layer.1."))
    (tmp_path / "t.csv").write_text("text,label\n" + "the good ship,a\na bad storm,b\n" * 20)
    config = TrainConfig(model=str(copy), train_file="t.csv", data_dir=str(tmp_path))
    events = []
    with pytest.raises(ModelError, match="lacks weights of a BertForSequenceClassification"):
        run = Run.create(config)
        shutil.copy(tmp_path / "t.csv", run.path)
        for event in train(config, run):
            events.append(event.kind)
    assert "step" not in events


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_gets_a_new_head_of_either_task_on_the_encoder_it_has(
    kind: str, tmp_path: Path
) -> None:
    import torch
    import transformers

    folder = made(kind, tmp_path / "masked")
    transformers.AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "bare")
    transformers.AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(
        tmp_path / "classes"
    )
    for file in folder.glob("*token*"):
        for other in ("bare", "classes"):
            shutil.copy(file, tmp_path / other)
    for name in ("masked", "bare", "classes"):
        loaded = [
            load(tmp_path / name, task, new_head=True, **({"num_labels": 4} if "t" in task[:1] else {}))
            for task in TASKS
        ]
        encoders = [dict(each.base_model.named_parameters()) for each in (*loaded, load(folder, "features"))]
        shared = [key for key in encoders[0] if all(key in each for each in encoders) and "pooler" not in key]
        assert len(shared) > 10
        assert all(torch.equal(encoders[0][key], each[key]) for key in shared for each in encoders)


def test_a_checkpoint_from_parallel_training_is_imported(tiny_bert: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = Path(shutil.copytree(tiny_bert, tmp_path / "old"))
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(prefixed("module.")(weights), folder / "pytorch_model.bin")
    made_folder = checkpoints.import_checkpoint(folder, tmp_path / "new").folder
    assert torch.equal(
        load(made_folder).bert.embeddings.word_embeddings.weight,
        weights["bert.embeddings.word_embeddings.weight"],
    )


def test_an_old_checkpoint_with_layers_too_many_is_not_imported(tiny_bert: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = Path(shutil.copytree(tiny_bert, tmp_path / "old"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    configure(folder, num_hidden_layers=1)
    with pytest.raises(ModelError, match="no place for: bert.encoder.layer.1."):
        checkpoints.import_checkpoint(folder, tmp_path / "new")


@pytest.mark.slow
def test_a_run_says_what_was_taken_off_before_its_first_step(copy: Path, tmp_path: Path) -> None:
    from bertspace.runs import Run
    from bertspace.schema import TrainConfig
    from bertspace.training import train

    rewrite(copy, prefixed("module."))
    config = TrainConfig(model=str(copy), train_file="t.csv", max_steps=1, batch_size=8, checkpoint_minutes=0)
    run = Run.create(config)
    (run.path / "t.csv").write_text("text,label\n" + "the good ship,a\na bad storm,b\n" * 20)
    events = list(train(config, run))
    said = [event.message for event in events]
    place = said.index(f"The names of {copy}'s weights begin with module., which was taken off.")
    assert "step" not in {event.kind for event in events[:place]} and events[-1].kind == "done"
