"""The process that computes with a stranger's model: `python -m bertspace.apart_child`, started by `apart`.

It reads orders from its standard input and answers on its standard output. Before it looks at the model it
confines itself; it ends with its input, or with its parent.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from bertspace import confine, wire
from bertspace.errors import BertspaceError, without_paths

CORES_BESIDE = 1  # a call may use the processor for its seconds on every core, and on one more
LOOK_SECONDS = 2.0


def main() -> int:
    orders, answers = _own_pipes()
    threads_later = os.getppid()
    _load_libraries()
    confined = False
    while head := orders.read(wire.HEAD.size):
        whole, text = wire.lengths(head)
        order = wire.unpack(orders.read(whole), text)
        if not confined:
            _confine(order)
            threading.Thread(target=_watch, args=(threads_later,), daemon=True).start()
            confined = True
        answers.write(wire.pack(_answer(order)))
        answers.flush()
    return 0


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent, which nothing that prints or reads by itself can reach."""
    orders, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    return io.open(orders, "rb"), io.open(answers, "wb")  # noqa: UP020


def _load_libraries() -> None:
    """What every work needs, while files of the system can still be read anywhere."""
    from bertspace import evaluation, inference  # noqa: F401
    from bertspace.layout import encoder_types

    encoder_types()
    import transformers.models.auto.modeling_auto
    import transformers.models.auto.tokenization_auto  # noqa: F401


def _confine(order: dict[str, Any]) -> None:
    from bertspace import hardware

    folders = [Path(order["model"]["path"]), *map(Path, order["reads"])]
    files = {file.resolve().parent for folder in folders for file in folder.glob("*")}
    if hardware.device() == "cpu":  # CUDA sets aside far more than it takes
        confine.memory(int(order["memory"]))
    confine.reach({*folders, *files}, Path(os.environ["TMPDIR"]))


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    from bertspace import apart, hardware
    from bertspace.models import Located

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


def _watch(parent: int) -> None:
    """End with the parent, also in the middle of a call."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
