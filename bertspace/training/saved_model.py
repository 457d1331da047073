"""The run's model/ folder: written, set aside while the model of a stop is in its place, read back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace import models
from bertspace.models import tuning
from bertspace.models.held_out import to_remember
from bertspace.training.training import Training

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ASIDE = "checkpoints/best"  # the best epoch's model, while model/ holds that of a stop


def save(training: Training) -> None:
    """Replace model/ by the model as it is now, with its tokenizer; all processes wait.

    LoRA's updates are merged into it, and also kept separately in adapter/.
    """
    model = _whole(training)
    if training.accelerator.is_main_process:
        folder = training.run.path / "model"
        weights = tuning.plain_weights(model) if training.config.lora_rank else None
        new = _removed(folder.with_name(".model.new"))
        model.config.update(to_remember(training.splits.columns, training.task.name))
        with models.quiet():
            model.save_pretrained(new, state_dict=weights)
            training.tokenizer.save_pretrained(new)
        if weights is not None:
            tuning.save_adapter(model, new / "adapter", *training.located.on_hub)
        replace_folder(folder, new)
    training.accelerator.wait_for_everyone()


def set_aside(training: Training) -> None:
    """Keep a copy of model/ for when the run is resumed: a stop is about to replace it."""
    if training.accelerator.is_main_process:
        aside = training.run.path / ASIDE
        copy = _removed(aside.with_name(".best.new"))
        shutil.copytree(training.run.path / "model", copy)
        replace_folder(aside, copy)


def bring_back(training: Training) -> bool:
    """Make the model that was set aside model/ again; whether there was one."""
    aside = training.run.path / ASIDE
    exists = aside.is_dir()
    training.accelerator.wait_for_everyone()
    if exists and training.accelerator.is_main_process:
        replace_folder(training.run.path / "model", aside)
    return exists


def reload(training: Training) -> Training:
    """The training with the model read back from model/, so that what is scored is what will be used."""
    located, device = models.of_run(training.run), training.accelerator.device
    model = models.load_model(located, training.task.name).to(device)
    tuning.choose_attention(model, training.config)
    return replace(training, model=model)


def replace_folder(folder: Path, new: Path) -> None:
    """Rename `new` to `folder`, which may exist."""
    old = _removed(folder.with_name(f".{folder.name}.old"))
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _removed(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _whole(training: Training) -> PreTrainedModel:
    """The unwrapped model. Shared weights are brought together in the main process's host memory."""
    accelerator, outline = training.accelerator, training.outline
    if outline is None:
        return accelerator.unwrap_model(training.model)
    weights = accelerator.get_state_dict(training.model)
    if accelerator.is_main_process:
        outline.load_state_dict(weights, assign=True)
        outline.tie_weights()
    return outline
