"""What strangers try on pulls, searches and facts: whose a model is, what a repository may say of itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertspace import hub, hub_cache, models
from bertspace.errors import HubError, HubUnreachable
from bertspace.hub import Rights, acting

VISITOR = Rights(token=False, guest=True)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, and the owner's rights without a login."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(hub, "_PUBLIC", hub.Public())
    with acting(Rights(token=False)):
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
    with acting(Rights(token=alice)):
        theirs = hub.snapshot("alice/gated")
    own = tmp_path / "bobs"
    for rights in (VISITOR, Rights(token=bob, folder=own, guest=True)):
        with acting(rights):
            for name in ("alice/gated", f"alice/gated@{theirs.name}", "alice/gated@main"):
                with pytest.raises(HubError, match="asks for its terms to be accepted"):
                    models.locate(name)
                with pytest.raises(HubError, match="asks for its terms to be accepted"):
                    hub.facts(name)
                assert hub.folder_on_disk(name) is None
            assert hub.on_disk() == []
    server.grant("alice/gated", "bob")
    with acting(Rights(token=bob, folder=own, guest=True)):
        assert (hub.facts("alice/gated").here, hub.facts("alice/gated").is_here) == (0, False)
        assert hub.snapshot("alice/gated").is_relative_to(own)
        assert hub.facts("alice/gated").is_here and hub.on_disk() == ["alice/gated"]
    with acting(Rights(token=alice)):
        assert hub.snapshot("alice/gated") == theirs


def changed(server: Any, change: str) -> None:
    if change == "deleted":
        del server.store.repos["model", "alice/tiny"]
    else:
        setattr(server.repo("alice/tiny"), change, True)


@pytest.mark.parametrize("change", ["private", "gated", "deleted"])
@pytest.mark.parametrize("asked", ["snapshot", "facts", "search"])
def test_what_was_public_is_forgotten_once_the_hub_says_otherwise(
    server: Any, tiny_bert: Path, change: str, asked: str
) -> None:
    server.put("alice/tiny", contents(tiny_bert))
    hub.snapshot("alice/tiny")
    with acting(VISITOR):
        assert hub.on_disk() == ["alice/tiny"]
        changed(server, change)
        if asked == "search":
            if change != "gated":  # what is not found was not answered about
                return
            hub.search("tiny")
        else:
            with pytest.raises(HubError):
                getattr(hub, asked)("alice/tiny")
        server.fail(503, times=0)
        assert hub.on_disk() == [] and hub.folder_on_disk("alice/tiny") is None
        for call in (hub.snapshot, hub.facts):
            with pytest.raises(HubUnreachable):
                call("alice/tiny")


def test_a_model_that_becomes_gated_while_its_files_cannot_be_had_is_not_served_from_disk(
    server: Any, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_cache, "TRIES", 1)
    bob = server.user("bob")
    server.put("alice/tiny", contents(tiny_bert))
    hub.snapshot("alice/tiny")
    changed(server, "gated")
    server.fail(503, path="resolve/", times=0)
    with acting(Rights(token=bob, folder=tmp_path / "bobs", guest=True)), pytest.raises(HubUnreachable):
        hub.snapshot("alice/tiny")


def test_what_was_public_serves_for_a_while_when_the_hub_is_away_and_not_for_ever(
    server: Any, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("alice/tiny", contents(tiny_bert))
    folder = hub.snapshot("alice/tiny")
    with acting(VISITOR):
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
    seen.MOST = 3
    for name in ("a/1", "a/2", "a/1", "a/3", "a/4"):
        seen.add(name)
    assert [name for name in ("a/1", "a/2", "a/3", "a/4") if name in seen] == ["a/1", "a/3", "a/4"]
    assert seen.forget("a/1") and not seen.forget("a/1") and "a/1" not in seen


# Within a call


def test_a_guests_call_brings_nothing_and_a_pull_does(server: Any, tiny_bert: Path, cache: Path) -> None:
    server.put("alice/tiny", contents(tiny_bert))
    calling = Rights(token=False, guest=True, in_calls=False)
    with acting(calling):
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
