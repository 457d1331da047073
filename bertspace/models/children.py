"""Confined processes, one for each untrusted model, and the server that forks them."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypedDict

from bertspace import processes
from bertspace.errors import ModelError
from bertspace.models import wire
from bertspace.processes import Deadline


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


SERVER = Server()


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
            pid = SERVER.start([orders_there, answers_there])
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
        SERVER.end(self.pid)
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
