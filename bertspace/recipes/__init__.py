"""Published experiments as settings: one YAML each, loaded by a click or by `train --recipe NAME`.

A recipe names a model and a data set of the Hub, and says which files of a local folder are the same data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from bertspace.errors import ConfigError
from bertspace.schema import TrainConfig

NAMES = ("cola", "cola-128", "emotion", "mrpc", "imdb-domain", "imdb-domain-wwm")
FOLDER = Path(__file__).parent
SIZES = ("max_train_rows", "validation_share")  # how many rows, whichever they are


def load(name: str, *, model: str = "", data_dir: str = "") -> dict[str, Any]:
    """A recipe's settings, ready for TrainConfig.from_dict; raises ConfigError for a name that is none.

    data_dir: take the data from this folder's files. model: take another model, with its own learning rate.
    """
    recipe = _read(name)
    values = dict(recipe["config"])
    if data_dir:
        values = without_data(values) | recipe["local"] | {"data_dir": data_dir}
    if model and model != values["model"]:
        values |= {"model": model, "learning_rate": None}
    return values


def without_data(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings less those that say which rows they are for."""
    about_data = {each.name for each in fields(TrainConfig) if each.metadata["group"] == "data"}
    return {name: value for name, value in values.items() if name in SIZES or name not in about_data}


def describe(name: str) -> dict[str, Any]:
    """What to show of a recipe: title, summary, needs (its data, in words) and the published figures.

    A figure has metric, split ("base": the validation rows before training), value and source; where it was
    published so also `epoch`, or `to`, the upper end of a range that begins with value. Raises ConfigError.
    """
    recipe = _read(name)
    published = recipe["figures"]
    return {
        "title": recipe["title"],
        "summary": recipe["summary"],
        "needs": _needs(recipe),
        "figures": [{"source": published["source"]} | figure for figure in published["values"]],
    }


def _needs(recipe: Mapping[str, Any]) -> str:
    config, local = recipe["config"], recipe["local"]
    files = [local[f"{part}_file"] for part in ("train", "validation", "test") if f"{part}_file" in local]
    *most, last = files
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"{config['dataset']} ({config['dataset_config']}) from the Hub, or a folder with {listed}"


def _read(name: str) -> dict[str, Any]:
    import yaml

    if name not in NAMES:
        raise ConfigError(f"There is no recipe {name!r}.", hint=f"The recipes: {', '.join(NAMES)}.")
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
