"""The core's errors as the page shows them; an unknown exception passes through to the log."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gradio as gr

from bertspace.errors import BertspaceError

P = ParamSpec("P")
T = TypeVar("T")


def told(handler: Callable[P, T]) -> Callable[P, T]:
    """The handler, whose BertspaceErrors become toasts: what happened, and what to do.

    A toast is HTML and may quote a visitor's text, so it is escaped.
    """
    return _telling(handler, lambda error: html.escape(str(error), quote=False))


def told_plainly(handler: Callable[P, T]) -> Callable[P, T]:
    """The same for an endpoint that only programs call, in plain text."""
    return _telling(handler, str)


def _telling(handler: Callable[P, T], words: Callable[[BertspaceError], str]) -> Callable[P, T]:
    @functools.wraps(handler)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(*args, **kwargs)
        except BertspaceError as error:
            raise gr.Error(words(error), title="That did not work", print_exception=False) from error

    return telling
