"""The playgrounds' handlers, called directly, on a tiny classifier and a tiny masked language model."""

import html
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pandas as pd
import pytest

from bertspace.errors import DataError, ModelError
from bertspace.files import home
from bertspace.models import comparison, inference
from bertspace.policy import LOCAL, VISITOR, Person
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from bertspace.ui import compare
from bertspace.ui.access import who
from bertspace.ui.frame import errors
from bertspace.ui.models import catalogue, news
from bertspace.ui.models import picker as model_picker
from bertspace.ui.runs import view
from bertspace.ui.tasks import page_of, text_classification
from tests.support.runs import ROWS, make_classifier, make_run, write_events

FILL_MASK, CLASSIFY = page_of("fill-mask"), page_of("text-classification")
LONG = "b" * 300_000


@pytest.fixture
def classifier(tiny_bert: Path) -> str:
    """A run that has learned two labels from a folder's model, at random."""
    return f"run:{make_classifier(tiny_bert, 'parcels', ROWS).id}"


@pytest.fixture
def of_pairs(tiny_bert: Path) -> str:
    rows = ROWS.assign(pair=ROWS["text"].iloc[::-1].tolist())
    return f"run:{make_classifier(tiny_bert, 'pairs', rows, pair_column='pair').id}"


@pytest.fixture
def masked(tiny_bert: Path) -> str:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    rows = pd.DataFrame({"text": ["The keeper walked to the light. He read a story about the storm."]})
    run = make_run(TrainConfig(task="fill-mask", model=str(tiny_bert), chunk_size=16), "stories", rows)
    AutoModelForMaskedLM.from_pretrained(tiny_bert).save_pretrained(run.path / "model")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(run.path / "model")
    return f"run:{run.id}"


# The picker


def test_the_picker_lists_the_starter_and_the_runs_and_says_why_one_does_not_fit(masked: str) -> None:
    waiting = make_run(TrainConfig(), "later", ROWS, status="queued")
    words = {value: words for words, value in catalogue.picker_choices("text-classification", LOCAL)}
    assert set(words) == {"starter", masked, f"run:{waiting.id}"}
    assert words["starter"] == "starter — has no head that classifies yet: fine-tune it first"
    assert words[masked].endswith("— fills masks and does not classify")
    assert words[f"run:{waiting.id}"].endswith("— has no model yet")
    assert catalogue.picker_choices("fill-mask", LOCAL)[0] == ("starter", "starter")


def test_a_run_that_fits_is_listed_with_its_headline_metric(classifier: str) -> None:
    words = dict((value, words) for words, value in catalogue.picker_choices("text-classification", LOCAL))[
        classifier
    ]
    assert words.startswith("parcels · accuracy 0.750 · ")
    assert catalogue.newest_run("text-classification", LOCAL) == classifier
    assert catalogue.newest_run("fill-mask", LOCAL) == ""


def test_what_may_be_typed_as_a_model(classifier: str) -> None:
    for value in (
        "starter",
        classifier,
        "google-bert/bert-base-uncased",
        "bert-base-uncased",
        "a/b@refs/pr/1",
    ):
        assert catalogue.checked_model(f" {value} ", LOCAL) == value


@pytest.mark.parametrize(
    "value", ["", None, "/etc", "~", "../x", "./x", "a/../b", "a/b/c", "run:", "run:../x", "run:none"]
)
def test_typed_text_is_never_a_path_of_the_host(value: str | None) -> None:
    with pytest.raises(ModelError):
        catalogue.checked_model(value, LOCAL)


def test_a_folder_that_looks_like_a_hub_id_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="'owner/name' is no model's name"):
        catalogue.checked_model("owner/name", LOCAL)


@pytest.mark.slow
def test_a_run_is_its_owners_alone(classifier: str, tiny_bert: Path) -> None:
    ada, bob = Person("user", "ada", "ada"), Person("user", "bob", "bob")
    own = make_classifier(tiny_bert, "hers", ROWS, owner="ada")
    value = f"run:ada/{own.id}"
    assert [each for _, each in catalogue.picker_choices("", ada)] == ["starter", value]
    assert catalogue.checked_model(f"run:{own.id}", ada) == catalogue.checked_model(value, ada) == value
    assert inference.predict(value, ["my parcel is late"])[0][0].best in ("delivery", "billing")
    assert comparison.base_of(value) == str(tiny_bert)
    for person in (bob, VISITOR, LOCAL):
        for named in (value, f"run:{own.id}"):
            with pytest.raises(ModelError, match="There is no run"):
                catalogue.checked_model(named, person)
        assert catalogue.known_model(value, person) == ""
    assert catalogue.picker_choices("", VISITOR) == [("starter", "starter")]
    with pytest.raises(ModelError):
        catalogue.checked_model(classifier, ada)


def test_a_half_made_run_does_not_break_the_picker(classifier: str) -> None:
    broken = home() / "local" / "20200101-000000-abcdef"
    broken.mkdir()
    (broken / "state.json").write_text("{")
    assert [value for _, value in catalogue.picker_choices("", LOCAL)] == ["starter", classifier]


def test_examples_are_rows_that_were_not_trained_on_one_of_each_label_first(
    classifier: str, masked: str
) -> None:
    assert [text for text, _ in catalogue.held_out(classifier).examples] == [
        ROWS["text"][n] for n in (0, 1, 2, 3)
    ]
    assert list(catalogue.held_out(masked).examples) == [
        ("The [MASK] walked to the light.", ""),
        ("He read a [MASK] about the storm.", ""),
    ]
    assert catalogue.held_out("starter") == catalogue.HeldOut()


# Fill-mask


def test_held_out_rows_that_were_trained_on_too_are_no_examples_and_are_counted(classifier: str) -> None:
    run = catalogue._run(classifier)
    pd.concat([ROWS.iloc[:1], ROWS.iloc[3:]]).to_parquet(run.path / "data" / "train.parquet")
    assert [text for text, _ in catalogue.held_out(classifier).examples] == [ROWS["text"][n] for n in (1, 2)]
    chips = CLASSIFY.model_changed(classifier, "", "")[3]
    assert chips.label.endswith("(2 of 4 held-out rows stand among the training rows too)")
    summary = compare.compare_own_rows("", classifier)[0]
    assert "validation rows, of which 2 stand among the training rows too" in summary


def test_fill_mask_draws_bars_for_every_mask_and_the_code_for_it(masked: str) -> None:
    panel, command, client, plain = FILL_MASK.answer_beside(
        "The [MASK] saw the [MASK].", masked, 3, False, None
    )
    assert panel.count('role="img"') == 2 and panel.count("pg-label") == 6
    assert command == f"python -m bertspace predict {masked} 'The [MASK] saw the [MASK].' --top-k 3"
    assert f"model='{masked}'" in client and 'api_name="/fill_mask"' in client
    assert f"runs/local/{masked.removeprefix('run:')}/model" in plain
    for code in (client, plain):
        compile(code, "as code", "exec")


def test_fill_mask_draws_the_second_model_in_the_other_colour(masked: str) -> None:
    panel = FILL_MASK.answer_beside("The [MASK].", masked, 3, True, masked)[0]
    assert panel.index("--bs-tuned") < panel.index("--bs-base")


def test_fill_mask_without_a_mask_says_what_to_do() -> None:
    assert (
        "Put a [MASK] into the text" in FILL_MASK.answer_beside("No mask here", "starter", 5, False, None)[0]
    )
    assert "Nothing to guess yet" in FILL_MASK.answer_beside("", "starter", 5, False, None)[0]


def test_fill_mask_shows_an_error_in_its_panel() -> None:
    panel = FILL_MASK.answer_beside("A [MASK].", "../etc", 5, False, None)[0]
    assert "&#39;../etc&#39; is no model&#39;s name." in panel and "bs-problem" in panel


def test_the_fill_mask_endpoint_gives_plain_data(masked: str) -> None:
    (found,) = FILL_MASK.fill("The [MASK] saw.", masked, 2)
    assert list(found) == ["text", "scores"] and len(found["scores"]) == 2


def test_an_endpoint_tells_our_errors_and_lets_others_through(masked: str) -> None:
    with pytest.raises(gr.Error, match="No \\[MASK\\]"):
        FILL_MASK.fill("no mask", masked)

    @errors.show_errors
    def broken() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        broken()


# Classify


def test_classify_draws_every_label(classifier: str) -> None:
    panel, *codes = CLASSIFY.answer("my parcel is late", classifier, "", False)
    assert "delivery" in panel and "billing" in panel and "parcels" in panel
    assert all(codes)


def test_classify_says_calmly_that_there_is_no_classifier_and_how_to_get_one(masked: str) -> None:
    assert "No classifier yet" in CLASSIFY.answer("x", "starter", "", False)[0]
    assert "fills masks and does not classify" in CLASSIFY.answer("x", masked, "", False)[0]
    *_, button = CLASSIFY.model_changed("starter", "", "")
    assert button.visible


def test_choosing_a_model_of_pairs_shows_the_second_text_filled(of_pairs: str) -> None:
    text, pair, two, _, button = CLASSIFY.model_changed(of_pairs, "", "")
    assert (text, pair.value, pair.visible, two.value, button.visible) == (
        "my parcel is late",
        "the price is too big",
        True,
        True,
        False,
    )
    assert "The second text is missing" in CLASSIFY.answer("a text", of_pairs, "", True)[0]
    assert "pg-bars" in CLASSIFY.answer("a text", of_pairs, "another", True)[0]


def test_a_file_comes_back_with_a_label_and_all_scores(classifier: str, tmp_path: Path) -> None:
    file = tmp_path / "mails.csv"
    file.write_text("id,review\n7,my parcel is late\n8,<script>a</script>\n")
    summary, table, download = text_classification.classify_file(str(file), classifier)
    assert "2 rows of mails.csv" in summary and "<script" not in table.value
    written = pd.read_csv(download.value["path"] if isinstance(download.value, dict) else download.value)
    columns = ["id", "review", "row", "predicted_label", "score_billing", "score_delivery"]
    assert list(written) == columns
    assert written["row"].tolist() == [1, 2]
    assert written["id"].tolist() == [7, 8]
    assert np.allclose(written[["score_billing", "score_delivery"]].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\n", "m.csv has no rows below its header"),
        ('id,text\n1,""\n2," "\n', "m.csv has blank texts only"),
    ],
)
def test_a_bad_file_is_told_by_name_and_row(
    content: str, message: str, classifier: str, tmp_path: Path
) -> None:
    file = tmp_path / "m.csv"
    file.write_text(content)
    with pytest.raises(gr.Error, match=message):
        text_classification.classify_file(str(file), classifier)
    with pytest.raises(gr.Error, match="No file is chosen"):
        text_classification.classify_file(None, classifier)


def test_a_model_of_pairs_wants_two_columns(of_pairs: str, tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("text,label\na,b\n")
    with pytest.raises(gr.Error, match="m.csv has no .*which the model was trained on|trained on pairs"):
        text_classification.classify_file(str(file), of_pairs)


def test_blank_rows_of_a_file_are_named_and_have_no_answer(classifier: str, tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text('id,text\n7,late\n8,""\n9,wrong\n')
    summary, _, download = text_classification.classify_file(str(file), classifier)
    assert "2 rows of m.csv" in summary and "1 blank row of m.csv was left out" in summary
    assert "Text: column &#39;text&#39;" in summary
    written = pd.read_csv(download.value["path"] if isinstance(download.value, dict) else download.value)
    assert written["row"].tolist() == [1, 2, 3]
    assert written["predicted_label"].isna().tolist() == [False, True, False]


# Compare


def test_compare_begins_with_the_verdict_and_names_how_the_base_answers(classifier: str) -> None:
    base, text, *_ = compare.model_changed(classifier, "", "")
    panel = compare.answer(text, classifier, base, "")[0]
    assert panel.startswith('<p class="pg-verdict"')
    assert "frozen, with a logistic-regression probe" in panel
    assert panel.index("--bs-base") < panel.index("--bs-tuned")


def test_compare_fills_masks_side_by_side(masked: str) -> None:
    base, text, *_ = compare.model_changed(masked, "a text without", "")
    assert text == "The [MASK] walked to the light."
    assert "Both say “" in compare.answer(text, masked, base, "")[0]


def begin(run: Run, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is at work, and has so many steps behind it."""
    write_events(run, steps, 42)
    run.write_state(RunState(status="running", name=run.name, created=time.time()))
    monkeypatch.setattr(Run, "is_locked", lambda self: True)


def test_an_answer_of_a_model_in_training_says_its_step_and_is_renewed_at_the_end(
    classifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = catalogue._run(classifier)
    renewed = news._renewed("")
    begin(run, 31, monkeypatch)
    before, again = renewed((), classifier, classifier)
    words = "parcels (at step 28 of 42, still training)"  # that of its last epoch
    assert words in CLASSIFY.answer("my parcel", classifier, "", False)[0]
    assert words in compare.answer("my parcel", classifier, "", "")[0]
    summary, _, _, unfinished = compare.compare_own_rows("", classifier)
    assert words in summary and unfinished == "own"
    assert compare.renew_rows(unfinished, None, classifier, "") == (gr.skip(),) * 4
    assert renewed(before, classifier, classifier) == (gr.skip(), gr.skip())

    run.write_state(RunState(status="done", name=run.name, created=time.time()))
    assert renewed(before, classifier, classifier)[1] != again
    assert "training" not in CLASSIFY.answer("my parcel", classifier, "", False)[0]
    summary, _, _, unfinished = compare.renew_rows(unfinished, None, classifier, "")
    assert "accuracy" in summary.lower() and "training" not in summary and unfinished == ""


def test_a_first_training_is_said_to_be_one_and_its_model_is_taken_when_it_is_there(
    classifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = catalogue._run(classifier)
    model = (run.path / "model").rename(run.path / "model-to-come")
    begin(run, 3, monkeypatch)
    found = news.news_of(view.run_at_work())
    assert "being trained" in CLASSIFY.answer("my parcel", "starter", "", False)[0]
    assert "being trained" in compare.answer("my parcel", "", "", "")[0]
    assert "being trained" not in FILL_MASK.answer_beside("a [MASK]", "starter", 5, False, None)[0]

    model.rename(run.path / "model")
    assert news.news_of(view.run_at_work()) != found
    taken = model_picker.chosen_or_newest("text-classification")("starter", None)
    assert taken.value == classifier


def test_compare_without_a_run_says_what_will_be_here() -> None:
    base, text, pair, _, button = compare.model_changed("", "", "")
    assert (base, text, button.visible) == (gr.skip(), gr.skip(), True)
    assert "Nothing to compare yet" in compare.answer("", "", "starter", "")[0]


def test_the_compare_endpoint_takes_the_runs_own_base(classifier: str) -> None:
    found = compare.compare("my parcel is late", classifier)
    assert set(found) == {"verdict", "changed", "base", "tuned"}
    assert set(found["base"][0]["scores"]) == {"delivery", "billing"}


def test_a_held_out_file_gives_metrics_a_verdict_and_all_rows(classifier: str, tmp_path: Path) -> None:
    file = tmp_path / "held.csv"
    file.write_text("text,label\nmy parcel is late,delivery\na refund please,billing\n")
    summary, rows, download, _ = compare.compare_file(str(file), classifier)
    assert "Of 2 rows the fine-tuned model gets" in summary and "Matthews correlation" in summary
    assert "Measured on 2 rows, held.csv." in summary
    assert isinstance(rows.visible, bool)
    path = download.value["path"] if isinstance(download.value, dict) else download.value
    assert list(pd.read_csv(path)) == ["text", "label", "base", "tuned", "verdict"]


def pressed(panel: str, name: str) -> gr.EventData:
    """A click on the panel's button that sets this."""
    found = re.search(rf'data-settings="([^>]*{name}[^>]*)">', html.unescape(panel))
    assert found, panel
    return gr.EventData(None, {"settings": found[1]})


def test_a_refused_file_has_its_ways_out_as_buttons_in_both_tabs(classifier: str, tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_bytes("Objet;label\nthé en retard;delivery\nreçu deux fois;billing\n".encode("cp1252"))
    with pytest.raises(gr.Error, match=r"m\.csv"):
        text_classification.classify_file(str(file), classifier)
    panel = text_classification.why_refused(str(file), classifier)
    read = pressed(panel, "windows-1252")
    summary, table, _, told = text_classification.classify_remedied(str(file), classifier, {}, read)
    assert told == {"encoding": "windows-1252"}
    assert "2 rows of m.csv" in summary and "thé en retard" in table.value

    file.write_text("text,label\nlate,delivery\nwrong,billing\nhere,\n")
    panel = compare.why_refused(str(file), classifier)
    leave_out = pressed(panel, "unlabelled_rows")
    summary, *_, told = compare.compare_remedied(str(file), classifier, "", {}, leave_out)
    assert told == {"unlabelled_rows": "leave out"}
    assert "Measured on 2 rows" in summary and ".." not in summary
    assert text_classification.forget_file()[-1] == compare.forget_file()[-1] == {}


def test_what_was_guessed_of_a_file_can_be_said_otherwise_beside_its_answers(
    classifier: str, tmp_path: Path
) -> None:
    file = tmp_path / "m.csv"
    lines = [f"the parcel of day {day} is late,{'good' if day % 2 else 'bad'}" for day in range(8)]
    file.write_text("\n".join(lines))
    summary, *_ = text_classification.classify_file(str(file), classifier)
    assert "8 rows of m.csv" in summary
    summary, *_, told = text_classification.classify_remedied(
        str(file), classifier, {}, pressed(summary, "header")
    )
    assert told == {"header": "yes"} and "7 rows of m.csv" in summary


def test_the_runs_own_rows_need_no_file(classifier: str) -> None:
    summary, *_ = compare.compare_own_rows("", classifier)
    assert "Measured on 4 rows, the run&#39;s validation rows." in summary


@pytest.mark.parametrize("columns", ["text,label", "label,text", "text1,text2,label", "review,class"])
def test_a_guests_long_row_is_refused_by_its_number_in_every_file(
    columns: str, classifier: str, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WordPiece is cubic in a word's length where the model says so: eight such cells kept everybody out."""
    ada = Person("user", "ada", "ada")
    own = f"run:{make_classifier(tiny_bert, 'hers', ROWS, owner='ada').id}"
    file = tmp_path / "long.csv"
    names = columns.split(",")
    cells = [["delivery" if name in ("label", "class") else text for name in names] for text in ("a", LONG)]
    file.write_text("\n".join(map(",".join, [names, *cells])) + "\n")
    monkeypatch.setattr(who, "person", lambda request: ada)
    for call in (
        lambda: text_classification.classify_file(str(file), own),
        lambda: compare.compare_file(str(file), own),
    ):
        with pytest.raises(gr.Error, match="Row 2 has .*00,000 characters; the limit here is 10,000"):
            call()


def test_a_guests_file_makes_no_more_scores_than_memory_holds(
    classifier: str, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_classifier(tiny_bert, "hers", ROWS, owner="ada")
    config = run.path / "model" / "config.json"
    labels = {str(number): f"label {number}" for number in range(9_000)}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"id2label": labels}))
    file = tmp_path / "many.csv"
    file.write_text("text,label\n" + "a text,delivery\n" * 600)
    monkeypatch.setattr(who, "person", lambda request: Person("user", "ada", "ada"))
    for call in (text_classification.classify_file, compare.compare_file):
        with pytest.raises(gr.Error, match="5,400,000 scores .600 rows by 9,000 labels."):
            call(str(file), f"run:{run.id}")


# As code


@pytest.fixture
def hostile() -> Iterator[str]:
    yield 'it\'s "quoted" \\ $HOME `x`\n[MASK]'


def test_code_is_valid_python_whatever_the_text(hostile: str) -> None:
    for codes in (
        FILL_MASK.code("starter", hostile, "http://x", top_k=5),
        CLASSIFY.code("owner/name@v1", hostile, "http://x", pair=hostile),
        compare.compare_code("owner/name", "run:a", hostile, "", "fill-mask", "http://x"),
        compare.compare_code("starter", "run:a", hostile, hostile, "text-classification", "http://x"),
    ):
        for code in codes[1:]:
            compile(code, "as code", "exec")


def test_the_command_line_takes_the_text_as_one_word(hostile: str) -> None:
    import shlex

    assert shlex.split(CLASSIFY.code("run:a", hostile, "http://x")[0])[3:] == [
        "predict",
        "run:a",
        hostile,
    ]


def test_a_toast_is_escaped_and_an_endpoints_answer_is_plain() -> None:
    def failing() -> None:
        raise DataError("No <b> in it.", hint="Add one.")

    with pytest.raises(gr.Error) as toast:
        errors.show_errors(failing)()
    with pytest.raises(gr.Error) as answer:
        errors.plain_errors(failing)()
    assert (toast.value.message, answer.value.message) == (
        "No &lt;b&gt; in it. Add one.",
        "No <b> in it. Add one.",
    )


def test_an_opened_tab_chooses_the_newest_run_where_nothing_that_fits_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "newest_run", lambda task, person: "run:1")
    monkeypatch.setattr(catalogue, "picker_choices", lambda task, person: [("one", "run:1")])
    chosen = model_picker.chosen_or_newest("text-classification")
    assert chosen("starter", None).value == chosen("", None).value == "run:1"
    assert "value" not in chosen("owner/name", None)  # what was chosen stays
