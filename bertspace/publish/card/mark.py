"""The mark that tells a card written by bertspace from one written or edited by a person."""

from __future__ import annotations

import hashlib
import re

_SAYS = "<!-- Made by bertspace; a change of the text above makes it yours:"
_MARK = re.compile(rf"\s*{re.escape(_SAYS)} ([0-9a-f]{{64}}) -->\s*\Z")
# The last line of whole cards, and the comment of bare ones, as versions before the mark wrote them.
_EARLIER = re.compile(
    r"^\*Written by bertspace from the run's own records, which are in `training/`\.\*$"
    r"|^<!-- bertspace left out: .* -->$",
    re.MULTILINE,
)


def marked(text: str) -> str:
    """The card with a last line, a comment, that holds its SHA-256."""
    return f"{text.rstrip()}\n\n{_SAYS} {digest(text)} -->\n"


def is_made(text: str) -> bool:
    """Whether the card is as bertspace wrote it: marked, and not changed since."""
    text = text.replace("\r\n", "\n")
    found = _MARK.search(text)
    return found is not None and found[1] == digest(text[: found.start()])


def is_of_earlier_version(text: str) -> bool:
    """Whether a version from before the mark wrote it: by its last line; changes in it cannot be seen."""
    return _MARK.search(text) is None and _EARLIER.search(text.replace("\r\n", "\n")) is not None


def digest(text: str) -> str:
    """The SHA-256 of a text, whatever ends its lines and the text."""
    return hashlib.sha256(text.replace("\r\n", "\n").strip().encode(errors="replace")).hexdigest()
