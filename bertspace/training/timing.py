"""Seconds and bytes measured: of a piece of work, of batches of several sizes, of an optimizer's step."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from bertspace import hardware

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

MAX_ROUNDS, MAX_SECONDS = 3, 0.6  # batches are timed so often, or until so many seconds are over
MAX_TIMED_VALUES = 2**22  # that the optimizer is timed on


@dataclass(frozen=True)
class BatchTime:
    """Seconds of a batch: a fixed part, and one for each of its tokens, padding counted."""

    fixed: float
    per_token: float

    def seconds(self, batches: float, tokens: float) -> float:
        """Of so many batches with so many tokens in all."""
        return self.fixed * batches + self.per_token * tokens

    def scaled(self, factor: float) -> BatchTime:
        return BatchTime(self.fixed * factor, self.per_token * factor)

    def __add__(self, other: BatchTime) -> BatchTime:
        return BatchTime(self.fixed + other.fixed, self.per_token + other.per_token)


def fit(tokens: Sequence[float], seconds: Sequence[float]) -> BatchTime:
    """The least-squares line through these points; neither of its parts is below 0."""
    import numpy as np

    x, y = np.array(tokens, dtype=float), np.array(seconds)
    if np.ptp(x) > 0:
        slope, fixed = np.polyfit(x, y, 1)
        if slope >= 0 and fixed >= 0:
            return BatchTime(float(fixed), float(slope))
    return BatchTime(0.0, float((x @ y) / (x @ x)))


def rounds(
    work: Callable[[int], T], places: Sequence[int], most: int = MAX_ROUNDS
) -> Iterator[tuple[int, T]]:
    """Each place and what the work on it gave, round after round while there is time: once at least."""
    end = time.monotonic() + MAX_SECONDS
    for number in range(most):
        if number and time.monotonic() > end:
            return
        for place in places:
            yield place, work(place)


def timed(work: Callable[[], None], device: torch.device) -> float:
    """Seconds that the work takes, the device's share of it too."""
    begin = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - begin


def synchronize(device: torch.device) -> None:
    import torch

    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def update_seconds(count: int, device: torch.device) -> float:
    """Seconds of a step of AdamW with clipped gradients over so many values; timed on a part of them."""
    import torch

    size = max(1, min(count, MAX_TIMED_VALUES))
    values = torch.nn.Parameter(torch.zeros(size, device=device))
    optimizer = torch.optim.AdamW([values], lr=0.0, fused=device.type != "mps")

    def work() -> None:
        values.grad = torch.zeros_like(values)
        torch.nn.utils.clip_grad_norm_([values], 1.0)
        optimizer.step()

    work()  # creates the optimizer's state
    return min(timed(work, device) for _ in range(MAX_ROUNDS)) * count / size


@contextmanager
def same_random_states(device: torch.device) -> Iterator[None]:
    """Set the random states of Python, NumPy and torch (the GPU's too) back when the block ends."""
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def held_bytes() -> int:
    """What the process holds now; on a GPU the most it has held."""
    return hardware.memory_bytes() if hardware.device() == "cpu" else hardware.peak_memory_bytes()
