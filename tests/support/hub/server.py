"""The test Hub's server: which handler answers which address, files, uploads, and faults on request."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from tests.support.hub import xet
from tests.support.hub.faults import Cut, Fault, bent, refusal
from tests.support.hub.oauth import OAuth
from tests.support.hub.repos import Repos
from tests.support.hub.store import Refused, Store, Token

Handler = Callable[..., Awaitable[Response]]
_ID = r"(?P<repo_id>[^/]+/[^/]+)"
OF_STORAGE = "of-the-storage"  # the token that Xet's uploads come with
_KIND = r"(?P<kind>model|dataset|space)s"


@dataclass(frozen=True)
class Asked:
    """A request as it came. user: "" for nobody, "?" for a token that is none."""

    method: str
    path: str
    user: str
    status: int = 0
    range: str = ""
    query: str = ""


class Server:
    """An ASGI application. `storage` is the origin of large files: another one than the Hub's."""

    def __init__(self, store: Store, url: str, storage: str) -> None:
        self.store, self.url, self.storage = store, url, storage
        self.faults: list[Fault] = []
        self.requests: list[Asked] = []
        self.released = asyncio.Event()
        self.xorbs: dict[str, list[bytes]] = {}
        self.oauth = OAuth(store, url)
        repos = Repos(store, url)
        api = rf"/api/{_KIND}/{_ID}"
        self.routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(path), handler)
            for method, path, handler in (
                ("GET", "/api/agent-harnesses", self.nothing),
                ("HEAD", "/api/telemetry/.*", self.nothing),
                ("GET", "/api/whoami-v2", repos.whoami),
                ("POST", "/api/validate-yaml", repos.validate_yaml),
                ("POST", "/api/repos/create", repos.create),
                ("DELETE", "/api/repos/delete", repos.delete),
                ("GET", "/.well-known/openid-configuration", self.oauth.configuration),
                ("GET", "/oauth/authorize", self.oauth.authorize),
                ("GET", "/oauth/jwks", self.oauth.jwks),
                ("POST", "/oauth/token", self.oauth.token),
                ("GET", "/oauth/userinfo", self.oauth.userinfo),
                ("GET", rf"/api/{_KIND}", repos.search),
                ("GET", api, repos.info),
                ("GET", rf"{api}/revision/(?P<revision>[^/]+)", repos.info),
                ("GET", rf"{api}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", repos.tree),
                ("POST", rf"{api}/paths-info/(?P<revision>[^/]+)", repos.paths_info),
                ("GET", rf"{api}/refs", repos.refs),
                ("GET", rf"{api}/commits/(?P<revision>[^/]+)", repos.commits),
                ("POST", rf"{api}/branch/(?P<branch>[^/]+)", repos.make_branch),
                ("DELETE", rf"{api}/branch/(?P<branch>[^/]+)", repos.drop_branch),
                ("GET", rf"{api}/auth-check", repos.auth_check),
                ("PUT", rf"{api}/settings", repos.settings),
                ("GET", rf"{api}/variables", repos.variables),
                ("POST", rf"{api}/variables", repos.variables),
                ("POST", rf"{api}/preupload/(?P<revision>[^/]+)", repos.preupload),
                ("POST", rf"{api}/commit/(?P<revision>[^/]+)", repos.commit),
                ("GET", rf"{api}/xet-write-token/.+", self.xet_token),
                ("POST", rf"(?:/{_KIND})?/{_ID}\.git/info/lfs/objects/batch", self.lfs_batch),
                ("POST", r"/lfs-verify", self.nothing),
                ("PUT", r"/storage/(?P<sha256>[0-9a-f]{64})", self.put_large),
                ("GET", r"/storage/(?P<sha256>[0-9a-f]{64})", self.get_large),
                ("HEAD", r"/storage/(?P<sha256>[0-9a-f]{64})", self.get_large),
                ("POST", r"/v1/xorbs/default/(?P<name>[0-9a-f]{64})", self.put_xorb),
                ("POST", r"/v[12]/shards(?:/.*)?", self.put_shard),
                ("GET", rf"(?:/{_KIND})?/{_ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", self.resolve),
                ("HEAD", rf"(?:/{_KIND})?/{_ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", self.resolve),
            )
        ]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = scope["raw_path"].decode("ascii")
        fault = next((each for each in self.faults if each.hits(request.method, path)), None)
        try:
            response = await self._answer(request, path, fault)
        except ClientDisconnect:
            return
        named = request.headers.get("range", "")
        asked = Asked(
            request.method, path, self._user(request), response.status_code, named, str(request.query_params)
        )
        self.requests.append(asked)
        if fault is not None and isinstance(fault.what, str):
            send = bent(fault, send, self.released)
        await response(scope, receive, send)

    async def _answer(self, request: Request, path: str, fault: Fault | None) -> Response:
        if fault is not None:
            if isinstance(fault.what, int):
                status, headers, body = refusal(fault)
                return Response(body, status, headers)
            if fault.what == "hang":
                await asyncio.wait([asyncio.ensure_future(self.released.wait())], timeout=fault.seconds)
                raise Cut
            if fault.what == "cut upload":
                raise Cut
        try:
            token = self._token(request)
            for method, pattern, handler in self.routes:
                if method == request.method and (found := pattern.fullmatch(path)):
                    parts = {key: value for key, value in found.groupdict().items() if value is not None}
                    if "kind" not in parts and "repo_id" in parts:
                        parts["kind"] = "model"
                    return await handler(request, token, **parts)
            raise Refused(404, f"No such address: {path}")
        except Refused as refused:
            headers = {"X-Error-Message": refused.said}
            if refused.code:
                headers["X-Error-Code"] = refused.code
            if commit := refused.more.pop("commit", ""):
                headers["X-Repo-Commit"] = commit
            return JSONResponse({"error": refused.said, **refused.more}, refused.status, headers)

    def _token(self, request: Request) -> Token | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if given == OF_STORAGE or given.startswith("Basic "):
            return None
        if given and given not in self.store.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.store.tokens.get(given)

    def _user(self, request: Request) -> str:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        known = self.store.tokens.get(given)
        return known.user if known else "?" if given else ""

    async def nothing(self, request: Request, token: Token | None) -> Response:
        return JSONResponse({"standardEnvVars": [], "harnesses": {}})

    # Files

    async def resolve(
        self, request: Request, token: Token | None, kind: str, repo_id: str, revision: str, path: str
    ) -> Response:
        repo = self.store.find(kind, repo_id, token)
        self.store.check_gate(repo, token)
        commit = repo.commit(unquote(revision))
        file = commit.files.get(unquote(path))
        if file is None:
            raise Refused(404, f"Entry not found: {path}", "EntryNotFound", commit=commit.oid)
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        if not file.is_large:
            content = self.store.read(file.sha256)
            return _ranged(request, content, headers | {"ETag": f'"{file.oid}"'})
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.sha256}"'}
        headers["Location"] = f"{self.storage}/storage/{file.sha256}?signature={self._signature(file.sha256)}"
        return Response(status_code=302, headers=headers)

    def _signature(self, sha256: str) -> str:
        return hmac.new(self.store.key.encode(), sha256.encode(), hashlib.sha256).hexdigest()

    def _check_signature(self, request: Request, sha256: str) -> None:
        if request.headers.get("authorization"):
            raise Refused(400, "A signed address wants no authorization.")
        if request.query_params.get("signature") != self._signature(sha256):
            raise Refused(403, "The signature does not match.")

    async def get_large(self, request: Request, token: Token | None, sha256: str) -> Response:
        self._check_signature(request, sha256)
        return _ranged(request, self.store.read(sha256), {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"})

    # Uploads by LFS

    async def lfs_batch(self, request: Request, token: Token | None, kind: str, repo_id: str) -> Response:
        self.store.find(kind, repo_id, token)
        objects = []
        for each in (await request.json())["objects"]:
            oid = each["oid"]
            href = f"{self.storage}/storage/{oid}?signature={self._signature(oid)}"
            actions = {} if self.store.has(oid) else {"upload": {"href": href, "header": {}}}
            objects.append({**each, **({"actions": actions} if actions else {})})
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def put_large(self, request: Request, token: Token | None, sha256: str) -> Response:
        self._check_signature(request, sha256)
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Refused(400, "The content is not what its SHA-256 says.")
        self.store.keep(content, "")
        return Response(status_code=200, headers={"ETag": f'"{sha256}"'})

    # Uploads by Xet

    async def xet_token(self, request: Request, token: Token | None, kind: str, repo_id: str) -> Response:
        repo = self.store.find(kind, repo_id, token)
        if token is None or token.role == "read":
            raise Refused(403, f"You may not write to {repo.id}.")
        return JSONResponse({"casUrl": self.storage, "exp": 2**32, "accessToken": OF_STORAGE})

    async def put_xorb(self, request: Request, token: Token | None, name: str) -> Response:
        self.xorbs[name] = xet.chunks(await request.body())
        return JSONResponse({"was_inserted": True})

    async def put_shard(self, request: Request, token: Token | None) -> Response:
        for sha256, segments in xet.files(await request.body()):
            parts = [b"".join(self.xorbs[xorb][start:end]) for xorb, start, end in segments]
            kept = self.store.keep(b"".join(parts), "")
            if kept.sha256 != sha256:
                raise Refused(400, f"The file rebuilt has SHA-256 {kept.sha256}, not {sha256}.")
        return Response(json.dumps({"type": "result", "result": 1}) + "\n", media_type="application/x-ndjson")


def _ranged(request: Request, content: bytes, headers: dict[str, str]) -> Response:
    """The content, or the part of it that is asked for."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if request.method == "HEAD":
        return Response(headers=headers | {"Content-Length": str(len(content))})
    if not asked:
        return Response(content, headers=headers, media_type="application/octet-stream")
    start, end = int(asked[1]), int(asked[2]) + 1 if asked[2] else len(content)
    if start >= len(content):
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{len(content)}"})
    headers |= {"Content-Range": f"bytes {start}-{min(end, len(content)) - 1}/{len(content)}"}
    return Response(content[start:end], 206, headers, "application/octet-stream")
