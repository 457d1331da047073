"""Closes connections on which no request comes: uvicorn (0.54) waits for ever for the end of its head."""

from __future__ import annotations

import threading
import time
from typing import Any

HEAD_SECONDS = 30.0  # within which the head of a request has to come


def watch(server: Any) -> threading.Thread:
    """Look at uvicorn's connections from now on, in a thread of its own, as long as it serves."""
    thread = threading.Thread(target=_watch, args=(server,), daemon=True, name="connections")
    thread.start()
    return thread


def _watch(server: Any) -> None:
    seen: dict[Any, Any] = {}  # the connections without a request at work, with the last one that they had
    while not server.should_exit:
        time.sleep(HEAD_SECONDS)
        now = {each: each.cycle for each in list(server.server_state.connections) if _waits(each)}
        for each, last in now.items():
            if each in seen and seen[each] is last:
                each.loop.call_soon_threadsafe(_close, each, last)
        seen = now


def _waits(connection: Any) -> bool:
    """Whether no request is at work there; one whose answer is done may be followed by another."""
    if not hasattr(connection, "cycle"):  # a websocket's, which is refused anyhow
        return False
    return connection.cycle is None or connection.cycle.response_complete


def _close(connection: Any, last: Any) -> None:
    if _waits(connection) and connection.cycle is last:
        connection.transport.close()
