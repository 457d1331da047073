"""The process from which those that compute with strangers' models are forked: it has the libraries, and no
secrets. `python -m bertspace.models.apart_server`, started by `apart` with a socket as its standard input.

It never looks at a model. Each of its children does, at one alone: it confines itself first, reads orders
from one pipe and answers on another, and ends with the first, or with this process, which ends with the app.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from bertspace import processes
from bertspace.errors import BertspaceError, without_paths
from bertspace.models import wire
from bertspace.models.children import COMMAND, END, START, Order
from bertspace.safety import confine

CORES_BESIDE = 1  # a call may use the processor for its seconds on every core, and on one more


def main() -> int:
    control = socket.socket(fileno=os.dup(0))
    _load_libraries()
    children: set[int] = set()
    while True:
        message, pipes, _, _ = socket.recv_fds(control, COMMAND.size, 2)
        if len(message) < COMMAND.size:  # the app has ended
            return 0
        what, number = COMMAND.unpack(message)
        if what == START:
            number = _forked(control, pipes)
            children |= {number} - {0}
            for pipe in pipes:
                os.close(pipe)
        elif what == END and number in children:
            children.discard(number)
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
        control.sendall(COMMAND.pack(what, number))


def _forked(control: socket.socket, pipes: list[int]) -> int:
    """The process id of a new child; 0 where the system has no room for one."""
    try:
        number = os.fork()
    except OSError:
        return 0
    if not number:
        control.close()
        _serve(*pipes)
    return number


def _load_libraries() -> None:
    """What every work needs; no computation, which would start threads that a fork does not have."""
    from bertspace.models import evaluation, inference  # noqa: F401
    from bertspace.safety.config import encoder_types

    encoder_types()
    import transformers.models.auto.tokenization_auto
    import transformers.models.bert.modeling_bert  # noqa: F401 - and with it what all models stand on


def _serve(orders: int, answers: int) -> None:
    """The life of a child: it answers until there are no more orders, and never returns."""
    with contextlib.suppress(BaseException):  # whatever ends it, the app sees by the pipe
        processes.die_with_parent()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        with io.open(orders, "rb") as reading, io.open(answers, "wb") as writing:  # noqa: UP020
            confined = False
            while head := reading.read(wire.HEAD.size):
                whole, text = wire.lengths(head)
                order: Order = wire.unpack(reading.read(whole), text)
                if not confined:
                    _confine(order)
                    confined = True
                writing.write(wire.pack(_answer(order)))
                writing.flush()
    os._exit(0)


def _confine(order: Order) -> None:
    from bertspace import hardware

    scratch = order["scratch"]
    os.environ |= {"TMPDIR": scratch, "HOME": scratch}
    os.chdir(scratch)
    tempfile.tempdir = None
    folders = [Path(order["model"]["path"]), *map(Path, order["reads"])]
    files = {file.resolve().parent for folder in folders for file in folder.glob("*")}
    if hardware.device() == "cpu":  # CUDA sets aside far more than it takes
        confine.memory(order["memory"])
    confine.reach({*folders, *files}, Path(scratch))


def _answer(order: Order) -> dict[str, Any]:
    from bertspace import hardware
    from bertspace.models import apart
    from bertspace.models.sources import Located

    located = Located.from_dict(order["model"])
    confine.processor(order["arguments"]["seconds"] * (hardware.cores() + CORES_BESIDE))
    try:
        return {"value": apart.do(located, order["work"], order["arguments"])}
    except BertspaceError as error:
        return {"error": [type(error).__name__, error.message, error.hint]}
    except BaseException as error:  # whatever a stranger's model may make a library do
        if hardware.is_out_of_memory(error):
            said = f"{located.name} takes more memory than it may here."
            return {"error": ["ModelError", said, "Give fewer and shorter texts, or choose another model."]}
        why = without_paths(f"{type(error).__name__}: {error}")[:200]
        return {"error": ["ModelError", f"{located.name} gives no answer: {why}", "Choose another model."]}


if __name__ == "__main__":
    sys.exit(main())
