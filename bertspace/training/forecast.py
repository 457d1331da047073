"""What a training will take in seconds and memory, roughly and before it starts: the forecast on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertspace import hardware
from bertspace.data import Splits
from bertspace.models import tuning
from bertspace.models.batching import epoch_batches
from bertspace.models.probe import MAX_ROWS
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS
from bertspace.training import pace
from bertspace.training.pace import Pace

if TYPE_CHECKING:
    import numpy as np

SAVED_PER_SECOND = 300e6  # bytes of weights written and synced, on a common disk
ADAM_BYTES, GRADIENT_BYTES = 8, 4  # two fp32 values and one for each value that is trained
HEAP_SLACK = 1.3  # by how much the heap outgrows what a step needs: sizes differ from batch to batch
START_SECONDS, START_BYTES = 4.0, 650e6  # of a worker with its libraries, before it has read anything
PROBE_SECONDS = 0.5
CHARACTERS_PER_TOKEN = 4.5  # of English in the vocabularies of BERT and its kin
MAX_LENGTHS = 2000  # rows that batches are made of


@dataclass(frozen=True)
class Forecast:
    """Seconds that a training is expected to take, and the most bytes that its process will hold."""

    seconds: float
    memory_bytes: int


def estimate(
    config: TrainConfig, splits: Splits, lengths: Sequence[int] | np.ndarray | None = None
) -> Forecast:
    """Forecast the whole run from the model's pace, measured once, and the lengths of training rows.

    lengths: tokens of some of the rows, not cut; None where they are not known. Raises BertspaceError where
    the model cannot be had, or has fewer layers than are to be frozen.
    """
    model = pace.of(config, splits)
    if config.freeze_layers > model.layers:
        raise tuning.too_many_layers(config.freeze_layers, model.layers)
    train, sizes = _expected(config, splits, lengths, model.longest)
    seconds = START_SECONDS + _training_seconds(config, model, train, sizes["train"])
    seconds += _scoring_seconds(config, model, float(train.mean()), sizes)
    return Forecast(seconds, _memory_bytes(config, model, min(config.batch_size, sizes["train"]), train))


def saving_seconds(values: int) -> float:
    """Of a model's fp32 values to disk."""
    return 4 * values / SAVED_PER_SECOND


def padded(batches: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
    """Tokens of each batch, padding counted: (batches,)."""
    import numpy as np

    return np.array([len(rows) * int(lengths[rows].max()) for rows in batches], dtype=np.int64)


def _steps(config: TrainConfig, rows: int) -> tuple[int, int, int]:
    """Batches of an epoch, steps of an epoch and steps of the training."""
    batches = math.ceil(rows / config.batch_size)
    return batches, config.steps_an_epoch(batches), config.total_steps(batches)


def _epochs(config: TrainConfig, rows: int) -> int:
    _, steps, total = _steps(config, rows)
    return math.ceil(total / steps)


def _training_seconds(config: TrainConfig, model: Pace, lengths: np.ndarray, rows: int) -> float:
    """Of all steps, and of saving the model after each epoch."""
    batches, steps, total = _steps(config, rows)
    made = epoch_batches(lengths, config.batch_size, config.seed, 1)
    per_row = padded(made, lengths).sum() / len(lengths)
    seconds = float(model.step(config).seconds(batches, per_row * rows)) * total / steps
    saving = _epochs(config, rows) * saving_seconds(model.values)
    return seconds + model.update * model.trained(config) * total + saving


def _scoring_seconds(config: TrainConfig, model: Pace, width: float, sizes: dict[str, int]) -> float:
    """Of the base before step 1, the validation rows after each epoch, and the test rows at the end."""
    baseline = TASKS[config.task].baseline
    base = 0 if baseline == "none" else 1
    times = {"train": 0, "validation": base + _epochs(config, sizes["train"]), "test": base + 1}
    seconds = sum(model.scoring(config, rows, width) * times[name] for name, rows in sizes.items())
    if baseline == "probe":
        seconds += PROBE_SECONDS + model.scoring(config, min(sizes["train"], MAX_ROWS), width)
    return seconds


def _memory_bytes(config: TrainConfig, model: Pace, rows: int, lengths: np.ndarray) -> int:
    trained, activations = model.trained(config), model.activation_bytes(rows, int(lengths.max()), config)
    copies = 2 if config.lora_rank else 1  # LoRA's updates are added to a copy when the model is saved
    held = HEAP_SLACK * (activations + GRADIENT_BYTES * trained)
    held += ADAM_BYTES * trained + 4 * model.values * copies
    return int(held + (START_BYTES if hardware.device() == "cpu" else 0))


def _expected(
    config: TrainConfig, splits: Splits, lengths: Sequence[int] | np.ndarray | None, longest: int
) -> tuple[np.ndarray, dict[str, int]]:
    """Tokens of some training rows as they will be, and how many rows each split will have."""
    import numpy as np

    task = TASKS[config.task]
    if task.longest(config) > longest:
        config = TrainConfig.from_dict(config.to_dict() | {task.length_setting(config): longest})
    frames = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    if lengths is None or not len(lengths):
        texts = splits.train["text"].head(MAX_LENGTHS)
        lengths = [2 + int(len(text) / CHARACTERS_PER_TOKEN) for text in texts]
    whole, cut = np.array(lengths[:MAX_LENGTHS], dtype=np.int64), task.longest(config)
    sizes = {}
    for name, frame in frames.items():
        if frame is not None:
            rows = max(1, int(task.expected_rows(config, len(frame), float(whole.mean()) * len(frame))))
            limit = config.max_train_rows if name == "train" else task.held_out_limit(config)
            sizes[name] = min(rows, limit) if limit else rows
    if not task.text_length(config):  # texts are joined: all rows but the last are full
        return np.full(min(sizes["train"], MAX_LENGTHS), cut), sizes
    return np.minimum(whole, cut), sizes
