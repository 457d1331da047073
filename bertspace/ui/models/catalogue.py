"""Which models a person may name, and what the page knows of one without loading it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from bertspace import data, hub, models, runs
from bertspace.errors import BertspaceError, HubError, ModelError, RunError
from bertspace.files import cached, stamp
from bertspace.hub import names
from bertspace.hub.card_text import config_of
from bertspace.models import inference
from bertspace.policy import Person
from bertspace.runs import Run
from bertspace.safety import loadable
from bertspace.schema import TASK_NAMES
from bertspace.tasks import TASKS, metric
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame import html
from bertspace.ui.runs.view import owned, run_at_work, training_words
from bertspace.words import moment

STARTER = "starter"
EXAMPLES = 4  # rows of a run's own that are offered
_RUN = re.compile(r"run:(?:([0-9a-z][0-9a-z-]{0,63})/)?([0-9a-z][0-9a-z-]{0,63})")
_HUB_ID = re.compile(
    r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?(@[A-Za-z0-9][\w./-]{0,99})?", re.ASCII
)


def value_of(run: Run) -> str:
    """What a run is called as a model: run:<id>, or run:<owner>/<id> where it is not the local owner's."""
    owner = run.path.parent.name
    return f"run:{run.id}" if owner == runs.LOCAL_OWNER else f"run:{owner}/{run.id}"


def picker_choices(task: str, person: Person) -> list[tuple[str, str]]:
    """(words, value): the starter, then the person's runs, newest first; what does not fit says why."""
    starter = f"{STARTER} — {why}" if (why := misfit(STARTER, task)) else STARTER
    choices = [(starter, STARTER)]
    for run in owned(person.owner):
        try:
            choices.append((run_words(run, task), value_of(run)))
        except BertspaceError:
            continue  # a folder that is being made or deleted at this moment
    return choices


def hub_choices(task: str) -> list[tuple[str, str]]:
    """(words, value) of the Hub's models that lie on this machine for who asks; no network is needed."""
    return [(f"{name} — {why}" if (why := misfit(name, task)) else name, name) for name in hub.on_disk()]


def run_words(run: Run, task: str) -> str:
    """A run in one line: name, task where either fits, headline metric, time; or why it does not fit."""
    state = run.state()
    when = moment(state.created)
    if why := misfit(value_of(run), task):
        return f"{run.name} · {when} — {why}"
    own = "" if task else TASKS[run.config().task].title.lower()
    return " · ".join(filter(None, (run.name, own, headline(run), when)))


def headline(run: Run) -> str:
    """ "accuracy 0.842", on the test rows where there are any; "" before there is a result."""
    if not (result := run.result()):
        return ""
    name = result["headline"]
    scores = result.get("test") or result["validation"]
    return f"{metric(name).phrase} {metric(name).figure(scores[name])}" if name in scores else ""


def misfit(model: str, task: str) -> str:
    """Why a model cannot be used for the task ("" for any), as what follows its name; else "".

    What brought it here has checked all but its head."""
    if model == STARTER:
        return models.starter_why_not(task)
    if run := _run(model):
        return models.run_why_not(run, task)
    if not task or not (folder := _folder(model)):
        return ""  # of a model of the Hub that is not here nothing is known yet
    config = cached(folder / "config.json", lambda: config_of(folder))
    if not config:
        return loadable.UNREADABLE
    return loadable.lacks_head(config, TASKS[task], loadable.telling_weights(config, folder))


def newest_run(task: str, person: Person) -> str:
    """The person's newest run that fits, as a picker's value; "" where there is none."""
    for run in owned(person.owner):
        try:
            if not misfit(value_of(run), task):
                return value_of(run)
        except BertspaceError:
            continue
    return ""


def checked_model(value: str | None, person: Person) -> str:
    """The picker's value, if it is the starter, one of the person's own runs or a Hub id; raises ModelError.

    What is typed on a page is never taken as a path of the host. All that follows here takes checked values.
    """
    value = names.plain((value or "").strip())
    if value == STARTER:
        return value
    if not value:
        raise ModelError("No model is chosen.", hint="Choose one from the list, or type a Hub id.")
    if named := _RUN.fullmatch(value):
        own = [run for run in owned(person.owner) if run.id == named[2] and named[1] in (None, person.owner)]
        if not own:
            raise ModelError(f"There is no run {named[2]}.", hint="Choose one from the list.")
        return value_of(own[0])
    # Whether there is such a folder is the owner's to know; for everybody else no name is one (see models).
    owns = person.kind == "owner"
    if not _HUB_ID.fullmatch(value) or ".." in value or (owns and Path(value).exists()):
        raise ModelError(
            f"{value[:80]!r} is no model's name.",
            hint="Give starter, run:<id>, or a Hub id such as owner/name.",
        )
    return value


def known_model(value: str | None, person: Person) -> str:
    """The checked value; "" for what the person may not use or what is no model's name."""
    try:
        return checked_model(value, person)
    except (HubError, ModelError):
        return ""


def is_hub(value: str) -> bool:
    """Whether a checked value names a model of the Hub."""
    return bool(value) and value != STARTER and not is_tuned(value) and bool(_HUB_ID.fullmatch(value))


def is_here(value: str) -> bool:
    """Whether a model can be loaded without bringing anything from the Hub."""
    return value == STARTER or is_tuned(value) or _folder(value) is not None


def _folder(value: str) -> Path | None:
    """Where a model of the Hub lies on this machine."""
    try:
        return hub.folder_on_disk(value) if is_hub(value) else None
    except HubError:
        return None


def first_not_here(values: Iterable[str]) -> str:
    """The first of the models that has to be pulled before it can be used; "" where all are here."""
    return next((value for value in values if is_hub(value) and not is_here(value)), "")


def not_here_note(value: str) -> str:
    """The panel that stands instead of an answer meanwhile."""
    said = "What is known of it, and the button that brings it, stand under its name."
    return html.note(f"{html.short(value)} is not on this machine yet", said)


def model_name(value: str) -> str:
    """What the page calls a model: a run by its name, any other by its id."""
    run = _run(value)
    return run.name if run else html.short(value)


def model_title(value: str) -> str:
    """The name, and of a run at work which of its models answers."""
    words = training(value)
    return f"{model_name(value)} ({words})" if words else model_name(value)


def training(value: str) -> str:
    """Of a run at work, which of its models answers: "at step 120 of 345, still training"; else ""."""
    run = _run(value)
    return training_words(run) if run else ""


def fingerprint(value: str, task: str, person: Person) -> tuple[object, ...]:
    """Equal as long as a checked value answers the same, or for want of one the same run is at work."""
    if run := _run(value):
        return value, stamp(run.path / "model" / "config.json"), training_words(run)
    return value, first_in_training(task, person) if misfit(value, task) else ""


def first_in_training(task: str, person: Person) -> str:
    """The name of the person's run that is at work on a model of the task; "" where there is none."""
    at_work = run_at_work(person.owner)
    return at_work.name if at_work and task in ("", at_work.config.task) else ""


def is_tuned(value: str) -> bool:
    """Whether a model is one of the runs, which have the fine-tuned model's colour."""
    return value.startswith("run:")


def task_of(value: str) -> str:
    """What a model does; "" where that cannot be known without bringing it here."""
    if run := _run(value):
        return run.config().task
    with suppress(BertspaceError):
        return inference.task_of(value) if is_here(value) else ""
    return ""


def takes_pair(value: str) -> bool:
    """Whether a run was trained on pairs of texts."""
    run = _run(value)
    return bool(run and run.config().pair_column)


def held_out_rows(value: str) -> Path | None:
    """The file of rows that a run was not trained on: its test rows, or else its validation rows."""
    run = _run(value)
    return run.held_out() if run and run.held_out().is_file() else None


@dataclass(frozen=True)
class HeldOut:
    """What a run holds out: how many rows, how many of them the training rows have too, some of the others.

    examples: (text, second text) as the run's model can be asked them.
    """

    rows: int = 0
    seen: int = 0
    examples: tuple[tuple[str, str], ...] = ()


def held_out(value: str) -> HeldOut:
    """What a run was not trained on; nothing of what is no run."""
    file, task = held_out_rows(value), task_of(value)
    return cached(file, lambda: _read_held_out(file, task)) if file else HeldOut()


def _read_held_out(file: Path, task: str) -> HeldOut:
    import pandas as pd

    frame, train = pd.read_parquet(file), file.with_name("train.parquet")
    seen = frame["text"].map(lambda text: False)
    if train.is_file():
        keys = [name for name in ("text", "pair") if name in frame]
        seen = data.seen_in_training(pd.read_parquet(train, columns=keys), frame)
    examples = TASKS[task].examples(frame[~seen], EXAMPLES)
    return HeldOut(len(frame), int(seen.sum()), tuple(examples))


def label_count(model: str, task: str) -> int:
    """How many labels a model's configuration names; raises BertspaceError where it does not fit."""
    named = models.locate(model, task).config.get("id2label")
    return len(named) if isinstance(named, dict | list) else 0


@needs("try models")
def listed_models(task: str = "", request: gr.Request | None = None) -> list[dict[str, str]]:
    """The models at hand, for the API: value, words, and why one does not fit the task (else "").

    task: the name of one, or "" for any.
    """
    if task and task not in TASK_NAMES:
        raise ModelError(f"There is no task {task!r}.", hint=f"Choose from: {', '.join(TASK_NAMES)}.")
    return [
        {"value": value, "words": words, "misfit": misfit(value, task)}
        for words, value in [*picker_choices(task, who.person(request)), *hub_choices(task)]
    ]


def _run(value: str) -> Run | None:
    """The run that a checked value names, if there is one (still)."""
    try:
        return models.run_called(value) if _RUN.fullmatch(value or "") else None
    except RunError:
        return None
