"""What a run says of itself, against independent computations on tiny runs: losses, counts, perplexities."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import AcceleratorState
from test_training import FAST, Trained

from bertspace import comparison
from bertspace.schema import RunState, TrainConfig


@pytest.fixture(scope="module")
def base(tiny_bert: Path) -> TrainConfig:
    return TrainConfig(model=str(tiny_bert), epochs=1, **FAST)


# The held-out rows of a run and of a later evaluation


@pytest.mark.parametrize(
    "changes",
    [
        {"max_train_rows": 12},
        {"max_train_rows": 25, "validation_share": 0.3, "whole_words": True},
        {"max_train_rows": 20, "validation_share": 0.5, "chunk_size": 0},
        {"max_train_rows": 20, "lora_rank": 2},
        {"max_train_rows": 12, "precision": "bf16"},
        {"max_train_rows": 12, "precision": "bf16", "lora_rank": 2},
        {},
    ],
)
def test_a_run_evaluated_on_its_own_held_out_rows_has_its_own_perplexity(
    changes: dict[str, Any], base: TrainConfig, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"task": "fill-mask", "chunk_size": 8} | changes
    AcceleratorState._reset_state(reset_partial_state=True)  # precision is one a process
    trained = Trained(tmp_path / "run", replace(base, **settings))
    trained.run.write_state(RunState(status="done"))
    for split in ("validation", "test"):
        found = comparison.evaluate_file(
            f"run:{trained.run.path}", trained.run.path / "data" / f"{split}.parquet"
        )
        assert found["rows"] == trained.result["rows"][split]
        assert found["metrics"] == pytest.approx(trained.result[split], rel=1e-6)
