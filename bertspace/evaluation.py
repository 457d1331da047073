"""A model's table on a split: per-row results, each row once and in its place, and the metrics of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from bertspace import hardware, models
from bertspace.batching import FixedBatches, Keys
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, Rows, Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Table = Callable[[PreTrainedModel, dict[str, torch.Tensor]], dict[str, torch.Tensor]]


def evaluate(
    located: models.Located, frame: pd.DataFrame, config: TrainConfig
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """A finished model's metrics and table on a frame with the task's columns."""
    from accelerate import Accelerator

    task = TASKS[config.task]
    tokenizer = models.load_tokenizer(located)
    model = models.load_model(located, task.name)
    rows = task.encode(tokenizer, frame, config, config.max_train_rows)
    precision = hardware.best_precision() if config.precision == "auto" else config.precision
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision, cpu=hardware.device() == "cpu"
    )
    model.to(accelerator.device)
    table = collect(model, task.table, rows, task, tokenizer, config, accelerator)
    return task.score(table), table


def collect(
    model: PreTrainedModel,
    table: Table,
    rows: Rows,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    accelerator: Accelerator,
) -> dict[str, np.ndarray]:
    """Per-row results of every batch, each row once and in its own place, whatever the number of processes.

    Never `gather_for_metrics`: with batches sorted by length it drops and repeats rows.
    """
    import numpy as np
    import torch
    from accelerate.utils import gather_object
    from torch.utils.data import DataLoader

    loader = accelerator.prepare(
        DataLoader(
            Keys(len(rows)),
            batch_sampler=FixedBatches(rows.lengths, config.batch_size),
            collate_fn=partial(task.collate, rows=rows, tokenizer=tokenizer, config=config),
            generator=torch.Generator(),
        )
    )
    model.eval()
    found: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
    with torch.inference_mode(), accelerator.autocast():
        for batch in loader:
            results = {name: value.cpu().numpy() for name, value in table(model, batch).items()}
            found.append((batch["rows"].cpu().numpy(), results))
    if accelerator.num_processes > 1:
        found = gather_object(found)
    whole: dict[str, np.ndarray] = {}
    for numbers, results in found:
        for name, values in results.items():
            whole.setdefault(name, np.zeros((len(rows), *values.shape[1:]), values.dtype))[numbers] = values
    return whole
