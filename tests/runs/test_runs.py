"""A run's folder: written in whole pieces, read at any time, and alive only while somebody holds its lock."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bertspace import files, runs
from bertspace.errors import RunError
from bertspace.files import whole_file, write_atomically
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig, TrainEvent

CONFIG = TrainConfig(task="fill-mask", epochs=1.5, learning_rate=3e-4)


@pytest.fixture
def run() -> Run:
    return Run.create(CONFIG, name="my run")


# A new run


def test_a_new_run_is_queued_in_a_folder_of_its_own(run: Run, home: Path) -> None:
    assert run.path == home / "local" / run.id
    assert (run.state().status, run.state().name, run.name) == ("queued", "my run", "my run")
    assert run.state().created > 1.7e9
    assert run.config() == CONFIG
    assert (run.result(), run.source(), run.events(), run.log_tail()) == (None, {}, ([], 0), "")
    assert sorted(path.name for path in run.path.iterdir()) == ["config.yaml", "lock", "state.json"]


def test_a_run_without_a_name_is_called_by_its_id() -> None:
    run = Run.create(CONFIG)
    assert run.name == run.id


def test_the_config_is_readable_yaml_under_the_fields_names(run: Run) -> None:
    lines = (run.path / "config.yaml").read_text().splitlines()
    assert lines[0] == "task: fill-mask"
    assert "learning_rate: 0.0003" in lines and "epochs: 1.5" in lines


def test_a_run_in_a_folder_of_its_owners_choice_is_listed_with_the_others(tmp_path: Path) -> None:
    run = Run.create(CONFIG, folder=tmp_path / "deep" / "mine")
    assert run.path.is_symlink() and run.path.resolve() == tmp_path / "deep" / "mine"
    assert [each.id for each in runs.list_runs()] == [run.id]
    assert runs.find(str(tmp_path / "deep" / "mine")).id == run.id


@pytest.mark.parametrize("kind", ["full", "file"])
def test_a_folder_that_is_not_empty_is_refused_and_left_alone(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    if kind == "full":
        folder.mkdir()
        (folder / "thesis.txt").write_text("precious")
    else:
        folder.write_text("precious")
    with pytest.raises(RunError) as caught:
        Run.create(CONFIG, folder=folder)
    assert str(folder) in caught.value.message and "--output" in caught.value.hint
    assert runs.list_runs() == []
    assert (folder / "thesis.txt" if kind == "full" else folder).read_text() == "precious"


def test_an_empty_folder_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert Run.create(CONFIG, folder=tmp_path / "mine").state().status == "queued"


# Finding runs


def test_the_newest_run_is_listed_first(home: Path) -> None:
    for name in ("20260101-000000-aaaaaa", "20260301-000000-bbbbbb", "20260201-000000-cccccc"):
        (home / "local" / name).mkdir(parents=True)
        Run(home / "local" / name).write_state(RunState())
    (home / "local" / "Not A Run").mkdir()
    (home / "local" / "20260401-000000-dddddd").mkdir()
    assert [run.id[:6] for run in runs.list_runs()] == ["202603", "202602", "202601"]
    assert runs.list_runs("nobody") == []


def test_a_run_is_found_by_its_id(run: Run) -> None:
    assert runs.find(run.id).path == run.path


@pytest.mark.parametrize(
    "name", ["nothing", "", "..", "../local", "/", "/etc", "~nobody-of-this-name", "a" * 5000]
)
def test_what_names_no_run_is_an_error_that_says_where_to_look(name: str) -> None:
    with pytest.raises(RunError) as caught:
        runs.find(name)
    assert str(caught.value) == f"There is no run {name!r}. See: python -m bertspace runs list"


def test_another_owners_run_is_not_found_by_its_id() -> None:
    run = Run.create(CONFIG, owner="u1234")
    with pytest.raises(RunError):
        runs.find(run.id)
    assert runs.find(run.id, "u1234").id == run.id


def test_the_home_is_the_variables_folder_or_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BERTSPACE_HOME", "elsewhere")
    assert files.home() == tmp_path / "elsewhere"
    monkeypatch.setenv("BERTSPACE_HOME", "")
    assert files.home() == tmp_path / "runs"


# States and the lock


def test_a_run_that_says_running_while_nobody_holds_its_lock_was_interrupted(run: Run) -> None:
    run.write_state(RunState(status="running", name="x", pid=1))
    found = run.state()
    assert (found.status, found.name, found.pid) == ("interrupted", "x", 1)
    assert found.message == "The process ended before the run did."
    assert json.loads((run.path / "state.json").read_text())["status"] == "running"


def test_a_run_is_running_while_its_lock_is_held(run: Run) -> None:
    run.write_state(RunState(status="running"))
    with (run.path / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run.is_locked()
        assert run.state().status == "running"
    assert not run.is_locked()
    assert run.state().status == "interrupted"


def test_looking_whether_a_run_is_locked_does_not_lock_it(run: Run) -> None:
    for _ in range(3):
        assert not run.is_locked()
    with (run.path / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_folder_without_a_lock_is_not_locked(tmp_path: Path) -> None:
    assert not Run(tmp_path).is_locked()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": "done", "colour": 1}', None])
def test_a_state_that_cannot_be_read_is_no_run(content: str | None, run: Run) -> None:
    if content is None:
        (run.path / "state.json").unlink()
    else:
        (run.path / "state.json").write_text(content)
    with pytest.raises(RunError, match=run.id):
        run.state()


@pytest.mark.parametrize("content", ["task: [", "- a", "", "colour: red", "epochs: -1", "epochs: x", None])
def test_a_config_that_cannot_be_read_says_which_run_it_is_of(content: str | None, run: Run) -> None:
    if content is None:
        (run.path / "config.yaml").unlink()
    else:
        (run.path / "config.yaml").write_text(content)
    with pytest.raises(RunError, match=run.id):
        run.config()


def test_a_stop_is_a_file_that_anyone_may_make(run: Run) -> None:
    assert not run.stop_requested()
    run.request_stop()
    assert run.stop_requested() and (run.path / "stop").exists()


# Events and log


def test_events_are_read_from_where_one_left_off(run: Run) -> None:
    events = [TrainEvent("step", step, 3, loss=0.5) for step in (1, 2, 3)]
    run.append(events[0])
    first, offset = run.events()
    run.append(events[1])
    run.append(events[2])
    rest, end = run.events(offset)
    assert (first, rest) == (events[:1], events[1:])
    assert run.events(end) == ([], end)
    assert run.events()[0] == events


def test_a_torn_last_line_is_left_for_later(run: Run) -> None:
    run.append(TrainEvent("step", 1))
    line = json.dumps(TrainEvent("step", 2, message="ä").to_dict(), ensure_ascii=False).encode() + b"\n"
    for cut in range(1, len(line)):
        path = run.path / "events.jsonl"
        path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n" + line[:cut])
        events, offset = run.events()
        assert [event.step for event in events] == [1]
        with path.open("ab") as file:
            file.write(line[cut:])
        assert run.events(offset)[0] == [TrainEvent("step", 2, message="ä")]


def test_every_event_is_one_line(run: Run) -> None:
    run.append(TrainEvent("status", message="two\nlines"))
    run.append(TrainEvent("step", 1))
    assert len((run.path / "events.jsonl").read_text().splitlines()) == 2
    assert run.events()[0][0].message == "two\nlines"


def test_the_log_is_shown_from_its_end(run: Run) -> None:
    (run.path / "log.txt").write_bytes(b"".join(b"line %d\n" % number for number in range(100_000)))
    assert run.log_tail(2) == "line 99998\nline 99999"
    assert len(run.log_tail(10**6)) <= 16384
    (run.path / "log.txt").write_bytes(b"half a letter \xc3")
    assert run.log_tail() == "half a letter \ufffd"


# Whole files


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, "old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        temporary.write_text("half of the ne")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["result.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["result.json"]


def test_a_file_is_on_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append("fsync") or fsync(number))
    monkeypatch.setattr(Path, "replace", lambda self, to: done.append("rename") or replace(self, to))
    write_atomically(tmp_path / "a" / "b.json", "whole")
    assert done == ["fsync", "rename"]
    assert (tmp_path / "a" / "b.json").read_text() == "whole"


def test_a_reader_sees_the_old_file_or_the_new_one(run: Run) -> None:
    """Written again and again in one thread, the state can be read at any time in another."""
    import threading

    failed: list[BaseException] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                assert run.state().status in ("queued", "done")
            except BaseException as error:  # kept for the test's own thread
                failed.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        run.write_state(RunState(status=("queued", "done")[number % 2], message="x" * number * 10))
    over.set()
    reader.join()
    assert not failed


def test_a_source_and_a_result_are_read_as_they_were_written(run: Run) -> None:
    told: dict[str, Any] = {"source": "train.csv", "rows": {"train": 3}}
    write_atomically(run.path / "data" / "source.json", json.dumps(told))
    write_atomically(run.path / "result.json", json.dumps({"steps": 3}))
    assert (run.source(), run.result()) == (told, {"steps": 3})


# Pushes


def test_what_a_killed_push_left_goes_when_the_run_is_swept_or_pushed_again(run: Run) -> None:
    def push() -> None:
        with run.pushing():
            pass

    for clean in (run.sweep, push):
        (run.path / ".push-dead" / "0").mkdir(parents=True)
        (run.path / ".push-dead" / "0" / "model.safetensors").write_text("old weights")
        clean()
        assert not (run.path / ".push-dead").exists()


def test_the_folders_of_pushes_at_work_are_left_to_them(run: Run) -> None:
    with run.pushing() as first:
        (first / "model.safetensors").write_text("weights")
        with run.pushing() as second:
            run.sweep()
            assert first != second and second.is_dir()
            assert (first / "model.safetensors").read_text() == "weights"
    assert not list(run.path.glob(".push-*"))
