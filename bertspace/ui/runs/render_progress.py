"""How far an unfinished run is, when it will be done and what it needs, as HTML. Pure."""

from __future__ import annotations

from markupsafe import Markup

from bertspace.ui.frame.html import render
from bertspace.ui.runs.view import RunView
from bertspace.words import duration, ordinal


def draw_progress(view: RunView) -> str:
    """Where an unfinished run is, and how long it has to go."""
    trail, status = view.trail, view.state.status
    if status == "queued":
        return render("runs.waiting", _place(view)) + forecast(view)
    share = 100 * trail.step / trail.total_steps if trail.total_steps else 0
    if status in ("paused", "interrupted", "failed") and trail.step and trail.total_steps:
        return progress_bar(share, f"Step {trail.step:,} of {trail.total_steps:,}")
    if status != "running":
        return ""
    steps = f"Step {trail.step:,} of {trail.total_steps:,}" if trail.total_steps else "Getting ready"
    asked = view.stopping or view.pausing
    words = [steps, _doing(view), "" if asked else time_left(trail.seconds_left())]
    return progress_bar(share, " · ".join(filter(None, words))) + forecast(view)


def _place(view: RunView) -> str:
    """Where a waiting run stands in the queue."""
    then = f" It goes on from step {view.checkpoint:,}." if view.checkpoint else ""
    if view.position <= 1:
        return f"Waiting for the run at work to end. It starts next.{then}"
    return f"Waiting: {ordinal(view.position)} in the queue.{then}"


def _doing(view: RunView) -> str:
    if view.stopping:
        return "Stopping: the step is finished, the model saved and scored"
    if view.pausing:
        return "Pausing: the step is finished and kept, to go on from there"
    return view.trail.message or "Starting"


def forecast(view: RunView) -> str:
    """What the whole training is thought to take; empty while that is not known."""
    metrics = view.trail.forecast
    if not {"seconds", "memory_bytes"} <= metrics.keys():
        return ""
    return forecast_words(metrics["seconds"], metrics["memory_bytes"])


def forecast_words(seconds: float, memory_bytes: float) -> Markup:
    """ "Forecast: about 3 min, 1.3 GB of memory"."""
    return render("runs.forecast", seconds, memory_bytes)


def progress_bar(share: float, words: str, label: str = "Training") -> Markup:
    """share: 0..100; words below the bar; label: what goes on, for who cannot see it."""
    return render("frame.progress_bar", share, words, label)


def time_left(seconds: float | None) -> str:
    """In words: "about 3 min left"; empty where it is not known."""
    if seconds is None:
        return ""
    return "nearly there" if seconds < 5 else f"about {duration(seconds)} left"
