"""Small files that hold a lot, and ordinary ones."""

import gzip
import importlib
from pathlib import Path
from typing import Any

import pytest

from bertspace.data import unpacked

pytestmark = pytest.mark.slow

pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")  # come with datasets
MOST = 32 * 1024 * 1024
ONE_VALUE = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 1000]))
BOMBS = {
    "a value of a dictionary in many rows": ONE_VALUE,
    "the same, as text": ONE_VALUE.cast(pa.string()),
    "one long value": pa.array(["y" * 2 * MOST]),
    "one long list": pa.ListArray.from_arrays(pa.array([0, MOST]), pa.nulls(MOST, pa.int32()).fill_null(0)),
    "a dictionary within lists": pa.ListArray.from_arrays(pa.array([0, 100_000], pa.int32()), ONE_VALUE),
    "rows of nothing": pa.nulls(2 * MOST, pa.bool_()),
}


def written(path: Path, column: Any) -> Path:
    pq.write_table(pa.table({"text": column}), path, compression="zstd")
    return path


@pytest.mark.parametrize("what", BOMBS)
def test_a_small_parquet_file_that_holds_a_lot_does_not_fit(what: str, tmp_path: Path) -> None:
    path = written(tmp_path / "rows.parquet", BOMBS[what])
    assert path.stat().st_size < MOST / 50
    assert not unpacked.fits_into([path], MOST)


def test_ordinary_files_fit_while_all_of_them_do(tmp_path: Path) -> None:
    words = pa.array([["one", "two"]] * 10_000)
    paths = [written(tmp_path / f"{n}.parquet", words) for n in range(3)]
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(b"text,label\n" * 10_000))
    assert unpacked.fits_into([*paths, packed], MOST)
    assert unpacked.fits_into(paths[:1], words.nbytes)
    assert not unpacked.fits_into(paths, words.nbytes)


def test_gzip_files_are_counted_and_what_is_damaged_does_not_fit(tmp_path: Path) -> None:
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(bytes(MOST + 1)))
    assert not unpacked.fits_into([packed], MOST)
    packed.write_bytes(b"no gzip")
    assert not unpacked.fits_into([packed], MOST)


def test_what_takes_too_long_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked, "SECONDS", 0.001)
    assert not unpacked.fits_into([written(tmp_path / "rows.parquet", pa.array(["a"]))], MOST)
