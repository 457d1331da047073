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
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from bertspace import processes
from bertspace.errors import BertspaceError, ConfigError, DataError, ModelError, TimeLimitError
from bertspace.hub import credentials
from bertspace.models import wire
from bertspace.processes import Deadline

if TYPE_CHECKING:
    from bertspace.models.loading import Located

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
MOST_CHILDREN = 3  # BERTSPACE_MAX_MODEL_PROCESSES
IDLE_SECONDS = 600.0  # after which a child that nobody asks ends
LONGEST_SECONDS = 600.0  # of one call that has no limit of its own
# Bytes that a child may take beside its libraries: so much, and so many times its model's files.
MEMORY, TIMES_FILES = 1024**3, 4
ERRORS = {
    each.__name__: each for each in (BertspaceError, ConfigError, DataError, ModelError, TimeLimitError)
}
LONGEST_WORDS = 1000  # characters of an error that a child tells

_log = logging.getLogger(__name__)
_on = False


def keep_strangers_apart(ready: bool = False) -> None:
    """From here on this process is the app: strangers' models are computed with by others.

    ready: whether what they are forked from loads its libraries now, so that nobody waits for that.
    """
    global _on
    _on = True
    if ready:
        _SERVER.prepare()


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
    return _POOL.ask(located, work, arguments, Deadline(seconds or LONGEST_SECONDS), reads)


def do(located: Located, work: str, arguments: Mapping[str, Any]) -> Any:
    """The work, in this process."""
    return getattr(importlib.import_module(WORK[work]), work)(located, **arguments)


# Children


class Order(TypedDict):
    """What a child is told: the model, the work with its arguments, and what it may take and reach."""

    model: dict[str, str]
    work: str
    arguments: dict[str, Any]
    reads: list[str]
    memory: int
    scratch: str


COMMAND = struct.Struct(">cQ")  # to the server and back: what, and the process
START, END = b"S", b"E"
SERVER_SECONDS = 60.0  # for its libraries, when it is asked for the first child


class Server:
    """The process that children are forked from, so that none loads the libraries again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def prepare(self) -> None:
        """Start it, if it does not run."""
        with self._lock:
            self._ensure()

    def start(self, pipes: Sequence[int]) -> int:
        """Fork a child that has these pipes; its process id."""
        return self._ask(START, 0, pipes)

    def end(self, pid: int) -> None:
        """Kill a child of it."""
        with suppress(OSError):  # it has ended, and its children with it
            self._ask(END, pid)

    def close(self) -> None:
        """End it, and with it its children."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._process is not None and self._control is not None:
            self._control.close()
            self._process.kill()
            self._process.wait()
            self._process = self._control = None

    def _ask(self, what: bytes, pid: int, pipes: Sequence[int] = ()) -> int:
        with self._lock:
            control = self._ensure() if what == START else self._control
            if control is None:
                raise ConnectionError("the server of strangers' models was ended")
            try:
                socket.send_fds(control, [COMMAND.pack(what, pid)], pipes)
                answer = control.recv(COMMAND.size, socket.MSG_WAITALL)
                if len(answer) < COMMAND.size:
                    raise ConnectionError("the server of strangers' models has ended")
            except OSError:  # too late an answer would be taken for the next one's
                self._close()
                raise
            return int(COMMAND.unpack(answer)[1])

    def _ensure(self) -> socket.socket:
        """The line to the server, which is started if it does not run."""
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._close()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(SERVER_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bertspace.models.apart_server"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=tempfile.gettempdir(),
                env=_environment(),
                start_new_session=True,
            )
        return self._control


_SERVER = Server()


def _environment() -> dict[str, str]:
    own = {"OPENBLAS_NUM_THREADS": "1"}  # no thread before the fork
    if os.environ.get("BERTSPACE_STRANGERS_ON_CPU", "").lower() in ("1", "true", "yes"):
        own |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    return processes.child_environment(trains=False, **own)


@dataclass
class Child:
    """A process that computes with one model. Its scratch folder is ours, to be removed when it is killed."""

    pid: int
    orders: int
    answers: int
    scratch: tempfile.TemporaryDirectory[str]
    used: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls) -> Child:
        (orders_there, orders), (answers, answers_there) = os.pipe(), os.pipe()
        try:
            pid = _SERVER.start([orders_there, answers_there])
            if not pid:
                raise BlockingIOError("no process could be forked")
        except OSError as error:
            for pipe in (orders, answers):
                os.close(pipe)
            raise ModelError(
                "No process could be started to compute with this model.", hint="Try again in a moment."
            ) from error
        finally:
            for pipe in (orders_there, answers_there):
                os.close(pipe)
        scratch = tempfile.TemporaryDirectory(prefix="bertspace-apart-", ignore_cleanup_errors=True)
        return cls(pid, orders, answers, scratch)

    @property
    def lives(self) -> bool:
        """Whether its end of the pipe is open; it says nothing without being asked."""
        poll = select.poll()
        poll.register(self.answers, select.POLLIN)
        return not poll.poll(0)

    def ask(self, order: Order, deadline: Deadline) -> Any:
        """What it answers; raises TimeLimitError, and EOFError where it has ended."""
        _send(self.orders, wire.pack(order), deadline)
        whole, text = wire.lengths(_receive(self.answers, wire.HEAD.size, deadline))
        return wire.unpack(_receive(self.answers, whole, deadline), text)

    def end(self) -> None:
        """Kill it, and remove what it wrote."""
        _SERVER.end(self.pid)
        os.close(self.orders)
        os.close(self.answers)
        self.scratch.cleanup()


def _send(pipe: int, message: bytes, deadline: Deadline) -> None:
    left = memoryview(message)
    os.set_blocking(pipe, False)
    while left:
        _wait(deadline, pipe, select.POLLOUT)
        try:
            left = left[os.write(pipe, left) :]
        except BlockingIOError:
            continue
        except BrokenPipeError as error:
            raise EOFError from error


def _receive(pipe: int, size: int, deadline: Deadline) -> bytes:
    found = bytearray()
    while len(found) < size:
        _wait(deadline, pipe, select.POLLIN)
        if not (part := os.read(pipe, min(size - len(found), 1 << 20))):
            raise EOFError
        found += part
    return bytes(found)


def _wait(deadline: Deadline, pipe: int, what: int) -> None:
    """Until the pipe is ready; raises TimeLimitError."""
    poll = select.poll()
    poll.register(pipe, what)
    if not poll.poll(deadline.left * 1000):
        raise deadline.error()


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
    words = str(message)[:LONGEST_WORDS] or f"{name} gives no answer."
    raise ERRORS.get(str(kind), ModelError)(words, hint=str(hint)[:LONGEST_WORDS] or "Choose another model.")


def _most() -> int:
    given = os.environ.get("BERTSPACE_MAX_MODEL_PROCESSES", "").strip()
    return max(1, int(given)) if given.isdecimal() else MOST_CHILDREN


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
    _SERVER.close()
