"""The Hub tab's second half: a run is chosen, its destination and card looked at, and it is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace import policy, publish
from bertspace.errors import BertspaceError, Cancelled, HubError
from bertspace.hub import Account
from bertspace.jobs.transfers import TRANSFERS, Job, Transfer
from bertspace.policy import Person
from bertspace.publish import Destination, demo_space
from bertspace.runs import ENDED, Run
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.frame.errors import plain_errors, show_errors
from bertspace.ui.frame.events import QUIET, whenever
from bertspace.ui.hub import card_fold, render_publish
from bertspace.ui.hub.form import build_form, destination, suggested_name
from bertspace.ui.hub.pull import transfer_words
from bertspace.ui.models import catalogue, render_models
from bertspace.ui.runs.view import RunView, find_run, owned, state_of, view

EVERY = 1.0  # seconds between two looks at a push
HEADING = '<h2 class="bs-step-title">Publish a run</h2>'
IN_THE_FOLD = "Give a token in the Hub tab, in the fold Hugging Face account."
FILLED = 16  # components that a chosen run fills


@dataclass(frozen=True)
class HubPublish:
    """What others use: the run that is chosen, the panel with its buttons, the event of the tab's opening."""

    run: gr.Dropdown
    panel: gr.HTML
    to_fine_tune: gr.Button
    opening: dict[str, Any]


def build_hub_publish() -> HubPublish:
    """The card; has to be called inside a Tab of the page."""
    account = gr.State(None)
    with gr.Column(elem_classes="bs-card bs-step"):
        gr.HTML(HEADING, apply_default_css=False)
        instead = gr.HTML(render_publish.NO_RUN, apply_default_css=False, elem_id="hub-closed")
        to_fine_tune = gr.Button("Go to Fine-tune", variant="primary", visible=False, elem_classes="bs-small")
        with gr.Column(visible=False) as open_part:
            said = gr.HTML("", apply_default_css=False, elem_id="hub-account")
            with gr.Row(equal_height=False, elem_classes="hub-columns"):
                with gr.Column(scale=5, min_width=300):
                    run = gr.Dropdown([], label="Run", elem_id="hub-run", elem_classes="pg-picker")
                    form = build_form()
                with gr.Column(scale=6, min_width=300):
                    panel = gr.HTML(
                        "", apply_default_css=False, js_on_load=render_models.CLICK, elem_id="hub-publication"
                    )
                    with gr.Row(elem_classes="bs-actions"):
                        begin = gr.Button("Publish", variant="primary", elem_id="hub-publish")
            card = card_fold.build_card_fold(run, form.controls)
    clock = gr.Timer(EVERY, active=False)

    shown = [instead, to_fine_tune, open_part]
    opening: dict[str, Any] = {
        "fn": opened,
        "inputs": [run, account],
        "outputs": [*shown, run, account, said],
    }
    opening |= {"show_progress": "hidden", "api_visibility": "private"}
    filled = [form.about, *form.controls.values(), form.when, panel, begin, clock]
    choosing: dict[str, Any] = {"fn": chosen, "inputs": [run, account], "outputs": filled, **QUIET}
    whenever([run.change, account.change], **choosing)
    following: dict[str, Any] = {"fn": follow, "inputs": run, "outputs": [panel, begin, clock], **QUIET}
    clock.tick(**following)
    begin.click(
        show_errors(start), inputs_kwargs={"run_id": run, "when": form.when, "card": card, **form.controls},
        outputs=[panel, begin, clock], show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    panel.click(show_errors(act), run, [panel, begin, clock], **QUIET)
    gr.api(plain_errors(publish_run), api_name="publish")
    gr.api(plain_errors(publications), api_name="publications")
    return HubPublish(run, panel, to_fine_tune, opening)


# What is shown


@needs("try models")
def opened(run_id: str | None, account: Account | None, request: gr.Request) -> tuple[Any, ...]:
    """The tab as it is for this person: the form, or why there is none; runs and account read anew."""
    person = who.person(request)
    if not policy.allowed(person, "publish"):
        words = render_publish.closed(person.more)
        return gr.HTML(words, visible=True), gr.skip(), gr.skip(), gr.skip(), None, ""
    choices = run_choices(person)
    if not choices:
        words = gr.HTML(render_publish.NO_RUN, visible=True)
        return words, gr.Button(visible=True), gr.Column(visible=False), gr.skip(), account, gr.skip()
    known = run_id if run_id in dict(choices).values() else choices[0][1]
    account, said = account_of(request)
    hidden = gr.HTML(visible=False), gr.Button(visible=False), gr.Column(visible=True)
    return *hidden, gr.Dropdown(choices=choices, value=known), account, said


def account_of(request: gr.Request | None) -> tuple[Account | None, str]:
    """The account at the Hub, which is asked for once a sign-in, and in words."""
    try:
        account = who.account(request)
    except HubError as error:
        return None, render_publish.no_account(error.message, error.hint)
    if account is None:
        return None, render_publish.no_account("No account of the Hub is in use.", IN_THE_FOLD)
    return account, render_publish.draw_account(account.name, account.organisations, account.may_write)


def run_choices(person: Person) -> list[tuple[str, str]]:
    """(words, id) of the runs that can be published, now or once they are done; the newest first."""
    found = []
    for run in owned(person.owner):
        try:
            if _has_or_gets_model(run):
                found.append((catalogue.run_words(run, ""), run.id))
        except BertspaceError:
            continue  # it is being made or deleted at this moment
    return found


def _has_or_gets_model(run: Run) -> bool:
    status = state_of(run).status
    there = all((run.path / name).is_file() for name in ("model/config.json", "result.json"))
    return status not in ENDED or (status in ("done", "stopped") and there)


@needs("publish")
def chosen(run_id: str | None, account: Account | None, request: gr.Request) -> list[Any]:
    """The form for the run that was chosen, with what can be known filled in, and where its push stands."""
    person = who.person(request)
    if not run_id or not policy.allowed(person, "publish"):
        return [gr.skip()] * FILLED
    run, seen = find_run(run_id, person.owner), view(run_id, person.owner)
    places = [publish.wanted(run), *(each.repo_id for each in publish.published(run))]
    place = next(filter(None, places), f"/{suggested_name(seen.name)}")
    owner, name = place.split("/", 1)
    owners = list(account.owners) if account else []
    return [
        render_publish.draw_run(seen),
        gr.Dropdown(choices=owners, value=owner or next(iter(owners), None), allow_custom_value=True),
        name,
        gr.skip(),
        "main",
        "",
        gr.Radio(value=False, visible=bool(seen.config.lora_rank)),
        card_fold.base_license(run),
        gr.skip(),
        False,
        False,
        "",
        gr.Radio(value="end", visible=waits(seen)),
        *_standing(run, seen, person),
    ]


def waits(seen: RunView) -> bool:
    """Whether the run has still to be trained."""
    return seen.state.status not in ENDED


@needs("publish")
def follow(run_id: str | None, request: gr.Request) -> tuple[Any, Any, Any]:
    """How far the push is; the clock stops with it."""
    person = who.person(request)
    if not run_id or not policy.allowed(person, "publish"):
        return gr.skip(), gr.skip(), gr.Timer(active=False)
    return _standing(find_run(run_id, person.owner), view(run_id, person.owner), person)


def told_briefly(seen: RunView | None, person: Person) -> str:
    """Where the run is published, or how far that is, in a line for the run's own panel; "" for neither."""
    if seen is None or not policy.allowed(person, "publish"):
        return ""
    try:
        run = find_run(seen.id, person.owner)
    except BertspaceError:
        return ""  # it was deleted at this moment
    transfer = TRANSFERS.find(person.owner, "push", seen.id)
    return render_publish.draw_line(transfer, publish.published(run), publish.wanted(run))


def _standing(run: Run, seen: RunView, person: Person) -> tuple[str, Any, Any]:
    """The panel, the button and the clock, for a run's push or for none."""
    transfer, earlier = TRANSFERS.find(person.owner, "push", run.id), publish.published(run)
    space = TRANSFERS.find(person.owner, "push", space_of(run))
    if transfer is None:
        drawn = render_publish.draw_before(earlier, waits(seen))
    else:
        drawn = render_publish.draw_push(transfer, earlier)
    if space:
        drawn = render_publish.draw_space(space) + drawn
    working, making = bool(transfer and transfer.works), bool(space and space.works)
    words = "Publish again" if earlier else "Publish when it is done" if waits(seen) else "Publish"
    return drawn, gr.Button(words, interactive=not working), gr.Timer(active=working or making)


# Publishing


@needs("publish", long_text=True)
def start(run_id: str | None, when: str, card: str, request: gr.Request, **values: Any) -> tuple[Any, ...]:
    """Look at the write access, then publish in a thread: now, or when the run is done."""
    person = who.allowed(request, "publish")
    run = find_run(run_id or "", person.owner)
    card_fold.check_length(card)
    begin_push(run, person, destination(values), card=card, each_epoch=when == "epochs")
    return _standing(run, view(run.id, person.owner), person)


def begin_push(
    run: Run,
    person: Person,
    where: Destination,
    *,
    card: str = "",
    each_epoch: bool = False,
    checked: bool = False,
) -> Transfer:
    """Raises HubError at once where the person may not write there: not after hours of training.

    ForbiddenError where the run is being published already, but elsewhere or otherwise. checked: whether one
    may write there was looked at already.
    """
    if not checked:
        publish.check_access(where)

    trains = run.state().status not in ENDED

    def send(job: Job) -> object:
        if trains:
            job.say(f"Waiting for the run to end, to publish it as {where.repo_id}")
        publish.note_wanted(run, where.repo_id)
        try:
            done = publish.follow(
                run, where, card=card, each_epoch=each_epoch, tell=job.say, stopped=job.stopped
            )
        except Cancelled:
            if not job.token_revoked:  # else it is still wanted, and has to be asked for again
                publish.note_wanted(run, "")
            raise
        publish.note_wanted(run, "")
        return done

    return TRANSFERS.start(person.owner, "push", run.id, send, asked=(where, card, each_epoch))


@needs("publish")
def act(run_id: str | None, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
    """Cancel the push, or make a Space for what was published: the buttons of the panel."""
    person = who.allowed(request, "publish")
    run = find_run(run_id or "", person.owner)
    if getattr(event, "act", "") == "cancel":
        TRANSFERS.cancel(person.owner, "push", run.id)
    elif getattr(event, "act", "") == "space":
        begin_space(run, person, str(getattr(event, "model", "")))
    return _standing(run, view(run.id, person.owner), person)


def begin_space(run: Run, person: Person, repo_id: str) -> Transfer:
    """Make a small Space for a model that the run was published as, in a thread; raises BertspaceError."""
    done = next((each for each in publish.published(run) if each.repo_id == repo_id), None)
    if done is None:
        raise HubError(f"The run was not published as {repo_id!r}.", hint="Publish it first.")
    shown = demo_space.of_run(run, done.repo_id, private=done.private)

    def make(job: Job) -> object:
        return demo_space.make(shown, tell=job.say, stopped=job.stopped)

    return TRANSFERS.start(person.owner, "push", space_of(run), make)


def space_of(run: Run) -> str:
    """What the making of a run's Space is called among the transfers."""
    return f"the Space of {run.id}"


# For programs


@needs("publish")
def publish_run(
    run_id: str,
    repo_id: str,
    private: bool = True,
    branch: str = "",
    pull_request: bool = False,
    message: str = "",
    request: gr.Request | None = None,
) -> dict[str, Any]:
    """Begin to publish a run, now or when it is done; how that stands, as `publications` tells it."""
    person = who.allowed(request, "publish")
    where = Destination(repo_id, private, branch, pull_request, message)
    return transfer_words(begin_push(find_run(run_id, person.owner), person, where))


@needs("publish")
def publications(run_id: str, request: gr.Request | None = None) -> dict[str, Any]:
    """{"published": what was published of a run, the newest first; "push": how the one at work stands}."""
    from dataclasses import asdict

    person = who.allowed(request, "publish")
    run = find_run(run_id, person.owner)
    found = TRANSFERS.find(person.owner, "push", run.id)
    listed = [asdict(each) for each in publish.published(run)]
    return {"published": listed, "push": transfer_words(found) if found else None}
