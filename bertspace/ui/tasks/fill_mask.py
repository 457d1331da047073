"""Fill-mask: a text with [MASK], the likeliest words as bars, and a second model beside the first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from bertspace.tasks.fill_mask.answer import MASK, filled_in
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame import as_code, html
from bertspace.ui.frame.errors import plain_errors
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.frame.html import Side
from bertspace.ui.models import catalogue
from bertspace.ui.models.news import build_news
from bertspace.ui.models.picker import model_picker, page_opens
from bertspace.ui.tasks.base import Playground, TaskPage, wire_answer
from bertspace.words import shortened

WRITTEN_MASK = re.compile(r"\[MASK\]|<mask>")
EXAMPLES = (
    "Paris is the [MASK] of France.",
    "She opened the door and walked into the [MASK].",
    "This is a great [MASK].",
    "The keeper lit the [MASK] and wrote the hour in the [MASK].",
)
MAX_WORDS = 20

# At the cursor, or in place of the selection; a button takes the focus and leaves the selection as it was.
INSERT_MASK = """(text) => {
    const box = document.querySelector("#fill-mask-text textarea");
    const start = box ? box.selectionStart : text.length, end = box ? box.selectionEnd : text.length;
    const before = text.slice(0, start), after = text.slice(end);
    const left = before && !/\\s$/.test(before) ? " " : "", right = /^\\w/.test(after) ? " " : "";
    return before + left + "[MASK]" + right + after;
}"""
STARTER_LINES = """from bertspace import models

# The starter's masked-LM head is a small adapter that comes with bertspace.
starter = models.locate("starter")
model, tokenizer = models.load_model(starter, "fill-mask"), models.load_tokenizer(starter)
"""


class FillMaskPage(TaskPage):
    tab = "fill-mask"
    title = "Fill-mask"
    nothing_to = "guess"
    mark = WRITTEN_MASK
    quotes = True

    def build(self, news: gr.Textbox) -> Playground:
        arrived = gr.State("")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="bs-card"):
                model = model_picker("Model", self.task.name, arrived=arrived)
                text = _build_text()
                top_k = gr.Slider(1, MAX_WORDS, 5, step=1, label="Words to show")
                beside = gr.Checkbox(False, label="Compare with a second model")
                second = model_picker("Second model", self.task.name, arrived=arrived, visible=False)
            with gr.Column(scale=6, min_width=320, elem_classes="bs-card"):
                panel = gr.HTML(html.note("The first answer is on its way", "The model is being loaded."))
        codes = as_code.code_fold()

        whenever(beside.change, self.show_second, [beside, second], second, **QUIET)
        again = build_news(news, self.task.name, model, second)
        inputs = [text, model, top_k, beside, second]
        changes = [each.change for each in (*inputs, arrived, again)]
        wire_answer([page_opens(), *changes], self.answer_beside, inputs, [panel, *codes])
        gr.api(self.fill, api_name=self.endpoint)
        return Playground(model)

    @needs("try models")
    def answer_beside(
        self,
        text: str,
        model: str | None,
        top_k: float,
        beside: bool,
        second: str | None,
        request: gr.Request | None = None,
    ) -> tuple[str, ...]:
        """The panel and the three codes; what is wrong stands in the panel, as it changes with every key."""
        chosen = [each for each in (model, second if beside else None) if each] or [""]
        url = as_code.page_url(request)
        code = self.code(model or catalogue.STARTER, text or "", url, top_k=int(top_k))
        return self.panel(chosen, text or "", None, who.person(request), int(top_k)), *code

    def missing(self, text: str, pair: str | None) -> tuple[str, str] | None:
        if WRITTEN_MASK.search(text):
            return None
        title = f"Put a {MASK} into the text" if text.strip() else f"Nothing to {self.nothing_to} yet"
        return title, f"Each {MASK} is a word that the model guesses from the words around it."

    @needs("try models")
    def show_second(self, beside: bool, second: str | None, request: gr.Request | None = None) -> Any:
        """The second picker, beginning with the newest run that fills masks."""
        wanted = beside and second == catalogue.STARTER
        newest = catalogue.newest_run(self.task.name, who.person(request)) if wanted else ""
        return gr.Dropdown(visible=beside, **({"value": newest} if newest else {}))

    @needs("try models")
    @plain_errors
    def fill(
        self, text: str, model: str = "starter", top_k: int = 5, request: gr.Request | None = None
    ) -> list[dict[str, Any]]:
        """The likeliest words for every [MASK] of the text: one {"text", "scores"} a mask."""
        chosen = catalogue.checked_model(model, who.person(request))
        found = self.predict(chosen, text, top_k=max(1, min(int(top_k), 100)))
        return [{"text": each.text, "scores": each.scores} for each in found]

    def draw(self, text: str, sides: Sequence[Side]) -> Markup:
        """The sentence with its best words, then the candidates of every mask."""
        full = html.full_bar(sides)
        columns = [(side, [_filled(text, side), *_masks(side, full)]) for side in sides]
        return html.render("frame.columns", columns, f"A full bar is {full:g}." if full < 1 else "")

    def lines(self, name: str, model: str, text: str, pair: str = "", top_k: int = 5) -> str:
        load = f"{name} = pipeline({self.task.name!r}, model={as_code.source(model)!r})\n"
        if model == catalogue.STARTER:
            load = f"{STARTER_LINES}{name} = pipeline({self.task.name!r}, model=model, tokenizer=tokenizer)\n"
        return f'{load}print({name}({text!r}.replace("{MASK}", {name}.tokenizer.mask_token), top_k={top_k}))'


def _build_text() -> gr.Textbox:
    """The text, with a button that writes a mask into it, and examples."""
    text = gr.Textbox(
        EXAMPLES[0],
        label="Text",
        info=f"Write {MASK} where a word is to be guessed, once or several times.",
        lines=3,
        max_lines=12,
        elem_id="fill-mask-text",
    )
    mask = gr.Button(f"Insert {MASK} at the cursor", size="sm", elem_classes="bs-small")
    examples = gr.Dataset(
        label="Examples",
        components=[text],
        samples=[[each] for each in EXAMPLES],
        sample_labels=list(EXAMPLES),
        type="values",
        elem_classes="pg-chips",
    )
    examples.click(chosen_text, examples, text, api_visibility="private", show_progress="hidden")
    mask.click(None, text, text, js=INSERT_MASK)
    return text


@needs("try models")
def chosen_text(chosen: list[str]) -> str:
    """The text of the example that was clicked."""
    return chosen[0]


def _masks(side: Side, full: float) -> list[Markup]:
    if len(side.predictions) == 1:
        return [html.bars(side.predictions[0].scores, side.colour, full=full, name=side.name)]
    shown = []
    for place, each in enumerate(side.predictions, 1):
        shown.append(html.render("frame.mask_title", place))
        shown.append(html.bars(each.scores, side.colour, full=full, name=f"{side.name}, mask {place}"))
    return shown


def _filled(written: str, side: Side) -> Markup:
    """The text as it was written, each mask replaced by its best word, which is marked."""
    *pieces, rest = WRITTEN_MASK.split(written)
    if len(pieces) != len(side.predictions):  # a mask beyond the model's length has no answer
        return html.render("frame.filled", [], side.predictions[0].text, side.colour)
    filled = []
    for before, answer in zip(pieces, side.predictions, strict=True):
        left, word = filled_in(before, answer.fill or answer.best)
        filled.append((left, shortened(word, html.LONGEST_NAME)))
    return html.render("frame.filled", filled, rest, side.colour)
