"""Length-bucketed batches: a pure function of seed, epoch and step. Knows nothing of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BATCHES_A_BUCKET = 50  # rows are sorted by length within so many batches; more: less padding, less chance


def epoch_batches(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int, seen: Sequence[int] = ()
) -> list[np.ndarray]:
    """Row numbers, a batch each, in a random order of batches of similar length; every row exactly once.

    lengths: (N,), in tokens. seen: rows that are left out, for an epoch that goes on in another batch size.
    """
    import numpy as np

    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(lengths))
    if len(seen):
        order = order[~np.isin(order, seen)]
    if not len(order):
        return []
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
    """The batch sampler of a DataLoader: yields lists of (epoch, row), and masks depend on nothing else."""

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.drop_last = False  # Accelerate asks for it
        self.begin_at(1)

    def begin_at(self, epoch: int, batches: int = 0, seen: Sequence[int] = ()) -> None:
        """The next iteration is of this epoch, less the rows already seen and then so many batches."""
        self.epoch, self.batches, self.seen = epoch, batches, seen

    def rows(self) -> list[np.ndarray]:
        """The row numbers of the batches that the next iteration yields."""
        batches = epoch_batches(self.lengths, self.batch_size, self.seed, self.epoch, self.seen)
        return batches[self.batches :]

    def __len__(self) -> int:
        return -(-(len(self.lengths) - len(self.seen)) // self.batch_size) - self.batches

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in self.rows():
            yield [(self.epoch, int(row)) for row in batch]


class Keys:
    """A data set whose items are its keys: the collator looks the rows up, so nothing is copied."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
        return key
