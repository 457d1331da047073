"""The Hub tab: pull and look, then publish."""

from __future__ import annotations

from dataclasses import dataclass

from bertspace.ui.hub_pull import HubPull, build_hub_pull


@dataclass(frozen=True)
class HubTab:
    """What others use of it."""

    pull: HubPull


def build_hub_tab() -> HubTab:
    """The tab; has to be called inside a Tab of the page."""
    return HubTab(build_hub_pull())
