"""A run is a folder: its files, its states and its owner."""

from bertspace.runs.folder import (
    CHANGEABLE,
    ENDED,
    LOCAL_OWNER,
    RESUMABLE,
    Run,
    find,
    folder_bytes,
    home,
    list_runs,
    stored_bytes,
    whole_file,
    write_atomically,
)

__all__ = [
    "CHANGEABLE",
    "ENDED",
    "LOCAL_OWNER",
    "RESUMABLE",
    "Run",
    "find",
    "folder_bytes",
    "home",
    "list_runs",
    "stored_bytes",
    "whole_file",
    "write_atomically",
]
