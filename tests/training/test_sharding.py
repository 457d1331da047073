"""Weights spread by FSDP2: a run whose two processes (gloo on a CPU) share them equals the run in one."""

import copy
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bertspace import processes
from bertspace.models import tuning
from bertspace.runs import Run
from bertspace.schema import TrainConfig
from bertspace.tasks.fill_mask.task import logits_at
from bertspace.training import sharding
from tests.support import ROOT, until
from tests.support.models import small
from tests.support.processes import LAUNCHER, SETTINGS, ended, equal, queued_run, steps
from tests.support.training import made_run, work

pytestmark = pytest.mark.slow

WORKER = ROOT / "tests" / "support" / "sharded_worker.py"
ASKED: Any = SimpleNamespace(reshard_after_forward=True, cpu_offload=None)


def asked_by_the_docs(folder: Path) -> dict[str, str]:
    """The variables that `accelerate launch` sets from the machines.yaml of docs/devices.md."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    found = re.search(r"    # machines\.yaml\n((?:    .+\n)+)", (ROOT / "docs" / "devices.md").read_text())
    assert found is not None
    (folder / "machines.yaml").write_text(re.sub(r"^    ", "", found[1], flags=re.MULTILINE))
    read = launch_command_parser().parse_args(["--config_file", str(folder / "machines.yaml"), "-m", "any"])
    settings, *_ = _validate_launch_command(read)
    every: dict[str, str] = prepare_multi_gpu_env(settings)
    return {name: value for name, value in every.items() if name.startswith(("FSDP", "ACCELERATE"))}


def launch(run: Run, asked: dict[str, str]) -> subprocess.Popen[bytes]:
    """The worker, its weights spread as asked, in two processes."""
    environment = (
        processes.child_environment(trains=True)
        | asked
        | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    )
    with (run.path / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [*LAUNCHER.split(), str(WORKER), str(run.path)],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def test_a_run_whose_processes_share_the_weights_pauses_goes_on_and_ends_as_one_that_has_them_whole(
    tiny_bert: Path, tmp_path: Path, home: Path
) -> None:
    asked = asked_by_the_docs(tmp_path)
    assert asked["ACCELERATE_USE_FSDP"] == asked["FSDP_OFFLOAD_PARAMS"] == "true"
    config = TrainConfig(model=str(tiny_bert), gradient_accumulation=3, best_metric="loss", **SETTINGS)
    alone = made_run(tmp_path / "alone", config)
    work(alone)

    run = queued_run(tmp_path / "pair", replace(config, checkpoint_steps=1))
    process = launch(run, asked)
    try:
        until(lambda: len(steps(run)) >= 2)
        run.request_pause()
        assert ended(process, run) == "paused", run.log_tail()
        process = launch(run, asked)
        assert ended(process, run) == "done", run.log_tail()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    environment = run.result()["environment"]
    assert (environment["processes"], environment["sharded"]) == (2, True)
    equal(run, alone)


def test_a_run_of_shared_weights_that_was_killed_goes_on_in_a_single_process(
    tiny_bert: Path, tmp_path: Path, home: Path
) -> None:
    lora = {"task": "fill-mask", "chunk_size": 16, "lora_rank": 4, "freeze_layers": 1, "epochs": 3}
    config = TrainConfig(model=str(tiny_bert), **SETTINGS | lora)
    alone = made_run(tmp_path / "alone", config)
    work(alone)

    run = queued_run(tmp_path / "pair", replace(config, checkpoint_steps=1))
    process = launch(run, asked_by_the_docs(tmp_path) | {"FSDP_RESHARD_AFTER_FORWARD": "false"})
    try:
        until(lambda: (run.checkpoint() or 0) >= 2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    until(lambda: not run.is_locked())
    assert run.result() is None
    work(run)
    equal(run, alone)


@pytest.fixture
def group() -> Iterator[None]:
    """A group of this process alone, in which weights are spread as among many."""
    import torch

    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("name", ["Bert", "DistilBert", "Roberta", "Albert", "Electra", "MPNet", "DebertaV2"])
def test_models_of_every_kind_train_with_spread_weights_as_with_whole_ones(
    name: str, rank: int, group: None
) -> None:
    import torch

    whole = small(name)
    tuning.prepare(whole, TrainConfig(task="fill-mask", lora_rank=rank, chunk_size=16))
    spread = copy.deepcopy(whole)
    sharding.shard(spread, copy.copy(ASKED))
    tokens = torch.arange(24).reshape(2, 12) + 5
    batch = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "positions": torch.arange(6)}
    optimizers = {
        model: torch.optim.AdamW(tuning.parameter_groups(model, 0.1), lr=0.01) for model in (whole, spread)
    }
    for _ in range(2):
        for model, optimizer in optimizers.items():
            logits = logits_at(model, batch)
            torch.nn.functional.cross_entropy(logits, tokens.flatten()[:6]).backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        logits_at(spread, batch)
    sharding.reshard(spread)
    found = {key: sharding.whole(value.detach()) for key, value in spread.named_parameters()}
    assert list(found) == [key for key, _ in whole.named_parameters()]
    assert all(torch.allclose(found[key], value, atol=1e-6) for key, value in whole.named_parameters())


def test_whole_values_fill_a_spread_tensor_and_come_back_as_they_were(group: None) -> None:
    import torch
    from torch.distributed.tensor import DTensor

    layer = torch.nn.Linear(3, 5)
    torch.distributed.fsdp.fully_shard(layer)
    assert isinstance(layer.weight, DTensor)
    values = torch.arange(15.0).reshape(5, 3)
    with torch.no_grad():
        assert sharding.fill(layer.weight, values) is layer.weight
    assert torch.equal(sharding.whole(layer.weight.detach()), values)
    plain = torch.zeros(5, 3)
    assert sharding.whole(sharding.fill(plain, values)) is plain and torch.equal(plain, values)
