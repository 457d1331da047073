"""Prepare a tokenizer for its model: add what its files leave out, and check that the two fit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.errors import ModelError
from bertspace.safety.json_values import read_json
from bertspace.safety.tokenizer import TOKENIZER

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

CASED_SHARE = 0.01  # of a vocabulary with capital letters, from which on it is a cased one
PADDING = ("[PAD]", "<pad>", "<PAD>", "PAD")


def missing_settings(folder: Path) -> dict[str, Any]:
    """Whether letters are lowered, by the words of a vocab.txt, where no other file says."""
    said = folder / "tokenizer_config.json"
    if (folder / TOKENIZER).is_file() or not (folder / "vocab.txt").is_file():
        return {}
    if said.is_file() and "do_lower_case" in read_json(said):
        return {}
    words = (folder / "vocab.txt").read_text(encoding="utf-8", errors="replace").split("\n")
    return {"do_lower_case": False} if is_cased(words) else {}


def is_cased(words: Iterable[str]) -> bool:
    """Whether a vocabulary, its special words apart, has capital letters; a few strays do not count."""
    plain = [word for word in words if not (word.startswith("[") and word.endswith("]"))]
    capitals = sum(word != word.lower() for word in plain)
    return capitals > CASED_SHARE * len(plain)


def prepare(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, name: str) -> None:
    """Make it pad on the right, so that no text's answer depends on those beside it; raises ModelError where
    it knows no words, or has tokens that the model has no embeddings for.
    """
    known = tokenizer.get_vocab()
    if not _has_words(tokenizer):
        raise ModelError(
            f"The tokenizer of {name} has special tokens alone: its files hold no vocabulary that a "
            f"{type(tokenizer).__name__} reads.",
            hint="Add the tokenizer.json that the model was trained with, or choose another model.",
        )
    size = getattr(config, "vocab_size", None)
    if size and (beyond := sorted(token for token, number in known.items() if number >= size)):
        few = ", ".join(token[:40] for token in beyond[:3])
        raise ModelError(
            f"The tokenizer of {name} has {len(beyond):,} tokens that the model has no embeddings for "
            f"({few}): its vocab_size is {size:,}.",
            hint="Save it anew after model.resize_token_embeddings(len(tokenizer)), or choose another model.",
        )
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = _padding(tokenizer, known, config, name)


def _has_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether any token but the special ones has a letter or a digit. transformers makes a tokenizer of
    special tokens alone where it finds no file of the kind that this one reads.
    """
    own: Iterable[str] = tokenizer._tokenizer.get_vocab(with_added_tokens=False)
    added = tokenizer._tokenizer.get_added_tokens_decoder().values()
    special = {*tokenizer.all_special_tokens, *(token.content for token in added)}
    return any(any(map(str.isalnum, token)) for token in own if token not in special)


def _padding(
    tokenizer: PreTrainedTokenizerBase, known: dict[str, int], config: PreTrainedConfig, name: str
) -> str:
    """A token to pad with, for a tokenizer that names none: no padding is attended to, so any will do, and
    the one that was meant for it is the best.
    """
    numbered = {number: token for token, number in known.items()}
    meant = numbered.get(getattr(config, "pad_token_id", None) or 0, "")
    others = (tokenizer.unk_token, tokenizer.sep_token, tokenizer.eos_token)
    for token in (meant if "pad" in meant.lower() else "", *PADDING, *others):
        if token and token in known:
            return str(token)
    raise ModelError(
        f"The tokenizer of {name} has no token to pad with.",
        hint="Choose another model, or name its pad_token.",
    )
