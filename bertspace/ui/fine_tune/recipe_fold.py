"""Published experiments: one click sets the whole form, and the published figures stand beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace import recipes
from bertspace.tasks import metric
from bertspace.ui.access.needs import needs
from bertspace.ui.fine_tune import form
from bertspace.ui.frame.errors import show_errors
from bertspace.ui.frame.events import QUIET
from bertspace.ui.frame.html import render


@dataclass(frozen=True)
class RecipeFold:
    """The fold's components."""

    name: gr.Radio
    about: gr.HTML
    starter: gr.Button


def build_recipe_fold() -> RecipeFold:
    """A closed fold above the steps."""
    with gr.Accordion("Or repeat a published experiment", open=False, elem_classes="bs-card bs-aside"):
        name = gr.Radio(
            [(str(recipes.describe(each)["title"]), each) for each in recipes.NAMES],
            label="Recipe", info="One click fills in everything below.", elem_id="recipes",
        )  # fmt: skip
        about = gr.HTML("", apply_default_css=False)
        starter = gr.Button("Use the starter instead of its model", visible=False, elem_classes="bs-small")
    return RecipeFold(name, about, starter)


def wire(fold: RecipeFold, source: gr.Radio, controls: Mapping[str, Any], preset: gr.Radio) -> Any:
    """A recipe fills the form, the starter can take its model's place; the event of a recipe loaded."""
    names = [name for name in controls if name not in form.UPLOADS]
    outputs = [fold.about, fold.starter, source, preset, *(controls[name] for name in names)]

    @needs("train")
    def load(name: str) -> list[Any]:
        values = recipes.load(name)
        about = describe(recipes.describe(name))
        filled = [form.shown(each, values.get(each, form.FIELDS[each].default)) for each in names]
        return [about, gr.Button(visible=values.get("model") != "starter"), "hub", None, *filled]

    loaded = fold.name.input(show_errors(load), fold.name, outputs, api_name="recipe", show_progress="hidden")
    fold.starter.click(
        take_starter,
        None, [controls["model"], controls["learning_rate"], fold.starter], **QUIET,
    )  # fmt: skip
    return loaded


@needs("train")
def take_starter() -> list[Any]:
    """The starter, its own learning rate, and the button gone."""
    return ["starter", "", gr.Button(visible=False)]


def describe(about: Mapping[str, Any]) -> str:
    """The recipe in words, its published figures, and the data that it needs."""
    return render("page.recipe", about, figure_rows(about["figures"]))


def figure_rows(figures: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """(what, values, source): one row a metric, its rows and its source; the epochs' values side by side."""
    found: dict[tuple[str, str], list[str]] = {}
    for figure in figures:
        split = {"base": "before training"}.get(figure.get("split", ""), figure.get("split", ""))
        epochs = "by epoch" if "epoch" in figure else ""
        name = ", ".join(filter(None, (metric(str(figure["metric"])).title, str(split), epochs)))
        ends = [figure["value"], *([figure["to"]] if "to" in figure else [])]
        values = " to ".join(f"{float(end):g}" for end in ends)
        found.setdefault((name, str(figure["source"])), []).append(values)
    return [(name, ", ".join(values), source) for (name, source), values in found.items()]
