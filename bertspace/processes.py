"""What a child process is told of this one: named variables only, so that no secret is among them."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from pathlib import Path

from bertspace import hardware
from bertspace.files import home

# A name that is not here may be anybody's password: DATABASE_URL looks like no secret.
_OF_THE_MACHINE = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|PYTHON\w*|VIRTUAL_ENV|CONDA_PREFIX"
    r"|(LD|DYLD|CUDA|NVIDIA|HIP|ROCR|HSA|OMP|MKL|OPENBLAS|GOMP|KMP|RAYON|MALLOC|TORCH|PYTORCH)_\w+"
    r"|ACCELERATE_USE_CPU"
)
_OF_A_WORKER = re.compile(
    r"(BERTSPACE|HF|HUGGING_?FACE|TRANSFORMERS|TOKENIZERS|ACCELERATE|FSDP|XDG)_\w+"
    r"|(NCCL|GLOO|TP|TRITON|DNNL|ONEDNN|ARROW)_\w+"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(https?|all|no)_proxy)"
)
_SECRET = re.compile(r"TOKEN(?!IZERS_)|SECRET|PASSW|KEY|CREDENTIAL|(^|_)(PAT|PASS|AUTH)(_|$)", re.IGNORECASE)
_WITH_A_PASSWORD = re.compile(r"//[^/\s]*@")  # within an address
# What torchrun tells the processes of one run is not for the next one's.
_OF_A_LAUNCHER = re.compile("TORCHELASTIC_.*")


NO_BARS = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}


def bars_in_terminals_only() -> None:
    """Where stderr is no terminal, let the Hub's client and datasets draw no progress bars: they would be a
    line for every redrawing. What a person set stays."""
    if sys.stderr.isatty():
        return
    for name, value in NO_BARS.items():
        os.environ.setdefault(name, value)  # read when the libraries are imported
    if "huggingface_hub" in sys.modules and os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1":
        from huggingface_hub import constants, utils

        if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
            utils.disable_progress_bars()


def worker_environment() -> dict[str, str]:
    """For a process that trains: no secret, and what makes training fast on a CPU.

    No token of the Hub either; the owner's worker finds the machine's login in its file.
    """
    hardware.share_cores()
    return (
        NO_BARS
        | _kept(_OF_THE_MACHINE, _OF_A_WORKER)
        | {
            "BERTSPACE_HOME": str(home()),
            "TOKENIZERS_PARALLELISM": "true",
            # Keep memory instead of giving it back to the kernel after each step and getting it zeroed again
            # (glibc reads these at a process's start): a step takes 10 % less.
            "MALLOC_MMAP_THRESHOLD_": str(2**27),
            "MALLOC_TRIM_THRESHOLD_": str(2**32),
        }
    )


def bare_environment() -> dict[str, str]:
    """For a process that reads what a stranger wrote: nothing of bertspace's or the Hub's, and no network."""
    return _kept(_OF_THE_MACHINE) | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def _kept(*allowed: re.Pattern[str]) -> dict[str, str]:
    """This process's variables of these names, less secrets; `-m bertspace.…` works in any folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if any(names.fullmatch(name) for names in allowed)
        and not (_SECRET.search(name) or _OF_A_LAUNCHER.fullmatch(name) or _WITH_A_PASSWORD.search(value))
    }
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, *filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))]
    return kept | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends, as with its process (Linux).

    Signals do not reach all: torchrun puts its processes into sessions of their own.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
