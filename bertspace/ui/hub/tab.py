"""The Hub tab: pull and look, publish, and old checkpoints of this machine."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame.events import QUIET
from bertspace.ui.hub.import_fold import ImportFold, build_import_fold
from bertspace.ui.hub.publish import HubPublish, build_hub_publish
from bertspace.ui.hub.pull import HubPull, build_hub_pull
from bertspace.ui.models import catalogue


@dataclass(frozen=True)
class HubTab:
    """What others use of it."""

    pull: HubPull
    publish: HubPublish
    importing: ImportFold


def build_hub_tab() -> HubTab:
    """The tab; has to be called inside a Tab of the page."""
    pull, publish = build_hub_pull(), build_hub_publish()
    publish.panel.click(look_at, pull.chosen, pull.chosen, **QUIET)
    return HubTab(pull, publish, build_import_fold())


@needs("publish")
def look_at(shown: str, event: gr.EventData, request: gr.Request) -> str:
    """The published model, where that is what was clicked; else what is shown already."""
    named = str(getattr(event, "model", "")) if getattr(event, "act", "") == "look" else ""
    return catalogue.known_model(named, who.person(request)) or shown
