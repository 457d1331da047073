"""What a model's card and configuration on the Hub say; anybody may have written them. Pure."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

FIRST_LINES = 600  # characters of a card
READ = 6000  # of them: some patterns take the square of a hostile card's length, in which nothing else moves


def first_lines(card: str) -> str:
    """The first sentences of a card as plain text: no front matter, headings, pictures, tables, code."""
    body = _without_front(card.replace("\r\n", "\n"))[:READ]
    body = re.sub(r"```.*?(?:```|\Z)|<!--.*?(?:-->|\Z)", "", body, flags=re.DOTALL)
    kept: list[str] = []
    for line in body.splitlines():
        line = re.sub(r"!\[[^\]]*\]\([^)]*\)|<[^>]*>", "", line)
        line = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line).strip()
        if line and not line.startswith(("#", "|", "[!", "---", "===")):
            kept.append(re.sub(r"[*_`]{1,3}(\S.*?)[*_`]{1,3}", r"\1", line))
    words = " ".join(kept)
    return words if len(words) <= FIRST_LINES else words[:FIRST_LINES].rsplit(" ", 1)[0] + " …"


def _without_front(card: str) -> str:
    end = card.find("\n---\n", 3) if card.startswith("---\n") else -1
    return card[end + 5 :] if end >= 0 else card


def labels(config: dict[str, Any]) -> tuple[str, ...]:
    """The label names of a classifier's configuration, in their order."""
    named = config.get("id2label")
    if not isinstance(named, dict) or not all(str(key).isdecimal() for key in named):
        return ()
    return tuple(str(named[key]) for key in sorted(named, key=int))


def parsed(text: str) -> dict[str, Any]:
    with suppress(ValueError):
        if isinstance(found := json.loads(text), dict):
            return found
    return {}


def one(value: Any) -> str:
    """A front matter's value that may be one text or a list of them."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def day(when: Any) -> str:
    return when.date().isoformat() if when else ""
