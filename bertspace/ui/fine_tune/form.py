"""TrainConfig as a form: one control a field, under the field's own name, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import gradio as gr

from bertspace import policy
from bertspace.data.archives import ACCEPTED
from bertspace.errors import DataError
from bertspace.policy import Person
from bertspace.schema import FIELD_TYPES, TrainConfig, as_command
from bertspace.ui.models.catalogue import checked_model

FIELDS: dict[str, Field[Any]] = {each.name: each for each in fields(TrainConfig)}
NOT_ON_THE_PAGE = ("data_dir",)  # a folder of the host: files come from uploads only
UPLOADS = ("train_file", "validation_file", "test_file")
COLUMNS = ("text_column", "pair_column", "label_column")
HUB = ("dataset", "dataset_config", "train_split", "validation_split", "test_split")
# Numbers that may be left empty: gr.Number turns an empty field into 0, and 2e-5 into 0.00002.
OPTIONAL = tuple(name for name, kind in FIELD_TYPES.items() if kind == float | None)
OWN = "the model's own"
SOURCES = {"sample": "A sample", "files": "Your files", "hub": "A data set on the Hub"}

# What a field is called where its name in plain words is not enough.
LABELS = {
    "dataset": "Data set on the Hub",
    "dataset_config": "Configuration",
    "train_file": "Training file",
    "validation_file": "Validation file (optional)",
    "test_file": "Test file (optional)",
    "train_split": "Training split",
    "pair_column": "Second text column",
    "label_names": "Label names",
    "max_train_rows": "Training rows at most",
    "validation_share": "Share held out",
    "max_length": "Longest text (tokens)",
    "chunk_size": "Chunk size (tokens)",
    "max_steps": "Steps at most",
    "warmup_ratio": "Warm-up share",
    "max_grad_norm": "Longest gradient",
    "freeze_layers": "Frozen lower layers",
    "lora_rank": "LoRA rank",
    "best_metric": "Keep the epoch best by",
    "patience": "Patience (epochs)",
}
HINTS = {
    "dataset": "owner/name, as it stands on the Hub.",
    "train_file": "csv, tsv, jsonl, parquet or txt; .gz too; a zip or tar.gz of them.",
}
STEPS = {
    "learning_rate": 1e-5,
    "epochs": 0.5,
    "max_steps": 10,
    "batch_size": 8,
    "max_length": 8,
    "chunk_size": 8,
}

# The groups of the metadata, as headings, in the order in which they matter. "data" has its own step.
GROUPS = {
    "schedule": "Schedule",
    "tokens": "Text length",
    "masks": "Masks",
    "regularisation": "Regularisation",
    "evaluation": "Evaluation",
    "precision": "Precision",
    "checkpoints": "Checkpoints",
}


def label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " ").capitalize())


def info(name: str) -> str:
    """The field's hint and, for a setting, its default."""
    field = FIELDS[name]
    hint = HINTS.get(name, field.metadata["hint"])
    if field.metadata["group"] not in GROUPS or field.default in ("", None):
        return hint
    return f"{hint} Default: {_plain(field.default)}."


def control(name: str, value: Any = ...) -> Any:
    """The control that fits the field's type; its value is the field's default where none is given."""
    field, kind = FIELDS[name], FIELD_TYPES[name]
    value = field.default if value is ... else value
    common: dict[str, Any] = {
        "label": label(name),
        "info": info(name),
        "elem_id": f"setting-{name}",
        "min_width": 200,
    }
    if name in UPLOADS:
        return gr.File(label=label(name), elem_id=f"setting-{name}", height=152, file_types=list(ACCEPTED))
    if name in COLUMNS:
        return gr.Dropdown([("none", "")], value="", allow_custom_value=True, **common)
    if choices := field.metadata["choices"]:
        return gr.Dropdown(list(choices), value=value, **common)
    if kind is bool:
        return gr.Checkbox(value, **common)
    if kind is str or name in OPTIONAL:
        hint = OWN if name in OPTIONAL else None
        return gr.Textbox(shown(name, value), max_lines=1, placeholder=hint, **common)
    # No precision: it would round what is no whole number, instead of its being refused.
    return gr.Number(value, step=STEPS.get(name, 1 if kind is int else 0.01), **common)


def config_of(source: str, sample: str | None, values: Mapping[str, Any], person: Person) -> TrainConfig:
    """The config that the form describes: data of the chosen source only. Raises BertspaceError.

    Files come from uploads, and models from what the person may use: no field is a path of the host.
    """
    chosen = {name: value for name, value in values.items() if name not in NOT_ON_THE_PAGE}
    chosen["model"] = checked_model(chosen.get("model"), person)
    if source != "hub":
        chosen |= dict.fromkeys(HUB[:2], "") | {name: FIELDS[name].default for name in HUB[2:]}
    if source != "files":
        chosen |= dict.fromkeys(UPLOADS, "")
    if source == "sample":
        if not sample:
            raise DataError(
                "No data is chosen.", hint="Click one of the samples in step 1, or give a file of yours."
            )
        chosen["dataset"] = f"sample:{sample}"
    elif source == "files" and not chosen.get("train_file"):
        raise DataError("There is no training file.", hint="Upload one in step 1.")
    elif source == "hub" and not chosen.get("dataset"):
        raise DataError("No data set is named.", hint="Write its id, owner/name, in step 1.")
    elif source not in SOURCES:
        raise DataError(f"There is no source {source!r}.", hint=f"Choose from: {', '.join(SOURCES)}.")
    for name in UPLOADS:
        policy.check_file(person, str(chosen.get(name) or ""))
    return TrainConfig.from_dict(chosen)


def shown(name: str, value: Any) -> Any:
    """A config's value as its control shows it."""
    if name in OPTIONAL:
        return "" if value is None else f"{value:g}"
    return value


def command(config: TrainConfig) -> str:
    """The command line that trains the same, an option a line; of files their names, no place on the host."""
    names: dict[str, Any] = {each: Path(getattr(config, each)).name for each in UPLOADS}
    return as_command(replace(config, **names), separator=" \\\n    ")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_of(group: str) -> list[str]:
    """The names of a group's fields, in TrainConfig's order."""
    return [name for name, field in FIELDS.items() if field.metadata["group"] == group]
