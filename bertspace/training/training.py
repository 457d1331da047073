"""One training: its run and settings, the data and the model in memory, and how far it has come."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bertspace import data, hardware, models
from bertspace.errors import ConfigError
from bertspace.models import evaluation, tuning, unknown
from bertspace.models.batching import EpochBatches, sorted_batches
from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.tasks import TASKS, Rows, Task
from bertspace.training import sharding
from bertspace.training.progress import Best, TrainingProgress

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from torch.utils.data import DataLoader
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bertspace.models.evaluation import Table


@dataclass
class Training:
    """One training: its run and settings, the data and the model in memory, and how far it has come.

    outline: the model without values, where the processes share its weights; filled when it is saved.
    sampler, loader, optimizer, scheduler: there once `steps.prepare` has made them.
    """

    run: Run
    config: TrainConfig
    task: Task
    located: models.Located
    splits: data.Splits
    tokenizer: PreTrainedTokenizerBase
    rows: dict[str, Rows]
    model: PreTrainedModel
    accelerator: Accelerator
    progress: TrainingProgress
    best: Best
    outline: PreTrainedModel | None = None
    sampler: EpochBatches = field(init=False)
    loader: DataLoader = field(init=False)
    optimizer: Any = field(init=False)
    scheduler: Any = field(init=False)

    @property
    def batches_per_epoch(self) -> int:
        return math.ceil(len(self.rows["train"]) / self.config.batch_size)

    @property
    def total_steps(self) -> int:
        return self.config.total_steps(self.batches_per_epoch)

    @property
    def epoch(self) -> float:
        """Epochs done, the fraction of the current one among them."""
        return round(self.progress.step / self.config.steps_an_epoch(self.batches_per_epoch), 4)

    @property
    def all_steps_done(self) -> bool:
        return self.progress.step >= self.total_steps

    @property
    def sharded(self) -> bool:
        """Whether the processes share the weights (FSDP2), so that none can compute without the others."""
        return self.accelerator.is_fsdp2

    def event(self, kind: str, **values: Any) -> TrainEvent:
        """An event with the step reached and the seconds worked."""
        step, seconds = self.progress.step, self.progress.elapsed()
        return TrainEvent(kind, step, self.total_steps if step else 0, seconds=seconds, **values)

    def status(self, message: str) -> TrainEvent:
        return self.event("status", message=message)

    def findings(self) -> list[str]:
        """What the user should know of the model and its vocabulary before the first step."""
        share = unknown.share(self.tokenizer, self.rows["train"].input_ids)
        return list(filter(None, [getattr(self.model, "finding", ""), unknown.words(share)]))

    def in_every_process(self, condition: bool) -> bool:
        """Whether the condition holds in all processes; all of them have to ask."""
        if self.accelerator.num_processes == 1:
            return condition
        import torch

        mine = torch.tensor(float(condition), device=self.accelerator.device)
        return bool(self.accelerator.reduce(mine, "mean") == 1)

    def evaluate(self, split: str) -> dict[str, np.ndarray]:
        """The per-row results of one split with the model as it is now."""
        return self.collect(self.task.table, self.rows[split])

    def collect(self, table: Table, rows: Rows) -> dict[str, np.ndarray]:
        """The per-row results of all rows, of which each process computes its share."""
        from accelerate.utils import gather_object

        world = self.accelerator
        batches = sorted_batches(rows.lengths, self.config.batch_size)
        # As many for each, as shared weights are brought together by all. What is scored twice counts once.
        rounds = math.ceil(len(batches) / world.num_processes)
        turns = range(world.process_index, rounds * world.num_processes, world.num_processes)
        batches = [batches[turn % len(batches)] for turn in turns]
        model = world.unwrap_model(self.model)
        parts = evaluation.parts(model, table, batches, rows, self.task, self.tokenizer, self.config)
        if self.sharded:
            sharding.reshard(model)
        return evaluation.placed(gather_object(parts) if world.num_processes > 1 else parts, len(rows))


def open_training(config: TrainConfig, run: Run, progress: TrainingProgress | None = None) -> Training:
    """Data, tokenizer, token ids and model, ready for the first step; progress: of the run's checkpoint."""
    from transformers import set_seed

    task = TASKS[config.task]
    task.check(config)
    located = models.locate(config.model)
    config = _with_commit(config, located, run)
    splits = data.load_splits(replace(config, data_dir=str(run.path)))
    # The length that the trained model will read of a text, here or pushed and pulled again.
    length = task.text_length(config) or models.LONGEST
    tokenizer = models.load_tokenizer(replace(located, max_length=length))
    rows = _encoded(task, tokenizer, splits, config)
    set_seed(config.seed)  # a new head is drawn from here
    model = tuning.load_for_training(located, task, splits.label_names)
    set_seed(config.seed)  # and LoRA's matrices from here, whatever a new head drew
    tuning.prepare(model, config)
    accelerator = _accelerator(config)
    if config.learning_rate is None:
        rate = models.default_learning_rate(located, task.name, config.lora_rank)
        config = replace(config, learning_rate=rate)
    return Training(
        run, config, task, located, splits, tokenizer, rows, model, accelerator,
        progress or TrainingProgress(), Best(task, config),
    )  # fmt: skip


def _with_commit(config: TrainConfig, located: models.Located, run: Run) -> TrainConfig:
    """The config with its Hub model's commit, so that a resumed run has the same frozen weights."""
    if located.kind != "hub" or "@" in config.model:
        return config
    config = replace(config, model=f"{config.model}@{located.path.name}")
    if int(os.environ.get("RANK", 0)) == 0:
        run.write_config(config)
    return config


def _encoded(
    task: Task, tokenizer: PreTrainedTokenizerBase, splits: data.Splits, config: TrainConfig
) -> dict[str, Rows]:
    limit = task.held_out_limit(config)
    rows = {"train": task.encode(tokenizer, splits.train, config, config.max_train_rows)}
    rows["validation"] = task.encode(tokenizer, splits.validation, config, limit)
    if splits.test is not None:
        rows["test"] = task.encode(tokenizer, splits.test, config, limit)
    return rows


def _accelerator(config: TrainConfig) -> Accelerator:
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    precision = hardware.resolve(config.precision)
    if precision == "fp16" and hardware.device() != "cuda":
        raise ConfigError("precision is 'fp16', which needs a CUDA GPU.", hint="Choose auto, bf16 or fp32.")
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"  # every process scores with a whole base
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        dataloader_config=DataLoaderConfiguration(split_batches=True),  # a step is one step of the schedule
        cpu=hardware.device() == "cpu",
    )
    sharding.check_launcher(accelerator)
    return accelerator
