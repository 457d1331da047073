"""The steps of an epoch: batches, optimizer and schedule, and what others ask for between two steps."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bertspace import hardware, sharding, tuning
from bertspace.batching import EpochBatches, Keys
from bertspace.errors import TrainingError
from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.session import Session

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch.utils.data import DataLoader

    from bertspace.progress import Progress

STOP, PAUSE = "stop", "pause"
NAMED_ROWS = 8  # rows that are named where a loss is not finite


@dataclass
class Plan:
    loader: DataLoader
    sampler: EpochBatches
    optimizer: Any
    scheduler: Any
    steps_an_epoch: int
    total_steps: int

    def left(self, progress: Progress) -> int:
        """Batches of this epoch that are still to be trained on."""
        self.sampler.begin_at(progress.epoch, progress.batches, progress.seen)
        return len(self.sampler)


def plan_steps(session: Session) -> Plan:
    """Batches, optimizer and schedule, prepared by Accelerate.

    Not the loader: for several processes Accelerate would drop batches of another size than the others, and
    repeat rows; here each process takes its part of every batch.
    """
    import torch
    from accelerate.data_loader import DataLoaderShard
    from transformers import get_scheduler

    config, rows, accelerator = session.config, session.rows["train"], session.accelerator
    sampler = EpochBatches(rows.lengths, config.batch_size, config.seed)
    loader = DataLoaderShard(
        Keys(len(rows)),
        device=accelerator.device,
        batch_sampler=sampler,
        collate_fn=partial(_collate, session=session),
        generator=torch.Generator(),  # else its iter() draws from the global one and shifts the dropout masks
    )
    if session.sharded:
        session.outline = copy.deepcopy(session.model).to("meta")
        sharding.shard(session.model, accelerator.state.fsdp_plugin)
    groups = tuning.parameter_groups(session.model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=hardware.device() != "mps")
    session.model, optimizer = accelerator.prepare(session.model, optimizer)
    steps = math.ceil(len(sampler) / config.gradient_accumulation)
    total = max(1, math.ceil(steps * config.epochs))
    total = min(total, config.max_steps) if config.max_steps else total
    scheduler = get_scheduler(
        config.schedule,
        optimizer,
        num_warmup_steps=math.ceil(total * config.warmup_ratio),
        num_training_steps=total,
    )
    return Plan(loader, sampler, optimizer, accelerator.prepare(scheduler), steps, total)


def _collate(keys: list[tuple[int, int]], session: Session) -> dict[str, Any]:
    """This process's part of a batch, and how much there is of it: rows, or masked tokens."""
    world = session.accelerator
    mine = keys[world.process_index :: world.num_processes]
    # A batch of fewer rows than processes: the others compute along on one that counts nothing.
    batch: dict[str, Any] = session.task.collate(
        mine or keys[:1], session.rows["train"], session.tokenizer, session.config
    )
    # Counted here, before the batch goes to a device that would have to be waited for.
    counted = {
        "weight": session.task.weight(batch) if mine else 0,
        "tokens": int(batch["attention_mask"].sum()),
    }
    return batch | counted


def steps(
    session: Session,
    plan: Plan,
    progress: Progress,
    run: Run,
    clock: Callable[[], float],
    deadline: float | None,
    keep: Callable[[], None],
) -> Generator[TrainEvent, None, str]:
    """The epoch's steps from where it is; what was asked for: "", or STOP or PAUSE.

    keep: writes a checkpoint.
    """
    config, accelerator = session.config, session.accelerator
    session.model.train()
    plan.sampler.begin_at(progress.epoch, progress.batches, progress.seen)
    if progress.step >= plan.total_steps or not len(plan.sampler):
        return ""  # a checkpoint at the epoch's last step
    step_loss, step_batches, mark = 0.0, 0, time.monotonic()
    for batch in plan.loader:
        step_loss, step_batches = step_loss + _train_on(batch, session, plan, progress), step_batches + 1
        if not accelerator.sync_gradients:
            continue
        progress.step += 1
        progress.epoch_loss += step_loss
        progress.epoch_batches += step_batches
        progress.trained_seconds += time.monotonic() - mark
        yield TrainEvent(
            "step",
            progress.step,
            plan.total_steps,
            epoch=round(progress.step / plan.steps_an_epoch, 4),
            seconds=clock(),
            loss=step_loss / step_batches,
            learning_rate=plan.scheduler.get_last_lr()[0],
            examples=progress.examples,
            tokens=progress.tokens,
        )
        step_loss, step_batches = 0.0, 0
        # After the event, so that whoever goes on from here finds the step written down.
        asked, due = _requests(accelerator, config, run, progress, deadline)
        if asked or due:
            keep()
        if asked or progress.step >= plan.total_steps:
            return asked
        mark = time.monotonic()
    return ""


def _train_on(batch: dict[str, Any], session: Session, plan: Plan, progress: Progress) -> float:
    """The batch's mean loss, after its gradients were added up and, where they all are, the step was taken.

    Raises TrainingError for a loss that is not finite, before anything is changed by it.
    """
    config, accelerator, model = session.config, session.accelerator, session.model
    with accelerator.accumulate(model):
        rows, tokens, share = _counts(accelerator, batch)
        with accelerator.autocast():
            loss = session.task.loss(model, batch, config.label_smoothing)
        accelerator.backward(loss if share == 1 else loss * share)
        value = _mean(accelerator, loss.detach() * share)
        if not math.isfinite(value):
            raise _not_finite(value, progress.step + 1, batch)
        if accelerator.sync_gradients and config.max_grad_norm:
            accelerator.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        plan.optimizer.step()
        plan.scheduler.step()
        plan.optimizer.zero_grad()
    progress.batches += 1
    progress.examples += rows
    progress.tokens += tokens
    return value


def _counts(accelerator: Accelerator, batch: dict[str, Any]) -> tuple[int, int, float]:
    """Rows and tokens of the batch in all processes, and what this one's mean loss is to be multiplied by.

    Processes' gradients are averaged, and their parts of a batch are not alike in size: weighted so, any
    number of processes trains as one.
    """
    own = [len(batch["rows"]), batch["tokens"], batch["weight"]]
    if accelerator.num_processes == 1:
        return own[0], own[1], 1.0
    import torch

    if not batch["weight"]:
        own = [0, 0, 0]
    mine = torch.tensor(own, dtype=torch.float64 if accelerator.device.type != "mps" else torch.float32)
    rows, tokens, weight = accelerator.reduce(mine.to(accelerator.device), "sum").tolist()
    return int(rows), int(tokens), own[2] * accelerator.num_processes / weight


def _mean(accelerator: Accelerator, value: torch.Tensor) -> float:
    return (accelerator.reduce(value, "mean") if accelerator.num_processes > 1 else value).item()


def _requests(
    accelerator: Accelerator, config: TrainConfig, run: Run, progress: Progress, deadline: float | None
) -> tuple[str, bool]:
    """What others ask of the run, and whether a checkpoint is due; the main process looks for all."""
    now = time.monotonic()
    minutes = config.checkpoint_minutes
    due = bool(config.checkpoint_steps and progress.step % config.checkpoint_steps == 0)
    due = due or bool(minutes and now - progress.saved_at >= 60 * minutes)
    stop = run.stop_requested() or (deadline is not None and now >= deadline)
    flags = (stop, not stop and run.pause_requested(), due)
    if accelerator.num_processes > 1:
        import torch

        mine = torch.tensor([float(flag and accelerator.is_main_process) for flag in flags])
        flags = tuple(flag > 0 for flag in accelerator.reduce(mine.to(accelerator.device), "sum").tolist())
    return (STOP if flags[0] else PAUSE if flags[1] else ""), flags[2]


def _not_finite(value: float, step: int, batch: dict[str, Any]) -> TrainingError:
    rows = sorted(batch["rows"].tolist())
    named = ", ".join(map(str, rows[:NAMED_ROWS])) + (" …" if len(rows) > NAMED_ROWS else "")
    return TrainingError(
        f"The loss is {value} at step {step}, on the training rows {named} (counted from 0).",
        hint="Copy its settings into a new run with a lower learning rate, or with precision fp32.",
    )
