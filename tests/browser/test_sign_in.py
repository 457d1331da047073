"""Signing in with a real browser, on an app that runs as a Space, at the test Hub."""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.support.app import running


def test_one_signs_in_is_known_by_name_may_train_and_signs_out(hub: Any, page: Page, tmp_path: Path) -> None:
    hub.user("alice", orgs=("team",))  # an organisation keeps gradio's own button from seeing a sign-in
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**/*", here_only)
    with running(
        tmp_path / "app.log", BERTSPACE_HOME=str(tmp_path / "home"), **hub.oauth_environment()
    ) as address:
        page.goto(f"{address}/?tab=fine-tune&model=starter")
        chip, button = page.locator("#header .bs-chip").last, page.locator("#sign-in")
        expect(chip).to_have_text("Visitor")
        expect(button).to_have_text("Sign in with Hugging Face")
        expect(page.get_by_text("Training is not open to visitors")).to_be_visible()

        button.click()
        page.get_by_role("link", name="alice").click()  # the Hub asks who it is
        expect(chip).to_have_text("alice")
        expect(button).to_have_text("Sign out")
        assert page.url == f"{address}/?tab=fine-tune&model=starter"
        expect(page.locator("#start")).to_be_visible()
        [token] = [token for token in hub.store.tokens if token.startswith("hf_oauth_")]
        stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        cookies = page.context.cookies()
        assert token not in stored + page.content() + str(cookies)
        [cookie] = [each for each in cookies if each["name"] == "session"]
        assert cookie["httpOnly"] and cookie["secure"]

        page.reload()
        expect(chip).to_have_text("alice")
        button.click()
        expect(chip).to_have_text("Visitor")
        expect(button).to_have_text("Sign in with Hugging Face")
        assert page.context.cookies() == []
        assert token not in (tmp_path / "app.log").read_text()
    assert errors == []


def here_only(route: Route) -> None:
    """As a Space, gradio's page asks for fonts elsewhere."""
    if re.match(r"https?://(127\.0\.0\.1|localhost)[:/]", route.request.url):
        route.continue_()
    else:
        route.abort()
