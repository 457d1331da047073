"""How far a training has come, which epoch is its best, and what to try next. Holds no tensors."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from bertspace.schema import TrainConfig
from bertspace.tasks import METRICS, Task

if TYPE_CHECKING:
    import numpy as np

MIN_STEPS_TO_JUDGE = 4  # fewer, and a quarter of them has no step of its own
MIN_LOSS_CHANGE = 0.03  # share of the loss; single batches differ by as much
NOT_STORED = ("started_at", "saved_at")


@dataclass
class TrainingProgress:
    """How far a training has come, as its checkpoints store it beside tensors and random states.

    epoch: the current one, from 1. batches: done in it (by all processes together), after the rows in `seen`,
    which were trained on in batches of another size. batch_size: of the checkpoint. seconds: of work before
    this process. epoch_loss: the epoch's losses added up, over epoch_weight rows (or masked tokens).
    quarters: the same of each quarter of the training's steps. base: the scores of the untuned base.
    started_at, saved_at: time.monotonic of this process's start and last checkpoint.
    """

    epoch: int = 1
    batches: int = 0
    batch_size: int = 0
    seen: list[int] = field(default_factory=list)
    step: int = 0
    examples: int = 0
    tokens: int = 0
    trained_seconds: float = 0.0
    seconds: float = 0.0
    epoch_loss: float = 0.0
    epoch_weight: int = 0
    quarters: list[list[float]] = field(default_factory=lambda: [[0.0, 0] for _ in range(4)])
    epochs: list[dict[str, float]] = field(default_factory=list)
    base: dict[str, Any] = field(default_factory=dict)
    started_at: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingProgress:
        """From a checkpoint; with one of an earlier version the epoch's loss is counted from here on."""
        known = {each.name for each in fields(cls)} - set(NOT_STORED)
        progress = cls(**{name: value for name, value in values.items() if name in known})
        if "epoch_weight" not in values:
            progress.epoch_loss = 0.0
        return progress

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint that is written now."""
        values = asdict(self) | {"seconds": self.elapsed()}
        return {name: value for name, value in values.items() if name not in NOT_STORED}

    def elapsed(self) -> float:
        """Seconds of work on the run, those before its last checkpoint among them."""
        return round(self.seconds + time.monotonic() - self.started_at, 3)

    @property
    def is_scored(self) -> bool:
        """Whether the validation rows were scored since the last step: a checkpoint may lie in between."""
        return bool(self.epochs) and self.epochs[-1]["step"] == self.step

    def begin_epoch(self) -> None:
        self.epoch, self.batches, self.seen = self.epoch + 1, 0, []
        self.epoch_loss, self.epoch_weight = 0.0, 0

    def count_loss(self, loss: float, weight: int, total_steps: int) -> None:
        """Add the mean loss of the step just counted, over so many rows (or masked tokens)."""
        self.epoch_loss += loss * weight
        self.epoch_weight += weight
        quarter = self.quarters[min(3, 4 * (self.step - 1) // total_steps)]
        quarter[0] += loss * weight
        quarter[1] += weight


class Best:
    """The epoch whose model is saved: the best by the metric where one is asked for, else the last.

    table: the validation rows' results of that epoch. waited: epochs since without a better one.
    """

    def __init__(self, task: Task, config: TrainConfig) -> None:
        self.patience = config.patience
        self.metric = config.best_metric or task.headline
        self.chosen = bool(config.best_metric or config.patience)
        self.value: float | None = None
        self.step, self.waited = 0, 0
        self.table: dict[str, np.ndarray] = {}

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint stores beside the table."""
        return {"value": self.value, "step": self.step, "waited": self.waited}

    def restore(self, values: Mapping[str, Any], table: dict[str, np.ndarray]) -> None:
        self.value, self.step, self.waited = values["value"], values["step"], values["waited"]
        self.table = table

    def offer(self, metrics: dict[str, float], step: int, table: dict[str, np.ndarray]) -> bool:
        """Compare an epoch with the best so far; whether its model is to be saved."""
        value, best = metrics[self.metric], math.nan if self.value is None else self.value
        # Anything is better than NaN.
        if self.chosen and not math.isnan(best) and not METRICS[self.metric].is_better(value, best):
            self.waited += 1
            return False
        self.value, self.step, self.table, self.waited = value, step, table, 0
        return True

    def patience_is_over(self) -> bool:
        return bool(self.patience) and self.waited >= self.patience

    def sentence(self, progress: TrainingProgress, total_steps: int) -> str:
        """Which epoch's model is saved and why, and why the training ended before its last step."""
        metric = METRICS[self.metric].phrase
        epoch = next((each["epoch"] for each in progress.epochs if each["step"] == self.step), 0.0)
        if not self.chosen:
            return f"The model is that of the last step ({self.step:,}); no metric chose it."
        text = f"The model is that of epoch {epoch:g} (step {self.step:,}), the best of "
        text += f"{len(progress.epochs):,} by {metric} on the validation rows."
        if not self.patience_is_over() or progress.step >= total_steps:
            return text
        epochs = "epoch" if self.patience == 1 else f"{self.patience:,} epochs"
        why = f"The training ended early, after step {progress.step:,} of {total_steps:,}"
        return f"{text} {why}: the last {epochs} had no better {metric}."


def hints(progress: TrainingProgress, config: TrainConfig) -> Iterator[str]:
    """What to try where the training loss hardly changed or rose, or where there were few steps."""
    if progress.step < MIN_STEPS_TO_JUDGE:
        steps = "step was" if progress.step == 1 else "steps were"
        yield f"Only {progress.step:,} {steps} taken: train for more epochs, or in smaller batches."
        return
    quarters = [each for each in progress.quarters if each[1]]  # a stop may come before the fourth
    first, last = (total / weight for total, weight in (progress.quarters[0], quarters[-1]))
    rate = f"{config.learning_rate:g}" if config.learning_rate is not None else "the model's own"
    losses = f"({first:.3f} in the first quarter of the steps, {last:.3f} in the last)"
    if last > first * (1 + MIN_LOSS_CHANGE):
        yield f"The training loss rose {losses}: lower the learning rate from {rate}."
    elif last > first * (1 - MIN_LOSS_CHANGE):
        lora = " (LoRA usually takes ten times that of training all weights)" if config.lora_rank else ""
        raised = f"raise the learning rate from {rate}{lora}"
        more = f"train for more epochs than {config.epochs:g}"
        yield f"The training loss hardly changed {losses}: {raised}, or {more}."
