"""train(): the Accelerate loop, a generator of TrainEvents. Knows nothing of Gradio, processes and users."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from bertspace import hardware
from bertspace.errors import OutOfMemory
from bertspace.files import write_atomically
from bertspace.models import tuning, unknown
from bertspace.models.evaluation import read_tables, write_tables
from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.tasks import lighter, verdict
from bertspace.training import checkpoints, forecast
from bertspace.training.baseline import score_base
from bertspace.training.progress import Best, Progress, go_on, hints, keep
from bertspace.training.session import Session, keep_aside, open_session, save_model, saved
from bertspace.training.steps import PAUSE, STOP, Plan, plan_steps, steps

if TYPE_CHECKING:
    import numpy as np


def train(config: TrainConfig, run: Run, deadline: float | None = None) -> Iterator[TrainEvent]:
    """Train as `config` says, in `run`'s folder, and yield what happens: one event a step, and a few between.

    Goes on from the run's newest checkpoint where there is one, exactly as if it had never ended. A stop
    asked for through the run, or the deadline (of time.monotonic), ends it after the step at work, with a
    checkpoint and a model that was saved and scored; a pause with a checkpoint alone, and "paused" as the
    last event.
    Leaves model/ (the best epoch where best_metric or patience asks for it, else the last), result.json,
    probe.safetensors, base.parquet and predictions.parquet. Raises BertspaceError.
    """
    kept = checkpoints.newest(run)
    progress = Progress.of(kept.values["progress"]) if kept else Progress()
    clock = _clock(progress.seconds)
    yield TrainEvent("status", message="Loading the libraries", seconds=clock())
    from transformers import set_seed

    yield TrainEvent("status", message="Reading the texts", seconds=clock())
    session = open_session(config, run)
    config, accelerator = session.config, session.accelerator
    for found in session_findings(session):
        yield TrainEvent("finding", message=found, seconds=clock(), step=progress.step)
    if not kept:
        checkpoints.check_model(run, session.model)
        yield TrainEvent("status", message="Scoring the base model", seconds=clock())
        progress.base = score_base(session, run)
        yield TrainEvent("base", metrics=progress.base.get("validation", {}), seconds=clock())

    plan = plan_steps(session)
    yield TrainEvent("status", message="Trying the longest batch", seconds=clock(), step=progress.step)
    thought = forecast.forecast(_tried(session), session, plan.total_steps, progress.step)
    yield TrainEvent("forecast", progress.step, seconds=clock(), metrics=asdict(thought))
    best = Best(session.task, config)
    set_seed(config.seed)  # dropout starts from here, whatever was drawn before
    if accelerator.is_main_process:
        forget_result(run)  # no sooner: it stands where this is stopped before it goes on
    if kept:
        go_on(kept, session, plan, progress, best, run)
        yield TrainEvent(
            "status", message=f"Going on after step {progress.step:,}", seconds=clock(), step=progress.step
        )
        if progress.scored:
            yield _epoch_event(progress, plan, clock())
    asked = ""
    while not (asked or best.patience_is_over() or (progress.step >= plan.total_steps and progress.scored)):
        written = lambda: keep(session, plan, progress, best, run, clock())  # noqa: E731
        asked = yield from steps(session, plan, progress, run, clock, deadline, written)
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
    yield from _finish(session, plan, progress, best, run, stopped, clock)
    accelerator.end_training()


def _finish(
    session: Session,
    plan: Plan,
    progress: Progress,
    best: Best,
    run: Run,
    stopped: bool,
    clock: Callable[[], float],
) -> Iterator[TrainEvent]:
    """Score the test rows (not after a stop), and write predictions and result."""
    tables = {"validation": best.table}
    if session.config.lora_rank:  # merged into the matrices, what it learned rounds otherwise
        tables["validation"] = saved(session, run).evaluate("validation")
    if "test" in session.rows and not stopped:
        yield TrainEvent(
            "status", progress.step, plan.total_steps, message="Scoring the test rows", seconds=clock()
        )
        tables["test"] = saved(session, run).evaluate("test")
    scores = {name: session.task.score(table) for name, table in tables.items()}
    if session.accelerator.is_main_process:
        write_tables(tables, run.path / "predictions.parquet")
        result = _circumstances(session) | _outcome(progress, best, scores, stopped, clock())
        result |= _said(session, plan, progress, best, run, tables)
        write_atomically(run.path / "result.json", json.dumps(result, indent=1))
    yield TrainEvent(
        "done",
        progress.step,
        plan.total_steps,
        progress.epochs[-1]["epoch"],
        clock(),
        examples=progress.examples,
        metrics=scores.get("test") or scores["validation"],
    )


def session_findings(session: Session) -> list[str]:
    """What the model and its vocabulary give to say before the first step."""
    share = unknown.share(session.tokenizer, session.rows["train"].input_ids)
    return list(filter(None, [getattr(session.model, "finding", ""), unknown.words(share)]))


def _said(
    session: Session,
    plan: Plan,
    progress: Progress,
    best: Best,
    run: Run,
    tables: dict[str, dict[str, np.ndarray]],
) -> dict[str, Any]:
    """What it came to in words: the verdict, which epoch is kept and why it ended, and what to try."""
    split = "test" if "test" in tables else "validation"
    base = read_tables(run.path / "base.parquet").get(split)
    found = _verdict(session, best, split, tables[split], base) if base else None
    helped = found is not None and found.outcome == verdict.BETTER
    return {
        "verdict": found.to_dict() if found else None,
        "kept": best.words(progress, plan.total_steps),
        "hints": [] if helped else list(hints(progress, session.config)),
    }


def _verdict(
    session: Session, best: Best, split: str, tuned: dict[str, np.ndarray], base: dict[str, np.ndarray]
) -> verdict.Verdict:
    import numpy as np

    config, names = session.config, session.splits.label_names
    chosen = best.chosen and split == "validation"
    labels = session.splits.train["label"] if names else []
    counts = np.bincount(labels, minlength=len(names)).tolist()
    return session.task.judge(
        best.metric, tuned, base, config=config, names=names, counts=counts, split=split, chosen=chosen
    )


def forget_result(run: Run) -> None:
    """What a stop left is not what the run will come to."""
    for name in ("result.json", "predictions.parquet"):
        (run.path / name).unlink(missing_ok=True)


def _clock(before: float) -> Callable[[], float]:
    """Seconds of work on this run, those before its last checkpoint among them."""
    begin = time.monotonic() - before
    return lambda: round(time.monotonic() - begin, 3)


def _tried(session: Session) -> forecast.Trial:
    """What the longest batch takes; raises OutOfMemory, with a batch that was tried and fits."""
    found = None
    try:
        found = forecast.tried(session)
    except Exception as error:
        if not hardware.is_out_of_memory(error):
            raise
    # Where the processes share the weights they all meet it, out of step: none could ask the others.
    if (session.sharded or session.everywhere(found is not None)) and found is not None:
        return found
    longest = int(session.rows["train"].lengths.max())
    alone = session.accelerator.num_processes == 1 and not session.sharded
    raise OutOfMemory(
        f"Memory ran out on the longest batch: {session.config.batch_size} rows of up to {longest} tokens.",
        hint="Go on with the smaller settings, or free some memory and resume the run.",
        advice=_fitting(session) if alone else lighter(session.config),
    )


def _fitting(session: Session) -> dict[str, int]:
    """The largest of the halved batches that fits, with as many rows a step as before; else `lighter`."""
    import torch

    config = session.config
    while "batch_size" in (half := lighter(config)):
        config = replace(
            config, batch_size=half["batch_size"], gradient_accumulation=half["gradient_accumulation"]
        )
        if hardware.device() == "cuda":
            torch.cuda.empty_cache()
        try:
            forecast.tried(replace(session, config=config))
        except Exception as error:
            if not hardware.is_out_of_memory(error):
                raise
        else:
            return {
                "batch_size": config.batch_size,
                "gradient_accumulation": config.gradient_accumulation,
            }
    return lighter(config)


def _end_epoch(
    session: Session, plan: Plan, progress: Progress, best: Best, run: Run, seconds: float
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
    metrics = {"train_loss": progress.epoch_loss / max(1, progress.epoch_weight)}
    metrics |= session.task.score(table)
    epoch = round(progress.step / plan.steps_an_epoch, 4)
    progress.epochs.append({"epoch": epoch, "step": progress.step, **metrics})
    better = best.offer(metrics, progress.step, table)
    if whole:
        progress.begin_epoch()
    replaces = better and not fresh
    if whole and (replaces or _is_kept_at_ends(session.config)):
        keep(session, plan, progress, best, run, seconds)
    if replaces:
        if not whole:
            keep_aside(session, run)
        save_model(session, run.path / "model")


def _is_kept_at_ends(config: TrainConfig) -> bool:
    """Whether checkpoints are asked for at the end of an epoch, and at no other time."""
    return not (config.checkpoint_steps or config.checkpoint_minutes)


def _epoch_event(progress: Progress, plan: Plan, seconds: float) -> TrainEvent:
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


def _circumstances(session: Session) -> dict[str, Any]:
    """What a result was obtained with: settings, machine, rows, parameters, memory."""
    return {
        "config": session.config.to_dict(),
        "environment": hardware.environment()
        | {
            "precision": session.accelerator.mixed_precision,
            "processes": session.accelerator.num_processes,
            "sharded": session.sharded,
        },
        "rows": {name: len(rows) for name, rows in session.rows.items()},
        "truncated": {name: rows.truncated for name, rows in session.rows.items()},
        "parameters": dict(zip(("trained", "all"), tuning.trained_count(session.model), strict=True)),
        "peak_memory_bytes": hardware.peak_memory_bytes(),
    }


def _outcome(
    progress: Progress, best: Best, scores: dict[str, dict[str, float]], stopped: bool, seconds: float
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
