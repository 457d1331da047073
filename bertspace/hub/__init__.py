"""The Hugging Face Hub: search, look at and pull models, the cache of what was pulled, and commits."""

from bertspace.hub.account import Account, whoami
from bertspace.hub.card_text import MAX_TEXT_BYTES
from bertspace.hub.client import call_hub, check_id, check_revision
from bertspace.hub.look import Facts, Found, facts, search
from bertspace.hub.pull import Public, folder_on_disk, on_disk, pulled_fresh, snapshot

__all__ = [
    "Account",
    "Facts",
    "Found",
    "MAX_TEXT_BYTES",
    "Public",
    "call_hub",
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
