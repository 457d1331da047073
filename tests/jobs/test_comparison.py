"""Two runs side by side: what differs, what they reached, and their curves."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertspace import models
from bertspace.jobs import comparison
from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from tests.support.training import FAST, SPLITS, made_run, work


@pytest.fixture(scope="module")
def finished(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = made_run(tmp_path_factory.mktemp("finished"), TrainConfig(model=str(tiny_bert), **FAST))
    work(run)
    return run


def test_a_comparison_tells_only_what_differs(finished: Run, tiny_bert: Path, tmp_path: Path) -> None:
    config = TrainConfig(model=str(tiny_bert), **FAST, seed=7)
    other = made_run(tmp_path / "other", config, replace(SPLITS, test=None, source="elsewhere"))
    for step in range(1, 1001):
        other.append(TrainEvent("step", step, 1000, loss=float(step)))
    other.append(TrainEvent("step", 1000, 1000, loss=0.5))  # done again, after a checkpoint
    found = comparison.compare(finished, other)
    assert found.settings == {
        "seed": (42, 7),
        "test_file": ("data/test.parquet", ""),
        "data": ("made here: 64 train, 21 validation, 13 test", "elsewhere: 64 train, 21 validation"),
    }
    result = finished.result() or {}
    assert found.metrics["test"] == {name: (value, None) for name, value in result["test"].items()}
    mine, its = found.curves
    assert mine == [(event.step, event.loss) for event in finished.events()[0] if event.kind == "step"]
    assert len(its) == 300 and (its[0], its[-1]) == ((1, 1.0), (1000, 0.5))
    assert max(np.diff([step for step, _ in its])) <= math.ceil(1000 / 299)


def test_a_learning_rate_left_empty_is_compared_by_what_it_became(
    finished: Run, tiny_bert: Path, tmp_path: Path
) -> None:
    run = made_run(tmp_path / "run", TrainConfig(model=str(tiny_bert)), SPLITS)
    config = run.config().to_dict()
    (run.path / "result.json").write_text(
        json.dumps({"config": config | {"learning_rate": 2e-3}, "validation": {"loss": 1.0}, "test": None})
    )
    found = comparison.compare(finished, run)
    assert "learning_rate" not in found.settings
    assert found.metrics["validation"]["loss"] == ((finished.result() or {})["validation"]["loss"], 1.0)


def test_a_run_without_a_result_is_compared_by_its_models_own_rate_and_its_last_scored_epoch(
    tiny_bert: Path, tmp_path: Path
) -> None:
    model = str(tiny_bert)
    paused = made_run(tmp_path / "paused", TrainConfig(model=model), SPLITS)
    rate = models.default_learning_rate(models.locate(model), "text-classification")
    other = made_run(tmp_path / "other", TrainConfig(model=model, learning_rate=rate), SPLITS)
    for epoch, loss in ((1, 0.7), (2, 0.6)):
        paused.append(TrainEvent("epoch", 5 * epoch, 15, metrics={"train_loss": 0.5, "loss": loss}))
    found = comparison.compare(paused, other)
    assert found.settings == {}
    assert found.metrics == {"validation": {"loss": (0.6, None)}}


def test_a_model_that_is_not_here_is_not_brought_for_a_comparison(tmp_path: Path) -> None:
    runs = [
        made_run(tmp_path / name, TrainConfig(model=model), SPLITS)
        for name, model in (("a", "owner/not-here@" + 40 * "0"), ("b", "run:gone"))
    ]
    assert "learning_rate" not in comparison.compare(*runs).settings
