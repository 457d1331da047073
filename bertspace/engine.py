"""Submit, queue, stop, find again: run folders and the processes that work on them. Knows nothing of gradio.

There is no scheduler: `submit`, the app's start and every worker's end call `queue.start_next`.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

from bertspace import data, queue
from bertspace.errors import RunError
from bertspace.runs import ENDED, LOCAL_OWNER, Run
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS


def submit(
    config: TrainConfig,
    *,
    owner: str = LOCAL_OWNER,
    name: str = "",
    folder: Path | None = None,
    splits: data.Splits | None = None,
) -> Run:
    """Check the data, make the run's folder with its own copy of the rows, queue it and start it if none
    runs.

    splits: the config's rows, where they have been loaded already. Raises BertspaceError before anything
    is kept.
    """
    TASKS[config.task].check(config)
    if Path(config.model).is_dir() and config.model != "starter":
        config = replace(
            config, model=str(Path(config.model).resolve())
        )  # the worker works in another folder
    splits = splits or data.load_splits(config)
    run = Run.create(
        data.run_config(config, splits), owner=owner, name=name or title(config, splits), folder=folder
    )
    data.write_splits(splits, run.path / "data")
    queue.start_next()
    return run


def title(config: TrainConfig, splits: data.Splits) -> str:
    """A run's first name: what on what."""
    return f"{config.model.rpartition('/')[2].partition('@')[0]} on {splits.source.removeprefix('sample: ')}"


def stop(run: Run) -> None:
    """Ask a run to finish its step, save and score; a queued one ends at once. Raises RunError."""
    with queue.lock():
        state = run.state()
        if state.status in ENDED:
            raise RunError(
                f"The run {run.id} has ended already ({state.status}).", hint="There is nothing to stop."
            )
        if state.status == "queued":
            run.write_state(
                replace(state, status="stopped", ended=time.time(), message="Stopped before it began.")
            )
        else:
            run.request_stop()


def kill(run: Run, patience: float = 5.0) -> None:
    """End a run's whole process group: TERM, then KILL. Returns when its lock is free."""
    pid = run.state().pid
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        if pid and run.is_locked():
            _signal_group(pid, number)
        while run.is_locked() and time.monotonic() < deadline:
            time.sleep(0.05)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)  # start_new_session made the worker its group's leader
    except ProcessLookupError:
        return  # it ended in between


def wait(run: Run, seconds: float | None = None) -> None:
    """Return when the run has ended, or after so many seconds."""
    deadline = time.monotonic() + seconds if seconds is not None else None
    while (status := run.state().status) not in ENDED or run.is_locked():
        if status == "queued":
            queue.start_next()  # the run ahead may have died without starting it
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(0.2)


def delete(run: Run) -> None:
    """Remove a run and all that it made; one that is running is ended first."""
    if run.is_locked():
        kill(run)
    target = run.path.resolve()
    shutil.rmtree(target)
    if run.path.is_symlink():
        run.path.unlink()
    queue.start_next()
