"""The one entrance of the app: before anything reads a request, it is checked, counted and bounded here.

It lets the owner in and out, does not let other sites' pages act for people, and says to browsers who may
show the page in a frame.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import HTTPConnection

from bertspace.ui.access import admission, bodies, files, sites, uploads, who
from bertspace.ui.access.admission import KEY_SECONDS, KEYS_THAT_WAIT, REQUESTS, WRONG_KEYS
from bertspace.ui.access.bodies import Gone, Receive, Refused, Send
from bertspace.ui.access.sessions import PASS_SECONDS
from bertspace.ui.access.sites import Scope

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_log = logging.getLogger(__name__)
LOG_OUT = "/owner/logout"
# Parts of gradio that this page does not use: fetching other addresses through this machine, writing a page's
# state to disk, calling methods of components, converting videos.
UNUSED = ("/proxy=", "/file=http:", "/file=https:", "/file/http", "/deep_link", "/component_server",
          "/process_recording", "/dev/", "/vibe-", "/undo-vibe-edit", "/custom_component/",
          "/monitoring")  # fmt: skip
FRAMES = "frame-ancestors 'self'"
SPACES_FRAMES = f"{FRAMES} https://huggingface.co https://*.hf.space"


class Entrance:
    """ASGI: what every request passes, before gradio."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # this page has none
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        else:
            await self._ask(scope, receive, _with_headers(send))

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if refusal := sites.refusal(scope, bool(who.owner_access().key)):
                raise Refused(403, refusal)
            if sites.is_foreign(scope):
                if _path(scope) == LOG_OUT:  # even without its cookie the browser would be told to forget it
                    raise Refused(403, "A page of another site sent this.")
                scope = sites.without_cookies(scope)
            if _brings_key(scope):  # whatever others at this address hold open
                await _let_in(scope, send)
                return
            person, key = who.of_scope(scope)
            if not REQUESTS.take(key):
                raise Refused(429, "Too many requests of yours are open here. Try again in a minute.")
            try:
                with files.kept_for(key):
                    await self._serve(scope, receive, send, key, admission.body_bytes(person))
            finally:
                REQUESTS.free(key)
        except Gone:
            return
        except Refused as refused:
            await _answer(send, refused.status, refused.words)
            if bodies.has_body(scope):
                await bodies.drain(receive)
        except Exception as error:  # of a request that no browser sends; what gradio makes of one see _pass
            _log.warning("Refused %s %.100r: %.200r", scope["method"], scope["path"], error)
            await _answer(send, 400, "The request is not one that the page sends.")

    async def _serve(self, scope: Scope, receive: Receive, send: Send, key: str, most: int) -> None:
        if _path(scope) == LOG_OUT:
            await _let_out(scope, send)
        elif scope["path"].removeprefix("/gradio_api").startswith(UNUSED):
            raise Refused(404, "This page does not use that.")
        elif uploads.is_upload(scope):
            paths = await uploads.take(scope, receive, key)
            await _answer(send, 200, json.dumps(paths), {"content-type": "application/json"})
        elif uploads.asks_for_progress(scope):
            await _answer(send, 200, uploads.PROGRESS, {"content-type": "text/event-stream"})
        else:
            if bodies.has_body(scope):
                body = await bodies.whole(scope, receive, key, most)
                if key != admission.OWNER and not admission.is_plain(body):
                    raise Refused(413, "The request is not one that the page sends.")
                receive = bodies.given(body, receive)
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Mapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:  # no handler of ours runs in here: those run behind the queue
            _log.warning("Refused %s %.100r: %.200r", scope["method"], scope["path"], error)
            if not begun:
                await _answer(send, 400, "The request is not one that the page sends.")


def _with_headers(send: Send) -> Send:
    """Sends with every answer, a stream's and a refusal's too, what a browser may do with it."""
    frames = SPACES_FRAMES if os.environ.get("SPACE_ID") else FRAMES
    added = [
        (b"content-security-policy", frames.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),  # the address may name a run; a form's Origin needs it
    ]

    async def sending(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            named = {name.lower() for name, _ in own}
            message = {**message, "headers": own + [each for each in added if each[0] not in named]}
        await send(message)

    return sending


def _home(scope: Scope) -> str:
    return f"{scope.get('root_path', '')}/"


def _path(scope: Scope) -> str:
    return str(scope["path"]).rstrip("/")


def _asked(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _brings_key(scope: Scope) -> bool:
    return (
        bool(who.owner_access().key)
        and scope["path"] == "/"
        and any(name == "key" for name, _ in _asked(scope))
    )


async def _let_in(scope: Scope, send: Send) -> None:
    """A cookie for who has the right key, and the address without it.

    After many wrong ones every key of an address waits, the right one too, but it is not refused.
    """
    asked = _asked(scope)
    key = next(value for name, value in asked if name == "key")
    rest = urlencode([(name, value) for name, value in asked if name != "key"])
    back_to = f"{_home(scope)}{'?' if rest else ''}{rest}"
    address = sites.address(scope, who.owner_access().behind_proxy)
    if wait := WRONG_KEYS.wait_for(address):
        if not KEYS_THAT_WAIT.take(address):
            raise Refused(
                429, f"Too many wrong keys came from your address. Try again in {math.ceil(wait)} s."
            )
        try:
            await asyncio.sleep(KEY_SECONDS)
        finally:
            KEYS_THAT_WAIT.free(address)
    if not who.is_owner_key(key):
        WRONG_KEYS.count(address)
        raise Refused(403, "This is not the key that was printed when the page was started.")
    cookie = _cookie(scope, who.PASSES.open(), PASS_SECONDS)
    headers = {"location": back_to, "set-cookie": cookie, "cache-control": "no-store"}
    await _answer(send, 303, "", headers | {"referrer-policy": "no-referrer"})


async def _let_out(scope: Scope, send: Send) -> None:
    """The owner's session ends here, not in the browser alone; other sites' pages come without cookies."""
    if scope["method"] != "POST":
        raise Refused(405, "That is a button of the page.")
    who.PASSES.close(str(HTTPConnection(scope).cookies.get(who.COOKIE, "")))
    headers = {"location": _home(scope), "set-cookie": _cookie(scope, "", 0), "cache-control": "no-store"}
    await _answer(send, 303, "", headers)


def _cookie(scope: Scope, value: str, seconds: int) -> str:
    cookie = f"{who.COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"
    shared = urlsplit(
        scope["app"].get_blocks().share_url or ""
    ).netloc  # its tunnel is reached by https alone
    secure = sites.is_https(scope, who.owner_access().behind_proxy) or sites.header(scope, "host") == shared
    return cookie + ("; Secure" if secure else "")


async def _answer(send: Send, status: int, words: str, headers: Mapping[str, str] | None = None) -> None:
    listed = {"content-type": "text/plain; charset=utf-8", **(headers or {})}
    coded = [(name.encode(), value.encode("latin-1")) for name, value in listed.items()]
    await send({"type": "http.response.start", "status": status, "headers": coded})
    await send({"type": "http.response.body", "body": words.encode()})
