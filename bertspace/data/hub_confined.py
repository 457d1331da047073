"""A copy of a Hub data set from which the datasets library can read tables and nothing else.

For the library a folder is its owner's: it obeys front matter that names files anywhere on the machine, or
addresses, and settings that make reading endless. So it is given a folder of ours: links to the tables of the
repository, and of the front matter only what is known here and was looked through. It is read so for
everybody, and only what the configuration and the splits that are asked for need comes at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.data import unpacked
from bertspace.errors import DataError, ForbiddenError

if TYPE_CHECKING:
    import datasets

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".parquet")
PACKED = tuple(f"{each}.gz" for each in TABLES[:-1])
CARDS = ("README.md", ".huggingface.yaml")  # the second says it instead
BUILDERS = ("csv", "json", "text", "parquet")
FRONT_BYTES = 128 * 1024  # of a front matter: its parser takes seconds for that
MAX_CONFIGS, MAX_PATTERNS, MAX_STARS = 500, 1000, 3  # stars: between two slashes, tried in every way
MAX_UNPACKED = 512 * 1024 * 1024  # bytes: beside them, what is made of the rows takes memory too
LARGEST_NUMBER = 1000  # of a setting: of rows to be skipped the library makes a list
# More than one would be a pattern, none a guess.
_CHARACTERS = ("sep", "delimiter", "quotechar", "escapechar")
_SETTINGS = (
    "header",
    "names",
    "column_names",
    "quoting",
    "doublequote",
    "skiprows",
    "field",
    "sample_by",
    "keep_linebreaks",
)
_HINT = "Upload a file of its rows."


def lay_out(snapshot: Path, names: Iterable[str], target: Path, front_bytes: int = FRONT_BYTES) -> None:
    """Make the folder `target` after a repository's files: an empty one for each of its tables, since their
    names alone tell which of them are read. Raises DataError for what may not be obeyed.

    snapshot: where the repository's card lies.
    """
    import yaml

    target.mkdir(parents=True)
    for name in names:
        if _is_table(name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).touch()
    front = _front(snapshot, front_bytes)
    configs = front.get("configs") or _exported(target)
    known: dict[str, Any] = {"configs": _configs(configs)}
    known["dataset_info"] = _infos(front.get("dataset_info"))
    # Not as a README.md: what the client finds its front matter by takes forever over empty lines.
    text = yaml.safe_dump({key: value for key, value in known.items() if value}, allow_unicode=True)
    (target / ".huggingface.yaml").write_text(text, encoding="utf-8")


def check(builder: datasets.DatasetBuilder, target: Path) -> dict[str, list[str]]:
    """The names of the files that the builder would read, by split; raises DataError where one was not laid
    out."""
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in BUILDERS:
        raise DataError(
            f"Files of the kind {kind} are not read here.", hint="Give csv, json, text or parquet."
        )
    laid = [path for path in target.rglob("*") if path.is_file() and _is_table(path.name)]
    ours = {str(path.resolve()): path.relative_to(target).as_posix() for path in laid}
    files: dict[str, list[str]] = {}
    for split, paths in (builder.config.data_files or {}).items():
        for path in map(Path, paths):
            if (name := ours.get(str(path.resolve()))) is None:
                raise DataError(f"The data set names {path.name}, which is no table of its own.", hint=_HINT)
            files.setdefault(str(split), []).append(name)
    return files


def fill(snapshot: Path, names: Iterable[str], target: Path) -> list[Path]:
    """Put these tables in the place of the empty files, as links to where they lie."""
    paths = [target / name for name in names]
    for path in paths:
        path.unlink()
        path.symlink_to((snapshot / path.relative_to(target)).resolve())
    return paths


def check_packed(files: Sequence[Path], most: int = 0) -> None:
    """Raises ForbiddenError where parquet and gzip files hold too much, DataError for other packing.

    most: bytes, where it is less than MAX_UNPACKED.
    """
    from datasets.utils.extract import Extractor

    for path in files:  # the library unpacks by what a file is, not by its name
        if Extractor.infer_extractor_format(path) != ("gzip" if path.suffix.lower() == ".gz" else None):
            raise DataError(
                f"{path.name} is not packed as its name says.", hint="Give it as it is, or as .gz."
            )
    packed = [path for path in files if path.suffix.lower() in (".parquet", ".gz")]
    most = min(most or MAX_UNPACKED, MAX_UNPACKED)
    if packed and not unpacked.fits_into(packed, most):
        from bertspace.words import size

        raise ForbiddenError(
            f"The data set's packed files hold more than {size(most)}, the limit here, or are damaged.",
            hint="Choose a smaller configuration, or upload a file of its rows.",
        )


def _exported(target: Path) -> list[dict[str, Any]]:
    """The configurations of the Hub's own copies as parquet; none of anything else.

    They lie at <configuration>/<split>/0000.parquet, with no card that says so.
    """
    configs: dict[str, dict[str, str]] = {}
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        parts = path.relative_to(target).parts
        if (
            len(parts) != 3
            or not re.fullmatch(r"\d{4}\.parquet", parts[2])
            or not re.fullmatch(r"\w+", parts[1])
        ):
            return []
        configs.setdefault(parts[0], {})[parts[1]] = f"{parts[0]}/{parts[1]}/*.parquet"
    return [
        {"config_name": name, "data_files": [{"split": split, "path": path} for split, path in paths.items()]}
        for name, paths in configs.items()
    ]


def _is_table(name: str) -> bool:
    return name.lower().endswith((*TABLES, *PACKED))


def _front(snapshot: Path, most: int) -> dict[str, Any]:
    """The front matter of the repository's card, and what the file for it alone says instead."""
    front_matter: dict[str, Any] = {}
    for name in CARDS:
        if not (snapshot / name).is_file():
            continue
        with (snapshot / name).open("rb") as file:
            read = file.read(most + 1)
        text = read.decode("utf-8", errors="replace").replace("\r\n", "\n")
        front = _between_dashes(text) if name == "README.md" else (text, len(read) <= most)
        if not front[1] and len(read) > most:
            raise DataError("The front matter of the data set's card is too long.", hint=_HINT)
        front_matter |= _parsed(front[0]) if front[1] else {}
    return front_matter


def _between_dashes(card: str) -> tuple[str, bool]:
    """A card's front matter, and whether it ends: one that does not is none."""
    lines = card.lstrip("\ufeff \t\n").split("\n")
    if lines[0].rstrip() != "---":
        return "", True
    end = next((number for number, line in enumerate(lines) if number and line.rstrip() == "---"), None)
    return "\n".join(lines[1:end]), end is not None


def _parsed(text: str) -> dict[str, Any]:
    import yaml

    try:
        # An alias stands for as much as it likes, and aliases within aliases for more than any memory holds.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise DataError("The front matter of the data set's card has aliases.", hint=_HINT)
        parsed = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError("The front matter of the data set's card is no YAML.", hint=_HINT) from error
    return parsed if isinstance(parsed, dict) else {}


def _infos(infos: Any) -> list[dict[str, Any]]:
    """What the data set says of its columns, without numbers of rows that the library would hold it to."""
    listed = infos if isinstance(infos, list) else [infos]
    return [
        {key: info[key] for key in ("config_name", "features") if key in info}
        for info in listed[:MAX_CONFIGS]
        if isinstance(info, dict)
    ]


def _configs(configs: Any) -> list[dict[str, Any]]:
    if not configs:
        return []
    if not isinstance(configs, list) or len(configs) > MAX_CONFIGS:
        raise DataError("The data set's configurations are no list, or too long a one.", hint=_HINT)
    return [_config(each) for each in configs]


def _config(config: Any) -> dict[str, Any]:
    if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
        raise DataError("A configuration of the data set has no name.", hint=_HINT)
    settings = {key: config[key] for key in ("config_name", "features") if key in config}
    settings |= {"default": True} if config.get("default") else {}
    for key, value in config.items():
        if key == "data_dir":
            settings[key] = _pattern(value)
        elif key == "data_files":
            settings[key] = _patterns(value)
        elif (key in _CHARACTERS and isinstance(value, str) and len(value) == 1) or (
            key in _SETTINGS and _is_plain(value)
        ):
            settings[key] = value
        elif key not in settings and key != "default" and _is_setting(key):
            raise DataError(f"The data set sets {key} in a way that is not read here.", hint=_HINT)
    return settings


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return (
        value is None or isinstance(value, str) or (isinstance(value, int) and 0 <= value <= LARGEST_NUMBER)
    )


def _is_setting(key: Any) -> bool:
    """Whether it changes how the library reads; descriptions and licences, which some put here, do not."""
    from datasets.packaged_modules.csv.csv import CsvConfig
    from datasets.packaged_modules.json.json import JsonConfig
    from datasets.packaged_modules.parquet.parquet import ParquetConfig
    from datasets.packaged_modules.text.text import TextConfig

    if key in ("name", "version", "description"):
        return False
    return any(hasattr(kind, str(key)) for kind in (CsvConfig, JsonConfig, ParquetConfig, TextConfig))


def _patterns(files: Any) -> Any:
    """The data_files in one of the shapes that the library knows, each pattern looked at."""
    if isinstance(files, str):
        return _pattern(files)
    if not isinstance(files, list) or len(files) > MAX_PATTERNS:
        raise DataError("The data set's data_files are no list, or too long a one.", hint=_HINT)
    return [
        {"split": str(each.get("split")), "path": _patterns(each.get("path"))}
        if isinstance(each, dict)
        else _pattern(each)
        for each in files
    ]


def _pattern(value: Any) -> str:
    """The path or glob, if it stays within the repository and can be tried in no time; raises DataError."""
    if not isinstance(value, str) or value.startswith(("/", "~")) or any(each in value for each in ":\\\0"):
        raise DataError(f"The data set names {str(value)[:80]!r}, which is no path within it.", hint=_HINT)
    parts = value.split("/")
    if ".." in parts:
        raise DataError(f"The data set names {value[:80]!r}, which leads out of it.", hint=_HINT)
    if value.count("*") > 2 * MAX_STARS or any(part.count("*") > MAX_STARS for part in parts):
        raise DataError(f"The data set names {value[:80]!r}, which has too many stars.", hint=_HINT)
    return value
