"""Old checkpoints to folders that load safely: pytorch_model.bin, and the original TensorFlow BERT.

A pickle is read by torch's weights_only reader alone, which builds tensors and calls nothing. What is made is
put together beside its place and renamed: a folder that is there is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.errors import ModelError
from bertspace.models import weights
from bertspace.models.legacy import bert, tensorflow
from bertspace.models.loading import LOADING, quiet
from bertspace.safety import layout, loadable
from bertspace.safety.config import library, model_config
from bertspace.safety.json_values import CONFIG, read_json

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

PICKLED, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
KEPT = ("bpe.codes", "README.md", "LICENSE", "LICENSE.txt")  # beside the tokenizer's files
# What stands in front of every name where a model was trained in parallel, compiled, or part of another.
WRAPPERS = ("module.", "_orig_mod.", "model.", "0.auto_model.", "auto_model.")
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Imported:
    """What an import made. kind: "pytorch" or "tensorflow". left_out: what was read and is not in it.

    lower_case: whether the tokenizer that was made lowers letters; None where the folder's own was kept.
    """

    folder: Path
    kind: str
    architectures: tuple[str, ...]
    parameters: int
    bytes: int
    left_out: tuple[str, ...]
    lower_case: bool | None


@dataclass(frozen=True)
class _Read:
    """A checkpoint in memory: its weights by transformers' names, and its config.json as it is to be."""

    weights: Mapping[str, Tensor]
    config: dict[str, Any]
    left_out: tuple[str, ...] = ()


def default_output(folder: Path) -> Path:
    """The folder beside it that an import makes."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}-safetensors")


def import_checkpoint(
    folder: Path, output: Path | None = None, *, lower_case: bool | None = None
) -> Imported:
    """Make a folder that plain transformers loads from an old one, which stays as it is; raises ModelError.

    folder: with config.json and pytorch_model.bin (or its shards), or with bert_config.json, vocab.txt and a
    TensorFlow checkpoint, whose path up to .index may be given too. output: missing or empty. lower_case: of
    a BERT tokenizer made from vocab.txt; None: as the vocabulary looks.
    """
    folder = folder.expanduser().resolve()
    output = output.expanduser().resolve() if output else default_output(folder)
    _check_output(output)
    kind, prefix = _kind(folder)
    place = prefix.parent if prefix else folder
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".import-") as name:
            made = Path(name) / "model"
            made.mkdir()
            read = _read_tensorflow(prefix, Path(name)) if prefix else _read_pytorch(folder)
            _copy_texts(place, made, Path(name) / "texts")
            _check(place, made, read.config)
            config = _configuration(read)
            lowered = bert.write_tokenizer(made, config, lower_case)
            parameters, unread = _write_model(read, config, made)
            os.rename(made, output)  # takes the place of an empty folder
    except OSError as error:
        where = error.filename or output
        raise ModelError(f"The import ended early: {where}: {error.strerror or error}.") from error
    return Imported(
        output,
        kind,
        tuple(read.config["architectures"]),
        parameters,
        sum(path.stat().st_size for path in output.iterdir()),
        (*read.left_out, *unread),
        lowered,
    )


def _check_output(output: Path) -> None:
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise ModelError(f"{output} is there already.", hint="Give another folder with --output.")


def _kind(folder: Path) -> tuple[str, Path | None]:
    """("pytorch", None), or "tensorflow" and what its files are called."""
    if any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder.name} has safetensors weights already.", hint="It can be used as it is: give its path."
        )
    if (folder / PICKLED).is_file() or (folder / INDEX).is_file():
        return "pytorch", None
    if prefix := tensorflow.prefix_of(folder):
        return "tensorflow", prefix
    if not folder.is_dir():
        raise ModelError(f"There is no folder {folder}.", hint="Give one with an old checkpoint.")
    raise ModelError(
        f"{folder.name} holds no old checkpoint: neither {PICKLED} nor bert_model.ckpt.index.",
        hint="Give the folder with the weights.",
    )


# PyTorch


def _read_pytorch(folder: Path) -> _Read:
    weights: dict[str, Tensor] = {}
    for file in _pickles(folder):
        weights |= unpickled(file)
    weights = {_modern(name): tensor for name, tensor in unwrapped(weights).items()}
    named = folder / "config.json"
    config = read_json(named) if named.is_file() else bert.settings(folder)
    if "model_type" not in config and any(name.endswith("token_type_embeddings.weight") for name in weights):
        config["model_type"] = "bert"  # before 2020 it was told by the folder's name
    if config.get("model_type") == "bert":
        bert.name_heads(config, weights)
    return _Read(weights, config)


def _pickles(folder: Path) -> list[Path]:
    """The files that hold the weights, each of them in the folder itself."""
    if not (folder / INDEX).is_file():
        return [folder / PICKLED]
    names = read_json(folder / INDEX).get("weight_map")
    files = sorted(set(map(str, names.values()))) if isinstance(names, dict) else []
    for name in files:
        if Path(name).name != name or not (folder / name).is_file():
            raise ModelError(f"{INDEX} names {name}, which is not in the folder.", hint="Download it too.")
    if not files:
        raise ModelError(f"{INDEX} names no files.", hint="Download it again.")
    return [folder / name for name in files]


def unpickled(file: Path) -> dict[str, Tensor]:
    """The tensors of a file of torch.save, mapped where its format lets them be; raises ModelError.

    A pickle that asks for anything but tensors is refused where it asks, before anything was called.
    """
    import torch

    with file.open("rb") as opened:
        mapped = opened.read(4) == ZIP  # as torch has saved since 2020
    try:
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever a damaged or hostile file may raise in the reader
        why = str(error).partition("WeightsUnpickler error: ")[2] or str(error) or type(error).__name__
        raise ModelError(
            f"{file.name} is damaged or holds more than tensors, and nothing of it was run: "
            f"{' '.join(why.split())[:160]}",
            hint="Get the model as safetensors, or from somebody you trust.",
        ) from error
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in found.items()
    ):
        raise ModelError(
            f"{file.name} is no state dict: tensors by their names were expected.",
            hint="Save the model's state_dict().",
        )
    return found


def unwrapped(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The weights by the names that they have where nothing is wrapped around the model."""
    for prefix in WRAPPERS:
        if weights and all(name.startswith(prefix) for name in weights):
            return unwrapped({name.removeprefix(prefix): tensor for name, tensor in weights.items()})
    return weights


def _modern(name: str) -> str:
    """The name with a LayerNorm's gamma and beta called weight and bias, as since 2019."""
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        name = name.replace(old, new)
    return name


# TensorFlow


def _read_tensorflow(prefix: Path, scratch: Path) -> _Read:
    import torch

    config = bert.settings(prefix.parent)
    arrays, others = tensorflow.read(prefix, scratch / "variables.npz")
    (scratch / "variables.npz").unlink()
    config |= {"model_type": "bert"}
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    bert.name_heads(config, weights)
    return _Read(weights, config, tuple(others))


# What both have in common


def _copy_texts(folder: Path, made: Path, scratch: Path) -> None:
    """The tokenizer's files as `layout` has them, as files of their own, and the words about the model."""
    scratch.mkdir()
    layout.lay_out_tokenizer(folder, scratch, folder.name)
    for path in (*scratch.iterdir(), *(folder / name for name in KEPT)):
        if path.is_file():
            shutil.copyfile(path, made / path.name)


def _check(folder: Path, made: Path, config: dict[str, Any]) -> None:
    """Raises ModelError where the model would not load, or only by running code of its own."""
    written = (CONFIG, layout.WEIGHTS)  # next
    loadable.check(folder.name, config, [*written, *(path.name for path in made.iterdir())])


def _configuration(read: _Read) -> PreTrainedConfig:
    """transformers' own object of a config.json, of a size that the weights can have; raises ModelError."""
    from huggingface_hub.errors import StrictDataclassError

    kind = read.config["model_type"]
    plain = model_config(read.config, "the checkpoint")
    settings = {key: value for key, value in plain.items() if key not in ("model_type", "torch_dtype")}
    try:
        config = library().AutoConfig.for_model(kind, **settings)
        layers = config.num_hidden_layers
    except (ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"config.json is not that of a model of the type {kind}: {why}") from error
    if layers > len(read.weights):
        raise ModelError(f"config.json speaks of {layers} layers, and there are {len(read.weights)} weights.")
    return config


def _write_model(read: _Read, config: PreTrainedConfig, made: Path) -> tuple[int, list[str]]:
    """Save the weights as the model that the configuration names; how many numbers it has, and the names that
    it has no place for.

    The model takes the tensors as they are, mapped ones too: there is no second copy in memory.
    """
    import torch

    kind = _class(config)
    types = {tensor.dtype for tensor in read.weights.values() if tensor.is_floating_point()}
    with LOADING, quiet(), _fitting():
        _check_shapes(kind, config, read.weights)
        model, report = kind.from_pretrained(
            None,
            config=config,
            state_dict=dict(read.weights),
            dtype=types.pop() if len(types) == 1 else torch.float32,
            output_loading_info=True,
        )
        found = weights.Report.of(report)
        absent = found.missing
        if lacking := sorted(name for name in absent if "pooler." not in name):
            raise ModelError(
                f"The checkpoint lacks weights of a {kind.__name__}: {', '.join(lacking[:3])}.",
                hint="Name what it is under architectures in config.json.",
            )
        weights.check(model, found, "The checkpoint")
        # A pooler that was not there stays away: at random it would mislead.
        state = {name: tensor for name, tensor in model.state_dict().items() if name not in absent}
        model.save_pretrained(made, state_dict=state)
    _set_architectures(made / "config.json", read.config["architectures"])
    return sum(weight.numel() for weight in model.parameters()), sorted(found.unexpected)


@contextmanager
def _fitting() -> Iterator[None]:
    """Turns what transformers raises for weights and a configuration that do not go together."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"The weights do not fit config.json: {why}") from error


def _check_shapes(
    kind: type[PreTrainedModel], config: PreTrainedConfig, weights: Mapping[str, Tensor]
) -> None:
    """Raises ModelError where a weight is not as large as the configuration says: which, transformers only
    logs.
    """
    import torch

    with torch.device("meta"):
        wanted = kind(config).state_dict()
    for name, tensor in weights.items():
        if name in wanted and wanted[name].shape != tensor.shape:
            raise ModelError(
                f"{name} is {tuple(tensor.shape)}, and config.json asks for {tuple(wanted[name].shape)}.",
                hint="Use the configuration that came with these weights.",
            )


def _class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The model's class, one of transformers' for this configuration; raises ModelError."""
    transformers = library()
    names = list(config.architectures or ())
    for name in reversed(names):
        found = getattr(transformers, str(name), None)
        if isinstance(found, type) and getattr(found, "config_class", None) is type(config):
            return found
    raise ModelError(
        f"config.json names no architecture of the type {config.model_type} that transformers has: "
        f"{', '.join(map(str, names)) or 'none at all'}.",
        hint="Write it in, for example: RobertaForMaskedLM",
    )


def _set_architectures(file: Path, names: Iterable[str]) -> None:
    config = json.loads(file.read_text(encoding="utf-8")) | {"architectures": list(names)}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
