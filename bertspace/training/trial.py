"""Trial batches before step 1: whether the memory suffices, and what the training will take.

The longest batch is among them, so that too little memory shows in the first seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bertspace import hardware
from bertspace.errors import OutOfMemory
from bertspace.models import evaluation, tuning
from bertspace.models.batching import epoch_batches, sorted_batches
from bertspace.schema import TrainConfig
from bertspace.tasks import lighter
from bertspace.training import sharding, timing
from bertspace.training.forecast import (
    ADAM_BYTES,
    GRADIENT_BYTES,
    HEAP_SLACK,
    Forecast,
    padded,
    saving_seconds,
)
from bertspace.training.timing import BatchTime
from bertspace.training.training import Training

if TYPE_CHECKING:
    import numpy as np
    import torch

LONG_SECONDS = 3.0  # a longest batch that takes so long is not tried again


@dataclass(frozen=True)
class Trial:
    """What the trial batches took in training and in scoring, an optimizer's step, and the bytes held."""

    training: BatchTime
    scoring: BatchTime
    update_seconds: float
    memory_bytes: int


def forecast(training: Training) -> Forecast:
    """Forecast what is left of the run; raises OutOfMemory, with a batch that was tried and fits."""
    return extrapolate(_fitting_trial(training), training)


def _fitting_trial(training: Training) -> Trial:
    trial = _try_unless_too_large(training)
    # Where the processes share the weights they all meet it, out of step: none could ask the others.
    if (training.sharded or training.in_every_process(trial is not None)) and trial is not None:
        return trial
    longest = int(training.rows["train"].lengths.max())
    alone = training.accelerator.num_processes == 1 and not training.sharded
    raise OutOfMemory(
        f"Memory ran out on the longest batch: {training.config.batch_size} rows of up to {longest} tokens.",
        hint="Go on with the smaller settings, or free some memory and resume the run.",
        advice=_smaller_batch(training) if alone else lighter(training.config),
    )


def _try_unless_too_large(training: Training) -> Trial | None:
    """The trial; None where memory ran out."""
    try:
        return run(training)
    except Exception as error:
        if not hardware.is_out_of_memory(error):
            raise
        return None


def _smaller_batch(training: Training) -> dict[str, int]:
    """The largest of the halved batches that fits, with as many rows a step as before; else `lighter`."""
    import torch

    config = training.config
    while "batch_size" in (halved := lighter(config)):
        config = TrainConfig.from_dict(config.to_dict() | halved)
        if hardware.device() == "cuda":
            torch.cuda.empty_cache()
        if _try_unless_too_large(replace(training, config=config)):
            return halved
    return lighter(config)


def run(training: Training) -> Trial:
    """Try the longest batch and two of epoch 1, forward and backward; nothing of it is left behind.

    Weights, mode and random states are as they were before. Memory errors pass through as they are.
    """
    config, lengths = training.config, training.rows["train"].lengths
    by_size = epoch_batches(lengths, config.batch_size, config.seed, 1)
    by_size.sort(key=lambda rows: int(padded([rows], lengths)[0]))
    batches = [sorted_batches(lengths, config.batch_size)[0]]
    batches += [by_size[len(by_size) // 2], by_size[len(by_size) // 10]]
    sizes = padded(batches, lengths)
    before, held = timing.held_bytes(), [0]
    world = training.accelerator.device, training.sharded
    with _left_as_it_was(training):
        # Training first: FSDP2 makes its buffers at its first pass, and those of inference mode stay so.
        steps = _times(sizes, lambda place: _step(training, batches[place], held), *world)
        scoring = _times(sizes, lambda place: _score(training, batches[place]), *world)
        device = next(training.model.parameters()).device
        update = timing.update_seconds(_updated_values(training), device)
    return Trial(steps, scoring, update, int(before + HEAP_SLACK * max(0, max(held) - before)))


def extrapolate(trial: Trial, training: Training) -> Forecast:
    """From the trial to all the steps, scorings and savings that are left of the run."""
    config, progress = training.config, training.progress
    left = training.total_steps - progress.step
    steps_per_epoch = config.steps_an_epoch(training.batches_per_epoch)
    epochs = math.ceil(training.total_steps / steps_per_epoch) - progress.step // steps_per_epoch
    train = training.rows["train"].lengths
    batches = padded(epoch_batches(train, config.batch_size, config.seed, 1), train)
    world = training.accelerator.num_processes
    seconds = trial.training.seconds(len(batches), float(batches.sum())) / world * left / steps_per_epoch
    seconds += trial.update_seconds * left
    for name, times in (("validation", epochs), ("test", 1)):
        if name in training.rows:
            lengths = training.rows[name].lengths
            scored = padded(sorted_batches(lengths, config.batch_size), lengths)
            seconds += trial.scoring.seconds(len(scored), float(scored.sum())) / world * times
    seconds += epochs * saving_seconds(tuning.trained_count(training.model)[1])
    return Forecast(seconds, max(hardware.peak_memory_bytes(), _memory_bytes(trial, training)))


def _memory_bytes(trial: Trial, training: Training) -> int:
    """The trial's, with the optimizer's state and accumulated gradients where they lie on the device."""
    updated, memory = _updated_values(training), trial.memory_bytes
    if next(training.model.parameters()).device == training.accelerator.device:  # it may be the host's
        memory += ADAM_BYTES * updated
        memory += GRADIENT_BYTES * updated if training.config.gradient_accumulation > 1 else 0
    return memory


def _updated_values(training: Training) -> int:
    """Values that this process's optimizer changes and keeps a state of."""
    trained, _ = tuning.trained_count(training.model)
    return math.ceil(trained / training.accelerator.num_processes) if training.sharded else trained


def _times(sizes: np.ndarray, work: Callable[[int], None], device: torch.device, together: bool) -> BatchTime:
    """By working on the places 0 (the longest), 1 and 2; of each size its shortest time.

    The first passes do not count: kernels are picked and memory is touched in them, in the second training
    step too, where steps take a second. together: all processes must do as much, so no clock may decide.
    """

    def seconds(place: int) -> float:
        return timing.timed(lambda: work(place), device)

    places = (2, 1) if seconds(0) >= LONG_SECONDS and not together else (2, 1, 0)
    shortest: dict[int, float] = {}
    for place, took in timing.rounds(seconds, places, 1 if together else timing.MAX_ROUNDS):
        size = int(sizes[place])
        shortest[size] = min(took, shortest.get(size, took))
    return timing.fit(list(shortest), list(shortest.values()))


def _step(training: Training, rows: np.ndarray, held: list[int]) -> None:
    """Compute the gradients of this process's part of a batch, note the bytes held, and drop them.

    Without DistributedDataParallel's wrapper, so that no process waits for another.
    """
    accelerator, config, train = training.accelerator, training.config, training.rows["train"]
    own = rows[accelerator.process_index :: accelerator.num_processes]
    keys = [(1, int(row)) for row in (own if len(own) else rows[:1])]
    batch = training.task.collate(keys, train, training.tokenizer, config)
    inputs = {name: value.to(accelerator.device) for name, value in batch.items()}
    model = accelerator.unwrap_model(training.model)
    model.train()
    with accelerator.autocast():
        loss, _ = training.task.loss(model, inputs, config.label_smoothing)
    held.append(timing.held_bytes())
    accelerator.backward(loss)
    timing.synchronize(accelerator.device)
    held.append(timing.held_bytes())
    training.model.zero_grad(set_to_none=True)


def _score(training: Training, rows: np.ndarray) -> None:
    model, task = training.accelerator.unwrap_model(training.model), training.task
    train, config = training.rows["train"], training.config
    evaluation.parts(model, task.table, [rows], train, task, training.tokenizer, config)


@contextmanager
def _left_as_it_was(training: Training) -> Iterator[None]:
    """Drop gradients and set mode and random states back when the block ends."""
    mode = training.model.training
    with timing.same_random_states(training.accelerator.device):
        try:
            yield
        finally:
            training.model.zero_grad(set_to_none=True)
            training.model.train(mode)
            if training.sharded:
                sharding.reshard(training.model)
