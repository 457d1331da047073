"""bertspace runs list, show, stop and delete: what there is, and how it stands."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from bertspace import engine, queue, runs
from bertspace.cli import words
from bertspace.cli.outcome import SETTINGS, Commands, Outcome, add_command
from bertspace.cli.train import document, summary
from bertspace.errors import RunError
from bertspace.runs import Run


def add_commands(commands: Commands) -> None:
    group = commands.add_parser("runs", help="List, show, stop and delete runs.", allow_abbrev=False)
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    add_command(actions, "list", "Every run, newest first.", list_runs)
    for name, about, command in (
        ("show", "One run: its state, settings, data and metrics.", show),
        ("stop", "Ask a run to end after the step at work, with a model that was saved and scored.", stop),
        ("delete", "Remove a run and all that it made.", delete),
    ):
        parser = add_command(actions, name, about, command)
        parser.add_argument("run", metavar="RUN", help="a run's id or its folder")
    parser.add_argument("--yes", action="store_true", help="Do not ask first.")


def list_runs(_: argparse.Namespace) -> Outcome:
    found = [_entry(run) for run in runs.list_runs()]
    header = ("run", "status", "name", "metric")
    rows = [(each["run"], each["status"], each["name"], each.pop("words")) for each in found]
    return Outcome(found, words.table(header, rows, numbers=False) if rows else "There are no runs yet.")


def _entry(run: Run) -> dict[str, Any]:
    """A run in a line; one that cannot be read does not hide the others."""
    known = {"run": run.id, "folder": str(run.path.resolve())}
    try:
        state, config, result = run.state(), run.config(), run.result()
    except RunError as error:
        return known | {"status": "unreadable", "name": "", "words": error.message}
    return known | {
        "status": state.status,
        "name": state.name,
        "created": state.created,
        "task": config.task,
        "model": config.model,
        "headline": words.headline(result),
        "words": words.headline_words(result),
    }


def show(arguments: argparse.Namespace) -> Outcome:
    run = runs.find(arguments.run.removeprefix("run:"))
    state, source = run.state(), run.source()
    place = queue.position(run)
    status = f"{state.status}, number {place} in the queue" if place else state.status
    rows = ", ".join(f"{count:,} {part}" for part, count in source.get("rows", {}).items())
    settings = run.config().to_dict().items()
    changed = [f"{name}={value}" for name, value in settings if value != SETTINGS[name].default]
    lines = [
        ("Run", run.id),
        ("Name", state.name),
        ("Status", status),
        ("", f"{state.message} {state.hint}".strip()),
        ("Created", time.strftime("%Y-%m-%d %H:%M", time.localtime(state.created))),
        ("Now", _progress(run) if state.status == "running" else ""),
        ("Data", f"{source.get('source', '')}: {rows}"),
        *(("", finding) for finding in source.get("findings", ())),
        ("Settings", ", ".join(changed)),
        ("Folder", str(run.path.resolve())),
    ]
    facts = "\n".join(f"{name:<9} {value}".rstrip() for name, value in lines if value)
    return Outcome(document(run), "\n\n".join(filter(None, (facts, summary(run)))))


def _progress(run: Run) -> str:
    """Where a run is, by its last event."""
    events, _ = run.events()
    steps = [event for event in events if event.kind == "step"]
    if not steps:
        return events[-1].message if events else ""
    last = steps[-1]
    return f"step {last.step:,} of {last.total_steps:,}, loss {words.number(last.loss)}"


def stop(arguments: argparse.Namespace) -> Outcome:
    run = runs.find(arguments.run.removeprefix("run:"))
    engine.stop(run)
    ended = run.state().status in runs.ENDED
    said = "has stopped." if ended else "ends after the step at work, with a model that was saved and scored."
    return Outcome({"run": run.id, "status": run.state().status, "stop": True}, f"The run {run.id} {said}")


def delete(arguments: argparse.Namespace) -> Outcome:
    run = runs.find(arguments.run.removeprefix("run:"))
    folder = run.path.resolve()
    if sys.stdin.isatty() and not arguments.yes:
        print(f"Delete the run {run.id} and all in {folder}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return Outcome({"run": run.id, "deleted": False}, "Nothing was deleted.")
    engine.delete(run)
    return Outcome({"run": run.id, "folder": str(folder), "deleted": True}, f"The run {run.id} is deleted.")
