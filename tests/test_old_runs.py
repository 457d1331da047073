"""Runs made by the code before the packages (commit b20eb62): shown, tried, compared, resumed, published.

`old_runs/classifier` is done; `old_runs/fill-mask-lora` was stopped after its fourth step of sixty, and has
its checkpoint. Their base is `old_runs/base`, a random BERT of one layer, which they know as /models/base.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertspace import cli
from bertspace.jobs import worker
from bertspace.runs import Run
from bertspace.ui.runs import view
from tests.support import ROOT

pytestmark = pytest.mark.slow

OLD = ROOT / "tests" / "old_runs"
KINDS = ("classifier", "fill-mask-lora")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD / "base", tmp_path / "base"))


@pytest.fixture
def old(home: Path, base: Path) -> dict[str, Run]:
    """The old runs among the local owner's, by their kind, with their base where this test has it."""
    found = {}
    for number, kind in enumerate(KINDS):
        folder = home / "local" / f"20260101-00000{number}-0000aa"
        shutil.copytree(OLD / kind, folder)
        for name in ("config.yaml", "result.json"):
            text = (folder / name).read_text(encoding="utf-8")
            (folder / name).write_text(text.replace("/models/base", str(base)), encoding="utf-8")
        found[kind] = Run(folder)
    return found


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON that the command prints."""
    assert cli.main([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_they_are_listed(old: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {"an old classifier": "done", "an old fill-mask with LoRA": "stopped"}
    assert {each["name"]: each["status"] for each in told(capsys, "runs", "list")} == wanted
    assert {line.name: line.status for line in view.run_lines()} == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_shown_with_their_settings_and_scores(
    kind: str, old: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = old[kind]
    result = json.loads((OLD / kind / "result.json").read_text(encoding="utf-8"))
    shown = told(capsys, "runs", "show", run.id)
    assert shown["validation"] == result["validation"] and shown["base"] == result["base"]
    assert run.config().to_dict() == result["config"] | {"model": run.config().model}
    seen = view.view(run.id)
    assert (seen.tuned, seen.has_model) == (result[seen.split][result["headline"]], True)
    assert seen.trail.step == result["steps"]


def test_the_classifier_answers_as_its_old_predictions_say(
    old: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = old["classifier"]
    texts = pd.read_parquet(run.path / "data" / "validation.parquet")["text"].tolist()
    table = pd.read_parquet(run.path / "predictions.parquet").query("split == 'validation'")
    answers = told(capsys, "predict", run.id, *texts)["predictions"]
    for answer, probabilities in zip(answers, table["probabilities"], strict=True):
        assert [answer["scores"][name] for name in ("bad", "good")] == pytest.approx(
            list(probabilities), abs=1e-5
        )


def test_the_fill_mask_fills(old: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    (answer,) = told(capsys, "predict", old["fill-mask-lora"].id, "the [MASK] ship")["predictions"]
    assert len(answer["masks"]) == 1 and len(answer["masks"][0]) == 5
    (best, *_) = answer["masks"][0]
    assert answer["filled"] == f"the {best} ship"


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_compared_with_their_base_on_their_rows(
    kind: str, old: dict[str, Run], base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = old[kind]
    rows = run.path / "data" / "validation.parquet"
    found = told(capsys, "compare", str(base), run.id, "--file", str(rows))
    assert found["tuned_metrics"] == pytest.approx(run.result()["validation"], rel=1e-5)
    assert found["base_metrics"] == pytest.approx(run.result()["base"]["validation"], rel=1e-5)


def test_the_stopped_one_goes_on_from_its_checkpoint_to_its_end(
    old: dict[str, Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = old["fill-mask-lora"]
    before = [each for each in run.events()[0] if each.kind == "step"]
    monkeypatch.setattr("bertspace.jobs.queue.start_next", lambda: None)
    assert cli.main(["runs", "resume", run.id]) == 0
    assert worker.main([str(run.path)]) == 0, run.log_tail()
    steps = [each for each in run.events()[0] if each.kind == "step"]
    assert (run.state().status, len(steps)) == ("done", 60)
    assert steps[:4] == before
    assert run.result()["validation"]["loss"] < run.result()["base"]["validation"]["loss"]


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_published(
    kind: str,
    old: dict[str, Run],
    hub: Any,
    no_snippet: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.user("alice"))
    pushed = told(capsys, "push", old[kind].id, "alice/old")
    assert pushed["verified"] is True
    assert {"README.md", "model.safetensors", "training/config.yaml"} <= set(hub.files("alice/old"))


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_exported(kind: str, old: dict[str, Run], tmp_path: Path) -> None:
    assert cli.main(["runs", "export", old[kind].id, "--output", str(tmp_path / "out")]) == 0
    assert {"train.py", "data"} <= {path.name for path in (tmp_path / "out").iterdir()}
