"""Three ways to set a run without meeting a hyper-parameter. Knows nothing of gradio and of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bertspace.errors import ConfigError
from bertspace.schema import TrainConfig


@dataclass(frozen=True)
class Preset:
    """A title and a sentence for people, and the TrainConfig values in which it differs from the defaults."""

    title: str
    sentence: str
    settings: Mapping[str, Any] = field(default_factory=dict)


# The learning rate stays empty everywhere: the model's own default fits the model.
PRESETS: dict[str, Preset] = {
    "quick": Preset(
        "Quick look",
        "A few minutes at most, on two processor cores.",
        {"epochs": 8.0, "batch_size": 16, "max_steps": 200, "max_train_rows": 4000},
    ),
    "balanced": Preset(
        "Balanced",
        "The BERT authors' defaults: three passes, batches of 32.",
        {"epochs": 3.0, "batch_size": 32},
    ),
    "thorough": Preset(
        "Thorough",
        "Longer texts, up to ten passes, and the best of them kept.",
        {"epochs": 10.0, "batch_size": 16, "max_length": 256, "patience": 3},
    ),
}


def settings(name: str) -> dict[str, Any]:
    """Every value that some preset sets, as this one has it, so that none is left over from another."""
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}.", hint=f"Choose from: {', '.join(PRESETS)}.")
    defaults = {each.name: each.default for each in fields(TrainConfig)}
    touched = {key for preset in PRESETS.values() for key in preset.settings} | {"learning_rate"}
    return {key: defaults[key] for key in sorted(touched)} | dict(PRESETS[name].settings)
