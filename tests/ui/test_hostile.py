"""Hostile and malformed requests against the app as it is started: each is refused, none changes anything.

Two apps run: one bound to this machine, whose caller is the owner, and one open to a network, whose caller is
a visitor, though it calls from 127.0.0.1 as well.
"""

import gzip
import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertspace import policy
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from bertspace.ui.access.gate import Page
from bertspace.ui.access.needs import needs_of
from bertspace.ui.app import build_app
from tests.support import ROOT
from tests.support.app import Answer, App, start, wait_for

pytestmark = pytest.mark.slow

KEY = "a-key-for-the-tests-0123456789"
NUL, LONG = "a\0b", "a" * 100_000
DEEP = "[" * 100_000 + "]" * 100_000
HTML = "<img src=x onerror=alert(1)>"


def file_data(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


# The apps


def make_home(home: Path, tiny_bert: Path) -> dict[str, str]:
    """Runs of the local owner and of another; their ids."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTSPACE_HOME", str(home))
        for owner in ("local", "ada"):
            run = Run.create(TrainConfig(task="fill-mask", model="starter"), owner=owner, name=HTML)
            (run.path / "data").mkdir()
            pd.DataFrame({"text": ["the sea ."]}).to_parquet(run.path / "data" / "validation.parquet")
            AutoModelForMaskedLM.from_pretrained(tiny_bert).save_pretrained(run.path / "model")
            AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(run.path / "model")
            run.write_state(RunState(status="done", name=HTML, created=time.time()))
            made[owner] = run.id
    (home / "local" / "20200101-000000-passwd").symlink_to("/etc")
    return made


@dataclass(frozen=True)
class Both:
    """The two apps over runs of the same owners."""

    local: App
    shared: App
    ids: dict[str, str]

    def named(self, name: str) -> App:
        return self.local if name == "local" else self.shared


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("hostile")
    home = folder / "home"
    ids = make_home(home, tiny_bert)
    started = []
    for name, settings in (
        ("local", {"GRADIO_SERVER_NAME": "127.0.0.1"}),
        ("shared", {"GRADIO_SERVER_NAME": "0.0.0.0", "BERTSPACE_OWNER_KEY": KEY,
                    "BERTSPACE_MAX_UPLOAD_BYTES": "100000", "BERTSPACE_MAX_ROWS": "50"}),
    ):  # fmt: skip
        (folder / name).mkdir()
        started.append(start(folder / name, home, **settings))
    try:
        for app, process in started:
            wait_for(app, process)
        yield Both(started[0][0], started[1][0], ids)
    finally:
        for _, process in started:
            process.terminate()
        for _, process in started:
            process.wait(60)


def tree(home: Path) -> dict[str, tuple[int, int]]:
    """Every file below: its size and when it was changed."""
    found = {str(path): path.lstat() for path in home.rglob("*") if "20200101" not in str(path)}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}


@pytest.fixture(autouse=True)
def nothing_happens(apps: Both) -> Iterator[None]:
    """After every test the runs are as they were, and no app has written a traceback."""
    before = tree(apps.local.home)
    yield
    assert tree(apps.local.home) == before
    for app in (apps.local, apps.shared):
        written = app.log.read_text()
        assert "Traceback" not in written, written[-4000:]


def check(answer: Answer, app: App) -> None:
    assert answer.refused, answer
    assert "Traceback" not in answer.text
    for secret in (str(app.home), str(ROOT), "root:x:0:0", KEY):
        assert secret not in answer.text, answer


@pytest.fixture(scope="module")
def page() -> Page:
    """The page as the apps have built it too: the same events under the same numbers."""
    return build_app()


def number(page: Page, name: str) -> int:
    """The fn_index of a public event, or of a handler by its module and name."""
    for index, each in page.fns.items():
        called = f"{each.fn.__module__}.{each.fn.__qualname__}" if each.fn else ""
        if each.api_name == name or called.endswith(f".{name}"):
            return index
    raise KeyError(name)


def inputs(page: Page, name: str, **values: Any) -> list[Any]:
    """What the page would send of a form, but for the values given."""
    event = page.fns[number(page, name)]
    names = event.input_keyword_names or [str(place) for place in range(len(event.inputs))]
    given = zip(names, event.inputs, strict=True)
    return [values.get(key, getattr(block, "value", None)) for key, block in given]


# Requests


PATHS = [
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file=//etc/passwd",
    "/gradio_api/file=../../../../etc/passwd",
    "/gradio_api/file=..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/gradio_api/file=%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/gradio_api/file=file:///etc/passwd",
    "/gradio_api/file=app.py",
    "/gradio_api/file=bertspace/policy.py",
    "/gradio_api/file=/proc/self/environ",
    "/gradio_api/file=%00",
    "/gradio_api/file=/etc/passwd%00.csv",
    "/gradio_api/file=http://169.254.169.254/latest/meta-data",
    "/gradio_api/file=HOME/local/RUN/config.yaml",
    "/gradio_api/file=HOME/ada/RUN/data/validation.parquet",
    "/gradio_api/file=HOME/local/../local/RUN/state.json",
    "/gradio_api/file=HOME/local/20200101-000000-passwd/passwd",
    "/gradio_api/file/etc/passwd",
    "/gradio_api/proxy=http://127.0.0.1:9/",
    "/gradio_api/deep_link?session_hash=x",
    "/gradio_api/custom_component/x/client/component/../../x",
    "/gradio_api/stream/x/1/2/playlist.m3u8",
    "/gradio_api/queue/data?session_hash=",
    "/gradio_api/call/runs/no-such-event",
    "/gradio_api/vibe-code",
    "/static/../../../../etc/passwd",
    "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/monitoring",
    "/monitoring/key",
    "/monitoring/summary",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("which", ["local", "shared"])
def test_no_path_leads_out_of_the_page(apps: Both, which: str, path: str) -> None:
    app = apps.named(which)
    answer = app.send("GET", path.replace("HOME", str(app.home)).replace("RUN", apps.ids["local"]))
    assert answer.status >= 400 or "not found" in answer.text.lower(), answer
    assert answer.status != 500, answer
    assert "root:" not in answer.text and "PATH=" not in answer.text


JOIN = {"data": [], "session_hash": "s"}
BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    DEEP.encode(),
    json.dumps(JOIN | {"fn_index": None}).encode(),
    json.dumps(JOIN | {"fn_index": -1}).encode(),
    json.dumps(JOIN | {"fn_index": 10**9}).encode(),
    json.dumps(JOIN | {"fn_index": "abc"}).encode(),
    json.dumps(JOIN | {"fn_index": 1.5}).encode(),
    json.dumps(JOIN | {"fn_index": int("9" * 400)}).encode(),
    json.dumps({"data": [], "fn_index": 0}).encode(),
    json.dumps({"data": "no list", "fn_index": 0, "session_hash": "s"}).encode(),
    json.dumps({"fn_index": 0, "session_hash": ["s"]}).encode(),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:40]))
def test_a_malformed_call_is_refused(apps: Both, body: bytes) -> None:
    for app in (apps.local, apps.shared):
        check(app.post("/gradio_api/queue/join", body), app)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/call/no_such_endpoint",
        "/gradio_api/call/v2/no_such_endpoint",
        "/gradio_api/call/..%2fruns",
        "/gradio_api/run/no_such_endpoint",
        "/gradio_api/run/delete",
        "/gradio_api/api/train",
        "/gradio_api/component_server",
        "/gradio_api/process_recording",
        "/gradio_api/stream/no-such-event",
        "/gradio_api/vibe-edit",
        "/login",
    ],
)
def test_what_is_not_there_cannot_be_posted_to(apps: Both, path: str) -> None:
    for app in (apps.local, apps.shared):
        check(app.post(path, {"data": [], "session_hash": "s", "fn_name": "x", "component_id": 1}), app)


# Who


def test_a_visitor_is_refused_by_every_event_that_needs_more_by_number_and_by_name(
    apps: Both, page: Page
) -> None:
    asked = 0
    for index, each in page.fns.items():
        if for_visitors(each):
            continue
        asked += 1
        answer = apps.shared.event(index, [None] * len(each.inputs), {"run": apps.ids["local"]})
        check(answer, apps.shared)
        assert "not open to you" in answer.text or each.fn is None, (each.api_name, answer)
        if not each.queue:
            direct = apps.shared.post(f"/gradio_api/run/{each.api_name}", {"data": [None] * len(each.inputs)})
            assert direct.status in (404, 500) and "Traceback" not in direct.text, (each.api_name, direct)
            assert direct.status == 404 or "not open to you" in direct.text or each.fn is None, direct
    assert asked > 30


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
        {"Host": "localhost", "Origin": "http://localhost"},
        {"Host": "127.0.0.1:7860", "Referer": f"http://127.0.0.1/?key={KEY}"},
        {"Cookie": "bertspace-owner=" + "0" * 64},
        {"Cookie": f"bertspace-owner={KEY}"},
        {"Cookie": "bertspace-owner="},
        {"Cookie": "__class__=x; __dict__=y; bertspace-owner=z"},
        {"Authorization": f"Bearer {KEY}"},
        {"X-Gradio-User": "owner", "x-bertspace-key": KEY},
    ],
)
def test_headers_make_nobody_the_owner(apps: Both, page: Page, headers: dict[str, str]) -> None:
    app = App(apps.shared.port, apps.shared.home, apps.shared.uploads, apps.shared.log, headers)
    answer = app.event(number(page, "runs"), [])
    check(answer, apps.shared)
    assert apps.ids["local"] not in answer.text


@pytest.mark.parametrize("key", ["wrong", "", "a" * 50_000, "%00", "%ff", KEY[:-1], KEY + "x", "&key=" + KEY])
def test_a_wrong_key_opens_nothing(apps: Both, key: str) -> None:
    check(apps.shared.send("GET", f"/?key={key}"), apps.shared)


def test_the_key_becomes_a_cookie_that_is_not_the_key_and_leaves_the_address(apps: Both, page: Page) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", apps.shared.port, timeout=180)
    connection.request("GET", f"/?tab=compare&key={KEY}")
    answer = connection.getresponse()
    cookie = answer.headers["set-cookie"]
    connection.close()
    assert (answer.status, answer.headers["location"]) == (303, "/?tab=compare")
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and KEY not in cookie
    owner = App(
        apps.shared.port,
        apps.shared.home,
        apps.shared.uploads,
        apps.shared.log,
        {"Cookie": cookie.partition(";")[0]},
    )
    assert apps.ids["local"] in owner.event(number(page, "runs"), []).text
    check(owner.event(number(page, "run"), [apps.ids["ada"]]), owner)


def test_what_everybody_is_sent_names_no_run(apps: Both) -> None:
    for path in ("/", "/config", "/gradio_api/info", "/?tab=compare&run=" + apps.ids["local"]):
        shown = apps.shared.send("GET", path)
        assert shown.status == 200
        assert HTML not in shown.text and str(apps.shared.home) not in shown.text
        assert apps.ids["ada"] not in shown.text and f"run:{apps.ids['local']}" not in shown.text


def for_visitors(event: Any) -> bool:
    """Whether a visitor may ask the server for it."""
    return event.fn is not None and "visitor" in policy.RIGHTS[needs_of(event.fn).right]


def test_a_visitors_page_holds_nothing_of_others(apps: Both, page: Page) -> None:
    for index, each in page.fns.items():
        by_itself = not each.inputs and for_visitors(each)
        if by_itself:
            answer = apps.shared.event(index, [])
            for run_id in apps.ids.values():
                assert run_id not in answer.text, each.name
    look = number(page, "run_step.refresh")
    seen = apps.shared.event(look, [apps.ids["local"], None, ""])
    assert f'data-run="{apps.ids["local"]}' not in seen.text and "onerror" not in seen.text


# Models, texts, ids


MODELS = [
    "..", "/etc", "~", "~root/x", "./x", "C:\\x", "a/../../b", "a/b/c", "file:///etc/passwd",
    "http://127.0.0.1:9/x", "run:", "run:..", "run:../ada", "run:/etc", "run:ADA", "run:local/..",
    "run:ada/ADA", "run:%2e%2e/ADA", "run:ada%2fADA", "run:20200101-000000-passwd", NUL, f"run:{NUL}",
    "run:" + "a" * 5000, HTML, "${7*7}", " ", None, 7, True, 1.5, [], ["starter"],
    {"model": "starter"}, {"path": "/etc/passwd"},
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: repr(model)[:40])
def test_what_is_no_model_of_ones_own_is_refused(apps: Both, page: Page, model: Any) -> None:
    named = model.replace("ADA", apps.ids["ada"]) if isinstance(model, str) else model
    for app in (apps.local, apps.shared):
        check(app.event(number(page, "fill_mask"), ["The [MASK].", named, 5]), app)
    check(apps.local.event(number(page, "compare"), ["A [MASK].", named, "starter", "", 5]), apps.local)


def test_a_visitor_cannot_use_the_owners_run(apps: Both, page: Page) -> None:
    for named in (f"run:{apps.ids['local']}", f"run:local/{apps.ids['local']}"):
        check(apps.shared.event(number(page, "fill_mask"), ["The [MASK].", named, 5]), apps.shared)
        check(apps.shared.event(number(page, "compare_own_rows"), ["starter", named]), apps.shared)
        settled = apps.shared.event(number(page, "compare.model_changed"), [named, "", ""])
        assert "the sea" not in settled.text
    assert apps.local.event(number(page, "fill_mask"), ["The [MASK].", f"run:{apps.ids['local']}", 5]).data


@pytest.mark.parametrize(
    ("text", "top_k"),
    [
        ("", 5), (" \n", 5), (None, 5), (7, 5), ([], 5), ({"a": 1}, 5), ([["a"] * 9], 5), ("no mask", 5),
        ("The [MASK].", "five"), ("The [MASK].", None), ("The [MASK].", []), ("The [MASK].", float("nan")),
        ("The [MASK].", float("inf")), ("The [MASK].", 1.5), ("The [MASK].", True),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_what_is_no_text_or_number_is_refused(apps: Both, page: Page, text: Any, top_k: Any) -> None:
    own = f"run:{apps.ids['local']}"
    check(apps.local.event(number(page, "fill_mask"), [text, own, top_k]), apps.local)


@pytest.mark.parametrize("value", [["starter"], {"a": 1}, 7, True], ids=repr)
def test_a_choice_that_is_no_text_is_refused_by_every_handler_that_takes_one(
    apps: Both, page: Page, value: Any
) -> None:
    asked = 0
    for index, each in page.fns.items():
        visitors = for_visitors(each)
        kinds = [type(block).__name__ for block in each.inputs] if visitors else []
        for place in [place for place, kind in enumerate(kinds) if kind == "Dropdown"]:
            sent = [value if number == place else None for number in range(len(kinds))]
            check(apps.shared.event(index, sent), apps.shared)
            asked += 1
    assert asked > 10


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_slider_that_is_no_number_is_refused(apps: Both, page: Page, value: float) -> None:
    sent = ["The [MASK].", f"run:{apps.ids['local']}", value, False, None]
    check(apps.local.event(number(page, "FillMaskPage.answer_beside"), sent), apps.local)


@pytest.mark.parametrize("text", [LONG + "[MASK]", ["[MASK]" * 9000], {"[MASK]": LONG}, HTML * 1000])
def test_a_visitors_text_is_bounded_and_not_cut(apps: Both, page: Page, text: Any) -> None:
    answer = apps.shared.event(number(page, "fill_mask"), [text, "starter", 5])
    check(answer, apps.shared)
    assert "characters; the limit here is 10,000" in answer.text


def test_texts_and_names_come_back_as_text(apps: Both, page: Page) -> None:
    own = f"run:{apps.ids['local']}"
    shown = apps.local.event(
        number(page, "FillMaskPage.answer_beside"), [f"{HTML} [MASK]", own, 3, False, None]
    )
    assert HTML not in shown.data[0] and "&lt;img" in shown.data[0]
    assert HTML not in json.dumps(apps.local.event(number(page, "header.first_look"), []).data)
    assert HTML not in json.dumps(apps.local.event(number(page, "run_step.refresh"), ["", None, ""]).data)


@pytest.mark.parametrize("handler", ["run", "stop", "delete", "download", "log", "resume", "pause"])
def test_a_run_is_found_by_its_own_id_and_its_owner_alone(apps: Both, page: Page, handler: str) -> None:
    ada = apps.ids["ada"]
    guesses: list[Any] = [
        ada, f"ada/{ada}", f"../ada/{ada}", f"..%2fada%2f{ada}", str(apps.local.home / "ada" / ada),
        "..", ".", "", "../local", f"{apps.ids['local']}/", f"./{apps.ids['local']}", f" {ada}", NUL,
        LONG[:9000], "20200101-000000-passwd", HTML, None, 7, [apps.ids["local"]], {"a": 1}, "*", "%",
    ]  # fmt: skip
    for guess in guesses:
        check(apps.local.event(number(page, handler), [guess]), apps.local)


# Data


FILES: list[tuple[str, bytes]] = [
    ("a.csv", b""),
    ("a.csv", b"text,label\n"),
    ("a.csv", b"text,label\na,b\0c\n"),
    ("a.csv", b"\xff\xfet\0e\0x\0t\0"),
    ("a.csv", b'text,label\n"open,b\n'),
    ("a.csv", b"text,label\na,b,c\n"),
    ("a.csv", b"text,text\na,b\n"),
    ("a.csv", b"text,label\n\xff\xff,b\n"),
    ("a.csv", b"PK\x03\x04" + b"x" * 99),
    ("a.csv.gz", b"not gzip"),
    ("a.csv.gz", gzip.compress(b"text,label\na,b\n", mtime=0)[:-9]),
    ("a.csv.gz", gzip.compress(b"\0" * 50_000_000, mtime=0)),
    ("a.jsonl", DEEP.encode()),
    ("a.jsonl", b'{"text": "a", "label": NaN'),
    ("a.jsonl", b'{"text": "\\ud800", "label": "b"}'),
    ("a.jsonl", b"[1, 2, 3]"),
    ("a.jsonl", b'{"text": ' + b"9" * 9000 + b"}"),
    ("a.parquet", b"PAR1" + b"x" * 99 + b"PAR1"),
    ("a.parquet", b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    ("a.pkl", b"\x80\x04."),
    ("a", b"text"),
    ("a.exe", b"MZ"),
    (f"{HTML}.csv", b"text,label\n"),
]


@pytest.mark.parametrize(("name", "content"), FILES, ids=lambda value: repr(value)[:30])
def test_a_broken_file_is_told_and_nothing_is_kept(apps: Both, page: Page, name: str, content: bytes) -> None:
    uploaded = apps.local.upload(name, content)
    path = json.loads(uploaded.text)[0]
    own = f"run:{apps.ids['local']}"
    for handler, data in (
        ("load_data", inputs(page, "load_data", source="files", train_file=file_data(path))),
        ("train", inputs(page, "train", source="files", train_file=file_data(path))),
        ("compare_file", [file_data(path), own, None]),
    ):
        check(apps.local.event(number(page, handler), data), apps.local)


@pytest.mark.parametrize(
    "file",
    [
        file_data("/etc/passwd"),
        file_data("../../etc/passwd"),
        file_data("HOME/local/RUN/config.yaml"),
        file_data("HOME/local/RUN/data/validation.parquet"),
        file_data("http://127.0.0.1:9/a.csv"),
        file_data("http://169.254.169.254/a.csv"),
        file_data("file:///etc/passwd"),
        file_data(NUL),
        file_data(""),
        {"path": "/etc/passwd"},
        {"path": None, "meta": {"_type": "gradio.FileData"}},
        "/etc/passwd",
        ["/etc/passwd"],
        {"url": "http://127.0.0.1:9/", "meta": {"_type": "gradio.FileData"}},
        7,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_file_of_the_host_is_no_upload(apps: Both, page: Page, file: Any) -> None:
    text = json.dumps(file).replace("HOME", str(apps.local.home)).replace("RUN", apps.ids["local"])
    file = json.loads(text)
    own = f"run:{apps.ids['local']}"
    check(apps.local.event(number(page, "compare_file"), [file, own, None]), apps.local)
    check(apps.shared.event(number(page, "classify_file"), [file, "owner/name"]), apps.shared)
    data = inputs(page, "train", source="files", train_file=file)
    check(apps.local.event(number(page, "train"), data), apps.local)


@pytest.mark.parametrize(
    "name",
    ["../../evil.csv", "/etc/evil.csv", "..%2f..%2fevil.csv", "a/../../evil.csv", "..", "x" * 400 + ".csv"],
)
def test_an_upload_stays_where_uploads_are(apps: Both, name: str) -> None:
    for app in (apps.local, apps.shared):
        answer = app.upload(name, b"text\nhello\n")
        assert answer.status in (200, 400), answer
        if answer.status == 200:
            path = Path(json.loads(answer.text)[0])
            assert path.resolve().is_relative_to(app.uploads.resolve()) and path.is_file()
            ranged = app.send("GET", f"/gradio_api/file={path}", headers={"Range": "bytes=9-2-1"})
            assert ranged.status < 500 and "Traceback" not in ranged.text
    assert not list(apps.local.home.parent.rglob("evil.csv/..")) and not Path("/etc/evil.csv").exists()


def test_what_is_too_large_is_not_taken(apps: Both, page: Page) -> None:
    assert apps.shared.upload("a.csv", b"x" * 200_000).status == 413
    check(apps.shared.send("POST", "/gradio_api/upload", b"x", {"content-type": "text/plain"}), apps.shared)
    rows = apps.shared.upload("a.csv", b"text\n" + b"a row\n" * 60)
    path = json.loads(rows.text)[0]
    check(apps.shared.event(number(page, "compare_file"), [file_data(path), "owner/name", ""]), apps.shared)


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": float("nan")}, {"epochs": float("inf")}, {"epochs": -1}, {"epochs": 10**30},
        {"epochs": "many"}, {"epochs": 10**400}, {"batch_size": 10**4000},
        {"epochs": []}, {"epochs": {"a": 1}}, {"batch_size": 0}, {"batch_size": 10**12},
        {"max_length": -5},
        {"learning_rate": "1e400"}, {"learning_rate": "-1"}, {"learning_rate": HTML}, {"seed": 2**70},
        {"schedule": "evil"}, {"precision": "../x"}, {"task": "rm -rf"}, {"best_metric": HTML},
        {"source": "disk"}, {"source": None}, {"sample": "../../etc/passwd"}, {"sample": HTML},
        {"sample": ["office"]}, {"model": "/etc"}, {"model": "../.."}, {"model": "run:ada/x"},
        {"text_column": NUL}, {"label_column": "none"},
        {"source": "hub", "dataset": "../../etc"}, {"source": "hub", "dataset": "/etc"},
        {"source": "hub", "dataset": "sample:../../x"}, {"source": "hub", "dataset": "http://127.0.0.1:9/x"},
        {"source": "hub", "dataset": NUL}, {"source": "hub", "dataset": "a/b", "dataset_config": "../.."},
        {"source": "hub", "dataset": "a/b", "train_split": "../../x"},
        {"source": "files", "train_file": None},
    ],
    ids=lambda changed: repr(changed)[:60],
)  # fmt: skip
def test_settings_that_cannot_be_start_nothing(apps: Both, page: Page, changed: dict[str, Any]) -> None:
    data = inputs(page, "train", **{"source": "sample", "sample": "office", "max_steps": 1} | changed)
    check(apps.local.event(number(page, "train"), data), apps.local)


def test_without_the_hostile_part_a_form_is_taken(apps: Both, page: Page) -> None:
    data = inputs(page, "train", source="sample", sample="office", max_steps=1)
    answer = apps.local.event(number(page, "fine_tune.tab.command"), data)
    assert answer.data[0].startswith("python -m bertspace train"), answer


@pytest.mark.parametrize("event_data", [None, {}, [], "x", {"run": None}, {"run": ["x"]}, {"run": "../ada"}])
def test_a_click_that_carries_no_run_opens_none(apps: Both, page: Page, event_data: Any) -> None:
    for handler in ("run_step.chosen_run", "app.to_run"):
        answer = apps.local.event(number(page, handler), [], event_data)
        assert "Traceback" not in answer.text and apps.ids["ada"] not in answer.text
    for handler in ("app.try_run", "app.empty_picker", "app.compare_run"):
        check(apps.local.event(number(page, handler), ["../ada"]), apps.local)
