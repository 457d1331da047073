"""What an encoder can be trained to do: one folder a task, and the metrics and verdicts that tasks share."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from bertspace.schema import TASK_NAMES, TrainConfig
from bertspace.tasks import verdict
from bertspace.tasks.answers import Answer
from bertspace.tasks.base import Judged, Rows, Sample, Task
from bertspace.tasks.fill_mask.task import FillMask
from bertspace.tasks.metrics import METRICS, Metric, metric
from bertspace.tasks.text_classification.task import TextClassification

__all__ = [
    "METRICS",
    "TASKS",
    "Answer",
    "Judged",
    "Metric",
    "Rows",
    "Sample",
    "Task",
    "base",
    "card",
    "fill_mask",
    "intervals",
    "lighter",
    "metric",
    "register",
    "samples",
    "task_with_head",
    "text_classification",
    "verdict",
    "verdict_of",
]

TASKS: dict[str, Task] = {}  # by their Hub pipeline tags, in the order of the pickers


def register(task: Task) -> None:
    """Make a task known to everything: forms, pickers, tabs, commands, cards and the Hub's filters."""
    TASKS[task.name] = task
    TASK_NAMES.append(task.name)
    METRICS.update({each.name: each for each in task.metrics})


def samples() -> dict[str, Sample]:
    """The small data sets that come with the package, by name."""
    return {sample.name: sample for task in TASKS.values() for sample in task.samples}


def task_with_head(head: str) -> str:
    """The name of the first task whose models have this head."""
    return next(name for name, task in TASKS.items() if task.head == head)


def lighter(config: TrainConfig) -> dict[str, int]:
    """Settings that need less memory: a smaller batch and as many rows a step; shorter texts; LoRA."""
    size, most = config.batch_size, 1024 // config.gradient_accumulation
    if fitting := [part for part in range(1, size // 2 + 1) if size % part == 0 and size // part <= most]:
        accumulation = config.gradient_accumulation * (size // fitting[-1])
        return {"batch_size": fitting[-1], "gradient_accumulation": accumulation}
    length = TASKS[config.task].length_setting(config)
    if getattr(config, length) >= 64:
        return {length: getattr(config, length) // 2}
    return {} if config.lora_rank else {"lora_rank": 8}


def verdict_of(result: Mapping[str, Any]) -> verdict.Verdict | None:
    """The verdict in a run's result, also of an earlier version's, which holds figures alone.

    None of a task whose base has no answer.
    """
    if result["base"].get("kind") == "none":
        return None
    known = {each.name for each in fields(TrainConfig)}
    settings = {name: value for name, value in result.get("config", {}).items() if name in known}
    config = TrainConfig.from_dict(settings)
    task = TASKS[config.task]
    return verdict.of_result(result, task.unit(config), task.baseline)


for _task in (TextClassification(), FillMask()):
    register(_task)
