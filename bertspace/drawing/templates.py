"""A folder's Jinja templates, whose every value is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

# gr.HTML takes these for the signs of its own template language; a visitor's text must not be one.
_SIGNS = str.maketrans({sign: f"&#{ord(sign)};" for sign in "{}$`\\"})


class Templates:
    """The macros in a folder's .jinja files. filters: what they may put a value through."""

    def __init__(self, folder: Path, *filters: Callable[..., str]) -> None:
        loader = FunctionLoader(lambda name: _in_one_line((folder / name).read_text(encoding="utf-8")))
        self.environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self.environment.filters |= {each.__name__: each for each in filters}

    def render(self, name: str, *values: object, **named: object) -> Markup:
        """What the macro `file.macro` makes of the values."""
        file, macro = name.split(".")
        module = self.environment.get_template(f"{file}.jinja").module
        return escaped(getattr(module, macro)(*values, **named))


def escaped(words: object) -> Markup:
    """A text as it is to be shown, by the page and by gradio's templates; markup stays markup."""
    return Markup(Markup.escape(words).translate(_SIGNS))


def _in_one_line(source: str) -> str:
    """A template without its indentation, which a browser would show as blanks between words."""
    joined = re.sub(r"(?<=[>}])\s*\n\s*|\s*\n\s*(?=[<{])", "", source.strip())
    return re.sub(r"\s*\n\s*", " ", joined)
