"""The queue of runs: start the oldest that waits when none is running. Knows nothing of what a run does.

Whoever starts a worker takes the run's lock and hands it down, so that no moment lies between "started" and
"locked", and two processes never start the same run.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from bertspace import hardware, runs
from bertspace.errors import RunError
from bertspace.runs import Run
from bertspace.schema import RunState

_SECRET = re.compile("TOKEN|SECRET|PASSWORD|API_KEY", re.IGNORECASE)


def start_next() -> Run | None:
    """Start the oldest queued run if none is running; the run started, or None."""
    with lock():
        everyone = _everyone()
        if any(run.is_locked() for run in everyone):
            return None
        queued = [run for run in waiting(everyone) if (run.path / "data" / "source.json").is_file()]
        if not queued:
            return None
        run = queued[0]
        _start(run)
        return run


def _everyone() -> list[Run]:
    """Every owner's runs."""
    if not runs.home().is_dir():
        return []
    owners = sorted(path.name for path in runs.home().iterdir() if path.is_dir())
    return [run for owner in owners for run in runs.list_runs(owner)]


@contextmanager
def lock() -> Iterator[None]:
    runs.home().mkdir(parents=True, exist_ok=True)
    with (runs.home() / "queue.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(run: Run) -> None:
    """A worker process in its own session, which no signal to the app reaches and no socket of it keeps."""
    folder = run.path.resolve()
    with (folder / "lock").open("rb") as held, (folder / "log.txt").open("ab") as log:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "bertspace.worker", str(run.path), str(held.fileno())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=worker_environment(),
            start_new_session=True,
            pass_fds=[held.fileno()],
        )
        # The worker begins when its standard input ends: first the state says whose it is.
        run.write_state(replace(run.state(), status="running", started=time.time(), pid=process.pid))
        if process.stdin is not None:
            process.stdin.close()
    # Without someone who waits, an ended worker stays as a zombie that looks alive.
    threading.Thread(target=process.wait, daemon=True).start()


def worker_environment() -> dict[str, str]:
    """This process's variables less every secret, with what makes training fast on a CPU."""
    hardware.share_cores()
    clean = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, *filter(None, clean.get("PYTHONPATH", "").split(os.pathsep))]
    return clean | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "BERTSPACE_HOME": str(runs.home()),
        "TOKENIZERS_PARALLELISM": "true",
        # Keep memory instead of giving it back to the kernel after each step and getting it zeroed again
        # (glibc reads these at a process's start): a step takes 10 % less.
        "MALLOC_MMAP_THRESHOLD_": str(2**27),
        "MALLOC_TRIM_THRESHOLD_": str(2**32),
    }


def waiting(among: Iterable[Run]) -> list[Run]:
    """The queued runs in their order; one whose state cannot be read is left out."""
    found = []
    for run in among:
        with suppress(RunError):
            if (state := run.state()).status == "queued":
                found.append((_place(state), run.id, run))
    return [run for _, _, run in sorted(found, key=lambda each: each[:2])]


def position(run: Run) -> int:
    """1 for the run that starts next; 0 for one that is not waiting."""
    order = [each.id for each in waiting(_everyone())]
    return order.index(run.id) + 1 if run.id in order else 0


def move(run: Run, place: int) -> None:
    """Put a queued run at this place among those that wait, 1 for the next; raises RunError."""
    with lock():
        state = run.state()
        if state.status != "queued":
            raise RunError(
                f"The run {run.id} does not wait ({state.status}).", hint="There is no place to give."
            )
        others = [each for each in waiting(_everyone()) if each.id != run.id]
        spot = max(0, min(place - 1, len(others)))
        before = _place(others[spot - 1].state()) if spot else None
        after = _place(others[spot].state()) if spot < len(others) else None
        if before is not None:
            run.write_state(replace(state, place=before + 1 if after is None else (before + after) / 2))
        elif after is not None:
            run.write_state(replace(state, place=after - 1))


def _place(state: RunState) -> float:
    return state.place or state.created
