"""What one training holds in memory: its data as token ids, its model and tokenizer, and Accelerate."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace import data, evaluation, hardware, models, tuning
from bertspace.batching import sorted_batches
from bertspace.errors import ConfigError
from bertspace.runs import Run
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, Rows, Task

ASIDE = "checkpoints/best"  # the best epoch's model, while model/ holds one that a stop cut short

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bertspace.evaluation import Table


@dataclass
class Session:
    """What one training holds in memory."""

    config: TrainConfig
    task: Task
    located: models.Located
    splits: data.Splits
    tokenizer: PreTrainedTokenizerBase
    rows: dict[str, Rows]
    model: PreTrainedModel
    accelerator: Accelerator

    def everywhere(self, holds: bool) -> bool:
        """Whether it holds in every process."""
        if self.accelerator.num_processes == 1:
            return holds
        import torch

        mine = torch.tensor(float(holds), device=self.accelerator.device)
        return bool(self.accelerator.reduce(mine, "mean") == 1)

    def evaluate(self, split: str) -> dict[str, np.ndarray]:
        """The table of one split under the model as it stands."""
        return self.collect(self.task.table, self.rows[split])

    def collect(self, table: Table, rows: Rows) -> dict[str, np.ndarray]:
        """Per-row results of every batch, whatever the number of processes: each takes its share of them."""
        from accelerate.utils import gather_object

        world = self.accelerator
        batches = sorted_batches(rows.lengths, self.config.batch_size)[
            world.process_index :: world.num_processes
        ]
        model = world.unwrap_model(self.model)
        found = evaluation.parts(model, table, batches, rows, self.task, self.tokenizer, self.config)
        return evaluation.placed(gather_object(found) if world.num_processes > 1 else found, len(rows))


def open_session(config: TrainConfig, run: Run) -> Session:
    """Data, tokenizer, token ids and model, ready for the first step."""
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration
    from transformers import set_seed

    task = TASKS[config.task]
    task.check(config)
    located = models.locate(config.model)
    if located.kind == "hub" and "@" not in config.model:
        # The commit, so that a run that goes on has the same frozen weights when the model has a newer one.
        config = replace(config, model=f"{config.model}@{located.path.name}")
        if int(os.environ.get("RANK", 0)) == 0:
            run.write_config(config)
    splits = data.load_splits(replace(config, data_dir=str(run.path)))
    tokenizer = models.load_tokenizer(located)
    rows = {"train": task.encode(tokenizer, splits.train, config, config.max_train_rows)}
    held_out = math.ceil(config.max_train_rows * config.validation_share) if task.name == "fill-mask" else 0
    rows["validation"] = task.encode(tokenizer, splits.validation, config, held_out)
    if splits.test is not None:
        rows["test"] = task.encode(tokenizer, splits.test, config, held_out)
    set_seed(config.seed)  # a new head is drawn from here
    model = load_for_training(located, task, splits.label_names)
    set_seed(config.seed)  # and LoRA's matrices from here, whatever a new head drew
    tuning.prepare(model, config)
    precision = hardware.resolve(config.precision)
    if precision == "fp16" and hardware.device() != "cuda":
        raise ConfigError("precision is 'fp16', which needs a CUDA GPU.", hint="Choose auto, bf16 or fp32.")
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        gradient_accumulation_steps=config.gradient_accumulation,
        dataloader_config=DataLoaderConfiguration(split_batches=True),  # a step is one step of the schedule
        cpu=hardware.device() == "cpu",
    )
    check_whole(accelerator)
    if config.learning_rate is None:
        config = replace(config, learning_rate=models.default_learning_rate(located, task.name))
    return Session(config, task, located, splits, tokenizer, rows, model, accelerator)


def check_whole(accelerator: Accelerator) -> None:
    """Raises ConfigError where the processes are to share the weights: here each of them holds all.

    What is saved, scored and tried before step 1 is a whole model's, and at 16 bytes a parameter for weights,
    gradients and AdamW's state even a model of a billion fits on one device.
    """
    way = accelerator.distributed_type.value
    if way in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise ConfigError(
            f"The launcher asks for {way}, which spreads the weights over the devices.",
            hint="Choose plain data parallelism (MULTI_GPU) in its config. Where memory is short: precision "
            "bf16, a smaller batch_size with gradient_accumulation, lora_rank or freeze_layers.",
        )


def load_for_training(located: models.Located, task: Task, label_names: tuple[str, ...]) -> PreTrainedModel:
    """The model with the task's head: the checkpoint's own where it fits, else a new one."""
    if task.name != "text-classification":
        return models.load_model(located, task.name, new_head=True)
    names = dict(enumerate(label_names))
    return models.load_model(
        located,
        task.name,
        new_head=True,
        num_labels=len(names),
        id2label=names,
        label2id={name: number for number, name in names.items()},
        problem_type="single_label_classification",
    )


def save_model(session: Session, folder: Path) -> None:
    """The plain model and its tokenizer, written beside and renamed; all processes wait.

    LoRA's updates are merged into it, and kept alone in adapter/ too.
    """
    if session.accelerator.is_main_process:
        model = session.accelerator.unwrap_model(session.model)
        weights = tuning.plain_weights(model) if session.config.lora_rank else None
        fresh = _emptied(folder.with_name(".model.new"))
        with models.quiet():
            model.save_pretrained(fresh, state_dict=weights)
            session.tokenizer.save_pretrained(fresh)
        if weights is not None:
            tuning.save_adapter(model, fresh / "adapter", *session.located.on_hub)
        _take_place(fresh, folder)
    session.accelerator.wait_for_everyone()


def keep_aside(session: Session, run: Run) -> None:
    """Keep a copy of model/ for when the run goes on: what takes its place belongs to a stop."""
    if session.accelerator.is_main_process:
        aside = run.path / ASIDE
        copy = _emptied(aside.with_name(".best.new"))
        shutil.copytree(run.path / "model", copy)
        _take_place(copy, aside)


def put_back(session: Session, run: Run) -> bool:
    """Make the model that was kept aside model/ again; whether there was one."""
    aside = run.path / ASIDE
    found = aside.is_dir()
    session.accelerator.wait_for_everyone()
    if found and session.accelerator.is_main_process:
        _take_place(aside, run.path / "model")
    return found


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _take_place(fresh: Path, folder: Path) -> None:
    """Rename `fresh` to `folder`, which may be there already."""
    old = _emptied(folder.with_name(f".{folder.name}.old"))
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def saved(session: Session, run: Run) -> Session:
    """The session with the model as it lies on disk, so that what is scored is what will be used."""
    located = models.Located(f"run:{run.id}", run.path / "model", "run")
    model = models.load_model(located, session.task.name).to(session.accelerator.device)
    return replace(session, model=model)
