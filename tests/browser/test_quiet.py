"""What the page asks of the app by itself: after a click, what the click needs, and then nothing more."""

import fcntl
import json
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, Request, expect

from tests.support.runs import RESULT, ROWS, make_classifier, write_events

QUIET = 3000  # milliseconds


class Asked:
    """The handlers that the page calls, but for those of its clocks."""

    def __init__(self, page: Page, address: str) -> None:
        found = page.request.get(f"{address}/config").json()
        clocks = {each["id"] for each in found["components"] if each["type"] == "timer"}
        self.names = {each["id"]: each["api_name"] for each in found["dependencies"]}
        self.of_clocks = {
            each["id"] for each in found["dependencies"] if clocks & {target for target, _ in each["targets"]}
        }
        self.calls: list[str] = []
        page.on("request", self.take)

    def take(self, request: Request) -> None:
        if request.method == "POST" and ("queue/join" in request.url or "/run/" in request.url):
            number = request.post_data_json["fn_index"]
            if number not in self.of_clocks:
                self.calls.append(self.names[number])


def asked_in_the_end(page: Page, asked: Asked, most: int = 10) -> list[str]:
    """What is called in the first stretch of time in which nothing is, or in the last one looked at."""
    for _ in range(most):
        before = len(asked.calls)
        page.wait_for_timeout(QUIET)
        if not asked.calls[before:]:
            break
    return asked.calls[before:]


def test_try_it_and_compare_ask_once_and_are_quiet_then(tiny_bert: Path, page: Page, address: str) -> None:
    for name in ("parcels", "letters"):
        run = make_classifier(tiny_bert, name, ROWS)
        scored = RESULT | {"base": {"validation": {"accuracy": 0.5}}}
        (run.path / "result.json").write_text(json.dumps(scored))
    asked = Asked(page, address)
    page.goto(f"{address}/?run={run.id}")
    for button in ("#try", "#compare-run"):
        page.get_by_role("tab", name="Fine-tune").click()
        page.locator(button).click()
        panel = page.get_by_role("tabpanel").filter(visible=True)
        expect(panel.locator(".pg-bars").first).to_be_visible()
        assert asked_in_the_end(page, asked) == [], button
    # Fewer than any loop would make, more than both clicks need.
    assert len(asked.calls) < 80, asked.calls


def test_a_first_model_answers_by_itself_and_again_when_its_run_ends(
    tiny_bert: Path, page: Page, address: str
) -> None:
    run = make_classifier(tiny_bert, "parcels", ROWS)
    model = (run.path / "model").rename(run.path / "model-to-come")
    write_events(run, 31, 42)
    run.write_state(replace(run.state(), status="running"))
    with (run.path / "lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        page.goto(f"{address}/?tab=classify")
        panel = page.get_by_role("tabpanel").filter(visible=True)
        expect(panel).to_contain_text("A classifier is being trained")
        model.rename(run.path / "model")
        expect(panel.locator(".pg-side h4")).to_have_text("parcels (at step 28 of 42, still training)")
        run.write_state(replace(run.state(), status="done"))
        expect(panel.locator(".pg-side h4")).to_have_text("parcels")


def test_a_preset_sets_eight_settings_and_the_page_is_quiet_then(page: Page, address: str) -> None:
    asked = Asked(page, address)
    page.goto(f"{address}/?tab=fine-tune")
    page.get_by_text("Office messages", exact=False).first.click()
    expect(page.locator("#look")).to_contain_text("promise")
    for preset in ("Thorough", "Quick look", "Balanced"):
        page.get_by_text(preset, exact=False).first.click()
    assert asked_in_the_end(page, asked) == []


def test_step_two_touched_before_there_is_data_changes_nothing(page: Page, address: str) -> None:
    page.goto(f"{address}/?tab=fine-tune")
    model = page.get_by_label("Base model", exact=True)
    model.click()
    expect(page.get_by_role("option").first).to_be_visible()
    model.press("Tab")
    page.get_by_label("Fill-mask").filter(visible=True).first.click()
    page.wait_for_timeout(QUIET)
    expect(page.get_by_label("Fill-mask").filter(visible=True).first).to_be_checked()
    page.get_by_text("Office messages", exact=False).first.click()
    expect(page.locator("#look")).to_contain_text("promise")
