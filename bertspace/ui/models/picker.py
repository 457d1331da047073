"""The model picker, the same in every tab: the starter, runs, and the Hub's models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.context import Context

from bertspace import hub, policy
from bertspace.errors import HubError, HubUnreachable
from bertspace.hub import Found
from bertspace.policy import Person
from bertspace.tasks import TASKS
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.models import catalogue, render_models
from bertspace.ui.models.catalogue import STARTER
from bertspace.ui.models.facts import build_facts
from bertspace.words import thousands

SHORTEST, LONGEST = 3, 96  # characters that are searched for
BETWEEN = " · "  # in the words of a choice, never in a name
FOUND = 12  # of a search
# What stands in the picker at the time when the event goes out: with trigger_mode "always_last" gradio (6.31)
# sends the first key's event data again for the last one.
TYPED = "() => [document.activeElement?.closest('.pg-picker') ? document.activeElement.value : '']"
# Pipeline tags of models that may be encoders, beside the tasks'; of the Hub's others none is.
ENCODERS = (
    "", "token-classification", "question-answering", "feature-extraction", "sentence-similarity",
    "text-ranking", "zero-shot-classification",
)  # fmt: skip


def model_picker(
    label: str,
    task: str,
    value: str = STARTER,
    *,
    arrived: gr.State | None = None,
    newest: bool = False,
    min_width: int = 160,
    **options: Any,
) -> gr.Dropdown:
    """A dropdown of the models, in which the Hub is searched as one types; under it the chosen one's facts.

    task: what the model is wanted for; "" for any. arrived: changes when a model has been pulled here.
    newest: a page that opens without `?model=` begins with the newest run that fits. Has to be called inside
    the page's Blocks.
    """
    # Nobody's runs stand in the page as it is sent: they come when it is known who opened it.
    with gr.Column(min_width=min_width, elem_classes="pg-choice"):
        chosen = gr.Dropdown(
            catalogue.picker_choices(task, policy.VISITOR),
            value=value or None,
            label=label,
            allow_custom_value=True,
            elem_classes="pg-picker",
            **options,
        )
        words = gr.Textbox("", label="Typed", visible=False)
        said = gr.HTML("", apply_default_css=False, elem_classes="hub-slot")
        build_facts(chosen, task, gr.State("") if arrived is None else arrived)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    chosen.focus(_opened(task, False), outputs=chosen, queue=False, **quiet)
    gr.on(None, _opened(task, newest), outputs=chosen, queue=False, **quiet)
    chosen.key_up(_typed(task), words, [chosen, said], js=TYPED, **quiet)
    return chosen


def page_opens() -> Any:
    """The trigger of the page's opening; has to be called inside its Blocks."""
    return Context.root_block.load


def _opened(task: str, newest: bool) -> Callable[[gr.Request], Any]:
    @needs("try models")
    def opened(request: gr.Request) -> Any:
        person = who.person(request)
        found = catalogue.newest_run(task, person) if newest and not request.query_params.get("model") else ""
        return gr.Dropdown(choices=choices(task, person), **({"value": found} if found else {}))

    return opened


def _typed(task: str) -> Callable[[str, gr.Request], tuple[Any, Any]]:
    """A handler that looks for what is being typed; while it is at work, only the last key waits."""

    @needs("try models")
    def typed(words: str, request: gr.Request) -> tuple[Any, Any]:
        words = words.strip()
        if not SHORTEST <= len(words) <= LONGEST or words == STARTER or BETWEEN in words:
            return gr.skip(), ""  # too little, or what stands there is one of the list
        known = choices(task, who.person(request))
        try:
            found = searched(words, task)
        except HubError as error:
            return gr.Dropdown(choices=known), unreachable(error)
        more = [(choice_words(each), each.repo_id) for each in found]
        return gr.Dropdown(choices=[*known, *new(more, known)]), ""

    return typed


def choices(task: str, person: Person) -> list[tuple[str, str]]:
    """(words, value) of what is at hand: the starter, the person's runs, the Hub's models on this machine."""
    return [*catalogue.picker_choices(task, person), *catalogue.hub_choices(task)]


def searched(words: str, task: str, limit: int = FOUND) -> list[Found]:
    """The Hub's models with these words in their names, fit for the task as far as their tags say."""
    found = hub.search(words, task, limit)
    return [each for each in found if task or each.task in TASKS or each.task in ENCODERS]


def choice_words(found: Found) -> str:
    """A result in one line of the list; a sign where not everybody may have it."""
    sign = "🔒 private" if found.private else "🔒 gated" if found.gated else ""
    loaded = f"{thousands(found.downloads)} downloads" if found.downloads else ""
    return BETWEEN.join(filter(None, (found.repo_id, render_models.task_words(found.task), loaded, sign)))


def new(more: list[tuple[str, str]], known: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that are not in the list already."""
    there = {value for _, value in known}
    return [each for each in more if each[1] not in there]


def unreachable(error: HubError) -> str:
    """The quiet line under the list."""
    why = "The Hub is not reachable." if isinstance(error, HubUnreachable) else error.message
    return render_models.unreachable(why, bool(hub.on_disk()))


def chosen_or_newest(task: str) -> Callable[[str | None, gr.Request], Any]:
    """A handler that leaves a picker's model where it fits, and else chooses the newest run that does."""

    @needs("try models")
    def chosen(model: str | None, request: gr.Request) -> Any:
        person = who.person(request)
        if (known := catalogue.known_model(model, person)) and not catalogue.misfit(known, task):
            return gr.skip()
        found = catalogue.newest_run(task, person)
        return (
            gr.Dropdown(choices=catalogue.picker_choices(task, person), value=found) if found else gr.skip()
        )

    return chosen
