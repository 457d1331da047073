"""Credentials and limits for Hub calls: those of the person whom the thread or task at work acts for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Credentials:
    """Who asks the Hub, where what only they may see is kept, and how much they may bring.

    token: None is the machine's own login where the client takes it by itself, True the same explicitly,
    False nobody's; a text is the token. folder: where private and gated models go; None: the common cache.
    guest: the machine is not theirs, so that what lies in the common cache is theirs only once the Hub has
    given it to them. max_bytes: of one model or data set; cache_bytes: of all that guests brought to the
    common cache; own_bytes: of all in the folder; 0 is no limit. in_calls: whether any call may bring a model
    that is not here, or only what can be stopped: a pull. who: whose load a call counts as. seconds: what it
    may take, 0 for any. in_use: gives the models (owner/name@commit) that must not be removed to make room.
    """

    token: str | bool | None = field(default=None, repr=False)
    folder: Path | None = None
    guest: bool = False
    max_bytes: int = 0
    cache_bytes: int = 0
    own_bytes: int = 0
    in_calls: bool = True
    who: str = ""
    seconds: float = 0
    in_use: Callable[[], Collection[str]] = frozenset

    @property
    def is_owner(self) -> bool:
        """Whether they are the machine's owner; the worker of a guest's run has the guest's folder."""
        return not self.guest and self.folder is None


_CURRENT: ContextVar[Credentials] = ContextVar("credentials", default=Credentials())  # noqa: B039 - frozen


def current() -> Credentials:
    """Those of whoever this thread or task acts for; the owner's where nobody else's are in use."""
    return _CURRENT.get()


@contextmanager
def using(credentials: Credentials) -> Iterator[None]:
    """Within the block the Hub is asked with these, also by threads that copy this one's context."""
    before = _CURRENT.set(credentials)
    try:
        yield
    finally:
        _CURRENT.reset(before)
