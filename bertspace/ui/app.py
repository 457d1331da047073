"""build_app(): the header, the tabs, and what leads from one to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from bertspace import runs
from bertspace.errors import BertspaceError
from bertspace.ui import picker, warm
from bertspace.ui.classify import ClassifyTab, build_classify_tab
from bertspace.ui.compare import CompareTab, build_compare_tab
from bertspace.ui.fill_mask import FillMaskTab, build_fill_mask_tab
from bertspace.ui.header import build_header
from bertspace.ui.run_step import chosen_run
from bertspace.ui.run_view import find_run, first_run
from bertspace.ui.settings_step import QUIET
from bertspace.ui.theme import css, theme
from bertspace.ui.train import TrainTab, build_train_tab

TABS = {"fine-tune": "Fine-tune", "fill-mask": "Fill-mask", "classify": "Classify", "compare": "Compare"}
TRIES = {
    "fill-mask": "fill-mask",
    "text-classification": "classify",
}  # the tab that a task's model is tried in
DAY = 24 * 3600  # seconds
UPLOAD_LIMIT = "2gb"  # what data files may have, see tables.MAX_FILE_BYTES
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
TO_VIEW = "() => document.querySelector('#live')?.scrollIntoView({behavior: 'smooth', block: 'center'})"


def build_app() -> gr.Blocks:
    """The whole page; `launch_options()` are the arguments that its launch needs."""
    with gr.Blocks(title="bertspace", analytics_enabled=False, delete_cache=(DAY, DAY)) as app:
        header = build_header()
        with gr.Tabs(selected="fine-tune", overflow_behavior="wrap", elem_id="tabs") as tabs:
            with gr.Tab(TABS["fine-tune"], id="fine-tune") as first:
                train = build_train_tab()
            with gr.Tab(TABS["fill-mask"], id="fill-mask") as second:
                fill_mask = build_fill_mask_tab()
            with gr.Tab(TABS["classify"], id="classify") as third:
                classify = build_classify_tab()
            with gr.Tab(TABS["compare"], id="compare") as fourth:
                compare = build_compare_tab()
        for tab, name in zip((first, second, third, fourth), TABS, strict=True):
            tab.select(None, None, None, js=IN_ADDRESS % (name, name))
        for tab, model, task in ((third, classify.model, "text-classification"), (fourth, compare.tuned, "")):
            tab.select(picker.chosen_or_newest(task), model, model, **QUIET)
        header.click(to_run, None, [tabs, train.run_id], **QUIET).then(None, None, None, js=TO_VIEW)
        _lead_on(tabs, train, fill_mask, classify, compare)
        opened = [tabs, train.run_id, *train.folds, fill_mask.model, classify.model, compare.tuned]
        app.load(open_page, None, opened, **QUIET)
    return app


def launch_options() -> dict[str, Any]:
    """What `Blocks.launch` is to be given: looks, and what may not be served."""
    return {
        "theme": theme(),
        "css": css(),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "ssr_mode": False,
        "blocked_paths": [str(runs.home()), str(Path(runs.home()).resolve())],
        "max_file_size": UPLOAD_LIMIT,
    }


def start_in_background() -> None:
    """What the page need not wait for: the run that is next in the queue, and the libraries."""
    from bertspace import queue

    warm.start()
    queue.start_next()


def _lead_on(
    tabs: gr.Tabs, train: TrainTab, fill_mask: FillMaskTab, classify: ClassifyTab, compare: CompareTab
) -> None:
    """The buttons that lead from a run to its model, and from empty tabs to the training."""
    # Emptied first: a picker that holds the run already would not change, and its panel would stay as it was
    # when the run's model was another one.
    tried = [fill_mask.model, classify.model]
    train.try_it.click(empty_picker, train.run_id, tried, **QUIET).then(
        try_run, train.run_id, [tabs, *tried], **QUIET
    )
    train.compare.click(lambda: None, None, compare.tuned, **QUIET).then(
        lambda run_id: (gr.Tabs(selected="compare"), _model(run_id, "")),
        train.run_id,
        [tabs, compare.tuned],
        **QUIET,
    )
    for button in (classify.to_fine_tune, compare.to_fine_tune):
        button.click(lambda: gr.Tabs(selected="fine-tune"), None, tabs, **QUIET)


def to_run(event: gr.EventData) -> tuple[Any, str]:
    """The Fine-tune tab with the run that was clicked in the header."""
    return gr.Tabs(selected="fine-tune"), chosen_run(event)


def empty_picker(run_id: str) -> list[Any]:
    """The pickers of Fill-mask and Classify: the one of the run's task emptied."""
    own = TRIES[find_run(run_id).config().task]
    return [None if name == own else gr.skip() for name in ("fill-mask", "classify")]


def try_run(run_id: str) -> tuple[Any, Any, Any]:
    """The tab in which the run's model is tried, and the two pickers, its own with the model in it."""
    task = find_run(run_id).config().task
    model = _model(run_id, task)
    filled = {name: model if name == TRIES[task] else gr.skip() for name in ("fill-mask", "classify")}
    return gr.Tabs(selected=TRIES[task]), filled["fill-mask"], filled["classify"]


def _model(run_id: str, task: str) -> Any:
    """A picker's update: the run chosen, in choices read anew."""
    return gr.update(choices=picker.picker_choices(task), value=f"run:{run_id}")


def open_page(request: gr.Request) -> tuple[Any, ...]:
    """What the address asks for by `?tab=`, `?run=`, `?model=`; else the run at work, or the newest.

    The steps before the run are folded where it is a run that the page was opened for.
    """
    asked = dict(request.query_params)
    tab = gr.Tabs(selected=asked["tab"]) if asked.get("tab") in TABS else gr.skip()
    run_id = _known_run(asked.get("run", "")) or first_run()
    to_see = bool(run_id) and (run_id == asked.get("run") or find_run(run_id).state().status == "running")
    fold = gr.Accordion(open=False) if to_see else gr.skip()
    return tab, run_id, fold, fold, *_asked_models(asked.get("tab", ""), asked.get("model", ""))


def _known_run(run_id: str) -> str:
    try:
        return find_run(run_id).id
    except BertspaceError:
        return ""


def _asked_models(tab: str, model: str) -> list[Any]:
    """Updates for the pickers of the tabs after the first: the one whose tab is asked for gets the model."""
    try:
        chosen = picker.checked_model(model) if model else ""
    except BertspaceError:
        chosen = ""
    return [gr.update(value=chosen) if chosen and tab == name else gr.skip() for name in (*TABS,)[1:]]
