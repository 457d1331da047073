"""What a task must say about itself, and the few lines that tasks share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bertspace import hardware
from bertspace.errors import ConfigError
from bertspace.schema import Prediction, TrainConfig

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GPU_TOKENS = 8
IGNORED = -100  # cross_entropy leaves out what has this target
TOKENIZE_AT_ONCE = 1000  # texts handed to the tokenizer together: enough to keep its threads busy


@dataclass(frozen=True)
class Rows:
    """A split as token ids. segments: token types of pairs. words: each token's word (-1: none)."""

    input_ids: list[np.ndarray]
    labels: np.ndarray | None = None
    segments: list[np.ndarray] | None = None
    words: list[np.ndarray] | None = None
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens a row, shape (N,)."""
        import numpy as np

        return np.array([len(row) for row in self.input_ids], dtype=np.int64)


class Task:
    """One thing that an encoder can be trained to do; named by its Hub pipeline tag."""

    name: ClassVar[str]
    title: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    metrics: ClassVar[tuple[str, ...]]
    headline: ClassVar[str]
    lower_is_better: ClassVar[tuple[str, ...]] = ("loss", "perplexity")

    def encode(
        self, tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame, config: TrainConfig, limit: int = 0
    ) -> Rows:
        """The frame's rows as token ids, tokenised once; at most `limit` of them where it is not 0."""
        raise NotImplementedError(self.name)

    def collate(
        self,
        keys: Sequence[tuple[int, int]],
        rows: Rows,
        tokenizer: PreTrainedTokenizerBase,
        config: TrainConfig,
    ) -> dict[str, torch.Tensor]:
        """One batch of tensors for the rows of `keys`, which are (epoch, row); epoch 0 is evaluation's."""
        raise NotImplementedError(self.name)

    def loss(
        self, model: PreTrainedModel, batch: dict[str, torch.Tensor], smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch's mean loss, a scalar with a gradient, and its mean cross-entropy, as scoring has it.

        They are one where the labels are not smoothed.
        """
        raise NotImplementedError(self.name)

    def weight(self, batch: dict[str, torch.Tensor]) -> int:
        """How much the batch's mean loss is the mean of: its rows, where a task says nothing else."""
        return len(batch["rows"])

    def table(self, model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Per-row results, each of shape (B, …), so that sums over batches and processes stay exact."""
        raise NotImplementedError(self.name)

    def score(self, table: dict[str, np.ndarray]) -> dict[str, float]:
        """The metrics of a whole split from its table, rows in their order."""
        raise NotImplementedError(self.name)

    def predict(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        top_k: int,
    ) -> list[list[Prediction]]:
        """One Prediction a text, or one a mask; in the order of the texts. The caller sorts and batches."""
        raise NotImplementedError(self.name)

    def check(self, config: TrainConfig) -> None:
        """Raises ConfigError for settings that this task does not know."""
        if config.best_metric and config.best_metric not in (known := ("loss", *self.metrics)):
            raise ConfigError(
                f"best_metric is {config.best_metric!r}.", hint=f"Choose from: {', '.join(known)}."
            )

    def better(self, metric: str, new: float, old: float | None) -> bool:
        """Whether `new` is a better value of `metric` than `old`; anything is better than None."""
        return old is None or (new < old if metric in self.lower_is_better else new > old)


def cross_entropies(
    logits: torch.Tensor, targets: torch.Tensor, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy with smoothed labels and the one without; a target of IGNORED counts nothing."""
    import torch
    from torch.nn.functional import cross_entropy

    loss = cross_entropy(logits, targets, ignore_index=IGNORED, label_smoothing=smoothing)
    if not smoothing:
        return loss, loss.detach()
    with torch.no_grad():
        return loss, cross_entropy(logits, targets, ignore_index=IGNORED)


def encodings(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None, max_length: int | None
) -> Iterator[Any]:
    """tokenizers.Encoding objects, one a text (or pair), cut to max_length tokens where that is given."""
    limit = {"truncation": True, "max_length": max_length} if max_length else {"truncation": False}
    for start in range(0, len(texts), TOKENIZE_AT_ONCE):
        end = start + TOKENIZE_AT_ONCE
        batch = tokenizer(
            texts[start:end], pairs[start:end] if pairs else None, padding=False, verbose=False, **limit
        )
        yield from batch.encodings or []


def width_of(rows: Sequence[np.ndarray], tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that a batch's rows are padded to: the longest's, on a GPU the next multiple of GPU_TOKENS.

    Its tensor cores take them so, and it loads kernels anew for each shape that it has not met yet.
    """
    longest = max(len(row) for row in rows)
    if hardware.device() != "cuda":
        return longest
    return max(longest, min(-(-longest // GPU_TOKENS) * GPU_TOKENS, tokenizer.model_max_length))


def pad(rows: Sequence[np.ndarray], value: int, width: int) -> torch.Tensor:
    """Rows of token ids as one (B, width) int64 tensor."""
    import numpy as np
    import torch

    padded = np.full((len(rows), width), value, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded)


def attention_mask(lengths: Sequence[int], width: int) -> torch.Tensor:
    """(B, width) int64: 1 for a token, 0 for padding."""
    import torch

    return (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
