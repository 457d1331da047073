"""A run as HTML: the live view, its curves and tables; and the list of runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from bertspace.errors import without_paths
from bertspace.runs import ENDED
from bertspace.tasks import TASKS, Metric, metric
from bertspace.ui.frame.chart import Line, chart, thin
from bertspace.ui.frame.html import exact, problem, render, short, source_name, table
from bertspace.ui.runs.render_progress import draw_progress
from bertspace.ui.runs.view import STATUS_NAMES, RunLine, RunView
from bertspace.words import duration, moment

# The sign that goes with a status's colour.
SIGNS = {
    "queued": "○",
    "running": "●",
    "paused": "‖",
    "done": "✓",
    "stopped": "■",
    "failed": "✕",
    "interrupted": "✕",
}
# A click on the run tells the page which run it was; see gr.HTML, js_on_load.
CLICK = """element.addEventListener('click', event => {
    const chosen = event.target.closest('[data-run]');
    if (chosen) trigger('click', {run: chosen.dataset.run});
});"""
# What the base value is of, by the task's baseline.
BASELINES = {
    "model": "before training",
    "probe": "kept frozen, with a logistic regression on its features",
    "none": "has no answers of its own",
}
MAX_EPOCHS = 30  # rows of the table
MAX_DOTS = 100  # of a curve by epoch


def draw_run(view: RunView) -> Markup:
    """What a run is, how far it is and what it reached; its buttons stand below."""
    rows = view.source.get("rows", {}).get("train", 0)
    about = [TASKS[view.config.task].title, f"{short(view.config.model)} as base", f"{rows:,} training rows"]
    about.append(moment(view.state.created))
    parts = _outcome(view), _headline(view), draw_progress(view)
    return render("runs.run", view, pill(view.state.status), " · ".join(about), *parts)


def draw_curves(view: RunView) -> str:
    """The curves and the table; empty before the first step."""
    if not (view.trail.losses or view.trail.epochs):
        return ""
    return render("runs.curves", (loss_chart(view), metric_chart(view)), epoch_table(view))


def pill(status: str) -> Markup:
    return render("runs.pill", status, SIGNS.get(status, "○"), STATUS_NAMES.get(status, status))


def _outcome(view: RunView) -> str:
    """What was learned, or what went wrong, in a sentence, and what can be done now."""
    status = view.state.status
    if status in ("failed", "interrupted"):
        enough = bool(status == "interrupted" and view.state.hint and not view.state.advice)
        hints = (view.state.hint, "" if enough else _what_resume_does(view))
        message = view.state.message or "The run ended without a result."
        return problem(message, " ".join(filter(None, hints)))
    message = view.state.message
    if status in ("done", "stopped") and (sentence := learned(view)):
        return render("runs.learned", f"{message if status == 'stopped' else ''} {sentence}".strip())
    if status in ("paused", "stopped"):
        instead = "Paused." if status == "paused" else "Stopped before the first result."
        return render("runs.learned", f"{message or instead} {_what_resume_does(view)}")
    return ""


def _what_resume_does(view: RunView) -> str:
    """What Resume would do, or which settings would fit after memory ran out."""
    if view.state.advice:
        return f"These settings would fit: {advice_words(view)}."
    if view.checkpoint:
        return f"Resume goes on from step {view.checkpoint:,}; nothing up to there is lost."
    return "Resume begins anew: nothing of it was kept yet."


def advice_words(view: RunView) -> str:
    """ "batch size 8 instead of 32, gradient accumulation 4 instead of 1"."""
    now = view.config.to_dict()
    changes = [
        f"{name.replace('_', ' ')} {value} instead of {now.get(name)}"
        for name, value in view.state.advice.items()
    ]
    before, after = (_rows_a_step(values) for values in (now, now | view.state.advice))
    same = f", still {after:,} rows a step" if before == after else ""
    return ", ".join(changes) + same


def _rows_a_step(values: dict[str, int]) -> int:
    return values["batch_size"] * values["gradient_accumulation"]


def resume_words(view: RunView) -> str:
    """The button that lets an ended run go on."""
    return f"Resume from step {view.checkpoint:,}" if view.checkpoint else "Resume from the beginning"


def closed(words: str) -> Markup:
    """The panel of who may not train here; words: how to get the right."""
    return render("runs.empty", f"Training shows here for who may train. {words}")


def learned(view: RunView) -> str:
    """The verdict after what was trained on, of a stopped run up to where; what is kept, and what to try."""
    if (found := view.verdict) is None:
        return ""
    rows = f"{view.source.get('rows', {}).get('train', 0):,} rows of "
    rows += source_name(str(view.source.get("source", "data")))
    trail, where = view.trail, f"After {rows}."
    if view.state.status == "stopped" and trail.step < trail.total_steps:
        epoch = f" (epoch {trail.epochs[-1].epoch:.3g})" if trail.epochs else ""
        where = f"Stopped at step {trail.step:,} of {trail.total_steps:,}{epoch}, with {rows}."
    result = view.result or {}
    kept = str(result.get("kept") or "")
    return " ".join(filter(None, (where, found.words, kept, *result.get("hints", ()))))


def base_words(view: RunView) -> str:
    """What the base value is of."""
    return f"{short(view.config.model)} {BASELINES[TASKS[view.config.task].baseline]}"


def held_out(view: RunView) -> str:
    """ "57 validation rows"; how many chunks texts make is known with the result only."""
    task = TASKS[view.config.task]
    what = f"{view.split} {task.unit(view.config)}s"
    counted = view.n and (view.result or task.text_length(view.config))
    return f"{view.n:,} {what}" if counted else what


def _headline(view: RunView) -> str:
    """The tuned value large, the base's beside it, and what they are of."""
    if view.base is None and view.tuned is None:
        return ""
    known = metric(view.metric)
    interval = " to ".join(map(known.figure, view.interval or ()))
    figures: list[tuple[str, str, float | None, str]] = [("base", "Base", view.base, "")]
    if view.tuned is not None or view.state.status not in ENDED:
        figures.insert(0, ("tuned", "Fine-tuned", view.tuned, f"95 %: {interval}" if interval else ""))
    if view.majority is not None:
        figures.append(("quiet", "Commonest label", view.majority, ""))
    return render("runs.headline", known, held_out(view), figures, base_words(view))


def loss_chart(view: RunView) -> Markup:
    """Training loss by step; validation loss by epoch, and the base's."""
    trail = view.trail
    validation = thin(
        [(event.step, event.metrics["loss"]) for event in trail.epochs if "loss" in event.metrics], MAX_DOTS
    )
    lines = [Line("training", thin(trail.losses), "quiet"), Line("validation", validation, "tuned", "dots")]
    if "loss" in trail.base:
        lines.append(Line("base", ((0, trail.base["loss"]),), "base", "dashed"))
    return chart("Loss", lines, x_name="step", x_range=(0, max(trail.total_steps, trail.step, 1)), floor=0)


def metric_chart(view: RunView) -> Markup:
    """The headline metric by epoch, with the base's as a level."""
    trail, name = view.trail, view.metric
    tuned = thin(
        [(event.epoch, event.metrics[name]) for event in trail.epochs if name in event.metrics], MAX_DOTS
    )
    lines = [Line("fine-tuned", tuned, "tuned", "dots")]
    if name in trail.base:
        lines.append(Line("base", ((0, trail.base[name]),), "base", "dashed"))
    return chart(
        f"{metric(name).title}, validation", lines, x_name="epoch", x_range=(0, max(_epochs(view), 1))
    )


def _epochs(view: RunView) -> float:
    """How many epochs there are to show: those planned, or once it has ended those that were."""
    trail = view.trail
    if not trail.epochs:
        return view.config.epochs
    last = trail.epochs[-1]
    ahead = view.state.status == "running" and last.step > 0
    return max(last.epoch, last.epoch * trail.total_steps / last.step if ahead else 0)


def epoch_table(view: RunView) -> Markup:
    """Epoch, headline metric, both losses and the task's other metrics; the base as the first row.

    The headline comes first, so that it is seen where a narrow page leaves room for few columns.
    """
    others = [each.name for each in TASKS[view.config.task].metrics]
    first = [view.metric] if view.metric in others else []
    names = [*first, "train_loss", "loss", *(name for name in others if name not in first)]
    words = {"train_loss": "Training loss", "loss": "Validation loss"}
    best, epochs, base = (view.result or {}).get("best_step"), view.trail.epochs, view.trail.base
    shown = [event for event in epochs[:-MAX_EPOCHS] if event.step == best] + epochs[-MAX_EPOCHS:]
    rows = [("base", base)] if base else []
    rows += [(f"{event.epoch:.3g}{' ✓' if event.step == best else ''}", event.metrics) for event in shown]
    notes = ["✓ the epoch whose model is kept"] if best else []
    if len(shown) < len(epochs):
        notes.append(f"the last {MAX_EPOCHS} of {len(epochs):,} epochs")
    return table(
        "Per epoch, on the validation rows",
        ["Epoch", *(words.get(name) or metric(name).title for name in names)],
        [(title, *(exact(metric(name), values.get(name)) for name in names)) for title, values in rows],
        "bs-epochs",
        named=True,
        base=bool(base),
        note=" · ".join(notes),
    )


def draw_runs(lines: Sequence[RunLine], shown: str, words: str = "") -> Markup:
    """The list of runs, a button each; the one in the view is marked. words: what the list is filtered by."""
    if not lines and words.strip():
        return render("runs.empty", f"No run has “{words.strip()}” in its name, notes, task or status.")
    if not lines:
        none = "Runs stay here, newest first, with what they reached. There is none yet."
        return render("runs.empty", none)
    return render("runs.list", [(line, pill(line.status), *_line(line)) for line in lines], shown)


def _line(line: RunLine) -> tuple[str, Metric, str]:
    """(what it is, its metric, when it was and how long it took)."""
    took = duration(line.seconds) if line.seconds >= 1 and line.status in ENDED else ""
    about = " · ".join(filter(None, (TASKS[line.task].title, line.notes)))
    return about, metric(line.metric), " · ".join(filter(None, (moment(line.created), took)))


def log_text(lines: str) -> Markup:
    return render("runs.log", without_paths(lines) or "Nothing is written yet.")
