"""One page a task: its tab, how its answers are drawn, and the code that asks for them."""

from importlib import import_module

from bertspace.tasks import TASKS
from bertspace.ui.tasks.base import TaskPage


def page_of(task: str) -> TaskPage:
    """The task's page, which the task names as "module:class"."""
    module, _, kind = TASKS[task].page.partition(":")
    page: TaskPage = getattr(import_module(module), kind)(TASKS[task])
    return page


def pages() -> list[TaskPage]:
    """Every task's page in the order of the tabs: first what a base model does before it is trained."""
    return [page_of(name) for name in sorted(TASKS, key=lambda name: TASKS[name].baseline != "model")]
