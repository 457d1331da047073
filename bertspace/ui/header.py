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
from bertspace.ui.frame.html import render
from bertspace.ui.models import warm
from bertspace.ui.models.news import news_field, news_of
from bertspace.ui.runs.render_run import CLICK
from bertspace.ui.runs.view import RunView, run_at_work

EVERY = 2.0  # seconds between two looks at the run at work
# A form, since a link from another site could be followed too.
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
    run = _run(at_work) if person and policy.allowed(person, "see runs") else ""
    hint = person.more if person and not policy.allowed(person, "train") else ""
    log_out = LOG_OUT.lstrip("/") if person == policy.OWNER else ""
    return render("page.header", SENTENCE, device, person, hint, log_out, run)


def _run(at_work: RunView | None) -> str:
    steps = at_work.trail.total_steps if at_work else 0
    return render("page.at_work", at_work, 100 * at_work.trail.step / steps if at_work and steps else 0)
