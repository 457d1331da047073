"""A folder to a repository on the Hub in one commit, tried again where that may help. Knows nothing of runs.

The same content makes no second commit: also where a commit was made and its answer was lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bertspace.errors import Cancelled, HubError, HubUnreachable
from bertspace.hub.client import OFFLINE, api, client_errors, hub_error
from bertspace.processes import Deadline, call_in_thread, sleep
from bertspace.words import size

T = TypeVar("T")
Tell = Callable[[str], None]
Stopped = Callable[[], bool]
TRIES = 5
MAX_WAIT = 60  # seconds; the Hub's wish for more is told instead
MAX_TEXT_BYTES = 1024 * 1024  # bytes of a file that is looked at


@dataclass(frozen=True)
class Target:
    """Where a commit goes. revision: a branch, made where it is missing, or a pull request's reference.

    private: nothing is sent unless the repository is private; a new one is made so. Else an existing one
    stays as it is. new_pull_request: the commit opens one. sdk: a Space's.
    """

    repo_id: str
    private: bool = False
    revision: str = "main"
    new_pull_request: bool = False
    kind: str = "model"
    sdk: str | None = None


@dataclass(frozen=True)
class There:
    """What the repository has before the commit. text: a file's, "" where there is none, None where it is too
    long or no text."""

    files: frozenset[str]
    text: Callable[[str], str | None]


Gone = Callable[[There], Iterable[str]]


@dataclass(frozen=True)
class Committed:
    """changed: whether this made a commit. pull_request: its address, where one was opened.

    removed: the files that it took away.
    """

    commit: str
    url: str
    pull_request: str
    private: bool
    changed: bool
    removed: tuple[str, ...] = ()


def commit(
    folder: Path,
    target: Target,
    message: str,
    *,
    gone: Gone = lambda there: (),
    kept: str = "",
    tell: Tell = lambda words: None,
    stopped: Stopped = lambda: False,
) -> Committed:
    """Send every file of the folder; raises HubError, and Cancelled at any time before the commit itself.

    gone: given what is there, the files to be removed where the folder has them not; it may take files out of
    the folder, which stay as they are then. kept: what a person is told beside an error. tell: the step at
    work, in words.
    """
    begun = _Begun()
    for attempt in range(TRIES):
        try:
            return _once(folder, target, message, gone, begun, tell, stopped)
        except HubUnreachable as error:
            wait = error.seconds or 2.0**attempt
            if attempt == TRIES - 1 or wait > MAX_WAIT:
                away = "Check the connection." if error.hint == OFFLINE else error.hint
                hint = f"{away} {kept}".strip()
                raise HubUnreachable(error.message, hint=hint, seconds=error.seconds) from error
            tell(f"{error.message} Trying again in {wait:g} s")
            sleep(wait, partial(_check, stopped))
        except HubError as error:
            raise type(error)(error.message, hint=f"{error.hint} {kept}".strip()) from error
    raise AssertionError("the last try returns or raises")


@dataclass
class _Begun:
    """How it was when a commit was first asked for: where the answer is lost, what is new since then is ours.

    head: the commit of the revision, "" before.
    """

    head: str = ""
    pull_requests: frozenset[str] = frozenset()


def _once(
    folder: Path,
    target: Target,
    message: str,
    gone: Gone,
    begun: _Begun,
    tell: Tell,
    stopped: Stopped,
) -> Committed:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    repo_id, client = target.repo_id, api()
    at: dict[str, Any] = {"repo_type": target.kind, "revision": target.revision}

    def ask(call: Callable[[], T], until: Stopped | None = stopped) -> T:
        return _asked(call, repo_id, target.revision, until)

    tell(f"Opening {repo_id}")
    is_new = ask(lambda: _opened(client, target))
    head = ask(lambda: client.repo_info(repo_id, files_metadata=True, **at))
    _check_visibility(target, bool(head.private), is_new)
    prefix = "" if target.kind == "model" else f"{target.kind}s/"
    place = f"{client.endpoint}/{prefix}{repo_id}"
    url = place if target.revision == "main" else f"{place}/tree/{target.revision}"
    if begun.head and target.new_pull_request:
        made = ask(lambda: _opened_since(client, target, message, begun.pull_requests))
        for number, oid in made.items():
            return Committed(oid, url, f"{place}/discussions/{number}", bool(head.private), True)
    sizes = {each.rfilename: each.size or 0 for each in head.siblings or ()}
    there = There(frozenset(sizes), lambda name: ask(lambda: _text(client, target, head.sha, name, sizes)))
    taken = set(gone(there))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    added = [CommitOperationAdd(name, path) for name, path in zip(names, files, strict=True)]
    removed = tuple(sorted((taken & there.files) - set(names)))
    deleted = [CommitOperationDelete(name) for name in removed]
    at["create_pr"] = target.new_pull_request
    if removed:
        tell(f"Taking away {_named(removed)}")
    tell(f"Sending {size(sum(path.stat().st_size for path in files))}")
    ask(lambda: client.preupload_lfs_files(repo_id, added, **at))
    tell("Making the commit")
    if not begun.head:
        if target.new_pull_request:
            begun.pull_requests = frozenset(ask(lambda: _pull_requests(client, target)))
        begun.head = head.sha
    at |= {"commit_message": message, "parent_commit": head.sha}
    done = ask(lambda: client.create_commit(repo_id, [*added, *deleted], **at), None)
    return Committed(done.oid, url, done.pr_url or "", bool(head.private), done.oid != begun.head, removed)


def _named(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def _check_visibility(target: Target, private: bool, is_new: bool) -> None:
    """Raises HubError where what is to be private would be seen by everybody."""
    if not target.private or private:
        return
    if is_new:
        raise HubError(
            f"The Hub made {target.repo_id} public, though a private one was asked for: nothing was sent.",
            hint="Make it private in its settings on the Hub, or delete it there; then try again.",
        )
    raise is_public(target.repo_id)


def is_public(repo_id: str) -> HubError:
    """What is told of a repository that was to be private."""
    return HubError(
        f"{repo_id} is public on the Hub, and this was to be private: nothing was sent.",
        hint="Choose another name, push it as public, or make it private in its settings on the Hub first.",
    )


def _text(client: Any, target: Target, commit: str, name: str, sizes: Mapping[str, int]) -> str | None:
    """What a file of the repository says; see There."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    if name not in sizes:
        return ""
    if sizes[name] > MAX_TEXT_BYTES:
        return None
    where = {"repo_type": target.kind, "revision": commit, "endpoint": client.endpoint}
    response = get_session().get(
        hf_hub_url(target.repo_id, name, **where), headers=build_hf_headers(token=client.token)
    )
    hf_raise_for_status(response)
    with suppress(UnicodeDecodeError):
        return str(response.content.decode("utf-8"))
    return None


def _pull_requests(client: Any, target: Target) -> dict[str, str]:
    """The commit that each pull request is at, by its number."""
    found = client.list_repo_refs(target.repo_id, repo_type=target.kind, include_pull_requests=True)
    return {each.ref.rpartition("/")[2]: each.target_commit for each in found.pull_requests or ()}


def _opened_since(client: Any, target: Target, message: str, before: frozenset[str]) -> dict[str, str]:
    """The pull requests not there before whose commit says what ours does."""
    since = {number: oid for number, oid in _pull_requests(client, target).items() if number not in before}
    return {
        number: oid
        for number, oid in since.items()
        if client.list_repo_commits(target.repo_id, repo_type=target.kind, revision=oid)[0].title
        == message.partition("\n")[0]
    }


def _opened(client: Any, target: Target) -> bool:
    """Make the repository and the branch where they are missing; whether the repository was."""
    missing = not client.repo_exists(target.repo_id, repo_type=target.kind)
    if missing:
        client.create_repo(
            target.repo_id,
            private=target.private or None,
            exist_ok=True,
            repo_type=target.kind,
            space_sdk=target.sdk,
        )
    if target.revision != "main" and not target.revision.startswith("refs/"):
        client.create_branch(target.repo_id, branch=target.revision, exist_ok=True, repo_type=target.kind)
    return missing


def _asked(call: Callable[[], T], about: str, revision: str, stopped: Stopped | None) -> T:
    """What the call gives; raises HubError, and Cancelled as soon as that is wished.

    The call is made in a thread, which a cancel leaves to itself: nothing that is asked before the commit
    changes what others see. The commit is waited for.
    """
    try:
        return call_in_thread(call, Deadline(), partial(_check, stopped) if stopped else None)
    except RuntimeError as error:
        if isinstance(error.__cause__, client_errors()):  # so the client wraps what an upload without Xet met
            raise hub_error(error.__cause__, about, revision) from error
        raise
    except client_errors() as error:
        raise hub_error(error, about, revision) from error


def _check(stopped: Stopped) -> None:
    if stopped():
        raise Cancelled("That was cancelled.", hint="Nothing was changed on the Hub.")
