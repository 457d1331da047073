"""Which texts of a run's data a card shows. None is chosen by what the model says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.publish.card.content import Card, Example
from bertspace.publish.card.markdown import LONGEST, clean
from bertspace.runs import Run

if TYPE_CHECKING:
    import pandas as pd

OF_A_LABEL = 3
MOST = 3  # examples to try
SHORTEST, FITTING = 15, 80  # characters: shorter texts show little, longer ones break the snippet's line


def of_label(train: pd.DataFrame, label: int) -> tuple[tuple[str, ...], ...]:
    """The first few short texts with this label, each another."""
    found: dict[tuple[str, ...], None] = {}
    for texts in _short(train[train["label"] == label]):
        found[texts] = None
        if len(found) == OF_A_LABEL:
            break
    return tuple(found)


def _short(rows: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Each row's text (or two) as one line, of those that are short."""
    columns = [name for name in ("text", "pair") if name in rows]
    for row in rows[columns].itertuples(index=False, name=None):
        texts = tuple(clean(text) for text in row)
        if all(texts) and max(map(len, texts)) <= LONGEST:
            yield texts


def choose(run: Run, card: Card, frames: Mapping[str, pd.DataFrame]) -> tuple[Example, ...]:
    """Held-out inputs to try: one of each of the first labels, or sentences with a word hidden."""
    split = card.results.split if card.results else "validation"
    if split not in frames:
        return ()
    if card.task == "fill-mask":
        return tuple(_masked(frames[split], run.path / "model"))
    return tuple(_labelled(frames[split], card))


def _labelled(rows: pd.DataFrame, card: Card) -> Iterator[Example]:
    labels = [number for number in range(len(card.label_names)) if (rows["label"] == number).any()]
    for label in labels[:MOST]:
        chosen = list(_short(rows[rows["label"] == label]))
        telling = [texts for texts in chosen if SHORTEST <= len(texts[0]) <= FITTING]
        if texts := next(iter(telling or chosen), None):
            name = clean(card.label_names[label], 40)
            yield Example(texts[0], f"Labelled {name}", texts[1] if len(texts) > 1 else "")


def _masked(rows: pd.DataFrame, model: Path) -> Iterator[Example]:
    """A sentence of each of a few texts with its longest word hidden that is one token of the vocabulary."""
    from tokenizers import Tokenizer

    tokenizer, mask = Tokenizer.from_file(str(model / "tokenizer.json")), mask_token(model)
    left = MOST
    for text in rows["text"].iloc[:: max(1, len(rows) // (4 * MOST))]:
        for sentence in _sentences(text):
            words = [found for found in re.finditer(r"\b[^\W\d_]{4,}\b", sentence) if found.start() > 0]
            words = [word for word in words if _is_one_token(tokenizer, word[0])]
            if words and mask not in sentence:
                word = max(words, key=lambda found: len(found[0]))
                hidden = f"{sentence[: word.start()]}{mask}{sentence[word.end() :]}"
                yield Example(hidden, f"Hidden word: {word[0]}")
                left -= 1
                break
        if not left:
            return


def _sentences(text: str) -> list[str]:
    """The text's sentences that are neither short nor long."""
    found = re.split(r"(?<=[.!?])\s+", clean(text))
    return [sentence for sentence in found if SHORTEST < len(sentence) <= FITTING]


def _is_one_token(tokenizer: Any, word: str) -> bool:
    """In the middle of a sentence, where byte-level vocabularies count the space in."""
    return len(tokenizer.encode(f" {word}", add_special_tokens=False).ids) == 1


def mask_token(model: Path) -> str:
    """The model's own; raises KeyError where its tokenizer has none."""
    told = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))["mask_token"]
    return str(told["content"] if isinstance(told, dict) else told)
