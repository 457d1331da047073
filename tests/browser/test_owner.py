"""The owner's way in and out, and who may show the page in a frame, in a real browser."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.support.app import running

KEY = "a-key-for-the-tests-0123456789"


def test_the_owner_comes_in_by_the_key_uploads_and_ends_the_session(
    home: Path, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("the lamp at sea\n" * 30)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    with running(
        tmp_path / "app.log", BERTSPACE_HOME=str(tmp_path / "home"), BERTSPACE_OWNER_KEY=KEY
    ) as address:
        page.goto(f"{address}/?key={KEY}&tab=fine-tune")
        header = page.locator("#header")
        expect(header).to_contain_text("Owner")
        page.get_by_text("Your files").first.click()
        page.locator("input[type=file]").first.set_input_files(tmp_path / "notes.txt")
        expect(page.locator("#look")).to_contain_text("the lamp at sea")
        cookies = page.context.cookies()
        header.get_by_role("button", name="Log out").click()
        expect(header).to_contain_text("Visitor")
        page.context.add_cookies(cookies)  # what a thief has kept
        page.reload()
        expect(header).to_contain_text("Visitor")
    assert problems == []


def test_no_other_page_can_lay_a_frame_over_the_owners(page: Page, address: str, tmp_path: Path) -> None:
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))
    other = tmp_path / "evil.html"
    other.write_text(f'<iframe src="{address}/?tab=fine-tune" style="opacity: 0"></iframe>')
    page.goto(other.as_uri())
    page.wait_for_timeout(2000)
    assert any("frame-ancestors" in words for words in blocked), blocked
    assert "bertspace" not in page.frames[1].content()
