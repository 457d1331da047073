"""Step 1 of fine-tuning: where the rows come from, and a look at them before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import gradio as gr

from bertspace import policy
from bertspace.data.reading import READING
from bertspace.errors import BertspaceError, ConfigError
from bertspace.policy import Person
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, samples
from bertspace.ui.access.needs import needs
from bertspace.ui.fine_tune import form, preview, render_data
from bertspace.ui.fine_tune.preview import Lengths, Preview
from bertspace.ui.frame import html, remedies
from bertspace.ui.frame.events import whenever
from bertspace.ui.models import catalogue

TITLE = "1 · Data"
NOT_HERE = "The base model is not on this machine yet: it is pulled when the run starts, or now, in step 2."
FIRST = ("label_names", "max_train_rows", "validation_share")
# The settings of the data that have no place of their own, in the fold below the look.
MORE = FIRST + tuple(
    name
    for name in form.settings_of("data")
    if name not in (*FIRST, *form.UPLOADS, *form.HUB, *form.COLUMNS, *form.NOT_ON_THE_PAGE)
)
# What is said of one file is not said of the next.
OF_A_FILE = tuple(name for name in MORE if name != "max_train_rows")
EMPTY = html.render(
    "runs.empty",
    "The rows, their labels and how long they are will show here, before anything is "
    "trained. Click a sample above to see one.",
)


@dataclass(frozen=True)
class DataStep:
    """The step's components; `controls` by TrainConfig's names."""

    fold: gr.Accordion
    source: gr.Radio
    sample: gr.Radio
    controls: Mapping[str, Any]
    reads: tuple[gr.Button, ...]
    panels: Mapping[str, gr.Column]
    problem: gr.HTML
    columns: gr.Row
    more: gr.Accordion
    shown: gr.HTML
    preview: gr.State
    lengths: gr.State
    task: Any = None  # step 2's


def build_data_step() -> DataStep:
    """Sources, columns and the look; the recipes are set into the same form by the caller."""
    controls: dict[str, Any] = {}
    with gr.Accordion(TITLE, open=True, elem_classes="bs-card") as fold:
        source = gr.Radio(
            [(words, name) for name, words in form.SOURCES.items()],
            value="sample", label="Where the rows come from", elem_classes="bs-segments",
        )  # fmt: skip
        panels = {"sample": gr.Column(), "files": gr.Column(visible=False), "hub": gr.Column(visible=False)}
        with panels["sample"]:
            choices = [(f"{each.title}\n{each.description}", name) for name, each in samples().items()]
            sample = gr.Radio(choices, label="Sample", elem_classes="bs-cards", elem_id="samples")
        with panels["files"]:
            with gr.Row(elem_classes="bs-files"):
                controls |= {name: form.control(name) for name in form.UPLOADS}
            read_files = gr.Button("Read the files again", size="sm", elem_classes="bs-small")
        with panels["hub"]:
            with gr.Row(elem_classes="bs-settings"):
                controls |= {name: form.control(name) for name in form.HUB}
            read_hub = gr.Button("Read the data set", size="md", elem_classes="bs-small")
        problem = gr.HTML(
            "",
            apply_default_css=False,
            elem_classes="bs-slot",
            js_on_load=remedies.CLICK,
            elem_id="data-problem",
        )
        with gr.Row(visible=False) as columns:
            controls |= {name: form.control(name) for name in form.COLUMNS}
        shown = gr.HTML(EMPTY, apply_default_css=False, elem_id="look", js_on_load=remedies.CLICK)
        with (
            gr.Accordion("More about the rows", open=False, visible=False, elem_classes="bs-fold") as more,
            gr.Row(elem_classes="bs-settings"),
        ):
            controls |= {name: form.control(name) for name in MORE}
    whenever(
        source.change, show_source, source, list(panels.values()),
        queue=False, show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    return DataStep(
        fold, source, sample, controls, (read_files, read_hub), panels, problem, columns, more, shown,
        gr.State(None), gr.State(None),
    )  # fmt: skip


@needs("read data")
def show_source(chosen: str) -> list[Any]:
    """The panels, of which the chosen source's is seen."""
    return [gr.Column(visible=name == chosen) for name in form.SOURCES]


def is_chosen(values: Mapping[str, Any]) -> bool:
    """Whether the form's source has data to be read."""
    return bool(values.get({"sample": "sample", "files": "train_file", "hub": "dataset"}[values["source"]]))


def emptied(step: DataStep) -> dict[Any, Any]:
    """Step 1 as it is before data is chosen."""
    blank = {step.problem: "", step.shown: EMPTY, step.preview: None, step.lengths: None}
    return {**blank, **_no_columns(step), step.fold: gr.Accordion(label=TITLE)}


def _no_columns(step: DataStep) -> dict[Any, Any]:
    """Without the columns of what was read before."""
    return {step.columns: gr.Row(visible=False), step.more: gr.Accordion(visible=False)}


def read(
    step: DataStep,
    values: dict[str, Any],
    person: Person,
    *,
    fresh: bool,
    task: str = "",
    overrides: Mapping[str, Any] | None = None,
) -> Iterator[dict[Any, Any]]:
    """Read the form's data and show it: rows at once, lengths as soon as the tokenizer is there.

    fresh: other rows than before, so that task and columns are guessed anew; else what is chosen stands.
    task: what the data is known to be for. overrides: settings that are to have other values in the form too.
    """
    overrides = overrides or {}
    values = {**values, **overrides}
    source, sample = values.pop("source"), values.pop("sample")
    chosen = {step.controls[name]: gr.update(value=value) for name, value in overrides.items()}
    try:
        config = form.config_of(source, sample, values, person)
        config, columns = _with_columns(config, fresh, task, overrides)
    except BertspaceError as error:
        yield chosen | _failed(step, error) | _no_columns(step) | _how_to_read(step, source)
        return
    update = _chosen(step, config, columns)
    update |= {control: update.get(control, {}) | change for control, change in chosen.items()}
    try:
        splits = preview.load(config)
        policy.check_data(person, splits)
    except BertspaceError as error:
        yield update | _failed(step, error)
        return
    found = {f"{role}_column": name for role, name in asdict(splits.columns).items() if name}
    config = replace(config, **found)  # those too that were found by what is in them
    for name, value in found.items():
        update[step.controls[name]] |= {"value": value}
    seen = preview.preview(splits, config)
    update |= {step.problem: "", step.preview: seen, step.lengths: None}
    update |= {step.shown: render_data.draw_preview(seen, None, config)}
    update |= {step.fold: gr.Accordion(label=f"{TITLE} · {render_data.summary(seen)}")}
    yield update
    if catalogue.first_not_here([config.model]):
        lengths = Lengths(model=config.model, problem=NOT_HERE)
    else:
        lengths = preview.measure(config.model, splits.train)
    yield {step.lengths: lengths, step.shown: render_data.draw_preview(seen, lengths, config)}


def read_new(step: DataStep, values: dict[str, Any], person: Person) -> Iterator[dict[Any, Any]]:
    """Read data that is new to the page: what was said of other data, columns too, is not said of it."""
    values = {**values, **dict.fromkeys(form.COLUMNS, "")}
    return read(step, values, person, fresh=True, overrides=data_defaults(values))


def data_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of data that is new to the page, of which nothing has been said yet."""
    plain = {name: form.FIELDS[name].default for name in OF_A_FILE}
    chosen = samples().get(values["sample"] or "") if values["source"] == "sample" else None
    return {**plain, **({"validation_share": chosen.validation_share} if chosen else {})}


def remedied(event: gr.EventData) -> tuple[dict[str, str], bool]:
    """What a pressed remedy sets, and whether that makes other rows and columns of the file."""
    overrides = remedies.chosen(event, (*form.COLUMNS, *MORE))
    return overrides, not overrides.keys().isdisjoint(READING)


def _how_to_read(step: DataStep, source: str) -> dict[Any, Any]:
    """The settings that say how a file is to be read, where it may be that which is wrong."""
    return {step.more: gr.Accordion(visible=source == "files")}


def _with_columns(
    config: TrainConfig, fresh: bool, task: str, overrides: Mapping[str, Any]
) -> tuple[TrainConfig, list[str]]:
    """The config with its task and columns as the data has them, and the columns there are."""
    columns = preview.columns_of(config)
    task = task or (preview.guess_task(config, columns) if fresh else config.task)
    chosen = {name: getattr(config, name) for name in form.COLUMNS}
    picked: dict[str, Any] = dict(preview.pick(columns, task, chosen, fresh=fresh))
    picked |= {name: overrides[name] for name in form.COLUMNS if name in overrides}
    return replace(config, task=task, **picked), columns


def _chosen(step: DataStep, config: TrainConfig, columns: list[str]) -> dict[Any, Any]:
    """What the page shows of the columns that were found, whether or not the rows can be read under them."""
    choices: dict[str, list[Any]] = {
        "text_column": columns,
        "pair_column": [("none", ""), *columns],
        "label_column": columns,
    }
    task = TASKS[config.task]
    shown = {name: name.removesuffix("_column") in task.columns for name in form.COLUMNS}
    update: dict[Any, Any] = {
        step.controls[name]: gr.update(
            choices=choices[name], value=getattr(config, name), visible=shown[name]
        )
        for name in form.COLUMNS
    }
    update[step.controls["label_names"]] = gr.update(visible=task.has_labels)
    update[step.task] = config.task
    update |= {step.columns: gr.Row(visible=True), step.more: gr.Accordion(visible=True)}
    return update


def _failed(step: DataStep, error: BertspaceError) -> dict[Any, Any]:
    """The problem in the place of the look; what was filled in stays."""
    buttons = remedies.draw(error.remedies)
    return {
        step.problem: html.problem(error.message, error.hint, buttons),
        step.shown: "",
        step.preview: None,
        step.lengths: None,
        step.fold: gr.Accordion(label=TITLE),
    }


@needs("read data")
def redraw(
    shown: Preview | None, lengths: Lengths | None, max_length: float | None, chunk_size: float | None
) -> Any:
    """The preview under another length limit; nothing is read again. Under a wrong limit it stays."""
    if shown is None:
        return gr.skip()
    limits: dict[str, Any] = {"max_length": int(max_length or 0), "chunk_size": int(chunk_size or 0)}
    try:
        return render_data.draw_preview(shown, lengths, TrainConfig(task=shown.task, **limits))
    except ConfigError:
        return gr.skip()
