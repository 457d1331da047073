"""The Hub tab's first half: search, look at a model's facts, pull it, and go on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from bertspace import hub, policy
from bertspace.errors import HubError, HubUnreachable
from bertspace.hub import Found
from bertspace.jobs.transfers import TRANSFERS, Transfer
from bertspace.tasks import TASKS
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame.errors import plain_errors
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.models import catalogue, render_models
from bertspace.ui.models import facts as model_facts
from bertspace.ui.models.facts import Known, build_facts, puller
from bertspace.ui.models.picker import searched

RESULTS = 20
# For who has nothing to search for yet.
WELL_KNOWN = {
    "google-bert/bert-base-uncased": "fills masks · the BERT of the paper, English",
    "distilbert/distilbert-base-uncased": "fills masks · a smaller and quicker BERT",
    "answerdotai/ModernBERT-base": "fills masks · a newer one, for texts of up to 8,192 tokens",
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": "classifies · positive or negative",
}
HEADING = '<h2 class="bs-step-title">Pull and look</h2>'
HINT = "By name. Or a whole name, owner/name or owner/name@revision, and Enter."
# On a narrow page the facts stand below the list.
TO_FACTS = "() => { if (innerWidth < 720) document.querySelector('#hub-model')?.scrollIntoView(); }"
NO_MODEL = (
    '<p class="bs-empty">What a model is shows here before any of its weights are fetched: its card, '
    "licence, size, task and labels, and whether it can be used. Choose one from the list.</p>"
)


@dataclass(frozen=True)
class HubPull:
    """What others use: the model whose facts are shown, what is known of it, the buttons that lead on."""

    chosen: gr.Textbox
    known: gr.State
    try_it: gr.Button
    tune: gr.Button
    compare: gr.Button


def build_hub_pull() -> HubPull:
    """The card; has to be called inside a Tab of the page."""
    chosen, found, arrived = gr.Textbox("", label="Model", visible=False), gr.State(()), gr.State("")
    with gr.Column(elem_classes="bs-card bs-step"):
        gr.HTML(HEADING, apply_default_css=False)
        with gr.Row(equal_height=False, elem_classes="hub-columns"):
            with gr.Column(scale=5, min_width=300):
                words = gr.Textbox(
                    "", label="Search the Hub", info=HINT,
                    placeholder="bert-base", max_lines=1, elem_id="hub-search",
                )  # fmt: skip
                task = gr.Radio(
                    [("Any task", ""), *((each.title, name) for name, each in TASKS.items())],
                    value="", label="Task", elem_classes="bs-segments",
                )  # fmt: skip
                results = gr.HTML(
                    "", apply_default_css=False, js_on_load=render_models.CLICK, elem_id="hub-results"
                )
            with gr.Column(scale=6, min_width=300, elem_id="hub-model"):
                empty = gr.HTML(NO_MODEL, apply_default_css=False)
                panel = build_facts(chosen, "", arrived)
                with gr.Row(elem_classes="bs-actions"):
                    try_it = gr.Button("Try it", variant="primary", visible=False, elem_id="hub-try")
                    tune = gr.Button("Fine-tune it", visible=False, elem_id="hub-tune")
                    compare = gr.Button("Compare", visible=False, elem_id="hub-compare")

    searching: dict[str, Any] = {"inputs": [words, task, chosen], "outputs": [results, found]}
    searching |= {"show_progress": "hidden", "api_visibility": "private"}
    gr.on(None, first_list, outputs=results, **QUIET)  # when the page opens
    whenever([words.change, task.change, arrived.change], look_for, **searching)
    results.click(shown_model, None, chosen, **QUIET).then(None, None, None, js=TO_FACTS)
    words.submit(named_model, [words, chosen], chosen, **QUIET)
    whenever(chosen.change, mark, [found, words, chosen], [results, empty], **QUIET)
    whenever([panel.known.change, arrived.change], offer, panel.known, [try_it, tune, compare], **QUIET)
    _add_endpoints()
    return HubPull(chosen, panel.known, try_it, tune, compare)


def _add_endpoints() -> None:
    gr.api(plain_errors(search), api_name="search")
    gr.api(plain_errors(facts), api_name="facts")
    gr.api(plain_errors(pull), api_name="pull")
    gr.api(plain_errors(pulling), api_name="pulling")


@needs("try models")
def look_for(words: str, task: str, chosen: str) -> tuple[str, Any]:
    """The results for what is typed; for nothing, what stood there at first."""
    words = words.strip()[:96]
    if not words:
        return draw_start(chosen), ()
    try:
        found = searched(words, task, RESULTS)
    except HubError as error:
        why = "The Hub is not reachable." if isinstance(error, HubUnreachable) else error.message
        return render_models.unreachable(why, bool(hub.on_disk())) + draw_start(
            chosen, words, known=False
        ), ()
    return draw(found, words, chosen), tuple(found)


@needs("try models")
def first_list() -> str:
    """What stands there before anything is searched for."""
    return draw_start("")


def draw(found: Sequence[Found], words: str, chosen: str) -> str:
    here = hub.on_disk()
    return render_models.draw_results(found, here, chosen) if found else render_models.no_results(words)


def draw_start(chosen: str, words: str = "", *, known: bool = True) -> str:
    """The models on this machine whose names hold the words; known: and some that many begin with."""
    here = [name for name in hub.on_disk() if words.casefold() in name.casefold()]
    first = {name: clause for name, clause in WELL_KNOWN.items() if name not in here} if known else {}
    return render_models.draw_start(here, first, chosen)


@needs("try models")
def mark(found: Sequence[Found], words: str, chosen: str) -> tuple[str, Any]:
    """The list with the chosen model marked, and the empty panel put away."""
    drawn = draw(found, words, chosen) if found else gr.skip() if words.strip() else draw_start(chosen)
    return drawn, gr.HTML(visible=not chosen)


@needs("try models")
def shown_model(event: gr.EventData, request: gr.Request) -> str:
    """The model that a click on a result carries."""
    return catalogue.known_model(str(getattr(event, "model", "")), who.person(request))


@needs("try models")
def named_model(words: str, chosen: str, request: gr.Request) -> str:
    """What was typed, where it is a whole name; else what was shown before."""
    name = catalogue.known_model(words, who.person(request))
    return name if catalogue.is_hub(name) and "/" in name else chosen


@needs("try models")
def offer(known: Known, request: gr.Request | None = None) -> tuple[Any, ...]:
    """The buttons that lead on: trying and comparing once it is here, fine-tuning for who may train."""
    name, task, fits = known
    trains = policy.allowed(who.person(request), "train")
    usable = fits and bool(task) and catalogue.is_here(name)
    return gr.Button(visible=usable), gr.Button(visible=fits and trains), gr.Button(visible=usable)


# For programs


@needs("try models")
def search(text: str, task: str = "") -> list[dict[str, Any]]:
    """The Hub's models with these words in their names: repo_id, task, downloads, changed, private, gated."""
    return [asdict(each) for each in searched(text, task, RESULTS)]


@needs("try models")
def facts(model: str, request: gr.Request | None = None) -> dict[str, Any]:
    """What is known of a model of the Hub without its weights; misfit: why it cannot be used, else ""."""
    found = hub.facts(catalogue.checked_model(model, who.person(request)))
    told = asdict(found) | {"files": list(found.files), "labels": list(found.labels)}
    return told | {"misfit": model_facts.unfit(found)}


@needs("try models")
def pull(model: str, request: gr.Request | None = None) -> dict[str, Any]:
    """Begin to bring a model of the Hub to this machine; how that stands, as `pulling` tells it."""
    name = catalogue.checked_model(model, who.person(request))
    return transfer_words(model_facts.begin_pull(name, "", request))


@needs("try models")
def pulling(model: str, request: gr.Request | None = None) -> dict[str, Any]:
    """How far a pull is: state (working, done, failed, cancelled, none), bytes done, total, left, error."""
    found = TRANSFERS.find(puller(request), "pull", catalogue.checked_model(model, who.person(request)))
    return transfer_words(found) if found else {"about": model, "state": "none"}


def transfer_words(found: Transfer) -> dict[str, Any]:
    """A transfer as plain data."""
    return {
        "about": found.about, "state": found.state, "steps": list(found.steps), "done": found.done,
        "total": found.total, "left": found.left, "error": str(found.error or ""),
    }  # fmt: skip
