"""How numbers, sizes, times and lists are written."""

import pytest

from bertspace import words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.97341, "0.973"),
        (0.9998, "1.00"),
        (0.6, "0.600"),
        (0.0099999, "0.0100"),
        (0.000123456, "0.000123"),
        (0.0000001, "< 0.000001"),
        (0, "0"),
        (1, "1.00"),
        (12.345, "12.3"),
        (999.4, "999"),
        (30012.4, "30,012"),
        (-0.105, "−0.105"),
        (float("inf"), "∞"),
        (float("nan"), "–"),
        (None, "–"),
    ],
)
def test_a_number_has_three_significant_digits_and_no_exponent(value: float | None, shown: str) -> None:
    assert words.number(value) == shown


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (words.decimals(-0.0371), "−0.037"),
        (words.decimals(-0.0001), "0.000"),
        (words.decimals(float("nan")), "–"),
        (words.signed(words.decimals(0.1)), "+0.100"),
        (words.signed(words.decimals(-0.1)), "−0.100"),
        (words.signed(words.decimals(0.0)), "0.000"),
        (words.counted(1, "row"), "1 row"),
        (words.counted(1200, "row"), "1,200 rows"),
        (words.percent(0, 5), "0 %"),
        (words.percent(1, 5000), "under 0.1 %"),
        (words.percent(4999, 5000), "over 99.9 %"),
        (words.percent(1, 3), "33 %"),
        (words.percent(5, 100), "5 %"),
        (words.duration(0.2), "1 s"),
        (words.duration(59.7), "1 min"),
        (words.duration(250), "4 min 10 s"),
        (words.duration(1234), "21 min"),
        (words.duration(3599), "1 h"),
        (words.duration(7500), "2 h 5 min"),
        (words.listed([]), ""),
        (words.listed(["a"]), "a"),
        (words.listed(["a", "b", "c"], "or"), "a, b or c"),
        (words.shortened("abcdef", 4), "abc…"),
    ],
)
def test_each_thing_is_written_in_one_way(written: str, expected: str) -> None:
    assert written == expected


def test_sizes_are_by_thousands_and_of_two_digits_at_most_below_ten() -> None:
    sizes = [words.size(count) for count in (812, 812e3, 9.99999e5, 86e6, 1.26e9, 2e9, 2 * 1024**3, 150e9)]
    assert sizes == ["812 bytes", "812 kB", "1 MB", "86 MB", "1.3 GB", "2 GB", "2.1 GB", "150 GB"]


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0"), (812, "812"), (4200, "4.2 k"), (9_960, "10 k"), (61_000_000, "61 M")]
)
def test_downloads_are_rounded(count: int, shown: str) -> None:
    assert words.thousands(count) == shown


def test_ordinals_end_as_they_are_spoken() -> None:
    assert [words.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21, 102, 113)] == (
        "1st 2nd 3rd 4th 11th 12th 21st 102nd 113th".split()
    )
