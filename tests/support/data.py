"""Files of data, made for a test."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertspace.data import load_splits
from bertspace.errors import BertspaceError
from bertspace.schema import TrainConfig

WORDS = (
    "amber birch cedar delta ember fjord grove heath inlet jetty knoll ledge marsh north ocean plain".split()
)


def some_texts(count: int) -> list[str]:
    return [f"{WORDS[i % 16]} {WORDS[i // 16 % 16]} {i}" for i in range(count)]


def some_rows(count: int = 40, labels: tuple[Any, ...] = ("no", "yes"), **columns: list) -> dict[str, list]:
    return {"text": some_texts(count), "label": [labels[i % len(labels)] for i in range(count)]} | columns


def put(folder: Path, name: str, columns: dict[str, list]) -> str:
    frame = pd.DataFrame(columns)
    if name.endswith(".csv"):
        frame.to_csv(folder / name, index=False)
    elif name.endswith(".jsonl"):
        lines = [
            json.dumps(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
        ]
        (folder / name).write_text("\n".join(lines))
    else:
        frame.to_parquet(folder / name)
    return name


def config_of(folder: Path, **settings: Any) -> TrainConfig:
    return TrainConfig(**{"data_dir": str(folder), "train_file": "train.csv"} | settings)


def refusal(config: TrainConfig) -> str:
    """What load_splits says against the config's data: one line, no folder in it, and what to do."""
    with pytest.raises(BertspaceError) as caught:
        load_splits(config)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert not config.data_dir or config.data_dir not in str(caught.value)
    return caught.value.message


def zipped(folder: Path, files: Mapping[str, bytes]) -> Path:
    path = folder / "packed.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def tarred(folder: Path, files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    path = folder / "packed.tar.gz"
    with tarfile.open(path, "w:gz", format=form) as file:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            file.addfile(about, io.BytesIO(content))
    return path


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / "packed" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "packed" / name).write_bytes(content)
    return folder / "packed"
