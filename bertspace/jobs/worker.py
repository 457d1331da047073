"""What a run's own process does: train, write down what happens, start the next run.

`python -m bertspace.jobs.worker RUN`, also under torchrun or `accelerate launch`: the first process
writes, the others compute along. Knows nothing of queues and pages: it is given a folder, and the lock that
whoever started it holds for it.
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
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from bertspace import hardware, processes, words
from bertspace.errors import FULL, BertspaceError, OutOfMemory, without_paths
from bertspace.hub import cache, credentials
from bertspace.hub.credentials import Credentials
from bertspace.jobs import queue
from bertspace.runs import LOCAL_OWNER, Run
from bertspace.schema import TrainEvent
from bertspace.training import checkpoints

LOOK_SECONDS = 0.5  # between two looks of the watch
LATE = 600.0  # seconds beyond a run's minutes, for scoring and saving; then its process is ended
NICE = 5
LAST = ("done", "paused")  # the kinds of a training's last event
HELD = "held"  # as the lock: whoever started this process holds it
TERMINATED = "The process was ended from outside."
FULL_WORDS = ("No space left on device", "File too large", "Disk quota exceeded")


class Ended(BaseException):
    """The work ends here. No Exception: libraries swallow those while they are imported."""

    def __init__(self, status: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint


class Work:
    """One run's work in this process.

    began: its first step was done, and the loop itself hears requests. steady: the last event was a step.
    cut_short: the training did not come to an end of its own.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.began = self.steady = self.terminated = self.cut_short = False
        self.over = threading.Event()
        self.latest = math.inf  # of time.monotonic
        self.events: Iterator[TrainEvent] = iter(())

    def do(self) -> str:
        """Train the run to its end and return its last status; every outcome is written to its state."""
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        try:
            outcome = self._train()
        except Ended as end:
            self.over.set()
            self.cut_short = True
            self.run.clear_requests()
            outcome = {"status": end.status, "message": end.message, "hint": end.hint}
        except BaseException as error:  # the border of the process: whatever it was is told
            self.over.set()
            self.cut_short = True
            outcome = told(error, self.run)
        self.over.set()
        if self.run.is_complete():  # whatever came after the result was written
            outcome = {"status": "done"}
        elif self.run.checkpoint() is None and outcome["status"] in ("stopped", "paused", "interrupted"):
            outcome["hint"] = "Resume it to begin anew."
        watch.join()
        _write_end(self.run, outcome)
        if outcome["status"] == "done":  # until then it can go on from them
            checkpoints.clean(self.run, 0)
        return str(outcome["status"])

    def _train(self) -> dict[str, Any]:
        with queue.lock():  # a name or notes may be written at this moment
            self.run.sweep()
        checkpoints.undo_half_replaced(self.run)
        kept = checkpoints.newest(self.run)
        self.run.rewind(kept.values["step"] if kept else 0)
        self.run.append(TrainEvent("status", message="Starting"))
        from bertspace import training

        _bound_memory(self.run)
        event = TrainEvent("status")
        minutes = self.run.state().minutes
        worked = kept.values["progress"]["seconds"] if kept else 0.0
        deadline = time.monotonic() + 60 * minutes - worked if minutes else None
        self.latest = math.inf if deadline is None else max(time.monotonic(), deadline) + LATE
        self.events = training.train(self.run.config(), self.run, deadline)
        for event in self.events:
            self.steady = event.kind == "step"
            self.began = self.began or self.steady
            self.run.append(event)
            if event.kind != "step":
                print(line(event), flush=True)
            if event.kind in LAST:
                self.over.set()  # nothing is asked of it any more
                if "RANK" in os.environ:
                    break  # see _leave
        if event.kind == "paused":
            status = "interrupted" if self.terminated else "paused"
            return {"status": status, "message": TERMINATED if self.terminated else ""}
        stopped = (self.run.result() or {"stopped": self.run.stop_requested()})["stopped"]
        out_of_time = deadline is not None and time.monotonic() >= deadline
        message = f"Its {minutes:g} minutes are over." if stopped and out_of_time else ""
        return {"status": "stopped" if stopped else "done", "message": message}

    def terminate(self, *_: object) -> None:
        """TERM: between steps, go on to a checkpoint; elsewhere end at once, the last checkpoint is there."""
        if self.over.is_set():
            return
        self.terminated = True
        self.run.request_pause()  # also for where a library swallows what is raised here
        if not self.steady:
            raise Ended("interrupted", TERMINATED, "Resume it to go on.")

    def heed(self, *_: object) -> None:
        """The watch has seen a request, and there is no step yet after which the loop would."""
        if not self.began and not self.over.is_set():
            if self.terminated:
                raise Ended("interrupted", TERMINATED, "Resume it to go on.")
            stop = self.run.stop_requested()
            before = "before its first step" if self.run.checkpoint() is None else "before it went on"
            said = f"{'Stopped' if stop else 'Paused'} {before}."
            raise Ended("stopped" if stop else "paused", said, "Resume it to go on.")

    def _watch(self) -> None:
        """Note the memory taken, for when the kernel ends this process for it; see requests while loading."""
        noted = 0
        while not self.over.wait(LOOK_SECONDS):
            if time.monotonic() > self.latest:
                self._give_up()
            if not self.began and (self.run.stop_requested() or self.run.pause_requested()):
                os.kill(os.getpid(), signal.SIGUSR1)
            if (taken := hardware.memory_bytes()) > 1.02 * noted:
                noted = taken
                with contextlib.suppress(OSError):  # a full disk is told by who needs it
                    self.run.note_memory(taken)

    def _give_up(self) -> NoReturn:
        """End the process, whatever it is at: a tokenizer of a stranger's may take hours over one text."""
        minutes = self.run.written_state().minutes
        message = f"Its {minutes:g} minutes were long over, and it was not done."
        hint = "Take fewer rows, shorter texts, or another model."
        done = self.run.is_complete()
        _write_end(
            self.run, {"status": "done"} if done else {"status": "failed", "message": message, "hint": hint}
        )
        _leave(1)


def _bound_memory(run: Run) -> None:
    """Hold no more than the run may, all its processes together.

    On a CPU: the addresses that a GPU's driver sets aside would count, and what is on the GPU would not.
    """
    most = run.written_state().memory_bytes // int(os.environ.get("WORLD_SIZE", 1))
    if most and hardware.device() == "cpu":
        with contextlib.suppress(ValueError, OSError):  # a lower bound may hold, or the system knows none
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def told(error: BaseException, run: Run) -> dict[str, Any]:
    """An error as the state that it leaves: what happened, what to do, settings that would need less."""
    if not isinstance(error, BertspaceError) or isinstance(error, OutOfMemory):
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    if isinstance(error, BertspaceError):
        with contextlib.suppress(OSError):
            print(error, file=sys.stderr)
        outcome = {"status": "failed", "message": error.message, "hint": error.hint}
        return outcome | (_smaller(run, error.advice) if isinstance(error, OutOfMemory) else {})
    if hardware.is_out_of_memory(error):
        return {"status": "failed", "message": "Memory ran out.", **_smaller(run, run.lighter())}
    if _disk_is_full(error):
        hint = "Free some space and resume the run: no checkpoint that was whole is lost."
        return {"status": "failed", "message": "The disk is full: a file could not be written.", "hint": hint}
    hint = "This is a bug, or the machine's: log.txt has the details."
    return {
        "status": "failed",
        "message": f"{type(error).__name__}: {without_paths(str(error))[:300]}",
        "hint": hint,
    }


def _smaller(run: Run, advice: dict[str, int]) -> dict[str, Any]:
    """What to do where memory ran out; it may be all that the run is given."""
    most = run.written_state().memory_bytes
    why = (
        f": a run may take {words.size(most)} here." if most else ", or free some memory and resume the run."
    )
    return {"hint": f"Go on with the smaller settings{why}", "advice": advice}


def _disk_is_full(error: BaseException) -> bool:
    """Also where a library written in Rust or C++ only says so."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in FULL:
            return True
        if any(words in str(seen) for words in FULL_WORDS):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _write_end(run: Run, outcome: dict[str, Any]) -> None:
    """The last state. Where the disk is too full even for that, the free lock says that the run has ended."""
    try:
        with queue.lock():  # a name or notes may be written at this moment
            blank = {"message": "", "hint": "", "advice": {}}
            run.write_state(replace(run.written_state(), ended=time.time(), **(blank | outcome)))
        if outcome["status"] in ("done", "stopped", "paused", "interrupted"):
            run.clear_requests()
    except (OSError, BertspaceError):
        with contextlib.suppress(OSError):
            traceback.print_exc()


def line(event: TrainEvent) -> str:
    """An event as a line of log.txt."""
    said = event.message or f"{event.kind}: " + ", ".join(f"{k} {v:.4g}" for k, v in event.metrics.items())
    return f"{event.seconds:8.1f} s  {said}"


def main(argv: list[str]) -> int:
    """worker.py RUN [LOCK]: LOCK is the run's lock, a descriptor held while this process lives, or "held"."""
    run, held = Run(Path(argv[0])), argv[1] if len(argv) > 1 else ""
    launcher = shlex.split(os.environ.get("BERTSPACE_LAUNCHER", ""))
    rank = os.environ.get("RANK")
    if held.isdigit():
        os.set_inheritable(int(held), False)  # a child of ours must not keep the run alive
        sys.stdin.buffer.read()  # until whoever started this process has written its state, or has died
        if run.written_state().pid != os.getpid():
            _say_running(run)
    with contextlib.suppress(OSError):  # not every host lets one be nice
        # The playgrounds answer first. Whoever started this process may be nice already.
        os.nice(max(0, NICE - os.nice(0)))
    if rank is not None or held == HELD:
        processes.die_with_parent()
    if rank not in (None, "0"):
        return _compute_along(run)
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
    signal.signal(signal.SIGUSR1, work.heed)
    with credentials.using(credentials_of(run)):
        status = work.do()
    # Of several processes the others may still wait for this one; their launcher ends them where one fails.
    left = work.cut_short and os.environ.get("RANK") is not None
    return 0 if status in ("done", "stopped", "paused") and not left else 1


def credentials_of(run: Run) -> Credentials:
    """What the run may see at the Hub: no worker is given a token; the owner's finds the machine's own login.

    What another person alone may see was brought to their folder when the run was submitted.
    """
    return Credentials() if run.owner == LOCAL_OWNER else Credentials(False, cache.of_owner(run.owner))


@contextlib.contextmanager
def _own_lock(run: Run) -> Iterator[None]:
    """The lock of a run that was started by hand, and the state that says so."""
    with (run.path / "lock").open("rb") as file:
        if not run.take_lock(file):
            raise SystemExit(f"The run {run.id} is at work already.")
        _say_running(run)
        yield


def _say_running(run: Run) -> None:
    """The state of a run that this process works on, where nobody else has written it."""
    with queue.lock():
        state = run.written_state()
        run.write_state(replace(state, status="running", started=time.time(), pid=os.getpid()))


def _launch(command: list[str]) -> int:
    """Wait for a launcher of several processes; TERM reaches them by the group, and this one outlives it."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    return subprocess.run(command, check=False, preexec_fn=processes.die_with_parent).returncode


def _compute_along(run: Run) -> int:
    """What a process that is not the first one does; the first one tells of errors."""
    from bertspace import training

    _bound_memory(run)
    with credentials.using(credentials_of(run)):
        for event in training.train(run.config(), run):
            if event.kind == "step":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first one hears it, and ends it for all
            if event.kind in LAST:
                _leave(0)
    return 0


def _leave(code: int) -> NoReturn:
    """End one of several processes at once: torch 2.13 may wait for ever when it frees gloo's group."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    done = main(sys.argv[1:])
    if "RANK" in os.environ:
        _leave(done)
    sys.exit(done)
