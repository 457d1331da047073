"""Files that a handler gives back: a table as csv, in a folder of its own below gradio's cache."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gradio.utils import get_upload_folder

if TYPE_CHECKING:
    import pandas as pd


def written_csv(frame: pd.DataFrame, name: str) -> str:
    """The path of a new csv file of that name, from which the page serves it."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(dir=folder)) / name
    frame.to_csv(path, index=False)
    return str(path)
