"""The fold "Hugging Face account": a token that the owner pasted, or the login of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bertspace import policy
from bertspace.errors import HubError
from bertspace.jobs.transfers import TRANSFERS
from bertspace.ui.access import who
from bertspace.ui.access.needs import needs
from bertspace.ui.access.sessions import OWNERS, Login
from bertspace.ui.frame import html
from bertspace.ui.frame.events import QUIET
from bertspace.ui.frame.html import render

TITLE = "Hugging Face account"
HINT = (
    "From Settings, Access Tokens, on the Hub: of the kind Write to publish, Read for private models. "
    "It stays in this program's memory until you forget it or the program ends."
)
NONE = (
    "No account is in use: public models only, and nothing can be published. Paste a token, or run on this "
    "machine: <code>hf auth login</code>"
)


@dataclass(frozen=True)
class AccountFold:
    """What others use: the event of the tab's opening, and the events after which the account is another."""

    opening: dict[str, Any]
    changed: tuple[Any, ...]


def build_account_fold() -> AccountFold:
    """The fold, which only the owner sees; has to be called inside the page's Blocks."""
    with gr.Accordion(
        TITLE, open=False, visible=False, elem_classes="bs-card bs-aside", elem_id="account"
    ) as fold:
        said = gr.HTML("", apply_default_css=False, elem_id="account-said")
        token = gr.Textbox(
            "", label="Access token", type="password", info=HINT, placeholder="hf_…", max_lines=1,
            elem_id="account-token", html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
        )  # fmt: skip
        with gr.Row(elem_classes="bs-actions"):
            use = gr.Button("Use this token", elem_id="account-use")
            drop = gr.Button("Forget it", visible=False, elem_id="account-forget")
    # Straight to the handler: gradio's queue keeps what it is given for a while.
    used = gr.on([use.click, token.submit], use_token, token, [token, fold, said, drop], **QUIET)
    forgotten = drop.click(forget_token, None, [token, fold, said, drop], **QUIET)
    opening = {"fn": opened, "inputs": None, "outputs": [fold, said, drop], **QUIET}
    return AccountFold(opening, (used, forgotten))


@needs("try models")
def opened(request: gr.Request) -> tuple[Any, Any, Any]:
    """The fold as it is for this person."""
    if not policy.allowed(who.person(request), "give a token"):
        return gr.Accordion(visible=False), gr.skip(), gr.skip()
    login = who.login_of(request)
    label = TITLE if login is None else f"{TITLE}: {_name(login)}"
    return gr.Accordion(label=label, visible=True), draw(login), gr.Button(visible=OWNERS.pasted is not None)


@needs("give a token")
def use_token(token: str, request: gr.Request) -> tuple[Any, ...]:
    """Ask the Hub whose token it is, and act with it from now on; the box is emptied in any case."""
    who.allowed(request, "give a token")
    try:
        OWNERS.paste(token)
    except HubError as error:
        return "", gr.skip(), html.problem(error.message, error.hint), gr.skip()
    return "", *opened(request)


@needs("give a token")
def forget_token(request: gr.Request) -> tuple[Any, ...]:
    """Forget the pasted token, and end what acts with it; the machine's own login serves again."""
    who.allowed(request, "give a token")
    if pasted := OWNERS.forget():
        TRANSFERS.revoke(pasted.token)
    return "", *opened(request)


def _name(login: Login) -> str:
    """Whose login it is, without waiting for the Hub where that is not known."""
    try:
        return login.account().name
    except HubError:
        return "not reachable"


def draw(login: Login | None) -> str:
    """Whose token is in use, and where it comes from."""
    if login is None:
        return render("page.note", NONE)
    source = "this machine's login" if login.scopes is None else "your sign-in"
    source = "the token that you pasted" if login is OWNERS.pasted else source
    try:
        account = login.account()
    except HubError as error:
        return render("page.note", f"With {source}: {error}")
    may = ", ".join(account.owners) if account.may_write else "nothing: it may read only"
    return render("page.account", account.name, source, may)
