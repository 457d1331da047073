"""A run that ended at any moment and went on equals the run that never ended, bit for bit."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bertspace import training
from bertspace.errors import TrainingError
from bertspace.runs import Run, stored_bytes
from bertspace.schema import RunState, TrainConfig
from bertspace.tasks import TASKS
from bertspace.training import checkpoints
from bertspace.training.progress import Best, TrainingProgress
from bertspace.training.training import Training
from tests.support.training import FAST, KINDS, TIMES, made_run, work

pytestmark = pytest.mark.slow


def outcome(run: Run) -> dict[str, Any]:
    """All that must not depend on how often the run was ended."""
    from safetensors.torch import load_file

    events = run.events()[0]
    result = json.loads((run.path / "result.json").read_text())
    changing = {"checkpoint_steps", "checkpoint_minutes"}
    result["config"] = {key: value for key, value in result["config"].items() if key not in changing}
    return {
        "steps": [
            (each.step, each.loss, each.learning_rate, each.epoch, each.examples, each.tokens)
            for each in events
            if each.kind == "step"
        ],
        "others": [
            (each.kind, each.step, each.metrics)
            for each in events
            if each.metrics and each.kind != "forecast"
        ],
        "result": {name: value for name, value in result.items() if name not in TIMES},
        "weights": {
            name: value.numpy().tobytes()
            for name, value in load_file(run.path / "model" / "model.safetensors").items()
        },
        "predictions": pd.read_parquet(run.path / "predictions.parquet").to_csv(),
    }


@pytest.fixture(scope="module")
def base(tiny_bert: Path) -> TrainConfig:
    return TrainConfig(model=str(tiny_bert), epochs=2.5, checkpoint_minutes=0, **FAST)


@pytest.fixture(scope="module")
def uninterrupted(base: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(outcome, count of events) of a kind's run that nothing ended; each trained once."""
    found: dict[str, tuple[dict[str, Any], int]] = {}

    def get(kind: str) -> tuple[dict[str, Any], int]:
        if kind not in found:
            run = made_run(tmp_path_factory.mktemp(kind), replace(base, **{**KINDS[kind]}))
            events = work(run)
            found[kind] = outcome(run), len(events)
        return found[kind]

    return get


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    every=st.integers(1, 6),
    ends=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
@example(kind="best", every=2, ends=[0.5, 0.9])
@example(kind="bf16", every=3, ends=[0.7])
@example(kind="lora", every=1, ends=[0.3, 0.31, 0.99])
@example(kind="accumulation", every=1, ends=[0.875])  # between the last step and its scoring
@example(kind="masks", every=5, ends=[0.0, 0.6])
def test_a_run_ended_at_any_event_and_gone_on_with_equals_one_that_never_ended(
    kind: str,
    every: int,
    ends: list[float],
    base: TrainConfig,
    uninterrupted: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    wanted, count = uninterrupted(kind)
    run = made_run(tmp_path_factory.mktemp("ended"), replace(base, checkpoint_steps=every, **KINDS[kind]))
    for share in ends:
        work(run, until=int(share * (count - 1)))
        if (run.path / "result.json").is_file():
            break
    if not (run.path / "result.json").is_file():
        work(run)
    assert outcome(run) == wanted


@pytest.mark.parametrize("kind", ["plain", "best", "lora"])
def test_a_stopped_run_has_a_scored_model_and_goes_on_as_if_it_had_not_been_stopped(
    kind: str, base: TrainConfig, uninterrupted: Any, tmp_path: Path
) -> None:
    wanted, _ = uninterrupted(kind)
    run = made_run(tmp_path, replace(base, **KINDS[kind]))
    for event in training.train(run.config(), run):
        run.append(event)
        if event.step == 11:
            run.request_stop()
    result = run.result()
    assert (result["stopped"], result["steps"], result["test"]) == (True, 11, None)
    assert (run.path / "model" / "model.safetensors").is_file() and run.checkpoint() == 11
    run.clear_requests()
    work(run)
    assert outcome(run) == wanted


def test_a_pause_leaves_a_checkpoint_and_says_so(
    base: TrainConfig, uninterrupted: Any, tmp_path: Path
) -> None:
    wanted, _ = uninterrupted("plain")
    run = made_run(tmp_path, base)
    run.request_pause()
    assert work(run)[-1].kind == "paused"
    assert run.checkpoint() == 1 and run.result() is None
    run.clear_requests()
    work(run)
    assert outcome(run) == wanted


def test_a_deadline_stops_a_run_that_can_go_on(base: TrainConfig, tmp_path: Path) -> None:
    run = made_run(tmp_path, base)
    events = list(training.train(run.config(), run, deadline=0.0))
    assert [event.step for event in events if event.kind == "step"] == [1]
    assert run.result()["stopped"] and run.checkpoint() == 1


def test_a_stop_does_not_take_the_place_of_a_better_epoch_for_good(base: TrainConfig, tmp_path: Path) -> None:
    """model/ holds what a stop left while it is the best; the epoch's own comes back when the run goes on."""
    config = replace(base, best_metric="loss", epochs=3)
    run = made_run(tmp_path, config)
    for event in training.train(run.config(), run):
        run.append(event)
        if event.step == 11:
            run.request_stop()
    assert run.result()["best_step"] == 11
    assert (run.path / "checkpoints" / "best" / "model.safetensors").is_file()
    first = (run.path / "checkpoints" / "best" / "model.safetensors").read_bytes()
    run.clear_requests()
    kept = checkpoints.newest(run)
    generator = training.train(run.config(), run)
    for event in generator:
        if event.message.startswith("Going on"):
            break
    generator.close()
    assert kept.values["best"]["step"] == 8
    assert (run.path / "model" / "model.safetensors").read_bytes() == first


@pytest.mark.parametrize("moment", ["tensors", "values", "fsync", "rename"])
def test_a_checkpoint_cut_short_leaves_the_one_before(
    moment: str, base: TrainConfig, uninterrupted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.torch

    class Dead(BaseException):
        """The process is gone: nothing is cleaned up."""

    wanted, _ = uninterrupted("plain")
    run = made_run(tmp_path, replace(base, checkpoint_steps=4))
    count = 0

    def at(name: str, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            inside = any(".step-" in str(each) for each in args) or name == "fsync"
            count += inside
            # Before a checkpoint's own there are those of the probe and of the base's answers.
            if inside and count > (4 if name == "fsync" else 1):
                if name == "tensors":
                    Path(args[1]).write_bytes(b"half")
                raise Dead
            return real(*args, **kwargs)

        return call

    places: dict[str, tuple[Any, str]] = {
        "tensors": (safetensors.torch, "save_file"),
        "values": (Path, "write_text"),
        "fsync": (checkpoints.os, "fsync"),
        "rename": (Path, "rename"),
    }
    owner, name = places[moment]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(owner, name, at(moment, getattr(owner, name)))
        with pytest.raises(Dead):
            work(run)
    assert run.checkpoint() == 4
    assert list((run.path / "checkpoints").glob(".step-*.tmp"))
    work(run)
    assert outcome(run) == wanted


def test_a_checkpoint_killed_while_it_replaced_one_of_the_same_step_leaves_that_one(tmp_path: Path) -> None:
    """The second rename did not come: a step is written again when its epoch has been scored."""
    import torch

    run = Run.create(TrainConfig(), folder=tmp_path / "run")
    target = run.path / "checkpoints" / "step-000000007"
    checkpoints._write_whole(target, {"a": torch.ones(2)}, {"step": 7})
    target.rename(target.with_name(".step-000000007.old.tmp"))
    shutil.copytree(target.with_name(".step-000000007.old.tmp"), target.with_name(".step-000000007.tmp"))
    assert checkpoints.newest(run) is None
    checkpoints.undo_half_replaced(run)
    checkpoints.clean(run, 2)
    kept = checkpoints.newest(run)
    assert kept is not None and kept.folder == target and kept.values == {"step": 7}
    assert [path.name for path in target.parent.iterdir()] == ["step-000000007"]


def test_a_stopped_run_that_is_stopped_again_before_it_goes_on_keeps_its_result(
    base: TrainConfig, tmp_path: Path
) -> None:
    run = made_run(tmp_path, replace(base, epochs=3))
    for event in training.train(run.config(), run):
        if event.step == 3:
            run.request_stop()
    run.clear_requests()
    before = run.result()
    again = training.train(run.config(), run)
    next(event for event in again if event.kind == "forecast")
    again.close()
    assert run.result() == before and (run.path / "predictions.parquet").is_file()
    again = training.train(run.config(), run)
    next(event for event in again if event.kind == "step")
    assert run.result() is None and not (run.path / "predictions.parquet").exists()
    again.close()


def test_the_newest_two_checkpoints_are_kept_and_hold_nothing_pickled(
    base: TrainConfig, tmp_path: Path
) -> None:
    run = made_run(tmp_path, replace(base, checkpoint_steps=2))
    for event in training.train(run.config(), run):
        if event.step == 9:
            break
    assert [path.name for path in run.checkpoints()] == ["step-000000006", "step-000000008"]
    names = {path.name for path in (run.path / "checkpoints").rglob("*") if path.is_file()}
    assert names == {"state.safetensors", "state.json"}


def test_a_checkpoint_of_lora_holds_only_what_is_trained(base: TrainConfig, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    run = made_run(tmp_path, replace(base, lora_rank=2, checkpoint_steps=2))
    for event in training.train(run.config(), run):
        if event.step == 3:
            break
    tensors = load_file(run.checkpoints()[-1] / "state.safetensors")
    model = [name for name in tensors if name.startswith("model.")]
    assert any("lora_A" in name for name in model)
    assert not [name for name in model if "base_layer.weight" in name or "word_embeddings" in name]


def test_an_unreadable_checkpoint_gives_way_to_the_one_before(
    base: TrainConfig, uninterrupted: Any, tmp_path: Path
) -> None:
    wanted, _ = uninterrupted("plain")
    run = made_run(tmp_path, replace(base, checkpoint_steps=4))
    work(run, until=18)
    newest = run.checkpoints()[-1]
    (newest / "state.safetensors").write_bytes(b"\0" * 100)
    assert checkpoints.newest(run).folder != newest
    work(run)
    assert outcome(run) == wanted


def test_another_batch_size_goes_on_with_the_rows_that_the_epoch_has_left(
    base: TrainConfig, tmp_path: Path
) -> None:
    run = made_run(tmp_path, replace(base, epochs=2, checkpoint_steps=3))
    work(run, until=10)  # of 8 steps of 8 rows an epoch
    assert run.checkpoint() == 3
    run.write_config(replace(run.config(), batch_size=4, gradient_accumulation=2))
    events = work(run)
    steps = [event for event in events if event.kind == "step"]
    assert [event.step for event in steps] == list(range(1, 17))
    assert [event.examples for event in steps] == list(range(8, 129, 8))
    assert [event.epoch for event in events if event.kind == "epoch"] == [1.0, 2.0]


def test_a_loss_that_is_not_finite_ends_the_run_with_step_and_rows_and_the_checkpoint_stays(
    base: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertspace.tasks.text_classification.task import TextClassification

    run = made_run(tmp_path, replace(base, checkpoint_steps=2))
    loss, calls = TextClassification.loss, []

    def spoiled(self: Any, *args: Any) -> Any:
        calls.append(args[1]["rows"].tolist())
        found, plain = loss(self, *args)
        done = sum(event.kind == "step" for event in run.events()[0])
        return (found * float("nan"), plain) if done == 5 else (found, plain)

    monkeypatch.setattr(TextClassification, "loss", spoiled)
    with pytest.raises(TrainingError) as raised:
        work(run)
    named = ", ".join(map(str, sorted(calls[-1])))
    assert (
        raised.value.message == f"The loss is nan at step 6, on the training rows {named} (counted from 0)."
    )
    assert run.checkpoint() == 4 and run.events()[0][-1].step == 5


def test_weights_that_are_not_finite_are_not_kept(base: TrainConfig, tmp_path: Path) -> None:
    import torch

    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    with torch.no_grad():
        model.weight[0, 0] = float("inf")
    one = SimpleNamespace(num_processes=1, is_main_process=True, unwrap_model=lambda model: model)
    run = made_run(tmp_path, base)
    broken = SimpleNamespace(
        run=run,
        config=base,
        model=model,
        accelerator=one,
        optimizer=SimpleNamespace(optimizer=optimizer),
        progress=TrainingProgress(step=7),
        best=Best(TASKS[base.task], base),
    )
    with pytest.raises(TrainingError, match="no longer finite after step 7"):
        checkpoints.save(cast(Training, broken))
    assert run.checkpoint() is None


def test_the_threads_of_the_first_part_are_those_of_the_second(base: TrainConfig, tmp_path: Path) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        run = made_run(tmp_path, replace(base, checkpoint_steps=2))
        work(run, until=8)
        torch.set_num_threads(2)
        work(run, until=6)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert os.environ.get("GOMP_SPINCOUNT") == "1000"


# A run whose bytes are bounded


def bounded(run: Run, most: int) -> tuple[int, list[int | None]]:
    """Train; the most bytes that its owner's folder held at an event, and the checkpoints seen."""
    run.write_state(RunState(status="running", stored_bytes=most))
    (run.path.parent / "hub" / "models").mkdir(parents=True)
    (run.path.parent / "hub" / "models" / "of another kind").write_bytes(b"x" * 10**7)
    held, seen = 0, list[int | None]()
    for event in training.train(run.config(), run):
        run.append(event)
        held = max(held, stored_bytes(run))
        seen.append(run.checkpoint())
    return held, seen


def test_a_bounded_runs_checkpoints_lie_apart(base: TrainConfig, tmp_path: Path) -> None:
    run = made_run(tmp_path / "u-1" / "run", replace(base, checkpoint_steps=1, epochs=1))
    _, seen = bounded(run, 10**9)
    assert set(seen) == {None} and run.result()["steps"] == 8


@pytest.mark.parametrize(("checkpoints_that_fit", "kept"), [(2.5, True), (1.5, True), (0.5, False)])
def test_a_bounded_run_does_not_outgrow_what_its_owner_may_store(
    base: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    checkpoints_that_fit: float,
    kept: bool,
) -> None:
    monkeypatch.setattr(checkpoints, "MIN_SECONDS_APART", 0.0)
    weights = (Path(base.model) / "model.safetensors").stat().st_size
    run = made_run(tmp_path / "u-1" / "run", replace(base, checkpoint_steps=1, epochs=1))
    most = int(stored_bytes(run) + 1.2 * weights + checkpoints_that_fit * 3.2 * weights)
    held, seen = bounded(run, most)
    assert held <= most
    assert (max(step or 0 for step in seen) == 8) is kept
    assert (run.path / "model" / "model.safetensors").is_file() and run.result()["steps"] == 8


def test_a_model_that_its_owner_has_no_room_for_is_told_before_the_first_step(
    base: TrainConfig, tmp_path: Path
) -> None:
    run = made_run(tmp_path / "u-1" / "run", base)
    with pytest.raises(TrainingError, match="The model takes .* and your runs may take .* together"):
        bounded(run, stored_bytes(run) + 10_000)
    assert not [event for event in run.events()[0] if event.kind in ("base", "step")]
