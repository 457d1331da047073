"""How to read a file that does not say so itself, and how messages name its rows.

Knows nothing of files, tasks, columns or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from bertspace.schema import TrainConfig

ROWS_NAMED = 5  # as many rows as a message lists before it only counts


@dataclass(frozen=True)
class Reading:
    """What a person says of a file, by the names and the values of TrainConfig's fields. "auto": it is
    guessed, and what is not sure is told.
    """

    header: str = "auto"
    encoding: str = "auto"
    separator: str = "auto"
    quoting: str = "auto"

    @classmethod
    def of(cls, config: TrainConfig) -> Reading:
        return cls(**{each.name: getattr(config, each.name) for each in fields(cls)})


AUTO = Reading()
READING = tuple(each.name for each in fields(Reading))  # the settings' names


def row_words(rows: Sequence[int]) -> str:
    """ "row 3", "rows 3 and 5", "rows 1, 2, 3, 4, 5 and 7 more"; rows count from 1, the header left out."""
    shown = [f"{row:,}" for row in rows[:ROWS_NAMED]]
    if len(rows) > ROWS_NAMED:
        shown.append(f"{len(rows) - ROWS_NAMED:,} more")
    words = " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    return f"row{'s' if len(rows) > 1 else ''} {words}"


def shortened(value: object, length: int = 40) -> str:
    """A value as messages quote it, cut to `length` characters."""
    text = written(value, str)
    return repr(text if len(text) <= length else text[: length - 1] + "…")


def written(value: object, write: Callable[[object], str]) -> str:
    try:
        return write(value)
    except (RecursionError, ValueError):  # nested as deep as it goes, or thousands of digits long
        return f"a {type(value).__name__} that is too large"
