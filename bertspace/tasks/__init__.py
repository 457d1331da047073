"""The tasks, by their Hub pipeline tags. A new one is its module and its line here."""

from bertspace.tasks.base import Rows, Task
from bertspace.tasks.fill_mask.task import FillMask
from bertspace.tasks.text_classification.task import TextClassification

TASKS: dict[str, Task] = {task.name: task for task in (TextClassification(), FillMask())}

__all__ = ["TASKS", "Rows", "Task", "base", "fill_mask", "intervals", "text_classification", "verdict"]
