"""bertspace train: flags and recipes -> TrainConfig -> a run, watched to its end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertspace import engine, recipes
from bertspace.cli import words
from bertspace.cli.outcome import (
    BAD_INPUT,
    DONE,
    FAILURE,
    LEFT,
    SETTINGS,
    Commands,
    Outcome,
    add_command,
    add_settings,
    given_settings,
    model_name,
)
from bertspace.cli.watch import Watch
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig

# How the worker words what is no fault of the settings.
BUG = "This is a bug"
TERMINATED = "The process was ended from outside."


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "train", "Fine-tune a model and wait for the end.", train)
    parser.add_argument(
        "--recipe",
        default="",
        metavar="NAME",
        help=f"Start from a published experiment: {', '.join(recipes.NAMES)}. Flags go before its settings.",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="Make this new folder the run's own (default: one in BERTSPACE_HOME)."
    )
    add_settings(parser, SETTINGS)


def train(arguments: argparse.Namespace) -> Outcome:
    """Submit a run, wait for its end and print its metrics."""
    config = TrainConfig.from_dict(settings(arguments.recipe, given_settings(arguments)))
    folder = Path(arguments.output).expanduser() if arguments.output else None
    name = f"{config.model.rpartition('/')[2]} on {arguments.recipe}" if arguments.recipe else ""
    run = engine.submit(config, folder=folder, name=name)
    print(f"Run {run.id}: {run.name}, in {run.path.resolve()}", file=sys.stderr)
    ended = Watch(run).to_the_end()
    state = run.state()
    code = exit_code(state, run.result() is not None) if ended else LEFT
    if code in (FAILURE, BAD_INPUT):
        print(f"error: {' '.join(f'{state.message} {state.hint}'.split())}", file=sys.stderr)
    return Outcome(document(run), summary(run, arguments.recipe), code)


def settings(recipe: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """TrainConfig's values: the flags given, over the recipe's where one is named; raises BertspaceError."""
    values: dict[str, Any] = {}
    if recipe:
        values = recipes.load(recipe, model=given.get("model", ""), data_dir=given.get("data_dir", ""))
        if "data_dir" not in given and ("dataset" in given or "train_file" in given):
            values = recipes.without_data(values)  # its columns and splits are those of other rows
    values |= given
    if "model" in given:
        values["model"] = model_name(given["model"])
    return values


def exit_code(state: RunState, has_result: bool) -> int:
    """0 where there is a model at the end, 2 where the settings or the data are at fault."""
    if state.status in ("done", "stopped") and has_result:
        return DONE
    return BAD_INPUT if state.status == "failed" and not _is_fault_of_ours(state) else FAILURE


def _is_fault_of_ours(state: RunState) -> bool:
    return state.hint.startswith(BUG) or state.message == TERMINATED


def document(run: Run) -> dict[str, Any]:
    """All that is known of a run: its state, where its rows came from, its settings and its result."""
    known = {"run": run.id, "folder": str(run.path.resolve()), **asdict(run.state())}
    return known | {"source": run.source(), "config": run.config().to_dict()} | (run.result() or {})


def summary(run: Run, recipe: str = "") -> str:
    """The run's metrics and what to do next; empty where there are none."""
    result = run.result()
    if result is None:
        return ""
    pace = f"{words.number(result['examples_per_second'])} examples a second"
    figures = words.figures_words(recipes.describe(recipe)["figures"]) if recipe else ""
    parts = [
        f"{run.name}: {run.state().status} after {words.duration(result['seconds'])} ({pace})",
        words.result_table(result),
        figures,
        f'{words.headline_words(result)}\nTry it:  bertspace predict {run.id} "…"',
    ]
    return "\n\n".join(filter(None, parts))
