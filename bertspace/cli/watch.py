"""Follow a run on stderr; Ctrl-C asks it to stop, a second Ctrl-C leaves it running."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from typing import TextIO

from bertspace.cli.words import forecast_words
from bertspace.errors import RunError
from bertspace.jobs import engine, queue
from bertspace.runs import ENDED, Run
from bertspace.schema import TrainEvent
from bertspace.tasks import metric
from bertspace.words import duration

ANOTHER = -1  # no file has this number
POLL_SECONDS = 0.2
QUEUE_SECONDS = 2.0


class Watch:
    """Follows one run. On a terminal the steps are one line that is written over; elsewhere left out.

    seen: leave out what has happened so far.
    """

    def __init__(self, run: Run, stream: TextIO | None = None, *, seen: bool = False) -> None:
        self.run, self.stream = run, stream or sys.stderr
        self.live = self.stream.isatty()
        self.offset, self.place, self.asked_at = 0, 0, 0.0
        self.first: TrainEvent | None = None
        self.file = self._file()
        if seen:
            self.offset = run.events()[1]

    def to_the_end(self) -> bool:
        """Return when the run has ended: True; or when Ctrl-C was pressed twice: False."""
        stopping = False
        while True:
            try:
                while not self._look():
                    time.sleep(POLL_SECONDS)
                if self.live:
                    self._line("")
                return True
            except KeyboardInterrupt:
                if stopping:
                    break
                stopping = True
                self._stop()
        self._say(
            "Left to itself: it ends after the step at work. "
            f"See: python -m bertspace runs show {self.run.id}; "
            f"should it go on: python -m bertspace runs stop {self.run.id}"
        )
        return False

    def _stop(self) -> None:
        with contextlib.suppress(RunError):  # it has ended in between
            engine.stop(self.run)
        self._say(
            "Stopping: the model is saved and scored after the step at work. Ctrl-C again: do not wait."
        )

    def _look(self) -> bool:
        """Show what is new; whether the run has ended."""
        state = self.run.state()
        for event in self._events():  # after the state, so that none is missed at the end
            self._show(event)
        if state.status == "queued":
            self._queued()
        return state.status in ENDED and not self.run.is_locked()

    def _events(self) -> list[TrainEvent]:
        """What has happened since. A run that goes on has its events written anew, up to its checkpoint."""
        file = self._file()
        if self.file not in (0, file):
            self.offset, self.first = self.run.events()[1], None
        self.file = file
        try:
            events, self.offset = self.run.events(self.offset)
        except (ValueError, TypeError):  # written anew just now: the offset lay within a line
            self.file = ANOTHER
            return []
        return events

    def _file(self) -> int:
        """Which file the events are in; 0 for none."""
        try:
            return os.stat(self.run.path / "events.jsonl").st_ino
        except FileNotFoundError:
            return 0

    def _queued(self) -> None:
        """Say the run's place; start it where the run ahead died without starting the next."""
        if time.monotonic() - self.asked_at < QUEUE_SECONDS:
            return
        queue.start_next()
        self.asked_at = time.monotonic()
        place = queue.position(self.run)
        if place and place != self.place:
            self._say(f"Waiting for other runs to end: number {place} in the queue.")
        self.place = place

    def _show(self, event: TrainEvent) -> None:
        if event.kind == "step":
            self.first = self.first or event
            if self.live:
                self._line(step_words(event, self.first))
        elif event.kind == "finding":
            self._say(f"note: {event.message}")
        elif event.kind == "status" and self.live:
            self._line(event.message)
        elif event.kind == "status":
            self._say(event.message)
        elif event.kind == "forecast":
            self._say(f"forecast: {forecast_words(event.metrics)}")
        elif event.metrics:
            self._say(event_words(event))

    def _line(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self.stream.write(f"\r\x1b[K{text[:width]}")
        self.stream.flush()

    def _say(self, text: str) -> None:
        self.stream.write(f"\r\x1b[K{text}\n" if self.live else f"{text}\n")
        self.stream.flush()


def step_words(event: TrainEvent, first: TrainEvent) -> str:
    """epoch 1.2  step 34 of 120  loss 0.512  1:23 left"""
    place = f"epoch {event.epoch:.2f}  step {event.step:,} of {event.total_steps:,}"
    words = f"{place}  loss {metric('loss').figure(event.loss)}"
    if event.step == first.step:
        return words
    left = (event.seconds - first.seconds) / (event.step - first.step) * (event.total_steps - event.step)
    return f"{words}  {duration(left)} left"


def event_words(event: TrainEvent) -> str:
    """epoch 2: train_loss 0.31, loss 0.46, …"""
    titles = {"base": "base", "epoch": f"epoch {event.epoch:.3g}", "done": "at the end"}
    metrics = ", ".join(f"{name} {metric(name).figure(value)}" for name, value in event.metrics.items())
    return f"{titles[event.kind]}: {metrics}"
