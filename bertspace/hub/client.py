"""Calls of the Hub's client: with the credentials in use, within a time, and its errors in words.

Knows nothing of models and files.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar

from bertspace.errors import HubError, HubUnreachable, TimeLimitError, TokenRefused, without_paths
from bertspace.hub import credentials
from bertspace.hub.reasons import about_storage, because, no_token, refuse_long_wait, seconds_to_wait
from bertspace.processes import Deadline, call_in_thread

T = TypeVar("T")
ANSWER_SECONDS = (
    8  # the first answer comes in this time or not at all; the client's own retries take 23 to 900
)
# hf_xet goes on silently for five minutes and more where the storage is away; here what happens is told, and
# tried again by us.
XET_PATIENCE = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2", "HF_XET_CLIENT_RETRY_MAX_DURATION": "20s"}
# Seconds without a byte after which a request that names no time-out of its own fails; commits may be slow.
SILENCE = {"connect": 10.0, "read": 60.0, "write": 60.0, "pool": 10.0}
OFFLINE = "Use the model named starter, which needs no network, or check the connection."
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # bytes of one that is waited for: a listing, a model's facts
MAX_REVISION = 200  # characters
_FIRST = threading.Lock()
_NAME = r"\w(?:[\w.-]{0,94}\w)?"
_REPO_ID = re.compile(rf"(?:{_NAME}/)?{_NAME}", re.ASCII)


@dataclass
class _Call:
    """What somebody waits for an answer to. refused: the last refusal, after which the client tries again."""

    deadline: Deadline = field(default_factory=Deadline)
    refused: BaseException | None = None


_CALL: ContextVar[_Call] = ContextVar("_CALL", default=_Call())  # noqa: B039 - never written to


def api(token: str | bool | None = None) -> Any:
    """huggingface_hub's client with the credentials in use, or with another token."""
    for name, value in XET_PATIENCE.items():
        os.environ.setdefault(name, value)  # read when hf_xet sends its first file
    _give_up_on_silence()
    from huggingface_hub import HfApi

    return HfApi(token=credentials.current().token if token is None else token)


def _give_up_on_silence() -> None:
    """Let no request of this process wait for ever: each holds a thread and one of a hundred connections."""
    with _FIRST:  # setting a factory closes the client that there is, under whoever uses it
        _set_factory()


@cache
def _set_factory() -> None:
    """The client (2.4) has no time-outs of its own, and many of its calls ask for none by name."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def make() -> Any:
        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks["request"], _bound_silence],
            "response": [*hooks["response"], _bound_answer, refuse_long_wait],
        }
        return client

    set_client_factory(make)


def _bound_silence(request: Any) -> None:
    """Give the request time-outs, and none of them beyond the time when nobody waits for its answer any more.

    Raises HubUnreachable after that: the client would try five times more.
    """
    left = _CALL.get().deadline.left
    if not left:
        raise HubUnreachable("The Hub did not answer in time.", hint=OFFLINE)
    asked = request.extensions.get("timeout") or {}
    bounds = SILENCE | {name: seconds for name, seconds in asked.items() if seconds is not None}
    bounds = {name: min(seconds, left) for name, seconds in bounds.items()}
    request.extensions = {**request.extensions, "timeout": bounds}


def _bound_answer(response: Any) -> None:
    """Let an answer that somebody waits for end in that time, and hold no more than MAX_ANSWER_BYTES: it is
    read into memory, also by a thread that nobody waits for any more."""
    waiting = _CALL.get()
    if waiting.deadline.seconds:
        response.stream = _bounded()(response.stream)
        if response.status_code == 429 or response.status_code >= 500:
            _note_refusal(waiting, response)


def _note_refusal(waiting: _Call, response: Any) -> None:
    """Keep what the Hub says before the client tries again; raises it where that would be too late.

    The client (2.4) sleeps as long as the Hub asks for, whoever waits.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import hf_raise_for_status

    response.read()
    try:
        hf_raise_for_status(response)
    except HfHubHTTPError as error:
        waiting.refused = error
        if retry_after(error) > waiting.deadline.left:
            raise


@cache
def _bounded() -> Any:
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        def __init__(self, stream: httpx2.SyncByteStream) -> None:
            self.stream = stream

        def __iter__(self) -> Iterator[bytes]:
            count = 0
            for chunk in self.stream:
                count += len(chunk)
                if count > MAX_ANSWER_BYTES or not _CALL.get().deadline.left:
                    raise HubUnreachable("The Hub's answer does not end.", hint=OFFLINE)
                yield chunk

        def close(self) -> None:
            self.stream.close()

    return Bounded


def check_id(repo_id: str, kind: str = "model") -> str:
    """The id, if it can be one; raises HubError."""
    if not _REPO_ID.fullmatch(repo_id) or re.search(r"\.\.|--|\.git$", repo_id) or len(repo_id) > 96:
        hint = "Write owner/name as on the Hub, or: starter."
        if kind == "data set":
            hint = "Write owner/name as on the Hub, sample:<name>, or give a train_file."
        elif kind != "model":
            hint = "Write owner/name; letters, digits and - . _ between them make a name."
        raise HubError(f"{repo_id!r} is no {kind} name.", hint=hint)
    return repo_id


def check_revision(repo_id: str, revision: str | None) -> None:
    """Raises HubError for what cannot name a branch, a tag or a commit."""
    if revision is None:
        return
    odd = len(revision) > MAX_REVISION or not revision.isprintable()
    if odd or any(part in ("", ".", "..") for part in revision.split("/")):
        raise HubError(f"{repo_id} has no revision {revision[:80]!r}.", hint="Leave the part after @ away.")


def with_or_without_login(call: Callable[[], T]) -> T:
    """What the call gives; where the machine's own login is refused, once more without: much is public."""
    caller = credentials.current()
    try:
        return call()
    except TokenRefused as refused:
        if caller.token is not None:
            raise
        with credentials.using(replace(caller, token=False)):
            try:
                return call()
            except HubError:
                raise refused from None


def readable(call: Callable[[], T], about: str) -> T:
    """What the call gives; where the client stumbles over what a card or a listing says, HubError: anybody
    may have written it."""
    try:
        return call()
    except (TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise HubError(
            f"What the Hub says of {about} cannot be read ({type(error).__name__}).",
            hint="Choose another model.",
        ) from error


def call_hub(
    call: Callable[[], T],
    about: str,
    seconds: float = ANSWER_SECONDS,
    revision: str = "",
    *,
    kind: str = "model",
) -> T:
    """What the call gives, asked in a thread: name look-ups and the client's own retries know no time-out.

    kind: what `about` is, in words. Raises HubError.
    """
    waiting = _Call(Deadline(seconds))
    before = _CALL.set(waiting)
    try:
        return call_in_thread(call, waiting.deadline)
    except TimeLimitError:
        if (refused := waiting.refused) is not None:
            raise hub_error(refused, about, revision, kind) from refused
        said = f"The Hub did not answer about {about} in {seconds:g} seconds."
        raise HubUnreachable(said, hint=OFFLINE) from None
    except client_errors() as error:
        raise hub_error(error, about, revision, kind) from error
    finally:
        _CALL.reset(before)


def client_errors() -> tuple[type[Exception], ...]:
    """What a call of the client may raise: its own errors, httpx2's, hf_xet's plain OSErrors, its checks'."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    return (HfHubHTTPError, httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError)


def status_of(error: BaseException) -> int:
    """The HTTP status that an error carries; 0 for none."""
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)


def retry_after(error: BaseException) -> float:
    """The seconds that the Hub asks to wait for; 0 where it does not say."""
    return seconds_to_wait(getattr(getattr(error, "response", None), "headers", {}))


def hub_error(error: BaseException, about: str, revision: str = "", kind: str = "model") -> HubError:
    """The client's error in words: what happened with `about`, and what to do. HubUnreachable may pass."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalTokenNotFoundError):
        return no_token()
    if isinstance(error, errors.GatedRepoError):
        said = f"{about} asks for its terms to be accepted{because(error)}"
        return HubError(said, hint="Accept them on its page first.")
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"{about} has no revision {revision!r}.", hint="Leave the part after @ away.")
    if isinstance(error, errors.DisabledRepoError):
        return HubError(f"The Hub has closed {about} for everybody.", hint=f"Choose another {kind}.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"The Hub has no {kind} {about} (or it is private).",
            hint="Check the spelling, or sign in with an account that may see it.",
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubUnreachable(f"HF_HUB_OFFLINE is set: the Hub is not asked about {about}.", hint=OFFLINE)
    if status := status_of(error):
        return _refused(error, about, status)
    if isinstance(error, ValueError):
        why = " ".join(without_paths(str(error)).split())[:200]
        return HubError(f"The Hub refuses what was asked of {about}: {why}", hint="Change it and try again.")
    return HubUnreachable(f"The Hub cannot be reached for {about} ({type(error).__name__}).", hint=OFFLINE)


def _refused(error: BaseException, about: str, status: int) -> HubError:
    """A refusal by its status, with what the Hub says of it."""
    if status == 401:
        return TokenRefused(
            f"The Hub does not accept the token for {about}: it is wrong, expired or revoked.",
            hint="Sign in again, or give another token.",
        )
    wait = retry_after(error)
    if status == 429:
        hint = f"Wait {wait:.0f} seconds first." if wait else "Wait a few minutes first."
        said = f"The Hub was asked too often about {about}{because(error)}"
        return HubUnreachable(said, hint=hint, seconds=wait)
    if status >= 500:
        hint = f"Try again in {wait:.0f} seconds." if wait else "Try again in a moment."
        said = f"The Hub has trouble of its own with {about} (status {status}){because(error)}"
        return HubUnreachable(said, hint=hint, seconds=wait)
    other = (f"The Hub refuses what was asked of {{}} (status {status})", "Change it and try again.")
    words, hint = _REFUSALS.get(status, other)
    why = because(error) if status != 404 else "."
    return HubError(words.format(about) + why, hint=MORE_ROOM if about_storage(error) else hint)


MORE_ROOM = "Delete there what is not needed any more, or get more storage for the account."
_REFUSALS = {
    402: ("The Hub asks for payment for {}", "See the account's plan and billing on the Hub."),
    403: (
        "The Hub does not let this account do that with {}",
        "Use an account or a token that has this right.",
    ),
    404: ("A file that {} needs is not there", "Choose another model or revision."),
    409: ("The Hub is busy with another change of {}, or has it already", "Try again in a moment."),
    412: ("{} was changed on the Hub by someone else in the meantime", "Look at it, then try again."),
    413: ("What was sent to {} is too large for the Hub", "Push less at once."),
}
