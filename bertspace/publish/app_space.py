"""This app to a Space of the Hub: the right files of a working copy, its front matter, its variables.

Imports what a workflow can install in seconds: the Hub's client and yaml. Knows nothing of runs.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bertspace.errors import ConfigError
from bertspace.hub import commit as hub_commit
from bertspace.hub.client import api, call_hub, check_id
from bertspace.hub.commit import Committed, Target
from bertspace.processes import is_secret

ROOT = Path(__file__).resolve().parents[2]
TOP = ("app.py", "requirements.txt", "README.md", "LICENSE")
ENDINGS = (".py", ".md", ".css", ".js", ".jinja", ".yaml", ".csv", ".txt", ".safetensors", ".typed")
SCOPES = ["contribute-repos", "read-repos", "gated-repos"]  # beside openid and profile, which always are
PYTHON_VERSION = "3.12.12"  # a Space's default is 3.10, for which there is no transformers as new as ours
GRADIO_VERSION = "6.31.0"  # where none is installed, as in a workflow
LONGEST_DESCRIPTION = 60  # characters; the Hub refuses more


@dataclass(frozen=True)
class Deployed:
    """changed: whether the Space had not these files already."""

    repo_id: str
    url: str
    commit: str
    changed: bool
    private: bool
    files: int


def deploy(
    repo_id: str,
    *,
    private: bool = False,
    hardware: str = "",
    variables: Mapping[str, str] | None = None,
    root: Path = ROOT,
    message: str = "",
    tell: hub_commit.Tell = lambda words: None,
) -> Deployed:
    """Make or update the Space from the working copy at `root`: one commit, none where nothing is new.

    variables are public, so that one with a secret's name is refused. What the Space has and the working copy
    has not is removed, but .gitattributes. Raises ConfigError and HubError.
    """
    check_id(repo_id, "Space")
    if "/" not in repo_id:
        raise ConfigError(f"{repo_id!r} has no owner.", hint="Write owner/name.")
    for name in variables or {}:
        _check_variable(name)
    with tempfile.TemporaryDirectory(prefix="bertspace-deploy-") as name:
        folder = Path(name)
        count = collect(root, folder, hardware)
        target = Target(repo_id, private, kind="space", sdk="gradio")
        done: Committed = hub_commit.commit(
            folder, target, message or "Deploy bertspace", gone=_not_attributes, tell=tell
        )
    for key, value in (variables or {}).items():
        tell(f"Setting {key}")
        call_hub(lambda key=key, value=value: api().add_space_variable(repo_id, key, value), repo_id)  # type: ignore[misc]
    return Deployed(repo_id, done.url, done.commit, done.changed, done.private, count)


def _not_attributes(there: hub_commit.There) -> frozenset[str]:
    """All that the working copy has not, but what git itself keeps."""
    return there.files - {".gitattributes"}


def _check_variable(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError(f"{name!r} is no variable's name.", hint="Write NAME=VALUE.")
    if is_secret(name):
        raise ConfigError(
            f"{name} looks like a secret, and a Space's variables are public.",
            hint="Set it as a secret in the Space's settings.",
        )


def collect(root: Path, folder: Path, hardware: str = "") -> int:
    """Copy what a Space runs from to the folder; the number of files. Raises ConfigError."""
    if not all((root / name).is_file() for name in TOP):
        raise ConfigError(
            "There is no working copy of bertspace here to deploy.",
            hint="Run it in a clone of the repository: an installed package lacks app.py and README.md.",
        )
    count = 0
    for path in files(root):
        place = folder / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        count += 1
    readme = folder / "README.md"
    readme.write_text(with_front_matter(readme.read_text(encoding="utf-8"), hardware), encoding="utf-8")
    return count


def files(root: Path) -> Iterator[Path]:
    """What a Space needs: the app, the package, and the pages and pictures that README leads to."""
    yield from (root / name for name in TOP)
    for path in sorted((root / "bertspace").rglob("*")):
        hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
        if path.is_file() and not path.is_symlink() and not hidden and path.suffix in ENDINGS:
            yield path
    text = (root / "README.md").read_text(encoding="utf-8")
    for name in dict.fromkeys(re.findall(r"\]\(((?:docs/)?[\w-]+\.(?:md|png))\)", text)):
        if (root / name).is_file():
            yield root / name


def with_front_matter(readme: str, hardware: str = "") -> str:
    """README.md with the front matter that the Space is to have; raises ConfigError for what it may not."""
    import yaml

    _, front, body = readme.split("---\n", 2)
    values: dict[str, Any] = yaml.safe_load(front) | {"hf_oauth": True, "hf_oauth_scopes": SCOPES}
    if hardware:
        values["suggested_hardware"] = hardware
    if len(str(values.get("short_description", ""))) > LONGEST_DESCRIPTION:
        raise ConfigError(
            "short_description in README.md is too long for the Hub.",
            hint=f"Write {LONGEST_DESCRIPTION} characters at most.",
        )
    return f"{front_matter(values)}{body}"


def front_matter(values: Mapping[str, Any]) -> str:
    """A Space's front matter: these values, and the versions that every Space of ours is built with."""
    import yaml

    built = {"sdk": "gradio", "sdk_version": _gradio_version(), "python_version": PYTHON_VERSION}
    text = yaml.safe_dump(
        {**values, **built, "app_file": "app.py"}, sort_keys=False, allow_unicode=True, width=1000
    )
    return f"---\n{text}---\n"


def _gradio_version() -> str:
    """The installed gradio's, which the app was tried with."""
    try:
        return metadata.version("gradio")
    except metadata.PackageNotFoundError:
        return GRADIO_VERSION
