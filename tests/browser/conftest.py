"""A running app and a page in a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.app import running

# Without these Chromium asks for its maker's hosts at every start.
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
PATIENCE = 180_000  # milliseconds: the app's libraries may still be being loaded


@pytest.fixture(scope="package")
def runs_of_the_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app") / "home"


@pytest.fixture(scope="package")
def local_app(runs_of_the_app: Path) -> Iterator[str]:
    """The address of the app as its owner starts it, the same for all tests: it takes a while to be up."""
    with running(runs_of_the_app.parent / "app.log", BERTSPACE_HOME=str(runs_of_the_app)) as url:
        yield url


@pytest.fixture
def home(runs_of_the_app: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of that app's runs, empty again after the test."""
    monkeypatch.setenv("BERTSPACE_HOME", str(runs_of_the_app))
    yield runs_of_the_app
    shutil.rmtree(runs_of_the_app, ignore_errors=True)


@pytest.fixture
def address(home: Path, local_app: str) -> str:
    return local_app


@pytest.fixture(scope="package")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        yield playwright.chromium.launch(executable_path=chromium_path, args=QUIET)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()
