"""bertspace runs stop, pause, resume and queue."""

from __future__ import annotations

import argparse

from bertspace import runs
from bertspace.cli import words
from bertspace.cli.outcome import (
    RUN_HELP,
    Commands,
    Outcome,
    add_command,
    add_settings,
    given_settings,
    run_named,
    whole_number,
)
from bertspace.cli.train import followed
from bertspace.cli.watch import Watch
from bertspace.jobs import engine, queue
from bertspace.runs import Run

SMALLER = ("batch_size", "gradient_accumulation", "max_length", "chunk_size", "lora_rank")  # schema.lighter's


def add_commands(actions: Commands) -> None:
    for name, about, command in (
        ("stop", "Ask a run to end after the step at work, with a model that was saved and scored.", stop),
        ("pause", "Ask a run to keep its state after the step at work, and to free the device.", pause),
        ("resume", "Let a run that has ended before its time go on from its newest checkpoint.", resume),
    ):
        parser = add_command(actions, name, about, command)
        parser.add_argument("run", metavar="RUN", help=RUN_HELP)
        parser.add_argument("--wait", action="store_true", help="Wait for the end.")
    add_settings(parser, SMALLER)  # resume's
    parser = add_command(actions, "queue", "Show who waits and at which place, or move a run.", show_queue)
    parser.add_argument("run", metavar="RUN", nargs="?", help=RUN_HELP)
    parser.add_argument("--place", type=whole_number, metavar="N", help="Put the run there; 1 is next.")


def stop(arguments: argparse.Namespace) -> Outcome:
    run = run_named(arguments.run)
    watch = Watch(run, seen=True)
    engine.stop(run)
    if arguments.wait:
        return followed(watch)
    words = "ends after the step at work, with a model that was saved and scored."
    return _asked(run, "stop", "has stopped." if _ended(run) else words)


def pause(arguments: argparse.Namespace) -> Outcome:
    run = run_named(arguments.run)
    watch = Watch(run, seen=True)
    engine.pause(run)
    if arguments.wait:
        return followed(watch)
    return _asked(run, "pause", "is paused." if _ended(run) else "pauses after the step at work.")


def _ended(run: Run) -> bool:
    return run.state().status in runs.ENDED


def _asked(run: Run, what: str, words: str) -> Outcome:
    return Outcome({"run": run.id, "status": run.state().status, what: True}, f"The run {run.id} {words}")


def resume(arguments: argparse.Namespace) -> Outcome:
    run = run_named(arguments.run)
    watch, step = Watch(run, seen=True), run.checkpoint()
    engine.resume(run, given_settings(arguments))
    if arguments.wait:
        return followed(watch)
    words = f"goes on after step {step:,}" if step else "begins anew"
    place = queue.position(run)
    return _asked(run, "resume", f"{words}: number {place} in the queue." if place else f"{words}.")


def show_queue(arguments: argparse.Namespace) -> Outcome:
    """Without a run, everyone who waits; with one, its place, after it was moved where that is asked for."""
    if not arguments.run:
        waiting = [_waiting(run) for run in queue.waiting(runs.list_runs())]
        rows = [[str(value) for value in each.values()] for each in waiting]
        text = words.table(("place", "run", "name"), rows, numbers=False)
        return Outcome(waiting, text if rows else "No run waits.")
    run = run_named(arguments.run)
    if arguments.place:
        queue.move(run, arguments.place)
    entry = _waiting(run)
    place = entry["place"]
    stands = f"is number {place} in the queue." if place else f"does not wait ({run.state().status})."
    return Outcome(entry, f"The run {run.id} {stands}")


def _waiting(run: Run) -> dict[str, str | int]:
    """The run and its place among everyone's, 0 for none."""
    return {"place": queue.position(run), "run": run.id, "name": run.name}
