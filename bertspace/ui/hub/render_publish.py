"""A run's way to the Hub -> HTML: what goes up, how far it is, what was verified, what came before. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bertspace.errors import BertspaceError
from bertspace.hub.commit import Committed
from bertspace.jobs.transfers import Transfer
from bertspace.publish import Published
from bertspace.tasks import metric
from bertspace.ui.frame.html import problem, short, text
from bertspace.ui.models.render_models import button
from bertspace.ui.runs.render_run import pill
from bertspace.ui.runs.view import RunView
from bertspace.words import counted, moment

MOST_STEPS = 8  # of a push, the last ones
AGAIN = "Trying again"  # in the words of a step that did not go through
GOES_UP = (
    "The weights as safetensors, the tokenizer and the configuration with the real label names",
    "The card: what was measured, beside the base and with intervals",
    "The record of the training: settings, events, result",
)
NO_RUN = (
    '<p class="bs-empty">A run of yours can be published here, also while it is still being trained. There '
    "is none yet: fine-tune a model first.</p>"
)


def closed(how: str) -> str:
    """Instead of the form, for who may not publish; how: to get the right."""
    return (
        '<p class="bs-empty">Runs are published here, each with a card of what was measured, and checked by '
        f"pulling them again. {text(how)}</p>"
    )


def draw_run(view: RunView) -> str:
    """The chosen run in two lines."""
    reached = ""
    if view.tuned is not None:
        known = metric(view.metric)
        base = "" if view.base is None else f", base {known.figure(view.base)}"
        reached = f" · {text(known.phrase)} {known.figure(view.tuned)}{base}, n = {view.n:,}"
    about = f"<span>{text(_base(view))} as base{reached}</span>"
    return f'<p class="hub-run">{pill(view.state.status)}{about}</p>'


def _base(view: RunView) -> str:
    """The base's name; of a folder of this machine, its last part."""
    name = view.config.model
    return Path(name).name if Path(name).is_absolute() else short(name)


def draw_account(name: str, organisations: Sequence[str], may_write: bool) -> str:
    """As whom the Hub is asked."""
    others = f" It may write to {text(', '.join(organisations))} too." if organisations else ""
    if not may_write:
        return f'<p class="hub-line">You are {text(name)} on the Hub, with a token that may read only.</p>'
    return f'<p class="hub-line">You are {text(name)} on the Hub.{others}</p>'


def no_account(why: str, how: str) -> str:
    return f'<p class="hub-line" role="status">{text(why)} {text(how)}</p>'


# Before, meanwhile, after


def draw_before(earlier: Sequence[Published], waits: bool) -> str:
    """What was published of the run; else what publishing does. waits: the run has not ended yet."""
    if earlier and not waits:
        return draw_published(earlier[0], fresh=False) + draw_earlier(earlier[1:])
    items = "".join(f"<li>{each}</li>" for each in GOES_UP)
    then = "Then it is pulled again to a fresh folder, and has to predict the same on rows of the run."
    if waits:
        then = f"The run has not ended. Whether you may write there is looked at now. {then}"
    before = f'<div class="hub-before"><h3>What goes up</h3><ul>{items}</ul><p>{then}</p></div>'
    return before + draw_earlier(earlier)


def draw_push(transfer: Transfer, earlier: Sequence[Published]) -> str:
    """How far a push is, or what came of it."""
    if transfer.works:
        stop = "" if transfer.stopping else button("Cancel", "cancel")
        last = "Cancelling" if transfer.stopping else "at work"
        return f'<div class="hub-going">{_steps(transfer.steps, last)}{stop}</div>'
    if isinstance(transfer.result, Published):
        return draw_published(transfer.result) + draw_earlier(_others(earlier, transfer.result))
    error = transfer.error or BertspaceError("The push failed.")
    if transfer.state == "cancelled":
        return _row_of("Cancelled. The run keeps its model.") + draw_earlier(earlier)
    done = _steps(transfer.steps, "failed")
    return f'<div class="hub-going">{done}{problem(error.message, error.hint)}</div>{draw_earlier(earlier)}'


def draw_line(transfer: Transfer | None, earlier: Sequence[Published], wanted: str = "") -> str:
    """A push, or where the run was published last, in one line; "" for neither.

    wanted: where it is to be published; who was at that is gone where there is no transfer.
    """
    if transfer and transfer.works:
        said = "being cancelled" if transfer.stopping else "it can be cancelled in the Hub tab"
        words = text(f"{transfer.step or 'Publishing'} – {said}")
        return f'<ul class="hub-checks" role="status"><li class="hub-now">{words}</li></ul>'
    if transfer and transfer.error and transfer.state != "cancelled":
        return problem(transfer.error.message, transfer.error.hint)
    if wanted and transfer is None:
        said = f"It was to be published as {text(wanted)}, and the app was restarted since: ask for it again"
        return f'<ul class="hub-checks" role="status"><li class="hub-open">{said} in the Hub tab</li></ul>'
    if not earlier:
        return ""
    where = _line(earlier[0]).replace(">", ">Published: ", 1)
    return f'<ul class="hub-checks hub-published" role="status">{where}</ul>'


def _others(earlier: Sequence[Published], shown: Published) -> list[Published]:
    return [each for each in earlier if (each.repo_id, each.commit) != (shown.repo_id, shown.commit)]


def _steps(steps: Sequence[str], last: str) -> str:
    """The steps done, each with its mark, and the one that is being done."""
    *before, now = steps[-MOST_STEPS:] or ("Beginning",)
    done = "".join(
        f'<li class="hub-{"open" if AGAIN in step else "yes"}">{text(step)}</li>' for step in before
    )
    sign = "hub-no" if last == "failed" else "hub-now"
    said = now if last != "Cancelling" else f"{now} – being cancelled"
    return f'<ol class="hub-checks" role="status">{done}<li class="{sign}">{text(said)}</li></ol>'


def _row_of(words: str) -> str:
    return f'<p class="hub-line" role="status">{text(words)}</p>'


def draw_published(done: Published, *, fresh: bool = True) -> str:
    """Where it is, what was verified, and what can be done with it. fresh: just now."""
    seen = "private" if done.private else "public"
    where = (
        f"a pull request to {link(done.pull_request, done.repo_id)}"
        if done.pull_request
        else link(done.url, done.repo_id)
    )
    title = (
        f"Published: {where}, {seen}."
        if done.changed or not fresh
        else f"Nothing has changed: {where} has it already."
    )
    checks = [("yes", f"Commit <code>{text(done.commit[:7])}</code>"), verified(done)]
    items = "".join(f'<li class="hub-{sign}">{words}</li>' for sign, words in checks)
    note = f'<p class="hub-line">{text(done.message)}</p>' if done.message else ""
    whole = not (done.pull_request or done.adapter)
    space = button("Make a Space for it", "space", model=done.repo_id) if whole else ""
    look = button("Look at it", "look", model=done.repo_id)
    return (
        f'<div class="hub-published" role="status"><p class="bs-learned">{title}</p>'
        f'<ul class="hub-checks">{items}</ul>{note}<div class="hub-row">{look}{space}</div></div>'
    )


def draw_space(transfer: Transfer) -> str:
    """How far the small Space of a published model is, or where."""
    if transfer.works:
        return f'<div class="hub-going">{_steps(transfer.steps, "at work")}</div>'
    if isinstance(transfer.result, Committed):
        where = link(transfer.result.url, "its Space")
        said = f"The model has {where}: a page of a few lines that runs it. It is up in a few minutes."
        return f'<ul class="hub-checks hub-published" role="status"><li class="hub-yes">{said}</li></ul>'
    error = transfer.error or BertspaceError("The Space could not be made.")
    return f'<div class="hub-going">{problem(error.message, error.hint)}</div>'


def verified(done: Published) -> tuple[str, str]:
    """(sign, words) of the round trip."""
    rows = counted(done.rows, "row")
    if done.verified:
        most = f"; the largest difference is {done.difference:.1g}" if done.difference else ""
        return "yes", f"Verified: pulled again, it predicts the same on {rows} of the run{most}"
    if done.verified is None:
        return "open", "Not verified"
    return (
        "no",
        f"Pulled again, it predicts otherwise on {rows}: the largest difference is {done.difference:.2g}",
    )


def link(address: str, words: str) -> str:
    """A link that opens a page of its own; words alone for what is no web address."""
    if not address.startswith(("https://", "http://")):
        return text(words)
    return f'<a href="{text(address)}" target="_blank" rel="noopener noreferrer">{text(words)}</a>'


def draw_earlier(earlier: Sequence[Published]) -> str:
    """What was published of the run before."""
    if not earlier:
        return ""
    lines = "".join(_line(each) for each in earlier)
    return f'<div class="hub-earlier"><h3>Published before</h3><ul>{lines}</ul></div>'


def _line(done: Published) -> str:
    sign, words = verified(done)
    short = {"yes": "verified", "no": "differs", "open": "not verified"}[sign]
    where = link(done.pull_request or done.url, done.repo_id)
    about = f"{moment(done.time)} · {'private' if done.private else 'public'} · {done.commit[:7]}"
    return f'<li class="hub-{sign}">{where} <small title="{text(words)}">{text(about)} · {short}</small></li>'
