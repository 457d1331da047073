"""What the test Hub keeps: accounts, repositories with their commits, and blobs by their SHA-256 on disk."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LARGE = (".safetensors", ".bin", ".parquet", ".png", ".h5", ".onnx", ".model")  # kept out of git
LARGE_BYTES = 10 * 1024 * 1024
KINDS = ("model", "dataset", "space")


class Refused(Exception):
    """An answer that is an error: its status, the Hub's code for it and what it says."""

    def __init__(self, status: int, said: str = "", code: str = "", **more: Any) -> None:
        super().__init__(status, said)
        self.status, self.said, self.code, self.more = status, said, code, more


@dataclass(frozen=True)
class Token:
    """role: write, read or fineGrained. scopes: those of a sign-in; None for a token made by hand.

    grants: what a fine-grained one may do, by the name of an account, an organisation or a repository.
    """

    user: str
    role: str = "write"
    scopes: tuple[str, ...] | None = None
    grants: Mapping[str, tuple[str, ...]] | None = field(default=None, hash=False)

    def may_write(self, repo_id: str) -> bool:
        if self.role == "fineGrained" and self.grants is not None:
            names = (repo_id.partition("/")[0], repo_id)
            return any("repo.write" in self.grants.get(name, ()) for name in names)
        return self.role != "read"


@dataclass
class User:
    name: str
    id: str
    orgs: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """A file of a commit. oid: as the tree lists it, the SHA-1 of git's blob."""

    sha256: str
    size: int
    oid: str
    is_large: bool


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str
    title: str
    author: str
    date: str
    files: dict[str, File]


@dataclass
class Repo:
    id: str
    kind: str
    private: bool = False
    gated: bool | str = False  # True is "manual"
    granted: set[str] = field(default_factory=set)
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    pull_requests: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    sdk: str = ""

    @property
    def owner(self) -> str:
        return self.id.partition("/")[0]

    def commit(self, revision: str) -> Commit:
        """Raises Refused for a revision that there is not."""
        oid = self.refs.get(revision) or self.refs.get(f"refs/heads/{revision}") or revision
        if oid not in self.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]


class Store:
    """Everything that the test Hub knows; `root` holds the blobs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.key = secrets.token_hex(16)
        self.ignores_visibility = False
        (root / "blobs").mkdir(parents=True, exist_ok=True)

    # Accounts

    def add_user(
        self, name: str, orgs: tuple[str, ...], role: str, grants: Mapping[str, tuple[str, ...]] | None = None
    ) -> str:
        """A token of the account, which is made where there is none."""
        known = self.users.get(name)
        self.users[name] = User(name, known.id if known else secrets.token_hex(12), orgs or ())
        token = f"hf_{secrets.token_hex(17)}"
        self.tokens[token] = Token(name, role, grants=grants)
        return token

    def may_write(self, repo: Repo, token: Token | None) -> bool:
        if token is None or not token.may_write(repo.id):
            return False
        user = self.users[token.user]
        return repo.owner in (user.name, *user.orgs)

    def may_see(self, repo: Repo, token: Token | None) -> bool:
        if not repo.private:
            return True
        return token is not None and repo.owner in (token.user, *self.users[token.user].orgs)

    # Repositories

    def find(self, kind: str, repo_id: str, token: Token | None) -> Repo:
        """The repository, if the account may know of it; raises Refused."""
        repo = self.repos.get((kind, repo_id))
        if repo is None or not self.may_see(repo, token):
            raise Refused(404 if token else 401, "Repository not found", "RepoNotFound")
        return repo

    def check_gate(self, repo: Repo, token: Token | None) -> None:
        """Raises Refused where a gated repository's files are not for the account."""
        if not repo.gated or (token and (token.user in repo.granted or self.may_write(repo, token))):
            return
        raise Refused(403 if token else 401, f"Access to model {repo.id} is restricted.", "GatedRepo")

    def create(self, kind: str, repo_id: str, *, private: bool = False, gated: bool | str = False) -> Repo:
        repo = Repo(repo_id, kind, private, gated)
        self.repos[kind, repo_id] = repo
        self.add_commit(repo, "main", {}, "initial commit", repo.owner)
        return repo

    def add_commit(
        self, repo: Repo, ref: str, files: dict[str, File], title: str, author: str, base: str = ""
    ) -> Commit:
        """A commit of these files at the ref's end, or where the ref is new after `base`."""
        parent = repo.refs.get(ref) or base
        stamp = json.dumps([parent, title, sorted(files), time.time_ns(), secrets.token_hex(4)])
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        oid = hashlib.sha1(stamp.encode()).hexdigest()
        repo.commits[oid] = Commit(oid, parent, title, author, now, files)
        repo.refs[ref] = oid
        return repo.commits[oid]

    # Files

    def keep(self, content: bytes, name: str) -> File:
        """The content as a file of that name."""
        sha256 = hashlib.sha256(content).hexdigest()
        (self.root / "blobs" / sha256).write_bytes(content)
        oid = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        return File(sha256, len(content), oid, is_large(name, len(content)))

    def has(self, sha256: str) -> bool:
        return (self.root / "blobs" / sha256).is_file()

    def read(self, sha256: str) -> bytes:
        return (self.root / "blobs" / sha256).read_bytes()

    def text(self, commit: Commit, name: str) -> str:
        file = commit.files.get(name)
        return self.read(file.sha256).decode("utf-8", "replace") if file else ""

    def card(self, commit: Commit) -> dict[str, Any]:
        """The front matter of README.md."""
        return front_matter(self.text(commit, "README.md")) or {}


def is_large(name: str, size: int) -> bool:
    return name.endswith(LARGE) or size > LARGE_BYTES


def front_matter(text: str) -> dict[str, Any] | None:
    """The YAML between the first two lines of ---; None where there is none. Raises yaml.YAMLError."""
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return None
    found = yaml.safe_load(text[4:].split("\n---", 1)[0])
    return found if isinstance(found, dict) else None
