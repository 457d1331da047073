"""What a page of another site may do here with the cookies of who looks at it: nothing."""

from typing import Any

import pytest

from bertspace.ui.access import sites

HOME = "ada-space.hf.space"


def scope(method: str = "POST", path: str = "/gradio_api/queue/join", **headers: str) -> Any:
    given = {"host": HOME, "cookie": "session=abc"} | headers
    coded = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in given.items()]
    return {"type": "http", "method": method, "path": path, "headers": coded, "session": {"bertspace": "abc"}}


@pytest.mark.parametrize(
    ("asked", "foreign"),
    [
        (scope(), False),  # a program
        (scope(origin=f"https://{HOME}"), False),
        (scope(origin="https://evil.example"), True),
        (scope(origin="null"), True),
        (scope(origin=f"https://{HOME}.evil.example"), True),
        (scope(origin="https://evil.example", x_forwarded_host="evil.example"), True),
        (scope(sec_fetch_site="same-origin", origin=f"https://{HOME}"), False),
        (scope(sec_fetch_site="cross-site"), True),
        (scope(sec_fetch_site="same-site", origin=f"https://other.{HOME}"), True),
        (scope("GET", "/gradio_api/queue/data", sec_fetch_site="cross-site", sec_fetch_mode="cors"), True),
        (scope("GET", "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate"), False),  # a link
        (scope("GET", "/login/callback", sec_fetch_site="cross-site", sec_fetch_mode="navigate"), False),
        (scope("POST", "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate"), True),  # a form
        (scope("GET", "/logout", sec_fetch_site="cross-site", sec_fetch_mode="navigate"), True),
        (scope("GET", "/logout", sec_fetch_site="same-origin", sec_fetch_mode="navigate"), False),
        (scope("GET", "/logout", sec_fetch_site="none", sec_fetch_mode="navigate"), False),
    ],
)
def test_which_requests_come_from_another_sites_page(asked: Any, foreign: bool) -> None:
    assert sites.is_foreign(asked) is foreign


def test_a_spaces_other_names_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scope(origin="https://bert.example.org")
    assert sites.is_foreign(asked)
    monkeypatch.setenv("SPACE_HOST", f"{HOME}, bert.example.org")
    assert not sites.is_foreign(asked)


def test_without_cookies_nobody_is_known_and_the_rest_stays() -> None:
    asked = scope(origin="https://evil.example")
    left = sites.without_cookies(asked)
    assert left["session"] == {} and sites.header(left, "cookie") == ""
    assert sites.header(left, "host") == HOME and left["path"] == asked["path"]
    assert asked["session"] and sites.header(asked, "cookie")


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "LOCALHOST", ""])
def test_a_local_app_answers_by_its_own_names(host: str) -> None:
    assert sites.refusal(scope(host=host), is_open=False) == ""


@pytest.mark.parametrize("host", ["evil.example:7860", "127.0.0.1.evil.example", "10.0.0.7", "[", "a b"])
def test_a_local_app_does_not_answer_to_a_name_that_somebody_leads_to_it(host: str) -> None:
    assert "this machine alone" in sites.refusal(scope(host=host), is_open=False)
    assert sites.refusal(scope(host=host), is_open=True) == ""


def test_a_local_app_refuses_other_sites_pages_as_its_owner_has_no_cookie() -> None:
    asked = scope(host="127.0.0.1:7860", origin="http://127.0.0.1:8000")
    assert sites.refusal(asked, is_open=False) == "A page of another site sent this."
    assert sites.refusal(asked, is_open=True) == ""
