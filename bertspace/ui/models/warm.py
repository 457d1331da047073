"""Load the libraries and the starter in the background, so that the page is up at once."""

from __future__ import annotations

import logging
import threading
import time

PATIENCE = 1.5  # seconds that the first page has the processor to itself

_log = logging.getLogger(__name__)
_known: dict[str, str] = {}  # "device": in words, once torch is there


def start() -> threading.Thread:
    """Begin loading in a thread of its own, which ends with the program."""
    thread = threading.Thread(target=warm_up, daemon=True, name="warm-up")
    thread.start()
    return thread


def warm_up(patience: float = PATIENCE) -> None:
    """Import what predictions need, look at the device, load the starter; its absence is told in the log."""
    time.sleep(patience)
    from bertspace import hardware
    from bertspace.errors import BertspaceError
    from bertspace.models import apart, inference
    from bertspace.tasks import TASKS
    from bertspace.ui.access import who

    _known["device"] = hardware.describe()
    try:
        task = inference.task_of("starter")
        inference.predict("starter", [TASKS[task].placeholder], task=task)
    except BertspaceError as error:
        _log.warning("%s", error)
    if who.owner_access().key:  # strangers will come
        apart.keep_strangers_apart(ready=True)


def device_words() -> str:
    """The device in words; empty until torch has been loaded."""
    return _known.get("device", "")
