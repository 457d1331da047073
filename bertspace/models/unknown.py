"""The share of unknown tokens in some texts, and the warning about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformers import PreTrainedTokenizerBase

FEW = 0.05  # a share of the tokens, under which nothing is said: names, emoji and signs here and there


def share(tokenizer: PreTrainedTokenizerBase, rows: Iterable[ArrayLike]) -> float:
    """Of the rows' tokens, special ones left out, those that stand for what the vocabulary does not have."""
    import numpy as np

    unknown = tokenizer.unk_token_id
    if unknown is None:  # bytes are all known
        return 0.0
    special = [each for each in tokenizer.all_special_ids if each != unknown]
    count = total = 0
    for row in rows:
        ids = np.asarray(row)
        count += int((ids == unknown).sum())
        total += len(ids) - int(np.isin(ids, special).sum())
    return count / max(1, total)


def words(share: float) -> str:
    """A finding; "" where the share is small."""
    if share < FEW:
        return ""
    return (
        f"{share:.0%} of the tokens of the training texts are unknown to the model's vocabulary, which takes "
        "them all for the same one: choose a model of their language and signs."
    )
