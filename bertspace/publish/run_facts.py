"""What a run's folder says of the run, read once a command and passed on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from bertspace.data.labels import parse_names
from bertspace.errors import RunError
from bertspace.runs import Run
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, Task


@dataclass(frozen=True)
class RunFacts:
    """A run with its settings, result and data description; each file is read when it is first asked for."""

    run: Run

    @cached_property
    def config(self) -> TrainConfig:
        """The settings as they were given."""
        return self.run.config()

    @cached_property
    def task(self) -> Task:
        return TASKS[self.config.task]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return parse_names(self.config.label_names)

    @property
    def model(self) -> Path:
        """The folder of the trained model."""
        return self.run.path / "model"

    @cached_property
    def architecture(self) -> Mapping[str, Any]:
        """The model's config.json; {} where it cannot be read."""
        try:
            found = json.loads((self.model / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def source(self) -> Mapping[str, Any]:
        """Where the rows came from."""
        return self.run.source()

    @cached_property
    def result(self) -> Mapping[str, Any]:
        """What the run came to; {} while there is none."""
        return self.run.result() or {}

    @cached_property
    def resolved(self) -> TrainConfig:
        """The settings as the training had them; raises RunError where there is no result yet."""
        if not self.result:
            raise RunError(f"The run {self.run.id} has no result yet.", hint="Wait until it has ended.")
        known = {each.name for each in fields(TrainConfig)}  # an earlier version may have had others
        return TrainConfig.from_dict(
            {name: value for name, value in self.result["config"].items() if name in known}
        )
