"""Forecasts: the trial tries the longest batch and leaves nothing; the page's costs next to nothing."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertspace import models
from bertspace.errors import ConfigError
from bertspace.models import tuning
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS
from bertspace.training import forecast, pace, trial
from bertspace.training.timing import BatchTime, fit
from bertspace.training.training import Training, open_training
from bertspace.training.trial import Trial
from tests.support.training import FAST, SPLITS, TEXTS, made_run

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(tiny_bert: Path, tmp_path: Path) -> Callable[..., Training]:
    """A training as `train` opens one."""

    def opening(**changes: Any) -> Training:
        config = TrainConfig(model=str(tiny_bert), **FAST | changes)
        run = made_run(tmp_path / "run", config)
        training = open_training(run.config(), run)
        training.model = training.accelerator.prepare(training.model)
        return training

    return opening


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_KNOWN", {})


class Seen:
    """The batches that a task's loss is given, as (rows, width)."""

    def __init__(self, task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.real = task.loss
        monkeypatch.setattr(task, "loss", self, raising=False)

    def __call__(self, model: Any, batch: Any, smoothing: float) -> Any:
        self.shapes.append(tuple(batch["input_ids"].shape))
        return self.real(model, batch, smoothing)


def chances() -> tuple[Any, ...]:
    """What the random states would give next; they are advanced by looking."""
    return random.random(), float(np.random.random()), torch.rand(3).tolist()


# The trial


@pytest.mark.parametrize(
    "changes",
    [{}, {"task": "fill-mask", "chunk_size": 16}, {"lora_rank": 2, "gradient_accumulation": 2}],
    ids=["classification", "fill-mask", "lora"],
)
def test_a_trial_leaves_weights_gradients_mode_and_chance_as_they_were(
    opened: Callable[..., Training], changes: dict[str, Any]
) -> None:
    training = opened(**changes)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    expected = chances()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.random.set_rng_state(states[2])
    found = trial.run(training)
    assert chances() == expected
    assert all(torch.equal(value, before[name]) for name, value in training.model.state_dict().items())
    assert all(parameter.grad is None for parameter in training.model.parameters())
    assert not training.model.training
    assert found.training.per_token > 0 or found.training.fixed > 0
    assert found.update_seconds > 0


def test_the_longest_batch_is_tried_first(
    opened: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = opened()
    seen = Seen(training.task, monkeypatch)
    trial.run(training)
    assert seen.shapes[0] == (8, training.rows["train"].lengths.max())
    assert max(seen.shapes, key=np.prod) == seen.shapes[0]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_a_memory_error_passes_through_and_still_nothing_is_left(
    opened: Callable[..., Training], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    training = opened()

    def failing(*_: Any) -> None:
        torch.rand(1)
        raise error

    monkeypatch.setattr(training.task, "loss", failing, raising=False)
    state = torch.random.get_rng_state()
    with pytest.raises(type(error)) as caught:
        trial.run(training)
    assert caught.value is error
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not training.model.training


# Its forecast

TRIAL = Trial(BatchTime(0.5, 0.001), BatchTime(0.25, 0.0), 2.0, 10**12)


def test_the_seconds_are_those_of_all_steps_scorings_and_savings(opened: Callable[..., Training]) -> None:
    training = opened(epochs=2, gradient_accumulation=2)
    lengths = training.rows["train"].lengths
    made = forecast.epoch_batches(lengths, 8, training.config.seed, 1)
    tokens = sum(len(rows) * lengths[rows].max() for rows in made)
    _, values = tuning.trained_count(training.model)
    stepping = 2 * (8 * 0.5 + tokens * 0.001) + 8 * 2.0  # 8 batches and 4 steps an epoch
    scoring = 2 * 3 * 0.25 + 2 * 0.25  # 21 validation rows twice, 13 test rows once
    saving = 2 * forecast.saving_seconds(values)
    told = trial.extrapolate(TRIAL, training)
    assert told.seconds == pytest.approx(stepping + scoring + saving)


def test_the_memory_has_the_optimizers_state_and_kept_gradients(opened: Callable[..., Training]) -> None:
    training = opened()
    trained, _ = tuning.trained_count(training.model)
    assert trial.extrapolate(TRIAL, training).memory_bytes == 10**12 + 8 * trained
    training.config = replace(training.config, gradient_accumulation=2)
    assert trial.extrapolate(TRIAL, training).memory_bytes == 10**12 + 12 * trained


def test_of_a_run_that_goes_on_the_rest_is_forecast(opened: Callable[..., Training]) -> None:
    training = opened(epochs=4)
    whole = trial.extrapolate(TRIAL, training).seconds
    training.progress.step = 16
    half = trial.extrapolate(TRIAL, training).seconds
    test_rows = 2 * 0.25
    assert half - test_rows == pytest.approx((whole - test_rows) / 2)


def test_a_line_goes_through_its_points_and_has_no_part_below_0() -> None:
    assert fit([100, 200, 300], [1.5, 2.5, 3.5]) == BatchTime(pytest.approx(0.5), pytest.approx(0.01))
    assert fit([100, 100], [1.0, 3.0]) == BatchTime(0.0, pytest.approx(0.02))
    assert fit([100, 200], [1.0, 4.0]).fixed == 0.0
    assert fit([100, 200], [4.0, 1.0]).per_token > 0


# On the page


def test_the_page_measures_a_model_once_and_then_answers_at_once(tiny_bert: Path) -> None:
    config = TrainConfig(model=str(tiny_bert), **FAST)
    first = forecast.estimate(config, SPLITS, [10] * len(SPLITS.train))
    begin = time.process_time()
    for size in (4, 8, 16, 32):
        forecast.estimate(replace(config, batch_size=size, lora_rank=size), SPLITS, [10] * len(SPLITS.train))
    assert time.process_time() - begin < 4 * 0.1  # 20 ms each, on a machine that does nothing else
    assert len(pace._KNOWN) == 1
    assert first.seconds > forecast.START_SECONDS
    assert first.memory_bytes > forecast.START_BYTES


def test_the_pages_forecast_moves_with_the_settings(tiny_bert: Path) -> None:
    config = TrainConfig(model=str(tiny_bert), **FAST | {"epochs": 50})
    lengths = [30] * len(SPLITS.train)
    told = forecast.estimate(config, SPLITS, lengths)
    assert forecast.estimate(replace(config, epochs=100), SPLITS, lengths).seconds > told.seconds
    assert forecast.estimate(replace(config, max_steps=10), SPLITS, lengths).seconds < told.seconds
    assert forecast.estimate(replace(config, freeze_layers=2), SPLITS, lengths).seconds < told.seconds
    assert forecast.estimate(replace(config, batch_size=64), SPLITS, lengths).memory_bytes > told.memory_bytes
    with pytest.raises(ConfigError, match="This model has 2 layers"):
        forecast.estimate(replace(config, freeze_layers=3), SPLITS, lengths)
    shorter = forecast.estimate(replace(config, max_length=8), SPLITS, lengths)
    assert shorter.seconds < told.seconds and shorter.memory_bytes < told.memory_bytes


@pytest.mark.parametrize("chunk_size", [0, 16])
def test_the_page_forecasts_fill_mask_without_known_lengths(tiny_bert: Path, chunk_size: int) -> None:
    config = TrainConfig(task="fill-mask", model=str(tiny_bert), chunk_size=chunk_size, **FAST)
    told = forecast.estimate(config, TEXTS)
    assert told.seconds > forecast.START_SECONDS
    train, sizes = forecast._expected(config, TEXTS, [8] * 64, 128)
    assert (int(train[0]), sizes["train"]) == ((16, 32) if chunk_size else (8, 64))


def test_the_pages_forecast_leaves_chance_as_it_was(tiny_bert: Path) -> None:
    state = torch.random.get_rng_state()
    forecast.estimate(TrainConfig(model=str(tiny_bert), **FAST), SPLITS, [10])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    "changes",
    [{}, {"freeze_layers": 1}, {"lora_rank": 4}, {"lora_rank": 4, "freeze_layers": 1}, {"freeze_layers": 2}],
    ids=str,
)
@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_trained_values_are_those_that_training_counts(
    tiny_bert: Path, task: str, changes: dict[str, int]
) -> None:
    config = TrainConfig(task=task, model=str(tiny_bert), **FAST | changes)
    located, names = models.locate(config.model), ("a", "b") if task == "text-classification" else ()
    model = tuning.load_for_training(located, TASKS[task], names)
    measured = replace(UNUSED, parts=tuple(pace.parts(tuning.load_for_training(located, TASKS[task], names))))
    tuning.prepare(model, config)
    assert measured.trained(config) == tuning.trained_count(model)[0]


UNUSED = pace.Pace(BatchTime(0, 1), BatchTime(0, 2), 0, (1, 1), (), 2, 128)


def test_frozen_layers_spare_their_part_of_the_backward_pass() -> None:
    config = TrainConfig(freeze_layers=1)
    assert UNUSED.step(config) == BatchTime(0, 1 + 2 / 2)
    assert UNUSED.activation_bytes(2, 10, config) == UNUSED.activation_bytes(2, 10, TrainConfig()) // 2


def test_what_a_forward_pass_keeps_grows_with_tokens_and_their_pairs(tiny_bert: Path) -> None:
    measured = pace.of(TrainConfig(model=str(tiny_bert), **FAST), SPLITS)
    a_token, a_pair = measured.activations
    # Two layers of two heads: eager attention keeps the scores' softmax, and its dropout, for every pair.
    assert a_token > 2 * 32 * 4 and a_pair > 2 * 2 * 4


@pytest.mark.parametrize("chunk_size", [0, 16])
def test_no_more_lines_and_chunks_are_expected_than_are_trained_on(chunk_size: int) -> None:
    few = {"max_train_rows": 16, "validation_share": 0.1, "batch_size": 8}
    config = TrainConfig(task="fill-mask", chunk_size=chunk_size, **few)
    lengths, sizes = forecast._expected(config, TEXTS, [20] * 64, 128)
    assert (sizes["train"], sizes["validation"]) == (16, 2)
    assert set(lengths) == {chunk_size or 20}
