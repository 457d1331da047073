"""A small load: clients at once on both playgrounds while a run trains. In full: benchmarks/load.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from bertspace import models, runs
from bertspace.models.tuning import load_for_training
from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.tasks import TASKS
from tests.benchmarks import load


def finished(task: str, base: Path) -> str:
    """A finished run with the tiny BERT's weights; a classifier's head is drawn at random."""
    run = Run.create(TrainConfig(task=task, model=str(base)))
    located = models.locate(str(base))
    model = load_for_training(located, TASKS[task], ("request", "promise") if "text" in task else ())
    model.save_pretrained(run.path / "model")
    models.load_tokenizer(located).save_pretrained(run.path / "model")
    run.write_state(replace(run.state(), status="done"))
    return f"run:{run.id}"


@pytest.mark.slow
def test_clients_at_once_get_the_right_answers_while_a_run_trains(home: Path, tiny_bert: Path) -> None:
    asked = {
        "fill_mask": finished("fill-mask", tiny_bert),
        "classify": finished("text-classification", tiny_bert),
    }
    report = load.measure(home, asked, clients=8, seconds=8, train=str(tiny_bert), alone=1)
    assert {name: found.errors for name, found in report.asked.items()} == {"fill_mask": {}, "classify": {}}
    assert report.wrong == 0
    assert all(len(found.seconds) >= 8 for found in report.asked.values())
    assert report.speed_beside > 0
    assert report.memory[1] - report.memory[0] < 2**28
    assert "p95" in "\n".join(load.lines(report))
    assert not any(run.is_locked() for run in runs.list_runs())


def test_a_percentile_is_the_nearest_rank() -> None:
    asked = load.Asked(seconds=[float(each) for each in range(1, 21)])
    assert (asked.percentile(0.95), asked.percentile(0.5)) == (19.0, 10.0)


def test_alike_answers_may_differ_in_the_last_digits_only() -> None:
    expected = {"text": "a", "scores": {"x": 0.5}}
    assert load.alike({"text": "a", "scores": {"x": 0.50001}}, expected)
    assert not load.alike({"text": "a", "scores": {"x": 0.51}}, expected)
    assert not load.alike({"text": "b", "scores": {"x": 0.5}}, expected)
    assert not load.alike([expected], [expected, expected])


@pytest.mark.parametrize("kind", ["step", "epoch"])
def test_the_speed_leaves_out_what_is_between_two_epochs(home: Path, kind: str) -> None:
    run = Run.create(TrainConfig())
    for event in (
        TrainEvent("step", 1, seconds=1, examples=8),
        TrainEvent("step", 2, seconds=2, examples=16),
        TrainEvent(kind, 2, seconds=10, examples=16),
        TrainEvent("step", 3, seconds=11, examples=24),
    ):
        run.append(event)
    assert load.speed(run, 0) == pytest.approx(16 / 10 if kind == "step" else 8 / 1)
