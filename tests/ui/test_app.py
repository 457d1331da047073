"""The whole page: its events and labels, what it may serve, and what leads from one place to another."""

import re
from pathlib import Path

import gradio as gr
import pytest

from bertspace import files, policy
from bertspace.jobs import queue
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from bertspace.ui import app as page
from bertspace.ui import header
from bertspace.ui.access import who
from bertspace.ui.frame import theme
from bertspace.ui.models import warm
from bertspace.ui.runs.view import run_at_work


class Address:
    """A request of which only the address is asked."""

    def __init__(self, **parameters: str) -> None:
        self.query_params = parameters


@pytest.fixture(scope="module")
def built() -> gr.Blocks:
    return page.build_app()


@pytest.fixture
def run(home: Path) -> Run:
    return Run.create(TrainConfig(task="fill-mask"))


def test_every_public_event_has_a_name_of_its_own(built: gr.Blocks) -> None:
    public = [each.api_name for each in built.fns.values() if each.api_visibility == "public"]
    assert {"train", "load_data", "stop", "delete", "runs", "run", "recipe", "preset"} <= set(public)
    assert len(public) == len(set(public))
    assert [name for name in public if re.search(r"_\d+$|lambda", str(name))] == []


def test_no_event_has_two_listeners_that_would_wake_each_other(built: gr.Blocks) -> None:
    waiting: dict[tuple[int | None, str], list[str]] = {}
    for each in built.fns.values():
        for target, event in each.targets:
            if each.trigger_mode == "always_last" and target is not None and event != "load":
                waiting.setdefault((target, event), []).append(str(each.api_name))
    assert {key: names for key, names in waiting.items() if len(names) > 1} == {}, "wire them by `whenever`"


def test_every_input_has_a_label(built: gr.Blocks) -> None:
    kinds = (gr.Textbox, gr.Number, gr.Dropdown, gr.Radio, gr.Checkbox, gr.File, gr.Slider)
    inputs = [block for block in built.blocks.values() if isinstance(block, kinds)]
    assert [block for block in inputs if not block.label] == []


def test_runs_are_never_served_and_nothing_is_fetched_from_elsewhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    options = page.launch_options()
    assert str(files.home()) in options["blocked_paths"]
    assert options["ssr_mode"] is False
    assert not re.search(r"https?://|@import", options["css"])
    assert options["theme"]._stylesheets == []


def test_two_colours_mean_two_models() -> None:
    assert (theme.BASE, theme.TUNED) == ("#0072B2", "#D55E00")
    assert f"--bs-base: {theme.BASE}; --bs-tuned: {theme.TUNED};" in theme.css()


def test_no_rule_of_ours_means_something_else_in_the_copy_that_gradio_makes_of_it() -> None:
    rules = re.findall(r"^[^@/\n{}][^{}\n]*(?= \{)", theme.css(), re.MULTILINE)
    hiding = [rule for rule in rules if re.search(r":(not|has)\([^)]*,", rule)]
    assert hiding and all(rule.startswith(".gradio-container") for rule in hiding), hiding


def test_the_header_tells_the_device_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Looking at this machine" in header.draw_header("", None)
    monkeypatch.setitem(warm._known, "device", "CPU, 2 cores, bf16")
    drawn, seen, clock, _, news = header.look("")
    assert "CPU, 2 cores, bf16" in drawn and "No run at work" in drawn and "Local owner" in drawn
    assert clock.active
    assert header.look(seen) == (*(gr.skip(),) * 4, news)


def test_a_visitors_header_says_who_they_are_and_shows_no_run() -> None:
    drawn = header.draw_header("CPU", None, policy.VISITOR)
    assert "Visitor" in drawn and "key that was printed" in drawn and "run at work" not in drawn


def test_who_came_with_the_key_can_log_out_and_nobody_else_needs_to() -> None:
    assert 'method="post" action="owner/logout"' in header.draw_header("CPU", None, policy.OWNER)
    for person in (policy.LOCAL, policy.VISITOR, policy.SHARED_VISITOR):
        assert "<form" not in header.draw_header("CPU", None, person)


def test_the_header_leads_to_the_run_at_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "is_locked", lambda self: True)
    run.write_state(RunState(status="running", name="starter on tea"))
    at_work = run_at_work()
    assert at_work is not None and at_work.id == run.id
    assert f'data-run="{run.id}"' in header.draw_header("", at_work, policy.LOCAL)
    assert run.id not in header.draw_header("", at_work, policy.VISITOR)


def test_the_address_opens_the_tab_the_run_and_the_model(run: Run) -> None:
    tab, shown, first, second, fill_mask, classify, compare, *_ = page.open_page(
        Address(tab="fill-mask", run=run.id, model=f"run:{run.id}")  # type: ignore[arg-type]
    )
    assert (tab.selected, shown, fill_mask["value"]) == ("fill-mask", run.id, f"run:{run.id}")
    assert (first.open, second.open) == (False, False)
    assert (classify, compare) == (gr.skip(), gr.skip())


@pytest.mark.parametrize("asked", [{}, {"tab": "nowhere", "run": "../..", "model": "/etc"}])
def test_a_bare_or_wrong_address_opens_the_newest_run(run: Run, asked: dict[str, str]) -> None:
    tab, shown, *others = page.open_page(Address(**asked))  # type: ignore[arg-type]
    assert (tab, shown, others) == (gr.skip(), run.id, [gr.skip()] * 8)


def test_a_visitor_lands_on_fill_mask_and_finds_why_there_is_no_training(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(who, "person", lambda request: policy.VISITOR)
    asked = Address(run=run.id, model=f"run:{run.id}")
    tab, shown, *_, closed, workshop = page.open_page(asked)  # type: ignore[arg-type]
    assert (tab.selected, shown, closed.visible, workshop.visible) == ("fill-mask", "", True, False)
    tab, *_ = page.open_page(Address(tab="compare"))  # type: ignore[arg-type]
    assert tab.selected == "compare"


def test_a_run_is_tried_in_the_tab_of_its_task(run: Run) -> None:
    assert page.empty_picker(run.id) == [None, gr.skip()]
    tab, fill_mask, classify = page.try_run(run.id)
    assert (tab.selected, fill_mask["value"], classify) == ("fill-mask", f"run:{run.id}", gr.skip())


def test_a_restarted_app_goes_on_with_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(warm, "start", lambda: called.append("warm"))
    monkeypatch.setattr(queue, "keep_going", lambda: called.append("queue"))
    page.start_in_background()
    assert sorted(called) == ["queue", "warm"]
