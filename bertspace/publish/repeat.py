"""How a run is trained again from what is published of it: its settings, resolved, and one command.

The command reads training/config.yaml of the repository. Where the rows were files, or the base is on no Hub,
it has placeholders for their paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bertspace.data import origin
from bertspace.data.origin import FILES, Origin
from bertspace.errors import without_paths
from bertspace.publish.run_facts import RunFacts
from bertspace.schema import TrainConfig, as_command, as_flag

FOLDER, CONFIG, ENVIRONMENT, DATA = "training", "config.yaml", "environment.json", "data.json"
FILES_FOLDER, BASE = "PATH/TO/THE/FILES", "PATH/TO/THE/BASE"  # what who repeats it has to fill in
# As repr writes a text, and as sentences quote.
_QUOTED = re.compile(
    r"""(?<!\w)(?:'(?:\\.|[^\\])*?'(?!\w)|"(?:\\.|[^\\])*?"(?!\w))|“[^”]*”|‘[^’]*’""", re.DOTALL
)
VERSIONS = ("bertspace", "torch", "transformers", "tokenizers", "accelerate", "datasets")


@dataclass(frozen=True)
class Repeat:
    """settings: all of TrainConfig's, resolved, data by its origin. command: "" where that is not known.

    exact: on the same kind of CPU, with the same versions and threads, the losses are the same, bit for bit.
    dropouts: the rates of a model that has several, which no setting can say.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    exact: bool = False
    dropouts: Mapping[str, float] = field(default_factory=dict)


def of_run(facts: RunFacts) -> Repeat:
    """What is known of a run: of one that has no result yet its settings as they were given."""
    result, about = facts.result, facts.source
    data_origin = origin.read(about)
    values = facts.config.to_dict() | result.get("config", {})
    environment = result.get("environment", {})
    if precision := environment.get("precision"):
        values["precision"] = "fp32" if precision == "no" else precision
    dropouts = _dropouts(facts.architecture)
    if values["dropout"] is None and len(set(dropouts.values())) == 1:
        values["dropout"] = next(iter(dropouts.values()))
    known = bool(data_origin.settings)
    if known:
        values |= _data(data_origin, about)
    placeholder = _without_place(values)
    command = ""
    if known:
        command = " ".join([as_command(TrainConfig()), f"--settings {FOLDER}/{CONFIG}", *_given(values)])
    on_cpu = str(environment.get("device", "")).startswith("CPU") and environment.get("processes", 1) == 1
    same_seed = data_origin.settings.get("seed") == values["seed"]
    several = dropouts if values["dropout"] is None else {}
    return Repeat(values, command + placeholder * bool(command), on_cpu and same_seed, several)


def _data(data_origin: Origin, about: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that give the run's rows again."""
    values = {
        each.name: data_origin.settings.get(each.name, each.default)
        for each in fields(TrainConfig)
        if each.metadata["group"] == "data"
    }
    columns = about.get("columns")
    for name in ("text", "pair", "label"):  # as they were picked
        if isinstance(columns, Mapping) and columns.get(name) and not values[f"{name}_column"]:
            values[f"{name}_column"] = str(columns[name])
    return values


def _given(values: Mapping[str, Any]) -> Iterator[str]:
    """The flags that say where the files are."""
    named = {name: str(values[name]) for name in sorted(FILES) if values[name]}
    if len(set(named.values())) == len(named):
        if named or values["data_dir"]:
            yield as_flag("data_dir", FILES_FOLDER)
        return
    for name, file in named.items():  # of one name, in several folders
        yield as_flag(name, f"{FILES_FOLDER}/{name.removesuffix('_file')}/{file}")


def _without_place(values: dict[str, Any]) -> str:
    """Take a folder of this machine out of the base's name; the flag by which who repeats it says theirs."""
    model = str(values["model"])
    path = model.removeprefix("run:")
    if not (model.startswith("run:") or Path(path).is_absolute()):
        return ""
    if Path(path).is_absolute():
        values["model"] = Path(path).name
    return f" {as_flag('model', BASE)}"


def _dropouts(architecture: Mapping[str, Any]) -> dict[str, float]:
    """The rates of dropout in a model's config.json, by their names there."""
    return {
        str(name): float(value)
        for name, value in architecture.items()
        if "dropout" in str(name) and isinstance(value, int | float) and not isinstance(value, bool)
    }


def texts(facts: RunFacts, *, rows: bool) -> dict[str, str]:
    """The files of the repository's training/ that say what it takes, by name.

    rows: whether rows of the data may be quoted.
    """
    import yaml

    repeat, about = of_run(facts), dict(facts.source)
    environment = facts.result.get("environment", {})
    lines = [*_comments(repeat, environment), "", yaml.safe_dump(dict(repeat.settings), sort_keys=False)]
    if not rows:
        about["findings"] = [unquoted(str(each), columns(about)) for each in about.get("findings", ())]
    files = {CONFIG: "\n".join(lines), DATA: _json(about)}
    return files | ({ENVIRONMENT: _json(environment)} if environment else {})


def _comments(repeat: Repeat, environment: Mapping[str, Any]) -> Iterator[str]:
    yield "# The settings of this training, resolved: what was left to the defaults, and what those came to."
    if repeat.command:
        yield f"# In a copy of the repository this trains it again:\n#   {repeat.command}"
    versions = [f"{name} {environment[name]}" for name in VERSIONS if name in environment]
    if versions:
        yield f"# It was trained with {', '.join(versions)}: see {ENVIRONMENT}."
    if repeat.dropouts:
        rates = ", ".join(f"{name} {rate:g}" for name, rate in repeat.dropouts.items())
        yield f"# dropout is the model's own, which has several rates: {rates}."


def _json(value: Mapping[str, Any]) -> str:
    return without_paths(json.dumps(value, ensure_ascii=False, indent=1)) + "\n"


def columns(about: Mapping[str, Any]) -> frozenset[str]:
    """The names of the columns that are published of a run's data anyway."""
    listed = [str(name) for file in origin.read(about).files.values() for name in file.get("columns", ())]
    picked = about.get("columns")
    return frozenset([*listed, *(map(str, picked.values()) if isinstance(picked, Mapping) else ())])


def unquoted(sentence: str, shown: Collection[str] = ()) -> str:
    """The sentence with an ellipsis for all that it quotes and is not shown anyway: of a person's own file
    that may be a row."""
    return _QUOTED.sub(lambda found: found[0] if found[0][1:-1] in shown else "“…”", sentence)
