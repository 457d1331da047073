"""Who is at the page: the owner, someone who signed in, or a visitor; and their credentials at the Hub.

The app is local (only this machine reaches it: who connects is the owner) or open (to a network, by --share,
on a Space, or because a key is set): then the owner comes in with the key, on a Space people sign in, and
everybody else is a visitor. Addresses and headers prove nothing: a tunnel ends at 127.0.0.1 too. They only
say whose load is counted together.
"""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.requests import HTTPConnection

from bertspace import policy, runs
from bertspace.errors import ConfigError
from bertspace.hub import cache
from bertspace.hub.credentials import Credentials
from bertspace.policy import Person
from bertspace.ui.access import sites
from bertspace.ui.access.admission import OWNER
from bertspace.ui.access.sessions import OWNERS, SESSIONS, Login, Passes, Session
from bertspace.ui.access.sites import LOOPBACK

if TYPE_CHECKING:
    from bertspace.hub import Account

COOKIE = "bertspace-owner"
KEY_VARIABLE = "BERTSPACE_OWNER_KEY"
SHORTEST_KEY = 16  # characters
OF_OAUTH = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
IN_SESSION = "bertspace"  # where gradio's signed cookie has the id of ours


@dataclass(frozen=True)
class OwnerAccess:
    """How this app is reached, and the key of its owner; "" for a local one, which needs none.

    sign_in: whether people can sign in with their accounts.
    """

    key: str = ""
    share: bool = False
    sign_in: bool = False

    @property
    def behind_proxy(self) -> bool:
        """Whether a proxy that we know stands before the app: a Space's, or the shared link's tunnel."""
        return self.share or bool(os.environ.get("SPACE_ID"))


_owner_access = OwnerAccess()
PASSES = Passes()  # of the owner who came with the key


def decide_owner(server_name: str = "127.0.0.1", share: bool = False) -> OwnerAccess:
    """Decide, before the launch, who will be who; raises ConfigError for a key that is too short."""
    global _owner_access
    given = os.environ.get(KEY_VARIABLE, "")
    if given and (len(given) < SHORTEST_KEY or not given.isascii()):
        raise ConfigError(
            f"{KEY_VARIABLE} has {len(given)} characters.", hint=f"Give {SHORTEST_KEY} ASCII ones or more."
        )
    local = server_name in LOOPBACK and not share and not given and not os.environ.get("SPACE_ID")
    _owner_access = OwnerAccess("" if local else given or secrets.token_urlsafe(24), share, _offers_sign_in())
    PASSES.close_all()
    return _owner_access


def _offers_sign_in() -> bool:
    """Whether this is a Space that signs people in.

    Elsewhere gradio signs its cookie with a key that everybody knows, and takes every visitor for the host.
    """
    on_space = os.environ.get("SYSTEM") == "spaces" and bool(os.environ.get("SPACE_ID"))
    return on_space and all(os.environ.get(name) for name in OF_OAUTH)


def owner_access() -> OwnerAccess:
    return _owner_access


def is_owner_key(key: str) -> bool:
    """Whether this is the owner's key."""
    return bool(_owner_access.key) and hmac.compare_digest(key.encode(), _owner_access.key.encode())


def key(request: gr.Request | None) -> str:
    """By what a person's load is counted: as the owner, by the sign-in, else by the address.

    Nothing that a client chooses is in it, such as its session's hash.
    """
    return key_below(getattr(request, "request", None))


def key_below(below: object) -> str:
    """The same of starlette's request, which lies below gradio's."""
    someone, _ = _known_below(below)
    if someone.kind == "owner":
        return OWNER
    return (
        someone.owner
        or f"at {sites.address(getattr(below, 'scope', None) or {}, _owner_access.behind_proxy)}"
    )


def of_scope(scope: sites.Scope) -> tuple[Person, str]:
    """The person who sent a request, and the key by which their load is counted."""
    below = HTTPConnection(scope)
    return _known_below(below)[0], key_below(below)


def person(request: gr.Request | None) -> Person:
    """Who sent the request. None (a handler called by a program, not by a page) is nobody on an open app."""
    return _known(request)[0]


def allowed(request: gr.Request | None, action: str) -> Person:
    """The person, if they may do this; raises ForbiddenError."""
    someone = person(request)
    policy.require(someone, action)
    return someone


def is_signed_in(request: gr.Request | None) -> bool:
    """Whether the request comes with a sign-in, the owner's too."""
    return _known(request)[1] is not None


def credentials_of(request: gr.Request | None) -> Credentials:
    """What the Hub is asked with for this request: the host's token serves the owner alone."""
    someone, session = _known(request)
    if someone.kind == "owner":
        return Credentials(_owners_token(session))
    token, own = (session.login.token, cache.of_owner(someone.owner)) if session else (False, None)
    most = policy.limits(someone)
    return Credentials(
        token,
        own,
        guest=True,
        max_bytes=most.model_bytes,
        cache_bytes=most.hub_bytes,
        own_bytes=most.stored_bytes,
        in_calls=False,
        who=key(request),
        seconds=most.seconds,
        in_use=runs.models_in_use,
    )


def account(request: gr.Request | None) -> Account | None:
    """The Hub account that the person acts with; None for who has none.

    Asked for once a sign-in, here and now: not for what is polled. Raises HubError.
    """
    login = login_of(request)
    return login.account() if login else None


def login_of(request: gr.Request | None) -> Login | None:
    """The token that the person's calls to the Hub carry, with its account; None where they carry none."""
    someone, session = _known(request)
    if someone.kind == "owner" and OWNERS.pasted is not None:
        return OWNERS.pasted
    if session is not None:
        return session.login
    return OWNERS.machines() if someone.kind == "owner" else None


def _owners_token(session: Session | None) -> str | bool | None:
    """The owner's own: pasted, signed in with, or the machine's login, which an open app must ask for."""
    if OWNERS.pasted is not None:
        return OWNERS.pasted.token
    if session is not None:
        return session.login.token
    if not _owner_access.key:
        return None
    return OWNERS.machines() is not None


def _known(request: gr.Request | None) -> tuple[Person, Session | None]:
    """The person, and their sign-in if there is one; who came with the owner's key stays the owner."""
    # The request below gradio's own, which turns cookies into attributes, whatever they are called.
    return _known_below(getattr(request, "request", None))


def _known_below(below: Any) -> tuple[Person, Session | None]:
    if not _owner_access.key:
        return policy.LOCAL, None
    session = _session(below)
    if below is not None and PASSES.holds(str(below.cookies.get(COOKIE, ""))):
        return policy.OWNER, session
    if session is not None:
        return session.person, session
    if _owner_access.sign_in:
        return policy.SIGNED_OUT, None
    return policy.SHARED_VISITOR if _owner_access.share else policy.VISITOR, None


def _session(below: object) -> Session | None:
    """The sign-in that the cookie names, which gradio's middleware has read and checked."""
    if not _owner_access.sign_in:
        return None
    cookie = getattr(below, "scope", {}).get("session") or {}
    return SESSIONS.find(cookie.get(IN_SESSION))
