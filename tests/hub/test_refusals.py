"""What the Hub says when it refuses, in words that a person can act on."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertspace import hub
from bertspace.errors import HubError, HubUnreachable
from bertspace.hub import client
from bertspace.hub.credentials import Credentials, using

LIMITED = {"ratelimit": '"api";r=0;t=207', "ratelimit-policy": '"fixed window";"api";q=500;w=300'}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, and nobody's rights."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with using(Credentials(token=False)):
        yield tmp_path / "hub"


@pytest.fixture
def server(hub: Any, tiny_bert: Path) -> Any:
    """A Hub with the model alice/tiny."""
    hub.user("alice")
    hub.put("alice/tiny", {path.name: path.read_bytes() for path in tiny_bert.iterdir()})
    return hub


def refusal(call: Any) -> HubError:
    with pytest.raises(HubError) as caught:
        call()
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (402, "Private storage limit reached", "asks for payment"),
        (403, "Your token lacks the permission repo.content.read", "does not let this account"),
        (451, "Unavailable in your country", "(status 451)"),
        (503, "The Hub is being moved to new machines", "trouble of its own"),
    ],
)
def test_what_the_hub_gives_as_its_reason_is_shown(server: Any, status: int, reason: str, told: str) -> None:
    server.fail(status, path="/api/models/alice/tiny", times=0, said=reason)
    for call in (hub.facts, hub.snapshot):
        error = refusal(lambda call=call: call("alice/tiny"))
        assert told in error.message and error.message.endswith(f": {reason}.")
    server.calm()
    server.fail(status, path="/resolve/", times=0, said=reason)
    assert reason in refusal(lambda: hub.snapshot("alice/tiny")).message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (LIMITED, 207),
        ({"ratelimit": '"api";r=3;t=207'}, 0),  # it was not this limit
        ({"ratelimit": "nonsense"}, 0),
        ({"retry-after": "90"}, 90),
        ({"retry-after": "a day and a time"}, 120),
    ],
)
def test_a_limit_says_how_long_to_wait(server: Any, headers: dict[str, str], seconds: int) -> None:
    then = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 120))
    headers = {name: then if value == "a day and a time" else value for name, value in headers.items()}
    server.fail(429, path="/api/models/alice/tiny", times=0, headers=headers)
    error = refusal(lambda: hub.facts("alice/tiny"))
    assert isinstance(error, HubUnreachable) and error.seconds == pytest.approx(seconds, abs=5)
    assert ("Wait a few minutes first." in error.hint) == (not seconds)


@pytest.mark.parametrize("path", ["/tree/", "/resolve/"])
def test_a_limit_in_the_middle_is_not_slept_through(server: Any, path: str) -> None:
    """The client sleeps for as long as it is told to, in which the reason got lost."""
    server.fail(429, path=path, times=0, headers=LIMITED, said="You have reached your limit")
    begin = time.monotonic()
    error = refusal(lambda: hub.snapshot("alice/tiny"))
    assert time.monotonic() - begin < 100  # it was told to sleep for 207
    assert "You have reached your limit" in error.message and "207 seconds" in error.hint


def test_trouble_that_outlasts_the_clients_own_tries_is_named(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.call_hub, "__defaults__", (1.5, ""))
    server.fail(503, path="/tree/", times=0, said="being moved")
    assert "being moved" in refusal(lambda: hub.snapshot("alice/tiny")).message


def test_who_is_not_logged_in_is_told_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for token in (None, True):
        with using(Credentials(token)):
            error = refusal(hub.whoami)
        assert "no token" in error.message and "`hf auth login`" in error.hint
        assert "starter" not in error.hint


def test_a_gated_model_says_how_the_request_stands(server: Any) -> None:
    server.repo("alice/tiny").gated = "manual"
    server.fail(
        403, path="/resolve/", times=0, code="GatedRepo", said="Your request awaits a review by its authors"
    )
    error = refusal(lambda: hub.snapshot("alice/tiny"))
    assert "terms to be accepted" in error.message and "awaits a review" in error.message


def test_a_reason_is_kept_short_and_to_a_line(server: Any) -> None:
    server.fail(403, path="/api/models/alice/tiny", times=0, said="no\x1b[2J\n" + "x" * 5000)
    message = refusal(lambda: hub.facts("alice/tiny")).message
    assert message.isprintable() and len(message) < 500
