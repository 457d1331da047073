"""The optimizer steps of an epoch, and the requests and checkpoints between two of them."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from bertspace import hardware
from bertspace.errors import TrainingError
from bertspace.models import tuning
from bertspace.models.batching import EpochBatches, Keys
from bertspace.schema import TrainEvent
from bertspace.training import checkpoints, sharding
from bertspace.training.training import Training

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

Batch = dict[str, Any]  # tensors by name, and how much there is of it

STOP, PAUSE = "stop", "pause"
MAX_NAMED_ROWS = 8  # in the message on a loss that is not finite


def prepare(training: Training) -> None:
    """Make the training's batches, optimizer and schedule, prepared by Accelerate.

    Not the loader: for several processes Accelerate would drop batches of another size than the others, and
    repeat rows; here each process takes its part of every batch.
    """
    import torch
    from transformers import get_scheduler

    config, accelerator = training.config, training.accelerator
    _make_loader(training)
    if training.sharded:
        training.outline = copy.deepcopy(training.model).to("meta")
        sharding.shard(training.model, accelerator.state.fsdp_plugin)
    groups = tuning.parameter_groups(training.model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=hardware.device() != "mps")
    training.model, training.optimizer = accelerator.prepare(training.model, optimizer)
    scheduler = get_scheduler(
        config.schedule,
        training.optimizer,
        num_warmup_steps=math.ceil(training.total_steps * config.warmup_ratio),
        num_training_steps=training.total_steps,
    )
    training.scheduler = accelerator.prepare(scheduler)


def _make_loader(training: Training) -> None:
    import torch
    from accelerate.data_loader import DataLoaderShard

    config, rows = training.config, training.rows["train"]
    training.sampler = EpochBatches(rows.lengths, config.batch_size, config.seed)
    training.loader = DataLoaderShard(
        Keys(len(rows)),
        device=training.accelerator.device,
        batch_sampler=training.sampler,
        collate_fn=partial(_collate, training=training),
        generator=torch.Generator(),  # else its iter() draws from the global one and shifts the dropout masks
    )


def _collate(keys: list[tuple[int, int]], training: Training) -> Batch:
    """This process's part of a batch, and how much there is of it: rows, or masked tokens."""
    world = training.accelerator
    mine = keys[world.process_index :: world.num_processes]
    # A batch of fewer rows than processes: the others compute along on one that counts nothing.
    batch: Batch = training.task.collate(
        mine or keys[:1], training.rows["train"], training.tokenizer, training.config
    )
    # Counted here, before the batch goes to a device that would have to be waited for.
    weight = training.task.weight(batch) if mine else 0
    return batch | {"weight": weight, "tokens": int(batch["attention_mask"].sum())}


def batches_left(training: Training) -> int:
    """Set the sampler to the first batch that is still to come; how many of this epoch there are."""
    progress = training.progress
    training.sampler.begin_at(progress.epoch, progress.batches, progress.seen)
    return len(training.sampler)


def steps(training: Training, deadline: float | None) -> Generator[TrainEvent, None, str]:
    """Take the steps that the epoch has left; what was requested: "", STOP or PAUSE."""
    progress, scheduler = training.progress, training.scheduler
    training.model.train()
    if training.all_steps_done or not batches_left(training):
        return ""  # a checkpoint at the epoch's last step
    begin = time.monotonic()
    for batches in _of_a_step(training.loader, training.config.gradient_accumulation):
        rate = scheduler.get_last_lr()[0]  # of this step: after it, it is the next one's
        loss = _take_step(batches, training)
        progress.trained_seconds += time.monotonic() - begin
        yield training.event(
            "step",
            epoch=training.epoch,
            loss=loss,
            learning_rate=rate,
            examples=progress.examples,
            tokens=progress.tokens,
        )
        # After the event, so that whoever resumes from here finds the step written down.
        request, due = _requests(training, deadline)
        if request or due:
            checkpoints.save(training)
        if request or training.all_steps_done:
            return request
        begin = time.monotonic()
    return ""


def _of_a_step(loader: Iterable[Batch], count: int) -> Iterator[list[Batch]]:
    """The loader's batches, so many at a time; at the epoch's end those that are left."""
    batches = iter(loader)
    while of_a_step := list(islice(batches, count)):
        yield of_a_step


def _take_step(batches: list[Batch], training: Training) -> float:
    """Take one optimizer step; the mean cross-entropy over all rows (or masked tokens) of its batches.

    The returned loss leaves label smoothing out, the gradients do not. A row counts the same in whichever
    batch and process it lies. Raises TrainingError for a loss that is not finite, before any weight changes.
    """
    progress = training.progress
    rows, tokens, weight, shares = _counts(training.accelerator, batches)
    loss = _accumulate_gradients(batches, shares, training)
    if max_norm := training.config.max_grad_norm:
        training.accelerator.clip_grad_norm_(training.model.parameters(), max_norm)
    training.optimizer.step()
    training.scheduler.step()
    training.optimizer.zero_grad()
    progress.step += 1
    progress.batches += len(batches)
    progress.examples += rows
    progress.tokens += tokens
    progress.count_loss(loss, weight, training.total_steps)
    return loss


def _accumulate_gradients(batches: list[Batch], shares: list[float], training: Training) -> float:
    """Add up the batches' gradients, each weighted by its share; the mean cross-entropy of all."""
    accelerator, model = training.accelerator, training.model
    total = 0.0
    for batch, share in zip(batches, shares, strict=True):
        # The processes' gradients are brought together once a step.
        with nullcontext() if batch is batches[-1] else accelerator.no_sync(model):
            with accelerator.autocast():
                loss, plain = training.task.loss(model, batch, training.config.label_smoothing)
            accelerator.backward(loss if share == 1 else loss * share)
        smoothed, value = _means(accelerator, [loss.detach() * share, plain * share])
        if not math.isfinite(smoothed + value):
            raise _not_finite(smoothed + value, training.progress.step + 1, batch)
        total += value
    return total


def _counts(accelerator: Accelerator, batches: list[Batch]) -> tuple[int, int, int, list[float]]:
    """Rows, tokens and loss weight (rows, or masked tokens) of a step in all processes; each batch's share.

    Gradients of batches are added up and those of processes averaged, however many rows or masks each has:
    with each batch's mean loss multiplied by its share, any number of batches and processes trains as one.
    """
    counts = [(len(batch["rows"]), batch["tokens"]) if batch["weight"] else (0, 0) for batch in batches]
    weights = [batch["weight"] for batch in batches]
    sums = [*map(sum, zip(*counts, strict=True)), sum(weights)]
    if accelerator.num_processes > 1:
        import torch

        mine = torch.tensor(sums, dtype=torch.float64 if accelerator.device.type != "mps" else torch.float32)
        sums = accelerator.reduce(mine.to(accelerator.device), "sum").tolist()
    rows, tokens, whole = sums
    return int(rows), int(tokens), int(whole), [each * accelerator.num_processes / whole for each in weights]


def _means(accelerator: Accelerator, values: list[torch.Tensor]) -> list[float]:
    """Each value's mean over the processes."""
    import torch

    stacked = torch.stack(values)
    stacked = accelerator.reduce(stacked, "mean") if accelerator.num_processes > 1 else stacked
    means: list[float] = stacked.tolist()
    return means


def _requests(training: Training, deadline: float | None) -> tuple[str, bool]:
    """STOP, PAUSE or "", and whether a checkpoint is due; the main process decides for all."""
    accelerator, run = training.accelerator, training.run
    stop = run.stop_requested() or (deadline is not None and time.monotonic() >= deadline)
    flags = (stop, not stop and run.pause_requested(), _checkpoint_is_due(training))
    if accelerator.num_processes > 1:
        import torch

        mine = torch.tensor([float(flag and accelerator.is_main_process) for flag in flags])
        flags = tuple(flag > 0 for flag in accelerator.reduce(mine.to(accelerator.device), "sum").tolist())
    return (STOP if flags[0] else PAUSE if flags[1] else ""), flags[2]


def _checkpoint_is_due(training: Training) -> bool:
    config, progress = training.config, training.progress
    since = time.monotonic() - progress.saved_at
    by_steps = config.checkpoint_steps and progress.step % config.checkpoint_steps == 0
    by_clock = config.checkpoint_minutes and since >= 60 * config.checkpoint_minutes
    if not (by_steps or by_clock):
        return False
    return since >= checkpoints.MIN_SECONDS_APART or not checkpoints.storage_limit(training.run)


def _not_finite(loss: float, step: int, batch: Batch) -> TrainingError:
    rows = sorted(batch["rows"].tolist())
    named = ", ".join(map(str, rows[:MAX_NAMED_ROWS])) + (" …" if len(rows) > MAX_NAMED_ROWS else "")
    return TrainingError(
        f"The loss is {loss} at step {step}, on the training rows {named} (counted from 0).",
        hint="Copy its settings into a new run with a lower learning rate, or with precision fp32.",
    )
