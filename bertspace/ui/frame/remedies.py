"""What can be chosen instead, as buttons beside a problem or a finding: a click sets settings of the form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from bertspace.data.reading import READING
from bertspace.errors import BertspaceError, Remedy
from bertspace.ui.frame.html import failed, render

# A click on a button tells the page which settings it stands for; see gr.HTML, js_on_load.
CLICK = """element.addEventListener('click', event => {
    const pressed = event.target.closest('[data-settings]');
    if (pressed) trigger('click', {settings: pressed.dataset.settings});
});"""
LONGEST = 10_000  # characters of the settings of one button
# What can be said of a file that a model is asked on.
OF_A_FILE = ("text_column", "pair_column", "label_column", "unlabelled_rows", *READING)


def draw(remedies: Sequence[Remedy]) -> Markup:
    """A button each; "" where there are none."""
    return render("frame.remedies", [(each.title, json.dumps(dict(each.settings))) for each in remedies])


def chosen(event: Any, settings: Sequence[str]) -> dict[str, str]:
    """What a pressed button sets, of the settings that it may; a program may send anything."""
    sent = str(getattr(event, "settings", ""))
    try:
        found = json.loads(sent) if len(sent) <= LONGEST else None
    except (ValueError, RecursionError):
        found = None
    named = found if isinstance(found, dict) else {}
    return {name: value for name, value in named.items() if name in settings and isinstance(value, str)}


def refused(error: BertspaceError) -> Markup:
    """The panel of a file that could not be read: what happened, what to do, and buttons that do it."""
    return failed(error.message, error.hint, draw(error.remedies))


def open_to(remedies: Sequence[Remedy], config: Any) -> tuple[Remedy, ...]:
    """Those that would change something of the config."""
    return tuple(
        each
        for each in remedies
        if any(str(getattr(config, name, value)) != value for name, value in each.settings)
    )
