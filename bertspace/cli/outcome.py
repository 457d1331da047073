"""The result of a command, and the options that commands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any

from bertspace import runs
from bertspace.errors import RunError
from bertspace.files import home
from bertspace.runs import Run
from bertspace.schema import FIELD_TYPES, TrainConfig

DONE, FAILURE, BAD_INPUT, NOT_PUBLISHED, LEFT = 0, 1, 2, 3, 130
SETTINGS = {each.name: each for each in fields(TrainConfig)}
MODEL_HELP = "starter, a Hub id (owner/name[@revision]), a run's id or folder, or a model's folder"
RUN_HELP = "a run's id or its folder"
_RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")

Commands = Any  # argparse's _SubParsersAction, which has no public name


@dataclass(frozen=True)
class Outcome:
    """document: what --json prints; text: what is printed otherwise."""

    document: Any
    text: str = ""
    code: int = DONE

    def with_more(self, more: Outcome) -> Outcome:
        """This one and what came after it, whose code counts unless this one failed."""
        text = "\n".join(filter(None, (self.text, more.text)))
        return Outcome(self.document | more.document, text, self.code or more.code)


def add_command(
    commands: Commands, name: str, summary: str, command: Callable[[argparse.Namespace], Outcome]
) -> argparse.ArgumentParser:
    """A command's parser with what every command has: its function and --json."""
    parser = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    parser.set_defaults(command=command)
    parser.add_argument("--json", action="store_true", help="Print one JSON document; logs go to stderr.")
    return parser


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """A flag for each of these TrainConfig fields, in the form's groups; those not given leave no trace."""
    groups: dict[str, Any] = {}
    for name in names:
        setting = SETTINGS[name]
        group = setting.metadata["group"]
        if group not in groups:
            groups[group] = parser.add_argument_group(group)
        groups[group].add_argument(f"--{name.replace('_', '-')}", dest=name, **_options(setting))


def _options(setting: Field[Any]) -> dict[str, Any]:
    """argparse's options for a setting. Values stay texts: TrainConfig reads and checks them."""
    default = "" if setting.default in ("", None) else f" (default: {setting.default})"
    options: dict[str, Any] = {
        "default": argparse.SUPPRESS,
        "help": (setting.metadata["hint"] + default).replace("%", "%%"),
    }
    kind = FIELD_TYPES[setting.name]
    if kind is bool:
        return options | {"action": argparse.BooleanOptionalAction}
    if choices := setting.metadata["choices"]:
        return options | {"metavar": "{" + ",".join(choices) + "}"}
    return options | {"metavar": {int: "N", str: "TEXT"}.get(kind, "X")}


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The TrainConfig fields among the arguments that were given."""
    return {name: value for name, value in vars(arguments).items() if name in SETTINGS}


def whole_number(text: str) -> int:
    """An argument's type: from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def run_named(typed: str) -> Run:
    """The run with this id, also as run:<id>, or in this folder; raises RunError."""
    return runs.find(typed.removeprefix("run:"))


def model_name(typed: str) -> str:
    """What the core calls the model that `typed` names: "run:…" for a run's id or folder, folders in full.

    Raises RunError for what looks like a run's id and is none.
    """
    if typed == "starter" or typed.startswith("run:"):
        return typed
    folder = Path(typed).expanduser()
    try:
        run = runs.find(typed)
    except RunError:
        if _RUN_ID.fullmatch(typed) and not folder.exists():
            raise
        # Whole, because the worker that reads it has a current folder of its own.
        return str(folder.resolve()) if folder.is_dir() else typed
    known = run.path.parent == home() / runs.LOCAL_OWNER
    return f"run:{run.id if known else run.path}"
