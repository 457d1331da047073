"""Who is at the page: the owner, or a visitor.

The app is local (only this machine reaches it: who connects is the owner) or open (to a network, by --share,
on a Space, or because a key is set): then the owner comes in with the key, and everybody else is a visitor.
Addresses and headers prove nothing: a tunnel ends at 127.0.0.1 too.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass

import gradio as gr

from bertspace import policy
from bertspace.errors import ConfigError
from bertspace.policy import Person

COOKIE = "bertspace-owner"
KEY_VARIABLE = "BERTSPACE_OWNER_KEY"
SHORTEST_KEY = 16  # characters
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Door:
    """How this app is reached, and the key of its owner; "" for a local one, which needs none."""

    key: str = ""
    share: bool = False

    @property
    def pass_value(self) -> str:
        """What the owner's cookie holds: made from the key, which cannot be found from it."""
        return hmac.new(self.key.encode(), b"bertspace owner", hashlib.sha256).hexdigest()


_door = Door()


def open_door(server_name: str = "127.0.0.1", share: bool = False) -> Door:
    """Decide, before the launch, who will be who; raises ConfigError for a key that is too short."""
    global _door
    given = os.environ.get(KEY_VARIABLE, "")
    if given and (len(given) < SHORTEST_KEY or not given.isascii()):
        raise ConfigError(
            f"{KEY_VARIABLE} has {len(given)} characters.", hint=f"Give {SHORTEST_KEY} ASCII ones or more."
        )
    local = server_name in LOOPBACK and not share and not given and not os.environ.get("SPACE_ID")
    _door = Door("" if local else given or secrets.token_urlsafe(24), share)
    return _door


def door() -> Door:
    return _door


def fits(key: str) -> bool:
    """Whether this is the owner's key."""
    return bool(_door.key) and hmac.compare_digest(key.encode(), _door.key.encode())


def person(request: gr.Request | None) -> Person:
    """Who sent the request. None (a handler called by a program, not by a page) is nobody on an open app."""
    if not _door.key:
        return policy.LOCAL
    # The request below gradio's own, which turns cookies into attributes, whatever they are called.
    below = getattr(request, "request", None)
    shown = str(below.cookies.get(COOKIE, "")) if below is not None else ""
    if hmac.compare_digest(shown.encode(errors="replace"), _door.pass_value.encode()):
        return policy.OWNER
    return policy.SHARED_VISITOR if _door.share else policy.VISITOR


def allowed(request: gr.Request | None, action: str) -> Person:
    """The person, if they may do this; raises ForbiddenError."""
    someone = person(request)
    policy.require(someone, action)
    return someone
