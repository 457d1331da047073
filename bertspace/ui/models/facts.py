"""What is known of a chosen model of the Hub before it is loaded, and its pull; the same in every tab."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace import hub, models
from bertspace.errors import BertspaceError, HubError
from bertspace.hub import Facts, credentials, names, quota
from bertspace.jobs.transfers import TRANSFERS, Job, Transfer
from bertspace.policy import Person
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame.errors import show_errors
from bertspace.ui.frame.events import whenever
from bertspace.ui.models import catalogue, render_models

EVERY = 0.7  # seconds between two looks at a pull


# What the buttons that lead on need to know of a model: its name, what it does here, whether it can be used.
Known = tuple[str, str, bool]
NOTHING: Known = ("", "", False)


@dataclass(frozen=True)
class FactsPanel:
    """The two panels under a choice, the clock that is on during a pull, and what is Known of the model."""

    shown: gr.HTML
    pull: gr.HTML
    clock: gr.Timer
    known: gr.State


def build_facts(choice: gr.Dropdown | gr.Textbox, task: str, arrived: gr.State) -> FactsPanel:
    """The panels for the model that `choice` holds: empty but for one of the Hub's.

    task: what the model is to be used for, "" for any. arrived: gets another value when the model has come.
    """
    shown = gr.HTML("", apply_default_css=False, elem_classes="hub-slot")
    pull = gr.HTML("", apply_default_css=False, elem_classes="hub-slot", js_on_load=render_models.CLICK)
    panel = FactsPanel(shown, pull, gr.Timer(EVERY, active=False), gr.State(NOTHING))
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    drawn = [shown, pull, panel.clock, panel.known, arrived]
    whenever(choice.change, _show_facts(task), choice, drawn, **quiet)
    pull.click(show_errors(_act(task)), choice, [pull, panel.clock], **quiet)
    panel.clock.tick(follow, choice, [pull, panel.clock, arrived], **quiet)
    return panel


def _show_facts(task: str) -> Callable[[str | None, gr.Request], Iterator[tuple[Any, ...]]]:
    @needs("try models")
    def show_facts(model: str | None, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """The facts and the pull of a model that was chosen; nothing for the starter and a run."""
        try:
            names.plain(model or "")  # an address that leads to no model is told; half a name is not
        except HubError as error:
            yield render_models.no_facts(error), "", gr.Timer(active=False), NOTHING, gr.skip()
            return
        name = catalogue.known_model(model, who.person(request))
        if not catalogue.is_hub(name):
            yield "", "", gr.Timer(active=False), NOTHING, gr.skip()
            return
        before = catalogue.is_here(name)
        yield render_models.looking(name), "", gr.skip(), NOTHING, gr.skip()
        yield (
            *facts_and_pull(name, task, request),
            arrival(name) if catalogue.is_here(name) != before else gr.skip(),
        )

    return show_facts


def facts_and_pull(name: str, task: str, request: gr.Request | None) -> tuple[str, str, Any, Known]:
    """A Hub model's facts, its pull, the clock (on where it is being pulled), and what is Known of it."""
    try:
        facts = hub.facts(name)
    except BertspaceError as error:
        return render_models.no_facts(error), "", gr.Timer(active=False), NOTHING
    why = unfit(facts, task)
    transfer = TRANSFERS.find(puller(request), "pull", name)
    going = bool(transfer and transfer.works)
    pull = "" if why else pull_panel(facts, transfer, who.person(request))
    known = name, facts.does, not why
    return render_models.draw_facts(name, facts, why), pull, gr.Timer(active=going), known


def pull_panel(facts: Facts, transfer: Transfer | None, person: Person) -> str:
    """The button that brings the model, unless the person's limit forbids it."""
    most = credentials.current().max_bytes
    if most and facts.size > most and not facts.is_here:
        return render_models.too_large(facts, most, person.more)
    return render_models.draw_pull(facts, transfer)


def unfit(facts: Facts, task: str = "") -> str:
    """Why a model cannot be used for the task ("" for any), in a sentence; "" where it can."""
    return f"{facts.repo_id} {why}." if (why := facts.why_not(task)) else ""


def _act(task: str) -> Callable[[str | None, gr.EventData, gr.Request], tuple[str, Any]]:
    @needs("try models")
    def act(model: str | None, event: gr.EventData, request: gr.Request) -> tuple[str, Any]:
        """Begin the pull, or cancel it."""
        name = catalogue.checked_model(model, who.person(request))
        if getattr(event, "act", "") == "cancel":
            TRANSFERS.cancel(puller(request), "pull")
            found = TRANSFERS.find(puller(request), "pull", name)
        else:
            found = begin_pull(name, task, request)
        return (render_models.draw_transfer(found) if found else "", gr.Timer(active=True))

    return act


@needs("try models")
def follow(model: str | None, request: gr.Request) -> tuple[Any, Any, Any]:
    """How far the pull is; once it has ended the clock stops, and the others are told where it has come."""
    name = catalogue.known_model(model, who.person(request))
    found = TRANSFERS.find(puller(request), "pull", name)
    if found is None:
        return gr.skip(), gr.Timer(active=False), gr.skip()
    came = arrival(name) if found.state == "done" else gr.skip()
    return render_models.draw_transfer(found), gr.skip() if found.works else gr.Timer(active=False), came


def begin_pull(name: str, task: str, request: gr.Request | None) -> Transfer:
    """Bring a model of the Hub to this machine, in a thread; raises BertspaceError where that may not be."""
    if not catalogue.is_hub(name):
        raise BertspaceError(f"{name} is on this machine.", hint="Models of the Hub can be pulled.")

    def bring(job: Job) -> str:
        job.say("Asking the Hub")
        found = models.locate(name, task, progress=job.moved, stopped=job.stopped)
        quota.take_over(found.path, asked=True)
        return found.revision

    return TRANSFERS.start(puller(request), "pull", name, bring, counted=who.key(request))


def puller(request: gr.Request | None) -> str:
    """Whose a pull is: a person's who has a folder, else of this one page, or of a program that has none."""
    page = getattr(request, "session_hash", None)
    return who.person(request).owner or (f"page {page}" if page else who.key(request))


def arrival(name: str) -> str:
    """Another value each time, so that what waits for the model looks anew."""
    return f"{name} {time.monotonic()}"
