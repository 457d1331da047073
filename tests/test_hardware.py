"""What the machine computes on, said truly."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest

from bertspace import hardware


@pytest.fixture(autouse=True)
def forget_the_machine() -> None:
    hardware.best_precision.cache_clear()
    hardware.cpu_flags.cache_clear()


def on(device: str, monkeypatch: pytest.MonkeyPatch, capability: int = 0) -> None:
    import torch

    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: device == "mps")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (capability, 0))


@pytest.mark.parametrize("device", ["cuda", "mps", "cpu"])
def test_the_device_is_the_one_that_torch_has(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on(device, monkeypatch)
    assert hardware.device() == device


@pytest.mark.parametrize("value", ["true", "1", "yes", "True"])
def test_accelerates_variable_asks_for_the_cpu(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on("cuda", monkeypatch)
    monkeypatch.setenv("ACCELERATE_USE_CPU", value)
    assert hardware.device() == "cpu"


@pytest.mark.parametrize(
    ("capability", "precision"), [(10, "bf16"), (9, "bf16"), (8, "bf16"), (7, "fp16"), (6, "fp32")]
)
def test_a_gpus_generation_decides_the_precision(
    capability: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("cuda", monkeypatch, capability)
    assert hardware.best_precision() == precision


@pytest.mark.parametrize(
    ("flags", "precision"),
    [({"avx512_bf16"}, "bf16"), ({"amx_bf16"}, "bf16"), ({"avx512f", "avx2"}, "fp32"), (set(), "fp32")],
)
def test_a_cpu_takes_bf16_only_where_it_is_native(
    flags: set[str], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("cpu", monkeypatch)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset(flags))
    hardware.best_precision.cache_clear()
    assert hardware.best_precision() == precision
    monkeypatch.undo()


def test_the_cpus_flags_are_linuxs() -> None:
    path = Path("/proc/cpuinfo")
    if not path.exists() or "flags" not in path.read_text(encoding="utf-8"):
        pytest.skip("this system has no /proc/cpuinfo with flags")
    lines = path.read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("flags"))
    assert hardware.cpu_flags() == frozenset(line.split(":")[1].split())


def test_cores_are_those_that_this_process_may_use() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mine)})
        assert hardware.cores() == 1
    finally:
        os.sched_setaffinity(0, mine)
    assert hardware.cores() == len(mine)


def test_the_device_in_words_has_its_cores_and_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    on("cpu", monkeypatch)
    monkeypatch.setattr(hardware, "cores", lambda: 1)
    assert hardware.describe() == f"CPU, 1 core, {hardware.best_precision()}"
    monkeypatch.setattr(hardware, "cores", lambda: 2)
    assert hardware.describe() == f"CPU, 2 cores, {hardware.best_precision()}"


def test_peak_memory_is_in_bytes_and_grows_with_what_is_held() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("on a GPU its own memory is counted")
    before = hardware.peak_memory_bytes()
    held = bytearray(200 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    assert 50 * 2**20 < before < 64 * 2**30
    assert hardware.peak_memory_bytes() >= before
    assert hardware.peak_memory_bytes() >= len(held)


def test_the_environment_names_the_versions_that_a_result_was_obtained_with() -> None:
    import torch

    found = hardware.environment()
    installed = version("torch"), version("transformers")  # torch.__version__ names the build too, as +cu130
    assert (found["torch"], found["transformers"]) == installed
    assert found["threads"] == torch.get_num_threads()
    assert set(found) >= {
        "device",
        "threads",
        "python",
        "platform",
        "accelerate",
        "datasets",
        "peft",
        "tokenizers",
    }
