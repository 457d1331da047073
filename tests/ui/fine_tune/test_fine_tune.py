"""The Fine-tune tab: the form equals the config, the pure drawing, and the handlers on real folders."""

import html
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

from bertspace import data, models, presets, recipes, runs
from bertspace.data import published
from bertspace.drawing.scales import thin, ticks, up_to_tick
from bertspace.errors import BertspaceError, ConfigError, Remedy, RunError
from bertspace.jobs import engine, queue
from bertspace.policy import LOCAL, Limits, Person
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig, TrainEvent
from bertspace.tasks import verdict
from bertspace.ui.access import who
from bertspace.ui.fine_tune import (
    data_step,
    form,
    preview,
    recipe_fold,
    render_data,
    run_step,
    settings_step,
    tab,
)
from bertspace.ui.fine_tune.preview import Lengths, Preview
from bertspace.ui.frame import chart, remedies
from bertspace.ui.frame.chart import Line
from bertspace.ui.runs import render_run
from bertspace.ui.runs.view import RunView, Trail, Trails, view

SUPPORT = Preview(
    "text-classification",
    "sample: Support messages",
    (("train", 165), ("validation", 19)),
    (("Where is it?", "", "delivery"),),
    (("delivery", 90), ("returns", 75)),
    (),
)


@pytest.fixture
def quiet_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Submitted runs stay in the queue: no process is started."""
    monkeypatch.setattr(queue, "start_next", lambda: None)


def form_values(**changed: Any) -> dict[str, Any]:
    """What the form's controls hold when the page opens, as the handlers get it."""
    defaults = {name: form.shown(name, field.default) for name, field in form.FIELDS.items()}
    return {name: value for name, value in defaults.items() if name not in form.NOT_ON_THE_PAGE} | changed


def seen(status: str = "running", **changed: Any) -> RunView:
    trail = Trail()
    for step in range(1, 13):
        loss = round(1.4 - step / 20, 3)
        trail.add(TrainEvent("step", step, 40, step / 10, 2.0 * step, loss, 1e-4, 16 * step))
    trail.add(TrainEvent("base", metrics={"loss": 0.6, "accuracy": 0.8}))
    metrics = {"train_loss": 1.1, "loss": 0.9, "accuracy": 0.9}
    trail.add(TrainEvent("epoch", 10, 40, 1.0, 21.0, metrics=metrics))
    whole = RunView(
        "20260101-000000-abcdef",
        RunState(status=status, name="starter on tea"),
        TrainConfig(),
        {"source": "tea.csv", "rows": {"train": 160, "validation": 20}},
        None,
        trail,
    )
    return replace(whole, **changed)


# The form


def controls_of(app: gr.Blocks, api_name: str) -> list[str]:
    """The names under which an event gets its inputs."""
    return next(each.input_keyword_names for each in app.fns.values() if each.api_name == api_name)


def test_the_form_has_a_control_for_every_setting_but_the_hosts_folder() -> None:
    with gr.Blocks() as app:
        tab.build_train_tab()
    names = set(controls_of(app, "train")) - {"source", "sample"}
    names -= {"publish", "publish_namespace", "publish_name", "publish_private", "publish_when"}
    assert names == {field.name for field in fields(TrainConfig)} - {"data_dir"}


def test_the_untouched_form_gives_the_default_config() -> None:
    assert form.config_of("sample", "office", form_values(), LOCAL) == TrainConfig(dataset="sample:office")


def test_the_form_passes_on_what_is_no_whole_number_to_be_refused() -> None:
    with gr.Blocks():
        seed = form.control("seed").preprocess(1.5)
    with pytest.raises(ConfigError, match="seed is 1.5. Give a whole number."):
        form.config_of("sample", "office", form_values(seed=seed), LOCAL)


def test_only_the_chosen_source_counts() -> None:
    values = form_values(dataset="owner/name", train_split="all", train_file="/tmp/upload/tea.csv")
    assert form.config_of("sample", "pairs", values, LOCAL) == TrainConfig(dataset="sample:pairs")
    assert form.config_of("files", "pairs", values, LOCAL) == TrainConfig(train_file="/tmp/upload/tea.csv")
    assert form.config_of("hub", "pairs", values, LOCAL) == TrainConfig(
        dataset="owner/name", train_split="all"
    )


@pytest.mark.parametrize("source", ["sample", "files", "hub", "disk"])
def test_a_form_without_data_says_where_to_get_some(source: str) -> None:
    with pytest.raises(BertspaceError) as caught:
        form.config_of(source, None, form_values(), LOCAL)
    assert caught.value.hint


def test_the_page_takes_no_folder_of_the_host(tmp_path: Path) -> None:
    values = form_values(data_dir=str(tmp_path))
    assert form.config_of("sample", "office", values, LOCAL).data_dir == ""
    with pytest.raises(BertspaceError):
        form.config_of("sample", "office", form_values(model=str(tmp_path)), LOCAL)


def test_a_value_that_cannot_be_is_told_with_its_name() -> None:
    with pytest.raises(ConfigError, match="epochs"):
        form.config_of("sample", "office", form_values(epochs=None), LOCAL)
    with pytest.raises(ConfigError, match="learning_rate"):
        form.config_of("sample", "office", form_values(learning_rate="fast"), LOCAL)


def test_the_command_line_names_what_differs_from_the_defaults() -> None:
    config = TrainConfig(dataset="sample:office", learning_rate=2e-5, whole_words=True, label_names="a,b c")
    assert form.command(config).split(" \\\n    ") == [
        "python -m bertspace train",
        "--dataset sample:office",
        "--label-names 'a,b c'",
        "--whole-words",
        "--learning-rate 2e-05",
    ]


def test_the_command_line_shows_no_path_of_the_host() -> None:
    assert "--train-file tea.csv" in form.command(TrainConfig(train_file="/tmp/gradio/0a1b/tea.csv"))


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_a_valid_config_and_sets_the_same_fields(name: str) -> None:
    TrainConfig(**presets.settings(name))
    assert presets.settings(name).keys() == presets.settings("quick").keys()


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'slow'") as caught:
        presets.settings("slow")
    assert caught.value.hint == "Choose from: quick, balanced, thorough."


@pytest.mark.parametrize("name", recipes.NAMES)
def test_every_recipe_shows_its_figures_and_needs(name: str) -> None:
    about = recipes.describe(name)
    shown = recipe_fold.describe(about)
    assert shown.count("<tr>") == len(recipe_fold.figure_rows(about["figures"])) + bool(about["figures"])
    assert "Its data: " in shown


def test_figures_of_several_epochs_are_one_row() -> None:
    figures = [
        {"metric": "loss", "split": "train", "epoch": n, "value": v, "source": "S"}
        for n, v in ((1, 0.5), (2, 0.3))
    ]
    figures.append({"metric": "accuracy", "split": "validation", "value": 84.0, "to": 88.0, "source": "S"})
    assert recipe_fold.figure_rows(figures) == [
        ("Loss, train, by epoch", "0.5, 0.3", "S"),
        ("Accuracy, validation", "84 to 88", "S"),
    ]


# Data


def test_columns_are_guessed_for_new_data_and_kept_for_known_data() -> None:
    columns = ["text", "pair", "label"]
    chosen = {"text_column": "text", "pair_column": "", "label_column": "gone"}
    task = "text-classification"
    assert preview.pick(columns, task, chosen, fresh=True) == {
        "text_column": "text", "pair_column": "pair", "label_column": "label",
    }  # fmt: skip
    assert preview.pick(columns, task, chosen, fresh=False) == {
        "text_column": "text", "pair_column": "", "label_column": "label",
    }  # fmt: skip


def test_reading_a_sample_shows_its_rows_then_its_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "measure", lambda model, rows: Lengths((5, 9), model))
    with gr.Blocks():
        step = replace(data_step.build_data_step(), task=gr.Radio())
    first, second = data_step.read(step, form_values(source="sample", sample="office"), LOCAL, fresh=True)
    assert first[step.task] == "text-classification"
    assert first[step.preview].labels[0][1] > 30
    assert "Counting tokens" in first[step.shown]
    assert second[step.lengths] == Lengths((5, 9), "starter")


def test_what_is_wrong_with_a_file_is_shown_and_its_columns_can_be_picked(tmp_path: Path) -> None:
    file = tmp_path / "tea.csv"
    file.write_text("a,b,c\nfoo,1,x\nbar,2,y\n", encoding="utf-8")
    with gr.Blocks():
        step = replace(data_step.build_data_step(), task=gr.Radio())
    values = form_values(source="files", sample=None, train_file=str(file))
    (update,) = data_step.read(step, values, LOCAL, fresh=True)
    assert "tea.csv" in update[step.problem]
    assert update[step.controls["label_column"]]["choices"] == ["a", "b", "c"]


def test_a_file_that_cannot_be_read_leaves_no_columns_of_another(tmp_path: Path) -> None:
    file = tmp_path / "tea.csv"
    file.write_bytes("text,label\nThé,à\n".encode("latin-1"))
    with gr.Blocks():
        step = replace(data_step.build_data_step(), task=gr.Radio())
    values = form_values(source="files", sample=None, train_file=str(file))
    (update,) = data_step.read(step, values, LOCAL, fresh=True)
    assert "tea.csv" in update[step.problem]
    assert not update[step.columns].visible
    assert update[step.more].visible  # how a file is to be read can be said there


def test_a_way_out_is_a_button_that_sets_the_form_and_reads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "measure", lambda model, rows: Lengths((5, 9), model))
    file = tmp_path / "tea.csv"
    file.write_bytes(b"text,label\n" + "Thé à la menthe,green\nThé noir,black\n".encode("cp1252") * 20)
    with gr.Blocks():
        step = replace(data_step.build_data_step(), task=gr.Radio())
    values = form_values(source="files", sample=None, train_file=str(file))
    (update,) = data_step.read(step, values, LOCAL, fresh=True, overrides=data_step.data_defaults(values))
    panel = html.unescape(update[step.problem])
    settings = re.search(r'data-settings="([^>]*encoding[^>]*windows-1252[^>]*)">', panel)[1]

    overrides, fresh = data_step.remedied(gr.EventData(None, {"settings": settings}))
    assert (overrides, fresh) == ({"encoding": "windows-1252"}, True)
    update, _ = data_step.read(step, values, LOCAL, fresh=fresh, overrides=overrides)
    assert update[step.problem] == ""
    assert update[step.controls["encoding"]]["value"] == "windows-1252"
    assert "Thé à la menthe" in update[step.shown]


def test_columns_found_by_what_is_in_them_are_chosen_and_those_of_the_next_file_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "measure", lambda model, rows: Lengths((5, 9), model))
    rows = [(f"the tea of day {day} was warm and sweet", "good" if day % 2 else "bad") for day in range(40)]
    (tmp_path / "a.csv").write_text("".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
    (tmp_path / "b.csv").write_text("".join(f"{label},{text}\n" for text, label in rows), encoding="utf-8")
    with gr.Blocks():
        step = replace(data_step.build_data_step(), task=gr.Radio())
    values = form_values(source="files", sample=None)
    for file, columns in (("a.csv", ("column 1", "column 2")), ("b.csv", ("column 2", "column 1"))):
        values["train_file"] = str(tmp_path / file)
        update, _ = data_step.read_new(step, values, LOCAL)
        chosen = {name: update[step.controls[name]]["value"] for name in ("text_column", "label_column")}
        assert chosen == dict(zip(chosen, columns, strict=True))
        assert update[step.preview].labels == (("bad", 18), ("good", 18))
        values |= chosen


def test_what_was_said_of_one_file_is_not_said_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "measure", lambda model, rows: Lengths((5, 9), model))
    file = tmp_path / "tea.csv"
    file.write_text("text,label\n" + "mint,0\nblack,1\n" * 20, encoding="utf-8")
    with gr.Blocks():
        step = replace(data_step.build_data_step(), task=gr.Radio())
    values = form_values(source="files", sample=None, train_file=str(file))
    values |= {"label_names": "spam,ham", "header": "no", "validation_share": 0.4, "max_train_rows": 30}
    overrides = data_step.data_defaults(values)
    update, _ = data_step.read(step, values, LOCAL, fresh=True, overrides=overrides)
    assert "spam" not in update[step.shown]
    assert {step.controls[name] for name in overrides} <= update.keys()
    assert update[step.controls["label_names"]] == {"__type__": "update", "value": "", "visible": True}
    assert update[step.controls["validation_share"]]["value"] == 0.1
    assert "max_train_rows" not in overrides


@pytest.mark.parametrize(
    "sent", [None, "", "[", "[1]", '{"data_dir": "/etc", "train_file": "x", "header": 5}', "[" * 9_000]
)
def test_a_button_sets_nothing_but_texts_of_the_settings_that_it_may(sent: str | None) -> None:
    assert data_step.remedied(gr.EventData(None, {"settings": sent})) == ({}, False)


def test_what_is_chosen_already_is_not_offered_again() -> None:
    offered = (Remedy("No header", (("header", "no"),)), Remedy("By title", (("text_column", "title"),)))
    assert remedies.open_to(offered, TrainConfig(header="no")) == offered[1:]
    assert remedies.draw(()) == ""


@pytest.mark.parametrize(
    ("columns", "chosen", "task"),
    [
        (["text"], "text-classification", "fill-mask"),
        (["text", "label"], "fill-mask", "text-classification"),  # after a text alone
        (["a", "b"], "fill-mask", "fill-mask"),
    ],
)
def test_the_task_is_guessed_from_the_columns(columns: list[str], chosen: str, task: str) -> None:
    assert preview.guess_task(TrainConfig(task=chosen), columns) == task


def test_lengths_are_counted_with_the_models_own_tokenizer(tiny_bert: Path) -> None:
    import pandas as pd

    assert preview.measure(str(tiny_bert), pd.DataFrame({"text": ["the sea", "the red sea ."]})).tokens == (
        4,
        6,
    )


def test_a_model_that_is_not_there_does_not_hide_the_rows() -> None:
    import pandas as pd

    found = preview.measure("run:nothing", pd.DataFrame({"text": ["the sea"]}))
    assert found.tokens == () and "run" in found.problem
    assert "They cannot be counted" in render_data.draw_preview(SUPPORT, found, TrainConfig())


def test_the_share_of_cut_texts_is_said_with_its_n() -> None:
    lengths = Lengths((4, 8, 12, 16))
    assert (
        render_data.cut_words(lengths, 8) == "50 % of 4 texts are longer than 8 tokens and will be cut there."
    )
    assert render_data.cut_words(lengths, 16) == "No text of 4 is longer than 16 tokens; the longest has 16."


def test_the_histogram_has_every_text_once_and_a_line_at_the_limit() -> None:
    drawn = chart.histogram("Lengths", [3, 3, 30, 60], 48, "note")
    counts = [int(found) for found in re.findall(r"tokens: (\d+)", drawn)]
    assert sum(counts) == 4
    assert 'class="bs-limit"' in drawn and 'class="bs-cut"' in drawn


def test_texts_are_escaped_also_for_the_pages_template_language() -> None:
    nasty = "<b>${x}</b> {{y}} `z`"
    drawn = render_data.rows_table(replace(SUPPORT, rows=((nasty, "", "<i>"),)))
    assert "<b>" not in drawn and "${" not in drawn and "{{" not in drawn and "<i>" not in drawn


# Charts


def test_long_curves_are_thinned_to_the_means_of_their_stretches() -> None:
    points = [(float(x), float(x)) for x in range(1000)]
    thinned = thin(points, 10)
    assert thinned == tuple((100 * n + 49.5, 100 * n + 49.5) for n in range(10))
    assert thin(points[:10], 10) == tuple(points[:10])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 88, [0, 20, 40, 60, 80]),
        (0.62, 0.86, [0.65, 0.7, 0.75, 0.8, 0.85]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_and_within(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_a_chart_without_points_says_so() -> None:
    assert "Drawn from the first step on" in chart.chart("Loss", [], x_name="step", x_range=(0, 1))


def test_a_chart_spans_its_box_from_side_to_side() -> None:
    line = Line("training", ((0.0, 0.0), (10.0, 1.0)), "quiet")
    drawn = chart.chart("Loss", [line], x_name="step", x_range=(0, 10), floor=0)
    assert 'd="M0.0 1000.0L1000.0 0.0"' in drawn
    assert 'aria-label="Loss. training: now 1.00."' in drawn


def labels(drawn: str, axis: str) -> list[float]:
    return [float(found) for found in re.findall(rf'<text class="bs-{axis}"[^>]*>([^<]*)<', drawn)]


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [
        (0.0343, 1.1, [0, 0.5, 1, 1.5]),
        (4.2, 4.9, [4.2, 4.4, 4.6, 4.8, 5]),  # as of fill-mask: from 0 on it would be a line without a shape
        (2.0, 4.0, [0, 1, 2, 3, 4]),
        (0.0, 0.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_the_losses_fill_their_chart_under_a_tick(
    lowest: float, highest: float, expected: list[float]
) -> None:
    line = Line("training", ((1.0, highest), (10.0, lowest)), "quiet")
    drawn = chart.chart("Loss", [line], x_name="step", x_range=(0, 10), floor=0)
    assert labels(drawn, "y") == expected


def test_what_is_counted_has_whole_ticks() -> None:
    line = Line("fine-tuned", ((1.0, 0.5),), "tuned", "dots")
    for last, expected in [(1, [0, 1]), (2.5, [0, 1, 2]), (8, [0, 2, 4, 6, 8])]:
        assert labels(chart.chart("MCC", [line], x_name="epoch", x_range=(0, last)), "x") == expected


@pytest.mark.parametrize("bounds", [(0.0, 1e-7), (-3.2, 0.4), (85.1, 91.9), (0.0, 1.0), (1e5, 1.1e5)])
def test_the_top_is_the_first_tick_that_holds_all(bounds: tuple[float, float]) -> None:
    low, high = bounds
    top = up_to_tick(low, high)
    assert top >= high and ticks(low, top)[-1] == pytest.approx(top)


# Runs


def test_the_live_view_says_step_time_and_both_values() -> None:
    drawn = render_run.draw_run(seen())
    assert "Step 12 of 40 · Training · about 56 s left" in drawn
    assert "0.900" in drawn and "0.800" in drawn
    assert "95 %: 0.699 to 0.972" in drawn


def test_a_done_run_says_what_was_learned_in_the_core_s_words() -> None:
    truth = np.arange(20) % 2
    tables = [
        {"probabilities": np.eye(2)[guesses], "label": truth, "loss": np.zeros(20)}
        for guesses in (truth, np.zeros(20, dtype=int))
    ]
    found = verdict.of_labels("accuracy", *tables, ("a", "b"), split="validation")
    result = {
        "headline": "accuracy", "base": {"validation": {"accuracy": 0.5}}, "best_step": 10,
        "validation": {"accuracy": 1.0}, "test": None, "rows": {"validation": 20},
        "verdict": found.to_dict(), "kept": "The model is that of epoch 1.", "hints": ["Try more."],
    }  # fmt: skip
    told = render_run.learned(seen("done", result=result))
    assert told == f"After 160 rows of tea.csv. {found.words} The model is that of epoch 1. Try more."
    assert "Fine-tuning helped: accuracy 1.000 on 20 validation rows, against 0.500 for" in told
    assert "Only 20 rows were measured" in told


def test_a_run_of_an_earlier_version_says_its_figures_and_no_verdict() -> None:
    result = {
        "headline": "accuracy", "base": {"validation": {"accuracy": 0.8}}, "best_step": 10,
        "validation": {"accuracy": 0.9}, "test": None, "rows": {"validation": 20},
    }  # fmt: skip
    told = render_run.learned(seen("done", result=result))
    assert "Accuracy 0.900 on 20 validation rows, against 0.800 for a probe on the frozen base." in told
    assert "helped" not in told and "chance is not known" in told


def test_masks_are_scored_on_chunks_before_and_after_the_result() -> None:
    result = {
        "headline": "perplexity", "base": {"validation": {"perplexity": 100.0}}, "rows": {"validation": 27},
        "validation": {"perplexity": 50.0},
    }  # fmt: skip
    config = TrainConfig(task="fill-mask")
    assert render_run.held_out(seen(config=config)) == "validation chunks"
    assert render_run.held_out(seen("done", config=config, result=result)) == "27 validation chunks"
    lines = replace(config, chunk_size=0)
    assert render_run.held_out(seen(config=lines)) == "20 validation texts"


def test_a_failed_run_says_what_to_do() -> None:
    state = RunState(status="failed", name="x", message="No column <b>", hint="Pick one.")
    drawn = render_run.draw_run(seen("failed", state=state))
    assert "No column &lt;b&gt;" in drawn and "Pick one." in drawn


def test_the_table_has_the_base_and_a_row_an_epoch() -> None:
    table = render_run.epoch_table(seen())
    assert table.count("<tr") == 3
    assert "1.10" in table and "0.600" in table


def test_the_table_tells_the_headline_before_the_losses() -> None:
    columns = re.findall(r'<th scope="col">([^<]*)<', render_run.epoch_table(seen()))
    assert columns[:4] == ["Epoch", "Accuracy", "Training loss", "Validation loss"]
    assert len(set(columns)) == len(columns)
    by_loss = render_run.epoch_table(seen(config=TrainConfig(best_metric="loss")))
    assert re.findall(r'<th scope="col">([^<]*)<', by_loss)[1:4] == columns[2:4] + columns[1:2]


def test_the_metrics_axis_has_the_epochs_to_come() -> None:
    before = seen(trail=replace(seen().trail, epochs=[]), config=TrainConfig(epochs=4))
    assert labels(render_run.metric_chart(before), "x") == [0, 1, 2, 3, 4]
    assert labels(render_run.metric_chart(seen()), "x") == [0, 1, 2, 3, 4]  # 10 of 40 steps an epoch
    assert labels(render_run.metric_chart(seen("stopped")), "x") == [0, 1]


def test_a_trail_reads_only_what_is_new(home: Path) -> None:
    run, trails = Run.create(TrainConfig()), Trails()
    run.append(TrainEvent("step", 1, 10, loss=1.0, seconds=1.0))
    first = trails.follow(run).offset
    run.append(TrainEvent("step", 2, 10, loss=0.5, seconds=2.0))
    trail = trails.follow(run)
    assert trail.losses == [(1, 1.0), (2, 0.5)] and trail.offset > first
    assert trail.seconds_left() == 8.0


# Handlers


def test_start_queues_the_run_and_returns_its_id(home: Path, quiet_queue: None) -> None:
    run_id, problem = tab.start("sample", "office", **form_values(max_steps=2))
    assert problem == ""
    run = runs.find(run_id)
    assert (run.state().status, run.config().max_steps) == ("queued", 2)
    assert view(run_id).position == 1


def test_a_guests_run_carries_its_bounds_and_the_owners_has_none(
    home: Path, quiet_queue: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits()
    for person, bounds in (
        (LOCAL, (0, 0, 0)),
        (Person("user", "ada", "ada"), (limits.minutes, limits.memory_bytes, limits.stored_bytes)),
    ):
        monkeypatch.setattr(who, "person", lambda request, person=person: person)
        run_id, problem = tab.start("sample", "office", **form_values(max_steps=2))
        state = runs.find(run_id, person.owner).state()
        assert (problem, (state.minutes, state.memory_bytes, state.stored_bytes)) == ("", bounds)


def test_a_runs_settings_fill_the_form(home: Path) -> None:
    names = ["task", "model", "dataset", "epochs", "learning_rate"]
    values = {"task": "fill-mask", "model": "starter", "epochs": 2.0, "learning_rate": None}
    skip = gr.skip()
    assert tab.copied(values, names) == [skip, skip, "fill-mask", "starter", skip, 2.0, ""]
    sample = tab.copied(values | {"dataset": "sample:office"}, names)
    assert sample[:5] == ["sample", "office", "fill-mask", "starter", skip]
    hub = tab.copied(values | {"dataset": "owner/name"}, names)
    assert (hub[0], hub[1], hub[4]) == ("hub", skip, "owner/name")


def test_the_rate_that_is_taken_where_none_is_filled_in_follows_lora(tiny_bert: Path) -> None:
    run = Run.create(TrainConfig(), name="tea")
    shutil.copytree(tiny_bert, run.path / "model")
    words = [
        settings_step.own_rate("text-classification", f"run:{run.id}", rank, None).placeholder
        for rank in (0, 8)
    ]
    rates = [
        models.default_learning_rate(models.locate(f"run:{run.id}"), "text-classification", rank)
        for rank in (0, 8)
    ]
    assert words == [f"the model's own: {rate:g}" for rate in rates] and rates[0] < rates[1]
    assert settings_step.own_rate("fill-mask", "who/knows", 0, None).placeholder == "the model's own"


def test_a_metric_that_the_other_task_has_too_stays_chosen() -> None:
    assert settings_step._fits_task("fill-mask", "loss")[0].value == "loss"
    assert settings_step._fits_task("fill-mask", "accuracy")[0].value in ("", "accuracy")
    assert settings_step._fits_task("text-classification", "perplexity")[0].value == ""


def test_start_without_data_says_so_and_keeps_nothing(home: Path) -> None:
    _, problem = tab.start("sample", None, **form_values())
    assert "No data is chosen." in problem
    assert runs.list_runs() == []


def test_the_view_is_drawn_once_and_then_left_alone(home: Path, quiet_queue: None) -> None:
    run_id, _ = tab.start("sample", "office", **form_values())
    drawn = run_step.refresh(run_id, ())
    assert "It starts next." in drawn[0] and run_id in drawn[-2]
    again = run_step.refresh(run_id, drawn[-1])
    assert all(update == gr.skip() for update in again)


def test_a_stopped_queued_run_can_be_deleted(home: Path, quiet_queue: None) -> None:
    run_id, _ = tab.start("sample", "office", **form_values())
    run_step.stop(run_id)
    assert run_step.show_run(run_id)["status"] == "stopped"
    assert run_step.list_runs()[0]["seconds"] == 0.0
    assert run_step.remove(run_id) == ""
    assert run_step.list_runs() == []


def test_a_path_is_no_run(home: Path, tmp_path: Path, quiet_queue: None) -> None:
    config = TrainConfig(dataset="sample:office")
    engine.submit(config, folder=tmp_path / "mine", splits=data.load_splits(config))
    for name in (str(tmp_path / "mine"), "../local", "", "."):
        with pytest.raises(RunError):
            view(name)


def test_what_a_run_will_take_stands_under_the_settings_once_the_rows_are_measured(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertspace.training import forecast

    asked: list[TrainConfig] = []

    def estimate(config: TrainConfig, splits: data.Splits, lengths: Any) -> forecast.Forecast:
        asked.append(config)
        return forecast.Forecast(len(splits.train) * config.epochs / 10, int(1.3e9))

    monkeypatch.setattr(forecast, "estimate", estimate)
    values = form_values(text_column="text", label_column="label", epochs=4)
    lengths = Lengths((9, 12, 30), "starter")
    said = tab.foresee("sample", "office", lengths, **values)
    assert re.sub("<[^>]+>", "", said) == "Forecast: about 1 min 37 s, 1.3 GB of memory"
    assert tab.foresee("sample", "office", None, **values) == ""
    assert tab.foresee("sample", "office", lengths, **values | {"model": "owner/name"}) == ""
    assert tab.foresee("sample", "office", lengths, **values | {"epochs": -1}) == ""
    assert len(asked) == 1


def test_the_same_upload_is_read_once(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = []
    real = data.load_splits
    monkeypatch.setattr(data, "load_splits", lambda config: count.append(1) or real(config))
    config = TrainConfig(dataset="sample:pairs", seed=77)
    for epochs in (1, 2, 3):
        preview.load(replace(config, epochs=epochs))
    assert len(count) == 1
    preview.load(replace(config, validation_share=0.2))
    assert len(count) == 2


def test_choosing_other_columns_reads_the_file_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "notes.csv"
    file.write_text("text,title,label\n" + "the lamp,a note,x\nthe sea,a word,y\n" * 8)
    read = []
    part = published.training_part
    monkeypatch.setattr(
        published, "training_part", lambda config: read.append(config.train_file) or part(config)
    )
    for column in ("text", "title", "text"):
        config = TrainConfig(train_file=str(file), text_column=column)
        assert preview.columns_of(config) == ["text", "title", "label"]
    assert read == [str(file)]
