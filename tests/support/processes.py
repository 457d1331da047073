"""Runs whose worker is several processes, and what makes two runs equal."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from tests.support.training import FAST, made_run

LAUNCHER = f"{sys.executable} -m torch.distributed.run --standalone --nproc_per_node 2"


# 64 rows in batches of 7: the last one has a single row, which only one of the processes can take.
SETTINGS = FAST | {"batch_size": 7, "dropout": 0.0, "epochs": 2}


def queued_run(folder: Path, config: TrainConfig) -> Run:
    run = made_run(folder, config)
    run.write_state(RunState(status="queued"))
    return run


def ended(process: subprocess.Popen[bytes], run: Run) -> str:
    try:
        assert process.wait(600) == 0, run.log_tail()
    except subprocess.TimeoutExpired:
        pytest.fail(f"did not end: {[event.to_dict() for event in run.events()[0]][-3:]}\n{run.log_tail()}")
    return run.state().status


def steps(run: Run) -> list[Any]:
    return [event for event in run.events()[0] if event.kind == "step"]


def equal(run: Run, alone: Run) -> None:
    """Rows, losses, scores and weights are those of the run in one process, within what sums differ by."""
    assert [(each.step, each.examples, each.tokens) for each in steps(run)] == [
        (each.step, each.examples, each.tokens) for each in steps(alone)
    ]
    assert [each.loss for each in steps(run)] == pytest.approx([each.loss for each in steps(alone)], abs=2e-5)
    for split in ("validation", "test"):
        assert run.result()[split] == pytest.approx(alone.result()[split], abs=1e-4)
    assert run.result()["base"]["validation"] == pytest.approx(alone.result()["base"]["validation"], abs=1e-4)
    rows = [pd.read_parquet(each.path / "predictions.parquet") for each in (run, alone)]
    assert rows[0][["split", "row"]].equals(rows[1][["split", "row"]])
    weights = [weights_of(each) for each in (run, alone)]
    assert weights[0].keys() == weights[1].keys()
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[1]) < 2e-4


def weights_of(run: Run) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(run.path / "model" / "model.safetensors")
