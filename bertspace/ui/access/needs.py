"""The right that a handler needs, said beside it: `@needs("train")`, as starlette's `@requires` does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bertspace import policy

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class Needs:
    """right: one of policy.RIGHTS. long_text: takes a whole model card, which it bounds itself.

    urgent: waits for no other call.
    """

    right: str
    long_text: bool = False
    urgent: bool = False


def needs(right: str, *, long_text: bool = False, urgent: bool = False) -> Callable[[Handler], Handler]:
    """A decorator of a handler: a click's, an endpoint's, a timer's, and what runs when the page opens.

    What runs on a visitor's page too needs "try models" alone, and shows each person what is theirs.
    """
    if right not in policy.RIGHTS:
        raise KeyError(f"There is no right {right!r} in policy.RIGHTS.")

    def mark(handler: Handler) -> Handler:
        handler.needs = Needs(right, long_text, urgent)  # type: ignore[attr-defined]
        return handler

    return mark


def needs_of(handler: Callable[..., Any] | None) -> Needs:
    """What the handler needs; one that runs in the browser alone (None) needs nothing of ours.

    Raises KeyError where it does not say.
    """
    if handler is None:
        return Needs("try models")
    found = getattr(handler, "needs", None)
    if not isinstance(found, Needs):
        name = f"{handler.__module__}.{handler.__qualname__}"
        raise KeyError(f'{name} does not say what a person must be allowed for it: give it @needs("…")')
    return found
