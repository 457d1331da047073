"""Threads and processes that are waited for: deadlines, and children that inherit no secret."""

from __future__ import annotations

import ctypes
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar

from bertspace import hardware
from bertspace.errors import TimeLimitError
from bertspace.files import home

T = TypeVar("T")
POLL_SECONDS = 0.2  # between two looks whether a wait is to be given up

# Variables are inherited by name: one that is not here may be anybody's password (DATABASE_URL).
_MACHINE = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|PYTHON\w*|VIRTUAL_ENV|CONDA_PREFIX"
    r"|(LD|DYLD|CUDA|NVIDIA|HIP|ROCR|HSA|OMP|MKL|OPENBLAS|GOMP|KMP|RAYON|MALLOC|TORCH|PYTORCH)_\w+"
    r"|ACCELERATE_USE_CPU"
)
_WORKER = re.compile(
    r"(BERTSPACE|HF|HUGGING_?FACE|TRANSFORMERS|TOKENIZERS|ACCELERATE|FSDP|XDG)_\w+"
    r"|(NCCL|GLOO|TP|TRITON|DNNL|ONEDNN|ARROW)_\w+"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(https?|all|no)_proxy)"
)
# NAME=value of a secret, also of an address with a password; and of what torchrun sets for one run alone.
_SECRET = re.compile(
    r"(?i:[^=]*(TOKEN(?!IZERS_)|SECRET|PASSW|KEY|CREDENTIAL)[^=]*=|([^=]*_)?(PAT|PASS|AUTH)(_[^=]*)?=)"
    r"|[^=]+=.*//[^/\s]*@|TORCHELASTIC_",
    re.DOTALL,
)
NO_BARS = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
FAST = {
    "TOKENIZERS_PARALLELISM": "true",
    # Keep memory instead of giving it back to the kernel after each step and getting it zeroed again (glibc
    # reads these at a process's start): a step takes 10 % less.
    "MALLOC_MMAP_THRESHOLD_": str(2**27),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}


class Deadline:
    """So many seconds from now, for everything that they are for, waiting included; 0 is no limit."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.end = time.monotonic() + seconds if seconds else math.inf

    @property
    def left(self) -> float:
        """Seconds, at most what Python can wait for."""
        return min(max(0.0, self.end - time.monotonic()), threading.TIMEOUT_MAX)

    def error(self) -> TimeLimitError:
        return TimeLimitError(
            f"No answer within {self.seconds:g} seconds.",
            hint="Give fewer or shorter texts, or try again when fewer people ask.",
        )

    def check(self) -> None:
        """Raises TimeLimitError when the time is over."""
        if not self.left:
            raise self.error()

    @contextmanager
    def holding(self, lock: threading.Lock) -> Iterator[None]:
        """With the lock; raises TimeLimitError when the time is over before it is free."""
        if not self.left or not lock.acquire(timeout=self.left):
            raise self.error()
        try:
            yield
        finally:
            lock.release()


def call_in_thread(call: Callable[[], T], deadline: Deadline, check: Callable[[], None] | None = None) -> T:
    """What the call returns or raises. It runs in a thread of its own, which is left to itself when the
    deadline passes (TimeLimitError) or `check`, asked meanwhile, raises.
    """
    future: Future[T] = Future()
    context = copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(call))
        except BaseException as error:  # raised where the call is waited for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    while not wait([future], min(deadline.left, POLL_SECONDS) if check else deadline.left).done:
        deadline.check()
        if check:
            check()
    return future.result()


def sleep(seconds: float, check: Callable[[], None]) -> None:
    """Sleep, unless `check`, asked meanwhile, raises."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, POLL_SECONDS))


def child_environment(*, trains: bool = False, **own: str) -> dict[str, str]:
    """The environment of a child: variables of this process that are known by name and hold no secret.

    trains: a worker also gets the settings of bertspace, the Hub and the network, and trains fast on a CPU;
    it gets no token, and the owner's finds the machine's login in its file. Any other child reads what a
    stranger may have written, and asks no network. own: variables of this child alone.
    """
    if not trains:
        return _inherited(_MACHINE) | OFFLINE | own
    hardware.share_cores()
    return NO_BARS | _inherited(_MACHINE, _WORKER) | FAST | {"BERTSPACE_HOME": str(home())} | own


def is_secret(name: str, value: str = "") -> bool:
    """Whether a variable holds a secret, by its name or by what it says."""
    return bool(_SECRET.match(f"{name}={value}"))


def _inherited(*names: re.Pattern[str]) -> dict[str, str]:
    """This process's variables of these names, less secrets; `-m bertspace.…` works in any folder."""
    found = {
        name: value
        for name, value in os.environ.items()
        if any(each.fullmatch(name) for each in names) and not is_secret(name, value)
    }
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, *filter(None, found.get("PYTHONPATH", "").split(os.pathsep))]
    return found | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def bars_in_terminals_only() -> None:
    """Let the Hub's client and datasets draw no progress bars where stderr is no terminal: each redrawing
    would be a line. What a person has set stays."""
    if sys.stderr.isatty():
        return
    for name, value in NO_BARS.items():
        os.environ.setdefault(name, value)  # read when the libraries are imported
    if "huggingface_hub" in sys.modules and os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1":
        from huggingface_hub import constants, utils

        if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
            utils.disable_progress_bars()


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends, as with its process (Linux).

    Signals do not reach all: torchrun puts its processes into sessions of their own.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
