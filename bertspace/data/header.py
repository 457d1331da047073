"""Whether a table's first line names its columns, or is a row of it.

Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

JUDGED = 1000  # rows that are looked at
LONG_WORDS, LONG_CHARACTERS = 4, 60  # as long as names of columns hardly are
# Possessive, so that no cell takes the square of its length.
_NUMBER = re.compile(r"[+-]?(\d++[.,]?\d*+|[.,]\d++)([eE][+-]?\d++)?", re.ASCII)
_PLACE = re.compile(r"\d{1,6}")


def judge(first: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """ "names", "row" or "doubt": by what stands below the first line's cells, never by what they mean."""
    cells = [cell.strip() for cell in first]
    others = [row for row in rows[:JUDGED] if len(first) == 1 or row != first]
    filled = [[cell for row in others if (cell := row[place].strip())] for place in range(len(cells))]
    if _are_numbered(cells):
        return "doubt" if any(" " in cell for cell in cells) and _are_numbers(cells, filled) else "names"
    if any(_is_number_of_many(cell, column) for cell, column in zip(cells, filled, strict=True)):
        return "row"
    if any(_is_label_of_many(cell, column) for cell, column in zip(cells, filled, strict=True)):
        return "row"
    unnamed = any(not cell and column for cell, column in zip(cells[1:], filled[1:], strict=True))
    return "doubt" if unnamed or any(map(_is_text, cells)) else "names"


def _are_numbered(cells: Sequence[str]) -> bool:
    """Names as programs give them: 0, 1, 2, …, also after other names."""
    numbers = [int(cell) for cell in cells if _PLACE.fullmatch(cell)]
    others = cells[: len(cells) - len(numbers)]
    counted = len(numbers) > 1 and numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
    return counted and not any(_PLACE.fullmatch(cell) or _is_text(cell) for cell in others)


def _are_numbers(cells: Sequence[str], filled: Sequence[Sequence[str]]) -> bool:
    """Whether numbers alone stand below each of the cells that are numbers."""
    numbered = [column for cell, column in zip(cells, filled, strict=True) if _PLACE.fullmatch(cell)]
    return all(column and all(map(_NUMBER.fullmatch, column)) for column in numbered)


def _is_number_of_many(cell: str, column: Sequence[str]) -> bool:
    return bool(_NUMBER.fullmatch(cell)) and bool(column) and all(map(_NUMBER.fullmatch, column))


def _is_label_of_many(cell: str, column: Sequence[str]) -> bool:
    """Whether a cell stands again below it, in a column of few different ones."""
    return bool(cell) and len(column) > 3 and len(set(column)) <= len(column) / 2 and cell in column


def _is_text(cell: str) -> bool:
    ended = " " in cell and cell.endswith((".", "!"))
    return ended or len(cell.split()) >= LONG_WORDS or len(cell) > LONG_CHARACTERS
