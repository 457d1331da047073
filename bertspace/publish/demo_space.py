"""A small Space for a model that was published: a page of a few lines that runs it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from bertspace.errors import ConfigError, RunError
from bertspace.hub import commit
from bertspace.hub.client import check_id
from bertspace.hub.commit import Committed, Target
from bertspace.publish.app_space import front_matter
from bertspace.publish.fill import fill_in
from bertspace.publish.pushing import published
from bertspace.publish.requirements import requirements
from bertspace.publish.roundtrip import held_out_inputs
from bertspace.publish.run_facts import RunFacts
from bertspace.runs import Run
from bertspace.tasks import TASKS

EXAMPLES, LONGEST = 3, 200  # of at most so many characters


@dataclass(frozen=True)
class Companion:
    """What the small Space is of. examples: inputs of its page, a text and for pairs a second one each."""

    model: str
    task: str
    pair: bool = False
    examples: tuple[tuple[str, ...], ...] = ()
    private: bool = False

    def __post_init__(self) -> None:
        task = TASKS[self.task]
        if not task.demo.is_file():
            raise ConfigError(f"There is no small Space for {task.title}.", hint="Push the model alone.")

    @property
    def title(self) -> str:
        return self.model.rpartition("/")[2]


def of_run(run: Run, repo_id: str, *, private: bool) -> Companion:
    """What shows the model that the run was published as; raises RunError for an adapter."""
    if any(each.repo_id == repo_id and each.adapter for each in published(run)):
        raise RunError("A Space wants the whole model, not an adapter.", hint="Push the whole model first.")
    facts = RunFacts(run)
    pair = bool(facts.config.pair_column)
    found = held_out_inputs(facts, EXAMPLES, LONGEST) or [(facts.task.placeholder, "")]
    return Companion(repo_id, facts.config.task, pair, tuple(each[: 1 + pair] for each in found), private)


def make(
    companion: Companion,
    *,
    tell: commit.Tell = lambda words: None,
    stopped: commit.Stopped = lambda: False,
) -> Committed:
    """Make or update <model>-space; raises HubError. No token goes into it: see its README."""
    repo_id = check_id(f"{companion.model[:88].rstrip('-.')}-space", "Space")
    with tempfile.TemporaryDirectory(prefix="bertspace-space-") as name:
        folder = Path(name)
        for file, text in contents(companion).items():
            (folder / file).write_text(text, encoding="utf-8")
        target = Target(repo_id, companion.private, kind="space", sdk="gradio")
        return commit.commit(folder, target, f"Show {companion.model}", tell=tell, stopped=stopped)


def contents(companion: Companion) -> dict[str, str]:
    """The Space's files: app.py, requirements.txt, README.md."""
    return {
        "app.py": app(companion),
        "requirements.txt": requirements("torch", "transformers"),
        "README.md": _readme(companion),
    }


def app(companion: Companion) -> str:
    """app.py; texts go in as Python literals, so that none of them is code."""
    values = {
        "MODEL": companion.model,
        "TITLE": companion.title,
        "PAIRS": companion.pair,
        "EXAMPLES": companion.examples or None,
    }
    return fill_in(TASKS[companion.task].demo.read_text(encoding="utf-8"), values)


def _readme(companion: Companion) -> str:
    from huggingface_hub import constants

    front = {
        "title": companion.title,
        "emoji": "🎭",
        "colorFrom": "blue",
        "colorTo": "red",
        "models": [companion.model],
        "tags": ["bertspace"],
    }
    text = f"A page for [{companion.model}]({constants.ENDPOINT}/{companion.model}), made with bertspace.\n"
    if companion.private:
        text += (
            "\nThe model is private: in this Space's settings add a secret named `HF_TOKEN`, a token that "
            "may read the model. Who may see this Space can then use the model.\n"
        )
    return f"{front_matter(front)}\n# {companion.title}\n\n{text}"
