"""Batches: every row once, the same again from the same seed and epoch, and little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertspace.models.batching import EpochBatches, Keys, epoch_batches, sorted_batches

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=300).map(np.array)


def flat(batches: list[np.ndarray]) -> list[int]:
    return np.concatenate(batches).tolist()


def padding_share(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """The share of the padded batches' cells that hold no token."""
    cells = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1 - lengths.sum() / cells


@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**31), st.integers(0, 50))
def test_every_row_comes_once_an_epoch_in_batches_of_the_size_asked_for(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> None:
    batches = epoch_batches(lengths, batch_size, seed, epoch)
    assert sorted(flat(batches)) == list(range(len(lengths)))
    sizes = sorted(len(batch) for batch in batches)
    assert sizes[1:] == [batch_size] * (len(sizes) - 1) and 1 <= sizes[0] <= batch_size
    assert len(batches) == len(EpochBatches(lengths, batch_size, seed))


@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**31), st.integers(0, 50))
def test_the_same_seed_and_epoch_give_the_same_batches(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> None:
    first, second = (epoch_batches(lengths, batch_size, seed, epoch) for _ in range(2))
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in second]


@given(LENGTHS, st.integers(1, 40))
def test_evaluation_takes_every_row_once_with_the_longest_first(lengths: np.ndarray, batch_size: int) -> None:
    order = flat(sorted_batches(lengths, batch_size))
    assert sorted(order) == list(range(len(lengths)))
    assert lengths[order].tolist() == sorted(lengths.tolist(), reverse=True)


def test_another_epoch_and_another_seed_give_other_batches() -> None:
    lengths = np.full(100, 7)  # equal lengths: only chance orders them
    orders = {tuple(flat(epoch_batches(lengths, 8, seed, epoch))) for seed in (1, 2) for epoch in (1, 2, 3)}
    assert len(orders) == 6


def test_an_epoch_mixes_lengths_from_batch_to_batch() -> None:
    """Sorted batches in falling order would teach the long texts first, every epoch."""
    lengths = np.random.default_rng(0).integers(5, 100, size=2000)
    widths = [int(lengths[batch].max()) for batch in epoch_batches(lengths, 20, 1, 1)]
    assert widths != sorted(widths, reverse=True)
    early, late = np.mean(widths[:50]), np.mean(widths[50:])
    assert abs(early - late) < 10


def test_padding_is_a_small_part_of_what_a_fixed_order_pads() -> None:
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(2.3, 0.5, size=5000).astype(int), 3, 128)  # as CoLA's
    in_order = [np.arange(start, min(start + 32, 5000)) for start in range(0, 5000, 32)]
    ours = padding_share(lengths, epoch_batches(lengths, 32, 42, 1))
    assert padding_share(lengths, in_order) > 0.5
    assert ours < 0.06
    assert padding_share(lengths, sorted_batches(lengths, 32)) <= ours


def test_a_sampler_yields_the_epoch_with_every_row_and_begins_where_it_is_told_to() -> None:
    lengths = np.arange(1, 31)
    sampler = EpochBatches(lengths, 2, seed=1)
    seen = {}
    for epoch in (1, 2):
        sampler.begin_at(epoch)
        keys = [key for batch in sampler for key in batch]
        assert keys == [(epoch, row) for row in flat(epoch_batches(lengths, 2, 1, epoch))]
        seen[epoch] = [row for _, row in keys]
    assert seen[1] != seen[2]


def test_a_data_set_of_keys_gives_back_the_key() -> None:
    keys = Keys(3)
    assert len(keys) == 3 and keys[(4, 2)] == (4, 2)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_a_data_loader_over_the_keys_reads_what_the_sampler_says(batch_size: int) -> None:
    from torch.utils.data import DataLoader

    sampler = EpochBatches(np.arange(1, 21), batch_size, seed=3)
    loader = DataLoader(Keys(20), batch_sampler=sampler, collate_fn=list)
    assert list(loader) == list(sampler)
