"""train(): the Accelerate loop, a generator of TrainEvents. Knows nothing of Gradio, processes and users."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bertspace import hardware, tuning
from bertspace.baseline import score_base
from bertspace.batching import EpochBatches, Keys
from bertspace.runs import Run, whole_file, write_atomically
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.session import Session, open_session, save_model, saved
from bertspace.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    from torch.utils.data import DataLoader


def train(config: TrainConfig, run: Run) -> Iterator[TrainEvent]:
    """Train as `config` says, in `run`'s folder, and yield what happens: one event a step, and a few between.

    A stop asked for through the run ends it after the step at work, with a model that was saved and scored.
    Leaves model/ (the best epoch where best_metric or patience asks for it, else the last), result.json,
    probe.safetensors and predictions.parquet. Raises BertspaceError.
    """
    begin = time.monotonic()
    clock = lambda: round(time.monotonic() - begin, 3)  # noqa: E731
    yield TrainEvent("status", message="Loading the libraries", seconds=clock())
    from transformers import set_seed

    yield TrainEvent("status", message="Reading the texts", seconds=clock())
    session = open_session(config, run)
    config, accelerator = session.config, session.accelerator
    yield TrainEvent("status", message="Scoring the base model", seconds=clock())
    base = score_base(session, run)
    yield TrainEvent("base", metrics=base["validation"], seconds=clock())

    plan = _plan(session)
    set_seed(config.seed)  # dropout starts from here, whatever was drawn before
    best = _Best(session.task, config)
    epochs: list[dict[str, float]] = []
    step, examples, tokens, trained_seconds = 0, 0, 0, 0.0
    stopped = False
    for epoch in range(1, math.ceil(config.epochs) + 1):
        session.model.train()
        plan.sampler.set_epoch(epoch)
        epoch_loss, epoch_batches, step_loss, step_batches = 0.0, 0, 0.0, 0
        mark = time.monotonic()
        for batch in plan.loader:
            with accelerator.accumulate(session.model):
                with accelerator.autocast():
                    loss = session.task.loss(session.model, batch, config.label_smoothing)
                accelerator.backward(loss)
                if accelerator.sync_gradients and config.max_grad_norm:
                    accelerator.clip_grad_norm_(session.model.parameters(), config.max_grad_norm)
                plan.optimizer.step()
                plan.scheduler.step()
                plan.optimizer.zero_grad()
            step_loss, step_batches = step_loss + loss.item(), step_batches + 1
            examples += len(batch["rows"]) * accelerator.num_processes
            tokens += int(batch["attention_mask"].sum()) * accelerator.num_processes
            if not accelerator.sync_gradients:
                continue
            step += 1
            trained_seconds += time.monotonic() - mark
            yield TrainEvent(
                "step",
                step,
                plan.total_steps,
                epoch=round(step / plan.steps_an_epoch, 4),
                seconds=clock(),
                loss=step_loss / step_batches,
                learning_rate=plan.scheduler.get_last_lr()[0],
                examples=examples,
                tokens=tokens,
            )
            mark = time.monotonic()
            epoch_loss, epoch_batches = epoch_loss + step_loss, epoch_batches + step_batches
            step_loss, step_batches = 0.0, 0
            if (stopped := run.stop_requested()) or step >= plan.total_steps:
                break
        metrics = {"train_loss": epoch_loss / max(1, epoch_batches)}
        yield TrainEvent(
            "status", step, plan.total_steps, message="Scoring the validation rows", seconds=clock()
        )
        if fresh := best.step == 0 or not best.chosen:
            save_model(session, run.path / "model")  # before anything that could come in between
        table = session.evaluate("validation")
        metrics |= session.task.score(table)
        epochs.append({"epoch": round(step / plan.steps_an_epoch, 4), "step": step, **metrics})
        if best.offer(metrics, step, table) and not fresh:
            save_model(session, run.path / "model")
        yield TrainEvent(
            "epoch", step, plan.total_steps, epochs[-1]["epoch"], clock(), examples=examples, metrics=metrics
        )
        if stopped or step >= plan.total_steps or best.patience_is_over():
            break

    tables = {"validation": best.table}
    scores = {"validation": session.task.score(best.table)}
    if "test" in session.rows and not stopped:
        yield TrainEvent("status", step, plan.total_steps, message="Scoring the test rows", seconds=clock())
        tables["test"] = saved(session, run).evaluate("test")
        scores["test"] = session.task.score(tables["test"])
    _write_predictions(tables, run)
    outcome = {
        "base": base,
        "epochs": epochs,
        "validation": scores["validation"],
        "test": scores.get("test"),
        "best_step": best.step,
        "headline": best.metric,
        "steps": step,
        "stopped": stopped,
        "seconds": clock(),
        "training_seconds": round(trained_seconds, 3),
        "examples_per_second": round(examples / trained_seconds, 3) if trained_seconds else 0.0,
        "tokens_per_second": round(tokens / trained_seconds, 1) if trained_seconds else 0.0,
    }
    result = _circumstances(session) | outcome
    write_atomically(run.path / "result.json", json.dumps(result, indent=1))
    done = scores.get("test") or scores["validation"]
    yield TrainEvent(
        "done", step, plan.total_steps, epochs[-1]["epoch"], clock(), examples=examples, metrics=done
    )
    accelerator.end_training()


def _circumstances(session: Session) -> dict[str, Any]:
    """What a result was obtained with: settings, machine, rows, parameters, memory."""
    return {
        "config": session.config.to_dict(),
        "environment": hardware.environment() | {"precision": session.accelerator.mixed_precision},
        "rows": {name: len(rows) for name, rows in session.rows.items()},
        "truncated": {name: rows.truncated for name, rows in session.rows.items()},
        "parameters": dict(zip(("trained", "all"), tuning.trained_count(session.model), strict=True)),
        "peak_memory_bytes": hardware.peak_memory_bytes(),
    }


@dataclass
class _Plan:
    loader: DataLoader
    sampler: EpochBatches
    optimizer: Any
    scheduler: Any
    steps_an_epoch: int
    total_steps: int


def _plan(session: Session) -> _Plan:
    """Batches, optimizer and schedule, prepared by Accelerate."""
    import torch
    from torch.utils.data import DataLoader
    from transformers import get_scheduler

    config, rows, accelerator = session.config, session.rows["train"], session.accelerator
    sampler = EpochBatches(rows.lengths, config.batch_size, config.seed)
    loader = DataLoader(
        Keys(len(rows)),
        batch_sampler=sampler,
        collate_fn=partial(session.task.collate, rows=rows, tokenizer=session.tokenizer, config=config),
        generator=torch.Generator(),  # else its iter() draws from the global one and shifts the dropout masks
    )
    groups = tuning.parameter_groups(session.model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=hardware.device() != "mps")
    session.model, optimizer, loader = accelerator.prepare(session.model, optimizer, loader)
    steps = math.ceil(len(loader) / config.gradient_accumulation)
    total = max(1, math.ceil(steps * config.epochs))
    total = min(total, config.max_steps) if config.max_steps else total
    # Accelerate's wrapped scheduler goes forward once a process and step; ours counts optimizer steps.
    scheduler = get_scheduler(
        config.schedule,
        optimizer,
        num_warmup_steps=math.ceil(total * config.warmup_ratio) * accelerator.num_processes,
        num_training_steps=total * accelerator.num_processes,
    )
    return _Plan(loader, sampler, optimizer, accelerator.prepare(scheduler), steps, total)


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
