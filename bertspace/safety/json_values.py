"""Read JSON that anybody may have written, within limits, as plain values only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertspace.errors import ModelError

CONFIG = "config.json"
CONFIG_BYTES = 1024**2
# So many bytes to a bracket and to a comma, at least, counted before a file is parsed: 32 MB of `[],` would
# be gigabytes of lists. A merge takes 16 and more. Of a megabyte that are 116,000 lists at most.
BYTES_A_BRACKET, BYTES_A_COMMA, FREE, MAX_BRACKETS = 9, 4, 1000, 1_500_000
MAX_NUMBER = 2**53  # what a model may take is counted when it is built: see room
MAX_TEXT, MAX_LABEL = 2_000, 500  # characters of a value; of a label's name
MAX_VALUES, MAX_DEPTH = 20_000, 4  # of a value that is a list or an object


class Rejected(Exception):
    """What a file says that is not obeyed, as the rest of "it cannot be loaded: …"."""


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Turns Rejected into a ModelError that names the model."""
    try:
        yield
    except Rejected as error:
        raise ModelError(f"{name} cannot be loaded: {error}", hint="Choose another model.") from error


def read_json(path: Path, most: int = CONFIG_BYTES) -> dict[str, Any]:
    """A JSON object from a file that may be anybody's; raises ModelError where it is too large or none."""
    called = f"{path.parent.name}/{path.name}" if path.name == CONFIG else path.name
    hint = "Choose another model."
    try:
        if (size := path.stat().st_size) > most:
            raise ModelError(f"{called} has {size:,} bytes; the limit is {most:,}.", hint=hint)
        found = bounded_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{called} cannot be read.", hint=hint) from error
    if not isinstance(found, dict):
        raise ModelError(f"{called} is not a JSON object.", hint=hint)
    return found


def bounded_json(content: bytes) -> Any:
    """The JSON value; raises ValueError where it is none, or made to take memory and time when it is read."""
    brackets, commas = content.count(b"[") + content.count(b"{"), content.count(b",")
    fewest = max(BYTES_A_BRACKET * (brackets - FREE), BYTES_A_COMMA * (commas - FREE))
    if len(content) < fewest or brackets > MAX_BRACKETS:
        raise ValueError("more values than a model needs")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def plain(value: Any, where: str, paths: bool = False, depth: int = 0) -> Any:
    """The value, if it is a number, a flag, a word, or lists and objects of such; raises Rejected.

    paths: whether a text may have slashes, where nothing reads it as a path.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= MAX_NUMBER:
        return value
    if isinstance(value, str) and len(value) <= MAX_TEXT and (paths or not re.search(r"[/\\\0]", value)):
        return clean(value)
    if isinstance(value, list | dict) and depth < MAX_DEPTH and len(value) <= MAX_VALUES:
        if isinstance(value, list):
            return [plain(each, where, paths, depth + 1) for each in value]
        return {clean(key): plain(each, where, paths, depth + 1) for key, each in value.items()}
    raise Rejected(f"{where}: {str(value)[:60]!r}, which is not a plain value.")


def text(value: Any, most: int = MAX_TEXT) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise Rejected("a text of its tokenizer or a label is no text, or too long.")
    return clean(value)


def clean(value: str) -> str:
    """Without halves of characters, which JSON can write and no file or page can hold."""
    return value.encode("utf-8", "replace").decode() if not value.isascii() else value


def line(value: str) -> str:
    """Without what moves a cursor or ends a line."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", value)


def number(value: Any) -> int:
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Rejected("a number of its tokenizer is no whole number.") from error
    if not 0 <= whole <= MAX_NUMBER:
        raise Rejected(f"a number of its tokenizer is {whole}.")
    return whole


def listed(values: Any) -> list[Any]:
    """The values of a list; of anything else none."""
    return values if isinstance(values, list) else []
