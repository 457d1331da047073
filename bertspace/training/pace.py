"""A model's pace: how fast it computes on this machine and what it holds in memory, both measured."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

from bertspace import hardware, models
from bertspace.data import Splits
from bertspace.errors import ModelError
from bertspace.models import apart, evaluation, tuning
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS
from bertspace.training import timing
from bertspace.training.timing import BatchTime

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Batch = dict[str, torch.Tensor]

# Rows and tokens of the batches that a model is measured with; their products are no model's hidden size.
SIZES = ((5, 32), (5, 128))
FIRST_ROWS = 1000  # of the data, which the batches are made of
LORA_FORWARD, LORA_BACKWARD = 1.25, 0.75  # of the starter on a CPU, against training all of it

_LOCK = threading.Lock()
_KNOWN: dict[tuple[str, str, str, bool, bool], Pace] = {}


@dataclass(frozen=True)
class Part:
    """A parameter: how many values it has, and what is trained of it.

    lora: values that LoRA of rank 1 adds for it. lora_freezes: whether LoRA leaves it as it is. frozen_at:
    the least freeze_layers that freezes it; infinite for a head.
    """

    values: int
    lora: int
    lora_freezes: bool
    frozen_at: float


@dataclass(frozen=True)
class Pace:
    """A model's seconds and bytes in training.

    update: seconds of the optimizer for each trained value. activations: bytes for each token, and for each
    pair of a row's tokens. longest: tokens that the model reads of a text.
    """

    forward: BatchTime
    backward: BatchTime
    update: float
    activations: tuple[float, float]
    parts: tuple[Part, ...]
    layers: int
    longest: int

    @property
    def values(self) -> int:
        """Values of all parameters."""
        return sum(part.values for part in self.parts)

    def trained(self, config: TrainConfig) -> int:
        """Values that this config trains."""
        free = [part for part in self.parts if part.frozen_at > config.freeze_layers]
        plain = sum(part.values for part in free if not (config.lora_rank and part.lora_freezes))
        return plain + config.lora_rank * sum(part.lora for part in free)

    def step(self, config: TrainConfig) -> BatchTime:
        """Forward and backward pass as this config trains."""
        forward, backward = (LORA_FORWARD, LORA_BACKWARD) if config.lora_rank else (1.0, 1.0)
        return self.forward.scaled(forward) + self.backward.scaled(backward * self._unfrozen(config))

    def _unfrozen(self, config: TrainConfig) -> float:
        """Share of the layers that are trained."""
        return 1 - min(config.freeze_layers, self.layers) / self.layers

    def scoring(self, config: TrainConfig, rows: int, width: float) -> float:
        """Seconds of a forward pass over so many rows, of so many tokens in the mean."""
        return self.forward.seconds(math.ceil(rows / config.batch_size), rows * width)

    def activation_bytes(self, rows: int, width: int, config: TrainConfig) -> int:
        """What the forward pass of such a batch keeps for the backward pass."""
        per_token, per_pair = self.activations
        return int(rows * (per_token * width + per_pair * width**2) * self._unfrozen(config))


def of(config: TrainConfig, splits: Splits) -> Pace:
    """The pace of the config's model: measured in a second or two the first time, then remembered."""
    plain = TASKS[config.task].longest(config) <= tuning.LONGEST_PLAIN  # decides on the attention
    key = (config.model, config.task, hardware.resolve(config.precision), plain, bool(config.chunk_size))
    located = models.locate(config.model)
    if not located.is_trusted:  # its figures are for this caller alone, and nobody else waits for them
        return _measure(located, config, splits)
    with _LOCK:
        if key not in _KNOWN:
            _KNOWN[key] = _measure(located, config, splits)
            _free_gpu_memory()
        return _KNOWN[key]


def _measure(located: models.Located, config: TrainConfig, splits: Splits) -> Pace:
    """The pace by `measured`, for a stranger's model in a process apart; raises ModelError."""
    train = splits.train.head(FIRST_ROWS)
    rows = {str(name): train[name].tolist() for name in train.columns}
    arguments = {"config": config.to_dict(), "rows": rows, "labels": list(splits.label_names)}
    values = apart.compute(located, "measured", arguments)
    try:
        return Pace(
            BatchTime(*map(float, values["forward"])),
            BatchTime(*map(float, values["backward"])),
            float(values["update"]),
            (float(values["activations"][0]), float(values["activations"][1])),
            tuple(Part(int(a), int(b), bool(c), float(d)) for a, b, c, d in values["parts"]),
            int(values["layers"]),
            int(values["longest"]),
        )
    except (TypeError, ValueError, OverflowError, KeyError, IndexError) as error:
        raise ModelError("The model gave answers of another shape.", hint="Choose another model.") from error


def _free_gpu_memory() -> None:
    """Leave the GPU's memory to the workers; torch keeps what was freed."""
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
    with timing.same_random_states(device):  # a new head is drawn, and dropout
        model = tuning.load_for_training(located, task, tuple(labels)).to(device).train()
        tuning.prepare(model, replace(settings, freeze_layers=0, lora_rank=0))
        passes = _Passes(model, settings)
        batches = [passes.batch(tokenizer, train, *size) for size in SIZES]
        forward, backward = passes.times(batches)
        activations = passes.activations(batches)
    values, _ = tuning.trained_count(model)
    return {
        "forward": astuple(forward),
        "backward": astuple(backward),
        "update": timing.update_seconds(values, device) / values,
        "activations": activations,
        "parts": [astuple(part) for part in parts(model)],
        "layers": len(tuning.encoder_layers(model)),
        "longest": tokenizer.model_max_length,
    }


class _Passes:
    """A model's forward and backward passes in the config's precision, their seconds and bytes."""

    def __init__(self, model: PreTrainedModel, config: TrainConfig) -> None:
        self.model, self.config, self.task = model, config, TASKS[config.task]

    def batch(self, tokenizer: PreTrainedTokenizerBase, train: pd.DataFrame, rows: int, width: int) -> Batch:
        """So many rows of so many tokens, of the first training texts, repeated."""
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

    def times(self, batches: Sequence[Batch]) -> tuple[BatchTime, BatchTime]:
        """Of the forward and of the backward pass, by the quickest of some rounds over the batches."""
        self.seconds(batches[-1])  # picks kernels and touches memory
        quickest = [[math.inf, math.inf] for _ in batches]
        for place, seconds in timing.rounds(lambda place: self.seconds(batches[place]), range(len(batches))):
            quickest[place] = [min(pair) for pair in zip(quickest[place], seconds, strict=True)]
        tokens = [batch["input_ids"].numel() for batch in batches]
        forward, backward = zip(*quickest, strict=True)
        return timing.fit(tokens, forward), timing.fit(tokens, backward)

    def seconds(self, batch: Batch) -> tuple[float, float]:
        """Of the forward and of the backward pass; the gradients are dropped."""
        losses: list[torch.Tensor] = []
        forward = timing.timed(lambda: losses.append(self.loss(batch)), self.model.device)
        backward = timing.timed(losses[0].backward, self.model.device)
        self.model.zero_grad(set_to_none=True)
        return forward, backward

    def activations(self, batches: Sequence[Batch]) -> tuple[float, float]:
        """Bytes that the forward pass keeps for each token and each pair of a row's tokens."""
        import numpy as np

        shapes = [batch["input_ids"].shape for batch in batches]
        sizes = np.array([(rows * width, rows * width**2) for rows, width in shapes], dtype=float)
        held = np.array([self.kept_bytes(batch) for batch in batches], dtype=float)
        (per_token, per_pair), *_ = np.linalg.lstsq(sizes, held, rcond=None)
        return (float(per_token), float(per_pair)) if per_pair > 0 else (float(held[-1] / sizes[-1, 0]), 0.0)

    def kept_bytes(self, batch: Batch) -> int:
        """Bytes that autograd keeps of one forward pass, without the weights and their copies."""
        import torch

        weights = {parameter.shape for parameter in self.model.parameters()}
        weights |= {shape[::-1] for shape in weights}
        storages: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.shape not in weights:
                storage = tensor.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self.loss(batch)
        return sum(storages.values())


def parts(model: PreTrainedModel) -> Iterator[Part]:
    """The model's parameters, with what `tuning` would train of each; it leaves all layers frozen."""
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
