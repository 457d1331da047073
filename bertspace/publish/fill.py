"""Fill in the settings at the top of a real script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

BEGIN, END = "# Settings", "# End of the settings"  # the comments around those of a script
SETTING = re.compile(r"(?P<target>(?P<name>[A-Z_]+)(?:: [^=]+)?) = .+?(?P<comment>(?:  #.*)?)")


def fill_in(source: str, values: Mapping[str, Any]) -> str:
    """The script with these values for the settings that stand, a line each, between its two comments.

    Raises ValueError for a setting without a value.
    """
    lines = source.split("\n")
    for number in range(lines.index(BEGIN) + 1, lines.index(END)):
        found = SETTING.fullmatch(lines[number])
        if not found or found["name"] not in values:
            raise ValueError(f"{lines[number]!r} is no setting of a run.")
        lines[number] = f"{found['target']} = {_literal(values[found['name']])}{found['comment']}"
    return "\n".join(lines)


def _literal(value: Any) -> str:
    """The value as Python has it, its texts in double quotes."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
