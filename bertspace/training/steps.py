"""The steps of an epoch: batches, optimizer and schedule, and what others ask for between two steps."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from bertspace import hardware
from bertspace.errors import TrainingError
from bertspace.models import tuning
from bertspace.models.batching import EpochBatches, Keys
from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.training import checkpoints, sharding
from bertspace.training.session import Session

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch.utils.data import DataLoader

    from bertspace.training.progress import Progress

Batch = dict[str, Any]  # tensors by name, and how much there is of it

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
    steps, total = config.steps_an_epoch(len(sampler)), config.total_steps(len(sampler))
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
    mark = time.monotonic()
    for batches in _of_a_step(plan.loader, config.gradient_accumulation):
        rate = plan.scheduler.get_last_lr()[0]  # of this step: behind it stands the next one's
        loss = _take_step(batches, session, plan, progress)
        progress.trained_seconds += time.monotonic() - mark
        yield TrainEvent(
            "step",
            progress.step,
            plan.total_steps,
            epoch=round(progress.step / plan.steps_an_epoch, 4),
            seconds=clock(),
            loss=loss,
            learning_rate=rate,
            examples=progress.examples,
            tokens=progress.tokens,
        )
        # After the event, so that whoever goes on from here finds the step written down.
        asked, due = _requests(accelerator, config, run, progress, deadline)
        if asked or due:
            keep()
        if asked or progress.step >= plan.total_steps:
            return asked
        mark = time.monotonic()
    return ""


def _of_a_step(loader: Iterable[Batch], count: int) -> Iterator[list[Batch]]:
    """The loader's batches, so many at a time; at the epoch's end those that are left."""
    batches = iter(loader)
    while found := list(islice(batches, count)):
        yield found


def _take_step(batches: list[Batch], session: Session, plan: Plan, progress: Progress) -> float:
    """The mean cross-entropy over all rows (or masked tokens) of the batches, after the step.

    Label smoothing is left out of it, and not of what the step goes by. A row counts the same in whichever
    batch and process it lies. Raises TrainingError for a loss that is not finite, before anything is changed
    by it.
    """
    config, accelerator, model = session.config, session.accelerator, session.model
    rows, tokens, weight, shares = _counts(accelerator, batches)
    told = 0.0
    for batch, share in zip(batches, shares, strict=True):
        # The processes' gradients are brought together once a step.
        with nullcontext() if batch is batches[-1] else accelerator.no_sync(model):
            with accelerator.autocast():
                loss, plain = session.task.loss(model, batch, config.label_smoothing)
            accelerator.backward(loss if share == 1 else loss * share)
        goal, value = _means(accelerator, [loss.detach() * share, plain * share])
        if not math.isfinite(goal + value):
            raise _not_finite(goal + value, progress.step + 1, batch)
        told += value
    if config.max_grad_norm:
        accelerator.clip_grad_norm_(model.parameters(), config.max_grad_norm)
    plan.optimizer.step()
    plan.scheduler.step()
    plan.optimizer.zero_grad()
    progress.step += 1
    progress.batches += len(batches)
    progress.examples += rows
    progress.tokens += tokens
    progress.count_loss(told, weight, plan.total_steps)
    return told


def _counts(accelerator: Accelerator, batches: list[Batch]) -> tuple[int, int, int, list[float]]:
    """Rows, tokens and rows (or masked tokens) that the loss is of in a step, in all processes; and what each
    batch's mean loss is to be multiplied by.

    Gradients of batches are added up and those of processes averaged, however many rows or masks each has:
    weighted so, any number of either trains as one batch in one process.
    """
    counts = [(len(batch["rows"]), batch["tokens"]) if batch["weight"] else (0, 0) for batch in batches]
    weights = [batch["weight"] for batch in batches]
    own = [*map(sum, zip(*counts, strict=True)), sum(weights)]
    if accelerator.num_processes > 1:
        import torch

        mine = torch.tensor(own, dtype=torch.float64 if accelerator.device.type != "mps" else torch.float32)
        own = accelerator.reduce(mine.to(accelerator.device), "sum").tolist()
    rows, tokens, whole = own
    return int(rows), int(tokens), int(whole), [each * accelerator.num_processes / whole for each in weights]


def _means(accelerator: Accelerator, values: list[torch.Tensor]) -> list[float]:
    """Each value's mean over the processes."""
    import torch

    together = torch.stack(values)
    together = accelerator.reduce(together, "mean") if accelerator.num_processes > 1 else together
    found: list[float] = together.tolist()
    return found


def _requests(
    accelerator: Accelerator, config: TrainConfig, run: Run, progress: Progress, deadline: float | None
) -> tuple[str, bool]:
    """What others ask of the run, and whether a checkpoint is due; the main process looks for all."""
    now = time.monotonic()
    minutes = config.checkpoint_minutes
    due = bool(config.checkpoint_steps and progress.step % config.checkpoint_steps == 0)
    due = due or bool(minutes and now - progress.saved_at >= 60 * minutes)
    due = due and (now - progress.saved_at >= checkpoints.APART or not checkpoints.room(run))
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
