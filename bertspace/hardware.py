"""What this machine computes on: its device in words, its best precision, the memory a process took."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from bertspace.words import counted, size

CONTAINER_LIMITS = (  # of control groups, version 2 and 1
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def share_cores() -> None:
    """Let several processes compute on the same cores; to be called before torch is loaded.

    GNU OpenMP's threads spin for each other before they sleep. By default two busy processes on two cores
    wait out each other's time slices: a training step took 5.2 s beside another training, and takes 0.2 s so
    (alone 0.11 s, and 0.105 s by default).
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def device() -> str:
    """ "cuda", "mps" or "cpu": what Accelerate will take as well. ACCELERATE_USE_CPU=true means the CPU."""
    import torch

    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@lru_cache
def best_precision() -> str:
    """bf16 where it is native (AVX512-BF16, AMX, Ampere and later), fp16 on Volta and Turing, else fp32."""
    import torch

    kind = device()
    if kind == "cuda":
        major, _ = torch.cuda.get_device_capability()
        return "bf16" if major >= 8 else "fp16" if major == 7 else "fp32"
    if kind == "cpu" and ({"avx512_bf16", "amx_bf16"} & cpu_flags()):
        return "bf16"
    return "fp32"


def resolve(precision: str) -> str:
    """TrainConfig.precision with "auto" as what the hardware is fast at."""
    return best_precision() if precision == "auto" else precision


@lru_cache
def cpu_flags() -> frozenset[str]:
    """The processor's features as Linux names them; none where there is no /proc/cpuinfo."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(line.partition(":")[2].split())


def describe() -> str:
    """The device in words: "CPU, 2 cores, bf16" or "NVIDIA H200, 150 GB, bf16"."""
    import torch

    if device() == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return f"{properties.name}, {size(properties.total_memory)}, {best_precision()}"
    name = "Apple GPU" if device() == "mps" else f"CPU, {counted(cores(), 'core')}"
    return f"{name}, {best_precision()}"


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """The most memory this process has held: on the GPU where there is one, else resident."""
    if "torch" in sys.modules and device() == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_bytes() -> int:
    """What this process holds in memory now (its peak where /proc does not say)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_memory_bytes()


def memory_limit_bytes() -> int:
    """The memory that this process may take: the control group's limit or the machine's, the smaller one."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # no control groups, or "max"
            limit = min(limit, int(path.read_text(encoding="ascii")))
    return limit


def device_memory_bytes() -> int:
    """The memory in which models are kept: the GPU's, or what this process may take."""
    if device() != "cuda":
        return memory_limit_bytes()
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA's and MPS's error, torch's on a CPU, and Python's own."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("DefaultCPUAllocator: can't allocate memory", "out of memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def environment() -> dict[str, str | int]:
    """What a result was obtained with: versions, device, threads."""
    import platform
    from importlib.metadata import version

    import torch

    from bertspace import __version__

    packages = ("torch", "transformers", "accelerate", "datasets", "peft", "tokenizers")
    return {
        "bertspace": __version__,
        "device": describe(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    } | {name: version(name) for name in packages}
