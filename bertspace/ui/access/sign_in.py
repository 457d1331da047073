"""Signing in on a Space: gradio's button and its way to the Hub and back, with no token in the cookie.

gradio writes all that the provider answers, the token too, into a cookie that is signed but not encrypted.
`SignIn` takes it out before the cookie is written, into this process's memory (`sessions`), and leaves an id.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import gradio as gr

from bertspace.jobs.transfers import TRANSFERS
from bertspace.ui.access import sessions, who
from bertspace.ui.access.sessions import SESSIONS

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_log = logging.getLogger(__name__)
GRADIOS = "oauth_info"  # where gradio puts what the provider answered
SIGN_IN, SIGN_OUT = "Sign in with Hugging Face", "Sign out"
# To the provider, or out; back to the same address. On a Space the page lies in a frame.
GO = f"""(shown) => {{
    const back = encodeURIComponent('/' + window.location.search);
    window.parent?.postMessage({{type: 'SET_SCROLLING', enabled: true}}, '*');
    const way = shown === '{SIGN_OUT}' ? '/logout' : '/login/huggingface';
    window.location.assign(way + '?_target_url=' + back);
}}"""


def sign_in_button() -> gr.LoginButton | None:
    """The button, not yet on the page; None where nobody can sign in.

    To be made before the page's Blocks is entered: there gradio (6.31) adds a load handler of its own, which
    throws where the account has organisations, and leaves the button as it was.
    """
    if not who.owner_access().sign_in:
        return None
    return gr.LoginButton(SIGN_IN, SIGN_OUT, size="sm", variant="secondary", min_width=0, elem_id="sign-in")


class SignIn:
    """ASGI, inside of gradio's session middleware: what the provider answers becomes a session of ours."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cookie = scope.get("session")
        if scope["type"] != "http" or cookie is None:
            await self.app(scope, receive, send)
            return
        _distrust(cookie)
        if scope["path"].rstrip("/").endswith("/logout"):
            if session := SESSIONS.close(cookie.get(who.IN_SESSION)):
                TRANSFERS.revoke(session.login.token)
            cookie.clear()

        async def sending(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                _keep(cookie)
            await send(message)

        await self.app(scope, receive, sending)


def _distrust(cookie: MutableMapping[str, Any]) -> None:
    """Take out what only we may have put in: a token, and a session that is over or of an earlier start."""
    if GRADIOS in cookie:
        cookie.pop(GRADIOS)
    if who.IN_SESSION in cookie and SESSIONS.find(cookie[who.IN_SESSION]) is None:
        cookie.pop(who.IN_SESSION)


def _keep(cookie: MutableMapping[str, Any]) -> None:
    """A new session for what the provider answered, instead of the one before; a new id at every sign-in."""
    if GRADIOS not in cookie:
        return
    answer = cookie.pop(GRADIOS)
    SESSIONS.close(cookie.get(who.IN_SESSION))
    try:
        cookie[who.IN_SESSION] = SESSIONS.open(sessions.from_oauth(answer))
    except (KeyError, TypeError, ValueError) as error:  # says what is missing, not what is there
        _log.warning("The provider's answer does not say who signs in: %s", type(error).__name__)
