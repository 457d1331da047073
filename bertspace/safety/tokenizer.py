"""Rewrite a tokenizer's JSON files: known settings with plain values, and no paths."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bertspace.safety.config import NAME
from bertspace.safety.json_values import (
    MAX_DEPTH,
    MAX_NUMBER,
    Rejected,
    clean,
    listed,
    number,
    plain,
    text,
)

TOKENIZER = "tokenizer.json"
VOCABULARIES = (  # read as they are: lines, or SentencePiece's protocol buffers
    *("vocab.txt", "merges.txt"),
    *("tokenizer.model", "spiece.model", "spm.model", "sentencepiece.bpe.model", "sentencepiece.model"),
)
# Bytes of a file. The largest vocabularies of encoders (256,000 pieces) take 34 MB as tokenizer.json.
SMALL_BYTES, LARGE_BYTES = 4 * 1024**2, 64 * 1024**2
MAX_WORD = 200  # characters that WordPiece looks up piece by piece, in every way to cut them
MAX_CHARSMAP = 4 * 1024**2  # of SentencePiece's table

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
            found[key] = int(min(max(value, 0), MAX_NUMBER))
    for key, words in WORDS.items():
        if config.get(key) in words:
            found[key] = config[key]
    if isinstance(kind := config.get("tokenizer_class"), str) and NAME.fullmatch(kind):
        found["tokenizer_class"] = kind
    if inputs := [each for each in listed(config.get("model_input_names")) if each in INPUTS]:
        found["model_input_names"] = inputs
    if isinstance(added := config.get("added_tokens_decoder"), dict):
        found["added_tokens_decoder"] = {
            str(number(key)): _added_token(token) for key, token in added.items()
        }
    return found


def special_tokens(config: Mapping[str, Any]) -> dict[str, Any]:
    """The tokens that mean something to the model, as special_tokens_map.json has them."""
    found: dict[str, Any] = {}
    for key in TOKENS:
        if config.get(key) is not None:
            found[key] = _token(config[key])
    for key in ("additional_special_tokens", "extra_special_tokens"):
        tokens = config.get(key)
        if isinstance(tokens, dict):  # names of our own for tokens: the tokens are what counts
            tokens = list(tokens.values())
        if tokens := [_token(each) for each in listed(tokens)]:
            found[key] = tokens
    return found


def added_tokens(tokens: Mapping[str, Any]) -> dict[str, int]:
    """added_tokens.json: the number of each token."""
    return {clean(token): number(value) for token, value in tokens.items()}


def vocabulary(tokens: Mapping[str, Any]) -> dict[str, int]:
    """vocab.json: the number of each token."""
    return {token: number(value) for token, value in tokens.items()}


def tokenizer(content: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer.json: each part by its type, with the settings that the type has."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_numbered_token(each) for each in listed(content.get("added_tokens"))],
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
    if not isinstance(kind, str) or kind not in kinds or depth > MAX_DEPTH:
        raise Rejected(f"{TOKENIZER} has a part of a kind that is not known here.")
    found: dict[str, Any] = {"type": kind}
    for key in kinds[kind]:
        if key in _SEQUENCES:
            found[key] = [_part(each, kinds, depth + 1) for each in listed(part.get(key))]
        elif key == "precompiled_charsmap":
            found[key] = text(part.get(key), MAX_CHARSMAP)
        elif key in part:
            found[key] = plain(part[key], f"{TOKENIZER} says {key}", paths=True)
    return found


def _pieces(model: Any) -> dict[str, Any]:
    """The vocabulary and how words are cut into its pieces."""
    if not isinstance(model, dict) or model.get("type", "WordPiece") not in _MODELS:
        raise Rejected(f"{TOKENIZER} has no model that is known here.")
    found = {key: plain(model[key], f"{TOKENIZER} says {key}") for key in _MODEL_SETTINGS if key in model}
    if "type" in model:
        found["type"] = model["type"]
    if "max_input_chars_per_word" in model:
        found["max_input_chars_per_word"] = min(number(model["max_input_chars_per_word"]), MAX_WORD)
    # A text in these places would be taken for the path of a file.
    if not isinstance(model.get("vocab"), dict | list):
        raise Rejected(f"{TOKENIZER} has no vocabulary.")
    found["vocab"] = model["vocab"]
    if "merges" in model:
        found["merges"] = listed(model["merges"])
    if model.get("type") == "BPE":
        found["dropout"] = None  # drawn anew with every call
    return found


def _token(token: Any) -> Any:
    if isinstance(token, dict):
        return _added_token(token) | {"__type": "AddedToken"}
    return text(token)


def _added_token(token: Any) -> dict[str, Any]:
    """A token with how it is matched in a text."""
    if not isinstance(token, dict):
        raise Rejected("a special token is neither a text nor an object.")
    flags = {key: token[key] for key in _ADDED if isinstance(token.get(key), bool)}
    return {"content": text(token.get("content")), **flags}


def _numbered_token(token: Any) -> dict[str, Any]:
    found = _added_token(token)
    return {"id": number(token.get("id")), **dict.fromkeys(_ADDED, False), **found}
