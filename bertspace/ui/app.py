"""build_app(): the header, the tabs, and what leads from one to another."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import Any

import gradio as gr

from bertspace import policy
from bertspace.data import tables
from bertspace.errors import BertspaceError
from bertspace.files import home
from bertspace.models import apart
from bertspace.policy import Person
from bertspace.runs import Run
from bertspace.ui.access import files, sign_in, who
from bertspace.ui.access.account import build_account_fold
from bertspace.ui.access.admission import AT_ONCE, REQUESTS, THREADS, UPLOAD_BYTES
from bertspace.ui.access.entrance import Entrance
from bertspace.ui.access.gate import Page
from bertspace.ui.access.needs import needs
from bertspace.ui.compare import CompareTab, build_compare_tab
from bertspace.ui.fine_tune.run_step import chosen_run
from bertspace.ui.fine_tune.tab import TrainTab, build_train_tab
from bertspace.ui.frame import html
from bertspace.ui.frame.errors import plain_errors, show_errors
from bertspace.ui.frame.events import QUIET
from bertspace.ui.frame.theme import css, theme
from bertspace.ui.header import build_header
from bertspace.ui.hub import publish
from bertspace.ui.hub.tab import HubTab, build_hub_tab
from bertspace.ui.models import catalogue, warm
from bertspace.ui.models.facts import Known
from bertspace.ui.models.picker import chosen_or_newest
from bertspace.ui.runs.view import find_run, first_run
from bertspace.ui.tasks import page_of, pages
from bertspace.ui.tasks.base import Playground, TaskPage

HOUR, DAY = 3600, 24 * 3600  # seconds
NO_TRAINING = "Training is not open to visitors", "{} The other tabs are open to you here."
# The address says which tab is open, so that a reload or a copied link opens it again. The first tab reports
# itself once while the page is built, before the load event has read what the address asks for.
IN_ADDRESS = """() => {
    const building = !window.bertspaceBuilt && '%s' === 'fine-tune';
    window.bertspaceBuilt = true;
    if (building) return;
    const address = new URL(window.location);
    address.searchParams.set('tab', '%s');
    window.history.replaceState(window.history.state, '', address);
}"""
TO_PUBLISH = "() => document.querySelector('#hub-run')?.scrollIntoView({behavior: 'smooth', block: 'center'})"
TO_VIEW = "() => document.querySelector('#live')?.scrollIntoView({behavior: 'smooth', block: 'center'})"


def build_app() -> Page:
    """The whole page; `launch_options()` are the arguments that its launch needs."""
    button = sign_in.sign_in_button()
    how = policy.TO_SIGN_IN if button else policy.TO_GET_THE_RIGHT
    with Page(title="bertspace", analytics_enabled=False, delete_cache=(HOUR, DAY)) as app:
        header, news = build_header(button)
        with gr.Tabs(selected="fine-tune", overflow_behavior="wrap", elem_id="tabs") as tabs:
            with gr.Tab("Fine-tune", id="fine-tune") as first:
                words = NO_TRAINING[0], NO_TRAINING[1].format(how)
                closed = gr.HTML(html.note(*words), visible=False, elem_classes="bs-card")
                with gr.Column() as workshop:
                    train = build_train_tab()
            tried = [_build_playground(page, news) for page in pages()]
            with gr.Tab("Compare", id="compare") as third:
                compare = build_compare_tab(news)
            with gr.Tab("Hub", id="hub") as last:
                account = build_account_fold()
                hub = build_hub_tab()
        gr.api(plain_errors(catalogue.listed_models), api_name="models")
        _keep_in_address(first, third, last)
        third.select(chosen_or_newest(""), compare.tuned, compare.tuned, **QUIET)
        last.select(**hub.importing.opening)
        last.select(**hub.publish.opening).then(**account.opening)
        for changed in account.changed:
            changed.success(**hub.publish.opening)
        header.click(to_run, None, [tabs, train.run_id], **QUIET).then(None, None, None, js=TO_VIEW)
        _lead_on(tabs, train, tried, compare)
        _lead_on_from_hub(tabs, hub, train, tried, compare)
        pickers = [*(each.model for each in tried), compare.tuned, hub.pull.chosen]
        opened = [tabs, train.run_id, *train.folds, *pickers]
        app.load(open_page, None, [*opened, closed, workshop], **QUIET)
    app.check()
    app.queue(default_concurrency_limit=AT_ONCE, api_open=False)
    return app


def _build_playground(page: TaskPage, news: gr.Textbox) -> Playground:
    """The task's tab; opened with a model that does not fit, it takes the newest run that does."""
    with gr.Tab(page.title, id=page.tab) as tab:
        built = page.build(news)
    _keep_in_address(tab)
    tab.select(chosen_or_newest(page.task.name), built.model, built.model, **QUIET)
    return built


def _keep_in_address(*tabs: gr.Tab) -> None:
    for tab in tabs:
        tab.select(None, None, None, js=IN_ADDRESS % (tab.id, tab.id))


def launch_options(share: bool = False) -> dict[str, Any]:
    """What `Blocks.launch` is to be given: where, for whom, looks, and what may not be served.

    Decides with it who is the owner: see `who`.
    """
    share = share or os.environ.get("GRADIO_SHARE", "").lower() == "true"
    server_name = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    access = who.decide_owner(server_name, share)
    os.environ.setdefault("GRADIO_TEMP_DIR", files.own_folder())
    # uvicorn believes what callers from this machine say of where they are; see `sites.address`.
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "")
    apart.keep_strangers_apart()
    if access.key:
        _guard_host()
    return {
        "server_name": server_name,
        "server_port": int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        "share": share,
        "app_kwargs": {"middleware": [(Entrance, (), {}), (sign_in.SignIn, (), {})]},
        "theme": theme(),
        "css": css(),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "ssr_mode": False,
        "blocked_paths": [str(home())],
        "max_threads": THREADS,
        "max_file_size": tables.MAX_FILE_BYTES,
    }


def _guard_host() -> None:
    """For an app that others reach: smaller files, unpacked too, and no token of the host for the Hub.

    And as many open connections as this process may have: each takes a file of the system.
    """
    from huggingface_hub import constants

    most_open = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):  # macOS says that there is no limit, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_open, most_open))
    open_now = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if open_now != resource.RLIM_INFINITY:
        REQUESTS.total = min(REQUESTS.total, open_now // 2)
    constants.HF_HUB_DISABLE_IMPLICIT_TOKEN = True
    most = policy.from_environment("upload_bytes", UPLOAD_BYTES)
    tables.MAX_FILE_BYTES = min(most or tables.MAX_FILE_BYTES, tables.MAX_FILE_BYTES)


def owner_address(app: gr.Blocks) -> str:
    """What is printed for the owner of an app that others reach; "" where everybody here is the owner."""
    if not who.owner_access().key:
        return ""
    host = os.environ.get("SPACE_HOST")
    address = f"https://{host}/" if host else app.share_url or app.local_url
    key = f"<{who.KEY_VARIABLE}>" if os.environ.get(who.KEY_VARIABLE) else who.owner_access().key
    return f"* You are the owner at:   {address.rstrip('/')}/?key={key}\n* Everybody else is a visitor."


def start_in_background() -> None:
    """What the page need not wait for: the runs that wait, and the libraries."""
    from bertspace.jobs import queue

    files.remove_old()
    warm.start()
    queue.keep_going()


def _lead_on(tabs: gr.Tabs, train: TrainTab, tried: list[Playground], compare: CompareTab) -> None:
    """The buttons that lead from a run to its model, and from empty tabs to the training."""
    # Emptied first: a picker that holds the run already would not change, and its panel would stay as it was
    # when the run's model was another one.
    models = [each.model for each in tried]
    train.try_it.click(empty_picker, train.run_id, models, **QUIET).then(
        try_run, train.run_id, [tabs, *models], **QUIET
    )
    train.compare.click(no_model, None, compare.tuned, **QUIET).then(
        compare_run, train.run_id, [tabs, compare.tuned], **QUIET
    )
    for button in (*(each.to_fine_tune for each in tried), compare.to_fine_tune):
        if button:
            button.click(to_fine_tune, None, tabs, **QUIET)


def _lead_on_from_hub(
    tabs: gr.Tabs, hub: HubTab, train: TrainTab, tried: list[Playground], compare: CompareTab
) -> None:
    """The buttons that lead from a model of the Hub to the tabs that use it."""
    known = hub.pull.known
    hub.pull.try_it.click(try_model, known, [tabs, *(each.model for each in tried)], **QUIET)
    hub.pull.tune.click(tune_model, known, [tabs, train.model, train.folds[1]], **QUIET)
    hub.pull.compare.click(compare_model, known, [tabs, compare.tuned], **QUIET)
    hub.publish.to_fine_tune.click(to_fine_tune, None, tabs, **QUIET)
    publishing = train.publish.click(publish_run, train.run_id, [tabs, hub.publish.run], **QUIET)
    publishing.then(None, None, None, js=TO_PUBLISH)


@needs("see runs")
def to_run(event: gr.EventData) -> tuple[Any, str]:
    """The Fine-tune tab with the run that was clicked in the header."""
    return gr.Tabs(selected="fine-tune"), chosen_run(event)


@needs("try models")
def to_fine_tune() -> Any:
    return gr.Tabs(selected="fine-tune")


@needs("try models")
def no_model() -> None:
    """An emptied picker."""


@needs("see runs")
@show_errors
def compare_run(run_id: str, request: gr.Request | None = None) -> tuple[Any, Any]:
    """The Compare tab with the run's model."""
    return gr.Tabs(selected="compare"), _model(find_run(run_id, who.person(request).owner), "", request)


@needs("see runs")
@show_errors
def empty_picker(run_id: str, request: gr.Request | None = None) -> list[Any]:
    """The pickers of the tasks' tabs: the one of the run's task emptied."""
    return _in_its_picker(find_run(run_id, who.person(request).owner).config().task, None)


@needs("see runs")
@show_errors
def try_run(run_id: str, request: gr.Request | None = None) -> list[Any]:
    """The tab in which the run's model is tried, and the tasks' pickers, its own with the model in it."""
    run = find_run(run_id, who.person(request).owner)
    task = run.config().task
    return [gr.Tabs(selected=page_of(task).tab), *_in_its_picker(task, _model(run, task, request))]


@needs("try models")
def try_model(known: Known) -> list[Any]:
    """The tab in which a model of the Hub is tried, and the tasks' pickers, its own with the model in it."""
    name, task, _ = known
    return [gr.Tabs(selected=page_of(task).tab), *_in_its_picker(task, name)]


def _in_its_picker(task: str, value: Any) -> list[Any]:
    """Updates for the pickers of the tasks' tabs: the value for the task's own, nothing for the others."""
    return [value if page.task.name == task else gr.skip() for page in pages()]


@needs("train")
def tune_model(known: Known) -> tuple[Any, str, Any]:
    """The Fine-tune tab with the model as the base."""
    return gr.Tabs(selected="fine-tune"), known[0], gr.Accordion(open=True)


@needs("try models")
def compare_model(known: Known) -> tuple[Any, str]:
    """The Compare tab with the model as the fine-tuned one."""
    return gr.Tabs(selected="compare"), known[0]


@needs("publish")
@show_errors
def publish_run(run_id: str, request: gr.Request | None = None) -> tuple[Any, Any]:
    """The Hub tab with the run chosen to be published."""
    person = who.person(request)
    choices = publish.run_choices(person)
    return gr.Tabs(selected="hub"), gr.Dropdown(choices=choices, value=find_run(run_id, person.owner).id)


def _model(run: Run, task: str, request: gr.Request | None) -> Any:
    """A picker's update: the run chosen, in choices read anew."""
    choices = catalogue.picker_choices(task, who.person(request))
    return gr.update(choices=choices, value=catalogue.value_of(run))


@needs("try models")
def open_page(request: gr.Request) -> tuple[Any, ...]:
    """What the address asks for by `?tab=`, `?run=`, `?model=`; else the run at work, or the newest.

    The steps before the run are folded where it is a run that the page was opened for. Who may not train
    finds the first task's tab open, and in the Fine-tune tab the reason.
    """
    asked, person = dict(request.query_params), who.person(request)
    trains, tabs = policy.allowed(person, "train"), _tabs_with_model()
    named = asked.get("tab") if asked.get("tab") in ("fine-tune", *tabs) else ""
    tab = gr.Tabs(selected=named) if named else gr.skip()
    models = _asked_models(asked.get("tab", ""), asked.get("model", ""), person)
    if not trains:
        tab = gr.Tabs(selected=named or tabs[0])
        return tab, "", gr.skip(), gr.skip(), *models, gr.HTML(visible=True), gr.Column(visible=False)
    run_id = _known_run(asked.get("run", ""), person) or first_run(person.owner)
    to_see = bool(run_id) and (run_id == asked.get("run") or _is_at_work(run_id, person))
    fold = gr.Accordion(open=False) if to_see else gr.skip()
    return tab, run_id, fold, fold, *models, gr.skip(), gr.skip()


def _known_run(run_id: str, person: Person) -> str:
    try:
        return find_run(run_id, person.owner).id
    except BertspaceError:
        return ""


def _is_at_work(run_id: str, person: Person) -> bool:
    return find_run(run_id, person.owner).state().status == "running"


def _asked_models(tab: str, model: str, person: Person) -> list[Any]:
    """Updates for the pickers of the tabs after the first: the one whose tab is asked for gets the model."""
    chosen = catalogue.known_model(model, person)
    return [gr.update(value=chosen) if chosen and tab == name else gr.skip() for name in _tabs_with_model()]


def _tabs_with_model() -> list[str]:
    """The tabs after the first, of which each can be opened with a model."""
    return [*(page.tab for page in pages()), "compare", "hub"]
