"""The Hugging Face Hub: search, look at and pull models, the cache of what was pulled, and commits."""

from bertspace.hub.account import Account, whoami
from bertspace.hub.card_text import LARGEST_TEXT
from bertspace.hub.client import answered, check_id, check_revision
from bertspace.hub.look import Facts, Found, facts, search
from bertspace.hub.pull import folder_on_disk, on_disk, pulled_fresh, snapshot
from bertspace.hub.remote import Public

__all__ = [
    "Account",
    "Facts",
    "Found",
    "LARGEST_TEXT",
    "Public",
    "answered",
    "cache",
    "card_text",
    "check_id",
    "check_revision",
    "client",
    "commit",
    "credentials",
    "download",
    "facts",
    "folder_on_disk",
    "names",
    "on_disk",
    "pulled_fresh",
    "quota",
    "reasons",
    "search",
    "snapshot",
    "whoami",
]
