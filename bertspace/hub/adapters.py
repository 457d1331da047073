"""A LoRA adapter of the Hub, merged into its base: a model's files, which are loaded as any other's are.

Of an adapter nothing but numbers is read: its matrices, and of its configuration the few settings that say
how they are added. peft is not asked, which obeys far more. The merged model lies in the adapter's own folder
of the cache, by the base that it was made with, and goes with it. Knows nothing of how files are brought.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.errors import HubError, ModelError
from bertspace.hub import names as hub_names
from bertspace.hub.cache import MERGED, NEEDED, PROBE
from bertspace.safety.config import MAX_COUNT, library
from bertspace.safety.json_values import CONFIG, read_json
from bertspace.safety.layout import ADAPTER, ADAPTER_CONFIG, INDEX, SAFETENSORS, WEIGHTS, laid_out
from bertspace.safety.loadable import TOKENIZERS
from bertspace.tasks import TASKS, Task

if TYPE_CHECKING:
    from torch import Tensor

MADE_OF = "made_of.json"  # the two folders that a merged model is made of
MAX_RANK = 512
PREFIX = "base_model.model."
LEFT, RIGHT = ".lora_B.weight", ".lora_A.weight"  # (out, rank) and (rank, in)
# Settings that do not change what is added, whatever they say; any other one has to be empty.
HARMLESS = {
    *("base_model_name_or_path", "revision", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora"),
    *("target_modules", "exclude_modules", "modules_to_save", "bias", "inference_mode", "auto_mapping"),
    *("layers_pattern", "layers_to_transform", "peft_type", "peft_version", "megatron_core", "loftq_config"),
    *("qalora_group_size", "ensure_weight_tying", "init_lora_weights"),
}
PLAIN_INITS = (True, False, None, "gaussian", "orthogonal")  # others change the base as well
# Where transformers' classifiers have their last layer.
LAST_LAYERS = ("classifier.out_proj.weight", "classifier.weight", "score.weight")
LABELS = "labels"  # in the file's metadata: bertspace's own adapters name them
_HINT = "Choose another model, or merge it into its base by peft's merge_and_unload."


@dataclass(frozen=True)
class Adapter:
    """What an adapter_config.json says. base: of the Hub, with its revision; scale: of what is added."""

    base: str
    rank: int
    scale: float


def is_adapter(names: Collection[str]) -> bool:
    """Whether a folder with these files is an adapter alone."""
    return {ADAPTER, ADAPTER_CONFIG} <= set(names) and WEIGHTS not in names and INDEX not in names


def read(config: Mapping[str, Any], name: str) -> Adapter:
    """The settings of an adapter that can be merged; raises ModelError for any other."""
    if (kind := config.get("peft_type")) != "LORA":
        raise ModelError(f"{name} is an adapter by {str(kind)[:40]!r}; LoRA is read here.", hint=_HINT)
    odd = [key for key in sorted(config) if key not in HARMLESS and config[key]]
    if config.get("init_lora_weights") not in PLAIN_INITS:
        odd.append("init_lora_weights")
    if odd:
        raise ModelError(f"The adapter {name} sets {odd[0][:60]}, which is not read here.", hint=_HINT)
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= MAX_RANK:
        raise ModelError(f"The adapter {name} has the rank {str(rank)[:20]}: not in 1 to {MAX_RANK}.", _HINT)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not abs(alpha) < 1e6:
        raise ModelError(f"The adapter {name} has the lora_alpha {str(alpha)[:20]!r}.", hint=_HINT)
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return Adapter(_base(config, name), rank, scale)


def read_folder(snapshot: Path, name: str) -> Adapter:
    """The same of the folder that it lies in."""
    return read(read_json(snapshot / ADAPTER_CONFIG), name)


def _base(config: Mapping[str, Any], name: str) -> str:
    """The base that the adapter names, as the Hub has it; raises ModelError for a place of a machine."""
    named, revision = str(config.get("base_model_name_or_path") or ""), config.get("revision")
    try:
        found = hub_names.parse(named)
        if revision and not found.revision:
            found = hub_names.parse(f"{found.repo_id}@{revision}")
    except HubError as error:
        raise ModelError(
            f"The adapter {name} names {named[-80:]!r} as its base, which is no model of the Hub.", hint=_HINT
        ) from error
    return str(found)


def two_adapters(repo_id: str, base_id: str) -> ModelError:
    return ModelError(
        f"The base of {repo_id}, {base_id}, is an adapter itself.",
        hint="Merge it into its base by peft's merge_and_unload first.",
    )


def merged_place(snapshot: Path, base: Path) -> Path:
    """Where the adapter lies merged into the base of this folder."""
    return snapshot / f"{MERGED}{hashlib.sha256(str(base.resolve()).encode()).hexdigest()[:16]}"


def made_of(folder: Path) -> list[Path]:
    """The two folders that a merged model was made of; none of any other folder."""
    if not (folder.name.startswith(MERGED) and (folder / MADE_OF).is_file()):
        return []
    found = json.loads((folder / MADE_OF).read_text(encoding="utf-8"))
    return [folder.parent, Path(found["base"])]


def merge(snapshot: Path, base: Path, name: str) -> Path:
    """The folder of the model that the adapter and its base make; raises ModelError where they do not fit."""
    if (target := merged_place(snapshot, base)).is_dir():
        return target
    adapter = read_folder(snapshot, name)
    fresh = Path(tempfile.mkdtemp(dir=snapshot, prefix=".merging-"))
    try:
        _write(adapter, snapshot, base, fresh, name)
        (fresh / MADE_OF).write_text(json.dumps({"base": str(base)}), encoding="utf-8")
        try:
            os.rename(fresh, target)
        except OSError:
            if not target.is_dir():  # another process was quicker
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _write(adapter: Adapter, snapshot: Path, base: Path, folder: Path, name: str) -> None:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file, save_file

    try:
        added = load_file(snapshot / ADAPTER)
        with safe_open(snapshot / ADAPTER, "pt") as opened:
            told = opened.metadata() or {}
        files = sorted(laid_out(base, name).glob(f"*{SAFETENSORS}"))
        tensors = {key: tensor for file in files for key, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"The weights of {name} or of its base cannot be read.", hint=_HINT) from error
    tensors = merged(tensors, added, adapter, name)
    config = merged_config(read_json(base / CONFIG), shapes(added), told.get(LABELS, ""))
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    save_file({key: each.contiguous() for key, each in tensors.items()}, folder / WEIGHTS, {"format": "pt"})
    own = any((snapshot / file).is_file() for file in TOKENIZERS) or any(snapshot.glob("*.model"))
    for file in NEEDED - {CONFIG, INDEX, "README.md"}:
        if (source := (snapshot if own else base) / file).is_file():
            shutil.copyfile(source, folder / file)
    if (probe := snapshot / PROBE).is_file():  # what the base knew
        shutil.copyfile(probe, folder / PROBE)


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """By the names that the model has for them, of tensors that are not LoRA's."""
    return {plain_name(key): tuple(each.shape) for key, each in tensors.items() if ".lora_" not in key}


def merged(
    tensors: dict[str, Tensor], added: Mapping[str, Tensor], adapter: Adapter, name: str
) -> dict[str, Tensor]:
    """The base's tensors with the adapter's in them: products are added, others take the base's place."""
    lone = {key for key in added if key.endswith(LEFT) and key.removesuffix(LEFT) + RIGHT not in added}
    if odd := next((key for key in added if not key.startswith(PREFIX) or key in lone), ""):
        raise ModelError(f"The adapter {name} holds {odd[:80]!r}, which is not read here.", hint=_HINT)
    pairs = {plain_name(key.removesuffix(RIGHT)): key for key in added if key.endswith(RIGHT)}
    tensors = _prefixed(dict(tensors), pairs)
    for key, tensor in added.items():
        if not key.endswith((LEFT, RIGHT)):
            _replace(tensors, plain_name(key), tensor, name)
    for target, right in pairs.items():
        weight, left = f"{target}.weight", right.removesuffix(RIGHT) + LEFT
        if weight not in tensors or left not in added:
            raise ModelError(f"The adapter {name} changes {weight[:80]}, which its base lacks.", hint=_HINT)
        tensors[weight] = _sum(tensors[weight], added[left], added[right], adapter, f"{weight} of {name}")
    return tensors


def plain_name(key: str) -> str:
    """A tensor's name as the model without an adapter has it."""
    return key.removeprefix(PREFIX).replace(".base_layer.", ".").replace(".modules_to_save.", ".")


def _prefixed(tensors: dict[str, Tensor], targets: Collection[str]) -> dict[str, Tensor]:
    """The base's tensors by the names that a model with a head has: of a bare encoder they lack its name."""
    first = {target.partition(".")[0] for target in targets}
    if len(first) != 1 or any(f"{target}.weight" in tensors for target in targets):
        return tensors
    (encoder,) = first
    return {f"{encoder}.{key}": tensor for key, tensor in tensors.items()}


def _sum(weight: Tensor, left: Tensor, right: Tensor, adapter: Adapter, called: str) -> Tensor:
    matches = (
        left.dim() == right.dim() == weight.dim() == 2 and left.shape[1] == right.shape[0] == adapter.rank
    )
    if not matches or (left.shape[0], right.shape[1]) != tuple(weight.shape):
        raise ModelError(f"The adapter's update does not fit {called}.", hint=_HINT)
    return weight.float() + adapter.scale * (left.float() @ right.float())


def _replace(tensors: dict[str, Tensor], key: str, tensor: Tensor, name: str) -> None:
    older = key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    is_head = any(task.head_weights.search(key) for task in TASKS.values()) or ".pooler." in f".{key}"
    place = older if older in tensors else key
    matches = place in tensors and tensors[place].shape == tensor.shape
    if ".lora_" in key or ".original_module." in key or not (matches or is_head):
        raise ModelError(f"The adapter {name} holds {key[:80]}, which its base has no place for.", hint=_HINT)
    tensors[place] = tensor.float() if tensor.is_floating_point() else tensor


def merged_config(
    base: Mapping[str, Any], heads: Mapping[str, tuple[int, ...]], labels: str = ""
) -> dict[str, Any]:
    """The base's config.json with the head that the adapter brings, and the names of its labels."""
    config = dict(base)
    task = next((each for each in TASKS.values() if any(map(each.head_weights.search, heads))), None)
    if task:
        config["architectures"] = [_architecture(str(config.get("model_type")), task)]
    last = next((heads[key] for key in LAST_LAYERS if key in heads), ())
    if task and task.has_labels and len(last) == 2 and 1 <= last[0] <= MAX_COUNT:
        names = _labels(labels, last[0]) or _named(base, last[0])
        config["id2label"] = {str(number): label for number, label in enumerate(names)}
        config["label2id"] = {label: number for number, label in enumerate(names)}
        config.pop("num_labels", None)
        config["problem_type"] = None
    return config


def _architecture(model_type: str, task: Task) -> str:
    """transformers' class for a model of this type with the task's head."""
    library()
    from transformers.models.auto import modeling_auto as auto

    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", task.head).upper()
    known: dict[str, str] = getattr(auto, f"MODEL_FOR_{words}_MAPPING_NAMES")
    return str(known.get(model_type) or f"For{task.head}")


def _labels(told: str, count: int) -> list[str]:
    """The names that the adapter's file gives to its labels; none where it gives others than `count`."""
    try:
        found: Any = json.loads(told) if told and len(told) < 10_000_000 else None
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        return []
    return found if len(found) == len(set(found)) == count else []


def _named(base: Mapping[str, Any], count: int) -> list[str]:
    """The base's own names where it has as many, else what transformers calls them."""
    named = base.get("id2label")
    if isinstance(named, dict) and sorted(named) == sorted(map(str, range(count))):
        return [str(named[str(number)]) for number in range(count)]
    return [f"LABEL_{number}" for number in range(count)]
