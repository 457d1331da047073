"""Texts in markdown, as a card writes them. Pure.

What comes from data (labels, texts, file names) may hold anything: `prose`, `code` and `fenced` bring it into
markdown so that it is shown as it is and can neither end a table's cell, a code block or the front matter nor
begin a heading, a link, a formula or a tag.
"""

from __future__ import annotations

import re

from bertspace.words import one_line

# What means something to markdown or HTML anywhere; a colon inside a word begins emojis and addresses.
_MEANS = re.compile(r"[\\`*_\[\]<>&|~$^@]|:(?=\S)|(?<=www)\.", re.IGNORECASE)
_BEGINS = re.compile(r"^(?:[#+=-]|\d+[.)])")  # a heading, a list, a rule
_PLAIN_CODE = re.compile(r"[^`|\\$\s](?:[^`|\\$]*[^`|\\$\s])?")


def prose(text: object, longest: int = 0) -> str:
    """The text as words in a line or a table."""
    return _MEANS.sub(_entity, one_line(text, longest))


def item(text: object) -> str:
    """The text as a list's item or a paragraph, of which it is the beginning."""
    return _BEGINS.sub(lambda found: found[0][:-1] + _entity(found[0][-1]), prose(text))


def code(text: object, longest: int = 0) -> str:
    """The text as code in a line or a table."""
    line = one_line(text, longest)
    if _PLAIN_CODE.fullmatch(line):
        return f"`{line}`"
    return f"<code>{prose(line)}</code>" if line else ""


def fenced(text: str, language: str = "") -> str:
    """The lines as a block of code, in a fence longer than any in them."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _entity(found: re.Match[str] | str) -> str:
    return f"&#{ord(found if isinstance(found, str) else found[0])};"
