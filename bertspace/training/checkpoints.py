"""What a training goes on from, exactly: one safetensors file and one JSON, written beside and renamed.

Not Accelerate's save_state, which overwrites in place, unpickles, and does not hold what is needed here.
Saved between optimizer steps only, so that there are no gradients to keep.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace import words
from bertspace.errors import RunError, TrainingError
from bertspace.runs import Run, stored_bytes
from bertspace.training import sharding

if TYPE_CHECKING:
    import numpy as np
    import torch
    from accelerate import Accelerator
    from torch import nn

KEPT = 2
APART = 30.0  # seconds between two of a run whose bytes are bounded
TENSORS, VALUES = "state.safetensors", "state.json"
OLD = ".old.tmp"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint as it lies on disk. values: what the loop gave, and RNG states and rates of our own."""

    folder: Path
    values: dict[str, Any]

    def tensors(self) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        return load_file(self.folder / TENSORS)


def save(
    run: Run,
    step: int,
    values: dict[str, Any],
    table: dict[str, np.ndarray],
    model: nn.Module,
    optimizer: Any,
    scheduler: Any,
    accelerator: Accelerator,
) -> None:
    """Write checkpoints/step-…, whole or not at all, and remove all but the newest two.

    values: the loop's own, as JSON keeps them. table: the best epoch's. model: unwrapped. Every process has
    to call it, for its RNG state; one writes. Raises TrainingError where the model is no longer finite.
    """
    import torch
    from accelerate.utils import gather_object

    states = [_rng_state()]
    states = gather_object(states) if accelerator.num_processes > 1 else states
    tensors = {}
    for name, tensor in _state(model, optimizer):
        whole = sharding.whole(tensor)  # of all processes together where they share the weights
        if accelerator.is_main_process:
            tensors[name] = whole
    if not accelerator.is_main_process:
        return
    if not _fits(run, sum(each.nbytes for each in tensors.values())):
        print("No checkpoint: there is no room for it in what your runs may take.", flush=True)
        return
    if not all(bool(torch.isfinite(each).all()) for each in tensors.values()):
        raise TrainingError(
            f"The weights are no longer finite after step {step}.",
            hint="Try a lower learning rate, or precision fp32; the checkpoint before this step is kept.",
        )
    tensors |= {f"table.{name}": torch.from_numpy(column.copy()) for name, column in table.items()}
    own = {
        "step": step,
        "threads": torch.get_num_threads(),
        "rng": states,
        "columns": list(table),
        "rates": [group["lr"] for group in optimizer.param_groups],
        "scheduler": {k: v for k, v in scheduler.state_dict().items() if k != "lr_lambdas"},
        "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
    }
    _write_whole(run.path / "checkpoints" / f"step-{step:09d}", tensors, values | own)
    clean(run, KEPT)


def room(run: Run) -> int:
    """Bytes that its owner's runs may take on disk, 0 for any: also where nobody wrote down a bound."""
    try:
        return run.written_state().stored_bytes
    except RunError:
        return 0


def check_model(run: Run, model: nn.Module) -> None:
    """Raises TrainingError where the model that is to come of the run would not fit into what it may take."""
    size = sum(each.nbytes for each in model.state_dict().values())
    if (most := room(run)) and stored_bytes(run) + size > most:
        raise TrainingError(
            f"The model takes {words.size(size)}, and your runs may take {words.size(most)} together.",
            hint="Delete a run, or choose a smaller model.",
        )


def _fits(run: Run, size: int) -> bool:
    """Whether a checkpoint of so many bytes may be written; older ones, the last too, make room for it."""
    most = room(run)
    for kept in (KEPT, 1, 0):
        if not most or stored_bytes(run) + size <= most:
            return True
        clean(run, kept)
    return not most or stored_bytes(run) + size <= most


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


def clean(run: Run, kept: int) -> None:
    """Remove all but the newest checkpoints, and what a process that was killed had half written."""
    folder = run.path / "checkpoints"
    for path in (*run.checkpoints()[: -kept or None], *folder.glob(".*")):
        shutil.rmtree(path, ignore_errors=True)


def put_back(run: Run) -> None:
    """Undo a writing that was killed between its renames: the checkpoint that was to be replaced is whole.

    For the process that works on the run, and no other.
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


def restore(
    kept: Checkpoint, model: nn.Module, optimizer: Any, scheduler: Any, accelerator: Accelerator
) -> dict[str, np.ndarray]:
    """Set all back to where the checkpoint was written, the RNG states last; the best epoch's table."""
    import torch

    tensors = kept.tensors()
    _set_state(model, optimizer, tensors)
    for group, rate in zip(optimizer.param_groups, kept.values["rates"], strict=True):
        group["lr"] = rate
    scheduler.load_state_dict(kept.values["scheduler"] | {"lr_lambdas": scheduler.state_dict()["lr_lambdas"]})
    if accelerator.scaler is not None and kept.values["scaler"]:
        accelerator.scaler.load_state_dict(kept.values["scaler"])
    torch.set_num_threads(kept.values["threads"])  # sums of another number of threads differ in the last bit
    states = kept.values["rng"]
    if accelerator.process_index < len(states):
        set_rng_state(states[accelerator.process_index])
    return {name: tensors[f"table.{name}"].numpy() for name in kept.values["columns"]}


def _state(model: nn.Module, optimizer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The trained tensors and what AdamW keeps of each, by the parameters' names."""
    import torch

    for name, parameter in _trained(model):
        yield f"model.{name}", parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"optimizer.{key}.{name}", torch.as_tensor(value)


def _set_state(model: nn.Module, optimizer: Any, tensors: dict[str, torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in _trained(model):
            sharding.fill(parameter, tensors[f"model.{name}"])
            keys = ("exp_avg", "exp_avg_sq")
            if (
                step := tensors.get(f"optimizer.step.{name}")
            ) is not None:  # else no batch has reached it yet
                found = {key: tensors[f"optimizer.{key}.{name}"] for key in keys}
                moments = {key: sharding.fill(torch.zeros_like(parameter), found[key]) for key in keys}
                optimizer.state[parameter] = {"step": step.to(parameter.device), **moments}


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, each) for name, each in model.named_parameters() if each.requires_grad)


def _rng_state() -> dict[str, Any]:
    """Where this process's generators are, as JSON keeps it."""
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

    def tensor(written: str) -> torch.Tensor:
        return torch.from_numpy(np.frombuffer(bytes.fromhex(written), dtype=np.uint8).copy())

    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    legacy = state["numpy"]
    key = np.array(legacy["state"]["key"], dtype=np.uint32)
    np.random.set_state(legacy | {"state": legacy["state"] | {"key": key}})
    torch.set_rng_state(tensor(state["torch"]))
    if state["cuda"] and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([tensor(each) for each in state["cuda"]])
