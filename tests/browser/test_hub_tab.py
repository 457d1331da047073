"""The Hub in a real browser: sign in, train, publish, be refused, pull what is shared, compare."""

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from tests.support.app import running

TRAINED = "alice/office-tones"


def shown(page: Page, selector: str) -> Locator:
    """What can be seen of it: the other tabs lie beside."""
    return page.locator(selector).filter(visible=True).first


def folders(tmp_path: Path) -> dict[str, str]:
    """Everything that the app writes lies in the test's folder, to be looked through for tokens."""
    return {"BERTSPACE_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "huggingface")}


def here_only(route: Route) -> None:
    """As a Space, gradio's page asks for fonts elsewhere."""
    if re.match(r"https?://(127\.0\.0\.1|localhost)[:/]", route.request.url):
        route.continue_()
    else:
        route.abort()


def test_a_model_is_trained_published_refused_shared_pulled_and_compared(
    hub: Any, page: Page, tiny_bert: Path, tmp_path: Path
) -> None:
    """One app, as a Space; two people sign in. What one publishes, the other may see once it is shared."""
    hub.user("alice", orgs=("team",))
    hub.user("bob")
    hub.put("alice/tiny", tiny_bert)
    second = page.context.browser.new_context(viewport={"width": 1440, "height": 900}).new_page()  # type: ignore[union-attr]
    errors: list[str] = []
    for each in (page, second):
        each.set_default_timeout(180_000)
        each.on("pageerror", lambda error: errors.append(str(error)))
        each.route("**/*", here_only)
    with running(tmp_path / "app.log", **folders(tmp_path), **hub.oauth_environment()) as address:
        signed_in(page, address, "alice")
        signed_in(second, address, "bob")
        trained_and_published(page, address, tmp_path)
        assert hub.repo(TRAINED).private and "README.md" in hub.files(TRAINED)
        assert hub.commits(TRAINED)[-1] == "initial commit"

        second.goto(f"{address}/?tab=hub&model={TRAINED}")
        expect(second.locator("#hub-model")).to_contain_text(f"The Hub has no model {TRAINED}")
        expect(second.locator("#hub-publish")).to_be_hidden()  # no run of hers is bob's to publish
        hub.repo(TRAINED).private = False  # shared, on its page at the Hub
        pulled_and_compared(second, address, tmp_path)

        tokens = [token for token in hub.store.tokens if token.startswith("hf_oauth_")]
        stored = [
            each.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
            + each.content()
            + json.dumps(each.context.cookies(), default=str)
            for each in (page, second)
        ]
    assert len(tokens) == 2 and errors == []
    for token in tokens:
        assert not any(token in kept for kept in stored)
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or token.encode() not in path.read_bytes(), path


def signed_in(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}/?tab=hub")
    page.locator("#sign-in").click()
    page.get_by_role("link", name=name).click()  # the Hub asks who it is
    expect(page.locator("#header .bs-chip").last).to_have_text(name)


def trained_and_published(page: Page, address: str, pictures: Path) -> None:
    """From the base's facts to the mark of what was verified: one click, on Start, and the page is closed."""
    page.goto(f"{address}/?tab=hub&model=alice/tiny")
    expect(page.locator("#hub-model")).to_contain_text("Fill-mask")
    page.locator("#hub-tune").click()
    page.get_by_text("Office messages", exact=False).first.click()
    expect(page.locator("#look")).to_contain_text("promise")
    page.locator("#publish-when-done input").check()
    expect(page.locator("#publish-account")).to_contain_text(
        "You are alice on the Hub. It may write to team too."
    )
    page.locator("#publish-name input, #publish-name textarea").first.fill("a/b")
    page.locator("#start").click()
    expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("is no repository name")
    page.locator("#publish-name input, #publish-name textarea").first.fill(TRAINED.partition("/")[2])
    page.screenshot(path=pictures / "choice.png", full_page=True)
    page.locator("#start").click()
    expect(page.locator("#run-published")).to_be_visible()
    expect(page.locator("#run-published")).to_contain_text(TRAINED)
    page.goto("about:blank")
    page.goto(f"{address}/?tab=fine-tune")
    line = page.locator("#run-published")
    expect(line).to_contain_text(f"Published: {TRAINED}", timeout=300_000)
    expect(line).to_contain_text("private")
    expect(line).to_be_visible()
    page.screenshot(path=pictures / "run.png", full_page=True)

    page.locator("#publish-run").click()
    publication = page.locator("#hub-publication")
    expect(publication).to_contain_text(f"Published: {TRAINED}, private.")
    expect(publication).to_contain_text(
        re.compile(r"Verified: pulled again, it predicts the same on \d+ rows"), timeout=300_000
    )
    page.locator("#hub-card").get_by_text("The card", exact=True).click()
    expect(shown(page, ".hub-card")).to_contain_text("Results")
    page.screenshot(path=pictures / "published.png", full_page=True)


def pulled_and_compared(page: Page, address: str, pictures: Path) -> None:
    """Another account: the shared model and its base are pulled, and both answer."""
    page.goto(f"{address}/?tab=hub&model={TRAINED}")
    expect(page.locator("#hub-model")).to_contain_text("promise")
    shown(page, "[data-act=pull]").click()
    expect(page.locator("#hub-model")).to_contain_text("On this machine")
    page.locator("#hub-compare").click()
    panel = page.get_by_role("tabpanel").filter(visible=True)
    panel.get_by_label("Text", exact=True).fill("Could you please send me the keys?")
    expect(panel).to_contain_text("logistic-regression probe")
    expect(panel.locator(".pg-verdict")).to_be_visible()
    page.screenshot(path=pictures / "compared.png", full_page=True)


def test_a_pasted_token_serves_the_owner_until_it_is_forgotten(hub: Any, page: Page, tmp_path: Path) -> None:
    alice = hub.user("alice")
    with running(tmp_path / "app.log", **folders(tmp_path)) as address:
        page.goto(f"{address}/?tab=hub")
        page.locator("#account").get_by_text("Hugging Face account").click()
        page.locator("#account-token input").fill(alice)
        page.locator("#account-use").click()
        expect(page.locator("#account-said")).to_contain_text("You are alice by the token that you pasted.")
        assert page.locator("#account-token input").input_value() == ""
        page.reload()
        expect(page.locator("#account")).to_contain_text("Hugging Face account: alice")
        page.locator("#account").get_by_text("Hugging Face account").click()
        page.locator("#account-forget").click()
        expect(page.locator("#account-said")).to_contain_text("No account is in use")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or alice.encode() not in path.read_bytes(), path
