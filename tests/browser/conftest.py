"""A running app and a page in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.support.app import running

# Without these Chromium asks for its maker's hosts at every start.
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
MINUTE = 60_000  # milliseconds


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    """A running app's address; the app ends with the test."""
    with running(home.parent / "app.log") as url:
        yield url


@pytest.fixture
def page(chromium_path: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=QUIET)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(MINUTE)
        expect.set_options(timeout=MINUTE)  # the app's libraries are still being loaded
        yield page
        browser.close()
