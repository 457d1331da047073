"""What a task says on the page: a tab to try its models in, their answers drawn, and the code for them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gradio as gr
from markupsafe import Markup

from bertspace.errors import BertspaceError
from bertspace.models import inference
from bertspace.policy import Person
from bertspace.tasks import Answer, Task
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame import as_code, html
from bertspace.ui.frame.as_code import Code
from bertspace.ui.frame.errors import plain_errors
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.frame.html import BASE, TUNED, Side
from bertspace.ui.models import catalogue
from bertspace.ui.models.news import build_news
from bertspace.ui.models.picker import model_picker, page_opens
from bertspace.words import number, shortened

UNSEEN = "Rows that the model was not trained on"
IN_TRAINING = "{} has no model yet: it answers here by itself after its first epoch."
TO_MAKE_ONE = "A {} is made by fine-tuning: load a sample there, press Start, and try the result here."


@dataclass(frozen=True)
class Playground:
    """What leads to a tab and from it: its model, and the empty tab's button to Fine-tune, if it has one."""

    model: gr.Dropdown
    to_fine_tune: gr.Button | None = None


class TaskPage:
    """A task's tab, and how Compare and the code folds show what its models say.

    tab: in `?tab=`. title: on the tab. noun: what the task makes of a base model. nothing_to: as in "Nothing
    to classify yet". mark: what a text needs before it can be asked; texts of other tasks do not have it.
    quotes: answers are words, which stand in quotation marks.
    """

    tab: ClassVar[str]
    title: ClassVar[str]
    noun: ClassVar[str] = "model"
    nothing_to: ClassVar[str] = "answer"
    mark: ClassVar[re.Pattern[str] | None] = None
    quotes: ClassVar[bool] = False

    def __init__(self, task: Task) -> None:
        self.task = task

    @property
    def endpoint(self) -> str:
        """What the API calls the task."""
        return self.tab.replace("-", "_")

    # The tab

    def build(self, news: gr.Textbox) -> Playground:
        """The tab's contents; has to be called inside a Tab of the page. news: see `news`."""
        arrived = gr.State("")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="bs-card"):
                model = model_picker("Model", self.task.name, arrived=arrived, newest=True)
                text = gr.Textbox("", label="Text", lines=3, max_lines=12, placeholder="Write a text")
                two = gr.Checkbox(
                    False, label="With a second text", info="For models trained on pairs.", visible=False
                )
                pair = gr.Textbox("", label="Second text", lines=2, max_lines=12, visible=False)
                examples = example_chips(text, pair)
            with gr.Column(scale=6, min_width=320, elem_classes="bs-card"):
                panel = gr.HTML(html.note(f"No {self.noun} yet", TO_MAKE_ONE.format(self.noun)))
                to_fine_tune = gr.Button("Go to Fine-tune", variant="primary", elem_classes="bs-small")
        self.build_more(model)
        codes = as_code.code_fold()
        again = build_news(news, self.task.name, model)

        around: dict[str, Any] = {"inputs": [model, text, pair], "show_progress": "hidden"}
        around |= {"outputs": [text, pair, two, examples, to_fine_tune], "api_visibility": "private"}
        # Not when a text changes: what is being typed would be put back.
        whenever([page_opens(), model.change], self.model_changed, **around)
        whenever(two.change, show_pair, two, pair, **QUIET)
        changes = [each.change for each in (model, arrived, again, text, pair, two)]
        wire_answer(changes, self.answer, [text, model, pair, two], [panel, *codes])
        gr.api(self.ask, api_name=self.endpoint)
        return Playground(model, to_fine_tune)

    def build_more(self, model: gr.Dropdown) -> None:
        """What the tab has beside a text and its answer: nothing."""

    @needs("try models")
    def model_changed(
        self, model: str | None, text: str, pair: str, request: gr.Request | None = None
    ) -> tuple[Any, ...]:
        """What a chosen model changes around the panel: the texts, examples, the way to Fine-tune."""
        model = catalogue.known_model(model, who.person(request))
        why = catalogue.misfit(model, self.task.name)
        held_out = catalogue.HeldOut() if why else catalogue.held_out(model)
        pairs = catalogue.takes_pair(model) and not why
        either = self.task.takes_pairs and not why and not catalogue.is_tuned(model)
        return (
            *filled_texts(held_out, text, pair if pairs else None),
            gr.Checkbox(pairs, visible=either),
            chips_of(held_out),
            gr.Button(visible=bool(why)),
        )

    @needs("try models")
    def answer(
        self, text: str, model: str | None, pair: str, two: bool, request: gr.Request | None = None
    ) -> tuple[str, ...]:
        """The panel and the three codes; what is wrong stands in the panel, as it changes with every key."""
        second = pair if two else None
        code = self.code(model or catalogue.STARTER, text, as_code.page_url(request), pair=second)
        return self.panel([model or ""], text, second, who.person(request)), *code

    def panel(
        self, models: Sequence[str], text: str, pair: str | None, person: Person, top_k: int = 5
    ) -> str:
        """The answers of a model, or of two side by side; else why there are none. pair: None for no pair."""
        try:
            names = [catalogue.checked_model(each, person) for each in models]
            if why_none := self._why_none(names, text, pair, person):
                return why_none
            return self.draw(text, self._sides(names, text, pair, top_k))
        except BertspaceError as error:
            return html.failed(error.message, error.hint)

    def _why_none(self, names: Sequence[str], text: str, pair: str | None, person: Person) -> str:
        """What stands in the panel before there can be an answer; "" where nothing is missing."""
        if missing := catalogue.first_not_here(names):
            return catalogue.not_here_note(missing)
        for name in names:
            if why := catalogue.misfit(name, self.task.name):
                if name == catalogue.STARTER:
                    return self._no_model(person)
                return html.note(f"{catalogue.model_name(name)}: {why}", "Choose another model.")
        missing_text = self.missing(text, pair)
        return html.note(*missing_text) if missing_text else ""

    def _no_model(self, person: Person) -> str:
        """The empty panel: one is being trained, or how one is made."""
        if name := catalogue.first_in_training(self.task.name, person):
            return html.note(f"A {self.noun} is being trained", IN_TRAINING.format(name))
        return html.note(f"No {self.noun} yet", TO_MAKE_ONE.format(self.noun))

    def missing(self, text: str, pair: str | None) -> tuple[str, str] | None:
        """What has to be written before a model can be asked: a title, and what to do."""
        if not text.strip():
            return f"Nothing to {self.nothing_to} yet", "Write a text, or press one of the rows."
        if pair is not None and not pair.strip():
            return "The second text is missing", "This model compares two texts."
        return None

    def _sides(self, names: Sequence[str], text: str, pair: str | None, top_k: int) -> list[Side]:
        """The first model in the colour of what it is, a second in the other one."""
        first = TUNED if catalogue.is_tuned(names[0]) else BASE
        colours = (first, BASE if first == TUNED else TUNED)
        # The title as it is now: a run at work may have another model meanwhile.
        return [
            Side(catalogue.model_title(name), colour, self.predict(name, text, pair, top_k))
            for name, colour in zip(names, colours, strict=False)
        ]

    def predict(self, model: str, text: str, pair: str | None = None, top_k: int = 5) -> list[Answer]:
        """A checked model's answers to a text, or to a pair; raises BertspaceError."""
        pairs = [pair] if pair else None
        return inference.predict(model, [text], task=self.task.name, pairs=pairs, top_k=top_k)[0]

    @needs("try models")
    @plain_errors
    def ask(self, text: str, model: str, pair: str = "", request: gr.Request | None = None) -> dict[str, Any]:
        """A model's answer to a text (or a pair of texts), with its scores."""
        found = self.predict(catalogue.checked_model(model, who.person(request)), text, pair)
        return {"text": text, "pair": pair, **self.task.as_json(found)}

    # Answers

    def draw(self, text: str, sides: Sequence[Side]) -> Markup:
        """The answers to a text, a column a model: here every score as a bar, in the last model's order."""
        order = list(sides[-1].predictions[0].scores)
        columns = []
        for side in sides:
            answer = side.predictions[0]
            scores = answer.scores
            same = {label: scores[label] for label in order} if scores.keys() == set(order) else scores
            full = 1.0 if answer.are_shares else math.inf
            bars = html.bars(same, side.colour, full=full, name=side.name)
            columns.append((side, [bars + html.render("frame.small", answer.note)]))
        return html.render("frame.columns", columns)

    def sentence(self, base: Sequence[Answer], tuned: Sequence[Answer]) -> str:
        """One plain sentence on two models' answers to a text, or one a part of it."""
        said = [self._on_both(before, after) for before, after in zip(base, tuned, strict=False)]
        if len(said) == 1:
            return said[0]
        part = tuned[0].part.capitalize() if tuned else ""
        return " ".join(f"{part} {place}: {each[0].lower()}{each[1:]}" for place, each in enumerate(said, 1))

    def _on_both(self, before: Answer, after: Answer) -> str:
        first, second = (self._quoted(each.best) for each in (before, after))
        scores = before.scores[before.best], after.scores[after.best]
        old, new = map(number, scores)
        if before.best != after.best:
            return f"The base says {first} ({old}), the fine-tuned one {second} ({new})."
        if old == new:
            return f"Both say {second} and are equally sure: {new}."
        if scores[1] > scores[0]:
            return f"Both say {second}; the fine-tuned one is surer: {new} against {old}."
        return f"Both say {second}; the base is surer: {old} against {new}."

    def _quoted(self, best: str) -> str:
        best = shortened(best, html.LONGEST_NAME)
        return f"“{best}”" if self.quotes else best

    # As code

    def code(self, model: str, text: str, url: str, **given: Any) -> Code:
        """The same as a command, by the Python client and by transformers alone. given: pair, top_k."""
        given = {name: value for name, value in given.items() if value}
        return (
            as_code.command("predict", model, text, **given),
            as_code.client(url, self.endpoint, text=text, model=model, **given),
            self.plain(model, text, **given),
        )

    def plain(self, model: str, text: str, *, base: str = "", **given: Any) -> str:
        """transformers asks the model, and the base where it answers by itself."""
        parts = ["from transformers import pipeline", self.lines(self.endpoint, model, text, **given)]
        if base and self.task.baseline == "model":
            parts.append(self.lines("base", base, text, **given))
        return "\n".join(parts)

    def lines(self, name: str, model: str, text: str, pair: str = "", top_k: int = 5) -> str:
        """Lines of Python that load the model under this name and print its answer."""
        raise NotImplementedError(self.task.name)


def wire_answer(triggers: list[Any], answer: Any, inputs: list[Any], outputs: list[Any]) -> None:
    """A new answer after each of the events. outputs: the panel, and the codes for it."""
    whenever(
        triggers,
        answer,
        inputs,
        outputs,
        show_progress="minimal",
        show_progress_on=outputs[0],
        api_visibility="private",
    )


@needs("try models")
def show_pair(on: bool) -> Any:
    return gr.Textbox(visible=on)


# Rows of a run's own held-out data, which fill the text and its pair


def example_chips(text: gr.Textbox, pair: gr.Textbox) -> gr.Dataset:
    """The rows as chips; hidden until there are some."""
    chips = gr.Dataset(
        label=UNSEEN,
        components=[text, pair],
        samples=[["", ""]],
        sample_labels=[""],
        layout="gallery",
        type="values",
        visible=False,
        elem_classes="pg-chips",
    )
    chips.click(chosen_row, chips, [text, pair], show_progress="hidden", api_visibility="private")
    return chips


@needs("try models")
def chosen_row(chosen: list[str]) -> tuple[str, ...]:
    """The texts of the row that was clicked."""
    return tuple(chosen)


def filled_texts(held_out: catalogue.HeldOut, text: str, pair: str | None) -> tuple[Any, Any]:
    """Updates of a text and its pair: the first example where one is blank. pair: None for no pair."""
    blank = not text.strip() or (pair is not None and not pair.strip())
    if not (blank and held_out.examples):
        return gr.skip(), gr.Textbox(visible=pair is not None)
    first, second = held_out.examples[0]
    return first, gr.Textbox(second, visible=pair is not None)


def chips_of(held_out: catalogue.HeldOut) -> Any:
    """The update of `example_chips` that shows some of these rows, or hides it."""
    if not (rows := held_out.examples):
        return gr.Dataset(visible=False)
    left_out = f" ({held_out.seen:,} of {held_out.rows:,} held-out rows stand among the training rows too)"
    label = f"{UNSEEN}{left_out if held_out.seen else ''}"
    words = [" / ".join(filter(None, row)) for row in rows]
    labels = [each if len(each) <= 70 else f"{each[:69]}…" for each in words]
    return gr.Dataset(label=label, samples=[list(row) for row in rows], sample_labels=labels, visible=True)
