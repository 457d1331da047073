"""Step 3 of fine-tuning: start, the live view drawn from the run's folder, stop, and the list of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace import engine
from bertspace.errors import BertspaceError
from bertspace.runs import ENDED
from bertspace.ui import render_run
from bertspace.ui.errors import told
from bertspace.ui.header import CLICK
from bertspace.ui.run_view import find_run, first_run, run_lines, view
from bertspace.ui.settings_step import QUIET

EVERY = 1.0  # seconds between two looks at the run
EMPTY = (
    '<p class="bs-empty">Training shows here while it goes on: what the base scores first, then the curves, '
    "a row an epoch, and in the end what was learned. It goes on when this page is closed.</p>"
)
# Keeps the address in step with what is shown, so that a reload or a copied link shows the same run.
IN_ADDRESS = """(run) => {
    const address = new URL(window.location);
    run ? address.searchParams.set('run', run) : address.searchParams.delete('run');
    window.history.replaceState(window.history.state, '', address);
}"""


@dataclass(frozen=True)
class RunStep:
    """The step's components. `run_id` says which run is shown, on the page and to the API."""

    run_id: gr.Textbox
    start: gr.Button
    problem: gr.HTML
    example: gr.Button
    try_it: gr.Button
    compare: gr.Button


def build_run_step() -> RunStep:
    """The panel and its own events; what starts a run is wired by the caller."""
    run_id = gr.Textbox("", label="Run", visible=False)
    seen = gr.State(())
    with gr.Column(elem_classes="bs-card bs-step"):
        gr.HTML('<h2 class="bs-step-title">3 · Run</h2>', apply_default_css=False)
        with gr.Row(elem_classes="bs-actions"):
            begin = gr.Button("Start training", variant="primary", elem_id="start")
        problem = gr.HTML("", apply_default_css=False, elem_classes="bs-slot")
        live = gr.HTML(EMPTY, apply_default_css=False, elem_id="live")
        example = gr.Button(
            "Train an example: sort office messages", elem_classes="bs-small", elem_id="example"
        )
        with gr.Row(elem_classes="bs-actions"):
            halt = gr.Button("Stop and keep", visible=False, elem_id="stop")
            try_it = gr.Button("Try it", variant="primary", visible=False, elem_id="try")
            compare = gr.Button("Compare with the base", visible=False, elem_id="compare-run")
            delete = gr.Button("Delete", visible=False, elem_id="delete", elem_classes="bs-last")
        with gr.Row(visible=False, elem_classes="bs-actions bs-confirm") as sure:
            gr.HTML("<p>Delete this run, its model and its copy of the rows?</p>", apply_default_css=False)
            really = gr.Button("Delete for good", variant="stop", elem_id="delete-for-good")
            keep = gr.Button("Keep it")
        curves = gr.HTML("", apply_default_css=False, elem_id="curves")
        with gr.Accordion("Log", open=False, visible=False, elem_classes="bs-fold") as log_fold:
            log = gr.HTML("", apply_default_css=False)
    with gr.Column(elem_classes="bs-card bs-step"):
        gr.HTML('<h2 class="bs-step-title">Runs</h2>', apply_default_css=False)
        listed = gr.HTML(
            render_run.draw_runs([], ""), js_on_load=CLICK, apply_default_css=False, elem_id="runs"
        )

    drawn = [live, curves, example, halt, try_it, compare, delete, log_fold, log, listed, seen]
    looking: dict[str, Any] = {"inputs": [run_id, seen], "outputs": drawn, **QUIET}
    gr.Timer(EVERY).tick(look, **looking)
    run_id.change(look, **looking).then(None, run_id, None, js=IN_ADDRESS)
    run_id.change(lambda: gr.Row(visible=False), None, sure, **QUIET)
    listed.click(chosen_run, None, run_id, **QUIET)
    halt.click(told(stop), run_id, None, api_name="stop").then(look, **looking)
    delete.click(lambda: gr.Row(visible=True), None, sure, **QUIET)
    keep.click(lambda: gr.Row(visible=False), None, sure, **QUIET)
    really.click(told(remove), run_id, run_id, api_name="delete").then(
        lambda: gr.Row(visible=False), None, sure, **QUIET
    )
    gr.api(list_runs, api_name="runs")
    gr.api(told(show_run), api_name="run")
    return RunStep(run_id, begin, problem, example, try_it, compare)


def look(run_id: str, seen: tuple[object, ...]) -> list[Any]:
    """Everything that is drawn of the run and the list; nothing where nothing changed."""
    lines = run_lines()
    try:
        shown = view(run_id) if run_id else None
    except BertspaceError as error:
        shown, failed = None, render_run.problem(error.message, error.hint)
    else:
        failed = ""
    # The time of a run at work moves on in the list; the list is drawn anew when its view is.
    now = (shown and shown.signature, failed, tuple((line.id, line.status, line.tuned) for line in lines))
    if now == seen:
        return [gr.skip()] * 11
    ended = bool(shown and shown.state.status in ENDED)
    return [
        render_run.draw_run(shown) if shown else failed or EMPTY,
        render_run.draw_curves(shown) if shown else "",
        gr.Button(visible=not lines),
        gr.Button(visible=bool(shown) and not ended, interactive=not (shown and shown.stopping)),
        gr.Button(visible=ended and shown is not None and shown.has_model),
        gr.Button(visible=ended and shown is not None and shown.has_model and shown.base is not None),
        gr.Button(visible=ended),
        gr.Accordion(visible=shown is not None),
        render_run.log_text(find_run(shown.id).log_tail()) if shown else "",
        render_run.draw_runs(lines, run_id),
        now,
    ]


def chosen_run(event: gr.EventData) -> str:
    """The id that a click on a run carries."""
    return str(event.run)


def stop(run_id: str) -> None:
    """Ask the run to finish its step, save and score; its model can be used as it is then."""
    engine.stop(find_run(run_id))


def remove(run_id: str) -> str:
    """Delete the run for good; the id of the run that is shown instead, or ""."""
    engine.delete(find_run(run_id))
    return first_run()


def list_runs() -> list[dict[str, Any]]:
    """The newest runs: id, name, task, status, metric, base, tuned, created, seconds."""
    return [line.__dict__ for line in run_lines()]


def show_run(run_id: str) -> dict[str, Any]:
    """One run: status, step, total_steps, message, metric, base, tuned, and result once there is one."""
    seen = view(run_id)
    return {
        "id": seen.id, "name": seen.name, "status": seen.state.status, "step": seen.trail.step,
        "total_steps": seen.trail.total_steps, "message": seen.state.message or seen.trail.message,
        "metric": seen.metric, "base": seen.base, "tuned": seen.tuned, "result": seen.result,
    }  # fmt: skip
