"""Check how large packed files would be, before anything else reads them.

A small parquet or gzip file may unpack to more than any memory holds, and neither its footer nor its name
need say so. So it is read in a process of its own, which may not grow:
`python -m bertspace.data.unpacked MOST FILE…`.
"""

from __future__ import annotations

import gzip
import importlib
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bertspace import processes

SECONDS = 60
CHUNK = 1024 * 1024
ROWS = 4096  # decoded at once
OWN_BYTES = 512 * 1024 * 1024  # of the process's memory, beside twice what the files may hold
FITS = 0


def fits_into(files: Sequence[Path], most: int) -> bool:
    """Whether the parquet and gzip files hold at most so many bytes in all; False for what cannot be read."""
    # The plain allocator: the others set aside more than they use, which the bound would count.
    environment = processes.child_environment(ARROW_DEFAULT_MEMORY_POOL="system", OMP_NUM_THREADS="1")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bertspace.data.unpacked", str(most), *map(str, files)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == FITS


def main(most: int, files: Sequence[Path]) -> int:
    importlib.import_module("pyarrow.parquet")  # before the bound: libraries are no data
    with suppress(ValueError, OSError):  # a lower bound may hold already, and not every system has this one
        resource.setrlimit(resource.RLIMIT_DATA, (2 * most + OWN_BYTES,) * 2)
    left = most
    for path in files:
        for size in _gzipped(path) if path.suffix.lower() == ".gz" else _parquet(path):
            left -= size
            if left < 0:
                return FITS + 1
    return FITS


def _gzipped(path: Path) -> Iterator[int]:
    with gzip.open(path) as file:
        while chunk := file.read(CHUNK):
            yield len(chunk)


def _parquet(path: Path) -> Iterator[int]:
    parquet = importlib.import_module("pyarrow.parquet")  # comes with datasets
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(ROWS, use_threads=False):
            yield max(sum(map(_size, batch.columns)), batch.num_rows)


def _size(column: Any) -> int:
    """Bytes of the column's values, each written out; raises ValueError where they cannot be counted."""
    types = importlib.import_module("pyarrow.types")
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    for kind in _leaves(column.type):  # these keep once what many rows have
        if types.is_dictionary(kind) or types.is_string_view(kind) or types.is_binary_view(kind):
            raise ValueError(f"{kind} within a column")
    return int(column.nbytes)


def _leaves(kind: Any) -> list[Any]:
    if not kind.num_fields:
        return [kind]
    return [leaf for each in range(kind.num_fields) for leaf in _leaves(kind.field(each).type)]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
