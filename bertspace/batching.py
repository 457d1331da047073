"""Length-bucketed batches: a pure function of seed, epoch and step. Knows nothing of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BATCHES_A_BUCKET = 50  # rows are sorted by length within so many batches; more: less padding, less chance


def epoch_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Row numbers, a batch each, in a random order of batches of similar length; every row exactly once.

    lengths: (N,), in tokens.
    """
    import numpy as np

    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(lengths))
    span = batch_size * BATCHES_A_BUCKET
    buckets = [order[start : start + span] for start in range(0, len(order), span)]
    order = np.concatenate([bucket[np.argsort(-lengths[bucket], kind="stable")] for bucket in buckets])
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[place] for place in random.permutation(len(batches))]


def sorted_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Row numbers, a batch each, the longest rows first; for evaluation and prediction."""
    import numpy as np

    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


class EpochBatches:
    """The batch sampler of a DataLoader: yields lists of (epoch, row), so that masks depend on nothing else.

    Accelerate reaches `set_epoch` only on some loaders, so the loop calls it here itself.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 1
        self.drop_last = False  # Accelerate's sharding asks for it

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in epoch_batches(self.lengths, self.batch_size, self.seed, self.epoch):
            yield [(self.epoch, int(row)) for row in batch]


class Keys:
    """A data set whose items are its keys: the collator looks the rows up, so nothing is copied."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
        return key
