"""train(): the Accelerate loop, a generator of TrainEvents. Knows nothing of Gradio, processes and users."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from bertspace import checkpoints, hardware, tuning
from bertspace.baseline import score_base
from bertspace.batching import EpochBatches, Keys, epoch_batches
from bertspace.errors import TrainingError
from bertspace.runs import Run, whole_file, write_atomically
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.session import Session, keep_aside, open_session, put_back, save_model, saved
from bertspace.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from accelerate import Accelerator
    from torch.utils.data import DataLoader

STOP, PAUSE = "stop", "pause"
NAMED_ROWS = 8  # rows that are named where a loss is not finite


def train(config: TrainConfig, run: Run, deadline: float | None = None) -> Iterator[TrainEvent]:
    """Train as `config` says, in `run`'s folder, and yield what happens: one event a step, and a few between.

    Goes on from the run's newest checkpoint where there is one, exactly as if it had never ended. A stop
    asked for through the run, or the deadline (of time.monotonic), ends it after the step at work, with a
    checkpoint and a model that was saved and scored; a pause with a checkpoint alone, and "paused" as the
    last event.
    Leaves model/ (the best epoch where best_metric or patience asks for it, else the last), result.json,
    probe.safetensors and predictions.parquet. Raises BertspaceError.
    """
    kept = checkpoints.newest(run)
    progress = Progress(**kept.values["progress"]) if kept else Progress()
    clock = _clock(progress.seconds)
    yield TrainEvent("status", message="Loading the libraries", seconds=clock())
    from transformers import set_seed

    yield TrainEvent("status", message="Reading the texts", seconds=clock())
    session = open_session(config, run)
    config, accelerator = session.config, session.accelerator
    if not kept:
        yield TrainEvent("status", message="Scoring the base model", seconds=clock())
        progress.base = score_base(session, run)
        yield TrainEvent("base", metrics=progress.base["validation"], seconds=clock())

    plan = _plan(session)
    best = _Best(session.task, config)
    set_seed(config.seed)  # dropout starts from here, whatever was drawn before
    if kept:
        _go_on(kept, session, plan, progress, best, run)
        yield TrainEvent(
            "status", message=f"Going on after step {progress.step:,}", seconds=clock(), step=progress.step
        )
        if progress.scored:
            yield _epoch_event(progress, plan, clock())
    asked = ""
    while not (asked or best.patience_is_over() or (progress.step >= plan.total_steps and progress.scored)):
        asked = yield from _steps(session, plan, progress, best, run, clock, deadline)
        if asked == PAUSE:
            yield TrainEvent("paused", progress.step, plan.total_steps, seconds=clock())
            accelerator.end_training()
            return
        yield TrainEvent(
            "status", progress.step, plan.total_steps, message="Scoring the validation rows", seconds=clock()
        )
        _end_epoch(session, plan, progress, best, run, clock())
        yield _epoch_event(progress, plan, clock())
    stopped = asked == STOP and progress.step < plan.total_steps
    tables = {"validation": best.table}
    if "test" in session.rows and not stopped:
        yield TrainEvent(
            "status", progress.step, plan.total_steps, message="Scoring the test rows", seconds=clock()
        )
        tables["test"] = saved(session, run).evaluate("test")
    scores = {name: session.task.score(table) for name, table in tables.items()}
    if accelerator.is_main_process:
        _write_predictions(tables, run)
        result = _circumstances(session) | _outcome(progress, best, scores, stopped, clock())
        write_atomically(run.path / "result.json", json.dumps(result, indent=1))
        if not stopped:
            checkpoints.clean(run, 0)
    yield TrainEvent(
        "done",
        progress.step,
        plan.total_steps,
        progress.epochs[-1]["epoch"],
        clock(),
        examples=progress.examples,
        metrics=scores.get("test") or scores["validation"],
    )
    accelerator.end_training()


@dataclass
class Progress:
    """Where a training is; what a checkpoint keeps of it, beside tensors and generators.

    epoch: the one at work, from 1. batches: done in it (by all processes together), after the rows in `seen`,
    which were trained on in batches of another size. seconds: of work until the last checkpoint.
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
    epoch_batches: int = 0
    epochs: list[dict[str, float]] = field(default_factory=list)
    base: dict[str, Any] = field(default_factory=dict)
    saved_at: float = field(default_factory=time.monotonic)

    @property
    def scored(self) -> bool:
        """Whether the validation rows were scored since the last step: a checkpoint may lie in between."""
        return bool(self.epochs) and self.epochs[-1]["step"] == self.step

    def begin_epoch(self) -> None:
        self.epoch, self.batches, self.seen = self.epoch + 1, 0, []
        self.epoch_loss, self.epoch_batches = 0.0, 0


def _clock(before: float) -> Callable[[], float]:
    """Seconds of work on this run, those before its last checkpoint among them."""
    begin = time.monotonic() - before
    return lambda: round(time.monotonic() - begin, 3)


# The steps


def _steps(
    session: Session,
    plan: _Plan,
    progress: Progress,
    best: _Best,
    run: Run,
    clock: Callable[[], float],
    deadline: float | None,
) -> Generator[TrainEvent, None, str]:
    """The epoch's steps from where it is; what was asked for: "", or STOP or PAUSE, with a checkpoint."""
    config, accelerator, model = session.config, session.accelerator, session.model
    model.train()
    plan.sampler.begin_at(progress.epoch, progress.batches, progress.seen)
    if progress.step >= plan.total_steps or not len(plan.sampler):
        return ""  # a checkpoint at the epoch's last step
    step_loss, step_batches, mark = 0.0, 0, time.monotonic()
    for batch in plan.loader:
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
        step_loss, step_batches = step_loss + value, step_batches + 1
        progress.batches, progress.examples, progress.tokens = (
            progress.batches + 1,
            progress.examples + rows,
            progress.tokens + tokens,
        )
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
            _checkpoint(session, plan, progress, best, run, clock())
        if asked or progress.step >= plan.total_steps:
            return asked
        mark = time.monotonic()
    return ""


def _counts(accelerator: Accelerator, batch: dict[str, Any]) -> tuple[int, int, float]:
    """Rows and tokens of the batch in all processes, and what this one's mean loss is to be multiplied by.

    Processes' gradients are averaged, and their parts of a batch are not alike in size: weighted so, any
    number of processes trains as one.
    """
    own = [len(batch["rows"]), int(batch["attention_mask"].sum()), batch["weight"]]
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
        hint="Try a lower learning rate, or precision fp32. The last checkpoint is from before this step.",
    )


# Epochs


def _end_epoch(
    session: Session, plan: _Plan, progress: Progress, best: _Best, run: Run, seconds: float
) -> None:
    """Score the validation rows, and keep the model where it is to be kept.

    A model that replaces the best one so far does so after a checkpoint that knows of it, so that the two
    never disagree, whenever the process dies. The model of an epoch that a stop cut short replaces it only
    until the run goes on.
    """
    whole = progress.step >= plan.total_steps or not plan.left(progress)
    fresh = best.step == 0 or not best.chosen
    if fresh:
        save_model(session, run.path / "model")  # before anything that could come in between
    table = session.evaluate("validation")
    metrics = {"train_loss": progress.epoch_loss / max(1, progress.epoch_batches)}
    metrics |= session.task.score(table)
    epoch = round(progress.step / plan.steps_an_epoch, 4)
    progress.epochs.append({"epoch": epoch, "step": progress.step, **metrics})
    better = best.offer(metrics, progress.step, table)
    if whole:
        progress.begin_epoch()
    if better and not fresh:
        if whole:
            _checkpoint(session, plan, progress, best, run, seconds)
        else:
            keep_aside(session, run)
        save_model(session, run.path / "model")


def _epoch_event(progress: Progress, plan: _Plan, seconds: float) -> TrainEvent:
    last = progress.epochs[-1]
    metrics = {name: value for name, value in last.items() if name not in ("epoch", "step")}
    return TrainEvent(
        "epoch",
        progress.step,
        plan.total_steps,
        last["epoch"],
        seconds,
        examples=progress.examples,
        metrics=metrics,
    )


class _Best:
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
        if self.chosen and not self.task.better(self.metric, metrics[self.metric], self.value):
            self.waited += 1
            return False
        self.value, self.step, self.table, self.waited = metrics[self.metric], step, table, 0
        return True

    def patience_is_over(self) -> bool:
        return bool(self.patience) and self.waited >= self.patience


# Checkpoints


def _checkpoint(
    session: Session, plan: _Plan, progress: Progress, best: _Best, run: Run, seconds: float
) -> None:
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


def _go_on(
    kept: checkpoints.Checkpoint, session: Session, plan: _Plan, progress: Progress, best: _Best, run: Run
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


# Before and after


@dataclass
class _Plan:
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


def _plan(session: Session) -> _Plan:
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
    return _Plan(loader, sampler, optimizer, accelerator.prepare(scheduler), steps, total)


def _collate(keys: list[tuple[int, int]], session: Session) -> dict[str, Any]:
    """This process's part of a batch, and how much there is of it: rows, or masked tokens."""
    world = session.accelerator
    mine = keys[world.process_index :: world.num_processes]
    # A batch of fewer rows than processes: the others compute along on one that counts nothing.
    batch: dict[str, Any] = session.task.collate(
        mine or keys[:1], session.rows["train"], session.tokenizer, session.config
    )
    return batch | {"weight": session.task.weight(batch) if mine else 0}


def _circumstances(session: Session) -> dict[str, Any]:
    """What a result was obtained with: settings, machine, rows, parameters, memory."""
    return {
        "config": session.config.to_dict(),
        "environment": hardware.environment()
        | {
            "precision": session.accelerator.mixed_precision,
            "processes": session.accelerator.num_processes,
        },
        "rows": {name: len(rows) for name, rows in session.rows.items()},
        "truncated": {name: rows.truncated for name, rows in session.rows.items()},
        "parameters": dict(zip(("trained", "all"), tuning.trained_count(session.model), strict=True)),
        "peak_memory_bytes": hardware.peak_memory_bytes(),
    }


def _outcome(
    progress: Progress, best: _Best, scores: dict[str, dict[str, float]], stopped: bool, seconds: float
) -> dict[str, Any]:
    """What a training came to."""
    trained = progress.trained_seconds
    return {
        "base": progress.base,
        "epochs": progress.epochs,
        "validation": scores["validation"],
        "test": scores.get("test"),
        "best_step": best.step,
        "headline": best.metric,
        "steps": progress.step,
        "stopped": stopped,
        "seconds": seconds,
        "training_seconds": round(trained, 3),
        "examples_per_second": round(progress.examples / trained, 3) if trained else 0.0,
        "tokens_per_second": round(progress.tokens / trained, 1) if trained else 0.0,
    }


def _write_predictions(tables: dict[str, dict[str, np.ndarray]], run: Run) -> None:
    """predictions.parquet: a row of the held-out splits a row, with what the model said of it."""
    import numpy as np
    import pandas as pd

    frames = []
    for split, table in tables.items():
        columns: dict[str, Any] = {"split": split, "row": np.arange(len(next(iter(table.values()))))}
        for name, values in table.items():
            columns[name] = list(values) if values.ndim > 1 else values
        frames.append(pd.DataFrame(columns))
    with whole_file(run.path / "predictions.parquet") as path:
        pd.concat(frames).to_parquet(path)
