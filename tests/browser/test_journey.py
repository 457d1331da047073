"""The whole way in a real browser, with the app started as a user starts it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

MINUTE = 60_000  # milliseconds


@pytest.mark.needs_starter
def test_a_person_fine_tunes_on_a_sample_tries_it_and_compares_it(
    page: Page, address: str, tmp_path: Path
) -> None:
    errors: list[str] = []
    foreign: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request", lambda request: foreign.append(request.url) if not local(request.url, address) else None
    )
    page.goto(address)

    # Data, a preset, Start.
    page.get_by_text("Office messages", exact=False).first.click()
    expect(page.locator("#look")).to_contain_text("promise")
    page.get_by_text("Quick look", exact=False).first.click()
    page.locator("#start").click()
    live = page.locator("#live")
    expect(live).to_contain_text("Office messages", timeout=3 * MINUTE)
    page.screenshot(path=tmp_path / "busy.png")

    # Reloaded half-way, the page shows the run again.
    expect(page.locator("#curves svg").first).to_be_visible(timeout=3 * MINUTE)
    page.reload()
    expect(page.locator("#live")).to_contain_text("Office messages")
    expect(page.locator("#try")).to_be_visible(timeout=5 * MINUTE)
    expect(page.locator("#live")).to_contain_text("done")
    page.screenshot(path=tmp_path / "done.png", full_page=True)

    # A sentence in the classifier that was just made.
    page.locator("#try").click()
    expect(page.get_by_role("tab", name="Classify")).to_have_attribute("aria-selected", "true")
    panel = page.get_by_role("tabpanel").filter(visible=True)
    expect(panel.locator(".pg-bars").first).to_be_visible()  # the first answer: nothing is filled in after it
    panel.get_by_label("Text", exact=True).first.fill("Could you please send me the keys to the store room?")
    expect(panel.locator(".pg-bars").first).to_have_attribute("aria-label", re.compile("request"))
    page.screenshot(path=tmp_path / "classify.png", full_page=True)

    # A mask.
    page.get_by_role("tab", name="Fill-mask").click()
    panel = page.get_by_role("tabpanel").filter(visible=True)
    panel.locator("#fill-mask-text textarea").fill("Paris is the [MASK] of France.")
    expect(panel).to_contain_text("capital")
    page.screenshot(path=tmp_path / "fill-mask.png", full_page=True)

    # The base beside it, on one text and on the rows that were held out.
    page.get_by_role("tab", name="Compare").click()
    panel = page.get_by_role("tabpanel").filter(visible=True)
    expect(panel).to_contain_text("logistic-regression probe")
    panel.get_by_text("On held-out rows").click()
    panel.get_by_role("button", name="Use the rows that the run held out").click()
    expect(panel).to_contain_text(re.compile(r"fine-tuned model gets \d+ right"))
    page.screenshot(path=tmp_path / "compare.png", full_page=True)

    # The address opens the same tab again.
    page.reload()
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")

    assert errors == []
    assert foreign == []


def local(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:", address.replace("http", "ws")))
