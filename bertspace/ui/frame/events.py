"""One handler after any of several events, beside other handlers of the same events.

gradio (6.31) tells a component's event to its listeners one by one, each waiting for the one before. For a
listener that was at work meanwhile it then sends the whole event again, to all of them: two such listeners
wake each other for as long as the page is open. What is wired here is told at once, and by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

# Of events that answer at once and show no progress of their own.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def whenever(
    triggers: Any, fn: Callable[..., Any], inputs: Any = None, outputs: Any = None, **named: Any
) -> Any:
    """fn after each of the events; once more for the last of those that come while it is at work."""
    heard = gr.on(triggers, None, trigger_mode="multiple", **QUIET)
    return heard.then(fn, inputs, outputs, trigger_mode="always_last", **named)
