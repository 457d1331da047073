"""The reason that the Hub gives for a refusal, and how long it asks to wait."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from bertspace.errors import HubError

MAX_CHARACTERS = 400  # characters of a reason
PATIENCE = 8.0  # seconds that the client may wait by itself, which it does without a word
_RATE_LIMIT = re.compile(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d{1,6})")  # none left, for so many seconds
_STORAGE = re.compile(r"storage|quota|too much space", re.IGNORECASE)


def reason(error: BaseException) -> str:
    """The Hub's own words in one line; "" where it says none."""
    words = " ".join(str(getattr(error, "server_message", None) or "").split())
    plain = "".join(char for char in words if char.isprintable())
    return plain if len(plain) <= MAX_CHARACTERS else f"{plain[:MAX_CHARACTERS]}…"


def because(error: BaseException) -> str:
    """The end of a sentence that tells a refusal: a colon and the reason, or a full stop."""
    said = reason(error)
    return f": {said}{'' if said[-1] in '.!?…' else '.'}" if said else "."


def about_storage(error: BaseException) -> bool:
    """Whether what is refused is more room."""
    return bool(_STORAGE.search(reason(error)))


def seconds_to_wait(headers: Mapping[str, Any]) -> float:
    """The seconds that an answer asks to wait for, by Retry-After or RateLimit; 0 where it does not say."""
    value = str(headers.get("Retry-After", "")).strip()
    if re.fullmatch(r"\d{1,6}(\.\d+)?", value):
        return float(value)
    if found := _RATE_LIMIT.search(str(headers.get("RateLimit", ""))):
        return float(found[1])
    try:
        return max(0.0, min(999_999.0, parsedate_to_datetime(value).timestamp() - time.time()))
    except (ValueError, TypeError, OverflowError):
        return 0.0


def refuse_long_wait(response: Any) -> None:
    """Raise at once what asks for a long wait: the client would sleep through it, up to five times."""
    if response.status_code == 429 and seconds_to_wait(response.headers) > PATIENCE:
        from huggingface_hub.utils import hf_raise_for_status

        response.read()
        hf_raise_for_status(response)


def no_token() -> HubError:
    return HubError("There is no token for the Hub.", hint="Log in with `hf auth login`, or set HF_TOKEN.")
