"""Runs -> HTML: the live view, its curves and tables, the list. Pure; what is not ours is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from bertspace.errors import without_paths
from bertspace.runs import ENDED
from bertspace.tasks import TASKS, Metric, metric
from bertspace.ui.frame.chart import Line, chart, thin
from bertspace.ui.frame.html import problem, short, source_name, text
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
MOST_EPOCHS = 30  # rows of the table
MOST_DOTS = 100  # of a curve by epoch


def draw_run(view: RunView) -> str:
    """What a run is, how far it is and what it reached; its buttons stand below."""
    return f'<div class="bs-run">{_title(view)}{_outcome(view)}{_headline(view)}{draw_progress(view)}</div>'


def draw_curves(view: RunView) -> str:
    """The curves and the table; empty before the first step."""
    if not (view.trail.losses or view.trail.epochs):
        return ""
    charts = f'<div class="bs-charts">{loss_chart(view)}{metric_chart(view)}</div>'
    return f'<div class="bs-run">{charts}{epoch_table(view)}</div>'


def pill(status: str) -> str:
    sign, words = SIGNS.get(status, "○"), STATUS_NAMES.get(status, status)
    return (
        f'<span class="bs-pill bs-pill-{text(status)}"><i aria-hidden="true">{sign}</i>{text(words)}</span>'
    )


def _title(view: RunView) -> str:
    rows = view.source.get("rows", {}).get("train", 0)
    about = [TASKS[view.config.task].title, f"{short(view.config.model)} as base", f"{rows:,} training rows"]
    about.append(moment(view.state.created))
    notes = f'<p class="bs-run-notes">{text(view.state.notes)}</p>' if view.state.notes else ""
    return (
        f'<div class="bs-run-title"><h3>{text(view.name)}</h3>{pill(view.state.status)}</div>'
        f'<p class="bs-note">{" · ".join(map(text, about))}</p>{notes}'
    )


def _outcome(view: RunView) -> str:
    """What was learned, or what went wrong, in a sentence, and what can be done now."""
    status = view.state.status
    if status in ("failed", "interrupted"):
        enough = bool(status == "interrupted" and view.state.hint and not view.state.advice)
        hints = (view.state.hint, "" if enough else _what_resume_does(view))
        message = view.state.message or "The run ended without a result."
        return problem(message, " ".join(filter(None, hints)))
    if status == "paused":
        said = view.state.message or "Paused."
        return f'<p class="bs-learned">{text(f"{said} {_what_resume_does(view)}")}</p>'
    if status in ("done", "stopped") and (sentence := learned(view)):
        why = view.state.message if status == "stopped" else ""
        return f'<p class="bs-learned">{text(f"{why} {sentence}".strip())}</p>'
    if status == "stopped":
        said = view.state.message or "Stopped before the first result."
        return f'<p class="bs-learned">{text(f"{said} {_what_resume_does(view)}")}</p>'
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


def closed(words: str) -> str:
    """The panel of who may not train here; words: how to get the right."""
    return f'<p class="bs-empty">Training shows here for who may train. {text(words)}</p>'


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
    title, meaning = known.title, known.meaning
    figures = _figure("base", "Base", known, view.base, "")
    if view.tuned is not None or view.state.status not in ENDED:
        figures = _figure("tuned", "Fine-tuned", known, view.tuned, _interval(view)) + figures
    if view.majority is not None:
        figures += _figure("quiet", "Commonest label", known, view.majority, "")
    direction = "lower is better" if view.lower_is_better else "higher is better"
    return (
        f'<div class="bs-headline"><p class="bs-metric" title="{text(meaning)}">{text(title)} '
        f'<span>on {text(held_out(view))}, {direction}</span></p><div class="bs-figures">{figures}</div>'
        f'<p class="bs-note">Base: {text(base_words(view))}.</p></div>'
    )


def _interval(view: RunView) -> str:
    shown = " to ".join(map(metric(view.metric).figure, view.interval or ()))
    return f"95 %: {shown}" if shown else ""


def _figure(colour: str, name: str, known: Metric, value: float | None, note: str) -> str:
    exact = "" if value is None else f' title="{value!r}"'
    return (
        f'<div class="bs-figure bs-{colour}"><span>{text(name)}</span><b{exact}>{known.figure(value)}</b>'
        f"<small>{text(note)}</small></div>"
    )


def loss_chart(view: RunView) -> str:
    """Training loss by step; validation loss by epoch, and the base's."""
    trail = view.trail
    validation = thin(
        [(event.step, event.metrics["loss"]) for event in trail.epochs if "loss" in event.metrics], MOST_DOTS
    )
    lines = [Line("training", thin(trail.losses), "quiet"), Line("validation", validation, "tuned", "dots")]
    if "loss" in trail.base:
        lines.append(Line("base", ((0, trail.base["loss"]),), "base", "dashed"))
    return chart("Loss", lines, x_name="step", x_range=(0, max(trail.total_steps, trail.step, 1)), floor=0)


def metric_chart(view: RunView) -> str:
    """The headline metric by epoch, with the base's as a level."""
    trail, name = view.trail, view.metric
    tuned = thin(
        [(event.epoch, event.metrics[name]) for event in trail.epochs if name in event.metrics], MOST_DOTS
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


def epoch_table(view: RunView) -> str:
    """Epoch, headline metric, both losses and the task's other metrics; the base as the first row.

    The headline comes first, so that it is seen where a narrow page leaves room for few columns.
    """
    others = [each.name for each in TASKS[view.config.task].metrics]
    first = [view.metric] if view.metric in others else []
    metrics = [*first, "train_loss", "loss", *(name for name in others if name not in first)]
    words = {"train_loss": "Training loss", "loss": "Validation loss"}
    titles = ["Epoch", *(words.get(name) or metric(name).title for name in metrics)]
    head = "".join(f'<th scope="col">{text(title)}</th>' for title in titles)
    rows = [_row("base", view.trail.base, metrics, "bs-base")] if view.trail.base else []
    kept = (view.result or {}).get("best_step")
    epochs = view.trail.epochs
    shown = [event for event in epochs[:-MOST_EPOCHS] if event.step == kept] + epochs[-MOST_EPOCHS:]
    for event in shown:
        mark = " ✓" if event.step == kept else ""
        rows.append(_row(f"{event.epoch:.3g}{mark}", event.metrics, metrics, ""))
    notes = ["✓ the epoch whose model is kept"] if kept else []
    if len(shown) < len(epochs):
        notes.append(f"the last {MOST_EPOCHS} of {len(epochs):,} epochs")
    note = f'<p class="bs-note">{" · ".join(notes)}</p>' if notes else ""
    return (
        '<figure class="bs-epochs"><figcaption>Per epoch, on the validation rows</figcaption>'
        '<div class="bs-scroll" tabindex="0" role="region" aria-label="Per epoch">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{note}</figure>"
    )


def _row(title: str, values: dict[str, float], metrics: Sequence[str], style: str) -> str:
    shown = "".join(f"<td>{_cell(name, values.get(name))}</td>" for name in metrics)
    return f'<tr class="{style}"><th scope="row">{text(title)}</th>{shown}</tr>'


def _cell(name: str, value: float | None) -> str:
    return "–" if value is None else f'<span title="{value!r}">{metric(name).figure(value)}</span>'


def draw_runs(lines: Sequence[RunLine], shown: str, words: str = "") -> str:
    """The list of runs, a button each; the one in the view is marked. words: what the list is filtered by."""
    if not lines and words.strip():
        return (
            f'<p class="bs-empty">No run has “{text(words.strip())}” in its name, notes, task or status.</p>'
        )
    if not lines:
        return (
            '<p class="bs-empty">Runs stay here, newest first, with what they reached. There is none yet.</p>'
        )
    return f'<div class="bs-runs" role="list">{"".join(_run_line(line, shown) for line in lines)}</div>'


def _run_line(line: RunLine, shown: str) -> str:
    current = ' aria-current="true"' if line.id == shown else ""
    when = moment(line.created)
    about = " · ".join(filter(None, (TASKS[line.task].title, line.notes)))
    took = f" · {duration(line.seconds)}" if line.seconds >= 1 and line.status in ENDED else ""
    return (
        f'<div role="listitem"><button type="button" class="bs-run-line" data-run="{text(line.id)}"{current}>'
        f'<span class="bs-run-name"><b>{text(line.name)}</b><small>{text(about)}</small></span>'
        f"{pill(line.status)}{_scores(line)}<small>{when}{took}</small></button></div>"
    )


def _scores(line: RunLine) -> str:
    if line.tuned is None:
        return '<span class="bs-scores"></span>'
    title, figure = metric(line.metric).title, metric(line.metric).figure
    base = "" if line.base is None else f'<i class="bs-base">{figure(line.base)}</i> → '
    tuned = f'<i class="bs-tuned">{figure(line.tuned)}</i>'
    return f'<span class="bs-scores"><small>{text(title)}</small> {base}{tuned}</span>'


def log_text(lines: str) -> str:
    """Scrolled to the newest line: a reversed column begins at its end and stays there as it grows."""
    shown = text(without_paths(lines)) or "Nothing is written yet."
    return (
        '<pre class="bs-log" style="display:flex;flex-direction:column-reverse" tabindex="0" '
        f'aria-label="Log"><span>{shown}</span></pre>'
    )
