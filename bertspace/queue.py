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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bertspace import runs
from bertspace.runs import Run

_SECRET = re.compile("TOKEN|SECRET|PASSWORD|API_KEY", re.IGNORECASE)


def start_next() -> Run | None:
    """Start the oldest queued run if none is running; the run started, or None."""
    with lock():
        everyone = [run for owner in _owners() for run in runs.list_runs(owner)]
        if any(run.is_locked() for run in everyone):
            return None
        queued = [
            run
            for run in everyone
            if run.state().status == "queued" and (run.path / "data" / "source.json").is_file()
        ]
        if not queued:
            return None
        run = min(queued, key=lambda each: (each.state().created, each.id))
        _start(run)
        return run


def _owners() -> list[str]:
    return (
        sorted(path.name for path in runs.home().iterdir() if path.is_dir()) if runs.home().is_dir() else []
    )


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
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(),
            start_new_session=True,
            pass_fds=[held.fileno()],
        )
        run.write_state(replace(run.state(), status="running", started=time.time(), pid=process.pid))
    # Without someone who waits, an ended worker stays as a zombie that looks alive.
    threading.Thread(target=process.wait, daemon=True).start()


def _environment() -> dict[str, str]:
    """This process's variables less every secret; the package is found where it was found now."""
    clean = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, *filter(None, clean.get("PYTHONPATH", "").split(os.pathsep))]
    return clean | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "BERTSPACE_HOME": str(runs.home()),
        "TOKENIZERS_PARALLELISM": "true",
    }


def position(run: Run) -> int:
    """1 for the run that starts next; 0 for one that is not waiting."""
    waiting = [
        each for owner in _owners() for each in runs.list_runs(owner) if each.state().status == "queued"
    ]
    order = [each.id for each in sorted(waiting, key=lambda each: (each.state().created, each.id))]
    return order.index(run.id) + 1 if run.id in order else 0
