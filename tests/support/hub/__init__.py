"""A small Hugging Face Hub for tests: the protocol as huggingface_hub 2.4 speaks it, on 127.0.0.1.

    with Hub(root, port) as hub:
        token = hub.user("alice", orgs=("team",))
        commit = hub.put("alice/model", {"config.json": b"{}"}, private=True)
        hub.fail(503, path="resolve/.*/model.safetensors", times=1)

Large files come from another origin ("localhost" beside "127.0.0.1") by signed addresses, as at the Hub.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn

from tests.support.hub.faults import Fault
from tests.support.hub.oauth import environment
from tests.support.hub.server import Asked, Server
from tests.support.hub.store import Repo, Store

XORBS: dict[str, list[bytes]] = {}  # outlive a Hub: hf_xet remembers what it has sent, and sends it once


class Uvicorn(uvicorn.Server):
    """Ends at once: uvicorn's own looks ten times a second whether it is to end, and then sleeps."""

    ended: asyncio.Event

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()


class Hub:
    """The server in a thread of its own, and what tests ask of it."""

    def __init__(self, root: Path, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        port = self.socket.getsockname()[1]
        self.url, self.storage = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        self.store = Store(root)
        self.server = Server(self.store, self.url, self.storage)
        self.server.xorbs = XORBS
        self.loop: asyncio.AbstractEventLoop | None = None
        config = uvicorn.Config(
            self.server, log_level="critical", lifespan="off", timeout_graceful_shutdown=0, access_log=False
        )
        self.uvicorn = Uvicorn(config)
        self.thread = threading.Thread(target=self._run, name="test hub", daemon=True)
        self.started = threading.Event()

    def _run(self) -> None:
        async def serve() -> None:
            self.loop, self.uvicorn.ended = asyncio.get_running_loop(), asyncio.Event()
            self.loop.call_soon(self.started.set)
            await self.uvicorn.serve(sockets=[self.socket])

        asyncio.run(serve())

    def __enter__(self) -> Hub:
        self.socket.listen(128)  # so that who asks before the loop runs waits, and is not refused
        self.thread.start()
        self.started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.calm()
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.uvicorn.ended.set)
        self.thread.join()
        self.socket.close()

    # Accounts and repositories

    def signs_in(self, name: str) -> None:
        """From now on this account signs in by OAuth at once; "" asks on a page who it is."""
        self.server.oauth.signs_in = name

    def oauth_environment(self) -> dict[str, str]:
        """What makes an app a Space whose people sign in here."""
        return environment(self.url)

    def user(
        self,
        name: str,
        *,
        orgs: tuple[str, ...] = (),
        role: str = "write",
        grants: Mapping[str, tuple[str, ...]] | None = None,
    ) -> str:
        """A token of the account, which is made where there is none.

        grants: makes it a fine-grained one, with these rights to what they name.
        """
        return self.store.add_user(name, orgs, "fineGrained" if grants is not None else role, grants)

    def ignores_visibility(self) -> None:
        """From now on every new repository is public, whatever was asked for: one public server does so."""
        self.store.ignores_visibility = True

    def put(
        self,
        repo_id: str,
        files: Mapping[str, bytes] | Path,
        *,
        kind: str = "model",
        private: bool = False,
        gated: bool | str = False,
    ) -> str:
        """The commit that adds the files to the repository, which is made where there is none."""
        repo = self.store.repos.get((kind, repo_id)) or self.store.create(
            kind, repo_id, private=private, gated=gated
        )
        if isinstance(files, Path):
            files = {
                path.relative_to(files).as_posix(): path.read_bytes()
                for path in files.rglob("*")
                if path.is_file()
            }
        kept = {name: self.store.keep(content, name) for name, content in files.items()}
        everything = repo.commit("main").files | kept
        return self.store.add_commit(repo, "main", everything, "put by a test", repo.owner).oid

    def grant(self, repo_id: str, user: str) -> None:
        """Let the account read a gated repository."""
        self.repo(repo_id).granted.add(user)

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        return self.store.repos[kind, repo_id]

    def has(self, repo_id: str, kind: str = "model") -> bool:
        return (kind, repo_id) in self.store.repos

    def files(self, repo_id: str, revision: str = "main", kind: str = "model") -> dict[str, bytes]:
        """What a revision holds."""
        commit = self.repo(repo_id, kind).commit(revision)
        return {name: self.store.read(file.sha256) for name, file in commit.files.items()}

    def commits(self, repo_id: str, revision: str = "main", kind: str = "model") -> list[str]:
        """The titles of a revision's commits, the newest first."""
        repo, found = self.repo(repo_id, kind), []
        oid = repo.commit(revision).oid
        while oid:
            found.append(repo.commits[oid].title)
            oid = repo.commits[oid].parent
        return found

    # Faults, and what was asked

    def fail(self, what: int | str, **options: Any) -> Fault:
        """From now on requests go wrong as `faults.Fault` says; the first fault that fits is taken."""
        fault = Fault(what, **options)
        self.server.faults.append(fault)
        return fault

    def calm(self) -> None:
        """No more faults; what hangs goes on."""
        self.server.faults.clear()
        if self.loop is not None and self.loop.is_running():
            self.loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self.server.released.set()
        self.server.released = asyncio.Event()

    @property
    def requests(self) -> list[Asked]:
        return self.server.requests
