"""What a masked language model says of one mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bertspace.tasks.answers import Answer

MASK = "[MASK]"  # what a person types, whatever the model's own mask token is


@dataclass(frozen=True)
class Filled(Answer):
    """scores: token -> probability, the top k. text: the input with the best token in each mask's place.

    fill: what takes this mask's place, see `filled_in`.
    """

    fill: str = ""

    part: ClassVar[str] = "mask"


def filled_in(left: str, fill: str) -> tuple[str, str]:
    """The text before a mask and the word in its place. A fill that begins with ## goes on where the text
    ends, one that begins with a blank has one before it, and any other stands where the mask stood.
    """
    if fill.startswith("##"):
        return left.rstrip(), fill[2:]
    return (f"{left.rstrip()} ", fill[1:]) if fill.startswith(" ") else (left, fill)
