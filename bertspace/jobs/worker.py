"""The process of one run: it trains, records what happens, and starts the next run.

`python -m bertspace.jobs.worker RUN`, also under torchrun or `accelerate launch`: the first process writes,
the others compute. Knows nothing of pages: it is given a run's folder, and a lock that its parent took.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from bertspace import hardware, processes, training, words
from bertspace.errors import FULL, BertspaceError, OutOfMemory, without_paths
from bertspace.hub import cache, credentials
from bertspace.hub.credentials import Credentials
from bertspace.jobs import queue
from bertspace.runs import LOCAL_OWNER, Run
from bertspace.schema import TrainEvent
from bertspace.training import checkpoints

WATCH_SECONDS = 0.5  # between two checks by the watching thread
GRACE_SECONDS = 600.0  # beyond a run's minutes, for scoring and saving; then its process is ended
NICE = 5
LAST_EVENTS = ("done", "paused")
HELD = "held"  # as the lock: the parent process holds it
TERMINATED = "The process was ended from outside."
FAILED = {"status": "failed"}
FULL_WORDS = ("No space left on device", "File too large", "Disk quota exceeded")


class Ended(BaseException):
    """The run ends with this status. No Exception: libraries swallow those while they are imported."""

    def __init__(self, status: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint


class Work:
    """One run's work in this process.

    stepping: the first step was done, so the loop itself sees requests. after_step: the last event was one.
    terminated: TERM came. cut_short: the training did not come to its own end. over: requests and signals
    come too late. kill_at: of time.monotonic.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.stepping = self.after_step = self.terminated = self.cut_short = False
        self.over = threading.Event()
        self.kill_at = math.inf
        self.events: Iterator[TrainEvent] = iter(())

    def do(self) -> str:
        """Train the run to its end and return its last status; every outcome is written to its state."""
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        try:
            outcome = self._train()
        except BaseException as error:  # whatever it was is written to the state
            self.over.set()
            self.cut_short = True
            outcome = self._failed(error)
        self.over.set()
        if self.run.is_complete():  # whatever came after the result was written
            outcome = {"status": "done"}
        elif self.run.checkpoint() is None and outcome["status"] not in ("done", "failed"):
            outcome["hint"] = "Resume it to begin anew."
        watch.join()
        _write_end(self.run, outcome)
        if outcome["status"] == "done":  # until then it can be resumed from them
            checkpoints.clean(self.run, 0)
        return str(outcome["status"])

    def _failed(self, error: BaseException) -> dict[str, Any]:
        if not isinstance(error, Ended):
            return failure(error, self.run)
        self.run.clear_requests()
        return {"status": error.status, "message": error.message, "hint": error.hint}

    def _train(self) -> dict[str, Any]:
        worked = self._begin()
        _limit_memory(self.run)
        minutes = self.run.state().minutes
        deadline = time.monotonic() + 60 * minutes - worked if minutes else None
        self.kill_at = math.inf if deadline is None else max(time.monotonic(), deadline) + GRACE_SECONDS
        # Held by self, so that it is not freed where the loop is left early: see _exit_now.
        self.events = training.train(self.run.config(), self.run, deadline)
        last = TrainEvent("status")
        for last in self.events:
            self._record(last)
            if last.kind in LAST_EVENTS and "RANK" in os.environ:
                break
        if last.kind == "paused":
            interrupted = {"status": "interrupted", "message": TERMINATED}
            return interrupted if self.terminated else {"status": "paused"}
        stopped = (self.run.result() or {"stopped": self.run.stop_requested()})["stopped"]
        out_of_time = deadline is not None and time.monotonic() >= deadline
        message = f"Its {minutes:g} minutes are over." if stopped and out_of_time else ""
        return {"status": "stopped" if stopped else "done", "message": message}

    def _begin(self) -> float:
        """Undo what a killed process left after the last checkpoint; seconds worked until then."""
        with queue.lock():  # the state is being edited otherwise
            self.run.sweep()
        checkpoints.undo_half_replaced(self.run)
        checkpoint = checkpoints.newest(self.run)
        self.run.rewind(checkpoint.values["step"] if checkpoint else 0)
        self.run.append(TrainEvent("status", message="Starting"))
        return float(checkpoint.values["progress"]["seconds"]) if checkpoint else 0.0

    def _record(self, event: TrainEvent) -> None:
        self.after_step = event.kind == "step"
        self.stepping = self.stepping or self.after_step
        self.run.append(event)
        if not self.after_step:
            print(log_line(event), flush=True)
        if event.kind in LAST_EVENTS:
            self.over.set()

    def terminate(self, *_: object) -> None:
        """On TERM: among the steps, go on to a checkpoint; elsewhere end at once."""
        if self.over.is_set():
            return
        self.terminated = True
        self.run.request_pause()  # also for where a library swallows what is raised here
        if not self.after_step:
            raise Ended("interrupted", TERMINATED, "Resume it to go on.")

    def end_on_request(self, *_: object) -> None:
        """On the watch's signal: end a run that has no step after which the loop would see the request."""
        if self.stepping or self.over.is_set():
            return
        status = "stopped" if self.run.stop_requested() else "paused"
        before = "before its first step" if self.run.checkpoint() is None else "before it went on"
        message = f"{status.capitalize()} {before}."
        if self.terminated:
            status, message = "interrupted", TERMINATED
        raise Ended(status, message, "Resume it to go on.")

    def _watch(self) -> None:
        """Note the memory held, for when the kernel kills this process for it; see requests while loading."""
        noted = 0
        while not self.over.wait(WATCH_SECONDS):
            if time.monotonic() > self.kill_at:
                self._end_overdue()
            if not self.stepping and (self.run.stop_requested() or self.run.pause_requested()):
                os.kill(os.getpid(), signal.SIGUSR1)
            if (held := hardware.memory_bytes()) > 1.02 * noted:
                noted = held
                with contextlib.suppress(OSError):  # a full disk is reported by whoever needs it
                    self.run.note_memory(held)

    def _end_overdue(self) -> NoReturn:
        """End the process, whatever it is doing: a stranger's tokenizer may take hours over one text."""
        outcome = {"status": "done"}
        if not self.run.is_complete():
            minutes = self.run.written_state().minutes
            message = f"Its {minutes:g} minutes were long over, and it was not done."
            hint = "Take fewer rows, shorter texts, or another model."
            outcome = {"status": "failed", "message": message, "hint": hint}
        _write_end(self.run, outcome)
        _exit_now(1)


def _limit_memory(run: Run) -> None:
    """Let all processes of the run together hold no more than it may; on a CPU alone.

    With a GPU the addresses that its driver reserves would count, and what is on it would not.
    """
    limit = run.written_state().memory_bytes // int(os.environ.get("WORLD_SIZE", 1))
    if limit and hardware.device() == "cpu":
        with contextlib.suppress(ValueError, OSError):  # a lower limit may hold, or the system knows none
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def failure(error: BaseException, run: Run) -> dict[str, Any]:
    """The state that an error leaves: what happened, what to do, settings that need less memory."""
    with contextlib.suppress(OSError):
        if not isinstance(error, BertspaceError) or isinstance(error, OutOfMemory):
            traceback.print_exception(error)
        if isinstance(error, BertspaceError):
            print(error, file=sys.stderr)
    if isinstance(error, OutOfMemory):
        return {"message": error.message, **_smaller(run, error.advice), **FAILED}
    if isinstance(error, BertspaceError):
        return {"message": error.message, "hint": error.hint, **FAILED}
    if hardware.is_out_of_memory(error):
        return {"message": "Memory ran out.", **_smaller(run, run.lighter()), **FAILED}
    message = f"{type(error).__name__}: {without_paths(str(error))[:300]}"
    hint = "This is a bug, or the machine's: log.txt has the details."
    if _disk_is_full(error):
        message = "The disk is full: a file could not be written."
        hint = "Free some space and resume the run: no checkpoint that was whole is lost."
    return {"message": message, "hint": hint, **FAILED}


def _smaller(run: Run, advice: dict[str, int]) -> dict[str, Any]:
    """What to do where memory ran out, which may be all that the run was allowed."""
    limit = run.written_state().memory_bytes
    why = f": a run may take {words.size(limit)} here."
    if not limit:
        why = ", or free some memory and resume the run."
    return {"hint": f"Go on with the smaller settings{why}", "advice": advice}


def _disk_is_full(error: BaseException) -> bool:
    """By the error or its causes; a library written in Rust or C++ says so in its message alone."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            return True
        if any(words in str(cause) for words in FULL_WORDS):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _write_end(run: Run, outcome: dict[str, Any]) -> None:
    """Write the last state. Where the disk is too full for it, the free lock shows that the run has ended."""
    try:
        with queue.lock():
            blank = {"message": "", "hint": "", "advice": {}}
            run.change_state(ended=time.time(), **(blank | outcome))
        if outcome["status"] != "failed":
            run.clear_requests()
    except (OSError, BertspaceError):
        with contextlib.suppress(OSError):
            traceback.print_exc()


def log_line(event: TrainEvent) -> str:
    """An event as a line of log.txt."""
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
    return f"{event.seconds:8.1f} s  {event.message or f'{event.kind}: {metrics}'}"


def main(argv: list[str]) -> int:
    """worker.py RUN [LOCK]: LOCK is the descriptor of the run's lock, to be held to the end, or "held"."""
    run, held = Run(Path(argv[0])), argv[1] if len(argv) > 1 else ""
    launcher = shlex.split(os.environ.get("BERTSPACE_LAUNCHER", ""))
    rank = os.environ.get("RANK")
    if held.isdigit():
        os.set_inheritable(int(held), False)  # a child of ours must not keep the run alive
        sys.stdin.buffer.read()  # until the parent has written the state, or has died
        if run.written_state().pid != os.getpid():
            _write_running(run)
    with contextlib.suppress(OSError):  # not every host allows it
        # The playgrounds answer first. The parent may be nice already.
        os.nice(max(0, NICE - os.nice(0)))
    if rank is not None or held == HELD:
        processes.die_with_parent()
    if rank not in (None, "0"):
        return _train_as_other_process(run)
    try:
        with contextlib.nullcontext() if held else _own_lock(run):
            if launcher and rank is None and held != HELD:
                return _launch([*launcher, "-m", "bertspace.jobs.worker", str(run.path), HELD])
            return _work(run)
    finally:
        if held.isdigit():
            os.close(int(held))
        if held != HELD:
            queue.start_next()


def _work(run: Run) -> int:
    work = Work(run)
    signal.signal(signal.SIGTERM, work.terminate)
    signal.signal(signal.SIGUSR1, work.end_on_request)
    with credentials.using(credentials_of(run)):
        status = work.do()
    # Other processes of the run may still wait for this one; their launcher ends them where one fails.
    others_wait = work.cut_short and os.environ.get("RANK") is not None
    return 0 if status in ("done", "stopped", "paused") and not others_wait else 1


def credentials_of(run: Run) -> Credentials:
    """For Hub calls: no worker is given a token; the owner's finds the machine's own login.

    Another person's private models were downloaded to their folder when the run was submitted.
    """
    return Credentials() if run.owner == LOCAL_OWNER else Credentials(False, cache.of_owner(run.owner))


@contextlib.contextmanager
def _own_lock(run: Run) -> Iterator[None]:
    """Hold the lock of a run that was started by hand, and write that it runs."""
    with (run.path / "lock").open("rb") as file:
        if not run.take_lock(file):
            raise SystemExit(f"The run {run.id} is at work already.")
        _write_running(run)
        yield


def _write_running(run: Run) -> None:
    with queue.lock():
        run.change_state(status="running", started=time.time(), pid=os.getpid())


def _launch(command: list[str]) -> int:
    """Run a launcher of several processes. TERM reaches them by the process group; this one ignores it."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    return subprocess.run(command, check=False, preexec_fn=processes.die_with_parent).returncode


def _train_as_other_process(run: Run) -> int:
    """Train as a process that is not the first one, which alone writes the run's events and state."""
    _limit_memory(run)
    with credentials.using(credentials_of(run)):
        for event in training.train(run.config(), run):
            if event.kind == "step":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first one heeds it, and ends it for all
            if event.kind in LAST_EVENTS:
                _exit_now(0)
    return 0


def _exit_now(code: int) -> NoReturn:
    """End one of several processes at once: torch 2.13 may wait for ever when it frees gloo's group."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    done = main(sys.argv[1:])
    if "RANK" in os.environ:
        _exit_now(done)
    sys.exit(done)
