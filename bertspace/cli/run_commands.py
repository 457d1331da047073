"""bertspace runs …: list, show, rename, annotate, compare, export and delete runs."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertspace import runs
from bertspace.cli import run_control, words
from bertspace.cli.outcome import RUN_HELP, SETTINGS, Commands, Outcome, add_command, run_named
from bertspace.cli.train import document, summary, to_go_on
from bertspace.errors import RunError
from bertspace.jobs import comparison, engine, queue
from bertspace.publish import export
from bertspace.runs import Run
from bertspace.schema import TrainEvent
from bertspace.tasks import metric
from bertspace.words import size


def add_commands(commands: Commands) -> None:
    group = commands.add_parser(
        "runs", help="List, show, queue, stop, resume, compare, export and delete runs.", allow_abbrev=False
    )
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    add_command(actions, "list", "Every run, newest first.", list_runs)
    _add(actions, "show", "One run: its state, settings, data and metrics.", show)
    run_control.add_commands(actions)
    parser = _add(actions, "rename", "Give a run another name.", rename)
    parser.add_argument("name", metavar="NAME")
    parser = _add(actions, "note", "Keep a note with a run, instead of the one before.", note)
    parser.add_argument("notes", metavar="TEXT", help='the note; "" for none')
    parser = _add(actions, "compare", "Two runs: the settings that differ, and their metrics.", compare)
    parser.add_argument("other", metavar="RUN", help="the other run")
    parser = _add(actions, "export", "Settings, command and a stand-alone script, with the data.", take_along)
    parser.add_argument("--output", metavar="DIR", help="A new folder for them (default: the run's id).")
    parser.add_argument("--zip", metavar="FILE", help="Write all of the run into one file, for download.")
    parser = _add(actions, "delete", "Remove a run and all that it made.", delete)
    parser.add_argument("--yes", action="store_true", help="Do not ask first.")


def _add(actions: Commands, name: str, about: str, command: Any) -> argparse.ArgumentParser:
    parser = add_command(actions, name, about, command)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    return parser


def list_runs(_: argparse.Namespace) -> Outcome:
    entries = [_entry(run) for run in runs.list_runs()]
    header = ("run", "status", "name", "metric")
    rows = [(each["run"], each["status"], each["name"], each.pop("words")) for each in entries]
    return Outcome(entries, words.table(header, rows, numbers=False) if rows else "There are no runs yet.")


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
    run = run_named(arguments.run)
    state, source, events = run.state(), run.source(), run.events()[0]
    forecast = _forecast(events)
    known = document(run) | {"position": queue.position(run), "forecast": forecast}
    place = known["position"]
    rows = ", ".join(f"{count:,} {part}" for part, count in source.get("rows", {}).items())
    settings = run.config().to_dict().items()
    changed = [f"{name}={value}" for name, value in settings if value != SETTINGS[name].default]
    step = run.checkpoint()
    lines = [
        ("Run", run.id),
        ("Name", state.name),
        ("Notes", state.notes.replace("\n", f"\n{'':10}")),
        ("Status", f"{state.status}, number {place} in the queue" if place else state.status),
        ("", f"{state.message} {state.hint}".strip()),
        ("Go on", to_go_on(run)),
        ("Created", time.strftime("%Y-%m-%d %H:%M", time.localtime(state.created))),
        ("Now", _progress(events) if state.status == "running" else ""),
        ("Kept", f"a checkpoint after step {step:,}" if step else ""),
        ("Forecast", words.forecast_words(forecast) if forecast else ""),
        ("Data", f"{source.get('source', '')}: {rows}"),
        *(("", finding) for finding in source.get("findings", ())),
        ("Settings", ", ".join(changed)),
        ("Folder", str(run.path.resolve())),
    ]
    facts = "\n".join(f"{name:<9} {value}".rstrip() for name, value in lines if value)
    return Outcome(known, "\n\n".join(filter(None, (facts, summary(run)))))


def _forecast(events: list[TrainEvent]) -> dict[str, float] | None:
    """The newest one: seconds and memory_bytes."""
    forecasts = [event.metrics for event in events if event.kind == "forecast"]
    return forecasts[-1] if forecasts else None


def _progress(events: list[TrainEvent]) -> str:
    """Where a run is, by its last event."""
    steps = [event for event in events if event.kind == "step"]
    if not steps:
        return events[-1].message if events else ""
    last = steps[-1]
    return f"step {last.step:,} of {last.total_steps:,}, loss {metric('loss').figure(last.loss)}"


def rename(arguments: argparse.Namespace) -> Outcome:
    run = run_named(arguments.run)
    engine.edit(run, name=arguments.name)
    return Outcome({"run": run.id, "name": run.state().name}, f"The run {run.id} is called {run.name}.")


def note(arguments: argparse.Namespace) -> Outcome:
    run = run_named(arguments.run)
    engine.edit(run, notes=arguments.notes)
    notes = run.state().notes
    return Outcome({"run": run.id, "notes": notes}, f"The note is {'kept' if notes else 'gone'}.")


def compare(arguments: argparse.Namespace) -> Outcome:
    first, second = run_named(arguments.run), run_named(arguments.other)
    compared = comparison.compare(first, second)
    named = {"name": (first.name, second.name)} | compared.settings
    settings = [(name, *map(_value, pair)) for name, pair in named.items()]
    metrics = [
        (f"{split} {name}", *map(metric(name).figure, pair))
        for split, each in compared.metrics.items()
        for name, pair in each.items()
    ]
    head = ("", first.id, second.id)
    parts = [
        words.table(head, settings, numbers=False),
        "" if compared.settings else "Settings and rows are the same.",
        words.table(head, metrics) if metrics else "Neither has been scored.",
    ]
    return Outcome({"runs": (first.id, second.id)} | asdict(compared), "\n\n".join(filter(None, parts)))


def _value(value: Any) -> str:
    return words.NONE if value in (None, "") else str(value)


def take_along(arguments: argparse.Namespace) -> Outcome:
    """The zip where one is asked for; the folder where one is, or where neither is."""
    run = run_named(arguments.run)
    written: dict[str, Any] = {"run": run.id}
    lines = []
    if arguments.zip:
        written["zip"] = str(export.archive(run, Path(arguments.zip)))
        lines.append(f"The run is in {written['zip']}")
    if arguments.output or not arguments.zip:
        written["folder"] = str(export.export(run, Path(arguments.output or run.id)))
        lines.append(f"In {written['folder']}:  python train.py, or the command in command.txt")
    return Outcome(written, "\n".join(lines))


def delete(arguments: argparse.Namespace) -> Outcome:
    run = run_named(arguments.run)
    folder, freed = run.path.resolve(), size(engine.size(run))
    if sys.stdin.isatty() and not arguments.yes:
        asked = f"Delete the run {run.id} and all in {folder} ({freed})? [y/N] "
        print(asked, end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return Outcome({"run": run.id, "deleted": False}, "Nothing was deleted.")
    engine.delete(run)
    document = {"run": run.id, "folder": str(folder), "deleted": True}
    return Outcome(document, f"The run {run.id} is deleted ({freed}).")
