"""Published experiments as settings: one YAML each, loaded by a click or by `train --recipe NAME`.

A recipe names a model and a data set of the Hub, and says which files of a folder or an archive are the same
data: as its authors publish them, or as tables with a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from bertspace.data import published
from bertspace.errors import ConfigError, DataError
from bertspace.schema import FIELD_TYPES, TrainConfig

NAMES = ("cola", "cola-128", "emotion", "mrpc", "imdb-domain", "imdb-domain-wwm")
FOLDER = Path(__file__).parent
SIZES = ("max_train_rows", "validation_share")  # how many rows, whichever they are


def load(name: str, *, model: str = "", data_dir: str = "") -> dict[str, Any]:
    """A recipe's settings, ready for TrainConfig.from_dict; raises ConfigError for a name that is none,
    and DataError for a folder without its files.

    data_dir: take the data from the files in this folder, zip or tar.gz. model: take another model, with its
    own learning rate.
    """
    recipe = _read(name)
    values = dict(recipe["config"])
    if data_dir:
        columns = {key: value for key, value in recipe["local"].items() if key in FIELD_TYPES}
        values = without_data(values) | columns | _files(name, recipe, data_dir) | {"data_dir": data_dir}
    if model and model != values["model"]:
        values |= {"model": model, "learning_rate": None}
    return values


def _files(name: str, recipe: Mapping[str, Any], data_dir: str) -> dict[str, str]:
    """The recipe's files in the folder or the archive, as TrainConfig names them; raises DataError."""
    place, choices = Path(data_dir).expanduser(), recipe["local"]["files"]
    chosen = next((each for each in choices if published.holds(data_dir, each.values())), None)
    if chosen is None and place.exists():
        raise DataError(
            f"{place.name} has no files of the recipe {name}; it holds {published.listed(place)}.",
            hint=f"Give {recipe['local']['published']}, as a folder or packed; or {_wanted(choices[0])}.",
        )
    return {f"{part}_file": file for part, file in (chosen or choices[0]).items()}


def _wanted(files: Mapping[str, str]) -> str:
    *most, last = files.values()
    return f"a folder with {', '.join(most)} and {last}" if most else f"a folder with {last}"


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
    figures = recipe["figures"]
    return {
        "title": recipe["title"],
        "summary": recipe["summary"],
        "needs": _needs(recipe),
        "figures": [{"source": figures["source"]} | figure for figure in figures["values"]],
    }


def _needs(recipe: Mapping[str, Any]) -> str:
    config, local = recipe["config"], recipe["local"]
    hub = f"{config['dataset']} ({config['dataset_config']}) from the Hub"
    return f"{hub}; {local['published']}, as a folder or packed; or {_wanted(local['files'][0])}"


def _read(name: str) -> dict[str, Any]:
    import yaml

    if name not in NAMES:
        raise ConfigError(f"There is no recipe {name!r}.", hint=f"The recipes: {', '.join(NAMES)}.")
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
