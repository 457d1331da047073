"""The queue: one run at a time, the oldest first, and nobody needed to look after it.

The workers here are real processes whose run has a broken config: they end within a second, as "failed".
"""

import fcntl
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bertspace import runs
from bertspace.errors import RunError
from bertspace.jobs import engine, queue
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from tests.support import until


def ready(name: str = "", created: float = 0.0, config: str = "epochs: broken") -> Run:
    """A queued run that is complete but for a config that its worker cannot read."""
    run = Run.create(TrainConfig(), name=name)
    (run.path / "config.yaml").write_text(config)
    (run.path / "data").mkdir()
    (run.path / "data" / "source.json").write_text("{}")
    created = created or run.state().created
    run.write_state(replace(run.state(), created=created, place=created))
    return run


def ended(*given: Run) -> bool:
    return bool(until(lambda: all(run.state().status in runs.ENDED and not run.is_locked() for run in given)))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs that would have been started, with no process."""
    ids: list[str] = []
    monkeypatch.setattr(queue, "_start", lambda run: ids.append(run.id) is None)
    return ids


def test_the_oldest_run_is_started_and_the_others_wait(started: list[str]) -> None:
    middle, oldest, newest = ready(created=2.0), ready(created=1.0), ready(created=3.0)
    assert [queue.position(run) for run in (oldest, middle, newest)] == [1, 2, 3]
    assert queue.start_next().id == oldest.id
    assert started == [oldest.id]


def test_nothing_is_started_while_a_run_is_alive_whosever_it_is(started: list[str]) -> None:
    ready()
    other = Run.create(TrainConfig(), owner="u1234")
    with (other.path / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert queue.start_next() is None
    assert queue.start_next() is not None
    assert len(started) == 1


def test_a_queued_run_moves_to_the_place_that_it_is_given(started: list[str]) -> None:
    first, second, third, fourth = (ready(created=float(number)) for number in (11, 12, 13, 14))

    def order() -> list[Run]:
        return sorted((first, second, third, fourth), key=queue.position)

    queue.move(third, 1)
    assert order() == [third, first, second, fourth]
    queue.move(third, 3)
    assert order() == [first, second, third, fourth]
    queue.move(first, 99)
    assert order() == [second, third, fourth, first]
    queue.move(fourth, 2)
    assert order() == [second, fourth, third, first]
    assert queue.start_next().id == second.id


def test_a_run_that_does_not_wait_has_no_place_to_move_to() -> None:
    run = ready()
    run.write_state(RunState(status="done"))
    with pytest.raises(RunError, match="does not wait"):
        queue.move(run, 1)


def test_a_run_whose_rows_are_not_written_yet_is_left_alone(started: list[str]) -> None:
    Run.create(TrainConfig())
    assert queue.start_next() is None


def test_with_nothing_to_do_nothing_happens(started: list[str], home: Path) -> None:
    assert queue.start_next() is None
    assert not home.is_dir() or runs.list_runs() == []


@pytest.mark.parametrize("status", ["running", "done", "stopped", "failed"])
def test_only_a_queued_run_is_started_and_has_a_position(status: str, started: list[str]) -> None:
    run = ready()
    run.write_state(RunState(status=status))
    assert queue.start_next() is None
    assert queue.position(run) == 0


def test_a_run_whose_state_is_spoiled_does_not_stop_the_others(started: list[str]) -> None:
    spoiled, run = ready(created=1.0), ready(created=2.0)
    (spoiled.path / "state.json").write_text("{")
    assert queue.start_next().id == run.id
    assert queue.position(run) == 1


@pytest.mark.slow
def test_three_runs_follow_one_another_with_nobody_looking(home: Path) -> None:
    given = [ready(created=float(number)) for number in (1, 2, 3)]
    queue.start_next()
    assert queue.start_next() is None or given[0].state().status == "failed"
    assert ended(*given)
    states = [run.state() for run in given]
    assert {state.status for state in states} == {"failed"}
    assert len({state.pid for state in states}) == 3
    for earlier, later in zip(states, states[1:], strict=False):
        assert earlier.started <= earlier.ended <= later.started


@pytest.mark.slow
def test_a_worker_leaves_no_zombie_behind() -> None:
    run = ready()
    queue.start_next()
    pid = run.state().pid
    assert until(lambda: not Path(f"/proc/{pid}").exists()) if Path("/proc").exists() else ended(run)


@pytest.mark.slow
def test_a_worker_that_ends_before_its_starter_has_written_its_pid_keeps_its_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = ready()
    write = Run.write_state

    def late(self: Run, state: RunState) -> None:
        time.sleep(2.5)
        write(self, state)

    monkeypatch.setattr(Run, "write_state", late)
    queue.start_next()
    monkeypatch.undo()
    assert until(lambda: not run.is_locked())
    assert run.state().status == "failed"


@pytest.mark.slow
def test_two_starters_at_once_start_one_run() -> None:
    import threading

    given = [ready(created=float(number)) for number in (1, 2)]
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(run.id for run in [queue.start_next()] if run))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len(set(seen))
    assert seen[0] == given[0].id
    assert ended(*given)


@pytest.mark.slow
def test_whoever_waits_for_a_run_starts_it_when_the_one_before_was_killed() -> None:
    """A worker that ends starts the next run, but one that the kernel killed cannot."""
    run = ready()
    engine.wait(run, seconds=180)
    assert run.state().status == "failed"
