"""A run as the page sees it, read from its folder little by little. Knows nothing of HTML."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bertspace import queue, runs
from bertspace.errors import BertspaceError, RunError
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig, TrainEvent
from bertspace.tasks import TASKS

TRAILS_KEPT = 16
LATELY = 50  # steps that the time left is judged by
SHARES = ("accuracy",)  # metrics that are shares of rows, of which an interval can be said


@dataclass
class Trail:
    """What a run's events have told so far; `offset` is where to read on."""

    offset: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)
    epochs: list[TrainEvent] = field(default_factory=list)
    base: dict[str, float] = field(default_factory=dict)
    step: int = 0
    total_steps: int = 0
    message: str = ""

    def add(self, event: TrainEvent) -> None:
        self.step, self.total_steps = max(self.step, event.step), event.total_steps or self.total_steps
        if event.kind == "status":
            self.message = event.message
        elif event.kind == "base":
            self.base = event.metrics
        elif event.kind == "step" and event.loss is not None:
            self.losses.append((event.step, event.loss))
            self.clock.append(event.seconds)
            self.message = "Training"
        elif event.kind == "epoch":
            self.epochs.append(event)

    def seconds_left(self) -> float | None:
        """By the median of the last steps, so that the scoring between epochs does not count as slowness."""
        times = self.clock[-LATELY:]
        gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
        return median(gaps) * (self.total_steps - self.step) if gaps and self.total_steps else None


@dataclass(frozen=True)
class RunView:
    """All that is drawn of one run."""

    id: str
    state: RunState
    config: TrainConfig
    source: dict[str, Any]
    result: dict[str, Any] | None
    trail: Trail
    position: int = 0
    has_model: bool = False
    stopping: bool = False

    @property
    def name(self) -> str:
        return self.state.name or self.id

    @property
    def metric(self) -> str:
        """The headline metric's name."""
        return (
            (self.result or {}).get("headline") or self.config.best_metric or TASKS[self.config.task].headline
        )

    @property
    def split(self) -> str:
        """The rows that the headline is of: the test rows once they are scored."""
        return "test" if self.result and self.result.get("test") else "validation"

    @property
    def tuned(self) -> float | None:
        """The headline metric's value, the newest there is."""
        if self.result:
            return (self.result.get(self.split) or {}).get(self.metric)
        return self.trail.epochs[-1].metrics.get(self.metric) if self.trail.epochs else None

    @property
    def base(self) -> float | None:
        if self.result:
            return (self.result["base"].get(self.split) or {}).get(self.metric)
        return self.trail.base.get(self.metric)

    @property
    def majority(self) -> float | None:
        """The headline metric of always giving the commonest label; None where that has no meaning."""
        majority = (self.result or {}).get("base", {}).get("majority", {})
        return (majority.get(self.split) or {}).get(self.metric)

    @property
    def n(self) -> int:
        """Rows (of fill-mask: chunks, once known) that the headline is of."""
        rows = (self.result or self.source).get("rows", {})
        return int(rows.get(self.split, 0))

    @property
    def lower_is_better(self) -> bool:
        return self.metric in TASKS[self.config.task].lower_is_better

    @property
    def improved(self) -> bool | None:
        """Whether the tuned value is the better one; None while one is missing or they are equal."""
        if self.tuned is None or self.base is None or math.isclose(self.tuned, self.base, rel_tol=1e-9):
            return None
        return (self.tuned < self.base) == self.lower_is_better

    @property
    def interval(self) -> tuple[float, float] | None:
        """The tuned value's 95 % interval, where the metric is a share of rows."""
        if self.metric not in SHARES or self.tuned is None or self.config.task == "fill-mask" or not self.n:
            return None
        return wilson(self.tuned, self.n)

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal as long as nothing changed that is drawn."""
        return self.id, self.state, self.trail.offset, self.position, self.has_model, self.stopping


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share of n (1927): 95 % for z 1.96."""
    middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


class Trails:
    """The trails of the runs last looked at: a look reads only what was written since the one before."""

    def __init__(self, kept: int = TRAILS_KEPT) -> None:
        self.kept, self.lock = kept, threading.Lock()
        self.trails: OrderedDict[str, Trail] = OrderedDict()

    def follow(self, run: Run) -> Trail:
        with self.lock:
            key = str(run.path)
            trail = self.trails.setdefault(key, Trail())
            self.trails.move_to_end(key)
            if trail.offset and not (run.path / "events.jsonl").is_file():
                trail = self.trails[key] = Trail()
            events, trail.offset = run.events(trail.offset)
            for event in events:
                trail.add(event)
            while len(self.trails) > self.kept:
                self.trails.popitem(last=False)
            return trail


_TRAILS = Trails()


def find_run(run_id: str) -> Run:
    """The owner's run with this id, which is compared with ids and never taken as a path; raises RunError."""
    for run in runs.list_runs():
        if run.id == run_id:
            return run
    raise RunError("There is no such run (any more).", hint="Choose one from the list.")


def view(run_id: str) -> RunView:
    """The run as it stands now; raises RunError."""
    run = find_run(run_id)
    state = run.state()
    return RunView(
        run.id,
        state,
        run.config(),
        run.source(),
        run.result(),
        _TRAILS.follow(run),
        queue.position(run) if state.status == "queued" else 0,
        (run.path / "model" / "config.json").is_file(),
        state.status == "running" and run.stop_requested(),
    )


@dataclass(frozen=True)
class RunLine:
    """A run in one line of the list."""

    id: str
    name: str
    task: str
    status: str
    created: float
    seconds: float
    metric: str = ""
    base: float | None = None
    tuned: float | None = None


def run_lines(most: int = 50) -> list[RunLine]:
    """The newest runs; a folder that cannot be read is left out."""
    lines = []
    for run in runs.list_runs()[:most]:
        try:
            state, config = run.state(), run.config()
            seen = RunView(run.id, state, config, {}, run.result(), Trail())
        except BertspaceError:
            continue  # it is being made or deleted at this moment
        end = state.ended or (time.time() if state.started else 0.0)
        lines.append(
            RunLine(
                run.id,
                seen.name,
                config.task,
                state.status,
                state.created,
                max(0.0, end - state.started) if state.started else 0.0,
                seen.metric,
                seen.base,
                seen.tuned,
            )  # fmt: skip
        )
    return lines


def run_at_work() -> RunView | None:
    """The run that is training now."""
    for run in runs.list_runs():
        try:
            if run.state().status == "running":
                return view(run.id)
        except BertspaceError:
            continue
    return None


def first_run() -> str:
    """The id of the run to open with: the one at work, else the newest; "" where there is none."""
    if at_work := run_at_work():
        return at_work.id
    return next((run.id for run in runs.list_runs()), "")
