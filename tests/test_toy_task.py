"""A task that is none of bertspace's goes the whole way with nothing else touched: how many words has a text?

Its class and its page are registered as the real ones are. Its card, its push and its pull are in
publish/test_toy_task.py.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertspace import cli, data
from bertspace.models import comparison, inference
from bertspace.policy import LOCAL
from bertspace.publish import export
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from bertspace.tasks import Task
from bertspace.ui.app import build_app
from bertspace.ui.fine_tune import preview
from bertspace.ui.models import catalogue
from bertspace.ui.tasks import page_of
from tests.support import toy_task
from tests.support.toy_task import Counted
from tests.support.training import FAST, work

pytestmark = pytest.mark.slow
TEXT = "the ship at sea"


@pytest.fixture(scope="module")
def toy() -> Iterator[Task]:
    with toy_task.registered() as task:
        yield task


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A csv of texts, and how many words each has."""
    splits = toy_task.splits()
    names = [splits.label_names[code] for code in splits.train["label"]]
    file = tmp_path_factory.mktemp("rows") / "counts.csv"
    splits.train.assign(label=names).rename(columns={"text": "sentence", "label": "count"}).to_csv(
        file, index=False
    )
    return file


@pytest.fixture(scope="module")
def taken_up(
    toy: Task, rows: Path, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """A run of the csv, cut off after a few steps and taken up again."""
    config = TrainConfig(
        task=toy.name,
        model=str(tiny_bert),
        train_file=str(rows),
        text_column="sentence",
        label_column="count",
        epochs=2,
        checkpoint_steps=2,
        **FAST,
    )
    splits = data.load_splits(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTSPACE_HOME", str(tmp_path_factory.mktemp("home")))
        yield _taken_up(config, splits)


def _taken_up(config: TrainConfig, splits: data.Splits) -> Run:
    made = Run.create(
        data.run_config(config, splits), fill=lambda path: data.write_splits(splits, path / "data")
    )
    cut_off = work(made, until=10)
    assert not any(event.kind == "done" for event in cut_off)
    events = work(made)
    assert [event.kind for event in events].count("done") == 1
    assert len({event.step for event in events if event.kind == "step"}) == events[-1].step
    made.write_state(RunState(status="done", name="counts"))
    return made


@pytest.fixture
def run(taken_up: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("BERTSPACE_HOME", str(taken_up.path.parents[1]))
    return taken_up


def test_a_toy_task_goes_the_whole_way(
    run: Run, toy: Task, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"run:{run.id}"
    assert inference.task_of(name) == toy.name
    ((answer,),) = inference.predict(name, [TEXT])
    assert isinstance(answer, Counted) and answer.best in toy_task.COUNTS

    found = comparison.evaluate_file(name, rows)
    assert found["rows"] == 48 and set(found["metrics"]) == {"loss", "accuracy", "off_by"}
    (both,) = comparison.compare(name, name, [TEXT])
    assert not both.changed
    compared = comparison.compare_file(name, name, rows)
    assert list(compared.table) == ["text", "base", "tuned"]
    assert compared.verdict.outcome == "unclear" and compared.verdict.metric == "loss"

    shown = json.loads(spoken(["predict", name, TEXT, "--json"], capsys))
    assert shown["task"] == toy.name and shown["predictions"][0]["best"] == answer.best
    assert "off_by" in spoken(["evaluate", run.id, "--file", str(rows)], capsys)
    assert "accuracy" in spoken(["runs", "show", run.id], capsys)

    folder = export.export(run, tmp_path / "exported")
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, timeout=300)
    written = json.loads((folder / "metrics.json").read_text())
    assert written["epochs"] == 2.0 and written["labels"] == list(toy_task.COUNTS)


def spoken(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line says."""
    capsys.readouterr()
    assert cli.main(arguments) == 0
    return capsys.readouterr().out


def test_the_page_has_a_toy_tasks_tab_its_picker_and_its_answers(run: Run, toy: Task) -> None:
    name, page = f"run:{run.id}", page_of(toy.name)
    built = build_app().get_config_file()
    tabs = {each["props"].get("id"): each["props"].get("label") for each in built["components"]}
    assert tabs["count"] == "Count" and tabs["classify"] == "Classify"
    assert "count" in {each["api_name"] for each in built["dependencies"]}
    words = {value: each for each, value in catalogue.picker_choices(toy.name, LOCAL)}
    assert words["starter"].endswith("has no head that counts words yet: fine-tune it first")
    others = {value: each for each, value in catalogue.picker_choices("fill-mask", LOCAL)}
    assert others[name].endswith("— counts words and does not fill masks")
    panel, command, client, plain = page.answer(TEXT, name, "", False)
    assert "tiny" not in panel and "pg-bar" in panel
    assert f"predict {name}" in command and "/count" in client and "word-count" in plain
    assert preview.guess_task(TrainConfig(), ["text"]) == "fill-mask"


def test_a_setting_it_does_not_know_is_refused(toy: Task) -> None:
    from bertspace.errors import ConfigError

    with pytest.raises(ConfigError, match="best_metric is 'perplexity'. Choose from: loss, accuracy, off_by"):
        toy.check(TrainConfig(task=toy.name, best_metric="perplexity"))


def test_events_and_results_are_those_of_every_task(run: Run) -> None:
    result: dict[str, Any] = run.result() or {}
    assert result["base"] == {"kind": "none"} and result["verdict"] is None
