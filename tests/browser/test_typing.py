"""A person's own hands on the playgrounds: what is typed, emptied and chosen stays."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.runs import ROWS, make_classifier

KEY = 90  # milliseconds between two keys
SAID = "I will bring the boxes tomorrow."


def shown_box(page: Page, label: str) -> Locator:
    return page.get_by_role("tabpanel").filter(visible=True).get_by_label(label, exact=True)


@pytest.mark.parametrize("tab", ["classify", "compare"])
def test_what_is_typed_stays_and_a_text_can_be_emptied(
    tab: str, tiny_bert: Path, page: Page, address: str
) -> None:
    make_classifier(tiny_bert, "parcels", ROWS)
    page.goto(f"{address}/?tab={tab}")
    text = shown_box(page, "Text")
    expect(text).to_have_value("my parcel is late")
    text.press("Control+a")
    text.press("Delete")
    text.press_sequentially(SAID, delay=KEY)
    page.wait_for_timeout(3000)
    expect(text).to_have_value(SAID)
    text.press("Control+a")
    text.press("Delete")
    page.wait_for_timeout(3000)
    expect(text).to_have_value("")


def test_another_base_can_be_chosen_to_compare_with(tiny_bert: Path, page: Page, address: str) -> None:
    for name in ("parcels", "letters"):
        make_classifier(tiny_bert, name, ROWS)
    page.goto(f"{address}/?tab=compare")
    expect(shown_box(page, "Text")).to_have_value("my parcel is late")
    base = shown_box(page, "Base")
    base.click()
    page.get_by_role("option").filter(has_text="parcels").filter(visible=True).first.click()
    page.wait_for_timeout(3000)
    assert "parcels" in base.input_value()


def test_what_is_shown_is_what_will_be_trained(page: Page, address: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the lamp at sea\n" * 30)
    (tmp_path / "stars.csv").write_text("review,stars\n" + "good lamp,5\nbad lamp,1\n" * 30)
    page.goto(f"{address}/?tab=fine-tune")
    look, task = page.locator("#look"), page.get_by_label("Fill-mask").filter(visible=True).first
    page.get_by_text("Office messages").first.click()
    expect(look).to_contain_text("promise")
    page.get_by_text("Your files").first.click()
    expect(look).to_contain_text("will show here")
    upload = page.locator("input[type=file]").first
    upload.set_input_files(tmp_path / "notes.txt")
    expect(look).to_contain_text("the lamp at sea")
    expect(task).to_be_checked()
    page.get_by_text("A sample").first.click()
    expect(look).to_contain_text("promise")
    expect(task).not_to_be_checked()
    page.get_by_text("Your files").first.click()
    expect(look).to_contain_text("the lamp at sea")
    page.get_by_label("Remove this file").or_(page.get_by_label("Clear")).filter(visible=True).first.click()
    expect(look).to_contain_text("will show here")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "stars.csv")
    expect(look).to_contain_text("good lamp")
    expect(task).not_to_be_checked()  # there are labels again
