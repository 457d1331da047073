"""A run given to others: pushed to the Hub with its card, exported, and shown by a Space."""

from bertspace.publish.pushing import (
    NOTHING_LOST,
    Destination,
    Published,
    check_access,
    check_config,
    follow,
    note_wanted,
    published,
    push,
    push_epochs,
    wanted,
)
from bertspace.publish.run_facts import RunFacts

__all__ = [
    "Destination",
    "NOTHING_LOST",
    "Published",
    "RunFacts",
    "app_space",
    "card",
    "check_access",
    "check_config",
    "demo_space",
    "export",
    "follow",
    "note_wanted",
    "published",
    "push",
    "push_epochs",
    "wanted",
]
