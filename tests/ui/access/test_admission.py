"""What one caller can take from others: places, calls, bodies, uploads; tried on a running page."""

import asyncio
import http.client
import json
import socket
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from bertspace import policy
from bertspace.data import tables
from bertspace.ui.access import (
    admission,
    bodies,
    connections,
    entrance,
    files,
    sites,
    states,
    turns,
    uploads,
    who,
)
from bertspace.ui.access.admission import OWNER, Places, WrongKeys
from bertspace.ui.access.entrance import Entrance
from bertspace.ui.access.gate import Page
from bertspace.ui.access.needs import needs
from bertspace.ui.access.who import OwnerAccess
from tests.support import until

KEY = "a-key-for-the-tests-0123456789"
ADA, BOB, EVE = "8.8.8.8", "9.9.9.9", "1.1.1.1"  # as the proxy before a shared link says
MIB = 1024**2


# Places


def test_others_have_places_each_and_together_and_the_owner_any() -> None:
    places = Places(2, 3)
    assert [places.take("a") for _ in range(3)] == [True, True, False]
    assert [places.take("b") for _ in range(2)] == [True, False]
    assert all(places.take(OWNER) for _ in range(9))
    places.free("a")
    assert places.take("b") and not places.take("a")


def test_who_holds_fewest_is_called_first_and_who_waits_too_long_goes() -> None:
    async def wait() -> None:
        places, came = Places(3, 3), []

        async def come(key: str, seconds: float = 5) -> None:
            came.append((key, await places.wait(key, seconds)))

        assert places.take("a") and places.take("a") and places.take("b")
        waiting = [asyncio.create_task(come(key)) for key in ("a", "a", "c")]
        await asyncio.sleep(0)
        await come("d", 0.01)
        left = asyncio.create_task(come("e"))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
        for key in ("b", "a", "a"):
            places.free(key)
            await asyncio.sleep(0.01)
        await asyncio.gather(*waiting)
        assert came == [("d", False), ("c", True), ("a", True), ("a", True)]
        assert [places.held(key) for key in "abcde"] == [2, 0, 1, 0, 0]

    asyncio.run(wait())


def test_wrong_keys_are_slowed_down_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    now, keys = [1000.0], WrongKeys()
    monkeypatch.setattr(admission.time, "monotonic", lambda: now[0])
    for _ in range(admission.KEYS_AT_ONCE):
        assert keys.wait_for("a") == 0
        keys.count("a")
    assert keys.wait_for("a") == admission.KEY_SECONDS and keys.wait_for("b") == 0
    now[0] += admission.KEY_SECONDS
    assert keys.wait_for("a") == 0
    monkeypatch.setattr(admission, "MAX_KNOWN", 2)
    for address in "bcd":
        keys.count(address)
    assert len(keys._free_at) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100,
        b'{"a":' * 100 + b"1",
        b'["\\"' + b"[" * 100,  # the text never ends
        b"[" + b"[]," * 30_000 + b"1]",
        b"[" + b"1," * 70_000 + b"1]",
        b"[" + b'"",' * 70_000 + b"1]",
        b"\xff\xfe[\0]\0",
        "[]".encode("utf-16-be"),
        "[]".encode("utf-32"),
    ],
    ids=lambda body: repr(body[:9]),
)
def test_what_unpacks_to_much_is_not_plain(body: bytes) -> None:
    assert admission.is_plain(body) is (body == b'["\\"' + b"[" * 100)


def test_texts_are_plain_whatever_is_in_them() -> None:
    text = '[{",\\"\\\\' * 20_000
    begun = time.process_time()
    assert admission.is_plain(json.dumps({"data": [text, {"a": [1, None]}]}).encode())
    assert admission.is_plain(b"") and admission.is_plain(b'"' * 9)
    assert not admission.is_plain(b'"\\"' * 200_000) and admission.is_plain(b'["' + b'\\"' * 200_000)
    assert time.process_time() - begun < 2


# Who


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("10.0.0.1", [f"{EVE}, {ADA}"], ADA),  # the left of it anybody can write
        ("10.0.0.1", [EVE, f"{ADA}, 10.9.9.9"], ADA),
        ("10.0.0.1", [f"{ADA}, unknown, ", "evil\"'"], ADA),
        ("10.0.0.1", ["10.2.2.2", ""], "10.0.0.1"),
        (BOB, [ADA], BOB),  # came past the proxy
        ("::1", ["2a00:1450:4001:81b::2004"], "2a00:1450:4001:81b::/64"),
        ("10.0.0.1", [f"::ffff:{ADA}"], ADA),
        ("testclient", [ADA], ""),
    ],
)
def test_the_address_is_what_the_proxy_has_seen(peer: str, forwarded: list[str], seen: str) -> None:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope: Any = {"client": (peer, 1), "headers": headers}
    assert sites.address(scope, behind_proxy=True) == seen
    alone = "" if peer == "testclient" else "::/64" if peer == "::1" else peer
    assert sites.address(scope, behind_proxy=False) == alone


def test_without_a_caller_there_is_no_address() -> None:
    assert sites.address({"client": None, "headers": []}, True) == sites.address({}, False) == ""


# A page


RELEASE, FIRST = threading.Event(), threading.Event()


@needs("try models")
def slow(text: str) -> str:
    (FIRST if text == "first" else RELEASE).wait(180)
    return text


@needs("try models")
def quick(text: str) -> str:
    return text


@needs("try models", urgent=True)
def stop(text: str) -> str:
    return text


@needs("try models")
def read(file: str | None) -> str:
    return Path(file or "").read_text()


@dataclass(frozen=True)
class Answer:
    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Caller:
    """Somebody at the page: how an address, or the owner's cookie, asks."""

    port: int
    headers: dict[str, str]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        with closing(connection):
            connection.request(method, path, body, self.headers | sent)
            answer = connection.getresponse()
            try:
                read = answer.read()
            except http.client.IncompleteRead as cut:  # a stream that was ended
                read = cut.partial
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, read.decode("utf-8", "replace"), headers)

    def join(self, name: str, *data: Any, session: str = "") -> Answer:
        body = {"fn_index": NAMES.index(name), "data": data, "session_hash": session or uuid.uuid4().hex}
        return self.ask("POST", "/gradio_api/queue/join", json.dumps(body), content_type="application/json")

    def call(self, name: str, *data: Any) -> str:
        """The event's last message."""
        session = uuid.uuid4().hex
        joined = self.join(name, *data, session=session)
        assert joined.status == 200, joined
        return self.messages(session)

    def messages(self, session: str) -> str:
        lines = self.ask("GET", f"/gradio_api/queue/data?session_hash={session}").text.split("\n")
        return next(line for line in lines if "process_completed" in line)

    def upload(self, content: bytes, name: str = "a.csv", path: str = "/gradio_api/upload") -> Answer:
        return self.ask("POST", path, form(content, name), content_type=MULTIPART)

    def file(self, content: bytes = b"text") -> str:
        found: str = json.loads(self.upload(content).text)[0]
        return found

    @contextmanager
    def raw(self, head: str) -> Iterator[socket.socket]:
        """A request of which only this was sent so far."""
        lines = [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        first, _, rest = head.partition("\r\n")
        with socket.create_connection(("127.0.0.1", self.port), timeout=180) as opened:
            opened.sendall(f"{first}\r\nHost: 127.0.0.1\r\n{''.join(lines)}{rest}".encode())
            yield opened


NAMES = ["slow", "quick", "stop", "read"]
MULTIPART = "multipart/form-data; boundary=edge"


def form(content: bytes, name: str = "a.csv") -> bytes:
    head = f'--edge\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--edge--\r\n"


def file_data(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page behind a proxy that we know, with events of the test's own that everybody may ask."""
    folder = tmp_path_factory.mktemp("admission")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        patch.setenv("FORWARDED_ALLOW_IPS", "")
        patch.setenv("BERTSPACE_MAX_QUEUE", "12")
        patch.setattr(who, "_owner_access", OwnerAccess(KEY, share=True))
        with Page(analytics_enabled=False) as built:
            box, file = gr.Textbox(), gr.File()
            for handler in (slow, quick, stop):
                gr.Button().click(handler, box, box)
            gr.Button().click(read, file, box)
            gr.Button().click(quick, box, box, queue=False, api_name="direct")
        built.queue(default_concurrency_limit=admission.AT_ONCE, api_open=False)
        kwargs = {"middleware": [(Entrance, (), {})]}
        built.launch(prevent_thread_lock=True, quiet=True, server_port=free_port(), app_kwargs=kwargs)
        stack.callback(built.close)
        yield built


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(autouse=True)
def quiet_page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short waits, small files; after every test all that was taken is given back."""
    if "page" not in request.fixturenames:
        yield
        return
    built = request.getfixturevalue("page")
    monkeypatch.setattr(who, "_owner_access", OwnerAccess(KEY, share=True))
    for module in (turns, bodies):
        monkeypatch.setattr(module, "PATIENCE", 0.3)
    monkeypatch.setattr(bodies, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(tables, "MAX_FILE_BYTES", 100_000)
    monkeypatch.setenv("BERTSPACE_MAX_CACHE_BYTES", "1000000")
    monkeypatch.setattr("bertspace.ui.access.entrance.WRONG_KEYS", WrongKeys())
    RELEASE.clear()
    FIRST.clear()
    yield
    RELEASE.set()
    FIRST.set()
    places = (admission.REQUESTS, admission.CALLS, admission.URGENT_CALLS, admission.UPLOADS)
    places = (*places, admission.BODIES, built._queue.places, built._queue.urgent)
    until(lambda: not any(each._held for each in places))


@pytest.fixture
def port(page: Page) -> int:
    return int(page.server_port)


@pytest.fixture
def ada(port: int) -> Caller:
    return Caller(port, {"X-Forwarded-For": ADA})


@pytest.fixture
def bob(port: int) -> Caller:
    return Caller(port, {"X-Forwarded-For": BOB})


@pytest.fixture
def owner(port: int) -> Caller:
    answer = Caller(port, {}).ask("GET", f"/?key={KEY}")
    return Caller(port, {"X-Forwarded-For": ADA, "Cookie": answer.headers["set-cookie"].partition(";")[0]})


# The queue


def test_one_visitor_fills_the_queue_for_nobody_else(ada: Caller, bob: Caller, owner: Caller) -> None:
    statuses = [ada.join("slow", "x").status for _ in range(8)]
    assert statuses == [200] * 6 + [429] * 2  # half of the places
    assert "Too many calls of yours" in ada.join("quick", "x").text
    assert '"data":["b"]' in bob.call("quick", "b")
    assert '"data":["mine"]' in owner.call("quick", "mine")


def test_all_others_together_leave_the_owner_places_and_slots(page: Page, port: int, owner: Caller) -> None:
    for number in range(3):
        for _ in range(6):
            Caller(port, {"X-Forwarded-For": f"8.8.4.{number}"}).join("slow", "x")
    assert Caller(port, {"X-Forwarded-For": EVE}).join("quick", "x").status == 429
    # Four at once of a handler are others', and the owner's call is not the fifth.
    session = uuid.uuid4().hex
    assert owner.join("slow", "mine", session=session).status == 200
    until(lambda: admission.CALLS.held(OWNER) == 1)
    RELEASE.set()
    assert '"data":["mine"]' in owner.messages(session)


def test_stop_passes_everybody(ada: Caller) -> None:
    for _ in range(7):
        ada.join("slow", "x")
    assert '"data":["now"]' in ada.call("stop", "now")


def test_whose_calls_are_fewest_at_work_is_next(ada: Caller, bob: Caller) -> None:
    for text in ("first", *["ada"] * 5):
        ada.join("slow", text)
    until(lambda: admission.CALLS.held(f"at {ADA}") == 4)
    bob.join("slow", "bob")
    FIRST.set()
    until(lambda: admission.CALLS.held(f"at {BOB}") == 1)
    assert admission.CALLS.held(f"at {ADA}") == 3


def test_a_session_that_nobody_listens_to_is_bounded_and_forgotten(
    page: Page, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "UNTAKEN", 3)
    monkeypatch.setattr(turns, "ANSWER_SECONDS", 0.5)
    session = uuid.uuid4().hex
    assert [ada.join("quick", "x", session=session).status for _ in range(4)] == [200, 200, 200, 429]
    until(lambda: session not in page._queue.pending_messages_per_session)
    assert session not in page._queue.pending_event_ids_session


def test_what_waits_is_given_back_when_its_page_closes(page: Page, ada: Caller) -> None:
    session = uuid.uuid4().hex
    for _ in range(6):
        ada.join("slow", "x", session=session)
    with ada.raw(f"GET /gradio_api/queue/data?session_hash={session} HTTP/1.1\r\n\r\n") as stream:
        assert b"200 OK" in stream.recv(1000)
    until(lambda: page._queue.places.held(f"at {ADA}") == 4, 15)  # those at work


def test_nobody_cancels_what_is_anothers(ada: Caller, bob: Caller) -> None:
    session = uuid.uuid4().hex
    event = json.loads(ada.join("slow", "kept", session=session).text)["event_id"]
    for path in ("/gradio_api/cancel", "/gradio_api/reset"):
        body = {"session_hash": "guessed", "fn_index": 0, "event_id": event}
        bob.ask("POST", path, json.dumps(body), content_type="application/json")
    RELEASE.set()
    assert '"data":["kept"]' in ada.messages(session)


@pytest.mark.parametrize("session", ["", "guessed", "..", "%00", "a" * 5000])
def test_a_guessed_session_has_no_answers(ada: Caller, session: str) -> None:
    answer = ada.ask("GET", f"/gradio_api/queue/data?session_hash={session}")
    assert "process_completed" not in answer.text and "Traceback" not in answer.text


def test_one_visitors_new_pages_push_out_nobody_elses(
    page: Page, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "PAGES", 3)
    ada, bob = (Caller(port, {"X-Forwarded-For": f"7.7.1.{number}"}) for number in range(2))
    known = page.app.state_holder.session_data

    def open_page(caller: Caller) -> str:
        session = uuid.uuid4().hex
        assert caller.join("quick", "x", session=session).status == 200
        caller.messages(session)
        return session

    theirs, own = open_page(bob), [open_page(ada) for _ in range(5)]
    assert theirs in known and [each in known for each in own] == [False, False, True, True, True]
    monkeypatch.setattr(states, "PAGES_OF_OTHERS", 3)
    assert open_page(bob) in known and theirs not in known


def test_a_new_page_costs_little(page: Page) -> None:
    state = page.app.state_holder[uuid.uuid4().hex]
    assert isinstance(state, states.PageState) and not state.config_values


def test_a_call_without_a_page_costs_little_too(ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradio.state_holder.SessionState.__init__", lambda self, blocks: 1 / 0)
    answer = ada.ask("POST", "/gradio_api/run/direct", b'{"data": ["x"]}', content_type="application/json")
    assert (answer.status, json.loads(answer.text)["data"]) == (200, ["x"])


@pytest.mark.parametrize("path", ["/queue/join", "/run/direct"])
def test_a_session_is_no_place_to_keep_things(ada: Caller, path: str) -> None:
    body = {"fn_index": 1, "data": ["x"], "session_hash": "a" * 500_000}
    answer = ada.ask("POST", f"/gradio_api{path}", json.dumps(body), content_type="application/json")
    assert answer.status == 400 and len(answer.text) < 100


def test_a_class_behind_one_address_waits_and_gets_no_errors(
    page: Page, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 180.0)
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(ada.call("quick", "x"))) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 60 and all('"data":["x"]' in each for each in answers)


# Requests


def test_streams_held_open_by_the_hundred_are_anothers_loss_no_more(
    ada: Caller, bob: Caller, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission.REQUESTS, "each", 20)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(ada.raw(f"GET /gradio_api/heartbeat/{number} HTTP/1.1\r\n\r\n"))
            for number in range(30)
        ]
        begun = [each.recv(20)[9:12] for each in opened]
        assert begun.count(b"200") == 20 and begun.count(b"429") == 10
        assert ada.ask("GET", "/config").status == 429
        assert bob.ask("GET", "/config").status == owner.ask("GET", "/config").status == 200
    until(lambda: ada.ask("GET", "/config").status == 200)


FORGED = [
    {"X-Forwarded-For": "{}, 8.8.8.8"},
    {"X-Forwarded-For": "{}, 8.8.8.8, 10.0.0.1"},
    {"X-Forwarded-For": "8.8.8.8", "X-Real-Ip": "{}", "Forwarded": "for={}", "CF-Connecting-IP": "{}"},
    {"X-Forwarded-For": "8.8.8.8", "X-Client-IP": "{}", "True-Client-IP": "{}", "X-Session-Hash": "{}"},
    {"X-Forwarded-For": "8.8.8.8", "Cookie": "session={}; bertspace-owner={}"},
    {"X-Forwarded-For": "8.8.8.8", "User-Agent": "{}", "Authorization": "Bearer {}"},
]


@pytest.mark.parametrize("headers", FORGED, ids=repr)
def test_no_header_makes_one_caller_many(port: int, headers: dict[str, str]) -> None:
    statuses = []
    for number in range(8):
        forged = {name: value.replace("{}", f"7.7.7.{number}") for name, value in headers.items()}
        statuses.append(Caller(port, forged).join("slow", "x").status)
    assert statuses == [200] * 6 + [429] * 2


def test_a_client_on_this_machine_cannot_be_anybody(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(who, "_owner_access", OwnerAccess(KEY))  # no proxy is before the page
    statuses = [
        Caller(port, {"X-Forwarded-For": f"8.8.8.{number}"}).join("slow", "x").status for number in range(8)
    ]
    assert statuses == [200] * 6 + [429] * 2


BAD_HEADS = [
    "POST /gradio_api/queue/join HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "POST /gradio_api/queue/join HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "POST /gradio_api/queue/join HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
    "POST /gradio_api/queue/join HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "POST /gradio_api/queue/join HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    "GET / HTTP/1.1\r\nX: " + "a" * 200_000 + "\r\n\r\n",
    "GET /" + "a" * 200_000 + " HTTP/1.1\r\n\r\n",
    "BREW / HTTP/1.1\r\n\r\n",
    "TRACE / HTTP/1.1\r\n\r\n",
    "PUT /gradio_api/upload HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "GET /?key=%ff%00&key=&&&=key HTTP/1.1\r\n\r\n",
    "nonsense\r\n\r\n",
]


@pytest.mark.parametrize("head", BAD_HEADS, ids=lambda head: head[:60])
def test_a_malformed_request_is_refused_and_the_page_goes_on(ada: Caller, head: str) -> None:
    with ada.raw(head) as opened:
        assert opened.recv(20)[9:12] in {b"400", b"403", b"404", b"405", b"408", b"431", b"501"}
    assert ada.ask("GET", "/config").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 900 + b"]" * 900,
        b'{"data": ' + b"[" * 900 + b"]" * 900 + b', "fn_index": 1, "session_hash": "s"}',
        b'{"data": [' + b"[]," * 300_000 + b'1], "fn_index": 1, "session_hash": "s"}',
        b'{"data": [' + b"1," * 300_000 + b'1], "fn_index": 1, "session_hash": "s"}',
        '{"data": [], "fn_index": 1, "session_hash": "s"}'.encode("utf-16"),
        b'{"data": ["' + b"a" * 2 * MIB + b'"], "fn_index": 1, "session_hash": "s"}',
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize("path", ["/queue/join", "/call/quick", "/call/v2/quick", "/run/quick", "/cancel"])
def test_json_that_unpacks_to_much_is_not_parsed(ada: Caller, path: str, body: bytes) -> None:
    answer = ada.ask("POST", f"/gradio_api{path}", body, content_type="application/json")
    assert answer.status == 413, answer


def test_a_length_that_is_said_is_refused_before_the_body(ada: Caller) -> None:
    for said in (2 * MIB, 10**14, 10**30):
        with ada.raw(f"POST /gradio_api/queue/join HTTP/1.1\r\nContent-Length: {said}\r\n\r\n") as opened:
            assert opened.recv(100)[9:12] in {b"413", b"400"}


def test_a_body_without_a_length_is_counted_as_it_comes(ada: Caller, owner: Caller) -> None:
    parts = (b"a" * 65536 for _ in range(40))
    answer = ada.ask("POST", "/gradio_api/queue/join", parts, content_type="application/json")
    assert answer.status == 413 and f"{MIB:,} bytes" in answer.text
    parts = iter(
        [b'{"data": ["', *(b"a" * 65536 for _ in range(40)), b'"], "fn_index": 1, "session_hash": "s"}']
    )
    assert owner.ask("POST", "/gradio_api/queue/join", parts, content_type="application/json").status == 200


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/upload", "/login"])
def test_a_body_that_stalls_is_cut_off(ada: Caller, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nContent-Type: {MULTIPART}\r\nContent-Length: 1000\r\n\r\n--"
    with ada.raw(head) as opened:
        assert b" 408 " in opened.recv(100)


def test_bodies_that_drip_at_once_are_bounded(ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STALL_SECONDS", 5)
    head = "POST /gradio_api/queue/join HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with ExitStack() as stack:
        opened = [stack.enter_context(ada.raw(head)) for _ in range(admission.BODIES.each + 2)]
        for _ in range(2):
            for each in opened:
                each.sendall(b"1\r\na\r\n")
            time.sleep(0.1)
        opened[-1].settimeout(180)
        assert b" 429 " in opened[-1].recv(100)


@pytest.mark.slow
def test_connections_on_which_no_request_comes_are_closed(
    page: Page, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    stream = "GET /gradio_api/heartbeat/x HTTP/1.1\r\n\r\n"
    watched = SimpleNamespace(server_state=page.server.server_state, should_exit=False)
    idle = socket.create_connection(("127.0.0.1", ada.port))
    with idle, ada.raw("GET / HTTP/1.1\r\n") as half, ada.raw(stream) as alive:
        thread = connections.watch(watched)
        assert b"ALIVE" in alive.recv(4000) + alive.recv(4000)
        for each in (half, idle):
            each.settimeout(180)
            assert each.recv(10) == b""
        alive.settimeout(0.1)
        with pytest.raises(TimeoutError):
            alive.recv(4000)
    watched.should_exit = True
    thread.join()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH", "PUT", "GET"])
def test_other_methods_do_nothing(ada: Caller, method: str) -> None:
    for path in ("/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/cancel", "/owner/logout"):
        assert ada.ask(method, path, b"{}" if method != "HEAD" else None).status in (400, 404, 405)


def test_a_websocket_is_not_opened(ada: Caller) -> None:
    for path in ("/", "/gradio_api/queue/join", "/queue/data"):
        asked = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        with ada.raw(f"GET {path} HTTP/1.1\r\n{asked}Sec-WebSocket-Key: {'A' * 22}==\r\n\r\n") as opened:
            assert b"101" not in opened.recv(20)


# What browsers are told


PATHS = [
    "/",
    "/config",
    "/gradio_api/upload",
    "/gradio_api/heartbeat/x",
    "/nowhere",
    "/?key=wrong",
    "/monitoring",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_other_site_may_show_the_page_in_a_frame(
    ada: Caller, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> bytes:
        with ada.raw(f"GET {path} HTTP/1.1\r\n\r\n") as opened:
            return opened.recv(4000).lower().partition(b"\r\n\r\n")[0] + b"\r\n"

    for door in (OwnerAccess(), OwnerAccess(KEY), OwnerAccess(KEY, share=True)):
        monkeypatch.setattr(who, "_owner_access", door)
        head = told()
        assert b"content-security-policy: frame-ancestors 'self'\r\n" in head, head
        assert b"x-content-type-options: nosniff\r\n" in head and b"referrer-policy: " in head
    monkeypatch.setattr(who, "_owner_access", OwnerAccess(KEY))
    monkeypatch.setenv("SPACE_ID", "ada/space")
    assert b"frame-ancestors 'self' https://huggingface.co https://*.hf.space\r\n" in told()


# The owner's cookie


def test_the_owners_session_can_be_ended_for_good(owner: Caller, bob: Caller) -> None:
    assert owner.ask("GET", "/owner/logout").status == 405
    foreign = owner.ask("POST", "/owner/logout", b"", sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert foreign.status == 403 and "set-cookie" not in foreign.headers
    assert who.PASSES.holds(owner.headers["Cookie"].partition("=")[2])
    ended = owner.ask("POST", "/owner/logout", b"", sec_fetch_site="same-origin")
    assert (ended.status, ended.headers["location"]) == (303, "/")
    assert "Max-Age=0" in ended.headers["set-cookie"]
    assert not who.PASSES.holds(owner.headers["Cookie"].partition("=")[2])
    assert bob.ask("POST", "/owner/logout", b"").status == 303


@pytest.mark.parametrize(
    ("headers", "door", "secure"),
    [
        ({}, OwnerAccess(KEY), False),
        ({"X-Forwarded-Proto": "https"}, OwnerAccess(KEY, share=True), True),
        ({"X-Forwarded-Proto": "https"}, OwnerAccess(KEY), False),  # anybody can say so
        ({"Host": "abc.gradio.live"}, OwnerAccess(KEY, share=True), True),
        ({"Host": "127.0.0.1:7860"}, OwnerAccess(KEY, share=True), False),
    ],
)
def test_the_cookie_is_secure_where_the_page_is(
    page: Page,
    port: int,
    headers: dict[str, str],
    door: OwnerAccess,
    secure: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(who, "_owner_access", door)
    monkeypatch.setattr(page, "share_url", "https://abc.gradio.live" if door.share else None)
    answer = Caller(port, headers).ask("GET", f"/?key={KEY}")
    assert answer.status == 303 and ("; Secure" in answer.headers["set-cookie"]) is secure


@pytest.mark.slow
def test_who_tries_keys_has_to_wait_and_nobody_else(
    ada: Caller, bob: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "KEYS_AT_ONCE", 3)
    assert [ada.ask("GET", f"/?key=wrong{number}").status for number in range(3)] == [403] * 3
    begin = time.monotonic()
    assert ada.ask("GET", "/?key=wrong").status == 403
    assert ada.ask("GET", f"/?key={KEY}").status == 303  # it waits, and is not refused
    assert time.monotonic() - begin > 2 * admission.KEY_SECONDS - 0.5
    begin = time.monotonic()
    assert bob.ask("GET", f"/?key={KEY}").status == 303
    assert time.monotonic() - begin < admission.KEY_SECONDS
    monkeypatch.setattr(admission.KEYS_THAT_WAIT, "each", 0)
    monkeypatch.setattr(admission.KEYS_THAT_WAIT, "total", 1)
    assert admission.KEYS_THAT_WAIT.take("another")
    for _ in range(9):
        entrance.WRONG_KEYS.count(ADA)
    assert ada.ask("GET", "/?key=wrong").status == 429
    admission.KEYS_THAT_WAIT.free("another")


def test_the_owner_comes_in_whatever_others_at_the_address_hold_open(
    ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission.REQUESTS, "each", 3)
    with ExitStack() as stack:
        for number in range(3):
            opened = stack.enter_context(ada.raw(f"GET /gradio_api/heartbeat/{number} HTTP/1.1\r\n\r\n"))
            assert opened.recv(20)[9:12] == b"200"
        assert ada.ask("GET", "/").status == 429
        assert ada.ask("GET", f"/?key={KEY}").status == 303


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]b", "//[", "null", "\xe9://x"])
def test_an_origin_that_is_none_is_another_sites(owner: Caller, origin: str) -> None:
    answer = owner.ask("POST", "/owner/logout", b"", origin=origin)
    assert answer.status == 403 and who.PASSES.holds(owner.headers["Cookie"].partition("=")[2])
    assert "frame-ancestors" in answer.headers["content-security-policy"]


# Uploads


def kept(page: Page) -> list[Path]:
    """What lies in the folder of uploads."""
    return [path for path in Path(page.app.uploaded_file_dir).rglob("*") if path.is_file()]


def test_an_upload_is_its_persons_and_read_by_them_alone(ada: Caller, bob: Caller, owner: Caller) -> None:
    path = ada.file(b"ada's own")
    assert "ada's own" in ada.call("read", file_data(path))
    for caller in (bob, owner):
        answer = caller.call("read", file_data(path))
        assert "ada's own" not in answer and "not uploaded here" in answer
    assert ada.ask("GET", f"/gradio_api/file={path}").text == "ada's own"


def test_the_same_content_is_kept_for_each(ada: Caller, bob: Caller) -> None:
    first, second = Path(ada.file(b"same")), Path(bob.file(b"same"))
    assert first.parent.parent != second.parent.parent
    first.unlink()
    assert second.read_bytes() == b"same"


def test_a_length_that_is_not_sent_evicts_nothing(
    page: Page, ada: Caller, bob: Caller, owner: Caller
) -> None:
    there = [Path(each.file()) for each in (bob, owner)]
    for path in ("/gradio_api/upload", "/upload", "/gradio_api/upload/"):
        head = f"POST {path} HTTP/1.1\r\nContent-Type: {MULTIPART}\r\nContent-Length: 999999999999999\r\n\r\n"
        with ada.raw(head) as opened:
            assert b" 413 " in opened.recv(100)
    assert all(path.is_file() for path in there)


def test_many_uploads_make_room_among_ones_own(ada: Caller, bob: Caller, owner: Caller) -> None:
    there = [Path(each.file()) for each in (bob, owner)]
    own = [Path(ada.file(b"x" * 90_000)) for _ in range(5)]
    assert [path.is_file() for path in own] == [False, False, False, True, True]  # a quarter of a million
    assert all(path.is_file() for path in there)


def test_where_the_disk_is_others_an_upload_is_refused(page: Page, port: int, owner: Caller) -> None:
    for number in range(12):
        caller = Caller(port, {"X-Forwarded-For": f"8.8.7.{number}"})
        full = caller.upload(b"x" * 99_000)
    assert (full.status, "no room" in full.text) == (507, True)
    assert owner.upload(b"x" * 99_000).status == 200
    for path in kept(page):
        path.unlink()


def test_an_upload_without_a_length_is_counted_as_it_comes(page: Page, ada: Caller) -> None:
    before = kept(page)
    head = form(b"").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    parts = iter([head, *(b"x" * 10_000 for _ in range(40))])
    answer = ada.ask("POST", "/gradio_api/upload", parts, content_type=MULTIPART)
    assert answer.status == 413 and kept(page) == before


def test_a_file_over_the_bound_among_small_ones_is_refused(ada: Caller) -> None:
    assert ada.upload(b"x" * 100_001).status == 413
    assert ada.upload(b"x" * 100_000).status == 200


@pytest.mark.parametrize("reset", [True, False])
def test_what_breaks_off_leaves_nothing(page: Page, ada: Caller, tmp_path: Path, reset: bool) -> None:
    before = kept(page)
    head = f"POST /gradio_api/upload HTTP/1.1\r\nContent-Type: {MULTIPART}\r\nContent-Length: 90000\r\n\r\n"
    for _ in range(5):
        with ada.raw(head) as opened:
            opened.sendall(form(b"x" * 80_000)[:60_000])
            if reset:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: not admission.UPLOADS.held(f"at {ADA}"))
    assert kept(page) == before


def test_uploads_at_once_are_bounded_by_person(
    ada: Caller, bob: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "STALL_SECONDS", 5)
    head = f"POST /gradio_api/upload HTTP/1.1\r\nContent-Type: {MULTIPART}\r\nContent-Length: 90000\r\n\r\n--"
    with ExitStack() as stack:
        for _ in range(admission.UPLOADS.each):
            stack.enter_context(ada.raw(head))
        until(lambda: admission.UPLOADS.held(f"at {ADA}") == admission.UPLOADS.each)
        assert ada.upload(b"x").status == 429
        assert bob.upload(b"x").status == 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", MULTIPART),
        (b"nonsense", MULTIPART),
        (form(b"x")[:-12], MULTIPART),
        (form(b"x"), "multipart/form-data"),
        (form(b"x"), "multipart/form-data; boundary=" + "e" * 5000),
        (form(b"x"), "application/json"),
        (form(b"x").replace(b' name="files";', b""), MULTIPART),
        (b"".join(form(b"x")[:-10] for _ in range(30)) + form(b"x"), MULTIPART),
        (form(b"x").replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 60_000 + b"\r\n\r\n", 1), MULTIPART),
        (form(b"x", ".."), MULTIPART),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_upload_is_refused_and_leaves_nothing(
    page: Page, ada: Caller, body: bytes, kind: str
) -> None:
    before = kept(page)
    answer = ada.ask("POST", "/gradio_api/upload", body, content_type=kind)
    assert answer.status == 400 or json.loads(answer.text) == [], answer
    assert kept(page) == before


@pytest.mark.parametrize("charset", ["punycode", "idna", "undefined", "unicode_escape", "utf-7", "no-such"])
def test_the_callers_charset_decodes_nothing(ada: Caller, bob: Caller, charset: str) -> None:
    field = b'--edge\r\nContent-Disposition: form-data; name="k-"\r\n\r\n' + b"a" * 60_000 + b"\r\n"
    begin = time.process_time()
    kind = f"multipart/form-data; boundary=edge; charset={charset}"
    assert ada.ask("POST", "/gradio_api/upload", field + form(b"x"), content_type=kind).status == 200
    assert time.process_time() - begin < 2
    large = field.replace(b"a" * 60_000, b"a" * 90_000)
    assert ada.ask("POST", "/gradio_api/upload", large + form(b"x"), content_type=kind).status == 400


def test_empty_files_take_a_place_too(
    page: Page, ada: Caller, bob: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 5)
    of_bob = bob.file()
    paths = [ada.file(b"") for _ in range(9)]
    assert [Path(path).exists() for path in paths] == [False] * 4 + [True] * 5 and Path(of_bob).exists()


def test_what_was_asked_is_let_go_with_its_answer(page: Page, ada: Caller) -> None:
    session = uuid.uuid4().hex
    queue: Any = page._queue
    assert ada.join("quick", "x" * 9_000, session=session).status == 200
    until(lambda: all(event.data is None for event in queue.event_ids_to_events.values()))
    assert '"data"' in ada.messages(session)


def test_a_session_without_a_name_is_refused(page: Page, ada: Caller) -> None:
    body = json.dumps({"fn_index": NAMES.index("quick"), "data": ["x"], "session_hash": ""})
    for _ in range(3):
        answer = ada.ask("POST", "/gradio_api/queue/join", body, content_type="application/json")
        assert answer.status == 400
    assert not page._queue.event_ids_to_events and not page._queue.pending_event_ids_session.get("")


@pytest.mark.parametrize(
    "name", ["../../evil.csv", "/etc/evil.csv", "..\\evil.csv", "a\0b.csv", "é.csv", "x" * 300]
)
def test_a_name_leads_nowhere_else(page: Page, ada: Caller, name: str) -> None:
    path = Path(json.loads(ada.upload(b"text", name).text)[0])
    with files.kept_for(f"at {ADA}"):
        assert path.parent.parent == files.folder() and path.is_file()


FILES = ["/etc/passwd", "..", "", "a\0b", "http://127.0.0.1:9/x", "UPLOADS", "UPLOADS/../x", "PERSON"]


@pytest.mark.parametrize("path", FILES)
def test_a_path_that_is_no_upload_is_refused(page: Page, ada: Caller, path: str) -> None:
    own = Path(ada.file())
    named = path.replace("UPLOADS", str(own.parent.parent.parent)).replace("PERSON", str(own.parent.parent))
    answer = ada.call("read", file_data(named))
    assert '"success":false' in answer and ("not uploaded here" in answer or "not values" in answer)


def test_a_page_that_asks_how_far_an_upload_is_gets_an_answer(ada: Caller) -> None:
    answer = ada.ask("GET", "/gradio_api/upload_progress?upload_id=x")
    assert (answer.status, answer.text) == (200, uploads.PROGRESS)


# The person


def test_a_sign_in_is_counted_by_its_account_wherever_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    from bertspace.ui.access.sessions import SESSIONS, Login, Session

    monkeypatch.setattr(who, "_owner_access", OwnerAccess(KEY, sign_in=True))
    session = SESSIONS.open(Session(policy.user("a" * 24, "ada"), Login("t" * 20), time.time() + 60))
    for address in (ADA, BOB):
        scope = {"type": "http", "headers": [], "client": (address, 1), "session": {who.IN_SESSION: session}}
        assert who.of_scope(scope)[1] == f"u-{'a' * 24}"
    scope = {"type": "http", "headers": [], "client": (ADA, 1), "session": {}}
    assert who.of_scope(scope)[1] == f"at {ADA}"
