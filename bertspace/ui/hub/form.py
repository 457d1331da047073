"""The form that says where a run goes on the Hub, and the Destination that it describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace.errors import HubError
from bertspace.publish import Destination
from bertspace.ui.access.needs import needs
from bertspace.ui.frame.events import QUIET

LICENSES = ("apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "other")
WHERE = {"main": "The main branch", "branch": "Another branch", "pr": "A pull request"}
WHEN = {"end": "When it is done", "epochs": "Each epoch too, as it ends"}


@dataclass(frozen=True)
class DestinationForm:
    """The destination's controls, by the names that `destination` reads."""

    controls: Mapping[str, Any]
    about: gr.HTML
    when: gr.Radio


def build_form() -> DestinationForm:
    controls: dict[str, Any] = {}
    about = gr.HTML("", apply_default_css=False, elem_classes="hub-about")
    controls |= build_place("hub")
    controls["where"] = gr.Radio(
        [(words, value) for value, words in WHERE.items()], value="main", label="Where it goes",
        elem_classes="bs-segments",
    )  # fmt: skip
    controls["branch"] = gr.Textbox("", label="Branch", placeholder="second-try", max_lines=1, visible=False)
    controls["adapter"] = gr.Radio(
        [("All weights, LoRA merged", False), ("LoRA's adapter alone", True)], value=False, label="Weights",
        info="Both load with plain transformers; the adapter needs peft, and its base.",
        elem_classes="bs-segments", visible=False,
    )  # fmt: skip
    with gr.Row():
        controls["license"] = gr.Dropdown(
            list(LICENSES), value=None, label="Licence", allow_custom_value=True, min_width=120,
            info="The base's, for you to confirm.", elem_id="hub-license",
        )  # fmt: skip
        controls["language"] = gr.Textbox(
            "", label="Language", placeholder="en", max_lines=1, min_width=120, info="Of the texts: en, de, …"
        )
    controls["examples"] = gr.Checkbox(
        False, label="Rows of my own files on the card",
        info="As examples, for everybody who may see it. Those of samples and public data sets stand there.",
    )  # fmt: skip
    controls["replace_card"] = gr.Checkbox(
        False, label="Replace a README that was written by hand",
        info="Else one that is there stays, and the card is left out.", elem_id="hub-replace-card",
    )  # fmt: skip
    controls["message"] = gr.Textbox(
        "", label="Commit message", placeholder="What is new", max_lines=1, elem_id="hub-message"
    )
    when = build_when(visible=False, info="The app has to stay open meanwhile; the page need not.")
    controls["where"].change(show_branch, controls["where"], controls["branch"], **QUIET)
    return DestinationForm(controls, about, when)


def build_place(part: str, placeholder: str = "") -> dict[str, Any]:
    """Owner, name and who may see it, by the names that `destination` reads; part: of the page."""
    with gr.Row():
        owner = gr.Dropdown(
            [], label="Owner", allow_custom_value=True, min_width=120, elem_id=f"{part}-namespace"
        )
        name = gr.Textbox(
            "", label="Name", placeholder=placeholder, max_lines=1, min_width=160, elem_id=f"{part}-name"
        )
    private = gr.Radio(
        [("Private", True), ("Public", False)], value=True, label="Who sees a new repository",
        info="Private: nothing is sent to one that is public already.", elem_classes="bs-segments",
    )  # fmt: skip
    return {"namespace": owner, "name": name, "private": private}


def build_when(**options: Any) -> gr.Radio:
    """Whether each epoch's model goes up too: "end" or "epochs"."""
    choices = [(words, value) for value, words in WHEN.items()]
    return gr.Radio(choices, value="end", label="When", elem_classes="bs-segments", **options)


def destination(values: Mapping[str, Any]) -> Destination:
    """Where the form says that the run goes; raises HubError."""
    owner, name = str(values.get("namespace") or "").strip(), str(values.get("name") or "").strip()
    if not owner or not name:
        raise HubError("The owner or the name is missing.", hint="Fill in both: owner/name.")
    where = values.get("where")
    branch = str(values.get("branch") or "").strip() if where == "branch" else ""
    if where == "branch" and not branch:
        raise HubError("The branch has no name.", hint="Name it, or choose the main branch.")
    return Destination(
        f"{owner}/{name}",
        private=bool(values.get("private", True)),
        branch=branch,
        pull_request=where == "pr",
        message=str(values.get("message") or "").strip(),
        adapter=bool(values.get("adapter")),
        license=str(values.get("license") or "").strip(),
        language=str(values.get("language") or "").strip(),
        examples=True if values.get("examples") else None,
        replace_card=bool(values.get("replace_card")),
    )


def suggested_name(words: str) -> str:
    """A repository's name from a run's: letters and digits, in lower case, with hyphens between."""
    kept = "".join(sign if sign.isascii() and sign.isalnum() else " " for sign in words.lower())
    return "-".join(kept.split())[:80] or "model"


@needs("publish")
def show_branch(where: str) -> Any:
    return gr.Textbox(visible=where == "branch")
