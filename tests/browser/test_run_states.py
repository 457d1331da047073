"""Runs in a real browser: each state at two widths, light and dark, and what a person does with a run."""

import fcntl
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from bertspace.runs import Run
from tests.support.runs import made_run, out_of_memory

# The state's buttons, as they are to be read.
BUTTONS = {
    "queued": ["Withdraw", "Move to the front"],
    "running": ["Stop and keep", "Pause"],
    "paused": ["Resume from step 31"],
    "failed": ["Resume from the beginning"],
    "memory": ["Go on with these settings", "Resume from the beginning"],
    "interrupted": ["Resume from step 14"],
    "done": ["Try it", "Compare with the base", "Publish"],
}
ACTIONS = "#go-on, #try, #compare-run, #publish-run, #resume, #stop, #pause, #to-front"


@pytest.fixture
def made(home: Path) -> Iterator[dict[str, Run]]:
    """A run in each state; the one at work is held by this process, so that no other is started."""
    runs = {
        "done": made_run("done", steps=42, notes="The first one"),
        "other": made_run("done", steps=42, name="another one"),
        "paused": made_run("paused", steps=31, checkpoint=31),
        "failed": made_run("failed", steps=12, message="The loss is not finite.", hint="Use a lower rate."),
        "memory": out_of_memory(),
        "interrupted": made_run("running", steps=20, checkpoint=14),
        "running": made_run("running", steps=25, name="a-file-with-a-rather-long-name-that-goes-on.csv"),
        "next": made_run("queued", name="the next one"),
        "queued": made_run("queued"),
    }  # fmt: skip
    with (runs["running"].path / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield runs


def opened(page: Page, address: str, run: Run, theme: str = "light") -> None:
    page.goto(f"{address}/?run={run.id}&__theme={theme}")
    expect(page.locator("#live")).to_contain_text(run.name)


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_each_state_shows_its_buttons_and_fits_the_page(
    made: dict[str, Run], page: Page, address: str, tmp_path: Path, width: int, theme: str
) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_viewport_size({"width": width, "height": 900})
    for state, buttons in BUTTONS.items():
        opened(page, address, made[state], theme)
        visible = page.locator(ACTIONS).filter(visible=True)
        expect(visible).to_have_count(len(buttons))
        assert sorted(visible.all_inner_texts()) == sorted(buttons), state
        assert page.evaluate("document.documentElement.scrollWidth") <= width, state
        page.screenshot(path=tmp_path / f"{state}.png", full_page=True)
    assert errors == []


def test_a_run_is_named_noted_compared_downloaded_and_deleted(
    made: dict[str, Run], page: Page, address: str, tmp_path: Path
) -> None:
    run = made["done"]
    opened(page, address, run)
    page.get_by_text("More about this run").click()
    page.get_by_label("Name", exact=True).fill("Tea, first try")
    page.get_by_label("Notes").fill("Too few rows")
    page.locator("#save-run").click()
    expect(page.locator("#live")).to_contain_text("Tea, first try")
    expect(page.locator("#runs")).to_contain_text("Too few rows")
    assert (run.state().name, run.state().notes) == ("Tea, first try", "Too few rows")

    page.get_by_label("Compare with another run").click()
    page.get_by_role("option", name="another one").click()
    expect(page.locator("#pair")).to_contain_text("Their settings and their rows are the same.")
    page.locator("#run-code").get_by_text("As code").click()
    expect(page.locator("#run-code")).to_contain_text("python -m bertspace train")

    with page.expect_download() as download:
        page.locator("#download-run").click()
    assert download.value.suggested_filename == f"{run.id}.zip"
    download.value.save_as(tmp_path / "run.zip")
    state = zipfile.ZipFile(tmp_path / "run.zip").read(f"{run.id}/result.json")
    assert json.loads(state)["headline"] == "accuracy"
    page.locator("#run-log").get_by_text("Log", exact=True).click()
    with page.expect_download() as download:
        page.locator("#download-log").click()
    assert download.value.suggested_filename == f"{run.id}-log.txt"

    page.locator("#delete").click()
    expect(page.get_by_text("That frees")).to_be_visible()
    page.locator("#delete-for-good").click()
    expect(page.locator("#live")).not_to_contain_text("Tea, first try")
    assert not run.path.exists()


def test_the_list_is_filtered_and_a_waiting_run_moved_and_withdrawn(
    made: dict[str, Run], page: Page, address: str
) -> None:
    opened(page, address, made["queued"])
    expect(page.locator("#live")).to_contain_text("2nd in the queue")
    page.locator("#to-front").click()
    expect(page.locator("#live")).to_contain_text("It starts next.")
    page.locator("#stop").click()
    expect(page.locator("#resume")).to_be_visible()
    assert made["queued"].state().status == "stopped"

    lines = page.locator("#runs [data-run]")
    expect(lines).to_have_count(len(made))
    page.get_by_label("Filter").fill("rather-long training")
    expect(lines).to_have_count(1)
    lines.click()
    expect(page.locator("#live")).to_contain_text("Step 25 of 42")
    page.get_by_label("Filter").fill("nothing like it")
    expect(page.locator("#runs")).to_contain_text("No run has “nothing like it”")
