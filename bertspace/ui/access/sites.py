"""Where requests come from: from which address, over https or not, and from which site's page.

A browser sends this page's cookies with what any site's page asks of it, and gradio (6.31) lets any site read
the answers, but on localhost. So what another site's page sends is taken as sent by nobody; to a local app,
whose owner is known by no cookie, it is refused. Programs do not say where they are; their cookies say who.
An address grants nothing: it bounds how much load one caller can make.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

Scope = dict[str, Any]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
READING = ("GET", "HEAD")
LOOPBACK_HOSTS = {*LOOPBACK, "0.0.0.0"}


def header(scope: Scope, name: str) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name.encode()), "")


def address(scope: Scope, behind_proxy: bool) -> str:
    """The caller's address, an IPv6 one's network of 64 bits; "" where there is none.

    behind_proxy: whether a proxy that we know stands before the app (a Space's, a shared link's). It adds the
    address that it sees at the right of X-Forwarded-For; what stands left of it anybody can write.
    """
    peer = _parsed((scope.get("client") or ("",))[0])
    if behind_proxy and peer is not None and not peer.is_global:
        named = ",".join(_all(scope, "x-forwarded-for")).split(",")
        seen = (_parsed(each.strip()) for each in reversed(named))
        peer = next((each for each in seen if each is not None and each.is_global), peer)
    if isinstance(peer, IPv6Address):
        return str(ip_network((peer, 64), strict=False))
    return str(peer or "")


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_https(scope: Scope, behind_proxy: bool) -> bool:
    """Whether the caller's browser speaks https, with us or with the proxy before us."""
    said = header(scope, "x-forwarded-proto").split(",")[0].strip() if behind_proxy else ""
    return "https" in (scope.get("scheme"), said) or bool(os.environ.get("SPACE_HOST"))


def _all(scope: Scope, name: str) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name.encode()]


def is_foreign(scope: Scope) -> bool:
    """Whether a page of another site sent this; a link to here that a person followed is their own doing.

    Scripts cannot set Sec-Fetch-Site and Origin; browsers send the first to https and to this machine only.
    """
    if site := header(scope, "sec-fetch-site"):
        followed = scope["method"] in READING and header(scope, "sec-fetch-mode") == "navigate"
        signs_out = scope["path"].rstrip("/").endswith("/logout")
        return site not in ("same-origin", "none") and (not followed or signs_out)
    origin = header(scope, "origin")
    try:
        return bool(origin) and urlsplit(origin).netloc.lower() not in _own_hosts(scope)
    except ValueError:  # no address that a browser would send
        return True


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
