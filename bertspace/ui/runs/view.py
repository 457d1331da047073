"""A run as the page sees it, read from its folder little by little. Knows nothing of HTML."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bertspace import runs
from bertspace.errors import BertspaceError, RunError
from bertspace.files import cached, stamp
from bertspace.jobs import queue
from bertspace.runs import LOCAL_OWNER, RESUMABLE, Run
from bertspace.schema import RunState, TrainConfig
from bertspace.tasks import METRICS, TASKS, verdict_of
from bertspace.tasks.intervals import wilson
from bertspace.tasks.verdict import Verdict
from bertspace.ui.runs.trail import Trail, Trails

# What a status is called on the page, where its own name would not say it.
STATUS_NAMES = {"queued": "waiting", "running": "training"}


@dataclass(frozen=True)
class RunView:
    """All that is drawn of one run. `log` and `model` are equal as long as log.txt and its model are."""

    id: str
    state: RunState
    config: TrainConfig
    source: dict[str, Any]
    result: dict[str, Any] | None
    trail: Trail
    position: int = 0
    has_model: bool = False
    stopping: bool = False
    pausing: bool = False
    checkpoint: int | None = None
    log: tuple[int, ...] = ()
    model: tuple[int, ...] = ()

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
        """Rows that the headline is of; of a task that joins texts, its chunks once they are known."""
        rows = (self.result or self.source).get("rows", {})
        return int(rows.get(self.split, 0))

    @property
    def lower_is_better(self) -> bool:
        return METRICS[self.metric].lower_is_better

    @property
    def verdict(self) -> Verdict | None:
        """The core's verdict; without a result, as long as there are figures, that no more is known."""
        if self.tuned is None or self.base is None:
            return None
        so_far = {
            "headline": self.metric,
            "validation": {self.metric: self.tuned},
            "base": {"validation": {self.metric: self.base}},
            "rows": {"validation": self.n},
            "config": self.config.to_dict(),
        }
        return verdict_of(self.result or so_far)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The tuned value's 95 % interval, where the metric is a share of rows."""
        of_rows = METRICS[self.metric].is_share and TASKS[self.config.task].has_labels
        if not of_rows or self.tuned is None or not self.n:
            return None
        return wilson(round(self.tuned * self.n), self.n)

    @property
    def publishable(self) -> bool:
        """Whether it has ended with a model and a result that can be shown to others."""
        return self.state.status in ("done", "stopped") and self.has_model and self.result is not None

    @property
    def resumable(self) -> bool:
        return self.state.status in RESUMABLE


_TRAILS = Trails()


def owned(owner: str) -> list[Run]:
    """The owner's runs, newest first; none for one who owns nothing."""
    return runs.list_runs(owner) if owner else []


def find_run(run_id: str, owner: str = LOCAL_OWNER) -> Run:
    """The owner's run with this id, which is compared with ids and never taken as a path; raises RunError."""
    for run in owned(owner):
        if run.id == run_id:
            return run
    raise RunError("There is no such run (any more).", hint="Choose one from the list.")


def view(run_id: str, owner: str = LOCAL_OWNER) -> RunView:
    """The run as it stands now; raises RunError."""
    run = find_run(run_id, owner)
    state = state_of(run)
    running = state.status == "running"
    return RunView(
        run.id,
        state,
        cached(run.path / "config.yaml", run.config),
        cached(run.path / "data" / "source.json", run.source),
        cached(run.path / "result.json", run.result),
        _TRAILS.follow(run),
        queue.position(run) if state.status == "queued" else 0,
        run.has_model,
        running and run.stop_requested(),
        running and run.pause_requested(),
        run.checkpoint(),
        stamp(run.path / "log.txt"),
        stamp(run.path / "model" / "config.json"),
    )


def training_words(run: Run) -> str:
    """Which of its models a run at work has now: "at step 120 of 345, still training"; else ""."""
    if state_of(run).status != "running":
        return ""
    trail, config = _TRAILS.follow(run), cached(run.path / "config.yaml", run.config)
    scored = [event for event in trail.epochs if config.best_metric in event.metrics]
    lower = bool(config.best_metric) and METRICS[config.best_metric].lower_is_better
    if scored:
        pick = min if lower else max
        step = pick(scored, key=lambda event: event.metrics[config.best_metric]).step
    else:
        step = trail.epochs[-1].step if trail.epochs else trail.step
    return f"at step {step:,} of {trail.total_steps:,}, still training"


def state_of(run: Run) -> RunState:
    """The run's state; a running one's is always read anew, since its process may die without a word."""
    state = cached(run.path / "state.json", run.state)
    return run.state() if state.status in ("running", "interrupted") else state


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
    notes: str = ""

    def matches(self, words: str) -> bool:
        """Whether its name, notes, task and status hold every one of the words."""
        status = f"{self.status} {STATUS_NAMES.get(self.status, '')}"
        told = f"{self.name} {self.notes} {self.task} {TASKS[self.task].title} {status}".casefold()
        return all(word in told for word in words.casefold().split())


def run_lines(owner: str = LOCAL_OWNER, most: int = 50, words: str = "") -> list[RunLine]:
    """The owner's newest runs that match the words; a folder that cannot be read is left out."""
    lines: list[RunLine] = []
    for run in owned(owner):
        if len(lines) == most:
            break
        try:
            line = _line(run)
        except BertspaceError:
            continue  # it is being made or deleted at this moment
        if line.matches(words):
            lines.append(line)
    return lines


def _line(run: Run) -> RunLine:
    state, config = state_of(run), cached(run.path / "config.yaml", run.config)
    seen = RunView(run.id, state, config, {}, cached(run.path / "result.json", run.result), Trail())
    return RunLine(
        run.id,
        seen.name,
        config.task,
        state.status,
        state.created,
        _seconds(run, state),
        seen.metric,
        seen.base,
        seen.tuned,
        state.notes,
    )


def _seconds(run: Run, state: RunState) -> float:
    """Of work on the run, in all its sessions; without an event, since it was started."""
    if worked := cached(run.path / "events.jsonl", run.seconds):
        return worked
    end = state.ended or (time.time() if state.started else 0.0)
    return max(0.0, end - state.started) if state.started else 0.0


def run_at_work(owner: str = LOCAL_OWNER) -> RunView | None:
    """The owner's run that is training now."""
    for run in owned(owner):
        try:
            if state_of(run).status == "running":
                return view(run.id, owner)
        except BertspaceError:
            continue
    return None


def first_run(owner: str = LOCAL_OWNER) -> str:
    """The id of the run to open with: the one at work, else the newest; "" where there is none."""
    if at_work := run_at_work(owner):
        return at_work.id
    return next((run.id for run in owned(owner)), "")
