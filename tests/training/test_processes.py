"""The same run in two processes (gloo on a CPU, by torchrun) equals the run in one, step by step."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertspace import processes
from bertspace.runs import Run
from bertspace.schema import TrainConfig
from tests.support import until
from tests.support.processes import LAUNCHER, SETTINGS, ended, equal, queued_run, steps
from tests.support.training import made_run, work

pytestmark = pytest.mark.slow

KINDS: dict[str, dict[str, Any]] = {
    "labels": {"gradient_accumulation": 3},
    "masks": {"task": "fill-mask", "chunk_size": 16},
}


def launch(run: Run, *arguments: str) -> subprocess.Popen[bytes]:
    """The worker under its launcher, as a machine with several devices has it."""
    environment = processes.child_environment(trains=True) | {
        "BERTSPACE_LAUNCHER": LAUNCHER,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "bertspace.jobs.worker", str(run.path), *arguments]
    with (run.path / "log.txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_stop_resume_and_score_as_one(
    kind: str, tiny_bert: Path, tmp_path: Path, home: Path
) -> None:
    config = TrainConfig(model=str(tiny_bert), **SETTINGS | KINDS[kind])
    alone = made_run(tmp_path / "alone", config)
    work(alone)

    run = queued_run(tmp_path / "pair", replace(config, checkpoint_steps=1))
    process = launch(run)
    try:
        until(lambda: len(steps(run)) >= 2)
        run.request_stop()
        assert ended(process, run) in ("stopped", "done"), run.log_tail()
        stopped = run.result()
        assert stopped["environment"]["processes"] == 2, "one process started, where there were to be two"
        if run.state().status == "stopped":
            assert (run.path / "model" / "model.safetensors").is_file()
            assert stopped["steps"] == run.checkpoint() == len(steps(run))
            run.clear_requests()
            process = launch(run)
            assert ended(process, run) == "done", run.log_tail()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    equal(run, alone)


def test_when_the_leader_is_killed_no_process_of_it_lives_on_and_the_run_is_interrupted(
    tiny_bert: Path, tmp_path: Path, home: Path
) -> None:
    run = queued_run(tmp_path / "pair", TrainConfig(model=str(tiny_bert), **SETTINGS | {"epochs": 500}))
    process = launch(run)
    until(lambda: len(steps(run)) >= 2)
    started = processes_of(run)
    assert len(started) >= 4  # the leader, torchrun, and two workers
    process.kill()
    process.wait()
    until(lambda: not processes_of(run))
    assert run.state().status == "interrupted" and not run.is_locked()


def processes_of(run: Run) -> list[int]:
    """The processes whose command line names the run; zombies have none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(run.path) in path.read_bytes().decode():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_worker_started_by_hand_takes_the_lock_and_a_second_one_is_refused(
    tiny_bert: Path, tmp_path: Path, home: Path
) -> None:
    run = queued_run(tmp_path / "mine", TrainConfig(model=str(tiny_bert), **SETTINGS | {"epochs": 500}))
    environment = processes.child_environment(trains=True) | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bertspace.jobs.worker", str(run.path)]
    first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: run.is_locked() and run.written_state().status == "running")
        second = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert (second.returncode, second.stderr.strip()) == (1, f"The run {run.id} is at work already.")
        assert run.state().pid == first.pid
    finally:
        first.kill()
        first.wait()
    assert json.loads((run.path / "state.json").read_text())["status"] == "running"
    assert run.state().status == "interrupted"
