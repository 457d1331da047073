"""The header of every tab: the name, a sentence, the device, who you are, and the run at work."""

from __future__ import annotations

from typing import Any

import gradio as gr

from bertspace import policy
from bertspace.policy import Person
from bertspace.ui.access import who
from bertspace.ui.access.entrance import LOG_OUT
from bertspace.ui.access.needs import needs
from bertspace.ui.access.sign_in import GO, SIGN_IN, SIGN_OUT
from bertspace.ui.frame.html import text
from bertspace.ui.models import warm
from bertspace.ui.models.news import news_field, news_of
from bertspace.ui.runs.render_run import CLICK
from bertspace.ui.runs.view import RunView, run_at_work

EVERY = 2.0  # seconds between two looks at the run at work
# A form, since a link from another site could be followed too.
END = (
    f'<form method="post" action="{LOG_OUT.lstrip("/")}"><button type="submit" class="bs-chip" '
    'title="End the owner\'s session: this browser will need the key again">Log out</button></form>'
)
SENTENCE = "Fine-tune a BERT on your own texts, try it, and see what the training changed."


def build_header(sign_in: gr.LoginButton | None = None) -> tuple[gr.HTML, gr.Textbox]:
    """The header, with the button to sign in where that can be done, not on a page yet; and the News.

    Its click event carries `run`, the id of the run at work.
    """
    with gr.Row(elem_id="top", equal_height=False):
        header = gr.HTML(draw_header("", None), js_on_load=CLICK, apply_default_css=False, elem_id="header")
        button = sign_in.render() if sign_in else gr.Button(visible=False, elem_id="sign-in")
    button.click(None, button, None, js=GO)
    seen, clock, news = gr.State(""), gr.Timer(EVERY), news_field()
    drawn: dict[str, Any] = {"outputs": [header, seen, clock, button, news], "show_progress": "hidden"}
    drawn |= {"queue": False, "api_visibility": "private"}
    gr.on(None, first_look, **drawn)  # when the page opens
    clock.tick(look, seen, **drawn)
    return header, news


@needs("try models")
def first_look(request: gr.Request) -> tuple[object, ...]:
    return look("", request)


@needs("try models")
def look(seen: str, request: gr.Request | None = None) -> tuple[object, ...]:
    """The header as it is now for this person; nothing where it is as it was.

    The clock stops once there is nothing more to come: a visitor sees no runs.
    """
    person, device = who.person(request), warm.device_words()
    at_work = run_at_work(person.owner)
    drawn = draw_header(device, at_work, person)
    if drawn == seen:
        return *(gr.skip(),) * 4, news_of(at_work)
    clock = gr.Timer(active=not device or policy.allowed(person, "see runs"))
    button = gr.Button(SIGN_OUT if who.is_signed_in(request) else SIGN_IN)
    return drawn, drawn, clock, button, news_of(at_work)


def draw_header(device: str, at_work: RunView | None, person: Person | None = None) -> str:
    """Pure: the same device, run and person give the same words."""
    machine = text(device) if device else "Looking at this machine …"
    runs = _run(at_work) if person and policy.allowed(person, "see runs") else ""
    return (
        '<header class="bs-header"><div class="bs-brand"><h1>bertspace</h1>'
        f'<p>{SENTENCE}</p></div><div class="bs-where">{runs}'
        f'<span class="bs-chip">{machine}</span>{_person(person)}</div></header>'
    )


def _person(person: Person | None) -> str:
    """Who is at the page, and what a visitor is not told elsewhere."""
    if person is None:
        return ""
    hint = "" if policy.allowed(person, "train") else f' title="{text(person.more)}"'
    return f'<span class="bs-chip"{hint}>{text(person.name)}</span>{END if person == policy.OWNER else ""}'


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
