"""A run's model on the Hub: access, the commit, what goes wrong on the way, and the check of what arrived."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertspace import hub as client
from bertspace import models, publish
from bertspace.errors import BertspaceError, Cancelled, HubError, HubUnreachable, RunError
from bertspace.hub import commit as hub_commit
from bertspace.hub.credentials import Credentials, using
from bertspace.publish import Destination, RunFacts, pushing
from bertspace.runs import Run
from bertspace.schema import RunState
from bertspace.training import saved_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cache")]
HEAVY = "model.safetensors"
NAME = "alice/greetings"


def weights(run: Run) -> bytes:
    return (run.path / "model" / HEAVY).read_bytes()


def test_a_push_brings_all_that_belongs_to_a_model_and_is_verified(hub: Any, alice: str, run: Run) -> None:
    told: list[str] = []
    done = publish.push(run, Destination(NAME, private=True, language="en"), tell=told.append)
    files = hub.files(NAME)
    assert files[HEAVY] == weights(run)
    assert {
        "README.md",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "probe.safetensors",
    } <= set(files)
    assert {"training/config.yaml", "training/events.jsonl", "training/result.json"} <= set(files)
    assert json.loads(files["config.json"])["id2label"] == {"0": "bad", "1": "good"}
    assert (done.verified, done.rows, done.changed, done.private) == (True, 13, True, True)
    assert done.difference <= 1e-6
    assert hub.repo(NAME).private and hub.repo(NAME).refs["main"] == done.commit
    assert publish.published(run) == [done]
    assert told[0] == "Looking at the account" and told[-1] == "Pulling it again to compare"


def test_a_push_reads_the_settings_of_its_run_once(
    hub: Any, alice: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, count = Run.config, []
    monkeypatch.setattr(Run, "config", lambda self: count.append(self.id) or read(self))
    assert publish.push(run, Destination(NAME)).verified
    assert count == [run.id]


def test_pushing_the_same_again_makes_no_second_commit(hub: Any, alice: str, run: Run) -> None:
    first = publish.push(run, Destination(NAME))
    second = publish.push(run, Destination(NAME, message="another message"))
    assert (second.commit, second.changed, second.verified) == (first.commit, False, True)
    assert len(hub.commits(NAME)) == 2  # the first one is the repository's own
    assert len(publish.published(run)) == 1


def test_a_pushed_model_is_pulled_by_its_name_and_predicts_the_same(hub: Any, alice: str, run: Run) -> None:
    from bertspace.models import comparison, inference

    publish.push(run, Destination(NAME))
    texts = ["we saw good ship", "the old bad house"]
    mine = inference.predict(f"run:{run.path}", texts)
    theirs = inference.predict(NAME, texts)
    for a, b in zip(mine, theirs, strict=True):
        assert a[0].scores == pytest.approx(b[0].scores, abs=1e-6)
    assert comparison.base_of(NAME) == run.config().model
    compared = comparison.compare(comparison.base_of(NAME), NAME, texts)
    assert [each.tuned[0].best for each in compared] == [each[0].best for each in mine]


def test_a_branch_and_a_pull_request_leave_main_as_it_is(hub: Any, alice: str, run: Run) -> None:
    hub.put(NAME, {"README.md": b"mine\n"})
    before = hub.repo(NAME).refs["main"]
    branch = publish.push(run, Destination(NAME, branch="second-try"))
    asked = publish.push(run, Destination(NAME, pull_request=True))
    assert hub.repo(NAME).refs["main"] == before
    assert hub.files(NAME, "second-try")[HEAVY] == hub.files(NAME, "refs/pr/1")[HEAVY] == weights(run)
    assert (branch.verified, asked.verified) == (True, True)
    assert branch.url.endswith("/tree/second-try") and asked.pull_request.endswith("/discussions/1")
    again = publish.push(run, Destination(NAME, pull_request=True))
    assert (again.changed, again.commit, again.pull_request) == (False, asked.commit, asked.pull_request)
    assert hub.repo(NAME).pull_requests == 1


def test_who_may_not_write_is_told_before_anything_is_sent(hub: Any, run: Run) -> None:
    reader = hub.user("bob", role="read")
    writer = hub.user("carol", orgs=("team",))
    for token, where, said in (
        (reader, "bob/x", "The token of bob may read only."),
        (writer, "alice/x", "carol may not write to alice on the Hub."),
        ("hf_none", "carol/x", "does not accept the token"),
    ):
        with using(Credentials(token=token)), pytest.raises(HubError) as caught:
            publish.push(run, Destination(where))
        assert said in caught.value.message
    assert not hub.store.repos
    with using(Credentials(token=writer)):
        assert publish.push(run, Destination("team/x")).verified


@pytest.mark.parametrize("name", ["noname", "a/b/c", "../x/y", "a b/c", "alice/..", ""])
def test_a_destination_is_a_repositorys_name(name: str) -> None:
    with pytest.raises(HubError):
        Destination(name)


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("401", {"what": 401, "path": "/preupload/"}, "does not accept the token"),
    ("403", {"what": 403, "path": "/preupload/"}, "does not let this account do that"),
    ("404", {"what": 404, "path": "/commit/"}, "is not there"),
    ("409", {"what": 409, "path": "/commit/"}, "busy with another change"),
    ("412", {"what": 412, "path": "/commit/"}, "changed on the Hub by someone else"),
    ("413", {"what": 413, "path": "/commit/"}, "too large for the Hub"),
    ("429 for an hour", {"what": 429, "path": "/commit/", "retry_after": 3600}, "Wait 3600 seconds first."),
]


@pytest.mark.parametrize(("fault", "said"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS])
def test_a_refusal_is_told_at_once_and_loses_nothing(
    fault: dict[str, Any], said: str, hub: Any, alice: str, run: Run
) -> None:
    before = weights(run)
    hub.fail(**fault)
    with pytest.raises(HubError) as caught:
        publish.push(run, Destination(NAME))
    assert said in str(caught.value) and caught.value.hint.endswith(publish.NOTHING_LOST)
    assert weights(run) == before
    done = publish.push(run, Destination(NAME))
    assert (done.verified, len(hub.commits(NAME))) == (True, 2)


PASSING: list[tuple[str, dict[str, Any]]] = [
    ("429 for a second", {"what": 429, "path": "/commit/", "retry_after": 1}),
    ("500", {"what": 500, "path": "/commit/"}),
    ("503 at the upload modes", {"what": 503, "path": "/preupload/"}),
    ("503 at the storage", {"what": 503, "path": "/v1/xorbs/"}),
    ("503 at the opening", {"what": 503, "path": "/api/repos/create"}),
    ("cut at the commit", {"what": "cut upload", "path": "/commit/"}),
    ("cut in the upload", {"what": "cut upload", "path": "/v1/xorbs/|/storage/"}),
    ("the answer to the commit is lost", {"what": "lost", "path": "/commit/"}),
    ("slow", {"what": "slow", "path": "/commit/", "seconds": 1.0}),
]


@pytest.mark.parametrize("fault", [each[1] for each in PASSING], ids=[each[0] for each in PASSING])
def test_what_may_pass_is_tried_again_and_makes_one_commit(
    fault: dict[str, Any], hub: Any, alice: str, run: Run
) -> None:
    hub.fail(**fault)
    done = publish.push(run, Destination(NAME))
    assert (done.verified, done.changed, len(hub.commits(NAME))) == (True, True, 2)


@pytest.mark.parametrize("what", [503, "lost"])
def test_what_may_pass_is_tried_again_and_opens_one_pull_request(
    what: int | str, hub: Any, alice: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import CommitOperationAdd, HfApi

    hub.put(NAME, {"notes.txt": b"Of somebody else."})
    token, wait = hub.user("bob"), hub_commit.sleep

    def meanwhile(*given: Any) -> None:
        added = [CommitOperationAdd("a.txt", b"Bob's.")]
        HfApi(token=token).create_commit(NAME, added, commit_message="Bob's", create_pr=True)
        wait(*given)

    monkeypatch.setattr(hub_commit, "sleep", meanwhile)
    hub.fail(what, path="/commit/", method="POST", times=1)
    done = publish.push(run, Destination(NAME, pull_request=True))
    ours = 1 if what == "lost" else 2
    assert (done.verified, done.changed, hub.repo(NAME).pull_requests) == (True, True, 2)
    assert done.pull_request.endswith(f"/{NAME}/discussions/{ours}")
    assert done.commit == hub.repo(NAME).refs[f"refs/pr/{ours}"]


@pytest.fixture
def lfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client as it is with HF_HUB_DISABLE_XET=1, which it reads when it is imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


def uploads(hub: Any) -> set[str]:
    """By which of its two ways large files reached the Hub."""
    ways = {"/v1/xorbs/": "xet", "/storage/": "lfs"}
    sent = [each.path for each in hub.requests if each.method in ("POST", "PUT") and each.status < 400]
    return {way for start, way in ways.items() for path in sent if path.startswith(start)}


def test_large_files_go_by_xet_and_without_it_by_lfs(
    hub: Any, alice: str, run: Run, lora: Run, lfs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    assert publish.push(run, Destination(NAME)).verified
    assert uploads(hub) == {"lfs"}
    assert publish.push(run, Destination(NAME)).changed is False
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    assert publish.push(lora, Destination("alice/other")).verified
    assert hub.files("alice/other")[HEAVY] == weights(lora)


LFS: list[tuple[str, dict[str, Any]]] = [
    ("503 at the batch", {"what": 503, "path": "/info/lfs/objects/batch"}),
    ("503 at the storage", {"what": 503, "path": "/storage/", "method": "PUT"}),
    ("cut in the upload", {"what": "cut upload", "path": "/storage/", "method": "PUT"}),
    ("the answer to the upload is lost", {"what": "lost", "path": "/storage/", "method": "PUT"}),
    ("429 at the storage", {"what": 429, "path": "/storage/", "method": "PUT", "retry_after": 1}),
]


@pytest.mark.parametrize("fault", [each[1] for each in LFS], ids=[each[0] for each in LFS])
def test_what_may_pass_is_tried_again_without_xet_too(
    fault: dict[str, Any], hub: Any, alice: str, run: Run, lfs: None
) -> None:
    hub.fail(**fault)
    done = publish.push(run, Destination(NAME))
    assert (done.verified, len(hub.commits(NAME)), uploads(hub)) == (True, 2, {"lfs"})


def test_a_refusal_of_the_storage_is_told_without_xet_too(hub: Any, alice: str, run: Run, lfs: None) -> None:
    hub.fail(413, path="/storage/", method="PUT")
    with pytest.raises(HubError) as caught:
        publish.push(run, Destination(NAME))
    assert "too large for the Hub" in str(caught.value) and caught.value.hint.endswith(publish.NOTHING_LOST)
    assert publish.push(run, Destination(NAME)).verified


def test_trouble_that_stays_is_told_in_the_end(
    hub: Any, alice: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertspace.hub import commit as hub_commit

    monkeypatch.setattr(hub_commit, "TRIES", 2)
    hub.fail(503, path="/commit/", times=0)
    told: list[str] = []
    with pytest.raises(HubUnreachable) as caught:
        publish.push(run, Destination(NAME), tell=told.append)
    said = f"The Hub has trouble of its own with {NAME} (status 503): a fault was asked for (503)."
    assert caught.value.message == said
    assert caught.value.hint.endswith(publish.NOTHING_LOST)
    assert f"{caught.value.message} Trying again in 1 s" in told
    hub.calm()
    assert publish.push(run, Destination(NAME)).verified


def test_a_storage_that_is_away_is_told_within_a_minute_or_two(hub: Any, alice: str, run: Run) -> None:
    from bertspace.hub import commit as hub_commit

    hub.fail(503, path="/v1/xorbs/|/shards|/storage/", times=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_commit, "TRIES", 1)
        with pytest.raises(HubUnreachable, match="cannot be reached"):
            publish.push(run, Destination(NAME))
    hub.calm()
    assert publish.push(run, Destination(NAME)).verified


def test_someone_elses_commit_in_between_is_not_overwritten(hub: Any, alice: str, run: Run) -> None:
    publish.push(run, Destination(NAME))

    def tell(words: str) -> None:
        if words == "Making the commit":
            hub.put(NAME, {"notes.txt": b"theirs"})

    with pytest.raises(HubError, match="changed on the Hub by someone else"):
        publish.push(run, Destination(NAME), card="---\nlicense: mit\n---\nmine\n", tell=tell)
    assert hub.files(NAME)["notes.txt"] == b"theirs"


def test_a_push_can_be_cancelled_until_the_commit(hub: Any, alice: str, run: Run) -> None:
    wanted = threading.Event()

    def tell(words: str) -> None:
        if words.startswith("Sending"):
            wanted.set()

    hub.fail("hang", path="/preupload/", times=0, seconds=60)
    with pytest.raises(Cancelled):
        publish.push(run, Destination(NAME), tell=tell, stopped=wanted.is_set)
    hub.calm()
    assert hub.commits(NAME) == ["initial commit"]
    assert publish.push(run, Destination(NAME)).verified


def test_a_model_that_is_another_one_on_the_hub_is_not_verified(
    hub: Any, alice: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load, save

    from bertspace.publish import roundtrip

    def tampered(repo_id: str, commit: str, cache: Path, stopped: Callable[[], bool]) -> Path:
        tensors = load(weights(run))
        tensors["classifier.bias"][0] += 0.5
        hub.put(repo_id, {HEAVY: save(tensors, metadata={"format": "pt"})})
        return client.pulled_fresh(repo_id, hub.repo(repo_id).refs["main"], cache, stopped)

    monkeypatch.setattr(roundtrip, "pulled_again", tampered)
    done = publish.push(run, Destination(NAME))
    assert done.verified is False and done.difference > 0.01
    assert "differs from the run's model" in done.message


def test_what_cannot_be_pulled_again_is_said_and_the_push_stands(hub: Any, alice: str, run: Run) -> None:
    hub.fail("corrupt", path="/storage/", times=0)
    done = publish.push(run, Destination(NAME))
    assert done.verified is None and "arrived damaged" in done.message
    assert hub.files(NAME)[HEAVY] == weights(run)


def test_a_card_that_the_hub_refuses_does_not_keep_the_weights_back(hub: Any, alice: str, run: Run) -> None:
    done = publish.push(run, Destination(NAME), card="---\nlicense: [what, is, this]\n---\n# Mine\n")
    assert done.verified and "The Hub refuses the card" in done.message
    assert b"# Mine" not in hub.files(NAME)["README.md"]
    edited = "---\nlicense: mit\n---\n# Mine\n"
    assert publish.push(run, Destination(NAME), card=edited).message == ""
    assert hub.files(NAME)["README.md"] == edited.encode()


def test_no_path_of_this_machine_goes_up(hub: Any, alice: str, run: Run, tmp_path: Path) -> None:
    publish.push(run, Destination(NAME))
    for name, content in hub.files(NAME).items():
        for path in (str(run.path), str(Path.home()), str(tmp_path.parent)):
            assert path.encode() not in content, name
        assert alice.encode() not in content


def test_lora_goes_up_merged_or_alone(hub: Any, alice: str, lora: Run, tmp_path: Path) -> None:
    import transformers
    from peft import PeftModel

    merged = publish.push(lora, Destination("alice/merged"))
    alone = publish.push(lora, Destination("alice/alone", adapter=True))
    assert (merged.verified, alone.verified) == (True, True), (merged, alone)
    there = hub.files("alice/alone")
    assert HEAVY not in there and {
        "adapter_model.safetensors",
        "adapter_config.json",
        "tokenizer.json",
    } <= set(there)
    assert json.loads(there["adapter_config.json"])["base_model_name_or_path"] == "base/tiny"
    for name, content in there.items():
        (tmp_path / "pulled" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pulled" / name).write_bytes(content)
    base = models.locate(lora.config().model).path
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    adapted = PeftModel.from_pretrained(plain, tmp_path / "pulled").eval()
    whole = transformers.AutoModelForSequenceClassification.from_pretrained(lora.path / "model").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "pulled")(
        "we saw good ship", return_tensors="pt"
    )
    assert adapted(**tokens).logits.tolist()[0] == pytest.approx(whole(**tokens).logits.tolist()[0], abs=1e-5)
    back = publish.push(lora, Destination("alice/alone"))  # the other form takes its place
    assert back.verified and "adapter_model.safetensors" not in hub.files("alice/alone")


def test_a_run_without_an_adapter_says_so(hub: Any, alice: str, run: Run) -> None:
    with pytest.raises(RunError, match="has no adapter"):
        publish.push(run, Destination(NAME, adapter=True))


def test_fill_mask_goes_up_and_comes_back(hub: Any, alice: str, masked: Run) -> None:
    done = publish.push(masked, Destination(NAME))
    assert done.verified and done.rows > 0
    assert client.facts(NAME).task == "fill-mask"


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is at work for three looks, and done then."""
    states = iter([*["running"] * 3, *["done"] * 20])
    monkeypatch.setattr(Run, "state", lambda self: RunState(status=next(states)))
    monkeypatch.setattr(pushing, "LOOK_SECONDS", 0.01)


def test_epochs_are_pushed_while_the_run_is_at_work_and_the_card_at_its_end(
    hub: Any, alice: str, run: Run, ends: None
) -> None:
    done = publish.follow(run, Destination(NAME), each_epoch=True)
    assert done.verified
    assert hub.commits(NAME) == [f"{run.name} by bertspace", "Epoch 1", "initial commit"]


def test_an_epoch_that_cannot_be_pushed_is_told_and_made_up_for(
    hub: Any, alice: str, run: Run, ends: None
) -> None:
    hub.fail(403, path="/preupload/", times=1)
    told: list[str] = []
    assert publish.follow(run, Destination(NAME), each_epoch=True, tell=told.append).verified
    assert any(words.startswith("Epoch 1 was not pushed") for words in told)
    assert hub.commits(NAME) == [f"{run.name} by bertspace", "initial commit"]


def test_a_model_is_copied_whole_while_the_run_replaces_it(run: Run, tiny_bert: Path) -> None:
    twin = Run(run.path.with_name("twin"))
    shutil.copytree(run.path, twin.path)
    model, names = twin.path / "model", {path.name for path in (run.path / "model").iterdir()}
    over = threading.Event()

    def replace_it() -> None:
        while not over.is_set():
            shutil.copytree(run.path / "model", twin.path / ".model.new")
            saved_model.replace_folder(model, twin.path / ".model.new")
            time.sleep(0.005)

    thread = threading.Thread(target=replace_it)
    thread.start()
    try:
        for _ in range(100):
            with pushing._copied(RunFacts(twin), False) as folder:
                assert names <= {path.name for path in folder.iterdir()}
    finally:
        over.set()
        thread.join()


def test_a_model_that_is_half_removed_is_copied_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copying began in the old folder, and goes on while the new one takes its place."""
    real, twin = pushing._link_model, Run(run.path.with_name("replaced"))
    shutil.copytree(run.path, twin.path)
    seen = []

    def link(model: Path, adapter: bool, folder: Path) -> None:
        seen.append(folder.name)
        if len(seen) == 1:  # a file is gone already, and then the folder another one
            (model / HEAVY).unlink()
            real(model, adapter, folder)
            shutil.copytree(run.path / "model", twin.path / ".model.new")
            saved_model.replace_folder(model, twin.path / ".model.new")
        elif len(seen) == 2:
            raise FileNotFoundError(2, "No such file or directory")
        else:
            real(model, adapter, folder)

    monkeypatch.setattr(pushing, "_link_model", link)
    with pushing._copied(RunFacts(twin), False) as folder:
        assert (folder / HEAVY).read_bytes() == weights(run)
    assert seen == ["0", "1", "2"]


def test_a_model_that_never_holds_still_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "COPY_SECONDS", 0)
    gone = Run(run.path.with_name("gone"))
    gone.path.mkdir()
    with pytest.raises(RunError, match="is replaced time and again"), pushing._copied(RunFacts(gone), False):
        pass


def test_an_epoch_that_cannot_be_copied_is_told_and_made_up_for(
    hub: Any, alice: str, run: Run, ends: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = pushing._link_model, [OSError(28, "No space left on device")]

    def link(*args: Any) -> None:
        if full:
            raise full.pop()
        real(*args)

    monkeypatch.setattr(pushing, "_link_model", link)
    told: list[str] = []
    assert publish.follow(run, Destination(NAME), each_epoch=True, tell=told.append).verified
    assert "Epoch 1 was not pushed: [Errno 28] No space left on device" in told


def test_an_epochs_push_that_is_stopped_ends_without_a_fault(
    run: Run, ends: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line stops it when the training has ended: its thread has nobody to tell."""
    begun: list[str] = []

    def sent(run: Run, folder: Path, where: Destination, title: str, *_: Any) -> None:
        begun.append(title)
        raise Cancelled("That was cancelled.", hint="Nothing was changed on the Hub.")

    monkeypatch.setattr(pushing, "_sent", sent)
    told: list[str] = []
    publish.push_epochs(run, Destination(NAME), tell=told.append, stopped=lambda: False)
    assert (begun, told) == (["Epoch 1"], [])


def test_a_run_that_failed_is_not_published(
    hub: Any, alice: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "state", lambda self: RunState(status="failed"))
    with pytest.raises(BertspaceError, match="failed: it was not published"):
        publish.follow(run, Destination(NAME))


def test_what_is_published_is_read_whatever_the_file_holds(run: Run) -> None:
    (run.path / pushing.RECORD).write_text("[{}")
    assert publish.published(run) == []
