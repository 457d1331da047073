"""What a run's events tell, in bounded memory: a run of 100,000 steps is followed as quickly as a new one.

events.jsonl has a line a step and a few between. The few are found by what only they hold; of the steps some
are read: the first ones of every stretch of the file, for the curve, and the last ones, for the time left.
Knows nothing of HTML.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import BinaryIO

from bertspace.runs import Run
from bertspace.schema import TrainEvent

MAX_POINTS = 600  # of the curve
FIRST_WIDTH = 64  # bytes of a stretch: less than a line, so that at first every step is a point
TAKEN = 2  # steps of every stretch whose mean is the stretch's point
LATELY = 50  # steps that the time left is judged by
TRAILS_KEPT = 16
PIECE = 2**20  # bytes read at once
TELLING = b'"metrics": {'  # in the lines of base, forecast, epoch and done, never in a step's

Point = tuple[float, float]
Sum = tuple[float, float, int]  # of steps, of losses, how many


@dataclass
class Curve:
    """The loss by step in at most MAX_POINTS points, each the mean of a stretch of the file: `width` bytes.

    When there are too many, stretches become twice as long, so that those that are left stay where they were.
    """

    width: int = FIRST_WIDTH
    sums: dict[int, Sum] = field(default_factory=dict)  # by the stretch's place in the file

    def fit(self, size: int) -> None:
        """Make room for a file of so many bytes."""
        while size > self.width * MAX_POINTS:
            self.width *= 2
            halves, self.sums = self.sums, {}
            for place, found in halves.items():
                self._add(place // 2, found)

    def add(self, step: int, loss: float, at: int) -> None:
        """at: the byte at which the step's line begins."""
        self._add(at // self.width, (step, loss, 1))

    def _add(self, place: int, more: Sum) -> None:
        steps, losses, count = self.sums.get(place, (0.0, 0.0, 0))
        self.sums[place] = steps + more[0], losses + more[1], count + more[2]

    @property
    def points(self) -> list[Point]:
        return [(steps / count, losses / count) for steps, losses, count in self.sums.values()]

    @property
    def mark(self) -> tuple[object, ...]:
        """Equal as long as the points are."""
        return self.width, len(self.sums), next(reversed(self.sums.items()), None)

    @property
    def end(self) -> int:
        """The byte at which the next stretch begins."""
        return (max(self.sums, default=-1) + 1) * self.width


@dataclass
class Trail:
    """What a run's events have told so far. offset: where to read on; before: the line that ends there."""

    offset: int = 0
    before: bytes = b""
    curve: Curve = field(default_factory=Curve)
    lately: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=LATELY + 1))
    epochs: list[TrainEvent] = field(default_factory=list)
    base: dict[str, float] = field(default_factory=dict)
    forecast: dict[str, float] = field(default_factory=dict)
    step: int = 0
    total_steps: int = 0
    message: str = ""

    @property
    def losses(self) -> list[Point]:
        """(step, loss), thinned where there are many."""
        return self.curve.points

    def add(self, event: TrainEvent, at: int | None = None) -> None:
        """Take one event in; at: where its line begins."""
        self.step, self.total_steps = max(self.step, event.step), event.total_steps or self.total_steps
        if event.kind == "status":
            self.message = event.message
        elif event.kind == "base":
            self.base = event.metrics
        elif event.kind == "forecast":
            self.forecast = event.metrics
        elif event.kind == "epoch":
            self.epochs.append(event)
        elif event.kind == "step":
            self.message = "Training"
            self.lately.append((event.step, event.seconds))
            if event.loss is not None:
                self.curve.add(event.step, event.loss, self.curve.end if at is None else at)

    def add_lines(self, lines: bytes, *, newest: bool = True) -> None:
        """Take whole lines in, which begin where the trail ends. newest: few or none come after them."""
        starts = {*_telling(lines), *_of_stretches(lines, self), *(_last(lines) if newest else ())}
        for start in sorted(starts):
            line = lines[start : lines.find(b"\n", start)]
            with suppress(ValueError, TypeError):  # a process that was killed left half a line
                self.add(TrainEvent(**json.loads(line)), self.offset + start)
        self.offset += len(lines)
        self.before = lines[lines.rfind(b"\n", 0, -1) + 1 :]

    def seconds_left(self) -> float | None:
        """By the median of the last steps, so that the scoring between epochs does not count as slowness."""
        times = list(self.lately)
        pairs = zip(times, times[1:], strict=False)
        # The clock starts anew where a run was resumed.
        gaps = [after[1] - before[1] for before, after in pairs if after[1] >= before[1]]
        return median(gaps) * (self.total_steps - self.step) if gaps and self.total_steps else None

    def snapshot(self) -> Trail:
        """A copy that stays as it is while the trail goes on."""
        curve = replace(self.curve, sums=dict(self.curve.sums))
        return replace(self, curve=curve, lately=self.lately.copy(), epochs=list(self.epochs))


def _telling(lines: bytes) -> Iterator[int]:
    """Where the lines begin that are no step's and no status's."""
    found = lines.find(TELLING)
    while found >= 0:
        yield lines.rfind(b"\n", 0, found) + 1
        found = lines.find(TELLING, found + 1)


def _of_stretches(lines: bytes, trail: Trail) -> Iterator[int]:
    """Where the first lines of every stretch of the curve begin; of the one in which they begin, the next."""
    width = trail.curve.width
    for stretch in range(-(trail.offset % width), len(lines), width):
        start = lines.find(b"\n", stretch - 1) + 1 if stretch > 0 else 0
        for _ in range(TAKEN):
            if not start < min(stretch + width, len(lines)):
                break
            yield start
            start = lines.find(b"\n", start) + 1


def _last(lines: bytes) -> Iterator[int]:
    """Where the last lines begin."""
    end = len(lines) - 1
    for _ in range(LATELY + 1):
        if end < 0:
            return
        end = lines.rfind(b"\n", 0, end)
        yield end + 1


class Trails:
    """The trails of the runs last looked at: a look reads only what was written since the one before."""

    def __init__(self, kept: int = TRAILS_KEPT) -> None:
        self.kept, self.lock = kept, threading.Lock()
        self.trails: OrderedDict[str, Trail] = OrderedDict()

    def follow(self, run: Run) -> Trail:
        """The run's trail as it is now; the caller's own."""
        key = str(run.path)
        with self.lock:
            trail = self.trails.pop(key, None) or Trail()
            self.trails[key] = trail = _read_on(run.path / "events.jsonl", trail)
            while len(self.trails) > self.kept:
                self.trails.popitem(last=False)
            return trail.snapshot()


def _read_on(path: Path, trail: Trail) -> Trail:
    """The trail with what was written since; a new one where the file is another one.

    A resumed run's file is cut back to its checkpoint and goes on from there, so it may be as long as before
    and yet tell something else. Then the line before the offset is not the one that was read there.
    """
    try:
        with path.open("rb") as file:
            before = os.pread(file.fileno(), len(trail.before), trail.offset - len(trail.before))
            if before != trail.before:
                trail = Trail()
            size = os.fstat(file.fileno()).st_size
            trail.curve.fit(size)
            file.seek(trail.offset)
            for lines in _whole_lines(file):
                trail.add_lines(lines, newest=trail.offset + len(lines) + PIECE > size)
            return trail
    except FileNotFoundError:
        return Trail()


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines from where the file stands, many at a time; a torn last one is for later."""
    rest = b""
    while piece := file.read(PIECE):
        rest += piece
        if end := rest.rfind(b"\n") + 1:
            yield rest[:end]
            rest = rest[end:]
