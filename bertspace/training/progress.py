"""Where a training is, its best epoch among it; kept in checkpoints and set back from them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from bertspace.models.batching import epoch_batches
from bertspace.runs import Run
from bertspace.schema import TrainConfig
from bertspace.tasks import METRICS, Task
from bertspace.training import checkpoints
from bertspace.training.session import Session, put_back, save_model
from bertspace.training.steps import Plan

if TYPE_CHECKING:
    import numpy as np

FEW_STEPS = 4  # below, no quarter of them has a step of its own
HARDLY = 0.03  # share of the loss: less is within what single batches differ by


@dataclass
class Progress:
    """Where a training is; what a checkpoint keeps of it, beside tensors and generators.

    epoch: the one at work, from 1. batches: done in it (by all processes together), after the rows in `seen`,
    which were trained on in batches of another size. seconds: of work until the last checkpoint.
    epoch_loss: the epoch's losses added up, of epoch_weight rows (or masked tokens). quarters: the same of
    each quarter of the training's steps.
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
    saved_at: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Progress:
        """From a checkpoint's values; of one of an earlier version the epoch's loss counts from here on."""
        known = {each.name for each in fields(cls)}
        found = cls(**{name: value for name, value in values.items() if name in known})
        if "epoch_weight" not in values:
            found.epoch_loss = 0.0
        return found

    @property
    def scored(self) -> bool:
        """Whether the validation rows were scored since the last step: a checkpoint may lie in between."""
        return bool(self.epochs) and self.epochs[-1]["step"] == self.step

    def begin_epoch(self) -> None:
        self.epoch, self.batches, self.seen = self.epoch + 1, 0, []
        self.epoch_loss, self.epoch_weight = 0.0, 0

    def count_loss(self, loss: float, weight: int, total_steps: int) -> None:
        """Take in a step's mean loss over so many rows (or masked tokens); the step is counted already."""
        self.epoch_loss += loss * weight
        self.epoch_weight += weight
        quarter = self.quarters[min(3, 4 * (self.step - 1) // total_steps)]
        quarter[0] += loss * weight
        quarter[1] += weight


class Best:
    """Which epoch's model is kept: the best by the metric where that is asked for, else the last."""

    def __init__(self, task: Task, config: TrainConfig) -> None:
        self.task, self.patience = task, config.patience
        self.metric = config.best_metric or task.headline
        self.chosen = bool(config.best_metric or config.patience)
        self.value: float | None = None
        self.step, self.waited = 0, 0
        self.table: dict[str, np.ndarray] = {}

    def offer(self, metrics: dict[str, float], step: int, table: dict[str, np.ndarray]) -> bool:
        """Take an epoch's metrics in; whether its model is to be kept."""
        best = math.nan if self.value is None else self.value  # anything is better than no number
        known = not math.isnan(best)
        if self.chosen and known and not METRICS[self.metric].is_better(metrics[self.metric], best):
            self.waited += 1
            return False
        self.value, self.step, self.table, self.waited = metrics[self.metric], step, table, 0
        return True

    def patience_is_over(self) -> bool:
        return bool(self.patience) and self.waited >= self.patience

    def words(self, progress: Progress, total_steps: int) -> str:
        """Which epoch's model is kept and by what, and why the training ended before its last step."""
        metric = METRICS[self.metric].phrase
        epoch = next((each["epoch"] for each in progress.epochs if each["step"] == self.step), 0.0)
        if not self.chosen:
            return f"The model is that of the last step ({self.step:,}); no metric chose it."
        told = f"The model is that of epoch {epoch:g} (step {self.step:,}), the best of "
        told += f"{len(progress.epochs):,} by {metric} on the validation rows."
        if not self.patience_is_over() or progress.step >= total_steps:
            return told
        epochs = "epoch" if self.patience == 1 else f"{self.patience:,} epochs"
        why = f"The training ended early, after step {progress.step:,} of {total_steps:,}"
        return f"{told} {why}: the last {epochs} had no better {metric}."


def hints(progress: Progress, config: TrainConfig) -> Iterator[str]:
    """What to try where the training loss hardly changed, or rose; nothing of a few steps."""
    if progress.step < FEW_STEPS:
        steps = "step was" if progress.step == 1 else "steps were"
        yield f"Only {progress.step:,} {steps} taken: train for more epochs, or in smaller batches."
        return
    first, last = (total / weight for total, weight in (progress.quarters[0], _last(progress.quarters)))
    rate = f"{config.learning_rate:g}" if config.learning_rate is not None else "the model's own"
    told = f"({first:.3f} in the first quarter of the steps, {last:.3f} in the last)"
    if last > first * (1 + HARDLY):
        yield f"The training loss rose {told}: lower the learning rate from {rate}."
    elif last > first * (1 - HARDLY):
        lora = " (LoRA usually takes ten times that of training all weights)" if config.lora_rank else ""
        raised = f"raise the learning rate from {rate}{lora}"
        more = f"train for more epochs than {config.epochs:g}"
        yield f"The training loss hardly changed {told}: {raised}, or {more}."


def _last(quarters: list[list[float]]) -> list[float]:
    """The last quarter that has steps: a run may be stopped before the fourth."""
    return next(each for each in reversed(quarters) if each[1])


def keep(session: Session, plan: Plan, progress: Progress, best: Best, run: Run, seconds: float) -> None:
    progress.seconds, progress.batch_size = seconds, session.config.batch_size
    values = {
        "progress": {name: value for name, value in asdict(progress).items() if name != "saved_at"},
        "best": {"value": best.value, "step": best.step, "waited": best.waited},
    }
    checkpoints.save(
        run,
        progress.step,
        values,
        best.table,
        session.accelerator.unwrap_model(session.model),
        plan.optimizer.optimizer,
        plan.scheduler.scheduler,
        session.accelerator,
    )
    progress.saved_at = time.monotonic()


def go_on(
    kept: checkpoints.Checkpoint, session: Session, plan: Plan, progress: Progress, best: Best, run: Run
) -> None:
    """Set everything back to the checkpoint, the model on disk with it."""
    best.value, best.step, best.waited = (kept.values["best"][name] for name in ("value", "step", "waited"))
    best.table = checkpoints.restore(
        kept,
        session.accelerator.unwrap_model(session.model),
        plan.optimizer.optimizer,
        plan.scheduler.scheduler,
        session.accelerator,
    )
    if progress.batch_size != session.config.batch_size and progress.batches:
        _count_rows_instead(session, progress)
    if not put_back(session, run) and best.chosen and best.step == progress.step:
        save_model(session, run.path / "model")  # the process may have died just before it did


def _count_rows_instead(session: Session, progress: Progress) -> None:
    """Batches of another size done in this epoch, as rows that the rest of it leaves out."""
    lengths, seed = session.rows["train"].lengths, session.config.seed
    done = epoch_batches(lengths, progress.batch_size, seed, progress.epoch, progress.seen)
    rows = [int(row) for batch in done[: progress.batches] for row in batch]
    progress.seen, progress.batches = [*progress.seen, *rows], 0
