"""Under Start: whether a run is to be published once it is done, and where; looked at before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from bertspace import publish
from bertspace.errors import HubError
from bertspace.publish import Destination
from bertspace.ui.access.needs import needs
from bertspace.ui.hub import publish as hub_publish
from bertspace.ui.hub.form import build_place, build_when, suggested_name

TITLE = "Publish it on the Hub when it is done"
HINT = (
    '<p class="bs-note">Whether you may write there is looked at before the training starts. The app has '
    "to stay open meanwhile; the page need not. Branches, pull requests and the card: in the Hub tab, also "
    "while it trains.</p>"
)


def build_publish_choice() -> dict[str, Any]:
    """The controls, by the names that `asked` reads: given to a start beside the run's settings."""
    controls: dict[str, Any] = {}
    controls["publish"] = gr.Checkbox(
        False, label=TITLE, elem_id="publish-when-done", elem_classes="bs-choice", container=False
    )
    with gr.Column(visible=False, elem_classes="bs-choice-more") as place:
        said = gr.HTML("", apply_default_css=False, elem_id="publish-account")
        for name, control in build_place("publish", "as the run is called").items():
            controls[f"publish_{name}"] = control
        controls["publish_when"] = build_when()
        gr.HTML(HINT, apply_default_css=False)
    owner = controls["publish_namespace"]
    controls["publish"].change(
        wanted, [controls["publish"], owner], [place, said, owner],
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    return controls


@needs("publish")
def wanted(yes: bool, owner: str | None, request: gr.Request) -> tuple[Any, Any, Any]:
    """The place's form once it is asked for, with the names that the person may write under."""
    if not yes:
        return gr.Column(visible=False), gr.skip(), gr.skip()
    account, said = hub_publish.account_of(request)
    names = list(account.owners) if account else []
    chosen = owner or next(iter(names), None)
    return gr.Column(visible=True), said, gr.Dropdown(choices=names, value=chosen, allow_custom_value=True)


def asked(values: Mapping[str, Any], run_name: str) -> Destination | None:
    """Where the run is to go, None where it is to stay here; raises HubError where that cannot be.

    run_name: what the run will be called, and the repository where it is given no name.
    """
    if not values.get("publish"):
        return None
    owner = str(values.get("publish_namespace") or "").strip()
    name = str(values.get("publish_name") or "").strip() or suggested_name(run_name)
    if not owner:
        raise HubError(
            "The run is to be published, but there is no owner for it on the Hub.",
            hint="Choose one, or take the tick away. Without an account there is none: see the Hub tab.",
        )
    where = Destination(f"{owner}/{name}", private=bool(values.get("publish_private", True)))
    publish.check_access(where)
    return where
