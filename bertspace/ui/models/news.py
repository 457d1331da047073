"""Renew an answer when the run at work has a new model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.models import catalogue
from bertspace.ui.models.picker import chosen_or_newest
from bertspace.ui.runs.view import RunView

Fingerprints = tuple[object, ...]


def news_field() -> gr.Textbox:
    """Changes with the news. A gr.State would not do: of its changes gradio tells by the queue alone."""
    return gr.Textbox("", label="News", visible=False)


def news_of(at_work: RunView | None) -> str:
    """Another text when a run begins, keeps a model, has scored it, and ends."""
    return f"{at_work.id} {at_work.model} {len(at_work.trail.epochs)}" if at_work else ""


def build_news(
    news: gr.Textbox, task: str, model: gr.Dropdown, beside: gr.Dropdown | None = None
) -> gr.Textbox:
    """A field that changes when the model that a picker holds has; a picker that has none takes the first.

    task: what a model is wanted for; "" for any. beside: the picker of another model beside it.
    """
    seen, again = gr.State(()), news_field()
    whenever(news.change, _renewed(task), [seen, model, beside or model], [seen, again], **QUIET)
    whenever(news.change, chosen_or_newest(task), model, model, **QUIET)
    return again


def _renewed(task: str) -> Callable[..., tuple[Any, Any]]:
    @needs("try models")
    def renewed(
        seen: Fingerprints, model: str | None, beside: str | None, request: gr.Request | None = None
    ) -> tuple[Any, Any]:
        person = who.person(request)
        chosen = catalogue.known_model(model, person), catalogue.known_model(beside, person)
        now = tuple(catalogue.fingerprint(each, task, person) for each in chosen)
        return (gr.skip(), gr.skip()) if now == seen else (now, str(time.monotonic()))

    return renewed
