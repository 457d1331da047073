"""What a push finds on the Hub: who sees it, another model's files, a card by hand, the Hub's reasons."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertspace import publish
from bertspace.errors import ConfigError, HubError, HubUnreachable, RunError
from bertspace.hub import reasons
from bertspace.hub.credentials import Credentials, using
from bertspace.publish import Destination, roundtrip
from bertspace.publish.card import check_front, mark
from bertspace.publish.model_files import is_model_file
from bertspace.runs import Run
from bertspace.schema import TrainConfig

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cache")]
HEAVY = "model.safetensors"
NAME = "alice/greetings"


# Who sees it


def test_what_is_to_be_private_never_goes_to_a_public_repository(hub: Any, alice: str, run: Run) -> None:
    hub.put(NAME, {"notes.txt": b"mine"})
    for push in (publish.check_access, lambda where: publish.push(run, where)):
        with pytest.raises(HubError, match="is public on the Hub, and this was to be private"):
            push(Destination(NAME, private=True))
    assert set(hub.files(NAME)) == {"notes.txt"}
    assert publish.push(run, Destination(NAME)).verified


def test_it_is_looked_at_again_once_the_repository_was_made(hub: Any, alice: str, run: Run) -> None:
    hub.ignores_visibility()
    with pytest.raises(HubError) as caught:
        publish.push(run, Destination(NAME, private=True))
    assert "made alice/greetings public, though a private one was asked for" in caught.value.message
    assert hub.files(NAME) == {} and not hub.repo(NAME).private
    sent = [each.path for each in hub.requests if each.method in ("POST", "PUT")]
    assert not [path for path in sent if "preupload" in path or "xorbs" in path or "commit" in path]


def test_a_private_one_that_was_to_be_public_is_told(hub: Any, alice: str, run: Run) -> None:
    hub.put(NAME, {"notes.txt": b"mine"}, private=True)
    done = publish.push(run, Destination(NAME))
    assert done.private and "is private on the Hub, and stays so" in done.message


# Another model's files

OTHERS = (
    "special_tokens_map.json added_tokens.json vocab.json merges.txt sentencepiece.bpe.model spiece.model "
    "tokenizer.model pytorch_model.bin tf_model.h5 flax_model.msgpack rust_model.ot training_args.bin "
    "model-00001-of-00002.safetensors model.safetensors.index.json pytorch_model-00001-of-00002.bin "
    "pytorch_model.bin.index.json optimizer.pt bert_model.ckpt.data-00000-of-00001 bert_model.ckpt.index "
    "adapter_config.json adapter_model.safetensors generation_config.json chat_template.jinja bpe.codes"
).split()
PERSONAL = (
    "picture.png notebook.ipynb rows.csv notes.txt LICENSE results.json onnx/model.onnx data/vocab.txt "
    "checkpoint-1/model.safetensors modeling_mine.py .gitattributes"
).split()


def test_files_of_another_family_go_in_the_same_commit_and_a_persons_own_stay(
    hub: Any, alice: str, run: Run
) -> None:
    hub.put(NAME, {name: b"{}" for name in (*OTHERS, *PERSONAL)} | {"config.json": b"{}"})
    told: list[str] = []
    done = publish.push(run, Destination(NAME), tell=told.append)
    files = hub.files(NAME)
    assert set(OTHERS) & set(files) == set() and set(PERSONAL) <= set(files)
    assert hub.commits(NAME)[:2] == [f"{run.name} by bertspace", "put by a test"]
    assert set(done.removed) == set(OTHERS) and "pytorch_model.bin" in done.message
    assert done.verified and any(words.startswith("Taking away") for words in told)
    assert json.loads(files["config.json"])["model_type"] == "bert"


def test_what_is_a_models_own_is_known_by_its_name() -> None:
    assert not [name for name in OTHERS if not is_model_file(name)]
    assert not [name for name in PERSONAL if is_model_file(name)]


# A card by hand


def test_a_card_by_hand_stays_until_it_is_to_be_replaced(hub: Any, alice: str, run: Run) -> None:
    hub.put(NAME, {"README.md": b"# Mine\n\nBy hand.\n", "learning_curve.svg": b"mine too"})
    done = publish.push(run, Destination(NAME))
    assert done.verified and "stays as it is" in done.message and "--replace-card" in done.message
    assert hub.files(NAME)["README.md"] == b"# Mine\n\nBy hand.\n"
    assert hub.files(NAME)["learning_curve.svg"] == b"mine too"
    done = publish.push(run, Destination(NAME, replace_card=True))
    assert b"# greetings" in hub.files(NAME)["README.md"] and "was replaced" in done.message


def test_an_own_card_takes_an_own_cards_place_and_none_that_was_changed_by_hand(
    hub: Any, alice: str, run: Run
) -> None:
    publish.push(run, Destination(NAME))
    made = hub.files(NAME)["README.md"].decode()
    assert mark.is_made(made) and mark.is_made(made.replace("\n", "\r\n"))
    done = publish.push(run, Destination(NAME, language="de"))
    second = hub.files(NAME)["README.md"].decode()
    assert "language: de" in second and "README" not in done.message
    hub.put(NAME, {"README.md": second.replace("# greetings", "# Greetings, by hand").encode()})
    done = publish.push(run, Destination(NAME, language="en"))
    assert (
        "# Greetings, by hand" in hub.files(NAME)["README.md"].decode() and "stays as it is" in done.message
    )


def test_a_given_card_takes_the_place_of_the_one_given_before(hub: Any, alice: str, run: Run) -> None:
    for text in ("# First\n", "# Second\n"):
        publish.push(run, Destination(NAME), card=text)
        assert hub.files(NAME)["README.md"].decode() == text


def test_a_card_of_a_version_before_the_mark_is_known_by_its_last_line(
    hub: Any, alice: str, run: Run
) -> None:
    earlier = "# x\n\n*Written by bertspace from the run's own records, which are in `training/`.*\n"
    assert mark.is_of_earlier_version(earlier) and not mark.is_of_earlier_version(mark.marked(earlier))
    hub.put(NAME, {"README.md": earlier.encode()})
    done = publish.push(run, Destination(NAME))
    assert "# greetings" in hub.files(NAME)["README.md"].decode() and "earlier version" in done.message


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("license: mit\ntags: [a\nlanguage: en", "line 4"),
        ("license: mit\n\ttags: a", "line 3"),
        ("- a\n- b", "no list of name: value lines"),
        ("1: one", "front matter is wrong"),
        ("a: &a [*a]\nb: *c", "line 3"),
    ],
)
def test_bad_yaml_in_ones_own_card_is_told_with_its_line_before_anything_is_sent(
    front: str, said: str, hub: Any, alice: str, run: Run
) -> None:
    with pytest.raises(ConfigError) as caught:
        publish.push(run, Destination(NAME), card=f"---\n{front}\n---\n\n# Mine\n")
    assert said in caught.value.message and not hub.has(NAME)


@pytest.mark.parametrize(
    "text", ["", "# Mine\n", "---\n---\n# Mine", "---\nlicense: mit\n---\n", "text\n---\n[\n---\n"]
)
def test_a_card_that_can_be_read_is_no_fault(text: str) -> None:
    check_front(text)


# The check of what arrived


def test_whatever_goes_wrong_in_the_check_the_push_is_told_as_not_verified(
    hub: Any, alice: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError(f"in {Path(__file__)}")

    monkeypatch.setattr(roundtrip, "_compared", broken)
    done = publish.push(run, Destination(NAME))
    assert (
        done.verified is None and "could not be compared (ZeroDivisionError: in test_publish" in done.message
    )
    assert hub.files(NAME)[HEAVY] and publish.published(run) == [done]


# The Hub's own reasons

STORAGE = "Private repository storage limit reached, please upgrade your plan to increase your limit"
REASONS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("payment", {"what": 402, "path": "/preupload/", "said": "Pay first"}, ("payment", "Pay first")),
    ("storage", {"what": 403, "path": "/preupload/", "said": STORAGE}, (STORAGE, "more storage")),
    ("a right", {"what": 403, "path": "/commit/", "said": "No write here"}, (": No write here.", "a token")),
    ("rate", {"what": 429, "path": "/commit/", "reset": 207, "said": "Too fast"}, ("Too fast", "Wait 207 s")),
    ("rate within", {"what": 429, "path": "/preupload/", "times": 0, "reset": 207}, ("Wait 207 seconds",)),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "said"), [each[1:] for each in REASONS], ids=[each[0] for each in REASONS])
def test_the_hubs_own_reason_is_shown(
    fault: dict[str, Any], said: tuple[str, ...], hub: Any, alice: str, run: Run
) -> None:
    hub.fail(**fault)
    with pytest.raises(HubError) as caught:
        publish.push(run, Destination(NAME))
    assert all(words in str(caught.value) for words in said), str(caught.value)
    assert not isinstance(caught.value, HubUnreachable) or caught.value.seconds == 207


def test_a_short_wait_is_waited_for_and_told(hub: Any, alice: str, run: Run) -> None:
    hub.fail(429, path="/commit/", reset=1)
    told: list[str] = []
    assert publish.push(run, Destination(NAME), tell=told.append).verified
    assert any(words.endswith("Trying again in 1 s") for words in told)


@pytest.mark.parametrize("token", [None, False])
def test_without_a_token_there_is_said_how_to_get_one(token: Any, hub: Any, run: Run) -> None:
    with using(Credentials(token=token)), pytest.raises(HubError) as caught:
        publish.check_access(Destination(NAME))
    assert "no token" in caught.value.message
    assert "hf auth login" in caught.value.hint and "HF_TOKEN" in caught.value.hint


def test_the_wait_that_is_asked_for_is_read_from_either_header() -> None:
    asked = reasons.seconds_to_wait
    assert asked({"Retry-After": "30"}) == 30
    assert asked({"RateLimit": '"api";r=0;t=207'}) == 207
    assert asked({"RateLimit": '"api";r=12;t=207'}) == asked({}) == asked({"Retry-After": "soon"}) == 0
    assert asked({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


# Before the first step


def test_a_fine_grained_token_is_known_by_what_it_may_write_to(hub: Any, run: Run) -> None:
    hub.put("alice/there", {"notes.txt": b"x"})
    nothing = {"alice": ("repo.content.read",)}
    account, one = {"alice": ("repo.write",)}, {"alice/there": ("repo.content.read", "repo.write")}
    orgs = ("team",)
    for grants, name, said in (
        ({}, "alice/x", "may not write to alice/x"),
        (nothing, "alice/x", "may not write to alice/x"),
        (account, "team/x", "may not write to team/x"),
        (one, "alice/x", "may not write to alice/x"),
    ):
        with (
            using(Credentials(token=hub.user("alice", orgs=orgs, grants=grants))),
            pytest.raises(HubError) as caught,
        ):
            publish.check_access(Destination(name))
        assert said in caught.value.message
    for grants, name in ((account, "alice/x"), (one, "alice/there"), ({"team": ("repo.write",)}, "team/x")):
        with using(Credentials(token=hub.user("alice", orgs=orgs, grants=grants))):
            publish.check_access(Destination(name))
            assert publish.push(run, Destination(name)).verified


def test_a_pull_request_wants_something_to_be_made_to(hub: Any, alice: str) -> None:
    with pytest.raises(HubError, match="no model bob/x to make a pull request to"):
        publish.check_access(Destination("bob/x", pull_request=True))


def test_an_adapter_of_a_run_without_lora_is_refused_by_its_settings() -> None:
    where = Destination(NAME, adapter=True)
    with pytest.raises(RunError, match="without LoRA has no adapter"):
        publish.check_config(TrainConfig(), where)
    with pytest.raises(RunError, match="not on the Hub"):
        publish.check_config(TrainConfig(task="fill-mask", lora_rank=4), where)
    publish.check_config(TrainConfig(model="base/tiny", lora_rank=4), where)


@pytest.mark.parametrize("name", ["a b", "x..y", "x~1", "-x", "x.lock", "x:y", "a//b", "x^", "@{"])
def test_a_branch_is_what_git_can_call_one(name: str) -> None:
    with pytest.raises(HubError):
        Destination(NAME, branch=name)
