"""What people do with their runs: stop, resume, rename, move in the queue, download, delete.

Each is a handler or an endpoint. `request` says who asks.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gradio as gr

from bertspace import data, policy, runs
from bertspace.errors import ForbiddenError
from bertspace.jobs import comparison, engine, queue
from bertspace.publish import export
from bertspace.runs import LOCAL_OWNER, Run
from bertspace.tasks import samples
from bertspace.ui.access import files, who
from bertspace.ui.access.needs import needs
from bertspace.ui.runs.view import find_run, first_run, run_lines, view

# Settings that say where rows lie: a run's own name its copy of them, which a new run cannot name.
PLACES = {"dataset", "dataset_config", "train_file", "validation_file", "test_file", "data_dir"}
PLACES |= {"train_split", "validation_split", "test_split"}
PLACES |= {"text_column", "pair_column", "label_column", "label_names"}


def managed(run_id: str, request: gr.Request | None, action: str = "manage runs") -> Run:
    """The run, if it is the person's own and they may do this; raises BertspaceError."""
    return find_run(run_id, who.allowed(request, action).owner)


# Going on and ending


@needs("manage runs", urgent=True)
def stop(run_id: str, request: gr.Request | None = None) -> None:
    """Ask the run to finish its step, save and score; one that waits is withdrawn."""
    engine.stop(managed(run_id, request))


@needs("manage runs", urgent=True)
def pause(run_id: str, request: gr.Request | None = None) -> None:
    """Ask the run to finish its step and keep what it needs to go on from there."""
    engine.pause(managed(run_id, request))


@needs("train")
def resume(run_id: str, request: gr.Request | None = None) -> None:
    """Let a run that has ended before its time go on from its checkpoint, when its turn comes."""
    run = managed(run_id, request, "train")
    policy.check_place(who.person(request))
    engine.resume(run)


@needs("train")
def go_on(run_id: str, request: gr.Request | None = None) -> None:
    """Resume a run for which memory ran out, with the settings that would fit."""
    run = managed(run_id, request, "train")
    policy.check_place(who.person(request))
    engine.resume(run, run.state().advice)


@needs("manage runs")
def to_front(run_id: str, request: gr.Request | None = None) -> None:
    """Let the run start next."""
    _place(run_id, 1, request)


@needs("manage runs")
def move(run_id: str, place: int = 1, request: gr.Request | None = None) -> dict[str, Any]:
    """Put a run that waits at this place of the queue, 1 for next; the run as it is then."""
    _place(run_id, place, request)
    return show_run(run_id, request)


def _place(run_id: str, place: int, request: gr.Request | None) -> None:
    """Only the owner may let a run go before other people's."""
    person, run = who.allowed(request, "manage runs"), managed(run_id, request)
    own = queue.waiting(runs.list_runs(person.owner))
    if person.kind != "owner" and own and queue.position(own[-1]) > len(own):
        raise ForbiddenError(
            "Other people's runs wait too.", hint="Runs start in the order in which they came."
        )
    queue.move(run, place)


@needs("manage runs")
def remove(run_id: str, request: gr.Request | None = None) -> str:
    """Delete the run for good; the id of the run that is shown instead, or ""."""
    person = who.allowed(request, "manage runs")
    engine.delete(find_run(run_id, person.owner))
    return first_run(person.owner)


# Names and notes


@needs("manage runs")
def rename(run_id: str, name: str, request: gr.Request | None = None) -> dict[str, Any]:
    """Give the run another name; the run as it is then."""
    engine.edit(managed(run_id, request), name=name)
    return show_run(run_id, request)


@needs("manage runs")
def note(run_id: str, notes: str, request: gr.Request | None = None) -> dict[str, Any]:
    """Keep these notes with the run, instead of those before; the run as it is then."""
    engine.edit(managed(run_id, request), notes=notes)
    return show_run(run_id, request)


@needs("manage runs")
def save(run_id: str, name: str, notes: str, request: gr.Request | None = None) -> None:
    """Both at once."""
    engine.edit(managed(run_id, request), name=name, notes=notes)


# Telling


@needs("see runs")
def list_runs(request: gr.Request | None = None) -> list[dict[str, Any]]:
    """The newest runs: id, name, notes, task, status, metric, base, tuned, created, seconds."""
    return [asdict(line) for line in run_lines(who.allowed(request, "see runs").owner)]


@needs("see runs")
def show_run(run_id: str, request: gr.Request | None = None) -> dict[str, Any]:
    """One run: status, step, total_steps, message, metric, base, tuned, and result once there is one.

    position: its place in the queue, 0 for none. checkpoint: the step that it can go on from, if any.
    forecast: seconds and memory_bytes, once known. advice: settings that would fit, after memory ran out.
    """
    seen = view(run_id, who.allowed(request, "see runs").owner)
    return {
        "id": seen.id, "name": seen.name, "notes": seen.state.notes, "status": seen.state.status,
        "step": seen.trail.step, "total_steps": seen.trail.total_steps,
        "message": seen.state.message or seen.trail.message, "position": seen.position,
        "checkpoint": seen.checkpoint, "forecast": seen.trail.forecast, "advice": seen.state.advice,
        "metric": seen.metric, "base": seen.base, "tuned": seen.tuned, "result": seen.result,
    }  # fmt: skip


@needs("see runs")
def compare_runs(run_id: str, other: str, request: gr.Request | None = None) -> dict[str, Any]:
    """Two runs side by side, as pairs: the settings that differ, the metrics, and the curves of the loss."""
    owner = who.allowed(request, "see runs").owner
    return asdict(comparison.compare(find_run(run_id, owner), find_run(other, owner)))


@needs("see runs")
def copy_settings(run_id: str, request: gr.Request | None = None) -> dict[str, Any]:
    """The run's settings for a new one, by their names; without its rows, unless they are a sample's."""
    return settings_of(run_id, who.allowed(request, "see runs").owner)


def settings_of(run_id: str, owner: str = LOCAL_OWNER) -> dict[str, Any]:
    """The run's settings, but those of where its rows were; `dataset` for a sample's and the Hub's."""
    run = find_run(run_id, owner)
    values = run.config().to_dict()
    kept = {name: value for name, value in values.items() if name not in PLACES}
    return kept | _dataset(str(run.source().get("source", "")))


def _dataset(source: str) -> dict[str, Any]:
    """`dataset` where the rows came from a sample or, by its id, from the Hub."""
    for name, sample in samples().items():
        if source == f"sample: {sample.title}":
            return {"dataset": f"{data.SAMPLE_PREFIX}{name}"}
    named, _, config = source.removesuffix(")").partition(" (")
    return {"dataset": named, "dataset_config": config} if "/" in named else {}


# Files


@needs("manage runs")
def download(run_id: str, request: gr.Request | None = None) -> str:
    """A zip of the run: settings, result, events, log, model and rows, and a script with its base model."""
    run = managed(run_id, request)
    files.make_room(2 * engine.size(run))  # the base model is about as large
    return str(export.archive(run, files.new_path(f"{run.id}.zip")))


@needs("see runs")
def whole_log(run_id: str, request: gr.Request | None = None) -> str:
    """The run's log.txt, less folders of this machine; raises RunError where nothing is written yet."""
    run = managed(run_id, request, "see runs")
    text, path = export.log(run), files.new_path(f"{run.id}-log.txt")
    path.write_text(text, encoding="utf-8")
    return str(path)
