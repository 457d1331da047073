"""Read a request's body within a limit, whatever its headers say, and stop where it stalls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bertspace.ui.access import sites
from bertspace.ui.access.admission import BODIES, BODY_SECONDS, PATIENCE, STALL_SECONDS

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
DRAINED, DRAIN_SECONDS = 32 * 1024**2, 5.0  # read of what is too large, so that the caller hears why


class Gone(Exception):
    """Who asked has left."""


@dataclass
class Refused(Exception):
    """The request is not taken: by which status, and why."""

    status: int
    words: str


def has_body(scope: sites.Scope) -> bool:
    return bool(sites.header(scope, "content-length") or sites.header(scope, "transfer-encoding"))


def check_length(scope: sites.Scope, most: int) -> None:
    """Raises Refused where the request itself says that it is too large; what it says proves nothing else."""
    said = sites.header(scope, "content-length")
    if said and (not said.isascii() or not said.isdigit() or len(said) > 15 or int(said) > most):
        raise too_large(most)


def too_large(most: int) -> Refused:
    return Refused(413, f"That is more than {most:,} bytes, which is the limit here.")


async def chunks(receive: Receive, most: int, seconds: float) -> AsyncIterator[bytes]:
    """The body's parts; raises Refused where it is too large or too slow, and Gone where nobody sends it."""
    size, end, more = 0, time.monotonic() + seconds, True
    while more:
        try:
            left = max(0.0, min(STALL_SECONDS, end - time.monotonic()))
            message = await asyncio.wait_for(receive(), left)
        except TimeoutError:
            raise Refused(408, "That came too slowly.") from None
        if message["type"] == "http.disconnect":
            raise Gone
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > most:
            raise too_large(most)
        yield part


async def whole(scope: sites.Scope, receive: Receive, key: str, most: int) -> bytes:
    """The whole body of a call."""
    check_length(scope, most)
    parts, holds = [], False
    try:
        async for part in chunks(receive, most, BODY_SECONDS):
            parts.append(part)
            if len(parts) == 2:  # it comes in pieces, and is kept while it does
                holds = await BODIES.wait(key, PATIENCE)
                if not holds:
                    raise Refused(429, "Too much is coming from you at once.")
        return b"".join(parts)
    finally:
        if holds:
            BODIES.free(key)


async def drain(receive: Receive) -> None:
    """Read what still comes, for a while: a caller who is still sending would not hear the answer."""
    try:
        async for _ in chunks(receive, DRAINED, DRAIN_SECONDS):
            pass
    except (Refused, Gone):
        return


def given(body: bytes, receive: Receive) -> Receive:
    """What gives the app a body that was read."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> dict[str, Any]:
        return messages.pop() if messages else await receive()

    return receiving
