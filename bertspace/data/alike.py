"""Labels that are easily taken for each other, and the words that say so."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from bertspace.data.tables import shortened

NAMED = 5  # as many labels, and groups of them, as a finding lists
QUOTED = 40  # characters of a name that is shown by its code points
_MISSING = {"nan", "-nan", "null", "none", "na", "<na>", "n/a", "#n/a", "nat"}
SEPARATORS = (";", "|", ",", "/")  # of several labels in one cell
_QUOTED_FIRST = re.compile(r"\[\s*['\"]")
_NUMBER = re.compile(r"([+-]?)(\d++)(?:\.0*+)?(?:e[+-]?0++)?", re.ASCII)  # 01, +1, 1., 1.0 and 1e0 beside 1


def alike(names: Sequence[str]) -> list[str]:
    """Findings on names that look like one another, or mean one truth value."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(looks(name), []).append(name)
    findings = [
        f"The labels {' and '.join(_shown(name, *group) for name in group[:NAMED])} {_difference(group)}; "
        "they count as different."
        for group in groups.values()
        if len(group) > 1
    ]
    return findings[:NAMED]


def several(names: Sequence[str]) -> list[str]:
    """A finding where the names are lists: ['joy', 'anger'], or joy;anger beside joy and anger."""
    lists = [name for name in names if _is_list(name)]
    for mark in SEPARATORS:
        parts = {name: {each.strip() for each in name.split(mark)} - {""} for name in names}
        of = Counter(part for each in parts.values() for part in each)
        lists += [
            name for name, each in parts.items() if len(each) > 1 and all(of[part] > 1 for part in each)
        ]
    if not lists:
        return []
    longest = shortened(max(lists, key=len))
    return [
        f"The label {longest} looks like several labels a row; only one label a row can be learned "
        "here: each such list counts as one label of its own."
    ]


def _is_list(name: str) -> bool:
    """Whether a name is written as a list, in brackets: of several, or of one that is quoted."""
    if name[:1] not in ("[", "{", "(") or name[-1:] not in ("]", "}", ")"):
        return False
    return "," in name or bool(name.endswith("]") and _QUOTED_FIRST.match(name))


def missing(names: Sequence[str]) -> list[str]:
    """A finding where names are what programs write for want of a value."""
    missing_labels = [name for name in names if name.casefold() in _MISSING]
    if not missing_labels:
        return []
    shown = " and ".join(map(shortened, missing_labels[:NAMED]))
    return [
        f"What programs write where a value is missing is a label like the others here: {shown}. "
        "Leave the cells empty where there is no label."
    ]


def hint(label: str, names: Sequence[str]) -> str:
    """What to do where a label is one of the names but for its looks; "" where it is not."""
    alike = next((name for name in names if looks(name) == looks(label)), None)
    if alike is None or alike == label:
        return ""
    return f"Write it as {_shown(alike, label)}: the two {_difference([alike, label])}."


def looks(name: str) -> str:
    """A key that names share which a reader can hardly tell apart, or which mean the same truth value."""
    folded = " ".join(_visible(unicodedata.normalize("NFKC", name)).casefold().split())
    folded = unicodedata.normalize("NFKC", folded)
    if number := _NUMBER.fullmatch(folded.replace("\N{MINUS SIGN}", "-")):
        digits = number[2].lstrip("0") or "0"
        return f"-{digits}" if number[1] == "-" and digits != "0" else digits
    return {"true": "1", "false": "0"}.get(folded, folded)


def _visible(name: str) -> str:
    return "".join(character for character in name if unicodedata.category(character) != "Cf")


def _difference(group: Sequence[str]) -> str:
    """In what names differ that look alike, in words."""

    def same(form: Callable[[str], str]) -> bool:
        return len(set(map(form, group))) == 1

    if same(lambda name: unicodedata.normalize("NFC", name)):
        return "differ in how accents are stored only (composed or not)"
    if same(lambda name: unicodedata.normalize("NFC", _visible(name))):
        return "differ in characters that do not show"
    if same(lambda name: " ".join(name.casefold().split())):
        return "differ in case or blanks only"
    if same(lambda name: unicodedata.normalize("NFKC", name)):
        return "differ in the width or the form of their characters only"
    return "are alike"


def _shown(name: str, *others: str) -> str:
    """A name as messages quote it: with its code points where it looks like another one as it stands."""
    form = unicodedata.normalize("NFC", name)
    twins = [other for other in others if other != name and unicodedata.normalize("NFC", other) == form]
    return ascii(name) if twins and len(name) <= QUOTED else shortened(name)
