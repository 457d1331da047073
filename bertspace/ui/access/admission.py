"""How much one person may take up of the page at a time, and what is kept for the owner.

A person is a key (`who.key`): the owner, a sign-in, else an address. Others than the owner hold so many
places each, and so many together; the owner is never refused. Knows nothing of gradio and of requests; all of
it lives in the server's one event loop.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, OrderedDict

from bertspace import policy

OWNER = "owner"  # the owner's key; every other one has a blank or a hyphen
THREADS = 40  # that handlers run in; those that CALLS leaves are the owner's, and for stop and pause
AT_ONCE = 4  # calls of one handler by others, and as many by the owner
QUEUE = 200  # BERTSPACE_MAX_QUEUE, events of others that wait or run; one person may have half of them
PATIENCE = 30.0  # seconds that a request waits for a place before it is refused
ANSWER_SECONDS = 180  # that an answer is kept for a page that does not come for it
UNTAKEN = 100  # answers that one page may leave so
PAGES, PAGES_OF_OTHERS = 200, 2000  # that are kept of one person, and of all but the owner
LONGEST_SESSION = 100  # characters that a page calls itself by

BODY_BYTES = 1024**2  # of a call; of an upload see UPLOAD_BYTES
OWNERS_BODY_BYTES = 16 * 1024**2
ESCAPED = 12  # bytes that one character can take in JSON
TOKENS, DEPTH = 60_000, 64  # texts, brackets and commas of a call's JSON; and how deep it goes
BODY_SECONDS, STALL_SECONDS = 60.0, 30.0  # of a body; without a byte of it
UPLOAD_SECONDS = 1800.0
UPLOAD_BYTES = 10 * 1024**2  # BERTSPACE_MAX_UPLOAD_BYTES, where others than the local owner reach the app
CACHE_BYTES = 4 * 1024**3  # BERTSPACE_MAX_CACHE_BYTES, of files: the owner's, and of all others together
SHARE = 4  # one other person's files may take this part of it

KEYS_AT_ONCE, KEY_SECONDS = 20, 3.0  # wrong keys of one address; then one in so many seconds
MAX_KNOWN = 10_000  # addresses that sent a wrong key
# A text (to its end, or the body's), a bracket, or a comma.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)


class Places:
    """Places that persons hold: so many each, and so many for all but the owner together (0: no bound)."""

    def __init__(self, each: int, total: int) -> None:
        self.each, self.total = each, total
        self._held: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    def held(self, key: str) -> int:
        return self._held[key]

    def has_room(self, key: str) -> bool:
        if key == OWNER:
            return True
        others = self._held.total() - self._held[OWNER]
        return (not self.each or self._held[key] < self.each) and (not self.total or others < self.total)

    def take(self, key: str) -> bool:
        """A place, to be given back by `free`; False where there is none."""
        if not self.has_room(key):
            return False
        self._held[key] += 1
        return True

    def free(self, key: str) -> None:
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
        for waiting, called in sorted(self._waiting, key=lambda each: self._held[each[0]]):
            if not called.done() and self.take(waiting):
                called.set_result(None)

    async def wait(self, key: str, seconds: float) -> bool:
        """A place, as soon as there is one; False after so many seconds. Who holds fewest is called first."""
        if not any(waiting == key for waiting, _ in self._waiting) and self.take(key):
            return True
        mine = (key, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        try:
            called, _ = await asyncio.wait({mine[1]}, timeout=seconds)
        except asyncio.CancelledError:
            if mine[1].done():
                self.free(key)
            raise
        finally:
            self._waiting.remove(mine)
        return bool(called)


class WrongKeys:
    """Slows down who tries keys: an address has so many tries, and then one in so many seconds."""

    def __init__(self) -> None:
        self._free_at: OrderedDict[str, float] = OrderedDict()  # when the address has all its tries again

    def wait_for(self, address: str) -> float:
        """Seconds until the address may try a key."""
        ahead = self._free_at.get(address, 0.0) - time.monotonic()
        return max(0.0, ahead - KEYS_AT_ONCE * KEY_SECONDS + KEY_SECONDS)

    def count(self, address: str) -> None:
        """The address has sent a wrong key."""
        self._free_at[address] = max(self._free_at.get(address, 0.0), time.monotonic()) + KEY_SECONDS
        self._free_at.move_to_end(address)
        while len(self._free_at) > MAX_KNOWN:
            self._free_at.popitem(last=False)


REQUESTS = Places(300, 2000)  # open ones; a page holds two as long as it is open
BODIES = Places(8, 64)  # that come in pieces
CALLS = Places(8, 32)  # at work, those past their time limit too while their thread still is
URGENT_CALLS = Places(2, 8)  # stop and pause, which wait for nobody
UPLOADS = Places(3, 24)
WRONG_KEYS = WrongKeys()
KEYS_THAT_WAIT = Places(20, 200)  # after wrong ones of the same address


def queue_places() -> Places:
    """The places of calls that wait or run."""
    total = policy.from_environment("queue", QUEUE)
    return Places((total + 1) // 2, total)


def urgent_places() -> Places:
    """The places of stop and pause, beside the others."""
    return Places(20, 0)


def body_bytes(person: policy.Person) -> int:
    """The most bytes that a call of the person's may have."""
    characters = policy.limits(person).characters
    if person.kind == "owner" or not characters:
        return OWNERS_BODY_BYTES
    return max(BODY_BYTES, ESCAPED * characters + BODY_BYTES // 4)


def is_plain(body: bytes) -> bool:
    """Whether the body is small once it is parsed too: JSON unpacks to twenty times its size and more."""
    if json.detect_encoding(body) not in ("utf-8", "utf-8-sig"):
        return False  # no browser sends another; its brackets could not be told from text here
    depth = 0
    for count, token in enumerate(_TOKEN.finditer(body)):
        sign = token.group()[:1]
        depth += (sign in b"[{") - (sign in b"]}")
        if count >= TOKENS or depth > DEPTH:
            return False
    return True
