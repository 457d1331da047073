"""Which requests come from a page of another site, and what such a page may not do.

A browser sends this page's cookies with what any site's page asks of it, and gradio (6.31) lets any site read
the answers, but on localhost. So what another site's page sends is taken as sent by nobody; to a local app,
whose owner is known by no cookie, it is refused. Programs do not say where they are; their cookies say who.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from bertspace.ui.who import LOOPBACK

Scope = dict[str, Any]
READING = ("GET", "HEAD")
LOOPBACK_HOSTS = {*LOOPBACK, "0.0.0.0"}


def header(scope: Scope, name: str) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name.encode()), "")


def is_foreign(scope: Scope) -> bool:
    """Whether a page of another site sent this; a link to here that a person followed is their own doing.

    Scripts cannot set Sec-Fetch-Site and Origin; browsers send the first to https and to this machine only.
    """
    if site := header(scope, "sec-fetch-site"):
        followed = scope["method"] in READING and header(scope, "sec-fetch-mode") == "navigate"
        signs_out = scope["path"].rstrip("/").endswith("/logout")
        return site not in ("same-origin", "none") and (not followed or signs_out)
    origin = header(scope, "origin")
    return bool(origin) and urlsplit(origin).netloc.lower() not in _own_hosts(scope)


def _own_hosts(scope: Scope) -> set[str]:
    """The names of this page: what was asked for, and what the Space is called."""
    named = {each.strip().lower() for each in os.environ.get("SPACE_HOST", "").split(",")}
    return {header(scope, "host").lower(), *named} - {""}


def without_cookies(scope: Scope) -> Scope:
    """The request as if it came from somebody who is not known here."""
    kept = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
    return {**scope, "headers": kept, "session": {}}


def refusal(scope: Scope, is_open: bool) -> str:
    """Why a local app does not answer; "" where it does. There who reaches it is its owner."""
    if is_open:
        return ""
    if is_foreign(scope):
        return "A page of another site sent this."
    if _host_name(header(scope, "host")) not in LOOPBACK_HOSTS:  # somebody's name that leads to this machine
        return (
            "This page is for this machine alone, under http://127.0.0.1. To reach it by another name, start "
            "it with BERTSPACE_OWNER_KEY set, and open it with the key."
        )
    return ""


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or "127.0.0.1"
    except ValueError:
        return host
