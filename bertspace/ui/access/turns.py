"""gradio's queue (6.31), in which persons take turns and the owner waits for nobody.

gradio counts all that wait together and takes who came first. Here a person has so many places, waits for one
where they are taken, and the next call is of who has fewest at work; the owner has slots of their own.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from fastapi import HTTPException, Request
from gradio.block_function import BlockFunction
from gradio.blocks import Blocks
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue

from bertspace.ui.access import files, who
from bertspace.ui.access.admission import (
    ANSWER_SECONDS,
    CALLS,
    LONGEST_SESSION,
    OWNER,
    PATIENCE,
    UNTAKEN,
    Places,
    queue_places,
    urgent_places,
)

FULL = "Too many calls of yours wait here. Try again when some of them are done."
UNHEARD = "Nobody came for the answers to the calls before. Reload the page."


class Turns(Queue):
    """The queue of `blocks`, set up as the one that gradio made. is_urgent: what passes everybody."""

    def __init__(self, blocks: Blocks, is_urgent: Callable[[BlockFunction], bool], made: Queue) -> None:
        super().__init__(
            live_updates=made.live_updates,
            concurrency_count=made.max_thread_count,
            update_intervals=made.update_intervals,
            max_size=None,
            blocks=blocks,
            default_concurrency_limit=made.default_concurrency_limit,
        )
        self.ANALYTICS_MAX_EVENTS = 1  # of a page of gradio's that is not served here
        self.is_urgent = is_urgent
        self.places, self.urgent = queue_places(), urgent_places()
        self._held: dict[str, tuple[Places, str]] = {}  # by the ids of the events

    async def push(self, body: PredictBodyInternal, request: Request, username: str | None) -> Any:
        """As gradio's, once the person has a place; raises HTTPException where none becomes free."""
        key = who.key_below(request)
        fn = self.blocks.fns.get(body.fn_index) if body.fn_index is not None else None
        places = self.urgent if fn is not None and self.is_urgent(fn) else self.places
        if body.session_hash is not None and not 0 < len(body.session_hash) <= LONGEST_SESSION:
            raise HTTPException(400, "That is no session of a page.")
        if len(self.pending_event_ids_session.get(body.session_hash or "", ())) >= UNTAKEN:
            raise HTTPException(429, UNHEARD)
        if not await places.wait(key, PATIENCE):
            raise HTTPException(429, FULL)
        taken = False
        try:
            taken, event_id, state = await super().push(body, request, username)
        finally:
            if not taken:
                places.free(key)
        self._held[str(event_id)] = places, key
        return taken, event_id, state

    def _key(self, event: Event) -> str:
        return self._held[event._id][1] if event._id in self._held else who.key_below(event.request)

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The next call, if one may run. No handler here works in batches."""
        at_work = [event for job in self.active_jobs if job is not None for event in job]
        persons = Counter(map(self._key, at_work))
        lines = Counter((event.concurrency_id, self._key(event) == OWNER) for event in at_work)
        chosen = min(self._ready(lines, persons), key=lambda event: self._rank(event, persons), default=None)
        if chosen is None:
            return None
        self.event_queue_per_concurrency_id[chosen.concurrency_id].queue.remove(chosen)
        return [chosen], False, chosen.concurrency_id

    def _ready(self, lines: Counter[tuple[str, bool]], persons: Counter[str]) -> Iterator[Event]:
        """What may run now. A handler's limit holds for the owner, and again for all others together."""
        for name, line in self.event_queue_per_concurrency_id.items():
            most = line.concurrency_limit or math.inf
            for event in line.queue:
                key = self._key(event)
                if lines[name, key == OWNER] < most and (
                    self._passes(event, key) or self._fits(key, persons)
                ):
                    yield event

    def _passes(self, event: Event, key: str) -> bool:
        return key == OWNER or self.is_urgent(event.fn)

    @staticmethod
    def _fits(key: str, persons: Counter[str]) -> bool:
        return CALLS.has_room(key) and persons[key] < CALLS.each

    def _rank(self, event: Event, persons: Counter[str]) -> tuple[bool, int, float]:
        key = self._key(event)
        return not self._passes(event, key), persons[key], event.enqueue_time

    async def process_events(self, events: list[Event], *others: Any) -> None:
        try:
            with files.kept_for(self._key(events[0])):  # the state of a page that is not known yet is theirs
                await super().process_events(events, *others)
        finally:
            self._give_back()
            for event in events:
                event.data = None  # what was asked: up to a megabyte, which nothing needs any more
                drop = partial(self._drop, event.session_hash, event._id)
                asyncio.get_running_loop().call_later(ANSWER_SECONDS, drop)

    def compute_analytics_summary(self, records: Any) -> None:
        """Nothing: gradio makes a table of 10,000 calls anew each time, for a page that we do not serve."""

    async def remove_from_queue(self, event_id: str) -> None:
        await super().remove_from_queue(event_id)
        self._give_back()

    async def clean_events(self, *, session_hash: str | None = None, event_id: str | None = None) -> None:
        await super().clean_events(session_hash=session_hash, event_id=event_id)
        self._give_back()

    def _give_back(self) -> None:
        """The places of all events that are over."""
        for event_id in [each for each in self._held if each not in self.event_ids_to_events]:
            places, key = self._held.pop(event_id)
            places.free(key)

    def _drop(self, session_hash: str, event_id: str) -> None:
        """Forget an answer that nobody came for."""
        pending = self.pending_event_ids_session.get(session_hash, set())
        if event_id in pending:
            pending.discard(event_id)
            if not pending:
                self.pending_event_ids_session.pop(session_hash, None)
                self.pending_messages_per_session.pop(session_hash, None)
