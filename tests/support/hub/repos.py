"""The Hub's answers about repositories: made, looked at, listed, written to."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.support.hub.store import Commit, File, Refused, Repo, Store, Token, front_matter, is_large


class Repos:
    """Handlers of (request, token, **parts of the path)."""

    def __init__(self, store: Store, url: str) -> None:
        self.store, self.url = store, url

    async def whoami(self, request: Request, token: Token | None) -> Response:
        if token is None:
            raise Refused(401, "Invalid user token.")
        user = self.store.users[token.user]
        orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in user.orgs]
        access: dict[str, Any] = {"displayName": "test", "role": token.role}
        if token.grants is not None:
            access["fineGrained"] = self._scoped(token.user, token.grants)
        return JSONResponse(
            {
                "type": "user",
                "id": user.id,
                "name": user.name,
                "fullname": user.name.title(),
                "avatarUrl": f"{self.url}/avatar.png",
                "orgs": orgs,
                "auth": {"type": "access_token", "accessToken": access},
            }
        )

    def _scoped(self, user: str, grants: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
        """What a fine-grained token may do, in the Hub's words."""

        def entity(name: str) -> dict[str, str]:
            kind = "model" if "/" in name else "user" if name == user else "org"
            return {"_id": f"id of {name}", "type": kind, "name": name}

        scoped = [{"entity": entity(name), "permissions": [*may]} for name, may in grants.items()]
        return {"canReadGatedRepos": False, "global": [], "scoped": scoped}

    async def validate_yaml(self, request: Request, token: Token | None) -> Response:
        try:
            found = front_matter((await request.json())["content"])
        except yaml.YAMLError as error:
            return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
        wrong = [] if found is None else _wrong(found)
        return JSONResponse({"errors": wrong, "warnings": []}, 400 if wrong else 200)

    async def create(self, request: Request, token: Token | None) -> Response:
        if token is None:
            raise Refused(401, "Invalid username or password.")
        asked = await request.json()
        kind = asked.get("type") or "model"
        owner = asked.get("organization") or token.user
        repo_id = f"{owner}/{asked['name']}"
        url = f"{self.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if (kind, repo_id) in self.store.repos:
            raise Refused(409, "You already created this model repo", url=url)
        probe = Repo(repo_id, kind)
        if not self.store.may_write(probe, token):
            raise Refused(403, f"You don't have the rights to create a {kind} under the namespace {owner!r}.")
        private = asked.get("visibility") == "private" and not self.store.ignores_visibility
        repo = self.store.create(kind, repo_id, private=private)
        repo.sdk = asked.get("sdk") or ""
        return JSONResponse({"url": url})

    async def delete(self, request: Request, token: Token | None) -> Response:
        asked = await request.json()
        kind = asked.get("type") or "model"
        owner = asked.get("organization") or (token.user if token else "")
        repo = self.store.find(kind, f"{owner}/{asked['name']}", token)
        self._check_write(repo, token)
        del self.store.repos[kind, repo.id]
        return JSONResponse({})

    async def settings(self, request: Request, token: Token | None, kind: str, repo_id: str) -> Response:
        repo = self.store.find(kind, repo_id, token)
        self._check_write(repo, token)
        asked = await request.json()
        if "visibility" in asked or "private" in asked:
            repo.private = asked.get("visibility") == "private" or bool(asked.get("private"))
        repo.gated = asked.get("gated", repo.gated)
        return JSONResponse({})

    async def search(self, request: Request, token: Token | None, kind: str) -> Response:
        query = request.query_params
        wanted = {"pipeline_tag": query.get("pipeline_tag"), "author": query.get("author")}
        tags = query.getlist("filter")
        found = []
        for repo in self.store.repos.values():
            if repo.kind != kind or not self.store.may_see(repo, token):
                continue
            described = self._described(repo, repo.commit("main"))
            text = (query.get("search") or "").lower()
            fits = text in repo.id.lower() and all(
                value is None or described.get(key) == value for key, value in wanted.items()
            )
            if query.get("cardData", "").lower() != "true":
                del described["cardData"]
            if fits and all(tag in described["tags"] for tag in tags):
                found.append(described)
        return JSONResponse(found[: int(query.get("limit") or 1000)])

    async def info(
        self, request: Request, token: Token | None, kind: str, repo_id: str, revision: str = "main"
    ) -> Response:
        repo = self.store.find(kind, repo_id, token)
        commit = repo.commit(unquote(revision))
        described = self._described(repo, commit)
        if request.query_params.get("blobs", "").lower() == "true":
            described["siblings"] = [_sibling(name, commit.files[name]) for name in sorted(commit.files)]
        return JSONResponse(described)

    def _described(self, repo: Repo, commit: Commit) -> dict[str, Any]:
        card = self.store.card(commit)
        config = _config(self.store.text(commit, "config.json"))
        task = card.get("pipeline_tag") or _task(config)
        tags = [*(card.get("tags") or ()), *filter(None, (card.get("library_name"), task))]
        tags += ["safetensors"] if any(name.endswith(".safetensors") for name in commit.files) else []
        return {
            "_id": repo.id,
            "id": repo.id,
            "modelId": repo.id,
            "author": repo.owner,
            "sha": commit.oid,
            "lastModified": commit.date,
            "createdAt": commit.date,
            "private": repo.private,
            "gated": "manual" if repo.gated is True else repo.gated,
            "disabled": False,
            "downloads": 7,
            "likes": 0,
            "tags": tags,
            "pipeline_tag": task,
            "library_name": card.get("library_name"),
            "cardData": card or None,
            "config": {key: config[key] for key in ("architectures", "model_type") if key in config},
            "siblings": [{"rfilename": name} for name in sorted(commit.files)],
            "sdk": repo.sdk or None,
        }

    async def tree(
        self, request: Request, token: Token | None, kind: str, repo_id: str, revision: str, path: str = ""
    ) -> Response:
        repo = self.store.find(kind, repo_id, token)
        commit, prefix = repo.commit(unquote(revision)), f"{unquote(path)}/" if path else ""
        deep = request.query_params.get("recursive", "").lower() == "true"
        found, folders = [], set()
        for name, file in sorted(commit.files.items()):
            if not name.startswith(prefix):
                continue
            parts = name[len(prefix) :].split("/")
            folders |= {prefix + "/".join(parts[:end]) for end in range(1, len(parts) if deep else 2)[:]}
            if deep or len(parts) == 1:
                found.append(_entry(name, file))
        folders -= {each["path"] for each in found}
        if prefix and not found and not folders:
            raise Refused(404, f"{path} does not exist", "EntryNotFound")
        listed = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": each} for each in sorted(folders)]
        return JSONResponse(listed + found)

    async def paths_info(
        self, request: Request, token: Token | None, kind: str, repo_id: str, revision: str
    ) -> Response:
        repo = self.store.find(kind, repo_id, token)
        commit = repo.commit(unquote(revision))
        asked = (await request.form()).getlist("paths")
        found: list[dict[str, Any]] = []
        for name in map(str, asked):
            if name in commit.files:
                found.append(_entry(name, commit.files[name]))
            elif name == "" or any(each.startswith(f"{name}/") for each in commit.files):
                found.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": name})
        return JSONResponse(found)

    async def refs(self, request: Request, token: Token | None, kind: str, repo_id: str) -> Response:
        repo = self.store.find(kind, repo_id, token)
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid}
            for name, oid in repo.refs.items()
            if not name.startswith("refs/")
        ]
        asked = request.query_params.get("include_prs") in ("1", "true", "True")
        pulls = [
            {"name": name.removeprefix("refs/"), "ref": name, "targetCommit": oid}
            for name, oid in repo.refs.items()
            if asked and name.startswith("refs/pr/")
        ]
        return JSONResponse({"branches": branches, "converts": [], "tags": [], "pullRequests": pulls})

    async def commits(
        self, request: Request, token: Token | None, kind: str, repo_id: str, revision: str
    ) -> Response:
        repo = self.store.find(kind, repo_id, token)
        found, oid = [], repo.commit(unquote(revision)).oid
        while oid:
            each = repo.commits[oid]
            authors = [{"user": each.author}]
            found.append(
                {"id": oid, "title": each.title, "message": "", "authors": authors, "date": each.date}
            )
            oid = each.parent
        return JSONResponse(found)

    async def make_branch(
        self, request: Request, token: Token | None, kind: str, repo_id: str, branch: str
    ) -> Response:
        repo = self.store.find(kind, repo_id, token)
        self._check_write(repo, token)
        name = unquote(branch)
        if name in repo.refs:
            raise Refused(409, f"Reference already exists: refs/heads/{name}")
        body = await request.body()
        start = (json.loads(body) if body else {}).get("startingPoint") or "main"
        repo.refs[name] = repo.commit(start).oid
        return JSONResponse({})

    async def drop_branch(
        self, request: Request, token: Token | None, kind: str, repo_id: str, branch: str
    ) -> Response:
        repo = self.store.find(kind, repo_id, token)
        self._check_write(repo, token)
        repo.refs.pop(unquote(branch), None)
        return JSONResponse({})

    async def auth_check(self, request: Request, token: Token | None, kind: str, repo_id: str) -> Response:
        self.store.check_gate(self.store.find(kind, repo_id, token), token)
        return JSONResponse({})

    async def variables(self, request: Request, token: Token | None, kind: str, repo_id: str) -> Response:
        """A Space's public variables: looked at, set."""
        repo = self.store.find(kind, repo_id, token)
        if request.method == "POST":
            self._check_write(repo, token)
            asked = await request.json()
            repo.variables[asked["key"]] = asked["value"]
        return JSONResponse({key: {"value": value} for key, value in repo.variables.items()})

    async def preupload(
        self, request: Request, token: Token | None, kind: str, repo_id: str, revision: str
    ) -> Response:
        repo = self._open_to_write(request, token, kind, repo_id)
        there = repo.commit(unquote(revision)).files
        answers = []
        for each in (await request.json())["files"]:
            name = each["path"]
            large = is_large(name, each["size"])
            answer = {"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            if (known := there.get(name)) is not None and known.is_large == large:
                answer["oid"] = known.sha256 if large else known.oid
            answers.append(answer)
        return JSONResponse({"files": answers})

    async def commit(
        self, request: Request, token: Token | None, kind: str, repo_id: str, revision: str
    ) -> Response:
        repo = self._open_to_write(request, token, kind, repo_id)
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        ref, base = unquote(revision), repo.commit(unquote(revision))
        asks = request.query_params.get("create_pr") in ("1", "true", "True")
        if (parent := header.get("parentCommit")) and base.oid != parent and not asks:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = self._changed(dict(base.files), lines)
        if asks:
            repo.pull_requests += 1
            ref = f"refs/pr/{repo.pull_requests}"
        user = token.user if token else ""
        made = self.store.add_commit(repo, ref, files, header["summary"], user, base.oid)
        prefix = "" if kind == "model" else f"{kind}s/"
        answer = {
            "success": True,
            "commitOid": made.oid,
            "commitUrl": f"{self.url}/{prefix}{repo.id}/commit/{made.oid}",
        }
        if asks:
            answer["pullRequestUrl"] = f"{self.url}/{prefix}{repo.id}/discussions/{repo.pull_requests}"
        return JSONResponse(answer)

    def _changed(self, files: dict[str, File], lines: list[dict[str, Any]]) -> dict[str, File]:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                files[value["path"]] = self.store.keep(content, value["path"])
            elif line["key"] == "lfsFile":
                if not self.store.has(value["oid"]):
                    raise Refused(400, f"The LFS object {value['oid']} was never uploaded.")
                files[value["path"]] = self.store.keep(self.store.read(value["oid"]), value["path"])
            elif line["key"] == "deletedFile":
                if files.pop(value["path"], None) is None:
                    raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
            elif line["key"] == "deletedFolder":
                folder = value["path"].rstrip("/") + "/"
                files = {name: file for name, file in files.items() if not name.startswith(folder)}
        return files

    def _open_to_write(self, request: Request, token: Token | None, kind: str, repo_id: str) -> Repo:
        """The repository, if the account may commit to it, or ask to by a pull request."""
        repo = self.store.find(kind, repo_id, token)
        asks = request.query_params.get("create_pr") in ("1", "true", "True")
        if not (asks and token is not None and token.role != "read"):
            self._check_write(repo, token)
        return repo

    def _check_write(self, repo: Repo, token: Token | None) -> None:
        if not self.store.may_write(repo, token):
            raise Refused(403, "Authorization error: you may not write to this repository.")


def _config(text: str) -> dict[str, Any]:
    """What the Hub makes of a config.json; nothing of one that is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    heads = found.get("architectures") if isinstance(found, dict) else None
    plain = isinstance(heads, list) and all(isinstance(head, str) and head.isascii() for head in heads)
    return found if plain else {}


def _entry(name: str, file: File) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": name}
    if file.is_large:
        found["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return found


def _sibling(name: str, file: File) -> dict[str, Any]:
    """A file as a repository's description has it, where its blobs are asked for."""
    large = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
    return {
        "rfilename": name,
        "size": file.size,
        "blobId": file.oid,
        **({"lfs": large} if file.is_large else {}),
    }


def _task(config: dict[str, Any]) -> str | None:
    """As the Hub guesses it from the configuration."""
    head = str((config.get("architectures") or [""])[0])
    ends = {"ForMaskedLM": "fill-mask", "ForSequenceClassification": "text-classification"}
    return next((task for end, task in ends.items() if head.endswith(end)), None)


def _wrong(card: dict[str, Any]) -> list[dict[str, str]]:
    """What the Hub refuses in a card's metadata, of what tests meet."""
    wrong = []
    if "license" in card and not re.fullmatch(r"[a-z0-9.+-]+", str(card["license"])):
        wrong.append("license must be one of the Hub's identifiers")
    if not isinstance(card.get("tags", []), list):
        wrong.append("tags must be a list")
    for model in card.get("model-index") or []:
        for result in model.get("results", []):
            for path in (("task", "type"), ("dataset", "type"), ("dataset", "name")):
                if not (result.get(path[0]) or {}).get(path[1]):
                    wrong.append(f"model-index results need {'.'.join(path)}")
            for metric in result.get("metrics", []):
                if "type" not in metric or "value" not in metric:
                    wrong.append("model-index metrics need type and value")
    return [{"message": each} for each in wrong]
