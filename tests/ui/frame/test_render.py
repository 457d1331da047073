"""What render.py draws: whole values, and nothing of a visitor's text as markup."""

import re

import pytest

from bertspace.tasks.fill_mask.answer import Filled
from bertspace.ui import compare
from bertspace.ui.frame import chart, html
from bertspace.ui.frame.html import BASE, TUNED, Side
from bertspace.ui.tasks import page_of

FILL_MASK, CLASSIFY = page_of("fill-mask"), page_of("text-classification")


def test_bars_have_a_name_a_width_a_short_value_and_the_full_one() -> None:
    assert html.bars({"delivery": 0.75, "billing": 0.25}, "#D55E00", name="starter") == (
        '<div class="pg-bars" role="img" aria-label="starter: delivery 0.750, billing 0.250">'
        '<span class="pg-label">delivery</span><span class="pg-track">'
        '<span class="pg-fill" style="width:75.00%;background:#D55E00"></span></span>'
        '<span class="pg-value" title="0.75">0.750</span>'
        '<span class="pg-label">billing</span><span class="pg-track">'
        '<span class="pg-fill" style="width:25.00%;background:#D55E00"></span></span>'
        '<span class="pg-value" title="0.25">0.250</span></div>'
    )


def test_of_a_hundred_thousand_labels_the_first_hundred_are_drawn_and_the_rest_counted() -> None:
    """They made 27 MB of HTML."""
    many = {f"label {number} {'x' * 3000}": 1 / (number + 1) for number in range(100_000)}
    side = Side("starter", TUNED, [Filled("a text", many)])
    for drawn in (html.bars(many, BASE), CLASSIFY.draw("", [side, side])):
        assert len(drawn) < 100_000 and "and 99,900 more labels</p>" in drawn and "label 99 x" in drawn
    shown = chart.bars("Labels", [(label, 1) for label in many])
    assert len(shown) < 20_000 and "and 99,988 more labels with 99,988 rows" in shown
    assert len(CLASSIFY.sentence(side.predictions, side.predictions)) < 300
    assert len(html.bars(dict.fromkeys(list(many)[:100], 0.01), BASE)) < 100_000
    assert "more label" not in html.bars(dict.fromkeys(list(many)[:100], 0.01), BASE)


def test_a_long_cell_is_cut_on_the_page() -> None:
    drawn = html.rows_table("All", ["Text"], [["<" * 300_000]] * 100)
    assert len(drawn) < 200_000 and "…</td>" in drawn


HOSTILE = '<script>alert("1")</script> {{value}} ${1} `x`'


def test_no_text_of_a_visitor_is_markup_or_template() -> None:
    found = Filled(HOSTILE, {HOSTILE: 0.5})
    side = Side(HOSTILE, BASE, [found])
    drawn = [
        CLASSIFY.draw("", [side]),
        FILL_MASK.draw(f"{HOSTILE} [MASK]", [side]),
        FILL_MASK.draw(HOSTILE, [side]),
        html.comparison(CLASSIFY.sentence([found], [found]), ""),
        html.metric_table(HOSTILE, HOSTILE, {HOSTILE: 1.0}, {HOSTILE: 2.0}, HOSTILE, True),
        html.rows_table(HOSTILE, ["Text"], [[HOSTILE]]),
        html.note(HOSTILE, HOSTILE),
        html.failed(HOSTILE, HOSTILE),
    ]
    for each in drawn:
        assert "alert" in each
        assert not re.search(r"<script|\{\{|\$\{|`|=\"[^\"]*alert\(\"", each)


def test_every_mask_is_filled_with_its_own_best_word_which_is_marked() -> None:
    masks = [Filled("", {"keeper": 0.5, "man": 0.25}), Filled("", {"##s": 0.5})]
    drawn = FILL_MASK.draw("The [MASK] lit the lamp <mask>.", [Side("starter", BASE, masks)])
    mark = f'<mark style="border-color:{BASE}">'
    assert f'<p class="pg-filled">The {mark}keeper</mark> lit the lamp{mark}s</mark>.</p>' in drawn
    assert 'aria-label="starter, mask 1: keeper 0.500, man 0.250"' in drawn
    assert 'aria-label="starter, mask 2: ##s 0.500"' in drawn


def test_small_probabilities_share_a_scale_that_is_said() -> None:
    sides = [Side("a", BASE, [Filled("", {"x": 0.05})]), Side("b", TUNED, [Filled("", {"x": 0.15})])]
    drawn = FILL_MASK.draw("[MASK]", sides)
    assert html.full_bar(sides) == 0.2
    assert "width:25.00%" in drawn and "width:75.00%" in drawn
    assert "A full bar is 0.2." in drawn


def test_labels_of_two_models_stand_in_the_order_of_the_last() -> None:
    base, tuned = Filled("", {"a": 0.9, "b": 0.1}), Filled("", {"b": 0.8, "a": 0.2})
    drawn = CLASSIFY.draw("", [Side("base", BASE, [base]), Side("tuned", TUNED, [tuned])])
    assert re.findall(r'pg-label">(\w)', drawn) == ["b", "a", "b", "a"]


def said(**scores: float) -> Filled:
    return Filled("", scores)


@pytest.mark.parametrize(
    ("base", "tuned", "sentence"),
    [
        (
            said(delivery=0.61),
            said(delivery=0.97),
            "Both say delivery; the fine-tuned one is surer: 0.970 against 0.610.",
        ),
        (
            said(delivery=0.97),
            said(delivery=0.61),
            "Both say delivery; the base is surer: 0.970 against 0.610.",
        ),
        (said(delivery=0.9), said(delivery=0.90001), "Both say delivery and are equally sure: 0.900."),
        (
            said(billing=0.5),
            said(delivery=0.9),
            "The base says billing (0.500), the fine-tuned one delivery (0.900).",
        ),
    ],
)
def test_the_verdict_says_who_says_what_and_who_is_surer(base: Filled, tuned: Filled, sentence: str) -> None:
    assert CLASSIFY.sentence([base], [tuned]) == sentence


def test_the_verdict_on_several_masks_numbers_them_and_quotes_their_words() -> None:
    base, tuned = [said(sea=0.5), said(log=0.5)], [said(sea=0.5), said(book=0.75)]
    assert FILL_MASK.sentence(base, tuned) == (
        "Mask 1: both say “sea” and are equally sure: 0.500. "
        "Mask 2: the base says “log” (0.500), the fine-tuned one “book” (0.750)."
    )


def test_the_verdicts_on_files() -> None:
    assert compare.right_words(57, 41, 50, 12, 3) == (
        "Of 57 rows the fine-tuned model gets 50 right, the base 41: 12 fixed, 3 broken."
    )
    assert compare.right_words(1, 1, 1, 0, 0) == (
        "Of 1 row the fine-tuned model gets 1 right, the base 1; it fixed none and broke none."
    )


def test_the_metric_table_says_what_is_better_by_words_and_sign() -> None:
    base, tuned = (
        {"loss": 0.5, "accuracy": 0.8, "perplexity": 4.0},
        {"loss": 0.4, "accuracy": 0.7, "perplexity": 4.0},
    )
    drawn = html.metric_table("starter", "mine", base, tuned, "19 rows", True)
    assert re.findall(r"<td title=[^>]+>([^<]+)<span class=\"pg-word\">(\w+)", drawn) == [
        ("−0.100 ", "better"),
        ("−0.100 ", "worse"),
    ]
    assert '<td title="0.0">–</td>' in drawn
    assert "Measured on 19 rows. Base: starter. Fine-tuned: mine." in drawn
    unclear = html.metric_table("starter", "mine", base, tuned, "19 rows", False)
    assert "pg-word" not in unclear and "−0.100" in unclear


def test_a_commit_in_a_models_name_is_cut_to_seven_signs() -> None:
    assert html.short(f"a/b@{'0123456789' * 4}") == "a/b@0123456"
    assert html.short("a/b@main") == "a/b@main" and html.short("starter") == "starter"
