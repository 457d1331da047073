"""The Hub's client: quick when nobody answers, content with what is on disk, deaf to names that are none."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertspace import hub, models
from bertspace.errors import HubError
from bertspace.hub import pull
from tests.support import ROOT

SHA = "0123456789abcdef0123456789abcdef01234567"


def cached_model(cache: Path, repo_id: str, source: Path, ref: str = "main") -> Path:
    """A repository as huggingface_hub keeps it after a download, with the files of `source`."""
    folder = cache / ("models--" + repo_id.replace("/", "--"))
    snapshot = folder / "snapshots" / SHA
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / ref).write_text(SHA)
    snapshot.mkdir(parents=True)
    for path in source.iterdir():
        (snapshot / path.name).write_bytes(path.read_bytes())
    return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@contextmanager
def listening() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        held: list[socket.socket] = []

        def take() -> None:
            try:
                while True:
                    held.append(server.accept()[0])
            except OSError:
                return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


def located(name: str, endpoint: str, home: Path) -> tuple[str, float]:
    """What locate(name) says in a process whose Hub is at `endpoint`, and the seconds of the call."""
    code = (
        "import json, sys, time\n"
        "from bertspace import models\n"
        "from bertspace.errors import BertspaceError\n"
        "begin = time.monotonic()\n"
        "try:\n    said = str(models.locate(sys.argv[1]).path)\n"
        "except BertspaceError as error:\n    said = f'{type(error).__name__}: {error}'\n"
        "print(json.dumps([said, time.monotonic() - begin]))\n"
    )
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home)}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", code, name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    said, seconds = json.loads(done.stdout)
    return said, seconds


def test_a_refused_connection_is_a_clear_error_at_once_that_offers_the_starter(cache: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(HubError) as caught:
        models.locate("bert-base-uncased")
    assert time.monotonic() - begin < 30
    assert caught.value.message.startswith("The Hub cannot be reached for bert-base-uncased (")
    assert "starter" in caught.value.hint


@pytest.mark.slow
def test_a_hanging_hub_is_a_clear_error_within_ten_seconds_and_the_cache_serves_meanwhile(
    tmp_path: Path, tiny_bert: Path
) -> None:
    snapshot = cached_model(tmp_path / "hub", "x/y", tiny_bert)
    with listening() as endpoint:
        found: dict[str, tuple[str, float]] = {}
        threads = [
            threading.Thread(target=lambda name=name: found.update({name: located(name, endpoint, tmp_path)}))
            for name in ("owner/absent", "x/y")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    said, seconds = found["owner/absent"]
    assert (
        said.startswith(("HubError: The Hub ", "HubUnreachable: The Hub "))
        and "owner/absent" in said
        and "starter" in said
    )
    assert seconds < 10
    said, seconds = found["x/y"]
    assert (said, seconds < 10) == (str(snapshot), True)


def test_what_was_downloaded_before_serves_when_the_hub_is_away(cache: Path, tiny_bert: Path) -> None:
    snapshot = cached_model(cache, "x/y", tiny_bert)
    assert hub.snapshot("x/y") == snapshot
    found = models.locate("x/y")
    assert (found.path, found.kind, found.revision) == (snapshot, "hub", SHA)
    models.load_model(found, "fill-mask")
    models.load_tokenizer(found)


def test_a_revision_is_looked_up_by_its_own_name(cache: Path, tiny_bert: Path) -> None:
    snapshot = cached_model(cache, "x/y", tiny_bert, ref="v1")
    assert models.locate("x/y@v1").path == snapshot
    assert models.locate(f"x/y@{SHA}").path == snapshot
    with pytest.raises(HubError, match="x/y"):
        models.locate("x/y")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../../etc/passwd",
            "a/b/c",
            "a//b",
            "/x",
            "x/",
            "",
            " ",
            "a b",
            "a/..",
            "a--b",
            "owner/na--me",
            "-a",
            ".a",
        ),
        *("a/.b", "a\n", "a/b\n", "http://x/y", "a" * 97, "bert-", "owner/name.", "owner/name.git", "a\0b"),
    ],
)
def test_what_is_no_model_name_is_refused_before_anything_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "remote_of", lambda *_: pytest.fail("asked the Hub"))
    with pytest.raises(HubError) as caught:
        hub.snapshot(name)
    assert caught.value.message == f"{name!r} is no model name."
    assert "starter" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["bert-base-uncased", "a", "o/n", "google-bert/bert-base-uncased", "a_b/c.d-e_1"]
)
def test_what_is_a_model_name_is_let_through(name: str) -> None:
    assert hub.check_id(name) == name


@given(st.text(alphabet="ab1/.-_ é@\\", max_size=12))
def test_a_name_that_is_let_through_is_one_for_the_library_too(name: str) -> None:
    from huggingface_hub.utils import validate_repo_id

    try:
        hub.check_id(name)
    except HubError:
        return
    validate_repo_id(name)


@pytest.mark.parametrize("revision", ["..", ".", "../../../x", "a/../../..", "v1/"])
def test_a_revision_that_is_a_way_out_of_the_cache_is_an_error_of_ours(
    revision: str, cache: Path, tiny_bert: Path
) -> None:
    cached_model(cache, "x/y", tiny_bert)
    (cache.parent / "x").write_text("anything")
    with pytest.raises(HubError):
        hub.snapshot("x/y", revision)


def refusing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub that answers with this error of its client."""
    import httpx2
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(*_: object, **__: object) -> None:
        response = httpx2.Response(404, request=httpx2.Request("GET", "http://127.0.0.1"))
        raise getattr(errors, kind)("no", response=response)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("GatedRepoError", "x/y asks for its terms to be accepted."),
        ("RepositoryNotFoundError", "The Hub has no model x/y (or it is private)."),
        ("RevisionNotFoundError", "x/y has no revision 'v9'."),
        ("HfHubHTTPError", "A file that x/y needs is not there."),
    ],
)
def test_what_the_hub_answers_is_said_in_words(
    kind: str, said: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(kind, monkeypatch)
    with pytest.raises(HubError) as caught:
        hub.snapshot("x/y", "v9")
    assert caught.value.message == said and caught.value.hint


@pytest.mark.parametrize("kind", ["GatedRepoError", "RepositoryNotFoundError"])
def test_what_is_on_disk_does_not_serve_where_the_hub_says_no(
    kind: str, cache: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private model that the owner's rights brought here is not for everybody who knows its name."""
    cached_model(cache, "x/y", tiny_bert)
    refusing(kind, monkeypatch)
    with pytest.raises(HubError):
        hub.snapshot("x/y")
