"""A run is a folder: its files, its states and its owner."""

from bertspace.runs.folder import (
    CHANGEABLE,
    ENDED,
    LOCAL_OWNER,
    RESUMABLE,
    Run,
    find,
    list_runs,
    stored_bytes,
)

__all__ = [
    "CHANGEABLE",
    "ENDED",
    "LOCAL_OWNER",
    "RESUMABLE",
    "Run",
    "find",
    "list_runs",
    "stored_bytes",
]
