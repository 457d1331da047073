"""Compute with a model: here, or for a stranger's in a process apart, which has nothing to lose.

`compute` is the one way to a model's answers. The starter and what the owner pulled, imported or trained are
computed with in this process. Any other model is loaded, tokenised and run by a child that has no secrets, no
network, few files, and so much memory; it is ended when a call's time is over, and kept for a while when not.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.errors import BertspaceError, ConfigError, DataError, ModelError, TimeLimitError
from bertspace.hub import credentials
from bertspace.models.children import SERVER, Child, Order
from bertspace.processes import Deadline

if TYPE_CHECKING:
    from bertspace.models.sources import Located

# What can be computed, and the function that does it: of a located model and arguments that `wire` can send.
WORK = {
    "answers": "bertspace.models.inference",
    "features": "bertspace.models.inference",
    "token_counts": "bertspace.models.inference",
    "unknown_share": "bertspace.models.inference",
    "vocabulary": "bertspace.models.inference",
    "longest_text": "bertspace.models.inference",
    "adapted_answers": "bertspace.publish.roundtrip",
    "table": "bertspace.models.evaluation",
    "measured": "bertspace.training.pace",
}
MAX_CHILDREN = 3  # BERTSPACE_MAX_MODEL_PROCESSES
IDLE_SECONDS = 600.0  # after which a child that nobody asks ends
MAX_SECONDS = 600.0  # of one call that has no limit of its own
# Bytes that a child may take beside its libraries: so much, and so many times its model's files.
MEMORY, TIMES_FILES = 1024**3, 4
ERRORS = {
    each.__name__: each for each in (BertspaceError, ConfigError, DataError, ModelError, TimeLimitError)
}
MAX_ERROR = 1000  # characters of an error that a child tells

_log = logging.getLogger(__name__)
_on = False


def keep_strangers_apart(ready: bool = False) -> None:
    """From here on this process is the app: strangers' models are computed with by others.

    ready: whether what they are forked from loads its libraries now, so that nobody waits for that.
    """
    global _on
    _on = True
    if ready:
        SERVER.prepare()


def compute(
    located: Located,
    work: str,
    arguments: Mapping[str, Any],
    *,
    seconds: float = 0,
    reads: Sequence[Path] = (),
) -> Any:
    """What the work gives for the model; raises BertspaceError.

    seconds: what it may take, waiting included; 0: what the caller may take. reads: folders that
    it reads beside the model's own.
    """
    seconds = seconds or credentials.current().seconds
    if located.is_trusted or not _on:
        return do(located, work, {**arguments, "seconds": seconds})
    return _POOL.ask(located, work, arguments, Deadline(seconds or MAX_SECONDS), reads)


def do(located: Located, work: str, arguments: Mapping[str, Any]) -> Any:
    """The work, in this process."""
    return getattr(importlib.import_module(WORK[work]), work)(located, **arguments)


class Pool:
    """The children, one a model: those asked last stay, as many as there may be."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: OrderedDict[tuple[object, ...], Child] = OrderedDict()
        self._busy: dict[tuple[object, ...], str] = {}  # for whom
        self._sweeper: threading.Thread | None = None

    def ask(
        self,
        located: Located,
        work: str,
        arguments: Mapping[str, Any],
        deadline: Deadline,
        reads: Sequence[Path],
    ) -> Any:
        """What a child gives for the work; raises BertspaceError."""
        with self._child((located.path, _written(located), *reads), deadline, located.name) as child:
            order: Order = {
                "model": located.to_dict(),
                "work": work,
                "arguments": {
                    **arguments,
                    "seconds": max(0.05, 0.9 * deadline.left),
                },  # it is to end by itself
                "reads": [str(path) for path in reads],
                "memory": _memory(located, reads),
                "scratch": child.scratch.name,
            }
            answer = child.ask(order, deadline)
        return _value(answer, located.name)

    @contextmanager
    def _child(self, key: tuple[object, ...], deadline: Deadline, name: str) -> Iterator[Child]:
        """A child of this model alone. One that does not answer in time, or ends, is gone afterwards."""
        child = self._take(key, deadline)
        try:
            child = child or Child.start()
            yield child
        except BaseException as error:
            if child is not None:
                child.end()
            self._give_back(key, None)
            if isinstance(error, EOFError | ValueError):
                raise ModelError(
                    f"{name} ended the process that computed with it: it takes more than it may here.",
                    hint="Choose another model, or give fewer and shorter texts.",
                ) from error
            raise
        child.used = time.monotonic()
        self._give_back(key, child)

    def _take(self, key: tuple[object, ...], deadline: Deadline) -> Child | None:
        """The idle child of the model, or None: then there is room for one to be started."""
        who = credentials.current().who
        with self._changed:
            self._sweep_later()
            while not self._may_begin(key, who):
                if not self._changed.wait(deadline.left):
                    raise deadline.error()
            self._busy[key] = who
            child = self._idle.pop(key, None)
            if child is None and len(self._busy) + len(self._idle) > _most():
                self._idle.popitem(last=False)[1].end()
        if child is not None and not child.lives:
            child.end()
            return None
        return child

    def _may_begin(self, key: tuple[object, ...], who: str) -> bool:
        """Whether the model's child is free and a place is; one person never has all the places."""
        mine = sum(each == who for each in self._busy.values())
        return key not in self._busy and len(self._busy) < _most() and mine < max(1, _most() - 1)

    def _give_back(self, key: tuple[object, ...], child: Child | None) -> None:
        with self._changed:
            del self._busy[key]
            if child is not None:
                self._idle[key] = child
            self._changed.notify_all()

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = threading.Thread(target=self._sweep, daemon=True, name="apart")
            self._sweeper.start()

    def _sweep(self) -> None:
        """End what nobody has asked for a while, again and again."""
        while True:
            time.sleep(min(30.0, IDLE_SECONDS / 2))
            self.end(IDLE_SECONDS)

    def end(self, idle: float = 0.0) -> None:
        """End the children that have been idle for so many seconds."""
        before = time.monotonic() - idle
        with self._changed:
            for key in [key for key, child in self._idle.items() if child.used <= before]:
                self._idle.pop(key).end()

    @property
    def processes(self) -> list[int]:
        """The ids of the idle children's processes."""
        with self._changed:
            return [child.pid for child in self._idle.values()]


def _value(answer: Any, name: str) -> Any:
    """What a child's answer holds; what it tells as an error is raised. A child may answer anything."""
    if isinstance(answer, dict) and "value" in answer:
        return answer["value"]
    told = answer.get("error") if isinstance(answer, dict) else None
    kind, message, hint = (*(told if isinstance(told, list) else []), "", "", "")[:3]
    words = str(message)[:MAX_ERROR] or f"{name} gives no answer."
    raise ERRORS.get(str(kind), ModelError)(words, hint=str(hint)[:MAX_ERROR] or "Choose another model.")


def _most() -> int:
    given = os.environ.get("BERTSPACE_MAX_MODEL_PROCESSES", "").strip()
    return max(1, int(given)) if given.isdecimal() else MAX_CHILDREN


def _memory(located: Located, reads: Sequence[Path]) -> int:
    """Bytes that a child of this model may take."""
    sizes = [0]
    for path in (path for folder in (located.path, *reads) for path in folder.glob("*.safetensors")):
        with suppress(OSError):  # it is being replaced
            sizes.append(path.stat().st_size)
    return MEMORY + TIMES_FILES * sum(sizes)


def _written(located: Located) -> int:
    """When the model's files were written: a run's change while it goes on."""
    times = [0]
    for path in located.path.glob("*"):
        with suppress(OSError):  # it is being replaced
            times.append(path.stat().st_mtime_ns)
    return max(times)


_POOL = Pool()


@atexit.register
def end() -> None:
    """End all children, and what they are forked from."""
    _POOL.end()
    SERVER.close()
