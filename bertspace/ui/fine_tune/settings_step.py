"""Step 2 of fine-tuning: the task, the base model, three presets, and every setting one click deeper."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace import models, presets
from bertspace.errors import BertspaceError
from bertspace.schema import TrainConfig
from bertspace.tasks import METRICS, TASKS
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.fine_tune import form
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.models import catalogue
from bertspace.ui.models.picker import model_picker, page_opens

TITLE = "2 · Model and settings"
FIRST_PRESET = "quick"


@dataclass(frozen=True)
class SettingsStep:
    """The step's components; `controls` by TrainConfig's names.

    `arrived` changes when a base model has been pulled.
    """

    fold: gr.Accordion
    preset: gr.Radio
    controls: Mapping[str, Any]
    code: gr.Code
    arrived: gr.State


def build_settings_step() -> SettingsStep:
    """The controls, generated from TrainConfig's fields; the caller wires them to the rest of the form."""
    controls: dict[str, Any] = {}
    arrived = gr.State("")
    with gr.Accordion(TITLE, open=True, elem_classes="bs-card") as fold:
        with gr.Row():
            controls["task"] = gr.Radio(
                [(task.title, name) for name, task in TASKS.items()],
                value=TrainConfig().task, label="Task", info=form.info("task"), elem_classes="bs-segments",
            )  # fmt: skip
            controls["model"] = model_picker(
                "Base model",
                "",
                arrived=arrived,
                info="The starter needs no network. Type to search the Hub, or its id, owner/name.",
            )
        preset = gr.Radio(
            [(f"{each.title}\n{each.sentence}", name) for name, each in presets.PRESETS.items()],
            value=FIRST_PRESET, label="Preset", elem_classes="bs-cards", elem_id="presets",
        )  # fmt: skip
        with gr.Accordion("All settings", open=False, elem_classes="bs-fold"):
            own = {
                group: gr.Column(visible=shown) for group, shown in _own_groups(TrainConfig().task).items()
            }
            for group, title in form.GROUPS.items():
                with own.get(group) or gr.Column():
                    gr.HTML(f'<h4 class="bs-group">{title}</h4>', apply_default_css=False)
                    with gr.Row(elem_classes="bs-settings"):
                        controls |= {name: _setting(name) for name in form.settings_of(group)}
        with gr.Accordion("As code", open=False, elem_classes="bs-fold"):
            code = gr.Code(
                "", language=None, label="The same run by the command line", interactive=False, lines=1,
                show_line_numbers=False, wrap_lines=True, elem_id="train-code",
            )  # fmt: skip
    chosen = [controls["task"], controls["best_metric"]]
    whenever(controls["task"].change, _fits_task, chosen, [controls["best_metric"], *own.values()], **QUIET)
    deciding = [controls[name] for name in ("task", "model", "lora_rank")]
    changes = [page_opens(), arrived.change, *(each.change for each in deciding)]
    whenever(changes, own_rate, deciding, controls["learning_rate"], **QUIET)
    return SettingsStep(fold, preset, controls, code, arrived)


@needs("train")
def own_rate(task: str | None, model: str | None, lora_rank: float | None, request: gr.Request) -> Any:
    """The rate that is taken where none is filled in, by the model, the task and whether it is LoRA's."""
    known, words = catalogue.known_model(model, who.person(request)), form.OWN
    if task in TASKS and known and catalogue.is_here(known):
        with suppress(BertspaceError):
            rate = models.default_learning_rate(models.locate(known), task, int(lora_rank or 0))
            words = f"{words}: {rate:g}"
    return gr.Textbox(placeholder=words)


def _setting(name: str) -> Any:
    value = presets.settings(FIRST_PRESET).get(name, form.FIELDS[name].default)
    if name == "best_metric":
        return gr.Dropdown(
            best_metrics(TrainConfig().task), value="", label=form.label(name), info=form.info(name),
            elem_id=f"setting-{name}", min_width=200,
        )  # fmt: skip
    return form.control(name, value)


def best_metrics(task: str) -> list[tuple[str, str]]:
    """What the kept epoch may be chosen by, as (words, value)."""
    choices = [(each.title, each.name) for each in (*TASKS[task].metrics, METRICS["loss"])]
    return [("the last epoch", ""), *choices]


def _own_groups(task: str) -> dict[str, bool]:
    """The groups of settings that are one task's own, and whether they are this task's."""
    return {group: group in TASKS[task].settings for each in TASKS.values() for group in each.settings}


@needs("train")
def _fits_task(task: str | None, metric: str | None) -> list[Any]:
    """The metrics of the task, of which the chosen one may be one, and its own groups of settings."""
    if task not in TASKS:  # a page may send none
        return [gr.skip()] * (1 + len(_own_groups(TrainConfig().task)))
    choices = best_metrics(task)
    value = metric if metric in dict(choices).values() else ""
    shown = [gr.Column(visible=visible) for visible in _own_groups(task).values()]
    return [gr.Dropdown(choices=choices, value=value), *shown]


def wire_presets(step: SettingsStep, controls: Mapping[str, Any]) -> None:
    """A preset fills the form; a value changed by hand makes it a setting of one's own."""
    filled = sorted(presets.settings(FIRST_PRESET))
    outputs = [controls[name] for name in filled]
    step.preset.input(
        fill_preset, step.preset, outputs, api_name="preset", queue=False, show_progress="hidden"
    )
    gr.on([control.input for control in outputs], no_preset, None, step.preset, **QUIET)


@needs("train")
def no_preset() -> None:
    """No preset is chosen (any more)."""


@needs("train")
def fill_preset(name: str | None) -> list[Any]:
    """The values that the preset sets, in the order of their names."""
    if not name:
        return [gr.skip() for _ in presets.settings(FIRST_PRESET)]
    return [form.shown(key, value) for key, value in sorted(presets.settings(name).items())]


def title(values: Mapping[str, Any], preset: str | None) -> str:
    """The step in one line, for when it is folded."""
    chosen = presets.PRESETS[preset].title if preset in presets.PRESETS else "settings of your own"
    task = TASKS[values["task"]].title if values.get("task") in TASKS else ""
    return " · ".join(filter(None, (TITLE, task, str(values.get("model") or ""), chosen)))
