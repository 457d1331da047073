"""A run is a folder: its files, its states and its owner."""

from bertspace.runs.folder import (
    CHANGEABLE,
    ENDED,
    LOCAL_OWNER,
    RESUMABLE,
    Run,
    every_run,
    find,
    list_runs,
    models_in_use,
    stored_bytes,
)

__all__ = [
    "CHANGEABLE",
    "ENDED",
    "LOCAL_OWNER",
    "RESUMABLE",
    "Run",
    "every_run",
    "find",
    "list_runs",
    "models_in_use",
    "stored_bytes",
]
