"""The fold "The card": a run's model card as it will be, rendered, and its source to be changed."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from bertspace.errors import DataError
from bertspace.publish import RunFacts
from bertspace.publish import card as cards
from bertspace.runs import Run
from bertspace.ui.access import files, who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame.errors import show_errors
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.runs.view import find_run

MAX_CHARACTERS = 200_000
NAMED = ("namespace", "name", "license", "language", "adapter", "examples")
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_PICTURE = re.compile(r"""(src="|\]\()([\w-]+\.svg)(?=["\)])""")


def build_card_fold(run: gr.Dropdown, controls: Mapping[str, Any]) -> gr.Textbox:
    """The fold; the component whose value is the card that was changed by hand, "" for the made one."""
    given, made, folder = gr.Textbox("", label="Card", visible=False), gr.State(""), gr.State("")
    with gr.Accordion("The card", open=False, elem_classes="bs-fold", elem_id="hub-card") as fold:
        again = gr.Button("Make it again", elem_classes="bs-small", elem_id="hub-card-again")
        notes = gr.HTML("", apply_default_css=False, elem_classes="hub-slot")
        drawn = gr.Markdown("", elem_classes="hub-card", container=False)
        with gr.Accordion("Its source", open=False, elem_classes="bs-fold"):
            source = gr.Code(
                "", language="markdown", label="README.md", lines=12, max_lines=30, wrap_lines=True,
                elem_id="hub-card-source",
            )  # fmt: skip
    making: dict[str, Any] = {"inputs_kwargs": {"run_id": run, **{name: controls[name] for name in NAMED}}}
    making |= {"outputs": [source, drawn, notes, made, folder, given], "api_visibility": "private"}
    gr.on(
        [fold.expand, again.click],
        show_errors(make),
        show_progress="minimal",
        show_progress_on=drawn,
        **making,
    )
    whenever(run.change, away, None, [fold, source, drawn, notes, made, given], **QUIET)
    source.change(
        show_errors(changed), [source, made, folder], [drawn, given], trigger_mode="always_last", **QUIET
    )
    return given


@needs("publish")
def make(run_id: str | None, request: gr.Request, **values: Any) -> tuple[Any, ...]:
    """The card of the run, made anew: source, rendered, what could not be made, its folder."""
    run = find_run(run_id or "", who.allowed(request, "publish").owner)
    if run.result() is None:
        words = '<p class="hub-line">The card is made of what was measured, when the run has ended.</p>'
        return "", "", words, "", "", ""
    place = files.new_path("card")
    place.mkdir()
    owner, name = str(values.get("namespace") or "owner"), str(values.get("name") or "name")
    written = cards.safe_write(
        RunFacts(run), f"{owner}/{name}", place,
        license=str(values.get("license") or ""), language=str(values.get("language") or ""),
        adapter=bool(values.get("adapter")), texts=True if values.get("examples") else None,
    )  # fmt: skip
    missing = "".join(f'<p class="hub-line">Left out: {problem}</p>' for problem in written.problems)
    folder = str(place)
    return written.text, rendered(written.text, folder), missing, written.text, folder, ""


@needs("publish", long_text=True)
def changed(text: str, made: str, folder: str) -> tuple[str, str]:
    """The rendered card as its source is now; and that source, where it is another than the made one."""
    check_length(text or "")
    return rendered(text or "", folder), "" if (text or "").strip() == made.strip() else text


def check_length(text: str) -> None:
    """Raises DataError for what is too long for a card."""
    if len(text) > MAX_CHARACTERS:
        raise DataError(f"The card has {len(text):,} characters.", hint=f"Give at most {MAX_CHARACTERS:,}.")


def rendered(text: str, folder: str) -> str:
    """The body as Markdown, its pictures within it: gradio serves no SVG file as a picture."""
    body = _FRONT.sub("", text.replace("\r\n", "\n"))

    def shown(found: re.Match[str]) -> str:
        path = Path(folder) / found[2]
        if not folder or not path.is_file():
            return found[0]
        return f"{found[1]}data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"

    return _PICTURE.sub(shown, body)


@needs("publish")
def away() -> tuple[Any, ...]:
    """Another run's card is not this one's."""
    return gr.Accordion(open=False), "", "", "", "", ""


def base_license(run: Run) -> str | None:
    """The base model's licence, where it is known here."""
    return cards.base_of(run.config()).license or None
