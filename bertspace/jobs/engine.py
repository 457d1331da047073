"""Submit, queue, stop, pause, resume: run folders and the processes that work on them.

Knows nothing of gradio.

There is no scheduler: `submit`, every worker's end and, every few seconds, the app call `queue.start_next`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
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
from bertspace.schema import RunState, TrainConfig
from bertspace.tasks import TASKS

NAME_LENGTH, NOTES_LENGTH = 200, 10_000  # characters


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
    """Check the data, make the run's folder with its own copy of the rows, queue it and start it if none
    runs.

    splits: the config's rows, where they have been loaded already. minutes, memory_bytes, stored_bytes: the
    run's bounds, as in RunState. seconds: what the download of a base may take that not everybody may see, 0
    for any. A base of the Hub is pinned to its commit. Raises BertspaceError before anything is kept.
    """
    TASKS[config.task].check(config)
    if not credentials.current().guest and Path(config.model).is_dir() and config.model != "starter":
        config = replace(
            config, model=str(Path(config.model).resolve())
        )  # the worker works in another folder
    config = replace(config, model=models.pinned(config.model, seconds=seconds))
    _check_layers(config)
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


def _check_layers(config: TrainConfig) -> None:
    """Raises ConfigError for more frozen layers than the model has, where its files are here to say so."""
    if config.freeze_layers and (layers := models.layers(config.model)) and config.freeze_layers > layers:
        raise tuning.too_many_layers(config.freeze_layers, layers)


def title(config: TrainConfig, splits: data.Splits) -> str:
    """A run's first name: what on what."""
    return f"{config.model.rpartition('/')[2].partition('@')[0]} on {splits.source.removeprefix('sample: ')}"


def stop(run: Run) -> None:
    """Ask a run to finish its step, save and score; a queued one ends at once. Raises RunError."""
    with queue.lock():
        state = _unended(run, "stop")
        if state.status == "queued":
            said = "Taken out of the queue." if run.checkpoint() else "Stopped before it began."
            run.write_state(replace(state, status="stopped", ended=time.time(), message=said))
        else:
            run.request_stop()


def pause(run: Run) -> None:
    """Ask a run to finish its step, write a checkpoint and free the device; a queued one waits no longer.

    Raises RunError.
    """
    with queue.lock():
        state = _unended(run, "pause")
        if state.status == "queued":
            run.write_state(
                replace(state, status="paused", ended=time.time(), message="Paused in the queue.")
            )
        else:
            run.request_pause()


def _unended(run: Run, verb: str) -> RunState:
    state = run.state()
    if state.status in ENDED:
        raise RunError(
            f"The run {run.id} has ended already ({state.status}).", hint=f"There is nothing to {verb}."
        )
    return state


def resume(run: Run, changes: Mapping[str, Any] | None = None) -> None:
    """Queue a run again, to go on from its newest checkpoint (from the beginning where there is none).

    changes: batch_size and gradient_accumulation may be others from here on, with as many rows a step as
    before; before the first checkpoint, every setting. Raises RunError and ConfigError.
    """
    changes = dict(changes or {})
    with queue.lock():
        state = run.state()
        if state.status not in RESUMABLE:
            hint = (
                "It is at work or waits." if state.status != "done" else "Copy its settings into a new run."
            )
            raise RunError(f"The run {run.id} is {state.status}: it cannot be resumed.", hint=hint)
        if changes:
            run.write_config(_changed(run, changes))
        run.clear_requests()
        state = replace(state, status="queued", place=time.time(), pid=0, ended=0.0)
        run.write_state(replace(state, message="", hint="", advice={}))
    queue.start_next()


def _changed(run: Run, changes: Mapping[str, Any]) -> TrainConfig:
    """The run's settings with the changes; raises RunError where it is too late for them."""
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
    for key, value, most in (("name", name, NAME_LENGTH), ("notes", notes, NOTES_LENGTH)):
        if value and len(value) > most:
            raise RunError(f"The {key} has {len(value):,} characters.", hint=f"Give at most {most:,}.")
    with queue.lock():
        state = run.written_state()  # as the file has it: "interrupted" is what a reader says
        name, notes = (state.name if name is None else name), (state.notes if notes is None else notes)
        run.write_state(replace(state, name=name.strip(), notes=notes.strip()))


def size(run: Run) -> int:
    """Bytes that the run's files take on disk."""
    return folder_bytes(run.path.resolve())


def kill(run: Run, patience: float = 5.0) -> None:
    """End a run's whole process group: TERM, then KILL. Returns when its lock is free."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        if run.is_locked() and (pid := run.written_state().pid):
            _signal_group(pid, number)
        while run.is_locked() and time.monotonic() < deadline:
            time.sleep(0.05)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)  # start_new_session made the worker its group's leader
    except ProcessLookupError:
        with suppress(ProcessLookupError):  # it ended in between
            os.kill(pid, number)  # or was started by hand, in a group of someone else's


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
