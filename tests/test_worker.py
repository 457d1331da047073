"""The worker's own part: every outcome is written to the run's state. The processes are in test_engine.py."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertspace import queue, training, worker
from bertspace.errors import BertspaceError, DataError
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig, TrainEvent


@pytest.fixture
def run() -> Run:
    run = Run.create(TrainConfig(train_file="data/train.parquet"))
    run.write_state(RunState(status="running", name="mine", created=1.0, started=2.0, pid=3))
    return run


def yields(*given: TrainEvent | Exception) -> object:
    """Stands in for training.train."""

    def train(_: TrainConfig, __: Run) -> Iterator[TrainEvent]:
        for each in given:
            if isinstance(each, Exception):
                raise each
            yield each

    return train


def test_every_event_of_a_training_is_written_down(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [
        TrainEvent("status", message="Reading the texts"),
        TrainEvent("step", 1, loss=0.5),
        TrainEvent("done"),
    ]
    monkeypatch.setattr(training, "train", yields(*events))
    assert worker.work(run) == "done"
    assert run.events()[0] == [TrainEvent("status", message="Starting"), *events]
    state = run.state()
    assert (state.status, state.name, state.created, state.started, state.pid) == (
        "done",
        "mine",
        1.0,
        2.0,
        3,
    )
    assert state.ended > 1.7e9 and (state.message, state.hint) == ("", "")


def test_a_run_that_was_asked_to_stop_is_stopped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "train", yields(TrainEvent("step", 1)))
    run.request_stop()
    assert worker.work(run) == run.state().status == "stopped"


def test_data_that_is_gone_fails_the_run_with_what_happened_and_what_to_do(
    run: Run, tiny_bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run.write_config(TrainConfig(model=str(tiny_bert), train_file="data/train.parquet", precision="fp32"))
    assert worker.work(run) == "failed"
    state = run.state()
    assert (state.status, bool(state.message), bool(state.hint)) == ("failed", True, True)
    assert "train.parquet" in state.message and str(run.path) not in state.message
    err = capfd.readouterr().err
    assert f"{state.message} {state.hint}" in err and "Traceback" not in err


def test_a_data_error_is_kept_word_for_word(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        training, "train", yields(DataError("train.csv is empty.", hint="Give another file."))
    )
    worker.work(run)
    assert (run.state().message, run.state().hint) == ("train.csv is empty.", "Give another file.")


def test_an_unknown_error_fails_the_run_and_keeps_its_traceback_in_the_log(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "train", yields(TrainEvent("step", 1), ZeroDivisionError("by zero")))
    assert worker.work(run) == "failed"
    assert (run.state().message, run.events()[0][-1].kind) == ("ZeroDivisionError: by zero", "step")
    assert "log.txt" in run.state().hint
    assert "Traceback (most recent call last)" in capfd.readouterr().err


def test_the_log_tells_of_everything_but_the_steps(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        training, "train", yields(TrainEvent("step", 1), TrainEvent("epoch", 1, metrics={"loss": 1}))
    )
    worker.work(run)
    out = capfd.readouterr().out
    assert "epoch" in out and "'step', " not in out.replace("'step': 1", "")


def test_the_process_ends_with_a_code_of_its_outcome_and_starts_the_next_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    nexts: list[str] = []
    monkeypatch.setattr(worker.os, "nice", lambda _: 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(queue, "start_next", lambda: nexts.append(run.state().status))
    monkeypatch.setattr(training, "train", yields())
    assert worker.main([str(run.path)]) == 0
    monkeypatch.setattr(training, "train", yields(DataError("gone")))
    assert worker.main([str(run.path)]) == 1
    assert nexts == ["done", "failed"]


def test_a_term_tells_of_itself_in_the_state(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object) -> Iterator[TrainEvent]:
        yield TrainEvent("step", 1)
        worker._terminate(signal.SIGTERM, None)

    monkeypatch.setattr(training, "train", train)
    assert worker.work(run) == "failed"
    assert run.state().message == "The process was ended from outside."


def test_a_term_is_heard_where_a_library_swallows_every_exception(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries shrug at imports that go wrong, and a run is often ended while it still loads."""

    def train(*_: object) -> Iterator[TrainEvent]:
        try:
            worker._terminate(signal.SIGTERM, None)
        except Exception:
            yield TrainEvent("step", 1)

    monkeypatch.setattr(training, "train", train)
    assert worker.work(run) == "failed"


def test_the_errors_that_a_worker_writes_fit_into_a_state() -> None:
    state = RunState(status="failed", message=BertspaceError("what", hint="do").message)
    assert RunState(**json.loads(json.dumps(state.__dict__))) == state
