"""What strangers try on pulls, searches and facts: whose a model is, what a repository may say of itself."""

import asyncio
import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from bertspace import hub, models
from bertspace.errors import BertspaceError, HubError, HubUnreachable, ModelError
from bertspace.hub import cache as hub_cache
from bertspace.hub import card_text, client, download, pull
from bertspace.hub.credentials import Credentials, using
from bertspace.safety import layout
from bertspace.ui.models.facts import unfit
from bertspace.ui.models.render_models import draw_facts, draw_results
from tests.support import until

pytestmark = pytest.mark.slow

VISITOR = Credentials(token=False, guest=True)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, and the owner's rights without a login."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(pull.PUBLIC, "_seen", OrderedDict())
    with using(Credentials(token=False)):
        yield folder


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Any:
    """The test Hub, with alice's account; `hub` is the module here."""
    found = request.getfixturevalue("hub")
    found.user("alice")
    return found


def contents(folder: Path, **more: bytes) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} | more


# What not everybody may see


@pytest.mark.parametrize("gate", ["auto", "manual"])
def test_a_gated_model_of_the_hosts_is_no_guests_until_the_hub_gives_it_to_them(
    server: Any, tiny_bert: Path, tmp_path: Path, gate: str
) -> None:
    alice, bob = server.user("alice"), server.user("bob")
    server.put("alice/gated", contents(tiny_bert), gated=gate)
    with using(Credentials(token=alice)):
        theirs = hub.snapshot("alice/gated")
    own = tmp_path / "bobs"
    for rights in (VISITOR, Credentials(token=bob, folder=own, guest=True)):
        with using(rights):
            for name in ("alice/gated", f"alice/gated@{theirs.name}", "alice/gated@main"):
                with pytest.raises(HubError, match="asks for its terms to be accepted"):
                    models.locate(name)
                with pytest.raises(HubError, match="asks for its terms to be accepted"):
                    hub.facts(name)
                assert hub.folder_on_disk(name) is None
            assert hub.on_disk() == []
    server.grant("alice/gated", "bob")
    with using(Credentials(token=bob, folder=own, guest=True)):
        assert (hub.facts("alice/gated").here, hub.facts("alice/gated").is_here) == (0, False)
        assert hub.snapshot("alice/gated").is_relative_to(own)
        assert hub.facts("alice/gated").is_here and hub.on_disk() == ["alice/gated"]
    with using(Credentials(token=alice)):
        assert hub.snapshot("alice/gated") == theirs


def changed(server: Any, change: str) -> None:
    if change == "deleted":
        del server.store.repos["model", "alice/tiny"]
    else:
        setattr(server.repo("alice/tiny"), change, True)


@pytest.mark.parametrize("change", ["private", "gated", "deleted"])
@pytest.mark.parametrize("asked", ["snapshot", "facts"])
def test_what_was_public_is_forgotten_once_the_hub_says_otherwise(
    server: Any, tiny_bert: Path, change: str, asked: str
) -> None:
    server.put("alice/tiny", contents(tiny_bert))
    hub.snapshot("alice/tiny")
    with using(VISITOR):
        assert hub.on_disk() == ["alice/tiny"]
        changed(server, change)
        with pytest.raises(HubError):
            getattr(hub, asked)("alice/tiny")
        server.fail(503, times=0)
        assert hub.on_disk() == [] and hub.folder_on_disk("alice/tiny") is None
        for call in (hub.snapshot, hub.facts):
            with pytest.raises(HubUnreachable):
                call("alice/tiny")


def test_a_search_that_shows_a_model_as_gated_forgets_it(server: Any, tiny_bert: Path) -> None:
    server.put("alice/tiny", contents(tiny_bert))
    hub.snapshot("alice/tiny")
    changed(server, "gated")
    with using(VISITOR):
        assert hub.search("tiny")[0].gated and hub.on_disk() == []


def test_a_model_that_becomes_gated_while_its_files_cannot_be_had_is_not_served_from_disk(
    server: Any, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    bob = server.user("bob")
    server.put("alice/tiny", contents(tiny_bert))
    hub.snapshot("alice/tiny")
    changed(server, "gated")
    server.fail(503, path="resolve/", times=0)
    with using(Credentials(token=bob, folder=tmp_path / "bobs", guest=True)), pytest.raises(HubUnreachable):
        hub.snapshot("alice/tiny")


def test_what_was_public_serves_for_a_while_when_the_hub_is_away_and_not_for_ever(
    server: Any, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("alice/tiny", contents(tiny_bert))
    folder = hub.snapshot("alice/tiny")
    with using(VISITOR):
        fault = server.fail(503, path="/api/", times=0)
        assert hub.snapshot("alice/tiny") == hub.folder_on_disk("alice/tiny") == folder
        monkeypatch.setattr(hub.Public, "SECONDS", 0.0)  # as after an hour
        assert hub.on_disk() == []
        with pytest.raises(HubUnreachable):
            hub.snapshot("alice/tiny")
        server.server.faults.remove(fault)
        hub.facts("alice/tiny")
        asked = len(server.requests)
        assert hub.folder_on_disk("alice/tiny") is None and len(server.requests) > asked  # asked anew
        monkeypatch.setattr(hub.Public, "SECONDS", 3600.0)
        assert hub.folder_on_disk("alice/tiny") == folder
        assert hub.on_disk() == ["alice/tiny"]
    assert hub.snapshot("alice/tiny") == folder  # the owner's is the owner's


def test_what_was_public_is_remembered_of_so_many() -> None:
    seen = hub.Public()
    seen.MAX = 3
    for name in ("a/1", "a/2", "a/1", "a/3", "a/4"):
        seen.add(name)
    assert [name for name in ("a/1", "a/2", "a/3", "a/4") if name in seen] == ["a/1", "a/3", "a/4"]
    assert seen.forget("a/1") and not seen.forget("a/1") and "a/1" not in seen


# Within a call


def test_a_guests_call_brings_nothing_and_a_pull_does(server: Any, tiny_bert: Path, cache: Path) -> None:
    server.put("alice/tiny", contents(tiny_bert))
    calling = Credentials(token=False, guest=True, in_calls=False)
    with using(calling):
        with pytest.raises(HubError, match="not on this machine yet") as caught:
            models.locate("alice/tiny")
        assert "endpoint pull" in caught.value.hint and not cache.exists()
        folder = models.locate("alice/tiny", stopped=lambda: False).path
        assert models.locate("alice/tiny").path == folder
        newer = server.put("alice/tiny", {"vocab.txt": b"[PAD]\n[UNK]\n"})
        assert models.locate("alice/tiny").path == folder  # what is here serves
        with pytest.raises(HubError, match="not on this machine yet"):
            models.locate(f"alice/tiny@{newer}")
        assert models.locate("alice/tiny", stopped=lambda: False).revision == newer
    assert not [each for each in server.requests if each.status == 404]


# What a repository says of itself


def put(server: Any, folder: Path, name: str = "alice/odd", **more: bytes) -> str:
    server.put(
        name, contents(folder, **{key.replace("_json", ".json"): value for key, value in more.items()})
    )
    return name


LABELS = {str(number): "x" * 40 for number in range(20_000)}
HUGE = json.dumps({"model_type": "bert", "id2label": LABELS, "architectures": ["B" * 10_000] * 2000}).encode()
CONFIGS = {
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "quite deep": b'{"model_type": "bert", "a": ' + b"[" * 900 + b"]" * 900 + b"}",
    "brackets": b'{"model_type": "bert", "a": [' + b"[]," * 340_000 + b"1]}",
    "a list": b"[1, 2]",
    "no JSON": b"\xff\xfe\x00{",
    "numbers": b'{"model_type": "bert", "a": 1e999, "b": NaN, "c": 1' + b"0" * 4000 + b', "d": -Infinity}',
    "a number without an end": b'{"model_type": "bert", "a": ' + b"1" * 100_000 + b"}",
    "halves": rb'{"model_type": "\ud800", "architectures": ["\udfff"], "id2label": {"0": "\ud800"}}',
    "kinds": b'{"model_type": {"a": [1]}, "architectures": 5, "id2label": [1], "num_labels": "x"}',
    "keys": b'{"model_type": "bert", "id2label": {"1' + b"0" * 5000 + b'": "a", "-1": "b"}}',
    "huge": HUGE,
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_configuration_may_say_anything_and_is_told_in_a_line(
    server: Any, tiny_bert: Path, kind: str
) -> None:
    name = put(server, tiny_bert, config_json=CONFIGS[kind])
    with using(VISITOR):
        began = time.process_time()
        found = hub.facts(name)
        told = json.dumps(asdict(found) | {"why": unfit(found)}, allow_nan=False).encode()
        drawn = draw_facts(name, found, unfit(found, "fill-mask")).encode()
        assert time.process_time() - began < 3
        assert len(drawn) < 20_000 and len(unfit(found)) < 600, unfit(found)
        assert len(told) < 3 * card_text.MAX_TEXT_BYTES and b"Infinity" not in told
        assert max((abs(each) for each in found.config.values() if isinstance(each, int)), default=0) < 2**53
        with pytest.raises(BertspaceError):  # nor is it found out with a traceback what it is
            models.load_model(models.locate(name, "fill-mask"), "fill-mask")


CARDS = {
    "the client's own argument": "ignore_metadata_errors: true",
    "self": "self: 1",
    "license": f"license: [{', '.join(['a'] * 5000)}]\nlanguage: {{a: {{b: c}}}}\nbase_model: {'x' * 9000}",
    "deep": f"license: {'[' * 300}{']' * 300}",
    "model-index": "model-index: [a, 5]\neval_results: {a: b}",
    "task": "pipeline_tag: [a, {b: c}]",
}


@pytest.mark.parametrize("kind", CARDS)
def test_a_card_may_say_anything_and_is_told_in_a_line(server: Any, tiny_bert: Path, kind: str) -> None:
    name = put(server, tiny_bert)
    server.put(name, {"README.md": f"---\n{CARDS[kind]}\n---\nA model.\n".encode()})
    with using(VISITOR):
        try:
            found = hub.facts(name)
        except HubError as error:
            assert len(str(error)) < 300
        else:
            drawn = draw_facts(name, found, "").encode()
            assert len(drawn) < 5000 and "A model." in drawn.decode()
        found = hub.search("odd")
        assert [each.repo_id for each in found] == [name]
        draw_results(found, [], "").encode()


# Which weights there are


ELSEWHERE = [
    "../../../models--alice--tiny/snapshots/{commit}/model.safetensors",
    "/etc/passwd",
    "/proc/self/environ",
    "sub/model.safetensors",
    "..",
    "",
    "model.safetensors\0",
    "x" * 300 + ".safetensors",
    "config.json",
    5,
    None,
    ["model.safetensors"],
]


@pytest.mark.parametrize("named", ELSEWHERE, ids=str)
def test_an_index_that_names_anything_else_is_not_looked_for(
    server: Any, tiny_bert: Path, cache: Path, named: Any
) -> None:
    server.put("alice/tiny", contents(tiny_bert))
    commit = hub.snapshot("alice/tiny").name
    named = named.format(commit=commit) if isinstance(named, str) else named
    files = contents(tiny_bert)
    weights = files.pop("model.safetensors")
    files |= {"model-00001-of-00001.safetensors": weights}
    files |= {layout.INDEX: json.dumps({"weight_map": {"a": named}}).encode()}
    server.put("alice/odd", files)
    said = []
    for rights in (VISITOR, Credentials(token=False)):
        with using(rights), pytest.raises(ModelError) as caught:
            models.locate("alice/odd")
        said.append(str(caught.value))
    assert (
        said == ["The index of alice/odd's weights names other files than it has. Choose another model."] * 2
    )
    [snapshot] = (hub_cache.repo_folder(cache, "alice/odd") / "snapshots").iterdir()
    (snapshot / "model-00001-of-00001.safetensors").write_bytes(weights)
    assert not hub_cache.is_complete(snapshot)


@pytest.mark.parametrize(
    "index",
    [
        json.dumps({"weight_map": {str(n): f"m{n}.safetensors" for n in range(100_000)}}).encode(),
        json.dumps({"weight_map": {str(n): f"m{n}.safetensors" for n in range(2000)}}).encode(),
        b'{"weight_map": ' + b"[" * 100_000,
        b'{"weight_map": [' + b"[]," * 340_000 + b"1]}",
        b'{"weight_map": 5}',
        b"[]",
        b"\xff",
        b'{"weight_map": {}}',
    ],
    ids=["100,000 names", "2,000 names", "deep", "brackets", "a number", "a list", "no JSON", "empty"],
)
def test_an_absurd_index_is_no_model_in_no_time(tiny_bert: Path, tmp_path: Path, index: bytes) -> None:
    for name, content in contents(tiny_bert).items():
        (tmp_path / name.replace("model.safetensors", "m1.safetensors")).write_bytes(content)
    (tmp_path / layout.INDEX).write_bytes(index)
    began = time.process_time()
    assert not hub_cache.is_complete(tmp_path)
    assert time.process_time() - began < 0.5


def test_real_shards_are_whole_when_all_are_there(server: Any, tiny_bert: Path) -> None:
    files = contents(tiny_bert)
    files["model-00001-of-00001.safetensors"] = files.pop("model.safetensors")
    files[layout.INDEX] = b'{"weight_map": {"a": "model-00001-of-00001.safetensors"}}'
    server.put("alice/shards", files)
    folder = hub.snapshot("alice/shards")
    assert hub_cache.is_complete(folder) and hub.on_disk() == ["alice/shards"]
    (folder / "model-00001-of-00001.safetensors").unlink()
    assert not hub_cache.is_complete(folder)
    (folder / "model.safetensors").write_bytes(b"")  # which is taken before an index
    assert hub_cache.is_complete(folder)


# What the Hub's answers may say


class Liar:
    """Lets answers of the test Hub say something else: (path, what makes its JSON another, or its bytes)."""

    def __init__(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ways: list[tuple[str, Callable[[Any], Any]]] = []
        self.asked: list[str] = []
        answer = server.server._answer

        async def lying(request: Any, path: str, fault: Any) -> Any:
            self.asked.append(path)
            for pattern, change in self.ways:
                if re.search(pattern, path):
                    return change(await answer(request, path, fault))
            return await answer(request, path, fault)

        monkeypatch.setattr(server.server, "_answer", lying)

    def json(self, pattern: str, change: Callable[[Any], Any]) -> None:
        def changed(response: Response) -> Response:
            return Response(json.dumps(change(json.loads(response.body))))  # halves of characters too

        self.ways.append((pattern, changed))

    def says(self, pattern: str, response: Callable[[], Response]) -> None:
        self.ways.append((pattern, lambda _: response()))


@pytest.fixture
def liar(server: Any, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> Liar:
    """Of alice/odd."""
    monkeypatch.setattr(download, "TRIES", 1)
    put(server, tiny_bert)
    return Liar(server, monkeypatch)


def outside(cache: Path) -> list[Path]:
    """What lies beside the cache, or in it where no model's files do."""
    beside = [path for path in cache.parent.iterdir() if path not in (cache, cache.parent / "home")]
    odd = [
        path for path in cache.glob("*") if path.name not in ("models--alice--odd", ".locks", "CACHEDIR.TAG")
    ]
    return beside + odd


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../../evil.json"},
        {"path": "/tmp/evil.json"},
        {"path": "a/../../../evil.json"},
        {"path": "evil\0.json"},
        {"path": "\ud800.json"},
        {"path": "x" * 300 + ".json"},
        {"path": ""},
        {"path": "."},
        {"oid": "../../../evil"},
        {"oid": "0" * 39 + "/"},
        {"oid": "A" * 40},
        {"oid": None},
        {"size": -1},
        {"size": None},
        {"size": "9"},
        {"size": 1.5},
        {"lfs": {"oid": "../x", "size": 1, "pointerSize": 1}},
        {"lfs": 5},
        {"type": "file", "path": 5},
    ],
    ids=str,
)
def test_a_listing_that_leads_out_of_the_cache_is_refused(
    liar: Liar, cache: Path, change: dict[str, Any]
) -> None:
    liar.json("/tree/", lambda files: [{**files[0], **change}, *files[1:]])
    for rights in (VISITOR, Credentials(token=False)):
        with using(rights):
            for call in (hub.snapshot, hub.facts):
                with pytest.raises(HubError) as caught:
                    call("alice/odd")
                assert len(str(caught.value)) < 300
    assert outside(cache) == [] and not cache.exists()


@pytest.mark.parametrize(
    "commit", ["../../../evil", "/tmp/evil", "a" * 39, "A" * 40, "main", "", None, 5, "a" * 40 + "\n"]
)
def test_a_commit_that_is_none_makes_no_folder(liar: Liar, cache: Path, commit: Any) -> None:
    liar.json("/api/models/alice/odd$", lambda info: info | {"sha": commit})
    with using(VISITOR):
        for call in (hub.snapshot, hub.facts):
            with pytest.raises(HubError):
                call("alice/odd")
    assert not cache.exists()


@pytest.mark.parametrize(
    "revision", ["../x", "refs/../../x", "/x", "x/", "a\0b", "\ud800", "x" * 5000, ".", "", "a\nb"]
)
def test_a_revision_that_is_a_path_asks_nothing(liar: Liar, revision: str) -> None:
    with using(VISITOR):
        for call in (lambda: hub.snapshot("alice/odd", revision), lambda: hub.facts(f"alice/odd@{revision}")):
            with pytest.raises(HubError):
                call() if revision else hub.snapshot("alice/odd", revision)
    assert liar.asked == []


def test_a_tree_of_very_many_files_is_told_soon(liar: Liar) -> None:
    def many(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return files + [{**files[0], "path": f"x{number}.txt"} for number in range(100_000)]

    liar.json("/tree/", many)
    with using(VISITOR):
        for call in (hub.snapshot, hub.facts):
            with pytest.raises(HubError, match=r"more than 5,000 files|does not end|did not answer"):
                call("alice/odd")


@pytest.mark.parametrize("page", ["again", "empty"])
def test_a_listing_whose_pages_go_round_in_a_circle_ends(
    liar: Liar, server: Any, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER_SECONDS", 1)
    rest = f'<{server.url}/api/models/alice/odd/tree/main?page=2>; rel="next"'

    def around(response: Response) -> Response:
        body = json.loads(response.body) if page == "again" else []
        return JSONResponse(body, headers={"Link": rest})

    liar.ways.append(("/tree/", around))
    monkeypatch.setattr(client.call_hub, "__defaults__", (1.5, ""))
    with (
        using(VISITOR),
        pytest.raises(HubError, match=r"more than 5,000 files|did not answer|does not end"),
    ):
        hub.snapshot("alice/odd")
    asked = quiet(liar)
    time.sleep(0.3)
    assert len(liar.asked) == asked  # nobody goes on for ever in a thread


def quiet(liar: Liar) -> int:
    """How many requests there were, once there are no more."""
    end = time.monotonic() + 10
    count = -1
    while count != len(liar.asked) and time.monotonic() < end:
        count = len(liar.asked)
        time.sleep(0.3)
    return count


def endless() -> Response:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"[" * 65536
            await asyncio.sleep(0.001)

    return StreamingResponse(body())


@pytest.mark.parametrize("path", ["/api/models/alice/odd$", "/tree/", "/api/models$"])
def test_an_answer_without_an_end_takes_no_memory_without_one(
    liar: Liar, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 4 * 1024 * 1024)
    liar.says(path, endless)
    before = threading.active_count()
    with using(VISITOR), pytest.raises(HubUnreachable):
        hub.search("odd") if path.endswith("models$") else hub.snapshot("alice/odd")
    until(lambda: threading.active_count() <= before, "a thread goes on")


@pytest.mark.parametrize("name", ["vocab.txt", "model.safetensors"])
def test_a_file_that_does_not_end_or_is_another_is_not_kept(
    liar: Liar, cache: Path, name: str, tiny_bert: Path
) -> None:
    real = (tiny_bert / name).read_bytes()
    where = "/storage/" if name.endswith(".safetensors") else f"resolve/.*/{name}"
    for body in (endless, lambda: Response(real + b"x"), lambda: Response(bytes(len(real)))):
        liar.ways.clear()
        liar.says(where, body)
        with using(VISITOR), pytest.raises(HubError, match="arrived damaged"):
            hub.snapshot("alice/odd")
        assert not list(cache.rglob("*.incomplete"))
        largest = max(path.stat().st_size for path in cache.rglob("*") if path.is_file())
        assert largest <= max(map(len, contents(tiny_bert).values()))


def test_a_size_that_is_a_lie_fits_no_limit(liar: Liar, cache: Path) -> None:
    def small(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**each, "size": 1} for each in files]

    liar.json("/tree/", small)
    with (
        using(Credentials(token=False, guest=True, max_bytes=1000)),
        pytest.raises(HubError, match="damaged"),
    ):
        hub.snapshot("alice/odd")
    assert not [path for path in cache.rglob("blobs/*")]


def test_facts_are_read_of_what_the_hub_says_they_are(liar: Liar) -> None:
    for body in (endless, lambda: Response(b'{"model_type": "secret of another host"}')):
        liar.ways.clear()
        liar.says("resolve/.*/config.json", body)
        with using(VISITOR), pytest.raises(HubError, match="arrived damaged"):
            hub.facts("alice/odd")


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """An address of another service on this machine, and the headers of what was asked of it."""
    heard: list[str] = []

    class Secret(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(str(self.headers))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"model_type": "the secret of another service"}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Secret) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{service.server_address[1]}/latest/meta-data", heard
        service.shutdown()


def test_a_redirect_elsewhere_brings_nothing_and_takes_no_token_along(
    liar: Liar, server: Any, cache: Path, elsewhere: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, heard = elsewhere
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    token = server.user("bob")
    rights = Credentials(token, tmp_path / "home" / "u-bob" / "hub", True)
    for target in (address, secret.as_uri(), "gopher://127.0.0.1/x", "http://127.0.0.1:1/"):
        liar.ways.clear()
        liar.says("resolve/", lambda target=target: Response(status_code=302, headers={"Location": target}))
        with using(rights):
            for call in (hub.snapshot, hub.facts):
                with pytest.raises(HubError) as caught:
                    call("alice/odd")
                assert "secret" not in str(caught.value)
    assert heard and not any("authorization" in each.lower() or token in each for each in heard)
    whole = [path for path in cache.rglob("blobs/*") if path.suffix != ".incomplete"]
    assert not [path for path in whole if b"secret" in path.read_bytes()]


def test_a_redirect_in_a_circle_ends(liar: Liar, server: Any) -> None:
    here = f"{server.url}/alice/odd/resolve/main/config.json"
    liar.says("resolve/", lambda: Response(status_code=302, headers={"Location": here}))
    with using(VISITOR), pytest.raises(HubUnreachable):
        hub.snapshot("alice/odd")


@pytest.mark.parametrize(
    "change",
    [
        {"cardData": [1]},
        {"cardData": {"license": "\ud800", "language": ["\udfff"] * 1000, "base_model": {"a": "b"}}},
        {"cardData": {"a": 1, "self": 2}},
        {"lastModified": "yesterday"},
        {"lastModified": 5},
        {"siblings": [5]},
        {"safetensors": 5},
        {"pipeline_tag": {"a": 1}},
        {"private": None},
        {"id": None},
    ],
    ids=str,
)
def test_odd_facts_are_told_in_words(liar: Liar, change: dict[str, Any]) -> None:
    liar.json("/api/models/alice/odd$", lambda info: info | change)
    with using(VISITOR):
        try:
            assert len(draw_facts("alice/odd", hub.facts("alice/odd"), "").encode()) < 3000
        except HubError as error:
            assert len(str(error)) < 400
    if "private" in change:
        assert "alice/odd" not in pull.PUBLIC
