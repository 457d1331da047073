"""Why a model cannot be used here, and what it can do: by its config.json and the names of its files.

Nothing foreign is run, unpickled or read from elsewhere. Knows nothing of where the files come from.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bertspace.errors import ModelError
from bertspace.safety.config import check_counts, encoder_types, heads, plain_config
from bertspace.safety.json_values import CONFIG, Rejected, naming, read_json
from bertspace.safety.layout import ADAPTER_CONFIG, weights_of
from bertspace.safety.room import weight_names
from bertspace.tasks import TASKS, Task

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")  # and SentencePiece's *.model
SENTENCEPIECE = ("sentencepiece", "protobuf")  # the packages that those are read by
UNREADABLE = "has a config.json that cannot be read: it is broken, or far too large"
PICKLES = (".bin", ".h5", ".ckpt", ".msgpack")
_HEAD = re.compile(r"For[A-Z][A-Za-z]+$|Model$")  # what transformers' classes end in


def why_not(
    config: Mapping[str, Any] | None, files: Collection[str], task: str = "", weights: Collection[str] = ()
) -> str:
    """Why a model cannot be used here, as what follows its name ("has no tokenizer"); "" where it can.

    config: what config.json says; {} where it cannot be read, None where nobody has looked. files: the names
    of all that is in its folder or repository. task: what it has to have a head for; "" where it is to be
    trained, which makes a head. weights: see `lacks_head`.
    """
    if lacking := _lacking_file(files):
        return lacking
    if config is None:
        return ""
    if not config:
        return UNREADABLE
    if config.get("auto_map"):
        return "needs code of its own to run, and no foreign code runs here"
    if (kind := str(config.get("model_type"))) not in encoder_types():
        return f"is of the type {kind[:80]}: it is no encoder of the BERT family"
    try:
        plain_config(config)
    except Rejected as error:
        return f"cannot be loaded: {str(error).removesuffix('.')}"
    return lacks_head(config, TASKS[task], weights) if task else ""


def check(
    name: str,
    config: Mapping[str, Any] | None,
    files: Collection[str],
    task: str = "",
    weights: Collection[str] = (),
) -> None:
    """Raises ModelError where `why_not` has something to say."""
    if why := why_not(config, files, task, weights):
        raise ModelError(f"{name} {why}.", hint=_hint(files))


def checked_folder(folder: Path, name: str) -> Path:
    """The folder, if a model can be loaded from it; raises ModelError. `layout` says how it is read then."""
    files = [path.name for path in folder.iterdir() if path.is_file()]
    check(name, None, files)
    with naming(name):
        check_counts(read_json(folder / CONFIG))
    return folder


def _lacking_file(files: Collection[str]) -> str:
    if CONFIG not in files and ADAPTER_CONFIG not in files:
        return f"has no {CONFIG}"
    if not weights_of(files):
        pickled = sorted(name for name in files if name.endswith(PICKLES))
        return f"has no safetensors weights{f', only {pickled[0]}' if pickled else ''}"
    if not any(file in TOKENIZERS or file.endswith(".model") for file in files):
        return f"has no tokenizer: none of {', '.join(TOKENIZERS)} is there"
    if lacking := lacking_packages(files):
        return f"has a tokenizer of SentencePiece, and here {' and '.join(lacking)} is not installed"
    return ""


def _hint(files: Collection[str]) -> str:
    if not weights_of(files) and any(name.endswith(PICKLES) for name in files):
        return (
            "Pickled weights can run code when read; choose a model with model.safetensors, or use the "
            "folder (downloaded) with: python -m bertspace import FOLDER"
        )
    if lacking := lacking_packages(files):
        return f"Run: pip install {' '.join(lacking)}"
    return "Choose another model."


def lacking_packages(files: Collection[str]) -> list[str]:
    """What is not installed of what SentencePiece's files are read by, where a tokenizer is nothing else."""
    if set(files) & set(TOKENIZERS) or not any(name.endswith(".model") for name in files):
        return []
    return [package for package in SENTENCEPIECE if not _is_installed(package)]


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def lacks_head(config: Mapping[str, Any], task: Task, weights: Collection[str] = ()) -> str:
    """Why this configuration has no head for the task; "" where it has one.

    weights: the names of its weights, as far as they are known: a configuration that names no head, or one of
    pre-training, which has several, is judged by them; without them it is let through, and judged when it is
    loaded.
    """
    named = heads(config)
    if any(head.endswith(f"For{task.head}") for head in named):
        return ""
    if tells_head(config):
        return f"is a {named[0][:80]} and does not {task.to_do}"
    if not weights or any(task.head_weights.search(weight) for weight in weights):
        return ""
    return f"has no weights of a head that could {task.to_do}"


def tells_head(config: Mapping[str, Any]) -> bool:
    """Whether a configuration says which heads there are: not where it names none, a class that is none of
    transformers', or one that was pretrained with several ("ForPreTraining" is another one for each type).
    """
    named = heads(config)
    several = any(head.endswith(("ForPreTraining", "LMHeadModel")) for head in named)
    return not several and any(_HEAD.search(head) for head in named)


def task_of(config: Mapping[str, Any], weights: Collection[str] = ()) -> str:
    """What a model does here, by its configuration, and where that does not say by its weights; "" for a bare
    encoder and for what is not known."""
    if tells_head(config) or weights:
        return next((name for name, task in TASKS.items() if not lacks_head(config, task, weights)), "")
    return ""


def telling_weights(config: Mapping[str, Any], folder: Path) -> Collection[str]:
    """`weight_names` of the folder, where its configuration does not tell the heads; else none."""
    return () if tells_head(config) else weight_names(folder)
