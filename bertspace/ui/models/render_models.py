"""Models of the Hub as HTML: results of a search, what there is to know of one, its pull. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from markupsafe import Markup

from bertspace.errors import BertspaceError
from bertspace.hub import Facts, Found
from bertspace.jobs.transfers import Transfer
from bertspace.tasks import TASKS
from bertspace.ui.frame.html import LONGEST_CELL, LONGEST_NAME, problem, render, short
from bertspace.ui.runs.render_progress import progress_bar, time_left
from bertspace.words import shortened, size, thousands

NO_MODELS = "The starter and your runs work without it."
MAX_LABELS = 12  # named of a model that has more

# A click on a button of these panels tells the page what it is for; see gr.HTML, js_on_load.
CLICK = """element.addEventListener('click', event => {
    const pressed = event.target.closest('[data-act]');
    if (pressed) trigger('click', {act: pressed.dataset.act, model: pressed.dataset.model || ''});
});"""


def draw_results(found: Sequence[Found], here: Collection[str], chosen: str) -> Markup:
    """The models that a search gave, a button each; the one whose facts are shown is marked."""
    models = [(each.repo_id, result_words(each), lock(each.private, each.gated)) for each in found]
    return render("hub.results", "", models, here, chosen)


def draw_start(here: Sequence[str], known: Mapping[str, str], chosen: str) -> Markup:
    """What can be chosen before anything is searched for: models on this machine, and well-known ones."""
    lists = {"On this machine": [(name, "", "") for name in here]}
    lists["To begin with"] = [(name, words, "") for name, words in known.items()]
    drawn = [render("hub.results", title, models, (), chosen) for title, models in lists.items() if models]
    return Markup("").join(drawn)


def result_words(found: Found) -> str:
    """ "Fill-mask · 61 M downloads · changed 2024-02-19"."""
    loaded = f"{thousands(found.downloads)} downloads" if found.downloads else ""
    changed = f"changed {found.changed}" if found.changed else ""
    return " · ".join(filter(None, (task_words(found.task), loaded, changed)))


def task_words(task: str) -> str:
    """A task as the page calls it; another pipeline tag as the Hub does."""
    return TASKS[task].title if task in TASKS else task


def lock(private: bool, gated: bool) -> Markup:
    """The sign of a model that not everybody may have."""
    return render("hub.lock", private, gated)


def no_results(words: str) -> Markup:
    why = f"The Hub has no model with “{words}” in its name."
    return render("runs.empty", f"{why} Other words may find it, or its whole name, owner/name.")


def unreachable(why: str, some_here: bool) -> Markup:
    """A quiet line instead of the Hub's answer."""
    local = "The models on this machine can be used."
    return render(
        "frame.line", f"{why} {local if some_here else 'The starter and your runs work without it.'}"
    )


# What there is to know of a model


def draw_facts(name: str, facts: Facts, misfit: str) -> Markup:
    """Name, the card's first lines and the facts; what keeps it from being used, with what to do."""
    revision = name.partition("@")[2]
    known = {
        "Task": task_words(facts.task),
        "Licence": facts.license,
        "Language": facts.language,
        "Made from": facts.base_model,
        "Size": size(facts.size) if facts.size else "",
        "Last change": facts.changed,
    }
    shown = [(title, shortened(str(value or ""), LONGEST_CELL)) for title, value in known.items()]
    labels = [shortened(label, LONGEST_NAME) for label in facts.labels[:MAX_LABELS]]
    more = len(facts.labels) - len(labels)
    why = problem(misfit, "Choose another model.") if misfit else ""
    title = short(f"{facts.repo_id}@{revision}") if revision else facts.repo_id
    return render("hub.facts", title, facts, shown, labels, f"and {more:,} more" if more else "", why)


def looking(name: str) -> Markup:
    return render("frame.line", f"Looking at {short(name)} …")


def no_facts(error: BertspaceError) -> Markup:
    return render("hub.panel", problem(error.message, error.hint))


# The pull


def draw_pull(facts: Facts, transfer: Transfer | None) -> Markup:
    """What stands under a model's facts: the button that brings it, how far that is, or that it is here."""
    if transfer and (transfer.works or not facts.is_here):
        return draw_transfer(transfer, facts.size)
    if facts.is_here:
        return render("hub.here")
    if facts.here:
        return render("hub.row", _again(), f"{size(facts.here)} of {size(facts.size)} are here already.")
    pull = render("frame.button", f"Pull {size(facts.size)}", "pull", primary=True)
    return render("hub.row", pull, "Its weights come to this machine once, checked by their hashes.")


def _again() -> Markup:
    return render("frame.button", "Go on with the pull", "pull", primary=True)


def draw_transfer(transfer: Transfer, whole: int = 0) -> Markup:
    """How far a pull is, or how it ended."""
    if transfer.works:
        cancel = "" if transfer.stopping else render("frame.button", "Cancel", "cancel")
        return render("hub.going", _bar(transfer), cancel)
    if transfer.state == "done":
        return render("hub.here")
    if transfer.state == "cancelled":
        partly = f"Cancelled. {size(transfer.done)} are kept." if transfer.done else "Cancelled."
        return render("hub.row", _again(), partly)
    error = transfer.error or BertspaceError("The pull failed.")
    return render("hub.going", problem(error.message, error.hint), render("hub.row", _again(), ""))


def _bar(transfer: Transfer) -> Markup:
    share = 100 * transfer.done / transfer.total if transfer.total else 0
    if transfer.stopping:
        return progress_bar(share, "Cancelling", label="Pull")
    if not transfer.total:
        return progress_bar(0, transfer.step or "Asking the Hub", label="Pull")
    if transfer.done >= transfer.total:
        return progress_bar(100, "All is here and being checked", label="Pull")
    words = [f"{size(transfer.done)} of {size(transfer.total)}", time_left(transfer.left)]
    return progress_bar(share, " · ".join(filter(None, words)), label="Pull")


def too_large(facts: Facts, most: int, how: str) -> Markup:
    """Instead of the button, for a person with a limit; how: to get the right."""
    why = f"It takes {size(facts.size)}; a model that you bring may take {size(most)} here."
    return render("frame.line", f"{why} {how}")
