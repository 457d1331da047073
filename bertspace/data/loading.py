"""A sample, a file or a Hub data set -> named splits with the task's columns, checked.

Knows nothing of models and tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace.data import published, run_data, squad
from bertspace.data.columns import (
    Columns,
    blank_rows,
    check_column,
    guess_columns,
    look_at,
    names_beside,
    pick_columns,
    texts,
)
from bertspace.data.hub_data import load_hub
from bertspace.data.labels import FEW_ROWS, code_labels, join_names, label_counts, labelled, parse_names
from bertspace.data.origin import origin, read
from bertspace.data.published import read_table
from bertspace.data.run_data import Splits, write_splits
from bertspace.data.splitting import draw_rows, split_rows
from bertspace.data.tables import Reading, Table, guesses_in_errors, row_words, shortened
from bertspace.errors import ConfigError, DataError, Remedy
from bertspace.hub import names as hub_names
from bertspace.schema import TrainConfig
from bertspace.tasks import Sample, samples

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Splits",
    "guess_columns",
    "label_counts",
    "load_splits",
    "read_table",
    "run_config",
    "seen_in_training",
    "write_splits",
]

SAMPLE_FOLDER = Path(__file__).parents[1] / "samples"
SAMPLE_PREFIX = "sample:"
PARTS = run_data.PARTS


def load_splits(config: TrainConfig) -> Splits:
    """The config's data, checked and split; raises DataError or HubError, which say where the fault is.

    Where there is no validation part, `validation_share` of the training rows is held out, by label.
    """
    source, tables = _sources(config)
    with guesses_in_errors(tables.values()):
        return _as_written(_checked(config, source, tables), config)


def _checked(config: TrainConfig, source: str, tables: dict[str, Table]) -> Splits:
    tables = {part: squad.for_task(table, config) for part, table in tables.items()}
    columns = pick_columns(config, tables["train"])
    findings = [finding for table in tables.values() for finding in table.findings]
    remedies = [remedy for table in tables.values() for remedy in table.remedies]
    notes, ways = look_at(columns, config, tables["train"])
    findings.extend(notes)
    tables = {part: _named_alike(table, columns, findings) for part, table in tables.items()}
    if columns.label:
        tables = {part: with_labels(table, columns.label, config, findings) for part, table in tables.items()}
    parts = {part: text_frame(table, columns, findings) for part, table in tables.items()}
    label_names: tuple[str, ...] = ()
    if columns.label:
        labels, label_names = code_labels(
            list(tables.values()), columns.label, parse_names(config.label_names), findings
        )
        for part, codes in zip(parts, labels, strict=True):
            parts[part] = parts[part].assign(label=int64(codes, parts[part]))
        ways.extend(_names_beside(columns, config, tables["train"], findings))
    if "validation" not in parts:
        parts["train"], parts["validation"] = split_rows(
            parts["train"], tables["train"].name, label_names, config.validation_share, config.seed
        )
    parts["train"] = _sampled(parts["train"], config, label_names)
    findings.extend(_findings(parts, label_names))
    parts = {part: frame.reset_index(drop=True) for part, frame in parts.items()}
    named = (
        label_names,
        source,
        tuple(findings),
        origin(config, tables),
        tuple(dict.fromkeys(remedies + ways)),
    )
    read_from = Columns("") if is_headless(tables["train"]) else columns
    return Splits(parts["train"], parts["validation"], parts.get("test"), *named, read_from)


def _named_alike(table: Table, columns: Columns, findings: list[str]) -> Table:
    """The table with the training part's names for columns that differ from them in case or blanks only."""
    names = [str(name) for name in table.frame.columns]
    renamed = {}
    for name in filter(None, (columns.text, columns.pair, columns.label)):
        twins = [each for each in names if each.strip().lower() == name.strip().lower()]
        if name not in names and len(twins) == 1:
            renamed[twins[0]] = name
            findings.append(f"The column {twins[0]!r} of {table.name} is read as {name!r}.")
    if not renamed:
        return table
    class_names = {renamed.get(name, name): kinds for name, kinds in table.class_names.items()}
    return replace(table, frame=table.frame.rename(columns=renamed), class_names=class_names)


def with_labels(table: Table, column: str, config: TrainConfig, findings: list[str]) -> Table:
    """The table's rows that have a label; raises DataError where one has none and is not to be left out."""
    check_column(column, table)
    return labelled(table, column, config.unlabelled_rows, findings)


def is_headless(table: Table) -> bool:
    """Whether the table is a txt, in which no column has a name."""
    return list(table.frame.columns) == ["text"] and table.name.lower().removesuffix(".gz").endswith(".txt")


def _names_beside(picked: Columns, config: TrainConfig, table: Table, findings: list[str]) -> list[Remedy]:
    """The setting that names numbers by a column beside them, where there is one; said as a finding."""
    column = picked.label
    if config.label_names or column in table.class_names:
        return []
    other, named = names_beside(picked, table)
    if not other:
        return []
    places = sorted(named)
    shown = ", ".join(f"{place} is {shortened(named[place])}" for place in places[:5])
    more = ", …" if len(places) > 5 else ""
    findings.append(f"The column {other!r} names the numbers in {column!r}: {shown}{more}; it is not used.")
    if places == list(range(len(places))):  # so numbers stay what they are
        setting = ("label_names", join_names([named[place] for place in places]))
    else:
        setting = ("label_column", other)
    return [Remedy(f"Name the labels by {other!r}", (setting,))]


def run_config(config: TrainConfig, splits: Splits) -> TrainConfig:
    """The config as a run folder keeps it: the data lies in its data/, under the canonical column names.

    load_splits of it, with the run folder as data_dir, gives the same splits again.
    """
    return replace(
        config,
        dataset="",
        dataset_config="",
        data_dir="",
        train_file="data/train.parquet",
        validation_file="data/validation.parquet",
        test_file="" if splits.test is None else "data/test.parquet",
        train_split="train",
        validation_split="",
        test_split="",
        **asdict(Reading()),
        text_column="text",
        pair_column="pair" if "pair" in splits.train else "",
        label_column="label" if splits.label_names else "",
        label_names=join_names(splits.label_names),
    )


def _sources(config: TrainConfig) -> tuple[str, dict[str, Table]]:
    """Where the rows are from, in words, and a table a part."""
    files = {part: getattr(config, f"{part}_file") for part in PARTS}
    if config.dataset and any(files.values()):
        named = next(filter(None, files.values()))
        raise DataError(
            f"Both the data set {config.dataset} and the file {Path(named).name} are named.",
            hint="Leave one of them empty.",
        )
    if config.dataset.startswith(SAMPLE_PREFIX):
        sample = _sample(config.dataset.removeprefix(SAMPLE_PREFIX).strip())
        return f"sample: {sample.title}", {"train": published.read(SAMPLE_FOLDER / sample.file)}
    if config.dataset:
        named = f" ({config.dataset_config})" if config.dataset_config else ""
        return f"{hub_names.plain(config.dataset, 'data set')}{named}", load_hub(config)
    if not files["train"] and (any(files.values()) or not config.data_dir):
        raise DataError(
            "No data is named.", hint=f"Give a train_file, a Hub data set, or {_known_samples()}."
        )
    tables = published.parts(config)
    folder = Path(config.data_dir).expanduser()
    named = {
        part: _by_name(table, folder / Path(files[part] or f"{part}.parquet").expanduser())
        for part, table in tables.items()
    }
    return tables["train"].name, named


def _known_samples() -> str:
    return " or ".join(SAMPLE_PREFIX + name for name in samples())


def sample_of(config: TrainConfig) -> Sample | None:
    """The sample that the config names, where it names one that there is."""
    if not config.dataset.startswith(SAMPLE_PREFIX):
        return None
    return samples().get(config.dataset.removeprefix(SAMPLE_PREFIX).strip())


def _sample(name: str) -> Sample:
    if name not in samples():
        raise DataError(f"There is no sample {name!r}.", hint=f"Take {_known_samples()}.")
    return samples()[name]


def read_file(path: Path, config: TrainConfig) -> Table:
    """The file, read as the config says; a run's own with its labels by name."""
    return _by_name(published.read(path, Reading.of(config)), path)


def _by_name(table: Table, path: Path) -> Table:
    """The table, with the labels' names where it is one of a run's own parts."""
    names = run_data.label_names(run_data.about(path))
    return replace(table, frame=run_data.named(table.frame, names))


def text_frame(table: Table, columns: Columns, findings: list[str]) -> pd.DataFrame:
    """A frame of `text` and `pair`, under the table's row numbers.

    Blank texts are refused where they have a label; lines of a document are left out, as a finding.
    """
    import pandas as pd

    if not columns.label and list(table.frame.columns) == ["text"]:  # a txt beside a table with other names
        columns = Columns("text")
    for name in filter(None, (columns.text, columns.pair, columns.label)):
        check_column(name, table)
    columns_by_role = {"text": texts(table, columns.text)}
    if columns.pair:
        columns_by_role["pair"] = texts(table, columns.pair)
    frame = pd.DataFrame(columns_by_role, index=table.frame.index, dtype="str")
    blank = blank_rows(list(columns_by_role.values()), frame.index)
    if blank and columns.label:
        named = " or ".join(repr(name) for name in (columns.text, columns.pair) if name)
        raise DataError(
            f"{table.name} has no text in {row_words(blank)} (column {named}).",
            hint="Fill the texts in or take the rows out.",
        )
    if blank:
        rows = "rows" if len(blank) > 1 else "row"
        were = "were" if len(blank) > 1 else "was"
        findings.append(f"{len(blank):,} blank {rows} of {table.name} {were} left out.")
        frame = frame.drop(index=[row - 1 for row in blank])
    if frame.empty:
        raise DataError(
            f"{table.name} has blank texts only (column {columns.text!r}).", hint="Pick another column."
        )
    return frame


def int64(codes: Sequence[int], frame: pd.DataFrame) -> pd.Series:
    import pandas as pd

    return pd.Series(codes, index=frame.index, dtype="int64")


def _sampled(train: pd.DataFrame, config: TrainConfig, label_names: Sequence[str]) -> pd.DataFrame:
    """A random sample of max_train_rows that keeps each label's share."""
    if not label_names or not 0 < config.max_train_rows < len(train):
        return train
    labels = train["label"].to_numpy()
    if config.max_train_rows < (distinct := len(set(labels.tolist()))):
        raise ConfigError(
            f"max_train_rows is {config.max_train_rows}, and there are {distinct} labels.",
            hint="Take several rows for each label.",
        )
    return train.iloc[draw_rows(labels, config.max_train_rows, config.seed)]


def _findings(parts: dict[str, pd.DataFrame], label_names: Sequence[str]) -> list[str]:
    """Sentences about repeated texts, rows that are in two parts, and rare labels."""
    train, findings = parts["train"], []
    keys = [name for name in ("text", "pair") if name in train]
    if repeated := int(train.duplicated(keys).sum()):
        findings.append(f"{repeated:,} of the {len(train):,} training rows repeat the text of another one.")
    if label_names:
        distinct = train.drop_duplicates([*keys, "label"])
        if torn := int(distinct.duplicated(keys).sum()):
            findings.append(f"{torn:,} training texts stand there again with another label.")
    for part in ("validation", "test"):
        if part in parts:
            if shared := int(seen_in_training(train, parts[part]).sum()):
                findings.append(
                    f"{shared:,} of the {len(parts[part]):,} {part} rows are among the training rows too, "
                    "which flatters the score."
                )
    if (
        rare := [(n, c) for n, c in label_counts(train, label_names).items() if c < FEW_ROWS]
        if label_names
        else []
    ):
        named = ", ".join(f"{shortened(name)} {count}" for name, count in rare[:5]) + (
            ", …" if len(rare) > 5 else ""
        )
        findings.append(f"Labels with fewer than {FEW_ROWS} training rows are rarely learned: {named}.")
    return findings


def seen_in_training(train: pd.DataFrame, held_out: pd.DataFrame) -> pd.Series:
    """For each held-out row whether its text, or both texts of its pair, is a training row's too."""
    import pandas as pd

    keys = [name for name in ("text", "pair") if name in train]
    seen = set(train[keys].itertuples(index=False, name=None))
    rows = held_out[keys].itertuples(index=False, name=None)
    return pd.Series([row in seen for row in rows], index=held_out.index, dtype=bool)


def _as_written(splits: Splits, config: TrainConfig) -> Splits:
    """With the source, findings and columns that write_splits left beside the training file, where it did."""
    about = run_data.about(Path(config.data_dir).expanduser() / config.train_file)
    if not about:
        return splits
    return replace(
        splits,
        source=str(about.get("source", "")),
        findings=tuple(map(str, about.get("findings") or ())),
        origin=read(about),
        remedies=(),
        columns=run_data.columns(about),
    )
