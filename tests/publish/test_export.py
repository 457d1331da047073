"""What a run takes along: settings, command, a script that trains the same, a zip."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from bertspace import data, models, training
from bertspace.cli.outcome import SETTINGS
from bertspace.errors import RunError
from bertspace.publish import export, fill
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from bertspace.tasks import TASKS, Task

pytestmark = pytest.mark.slow

LABELS = ('bad, "very"', "good")  # names that a script has to quote
EXACT = {"precision": "fp32", "dropout": 0.0, "batch_size": 8, "learning_rate": 2e-3, "max_length": 32}


def sentences(count: int, seed: int) -> pd.DataFrame:
    """Rows of 3 to 20 words, and a second text of fewer; a row is good where the word stands in it."""
    random = np.random.default_rng(seed)
    words = "the a ship sea light storm keeper lamp night day old new big small house unknowable".split()
    labels = np.arange(count) % 2
    texts = [
        " ".join([*random.choice(words, size=random.integers(3, 20)), ("bad", "good")[label]])
        for label in labels
    ]
    pairs = [" ".join(random.choice(words, size=random.integers(1, 9))) for _ in labels]
    frame = pd.DataFrame({"text": texts, "pair": pairs}, dtype="str")
    return frame.assign(label=labels.astype("int64"))


PAIRS = data.Splits(sentences(44, 1), sentences(15, 2), sentences(13, 3), LABELS, "made here", ())
SINGLE = replace(
    PAIRS,
    **{part: getattr(PAIRS, part).drop(columns="pair") for part in ("train", "validation", "test")},
)
TEXTS = replace(
    SINGLE,
    train=SINGLE.train[["text"]],
    validation=SINGLE.validation[["text"]],
    test=None,
    label_names=(),
)

CASES: dict[str, tuple[dict[str, Any], data.Splits]] = {
    "single": ({"epochs": 2.5, "best_metric": "f1_macro", "weight_decay": 0.1}, SINGLE),
    "pairs, LoRA, frozen, accumulated": (
        {
            "epochs": 3,
            "lora_rank": 4,
            "freeze_layers": 1,
            "gradient_accumulation": 4,
            "label_smoothing": 0.1,
            "best_metric": "loss",
            "patience": 1,
            "schedule": "cosine",
        },
        PAIRS,
    ),
    "masked chunks, dropout": ({"task": "fill-mask", "chunk_size": 16, "dropout": None, "epochs": 2}, TEXTS),
    "masked words, LoRA, accumulated, few rows": (
        {
            "task": "fill-mask",
            "chunk_size": 12,
            "whole_words": True,
            "mask_probability": 0.3,
            "max_train_rows": 20,
            "lora_rank": 2,
            "gradient_accumulation": 2,
            "max_grad_norm": 0.0,
            "max_steps": 3,
        },
        TEXTS,
    ),
    "masked lines, frozen": (
        {
            "task": "fill-mask",
            "chunk_size": 0,
            "freeze_layers": 1,
            "label_smoothing": 0.1,
            "epochs": 1,
            "max_train_rows": 30,
        },
        TEXTS,
    ),
}


def made_run(folder: Path, config: TrainConfig, splits: data.Splits) -> Run:
    """A run's folder as engine.submit leaves it, with no process."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    data.write_splits(splits, folder / "data")
    run.write_config(data.run_config(config, splits))
    run.write_state(RunState(name="a run"))
    (folder / "lock").touch()
    return run


def train(run: Run) -> Run:
    for event in training.train(run.config(), run):
        run.append(event)
    return run


@pytest.fixture(scope="module")
def finished(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = TrainConfig(model=str(tiny_bert), **(EXACT | CASES["single"][0]))
    return train(made_run(tmp_path_factory.mktemp("finished"), config, SINGLE))


# The script


@pytest.mark.parametrize("case", CASES)
def test_the_script_reaches_the_losses_of_the_run(case: str, tiny_bert: Path, tmp_path: Path) -> None:
    settings, splits = CASES[case]
    run = train(made_run(tmp_path / "run", TrainConfig(model=str(tiny_bert), **(EXACT | settings)), splits))
    folder = run_script(export.export(run, tmp_path / "out"))
    steps = [event for event in run.events()[0] if event.kind == "step"]
    found = pd.read_csv(folder / "losses.csv")
    assert found["step"].tolist() == [event.step for event in steps]
    assert found["loss"].tolist() == pytest.approx([event.loss for event in steps], rel=1e-5)
    assert found["learning_rate"].tolist() == pytest.approx([event.learning_rate for event in steps])
    outcome, result = json.loads((folder / "metrics.json").read_text()), run.result() or {}
    assert outcome["best_step"] == result["best_step"]
    assert [epoch["step"] for epoch in outcome["epochs"]] == [epoch["step"] for epoch in result["epochs"]]
    for mine, its in zip([*result["epochs"], result], [*outcome["epochs"], outcome], strict=True):
        mine, its = mine.get("validation", mine), its.get("validation", its)
        assert {name: its[name] for name in mine if name != "epoch"} == pytest.approx(
            {name: value for name, value in mine.items() if name != "epoch"}, rel=1e-4, abs=1e-7
        )
    assert outcome.get("test") == (pytest.approx(result["test"], rel=1e-4) if result["test"] else None)
    assert_same_weights(run.path / "model", folder / "model")


def run_script(folder: Path) -> Path:
    """Runs train.py as a person would, with no bertspace to import."""
    assert "bertspace" not in (folder / "train.py").read_text()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "train.py"],
        cwd=folder,
        env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def assert_same_weights(first: Path, second: Path) -> None:
    import torch
    from safetensors.torch import load_file

    mine, its = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    assert mine.keys() == its.keys()
    for name, tensor in mine.items():
        # Adam makes steps of full size of gradients that are nothing but rounding: the keys' biases.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(its[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_a_tasks_script_runs_as_it_is(task: str, tiny_bert: Path, tmp_path: Path) -> None:
    config = TrainConfig(task=task, model=str(tiny_bert))
    plain = replace(SINGLE, label_names=("bad", "good"))
    folder = export.export(made_run(tmp_path / "run", config, plain), tmp_path / "out")
    shutil.copyfile(TASKS[config.task].script, folder / "train.py")
    assert (run_script(folder) / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("task", TASKS)
def test_a_script_has_every_setting_of_the_training(task: str) -> None:
    source = TASKS[task].script.read_text(encoding="utf-8")
    known = {name.upper(): name for name in SETTINGS} | {"REVISION": "revision"}
    assert fill.fill_in(source, dict.fromkeys(known, "")).count(' = ""') >= 20
    groups = ("schedule", "regularisation", "precision", "evaluation")
    wanted = {name.upper() for name, each in SETTINGS.items() if each.metadata["group"] in groups}
    begin, end = source.index(fill.BEGIN), source.index(fill.END)
    assert not wanted - set(re.findall(r"^[A-Z_]+", source[begin:end], re.MULTILINE))


def test_what_the_scripts_have_in_common_is_written_the_same() -> None:
    """Each is whole, so that one file is all there is to read; a change of the loop is made in each."""
    common = {
        *("batch_rows", "pieces", "freeze_layers", "add_lora", "plain_weights", "set_dropout"),
        *("make_optimizer", "backward", "rank"),
    }
    written = [functions(TASKS[task].script.read_text(encoding="utf-8")) for task in TASKS]
    for name in sorted(common):
        assert len({each[name] for each in written}) == 1, name


def functions(source: str) -> dict[str, str]:
    body = ast.parse(source).body
    return {each.name: ast.unparse(each) for each in body if isinstance(each, ast.FunctionDef)}


def test_a_new_task_is_exported_by_its_own_script(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Toy(Task):
        name = "text-classification"
        headline = "accuracy"
        script = tmp_path / "toy.py"

    Toy.script.write_text(f"{fill.BEGIN}\nLABEL_NAMES = []  # names\nEPOCHS = 3.0\n{fill.END}\n")
    monkeypatch.setitem(TASKS, Toy.name, Toy())
    assert export.script(finished).splitlines()[1:3] == [
        'LABEL_NAMES = ["bad, \\"very\\"", "good"]  # names',
        "EPOCHS = 2.5",
    ]


def test_a_setting_that_no_run_has_is_refused() -> None:
    source = f"{fill.BEGIN}\nEPOCHS = 3.0  # passes\nDROPOUT: float | None = None\n{fill.END}\nEPOCHS = 1\n"
    filled = fill.fill_in(source, {"EPOCHS": 2.5, "DROPOUT": 0.1, "SEED": 1})
    assert filled.splitlines()[1:-2] == ["EPOCHS = 2.5  # passes", "DROPOUT: float | None = 0.1"]
    assert filled.endswith(f"{fill.END}\nEPOCHS = 1\n")
    with pytest.raises(ValueError, match="EPOCHS = 3.0"):
        fill.fill_in(source, {"DROPOUT": 0.1})


def test_names_from_outside_stay_texts_in_the_script(tiny_bert: Path, tmp_path: Path) -> None:
    names = ['"""', "'''\nimport os", "\\", "{{ 7 * 7 }}", "ä\u2028"]
    run = Run(tmp_path / "run")
    run.path.mkdir()
    run.write_config(TrainConfig(model=str(tiny_bert), label_names=json.dumps(names), learning_rate=1e-3))
    (run.path / "model").symlink_to(tiny_bert)
    module = ast.parse(export.script(run))
    assigned = {
        each.targets[0].id: each.value
        for each in module.body
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name)
    }
    assert ast.literal_eval(assigned["LABEL_NAMES"]) == names
    assert {each.names[0].name for each in module.body if isinstance(each, ast.Import)} == {
        *("json", "math", "numpy", "pandas", "torch")
    }


# Settings and command


def test_the_settings_are_read_again(finished: Run) -> None:
    assert TrainConfig.from_dict(yaml.safe_load(export.yaml_text(finished))) == finished.config()


# Files to take along


def test_an_export_holds_what_the_script_needs(finished: Run, tmp_path: Path) -> None:
    folder = export.export(finished, tmp_path / "new" / "out")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("base", "command.txt", "data", "requirements.txt", "settings.yaml", "train.py")
    ]
    assert sorted(path.name for path in (folder / "data").iterdir()) == [
        *("source.json", "test.parquet", "train.parquet", "validation.parquet")
    ]
    assert TrainConfig.from_dict(yaml.safe_load((folder / "settings.yaml").read_text())) == replace(
        finished.config(), model="base"
    )
    assert "--model base --train-file data/train.parquet" in (folder / "command.txt").read_text()
    with pytest.raises(RunError, match="is not empty"):
        export.export(finished, folder)
    (tmp_path / "empty").mkdir()
    assert (export.export(finished, tmp_path / "empty") / "train.py").is_file()


@pytest.mark.parametrize("write", [export.export, export.archive])
def test_a_place_that_cannot_be_written_to_is_told(write: Any, finished: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="out could not be written: "):
        write(finished, tmp_path / "file" / "out")


def test_the_base_may_be_another_run(finished: Run, home: Path, tmp_path: Path) -> None:
    link = home / "local" / "20260101-000000-abcdef"
    link.parent.mkdir(parents=True)
    link.symlink_to(finished.path)
    config = TrainConfig(model=f"run:{link.name}", task="fill-mask", **EXACT)
    folder = export.export(made_run(tmp_path / "run", config, TEXTS), tmp_path / "out")
    assert (folder / "base" / "model.safetensors").read_bytes() == (
        finished.path / "model" / "model.safetensors"
    ).read_bytes()


@pytest.mark.needs_starter
def test_the_starter_is_saved_with_its_adapter_for_fill_mask(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForMaskedLM

    config = TrainConfig(task="fill-mask", **EXACT)
    folder = export.export(made_run(tmp_path / "run", config, TEXTS), tmp_path / "out")
    saved = AutoModelForMaskedLM.from_pretrained(folder / "base").state_dict()
    for name, tensor in models.load_model(models.locate("starter"), "fill-mask").state_dict().items():
        assert torch.equal(saved[name], tensor), name
    assert TrainConfig.from_dict(yaml.safe_load((folder / "settings.yaml").read_text())).model == "starter"


def test_an_export_that_fails_leaves_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", TrainConfig(model="run:20260101-000000-abcdef"), SINGLE)
    with pytest.raises(RunError, match="no run"):
        export.export(run, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["run"]


def test_the_zip_holds_the_run_without_its_checkpoints(finished: Run, tmp_path: Path) -> None:
    (finished.path / "checkpoints" / "step-000000001").mkdir(parents=True, exist_ok=True)
    (finished.path / "checkpoints" / "step-000000001" / "state.json").touch()
    (finished.path / "data" / "link").symlink_to("/etc/hostname")
    (finished.path / "stop").touch()
    found = export.archive(finished, tmp_path / "new" / "run.zip")
    assert [path.name for path in found.parent.iterdir()] == ["run.zip"]
    with zipfile.ZipFile(found) as file:
        assert file.testzip() is None
        names = {name.removeprefix(f"{finished.id}/") for name in file.namelist()}
        assert file.read(f"{finished.id}/config.yaml") == (finished.path / "config.yaml").read_bytes()
    assert {name for name in names if "/" not in name} == {
        *("config.yaml", "result.json", "events.jsonl", "predictions.parquet", "probe.safetensors"),
        *("base.parquet", "README.txt", "command.txt", "requirements.txt", "settings.yaml", "train.py"),
    }
    assert {name for name in names if name.startswith("data/")} == {
        *("data/source.json", "data/test.parquet", "data/train.parquet", "data/validation.parquet")
    }
    assert "model/model.safetensors" in names
    assert not [name for name in names if name.startswith(("checkpoints", "lock", "stop"))]


@pytest.mark.parametrize("case", ["single", "masked lines, frozen"])
def test_the_script_runs_where_the_zip_is_unpacked(case: str, tiny_bert: Path, tmp_path: Path) -> None:
    settings, splits = CASES[case]
    run = train(made_run(tmp_path / "run", TrainConfig(model=str(tiny_bert), **(EXACT | settings)), splits))
    with zipfile.ZipFile(export.archive(run, tmp_path / "run.zip")) as file:
        file.extractall(tmp_path / "out")
    folder = tmp_path / "out" / run.id
    assert "from data/ and base/" in (folder / "README.txt").read_text()
    losses = pd.read_csv(run_script(folder) / "losses.csv")
    assert losses["step"].tolist() == [event.step for event in run.events()[0] if event.kind == "step"]


def test_a_zip_without_a_script_says_why(tmp_path: Path) -> None:
    for place, model in enumerate(("run:20260101-000000-abcdef", "owner/not-here@" + 40 * "0")):
        run = made_run(tmp_path / f"run{place}", TrainConfig(model=model), SINGLE)
        with zipfile.ZipFile(export.archive(run, tmp_path / f"{place}.zip")) as file:
            assert f"{run.id}/train.py" not in file.namelist()
            assert "There is no train.py. " in file.read(f"{run.id}/README.txt").decode()
