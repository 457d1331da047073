"""Who is signed in, and with which token: in this process's memory alone, so that a restart forgets it all.

A cookie holds a session's id and nothing else. Knows nothing of requests.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from bertspace import policy
from bertspace.errors import HubError, HubUnreachable
from bertspace.hub import credentials
from bertspace.hub.credentials import Credentials
from bertspace.policy import Person

if TYPE_CHECKING:
    from bertspace.hub import Account

MOST = 10_000  # sessions at a time; the one opened first goes
DAY = 24 * 3600  # seconds
PASS_SECONDS = 30 * DAY  # that the owner need not show the key again
MAX_PASSES = 100  # of the owner's browsers; the one opened first goes
PATIENCE = 10.0  # seconds after which a Hub that did not answer is asked again
WRITING = {"contribute-repos", "write-repos", "manage-repos"}  # scopes, one of which a push needs
_TOKEN = re.compile(r"[\w.-]{8,400}", re.ASCII)


class Login:
    """A token, and the account that it is of, which the Hub is asked for once. Its repr shows neither.

    scopes: what a sign-in was granted; None for a token that was made by hand, whose role says it.
    """

    def __init__(self, token: str, scopes: frozenset[str] | None = None) -> None:
        self.token, self.scopes = token, scopes
        self._account: Account | None = None
        self._failed: HubError | None = None
        self._again = 0.0  # when a Hub that did not answer may be asked again
        self._asking = threading.Lock()

    def account(self) -> Account:
        """Raises HubError where the Hub does not answer, or does not know the token."""
        with self._asking:
            if self._account is None:
                if self._failed is not None and time.monotonic() < self._again:
                    raise self._failed  # a page asks more than once, and each would wait
                try:
                    self._account = self._ask()
                except HubUnreachable as error:
                    self._failed, self._again = error, time.monotonic() + PATIENCE
                    raise
            return self._account

    def _ask(self) -> Account:
        from bertspace import hub

        with credentials.using(Credentials(self.token)):
            found = hub.whoami()
        may = found.may_write and (self.scopes is None or bool(WRITING & self.scopes))
        return replace(found, may_write=may)


@dataclass(frozen=True)
class Session:
    """One sign-in. expires: when its token ends, in seconds since 1970."""

    person: Person
    login: Login
    expires: float


def from_oauth(info: Mapping[str, Any]) -> Session:
    """The session of what the provider answered; raises KeyError where it does not say who it is."""
    claims, now = info["userinfo"], time.time()
    scopes = frozenset(str(info.get("scope") or "").split())
    expires = float(info.get("expires_at") or now + float(info.get("expires_in") or DAY))
    name = str(claims.get("preferred_username") or claims.get("name") or "Signed in")
    return Session(policy.user(str(claims["sub"]), name), Login(str(info["access_token"]), scopes), expires)


class Sessions:
    """The sessions by their ids, which cannot be guessed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Session] = OrderedDict()

    def open(self, session: Session) -> str:
        """A new id for it; what has expired is let go."""
        name, now = secrets.token_urlsafe(32), time.time()
        with self._lock:
            for old in [known for known, each in self._open.items() if each.expires <= now]:
                del self._open[old]
            self._open[name] = session
            while len(self._open) > MOST:
                self._open.popitem(last=False)
        return name

    def find(self, name: object) -> Session | None:
        """The session, unless it was closed or has expired."""
        with self._lock:
            found = self._open.get(name) if isinstance(name, str) else None
            if found is not None and found.expires <= time.time():
                del self._open[str(name)]
                return None
            return found

    def close(self, name: object) -> Session | None:
        """The session that was open by this id, which is so no more."""
        with self._lock:
            return self._open.pop(name, None) if isinstance(name, str) else None


class Passes:
    """What the cookies of the owner who came with the key hold: known by their hashes, each with its end."""

    def __init__(self) -> None:
        self._ends: OrderedDict[bytes, float] = OrderedDict()

    def open(self) -> str:
        """A new one, which cannot be guessed."""
        shown = secrets.token_urlsafe(32)
        self._ends[_hashed(shown)] = time.time() + PASS_SECONDS
        while len(self._ends) > MAX_PASSES:
            self._ends.popitem(last=False)
        return shown

    def holds(self, shown: str) -> bool:
        """Whether it was given here, and is neither over nor closed."""
        return self._ends.get(_hashed(shown), 0.0) > time.time()

    def close(self, shown: str) -> None:
        """It opens nothing from now on."""
        self._ends.pop(_hashed(shown), None)

    def close_all(self) -> None:
        self._ends.clear()


def _hashed(shown: str) -> bytes:
    return sha256(shown.encode(errors="replace")).digest()


class OwnersLogin:
    """The owner's token: one that was pasted on the page, else the login that this machine has."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pasted: Login | None = None
        self._machines: Login | None = None

    @property
    def pasted(self) -> Login | None:
        return self._pasted

    def paste(self, token: str) -> None:
        """Keep the token, if the Hub knows it; raises HubError, and keeps the one before."""
        token = token.strip()
        if not _TOKEN.fullmatch(token):
            raise HubError("That is no access token.", hint="Copy one from your settings page on the Hub.")
        login = Login(token)
        login.account()
        self._pasted = login

    def forget(self) -> Login | None:
        """Forget what was pasted, and give it back; the machine's own login stays."""
        pasted, self._pasted = self._pasted, None
        return pasted

    def machines(self) -> Login | None:
        """The machine's login as it is now: HF_TOKEN, or what `hf auth login` has left; None without one."""
        from huggingface_hub import get_token

        token = get_token()
        with self._lock:
            if self._machines is None or self._machines.token != token:
                self._machines = Login(token) if token else None
            return self._machines


SESSIONS = Sessions()
OWNERS = OwnersLogin()
