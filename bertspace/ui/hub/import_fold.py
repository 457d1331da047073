"""The fold "An old checkpoint": a folder of the owner's machine, made into one that loads safely."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bertspace import policy
from bertspace.errors import BertspaceError, ForbiddenError, ModelError
from bertspace.models.legacy import checkpoints
from bertspace.models.legacy.checkpoints import Imported
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame.html import problem, render

HINT = (
    "With config.json and pytorch_model.bin, or with bert_config.json, vocab.txt and a TensorFlow "
    "checkpoint. The folder stays as it is; the new one lies beside it."
)


@dataclass(frozen=True)
class ImportFold:
    """The event of the tab's opening, which shows the fold to who may use it."""

    opening: dict[str, Any]


def build_import_fold() -> ImportFold:
    """The fold, which only the local owner sees; has to be called inside the page's Blocks."""
    with gr.Accordion(
        "An old checkpoint on this machine", open=False, visible=False, elem_classes="bs-card bs-aside",
        elem_id="hub-import",
    ) as fold:  # fmt: skip
        folder = gr.Textbox(
            "", label="Folder", info=HINT, placeholder="/data/uncased_L-12_H-768_A-12", max_lines=1
        )
        begin = gr.Button("Import", elem_classes="bs-small")
        made = gr.HTML("", apply_default_css=False, elem_classes="hub-slot")
    importing: dict[str, Any] = {"outputs": made, "show_progress": "minimal", "concurrency_limit": 1}
    gr.on([begin.click, folder.submit], import_folder, folder, **importing, api_visibility="private")
    opening: dict[str, Any] = {"fn": opened, "inputs": None, "outputs": fold, "queue": False}
    return ImportFold(opening | {"show_progress": "hidden", "api_visibility": "private"})


@needs("try models")
def opened(request: gr.Request) -> Any:
    """The fold for the owner of a page that nobody else reaches."""
    return gr.Accordion(visible=who.person(request) == policy.LOCAL)


@needs("name folders")
def import_folder(folder: str, request: gr.Request | None = None) -> str:
    """Make a folder that loads safely beside the old one; what came of it."""
    try:
        if who.allowed(request, "name folders") != policy.LOCAL:
            said = "No path of this machine is taken on a page that others reach."
            raise ForbiddenError(said, hint="Run on it: python -m bertspace import FOLDER")
        if not folder.strip():
            raise ModelError("No folder is named.", hint="Write where it lies on this machine.")
        return draw(checkpoints.import_checkpoint(Path(folder.strip())))
    except BertspaceError as error:
        return render("hub.going", problem(error.message, error.hint), "")
    except OSError as error:  # no name that a folder can have, or none that may be read
        return render("hub.going", problem("That folder cannot be read.", f"{error.strerror}."), "")


def draw(made: Imported) -> str:
    """Where it lies, what it holds, and how to go on with it."""
    return render("page.imported", made)
