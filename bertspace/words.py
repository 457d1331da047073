"""How numbers, sizes, times and lists are written, on the page, the command line and the card alike."""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Sequence

_JOINERS = "\u200c\u200d"  # format characters that letters and emojis are written with


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits, without an exponent; a dash for what is not known."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if abs(value) < 1e-6:
        return "< 0.000001" if value > 0 else "> −0.000001"
    rounded = float(f"{value:.{digits - 1}e}")  # 0.9996 has four digits before the point's left, not three
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{decimals}f}".replace("-", "−")


def decimals(value: float, places: int = 3) -> str:
    """A fixed number of decimals; a dash for what is no number. Zero has no sign."""
    written = f"{value:.{places}f}" if math.isfinite(value) else "–"
    return written.replace("-", "−") if float(written.replace("–", "0")) else written.removeprefix("-")


def signed(written: str) -> str:
    """A difference that is written already, with its sign."""
    return written if written.startswith(("−", "–")) or not written.strip("0.") else f"+{written}"


def counted(count: int, noun: str) -> str:
    """ "1 row", "1,200 rows"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def thousands(count: int) -> str:
    """812, 4.2 k, 61 M."""
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= factor:
            return f"{_ten_or_more(count / factor)} {unit}"
    return str(count)


def size(count: float) -> str:
    """Bytes: 812 kB, 86 MB, 1.3 GB, 2 GB, by thousands as disks and the Hub count them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor * 0.9995:
            return f"{_ten_or_more(count / factor)} {unit}"
    return f"{count:.0f} bytes"


def _ten_or_more(amount: float) -> str:
    """One decimal below ten, none from there on."""
    return f"{amount:,.0f}" if amount >= 9.95 else f"{amount:.1f}".removesuffix(".0")


def duration(seconds: float) -> str:
    """9 s, 4 min 10 s, 12 min, 2 h 5 min: what is left out is below a tenth."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{minutes} min" if not hours else f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def moment(seconds: float) -> str:
    """A time as the clock of this machine shows it: 20 Nov 16:06."""
    return time.strftime("%-d %b %H:%M", time.localtime(seconds))


def percent(part: float, whole: float) -> str:
    """Two digits below ten, and never 0 % or 100 % of what is neither."""
    value = 100 * part / whole
    written = f"{value:.1f}" if value < 10 or value > 99 else f"{value:.0f}"
    if 0 < part and written == "0.0":
        return "under 0.1 %"
    if part < whole and written == "100.0":
        return "over 99.9 %"
    return f"{written.removesuffix('.0')} %"


def ordinal(count: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th."""
    ending = "th" if 10 <= count % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"


def listed(names: Sequence[str], last: str = "and") -> str:
    """a, b and c."""
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def shortened(text: str, most: int) -> str:
    """Of more than `most` characters the first, and an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def one_line(text: object, most: int = 0) -> str:
    """Without control characters and turned directions, shortened to so many characters (0: never)."""
    joined = " ".join(str(text).split())
    line = "".join(
        char for char in joined if char in _JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
    )
    return shortened(line, most) if most else line
