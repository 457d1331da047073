"""A run's way to the Hub as HTML: what goes up, how far it is, what was verified, what came before. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from bertspace.errors import BertspaceError
from bertspace.hub.commit import Committed
from bertspace.jobs.transfers import Transfer
from bertspace.publish import Published
from bertspace.tasks import metric
from bertspace.ui.frame.html import problem, render, short
from bertspace.ui.runs.render_run import pill
from bertspace.ui.runs.view import RunView
from bertspace.words import counted

MAX_STEPS = 8  # of a push, the last ones
AGAIN = "Trying again"  # in the words of a step that did not go through
READ_ONLY = ", with a token that may read only."
GOES_UP = (
    "The weights as safetensors, the tokenizer and the configuration with the real label names",
    "The card: what was measured, beside the base and with intervals",
    "The record of the training: settings, events, result",
)
NO_RUN = render(
    "runs.empty",
    "A run of yours can be published here, also while it is still being trained. There is none yet: "
    "fine-tune a model first.",
)


def closed(how: str) -> Markup:
    """Instead of the form, for who may not publish; how: to get the right."""
    what = (
        "Runs are published here, each with a card of what was measured, and checked by pulling them again."
    )
    return render("runs.empty", f"{what} {how}")


def draw_run(view: RunView) -> Markup:
    """The chosen run in two lines."""
    words = f"{_base(view)} as base"
    if view.tuned is not None:
        known = metric(view.metric)
        base = "" if view.base is None else f", base {known.figure(view.base)}"
        words += f" · {known.phrase} {known.figure(view.tuned)}{base}, n = {view.n:,}"
    return render("hub.run", pill(view.state.status), words)


def _base(view: RunView) -> str:
    """The base's name; of a folder of this machine, its last part."""
    name = view.config.model
    return Path(name).name if Path(name).is_absolute() else short(name)


def draw_account(name: str, organisations: Sequence[str], may_write: bool) -> Markup:
    """As whom the Hub is asked."""
    others = f". It may write to {', '.join(organisations)} too." if organisations else "."
    return render("frame.line", f"You are {name} on the Hub{others if may_write else READ_ONLY}")


def no_account(why: str, how: str) -> Markup:
    return render("frame.line", f"{why} {how}")


# Before, meanwhile, after


def draw_before(earlier: Sequence[Published], waits: bool) -> Markup:
    """What was published of the run; else what publishing does. waits: the run has not ended yet."""
    if earlier and not waits:
        return draw_published(earlier[0], fresh=False) + draw_earlier(earlier[1:])
    then = "Then it is pulled again to a fresh folder, and has to predict the same on rows of the run."
    if waits:
        then = f"The run has not ended. Whether you may write there is looked at now. {then}"
    return render("hub.before", GOES_UP, then) + draw_earlier(earlier)


def draw_push(transfer: Transfer, earlier: Sequence[Published]) -> Markup:
    """How far a push is, or what came of it."""
    if transfer.works:
        cancel = "" if transfer.stopping else render("frame.button", "Cancel", "cancel")
        return render("hub.going", _steps(transfer), cancel)
    if isinstance(transfer.result, Published):
        return draw_published(transfer.result) + draw_earlier(_others(earlier, transfer.result))
    if transfer.state == "cancelled":
        return render("frame.line", "Cancelled. The run keeps its model.") + draw_earlier(earlier)
    error = transfer.error or BertspaceError("The push failed.")
    return render("hub.going", _steps(transfer), problem(error.message, error.hint)) + draw_earlier(earlier)


def draw_line(transfer: Transfer | None, earlier: Sequence[Published], wanted: str = "") -> str:
    """A push, or where the run was published last, in one line; "" for neither.

    wanted: where it is to be published; who was at that is gone where there is no transfer.
    """
    if transfer and transfer.works:
        said = "being cancelled" if transfer.stopping else "it can be cancelled in the Hub tab"
        return render("hub.checks", [("now", f"{transfer.step or 'Publishing'} – {said}")])
    if transfer and transfer.error and transfer.state != "cancelled":
        return problem(transfer.error.message, transfer.error.hint)
    if wanted and transfer is None:
        why = f"It was to be published as {wanted}, and the app was restarted since"
        return render("hub.checks", [("open", f"{why}: ask for it again in the Hub tab")])
    return render("hub.last", _line(earlier[0], "Published: ")) if earlier else ""


def _others(earlier: Sequence[Published], shown: Published) -> list[Published]:
    return [each for each in earlier if (each.repo_id, each.commit) != (shown.repo_id, shown.commit)]


def _steps(transfer: Transfer) -> Markup:
    """The steps done, each with its mark, and the one that is being done, or at which it failed."""
    *before, last = transfer.steps[-MAX_STEPS:] or ("Beginning",)
    now = ("now" if transfer.works else "no", f"{last} – being cancelled" if transfer.stopping else last)
    done = [("open" if AGAIN in step else "yes", step) for step in before]
    return render("hub.checks", [*done, now], tag="ol")


def draw_published(done: Published, *, fresh: bool = True) -> Markup:
    """Where it is, what was verified, and what can be done with it. fresh: just now."""
    return render("hub.published", done, fresh, verified(done))


def draw_space(transfer: Transfer) -> Markup:
    """How far the small Space of a published model is, or where."""
    if transfer.works:
        return render("hub.going", _steps(transfer), "")
    if isinstance(transfer.result, Committed):
        return render("hub.space", transfer.result.url)
    error = transfer.error or BertspaceError("The Space could not be made.")
    return render("hub.going", problem(error.message, error.hint), "")


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


def draw_earlier(earlier: Sequence[Published]) -> Markup:
    """What was published of the run before."""
    return render("hub.earlier", [_line(each) for each in earlier])


def _line(done: Published, prefix: str = "") -> Markup:
    return render("hub.one_earlier", done, verified(done), prefix)
