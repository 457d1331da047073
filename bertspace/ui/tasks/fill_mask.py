"""Fill-mask: a text with [MASK], the likeliest words as bars, and a second model beside the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace.errors import BertspaceError
from bertspace.models import inference
from bertspace.tasks.fill_mask.task import MASK
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame import as_code, html
from bertspace.ui.frame.errors import told_plainly
from bertspace.ui.frame.events import whenever
from bertspace.ui.frame.html import BASE, TUNED, Side
from bertspace.ui.models import catalogue
from bertspace.ui.models.news import build_news
from bertspace.ui.models.picker import model_picker, page_opens

EXAMPLES = (
    "Paris is the [MASK] of France.",
    "She opened the door and walked into the [MASK].",
    "This is a great [MASK].",
    "The keeper lit the [MASK] and wrote the hour in the [MASK].",
)
MOST_WORDS = 20

# At the cursor, or in place of the selection; a button takes the focus and leaves the selection as it was.
INSERT_MASK = """(text) => {
    const box = document.querySelector("#fill-mask-text textarea");
    const start = box ? box.selectionStart : text.length, end = box ? box.selectionEnd : text.length;
    const before = text.slice(0, start), after = text.slice(end);
    const left = before && !/\\s$/.test(before) ? " " : "", right = /^\\w/.test(after) ? " " : "";
    return before + left + "[MASK]" + right + after;
}"""


@dataclass(frozen=True)
class FillMaskTab:
    """What others fill: the model, the text, and whether a second model stands beside it."""

    model: gr.Dropdown
    text: gr.Textbox
    beside: gr.Checkbox
    second: gr.Dropdown


def build_fill_mask_tab(news: gr.Textbox) -> FillMaskTab:
    """The playground; has to be called inside a Tab of the page. news: see `news`."""
    arrived = gr.State("")
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320, elem_classes="bs-card"):
            model = model_picker("Model", "fill-mask", arrived=arrived)
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
            top_k = gr.Slider(1, MOST_WORDS, 5, step=1, label="Words to show")
            beside = gr.Checkbox(False, label="Compare with a second model")
            second = model_picker("Second model", "fill-mask", arrived=arrived, visible=False)
        with gr.Column(scale=6, min_width=320, elem_classes="bs-card"):
            panel = gr.HTML(html.note("The first answer is on its way", "The model is being loaded."))
    codes = as_code.code_fold()

    examples.click(chosen_text, examples, text, api_visibility="private", show_progress="hidden")
    mask.click(None, text, text, js=INSERT_MASK)
    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    whenever(beside.change, show_second, [beside, second], second, **hidden)
    answering: dict[str, Any] = {"inputs": [text, model, top_k, beside, second], "outputs": [panel, *codes]}
    answering |= {"show_progress": "minimal", "show_progress_on": panel, "api_visibility": "private"}
    again = build_news(news, "fill-mask", model, second)
    changes = [each.change for each in (*answering["inputs"], arrived, again)]
    whenever([page_opens(), *changes], answer, **answering)
    gr.api(fill_mask, api_name="fill_mask")
    gr.api(told_plainly(catalogue.listed_models), api_name="models")
    return FillMaskTab(model, text, beside, second)


@needs("try models")
def answer(
    text: str,
    model: str | None,
    top_k: float,
    beside: bool,
    second: str | None,
    request: gr.Request | None = None,
) -> tuple[str, ...]:
    """The panel and the three codes; what is wrong stands in the panel, as it changes with every key."""
    chosen = [each for each in (model, second if beside else None) if each]
    person = who.person(request)
    code = as_code.fill_mask_code(model or "starter", text, int(top_k), as_code.page_url(request))
    if not html.WRITTEN_MASK.search(text or ""):
        title = f"Put a {MASK} into the text" if (text or "").strip() else "Nothing to guess yet"
        return html.note(
            title, f"Each {MASK} is a word that the model guesses from the words around it."
        ), *code
    try:
        names = [catalogue.checked_model(each, person) for each in chosen or [""]]
        if away := catalogue.away(names):
            return catalogue.not_here(away), *code
        sides = _sides(names, text, int(top_k))
    except BertspaceError as error:
        return html.failed(error.message, error.hint), *code
    return html.mask_panel(text, sides), *code


def _sides(models: list[str], text: str, top_k: int) -> list[Side]:
    """The first model in the colour of what it is, the second in the other one."""
    first = TUNED if catalogue.is_tuned(models[0]) else BASE
    colours = (first, BASE if first == TUNED else TUNED)
    return [
        Side(
            catalogue.model_title(model),
            colour,
            inference.predict(model, [text], task="fill-mask", top_k=top_k)[0],
        )
        for model, colour in zip(models, colours, strict=False)
    ]


@needs("try models")
def chosen_text(chosen: list[str]) -> str:
    """The text of the example that was clicked."""
    return chosen[0]


@needs("try models")
def show_second(beside: bool, second: str | None, request: gr.Request | None = None) -> Any:
    """The second picker, beginning with the newest run that fills masks."""
    person = who.person(request)
    newest = catalogue.newest_run("fill-mask", person) if beside and second == catalogue.STARTER else ""
    return gr.Dropdown(visible=beside, **({"value": newest} if newest else {}))


@needs("try models")
@told_plainly
def fill_mask(
    text: str, model: str = "starter", top_k: int = 5, request: gr.Request | None = None
) -> list[dict[str, Any]]:
    """The likeliest words for every [MASK] of the text: one {"text", "scores"} a mask."""
    chosen = catalogue.checked_model(model, who.person(request))
    found = inference.predict(chosen, [text], task="fill-mask", top_k=max(1, min(int(top_k), 100)))
    return [{"text": each.text, "scores": each.scores} for each in found[0]]
