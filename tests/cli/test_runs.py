"""What the command line does with runs: pause, resume, queue, names, notes, two side by side, files."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bertspace import cli, files, runs
from bertspace.cli.train import to_go_on
from bertspace.cli.watch import Watch, event_words
from bertspace.jobs import engine, queue
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig, TrainEvent
from tests.support import until

RESULT = {
    "base": {"kind": "model", "validation": {"loss": 2.0}}, "epochs": [], "best_step": 0, "test": None,
    "validation": {"loss": 0.5}, "headline": "loss", "seconds": 1.0, "examples_per_second": 1.0,
}  # fmt: skip


def made(name: str = "", **state: Any) -> Run:
    """A run that waits, its rows and all; `busy` keeps it from being started."""
    run = Run.create(TrainConfig(), name=name)
    (run.path / "data").mkdir()
    (run.path / "data" / "source.json").write_text("{}")
    if state:
        run.write_state(RunState(name=name, **state))
    return run


def kept(run: Run, step: int) -> Run:
    """With a folder that looks like a checkpoint after this step."""
    (run.path / "checkpoints" / f"step-{step:09d}").mkdir(parents=True)
    return run


def told(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert cli.main(arguments) == code
    return capsys.readouterr().out.rstrip()


def document(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(told([*arguments, "--json"], capsys))


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


# Pause and resume


def test_pause_asks_a_running_run_and_ends_a_waiting_one(
    busy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(["runs", "pause", busy.id], capsys) == (f"The run {busy.id} pauses after the step at work.")
    assert busy.pause_requested()
    waiting = made()
    assert document(["runs", "pause", waiting.id], capsys) == {
        "run": waiting.id, "status": "paused", "pause": True,
    }  # fmt: skip
    assert "has ended already (paused)" in refused(["runs", "pause", waiting.id], capsys)
    assert f"{waiting.id}  paused" in told(["runs", "list"], capsys)


def test_resume_queues_a_run_with_the_settings_that_may_change(
    busy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run = kept(made(status="paused"), 40)
    flags = ["--batch-size", "8", "--gradient-accumulation", "4"]
    assert told(["runs", "resume", run.id, *flags], capsys) == (
        f"The run {run.id} goes on after step 40: number 1 in the queue."
    )
    assert (run.config().batch_size, run.config().gradient_accumulation) == (8, 4)
    assert "cannot be resumed" in refused(["runs", "resume", run.id], capsys)
    other = kept(made(status="failed"), 40)
    assert "max_length cannot change" in refused(["runs", "resume", other.id, "--max-length", "64"], capsys)


def test_out_of_memory_is_told_with_the_command_that_would_fit(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advice = {"batch_size": 16, "gradient_accumulation": 2}
    run = made(
        status="failed", message="Memory ran out.", hint="Go on with the smaller settings.", advice=advice
    )
    command = f"python -m bertspace runs resume {run.id} --batch-size 16 --gradient-accumulation 2"
    assert to_go_on(run) == command
    assert f"Go on     {command}" in told(["runs", "show", run.id], capsys)
    assert Watch(run, io.StringIO()).to_the_end()


def started(run_id: str) -> Run:
    """The run once it has made a step."""
    run = runs.find(run_id)
    until(lambda: has_ended(run) or any(event.kind == "step" for event in run.events()[0]))
    assert not has_ended(run), run.log_tail()
    return run


def has_ended(run: Run) -> bool:
    return run.state().status in runs.ENDED


@pytest.mark.slow
def test_a_run_is_paused_goes_on_and_is_stopped_from_the_command_line(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    rows = tmp_path / "rows.csv"
    lines = [f"{text} {number},{label}" for number in range(20) for text, label in (("good", 1), ("bad", 0))]
    rows.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    flags = ["--model", str(tiny_bert), "--train-file", str(rows), "--epochs", "1000", "--batch-size", "4"]
    run = started(told(["train", *flags, "--no-wait"], capsys))
    request.addfinalizer(lambda: engine.kill(run, seconds=1.0))
    assert told(["runs", "pause", run.id, "--wait"], capsys) == (
        f"The run {run.id} is paused. Go on:  python -m bertspace runs resume {run.id}"
    )
    step = run.checkpoint()
    assert step and f"Kept      a checkpoint after step {step:,}" in told(["runs", "show", run.id], capsys)
    said = told(["runs", "resume", run.id], capsys)
    assert said == f"The run {run.id} goes on after step {step:,}."
    until(lambda: has_ended(run) or run.events()[0][-1].step > step)
    found = document(["runs", "stop", run.id, "--wait"], capsys)
    assert (found["status"], found["stopped"]) == ("stopped", True)
    assert found["steps"] > step and found["checkpoint"] == found["steps"]


def test_a_watch_outlives_events_that_are_written_anew(busy: Run) -> None:
    said = io.StringIO()
    busy.append(TrainEvent("status", message="Starting"))
    for step in range(1, 8):
        busy.append(TrainEvent("step", step, 20, loss=0.5))
    watch = Watch(busy, said, seen=True)
    assert watch._look() is False and said.getvalue() == ""
    busy.rewind(3)
    assert watch._look() is False and said.getvalue() == ""
    busy.append(TrainEvent("status", message="Starting"))
    busy.append(TrainEvent("step", 4, 20, loss=0.5))
    busy.append(TrainEvent("epoch", 4, 20, epoch=1.0, metrics={"loss": 0.25}))
    watch._look()
    assert said.getvalue() == "Starting\nepoch 1: loss 0.250\n"
    busy.rewind(2)
    busy.append(TrainEvent("status", message="Starting"))
    os.truncate(busy.path / "events.jsonl", 100)  # as one that is replaced while it is read looks
    watch.offset, watch.file = 10, watch._file()
    assert watch._events() == []
    busy.rewind(1)
    assert watch._events() == []
    busy.append(TrainEvent("status", message="Loading the libraries"))
    assert [event.message for event in watch._events()] == ["Loading the libraries"]


def test_a_watch_leaves_out_what_has_been_seen(busy: Run) -> None:
    said = io.StringIO()
    for event in (
        TrainEvent("status", message="Starting"),
        TrainEvent("base", metrics={"loss": 1.0}),
        *(TrainEvent("step", step, 20, loss=0.5) for step in range(1, 8)),
    ):
        busy.append(event)
    watch = Watch(busy, said, seen=True)
    busy.append(TrainEvent("forecast", metrics={"seconds": 200.0, "memory_bytes": 1.2e9}))
    watch._look()
    assert said.getvalue() == "forecast: about 3 min 20 s and 1.2 GB of memory\n"


# The queue


def test_the_queue_shows_who_waits_and_moves_a_run(busy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(["runs", "queue"], capsys) == "No run waits."
    first, second = made("first"), made("second")
    if first.state().place == second.state().place:
        pytest.skip("made within one tick of the clock")
    assert told(["runs", "queue", second.id], capsys) == f"The run {second.id} is number 2 in the queue."
    assert document(["runs", "queue", second.id, "--place", "1"], capsys) == {
        "place": 1, "run": second.id, "name": "second",
    }  # fmt: skip
    assert [each["name"] for each in document(["runs", "queue"], capsys)] == ["second", "first"]
    assert f"1      {second.id}  second" in told(["runs", "queue"], capsys)
    assert queue.position(first) == 2
    assert told(["runs", "queue", busy.id], capsys) == f"The run {busy.id} does not wait (running)."
    assert "does not wait" in refused(["runs", "queue", busy.id, "--place", "1"], capsys)


# Names, notes and what is shown


def test_a_run_is_renamed_and_noted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(status="stopped")
    assert document(["runs", "rename", run.id, "The first"], capsys) == {"run": run.id, "name": "The first"}
    assert told(["runs", "note", run.id, "Too few rows.\nTry more."], capsys) == "The note is kept."
    said = told(["runs", "show", run.id], capsys)
    assert "Name      The first\nNotes     Too few rows.\n          Try more.\n" in said
    assert told(["runs", "note", run.id, ""], capsys) == "The note is gone."
    assert (run.state().name, run.state().notes) == ("The first", "")


def test_show_tells_the_forecast_and_the_checkpoint(busy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    kept(busy, 1200)
    metrics = {"seconds": 12.0, "memory_bytes": 8.6e7}
    busy.append(TrainEvent("forecast", metrics=metrics))
    said = told(["runs", "show", busy.id], capsys)
    assert "Forecast  about 12 s and 86 MB of memory" in said
    assert "Kept      a checkpoint after step 1,200" in said and "Go on" not in said
    found = document(["runs", "show", busy.id], capsys)
    assert (found["forecast"], found["checkpoint"], found["position"]) == (metrics, 1200, 0)


def test_an_epoch_is_said_with_its_metrics() -> None:
    assert event_words(TrainEvent("epoch", epoch=2.0, metrics={"loss": 0.5})) == "epoch 2: loss 0.500"


# Two side by side, and files


def test_compare_shows_what_differs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = made("first", status="done"), made("second", status="done")
    second.write_config(TrainConfig(epochs=5, dropout=0.2))
    config = first.config().to_dict()
    files.write_atomically(first.path / "result.json", json.dumps(RESULT | {"config": config}))
    assert told(["runs", "compare", first.id, second.id], capsys).split() == [
        *(first.id, second.id, "name", "first", "second", "epochs", "3.0", "5.0", "dropout", "–", "0.2"),
        *(first.id, second.id, "validation", "loss", "0.500", "–"),
    ]
    found = document(["runs", "compare", first.id, second.id], capsys)
    assert found["runs"] == [first.id, second.id]
    assert found["settings"] == {"epochs": [3.0, 5.0], "dropout": [None, 0.2]}
    assert found["curves"] == [[], []]
    same = told(["runs", "compare", second.id, second.id], capsys)
    assert same.endswith("\n\nSettings and rows are the same.\n\nNeither has been scored.")


def test_export_writes_a_folder_a_zip_or_both(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(status="done")
    run.write_config(TrainConfig(model=str(tiny_bert), label_names="no,yes", learning_rate=1e-3))
    (run.path / "data" / "train.parquet").touch()
    monkeypatch.chdir(tmp_path)
    assert document(["runs", "export", run.id, "--zip", "run.zip"], capsys) == {
        "run": run.id, "zip": str(tmp_path / "run.zip"),
    }  # fmt: skip
    assert f"{run.id}/data/train.parquet" in zipfile.ZipFile("run.zip").namelist()
    said = told(["runs", "export", run.id], capsys)
    assert said.startswith(f"In {tmp_path / run.id}:  python train.py")
    files = ["base", "command.txt", "data", "requirements.txt", "settings.yaml", "train.py"]
    assert sorted(os.listdir(run.id)) == files
    assert "is not empty" in refused(["runs", "export", run.id], capsys)
