"""Data sets of a Hub of our own, read over HTTP by the datasets library as users have it."""

import gzip
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertspace.data import Splits, hub_confined, load_splits
from bertspace.errors import BertspaceError, DataError, ForbiddenError, HubError
from bertspace.hub import cache, download
from bertspace.hub.credentials import Credentials, using
from bertspace.schema import TrainConfig

NAME, NAMED = "alice/messages", "alice/named"
LABELS = ("asks, really", "tells")
FRONT = (
    "---\nconfigs:\n"
    "- config_name: small\n  default: true\n  data_files:\n"
    "  - {split: train, path: small/train.csv}\n  - {split: test, path: small/test.csv}\n"
    "- config_name: large\n  data_files: [{split: train, path: large/train.csv}]\n---\n"
)


def rows(count: int) -> list[tuple[str, int]]:
    return [(f"message number {each} says {'why' if each % 2 else 'so'}", each % 2) for each in range(count)]


def csv(count: int) -> bytes:
    lines = [f"{text},{LABELS[kind][:4]}" for text, kind in rows(count)]
    return "\n".join(["text,label", *lines]).encode()


def parquet(count: int) -> bytes:
    """With the names of the labels, as the library writes them."""
    import datasets

    kinds = datasets.ClassLabel(names=list(LABELS))
    features = datasets.Features({"text": datasets.Value("string"), "label": kinds})
    columns = dict(zip(("text", "label"), map(list, zip(*rows(count), strict=True)), strict=True))
    target = io.BytesIO()
    datasets.Dataset.from_dict(columns, features=features).to_parquet(target)
    return target.getvalue()


FILES = {"README.md": FRONT.encode(), "small/train.csv": csv(60)}
FILES |= {"small/test.csv": csv(20), "large/train.csv": csv(90)}


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Caches of the test's own, and nobody's rights. No viewer: datasets-server.<the Hub's host> is none."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(datasets.config, "USE_PARQUET_EXPORT", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    with using(Credentials(token=False)):
        yield


@pytest.fixture
def messages(hub: Any) -> str:
    """alice/messages, public, with two configurations; the commit."""
    hub.user("alice")
    return str(hub.put(NAME, FILES, kind="dataset"))


@pytest.fixture(params=["the owner", pytest.param("a guest", marks=pytest.mark.slow)])
def rights(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Credentials]:
    """The two ways in which rows are read."""
    own = (
        Credentials(False, tmp_path / "own", True) if request.param == "a guest" else Credentials(token=False)
    )
    with using(own):
        yield own


def loaded(**settings: Any) -> Splits:
    return load_splits(TrainConfig(**{"dataset": NAME} | settings))


def files_with(text: bytes, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


def test_rows_splits_and_the_commit_come_from_the_hub(messages: str, rights: Credentials) -> None:
    splits = loaded(test_split="test")
    assert "message number 0 says so" in splits.train["text"].tolist()
    assert splits.test is not None and len(splits.test) == 20
    assert (len(splits.train), len(splits.validation)) == (54, 6)
    assert splits.label_names == ("asks", "tell")
    assert splits.origin is not None and splits.origin.revision == messages
    assert len(loaded(dataset_config="large", train_split="train[:80]").train) == 72


@pytest.mark.slow
def test_label_names_come_with_files_that_have_them(hub: Any, rights: Credentials) -> None:
    hub.user("alice")
    hub.put(NAMED, {"data/train-00000-of-00001.parquet": parquet(40)}, kind="dataset")
    assert loaded(dataset=NAMED).label_names == LABELS


def test_what_is_not_there_is_answered_by_what_is(messages: str, rights: Credentials) -> None:
    with pytest.raises(DataError, match=r"alice/messages has no split 'dev'; found: train, test\."):
        loaded(train_split="dev")
    with pytest.raises(DataError, match="configuration nope cannot be loaded.*small.*large"):
        loaded(dataset_config="nope")
    with pytest.raises(HubError, match=r"no data set alice/nothing \(or it is private\)"):
        loaded(dataset="alice/nothing")


def test_a_private_one_is_for_who_may_read_it_and_stays_in_their_place(hub: Any, tmp_path: Path) -> None:
    alice, bob = hub.user("alice"), hub.user("bob")
    hub.put(NAME, FILES, kind="dataset", private=True)
    for token in (False, bob):
        with (
            using(Credentials(token, tmp_path / "bob", True)),
            pytest.raises(HubError, match="or it is private"),
        ):
            loaded()
    with using(Credentials(alice, tmp_path / "alice", True)):
        assert len(loaded().train) == 54
    kept = files_with(b"number 7 says", tmp_path)
    assert kept and all(path.is_relative_to(tmp_path / "alice") for path in kept)
    assert not files_with(alice.encode(), tmp_path)
    with using(Credentials(alice)):  # the machine's owner, where all is theirs
        assert len(loaded().train) == 54
    hub.fail(503, times=0)
    with using(Credentials(alice)):
        assert len(loaded().train) == 54
    with using(Credentials(bob, tmp_path / "bob", True)), pytest.raises(HubError, match="not among what was"):
        loaded()


def test_a_gated_one_names_its_terms(hub: Any, rights: Credentials) -> None:
    hub.user("alice")
    bob = hub.user("bob")
    hub.put(NAME, FILES, kind="dataset", gated=True)
    with using(Credentials(bob, rights.folder, rights.guest)):
        with pytest.raises(HubError, match="terms") as caught:
            loaded()
        assert "on its page" in caught.value.hint
        hub.repo(NAME, "dataset").granted.add("bob")
        assert len(loaded().train) == 54


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"what": 503}, "trouble of its own with alice/messages (status 503)"),
        ({"what": 429, "reset": 207}, "asked too often about alice/messages"),
    ],
)
def test_away_what_was_downloaded_serves_and_says_so(
    hub: Any, messages: str, fault: dict[str, Any], told: str
) -> None:
    before = loaded(test_split="test")
    hub.fail(times=0, **fault)
    again = loaded(test_split="test")
    assert again.train.equals(before.train)
    today = time.strftime("%Y-%m-%d")
    (stale,) = set(again.findings) - set(before.findings)
    assert told in stale
    assert stale.endswith(f"The rows are those downloaded on {today}, commit {messages[:7]}.")
    with pytest.raises(HubError, match="alice/others is not among what was downloaded before"):
        loaded(dataset="alice/others")
    with pytest.raises(HubError, match="alice/messages is not among what was downloaded before"):
        loaded(dataset_config="large")


@pytest.mark.parametrize("how", ["private", "gone", "token", 403])
def test_what_the_hub_refuses_is_not_served_from_disk(hub: Any, messages: str, how: str | int) -> None:
    token = hub.user("alice")
    with using(Credentials(token)):
        loaded()
    if how == "private":
        hub.repo(NAME, "dataset").private = True
        token = hub.user("bob")
    elif how == "gone":
        del hub.store.repos["dataset", NAME]
    elif how == "token":
        hub.repo(NAME, "dataset").private = True
        token = "hf_revoked"
    else:
        hub.fail(403, times=0, said="This data set is under review")
    told = {"token": "does not accept the token", 403: "This data set is under review"}
    with (
        using(Credentials(token)),
        pytest.raises(HubError, match=told.get(how, "no data set alice/messages")),
    ):
        loaded()


def brought(hub: Any) -> list[str]:
    """The files that were asked for, in their order."""
    found = [
        each.path.partition(NAME)[2].split("/", 3)[3] for each in hub.requests if "/resolve/" in each.path
    ]
    return list(dict.fromkeys(found))


def test_what_is_brought_is_what_the_configuration_and_the_splits_need(
    hub: Any, rights: Credentials, messages: str
) -> None:
    hub.put(NAME, {"large/weights.bin": b"0" * 1000, "picture.png": b"0"}, kind="dataset")
    assert len(loaded(train_split="train[:50%]").train) == 27
    assert brought(hub) == ["README.md", "small/train.csv"]
    loaded(test_split="test")
    assert brought(hub)[2:] == ["small/test.csv"]
    loaded(dataset_config="large")
    assert brought(hub)[3:] == ["large/train.csv"]


def test_a_file_that_is_not_what_the_hub_says_is_never_read(
    hub: Any, rights: Credentials, messages: str
) -> None:
    hub.fail("corrupt", path="/resolve/.*train", method="GET", times=0)
    with pytest.raises(HubError, match=r"small/train\.csv of alice/messages arrived damaged"):
        loaded()
    hub.calm()
    assert len(loaded().train) == 54


def test_a_newer_commit_that_broke_off_leaves_the_older_one_to_read(hub: Any, messages: str) -> None:
    loaded()
    hub.put(NAME, {"small/train.csv": csv(80)}, kind="dataset")
    hub.fail(403, path="/resolve/.*train", method="GET", times=0)
    with pytest.raises(HubError):
        loaded()
    hub.calm()
    hub.fail(503, times=0)
    assert f"commit {messages[:7]}" in loaded().findings[0]


def test_a_revision_and_an_address_name_a_data_set_too(hub: Any, rights: Credentials, messages: str) -> None:
    newer = hub.put(NAME, {"small/train.csv": csv(80)}, kind="dataset")
    older = loaded(dataset=f"{NAME}@{messages}")
    assert (len(older.train), older.source) == (54, f"{NAME}@{messages}")
    assert older.origin is not None and (older.origin.hub_id, older.origin.revision) == (NAME, messages)
    pasted = loaded(dataset=f"https://huggingface.co/datasets/{NAME}/viewer/small/train")
    assert (len(pasted.train), pasted.source) == (72, NAME)
    assert pasted.origin is not None and pasted.origin.revision == newer
    with pytest.raises(HubError, match="has no revision 'v9'"):
        loaded(dataset=f"{NAME}@v9")
    with pytest.raises(HubError, match="is a model by its address"):
        loaded(dataset=f"https://huggingface.co/{NAME}")


@pytest.mark.slow
def test_a_program_is_answered_by_where_its_tables_may_be(hub: Any, rights: Credentials) -> None:
    hub.user("alice")
    hub.put(NAME, {"messages.py": b"import os"}, kind="dataset")
    with pytest.raises(DataError, match="@refs/convert/parquet"):
        loaded()
    repo = hub.repo(NAME, "dataset")
    files = {f"{kind}/train/0000.parquet": parquet(count) for kind, count in (("a", 40), ("b", 60))}
    kept = {name: hub.store.keep(content, name) for name, content in files.items()}
    hub.store.add_commit(repo, "refs/convert/parquet", kept, "exported", "alice")
    assert len(loaded(dataset=f"{NAME}@refs/convert/parquet", dataset_config="b").train) == 54
    with pytest.raises(DataError, match="'a', 'b'"):
        loaded(dataset=f"{NAME}@refs/convert/parquet")


def test_a_guest_brings_no_more_than_they_may_and_what_was_brought_long_ago_makes_room(
    hub: Any, messages: str, tmp_path: Path
) -> None:
    size = len(FILES["README.md"]) + len(FILES["small/train.csv"])
    with using(Credentials(False, tmp_path / "own", True, max_bytes=size - 1)):
        with pytest.raises(ForbiddenError, match="alice/messages takes .*; the limit here is"):
            loaded()
    assert not files_with(b"number 7 says", tmp_path)
    with using(Credentials(False, tmp_path / "own", True, max_bytes=size, cache_bytes=int(1.5 * size))):
        loaded()
        hub.put("alice/others", FILES, kind="dataset")
        loaded(dataset="alice/others")
    assert not cache.repo_folder(tmp_path / "hub", NAME, "dataset").exists()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["cut", "corrupt", 403])
def test_a_download_that_goes_wrong_is_told_and_goes_through_later(
    what: int | str, hub: Any, messages: str, rights: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 2)
    hub.fail(what, path="/resolve/.*train", method="GET", times=0)
    with pytest.raises((HubError, DataError), match=NAME):
        loaded()
    hub.calm()
    assert len(loaded().train) == 54


def test_no_program_of_a_data_set_is_run(hub: Any, tmp_path: Path, rights: Credentials) -> None:
    hub.user("alice")
    ran = tmp_path / "ran"
    hub.put(NAME, {"messages.py": f"open({str(ran)!r}, 'w')".encode()}, kind="dataset")
    with pytest.raises(DataError, match=NAME):
        loaded()
    assert not ran.exists()


def front(**settings: Any) -> bytes:
    """A card whose only configuration has these settings."""
    return f"---\nconfigs: {json.dumps([{'config_name': 'all'} | settings])}\n---\n".encode()


@pytest.fixture
def guest(hub: Any, tmp_path: Path) -> Iterator[None]:
    hub.user("alice")
    with using(Credentials(False, tmp_path / "own", True)):
        yield


@pytest.mark.parametrize("place", ["README.md", ".huggingface.yaml"])
@pytest.mark.parametrize(
    "how", ["absolute", "above", "globbed", "user", "http", "chained", "data_dir", "drive"]
)
def test_a_guests_data_set_names_no_file_outside_it(
    hub: Any, guest: None, tmp_path: Path, how: str, place: str
) -> None:
    secret = tmp_path / "secret" / "train.csv"
    secret.parent.mkdir()
    secret.write_bytes(csv(60))
    named = {
        "absolute": str(secret),
        "above": "../" * 12 + str(secret)[1:],
        "globbed": f"{tmp_path}/*/train.csv",
        "user": "~/train.csv",
        "http": f"{os.environ['HF_ENDPOINT']}/api/whoami-v2.csv",
        "chained": f"zip://train.csv::{secret}",
        "drive": f"file:{secret}",
    }
    settings = {"data_dir": str(secret.parent)} if how == "data_dir" else {"data_files": named[how]}
    card = front(**settings) if place == "README.md" else front(**settings)[4:-5]
    hub.put(NAME, {place: card, "data.csv": csv(60)}, kind="dataset")
    before = len(hub.requests)
    with pytest.raises(DataError, match="no path within it|leads out of it"):
        loaded()
    assert not [each for each in hub.requests[before:] if "whoami" in str(each)]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"data_files": "*a*a*a*a*a*b.csv"}, "too many stars"),
        ({"sep": "(a+)+$"}, "sets sep in a way"),
        ({"sep": None}, "sets sep in a way"),
        ({"skiprows": 10**12}, "sets skiprows in a way"),
        ({"chunksize": 0}, "sets chunksize in a way"),
        ({"converters": {"text": "x"}}, "sets converters in a way"),
    ],
)
def test_a_guests_data_set_sets_nothing_that_takes_forever(
    hub: Any, guest: None, settings: dict[str, Any], told: str
) -> None:
    hub.put(NAME, {"README.md": front(**settings), "data.csv": csv(60)}, kind="dataset")
    with pytest.raises(DataError, match=told):
        loaded()


@pytest.mark.slow
def test_a_guests_front_matter_is_bounded(hub: Any, guest: None) -> None:
    bombs = {
        "too long": ("README.md", b"---\n" + b"# abcd\n" * 30_000 + b"---\n"),
        "aliases": (".huggingface.yaml", b"a: &a [x, x]\nb: &b [*a, *a]\nconfigs: [*b]\n"),
        "no YAML": (".huggingface.yaml", b"[" * 3000),
    }
    for told, (name, text) in bombs.items():
        other = f"alice/{told.replace(' ', '-')}"
        hub.put(other, {name: text, "data.csv": csv(60)}, kind="dataset")
        with pytest.raises(DataError, match=told):
            loaded(dataset=other)


def test_empty_lines_of_a_guests_card_take_no_time(hub: Any, guest: None) -> None:
    hub.put(NAME, {"README.md": b"---\n" + b"\n" * 100_000, "data.csv": csv(60)}, kind="dataset")
    assert len(loaded().train) == 54


def test_label_names_of_a_guests_data_set_come_from_no_file(hub: Any, guest: None, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("secret one\nsecret two\n")
    for setting in ({"names_file": str(tmp_path / "names")}, {"num_classes": 10**12}):
        features = [{"name": "text", "dtype": "string"}, {"name": "label", "dtype": {"class_label": setting}}]
        card = f"---\ndataset_info: {json.dumps({'features': features})}\n---\n".encode()
        hub.put(NAME, {"README.md": card, "data.csv": csv(60)}, kind="dataset")
        with pytest.raises(DataError, match="provide either num_classes, names or names_file"):
            loaded()


def test_a_guests_card_says_how_its_tables_are_read(hub: Any, guest: None) -> None:
    features = [
        {"name": "text", "dtype": "string"},
        {"name": "label", "dtype": {"class_label": {"names": {"0": "so", "1": "why"}}}},
    ]
    info = f"dataset_info: {json.dumps([{'config_name': 'all', 'features': features}])}\n---\n".encode()
    card = front(data_dir="rows", sep=";", license="mit").removesuffix(b"---\n") + info
    table = "\n".join(["text;label", *(f"{text};{kind}" for text, kind in rows(60))]).encode()
    hub.put(NAME, {"README.md": card, "rows/train.csv": table, "other.csv": b"a,b\n"}, kind="dataset")
    assert loaded().label_names == ("so", "why")


@pytest.mark.parametrize("name", ["train.arrow", "train.xml", "x.arrow.json", "train.zip", "train.tar"])
def test_a_guest_reads_tables_alone(hub: Any, guest: None, name: str) -> None:
    hub.put(NAME, {name: csv(60)}, kind="dataset")
    with pytest.raises(DataError, match="no tables that can be read here|not read here"):
        loaded()


@pytest.mark.slow
def test_a_guests_small_files_that_hold_a_lot_are_not_read(
    hub: Any, guest: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_confined, "MAX_UNPACKED", len(csv(6000)) - 1)
    for name, content in (("rows.parquet", parquet(6000)), ("rows.csv.gz", gzip.compress(csv(6000)))):
        other = f"alice/{name}"
        hub.put(other, {name: content}, kind="dataset")
        with pytest.raises(ForbiddenError, match=r"packed files hold more than 200 kB"):
            loaded(dataset=other)
    hub.put("alice/few", {"rows.csv.gz": gzip.compress(csv(60))}, kind="dataset")
    assert len(loaded(dataset="alice/few").train) == 54


def test_a_guests_files_are_packed_as_their_names_say(hub: Any, guest: None) -> None:
    for name, content in (("a.csv", gzip.compress(csv(60))), ("b.csv.gz", csv(60)), ("c.csv", zipped())):
        hub.put(f"alice/{name}", {name: content}, kind="dataset")
        with pytest.raises(DataError, match="not packed as its name says"):
            loaded(dataset=f"alice/{name}")


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("rows.csv", csv(60))
    return target.getvalue()


@pytest.mark.parametrize("gate", ["auto", "manual"])
def test_a_gated_data_set_that_lies_here_is_no_guests_until_the_hub_gives_it_to_them(
    hub: Any, messages: str, tmp_path: Path, gate: str
) -> None:
    bob = hub.user("bob")
    with using(Credentials(False, None, True)):
        loaded()  # it was public once
    hub.repo(NAME, "dataset").gated = gate
    for rights in (Credentials(False, None, True), Credentials(bob, tmp_path / "bobs", True)):
        with using(rights), pytest.raises(HubError, match="terms to be accepted"):
            loaded()
    hub.repo(NAME, "dataset").granted.add("bob")
    with using(Credentials(bob, tmp_path / "bobs", True)):
        assert len(loaded().train) > 0


@pytest.mark.parametrize("card", ["self: 1", "ignore_metadata_errors: true"])
def test_a_card_that_the_client_stumbles_over_is_told_in_words(hub: Any, guest: None, card: str) -> None:
    hub.put(NAME, FILES | {"README.md": f"---\n{card}\n---\n".encode()}, kind="dataset")
    with pytest.raises(HubError, match="cannot be read"):
        loaded()


def test_a_file_of_a_name_that_no_disk_takes_is_told_in_words(hub: Any, guest: None) -> None:
    hub.put(NAME, FILES | {"x" * 300 + ".csv": b"a,b"}, kind="dataset")
    with pytest.raises(HubError, match="cannot be right"):
        loaded()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.csv", b'text,label\n"a,b\n'),
        ("data.csv", b"\xff\xfe\x00"),
        ("data.jsonl", b'{"text": "a"}\n{"text": {"a": 1}}\n'),
        ("data.parquet", b"PAR1" + b"x" * 99 + b"PAR1"),
        ("data.txt", b""),
        ("picture.png", b"x"),
    ],
)
def test_what_the_library_says_of_a_broken_data_set_names_no_folder(
    hub: Any, guest: None, name: str, content: bytes
) -> None:
    hub.put(NAME, {name: content}, kind="dataset")
    with pytest.raises(BertspaceError) as caught:
        loaded()
    said = str(caught.value)
    assert NAME in said or "limit" in said
    assert not re.search(r"/(tmp|home|root|work|var)/|bertspace-", said), said
