"""Submit, queue, stop, pause, resume: run folders and the processes that work on them.

Knows nothing of gradio.

There is no scheduler process: `submit`, every ending worker and the app, every few seconds, call
`queue.start_next`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertspace import data, models
from bertspace.errors import RunError
from bertspace.files import folder_bytes
from bertspace.hub import credentials
from bertspace.jobs import queue
from bertspace.models import tuning
from bertspace.runs import CHANGEABLE, ENDED, LOCAL_OWNER, RESUMABLE, Run
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS

MAX_CHARACTERS = {"name": 200, "notes": 10_000}


def submit(
    config: TrainConfig,
    *,
    owner: str = LOCAL_OWNER,
    name: str = "",
    folder: Path | None = None,
    splits: data.Splits | None = None,
    minutes: float = 0.0,
    memory_bytes: int = 0,
    stored_bytes: int = 0,
    seconds: float = 0.0,
) -> Run:
    """Make a run's folder with its own copy of the rows, queue it, and start it if no other runs.

    splits: the config's rows, where they have been loaded already. minutes, memory_bytes, stored_bytes: the
    run's limits, as in RunState. seconds: the limit for downloading a base that is private or gated, 0 for
    none. A base of the Hub is pinned to its commit. Raises BertspaceError before anything is written.
    """
    TASKS[config.task].check(config)
    if not credentials.current().guest and Path(config.model).is_dir() and config.model != "starter":
        # The worker's current folder is another one.
        config = replace(config, model=str(Path(config.model).resolve()))
    config = replace(config, model=models.pinned(config.model, seconds=seconds))
    if config.freeze_layers and (layers := models.layers(config.model)) and config.freeze_layers > layers:
        raise tuning.too_many_layers(config.freeze_layers, layers)
    splits = splits or data.load_splits(config)
    run = Run.create(
        data.run_config(config, splits),
        owner=owner,
        name=name or title(config, splits),
        folder=folder,
        minutes=minutes,
        memory_bytes=memory_bytes,
        stored_bytes=stored_bytes,
        fill=lambda path: data.write_splits(splits, path / "data"),
    )
    queue.start_next()
    return run


def title(config: TrainConfig, splits: data.Splits) -> str:
    """The name of a new run: its model and its data."""
    return f"{config.model.rpartition('/')[2].partition('@')[0]} on {splits.source.removeprefix('sample: ')}"


def stop(run: Run) -> None:
    """Ask a run to finish its step, save and score; a queued one ends at once. Raises RunError."""
    message = "Taken out of the queue." if run.checkpoint() else "Stopped before it began."
    _end_queued_or(run.request_stop, run, "stop", "stopped", message)


def pause(run: Run) -> None:
    """Ask a run to finish its step, write a checkpoint and free the device; a queued one ends at once.

    Raises RunError.
    """
    _end_queued_or(run.request_pause, run, "pause", "paused", "Paused in the queue.")


def _end_queued_or(request: Callable[[], None], run: Run, verb: str, status: str, message: str) -> None:
    """Give a queued run this end; make the request of a running one."""
    with queue.lock():
        now = run.state().status
        if now in ENDED:
            raise RunError(
                f"The run {run.id} has ended already ({now}).", hint=f"There is nothing to {verb}."
            )
        if now == "queued":
            run.change_state(status=status, ended=time.time(), message=message)
        else:
            request()


def resume(run: Run, changes: Mapping[str, Any] | None = None) -> None:
    """Queue a run again, to go on from its newest checkpoint (from the beginning where there is none).

    changes: of batch_size and gradient_accumulation, with as many rows a step as before; before the first
    checkpoint, of any setting. Raises RunError and ConfigError.
    """
    with queue.lock():
        status = run.state().status
        if status not in RESUMABLE:
            hint = "It is at work or waits." if status != "done" else "Copy its settings into a new run."
            raise RunError(f"The run {run.id} is {status}: it cannot be resumed.", hint=hint)
        if changes:
            run.write_config(_changed(run, changes))
        run.clear_requests()
        run.change_state(status="queued", place=time.time(), pid=0, ended=0.0, message="", hint="", advice={})
    queue.start_next()


def _changed(run: Run, changes: Mapping[str, Any]) -> TrainConfig:
    """The run's settings with the changes; raises RunError where a checkpoint forbids them."""
    before = run.config()
    after = TrainConfig.from_dict(before.to_dict() | dict(changes))
    if run.checkpoint() is None:
        return after
    hint = "Copy its settings into a new run and change it there."
    if fixed := sorted(set(changes) - CHANGEABLE):
        raise RunError(f"{', '.join(fixed)} cannot change in the middle of a run.", hint=hint)
    rows = [each.batch_size * each.gradient_accumulation for each in (before, after)]
    if rows[0] != rows[1]:
        raise RunError(f"That would be {rows[1]} rows a step, after {rows[0]} in the steps done.", hint=hint)
    return after


def edit(run: Run, *, name: str | None = None, notes: str | None = None) -> None:
    """Give a run another name or other notes; None leaves one as it is. Raises RunError."""
    given = {key: value for key, value in (("name", name), ("notes", notes)) if value is not None}
    for key, value in given.items():
        if len(value) > (limit := MAX_CHARACTERS[key]):
            raise RunError(f"The {key} has {len(value):,} characters.", hint=f"Give at most {limit:,}.")
    with queue.lock():
        run.change_state(**{key: value.strip() for key, value in given.items()})


def size(run: Run) -> int:
    """Bytes that the run's files take on disk."""
    return folder_bytes(run.path.resolve())


def kill(run: Run, seconds: float = 5.0) -> None:
    """End a run's process group: TERM and, after so many seconds, KILL. Returns when its lock is free."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + seconds
        if run.is_locked() and (pid := run.written_state().pid):
            _signal_group(pid, number)
        while run.is_locked() and time.monotonic() < deadline:
            time.sleep(0.05)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)  # start_new_session made the worker its group's leader
    except ProcessLookupError:
        with suppress(ProcessLookupError):  # it has ended
            os.kill(pid, number)  # or was started by hand, in another group


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
    """Remove a run and all that it made; one that is running is ended first. Raises RunError."""
    if run.is_locked():
        kill(run)
    with queue.lock():  # or it might be started at this moment
        if run.is_locked():
            raise RunError(f"The run {run.id} does not end.", hint="Try again in a moment.")
        run.remove()
    queue.start_next()
