"""What a run's own process does: train, write down what happens, start the next run.

`python -m bertspace.worker RUN`. Knows nothing of queues and pages: it is given a folder, and the lock that
whoever started it holds for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

from bertspace import queue
from bertspace.errors import BertspaceError
from bertspace.runs import Run
from bertspace.schema import TrainEvent


def work(run: Run) -> str:
    """Train the run to its end and return its last status; every outcome is written to its state."""
    run.append(TrainEvent("status", message="Starting"))
    try:
        status, message, hint = _train(run), "", ""
    except BertspaceError as error:
        status, message, hint = "failed", error.message, error.hint
        print(f"{message} {hint}".strip(), file=sys.stderr)
    except Terminated:
        status, message, hint = "failed", "The process was ended from outside.", "Start the run again."
    except Exception as error:  # the border of the process: whatever it was is told, and kept in the log
        traceback.print_exc()
        status, message = "failed", f"{type(error).__name__}: {str(error)[:300]}"
        hint = "This is a bug, or the machine's: log.txt has the details."
    run.write_state(replace(run.state(), status=status, ended=time.time(), message=message, hint=hint))
    return status


def _train(run: Run) -> str:
    from bertspace import training

    for event in training.train(run.config(), run):
        run.append(event)
        if event.kind in ("status", "base", "epoch", "done"):
            print(line(event), flush=True)
    stopped = (run.result() or {"stopped": run.stop_requested()})["stopped"]
    return "stopped" if stopped else "done"


def line(event: TrainEvent) -> str:
    """An event as a line of log.txt."""
    said = event.message or f"{event.kind}: " + ", ".join(f"{k} {v:.4g}" for k, v in event.metrics.items())
    return f"{event.seconds:8.1f} s  {said}"


class Terminated(BaseException):
    """TERM came. No Exception: libraries swallow those while they are imported."""


def _terminate(*_: object) -> None:
    raise Terminated


def main(argv: list[str]) -> int:
    """worker.py RUN [LOCK]: LOCK is the run's lock, a descriptor held while this process lives."""
    run = Run(Path(argv[0]))
    if len(argv) > 1:
        os.set_inheritable(int(argv[1]), False)  # a child of ours must not keep the run alive
    signal.signal(signal.SIGTERM, _terminate)
    with contextlib.suppress(OSError):  # not every host lets one be nice
        os.nice(5)  # the playgrounds answer first
    if len(argv) > 1:
        sys.stdin.buffer.read()  # until whoever started this process has written its state
    status = work(run)
    if len(argv) > 1:
        os.close(int(argv[1]))
    queue.start_next()
    return 0 if status in ("done", "stopped") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
