"""A few kills and restarts, and moments that random ones seldom hit. In full: benchmarks/kills.py."""

import errno
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bertspace import data, processes, runs, training
from bertspace.errors import RunError
from bertspace.jobs import engine, queue, worker
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig, TrainEvent
from bertspace.training import outcome
from bertspace.ui.runs.view import run_lines
from tests.benchmarks import kills
from tests.support import until
from tests.support.training import FAST, SPLITS, made_run

pytestmark = pytest.mark.slow


class Dead(BaseException):
    """The process is gone."""


def die(*_: object) -> None:
    raise Dead


def ready(config: str = "epochs: broken") -> Run:
    """A queued run that is complete but for a config that its worker cannot read: it ends at once."""
    run = Run.create(TrainConfig())
    (run.path / "config.yaml").write_text(config)
    (run.path / "data").mkdir()
    (run.path / "data" / "source.json").write_text("{}")
    return run


def test_runs_killed_at_random_moments_end_as_if_they_had_not_been(
    home: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = kills.killed_runs(tiny_bert, 3, random.Random(7), only=["best"], epochs=8)
    assert not found.failed, "\n".join(found.lines())
    assert found.phases.total() == 3
    assert "0 runs lost, 0 differences" in next(found.lines())
    assert not any(run.is_locked() for run in runs.list_runs())


def test_an_app_started_again_says_nothing_false_of_the_runs(
    home: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    home.mkdir()
    found = kills.restarted_app(tiny_bert, home, 1, random.Random(8))
    assert not found.failed, "\n".join(found.lines())
    assert found.restarts >= 1 and found.looks > 20
    assert "0 of them false" in next(found.lines())
    assert not any(run.is_locked() for run in runs.list_runs())


# Moments that random kills seldom hit


def test_a_run_whose_starter_died_before_it_said_so_is_known_as_running(
    tiny_bert: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the start of the process and the state that says so."""
    monkeypatch.setattr(queue, "start_next", lambda: None)
    run = engine.submit(TrainConfig(model=str(tiny_bert), epochs=500, **FAST), splits=SPLITS)
    with (run.path / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-m", "bertspace.jobs.worker", str(run.path), str(held.fileno())],
            stdin=subprocess.DEVNULL,
            env=processes.child_environment(trains=True) | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
            pass_fds=[held.fileno()],
        )
    try:
        until(lambda: run.events()[0])
        state = run.state()
        assert (state.status, state.pid) == ("running", process.pid) and state.started > state.created
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert run.state().status == "interrupted"


@pytest.mark.parametrize("folder", ["", "mine"])
def test_a_run_whose_rows_could_not_be_written_is_not_there(
    folder: str, home: Path, tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would wait for ever: nothing starts a run without its rows."""
    listed: list[list[Run]] = []

    def fail(*_: object) -> None:
        listed.append(runs.list_runs())  # what is seen when the process is killed here
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(data, "write_splits", fail)
    with pytest.raises(OSError, match="No space left"):
        config = TrainConfig(model=str(tiny_bert), **FAST)
        engine.submit(config, splits=SPLITS, folder=tmp_path / folder if folder else None)
    assert listed == [[]] and runs.list_runs() == []
    assert not list((home / "local").iterdir()) and not (tmp_path / "mine").exists()


def test_looking_at_a_run_never_keeps_it_from_starting(home: Path) -> None:
    """A look takes the lock for a moment: to see whether somebody holds it."""
    run, over = ready(), threading.Event()

    def look() -> None:
        while not over.is_set():
            run.is_locked()
            time.sleep(0.0005)  # some thousand looks a second by all three; a page takes one

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(10):
            run.write_state(RunState(status="queued", created=1.0))
            assert queue.start_next() is not None
            until(lambda: run.state().status == "failed" and not run.is_locked())
    finally:
        over.set()
        for looker in lookers:
            looker.join()


def test_a_process_that_dies_after_the_result_was_written_leaves_a_run_that_is_done(
    tiny_bert: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a whole training would begin anew."""

    config = TrainConfig(model=str(tiny_bert), epochs=1, checkpoint_steps=2, **FAST)
    run = made_run(tmp_path, config)
    run.write_state(RunState(status="running"))
    with monkeypatch.context() as patch:
        patch.setattr(worker, "_write_end", die)
        with pytest.raises(Dead):
            worker.Work(run).do()
    assert run.result()["stopped"] is False
    state = run.state()
    assert (state.status, state.message) == ("done", "")
    assert state.ended == pytest.approx(time.time(), abs=30)
    with pytest.raises(RunError, match="is done"):
        engine.resume(run)


def test_checkpoints_stay_until_the_result_is_written(
    tiny_bert: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made_run(tmp_path, TrainConfig(model=str(tiny_bert), epochs=1, checkpoint_steps=2, **FAST))
    run.write_state(RunState(status="running"))
    with monkeypatch.context() as patch:
        patch.setattr(outcome, "write", die)
        patch.setattr(worker, "_write_end", die)
        with pytest.raises(Dead):
            worker.Work(run).do()
    assert (run.state().status, run.checkpoint()) == ("interrupted", 8)
    assert worker.Work(run).do() == "done"
    assert "Going on after step 8" in [event.message for event in run.events()[0]]
    assert not run.checkpoints()


def test_the_time_of_a_run_that_was_killed_does_not_go_on(home: Path) -> None:
    run = Run.create(TrainConfig())
    run.append(TrainEvent("step", 3))
    os.utime(run.path / "events.jsonl", (5_000.0, 5_000.0))
    run.write_state(RunState(status="running", started=4_000.0))
    assert (run.state().status, run.state().ended) == ("interrupted", 5_000.0)
    assert [line.seconds for line in run_lines()] == [1_000.0]


def test_what_a_killed_process_had_half_written_is_removed_when_the_run_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ready()
    for name in (".state.json.1234.tmp", ".predictions.parquet.99.tmp", ".probe.safetensors.7.tmp"):
        (run.path / name).write_bytes(b"half")
    for name in (".model.new", ".model.old"):
        (run.path / name).mkdir()
        (run.path / name / "model.safetensors").write_bytes(b"half")
    run.write_state(RunState(status="running"))
    monkeypatch.setattr(training, "train", lambda *_: iter([TrainEvent("step", 1)]))
    run.write_config(TrainConfig())
    assert worker.Work(run).do() == "done"
    assert not [path.name for path in run.path.glob(".*")]


def test_with_neither_steps_nor_minutes_there_is_a_checkpoint_at_the_end_of_every_epoch(
    tiny_bert: Path, tmp_path: Path, home: Path
) -> None:
    config = TrainConfig(model=str(tiny_bert), epochs=3, checkpoint_minutes=0, **FAST)
    run = made_run(tmp_path, config)
    seen = []
    for event in training.train(run.config(), run):
        if event.kind == "epoch":
            seen.append(run.checkpoint())
    assert seen == [8, 16, 24]


def test_the_queue_goes_on_when_the_run_ahead_was_killed(home: Path, tiny_bert: Path) -> None:
    """Its own process cannot start the next one, and nobody may be there to ask."""
    over = queue.keep_going(every=0.2)
    first, second = (
        engine.submit(TrainConfig(model=str(tiny_bert), epochs=500, **FAST), splits=SPLITS) for _ in range(2)
    )
    try:
        assert kills.kill(first)
        until(lambda: second.is_locked() and second.state().status == "running", 30)
        assert first.state().status == "interrupted"
    finally:
        over.set()
        kills.kill(second)


# The measuring itself


def test_a_claim_that_is_not_true_is_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Said:
        """An app that calls everything running."""

        def claims(self, given: list[Run]) -> list[tuple[str, str, str]]:
            return [(where, run.id, "running") for run in given for where in ("here", "there")]

    dead, done = ready(), ready()
    dead.write_state(RunState(status="running", pid=2**22 - 7))
    done.write_state(RunState(status="done"))
    watch = kills._Watch([dead, done], Said(), random.Random(0))  # type: ignore[arg-type]
    watch.look()
    assert (watch.found.looks, watch.found.failed) == (4, True)
    assert watch.found.false[0] == f"here: {dead.id} is running, and in truth interrupted"


def test_an_outcome_that_differs_is_named(tiny_bert: Path, tmp_path: Path) -> None:
    config = TrainConfig(model=str(tiny_bert), epochs=1, **FAST)
    run = made_run(tmp_path, config)
    for event in training.train(run.config(), run):
        run.append(event)
    whole = kills.outcome(run)
    lines = run.path.joinpath("events.jsonl").read_text().splitlines()
    step = next(number for number, line in enumerate(lines) if '"step", ' in line)
    event = json.loads(lines[step])
    lines[step] = json.dumps(event | {"loss": event["loss"] + 1e-12})
    run.path.joinpath("events.jsonl").write_text("\n".join(lines) + "\n")
    found = kills.outcome(run)
    assert [name for name in whole if found[name] != whole[name]] == ["events"]
