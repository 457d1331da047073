"""The Hub in a real browser: train, publish, be refused, pull what is shared, compare."""

import re
from pathlib import Path
from typing import Any

from conftest import running
from playwright.sync_api import Locator, Page, expect

TRAINED = "alice/tiny-on-office-messages"


def shown(page: Page, selector: str) -> Locator:
    """What can be seen of it: the other tabs lie beside."""
    return page.locator(selector).filter(visible=True).first


def test_a_model_is_trained_published_refused_shared_pulled_and_compared(
    hub: Any, page: Page, tiny_bert: Path, tmp_path: Path
) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    alice, bob = hub.user("alice", orgs=("team",)), hub.user("bob")
    hub.put("alice/tiny", tiny_bert)

    homes = {name: str(tmp_path / name / "huggingface") for name in ("alice", "bob")}
    with running(tmp_path / "alice.log", HF_HOME=homes["alice"]) as address:
        pasted(page, address, alice, "alice")
        trained_and_published(page, address, tmp_path)
    assert "README.md" in hub.files(TRAINED) and hub.repo(TRAINED).private
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or alice.encode() not in path.read_bytes(), path

    variables = {"HF_HOME": homes["bob"], "BERTSPACE_HOME": str(tmp_path / "bob" / "runs")}
    with running(tmp_path / "bob.log", **variables) as address:
        pasted(page, address, bob, "bob")
        page.goto(f"{address}/?tab=hub&model={TRAINED}")
        expect(page.locator("#hub-model")).to_contain_text(f"The Hub has no model {TRAINED}")
        hub.repo(TRAINED).private = False
        pulled_and_compared(page, address, tmp_path)
    assert errors == []


def pasted(page: Page, address: str, token: str, name: str) -> None:
    """The owner's token, given to the page."""
    page.goto(f"{address}/?tab=hub")
    page.locator("#account").get_by_text("Hugging Face account").click()
    page.locator("#account-token input").fill(token)
    page.locator("#account-use").click()
    expect(page.locator("#account-said")).to_contain_text(name)


def trained_and_published(page: Page, address: str, pictures: Path) -> None:
    """From the base's facts to the mark of what was verified."""
    page.goto(f"{address}/?tab=hub&model=alice/tiny")
    expect(page.locator("#hub-model")).to_contain_text("Fill-mask")
    page.locator("#hub-tune").click()
    page.get_by_text("Office messages", exact=False).first.click()
    expect(page.locator("#look")).to_contain_text("promise")
    page.locator("#start").click()
    page.locator("#publish-run").click()  # once the run is done

    publication = page.locator("#hub-publication")
    expect(page.locator("#hub-account")).to_contain_text(
        "You are alice on the Hub. It may write to team too."
    )
    expect(publication).to_contain_text("What goes up")
    expect(page.locator("#hub-name input, #hub-name textarea").first).to_have_value(TRAINED.partition("/")[2])
    page.locator("#hub-card").get_by_text("The card", exact=True).click()
    expect(shown(page, ".hub-card")).to_contain_text("Results")
    page.locator("#hub-publish").click()
    expect(publication).to_contain_text(f"Published: {TRAINED}, private.")
    expect(publication).to_contain_text(
        re.compile(r"Verified: pulled again, it predicts the same on \d+ rows")
    )
    page.screenshot(path=pictures / "published.png", full_page=True)


def pulled_and_compared(page: Page, address: str, pictures: Path) -> None:
    """Another account, on another machine: the shared model and then its base are pulled, and both answer."""
    page.goto(f"{address}/?tab=hub&model={TRAINED}")
    expect(page.locator("#hub-model")).to_contain_text("promise")
    shown(page, "[data-act=pull]").click()
    expect(page.locator("#hub-model")).to_contain_text("On this machine")
    page.locator("#hub-compare").click()
    shown(page, "[data-act=pull]").click()  # of the base, which the model brought with it by name
    panel = page.get_by_role("tabpanel").filter(visible=True)
    panel.get_by_label("Text", exact=True).fill("Could you please send me the keys?")
    expect(panel).to_contain_text("logistic-regression probe")
    expect(panel.locator(".pg-verdict")).to_be_visible()
    page.screenshot(path=pictures / "compared.png", full_page=True)
