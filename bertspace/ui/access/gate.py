"""What every event passes: rights, limits and form are looked at here, before any handler.

`Page` is a Blocks that refuses what the person who asks has no right to; `@needs` beside each handler names
the right. It cannot be gone round:
gradio calls every handler, with a button or without, through `process_api`, where it gets the rights that
whoever asks has at the Hub. What every request passes before is `entrance`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import gradio as gr
from gradio import route_utils
from gradio.blocks import BlockFunction
from gradio.exceptions import InvalidPathError
from gradio.queueing import Queue

from bertspace import policy
from bertspace.errors import BertspaceError, DataError, ForbiddenError
from bertspace.hub import credentials
from bertspace.ui.access import files, who
from bertspace.ui.access.admission import CALLS, OWNER, PATIENCE, URGENT_CALLS, Places
from bertspace.ui.access.needs import needs_of
from bertspace.ui.access.states import PageState, States
from bertspace.ui.access.turns import Turns
from bertspace.ui.frame.errors import check_choices, toast

Work = Callable[[], Coroutine[Any, Any, dict[str, Any]]]


class Page(gr.Blocks):
    """The page's Blocks."""

    _queue: Queue

    def check(self) -> None:
        """Raises KeyError where a handler does not say what it needs."""
        for each in self.fns.values():
            needs_of(each.fn)

    def queue(self, *args: Any, **named: Any) -> Page:
        """gradio's queue, in which persons take turns."""
        super().queue(*args, **named)
        self._queue = Turns(self, is_urgent, self._queue)
        return self

    def run_startup_events(self) -> None:
        """gradio's, with pages' states that are bounded by person."""
        self.app.state_holder = States(self)
        route_utils.SessionState = PageState  # of a call without a session, in gradio 6.31
        super().run_startup_events()

    async def process_api(
        self,
        block_fn: BlockFunction | int,
        inputs: list[Any],
        state: Any = None,
        request: gr.Request | list[gr.Request] | None = None,
        event_data: gr.EventData | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        """The handler's answer, if whoever sent the request may have it; else a gr.Error that says why."""
        event = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        asked = request[0] if isinstance(request, list) else request
        person = who.person(asked)
        try:
            if event.fn is None:
                raise ForbiddenError("That runs in the browser alone.", hint="There is nothing to ask for.")
            needs = needs_of(event.fn)
            policy.require(person, needs.right)
            if not needs.long_text:
                policy.check_characters(person, characters(inputs))
            if event_data is not None and not isinstance(event_data._data, dict):
                event_data._data = {}  # a program may send anything; its attributes are then not there
            key, places = who.key(asked), URGENT_CALLS if needs.urgent else CALLS
            work = partial(
                super().process_api, event, inputs, state, request, event_data=event_data, **others
            )
            # The task and the thread that the handler runs in copy this context, and nobody else's does.
            with credentials.using(who.credentials_of(asked)), files.kept_for(key):
                return await within(policy.limits(person).seconds, work, key, places)
        except BertspaceError as error:
            raise toast(error) from error

    async def call_function(
        self, block_fn: BlockFunction | int, processed_input: list[Any], iterator: Any = None, *others: Any
    ) -> Any:
        """gradio's, by which a generator that ends without having yielded would empty all its outputs."""
        found = await super().call_function(block_fn, processed_input, iterator, *others)
        event = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        if iterator is None and inspect.isgeneratorfunction(event.fn) and not found["is_generating"]:
            unchanged = [gr.skip() for _ in event.outputs]
            found["prediction"] = unchanged if len(unchanged) > 1 else unchanged[0]
        return found

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], *others: Any, **named: Any
    ) -> Any:
        """What the components make of the inputs; what they cannot read is told in one line."""
        try:
            files.check_own(inputs)
            read = await super().preprocess_data(block_fn, inputs, *others, **named)
            check_choices(block_fn.inputs, read)
            return read
        except BertspaceError as error:
            raise toast(error) from error
        except InvalidPathError as error:  # its words name folders of this machine
            raise toast(DataError("That file was not uploaded here.", hint="Upload it (again).")) from error
        except Exception as error:  # whatever a component makes of values that no page sends
            words = error.message if isinstance(error, gr.Error) else type(error).__name__
            raise toast(DataError("These are not values that the page sends.", hint=words[:200])) from error


def is_urgent(event: BlockFunction) -> bool:
    return needs_of(event.fn).urgent


def characters(inputs: object) -> int:
    """How many characters all texts in an event's inputs have."""
    if isinstance(inputs, str):
        return len(inputs)
    if isinstance(inputs, dict):
        return sum(len(str(key)) + characters(value) for key, value in inputs.items())
    return sum(map(characters, inputs)) if isinstance(inputs, list | tuple) else 0


async def within(seconds: int, work: Work, key: str = OWNER, places: Places = CALLS) -> dict[str, Any]:
    """The work's result; ForbiddenError after so many seconds (0: no limit).

    What is at work in a thread cannot be ended: it goes on, unheard, and keeps the place of its person's.
    """
    if not await places.wait(key, seconds or PATIENCE):
        raise ForbiddenError("Calls of yours are still at work here.", hint="Try again in a minute.")
    task = asyncio.ensure_future(work())
    task.add_done_callback(lambda ended: _forget(ended, places, key))
    done, _ = await asyncio.wait({task}, timeout=seconds or None)
    if not done:
        raise ForbiddenError(
            f"This took longer than {seconds} s, which is the limit here.", hint="Send less at once."
        )
    return task.result()


def _forget(task: asyncio.Task[dict[str, Any]], places: Places, key: str) -> None:
    places.free(key)
    if not task.cancelled():
        task.exception()  # asked for, or asyncio would report that nobody did
