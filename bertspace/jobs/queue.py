"""The queue of runs: start the oldest that waits when none is running. Knows nothing of what a run does.

Whoever starts a worker takes the run's lock and hands it down, so that no moment lies between "started" and
"locked", and two processes never start the same run.
"""

from __future__ import annotations

import fcntl
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from bertspace import processes, runs
from bertspace.errors import RunError
from bertspace.files import home
from bertspace.runs import Run
from bertspace.schema import RunState

CHECK_SECONDS = 10.0  # between two checks by the app

_log = logging.getLogger(__name__)


def start_next() -> Run | None:
    """Start the oldest queued run if none is running; the run started, or None."""
    with lock():
        everybodys = runs.every_run()
        if any(run.is_locked() for run in everybodys) or not (queued := waiting(everybodys)):
            return None
        return queued[0] if _start(queued[0]) else None


@contextmanager
def lock() -> Iterator[None]:
    home().mkdir(parents=True, exist_ok=True)
    with (home() / "queue.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def keep_going(every: float = CHECK_SECONDS) -> threading.Event:
    """Call `start_next` every so many seconds in a thread, until the returned event is set.

    A run that was killed cannot start the next one, and nobody may be at the page.
    """
    end = threading.Event()

    def check() -> None:
        while not end.is_set():
            try:
                start_next()
            except OSError:  # a full disk may have room again the next time
                _log.exception("The queue could not be checked")
            end.wait(every)

    threading.Thread(target=check, daemon=True, name="queue").start()
    return end


def _start(run: Run) -> bool:
    """Start a worker in a session of its own, which no signal to the app reaches and no socket of it keeps.

    False where a worker was started by hand meanwhile.
    """
    folder = run.path.resolve()
    with (folder / "lock").open("rb") as held, (folder / "log.txt").open("ab") as log:
        if not run.take_lock(held):
            return False
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "bertspace.jobs.worker", str(run.path), str(held.fileno())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=processes.child_environment(trains=True),
            start_new_session=True,
            pass_fds=[held.fileno()],
        )
        # The worker waits for the end of its standard input: until its process id is in the state.
        run.change_state(status="running", started=time.time(), pid=process.pid)
        if process.stdin is not None:
            process.stdin.close()
    # An ended worker that nobody waits for stays as a zombie that looks alive.
    threading.Thread(target=process.wait, daemon=True).start()
    return True


def waiting(among: Iterable[Run]) -> list[Run]:
    """The queued runs in their order, without those that are still being made or cannot be read."""
    queued = []
    for run in among:
        with suppress(RunError):
            if (state := run.state()).status == "queued" and (run.path / "data" / "source.json").is_file():
                queued.append((_place(state), run.id, run))
    return [run for _, _, run in sorted(queued, key=lambda each: each[:2])]


def position(run: Run) -> int:
    """1 for the run that starts next; 0 for one that is not waiting."""
    order = [each.id for each in waiting(runs.every_run())]
    return order.index(run.id) + 1 if run.id in order else 0


def move(run: Run, place: int) -> None:
    """Put a queued run at this place among those that wait, 1 for the next; raises RunError."""
    with lock():
        status = run.state().status
        if status != "queued":
            raise RunError(f"The run {run.id} does not wait ({status}).", hint="There is no place to give.")
        others = [each for each in waiting(runs.every_run()) if each.id != run.id]
        spot = max(0, min(place - 1, len(others)))
        before = _place(others[spot - 1].state()) if spot else None
        after = _place(others[spot].state()) if spot < len(others) else None
        if before is not None:
            run.change_state(place=before + 1 if after is None else (before + after) / 2)
        elif after is not None:
            run.change_state(place=after - 1)


def _place(state: RunState) -> float:
    return state.place or state.created
