"""Sign-ins: what a cookie may hold, how long a session lasts, and whose rights the Hub is asked with."""

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from bertspace import policy
from bertspace.errors import HubError, HubUnreachable
from bertspace.hub.credentials import Credentials, current, using
from bertspace.jobs.transfers import Job, Transfers
from bertspace.runs import folder, models_in_use
from bertspace.ui import header
from bertspace.ui.access import account, sessions, sign_in, who
from bertspace.ui.access.gate import Page
from bertspace.ui.access.needs import needs, needs_of
from bertspace.ui.access.sessions import Login, OwnersLogin, Sessions
from bertspace.ui.access.sign_in import SignIn
from bertspace.ui.access.who import OwnerAccess

ID = "0123456789abcdef01234567"
TOKEN = "hf_oauth_of-ada-and-nobody-else"
ANSWER = {
    "access_token": TOKEN,
    "scope": "openid profile contribute-repos",
    "expires_in": 3600,
    "userinfo": {"sub": ID, "preferred_username": "ada", "name": "Ada L."},
}


@pytest.fixture(autouse=True)
def own_sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """A Space's door, and sessions and an owner's login of the test's own."""
    found = Sessions()
    for module in (who, sign_in):
        monkeypatch.setattr(module, "SESSIONS", found)
    owners = OwnersLogin()
    for module in (who, account):
        monkeypatch.setattr(module, "OWNERS", owners)
    monkeypatch.setattr(who, "_owner_access", OwnerAccess("the-key-of-the-owner", sign_in=True))
    return found


def asked(session: dict[str, Any] | None = None, **cookies: str) -> Any:
    """A request of which only the cookies are asked, gradio's one already read."""
    return SimpleNamespace(request=SimpleNamespace(cookies=cookies, scope={"session": session or {}}))


@pytest.fixture
def transfers(monkeypatch: pytest.MonkeyPatch) -> Transfers:
    """The test's own."""
    found = Transfers()
    for module in (account, sign_in):
        monkeypatch.setattr(module, "TRANSFERS", found)
    return found


@pytest.fixture
def ada(own_sessions: Sessions) -> Any:
    """A request of hers."""
    return asked({who.IN_SESSION: own_sessions.open(sessions.from_oauth(ANSWER))})


def with_key() -> dict[str, str]:
    return {who.COOKIE: who.PASSES.open()}


# Who


def test_an_account_is_known_by_its_id_and_not_by_its_name(ada: Any) -> None:
    assert who.person(ada) == policy.Person("user", f"u-{ID}", "ada")
    renamed = sessions.from_oauth(ANSWER | {"userinfo": {"sub": ID, "preferred_username": "local"}})
    assert renamed.person.owner == f"u-{ID}"


@pytest.mark.parametrize("odd", ["../local", "local", "", "A" * 24, ID + "0", ID + "\n", "x" * 500])
def test_no_id_leads_to_a_folder_that_is_anothers(odd: str) -> None:

    owner = policy.user(odd, "odd").owner
    assert folder._ID.fullmatch(owner) and owner not in ("local", f"u-{ID}")
    assert len(owner) != len(policy.user(ID, "ada").owner)


def test_the_owners_key_wins_over_a_sign_in(ada: Any) -> None:
    both = asked(ada.request.scope["session"], **with_key())
    assert who.person(both) == policy.OWNER and who.is_signed_in(both)
    assert who.credentials_of(both) == Credentials(TOKEN)  # their own account, not the host's


def test_who_could_sign_in_is_told_so() -> None:
    stranger = who.person(asked())
    assert stranger == policy.SIGNED_OUT
    with pytest.raises(policy.ForbiddenError, match="Sign in with Hugging Face"):
        policy.require(stranger, "train")


@pytest.mark.parametrize(
    "cookie", [{}, {"bertspace": "x"}, {"bertspace": None}, {"bertspace": {}}, {"oauth_info": ANSWER}]
)
def test_a_cookie_proves_nothing_but_the_id_of_a_session(cookie: dict[str, Any]) -> None:
    assert who.person(asked(cookie)) == policy.SIGNED_OUT
    assert who.credentials_of(asked(cookie)).token is False


def test_where_nobody_can_sign_in_the_cookie_is_not_looked_at(
    ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(who, "_owner_access", OwnerAccess("the-key-of-the-owner"))
    assert who.person(ada) == policy.VISITOR


@pytest.mark.parametrize("missing", ["", "SYSTEM", "SPACE_ID", *who.OF_OAUTH])
def test_only_a_space_with_all_it_takes_signs_people_in(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = dict.fromkeys(who.OF_OAUTH, "x") | {"SYSTEM": "spaces", "SPACE_ID": "ada/space"}
    for name, value in values.items():
        monkeypatch.setenv(name, "" if name == missing else value)
    assert who.decide_owner().sign_in is (not missing)
    assert (sign_in.sign_in_button() is None) is bool(missing)


# Sessions


def test_a_session_ends_when_its_token_does(own_sessions: Sessions) -> None:
    name = own_sessions.open(sessions.from_oauth(ANSWER))
    session = own_sessions.find(name)
    assert session is not None and 3500 < session.expires - time.time() <= 3600
    own_sessions._open[name] = replace(session, expires=time.time())
    assert own_sessions.find(name) is None and not own_sessions._open


def test_sessions_are_bounded_and_their_ids_are_long_and_new(
    own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    made = [own_sessions.open(sessions.from_oauth(ANSWER)) for _ in range(5)]
    assert len(set(made)) == 5 and min(map(len, made)) >= 43
    assert [own_sessions.find(name) is not None for name in made] == [False, False, True, True, True]


def test_nothing_that_is_printed_of_a_sign_in_shows_its_token(ada: Any, own_sessions: Sessions) -> None:
    [session] = own_sessions._open.values()
    printed = [session, session.login, who.credentials_of(ada), who.login_of(ada)]
    printed += [own_sessions, own_sessions._open]
    assert TOKEN not in " ".join(f"{each!r} {each!s}" for each in printed)


# The way of the provider's answer


def through(
    cookie: dict[str, Any], path: str = "/login/callback", answer: dict[str, Any] | None = None
) -> None:
    """One request through SignIn, with gradio behind it putting the provider's answer into the session."""

    async def gradios(scope: Any, receive: Any, send: Any) -> None:
        if answer is not None:
            scope["session"]["oauth_info"] = answer
        await send({"type": "http.response.start", "status": 307, "headers": []})

    async def sent(message: Any) -> None:
        assert "oauth_info" not in cookie  # when the session's middleware writes the cookie

    scope = {"type": "http", "path": path, "session": cookie}
    asyncio.run(SignIn(gradios)(scope, None, sent))  # type: ignore[arg-type]


def test_the_cookie_gets_an_id_instead_of_the_answer(own_sessions: Sessions) -> None:
    cookie: dict[str, Any] = {"_state_huggingface_x": {}}
    through(cookie, answer=ANSWER)
    assert TOKEN not in str(cookie) and "ada" not in str(cookie)
    assert who.credentials_of(asked(cookie)).token == TOKEN


def test_every_sign_in_has_a_new_id_and_ends_the_one_before(own_sessions: Sessions) -> None:
    cookie: dict[str, Any] = {}
    through(cookie, answer=ANSWER)
    first = cookie[who.IN_SESSION]
    through(cookie, answer=ANSWER)
    assert cookie[who.IN_SESSION] != first and own_sessions.find(first) is None


def test_an_id_that_somebody_else_chose_is_thrown_away(own_sessions: Sessions) -> None:
    cookie: dict[str, Any] = {who.IN_SESSION: "chosen-by-an-attacker"}
    through(cookie, "/")
    assert cookie == {}
    through(cookie | {"oauth_info": ANSWER}, "/config")  # signed with a stolen key: still no sign-in
    assert not own_sessions._open


def test_signing_out_forgets_the_token_and_clears_the_cookie(own_sessions: Sessions) -> None:
    cookie: dict[str, Any] = {}
    through(cookie, answer=ANSWER)
    kept = dict(cookie)
    through(cookie, "/logout")
    assert cookie == {} and not own_sessions._open
    assert who.person(asked(kept)) == policy.SIGNED_OUT


def waiting_push(transfers: Transfers, token: str | None, run: str) -> None:
    """A push that waits for its run's end until it is to stop."""

    def wait(job: Job) -> None:
        while True:
            job.wait(0.01)

    with using(Credentials(token)):
        transfers.start("whose", "push", run, wait)


def test_signing_out_ends_the_pushes_that_wait_with_its_token(
    own_sessions: Sessions, transfers: Transfers
) -> None:
    cookie: dict[str, Any] = {}
    through(cookie, answer=ANSWER)
    waiting_push(transfers, TOKEN, "hers")
    waiting_push(transfers, "hf_of_another_browser", "also hers")
    through(cookie, "/logout")
    last, other = (transfers.wait("whose", "push", run, seconds=1) for run in ("hers", "also hers"))
    assert last is not None and last.state == "failed" and "ended with the sign-in" in str(last.error)
    assert other is not None and other.works
    transfers.cancel("whose", "push", "also hers")


@pytest.mark.parametrize("lacks", ["sub", "access_token"])
def test_an_answer_that_says_not_who_it_is_signs_nobody_in(
    lacks: str, own_sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    answer = {name: value for name, value in ANSWER.items() if name != lacks}
    answer["userinfo"] = {name: value for name, value in ANSWER["userinfo"].items() if name != lacks}  # type: ignore[attr-defined]
    cookie: dict[str, Any] = {}
    through(cookie, answer=answer)
    assert not own_sessions._open and cookie == {}
    assert "does not say who" in caplog.text and TOKEN not in caplog.text


# Rights at the Hub


def test_everybody_has_rights_of_their_own(ada: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of-the-host")
    limits = policy.Limits()
    most = limits.model_bytes, limits.hub_bytes, limits.stored_bytes
    bounds = {"in_calls": False, "seconds": limits.seconds, "in_use": models_in_use}
    assert (
        who.credentials_of(asked())
        == who.credentials_of(None)
        == Credentials(False, None, True, *most, **bounds, who="at ")
    )
    assert who.credentials_of(ada) == Credentials(
        TOKEN, home / f"u-{ID}" / "hub", True, *most, **bounds, who=f"u-{ID}"
    )
    assert who.credentials_of(asked(**with_key())) == Credentials(True)
    monkeypatch.delenv("HF_TOKEN")
    assert who.credentials_of(asked(**with_key())) == Credentials(False)
    monkeypatch.setattr(who, "_owner_access", OwnerAccess())
    assert who.credentials_of(None) == Credentials(None)


@needs("try models")
def whose() -> str:
    """The token with whose rights the handler acts, told once another call is in its handler too."""
    BOTH.wait(180)
    return str(current().token)


BOTH = threading.Barrier(2)


def test_simultaneous_calls_act_with_their_own_rights(own_sessions: Sessions) -> None:
    from gradio.state_holder import SessionState

    with Page() as page:
        gr.Button().click(whose, None, gr.Textbox())
    requests = []
    for name in ("ada", "bob"):
        answer = ANSWER | {"access_token": f"token-of-{name}", "userinfo": {"sub": name}}
        requests.append(asked({who.IN_SESSION: own_sessions.open(sessions.from_oauth(answer))}))

    async def ask(request: Any) -> str:
        found = await page.process_api(0, [], SessionState(page), request)
        return str(found["data"][0])

    async def together() -> list[str]:
        return [each for _ in range(5) for each in await asyncio.gather(*map(ask, requests))]

    before = current()
    assert asyncio.run(together()) == ["token-of-ada", "token-of-bob"] * 5
    assert current() is before


def test_the_account_is_asked_for_once_a_sign_in(hub: Any, own_sessions: Sessions) -> None:
    token = hub.user("ada", orgs=("team",))
    request = asked(
        {who.IN_SESSION: own_sessions.open(sessions.from_oauth(ANSWER | {"access_token": token}))}
    )
    threads = [threading.Thread(target=who.account, args=(request,)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for _ in range(3):  # what is polled
        header.look("", request)
    found = who.account(request)
    assert found is not None and (found.name, found.organisations, found.may_write) == (
        "ada",
        ("team",),
        True,
    )
    assert [each.user for each in hub.requests if each.path == "/api/whoami-v2"] == ["ada"]
    assert who.account(asked()) is None


def test_without_the_scope_a_sign_in_may_not_write(hub: Any, own_sessions: Sessions) -> None:
    answer = ANSWER | {"access_token": hub.user("ada"), "scope": "openid profile read-repos"}
    found = who.account(asked({who.IN_SESSION: own_sessions.open(sessions.from_oauth(answer))}))
    assert found is not None and not found.may_write


def test_a_token_that_has_ended_asks_for_another_sign_in(hub: Any, ada: Any) -> None:
    with pytest.raises(HubError, match="Sign in again"):
        who.account(ada)


def test_a_hub_that_does_not_answer_is_not_waited_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asks: list[int] = []

    def fail(self: Login) -> Any:
        asks.append(1)
        raise HubUnreachable("The Hub does not answer.")

    monkeypatch.setattr(Login, "_ask", fail)
    login = Login("hf_token")
    for _ in range(3):
        with pytest.raises(HubUnreachable):
            login.account()
    assert len(asks) == 1
    login._again = 0.0
    with pytest.raises(HubUnreachable):
        login.account()
    assert len(asks) == 2


# The owner's token


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(who, "_owner_access", OwnerAccess())


def test_a_pasted_token_serves_until_it_is_forgotten(
    hub: Any, local: None, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.user("machine", role="read"))
    fold, said, forget = account.opened(asked())
    assert (fold.label, fold.visible) == ("Hugging Face account: machine", True)
    assert "this machine&#39;s login" in said and "may read only" in said and not forget.visible
    pasted = hub.user("ada", orgs=("team",))
    box, fold, said, forget = account.use_token(f" {pasted}\n", asked())
    assert box == "" and fold.label.endswith("ada") and forget.visible
    assert "the token that you pasted. It may write to ada, team." in said
    assert who.credentials_of(None).token == pasted
    waiting_push(transfers, pasted, "run-1")
    waiting_push(transfers, None, "run-2")
    box, fold, *_ = account.forget_token(asked())
    assert fold.label.endswith("machine") and who.credentials_of(None).token is None
    ends = [transfers.wait("whose", "push", run, seconds=1) for run in ("run-1", "run-2")]
    assert [each.state for each in ends if each] == ["failed", "working"]
    transfers.cancel("whose", "push", "run-2")


@pytest.mark.parametrize(
    "token", ["", "hf_short and blank", "hf_\nX-Header: 1", "hf_ünicode_token", "x" * 401]
)
def test_what_can_be_no_token_is_not_sent_anywhere(token: str, hub: Any, local: None) -> None:
    box, _, said, _ = account.use_token(token, asked())
    assert box == "" and "no access token" in said and (not token or token not in said)
    assert hub.requests == [] and who.credentials_of(None).token is None


def test_a_token_that_the_hub_does_not_know_is_not_kept(hub: Any, local: None) -> None:
    _, _, said, _ = account.use_token("hf_nobodys_token", asked())
    assert "does not accept the token" in said and "nobodys" not in said
    assert who.credentials_of(None).token is None


def test_nobody_but_the_owner_gives_a_token(ada: Any) -> None:
    for request in (ada, asked()):
        fold, said, _ = account.opened(request)
        assert not fold.visible and said == gr.skip()
        with pytest.raises(policy.ForbiddenError, match="Giving a token is not open to you"):
            account.use_token("hf_some_token", request)
    assert {needs_of(each).right for each in (account.use_token, account.forget_token)} == {"give a token"}


def test_the_fold_without_any_account_says_what_to_do(local: None) -> None:
    fold, said, _ = account.opened(asked())
    assert fold.label == "Hugging Face account" and "hf auth login" in said


def test_the_button_says_what_a_click_on_it_does(ada: Any) -> None:
    assert header.look("", ada)[3].value == "Sign out"
    assert header.look("", asked())[3].value == "Sign in with Hugging Face"


def test_the_rows_that_one_has_looked_at_are_not_given_to_another(
    ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertspace.schema import TrainConfig
    from bertspace.ui.fine_tune import preview

    loads: list[Credentials] = []
    monkeypatch.setattr(preview.data, "load_splits", lambda config: loads.append(current()) or len(loads))
    config, mine = TrainConfig(dataset="ada/secret"), who.credentials_of(ada)
    for rights in (mine, mine, replace(mine, folder=Path("/another")), Credentials()):
        with using(rights):
            preview.load(config)
    assert [each.folder for each in loads] == [mine.folder, Path("/another"), None]
