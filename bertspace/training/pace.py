"""How fast a model computes on this machine and what it holds in memory: measured, not looked up."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bertspace import hardware, models
from bertspace.data import Splits
from bertspace.errors import ModelError
from bertspace.models import apart, evaluation, tuning
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS
from bertspace.training.session import load_for_training

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Batch = dict[str, torch.Tensor]

T = TypeVar("T")

ROUNDS, PATIENCE = 3, 0.6  # batches are timed so often, or until so many seconds are over
MOST_TIMED = 2**22  # values that the optimizer is timed on
STATM = Path("/proc/self/statm")
# Rows and tokens of the batches that a model is measured with; their products are no model's hidden size.
SIZES = ((5, 32), (5, 128))
# Of the starter on a CPU, against training all of it.
LORA_FORWARD, LORA_BACKWARD = 1.25, 0.75


@dataclass(frozen=True)
class Line:
    """Seconds of a batch: a fixed part, and one for each of its tokens, padding counted."""

    fixed: float
    a_token: float

    def seconds(self, batches: float, tokens: float) -> float:
        """Of so many batches with so many tokens in all."""
        return self.fixed * batches + self.a_token * tokens


def fitted(tokens: Sequence[float], seconds: Sequence[float]) -> Line:
    """The line nearest to these points; neither of its parts is below 0."""
    import numpy as np

    x, y = np.array(tokens, dtype=float), np.array(seconds)
    if np.ptp(x) > 0:
        slope, fixed = np.polyfit(x, y, 1)
        if slope >= 0 and fixed >= 0:
            return Line(float(fixed), float(slope))
    return Line(0.0, float((x @ y) / (x @ x)))


def rounds(work: Callable[[int], T], places: Sequence[int], most: int = ROUNDS) -> Iterator[tuple[int, T]]:
    """(place, what the work on it gave), round after round, as often as there is time: once at least."""
    end = time.monotonic() + PATIENCE
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
    """A step of AdamW, its gradients clipped, over so many values; timed on a part of them."""
    import torch

    size = max(1, min(count, MOST_TIMED))
    values = torch.nn.Parameter(torch.zeros(size, device=device))
    optimizer = torch.optim.AdamW([values], lr=0.0, fused=device.type != "mps")

    def work() -> None:
        values.grad = torch.zeros_like(values)
        torch.nn.utils.clip_grad_norm_([values], 1.0)
        optimizer.step()

    work()  # makes the optimizer's state
    return min(timed(work, device) for _ in range(ROUNDS)) * count / size


@contextmanager
def unchanged_chance(device: torch.device) -> Iterator[None]:
    """The random states of Python, NumPy and torch (the GPU's too) are as before when the block ends."""
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
    """What the process holds now; the most it has held where that is all that is known (GPU, macOS)."""
    if hardware.device() == "cpu" and STATM.exists():
        return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return hardware.peak_memory_bytes()


# A model's pace


@dataclass(frozen=True)
class Part:
    """A parameter: its values, what a LoRA of rank 1 has for it, and what keeps it from being trained.

    frozen_at: the fewest frozen layers that it is among; infinite for a head.
    """

    values: int
    lora: int
    rests: bool
    frozen_at: float


@dataclass(frozen=True)
class Pace:
    """A model's seconds and bytes in training. activations: bytes a token, and a pair of a row's tokens."""

    forward: Line
    backward: Line
    update_a_value: float
    activations: tuple[float, float]
    parts: tuple[Part, ...]
    layers: int
    longest: int

    @property
    def values(self) -> int:
        """Parameters, in numbers."""
        return sum(part.values for part in self.parts)

    def trained(self, config: TrainConfig) -> int:
        """Parameters that this config trains."""
        free = [part for part in self.parts if part.frozen_at > config.freeze_layers]
        plain = sum(part.values for part in free if not (config.lora_rank and part.rests))
        return plain + config.lora_rank * sum(part.lora for part in free)

    def step(self, config: TrainConfig) -> Line:
        """Forward and backward as this config trains."""
        there = LORA_FORWARD if config.lora_rank else 1.0
        back = LORA_BACKWARD if config.lora_rank else 1.0
        back *= 1 - min(config.freeze_layers, self.layers) / self.layers
        return Line(
            self.forward.fixed * there + self.backward.fixed * back,
            self.forward.a_token * there + self.backward.a_token * back,
        )

    def scoring(self, config: TrainConfig, rows: int, width: float) -> float:
        """Seconds of a forward pass over so many rows, of so many tokens in the mean."""
        return self.forward.seconds(math.ceil(rows / config.batch_size), rows * width)

    def activation_bytes(self, rows: int, width: int, config: TrainConfig) -> int:
        """What the forward pass of such a batch keeps for the backward pass."""
        free = 1 - min(config.freeze_layers, self.layers) / self.layers
        a_token, a_pair = self.activations
        return int(rows * (a_token * width + a_pair * width**2) * free)


FIRST_ROWS = 1000  # of the data, which trial batches are made of
_LOCK = threading.Lock()
_KNOWN: dict[tuple[str, str, str, bool, bool], Pace] = {}


def of(config: TrainConfig, splits: Splits) -> Pace:
    """The pace of the config's model: measured in a second or two when asked first, then known."""
    plain = TASKS[config.task].longest(config) <= tuning.LONGEST_PLAIN  # which attention is taken
    key = (config.model, config.task, hardware.resolve(config.precision), plain, bool(config.chunk_size))
    located = models.locate(config.model)
    if not located.is_trusted:  # what it says is for who asks alone, and nobody waits for it
        return _asked(located, config, splits)
    with _LOCK:
        if key not in _KNOWN:
            _KNOWN[key] = _asked(located, config, splits)
            _give_back()
        return _KNOWN[key]


def _asked(located: models.Located, config: TrainConfig, splits: Splits) -> Pace:
    """The pace as `measured` tells it; raises ModelError for what it cannot have told."""
    train = splits.train.head(FIRST_ROWS)
    rows = {str(name): train[name].tolist() for name in train.columns}
    asked = {"config": config.to_dict(), "rows": rows, "labels": list(splits.label_names)}
    found = apart.compute(located, "measured", asked)
    try:
        return Pace(
            Line(*map(float, found["forward"])),
            Line(*map(float, found["backward"])),
            float(found["update_a_value"]),
            (float(found["activations"][0]), float(found["activations"][1])),
            tuple(Part(int(a), int(b), bool(c), float(d)) for a, b, c, d in found["parts"]),
            int(found["layers"]),
            int(found["longest"]),
        )
    except (TypeError, ValueError, OverflowError, KeyError, IndexError) as error:
        raise ModelError("The model gave answers of another shape.", hint="Choose another model.") from error


def _give_back() -> None:
    """Leave the GPU's memory to the workers: torch keeps what was freed."""
    import torch

    if hardware.device() == "cuda":
        torch.cuda.empty_cache()


def measured(
    located: models.Located,
    *,
    config: dict[str, Any],
    rows: dict[str, list[Any]],
    labels: list[str],
    seconds: float,
) -> dict[str, Any]:
    """A model's pace, from trial batches of such rows; the fields of Pace as plain values."""
    import pandas as pd
    import torch

    settings, train = TrainConfig.from_dict(config), pd.DataFrame(rows)
    task, device = TASKS[settings.task], torch.device(hardware.device())
    tokenizer = models.load_tokenizer(replace(located, max_length=models.LONGEST))
    with unchanged_chance(device):  # a new head is drawn, and dropout
        model = load_for_training(located, task, tuple(labels)).to(device).train()
        tuning.prepare(model, replace(settings, freeze_layers=0, lora_rank=0))
        work = _Passes(model, settings)
        batches = [work.batch(tokenizer, train, *size) for size in SIZES]
        work.seconds(batches[-1])  # picks kernels and touches memory
        found = list(rounds(lambda place: work.seconds(batches[place]), range(len(batches))))
        activations = work.activations(batches)
    tokens = [batch["input_ids"].numel() for batch in batches]
    # The quickest of each: what else the machine does comes and goes.
    forward, backward = (
        [min(seconds[part] for place, seconds in found if place == size) for size in range(len(batches))]
        for part in (0, 1)
    )
    values, _ = tuning.trained_count(model)
    return {
        "forward": astuple(fitted(tokens, forward)),
        "backward": astuple(fitted(tokens, backward)),
        "update_a_value": update_seconds(values, device) / values,
        "activations": activations,
        "parts": [astuple(part) for part in parts(model)],
        "layers": len(tuning.encoder_layers(model)),
        "longest": tokenizer.model_max_length,
    }


class _Passes:
    """A model's forward and backward pass, in the config's precision, timed and weighed."""

    def __init__(self, model: PreTrainedModel, config: TrainConfig) -> None:
        self.model, self.config, self.task = model, config, TASKS[config.task]

    def batch(self, tokenizer: PreTrainedTokenizerBase, train: pd.DataFrame, rows: int, width: int) -> Batch:
        """So many rows of so many tokens, of the first training texts said over and over."""
        chunk_size = width if self.config.chunk_size else 0
        config = replace(self.config, max_length=width, chunk_size=chunk_size)
        frame = train.iloc[[place % len(train) for place in range(rows)]].copy()
        frame["text"] = [(text[:200] + " ") * width for text in frame["text"]]
        if "pair" in frame:
            frame["pair"] = [text[:200] for text in frame["pair"]]
        encoded = self.task.encode(tokenizer, frame, config, rows)
        keys = [(1, row) for row in range(min(rows, len(encoded)))]
        batch = self.task.collate(keys, encoded, tokenizer, config)
        return {name: value.to(self.model.device) for name, value in batch.items()}

    def loss(self, batch: Batch) -> torch.Tensor:
        with evaluation.autocast(self.config.precision):
            return self.task.loss(self.model, batch, self.config.label_smoothing)[0]

    def seconds(self, batch: Batch) -> tuple[float, float]:
        """Of the forward and of the backward pass; the gradients are dropped."""
        losses: list[torch.Tensor] = []
        forward = timed(lambda: losses.append(self.loss(batch)), self.model.device)
        backward = timed(losses[0].backward, self.model.device)
        self.model.zero_grad(set_to_none=True)
        return forward, backward

    def activations(self, batches: Sequence[Batch]) -> tuple[float, float]:
        """Bytes that the forward pass keeps a token, and a pair of tokens of one row (attention's scores)."""
        import numpy as np

        shapes = [batch["input_ids"].shape for batch in batches]
        sizes = np.array([(rows * width, rows * width**2) for rows, width in shapes], dtype=float)
        kept = np.array([self.kept_bytes(batch) for batch in batches], dtype=float)
        (a_token, a_pair), *_ = np.linalg.lstsq(sizes, kept, rcond=None)
        return (float(a_token), float(a_pair)) if a_pair > 0 else (float(kept[-1] / sizes[-1, 0]), 0.0)

    def kept_bytes(self, batch: Batch) -> int:
        """Bytes of what autograd keeps of one forward pass, the weights and their copies left out."""
        import torch

        weights = {parameter.shape for parameter in self.model.parameters()}
        weights |= {shape[::-1] for shape in weights}
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.shape not in weights:
                storage = tensor.untyped_storage()
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self.loss(batch)
        return sum(kept.values())


def parts(model: PreTrainedModel) -> Iterator[Part]:
    """The model's parameters, each with what `tuning` does to it; in the end all layers are frozen."""
    import torch

    prefix = f"{model.base_model_prefix}."
    linear = {f"{name}.weight" for name, each in model.named_modules() if isinstance(each, torch.nn.Linear)}
    frozen_at: dict[str, int] = {}
    layers = len(tuning.encoder_layers(model))
    shared = layers < (getattr(model.config, "num_hidden_layers", None) or layers)  # none of them freezes
    for count in range(1, 1 if shared else layers + 1):
        tuning.freeze(model, count)
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                frozen_at.setdefault(name, count)
    matrices = {id(each) for each in model.base_model.parameters() if each.dim() > 1}  # tied decoders too
    for name, parameter in model.named_parameters():
        yield Part(
            parameter.numel(),
            sum(parameter.shape) if name.startswith(prefix) and name in linear else 0,
            id(parameter) in matrices,
            frozen_at.get(name, math.inf),
        )
