"""The Fine-tune tab: data, model and settings, run; each step one line once it is done."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from bertspace import data, policy, presets
from bertspace.errors import BertspaceError
from bertspace.jobs import engine
from bertspace.tasks import samples
from bertspace.training import forecast
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.fine_tune import data_step, form, preview, publish_choice, recipe_fold, settings_step
from bertspace.ui.fine_tune.data_step import DataStep, build_data_step
from bertspace.ui.fine_tune.preview import Lengths
from bertspace.ui.fine_tune.run_step import RunStep, build_run_step
from bertspace.ui.fine_tune.settings_step import SettingsStep, build_settings_step
from bertspace.ui.frame import html
from bertspace.ui.frame.errors import show_errors
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.hub import publish as hub_publish
from bertspace.ui.models import catalogue
from bertspace.ui.runs import care, render_progress

EXAMPLE = "office"  # the sample of the buttons that fill an empty panel
_STARTING: dict[str, threading.Lock] = defaultdict(threading.Lock)  # one a person


@dataclass(frozen=True)
class TrainTab:
    """What others use: the run that is shown, the base, the buttons to other tabs, the two first steps."""

    run_id: gr.Textbox
    model: gr.Dropdown
    try_it: gr.Button
    compare: gr.Button
    publish: gr.Button
    folds: tuple[gr.Accordion, gr.Accordion]


def build_train_tab() -> TrainTab:
    """The tab; has to be called inside the page's Blocks."""
    recipe = recipe_fold.build_recipe_fold()
    rows = build_data_step()
    settings = build_settings_step()
    rows = replace(rows, task=settings.controls["task"])  # the data says which task it is for
    run = build_run_step()
    controls = {**rows.controls, **settings.controls}
    inputs = {"source": rows.source, "sample": rows.sample, **controls}
    settings_step.wire_presets(settings, controls)
    loaded = recipe_fold.wire(recipe, rows.source, controls, settings.preset)
    copied = _wire_copy(rows, settings, run, inputs)
    _wire_data(rows, settings, inputs, loaded, copied)
    _wire_start(rows, settings, run, inputs)
    _wire_forecast(rows, settings, run, inputs)
    return TrainTab(
        run.run_id,
        settings.controls["model"],
        run.try_it,
        run.compare,
        run.publish,
        (rows.fold, settings.fold),
    )


def _wire_copy(rows: DataStep, settings: SettingsStep, run: RunStep, inputs: dict[str, Any]) -> Any:
    """A run's settings fill the form; the event of that having been done."""
    names = [name for name in inputs if name not in ("source", "sample", *form.UPLOADS)]

    @needs("train")
    def copy(run_id: str, request: gr.Request) -> list[Any]:
        values = care.copy_settings(run_id, request)
        return [*copied(values, names), None, gr.Accordion(open=True), gr.Accordion(open=True)]

    filled = [rows.source, rows.sample, *(inputs[name] for name in names)]
    return run.copy.click(
        show_errors(copy), run.run_id, [*filled, settings.preset, rows.fold, settings.fold], **QUIET
    )


def copied(values: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """Source, sample and the named settings as the form is to show them; what is not in `values` stays."""
    sample = str(values.get("dataset", "")).removeprefix(data.SAMPLE_PREFIX)
    if sample in samples():
        source, values = "sample", {name: value for name, value in values.items() if name != "dataset"}
    else:
        source = "hub" if sample else ""
    filled = [form.shown(name, values[name]) if name in values else gr.skip() for name in names]
    return [source or gr.skip(), sample if source == "sample" else gr.skip(), *filled]


def _wire_data(
    rows: DataStep, settings: SettingsStep, inputs: dict[str, Any], loaded: Any, copied: Any
) -> None:
    """Reading: when a sample is clicked or a file is there, and again when a column or the model changes."""
    outputs = _preview_outputs(rows)
    reading: dict[str, Any] = {"inputs_kwargs": inputs, "outputs": outputs, "show_progress": "minimal"}
    reading |= {"show_progress_on": rows.shown, "trigger_mode": "always_last", "concurrency_limit": 4}

    @needs("read data")
    def read_new(request: gr.Request, **values: Any) -> Iterator[dict[Any, Any]]:
        yield from data_step.read_new(rows, values, who.person(request))

    @needs("read data")
    def read_loaded(request: gr.Request, **values: Any) -> Iterator[dict[Any, Any]]:
        task = str(values["task"])  # the recipe's
        yield from data_step.read(rows, values, who.person(request), fresh=True, task=task)

    @needs("read data")
    def read_source(request: gr.Request, **values: Any) -> Iterator[dict[Any, Any]]:
        if data_step.is_chosen(values):
            yield from read_new(request, **values)
        else:
            yield data_step.emptied(rows)

    @needs("read data")
    def read_again(request: gr.Request, **values: Any) -> Iterator[dict[Any, Any]]:
        if values["source"] == "sample" and not values["sample"]:
            return  # nothing is chosen yet
        yield from data_step.read(rows, values, who.person(request), fresh=False)

    @needs("read data")
    def read_remedied(event: gr.EventData, request: gr.Request, **values: Any) -> Iterator[dict[Any, Any]]:
        overrides, fresh = data_step.remedied(event)
        yield from data_step.read(rows, values, who.person(request), fresh=fresh, overrides=overrides)

    gr.on(
        [rows.problem.click, rows.shown.click],
        read_remedied,
        api_visibility="private",
        **reading | {"trigger_mode": "once"},
    )
    gr.on(
        [rows.sample.input, rows.controls["train_file"].upload, rows.reads[1].click],
        read_new, api_name="load_data", **reading,
    )  # fmt: skip
    # What is shown is what will be trained, also when another source is looked at or a file is taken away.
    gr.on(
        [rows.source.input, rows.controls["train_file"].clear],
        read_source,
        api_visibility="private",
        **reading,
    )
    loaded.success(read_loaded, api_visibility="private", **reading)
    copied.success(read_again, api_visibility="private", **reading)
    others = [rows.controls[name].input for name in (*form.COLUMNS, *data_step.MORE)]
    others += [rows.controls[name].upload for name in form.UPLOADS[1:]]
    others += [rows.reads[0].click, settings.controls["task"].input, settings.controls["model"].input]
    others += [settings.arrived.change]
    gr.on(others, read_again, api_visibility="private", **reading)
    _wire_limits(rows, settings)


def _wire_limits(rows: DataStep, settings: SettingsStep) -> None:
    """Another length limit draws the look anew, of which nothing is read again."""
    limits = [settings.controls["max_length"], settings.controls["chunk_size"]]
    changes = [limit.change for limit in limits]
    whenever(changes, data_step.redraw, [rows.preview, rows.lengths, *limits], rows.shown, **QUIET)


@needs("train")
def no_problem() -> str:
    """What kept a start away may not hold any more once other data has been read."""
    return ""


def _preview_outputs(rows: DataStep) -> list[Any]:
    """What a reading fills."""
    panels = [rows.fold, rows.problem, rows.columns, rows.more, rows.shown, rows.preview, rows.lengths]
    names = (*form.COLUMNS, *data_step.OF_A_FILE)
    return panels + [rows.controls[name] for name in names] + [rows.task]


def _wire_start(rows: DataStep, settings: SettingsStep, run: RunStep, inputs: dict[str, Any]) -> None:
    """Start, the example of the empty panel, and the command line that says the same."""
    given = {**inputs, **run.publishing}
    starting: dict[str, Any] = {"inputs_kwargs": given, "outputs": [run.run_id, run.problem]}

    @needs("train")
    def fold(problem: str, preset: str | None, task: str, model: str) -> tuple[Any, Any, Any]:
        if problem:
            return gr.skip(), gr.skip(), gr.skip()
        label = settings_step.title({"task": task, "model": model}, preset)
        # Unticked: each run is published because somebody asked for it.
        return gr.Accordion(open=False), gr.Accordion(label=label, open=False), False

    folding: dict[str, Any] = {
        "fn": fold,
        "inputs": [run.problem, settings.preset, settings.controls["task"], settings.controls["model"]],
        "outputs": [rows.fold, settings.fold, run.publishing["publish"]],
    }
    rows.preview.change(no_problem, None, run.problem, **QUIET)
    run.start.click(start, **starting, api_name="train").then(**folding, **QUIET)

    quick = presets.settings("quick")

    @needs("train")
    def fill_example() -> list[Any]:
        return ["sample", EXAMPLE, "quick", *map(form.shown, quick, quick.values())]

    @needs("read data")
    def read_example(request: gr.Request, **values: Any) -> dict[Any, Any]:
        return next(data_step.read_new(rows, values, who.person(request)))

    filled = [rows.source, rows.sample, settings.preset, *(inputs[name] for name in quick)]
    run.example.click(fill_example, None, filled, **QUIET).then(
        read_example,
        inputs_kwargs=inputs,
        outputs=_preview_outputs(rows),
        show_progress="hidden",
        api_visibility="private",
    ).then(start, **starting, show_progress="hidden", api_visibility="private").then(**folding, **QUIET)

    whenever(
        [control.change for control in inputs.values()],
        command,
        inputs_kwargs=inputs,
        outputs=settings.code,
        **QUIET,
    )


def _wire_forecast(rows: DataStep, settings: SettingsStep, run: RunStep, inputs: dict[str, Any]) -> None:
    """What the run will take, beside Start, as soon as the rows' lengths are known."""
    whenever(
        [rows.lengths.change, *(control.change for control in settings.controls.values())],
        foresee,
        inputs_kwargs={**inputs, "lengths": rows.lengths},
        outputs=run.forecast,
        show_progress="hidden",
        concurrency_limit=1,
        api_visibility="private",
    )


@needs("train")
def foresee(
    source: str,
    sample: str | None,
    lengths: Lengths | None,
    request: gr.Request | None = None,
    **values: Any,
) -> str:
    """About how long the run will take here and what memory it needs; "" where that cannot be said."""
    if lengths is None or not lengths.tokens:
        return ""
    try:
        config = form.config_of(source, sample, values, who.person(request))
        if not catalogue.is_here(config.model):
            return ""
        found = forecast.estimate(config, preview.load(config), lengths.tokens)
    except BertspaceError:
        return ""  # what is wrong is told where it is filled in
    return render_progress.forecast_words(found.seconds, found.memory_bytes)


@needs("train")
def start(
    source: str, sample: str | None, request: gr.Request | None = None, **values: Any
) -> tuple[Any, Any]:
    """Queue the run that the form describes: its id, and "" or what is wrong. Returns at once.

    With `publish` it is published when it is done: whether that may be is looked at before it is queued.
    """
    publishing = {name: values.pop(name) for name in list(values) if name.startswith("publish")}
    try:
        person = who.allowed(request, "train")
        config = form.config_of(source, sample, values, person)
        splits = preview.load(config)
        where = publish_choice.asked(publishing, engine.title(config, splits))
        if where:
            who.allowed(request, "publish")
        with _STARTING[person.owner]:  # or two at once would both find the last free place
            policy.check_run(person, config, splits)
            most = policy.limits(person)
            bounds = {name: getattr(most, name) for name in ("minutes", "memory_bytes", "stored_bytes")}
            run = engine.submit(
                config, owner=person.owner, splits=splits, seconds=0.8 * most.seconds, **bounds
            )
        if where:
            each_epoch = publishing.get("publish_when") == "epochs"
            hub_publish.begin_push(run, person, where, each_epoch=each_epoch, checked=True)
    except BertspaceError as error:
        return gr.skip(), html.problem(error.message, error.hint)
    return run.id, ""


@needs("train")
def command(source: str, sample: str | None, request: gr.Request | None = None, **values: Any) -> str:
    """The command line for the form as it stands, or what keeps it from being one."""
    try:
        return form.command(form.config_of(source, sample, values, who.person(request)))
    except BertspaceError as error:
        return f"# {error}"
