"""The worker's own part: every outcome is written to the run's state. The processes are in test_engine.py."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from bertspace import data, hardware, processes, training
from bertspace.errors import BertspaceError, DataError
from bertspace.jobs import queue, worker
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig, TrainEvent


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(
        worker, "WATCH_SECONDS", 60
    )  # the watch sends signals, which these tests do not catch
    run = Run.create(TrainConfig(train_file="data/train.parquet"))
    run.write_state(RunState(status="running", name="mine", created=1.0, started=2.0, pid=3))
    return run


def yields(*given: TrainEvent | Exception) -> object:
    """Stands in for training.train."""

    def train(*_: object) -> Iterator[TrainEvent]:
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
    assert worker.Work(run).do() == "done"
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
    assert worker.Work(run).do() == run.state().status == "stopped"


def test_data_that_is_gone_fails_the_run_with_what_happened_and_what_to_do(
    run: Run, tiny_bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run.write_config(TrainConfig(model=str(tiny_bert), train_file="data/train.parquet", precision="fp32"))
    assert worker.Work(run).do() == "failed"
    state = run.state()
    assert (state.status, bool(state.message), bool(state.hint)) == ("failed", True, True)
    assert "train.parquet" in state.message and str(run.path) not in state.message
    err = capfd.readouterr().err
    assert f"{state.message} {state.hint}" in err and "Traceback" not in err


def test_a_data_error_is_kept_word_for_word(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        training, "train", yields(DataError("train.csv is empty.", hint="Give another file."))
    )
    worker.Work(run).do()
    assert (run.state().message, run.state().hint) == ("train.csv is empty.", "Give another file.")


def test_an_unknown_error_fails_the_run_and_keeps_its_traceback_in_the_log(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "train", yields(TrainEvent("step", 1), ZeroDivisionError("by zero")))
    assert worker.Work(run).do() == "failed"
    assert (run.state().message, run.events()[0][-1].kind) == ("ZeroDivisionError: by zero", "step")
    assert "log.txt" in run.state().hint
    assert "Traceback (most recent call last)" in capfd.readouterr().err


def test_an_unknown_error_names_no_folder_of_the_host(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    error = PermissionError(13, "Permission denied", str(run.path / "secret" / "a.csv"))
    monkeypatch.setattr(training, "train", yields(error))
    worker.Work(run).do()
    assert run.state().message == "PermissionError: [Errno 13] Permission denied: 'a.csv'"


def test_the_log_tells_of_everything_but_the_steps(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        training, "train", yields(TrainEvent("step", 1), TrainEvent("epoch", 1, metrics={"loss": 1}))
    )
    worker.Work(run).do()
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


def test_a_term_before_the_steps_ends_the_work_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a library swallows every exception: a run is often ended while it still loads."""
    work = worker.Work(run)

    def train(*_: object) -> Iterator[TrainEvent]:
        try:
            work.terminate(signal.SIGTERM, None)
        except Exception:
            yield TrainEvent("step", 1)

    monkeypatch.setattr(training, "train", train)
    assert work.do() == "interrupted"
    assert (run.state().message, run.state().hint) == (worker.TERMINATED, "Resume it to begin anew.")


def test_a_term_among_the_steps_waits_for_the_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    work = worker.Work(run)

    def train(*_: object) -> Iterator[TrainEvent]:
        yield TrainEvent("step", 1)
        yield TrainEvent("step", 2)
        work.terminate(signal.SIGTERM, None)
        assert run.pause_requested()
        yield TrainEvent("paused", 2)

    monkeypatch.setattr(training, "train", train)
    assert work.do() == "interrupted"
    assert run.state().message == worker.TERMINATED and not run.pause_requested()


@pytest.mark.parametrize(
    ("request_it", "status"), [(Run.request_stop, "stopped"), (Run.request_pause, "paused")]
)
def test_a_request_is_heard_while_the_texts_are_read(
    request_it: object, status: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    work = worker.Work(run)
    before = signal.signal(signal.SIGUSR1, work.end_on_request)
    monkeypatch.setattr(worker, "WATCH_SECONDS", 0.1)

    def train(*_: object) -> Iterator[TrainEvent]:
        yield TrainEvent("status", message="Reading the texts")
        request_it(run)
        time.sleep(600)
        yield TrainEvent("step", 1)

    monkeypatch.setattr(training, "train", train)
    try:
        assert work.do() == status
    finally:
        signal.signal(signal.SIGUSR1, before)
    state = run.state()
    assert state.message == f"{status.capitalize()} before its first step."
    assert state.hint == "Resume it to begin anew." and not run.stop_requested()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a process maps")
def test_a_guests_run_holds_no_more_memory_than_it_may(tiny_bert: Path) -> None:
    large, small = (bounded_run(tiny_bert, rows) for rows in (1200, 64))
    state = large.state()
    assert (state.status, state.message[:15]) == ("failed", "Memory ran out."), large.log_tail()
    assert state.hint == "Go on with the smaller settings: a run may take 1.1 GB here."
    assert 0 < state.advice["batch_size"] < 1200
    assert small.state().status == "done", small.log_tail()


@pytest.mark.slow
def test_a_guests_run_that_hears_nothing_is_ended_when_its_time_is_long_over(home: Path) -> None:
    """The deadline is looked at between two steps, and a tokenizer may take hours before the first."""
    run = Run.create(TrainConfig(train_file="data/train.parquet"), minutes=0.001)
    code = "import sys, time; from bertspace import training; from bertspace.jobs import worker; "
    code += "worker.GRACE_SECONDS = worker.WATCH_SECONDS = 0.1"
    code += "; training.train = lambda *_: (time.sleep(600) for _ in range(1)); worker.main(sys.argv[1:])"
    command = [sys.executable, "-c", code, str(run.path)]
    done = subprocess.run(command, env=processes.child_environment(trains=True), timeout=300, check=False)
    state = run.state()
    assert (done.returncode, state.status) == (1, "failed") and not run.is_locked()
    assert state.message == "Its 0.001 minutes were long over, and it was not done."


def bounded_run(model: Path, count: int) -> Run:
    """A run at its end, its rows in one batch, in 1 GiB, of which the libraries take half."""
    rows = pd.DataFrame({"text": ["the sea and the light " * 30] * count, "label": [0, 1] * (count // 2)})
    splits = data.Splits(rows, rows.head(8), None, ("no", "yes"), "rows.csv", ())
    config = TrainConfig(model=str(model), batch_size=count, max_length=128, precision="fp32", max_steps=1)
    run = Run.create(
        data.run_config(config, splits),
        memory_bytes=2**30,
        fill=lambda folder: data.write_splits(splits, folder / "data"),
    )
    environment = processes.child_environment(trains=True) | {
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    command = [sys.executable, "-m", "bertspace.jobs.worker", str(run.path)]
    with (run.path / "log.txt").open("wb") as log:
        subprocess.run(command, env=environment, stdout=log, stderr=log, timeout=300, check=False)
    return run


def test_a_pause_is_no_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "train", yields(TrainEvent("step", 1), TrainEvent("paused", 1)))
    run.request_pause()
    assert worker.Work(run).do() == run.state().status == "paused"
    assert not run.pause_requested()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        MemoryError(),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 20.00 MiB"),
    ],
)
def test_memory_that_ran_out_is_told_with_settings_that_need_less(
    error: Exception, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train", yields(error))
    assert worker.Work(run).do() == "failed"
    state = run.state()
    assert (state.message, state.advice) == (
        "Memory ran out.",
        {"batch_size": 16, "gradient_accumulation": 2},
    )
    assert "smaller settings" in state.hint


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(27, "File too large"),
        RuntimeError("I/O error: File too large (os error 27)"),
    ],
)
def test_a_full_disk_is_told_as_such(error: Exception, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "train", yields(TrainEvent("step", 1), error))
    assert worker.Work(run).do() == "failed"
    assert run.state().message == "The disk is full: a file could not be written."


def test_the_memory_taken_is_noted_and_explains_a_death_near_the_limit(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.note_memory(90)
    monkeypatch.setattr(hardware, "memory_limit_bytes", lambda: 100)
    state = run.state()
    assert state.status == "interrupted" and "memory was nearly full" in state.message
    assert state.advice == {"batch_size": 16, "gradient_accumulation": 2}
    run.note_memory(50)
    assert (run.state().message, run.state().advice) == ("The process ended before the run did.", {})


def test_the_errors_that_a_worker_writes_fit_into_a_state() -> None:
    state = RunState(status="failed", message=BertspaceError("what", hint="do").message)
    assert RunState(**json.loads(json.dumps(state.__dict__))) == state
