"""What every event passes: rights, limits and form are looked at here, before any handler.

`Page` is a Blocks that refuses what NEEDS does not allow to the person who asks. It cannot be gone round:
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

from bertspace import hub_client, policy
from bertspace.errors import BertspaceError, DataError, ForbiddenError
from bertspace.ui import files, who
from bertspace.ui.admission import CALLS, OWNER, PATIENCE, URGENT_CALLS, Places
from bertspace.ui.errors import check_choices, toast
from bertspace.ui.states import PageState, States
from bertspace.ui.turns import Turns

Work = Callable[[], Coroutine[Any, Any, dict[str, Any]]]

# What each handler needs, by its module and name: a click's, an endpoint's, a timer's, and what runs when the
# page opens. A handler that is missing here keeps the app from being built. What runs on a visitor's page too
# is for everybody, and shows each person what is theirs.
FOR_ALL = (
    "account.opened",
    "app.compare_model", "app.no_model", "app.open_page", "app.to_fine_tune", "app.try_model",
    "classify.answer", "classify.chosen_row", "classify.classify", "classify.classify_file",
    "classify.classify_remedied", "classify.forget_file", "classify.settle", "classify.show_pair",
    "classify.why_refused",
    "compare.answer", "compare.compare", "compare.compare_file", "compare.compare_own_rows", "compare.settle",
    "compare.compare_remedied", "compare.forget_file", "compare.renew_rows", "compare.settle_arrived",
    "compare.why_refused",
    "fill_mask.answer", "fill_mask.chosen_text", "fill_mask.fill_mask", "fill_mask.show_second",
    "header.first_look", "header.look", "hub_publish.opened",
    "hub_pull.facts", "hub_pull.first_list", "hub_pull.look_for", "hub_pull.mark", "hub_pull.named_model",
    "hub_pull.offer", "hub_pull.pull", "hub_pull.pulling", "hub_pull.search", "hub_pull.shown_model",
    "import_fold.opened", "model_facts._act.act", "model_facts._look.look", "model_facts.follow",
    "model_picker._opened.opened", "model_picker._typed.typed", "model_picker.chosen_or_newest.chosen",
    "news._renewed.renewed", "picker.listed_models",
    "run_step.look",
)  # fmt: skip
NEEDS: dict[str, str] = dict.fromkeys(FOR_ALL, "try models") | {
    "account.forget_token": "give a token",
    "account.use_token": "give a token",
    "app.compare_run": "see runs",
    "app.publish_run": "publish",
    "app.empty_picker": "see runs",
    "app.to_run": "see runs",
    "app.try_run": "see runs",
    "app.tune_model": "train",
    "data_step.redraw": "read data",
    "data_step.show_source": "read data",
    "card_fold.away": "publish",
    "card_fold.changed": "publish",
    "card_fold.make": "publish",
    "hub_publish.act": "publish",
    "hub_publish.chosen": "publish",
    "hub_publish.follow": "publish",
    "hub_publish.publications": "publish",
    "hub_publish.publish_run": "publish",
    "hub_form.show_branch": "publish",
    "hub_publish.start": "publish",
    "publish_choice.wanted": "publish",
    "hub_tab.look_at": "publish",
    "import_fold.import_folder": "name folders",
    "more_fold.as_code": "see runs",
    "more_fold.ask": "manage runs",
    "more_fold.closed": "manage runs",
    "more_fold.closed_code": "see runs",
    "more_fold.compared": "see runs",
    "more_fold.name_and_notes": "see runs",
    "more_fold.others": "see runs",
    "more_fold.say_copied": "see runs",
    "recipe_fold.take_starter": "train",
    "recipe_fold.wire.load": "train",
    "run_care.compare_runs": "see runs",
    "run_care.copy_settings": "see runs",
    "run_care.download": "manage runs",
    "run_care.go_on": "train",
    "run_care.list_runs": "see runs",
    "run_care.move": "manage runs",
    "run_care.note": "manage runs",
    "run_care.pause": "manage runs",
    "run_care.remove": "manage runs",
    "run_care.rename": "manage runs",
    "run_care.resume": "train",
    "run_care.save": "manage runs",
    "run_care.show_run": "see runs",
    "run_care.stop": "manage runs",
    "run_care.to_front": "manage runs",
    "run_care.whole_log": "see runs",
    "run_step.chosen_run": "see runs",
    "settings_step._fits_task": "train",
    "settings_step.fill_preset": "train",
    "settings_step.no_preset": "train",
    "settings_step.own_rate": "train",
    "train._wire_copy.copy": "train",
    "train._wire_data.read_again": "read data",
    "train._wire_data.read_loaded": "read data",
    "train._wire_data.read_new": "read data",
    "train._wire_data.read_remedied": "read data",
    "train._wire_data.read_source": "read data",
    "train._wire_start.fill_example": "train",
    "train._wire_start.fold": "train",
    "train._wire_start.read_example": "read data",
    "train.command": "train",
    "train.foresee": "train",
    "train.no_problem": "train",
    "train.start": "train",
}


# Handlers that take a whole model card, which they bound themselves; no model reads it.
LONG_TEXTS = ("card_fold.changed", "hub_publish.start")
URGENT = ("run_care.pause", "run_care.stop")  # wait for no other call


class Page(gr.Blocks):
    """The page's Blocks."""

    _queue: Queue

    def check(self) -> None:
        """Raises KeyError where a handler has no entry in NEEDS."""
        for each in self.fns.values():
            needed(each)

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
            policy.require(person, needed(event))
            if name_of(event.fn) not in LONG_TEXTS:
                policy.check_characters(person, characters(inputs))
            if event_data is not None and not isinstance(event_data._data, dict):
                event_data._data = {}  # a program may send anything; its attributes are then not there
            key, places = who.key(asked), URGENT_CALLS if is_urgent(event) else CALLS
            work = partial(
                super().process_api, event, inputs, state, request, event_data=event_data, **others
            )
            # The task and the thread that the handler runs in copy this context, and nobody else's does.
            with hub_client.acting(who.rights(asked)), files.kept_for(key):
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


def needed(event: BlockFunction) -> str:
    """The action that an event's handler needs; one that runs in the browser alone needs nothing of ours."""
    if event.fn is None:
        return "try models"
    if (name := name_of(event.fn)) not in NEEDS:
        raise KeyError(f"{name} has no entry in gate.NEEDS: say what a person must be allowed for it")
    return NEEDS[name]


def name_of(handler: Callable[..., Any]) -> str:
    """The handler as NEEDS calls it: its module in this package and its own name."""
    name = f"{handler.__module__}.{handler.__qualname__}".replace(".<locals>", "")
    return name.removeprefix("bertspace.ui.")


def is_urgent(event: BlockFunction) -> bool:
    return event.fn is not None and name_of(event.fn) in URGENT


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
