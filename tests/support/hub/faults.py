"""Faults on request: refusals, lines that are cut or stall, bytes that change, answers that get lost."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]
WAYS = ("cut", "cut upload", "stall", "slow", "corrupt", "lost", "hang")


class Cut(Exception):
    """The connection is dropped here."""


@dataclass
class Fault:
    """What happens to a request. what: a status or one of WAYS. times: how often, 0 for always.

    after: so many matching requests go through first. seconds: of a slow body, or of a hang.
    reset: the seconds in a RateLimit header, as the Hub sends it with a 429. said: the Hub's own words.
    code, headers: its X-Error-Code, and what else stands in the answer's head.
    """

    what: int | str
    method: str = ""
    path: str = ""
    times: int = 1
    retry_after: float | None = None
    after: int = 0
    seconds: float = 30.0
    said: str = ""
    reset: int | None = None
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    met: int = field(default=0)

    def hits(self, method: str, path: str) -> bool:
        if (self.method and self.method != method) or not re.search(self.path, path):
            return False
        self.met += 1
        place = self.met - self.after
        return place >= 1 and (not self.times or place <= self.times)


def refusal(fault: Fault) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a fault that is a status."""
    headers = {"content-type": "application/json"}
    if fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:g}"
    if fault.reset is not None:
        headers["ratelimit"] = f'"api";r=0;t={fault.reset}'
        headers["ratelimit-policy"] = '"fixed window";"api";q=1000;w=300'
    headers |= fault.headers | ({"x-error-code": fault.code} if fault.code else {})
    said = fault.said or f"a fault was asked for ({fault.what})"
    return int(fault.what), headers, json.dumps({"error": said}).encode()


def bent(fault: Fault, send: Send, released: asyncio.Event) -> Send:
    """What sends an answer as the fault has it."""

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] != "http.response.body":
            if fault.what == "lost":
                raise Cut
            await send(message)
            return
        body = message.get("body", b"")
        half = len(body) // 2
        if fault.what == "corrupt":
            body = body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :]
        elif fault.what == "slow":
            await send({"type": "http.response.body", "body": body[:half], "more_body": True})
            await _pause(fault.seconds, released)
            body = body[half:]
        elif fault.what in ("cut", "stall"):
            await send({"type": "http.response.body", "body": body[:half], "more_body": True})
            await asyncio.sleep(0.05)  # so that what was sent is on its way
            if fault.what == "stall":
                await _pause(fault.seconds, released)
            raise Cut
        await send({**message, "body": body})

    return sending


async def _pause(seconds: float, released: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(released.wait(), seconds)
    except TimeoutError:
        return
