"""The core's errors as the page shows them; an unknown exception passes through to the log."""

from __future__ import annotations

import functools
import html
import inspect
import math
import typing
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from bertspace.errors import BertspaceError, DataError

P = ParamSpec("P")
T = TypeVar("T")
KINDS: dict[type, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def toast(error: BertspaceError, *, plain: bool = False) -> gr.Error:
    """What happened, and what to do. A toast is HTML and may quote a visitor's text, so it is escaped.

    plain: as it is, for what only programs call.
    """
    words = str(error) if plain else html.escape(str(error), quote=False)
    return gr.Error(words, title="That did not work", print_exception=False)


def show_errors(handler: Callable[P, T]) -> Callable[P, T]:
    """The handler, whose BertspaceErrors become toasts."""

    @functools.wraps(handler)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(*args, **kwargs)
        except BertspaceError as error:
            raise toast(error) from error

    return telling


def plain_errors(handler: Callable[P, T]) -> Callable[P, T]:
    """The same for an endpoint that only programs call, in plain text; its arguments' types are looked at.

    No component stands before such an endpoint that would refuse a list where a text belongs.
    """
    kinds = {name: kind for name, kind in typing.get_type_hints(handler).items() if kind in KINDS}
    signature = inspect.signature(handler)

    @functools.wraps(handler)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            for name, value in signature.bind(*args, **kwargs).arguments.items():
                _check_kind(name, value, kinds.get(name))
            return handler(*args, **kwargs)
        except BertspaceError as error:
            raise toast(error, plain=True) from error

    return telling


def check_choices(components: Iterable[Any], values: Iterable[Any]) -> None:
    """Raises gr.Error for what is no text in a dropdown or a card, and no number: gradio lets it pass."""
    for component, value in zip(components, values, strict=False):
        if isinstance(component, gr.Dropdown | gr.Code) and not isinstance(value, str | None):
            raise gr.Error(f"{component.label}: give a text.")
        if isinstance(value, float) and not math.isfinite(value):
            raise gr.Error(f"{component.label}: give a finite number.")


def _check_kind(name: str, value: Any, kind: type | None) -> None:
    """Raises DataError where the value is not of the kind; a whole number may come as a float."""
    if kind is None or (kind is bool and isinstance(value, bool)) or (kind is str and isinstance(value, str)):
        return
    number = kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool)
    odd = isinstance(value, float) and (not math.isfinite(value) or (kind is int and not value.is_integer()))
    if not number or odd:
        raise DataError(f"{name} is {str(value)[:40]!r}.", hint=f"Give {KINDS[kind]}.")
