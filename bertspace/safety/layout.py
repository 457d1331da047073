"""Lay a model out before anything reads it: a folder of ours, with known files, rewritten from what is known.

transformers obeys what a model's JSON files say, and some of it names other files: a vocabulary anywhere on
this machine, shards above the folder, code. So no foreign file is ever shown to it. `laid_out` makes a folder
that holds the weights by plain name, and each JSON file written anew from an allow-list of keys with plain
values. One function for the Hub's models, folders, runs and imports. Knows nothing of where they come from.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from bertspace.errors import ModelError

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
VOCABULARIES = (  # read as they are: lines, or SentencePiece's protocol buffers
    *("vocab.txt", "merges.txt"),
    *("tokenizer.model", "spiece.model", "spm.model", "sentencepiece.bpe.model", "sentencepiece.model"),
)

# Bytes of a file. The largest vocabularies of encoders (256,000 pieces) take 34 MB as tokenizer.json.
CONFIG_BYTES, SMALL_BYTES, INDEX_BYTES, LARGE_BYTES = (size * 1024**2 for size in (1, 4, 16, 64))
# So many bytes to a bracket and to a comma, at least, counted before a file is parsed: 32 MB of `[],` would
# be gigabytes of lists. A merge takes 16 and more. Of a megabyte that are 116,000 lists at most.
BYTES_A_BRACKET, BYTES_A_COMMA, FREE, MOST_BRACKETS = 9, 4, 1000, 1_500_000

MOST_COUNTED = 10_000  # labels, layers
LARGEST_NUMBER = 2**53  # what a model may take is counted when it is built: see loadable
LONGEST_WORD = 200  # characters that WordPiece looks up piece by piece, in every way to cut them
LONGEST_TEXT, LONGEST_LABEL = 2_000, 500  # characters of a value; of a label's name
LONGEST_CHARSMAP = 4 * 1024**2  # of SentencePiece's table
MOST_VALUES, DEEPEST = 20_000, 4  # of a value that is a list or an object
MOST_SHARDS = 1_000
MOST_KEPT = 16  # laid-out folders of this process

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

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}", re.ASCII)
_SHARD = re.compile(r"[A-Za-z0-9][\w.-]{0,199}\.safetensors", re.ASCII)
VARIANT = re.compile(r"model\.[A-Za-z0-9_]{1,20}\.safetensors")  # the same in half precision: model.fp16.…
_FLOATS = ("float32", "float16", "bfloat16", "torch.float32", "torch.float16", "torch.bfloat16", "float")

_folders: OrderedDict[tuple[object, ...], Path] = OrderedDict()
_making = threading.Lock()
_IMPORTING = threading.Lock()


def laid_out(folder: Path, name: str) -> Path:
    """The folder that is loaded in the place of a model's own, made once for files that have not changed.

    name: what the model is called in errors. Raises ModelError for what cannot be obeyed.
    """
    with _making:
        key = (folder, *_stamps(folder))
        if (known := _folders.get(key)) is not None and known.is_dir():
            _folders.move_to_end(key)
            return known
        target = Path(tempfile.mkdtemp(dir=_place()))
        try:
            lay_out(folder, target, name)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        _folders[key] = target
        while len(_folders) > MOST_KEPT:
            shutil.rmtree(_folders.popitem(last=False)[1], ignore_errors=True)
        return target


def lay_out(folder: Path, target: Path, name: str) -> None:
    """Fill the folder `target` with what of a model's folder is known and plain; raises ModelError."""
    _write(target / CONFIG, model_config(read_json(folder / CONFIG), name))
    lay_out_tokenizer(folder, target, name)
    with _plainly(name):
        _link_weights(folder, target)


def lay_out_tokenizer(folder: Path, target: Path, name: str) -> None:
    """The same for the files of its tokenizer alone."""
    with _plainly(name):
        for file, (most, rewritten) in REWRITTEN.items():
            if (folder / file).is_file():
                _write(target / file, rewritten(read_json(folder / file, most)))
        for file in VOCABULARIES:
            if (folder / file).is_file():
                _link(folder / file, target / file, LARGE_BYTES)


def model_config(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What config.json says in the fields that its model type has; raises ModelError."""
    with _plainly(name):
        return _rewritten_config(config, name)


class _NotPlain(Exception):
    """What a file says that is not obeyed."""


@contextmanager
def _plainly(name: str) -> Iterator[None]:
    try:
        yield
    except _NotPlain as error:
        raise ModelError(f"{name} cannot be loaded: {error}", hint="Choose another model.") from error


@lru_cache(maxsize=1)
def _place() -> str:
    """A folder of this process, which goes with it."""
    folder = tempfile.TemporaryDirectory(prefix="bertspace-models-", ignore_cleanup_errors=True)
    _kept.append(folder)  # removed when it is collected
    return folder.name


_kept: list[tempfile.TemporaryDirectory[str]] = []


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


# Reading and writing


def read_json(path: Path, most: int = CONFIG_BYTES) -> dict[str, Any]:
    """A JSON object from a file that may be anybody's; raises ModelError where it is too large or none."""
    called = f"{path.parent.name}/{path.name}" if path.name == CONFIG else path.name
    hint = "Choose another model."
    try:
        if (size := path.stat().st_size) > most:
            raise ModelError(f"{called} has {size:,} bytes; the limit is {most:,}.", hint=hint)
        found = bounded_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{called} cannot be read.", hint=hint) from error
    if not isinstance(found, dict):
        raise ModelError(f"{called} is not a JSON object.", hint=hint)
    return found


def bounded_json(content: bytes) -> Any:
    """The JSON value; raises ValueError where it is none, or made to take memory and time when it is read."""
    brackets, commas = content.count(b"[") + content.count(b"{"), content.count(b",")
    fewest = max(BYTES_A_BRACKET * (brackets - FREE), BYTES_A_COMMA * (commas - FREE))
    if len(content) < fewest or brackets > MOST_BRACKETS:
        raise ValueError("more values than a model needs")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _link(source: Path, place: Path, most: int = 0) -> None:
    """The file itself by its plain name; a copy where the file system has no links."""
    file = source.resolve()
    if most and file.stat().st_size > most:
        raise _NotPlain(f"{place.name} has more than {most:,} bytes.")
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
                raise _NotPlain(f"its weights lack {shard}.")
            _link(folder / shard, target / shard)
        _write(target / INDEX, {"metadata": {}, "weight_map": shards})
    elif (variant := next(iter(sorted(filter(_is_variant, os.listdir(folder)))), "")) and (
        folder / variant
    ).is_file():
        _link(folder / variant, target / WEIGHTS)
    else:
        raise _NotPlain(f"it has neither {WEIGHTS} nor {INDEX}.")


def _is_variant(name: str) -> bool:
    return bool(VARIANT.fullmatch(name))


def weight_map(folder: Path, name: str) -> dict[str, str]:
    """The shard of each weight, as an index says: plain names alone; raises ModelError.

    Whether anything else that it names is there is nobody's to know.
    """
    with _plainly(name):
        return _shards_of(read_json(folder / INDEX, INDEX_BYTES))


def _shards_of(index: Mapping[str, Any]) -> dict[str, str]:
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise _NotPlain(f"{INDEX} names no files.")
    if not all(isinstance(shard, str) and _SHARD.fullmatch(shard) for shard in shards.values()):
        raise _NotPlain(f"{INDEX} names files that are not plain names of safetensors files.")
    if len(set(shards.values())) > MOST_SHARDS:
        raise _NotPlain(f"{INDEX} names more than {MOST_SHARDS:,} files.")
    return shards


# config.json


def _rewritten_config(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """config.json with the fields that the model type's configuration class has, and plain values."""
    known = _fields(str(config.get("model_type")))
    found = {"model_type": config.get("model_type")}
    for key in sorted(known & set(config) - LEFT_OUT):
        found[key] = _config_value(key, config[key])
    check_counts(found, name)
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


def check_counts(config: Mapping[str, Any], name: str) -> None:
    """Raises ModelError for so many labels or layers that reading them would take gigabytes."""
    for key in COUNTED:
        if isinstance(count := config.get(key), int) and not (key != "num_labels") <= count <= MOST_COUNTED:
            bound = f"the limit is {MOST_COUNTED:,}" if count > 0 else "it needs one at least"
            raise ModelError(
                f"The {CONFIG} of {name} says {key}: {count:,}; {bound}.", hint="Choose another model."
            )


@lru_cache(maxsize=64)
def _fields(model_type: str) -> frozenset[str]:
    """The keys that a model type's configuration knows; raises _NotPlain for a type that is none of ours."""
    from dataclasses import fields

    if model_type not in encoder_types():
        raise _NotPlain(f"it is of the type {model_type[:80]!r}, which is no encoder of the BERT family.")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    if kind.sub_configs_defaults:
        raise _NotPlain(f"it is made of several models ({model_type}).")
    return frozenset({field.name for field in fields(kind)} | set(kind.attribute_map) | OLDER_KEYS)


def heads(config: Mapping[str, Any]) -> list[str]:
    """The architectures that a config.json names."""
    return [each for each in _listed(config.get("architectures")) if isinstance(each, str)]


def _config_value(key: str, value: Any) -> Any:
    if key == "id2label":
        return _labels(value)
    if key == "label2id":
        return None  # made from id2label
    if key == "architectures":
        return [head for head in heads({key: value}) if _NAME.fullmatch(head)][:8]
    if key == "tokenizer_class":
        return value if isinstance(value, str) and _NAME.fullmatch(value) else None
    if key in ("dtype", "torch_dtype"):
        return value if value in _FLOATS else None
    if key in SIZES and value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise _NotPlain(f"{CONFIG} says {key}: {str(value)[:60]!r}, which is no number.")
    return _plain(value, f"{CONFIG} says {key}")


def _labels(value: Any) -> dict[str, str] | None:
    """The names of labels by their numbers, counted from 0."""
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) > MOST_COUNTED:
        raise _NotPlain(f"{CONFIG} has an id2label that is no object of at most {MOST_COUNTED:,} labels.")
    try:
        named = {int(number): _line(_text(str(label), LONGEST_LABEL)) for number, label in value.items()}
    except ValueError as error:
        raise _NotPlain(f"{CONFIG} has labels without numbers.") from error
    if sorted(named) != list(range(len(named))):
        raise _NotPlain(f"{CONFIG} has labels whose numbers do not count from 0.")
    return {str(number): named[number] for number in sorted(named)}


# Tokenizers


TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
FLAGS = (
    *("do_lower_case", "do_basic_tokenize", "strip_accents", "tokenize_chinese_chars", "keep_accents"),
    *("remove_space", "add_prefix_space", "trim_offsets", "clean_up_tokenization_spaces", "split_by_punct"),
    *("split_special_tokens", "legacy", "add_bos_token", "add_eos_token"),
)
WORDS = {
    "padding_side": ("left", "right"),
    "truncation_side": ("left", "right"),
    "errors": ("strict", "replace", "ignore"),
    "vocab_type": ("spm", "gpt2"),
    "wordpieces_prefix": ("##",),
}
NUMBERS = ("model_max_length", "pad_token_type_id", "unk_id", "offset")
INPUTS = ("input_ids", "token_type_ids", "attention_mask")
_ADDED = ("lstrip", "rstrip", "normalized", "single_word", "special")


def tokenizer_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer_config.json: flags, numbers and tokens. No paths, no arguments of a class, no template."""
    found = special_tokens(config)
    for key in FLAGS:
        if isinstance(config.get(key), bool):
            found[key] = config[key]
    for key in NUMBERS:
        if isinstance(value := config.get(key), int | float) and math.isfinite(value):
            found[key] = int(min(max(value, 0), LARGEST_NUMBER))
    for key, words in WORDS.items():
        if config.get(key) in words:
            found[key] = config[key]
    if isinstance(kind := config.get("tokenizer_class"), str) and _NAME.fullmatch(kind):
        found["tokenizer_class"] = kind
    if inputs := [each for each in _listed(config.get("model_input_names")) if each in INPUTS]:
        found["model_input_names"] = inputs
    if isinstance(added := config.get("added_tokens_decoder"), dict):
        found["added_tokens_decoder"] = {
            str(_number(number)): _added_token(token) for number, token in added.items()
        }
    return found


def special_tokens(config: Mapping[str, Any]) -> dict[str, Any]:
    """The tokens that mean something to the model, as special_tokens_map.json has them."""
    found: dict[str, Any] = {}
    for key in TOKENS:
        if config.get(key) is not None:
            found[key] = _token(config[key])
    for key in ("additional_special_tokens", "extra_special_tokens"):
        listed = config.get(key)
        if isinstance(listed, dict):  # names of our own for tokens: the tokens are what counts
            listed = list(listed.values())
        if listed := [_token(each) for each in _listed(listed)]:
            found[key] = listed
    return found


def added_tokens(tokens: Mapping[str, Any]) -> dict[str, int]:
    """added_tokens.json: the number of each token."""
    return {_clean(token): _number(number) for token, number in tokens.items()}


def vocabulary(tokens: Mapping[str, Any]) -> dict[str, int]:
    """vocab.json: the number of each token."""
    return {token: _number(number) for token, number in tokens.items()}


def tokenizer(content: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer.json: each part by its type, with the settings that the type has."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_numbered_token(each) for each in _listed(content.get("added_tokens"))],
        **{part: _part(content.get(part), kinds) for part, kinds in PARTS.items()},
        "model": _pieces(content.get("model")),
    }


REWRITTEN: dict[str, tuple[int, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "tokenizer_config.json": (LARGE_BYTES // 4, tokenizer_config),
    "special_tokens_map.json": (SMALL_BYTES, special_tokens),
    "added_tokens.json": (SMALL_BYTES, added_tokens),
    "vocab.json": (LARGE_BYTES, vocabulary),
    TOKENIZER: (LARGE_BYTES, tokenizer),
}

_BYTE_LEVEL = ("add_prefix_space", "trim_offsets", "use_regex")
_METASPACE = ("replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep")
_REPLACE = ("pattern", "content")
_NO_SETTINGS: tuple[str, ...] = ()
# The parts that the tokenizers library (0.22) knows, with their settings. "parts" holds further parts.
PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "normalizer": {
        "Sequence": ("normalizers",),
        "BertNormalizer": ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"),
        "Strip": ("strip_left", "strip_right"),
        "Prepend": ("prepend",),
        "Replace": _REPLACE,
        "Precompiled": ("precompiled_charsmap",),
        "ByteLevel": _NO_SETTINGS,
        **dict.fromkeys(("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"), _NO_SETTINGS),
    },
    "pre_tokenizer": {
        "Sequence": ("pretokenizers",),
        "ByteLevel": _BYTE_LEVEL,
        "Metaspace": _METASPACE,
        "Punctuation": ("behavior",),
        "Digits": ("individual_digits",),
        "CharDelimiterSplit": ("delimiter",),
        "Split": ("pattern", "behavior", "invert"),
        **dict.fromkeys(
            ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts"), _NO_SETTINGS
        ),
    },
    "post_processor": {
        "Sequence": ("processors",),
        "ByteLevel": _BYTE_LEVEL,
        "BertProcessing": ("sep", "cls"),
        "RobertaProcessing": ("sep", "cls", "trim_offsets", "add_prefix_space"),
        "TemplateProcessing": ("single", "pair", "special_tokens"),
    },
    "decoder": {
        "Sequence": ("decoders",),
        "ByteLevel": _BYTE_LEVEL,
        "Metaspace": _METASPACE,
        "WordPiece": ("prefix", "cleanup"),
        "BPEDecoder": ("suffix",),
        "CTC": ("pad_token", "word_delimiter_token", "cleanup"),
        "Replace": _REPLACE,
        "Strip": ("content", "start", "stop"),
        **dict.fromkeys(("Fuse", "ByteFallback"), _NO_SETTINGS),
    },
}
_SEQUENCES = ("normalizers", "pretokenizers", "processors", "decoders")
_MODELS = ("WordPiece", "WordLevel", "BPE", "Unigram")
_MODEL_SETTINGS = (
    *("unk_token", "unk_id", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback"),
    *("ignore_merges",),
)


def _part(part: Any, kinds: Mapping[str, tuple[str, ...]], depth: int = 0) -> dict[str, Any] | None:
    """A normalizer, pre-tokenizer, post-processor or decoder; None where there is none."""
    if part is None:
        return None
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in kinds or depth > DEEPEST:
        raise _NotPlain(f"{TOKENIZER} has a part of a kind that is not known here.")
    found: dict[str, Any] = {"type": kind}
    for key in kinds[kind]:
        if key in _SEQUENCES:
            found[key] = [_part(each, kinds, depth + 1) for each in _listed(part.get(key))]
        elif key == "precompiled_charsmap":
            found[key] = _text(part.get(key), LONGEST_CHARSMAP)
        elif key in part:
            found[key] = _plain(part[key], f"{TOKENIZER} says {key}", paths=True)
    return found


def _pieces(model: Any) -> dict[str, Any]:
    """The vocabulary and how words are cut into its pieces."""
    if not isinstance(model, dict) or model.get("type", "WordPiece") not in _MODELS:
        raise _NotPlain(f"{TOKENIZER} has no model that is known here.")
    found = {key: _plain(model[key], f"{TOKENIZER} says {key}") for key in _MODEL_SETTINGS if key in model}
    if "type" in model:
        found["type"] = model["type"]
    if "max_input_chars_per_word" in model:
        found["max_input_chars_per_word"] = min(_number(model["max_input_chars_per_word"]), LONGEST_WORD)
    # A text in these places would be taken for the path of a file.
    if not isinstance(model.get("vocab"), dict | list):
        raise _NotPlain(f"{TOKENIZER} has no vocabulary.")
    found["vocab"] = model["vocab"]
    if "merges" in model:
        found["merges"] = _listed(model["merges"])
    if model.get("type") == "BPE":
        found["dropout"] = None  # drawn anew with every call
    return found


def _token(token: Any) -> Any:
    if isinstance(token, dict):
        return _added_token(token) | {"__type": "AddedToken"}
    return _text(token)


def _added_token(token: Any) -> dict[str, Any]:
    """A token with how it is matched in a text."""
    if not isinstance(token, dict):
        raise _NotPlain("a special token is neither a text nor an object.")
    flags = {key: token[key] for key in _ADDED if isinstance(token.get(key), bool)}
    return {"content": _text(token.get("content")), **flags}


def _numbered_token(token: Any) -> dict[str, Any]:
    found = _added_token(token)
    return {"id": _number(token.get("id")), **dict.fromkeys(_ADDED, False), **found}


# Values


def _plain(value: Any, where: str, paths: bool = False, depth: int = 0) -> Any:
    """The value, if it is a number, a flag, a word, or lists and objects of such; raises _NotPlain.

    paths: whether a text may have slashes, where nothing reads it as a path.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= LARGEST_NUMBER:
        return value
    if isinstance(value, str) and len(value) <= LONGEST_TEXT and (paths or not re.search(r"[/\\\0]", value)):
        return _clean(value)
    if isinstance(value, list | dict) and depth < DEEPEST and len(value) <= MOST_VALUES:
        if isinstance(value, list):
            return [_plain(each, where, paths, depth + 1) for each in value]
        return {_clean(key): _plain(each, where, paths, depth + 1) for key, each in value.items()}
    raise _NotPlain(f"{where}: {str(value)[:60]!r}, which is not a plain value.")


def _text(value: Any, most: int = LONGEST_TEXT) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise _NotPlain("a text of its tokenizer or a label is none, or too long.")
    return _clean(value)


def _clean(text: str) -> str:
    """Without halves of characters, which JSON can write and no file or page can hold."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def _line(text: str) -> str:
    """Without what moves a cursor or ends a line."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)


def _number(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _NotPlain("a number of its tokenizer is none.") from error
    if not 0 <= number <= LARGEST_NUMBER:
        raise _NotPlain(f"a number of its tokenizer is {number}.")
    return number


def _listed(values: Any) -> list[Any]:
    """The values of a list; of anything else none."""
    return values if isinstance(values, list) else []
