"""Read a model's card and configuration on the Hub, which anybody may have written."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bertspace.safety.json_values import bounded_json

FIRST_LINES = 600  # characters of a card
MAX_TEXT_BYTES = 1024 * 1024  # bytes of a card or a configuration that are read for a look
MAX_VALUES, MAX_DEPTH, MAX_NUMBER = 50_000, 20, 2**53  # of a configuration
MAX_LABELS, MAX_SHOWN = 1000, 300  # names of labels; characters of one, and of any other value that is shown
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
    """The label names of a classifier's configuration, in their order: the first ones of very many."""
    named = config.get("id2label")
    if not isinstance(named, dict) or not all(re.fullmatch("[0-9]{1,9}", key) for key in named):
        return ()
    return tuple(shortened(named[key]) for key in sorted(named, key=int)[:MAX_LABELS])


def config_of(folder: Path) -> dict[str, Any]:
    """A model's configuration as it lies on disk; {} as `parsed`, and where it is large or not there."""
    try:
        with (folder / "config.json").open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except OSError:
        return {}
    return parsed(content.decode(errors="replace")) if len(content) <= MAX_TEXT_BYTES else {}


def parsed(text: str) -> dict[str, Any]:
    """A configuration's JSON object, without what no answer can carry; {} where it is none, or absurd."""
    with suppress(ValueError):
        found = _plain(bounded_json(text.encode(errors="replace")), itertools.count(1), MAX_DEPTH)
        if isinstance(found, dict):
            return found | _named(found)
    return {}


def _named(config: dict[str, Any]) -> dict[str, Any]:
    """What it says of its type and its heads, which is shown, as texts of a line."""
    kind, heads = config.get("model_type"), config.get("architectures")
    heads = heads[:MAX_LABELS] if isinstance(heads, list) else []
    return {
        "model_type": shortened(kind) if isinstance(kind, str) else None,
        "architectures": [shortened(head) for head in heads if isinstance(head, str)],
    }


def _plain(value: Any, counted: Iterator[int], depth: int) -> Any:
    """The value with None for a number that is none or too large; raises ValueError for too many of them."""
    if depth < 0 or next(counted) > MAX_VALUES:
        raise ValueError("nested too deeply, or too many values")
    if isinstance(value, dict):
        return {clean(key): _plain(each, counted, depth - 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, counted, depth - 1) for each in value]
    if isinstance(value, str):
        return clean(value)
    return None if isinstance(value, int | float) and not abs(value) < MAX_NUMBER else value


def joined(value: Any) -> str:
    """A front matter's value that may be one text or a list of them."""
    values = value[:MAX_LABELS] if isinstance(value, list) else [value or ""]
    return shortened(", ".join(str(each) for each in values if isinstance(each, str | int | float)))


def shortened(value: Any) -> str:
    """The value as a text that fits into a line or two."""
    words = clean(str(value))
    return words if len(words) <= MAX_SHOWN else f"{words[:MAX_SHOWN]}…"


def clean(text: str) -> str:
    """The text without halves of characters, which no answer can carry."""
    return text.encode(errors="replace").decode()


def day(when: Any) -> str:
    return when.date().isoformat() if when else ""
