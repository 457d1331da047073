"""What the model card of a masked language model says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.schema import TrainConfig
from bertspace.tasks.card import EXAMPLES, FITTING, SHORTEST, About, Example, TaskCard
from bertspace.tasks.fill_mask.answer import MASK
from bertspace.tasks.intervals import Metrics, mask_metrics, over_draws
from bertspace.words import counted, one_line, percent

if TYPE_CHECKING:
    import pandas as pd

    from bertspace.tasks.card import Table


class FillMaskCard(TaskCard):
    pipeline = "fill-mask"
    variable = "fill_mask"
    answer = "token_str"

    def purpose(self, about: About) -> str:
        return f"trained further as a masked language model on {about.data}"

    def use(self, about: About) -> str:
        return (
            f"To fill in words hidden in texts like those of {about.data}, or as a base to be fine-tuned on "
            "such texts."
        )

    def settings(self, config: TrainConfig) -> Iterator[tuple[str, str]]:
        what = "words, whole" if config.whole_words else "tokens"
        yield "Masked", f"{percent(config.mask_probability, 1)} of the {what}"
        if config.chunk_size:
            yield "Chunks", f"{config.chunk_size:,} tokens"
        else:
            yield from super().settings(config)

    def as_typed(self, text: str, model: Path) -> str:
        return text.replace(MASK, mask_token(model))

    def examples(self, rows: pd.DataFrame, labels: Sequence[str], model: Path) -> Iterator[Example]:
        """A sentence of each of a few texts with its longest word hidden that is one token."""
        from tokenizers import Tokenizer

        tokenizer, mask = Tokenizer.from_file(str(model / "tokenizer.json")), mask_token(model)
        texts = rows["text"].iloc[:: max(1, len(rows) // (4 * EXAMPLES))]
        hidden = (next(_hidden(text, tokenizer, mask), None) for text in texts)
        return islice(filter(None, hidden), EXAMPLES)

    def resampled(self, tables: Mapping[str, Table], labels: int) -> dict[str, Metrics]:
        """Whole rows are drawn: the hidden tokens of one text hang together."""
        import numpy as np

        counts = np.ones(len(tables["tuned"]["masks"]), dtype=np.int64)
        return over_draws({who: mask_metrics(table) for who, table in tables.items()}, counts)

    def intervals(self, unit: str, has_base: bool) -> str:
        return (
            f"from 2,000 bootstrap resamples of the {unit}s. The base and the fine-tuned model were scored "
            "on the same hidden tokens."
        )

    def detail(self, table: Table) -> str:
        return counted(int(table["masks"].sum()), "hidden token")


def _hidden(text: str, tokenizer: Any, mask: str) -> Iterator[Example]:
    """The text's sentences that are neither short nor long, each with a word hidden."""
    for sentence in re.split(r"(?<=[.!?])\s+", one_line(text)):
        if not SHORTEST < len(sentence) <= FITTING or mask in sentence:
            continue
        words = [found for found in re.finditer(r"\b[^\W\d_]{4,}\b", sentence) if found.start() > 0]
        if words := [word for word in words if _is_one_token(tokenizer, word[0])]:
            word = max(words, key=lambda found: len(found[0]))
            hidden = f"{sentence[: word.start()]}{mask}{sentence[word.end() :]}"
            yield Example(hidden, f"Hidden word: {word[0]}")


def _is_one_token(tokenizer: Any, word: str) -> bool:
    """In the middle of a sentence, where byte-level vocabularies count the space in."""
    return len(tokenizer.encode(f" {word}", add_special_tokens=False).ids) == 1


def mask_token(model: Path) -> str:
    """The model's own; raises KeyError where its tokenizer has none."""
    token = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))["mask_token"]
    return str(token["content"] if isinstance(token, dict) else token)
