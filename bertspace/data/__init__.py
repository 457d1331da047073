"""Files and data sets of the Hub as checked rows: tables read, columns and labels found, splits made."""

from bertspace.data.columns import guess_columns
from bertspace.data.labels import label_counts
from bertspace.data.loading import (
    PARTS,
    SAMPLE_FOLDER,
    SAMPLE_PREFIX,
    Splits,
    int64,
    is_headless,
    load_splits,
    read_file,
    run_config,
    seen_in_training,
    text_frame,
    with_labels,
)
from bertspace.data.published import read_table
from bertspace.data.run_data import write_splits

__all__ = [
    "PARTS",
    "SAMPLE_FOLDER",
    "SAMPLE_PREFIX",
    "Splits",
    "archives",
    "columns",
    "guess_columns",
    "hub_data",
    "int64",
    "is_headless",
    "label_counts",
    "labels",
    "load_splits",
    "origin",
    "published",
    "read_file",
    "read_table",
    "reading",
    "run_config",
    "run_data",
    "seen_in_training",
    "squad",
    "tables",
    "text_frame",
    "with_labels",
    "write_splits",
]
