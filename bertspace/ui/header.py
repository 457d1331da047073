"""The header of every tab: the name, a sentence, the device, who you are, and the run at work."""

from __future__ import annotations

import gradio as gr

from bertspace.ui import warm
from bertspace.ui.render import text
from bertspace.ui.run_view import RunView, run_at_work

EVERY = 2.0  # seconds between two looks at the run at work
SENTENCE = "Fine-tune a BERT on your own texts, try it, and see what the training changed."

# A click on the run tells the page which run it was; see gr.HTML, js_on_load.
CLICK = """element.addEventListener('click', event => {
    const chosen = event.target.closest('[data-run]');
    if (chosen) trigger('click', {run: chosen.dataset.run});
});"""


def build_header() -> gr.HTML:
    """The header; its click event carries `run`, the id of the run at work."""
    header = gr.HTML(draw_header("", None), js_on_load=CLICK, apply_default_css=False, elem_id="header")
    seen = gr.State("")
    gr.Timer(EVERY).tick(
        look, seen, [header, seen], show_progress="hidden", queue=False, api_visibility="private"
    )
    return header


def look(seen: str) -> tuple[object, object]:
    """The header as it is now; nothing where it is as it was."""
    drawn = draw_header(warm.device_words(), run_at_work())
    return (gr.skip(), gr.skip()) if drawn == seen else (drawn, drawn)


def draw_header(device: str, at_work: RunView | None) -> str:
    """Pure: the same device and run give the same words."""
    machine = text(device) if device else "Looking at this machine …"
    return (
        '<header class="bs-header"><div class="bs-brand"><h1>bertspace</h1>'
        f'<p>{SENTENCE}</p></div><div class="bs-where">{_run(at_work)}'
        f'<span class="bs-chip">{machine}</span><span class="bs-chip">Local owner</span></div></header>'
    )


def _run(at_work: RunView | None) -> str:
    if at_work is None:
        return '<span class="bs-chip bs-idle">No run at work</span>'
    trail = at_work.trail
    share = 100 * trail.step / trail.total_steps if trail.total_steps else 0
    return (
        f'<button type="button" class="bs-chip bs-working" data-run="{text(at_work.id)}" '
        f'title="Go to this run"><span>{text(at_work.name)}</span><b>{share:.0f} %</b>'
        f'<i style="width:{share:.0f}%"></i></button>'
    )
