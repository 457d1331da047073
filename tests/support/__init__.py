"""What tests share: builders of small models, data and runs, a running app, and a Hub of their own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def until(condition: Callable[[], Any], what: str = "", seconds: float = 180) -> Any:
    """Wait until the condition gives something true, and give that; the bound is for a busy machine."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what or f"not within {seconds} seconds"
        time.sleep(0.02)
    return found
