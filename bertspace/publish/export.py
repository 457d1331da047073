"""A run to take along: its settings, command and stand-alone script, and its files as a zip."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertspace import hardware, models
from bertspace.data.labels import parse_names
from bertspace.errors import BertspaceError, RunError, without_paths
from bertspace.files import whole_file, write_atomically
from bertspace.models import apart
from bertspace.publish.fill import fill_in
from bertspace.publish.requirements import requirements
from bertspace.runs import Run
from bertspace.safety.layout import laid_out
from bertspace.schema import TrainConfig, as_command
from bertspace.tasks import TASKS

ARCHIVED = (
    *("config.yaml", "result.json", "events.jsonl", "predictions.parquet", "probe.safetensors"),
    *("base.parquet", "model", "data"),
)
BASE = "base"  # the folder of a base model that no Hub id names
STORED = (".safetensors", ".parquet")  # as good as random, or packed already
AGAIN = """Here, `python train.py` trains it again, without bertspace: from {beside}, with its model in
model/ in place of the one there; `pip install -r requirements.txt` brings what it needs. command.txt does the
same with bertspace; settings.yaml has its settings.
"""
MODEL_AND_SCORES = (
    "model/ is the trained model, for transformers' from_pretrained; result.json has its scores.\n"
)
PACKAGES = ("torch", "transformers", "accelerate", "peft", "scikit-learn", "numpy", "pandas", "pyarrow")


# Settings and command


def yaml_text(run: Run) -> str:
    """The run's settings as YAML, which `train --settings` reads again."""
    return _yaml(run.config())


def _yaml(config: TrainConfig) -> str:
    import yaml

    return yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True)


def command(run: Run) -> str:
    """The command that trains the same again, inside the run's folder."""
    return as_command(run.config())


# The stand-alone script


def script(run: Run) -> str:
    """A Python script of the same training, with no import of bertspace; it runs in an exported folder.

    With dropout 0 it reaches the run's own losses.
    """
    config = run.config()
    source = TASKS[config.task].script.read_text(encoding="utf-8")
    return fill_in(source, _settings(run, config))


def _settings(run: Run, config: TrainConfig) -> dict[str, Any]:
    """TrainConfig's fields in capitals, as the training had them; of the model its name and its revision."""
    name, _, revision = config.model.partition("@")
    located = models.of_run_or_base(run)
    longest = apart.compute(located, "longest_text", {})
    values = config.to_dict() | {
        "model": BASE if models.is_local(config.model) else name,
        "revision": revision or "main",
        "label_names": parse_names(config.label_names),
        "learning_rate": _learning_rate(run, config, located),
        "max_length": min(config.max_length, longest),
        "chunk_size": min(config.chunk_size, longest),
        "precision": _precision(run, config),
        "best_metric": config.best_metric or (TASKS[config.task].headline if config.patience else ""),
    }
    return {name.upper(): value for name, value in values.items()}


def _learning_rate(run: Run, config: TrainConfig, located: models.Located) -> float:
    """The run's own, or where none was given its model's."""
    result = run.result()
    rate: float | None = result["config"]["learning_rate"] if result else config.learning_rate
    return models.default_learning_rate(located, config.task, config.lora_rank) if rate is None else rate


def _precision(run: Run, config: TrainConfig) -> str:
    """Accelerate's word for the run's precision: what it trained in, or would on this machine."""
    if result := run.result():
        return str(result["environment"]["precision"])
    precision = hardware.resolve(config.precision)
    return "no" if precision == "fp32" else precision


# Files to take along


def export(run: Run, folder: Path) -> Path:
    """settings.yaml, command.txt, train.py with its requirements.txt, data/ and, where no Hub id names it,
    base/ in a new folder.

    Raises RunError where the folder is not empty.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is not empty.", hint="Name a new folder, or delete this one.")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _fill(run, unfinished)
        unfinished.replace(folder)  # an empty folder gives way
    except OSError as error:
        raise _unwritten(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _fill(run: Run, folder: Path) -> None:
    folder.mkdir()
    shutil.copytree(run.path / "data", folder / "data")
    _write_code(run, folder)


def _write_code(run: Run, folder: Path) -> None:
    """All that the script needs beside data/, the script and the command that does the same."""
    config, text = run.config(), script(run)
    is_local = models.is_local(config.model)
    if is_local:
        _write_base(models.locate(config.model), config.task, folder / BASE)
    here = replace(config, model=BASE) if is_local and config.model != "starter" else config
    write_atomically(folder / "settings.yaml", _yaml(here))
    write_atomically(folder / "command.txt", f"{as_command(here)}\n")
    write_atomically(folder / "train.py", text)
    write_atomically(folder / "requirements.txt", requirements(*PACKAGES))


def _write_base(located: models.Located, task: str, folder: Path) -> None:
    """The base model's files, the starter's with its adapter where that has the task's head."""
    folder.mkdir()
    # A run's own files were saved by us; anything else is laid out as for loading.
    source = located.path if located.kind == "run" else laid_out(located.path, located.name)
    for path in filter(Path.is_file, source.iterdir()):
        shutil.copyfile(path, folder / path.name)
    if located.kind == "starter" and TASKS[task].head == models.STARTER_HEAD:
        with models.quiet():
            models.load_model(located, task).save_pretrained(folder)


def archive(run: Run, target: Path) -> Path:
    """A zip of the run for download, in which train.py trains it again; README.txt says what is what.

    Without its lock, its requests and its checkpoints. Raises RunError.
    """
    target = target.expanduser().absolute()
    root = run.path.resolve()
    try:
        with whole_file(target) as path, zipfile.ZipFile(path, "w") as file:
            _add(file, run.id, root, _members(root))
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as folder:
                made = Path(folder)
                write_atomically(made / "README.txt", _readme(run, made))
                if (root / "log.txt").is_file():
                    write_atomically(made / "log.txt", log(run))
                _add(file, run.id, made, (each for each in sorted(made.rglob("*")) if each.is_file()))
    except FileNotFoundError as error:  # a model is replaced by a better one
        raise RunError(f"The run {run.id} changed meanwhile.", hint="Try it again.") from error
    except OSError as error:
        raise _unwritten(target, error) from error
    return target


def log(run: Run) -> str:
    """log.txt for whoever may not know this machine's folders; raises RunError where there is none yet."""
    try:
        return without_paths((run.path / "log.txt").read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError as error:
        raise RunError("The run has no log yet.", hint="It begins when the run does.") from error


def _add(file: zipfile.ZipFile, name: str, root: Path, paths: Iterable[Path]) -> None:
    """The files below root, into the zip's folder of that name."""
    for path in paths:
        how = zipfile.ZIP_STORED if path.suffix in STORED else zipfile.ZIP_DEFLATED
        file.write(path, Path(name, path.relative_to(root)), compress_type=how)


def _readme(run: Run, folder: Path) -> str:
    """What the zip's files are for; puts the code into the folder, or says why there is none."""
    try:
        if not models.is_here(run):
            raise RunError(
                "Its base model is not on this machine.", hint="Pull it, and download the run again."
            )
        _write_code(run, folder)
    except BertspaceError as error:
        code = f"There is no train.py. {error}"
    else:
        code = AGAIN.format(beside="data/ and base/" if (folder / BASE).is_dir() else "data/")
    return f"{run.name}\n\n{code}\n{MODEL_AND_SCORES if run.has_model else ''}"


def _unwritten(path: Path, error: OSError) -> RunError:
    why = error.strerror or error
    return RunError(
        f"{path.name} could not be written: {why}.", hint="Free some space, or name another place."
    )


def _members(root: Path) -> Iterator[Path]:
    for name in ARCHIVED:
        part = root / name
        found = sorted(part.rglob("*")) if part.is_dir() else [part]
        yield from (path for path in found if path.is_file() and not path.is_symlink())
