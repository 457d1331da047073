"""bertspace train: flags, recipes and settings files -> TrainConfig -> a run, watched to its end."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from bertspace import data, publish, recipes
from bertspace.cli import hub_commands, words
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
from bertspace.data import archives
from bertspace.errors import ConfigError
from bertspace.jobs import engine
from bertspace.publish import Destination
from bertspace.runs import RESUMABLE, Run
from bertspace.schema import RunState, TrainConfig
from bertspace.words import duration, number

# How the worker words what is no fault of the settings.
NO_FAULT = ("This is a bug", "Free some space")


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "train", "Fine-tune a model.", train)
    parser.add_argument(
        "--recipe",
        default="",
        metavar="NAME",
        help=f"Start from a published experiment: {', '.join(recipes.NAMES)}. Flags go before its settings.",
    )
    parser.add_argument(
        "--settings", default="", metavar="FILE",
        help="Start from a YAML of settings, as `runs export` writes it. Flags go before them.",
    )  # fmt: skip
    parser.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=True,
        help="Wait for the end; or print the run's id and leave it to itself.",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="DIR", help="Make this new folder the run's own (default: one in BERTSPACE_HOME)."
    )
    parser.add_argument(
        "--push-to", default="", metavar="OWNER/NAME", help="Publish the model there when it is trained."
    )
    parser.add_argument(
        "--push-each-epoch", action="store_true", help="And after every epoch, without a card and a check."
    )
    hub_commands.add_destination(parser)
    add_settings(parser, SETTINGS)


def train(arguments: argparse.Namespace) -> Outcome:
    """Submit a run, wait for its end and print its metrics."""
    config = TrainConfig.from_dict(settings(arguments.recipe, given_settings(arguments), arguments.settings))
    folder = Path(arguments.output).expanduser() if arguments.output else None
    name = f"{config.model.rpartition('/')[2]} on {arguments.recipe}" if arguments.recipe else ""
    destination = _destination(arguments, config)
    splits = data.load_splits(config)
    words.say_findings(splits.findings, splits.remedies)
    run = engine.submit(config, folder=folder, name=name, splits=splits)
    print(f"Run {run.id}: {run.name}, in {run.path.resolve()}", file=sys.stderr)
    if not arguments.wait:
        return Outcome(document(run), run.id)
    with _epochs_pushed(run, destination if arguments.push_each_epoch else None):
        outcome = followed(Watch(run), arguments.recipe)
    if destination is None or outcome.code != DONE or run.result() is None:
        return outcome
    pushed = hub_commands.made_after(
        lambda: hub_commands.publish_run(run, destination),
        f"The run {run.id} is trained and kept, but it was not published",
    )
    return outcome.with_more(
        replace(pushed, document={"published": pushed.document}, text=f"\n{pushed.text}")
    )


def _destination(arguments: argparse.Namespace, config: TrainConfig) -> Destination | None:
    """Where the model goes when it is trained: looked at before any training. Raises BertspaceError."""
    if not arguments.push_to:
        if arguments.push_each_epoch:
            raise ConfigError("--push-each-epoch says nothing of where.", hint="Give --push-to OWNER/NAME.")
        return None
    if not arguments.wait:
        raise ConfigError(
            "--push-to waits for the end of the run, and --no-wait does not.",
            hint="Leave --no-wait out, or run `python -m bertspace push` later.",
        )
    destination = hub_commands.destination(arguments, arguments.push_to)
    publish.check_config(config, destination)
    publish.check_access(destination)
    return destination


@contextmanager
def _epochs_pushed(run: Run, destination: Destination | None) -> Iterator[None]:
    """Within the block a thread pushes every epoch; it is waited for at the end."""
    ended, context = threading.Event(), copy_context()
    if destination is None:
        yield
        return
    work = partial(publish.push_epochs, run, destination, tell=hub_commands.say, stopped=ended.is_set)
    pushing = threading.Thread(target=context.run, args=(work,), daemon=True)
    pushing.start()
    try:
        yield
    finally:
        ended.set()
        pushing.join()


def followed(watch: Watch, recipe: str = "") -> Outcome:
    """Wait for a run's end; what it came to, and how to go on where it can."""
    ended, run = watch.to_the_end(), watch.run
    state = run.state()
    code = exit_code(state, run.result() is not None) if ended else LEFT
    if code in (FAILURE, BAD_INPUT):
        print(f"error: {' '.join(f'{state.message} {state.hint}'.split())}", file=sys.stderr)
    text = summary(run, recipe) if state.status in ("done", "stopped") else ""
    if not text and (how := to_go_on(run)):
        text = f"The run {run.id} is {state.status}. Go on:  {how}"
    return Outcome(document(run), text, code)


def settings(recipe: str, given: Mapping[str, Any], file: str = "") -> dict[str, Any]:
    """TrainConfig's values: the flags given, over the recipe's or the file's; raises BertspaceError."""
    values: dict[str, Any] = {}
    if recipe and file:
        raise ConfigError("Both --recipe and --settings are given.", hint="Leave one of them out.")
    if file:
        values = read_settings(Path(file).expanduser())
        if "dataset" in given or "train_file" in given:
            values = recipes.without_data(values)
    if recipe:
        given = _data_dir_given(given)
        values = recipes.load(recipe, model=given.get("model", ""), data_dir=given.get("data_dir", ""))
        if "data_dir" not in given and ("dataset" in given or "train_file" in given):
            values = recipes.without_data(values)  # its columns and splits are those of other rows
    values |= given
    if "model" in given:
        values["model"] = model_name(given["model"])
    return values


def _data_dir_given(given: Mapping[str, Any]) -> dict[str, Any]:
    """The flags, with a folder or an archive that is given as the training file as what it is."""
    file = Path(str(given.get("train_file", ""))).expanduser()
    if "data_dir" in given or "train_file" not in given or not (archives.is_archive(file) or file.is_dir()):
        return dict(given)
    return {name: value for name, value in given.items() if name != "train_file"} | {"data_dir": str(file)}


def read_settings(file: Path) -> dict[str, Any]:
    """The settings in a YAML file; what they name relatively lies beside it. Raises ConfigError."""
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{file} cannot be read as YAML.", hint="Give a file of name: value lines."
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds no settings.", hint="Give a file of name: value lines.")
    model = str(values.get("model") or "")
    if model and model != "starter" and (file.parent / model).is_dir():
        values["model"] = str((file.parent / model).resolve())
    if values.get("train_file") or values.get("data_dir"):
        values["data_dir"] = str(file.parent / str(values.get("data_dir") or ""))
    return values


def exit_code(state: RunState, has_result: bool) -> int:
    """0 where there is a model or the run is paused, 2 where the settings or the data are at fault."""
    if state.status == "paused" or (state.status in ("done", "stopped") and has_result):
        return DONE
    return BAD_INPUT if state.status == "failed" and not _is_the_machines(state) else FAILURE


def _is_the_machines(state: RunState) -> bool:
    """Whether a run failed for a bug, or for memory or disk that was too small."""
    return bool(state.advice) or state.message.startswith("Memory") or state.hint.startswith(NO_FAULT)


def to_go_on(run: Run) -> str:
    """The command by which a run goes on; empty where it cannot, or would fail again."""
    state = run.state()
    hopeless = state.status == "failed" and not state.advice and run.checkpoint() is None
    if hopeless or state.status not in RESUMABLE:
        return ""
    smaller = "".join(f" --{name.replace('_', '-')} {value}" for name, value in state.advice.items())
    return f"python -m bertspace runs resume {run.id}{smaller}"


def document(run: Run) -> dict[str, Any]:
    """All that is known of a run: its state, where its rows came from, its settings and its result."""
    known = {"run": run.id, "folder": str(run.path.resolve()), **asdict(run.state())}
    known |= {"checkpoint": run.checkpoint(), "source": run.source(), "config": run.config().to_dict()}
    return known | (run.result() or {})


def summary(run: Run, recipe: str = "") -> str:
    """The run's metrics and what to do next; empty where there are none."""
    result = run.result()
    if result is None:
        return ""
    pace = f"{number(result['examples_per_second'])} examples a second"
    figures = words.figures_words(recipes.describe(recipe)["figures"]) if recipe else ""
    parts = [
        f"{run.name}: {run.state().status} after {duration(result['seconds'])} ({pace})",
        words.result_table(result),
        words.outcome_words(result),
        figures,
        f'{words.headline_words(result)}\nTry it:  python -m bertspace predict {run.id} "…"',
    ]
    return "\n\n".join(filter(None, parts))
