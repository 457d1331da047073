"""Rights and limits: the table, the sentences of a refusal, and where each limit binds."""

from dataclasses import fields, replace
from pathlib import Path

import pandas as pd
import pytest

from bertspace import policy
from bertspace.data import Splits
from bertspace.errors import ConfigError, ForbiddenError
from bertspace.policy import LOCAL, NONE, OWNER, SHARED_VISITOR, VISITOR, Limits, Person
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig

USER = Person("user", "hf-1", "ada")


def splits(rows: int, text: str = "a text") -> Splits:
    train = pd.DataFrame({"text": [text] * rows, "label": [0] * rows})
    return Splits(train, train.head(1), None, ("yes", "no"), "rows.csv", ())


def test_who_may_do_what() -> None:
    may = {
        person.name: [action for action in policy.ACTIONS if policy.allowed(person, action)]
        for person in (LOCAL, OWNER, USER, VISITOR, SHARED_VISITOR)
    }
    assert may == {
        "Local owner": list(policy.ACTIONS),
        "Owner": list(policy.ACTIONS),
        "ada": ["try models", "read data", "see runs", "train", "manage runs", "publish"],
        "Visitor": ["try models"],
        "Visitor by a shared link": ["try models"],
    }


def test_every_right_is_given_to_known_kinds_only() -> None:
    assert {kind for kinds in policy.RIGHTS.values() for kind in kinds} == set(policy.KINDS)


def test_a_refusal_says_what_to_whom_and_how_to_get_the_right() -> None:
    with pytest.raises(ForbiddenError) as caught:
        policy.require(VISITOR, "train")
    assert caught.value.message == "Training is not open to you here (Visitor)."
    assert "key" in caught.value.hint


def test_the_owner_has_no_limits_and_everybody_else_has_all() -> None:
    assert policy.limits(LOCAL) == policy.limits(OWNER) == NONE
    assert policy.limits(USER) == policy.limits(VISITOR) == Limits()
    assert all(getattr(Limits(), each.name) > 0 for each in fields(Limits))


@pytest.mark.parametrize("name", [each.name for each in fields(Limits)])
def test_each_limit_is_an_environment_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"BERTSPACE_MAX_{name.upper()}", "7")
    assert getattr(policy.limits(USER), name) == 7
    monkeypatch.setenv(f"BERTSPACE_MAX_{name.upper()}", "-1")
    with pytest.raises(ConfigError, match=f"BERTSPACE_MAX_{name.upper()} is '-1'"):
        policy.limits(USER)


def test_text_is_refused_and_never_cut() -> None:
    policy.check_characters(VISITOR, 10_000)
    policy.check_characters(OWNER, 10**9)
    with pytest.raises(ForbiddenError, match="The text has 10,001 characters; the limit here is 10,000"):
        policy.check_characters(VISITOR, 10_001)


def test_a_rows_texts_count_as_a_calls_do() -> None:
    policy.check_texts(VISITOR, [0, 1], ["a" * 5000] * 2, ["b" * 5000] * 2)
    policy.check_texts(OWNER, [0], ["a" * 300_000])
    with pytest.raises(ForbiddenError, match="Row 8 has 10,001 characters; the limit here is 10,000"):
        policy.check_texts(VISITOR, [3, 7], ["a", "a" * 5001], ["b", "b" * 5000])


def test_a_files_scores_are_bounded() -> None:
    policy.check_scores(USER, 20_000, 250)
    policy.check_scores(OWNER, 20_000, 100_000)
    with pytest.raises(ForbiddenError, match=r"2,000,000,000 scores \(20,000 rows by 100,000 labels\)"):
        policy.check_scores(USER, 20_000, 100_000)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            TrainConfig(batch_size=4096, max_length=8192),
            "33,554,432 tokens a batch (4,096 rows of up to 8,192)",
        ),
        (TrainConfig(batch_size=513), "65,664 tokens a batch (513 rows of up to 128)"),
        (
            TrainConfig(task="fill-mask", batch_size=128, chunk_size=1024, max_length=8),
            "131,072 tokens a batch (128 rows of up to 1,024)",
        ),
    ],
)
def test_a_batch_has_so_many_tokens(home: Path, config: TrainConfig, said: str) -> None:
    policy.check_run(LOCAL, config, splits(10))
    policy.check_run(USER, TrainConfig(batch_size=512), splits(10))
    with pytest.raises(ForbiddenError) as caught:
        policy.check_run(USER, config, splits(10))
    assert caught.value.message == f"That would be {said}; the limit here is 65,536."


def test_a_long_row_is_neither_shown_nor_trained_on(home: Path) -> None:
    test = pd.DataFrame({"text": ["a", "a" * 299_998], "label": [0, 1]})
    long = replace(splits(5), test=test)
    policy.check_run(LOCAL, TrainConfig(), long)
    for check in (policy.check_data, lambda who, rows: policy.check_run(who, TrainConfig(), rows)):
        with pytest.raises(ForbiddenError, match="Row 2 of the test rows has 300,000 characters"):
            check(USER, long)


def test_a_run_within_the_limits_may_start(home: Path) -> None:
    policy.check_run(USER, TrainConfig(), splits(100))
    policy.check_run(LOCAL, TrainConfig(epochs=1000), splits(100_000))


def test_a_visitor_may_not_start_one() -> None:
    with pytest.raises(ForbiddenError, match="Training is not open"):
        policy.check_run(VISITOR, TrainConfig(), splits(10))


@pytest.mark.parametrize(
    ("rows", "config", "message"),
    [
        (20_000, TrainConfig(), "That would be 20,001 rows in all; the limit here is 20,000."),
        (3200, TrainConfig(epochs=30), "That would be 3,000 steps; the limit here is 2,000."),
    ],
)
def test_a_limit_that_binds_is_named_with_the_value(rows: int, config: TrainConfig, message: str) -> None:
    with pytest.raises(ForbiddenError) as caught:
        policy.check_run(USER, config, splits(rows))
    assert caught.value.message == message and caught.value.hint


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        (TrainConfig(epochs=3), 12),  # 100 rows, 32 a batch
        (TrainConfig(epochs=3, gradient_accumulation=2), 6),
        (TrainConfig(epochs=3, gradient_accumulation=3), 6),  # the second step of an epoch takes what is left
        (TrainConfig(task="fill-mask", chunk_size=4, batch_size=8, max_train_rows=16, epochs=1), 2),
        (TrainConfig(epochs=3, max_steps=5), 5),
        (TrainConfig(epochs=0.5), 2),
        (TrainConfig(task="fill-mask", chunk_size=0, epochs=1), 4),
        (TrainConfig(task="fill-mask", chunk_size=128, batch_size=1, epochs=1), 2),  # 600 characters
    ],
)
def test_steps_are_planned_from_rows_batches_and_epochs(config: TrainConfig, steps: int) -> None:
    assert policy.planned_steps(config, splits(100)) == steps


def test_so_many_runs_may_wait_at_once(home: Path) -> None:
    waiting = [Run.create(TrainConfig(), owner="hf-1") for _ in range(2)]
    Run.create(TrainConfig())  # the local owner's does not count
    with pytest.raises(ForbiddenError, match="3 runs waiting or at work; the limit here is 2"):
        policy.check_run(USER, TrainConfig(), splits(10))
    waiting[0].write_state(RunState(status="done"))
    policy.check_run(USER, TrainConfig(), splits(10))


def test_what_is_stored_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(TrainConfig(), owner="hf-1")
    (run.path / "model").mkdir()
    (run.path / "model" / "model.safetensors").write_bytes(b"x" * 5000)
    monkeypatch.setenv("BERTSPACE_MAX_STORED_BYTES", "4000")
    with pytest.raises(ForbiddenError, match="bytes stored; the limit here is 4,000"):
        policy.check_run(USER, TrainConfig(), splits(10))
    policy.check_run(LOCAL, TrainConfig(), splits(10))
