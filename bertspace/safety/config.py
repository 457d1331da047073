"""Rewrite config.json: only the fields of the model type's own configuration class, with plain values."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from bertspace.safety.json_values import CONFIG, MAX_LABEL, Rejected, line, listed, naming, plain, text

MAX_COUNT = 10_000  # labels, layers
# What older versions of transformers wrote, which the classes of today still read.
OLDER_KEYS = {
    *(
        "num_labels",
        "torch_dtype",
        "tokenizer_class",
        "position_embedding_type",
        "rope_theta",
        "rope_scaling",
    ),
    *("global_rope_theta", "local_rope_theta", "global_attn_every_n_layers", "mask_token_id"),
}
# Fields of every configuration that change what a model gives back, or say nothing about it.
LEFT_OUT = {
    *("output_hidden_states", "output_attentions", "return_dict", "is_encoder_decoder", "is_decoder"),
    *("add_cross_attention", "use_cache", "transformers_version", "per_layer_config", "use_bfloat16"),
}
# What is computed with before transformers looks at it.
SIZES = ("hidden_size", "dim", "vocab_size", "max_position_embeddings", "pad_token_id", "num_hidden_layers")
# RoBERTa and its kin, by what their types are called.
COUNTING_FROM_PADDING = (
    "roberta",
    "camembert",
    "mpnet",
    "longformer",
    "data2vec",
    "ibert",
    "xmod",
    "luke",
    "esm",
)
# Of these transformers makes lists when it reads them: names of labels, types of layers.
COUNTED = ("num_labels", "num_hidden_layers", "num_layers", "n_layers", "n_layer")


NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}", re.ASCII)  # of a class
_FLOATS = ("float32", "float16", "bfloat16", "torch.float32", "torch.float16", "torch.bfloat16", "float")
_IMPORTING = threading.Lock()


def model_config(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What config.json says in the fields that its model type has; raises ModelError."""
    with naming(name):
        return plain_config(config)


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the model type's configuration class has, with plain values; raises Rejected."""
    known = _fields(str(config.get("model_type")))
    found = {"model_type": config.get("model_type")}
    for key in sorted(known & set(config) - LEFT_OUT):
        found[key] = _config_value(key, config[key])
    check_counts(found)
    if names := found.pop("id2label", None):
        found |= {"id2label": names, "label2id": {label: int(key) for key, label in names.items()}}
        found.pop("num_labels", None)  # the names say how many there are
    else:
        found.pop("label2id", None)
    return found


def library() -> Any:
    """transformers, imported by one thread at a time.

    It puts another object in its own place meanwhile, and a thread that waited for it gets the old one.
    """
    with _IMPORTING:
        import torch  # noqa: F401
        import transformers

        return sys.modules[transformers.__name__]


@lru_cache(maxsize=1)
def encoder_types() -> frozenset[str]:
    """The model types that fill masks and classify, and do not decode."""
    library()
    from transformers.models.auto import modeling_auto as auto

    both = set(auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES) & set(
        auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    )
    return frozenset(both - set(auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES))


def counts_from_padding(model_type: str) -> bool:
    """Whether a type puts the first token behind the padding index: two positions are not used."""
    return any(kin in model_type for kin in COUNTING_FROM_PADDING)


def check_counts(config: Mapping[str, Any]) -> None:
    """Raises Rejected for so many labels or layers that reading them would take gigabytes."""
    for key in COUNTED:
        if isinstance(count := config.get(key), int) and not (key != "num_labels") <= count <= MAX_COUNT:
            bound = f"the limit is {MAX_COUNT:,}" if count > 0 else "it needs one at least"
            raise Rejected(f"its {CONFIG} says {key}: {count:,}; {bound}.")


@lru_cache(maxsize=64)
def _fields(model_type: str) -> frozenset[str]:
    """The keys that a model type's configuration knows; raises Rejected for a type that is none of ours."""
    from dataclasses import fields

    if model_type not in encoder_types():
        raise Rejected(f"it is of the type {model_type[:80]!r}, which is no encoder of the BERT family.")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    if kind.sub_configs_defaults:
        raise Rejected(f"it is made of several models ({model_type}).")
    return frozenset({field.name for field in fields(kind)} | set(kind.attribute_map) | OLDER_KEYS)


def heads(config: Mapping[str, Any]) -> list[str]:
    """The architectures that a config.json names."""
    return [each for each in listed(config.get("architectures")) if isinstance(each, str)]


def _config_value(key: str, value: Any) -> Any:
    if key == "id2label":
        return _labels(value)
    if key == "label2id":
        return None  # made from id2label
    if key == "architectures":
        return [head for head in heads({key: value}) if NAME.fullmatch(head)][:8]
    if key == "tokenizer_class":
        return value if isinstance(value, str) and NAME.fullmatch(value) else None
    if key in ("dtype", "torch_dtype"):
        return value if value in _FLOATS else None
    if key in SIZES and value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Rejected(f"{CONFIG} says {key}: {str(value)[:60]!r}, which is no number.")
    return plain(value, f"{CONFIG} says {key}")


def _labels(value: Any) -> dict[str, str] | None:
    """The names of labels by their numbers, counted from 0."""
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) > MAX_COUNT:
        raise Rejected(f"{CONFIG} has an id2label that is no object of at most {MAX_COUNT:,} labels.")
    try:
        named = {int(number): line(text(str(label), MAX_LABEL)) for number, label in value.items()}
    except ValueError as error:
        raise Rejected(f"{CONFIG} has labels without numbers.") from error
    if sorted(named) != list(range(len(named))):
        raise Rejected(f"{CONFIG} has labels whose numbers do not count from 0.")
    return {str(number): named[number] for number in sorted(named)}
