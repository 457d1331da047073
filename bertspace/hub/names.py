"""A model or data set of the Hub as people write it: a name, a name with a revision, or a pasted address.

Asks nobody anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from bertspace.errors import HubError
from bertspace.hub.client import check_id, check_revision

HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
KINDS = {"datasets": "data set", "models": "model", "spaces": "Space"}  # by the word before the name
PAGES = ("tree", "blob", "resolve", "raw", "commit")  # of a repository, before a revision
MAX_CHARACTERS = 1000  # characters
_ADDRESS = re.compile(rf"(?:https?|hf)://|(?:{'|'.join(map(re.escape, HOSTS))}|{'|'.join(KINDS)})/", re.I)
_REFS = re.compile(r"refs/(?:pr/\d+|convert/\w+|heads/[^/]+|tags/[^/]+)")  # revisions that have slashes


@dataclass(frozen=True)
class HubName:
    """A repository, its revision ("" for the newest), and the folder in it; `kind` is in words."""

    repo_id: str
    revision: str = ""
    folder: str = ""
    kind: str = "model"

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id


def plain(text: str, kind: str = "model") -> str:
    """An address as the name that it means; any other text as it is. Raises HubError."""
    return str(parse(text, kind)) if _ADDRESS.match(text.strip()) else text


def parse(text: str, kind: str = "model") -> HubName:
    """owner/name[@revision], or an address of the Hub's; raises HubError for what is no `kind` as a whole."""
    text = text.strip()
    found = _of_address(text[:MAX_CHARACTERS], kind) if _ADDRESS.match(text) else _of_name(text, kind)
    if found.kind != kind:
        raise HubError(
            f"{found.repo_id} is a {found.kind} by its address, and a {kind} is wanted here.",
            hint=f"Give the address of a {kind}.",
        )
    check_id(found.repo_id, kind)
    check_revision(found.repo_id, found.revision or None)
    if found.folder:
        _refuse_folder(found)
    return found


def _of_name(text: str, kind: str) -> HubName:
    repo_id, sign, revision = text.partition("@")
    if sign and not revision:
        raise HubError(f"{text[:80]!r} names no revision.", hint="Leave the part after @ away.")
    return HubName(repo_id, revision, kind=kind)


def _of_address(text: str, kind: str) -> HubName:
    """What an address leads to; without a host it is one that begins with the word for its kind."""
    try:
        address = urlsplit(
            text if "://" in text else f"https://{'' if _has_host(text) else f'{HOSTS[0]}/'}{text}"
        )
    except ValueError as error:
        raise HubError(f"{text[:80]!r} is no address.", hint="Write owner/name as on the Hub.") from error
    where = f"{address.netloc}/{address.path}" if address.scheme == "hf" else address.path
    if address.scheme != "hf" and not _is_hubs(address.netloc):
        raise HubError(
            f"{address.netloc[:80]!r} is not the Hub.", hint=f"Write the {kind}'s owner/name as on the Hub."
        )
    parts = [part for part in where.split("/") if part]
    found_kind = KINDS[parts.pop(0)] if parts and parts[0] in KINDS else "model"
    if found_kind == kind == "data set" and parts[1:2] == ["viewer"]:
        parts = parts[:1]
    length = 1 if len(parts) < 2 or parts[1] in PAGES else 2
    repo_id, revision = "/".join(parts[:length]).removesuffix(".git"), ""
    rest = parts[length:]
    if "@" in repo_id:  # as the client writes it
        repo_id, _, revision = repo_id.partition("@")
    elif rest and rest[0] in PAGES:
        revision, rest = _revision(rest[1:])
    elif address.scheme != "hf":  # its viewer, its discussions
        rest = []
    folder = unquote("/".join(rest))
    if parts[length : length + 1] and parts[length] in PAGES[1:4] and found_kind == "model":
        folder = folder.rpartition("/")[0]  # a model's file stands for what is beside it
    return HubName(repo_id, "" if revision == "main" else unquote(revision), folder, found_kind)


def _has_host(text: str) -> bool:
    return text.partition("/")[0].lower() in HOSTS


def _is_hubs(host: str) -> bool:
    from huggingface_hub import constants

    return host.lower() in (*HOSTS, urlsplit(constants.ENDPOINT).netloc.lower())


def _revision(parts: list[str]) -> tuple[str, list[str]]:
    """The revision that these parts of an address begin with, and the rest of them."""
    if found := _REFS.match("/".join(parts)):
        return found[0], parts[found[0].count("/") + 1 :]
    return (parts[0], parts[1:]) if parts else ("", [])


def _refuse_folder(name: HubName) -> None:
    where = f"the folder {name.folder} of {name.repo_id}"
    if name.kind == "data set":
        raise HubError(
            f"That is {where}, not a whole data set.",
            hint=f"Write {name}, with dataset_config where it has several; or download a file of it.",
        )
    raise HubError(
        f"That is {where}; a model is read from the top of its repository.",
        hint="Choose a repository of its own, or download the folder: "
        f"hf download {name.repo_id} --include '{name.folder}/*'",
    )
