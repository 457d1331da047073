"""train(): the Accelerate loop, a generator of TrainEvents. Knows nothing of Gradio, processes and users."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict

from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.training import checkpoints, outcome, saved_model, trial
from bertspace.training.baseline import score_base
from bertspace.training.checkpoints import Checkpoint
from bertspace.training.progress import TrainingProgress
from bertspace.training.steps import PAUSE, STOP, batches_left, prepare, steps
from bertspace.training.training import Training, open_training

Events = Iterator[TrainEvent]


def train(config: TrainConfig, run: Run, deadline: float | None = None) -> Events:
    """Train as `config` says, in `run`'s folder, and yield what happens: one event a step, and a few between.

    Goes on from the run's newest checkpoint where there is one, exactly as if it had never ended. A stop
    asked for through the run, or the deadline (of time.monotonic), ends it after the current step, with a
    checkpoint and a model that was saved and scored; a pause with a checkpoint alone, and "paused" as the
    last event.
    Leaves model/ (the best epoch where best_metric or patience asks for it, else the last), result.json,
    probe.safetensors, base.parquet and predictions.parquet. Raises BertspaceError.
    """
    checkpoint = checkpoints.newest(run)
    training = yield from _opened(config, run, checkpoint)
    if not checkpoint:
        yield from _score_base(training)
    yield from _prepare(training)
    if checkpoint:
        yield from _resume(training, checkpoint)
    request = yield from _train_epochs(training, deadline)
    if request == PAUSE:
        yield training.event("paused")
    else:
        yield from _finish(training, stopped=request == STOP and not training.all_steps_done)
    training.accelerator.end_training()


def _opened(
    config: TrainConfig, run: Run, checkpoint: Checkpoint | None
) -> Generator[TrainEvent, None, Training]:
    progress = TrainingProgress.from_dict(checkpoint.values["progress"] if checkpoint else {})
    yield TrainEvent("status", message="Loading the libraries", seconds=progress.elapsed())
    import transformers  # noqa: F401

    yield TrainEvent("status", message="Reading the texts", seconds=progress.elapsed())
    training = open_training(config, run, progress)
    for finding in training.findings():
        yield training.event("finding", message=finding)
    return training


def _score_base(training: Training) -> Events:
    checkpoints.check_model_size(training)
    yield training.status("Scoring the base model")
    training.progress.base = score_base(training)
    yield training.event("base", metrics=training.progress.base.get("validation", {}))


def _prepare(training: Training) -> Events:
    from transformers import set_seed

    prepare(training)
    yield training.status("Trying the longest batch")
    yield training.event("forecast", metrics=asdict(trial.forecast(training)))
    set_seed(training.config.seed)  # dropout starts from here, whatever was drawn before
    if training.accelerator.is_main_process:
        outcome.remove(training.run)  # no sooner: a run that is stopped before this point keeps its result


def _resume(training: Training, checkpoint: Checkpoint) -> Events:
    """Set everything back to the checkpoint, the model on disk with it."""
    checkpoints.restore(training, checkpoint)
    best = training.best
    if not saved_model.bring_back(training) and best.chosen and best.step == training.progress.step:
        saved_model.save(training)  # the process may have died just before it did
    yield training.status(f"Going on after step {training.progress.step:,}")
    if training.progress.is_scored:
        yield _epoch_event(training)


def _train_epochs(training: Training, deadline: float | None) -> Generator[TrainEvent, None, str]:
    """Train and score epoch after epoch; what was requested: "", STOP or PAUSE."""
    progress, request = training.progress, ""
    while not (request or training.best.patience_is_over()):
        if training.all_steps_done and progress.is_scored:
            break
        request = yield from steps(training, deadline)
        if request == PAUSE:
            break
        yield training.status("Scoring the validation rows")
        _end_epoch(training)
        yield _epoch_event(training)
    return request


def _end_epoch(training: Training) -> None:
    """Score the validation rows, and save the model where it is the best, or the last.

    A model that replaces the best one so far does so after a checkpoint that knows of it, so that the two
    never disagree, whenever the process dies. The model of an epoch that a stop cut short replaces it only
    until the run is resumed.
    """
    progress, best, config = training.progress, training.best, training.config
    complete = training.all_steps_done or not batches_left(training)
    replaceable = best.step == 0 or not best.chosen
    if replaceable:
        saved_model.save(training)  # before anything that could come in between
    table = training.evaluate("validation")
    metrics = {"train_loss": progress.epoch_loss / max(1, progress.epoch_weight)}
    metrics |= training.task.score(table)
    progress.epochs.append({"epoch": training.epoch, "step": progress.step, **metrics})
    replaces = best.offer(metrics, progress.step, table) and not replaceable
    if complete:
        progress.begin_epoch()
    if complete and (replaces or not (config.checkpoint_steps or config.checkpoint_minutes)):
        checkpoints.save(training)
    if replaces:
        if not complete:
            saved_model.set_aside(training)
        saved_model.save(training)


def _epoch_event(training: Training) -> TrainEvent:
    values = dict(training.progress.epochs[-1])
    epoch, _ = values.pop("epoch"), values.pop("step")
    return training.event("epoch", epoch=epoch, examples=training.progress.examples, metrics=values)


def _finish(training: Training, stopped: bool) -> Events:
    """Score the test rows (not after a stop), and write predictions and result."""
    tables = {"validation": training.best.table}
    if training.config.lora_rank:  # merged into the matrices, its updates are rounded differently
        tables["validation"] = saved_model.reload(training).evaluate("validation")
    if "test" in training.rows and not stopped:
        yield training.status("Scoring the test rows")
        tables["test"] = saved_model.reload(training).evaluate("test")
    scores = {name: training.task.score(table) for name, table in tables.items()}
    if training.accelerator.is_main_process:
        outcome.write(training, tables, scores, stopped)
    yield training.event(
        "done",
        epoch=training.progress.epochs[-1]["epoch"],
        examples=training.progress.examples,
        metrics=scores.get("test") or scores["validation"],
    )
