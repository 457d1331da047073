"""Models of the Hub -> HTML: results of a search, what there is to know of one, its pull. Pure.

Every text that is not ours is escaped. The classes are styled in hub.css.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bertspace.errors import BertspaceError
from bertspace.hub import Facts, Found
from bertspace.jobs.transfers import Transfer
from bertspace.tasks import TASKS
from bertspace.ui.frame.html import LONGEST_NAME, cut, problem, short, text
from bertspace.ui.runs.render_progress import progress_bar, time_left
from bertspace.words import size, thousands

MOST_LABELS = 12  # named of a model that has more

# A click on a button of these panels tells the page what it is for; see gr.HTML, js_on_load.
CLICK = """element.addEventListener('click', event => {
    const pressed = event.target.closest('[data-act]');
    if (pressed) trigger('click', {act: pressed.dataset.act, model: pressed.dataset.model || ''});
});"""


def button(words: str, act: str, *, model: str = "", primary: bool = False) -> str:
    """A button inside a panel; its click carries `act` and `model`."""
    style = "hub-button hub-primary" if primary else "hub-button"
    named = f' data-model="{text(model)}"' if model else ""
    return f'<button type="button" class="{style}" data-act="{act}"{named}>{text(words)}</button>'


# Results


def draw_results(found: Sequence[Found], here: Collection[str], chosen: str) -> str:
    """The models that a search gave, a button each; the one whose facts are shown is marked."""
    lines = "".join(
        result_line(each.repo_id, result_words(each), lock(each.private, each.gated), here, chosen)
        for each in found
    )
    return f'<div class="hub-results" role="list">{lines}</div>'


def draw_start(here: Sequence[str], known: Mapping[str, str], chosen: str) -> str:
    """What can be chosen before anything is searched for: models on this machine, and well-known ones."""
    parts = []
    if here:
        lines = "".join(result_line(name, "", "", (), chosen) for name in here)
        parts.append(_listed("On this machine", lines))
    if known:
        lines = "".join(result_line(name, words, "", (), chosen) for name, words in known.items())
        parts.append(_listed("To begin with", lines))
    return "".join(parts)


def _listed(title: str, lines: str) -> str:
    return f'<h3 class="hub-title">{title}</h3><div class="hub-results" role="list">{lines}</div>'


def result_line(repo_id: str, words: str, sign: str, here: Collection[str], chosen: str) -> str:
    """One model of a list: its name over what is known of it."""
    current = ' aria-current="true"' if repo_id == chosen.partition("@")[0] else ""
    owner, slash, name = repo_id.rpartition("/")
    about = f"<small>{text(words)}</small>" if words else ""
    kept = '<span class="hub-tag">on this machine</span>' if repo_id in here else ""
    return (
        f'<div role="listitem"><button type="button" class="hub-result" data-act="show" '
        f'data-model="{text(repo_id)}"{current}><span class="hub-name">{text(owner)}{slash}<wbr>'
        f"<b>{text(name)}</b></span>{sign}{kept}{about}</button></div>"
    )


def result_words(found: Found) -> str:
    """ "Fill-mask · 61 M downloads · changed 2024-02-19"."""
    loaded = f"{thousands(found.downloads)} downloads" if found.downloads else ""
    changed = f"changed {found.changed}" if found.changed else ""
    return " · ".join(filter(None, (task_words(found.task), loaded, changed)))


def task_words(task: str) -> str:
    """A task as the page calls it; another pipeline tag as the Hub does."""
    return TASKS[task].title if task in TASKS else task


def lock(private: bool, gated: bool) -> str:
    """The sign of a model that not everybody may have."""
    if not (private or gated):
        return ""
    word = "private" if private else "gated"
    why = "Only its owners see it." if private else "Its terms have to be accepted on its page first."
    return f'<span class="hub-tag hub-locked" title="{why}"><i aria-hidden="true">🔒</i> {word}</span>'


def no_results(words: str) -> str:
    return (
        f'<p class="bs-empty">The Hub has no model with “{text(words)}” in its name. Other words may '
        "find it, or its whole name, owner/name.</p>"
    )


def unreachable(why: str, some_here: bool) -> str:
    """A quiet line instead of the Hub's answer."""
    rest = (
        "The models on this machine can be used."
        if some_here
        else "The starter and your runs work without it."
    )
    return f'<p class="hub-line" role="status">{text(why)} {rest}</p>'


# What there is to know of a model


def draw_facts(name: str, facts: Facts, misfit: str) -> str:
    """Name, the card's first lines and the facts; what keeps it from being used, with what to do."""
    revision = name.partition("@")[2]
    called = short(f"{facts.repo_id}@{revision}") if revision else facts.repo_id
    words = f'<p class="hub-words">{text(facts.words)}</p>' if facts.words else ""
    rows = "".join(f"<div><dt>{title}</dt><dd>{value}</dd></div>" for title, value in _known(facts))
    why = problem(misfit, "Choose another model.") if misfit else ""
    return (
        f'<section class="hub-facts" aria-label="{text(called)}"><h3>{text(called)}'
        f'{lock(facts.private, facts.gated)}</h3>{words}<dl class="hub-told">{rows}</dl>{why}</section>'
    )


def _known(facts: Facts) -> list[tuple[str, str]]:
    """(title, markup) of what is known."""
    known = [
        ("Task", text(task_words(facts.task))),
        ("Licence", cut(facts.license)),
        ("Language", cut(facts.language)),
        ("Made from", cut(facts.base_model)),
        ("Size", text(size(facts.size)) if facts.size else ""),
        ("Last change", text(facts.changed)),
        ("Revision", f'<code title="{text(facts.revision)}">{text(facts.revision[:7])}</code>'),
        ("Labels", _labels(facts.labels)),
    ]
    return [(title, value) for title, value in known if value]


def _labels(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    shown = "".join(
        f'<span class="bs-tag">{cut(label, LONGEST_NAME)}</span> ' for label in labels[:MOST_LABELS]
    )
    rest = f" and {len(labels) - MOST_LABELS:,} more" if len(labels) > MOST_LABELS else ""
    return f"{shown}{rest}"


def looking(name: str) -> str:
    return f'<p class="hub-line">Looking at {text(short(name))} …</p>'


def no_facts(error: BertspaceError) -> str:
    return f'<div class="hub-facts">{problem(error.message, error.hint)}</div>'


# The pull


def draw_pull(facts: Facts, transfer: Transfer | None) -> str:
    """What stands under a model's facts: the button that brings it, how far that is, or that it is here."""
    if transfer and (transfer.works or not facts.is_here):
        return draw_transfer(transfer, facts.size)
    if facts.is_here:
        return on_this_machine()
    return _pull_button(facts)


def _pull_button(facts: Facts) -> str:
    if facts.here:
        words, said = "Go on with the pull", f"{size(facts.here)} of {size(facts.size)} are here already."
    else:
        words, said = (
            f"Pull {size(facts.size)}",
            "Its weights come to this machine once, checked by their hashes.",
        )
    return _row(button(words, "pull", primary=True), f"<small>{said}</small>")


def on_this_machine() -> str:
    return '<p class="hub-here"><i aria-hidden="true">✓</i> On this machine</p>'


def draw_transfer(transfer: Transfer, whole: int = 0) -> str:
    """How far a pull is, or how it ended."""
    again = button("Go on with the pull", "pull", primary=True)
    if transfer.works:
        stop = "" if transfer.stopping else button("Cancel", "cancel")
        return f'<div class="hub-going">{_bar(transfer)}{stop}</div>'
    if transfer.state == "done":
        return on_this_machine()
    if transfer.state == "cancelled":
        kept = f"Cancelled. {size(transfer.done)} are kept." if transfer.done else "Cancelled."
        return _row(again, f"<small>{kept}</small>")
    error = transfer.error or BertspaceError("The pull failed.")
    return f'<div class="hub-going">{problem(error.message, error.hint)}{_row(again, "")}</div>'


def _bar(transfer: Transfer) -> str:
    share = 100 * transfer.done / transfer.total if transfer.total else 0
    if transfer.stopping:
        return progress_bar(share, "Cancelling", label="Pull")
    if not transfer.total:
        return progress_bar(0, transfer.step or "Asking the Hub", label="Pull")
    if transfer.done >= transfer.total:
        return progress_bar(100, "All is here and being checked", label="Pull")
    words = [f"{size(transfer.done)} of {size(transfer.total)}", time_left(transfer.left)]
    return progress_bar(share, " · ".join(filter(None, words)), label="Pull")


def _row(*parts: str) -> str:
    return f'<div class="hub-row">{"".join(parts)}</div>'


def too_large(facts: Facts, most: int, how: str) -> str:
    """Instead of the button, for a person with a limit; how: to get the right."""
    return (
        f'<p class="hub-line" role="status">It takes {size(facts.size)}; a model that you bring may take '
        f"{size(most)} here. {text(how)}</p>"
    )
