"""Step 3 of fine-tuning: start, the live view of the run's folder, its buttons, and the list of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace import policy
from bertspace.errors import BertspaceError
from bertspace.policy import Person
from bertspace.runs import ENDED
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.fine_tune.publish_choice import build_publish_choice
from bertspace.ui.frame import html
from bertspace.ui.frame.errors import plain_errors, show_errors
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.hub import publish as hub_publish
from bertspace.ui.runs import care, render_run
from bertspace.ui.runs.care import list_runs, remove, show_run, stop
from bertspace.ui.runs.more_fold import DOWNLOAD, build_more_fold, closed
from bertspace.ui.runs.render_run import CLICK
from bertspace.ui.runs.view import RunLine, RunView, find_run, run_lines, view

__all__ = ["RunStep", "build_run_step", "chosen_run", "list_runs", "refresh", "remove", "show_run", "stop"]

Part = tuple[object, Callable[[], list[Any]]]  # what it is drawn for, and its updates

EVERY = 1.0  # seconds between two looks at the run
FEW_RUNS = 5  # up to so many the list needs no filter
MAX_RUNS = 50  # in the list
EMPTY = html.render(
    "runs.empty",
    "Training shows here while it goes on: what the base scores first, then the curves, "
    "a row an epoch, and in the end what was learned. It goes on when this page is closed.",
)
# Keeps the address in step with what is shown, so that a reload or a copied link shows the same run.
IN_ADDRESS = """(run) => {
    const address = new URL(window.location);
    run ? address.searchParams.set('run', run) : address.searchParams.delete('run');
    window.history.replaceState(window.history.state, '', address);
}"""


@dataclass(frozen=True)
class RunStep:
    """The step's components. `run_id` says which run is shown, on the page and to the API.

    `copy` is the button that copies the run's settings into the form: see `run_care.settings_of`.
    `publishing` has the controls that say where the next run is published: see `publish_choice.asked`.
    """

    run_id: gr.Textbox
    start: gr.Button
    problem: gr.HTML
    example: gr.Button
    try_it: gr.Button
    compare: gr.Button
    publish: gr.Button
    copy: gr.Button
    forecast: gr.HTML
    publishing: Mapping[str, Any]


@dataclass(frozen=True)
class _Buttons:
    """What a run can be told, each shown in the states in which it has a meaning."""

    go_on: gr.Button
    try_it: gr.Button
    compare: gr.Button
    publish: gr.Button
    resume: gr.Button
    stop: gr.Button
    pause: gr.Button
    front: gr.Button


def build_run_step() -> RunStep:
    """The panel and its own events; what starts a run is wired by the caller."""
    run_id = gr.Textbox("", label="Run", visible=False)
    seen = gr.State(())
    with gr.Column(elem_classes="bs-card bs-step"):
        gr.HTML('<h2 class="bs-step-title">3 · Run</h2>', apply_default_css=False)
        with gr.Row(elem_classes="bs-actions"):
            begin = gr.Button("Start training", variant="primary", elem_id="start")
            foreseen = gr.HTML("", apply_default_css=False, elem_id="forecast")
        publishing = build_publish_choice()
        problem = gr.HTML("", apply_default_css=False, elem_classes="bs-slot")
        live = gr.HTML(EMPTY, apply_default_css=False, elem_id="live")
        example = gr.Button(
            "Train an example: sort office messages", elem_classes="bs-small", elem_id="example"
        )
        buttons = _build_buttons()
        published = gr.HTML("", apply_default_css=False, elem_id="run-published", elem_classes="bs-slot")
        curves = gr.HTML("", apply_default_css=False, elem_id="curves", elem_classes="bs-slot")
        more = build_more_fold(run_id)
        with gr.Accordion(
            "Log", open=False, visible=False, elem_classes="bs-fold", elem_id="run-log"
        ) as log_fold:
            log = gr.HTML("", apply_default_css=False)
            whole = gr.Button("Download the whole log", elem_classes="bs-small", elem_id="download-log")
    with gr.Column(elem_classes="bs-card bs-step"):
        gr.HTML('<h2 class="bs-step-title">Runs</h2>', apply_default_css=False)
        words = gr.Textbox(
            "", label="Filter", placeholder="Name, notes, task or status", max_lines=1, visible=False,
            elem_id="filter-runs",
        )  # fmt: skip
        listed = gr.HTML(
            render_run.draw_runs([], ""), js_on_load=CLICK, apply_default_css=False, elem_id="runs"
        )

    acting = list(vars(buttons).values())
    drawn = [live, published, curves, example, *acting, more.fold, log_fold, log, words, listed, seen]
    refreshing: dict[str, Any] = {"fn": refresh, "inputs": [run_id, seen, words], "outputs": drawn, **QUIET}
    gr.Timer(EVERY).tick(**refreshing)
    whenever(run_id.change, **refreshing).then(None, run_id, None, js=IN_ADDRESS)
    words.change(**refreshing)
    listed.click(chosen_run, None, run_id, **QUIET)
    _wire_buttons(buttons, run_id, refreshing)
    more.save.click(show_errors(care.save), [run_id, *more.named], None, **QUIET).then(**refreshing)
    more.really.click(show_errors(remove), run_id, run_id, api_name="delete").then(
        closed, None, more.sure, **QUIET
    )
    whole.click(show_errors(care.whole_log), run_id, more.file, api_name="log").success(
        None, None, None, js=DOWNLOAD
    )
    _add_endpoints()
    leading = buttons.try_it, buttons.compare, buttons.publish
    return RunStep(run_id, begin, problem, example, *leading, more.copy, foreseen, publishing)


def _build_buttons() -> _Buttons:
    """All in one row; few of them are to be seen at a time."""
    with gr.Row(elem_classes="bs-actions"):
        return _Buttons(
            go_on=gr.Button("Go on with these settings", variant="primary", visible=False, elem_id="go-on"),
            try_it=gr.Button("Try it", variant="primary", visible=False, elem_id="try"),
            compare=gr.Button("Compare with the base", visible=False, elem_id="compare-run"),
            publish=gr.Button("Publish", visible=False, elem_id="publish-run"),
            resume=gr.Button("Resume", visible=False, elem_id="resume"),
            stop=gr.Button("Stop and keep", visible=False, elem_id="stop"),
            pause=gr.Button("Pause", visible=False, elem_id="pause"),
            front=gr.Button("Move to the front", visible=False, elem_id="to-front"),
        )


def _wire_buttons(buttons: _Buttons, run_id: gr.Textbox, refreshing: dict[str, Any]) -> None:
    for button, act, api_name in (
        (buttons.stop, stop, "stop"),
        (buttons.pause, care.pause, "pause"),
        (buttons.resume, care.resume, "resume"),
        (buttons.go_on, care.go_on, ""),
        (buttons.front, care.to_front, ""),
    ):
        named: dict[str, Any] = {"api_name": api_name} if api_name else {"api_visibility": "private"}
        button.click(show_errors(act), run_id, None, **named).then(**refreshing)


def _add_endpoints() -> None:
    """What programs can ask of runs beside what the buttons do."""
    gr.api(plain_errors(list_runs), api_name="runs")
    gr.api(plain_errors(show_run), api_name="run")
    gr.api(plain_errors(care.rename), api_name="rename")
    gr.api(plain_errors(care.note), api_name="notes")
    gr.api(plain_errors(care.move), api_name="move")
    gr.api(plain_errors(care.compare_runs), api_name="compare_runs")
    gr.api(plain_errors(care.copy_settings), api_name="copy_settings")


# Looking


@needs("try models")
def refresh(
    run_id: str, seen: tuple[object, ...], words: str = "", request: gr.Request | None = None
) -> list[Any]:
    """Everything that is drawn of the run and the list; of each part nothing where nothing of it changed."""
    person = who.person(request)
    lines = run_lines(person.owner, MAX_RUNS, words)
    try:
        shown = view(run_id, person.owner) if run_id else None
    except BertspaceError as error:
        shown, instead = None, html.problem(error.message, error.hint)
    else:
        instead = EMPTY if policy.allowed(person, "see runs") else render_run.closed(person.more)
    parts: list[Part] = [
        (_live_mark(shown) or instead, lambda: [render_run.draw_run(shown) if shown else instead]),
        (sent := hub_publish.told_briefly(shown, person), lambda: [sent]),
        (_curves_mark(shown), lambda: [render_run.draw_curves(shown) if shown else ""]),
        (_buttons_mark(shown, lines, person), lambda: _buttons(shown, lines, words, person)),
        (_log_mark(shown), lambda: [_log(shown, person)]),
        (_list_mark(run_id, lines, words), lambda: _list(run_id, lines, words)),
    ]
    return _changed(parts, seen)


def _changed(parts: list[Part], seen: tuple[object, ...]) -> list[Any]:
    """The parts' updates, and what they were drawn for; a part whose mark is as it was is left alone."""
    marks = tuple(mark for mark, _ in parts)
    widths = (1, 1, 1, 11, 1, 2)
    updates: list[Any] = []
    for place, (mark, draw) in enumerate(parts):
        same = len(seen) == len(parts) and seen[place] == mark
        updates += [gr.skip()] * widths[place] if same else draw()
    return [*updates, gr.skip() if marks == seen else marks]


def _live_mark(shown: RunView | None) -> tuple[object, ...]:
    if not shown:
        return ()
    asked = shown.stopping, shown.pausing
    return shown.id, shown.state, shown.trail.offset, shown.position, *asked, shown.checkpoint


def _curves_mark(shown: RunView | None) -> tuple[object, ...]:
    if not shown:
        return ()
    trail = shown.trail
    known = len(trail.epochs), len(trail.base), trail.total_steps, shown.result is not None
    return shown.id, shown.state.status, trail.curve.mark, *known


def _buttons_mark(shown: RunView | None, lines: list[RunLine], person: Person) -> tuple[object, ...]:
    if not shown:
        return bool(lines), person.kind
    asked = shown.stopping, shown.pausing
    known = shown.has_model, shown.base is not None, shown.checkpoint, shown.position > 1
    return shown.id, shown.state.status, bool(shown.state.advice), *asked, *known


def _buttons(shown: RunView | None, lines: list[RunLine], words: str, person: Person) -> list[Any]:
    """The example's button, the run's eight, and the two folds."""
    none = not lines and not words.strip() and policy.allowed(person, "train")
    if shown is None:
        return [gr.Button(visible=none), *[gr.Button(visible=False)] * 8, *[gr.Accordion(visible=False)] * 2]
    status, asked = shown.state.status, shown.stopping or shown.pausing
    ended, fits = status in ENDED, bool(shown.state.advice)
    usable = ended and shown.has_model
    again = render_run.resume_words(shown)
    queued = status == "queued"
    return [
        gr.Button(visible=False),
        gr.Button(visible=fits and shown.resumable),
        gr.Button(visible=usable),
        gr.Button(visible=usable and shown.base is not None),
        gr.Button(visible=shown.publishable and policy.allowed(person, "publish")),
        gr.Button(again, visible=shown.resumable, variant="secondary" if usable or fits else "primary"),
        gr.Button(
            "Withdraw" if queued else "Stop and keep", visible=not ended, interactive=not shown.stopping
        ),
        gr.Button(visible=not ended and not queued, interactive=not asked),
        gr.Button(visible=queued and shown.position > 1),
        gr.Accordion(visible=True),
        gr.Accordion(visible=True),
    ]


def _log_mark(shown: RunView | None) -> tuple[object, ...]:
    return (shown.id, shown.log) if shown else ()


def _log(shown: RunView | None, person: Person) -> str:
    """The log's last lines."""
    try:
        return render_run.log_text(find_run(shown.id, person.owner).log_tail()) if shown else ""
    except BertspaceError:
        return ""  # it was deleted at this moment


def _list_mark(run_id: str, lines: list[RunLine], words: str) -> tuple[object, ...]:
    return run_id, words, tuple((line.id, line.name, line.notes, line.status, line.tuned) for line in lines)


def _list(run_id: str, lines: list[RunLine], words: str) -> list[Any]:
    """The filter, once there are more runs than can be seen at a glance, and the list."""
    many = len(lines) > FEW_RUNS or bool(words.strip())
    return [gr.Textbox(visible=many), render_run.draw_runs(lines, run_id, words)]


@needs("see runs")
def chosen_run(event: gr.EventData) -> str:
    """The id that a click on a run carries."""
    return str(getattr(event, "run", ""))  # a program may leave it out
