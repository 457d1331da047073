"""Lay a model out before anything reads it: a folder of ours, with known files, rewritten from what is known.

transformers obeys what a model's JSON files say, and some of it names other files: a vocabulary anywhere on
this machine, shards above the folder, code. So no foreign file is ever shown to it. `laid_out` makes a folder
that holds the weights by plain name, and each JSON file written anew from an allow-list of keys with plain
values. One function for the Hub's models, folders, runs and imports. Knows nothing of where they come from.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from bertspace.safety.config import model_config
from bertspace.safety.json_values import CONFIG, Rejected, naming, read_json
from bertspace.safety.tokenizer import LARGE_BYTES, REWRITTEN, VOCABULARIES

SAFETENSORS = ".safetensors"
WEIGHTS, INDEX = f"model{SAFETENSORS}", f"model{SAFETENSORS}.index.json"
ADAPTER, ADAPTER_CONFIG = f"adapter_model{SAFETENSORS}", "adapter_config.json"
INDEX_BYTES = 16 * 1024**2
MAX_SHARDS = 1_000
MAX_FOLDERS = 16  # laid out by this process

_SHARD = re.compile(r"[A-Za-z0-9][\w.-]{0,199}\.safetensors", re.ASCII)
_USUAL_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")  # as transformers calls them
VARIANT = re.compile(r"model\.[A-Za-z0-9_]{1,20}\.safetensors")  # the same in half precision: model.fp16.…

_folders: OrderedDict[tuple[object, ...], Path] = OrderedDict()
_making = threading.Lock()


def laid_out(folder: Path, name: str) -> Path:
    """The folder that is loaded in the place of a model's own, made once for files that have not changed.

    name: what the model is called in errors. Raises ModelError for what cannot be obeyed.
    """
    with _making:
        key = (folder, *_stamps(folder))
        if (known := _folders.get(key)) is not None and known.is_dir():
            _folders.move_to_end(key)
            return known
        target = Path(tempfile.mkdtemp(dir=_place().name))
        try:
            lay_out(folder, target, name)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        _folders[key] = target
        while len(_folders) > MAX_FOLDERS:
            shutil.rmtree(_folders.popitem(last=False)[1], ignore_errors=True)
        return target


def lay_out(folder: Path, target: Path, name: str) -> None:
    """Fill the folder `target` with what of a model's folder is known and plain; raises ModelError."""
    _write(target / CONFIG, model_config(read_json(folder / CONFIG), name))
    lay_out_tokenizer(folder, target, name)
    with naming(name):
        _link_weights(folder, target)


def lay_out_tokenizer(folder: Path, target: Path, name: str) -> None:
    """The same for the files of its tokenizer alone."""
    with naming(name):
        for file, (most, rewritten) in REWRITTEN.items():
            if (folder / file).is_file():
                _write(target / file, rewritten(read_json(folder / file, most)))
        for file in VOCABULARIES:
            if (folder / file).is_file():
                _link(folder / file, target / file, LARGE_BYTES)


@lru_cache(maxsize=1)
def _place() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process, removed with it."""
    return tempfile.TemporaryDirectory(prefix="bertspace-models-", ignore_cleanup_errors=True)


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """What tells that files have changed: names, sizes and times of what a layout is made of."""
    found = []
    with suppress(OSError):
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            if entry.name.endswith((".json", ".txt", ".model", ".safetensors")):
                with suppress(OSError):
                    status = entry.stat()
                    found.append((entry.name, status.st_size, status.st_mtime_ns))
    return found


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _link(source: Path, place: Path, most: int = 0) -> None:
    """The file itself by its plain name; a copy where the file system has no links."""
    file = source.resolve()
    if most and file.stat().st_size > most:
        raise Rejected(f"{place.name} has more than {most:,} bytes.")
    try:
        place.symlink_to(file)
    except OSError:
        shutil.copyfile(file, place)


# Weights


def _link_weights(folder: Path, target: Path) -> None:
    """model.safetensors, or the shards of its index, which are files beside it and nothing else."""
    if (folder / WEIGHTS).is_file():
        _link(folder / WEIGHTS, target / WEIGHTS)
    elif (folder / INDEX).is_file():
        shards = _shards_of(read_json(folder / INDEX, INDEX_BYTES))
        for shard in sorted(set(shards.values())):
            if not (folder / shard).is_file():
                raise Rejected(f"its weights lack {shard}.")
            _link(folder / shard, target / shard)
        _write(target / INDEX, {"metadata": {}, "weight_map": shards})
    elif variants := [path for path in sorted(folder.iterdir()) if VARIANT.fullmatch(path.name)]:
        _link(variants[0], target / WEIGHTS)
    else:
        raise Rejected(f"it has neither {WEIGHTS} nor {INDEX}.")


def weights_of(names: Collection[str]) -> list[str]:
    """The files of weights that a model is loaded from, by the names of all files beside them.

    Whole ones go before shards, an adapter, and a variant such as model.fp16.safetensors.
    """
    if WEIGHTS in names:
        return [WEIGHTS]
    if INDEX in names:
        plain = [name for name in names if _SHARD.fullmatch(name) and name != ADAPTER]
        return [name for name in plain if _USUAL_SHARD.fullmatch(name)] or plain
    if {ADAPTER, ADAPTER_CONFIG} <= set(names):
        return [ADAPTER]
    return sorted(name for name in names if VARIANT.fullmatch(name))[:1]


def weight_map(folder: Path, name: str) -> dict[str, str]:
    """The shard of each weight, as an index says: plain names alone; raises ModelError.

    Whether anything else that it names is there is nobody's to know.
    """
    with naming(name):
        return _shards_of(read_json(folder / INDEX, INDEX_BYTES))


def _shards_of(index: Mapping[str, Any]) -> dict[str, str]:
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise Rejected(f"{INDEX} names no files.")
    if not all(isinstance(shard, str) and _SHARD.fullmatch(shard) for shard in shards.values()):
        raise Rejected(f"{INDEX} names files that are not plain names of safetensors files.")
    if len(set(shards.values())) > MAX_SHARDS:
        raise Rejected(f"{INDEX} names more than {MAX_SHARDS:,} files.")
    return shards
