"""A signed-in session from its first request to its last, against an app that runs as a Space does."""

import base64
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
from gradio_client import Client

from bertspace import policy
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from tests.support import until
from tests.support.app import running
from tests.support.hub import Hub
from tests.support.training import FAST, Trained

pytestmark = pytest.mark.slow


class Person:
    """A client of the app that keeps its cookie, which is Secure: to be sent by hand over plain HTTP."""

    def __init__(self, address: str) -> None:
        self.address, self.cookie = address, ""
        self.client = Client(address, verbose=False)
        self.seen: list[str] = []  # what a server, a proxy or a browser's history would have seen

    def get(self, path: str) -> httpx2.Response:
        """Follow redirections, the cookie sent to the app alone."""
        url = urljoin(self.address, path)
        for _ in range(8):
            headers = {"cookie": self.cookie} if self.cookie and url.startswith(self.address) else {}
            answer = httpx2.get(url, headers=headers, timeout=180)
            self.seen += [url, str(answer.headers)]
            if url.startswith(self.address) and (given := answer.headers.get("set-cookie")):
                self.cookie = given.split(";")[0]
            if not answer.is_redirect:
                return answer
            url = urljoin(url, answer.headers["location"])
        raise AssertionError(f"too many redirections: {url}")

    def sign_in(self) -> None:
        self.get("/login/huggingface")
        self.client = Client(self.address, verbose=False, headers={"cookie": self.cookie})

    def ask(self, name: str, *values: Any, **named: Any) -> Any:
        return self.client.predict(*values, api_name=f"/{name}", **named)

    def refused(self, name: str, *values: Any) -> str:
        with pytest.raises(Exception) as caught:  # noqa: B017 - gradio_client's own, of several kinds
            self.ask(name, *values)
        return str(caught.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the app writes all that it writes."""
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Iterator[Hub]:
    port = int(os.environ["HF_ENDPOINT"].rpartition(":")[2])
    with Hub(tmp_path_factory.mktemp("hub"), port) as server:
        for name in ("alice", "bob", "carol", "host"):
            server.user(name)
            server.put(f"{name}/secret", tiny_bert, private=True)
        server.put("base/tiny", tiny_bert)
        yield server


@pytest.fixture(scope="module")
def space(hub: Hub, folder: Path) -> Iterator[str]:
    """The app as a Space, on a host with a token of its own."""
    variables = hub.oauth_environment() | {
        "HF_TOKEN": hub.user("host"),
        "HF_HOME": str(folder / "huggingface"),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "BERTSPACE_HOME": str(folder / "home"),
        "TMPDIR": str(folder),
    }
    with running(folder / "app.log", **variables) as address:
        yield address


def signed_in(address: str, hub: Any, name: str) -> Person:
    hub.signs_in(name)
    person = Person(address)
    person.sign_in()
    return person


def run_of(hub: Any, name: str, home: Path, tiny_bert: Path) -> Run:
    owner = policy.user(hub.store.users[name].id, name).owner
    finished = Trained(
        home / owner / "20261127-120000-abcdef", TrainConfig(model=str(tiny_bert), epochs=1, **FAST)
    )
    for event in finished.events:
        finished.run.append(event)
    finished.run.write_state(RunState(status="done", name="greetings"))
    return finished.run


def tokens_of(hub: Any, *names: str) -> list[str]:
    return [token for token, known in hub.store.tokens.items() if known.user in names]


def test_everybody_acts_with_their_own_rights_and_leaves_no_token_anywhere(
    hub: Any, space: str, folder: Path, tiny_bert: Path
) -> None:
    visitor, alice, bob = Person(space), signed_in(space, hub, "alice"), signed_in(space, hub, "bob")
    assert visitor.ask("facts", "base/tiny")["misfit"] == ""
    for person in (visitor, alice, bob):
        assert "or it is private" in person.refused("facts", "host/secret")
    assert "or it is private" in bob.refused("facts", "alice/secret")
    assert alice.ask("facts", "alice/secret")["private"] is True
    assert "not open to you" in visitor.refused("runs")

    # Simultaneous calls do not mix.
    wrong: list[str] = []

    def look(person: Person, own: str, others: str) -> None:
        for _ in range(4):
            if person.ask("facts", own)["repo_id"] != own:
                wrong.append(own)
            if "or it is private" not in person.refused("facts", others):
                wrong.append(others)

    looks = [
        threading.Thread(target=look, args=each)
        for each in ((alice, "alice/secret", "bob/secret"), (bob, "bob/secret", "alice/secret")) * 2
    ]
    for each in looks:
        each.start()
    for each in looks:
        each.join()
    assert wrong == []

    # A run is published by its owner, and by nobody else.
    run = run_of(hub, "alice", folder / "home", tiny_bert)
    assert run.id in str(alice.ask("runs")) and run.id not in str(bob.ask("runs"))
    assert "There is no such run" in bob.refused("publish", run.id, "bob/stolen")
    assert "may not write to bob" in alice.refused("publish", run.id, "bob/mine")
    done = published(alice, run.id, "alice/greetings")
    assert done["published"][0]["verified"] is True and hub.repo("alice/greetings").private
    assert not hub.has("bob/stolen") and not hub.has("bob/mine")
    asked = [each.user for each in hub.requests if each.path == "/api/whoami-v2"]
    assert asked.count("bob") <= 1 and asked.count("host") == 0

    # Signed out, nothing is left of the rights.
    before = alice.cookie
    alice.get("/logout")
    for cookie in (alice.cookie, before):
        stranger = Person(space)
        stranger.client = Client(space, verbose=False, headers={"cookie": cookie})
        assert "or it is private" in stranger.refused("facts", "alice/secret")
        assert "not open to you" in stranger.refused("runs")

    tokens = tokens_of(hub, "alice", "bob")
    assert len(tokens) == 4  # one made by hand and one of the sign-in, each
    everything = "\n".join([*alice.seen, *bob.seen, before, opened(before), bob.cookie, opened(bob.cookie)])
    assert not [token for token in tokens if token in everything]
    assert found_in_files(folder, tokens) == []
    assert found_in_processes(tokens) == []


def published(person: Person, run_id: str, repo_id: str) -> dict[str, Any]:
    """How the push stands at its end."""
    person.ask("publish", run_id, repo_id)

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = person.ask("publications", run_id)
        at_work = not found["push"] or found["push"]["state"] in ("waiting", "working")
        return None if at_work else found

    return until(ended)


def opened(cookie: str) -> str:
    """What anybody can read in a signed cookie."""
    value = cookie.partition("=")[2].strip('"').split(".")[0]
    return base64.b64decode(value + "=" * (-len(value) % 4)).decode("utf-8", "replace")


def found_in_files(folder: Path, tokens: list[str]) -> list[str]:
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and any(token.encode() in path.read_bytes() for token in tokens)
    ]


def found_in_processes(tokens: list[str]) -> list[str]:
    """Command lines and environments that hold a token; this test's own process is none of the app's."""
    found = []
    for folder in Path("/proc").glob("[0-9]*") if sys.platform == "linux" else ():
        for name in ("cmdline", "environ"):
            try:
                content = (folder / name).read_bytes()
            except OSError:
                continue
            if int(folder.name) != os.getpid() and any(token.encode() in content for token in tokens):
                found.append(f"{folder.name}/{name}")
    return found


def test_a_forged_cookie_is_nobodys(hub: Any, space: str) -> None:
    carol = signed_in(space, hub, "carol")
    name, _, value = carol.cookie.partition("=")
    payload, *rest = value.strip('"').split(".")
    known = opened(carol.cookie)
    other = re.sub(r'(?<="bertspace": ")(.)', lambda sign: "y" if sign[1] == "x" else "x", known)
    assert other != known
    forged = base64.b64encode(other.encode())
    for cookie in (f"{name}={'.'.join([forged.decode(), *rest])}", f"{name}={payload}", "bertspace=carol"):
        stranger = Person(space)
        stranger.client = Client(space, verbose=False, headers={"cookie": cookie})
        assert "or it is private" in stranger.refused("facts", "carol/secret")


def test_another_sites_page_does_nothing_with_the_cookie_that_the_browser_adds(hub: Any, space: str) -> None:
    carol = signed_in(space, hub, "carol")
    evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
    for headers in (evil, {"origin": "https://evil.example"}, evil | {"x-forwarded-host": "evil.example"}):
        page = Person(space)
        page.client = Client(space, verbose=False, headers={"cookie": carol.cookie, **headers})
        assert "not open to you here (Visitor)" in page.refused("runs")
        assert "or it is private" in page.refused("facts", "carol/secret")
    followed = {"cookie": carol.cookie, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert "set-cookie" not in httpx2.get(f"{space}/logout", headers=followed).headers
    assert carol.ask("runs") == []
    followed["sec-fetch-site"] = "same-origin"
    assert "session=null" in httpx2.get(f"{space}/logout", headers=followed).headers["set-cookie"]
    assert "not open to you" in carol.refused("runs")
