"""Runs on the page: following events of any length, what each state shows, what can be done with a run."""

import json
import re
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertspace import runs
from bertspace.errors import ForbiddenError, RunError
from bertspace.jobs import queue
from bertspace.policy import Person
from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.ui.access import who
from bertspace.ui.fine_tune import run_step
from bertspace.ui.runs import care, more_fold, render_pair, render_run, view
from bertspace.ui.runs.trail import MAX_POINTS, Trail, Trails
from bertspace.ui.runs.view import RunLine, run_lines
from tests.support import runs as made_runs
from tests.support.runs import made_run, out_of_memory

BUTTONS = ("example", "go_on", "try_it", "compare", "publish", "resume", "stop", "pause", "front")
BUTTONS += ("more", "log")
HOSTILE = '<script>alert("1")</script> {{value}} ${1} `x`'


@pytest.fixture(autouse=True)
def quiet_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs stay in the queue: no process is started."""
    monkeypatch.setattr(queue, "start_next", lambda: None)


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that says that it is running has a worker."""
    monkeypatch.setattr(Run, "is_locked", lambda self: '"running"' in (self.path / "state.json").read_text())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of files that the page serves."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def drawn(run: Run | None, seen: tuple[object, ...] = (), words: str = "") -> dict[str, Any]:
    """What a look at the run gives, by name."""
    names = ("live", "published", "curves", *BUTTONS, "log_text", "filter", "list", "seen")
    return dict(zip(names, run_step.refresh(run.id if run else "", seen, words), strict=True))


def buttons(look: dict[str, Any]) -> dict[str, str]:
    """The buttons that are to be seen, and what they say where that changes."""
    shown = {name: look[name] for name in BUTTONS[1:9] if look[name].visible}
    return {name: button.value if button.value != "Run" else "" for name, button in shown.items()}


# Following events


def written(steps: int, total: int) -> Run:
    run = Run.create(TrainConfig())
    made_runs.write_events(run, steps, total)
    return run


def test_of_few_steps_every_one_is_a_point(home: Path) -> None:
    trail = Trails().follow(written(200, 300))
    assert [step for step, _ in trail.losses] == list(range(1, 201))
    assert (trail.step, trail.total_steps, len(trail.epochs)) == (200, 300, 2)
    assert trail.base["accuracy"] == 0.79 and trail.forecast["memory_bytes"] == 1.3e9
    assert (trail.message, trail.seconds_left()) == ("Training", 50.0)


@pytest.mark.slow
def test_of_many_steps_the_curve_has_few_points_in_order_and_all_epochs_are_there(home: Path) -> None:
    run = written(20_000, 20_000)
    trail = Trails().follow(run)
    steps = [step for step, _ in trail.losses]
    assert MAX_POINTS / 3 < len(steps) <= MAX_POINTS
    assert steps == sorted(steps) and steps[0] < 100 and steps[-1] > 19_900
    losses = {event.step: event.loss for event in run.events()[0] if event.kind == "step"}
    # A point is a mean of neighbours: of the sine on top at most its height is left.
    assert all(abs(loss - (losses[round(step)] or 0)) < 0.11 for step, loss in trail.losses)
    assert [event.step for event in trail.epochs] == [6666, 13332, 19998]
    assert (trail.step, trail.seconds_left()) == (20_000, 0.0)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.lists(st.integers(0, 200_000), max_size=6))
def test_however_often_it_is_looked_at_a_run_looks_the_same(cuts: list[int]) -> None:
    run = written(700, 900)
    whole = (run.path / "events.jsonl").read_bytes()
    followed = Trails()
    for cut in sorted(cuts):
        (run.path / "events.jsonl").write_bytes(whole[:cut])
        followed.follow(run)
    (run.path / "events.jsonl").write_bytes(whole)
    trail, fresh = followed.follow(run), Trails().follow(run)
    assert (trail.offset, trail.before, trail.step, trail.epochs) == (
        fresh.offset, fresh.before, fresh.step, fresh.epochs,
    )  # fmt: skip
    assert (trail.base, trail.forecast, trail.seconds_left()) == (fresh.base, fresh.forecast, 100.0)
    assert trail.curve.width == fresh.curve.width and trail.curve.sums.keys() == fresh.curve.sums.keys()


def test_a_run_that_was_resumed_from_a_checkpoint_is_read_anew(home: Path) -> None:
    run, trails = written(100, 200), Trails()
    old = trails.follow(run)
    lines = (run.path / "events.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line).get("step", 0) <= 50]
    again = [line.replace('"loss": ', '"loss": 1') for line in lines if json.loads(line).get("step", 0) > 50]
    (run.path / "events.jsonl").write_text("".join(kept + again))  # as a rename would have it, and longer
    new = trails.follow(run)
    assert new.losses[:50] == old.losses[:50]
    assert all(
        after >= 10 > before for (_, after), (_, before) in zip(new.losses[50:], old.losses[50:], strict=True)
    )
    (run.path / "events.jsonl").write_text("".join(kept))
    assert trails.follow(run).step == 50
    (run.path / "events.jsonl").unlink()
    assert trails.follow(run) == Trail()


def test_half_a_line_waits_for_its_end_and_a_garbled_one_is_passed_over(home: Path) -> None:
    run, trails = written(3, 9), Trails()
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"kind": "step", "step": 4, "total')
    assert trails.follow(run).step == 3
    with (run.path / "events.jsonl").open("a") as file:
        file.write('_steps": 9, "loss": 0.5}\n{"kind": "st\n{"kind": "step", "step": 5, "loss": 0.4}\n')
    assert trails.follow(run).losses[-2:] == [(4, 0.5), (5, 0.4)]


def test_the_time_left_does_not_count_the_pause_before_a_resume(home: Path) -> None:
    run = written(10, 20)
    run.append(TrainEvent("step", 11, 20, seconds=3.0, loss=1.0))
    run.append(TrainEvent("step", 12, 20, seconds=3.5, loss=1.0))
    assert Trails().follow(run).seconds_left() == 4.0


def test_what_a_look_was_given_does_not_change_when_the_run_goes_on(home: Path) -> None:
    run, trails = written(5, 9), Trails()
    before = trails.follow(run)
    run.append(TrainEvent("step", 6, 9, loss=1.0))
    trails.follow(run)
    assert (before.step, len(before.losses)) == (5, 5)


def test_only_the_trails_last_looked_at_are_kept(home: Path) -> None:
    trails = Trails(kept=2)
    for _ in range(4):
        trails.follow(written(3, 9))
    assert len(trails.trails) == 2


@pytest.mark.slow
def test_a_run_of_100000_events_is_drawn_as_fast_as_a_new_one(
    home: Path, working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = made_run("running", steps=100_000, total=120_000)
    new = made_run("running", steps=100, total=120)
    seconds: dict[str, list[float]] = {}
    for name, run in (("long", long), ("new", new)) * 3:
        monkeypatch.setattr(view, "_TRAILS", Trails())  # as in a process that was just started
        begin = time.thread_time()  # what others do on this machine does not count
        look = drawn(run)
        seconds.setdefault(f"first look, {name}", []).append(time.thread_time() - begin)
        assert "</svg>" in look["curves"]
        run.append(TrainEvent("step", 100_001, 120_000, 3.0, 60_000.0, 0.1, 1e-4, 16, 400))
        begin = time.thread_time()
        assert "Step 100,001 of 120,000" in drawn(run, look["seen"])["live"]
        seconds.setdefault(f"poll, {name}", []).append(time.thread_time() - begin)
    best = {name: min(each) for name, each in seconds.items()}
    assert best["first look, long"] < best["first look, new"] + 0.1, best
    assert best["poll, long"] < best["poll, new"] + 0.02, best


def test_a_long_run_takes_little_memory_and_little_to_send(
    home: Path, working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made_run("running", steps=30_000, total=30_000)
    monkeypatch.setattr(view, "_TRAILS", Trails())
    drawn(run)  # what is imported at the first look
    monkeypatch.setattr(view, "_TRAILS", Trails())
    tracemalloc.start()
    look = drawn(run)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6e6
    assert sum(len(look[name]) for name in ("live", "curves", "log_text", "list")) < 30_000


def test_a_thousand_epochs_are_a_short_table_and_a_drawable_curve(home: Path) -> None:
    run = made_run("done", steps=10, total=10)
    for epoch in range(1, 1001):
        run.append(TrainEvent("epoch", 10 * epoch, 10_000, epoch, metrics={"loss": 0.5, "accuracy": 0.9}))
    look = drawn(run)
    assert "the last 30 of 1,003 epochs" in look["curves"]
    assert look["curves"].count("<tr") == 33  # the head, the base, the kept one and the last 30
    assert len(look["curves"]) < 60_000


# What is sent


def test_only_what_changed_is_sent(home: Path, working: None) -> None:
    run = made_run("running", steps=20)
    first = drawn(run)
    assert all(update == gr.skip() for update in drawn(run, first["seen"]).values())
    run.append(TrainEvent("status", 20, 42, message="Scoring the validation rows"))
    look = drawn(run, first["seen"])
    changed = {name for name, update in look.items() if update != gr.skip()}
    assert changed == {"live", "seen"}
    with (run.path / "log.txt").open("a") as log:
        log.write("one line more\n")
    later = drawn(run, look["seen"])
    assert {name for name, update in later.items() if update != gr.skip()} == {"log_text", "seen"}
    assert "one line more" in later["log_text"] and "line 1\n" not in later["log_text"]


# The states


def test_a_waiting_run_says_its_place_and_can_be_moved_or_withdrawn(home: Path) -> None:
    first, second = (made_run("queued", place=time.time() + n) for n in range(2))
    assert "It starts next." in drawn(first)["live"]
    assert buttons(drawn(first)) == {"stop": "Withdraw"}
    assert "2nd in the queue" in drawn(second)["live"]
    assert set(buttons(drawn(second))) == {"stop", "front"}
    care.to_front(second.id)
    assert "It starts next." in drawn(second)["live"] and "2nd in the queue" in drawn(first)["live"]
    care.stop(second.id)
    assert second.state().status == "stopped"
    assert buttons(drawn(second)) == {"resume": "Resume from the beginning"}


def test_a_run_at_work_says_its_forecast_and_can_be_stopped_or_paused(home: Path, working: None) -> None:
    run = made_run("running", steps=20)
    look = drawn(run)
    assert "Step 20 of 42 · Training · about 11 s left" in look["live"]
    assert "Forecast: about 21 s, 1.3 GB" in look["live"]
    assert buttons(look) == {"stop": "Stop and keep", "pause": ""}
    care.pause(run.id)
    asked = drawn(run)
    assert "Pausing: the step is finished" in asked["live"] and "left" not in asked["live"]
    assert not asked["pause"].interactive and asked["stop"].interactive
    care.stop(run.id)
    asked = drawn(run)
    assert "Stopping: the step is finished" in asked["live"] and not asked["stop"].interactive


@pytest.mark.parametrize("status", ["paused", "interrupted", "failed", "stopped"])
def test_a_run_that_ended_early_goes_on_from_its_checkpoint_or_the_beginning(home: Path, status: str) -> None:
    kept = made_run("running" if status == "interrupted" else status, steps=20, checkpoint=14)
    assert buttons(drawn(kept)) == {"resume": "Resume from step 14"}
    bare = made_run("running" if status == "interrupted" else status, steps=3)
    assert buttons(drawn(bare)) == {"resume": "Resume from the beginning"}
    care.resume(kept.id)
    assert kept.state().status == "queued"


def test_a_stopped_run_with_a_model_is_tried_first(home: Path) -> None:
    run = made_run("stopped", steps=20, checkpoint=20)
    made_runs.finish(run, 20)
    look = drawn(run)
    assert set(buttons(look)) == {"try_it", "compare", "publish", "resume"}
    assert look["resume"].variant == "secondary"


def test_a_done_run_can_be_tried_compared_and_published(home: Path) -> None:
    assert set(buttons(drawn(made_run("done", steps=42)))) == {"try_it", "compare", "publish"}


def test_after_memory_ran_out_one_click_goes_on_with_what_fits(home: Path) -> None:
    run = out_of_memory()
    look = drawn(run)
    assert set(buttons(look)) == {"go_on", "resume"}
    assert "Memory ran out at the longest batch" in look["live"]
    assert (
        "These settings would fit: batch size 8 instead of 32, gradient accumulation 4 instead of 1, "
        "still 32 rows a step." in look["live"]
    )
    care.go_on(run.id)
    assert (run.state().status, run.config().batch_size, run.config().gradient_accumulation) == (
        "queued",
        8,
        4,
    )


def test_a_run_that_was_killed_for_memory_offers_what_fits_too(home: Path) -> None:
    run = out_of_memory()
    state = replace(run.state(), status="interrupted", hint="Free some memory.")
    seen = replace(view.view(run.id), state=state)
    assert "Free some memory. These settings would fit: batch size 8" in render_run.draw_run(seen)


def test_a_run_whose_time_was_over_says_so_before_what_was_learned(home: Path) -> None:
    run = made_run("stopped", steps=20, message="Its 30 minutes are over.")
    assert "Its 30 minutes are over. Stopped at step 20 of 42 (epoch 1), with" in drawn(run)["live"]


def test_what_a_stopped_run_reached_is_said_to_be_of_the_steps_it_had(home: Path) -> None:
    run = made_run("stopped", steps=20)
    assert (
        "Stopped at step 20 of 42 (epoch 1), with 112 rows of Office messages. Accuracy 0."
        in drawn(run)["live"]
    )


def test_a_resumed_run_says_from_where_it_will_go_on(home: Path) -> None:
    assert (
        "It starts next. It goes on from step 14."
        in drawn(made_run("queued", steps=20, checkpoint=14))["live"]
    )


def test_a_visitor_sees_no_run_and_how_to_get_the_right(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run("done", steps=42)
    monkeypatch.setattr(who, "_owner_access", who.OwnerAccess("a key of its own"))
    nothing = drawn(None)
    assert "The owner opens this page with the key" in nothing["live"] and not nothing["example"].visible
    assert run.id not in nothing["list"]
    assert "There is no such run" in drawn(run)["live"]


def test_texts_of_people_are_never_markup(home: Path) -> None:
    run = made_run("failed", name=HOSTILE, notes=HOSTILE, message=HOSTILE, hint=HOSTILE)
    look = drawn(run, words=HOSTILE.split()[0])
    (run.path / "log.txt").write_text(HOSTILE)
    pair = more_fold.compared(run.id, made_run("done", name=HOSTILE, steps=3).id)
    for each in (
        look["live"],
        look["list"],
        drawn(run)["log_text"],
        drawn(run, words=HOSTILE + "x")["list"],
        pair,
    ):
        assert "alert" in each
        assert not re.search(r"<script|\{\{|\$\{|`", each)


def test_every_status_has_its_sign() -> None:
    from bertspace.schema import STATUSES

    assert render_run.SIGNS.keys() == set(STATUSES)


# The list


def test_the_list_is_filtered_by_name_notes_task_and_status(home: Path, working: None) -> None:
    tea = made_run("done", name="Tea on starter", notes="the good one", steps=3)
    mask = made_run("running", name="books", config=TrainConfig(task="fill-mask"))

    def found(words: str) -> set[str]:
        return {line.id for line in run_lines(words=words)}

    assert found("") == {tea.id, mask.id}
    assert found("tea GOOD") == found("done") == found("classification") == {tea.id}
    assert found("training") == found("running") == found("fill-mask") == {mask.id}
    assert found("tea books") == set()
    assert "No run has “tea books”" in drawn(None, words="tea books")["list"]


def test_the_filter_comes_with_the_sixth_run(home: Path) -> None:
    for _ in range(5):
        made_run("queued")
    assert not drawn(None)["filter"].visible
    made_run("queued")
    assert drawn(None)["filter"].visible


def test_a_list_of_many_runs_is_read_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(30):
        made_run("done", steps=1)
    run_lines()
    monkeypatch.setattr(Run, "config", lambda self: pytest.fail("read again"))
    monkeypatch.setattr(Run, "result", lambda self: pytest.fail("read again"))
    assert len(run_lines()) == 30


def test_a_resumed_runs_time_is_that_of_all_its_sessions(home: Path) -> None:
    run = made_run("done", steps=42)  # its last session took 90 s
    run.append(TrainEvent("done", 42, 42, seconds=300.0))
    (line,) = run_lines()
    assert line.seconds == 300.0 and "5 min" in render_run.draw_runs([line], "")
    (run.path / "events.jsonl").unlink()
    (line,) = run_lines()
    assert line.seconds == pytest.approx(90)


def test_a_line_is_read_again_when_the_run_changed(home: Path) -> None:
    run = made_run("queued", name="before")
    assert [line.name for line in run_lines()] == ["before"]
    care.rename(run.id, "after")
    assert [line.name for line in run_lines()] == ["after"]


# What is done with a run


def test_a_run_is_renamed_and_noted(home: Path) -> None:
    run = made_run("done", steps=3)
    assert care.rename(run.id, " Tea ")["name"] == "Tea"
    assert care.note(run.id, "why\nnot")["notes"] == "why\nnot"
    care.save(run.id, "Coffee", "")
    assert more_fold.name_and_notes(run.id) == ("Coffee", "")
    assert "Coffee" in drawn(run)["live"]


def test_a_run_is_put_at_a_place_of_the_queue(home: Path) -> None:
    made = [made_run("queued", place=time.time() + n) for n in range(3)]
    assert care.move(made[2].id, 2)["position"] == 2
    assert [queue.position(run) for run in made] == [1, 3, 2]


def test_nobody_but_the_owner_overtakes_other_people(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_run("queued", place=time.time())
    first, second = (made_run("queued", owner="u1", place=time.time() + n) for n in (1, 2))
    monkeypatch.setattr(who, "allowed", lambda request, action: Person("user", "u1", "U"))
    with pytest.raises(ForbiddenError, match="Other people's runs wait too"):
        care.to_front(second.id)
    runs.list_runs()[0].write_state(runs.list_runs()[0].state().__class__(status="done"))
    care.to_front(second.id)
    assert (queue.position(second), queue.position(first)) == (1, 2)


def test_deleting_asks_first_and_says_what_it_frees(home: Path) -> None:
    run = made_run("done", steps=42)
    (run.path / "model" / "weights").write_bytes(b"x" * 2_000_000)
    row, words = more_fold.ask(run.id)
    assert row.visible and "That frees 2 MB." in words
    assert care.remove(run.id) == "" and not run.path.exists()


def test_a_run_is_downloaded_as_a_zip_from_a_folder_that_nobody_guesses(home: Path, cache: Path) -> None:
    run = made_run("done", steps=42)
    path = Path(care.download(run.id))
    assert path.name == f"{run.id}.zip" and path.parent.parent.parent == cache
    assert f"{run.id}/result.json" in zipfile.ZipFile(path).namelist()
    assert Path(care.download(run.id)).parent != path.parent


def test_the_log_shows_its_last_lines_and_is_downloaded_whole(home: Path, cache: Path) -> None:
    run = made_run("done", steps=42)
    assert "line 199" in drawn(run)["log_text"] and "line 100\n" not in drawn(run)["log_text"]
    path = Path(care.whole_log(run.id))
    assert path.read_text() == (run.path / "log.txt").read_text() and cache in path.parents
    with (run.path / "log.txt").open("a") as log:
        log.write(f'File "{run.path}/x.py", line 3\n')
    assert Path(care.whole_log(run.id)).read_text().endswith('File "x.py", line 3\n')
    assert str(run.path) not in drawn(run)["log_text"]
    with pytest.raises(RunError, match="no log yet"):
        care.whole_log(made_run("queued").id)


def test_the_log_is_scrolled_to_its_newest_line() -> None:
    drawn = render_run.log_text("first\n<last>")
    assert "column-reverse" in drawn and "<span>first\n&lt;last&gt;</span></pre>" in drawn


def test_copied_settings_are_said_to_be_in_the_form(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(more_fold.gr, "Info", lambda words, **_: said.append(words))
    more_fold.say_copied(made_run("done", steps=3, name="a <b>").id)
    assert said == ["The form above has the settings of a &lt;b&gt; now."]
    with pytest.raises(RunError):
        more_fold.say_copied("gone")


def test_settings_are_copied_without_the_runs_own_rows(home: Path) -> None:
    config = TrainConfig(train_file="data/train.parquet", label_names="a,b", epochs=2.5, lora_rank=4)
    run = made_run("done", steps=3, config=config)
    found = care.settings_of(run.id)
    assert (found["dataset"], found["epochs"], found["lora_rank"]) == ("sample:office", 2.5, 4)
    assert not {"train_file", "label_names", "data_dir"} & found.keys()
    assert TrainConfig.from_dict(found).dataset == "sample:office"
    for source, expected in (
        ("tea.csv", None),
        ("owner/name (plain)", "owner/name"),
        ("owner/name", "owner/name"),
    ):
        (run.path / "data" / "source.json").write_text(json.dumps({"source": source}))
        assert care.copy_settings(run.id).get("dataset") == expected


def test_two_runs_stand_side_by_side(home: Path) -> None:
    first = made_run("done", steps=42, name="one")
    config = TrainConfig(train_file="data/train.parquet", epochs=5.0, learning_rate=1e-5)
    second = made_run("done", steps=60, total=60, name="two", config=config)
    found = care.compare_runs(first.id, second.id)
    assert found["settings"] == {"epochs": (3.0, 5.0), "learning_rate": (2e-5, 1e-5)}
    assert [len(curve) for curve in found["curves"]] == [42, 60]
    shown = more_fold.compared(first.id, second.id)
    assert shown.count("<path") == 2 and "2e-05" in shown and "1e-05" in shown
    assert more_fold.compared(first.id, "") == ""
    assert [name for name, _ in more_fold.others(first.id).choices][1].startswith("two · ")


def test_two_equal_runs_say_so(home: Path) -> None:
    from bertspace.jobs.comparison import RunComparison

    shown = render_pair.draw_pair(RunComparison({}, {}, ([], [])), "a", "b")
    assert "Their settings and their rows are the same." in shown


def test_a_run_as_code_is_its_command_its_yaml_and_its_script(home: Path, tiny_bert: Path) -> None:
    run = made_run(
        "paused", steps=3, config=TrainConfig(train_file="data/train.parquet", model=str(tiny_bert))
    )
    command, yaml, script = more_fold.as_code(run.id)
    assert command.startswith("python -m bertspace train") and "task: text-classification" in yaml
    compile(script, "script", "exec")


def test_what_cannot_be_said_as_code_says_why(home: Path) -> None:
    run = made_run("paused", steps=3, config=TrainConfig(train_file="data/train.parquet", model="run:gone"))
    command, yaml, script = more_fold.as_code(run.id)
    assert command.startswith("python -m bertspace train") and "run:gone" in yaml and script.startswith("# ")


ACTS: list[Callable[..., Any]] = [
    care.stop, care.pause, care.resume, care.go_on, care.to_front, care.move,
    care.remove, care.download, care.whole_log, care.show_run, care.copy_settings,
    care.settings_of, more_fold.ask, view.view,
]  # fmt: skip


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_other_peoples_runs_and_paths_are_no_runs(home: Path, act: Callable[..., Any]) -> None:
    other = made_run("failed", owner="u1", steps=3)
    before = sorted(path.name for path in other.path.rglob("*"))
    mine = made_run("failed", steps=3)
    for name in (
        other.id,
        str(other.path),
        f"../u1/{other.id}",
        f"..%2fu1%2f{other.id}",
        f"{mine.id}\0",
        "",
        ".",
    ):
        with pytest.raises(RunError, match="There is no such run"):
            act(name)
    assert sorted(path.name for path in other.path.rglob("*")) == before


@pytest.mark.parametrize("act", ACTS[:11] + [more_fold.ask], ids=lambda act: act.__name__)
def test_a_visitor_may_do_nothing_with_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[..., Any]
) -> None:
    run = made_run("failed", steps=3)
    monkeypatch.setattr(who, "_owner_access", who.OwnerAccess("a key of its own"))
    with pytest.raises(ForbiddenError):
        act(run.id)
    assert run.state().status == "failed"


def test_what_programs_can_do_has_a_name(home: Path) -> None:
    with gr.Blocks() as app:
        run_step.build_run_step()
    public = {each.api_name for each in app.fns.values() if each.api_visibility == "public"}
    assert public == {
        "stop", "pause", "resume", "delete", "rename", "notes", "move", "download", "log",
        "compare_runs", "copy_settings", "run", "runs",
    }  # fmt: skip


def test_a_line_knows_what_it_is_called_on_the_page() -> None:
    line = RunLine("id", "x", "fill-mask", "queued", 0.0, 0.0)
    assert line.matches("waiting") and line.matches("queued") and not line.matches("done")
