"""The page of the toy task: nothing but its names and its lines of code."""

from bertspace.ui.tasks.base import TaskPage


class WordCountPage(TaskPage):
    tab = "count"
    title = "Count"
    noun = "word counter"
    nothing_to = "count"

    def lines(self, name: str, model: str, text: str, pair: str = "", top_k: int = 5) -> str:
        return f"{name} = pipeline({self.task.name!r}, model={model!r})\nprint({name}({text!r}))"
