"""What one training holds in memory: its data as token ids, its model and tokenizer, and Accelerate."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace import data, hardware, models
from bertspace.errors import ConfigError
from bertspace.models import evaluation, tuning
from bertspace.models.batching import sorted_batches
from bertspace.models.held_out import to_remember
from bertspace.runs import Run
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, Rows, Task
from bertspace.training import sharding

ASIDE = "checkpoints/best"  # the best epoch's model, while model/ holds one that a stop cut short

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bertspace.models.evaluation import Table


@dataclass
class Session:
    """What one training holds in memory.

    outline: the model without values, where the processes share its weights; filled when it is saved.
    """

    config: TrainConfig
    task: Task
    located: models.Located
    splits: data.Splits
    tokenizer: PreTrainedTokenizerBase
    rows: dict[str, Rows]
    model: PreTrainedModel
    accelerator: Accelerator
    outline: PreTrainedModel | None = None

    @property
    def sharded(self) -> bool:
        """Whether the processes share the weights (FSDP2), so that none can compute without the others."""
        return self.accelerator.is_fsdp2

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
        batches = sorted_batches(rows.lengths, self.config.batch_size)
        # As many for each, as shared weights are brought together by all. What is scored twice counts once.
        rounds = math.ceil(len(batches) / world.num_processes)
        turns = range(world.process_index, rounds * world.num_processes, world.num_processes)
        batches = [batches[turn % len(batches)] for turn in turns]
        model = world.unwrap_model(self.model)
        found = evaluation.parts(model, table, batches, rows, self.task, self.tokenizer, self.config)
        if self.sharded:
            sharding.let_go(model)
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
    # What the run is trained with is what its model, here or pushed and pulled again, reads of a text.
    length = task.text_length(config) or models.LONGEST
    tokenizer = models.load_tokenizer(replace(located, max_length=length))
    rows = {"train": task.encode(tokenizer, splits.train, config, config.max_train_rows)}
    rows["validation"] = task.encode(tokenizer, splits.validation, config, task.held_out_limit(config))
    if splits.test is not None:
        rows["test"] = task.encode(tokenizer, splits.test, config, task.held_out_limit(config))
    set_seed(config.seed)  # a new head is drawn from here
    model = load_for_training(located, task, splits.label_names)
    set_seed(config.seed)  # and LoRA's matrices from here, whatever a new head drew
    tuning.prepare(model, config)
    precision = hardware.resolve(config.precision)
    if precision == "fp16" and hardware.device() != "cuda":
        raise ConfigError("precision is 'fp16', which needs a CUDA GPU.", hint="Choose auto, bf16 or fp32.")
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"  # every process scores with a whole base
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        dataloader_config=DataLoaderConfiguration(split_batches=True),  # a step is one step of the schedule
        cpu=hardware.device() == "cpu",
    )
    check_launcher(accelerator)
    if config.learning_rate is None:
        rate = models.default_learning_rate(located, task.name, config.lora_rank)
        config = replace(config, learning_rate=rate)
    return Session(config, task, located, splits, tokenizer, rows, model, accelerator)


def check_launcher(accelerator: Accelerator) -> None:
    """Raises ConfigError where it spreads the weights in a way that does not give them back whole here."""
    way = accelerator.distributed_type.value
    if way in ("DEEPSPEED", "MEGATRON_LM") or (way == "FSDP" and not accelerator.is_fsdp2):
        raise ConfigError(
            f"The launcher spreads the weights by {'FSDP version 1' if way == 'FSDP' else way}.",
            hint="Choose FSDP with fsdp_version: 2 in its config, which does the same; fsdp_offload_params: "
            "true keeps weights, gradients and the optimizer off the GPU.",
        )
    if accelerator.is_fsdp2 and accelerator.state.fsdp_plugin.activation_checkpointing:
        raise ConfigError(
            "The launcher asks for activation checkpointing, which is not offered here.",
            hint="Leave fsdp_activation_checkpointing out of its config; a smaller batch_size with "
            "gradient_accumulation takes less memory too.",
        )


def load_for_training(located: models.Located, task: Task, label_names: tuple[str, ...]) -> PreTrainedModel:
    """The model with the task's head: the checkpoint's own where it fits, else a new one."""
    if not task.has_labels:
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
    model = whole_model(session)
    if session.accelerator.is_main_process:
        weights = tuning.plain_weights(model) if session.config.lora_rank else None
        fresh = _emptied(folder.with_name(".model.new"))
        model.config.update(to_remember(session.splits.columns))
        with models.quiet():
            model.save_pretrained(fresh, state_dict=weights)
            session.tokenizer.save_pretrained(fresh)
        if weights is not None:
            tuning.save_adapter(model, fresh / "adapter", *session.located.on_hub)
        _take_place(fresh, folder)
    session.accelerator.wait_for_everyone()


def whole_model(session: Session) -> PreTrainedModel:
    """The model as one process has it. Shared weights are brought together in the main one's host memory."""
    if session.outline is None:
        return session.accelerator.unwrap_model(session.model)
    weights = session.accelerator.get_state_dict(session.model)
    if session.accelerator.is_main_process:
        session.outline.load_state_dict(weights, assign=True)
        session.outline.tie_weights()
    return session.outline


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
    model = models.load_model(models.of_run(run), session.task.name).to(session.accelerator.device)
    tuning.choose_attention(model, session.config)
    return replace(session, model=model)
