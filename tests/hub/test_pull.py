"""Models of the Hub: searched, looked at, pulled; by whom, how much, and what stays when it breaks off."""

import hashlib
import json
import os
import shutil
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bertspace import hub, models
from bertspace.errors import Cancelled, ForbiddenError, HubError, HubUnreachable, ModelError, TokenRefused
from bertspace.hub import cache as hub_cache
from bertspace.hub import client, download, pull, quota
from bertspace.hub.credentials import Credentials, using
from bertspace.jobs import worker
from bertspace.runs import Run, models_in_use
from bertspace.safety import layout, loadable
from bertspace.schema import RunState, TrainConfig
from tests.support import until

FRONT = "---\nlicense: mit\nlanguage: en\nbase_model: a/base\npipeline_tag: fill-mask\n---\n"
CARD = f"{FRONT}# Tiny\n\nA **tiny** model.\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, and nobody's rights."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(pull.PUBLIC, "_seen", OrderedDict())
    with using(Credentials(token=False)):
        yield folder


def contents(folder: Path, **more: bytes) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} | more


def needed(folder: Path) -> dict[str, bytes]:
    """What a pull brings of alice/tiny."""
    files = contents(folder)
    kept = {name: files[name] for name in files if name in {*hub_cache.NEEDED, layout.WEIGHTS}}
    return kept | {"README.md": CARD.encode()}


@pytest.fixture
def model(hub_server: Any, tiny_bert: Path) -> str:
    """alice/tiny, public, with a card."""
    hub_server.user("alice")
    hub_server.put("alice/tiny", contents(tiny_bert) | {"README.md": CARD.encode()})
    return "alice/tiny"


@pytest.fixture
def hub_server(hub: Any) -> Any:  # `hub` is the module here
    return hub


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Looking


def test_a_search_finds_names_and_says_what_they_are(hub_server: Any, model: str, tiny_bert: Path) -> None:
    token = hub_server.user("bob")
    hub_server.put("bob/tiny-secret", contents(tiny_bert), private=True)
    assert [each.repo_id for each in hub.search("tiny")] == [model]
    with using(Credentials(token=token)):
        found = {each.repo_id: each for each in hub.search("tiny")}
    assert set(found) == {model, "bob/tiny-secret"}
    assert found["bob/tiny-secret"].private and not found[model].private
    assert found[model].task == "fill-mask"
    assert hub.search("nothing of that name") == []
    assert [each.repo_id for each in hub.search("tiny", "fill-mask")] == [model]


def test_the_facts_of_a_model_are_known_before_its_weights_are_here(
    hub_server: Any, model: str, tiny_bert: Path, cache: Path
) -> None:
    found = hub.facts(model)
    assert (found.license, found.language, found.base_model, found.task) == (
        "mit",
        "en",
        "a/base",
        "fill-mask",
    )
    assert found.words == "A tiny model."
    assert found.size == sum(map(len, needed(tiny_bert).values()))
    assert (found.here, found.is_here) == (0, False)
    assert not list(cache.rglob("*.safetensors"))
    assert not loadable.why_not(found.config, found.files)
    hub.snapshot(model)
    assert hub.facts(model).is_here


def test_an_answer_that_does_not_come_is_told_in_words_and_the_disk_serves(
    hub_server: Any, model: str
) -> None:
    folder = hub.snapshot(model)
    hub_server.fail(503, path="/api/models/alice/tiny", times=0)
    with pytest.raises(HubUnreachable, match="trouble of its own with alice/other"):
        hub_server.fail(503, path="/api/models/alice/other", times=0)
        hub.snapshot("alice/other")
    assert hub.snapshot(model) == folder
    assert hub.facts(model).is_here
    assert hub.on_disk() == [model]


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """A Hub that takes every connection and says nothing; the connections."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(client, "SILENCE", dict.fromkeys(client.SILENCE, 0.5))
        yield taken
        server.shutdown(socket.SHUT_RDWR)
    for each in taken:
        each.close()


def test_a_hub_that_says_nothing_keeps_no_thread_and_no_connection(silent: list[socket.socket]) -> None:
    before = threading.active_count()
    with using(Credentials("hf_a")):
        for call in (lambda: client.api().list_models(), lambda: client.api().whoami()):
            with pytest.raises(HubUnreachable):
                client.call_hub(lambda call=call: list(call()), "the search", 0.4)
        with pytest.raises(httpx2.ReadTimeout):
            client.api().repo_info("alice/tiny")
    until(lambda: threading.active_count() <= before, "a thread goes on")
    assert len(silent) == 3
    for each in silent:  # closed by the client: the request, then its end
        each.settimeout(180)
        while each.recv(65536):
            pass


# Pulling


def test_a_pull_tells_its_bytes_and_is_what_the_client_would_have_brought(
    hub_server: Any, model: str, tiny_bert: Path
) -> None:
    from huggingface_hub import snapshot_download

    told: list[tuple[int, int]] = []
    folder = hub.snapshot(model, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == sum(path.stat().st_size for path in folder.iterdir())
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert contents(folder) == needed(tiny_bert)
    asked = len(hub_server.requests)
    assert snapshot_download(
        model, allow_patterns=[*hub_cache.NEEDED, layout.WEIGHTS], local_files_only=True
    ) == str(folder)
    assert len(hub_server.requests) == asked
    assert hub.snapshot(model) == folder
    assert not [each for each in hub_server.requests[asked:] if "resolve" in each.path]


def test_a_newer_commit_is_pulled_and_a_revision_is_the_one_asked_for(
    hub_server: Any, model: str, tiny_bert: Path
) -> None:
    first = hub.snapshot(model)
    hub_server.put(model, {"config.json": (tiny_bert / "config.json").read_bytes() + b"\n"})
    second = hub.snapshot(model)
    assert first.name != second.name and (second / "config.json").read_bytes().endswith(b"\n")
    assert hub.snapshot(model, first.name) == first
    with pytest.raises(HubError, match="no revision 'v9'"):
        hub.snapshot(model, "v9")


def test_a_download_that_is_cut_goes_on_where_it_was_cut(
    hub_server: Any, model: str, tiny_bert: Path
) -> None:
    hub_server.fail("cut", path="/storage/", times=1)
    folder = hub.snapshot(model)
    assert digest(folder / "model.safetensors") == digest(tiny_bert / "model.safetensors")
    ranges = [each.range for each in hub_server.requests if each.range]
    assert len(set(ranges)) == 1 and "bytes=0-" not in ranges


def test_a_line_that_goes_silent_is_given_up_and_gone_on_with(
    hub_server: Any, model: str, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "READ_SECONDS", 0.5)  # 12, for users
    hub_server.fail("stall", path="/storage/", times=1, seconds=60)
    begun = time.monotonic()
    folder = hub.snapshot(model)
    assert time.monotonic() - begun < 50  # it would be silent for 60
    assert digest(folder / "model.safetensors") == digest(tiny_bert / "model.safetensors")
    assert {each.range for each in hub_server.requests if each.range} - {"bytes=0-"}


def test_what_has_arrived_is_kept_when_it_breaks_off_and_not_asked_for_again(
    hub_server: Any, model: str, tiny_bert: Path, cache: Path
) -> None:
    hub_server.fail("cut", path="/storage/", times=1)
    hub_server.fail(429, path="resolve/.*/model.safetensors", times=0, retry_after=300, after=1)
    with pytest.raises(HubUnreachable) as caught:
        hub.snapshot(model)
    assert caught.value.message.startswith("The download of alice/tiny broke off at ")
    assert caught.value.hint == "Try again in 300 seconds. What has arrived is kept."
    partial = next(cache.rglob("*.incomplete"))
    arrived = partial.stat().st_size
    assert 0 < arrived < (tiny_bert / "model.safetensors").stat().st_size
    assert hub.facts(model).here > arrived
    hub_server.calm()
    asked = len(hub_server.requests)
    folder = hub.snapshot(model)
    assert digest(folder / "model.safetensors") == digest(tiny_bert / "model.safetensors")
    assert f"bytes={arrived}-" in [each.range for each in hub_server.requests[asked:]]


def test_a_damaged_file_is_removed_and_said_and_the_second_try_is_whole(
    hub_server: Any, model: str, tiny_bert: Path, cache: Path
) -> None:
    hub_server.fail("corrupt", path="/storage/", times=1)
    with pytest.raises(HubError, match="model.safetensors of alice/tiny arrived damaged"):
        hub.snapshot(model)
    assert not list(cache.rglob("*.incomplete")) and not list(cache.rglob("*.safetensors"))
    assert digest(hub.snapshot(model) / "model.safetensors") == digest(tiny_bert / "model.safetensors")


def test_a_pull_can_be_cancelled_and_gone_on_with(hub_server: Any, model: str, cache: Path) -> None:
    enough = threading.Event()

    def tell(done: int, total: int) -> None:
        if done > total / 2:
            enough.set()

    with pytest.raises(Cancelled, match="cancelled"):
        hub.snapshot(model, progress=tell, stopped=enough.is_set)
    assert hub_cache.find(model, None, [cache]) is None
    assert hub.snapshot(model).is_dir()


def test_one_short_refusal_is_waited_for(hub_server: Any, model: str) -> None:
    hub_server.fail(429, path="resolve/.*/config.json", times=1, retry_after=1)
    hub_server.fail(503, path="resolve/.*/model.safetensors", times=1)
    assert hub.snapshot(model).is_dir()


# Whose it is


def test_a_private_model_is_for_its_owner_and_kept_apart(
    hub_server: Any, tiny_bert: Path, cache: Path, tmp_path: Path
) -> None:
    alice, bob = hub_server.user("alice"), hub_server.user("bob")
    hub_server.put("alice/secret", contents(tiny_bert), private=True)
    own, others = tmp_path / "alices", tmp_path / "bobs"
    with using(Credentials(token=alice, folder=own, guest=True)):
        folder = hub.snapshot("alice/secret")
        assert folder.is_relative_to(own) and hub.on_disk() == ["alice/secret"]
    assert not list(cache.glob("models--*"))
    for rights in (Credentials(token=bob, folder=others, guest=True), Credentials(token=False, guest=True)):
        with using(rights):
            with pytest.raises(HubError, match=r"no model alice/secret \(or it is private\)"):
                hub.snapshot("alice/secret", folder.name)
            assert hub.on_disk() == []


def test_what_the_owners_tools_brought_is_not_for_guests_while_the_hub_is_away(
    hub_server: Any, tiny_bert: Path
) -> None:
    alice = hub_server.user("alice")
    hub_server.put("alice/secret", contents(tiny_bert), private=True)
    hub_server.put("alice/open", contents(tiny_bert))
    with using(Credentials(token=alice)):
        secret, public = hub.snapshot("alice/secret"), hub.snapshot("alice/open")
    pull.PUBLIC.forget("alice/open")  # as after a restart
    with using(Credentials(token=False, guest=True)):
        assert hub.snapshot("alice/open") == public
        hub_server.fail(503, path="/api/", times=0)
        assert hub.snapshot("alice/open") == public
        for revision in (None, secret.name):
            with pytest.raises(HubUnreachable):
                hub.snapshot("alice/secret", revision)
        assert hub.on_disk() == ["alice/open"]


def test_a_gated_model_says_so_until_it_is_granted(hub_server: Any, tiny_bert: Path) -> None:
    hub_server.user("alice")
    bob = hub_server.user("bob")
    hub_server.put("alice/gated", contents(tiny_bert), gated=True)
    with using(Credentials(token=bob)):
        with pytest.raises(HubError, match="alice/gated asks for its terms to be accepted"):
            hub.snapshot("alice/gated")
        hub_server.grant("alice/gated", "bob")
        assert hub.snapshot("alice/gated").is_dir()


def test_a_login_that_is_refused_does_not_keep_public_models_away(
    hub_server: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_last_year")
    with using(Credentials()):
        assert hub.snapshot(model).is_dir()
        assert hub.facts(model).license == "mit"
        with pytest.raises(TokenRefused, match="does not accept the token for your account"):
            hub.whoami()
    with using(Credentials(token="hf_wrong")), pytest.raises(TokenRefused, match="wrong, expired or revoked"):
        hub.snapshot("alice/other")


def test_whoami_says_where_an_account_may_write(hub_server: Any) -> None:
    for name, role, may in (("alice", "write", True), ("bob", "read", False)):
        with using(Credentials(token=hub_server.user(name, orgs=("team",), role=role))):
            account = hub.whoami()
        assert (account.name, account.organisations, account.may_write) == (name, ("team",), may)
        assert account.id


def test_rights_do_not_show_their_token() -> None:
    assert "hf_secret" not in repr(Credentials(token="hf_secret"))


# Whose a commit is


def guests() -> Credentials:
    return Credentials(token=False, guest=True)


def test_a_commit_is_trusted_once_the_owner_has_brought_it(hub_server: Any, model: str, cache: Path) -> None:
    folder = hub.snapshot(model)
    assert quota.is_trusted(folder)
    quota._owner_mark(folder.parent.parent, folder.name).unlink()  # as another program left it
    assert not quota.is_trusted(folder)
    for revision in (None, folder.name):
        with using(guests()):
            hub.snapshot(model, revision)
        assert not quota.is_trusted(folder)
    hub_server.fail(503, path="/api/", times=0)
    assert hub.snapshot(model) == folder and quota.is_trusted(folder)
    newer = hub_server.put(model, {"vocab.txt": b"[PAD]"})
    assert not quota.is_trusted(folder.with_name(newer))
    assert not quota.is_trusted(cache) and not quota.is_trusted(Path("/"))


def test_what_a_guest_brought_is_not_trusted_because_the_owner_looks_at_it(
    hub_server: Any, model: str
) -> None:
    with using(guests()):
        folder = hub.snapshot(model)
    hub.snapshot(model)  # a link with ?model= is enough for that
    assert not quota.is_trusted(folder)
    quota.take_over(folder, asked=True)
    assert quota.is_trusted(folder)
    with using(guests()):
        hub.snapshot(model)
    assert quota.is_trusted(folder)


def test_the_worker_of_a_guests_run_makes_nothing_trusted(hub_server: Any, model: str, home: Path) -> None:
    folder = hub.snapshot(model)
    quota._owner_mark(folder.parent.parent, folder.name).unlink()
    run = Run.create(TrainConfig(model=f"{model}@{folder.name}"), owner="u-bob")
    with using(worker.credentials_of(run)):
        assert models.locate(run.config().model).path == folder
        quota.take_over(folder, asked=True)
    assert not quota.is_trusted(folder)


def test_what_the_owner_took_over_makes_no_room(three: int, model: str, cache: Path) -> None:
    folder = hub.snapshot(model)
    quota.take_over(folder, asked=True)
    with using(Credentials(token=False, guest=True, cache_bytes=int(1.5 * three))):
        hub.snapshot("alice/second")
        used_long_ago(cache, model)
        hub.snapshot("alice/third")
    assert list(hub_cache.models_in(cache)) == ["alice/third", model]


# What cannot be used


def test_a_model_that_does_not_fit_is_refused_before_its_weights_are_asked_for(
    hub_server: Any, model: str, tiny_bert: Path
) -> None:
    hub_server.user("alice")
    config = json.loads((tiny_bert / "config.json").read_text())
    files = contents(tiny_bert)
    wrong = {
        "code": (
            {**files, "config.json": json.dumps(config | {"auto_map": {"AutoModel": "x.Y"}}).encode()},
            "code",
        ),
        "decoder": (
            {**files, "config.json": json.dumps(config | {"model_type": "gpt2"}).encode()},
            "no encoder",
        ),
        "wordless": ({name: files[name] for name in ("config.json", "model.safetensors")}, "no tokenizer"),
    }
    for name, (there, why) in wrong.items():
        hub_server.put(f"alice/{name}", there)
        with pytest.raises(ModelError, match=why):
            models.locate(f"alice/{name}")
    with pytest.raises(ModelError, match="does not classify"):
        models.locate(model, "text-classification")
    assert not [each for each in hub_server.requests if "safetensors" in each.path and "resolve" in each.path]


def test_a_model_of_pickles_only_is_refused_with_what_to_do(hub_server: Any, tiny_bert: Path) -> None:
    hub_server.user("alice")
    there = contents(tiny_bert)
    there["pytorch_model.bin"] = there.pop("model.safetensors")
    hub_server.put("alice/pickled", there)
    with pytest.raises(ModelError, match="no safetensors weights, only pytorch_model.bin") as caught:
        models.locate("alice/pickled")
    assert "python -m bertspace import" in caught.value.hint


def test_a_whole_model_comes_without_the_adapter_beside_it(hub_server: Any, tiny_bert: Path) -> None:
    hub_server.user("alice")
    adapter = {
        "adapter_config.json": b'{"base_model_name_or_path": "a/base"}',
        "adapter_model.safetensors": b"",
    }
    hub_server.put("alice/both", contents(tiny_bert, **adapter))
    folder = hub.snapshot("alice/both")
    assert not list(folder.glob("adapter_*"))
    assert models.load_model(models.locate("alice/both"), "fill-mask") is not None


BESIDE = ("train.txt", "trainer_state.json", "optimizer.pt", "pytorch_model.bin", "eval.json", "loss.png")


def test_what_no_model_is_made_of_stays_where_it_is(hub_server: Any, tiny_bert: Path) -> None:
    hub_server.user("alice")
    beside = dict.fromkeys(
        (*BESIDE, "onnx/model.onnx", "model.fp16.safetensors", "rust_model.ot"), b"0" * 999
    )
    hub_server.put("alice/full", contents(tiny_bert, **beside))
    folder = hub.snapshot("alice/full")
    assert contents(folder) == {
        name: content for name, content in needed(tiny_bert).items() if name != "README.md"
    }
    assert hub.facts("alice/full").size == sum(map(len, contents(folder).values()))


def test_a_model_in_half_precision_alone_is_read(hub_server: Any, tiny_bert: Path) -> None:
    hub_server.user("alice")
    there = contents(tiny_bert)
    there["model.fp16.safetensors"] = there.pop("model.safetensors")
    hub_server.put("alice/half", there | {"model.onnx.safetensors": b"0"})
    located = models.locate("alice/half", "fill-mask")
    assert [path.name for path in located.path.glob("*.safetensors")] == ["model.fp16.safetensors"]
    assert models.load_model(located, "fill-mask") is not None


def test_weights_of_another_library_are_not_brought(hub_server: Any, tiny_bert: Path) -> None:
    hub_server.user("alice")
    there = contents(tiny_bert)
    there["diffusion_pytorch_model.safetensors"] = there.pop("model.safetensors")
    hub_server.put("alice/other", there)
    with pytest.raises(ModelError, match="alice/other has no safetensors weights"):
        models.locate("alice/other")


def test_a_guest_pulls_no_more_than_the_limit(hub_server: Any, model: str) -> None:
    with (
        using(Credentials(token=False, guest=True, max_bytes=1000)),
        pytest.raises(ForbiddenError, match="limit here"),
    ):
        hub.snapshot(model)
    assert not [each for each in hub_server.requests if "resolve" in each.path]


def test_a_full_disk_is_said_and_nothing_is_begun(
    hub_server: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(HubError, match="are free on the disk"):
        hub.snapshot(model)


def test_a_pull_that_is_cancelled_at_its_lock_lets_go_of_it(
    hub_server: Any, model: str, cache: Path, tiny_bert: Path
) -> None:
    with pytest.raises(Cancelled) as kept:  # which holds the frames, as whoever shows the error does
        hub.snapshot(model, stopped=lambda: True)
    assert (hub.snapshot(model) / "config.json").is_file(), kept


# How much there may be in all


@pytest.fixture
def three(hub_server: Any, model: str, tiny_bert: Path) -> int:
    """Two models more, the first brought by a guest; what one takes on disk."""
    for name in ("alice/second", "alice/third"):
        hub_server.put(name, contents(tiny_bert))
    with using(Credentials(token=False, guest=True)):
        return sum(path.stat().st_size for path in hub.snapshot(model).iterdir())


def used_long_ago(cache: Path, name: str) -> None:
    for blob in (hub_cache.repo_folder(cache, name) / "blobs").iterdir():
        os.utime(blob, (time.time() - 3600, time.time() - 3600))


def test_what_guests_used_longest_ago_makes_room_where_there_is_a_bound(
    three: int, model: str, cache: Path
) -> None:
    with using(Credentials(token=False, guest=True, cache_bytes=int(2.5 * three))):
        hub.snapshot("alice/second")
        used_long_ago(cache, "alice/second")
        hub.snapshot("alice/third")
        assert list(hub_cache.models_in(cache)) == ["alice/third", model]
        used_long_ago(cache, model)
        models.pinned("alice/second")  # a training's base is brought by its worker, which has no bounds
        assert list(hub_cache.models_in(cache)) == ["alice/third"]
    hub.snapshot(model)
    hub.snapshot("alice/second")  # the owner's cache has none
    assert len(list(hub_cache.models_in(cache))) == 3
    with using(Credentials(token=False, guest=True, cache_bytes=int(1.5 * three))):
        used_long_ago(cache, "alice/third")
        hub.snapshot(model)
        assert len(list(hub_cache.models_in(cache))) == 3


def test_only_what_guests_brought_makes_room(
    hub_server: Any, tiny_bert: Path, three: int, model: str, cache: Path
) -> None:
    hub.snapshot("alice/second")  # the owner's
    fork = hub_cache.repo_folder(cache, "owner/fork")  # and of the same commit as a guest's
    shutil.copytree(hub_cache.repo_folder(cache, model), fork, symlinks=True)
    data = hub_cache.repo_folder(cache, "owner/set", "dataset")
    (data / "blobs").mkdir(parents=True)
    (data / "blobs" / "rows").write_bytes(bytes(5 * three))
    (data / "snapshots" / ("b" * 40)).mkdir(parents=True)
    (data / "snapshots" / ("b" * 40) / "rows.csv").symlink_to("../../blobs/rows")
    newer = contents(tiny_bert, **{"vocab.txt": b"[PAD]\n[UNK]\n"})
    hub_server.put("alice/second", newer)
    with using(Credentials(token=False, guest=True, cache_bytes=int(1.5 * three))):
        for name in (model, "owner/fork", "alice/second"):
            used_long_ago(cache, name)
        hub.snapshot("alice/third")
        assert list(hub_cache.models_in(cache)) == ["alice/second", "alice/third", "owner/fork"]
        hub.snapshot("alice/second")  # a commit beside the owner's
        assert list(hub_cache.models_in(cache)) == ["alice/second", "owner/fork"]
    assert len(list((hub_cache.repo_folder(cache, "alice/second") / "snapshots").iterdir())) == 2
    assert (data / "blobs" / "rows").stat().st_size == 5 * three


def cancelled_half_way(name: str) -> None:
    enough = threading.Event()
    with pytest.raises(Cancelled):
        hub.snapshot(
            name,
            progress=lambda done, total: enough.set() if done > total / 2 else None,
            stopped=enough.is_set,
        )


def parts(cache: Path) -> list[str]:
    return [path.parent.parent.name.split("--")[-1] for path in sorted(cache.rglob("*.incomplete"))]


def test_what_cancelled_pulls_left_is_counted_and_makes_room_first(
    three: int, model: str, cache: Path
) -> None:
    with using(Credentials(token=False, guest=True, cache_bytes=int(2.2 * three))):
        cancelled_half_way("alice/second")
        assert parts(cache) == ["second"]
        hub.snapshot("alice/third")
        assert parts(cache) == [] and list(hub_cache.models_in(cache)) == ["alice/third", model]


def test_what_a_pull_goes_on_with_makes_room_last(three: int, model: str, cache: Path) -> None:
    with using(Credentials(token=False, guest=True, cache_bytes=int(2.2 * three))):
        cancelled_half_way("alice/second")
        with pytest.raises(Cancelled):
            hub.snapshot("alice/second", stopped=lambda: True)
        assert parts(cache) == ["second"] and list(hub_cache.models_in(cache)) == []


def test_what_is_arriving_makes_no_room(three: int, model: str, cache: Path) -> None:
    from filelock import FileLock

    with using(Credentials(token=False, guest=True, cache_bytes=int(1.2 * three))):
        cancelled_half_way("alice/second")
        used_long_ago(cache, "alice/second")
        [part] = cache.rglob("*.incomplete")
        with FileLock(cache / ".locks" / part.parent.parent.name / f"{part.stem}.lock"):
            with pytest.raises(ForbiddenError, match="alice/third takes"):
                hub.snapshot("alice/third")
        assert part.exists()
        hub.snapshot("alice/third")
        assert not part.exists()


def test_the_base_of_a_run_that_waits_makes_no_room(hub_server: Any, tiny_bert: Path) -> None:
    bob, own = hub_server.user("bob"), hub_cache.of_owner("u-bob")
    for name in ("bob/first", "bob/second"):
        hub_server.put(name, contents(tiny_bert), private=True)
    size = sum(map(len, contents(tiny_bert).values()))
    with using(Credentials(bob, own, True, own_bytes=int(1.5 * size), in_use=models_in_use)):
        base = models.pinned("bob/first")
        run = Run.create(TrainConfig(model=base), owner="u-bob")
        with pytest.raises(ForbiddenError, match="bob/second takes"):
            models.pinned("bob/second")
    with using(Credentials(False, own)):  # as the run's worker
        assert (models.locate(base).path / "model.safetensors").is_file()
    run.write_state(RunState(status="done"))
    with using(Credentials(bob, own, True, own_bytes=int(1.5 * size), in_use=models_in_use)):
        models.pinned("bob/second")


def test_nothing_is_removed_for_what_would_not_fit_anyhow(three: int, model: str, cache: Path) -> None:
    with using(Credentials(token=False, guest=True, cache_bytes=three // 2)):
        with pytest.raises(ForbiddenError, match="alice/second takes .*; the limit here is"):
            hub.snapshot("alice/second")
        assert list(hub_cache.models_in(cache)) == [model]


def test_a_persons_own_place_is_bounded_and_keeps_the_newest_commit(
    hub_server: Any, tiny_bert: Path, tmp_path: Path
) -> None:
    alice, own = hub_server.user("alice"), tmp_path / "own"
    size = sum(map(len, contents(tiny_bert).values()))
    with using(Credentials(alice, own, True, own_bytes=int(1.5 * size))):
        for salt in (b" ", b"  "):
            weights = hashlib.sha256(salt).digest() + (tiny_bert / "model.safetensors").read_bytes()
            commit = hub_server.put(
                "alice/own", contents(tiny_bert, **{"model.safetensors": weights}), private=True
            )
            assert hub.snapshot("alice/own").name == commit
        [kept] = (hub_cache.repo_folder(own, "alice/own") / "snapshots").iterdir()
    assert kept.name == commit
