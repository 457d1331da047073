"""Whether a model's files can be loaded here: nothing foreign is run, unpickled or read from elsewhere.

Knows nothing of where they come from.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from bertspace.errors import ModelError

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")  # and SentencePiece's *.model
# What each task's checkpoints call themselves in config.json, "architectures".
HEADS = {"text-classification": "ForSequenceClassification", "fill-mask": "ForMaskedLM"}

_IMPORTING = threading.Lock()


def library() -> Any:
    """transformers, imported by one thread at a time.

    It puts another object in its own place meanwhile, and a thread that waited for it gets the old one.
    """
    with _IMPORTING:
        import torch  # noqa: F401
        import transformers

        return sys.modules[transformers.__name__]


def why_not(name: str, config: dict[str, Any], files: Iterable[str], task: str = "") -> str:
    """Why a model with this configuration and these files cannot be used; empty where it can.

    task: what it has to have a head for; "" where it is to be trained, which makes a head.
    """
    if config.get("auto_map"):
        return f"{name} needs code of its own to run, and no foreign code runs here."
    if str(config.get("model_type")) not in encoder_types():
        return f"{name} is of the type {config.get('model_type')}: it is no encoder of the BERT family."
    if not any(file in TOKENIZERS or file.endswith(".model") for file in files):
        return f"{name} has no tokenizer: none of {', '.join(TOKENIZERS)} is there."
    return lacking_head(name, config, task) if task else ""


@lru_cache(maxsize=1)
def encoder_types() -> frozenset[str]:
    """The model types that fill masks and classify, and do not decode."""
    library()
    from transformers.models.auto import modeling_auto as auto

    both = set(auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES) & set(
        auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    )
    return frozenset(both - set(auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES))


def checked_folder(folder: Path, name: str) -> Path:
    """The folder, if what it holds can be loaded without running or unpickling anything foreign."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{name} has no config.json.", hint="Choose a folder saved by save_pretrained.")
    if not any(folder.glob("*.safetensors")):
        pickled = ", ".join(sorted(path.name for path in folder.glob("*.bin")))
        raise ModelError(
            f"{name} has no safetensors weights{f', only {pickled}' if pickled else ''}.",
            hint="Pickled weights can run code when read; choose a model with model.safetensors, or use: "
            "bertspace import FOLDER",
        )
    check_tokenizer(folder, name)
    return folder


def check_tokenizer(folder: Path, name: str) -> None:
    """Raises ModelError where the tokenizer's configuration names files elsewhere.

    transformers prefers what stands there over the folder's own files: any text file of this machine could
    be read as a vocabulary, and shown to whoever asks for tokens.
    """
    path = folder / "tokenizer_config.json"
    for key, value in (read_config(path) if path.is_file() else {}).items():
        if key.endswith("_file") and value is not None and not _is_in(folder, value):
            raise ModelError(
                f"{name} names a file outside its folder in tokenizer_config.json ({key}).",
                hint="Choose another model, or take that line out.",
            )


def _is_in(folder: Path, name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name and (folder / name).is_file()


def read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path.parent.name}/config.json cannot be read.", hint="Choose another model."
        ) from error
    if not isinstance(config, dict):
        raise ModelError(
            f"{path.parent.name}/config.json is not a JSON object.", hint="Choose another model."
        )
    return config


def lacking_head(name: str, config: dict[str, Any], task: str) -> str:
    heads = config.get("architectures") or ["no known head"]
    if task == "features" or any(str(head).endswith(HEADS[task]) for head in heads):
        return ""
    what = "fill masks" if task == "fill-mask" else "classify"
    return f"{name} is a {heads[0]} and does not {what}."
