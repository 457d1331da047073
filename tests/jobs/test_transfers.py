"""Pulls and pushes in threads: what is told of them, how they end, and that they are one person's."""

import contextvars
import threading

import pytest

from bertspace.errors import BertspaceError, Cancelled, ForbiddenError, HubError
from bertspace.hub.credentials import Credentials, using
from bertspace.jobs import transfers
from bertspace.jobs.transfers import Job, Transfer, Transfers, seconds_left

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


class Held:
    """Work that goes on until it is let go, and asks meanwhile whether it is to stop."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> str:
        self.begun.set()
        while not self.go.wait(0.01):
            job.wait(0)
        return "there"


@pytest.fixture
def held() -> Held:
    return Held()


def ended(found: Transfer | None) -> Transfer:
    assert found is not None and not found.works
    return found


def test_a_transfer_is_looked_at_while_it_works_and_keeps_its_result(held: Held) -> None:
    all_of_them = Transfers()

    def work(job: Job) -> str:
        job.say("Fetching")
        job.moved(3, 10)
        return held(job)

    first = all_of_them.start("ada", "pull", "a/b", work)
    assert first.works and first.about == "a/b"
    assert held.begun.wait(180)
    seen = all_of_them.find("ada", "pull")
    assert seen is not None
    assert (seen.state, seen.step, seen.done, seen.total) == ("working", "Fetching", 3, 10)
    held.go.set()
    last = ended(all_of_them.wait("ada", "pull"))
    assert (last.state, last.result, last.error, last.left) == ("done", "there", None, None)


def test_the_thread_acts_in_the_context_of_who_asked() -> None:
    all_of_them = Transfers()
    token = WHO.set("ada")
    all_of_them.start("ada", "pull", "a/b", lambda job: WHO.get())
    WHO.reset(token)
    assert ended(all_of_them.wait("ada", "pull")).result == "ada"
    assert WHO.get() == "nobody"


def test_an_error_of_ours_is_kept_with_its_hint() -> None:
    all_of_them = Transfers()

    def work(job: Job) -> None:
        raise HubError("The line broke.", hint="Try again.")

    all_of_them.start("ada", "push", "run-1", work)
    last = ended(all_of_them.wait("ada", "push", "run-1"))
    assert last.state == "failed" and last.error is not None
    assert (last.error.message, last.error.hint) == ("The line broke.", "Try again.")


def test_a_bug_is_logged_and_told_by_its_name_alone(caplog: pytest.LogCaptureFixture) -> None:
    all_of_them = Transfers()
    all_of_them.start("ada", "pull", "a/b", lambda job: {}["hf_secret"])  # type: ignore[index]
    last = ended(all_of_them.wait("ada", "pull"))
    assert last.state == "failed" and isinstance(last.error, BertspaceError)
    assert "KeyError" in last.error.message and "hf_secret" not in str(last.error)
    assert "Traceback" in caplog.text


def test_a_cancelled_one_ends_when_it_next_looks(held: Held) -> None:
    all_of_them = Transfers()
    all_of_them.start("ada", "pull", "a/b", held)
    assert held.begun.wait(180)
    all_of_them.cancel("ada", "pull")
    last = ended(all_of_them.wait("ada", "pull"))
    assert (last.state, last.stopping) == ("cancelled", True)
    assert isinstance(last.error, Cancelled)
    all_of_them.cancel("ada", "push", "none")  # nothing to cancel is nothing wrong


def test_a_token_that_is_forgotten_ends_what_acts_with_it_and_nothing_else(held: Held) -> None:
    all_of_them = Transfers()
    for token, run in (("hf_hers", "run-1"), ("hf_hers", "run-2"), ("hf_his", "run-3"), (None, "run-4")):
        with using(Credentials(token)):
            all_of_them.start("ada", "push", run, held)
    all_of_them.revoke("hf_hers")
    for run in ("run-1", "run-2"):
        last = ended(all_of_them.wait("ada", "push", run))
        assert last.state == "failed" and isinstance(last.error, HubError)
        assert last.error.message == "The push ended with the sign-in or token that it was begun with."
    assert not any("hf_hers" in repr(vars(job)) for job in all_of_them._jobs.values())
    held.go.set()
    for run in ("run-3", "run-4"):
        assert ended(all_of_them.wait("ada", "push", run)).state == "done"


def test_a_person_pulls_one_model_at_a_time(held: Held) -> None:
    all_of_them = Transfers()
    first = all_of_them.start("ada", "pull", "a/b", held)
    assert all_of_them.start("ada", "pull", "a/b", held).id == first.id
    with pytest.raises(ForbiddenError, match="a/b is being pulled at the moment"):
        all_of_them.start("ada", "pull", "c/d", held)
    other = all_of_them.start("bob", "pull", "c/d", held)
    assert other.works and all_of_them.find("eve", "pull") is None
    assert all_of_them.find("ada", "pull", "c/d") is None
    held.go.set()
    for name in ("ada", "bob"):
        assert ended(all_of_them.wait(name, "pull")).state == "done"
    assert all_of_them.start("ada", "pull", "c/d", held).id > other.id


def test_a_run_is_pushed_once_at_a_time_and_runs_beside_each_other(held: Held) -> None:
    all_of_them = Transfers()
    first = all_of_them.start("ada", "push", "run-1", held)
    assert all_of_them.start("ada", "push", "run-1", held).id == first.id
    assert all_of_them.start("ada", "push", "run-2", held).id != first.id
    held.go.set()
    for run in ("run-1", "run-2"):
        assert ended(all_of_them.wait("ada", "push", run)).result == "there"


def test_a_push_that_asks_for_something_else_is_told_of_the_one_at_work(held: Held) -> None:
    all_of_them = Transfers()

    def work(job: Job) -> str:
        job.say("Waiting for the run to end")
        return held(job)

    first = all_of_them.start("ada", "push", "run-1", work, asked="ada/first")
    assert held.begun.wait(180)
    assert all_of_them.start("ada", "push", "run-1", work, asked="ada/first").id == first.id
    with pytest.raises(ForbiddenError) as caught:
        all_of_them.start("ada", "push", "run-1", work, asked="ada/second")
    assert str(caught.value) == (
        "run-1 is being published otherwise at the moment (Waiting for the run to end). "
        "Wait for it, or cancel it first."
    )
    held.go.set()
    ended(all_of_them.wait("ada", "push", "run-1"))
    all_of_them.start("ada", "push", "run-1", work, asked="ada/second")
    assert ended(all_of_them.wait("ada", "push", "run-1")).result == "there"


def test_only_so_many_are_at_work_at_once(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(transfers.MAX_RUNNING, "pull", 2)
    all_of_them = Transfers()
    for name in ("ada", "bob"):
        all_of_them.start(name, "pull", "a/b", held)
    with pytest.raises(ForbiddenError, match="2 other transfers are at work"):
        all_of_them.start("eve", "pull", "a/b", held)
    held.go.set()
    for name in ("ada", "bob"):
        all_of_them.wait(name, "pull")
    assert all_of_them.start("eve", "pull", "a/b", held).works or all_of_them.wait("eve", "pull")


GUEST = Credentials(False, guest=True)


def test_one_person_has_one_place_however_many_pages_they_say_they_are(held: Held) -> None:
    all_of_them = Transfers()
    with using(GUEST):
        first = all_of_them.start("page 1", "pull", "a/b", held, counted="at 10.0.0.1")
        assert all_of_them.start("page 1", "pull", "a/b", held, counted="at 10.0.0.1").id == first.id
        for page in range(2, 12):
            with pytest.raises(ForbiddenError, match="at work already") as caught:
                all_of_them.start(f"page {page}", "pull", "c/d", held, counted="at 10.0.0.1")
            assert "a/b" not in str(caught.value)  # may be somebody else's, of the same address
        other = all_of_them.start("page 20", "pull", "c/d", held, counted="at 10.0.0.2")
    assert other.works and all_of_them.find("page 2", "pull") is None
    held.go.set()
    ended(all_of_them.wait("page 1", "pull"))
    with using(GUEST):
        assert all_of_them.start("page 2", "pull", "c/d", held, counted="at 10.0.0.1").about == "c/d"


def test_two_places_are_kept_for_the_owner(held: Held) -> None:
    all_of_them = Transfers()
    with using(GUEST):
        for number in range(6):
            all_of_them.start(f"page {number}", "pull", "a/b", held, counted=f"at 10.0.0.{number}")
        with pytest.raises(ForbiddenError, match="6 other transfers are at work"):
            all_of_them.start("u-ada", "pull", "a/b", held)
    assert all_of_them.start("local", "pull", "a/b", held).works
    held.go.set()


def test_a_person_publishes_so_many_runs_at_once(held: Held) -> None:
    all_of_them = Transfers()
    with using(GUEST):
        for number in range(transfers.MAX_PER_GUEST["push"]):
            all_of_them.start("u-ada", "push", f"run-{number}", held)
        with pytest.raises(ForbiddenError, match="4 of your runs are being published"):
            all_of_them.start("u-ada", "push", "run-x", held)
        assert all_of_them.start("u-bob", "push", "run-x", held).works
    held.go.set()


def test_nobody_pushes_what_others_have_seen_end_out_of_the_list() -> None:
    all_of_them = Transfers()
    all_of_them.start("u-ada", "push", "run-1", lambda job: "there")
    ended(all_of_them.wait("u-ada", "push", "run-1"))
    with using(GUEST):
        for page in range(2 * transfers.MAX_ENDED):
            all_of_them.start(f"page {page}", "pull", "a/b", lambda job: None, counted="at 10.0.0.1")
            ended(all_of_them.wait(f"page {page}", "pull"))
    assert ended(all_of_them.find("u-ada", "push", "run-1")).result == "there"


def test_old_ones_are_dropped_and_an_ended_one_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "MAX_ENDED", 2)
    all_of_them = Transfers()
    for name in ("ada", "bob", "eve", "zoe"):
        all_of_them.start(name, "pull", "a/b", lambda job: None)
        ended(all_of_them.wait(name, "pull"))
    assert all_of_them.find("ada", "pull") is None
    assert all_of_them.find("zoe", "pull") is not None
    all_of_them.forget("zoe", "pull")
    assert all_of_them.find("zoe", "pull") is None


@pytest.mark.parametrize(
    ("marks", "total", "left"),
    [
        ([], 100, None),
        ([(0.0, 0)], 100, None),
        ([(0.0, 0), (0.1, 50)], 100, None),  # too short a time to judge by
        ([(0.0, 20), (2.0, 20)], 100, None),  # it stands still
        ([(0.0, 0), (1.0, 10), (2.0, 50)], 100, 2.0),
        ([(0.0, 0), (2.0, 100)], 100, 0.0),
        ([(0.0, 0), (2.0, 100)], 0, None),
    ],
)
def test_the_time_left_is_judged_by_the_last_seconds(
    marks: list[tuple[float, int]], total: int, left: float | None
) -> None:
    assert seconds_left(marks, total) == left
