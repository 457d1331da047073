"""Pulls and pushes at work in threads of the app, which the pages of their owner look at.

They go on when the tab is closed, can be cancelled from any page of the same person, and are kept for a while
after their end. A thread acts in the context that it was started in, and with it with the credentials of who
asked; where the token among them is forgotten, it ends. Knows nothing of gradio, and asks nothing of the Hub.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from bertspace.errors import BertspaceError, Cancelled, ForbiddenError, HubError
from bertspace.hub import credentials

MOST_AT_ONCE = {"pull": 8, "push": 32}  # a push may wait for its run to end
MOST_EACH = {"pull": 1, "push": 4}  # of one guest's
KEPT_FOR_OWNER = 2  # of MOST_AT_ONCE
MOST_KEPT, MOST_KEPT_EACH = 64, 8  # that have ended, of everybody, and of one guest
LATELY = 15.0  # seconds by which the speed is judged
MOST_STEPS = 40  # words that are kept of a push which goes on for days

_TOO_MANY = {
    "pull": "A pull of yours, or of somebody at your address, is at work already.",
    "push": f"{MOST_EACH['push']} of your runs are being published already, or wait to be.",
}
_log = logging.getLogger(__name__)
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Transfer:
    """How a pull or a push stands.

    about: the model or the run. state: "working", "done", "failed" or "cancelled". steps: what was said of
    it, the newest last. done, total: bytes; total 0 where it is not known (yet). left: seconds, if known.
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
    """What a transfer's work is given: it tells how far it is, and asks whether it is to stop."""

    def __init__(
        self, number: int, owner: str, kind: str, about: str, asked: object = None, counted: str = ""
    ) -> None:
        self._id, self._owner, self._kind, self.about, self.asked = number, owner, kind, about, asked
        self.counted = counted or owner
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._state = "working"
        self._steps: deque[str] = deque(maxlen=MOST_STEPS)
        self._done, self._total = 0, 0
        self._marks: deque[tuple[float, int]] = deque()
        self._result: object = None
        self._error: BertspaceError | None = None
        self._token = credentials.current().token
        self.disowned = False  # its token was forgotten

    def say(self, words: str) -> None:
        """What is being done now, in words."""
        with self._lock:
            if not self._steps or self._steps[-1] != words:
                self._steps.append(words)

    def moved(self, done: int, total: int) -> None:
        """So many bytes of so many are there."""
        with self._lock:
            self._done, self._total = done, total
            now = time.monotonic()
            self._marks.append((now, done))
            while now - self._marks[0][0] > LATELY:
                self._marks.popleft()

    def stopped(self) -> bool:
        """Whether the person wants no more of it."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, and wake with Cancelled when the person wants no more of it."""
        if self._stop.wait(seconds):
            raise Cancelled("Cancelled.", hint="Nothing was lost: start it again when you like.")

    # For the registry

    def cancel(self) -> None:
        self._stop.set()

    def disown(self, token: str) -> None:
        """Ask it to stop if it acts with this token, which is not to be used any more."""
        if self._token == token:
            self.disowned = True
            self.cancel()

    def ended(self, seconds: float) -> bool:
        """Wait for its end; False where it has not come by then."""
        return self._ended.wait(seconds)

    def run(self, work: Callable[[Job], object]) -> None:
        """Do the work, and keep what it gives or what it raises."""
        try:
            self._end("done", work(self))
        except Cancelled as cancelled:
            if self.disowned:
                said = f"The {self._kind} ended with the sign-in or token that it was begun with."
                self._end("failed", error=HubError(said, hint="Sign in or give a token, and begin it again."))
            else:
                self._end("cancelled", error=cancelled)
        except BertspaceError as error:
            self._end("failed", error=error)
        except Exception as error:  # a bug: the page tells its name, the log keeps the traceback
            _log.exception("The %s of %s failed", self._kind, self.about)
            said = f"The {self._kind} of {self.about} met a fault of bertspace ({type(error).__name__})."
            self._end("failed", error=BertspaceError(said, hint="The app's log has the details."))
        finally:
            self._token = None
            self._ended.set()

    def _end(self, state: str, result: object = None, error: BertspaceError | None = None) -> None:
        with self._lock:
            self._state, self._result, self._error = state, result, error

    def look(self) -> Transfer:
        """How it stands."""
        with self._lock:
            left = seconds_left(list(self._marks), self._total) if self._state == "working" else None
            return Transfer(
                self._id, self._owner, self._kind, self.about, self._state, tuple(self._steps), self._done,
                self._total, left, self.stopped(), self._result, self._error,
            )  # fmt: skip


def seconds_left(marks: list[tuple[float, int]], total: int) -> float | None:
    """How long the rest takes at the speed of the (seconds, bytes) marks; None where they do not say."""
    if len(marks) < 2 or not total:
        return None
    (first, had), (last, have) = marks[0], marks[-1]
    if last - first < 0.5 or have <= had:
        return None
    return max(0, total - have) * (last - first) / (have - had)


class Transfers:
    """Everybody's: one pull at a time a person, one push at a time a run.

    Who may look at one and cancel it is its `owner`; by whom it is `counted` may be less: an address, which
    several people have.
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
        """Begin the work in a thread of its own, with this thread's context; what is at it already stays.

        kind: "pull" or "push". asked: what tells it from another with the same model or run. counted: the
        owner where it is not said. Raises ForbiddenError where another one of the person's, or too many in
        all, are at work.
        """
        with self._lock:
            key = _key(owner, kind, about)
            if (known := self._jobs.get(key)) and known.look().works:
                if (known.about, known.asked) == (about, asked):
                    return known.look()
                raise _is_at_work(known.look())
            job = Job(next(self._numbers), owner, kind, about, asked, counted)
            self._check_room(kind, job.counted)
            self._jobs[key] = job
            self._jobs.move_to_end(key)
            self._drop_old(job.counted)
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(job.run, work), daemon=True, name=f"{kind} {about}"
        ).start()
        return job.look()

    def _check_room(self, kind: str, counted: str) -> None:
        working = [job for job in self._jobs.values() if (seen := job.look()).works and seen.kind == kind]
        guest = credentials.current().guest
        if guest and sum(job.counted == counted for job in working) >= MOST_EACH[kind]:
            raise ForbiddenError(_TOO_MANY[kind], hint="Try again when it has ended.")
        if len(working) >= MOST_AT_ONCE[kind] - (KEPT_FOR_OWNER if guest else 0):
            raise ForbiddenError(
                f"{len(working)} other transfers are at work here.", hint="Try again in a minute."
            )

    def _drop_old(self, counted: str) -> None:
        ended = [key for key, job in self._jobs.items() if not job.look().works]
        own = [key for key in ended if credentials.current().guest and self._jobs[key].counted == counted]
        for key in {*ended[: max(0, len(ended) - MOST_KEPT)], *own[: max(0, len(own) - MOST_KEPT_EACH)]}:
            del self._jobs[key]

    def find(self, owner: str, kind: str, about: str = "") -> Transfer | None:
        """The person's pull (the last one, or the one of this model), or the push of this run."""
        if (job := self._job(owner, kind, about)) is None or (about and job.about != about):
            return None
        return job.look()

    def cancel(self, owner: str, kind: str, about: str = "") -> None:
        """Ask it to stop; nothing where there is none."""
        if job := self._job(owner, kind, about):
            job.cancel()

    def disown(self, token: str) -> None:
        """Ask all that act with this token to stop: nothing keeps it when they have."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.disown(token)

    def forget(self, owner: str, kind: str, about: str = "") -> None:
        """Drop one that has ended, so that it is shown no more."""
        with self._lock:
            key = _key(owner, kind, about)
            if (job := self._jobs.get(key)) and not job.look().works:
                del self._jobs[key]

    def wait(self, owner: str, kind: str, about: str = "", seconds: float = 60.0) -> Transfer | None:
        """Its last look, once it has ended."""
        if job := self._job(owner, kind, about):
            job.ended(seconds)
        return self.find(owner, kind, about)

    def _job(self, owner: str, kind: str, about: str) -> Job | None:
        with self._lock:
            return self._jobs.get(_key(owner, kind, about))


def _is_at_work(other: Transfer) -> ForbiddenError:
    said = {"pull": "is being pulled at the moment", "push": "is being published otherwise at the moment"}
    step = f" ({other.step})" if other.kind == "push" and other.step else ""
    return ForbiddenError(f"{other.about} {said[other.kind]}{step}.", hint="Wait for it, or cancel it first.")


def _key(owner: str, kind: str, about: str) -> Key:
    return owner, kind, about if kind == "push" else ""


TRANSFERS = Transfers()
