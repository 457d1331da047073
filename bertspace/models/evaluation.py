"""A model's table on a split: per-row results, each row once and in its place, and the metrics of them.

Knows nothing of Accelerate, whose precision is one a process: the app scores models of several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace import hardware
from bertspace.errors import ModelError
from bertspace.files import whole_file
from bertspace.models import apart, loading, sources, tuning
from bertspace.models.batching import sorted_batches
from bertspace.processes import Deadline
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, Rows, Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Batch = dict[str, torch.Tensor]
    Table = Callable[[PreTrainedModel, Batch], Batch]

HELD_OUT = ("validation", "test")

Part = tuple["np.ndarray", dict[str, "np.ndarray"]]  # row numbers, and their results by name


def evaluate(
    located: sources.Located, frame: pd.DataFrame, config: TrainConfig
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """A finished model's metrics and table on a frame with the task's columns."""
    results = tabulate(located, frame, config)
    return TASKS[config.task].score(results), results


def tabulate(
    located: sources.Located, frame: pd.DataFrame, config: TrainConfig, features: bool = False
) -> dict[str, np.ndarray]:
    """What the model's head gives for each row, or the mean-pooled features of its bare encoder."""
    if not features:
        sources.check_scorable(located, config.task)
    rows = {str(name): frame[name].tolist() for name in frame.columns}
    asked = {"rows": rows, "config": config.to_dict(), "features": features}
    results = apart.compute(located, "table", asked)
    if isinstance(results, dict) and results and all(getattr(each, "ndim", 0) for each in results.values()):
        return results
    raise ModelError("The model gave answers of another shape.", hint="Choose another model.")


def as_in_the_run(model: str, frame: pd.DataFrame, config: TrainConfig) -> TrainConfig:
    """The config with the limit of the model's run, where the rows are those that the run held out.

    So the run's own rows give its own figures, chunk for chunk; of any other file all rows are scored.
    """
    if model.startswith("run:"):
        run = sources.run_called(model)
        limit = TASKS[config.task].held_out_limit(run.config())
        if limit and any(_same_texts(frame, run.path / "data" / f"{part}.parquet") for part in HELD_OUT):
            return replace(config, max_train_rows=limit)
    return config


def _same_texts(frame: pd.DataFrame, path: Path) -> bool:
    import pandas as pd

    return (
        path.is_file() and pd.read_parquet(path, columns=["text"])["text"].tolist() == frame["text"].tolist()
    )


def table(
    located: sources.Located,
    *,
    rows: dict[str, list[Any]],
    config: dict[str, Any],
    features: bool,
    seconds: float,
) -> dict[str, np.ndarray]:
    """`tabulate`, here or apart: the rows are encoded as training encodes them."""
    import pandas as pd

    settings = TrainConfig.from_dict(config)
    task = TASKS[settings.task]
    with loading.named(located.name):
        tokenizer = loading.load_tokenizer(located)
        model = loading.load_model(located, sources.FEATURES if features else task.name).to(hardware.device())
        tuning.choose_attention(model, settings)  # as in training: the figures are to be the same
        encoded = task.encode(tokenizer, pd.DataFrame(rows), settings, settings.max_train_rows)
        batches = sorted_batches(encoded.lengths, settings.batch_size)
        each = _pooled if features else task.table
        check = Deadline(seconds).check
        return placed(parts(model, each, batches, encoded, task, tokenizer, settings, check), len(encoded))


def _pooled(model: PreTrainedModel, batch: Batch) -> Batch:
    from bertspace.models.probe import mean_pooled

    return {"features": mean_pooled(model, batch)}


def parts(
    model: PreTrainedModel,
    table: Table,
    batches: Sequence[np.ndarray],
    rows: Rows,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    check: Callable[[], None] = lambda: None,
) -> list[Part]:
    """The table's results for each of the batches; masks are epoch 0's, always the same.

    check: called before each batch; what it raises ends the work.
    """
    import torch

    model.eval()
    device, scored = hardware.device(), []  # the model's own is the CPU where FSDP keeps weights there
    with torch.inference_mode(), autocast(config.precision):
        for numbers in batches:
            check()
            batch = task.collate([(0, int(row)) for row in numbers], rows, tokenizer, config)
            results = table(model, {name: value.to(device) for name, value in batch.items()})
            scored.append((numbers, {name: value.cpu().numpy() for name, value in results.items()}))
    return scored


def placed(scored: Sequence[Part], size: int) -> dict[str, np.ndarray]:
    """One table of `size` rows, in their order; a row that two processes scored counts once.

    Never `gather_for_metrics`: with batches sorted by length it drops and repeats rows.
    """
    import numpy as np

    whole: dict[str, np.ndarray] = {}
    for numbers, results in scored:
        for name, values in results.items():
            whole.setdefault(name, np.zeros((size, *values.shape[1:]), values.dtype))[numbers] = values
    return whole


def write_tables(tables: Mapping[str, dict[str, np.ndarray]], path: Path) -> None:
    """The tables of held-out splits as one parquet file: split, row, and what the model said of the row."""
    import numpy as np
    import pandas as pd

    frames = []
    for split, table in tables.items():
        columns: dict[str, object] = {"split": split, "row": np.arange(len(next(iter(table.values()))))}
        for name, values in table.items():
            columns[name] = list(values) if values.ndim > 1 else values
        frames.append(pd.DataFrame(columns))
    with whole_file(path) as temporary:
        pd.concat(frames).to_parquet(temporary)


def read_tables(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """What `write_tables` wrote, by split; {} where there is no such file."""
    import numpy as np
    import pandas as pd

    if not path.is_file():
        return {}
    return {
        str(split): {
            name: np.stack(column.to_list()) if column.dtype == object else column.to_numpy()
            for name, column in rows.drop(columns=["split", "row"]).items()
            if column.notna().all()
        }
        for split, rows in pd.read_parquet(path).groupby("split", sort=False)
    }


def autocast(precision: str) -> AbstractContextManager[object]:
    """torch.autocast for "bf16", "fp16" or "auto"; nothing for "fp32"."""
    import torch

    precision = hardware.resolve(precision)
    if precision == "fp32":
        return nullcontext()
    kind = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(hardware.device(), dtype=kind)
