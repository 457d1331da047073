"""TrainConfig refuses what it cannot have, and reads texts as what they mean; an event is one short line."""

import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertspace.errors import ConfigError
from bertspace.schema import FIELD_TYPES, STATUSES, TASK_NAMES, TrainConfig, TrainEvent, convert


def refusal(name: str, value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**{name: value})
    return str(caught.value)


@pytest.mark.parametrize("name", [each.name for each in fields(TrainConfig) if each.metadata["choices"]])
def test_a_value_outside_the_choices_is_refused_with_all_of_them(name: str) -> None:
    choices = next(each.metadata["choices"] for each in fields(TrainConfig) if each.name == name)
    assert refusal(name, "nonsense") == f"{name} is 'nonsense'. Choose from: {', '.join(choices)}."


def test_a_refusal_says_which_values_there_are() -> None:
    assert refusal("max_steps", -5) == "max_steps is -5. It has to be 0 or more."
    assert refusal("freeze_layers", 100) == "freeze_layers is 100. It has to lie between 0 and 99."


@pytest.mark.parametrize("name", [name for name, kind in FIELD_TYPES.items() if kind is int])
@pytest.mark.parametrize("value", [1.5, "1.5"])
def test_a_count_that_is_not_whole_is_refused_and_never_rounded(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_dict({name: value})
    assert str(caught.value) == f"{name} is {value!r}. Give a whole number."


@pytest.mark.parametrize(
    ("name", "limit", "beyond"),
    [
        (each.name, side, each.metadata[side] + (-1 if side == "low" else 1))
        for each in fields(TrainConfig)
        for side in ("low", "high")
        if each.metadata[side] is not None
    ],
)
def test_a_number_beyond_its_limit_is_refused_and_the_limit_itself_is_not(
    name: str, limit: str, beyond: float
) -> None:
    metadata = next(each.metadata for each in fields(TrainConfig) if each.name == name)
    assert getattr(TrainConfig(**{name: metadata[limit]}), name) == metadata[limit]
    said = refusal(name, beyond if isinstance(beyond, int) and _kind(name) is int else float(beyond))
    assert said.startswith(f"{name} is {beyond if _kind(name) is int else float(beyond)}.")
    assert said.endswith(f"between {metadata['low']} and {metadata['high']}.") or metadata["high"] is None


def _kind(name: str) -> type:
    return int if FIELD_TYPES[name] is int else float


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("batch_size", "32", "batch_size is '32'. Give a whole number."),
        ("batch_size", 2.0, "batch_size is 2.0. Give a whole number."),
        ("batch_size", True, "batch_size is True. Give a whole number."),
        ("batch_size", None, "batch_size is None. Give a whole number."),
        ("epochs", "three", "epochs is 'three'. Give a number."),
        ("epochs", True, "epochs is True. Give a number."),
        ("learning_rate", "2e-5", "learning_rate is '2e-5'. Give a number."),
        ("learning_rate", float("nan"), "learning_rate is nan. Give a finite number."),
        ("epochs", float("inf"), "epochs is inf. Give a finite number."),
        ("whole_words", "yes", "whole_words is 'yes'. Give true or false."),
        ("whole_words", 1, "whole_words is 1. Give true or false."),
        ("model", None, "model is None. Give a text."),
        ("text_column", 3, "text_column is 3. Give a text."),
    ],
)
def test_a_value_of_another_type_is_refused_with_name_and_value(name: str, value: Any, said: str) -> None:
    assert refusal(name, value) == said


def test_a_whole_number_is_good_enough_for_a_number() -> None:
    assert TrainConfig(epochs=2).epochs == 2


def test_a_config_is_frozen_and_replace_checks_the_new_value() -> None:
    config = TrainConfig()
    with pytest.raises(FrozenInstanceError):
        config.epochs = 5  # type: ignore[misc]
    with pytest.raises(ConfigError, match="batch_size is 0"):
        replace(config, batch_size=0)


@pytest.mark.parametrize(
    ("name", "typed", "meant"),
    [
        ("batch_size", " 16 ", 16),
        ("batch_size", 16.0, 16),
        ("max_train_rows", "1e3", 1000),
        ("epochs", "2.5", 2.5),
        ("learning_rate", "2e-5", 2e-5),
        ("learning_rate", "", None),
        ("learning_rate", None, None),
        ("dropout", "  ", None),
        ("dropout", "0", 0.0),
        ("whole_words", "Yes", True),
        ("whole_words", "off", False),
        ("whole_words", True, True),
        ("model", "  starter ", "starter"),
        ("pair_column", None, ""),
        ("pair_column", "", ""),
    ],
)
def test_a_text_is_read_as_the_field_means_it(name: str, typed: Any, meant: Any) -> None:
    found = convert(name, typed)
    assert (found, type(found)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("batch_size", "many", "batch_size is 'many'. Give a whole number."),
        ("batch_size", "2.5", "batch_size is '2.5'. Give a whole number."),
        ("batch_size", "nan", "batch_size is 'nan'. Give a whole number."),
        ("batch_size", "inf", "batch_size is 'inf'. Give a whole number."),
        ("batch_size", "", "batch_size is empty. Give a whole number."),
        ("epochs", None, "epochs is empty. Give a number."),
        ("epochs", "2,5", "epochs is '2,5'. Give a number."),
        ("whole_words", "maybe", "whole_words is 'maybe'. Give true or false."),
        ("whole_words", "", "whole_words is empty. Give true or false."),
        ("seed", [1], "seed is [1]. Give a whole number."),
    ],
)
def test_a_text_with_no_reading_is_refused_with_name_and_value(name: str, typed: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(name, typed)
    assert str(caught.value) == said


DEEP: list = []
for _ in range(10_000):
    DEEP = [DEEP]


HUGE = [10**400, -(10**400), 16**5000, 1e400, "9" * 5000, DEEP, [DEEP], {"a": DEEP}]


@pytest.mark.parametrize("value", HUGE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["epochs", "batch_size", "seed", "learning_rate", "whole_words"])
def test_a_value_that_no_number_holds_is_refused_in_few_words(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_dict({name: value})
    assert caught.value.message.startswith(f"{name} is ") and len(caught.value.message) < 120
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**{name: value})
    assert len(caught.value.message) < 120


@pytest.mark.parametrize("names", [[1, "a"], [None, "b", 2], ["x" * 100_000], [f"x{n}" for n in range(9999)]])
def test_unknown_settings_are_named_whatever_they_are(names: list) -> None:
    with pytest.raises(ConfigError, match="No setting named") as caught:
        TrainConfig.from_dict(dict.fromkeys(names, 1))
    assert len(caught.value.message) < 500


def test_a_config_comes_back_from_its_dict_and_from_that_dict_in_texts() -> None:
    config = TrainConfig(task="fill-mask", epochs=1.5, learning_rate=3e-4, whole_words=True, seed=7)
    values = config.to_dict()
    assert TrainConfig.from_dict(values) == config
    assert TrainConfig.from_dict({k: "" if v is None else str(v) for k, v in values.items()}) == config


def test_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_dict({"epoch": 3, "batchsize": 8})
    assert caught.value.message == "No setting named batchsize, epoch."
    assert all(each.name in caught.value.hint for each in fields(TrainConfig))


@given(st.sampled_from([each.name for each in fields(TrainConfig)]), st.text(max_size=20))
def test_whatever_is_typed_into_a_field_is_a_config_or_a_config_error_that_names_the_field(
    name: str, typed: str
) -> None:
    try:
        config = TrainConfig.from_dict({name: typed})
    except ConfigError as error:
        assert error.message.startswith(f"{name} is ") and error.hint
    else:
        assert TrainConfig.from_dict(config.to_dict()) == config


def test_every_setting_has_a_group_and_a_hint_for_the_form() -> None:
    assert not [
        each.name for each in fields(TrainConfig) if not (each.metadata["group"] and each.metadata["hint"])
    ]


def test_the_defaults_train_the_starter_as_a_classifier() -> None:
    config = TrainConfig()
    assert (config.task, config.model, config.learning_rate, config.seed) == (
        TASK_NAMES[0],
        "starter",
        None,
        42,
    )


def test_an_event_is_one_line_without_what_is_empty() -> None:
    event = TrainEvent("step", 1, 10, 0.1, 0.5, 0.0, 2e-5, 32, 400)
    assert json.dumps(event.to_dict()) == (
        '{"kind": "step", "step": 1, "total_steps": 10, "epoch": 0.1, "seconds": 0.5, "loss": 0.0,'
        ' "learning_rate": 2e-05, "examples": 32, "tokens": 400}'
    )
    assert TrainEvent(**event.to_dict()) == event
    assert "metrics" not in TrainEvent("status", message="Reading").to_dict()


def test_interrupted_is_a_status_that_a_run_can_be_shown_with() -> None:
    assert STATUSES == ("queued", "running", "done", "stopped", "paused", "failed", "interrupted")


def test_a_bare_yes_or_no_of_yaml_is_the_choice_of_that_name() -> None:
    import yaml

    for typed in ("yes", "no"):
        assert TrainConfig.from_dict(yaml.safe_load(f"header: {typed}")).header == typed
