"""A run given to others: pushed to the Hub with its card, exported, and shown by a Space."""

from bertspace.publish.pushing import (
    KEPT,
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

__all__ = [
    "Destination",
    "KEPT",
    "Published",
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
