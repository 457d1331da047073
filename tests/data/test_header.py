"""A first line is a header or a row by what stands below it."""

import time

import pytest

from bertspace.data.header import judge

TEXTS = ["the soup was cold", "the guide was late", "a bright film", "the bread is fresh", "a long wait"] * 3
LABELS = ["neg", "pos", "neg"] * 5
ROWS = [list(row) for row in zip(TEXTS, LABELS, strict=True)]


@pytest.mark.parametrize(
    "first",
    [
        ["text", "label"],
        ["Text", "Class"],
        ["text, as written", "label"],
        ["Kommentar", "Nr."],
        ["0", "1"],
        ["1", "2"],
        ["", "label"],
    ],
)
def test_names_are_names(first: list[str]) -> None:
    assert judge(first, ROWS) == "names"


@pytest.mark.parametrize("first", [["the lamp is out", "neg"], ["Fine", "pos"], ["label", "neg"]])
def test_a_label_that_stands_below_again_makes_a_row(first: list[str]) -> None:
    assert judge(first, ROWS) == "row"


def test_a_number_above_numbers_makes_a_row() -> None:
    numbered = [[str(place % 4), text] for place, text in enumerate(TEXTS)]
    assert judge(["7", "the lamp is out"], numbered) == "row"
    assert judge(["1.0", "fine"], numbered) == "row"
    assert judge(["label", "text"], numbered) == "names"


def test_columns_named_by_numbers_are_named() -> None:
    rows = [[text, str(place % 2), str(place % 3 // 2)] for place, text in enumerate(TEXTS)]
    assert judge(["text", "0", "1"], rows) == judge(["text", "1", "2"], rows) == "names"


@pytest.mark.parametrize("first", [["0", "Nice food", "1"], ["1", "Nice food", "2"], ["0", "1", "Nice food"]])
def test_numbers_on_both_sides_of_a_text_are_no_names(first: list[str]) -> None:
    at = first.index("Nice food")
    rows = [[str(place), str(place % 2)][:at] + [text] + ["0", "1"][at:] for place, text in enumerate(TEXTS)]
    assert judge(first, rows) == "row"


def test_several_words_before_numbers_are_a_doubt() -> None:
    rows = [[text, str(place % 2), str(place % 3 // 2)] for place, text in enumerate(TEXTS)]
    assert judge(["Nice food", "0", "1"], rows) == "doubt"


def test_a_lone_column_whose_first_line_stands_below_again_has_no_name() -> None:
    assert judge(["soup"], [["soup"], ["bread"], ["guide"]] * 10) == "row"


@pytest.mark.parametrize(
    "first",
    [
        ["How was your stay with us?", "rating"],
        ["It was fine.", "unknown"],
        ["x" * 61, "y"],
        ["Report 2024", ""],
    ],
)
def test_what_may_be_either_is_a_doubt(first: list[str]) -> None:
    assert judge(first, ROWS) == "doubt"


def test_a_header_that_is_repeated_below_is_one() -> None:
    assert judge(["text", "label"], [*ROWS, ["text", "label"], *ROWS]) == "names"


@pytest.mark.parametrize("first", [["text"], [""], []])
def test_there_may_be_next_to_nothing(first: list[str]) -> None:
    assert judge(first, []) == "names"


def test_a_cell_of_thousands_of_digits_is_looked_at_in_no_time() -> None:
    begun = time.process_time()
    assert judge(["9" * 100_000, "1" * 100_000 + "x"], ROWS) == "doubt"
    assert time.process_time() - begun < 1
