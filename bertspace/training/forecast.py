"""What a training will take in seconds and memory: from trial batches before step 1, or roughly on the page.

The longest batch is among those tried, so that too little memory shows itself in the first seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertspace import hardware
from bertspace.data import Splits
from bertspace.models import evaluation, tuning
from bertspace.models.batching import epoch_batches, sorted_batches
from bertspace.models.probe import MOST_ROWS
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS
from bertspace.training import pace, sharding
from bertspace.training.pace import Line

if TYPE_CHECKING:
    import numpy as np

    from bertspace.training.session import Session

SAVED_A_SECOND = 300e6  # bytes of weights written and synced, on a common disk
ADAM_BYTES, GRADIENT_BYTES = 8, 4  # two fp32 values and one for each value that is trained
SLACK = 1.3  # by how much the heap outgrows what a step needs: sizes differ from batch to batch
START_SECONDS, START_BYTES = 4.0, 650e6  # of a worker with its libraries, before it has read anything
PROBE_SECONDS = 0.5
LONG = 3.0  # seconds of the longest batch, from which on it is not tried again
CHARACTERS_A_TOKEN = 4.5  # of English in the vocabularies of BERT and its kin
MOST_LENGTHS = 2000  # rows that the page's forecast makes batches of


@dataclass(frozen=True)
class Forecast:
    """What a training is thought to take: seconds, and the most bytes that its process will hold."""

    seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class Trial:
    """What the trial batches took in training and in scoring, an optimizer's step, and the bytes held."""

    training: Line
    scoring: Line
    update_seconds: float
    memory_bytes: int


# Before step 1, in the run's own process


def tried(session: Session) -> Trial:
    """The longest batch and two of epoch 1, forward and backward; nothing of it is left behind.

    Weights, mode and random states are as they were before. Memory errors pass through as they are.
    """
    config, lengths = session.config, session.rows["train"].lengths
    by_size = epoch_batches(lengths, config.batch_size, config.seed, 1)
    by_size.sort(key=lambda rows: int(padded([rows], lengths)[0]))
    batches = [sorted_batches(lengths, config.batch_size)[0]]
    batches += [by_size[len(by_size) // 2], by_size[len(by_size) // 10]]
    sizes = padded(batches, lengths)
    before, held = pace.held_bytes(), [0]
    with _as_it_was(session):
        # Training first: FSDP2 makes its buffers at its first pass, and those of inference mode stay so.
        training = _line(sizes, lambda place: _step(session, batches[place], held), session.sharded)
        scoring = _line(sizes, lambda place: _score(session, batches[place]), session.sharded)
        update = pace.update_seconds(_updated(session), next(session.model.parameters()).device)
    return Trial(training, scoring, update, int(before + SLACK * max(0, max(held) - before)))


def forecast(trial: Trial, session: Session, total_steps: int, done: int = 0) -> Forecast:
    """From the trial and the batches there will be: the seconds from step `done` to the end of the run."""
    config, processes = session.config, session.accelerator.num_processes
    train = session.rows["train"].lengths
    batches = padded(epoch_batches(train, config.batch_size, config.seed, 1), train)
    steps = config.steps_an_epoch(len(batches))
    seconds = trial.training.seconds(len(batches), batches.sum()) / processes * (total_steps - done) / steps
    seconds += trial.update_seconds * (total_steps - done)
    _, values = tuning.trained_count(session.model)
    updated = _updated(session)
    epochs = math.ceil(total_steps / steps) - done // steps
    for name, times in (("validation", epochs), ("test", 1)):
        if name in session.rows:
            lengths = session.rows[name].lengths
            scored = padded(sorted_batches(lengths, config.batch_size), lengths)
            seconds += trial.scoring.seconds(len(scored), scored.sum()) / processes * times
    seconds += epochs * saving_seconds(values)
    memory = trial.memory_bytes
    if next(session.model.parameters()).device == session.accelerator.device:  # not kept in the host's
        memory += ADAM_BYTES * updated
        memory += GRADIENT_BYTES * updated if config.gradient_accumulation > 1 else 0
    return Forecast(seconds, max(hardware.peak_memory_bytes(), memory))


def _updated(session: Session) -> int:
    """Values that this process's optimizer changes and keeps a state of."""
    trained, _ = tuning.trained_count(session.model)
    return math.ceil(trained / session.accelerator.num_processes) if session.sharded else trained


def saving_seconds(values: int) -> float:
    """Of a model's fp32 values to disk."""
    return 4 * values / SAVED_A_SECOND


def padded(batches: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
    """Tokens of each batch, padding counted: (batches,)."""
    import numpy as np

    return np.array([len(rows) * int(lengths[rows].max()) for rows in batches], dtype=np.int64)


def _line(sizes: np.ndarray, work: Callable[[int], None], together: bool) -> Line:
    """By working on the places 0 (the longest), 1 and 2; of each size its shortest time.

    Kernels that are picked and memory that is touched for the first time only add to it, in the second
    training step too: by a half where steps take a second. together: all processes have to do as much, so
    that no clock may decide.
    """
    first = _seconds(work, 0)
    places = (2, 1, 0) if together or first < LONG else (2, 1)
    most = 1 if together else pace.ROUNDS
    found: dict[int, float] = {}
    for place, seconds in pace.rounds(lambda place: _seconds(work, place), places, most):
        size = int(sizes[place])
        found[size] = min(seconds, found.get(size, seconds))
    return pace.fitted(list(found), list(found.values()))


def _seconds(work: Callable[[int], None], place: int) -> float:
    begin = time.perf_counter()
    work(place)
    return time.perf_counter() - begin


def _step(session: Session, rows: np.ndarray, held: list[int]) -> None:
    """What training does with its part of a batch, up to the gradients, which are dropped.

    Notes the bytes held. Without DistributedDataParallel's wrapper, so that no process waits for another.
    """
    accelerator, config, train = session.accelerator, session.config, session.rows["train"]
    own = rows[accelerator.process_index :: accelerator.num_processes]
    keys = [(1, int(row)) for row in (own if len(own) else rows[:1])]
    batch = session.task.collate(keys, train, session.tokenizer, config)
    inputs = {name: value.to(accelerator.device) for name, value in batch.items()}
    model = accelerator.unwrap_model(session.model)
    model.train()
    with accelerator.autocast():
        loss, _ = session.task.loss(model, inputs, config.label_smoothing)
    held.append(pace.held_bytes())
    accelerator.backward(loss)
    pace.synchronize(accelerator.device)
    held.append(pace.held_bytes())
    session.model.zero_grad(set_to_none=True)


def _score(session: Session, rows: np.ndarray) -> None:
    model, task, train = session.accelerator.unwrap_model(session.model), session.task, session.rows["train"]
    evaluation.parts(model, task.table, [rows], train, task, session.tokenizer, session.config)


@contextmanager
def _as_it_was(session: Session) -> Iterator[None]:
    """Without gradients, and with the mode and the random states of now, when the block ends."""
    training = session.model.training
    with pace.unchanged_chance(session.accelerator.device):
        try:
            yield
        finally:
            session.model.zero_grad(set_to_none=True)
            session.model.train(training)
            if session.sharded:
                sharding.let_go(session.model)


# Before the start, on the page


def before(
    config: TrainConfig, splits: Splits, lengths: Sequence[int] | np.ndarray | None = None
) -> Forecast:
    """Of the whole run, roughly: from the model's pace, measured once, and the lengths of training rows.

    lengths: tokens of some of the rows, not cut; None where they are not known. Raises BertspaceError where
    the model cannot be had, or has fewer layers than are to be frozen.
    """
    model = pace.of(config, splits)
    if config.freeze_layers > model.layers:
        raise tuning.too_many_layers(config.freeze_layers, model.layers)
    train, sizes = _expected(config, splits, lengths, model.longest)
    count = sizes.pop("train")
    batches = math.ceil(count / config.batch_size)
    steps, total = config.steps_an_epoch(batches), config.total_steps(batches)
    epochs, trained = math.ceil(total / steps), model.trained(config)

    made = epoch_batches(train, config.batch_size, config.seed, 1)
    a_row = padded(made, train).sum() / len(train)  # tokens with padding
    seconds = START_SECONDS + model.step(config).seconds(batches, a_row * count) * total / steps
    seconds += model.update_a_value * trained * total + epochs * saving_seconds(model.values)
    base = (
        PROBE_SECONDS + model.scoring(config, min(count, MOST_ROWS), train.mean())
        if splits.label_names
        else 0
    )
    seconds += base
    for name, rows in sizes.items():
        seconds += model.scoring(config, rows, train.mean()) * (1 + (epochs if name == "validation" else 1))
    rows, width = min(config.batch_size, count), int(train.max())
    memory = SLACK * (model.activation_bytes(rows, width, config) + GRADIENT_BYTES * trained)
    copies = 2 if config.lora_rank else 1  # LoRA's updates are added to a copy when the model is saved
    memory += ADAM_BYTES * trained + 4 * model.values * copies
    memory += START_BYTES if hardware.device() == "cpu" else 0
    return Forecast(seconds, int(memory))


def _expected(
    config: TrainConfig, splits: Splits, lengths: Sequence[int] | np.ndarray | None, longest: int
) -> tuple[np.ndarray, dict[str, int]]:
    """Tokens of some training rows as they will be, and how many rows each split will have."""
    import numpy as np

    frames = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    sizes = {name: len(frame) for name, frame in frames.items() if frame is not None}
    if lengths is None or not len(lengths):
        texts = splits.train["text"].head(MOST_LENGTHS)
        lengths = [2 + int(len(text) / CHARACTERS_A_TOKEN) for text in texts]
    found = np.array(lengths[:MOST_LENGTHS], dtype=np.int64)
    task = TASKS[config.task]
    cut = min(task.longest(config), longest)
    mean = float(found.mean())
    sizes = {name: max(1, int(task.expected_rows(config, rows, mean * rows))) for name, rows in sizes.items()}
    if limit := task.held_out_limit(config):
        limits = {"train": config.max_train_rows}
        sizes = {name: min(rows, limits.get(name, limit)) for name, rows in sizes.items()}
    if not task.text_length(config):  # texts are joined: all rows but the last are full
        return np.full(min(sizes["train"], MOST_LENGTHS), cut), sizes
    return np.minimum(found, cut), sizes
