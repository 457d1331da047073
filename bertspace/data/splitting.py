"""Random splits and samples by a seed, in which each label keeps its share and none is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bertspace.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MIN_ROWS = 10


def split_rows(
    rows: pd.DataFrame, name: str, label_names: Sequence[str], share: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(train, validation): a `share` held out, every label in both; raises DataError for too few rows.

    `name` is what messages call the rows' file. Without labels the rows are split at random.
    """
    import numpy as np

    if len(rows) < MIN_ROWS:
        raise DataError(
            f"{name} has {len(rows)} row{'s'[: len(rows) != 1]} with a text, "
            "too few to hold out some for validation.",
            hint=f"Give {MIN_ROWS} or more, or a validation file.",
        )
    labels = rows["label"].to_numpy() if label_names else np.zeros(len(rows), dtype=np.int64)
    codes, counts = np.unique(labels, return_counts=True)
    if (counts == 1).any():
        code = codes[counts == 1][0]
        row = int(rows.index[labels == code][0]) + 1
        raise DataError(
            f"The label {label_names[code]!r} stands in one row only (row {row:,} of {name}): "
            "there is none to hold out for validation.",
            hint="Add another row with it, take it out, or give a validation file.",
        )
    wanted = min(max(math.ceil(share * len(rows)), len(codes)), len(rows) - len(codes))
    held = np.zeros(len(rows), dtype=bool)
    held[draw_rows(labels, wanted, seed, spare=1)] = True
    return rows[~held], rows[held]


def draw_rows(labels: np.ndarray, wanted: int, seed: int, spare: int = 0) -> np.ndarray:
    """Sorted positions of `wanted` rows: of every label at least one and, up to rounding, its share.

    `spare` rows of every label stay undrawn. There have to be as many rows as that asks for.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    codes, counts = np.unique(labels, return_counts=True)
    drawn = [
        random.permutation(np.flatnonzero(labels == code))[:number]
        for code, number in zip(codes, _shares(counts, wanted, spare), strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def _shares(counts: np.ndarray, wanted: int, spare: int) -> np.ndarray:
    """`wanted` cut in proportion to the counts, each between 1 and its count less `spare`."""
    import numpy as np

    exact = counts * (wanted / counts.sum())
    shares = np.clip(np.floor(exact).astype(int), 1, counts - spare)
    while (missing := wanted - shares.sum()) != 0:
        step = 1 if missing > 0 else -1
        free = shares < counts - spare if step > 0 else shares > 1
        shares[np.argmax(np.where(free, step * (exact - shares), -np.inf))] += step
    return shares
