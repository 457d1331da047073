"""What anybody may have written in a card, in no time."""

import time

import pytest

from bertspace.hub.card_text import READ, first_lines


@pytest.mark.parametrize(
    "unit", ["<!--", "![", "![](", "[](", "*a", "* a", "```", "<", "_*` ", "\n", "---\n"]
)
def test_a_hostile_card_is_read_in_no_time(unit: str) -> None:
    began = time.process_time()
    first_lines(unit * (1_000_000 // len(unit)))
    first_lines("---\n" + unit * (1_000_000 // len(unit)))
    assert time.process_time() - began < 1


def test_a_long_front_matter_and_a_long_card_leave_the_first_lines() -> None:
    front = "---\ntags:\n" + "- bert\n" * READ + "---\n"
    assert (
        first_lines(f"{front}# Title\nA **small** model.\n" + "\n" * READ + "Never seen.") == "A small model."
    )


def test_a_comment_that_the_cut_leaves_open_is_not_shown() -> None:
    assert first_lines("A model.\n<!-- " + "not for you " * READ + "-->") == "A model."
