"""Pulls and pushes, each in a thread of the app, as the pages of their owner show them.

They go on when the tab is closed, can be cancelled from any page of the same person, and are remembered for a
while after their end. A thread has the context that it was started in, and so the credentials of its owner;
it ends when their token is revoked. Knows nothing of gradio, and asks nothing of the Hub.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bertspace.errors import BertspaceError, Cancelled, ForbiddenError, HubError
from bertspace.hub import credentials

MAX_RUNNING = {"pull": 8, "push": 32}  # a push may wait for its run to end
MAX_PER_GUEST = {"pull": 1, "push": 4}
RESERVED_FOR_OWNER = 2  # of MAX_RUNNING
MAX_ENDED, MAX_ENDED_PER_GUEST = 64, 8  # that are remembered
SPEED_SECONDS = 15.0  # of the last ones, by which the speed is judged
MAX_STEPS = 40  # that are remembered of a push which goes on for days

_TOO_MANY = {
    "pull": "A pull of yours, or of somebody at your address, is at work already.",
    "push": f"{MAX_PER_GUEST['push']} of your runs are being published already, or wait to be.",
}
_log = logging.getLogger(__name__)
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Transfer:
    """A pull or a push as it stands.

    about: the model or the run. state: "working", "done", "failed" or "cancelled". steps: messages, oldest
    first. done, total: bytes; total 0 where it is not known (yet). left: seconds, if known.
    """

    id: int
    owner: str
    kind: str
    about: str
    state: str
    steps: tuple[str, ...] = ()
    done: int = 0
    total: int = 0
    left: float | None = None
    stopping: bool = False
    result: object = None
    error: BertspaceError | None = None

    @property
    def works(self) -> bool:
        return self.state == "working"

    @property
    def step(self) -> str:
        """What is being done now."""
        return self.steps[-1] if self.steps else ""


class Job:
    """A running transfer, as its work sees it: to report how far it is, and to ask whether to stop.

    asked: the request's details. counted: by whom guests' transfers are counted.
    """

    def __init__(self, transfer: Transfer, asked: object = None, counted: str = "") -> None:
        self.asked, self.counted = asked, counted or transfer.owner
        self.token_revoked = False
        self._transfer = transfer
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._marks: deque[tuple[float, int]] = deque()
        self._token = credentials.current().token

    def say(self, step: str) -> None:
        """Report what is being done now."""
        with self._lock:
            if self._transfer.step != step:
                self._change(steps=(*self._transfer.steps, step)[-MAX_STEPS:])

    def moved(self, done: int, total: int) -> None:
        """Report that so many bytes of so many are there."""
        with self._lock:
            self._change(done=done, total=total)
            now = time.monotonic()
            self._marks.append((now, done))
            while now - self._marks[0][0] > SPEED_SECONDS:
                self._marks.popleft()

    def stopped(self) -> bool:
        """Whether it is to stop."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep; raises Cancelled as soon as it is to stop."""
        if self._stop.wait(seconds):
            raise Cancelled("Cancelled.", hint="Nothing was lost: start it again when you like.")

    # For Transfers

    def cancel(self) -> None:
        self._stop.set()

    def revoke(self, token: str) -> None:
        """Cancel it if it uses this token."""
        if self._token == token:
            self.token_revoked = True
            self.cancel()

    def ended(self, seconds: float) -> bool:
        """Wait for its end; False where it has not come by then."""
        return self._ended.wait(seconds)

    def run(self, work: Callable[[Job], object]) -> None:
        """Do the work, and keep its result or error."""
        try:
            outcome = self._outcome(work)
            with self._lock:
                self._change(**outcome)
        finally:
            self._token = None
            self._ended.set()

    def _outcome(self, work: Callable[[Job], object]) -> dict[str, Any]:
        kind, about = self._transfer.kind, self._transfer.about
        try:
            return {"state": "done", "result": work(self)}
        except Cancelled as cancelled:
            if not self.token_revoked:
                return {"state": "cancelled", "error": cancelled}
            message = f"The {kind} ended with the sign-in or token that it was begun with."
            error: BertspaceError = HubError(message, hint="Sign in or give a token, and begin it again.")
        except BertspaceError as known:
            error = known
        except Exception as bug:  # the page shows its name, the log keeps the traceback
            _log.exception("The %s of %s failed", kind, about)
            message = f"The {kind} of {about} met a fault of bertspace ({type(bug).__name__})."
            error = BertspaceError(message, hint="The app's log has the details.")
        return {"state": "failed", "error": error}

    def _change(self, **changes: Any) -> None:
        self._transfer = replace(self._transfer, **changes)

    @property
    def transfer(self) -> Transfer:
        """The transfer as it stands now."""
        with self._lock:
            now = replace(self._transfer, stopping=self.stopped())
            return replace(now, left=seconds_left(list(self._marks), now.total)) if now.works else now


def seconds_left(marks: list[tuple[float, int]], total: int) -> float | None:
    """Seconds that the rest takes at the speed of the (seconds, bytes) marks; None where they are too few."""
    if len(marks) < 2 or not total:
        return None
    (first, had), (last, have) = marks[0], marks[-1]
    if last - first < 0.5 or have <= had:
        return None
    return max(0, total - have) * (last - first) / (have - had)


class Transfers:
    """Everybody's transfers: one pull at a time per person, one push at a time per run.

    Its `owner` may see and cancel a transfer. Limits count by `counted`, such as an address that several
    people share.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[Key, Job] = OrderedDict()
        self._numbers = itertools.count(1)

    def start(
        self,
        owner: str,
        kind: str,
        about: str,
        work: Callable[[Job], object],
        *,
        asked: object = None,
        counted: str = "",
    ) -> Transfer:
        """Start the work in a thread of its own, with this thread's context, unless the same is running.

        kind: "pull" or "push". asked: details that tell it from another of the same model or run. counted:
        the owner by default. Raises ForbiddenError where another one of the person's, or too many in all,
        are running.
        """
        with self._lock:
            key = _key(owner, kind, about)
            if (known := self._jobs.get(key)) and known.transfer.works:
                if (known.transfer.about, known.asked) == (about, asked):
                    return known.transfer
                raise _another_runs(known.transfer)
            job = Job(Transfer(next(self._numbers), owner, kind, about, "working"), asked, counted)
            self._check_room(kind, job.counted)
            self._jobs[key] = job
            self._jobs.move_to_end(key)
            self._drop_old(job.counted)
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(job.run, work), daemon=True, name=f"{kind} {about}"
        ).start()
        return job.transfer

    def _check_room(self, kind: str, counted: str) -> None:
        working = [job for job in self._jobs.values() if (now := job.transfer).works and now.kind == kind]
        guest = credentials.current().guest
        if guest and sum(job.counted == counted for job in working) >= MAX_PER_GUEST[kind]:
            raise ForbiddenError(_TOO_MANY[kind], hint="Try again when it has ended.")
        if len(working) >= MAX_RUNNING[kind] - (RESERVED_FOR_OWNER if guest else 0):
            raise ForbiddenError(
                f"{len(working)} other transfers are at work here.", hint="Try again in a minute."
            )

    def _drop_old(self, counted: str) -> None:
        ended = [key for key, job in self._jobs.items() if not job.transfer.works]
        own = [key for key in ended if credentials.current().guest and self._jobs[key].counted == counted]
        for key in {*ended[: max(0, len(ended) - MAX_ENDED)], *own[: max(0, len(own) - MAX_ENDED_PER_GUEST)]}:
            del self._jobs[key]

    def find(self, owner: str, kind: str, about: str = "") -> Transfer | None:
        """The person's pull (the last one, or the one of this model), or the push of this run."""
        job = self._job(owner, kind, about)
        transfer = job.transfer if job else None
        return transfer if transfer and about in ("", transfer.about) else None

    def cancel(self, owner: str, kind: str, about: str = "") -> None:
        """Ask it to stop; nothing where there is none."""
        if job := self._job(owner, kind, about):
            job.cancel()

    def revoke(self, token: str) -> None:
        """Cancel all that use this token: nothing keeps it once they have ended."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.revoke(token)

    def forget(self, owner: str, kind: str, about: str = "") -> None:
        """Drop one that has ended, so that it is no longer shown."""
        with self._lock:
            key = _key(owner, kind, about)
            if (job := self._jobs.get(key)) and not job.transfer.works:
                del self._jobs[key]

    def wait(self, owner: str, kind: str, about: str = "", seconds: float = 60.0) -> Transfer | None:
        """How it stands once it has ended, or after so many seconds."""
        if job := self._job(owner, kind, about):
            job.ended(seconds)
        return self.find(owner, kind, about)

    def _job(self, owner: str, kind: str, about: str) -> Job | None:
        with self._lock:
            return self._jobs.get(_key(owner, kind, about))


def _another_runs(other: Transfer) -> ForbiddenError:
    words = {"pull": "is being pulled at the moment", "push": "is being published otherwise at the moment"}
    step = f" ({other.step})" if other.kind == "push" and other.step else ""
    return ForbiddenError(
        f"{other.about} {words[other.kind]}{step}.", hint="Wait for it, or cancel it first."
    )


def _key(owner: str, kind: str, about: str) -> Key:
    return owner, kind, about if kind == "push" else ""


TRANSFERS = Transfers()
