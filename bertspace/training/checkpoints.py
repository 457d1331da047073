"""What a training is resumed from, bit for bit: one safetensors file and one JSON, renamed into place.

Not Accelerate's save_state, which overwrites in place, unpickles, and lacks part of what is needed here.
Saved between optimizer steps only, so that there are no gradients to keep.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace import words
from bertspace.errors import RunError, TrainingError
from bertspace.models.batching import epoch_batches
from bertspace.runs import Run, stored_bytes
from bertspace.training import sharding
from bertspace.training.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn

MAX_CHECKPOINTS = 2
MIN_SECONDS_APART = 30.0  # between two checkpoints of a run with a storage limit
TENSORS, VALUES = "state.safetensors", "state.json"
OLD = ".old.tmp"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk. values: progress, best epoch, random states, rates; all but the tensors."""

    folder: Path
    values: dict[str, Any]


def save(training: Training) -> None:
    """Write checkpoints/step-…, whole or not at all, and remove all but the newest two.

    All processes have to call it, for their random states and parts of the weights; one writes. Raises
    TrainingError where the weights are no longer finite.
    """
    from accelerate.utils import gather_object

    accelerator = training.accelerator
    states = [_rng_state()]
    states = gather_object(states) if accelerator.num_processes > 1 else states
    tensors = {}
    for name, tensor in _state(training):
        whole = sharding.whole(tensor)
        if accelerator.is_main_process:
            tensors[name] = whole
    if accelerator.is_main_process:
        _write(training, tensors, states)
    training.progress.saved_at = time.monotonic()


def _write(training: Training, tensors: dict[str, torch.Tensor], states: list[dict[str, Any]]) -> None:
    import torch

    run, step, best = training.run, training.progress.step, training.best
    if not _make_room(run, sum(each.nbytes for each in tensors.values())):
        print("No checkpoint: there is no room for it in what your runs may take.", flush=True)
        return
    if not all(bool(torch.isfinite(each).all()) for each in tensors.values()):
        raise TrainingError(
            f"The weights are no longer finite after step {step}.",
            hint="Try a lower learning rate, or precision fp32; the checkpoint before this step is kept.",
        )
    tensors |= {f"table.{name}": torch.from_numpy(column.copy()) for name, column in best.table.items()}
    values = {
        "progress": training.progress.to_dict() | {"batch_size": training.config.batch_size},
        "best": best.to_dict(),
        "step": step,
        "threads": torch.get_num_threads(),
        "rng": states,
        "columns": list(best.table),
    }
    target = run.path / "checkpoints" / f"step-{step:09d}"
    _write_whole(target, tensors, values | _schedule_state(training))
    clean(run, MAX_CHECKPOINTS)


def _schedule_state(training: Training) -> dict[str, Any]:
    """Learning rates, schedule and loss scale, as JSON stores them."""
    scaler, scheduler = training.accelerator.scaler, training.scheduler.scheduler
    return {
        "rates": [group["lr"] for group in training.optimizer.optimizer.param_groups],
        "scheduler": {key: value for key, value in scheduler.state_dict().items() if key != "lr_lambdas"},
        "scaler": scaler.state_dict() if scaler is not None else None,
    }


def storage_limit(run: Run) -> int:
    """Bytes that the runs of its owner may take on disk; 0 for no limit, or where none was written."""
    try:
        return run.written_state().stored_bytes
    except RunError:
        return 0


def check_model_size(training: Training) -> None:
    """Raises TrainingError where the trained model would not fit within the owner's storage limit."""
    size = sum(each.nbytes for each in training.model.state_dict().values())
    limit = storage_limit(training.run)
    if limit and stored_bytes(training.run) + size > limit:
        raise TrainingError(
            f"The model takes {words.size(size)}, and your runs may take {words.size(limit)} together.",
            hint="Delete a run, or choose a smaller model.",
        )


def _make_room(run: Run, size: int) -> bool:
    """Remove old checkpoints, at worst all, until one of this size fits; whether it does."""
    limit = storage_limit(run)
    for keep in (MAX_CHECKPOINTS, 1, 0):
        if not limit or stored_bytes(run) + size <= limit:
            return True
        clean(run, keep)
    return stored_bytes(run) + size <= limit


def _write_whole(target: Path, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
    """Both files, written to a folder beside, synced, and renamed to `target`."""
    from safetensors.torch import save_file

    unfinished, old = (target.with_name(f".{target.name}{end}") for end in (".tmp", OLD))
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        save_file({name: each.cpu().contiguous() for name, each in tensors.items()}, unfinished / TENSORS)
        (unfinished / VALUES).write_text(json.dumps(values), encoding="utf-8")
        for name in (TENSORS, VALUES):
            with (unfinished / name).open("rb") as file:
                os.fsync(file.fileno())
        if target.exists():  # the same step before its epoch was scored
            target.rename(old)
        unfinished.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def clean(run: Run, keep: int) -> None:
    """Remove all but the newest checkpoints, and what a killed process left half written."""
    folder = run.path / "checkpoints"
    for path in (*run.checkpoints()[: -keep or None], *folder.glob(".*")):
        shutil.rmtree(path, ignore_errors=True)


def undo_half_replaced(run: Run) -> None:
    """Rename a checkpoint back where a process was killed between moving it away and replacing it.

    For the run's worker only.
    """
    for old in (run.path / "checkpoints").glob(f".step-*{OLD}"):
        target = old.with_name(old.name.removeprefix(".").removesuffix(OLD))
        if not target.exists():
            old.rename(target)


def newest(run: Run) -> Checkpoint | None:
    """The newest checkpoint that can be read; None where there is none."""
    from safetensors import SafetensorError, safe_open

    for folder in reversed(run.checkpoints()):
        try:
            values = json.loads((folder / VALUES).read_text(encoding="utf-8"))
            with safe_open(folder / TENSORS, "pt") as file:
                file.keys()
            return Checkpoint(folder, values)
        except (OSError, ValueError, SafetensorError):
            continue  # a disk that failed; the one before is as good, only older
    return None


def restore(training: Training, checkpoint: Checkpoint) -> None:
    """Set weights, optimizer, schedule and best epoch back to the checkpoint, the random states last."""
    import torch
    from safetensors.torch import load_file

    values, tensors = checkpoint.values, load_file(checkpoint.folder / TENSORS)
    table = {name: tensors[f"table.{name}"].numpy() for name in values["columns"]}
    training.best.restore(values["best"], table)
    _set_state(training, tensors)
    _set_schedule_state(training, values)
    torch.set_num_threads(values["threads"])  # sums of another number of threads differ in the last bit
    if (process := training.accelerator.process_index) < len(values["rng"]):
        set_rng_state(values["rng"][process])
    if training.progress.batches and training.progress.batch_size != training.config.batch_size:
        _count_rows_instead(training)


def _set_schedule_state(training: Training, values: dict[str, Any]) -> None:
    scaler, scheduler = training.accelerator.scaler, training.scheduler.scheduler
    groups = training.optimizer.optimizer.param_groups
    for group, rate in zip(groups, values["rates"], strict=True):
        group["lr"] = rate
    scheduler.load_state_dict(values["scheduler"] | {"lr_lambdas": scheduler.state_dict()["lr_lambdas"]})
    if scaler is not None and values["scaler"]:
        scaler.load_state_dict(values["scaler"])


def _count_rows_instead(training: Training) -> None:
    """Note the epoch's batches, which were of another size, as rows that the rest of it leaves out."""
    progress, lengths = training.progress, training.rows["train"].lengths
    done = epoch_batches(lengths, progress.batch_size, training.config.seed, progress.epoch, progress.seen)
    rows = [int(row) for batch in done[: progress.batches] for row in batch]
    progress.seen, progress.batches = [*progress.seen, *rows], 0


def _state(training: Training) -> Iterator[tuple[str, torch.Tensor]]:
    """The trained tensors and AdamW's state of each, by the parameters' names."""
    import torch

    optimizer = training.optimizer.optimizer
    for name, parameter in _trained(training):
        yield f"model.{name}", parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"optimizer.{key}.{name}", torch.as_tensor(value)


def _set_state(training: Training, tensors: dict[str, torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in _trained(training):
            sharding.fill(parameter, tensors[f"model.{name}"])
            step = tensors.get(f"optimizer.step.{name}")
            if step is None:
                continue  # no batch has reached it yet
            state = {"step": step.to(parameter.device)}
            for key in ("exp_avg", "exp_avg_sq"):
                values = tensors[f"optimizer.{key}.{name}"]
                state[key] = sharding.fill(torch.zeros_like(parameter), values)
            training.optimizer.optimizer.state[parameter] = state


def _trained(training: Training) -> Iterator[tuple[str, nn.Parameter]]:
    model = training.accelerator.unwrap_model(training.model)
    return ((name, each) for name, each in model.named_parameters() if each.requires_grad)


def _rng_state() -> dict[str, Any]:
    """The states of this process's random generators, as JSON stores them."""
    import numpy as np
    import torch

    version, numbers, gauss = random.getstate()
    legacy: dict[str, Any] = dict(np.random.get_state(legacy=False))
    legacy["state"] = legacy["state"] | {"key": legacy["state"]["key"].tolist()}
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": [version, list(numbers), gauss],
        "numpy": legacy,
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "cuda": [each.numpy().tobytes().hex() for each in cuda],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    import numpy as np
    import torch

    def tensor(text: str) -> torch.Tensor:
        return torch.from_numpy(np.frombuffer(bytes.fromhex(text), dtype=np.uint8).copy())

    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    legacy = state["numpy"]
    key = np.array(legacy["state"]["key"], dtype=np.uint32)
    np.random.set_state(legacy | {"state": legacy["state"] | {"key": key}})
    torch.set_rng_state(tensor(state["torch"]))
    if state["cuda"] and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([tensor(each) for each in state["cuda"]])
