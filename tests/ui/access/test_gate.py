"""Who is who, what every event passes, how the owner gets in, and the bounded folder of uploads."""

import asyncio
import inspect
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pandas as pd
import pytest
from gradio.block_function import BlockFunction
from gradio.state_holder import SessionState

from bertspace import policy
from bertspace.data import tables
from bertspace.errors import BertspaceError, ConfigError, ForbiddenError
from bertspace.ui import app as page
from bertspace.ui.access import files, gate, who
from bertspace.ui.access.admission import Places
from bertspace.ui.access.gate import Page
from bertspace.ui.access.needs import needs, needs_of
from bertspace.ui.access.turns import Turns
from bertspace.ui.access.who import OwnerAccess
from bertspace.ui.fine_tune import tab

USER = policy.Person("user", "ada", "ada")


@pytest.fixture(autouse=True)
def closed_door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test begins with a local app, and leaves none open behind it."""
    monkeypatch.setattr(who, "_owner_access", OwnerAccess())
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    for name in ("BERTSPACE_OWNER_KEY", "SPACE_ID", "SPACE_HOST", "GRADIO_SHARE", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)


def asked_with(**cookies: str) -> Any:
    """A request of which only the cookies are asked."""
    return SimpleNamespace(request=SimpleNamespace(cookies=cookies))


# Who


@pytest.mark.parametrize("server_name", ["127.0.0.1", "localhost"])
def test_who_reaches_a_local_app_is_its_owner(server_name: str) -> None:
    assert who.decide_owner(server_name).key == ""
    assert who.person(None) == who.person(asked_with()) == policy.LOCAL


@pytest.mark.parametrize(
    ("server_name", "share", "environment"),
    [
        ("0.0.0.0", False, {}),
        ("192.168.0.7", False, {}),
        ("", False, {}),
        ("127.0.0.1", True, {}),
        ("127.0.0.1", False, {"SPACE_ID": "ada/space"}),
        ("127.0.0.1", False, {"BERTSPACE_OWNER_KEY": "0123456789abcdef"}),
    ],
)
def test_an_open_app_has_a_key_and_visitors(
    server_name: str, share: bool, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    door = who.decide_owner(server_name, share)
    visitor = policy.SHARED_VISITOR if share else policy.VISITOR
    assert len(door.key) >= 16
    for request in (
        None,
        asked_with(),
        asked_with(**{who.COOKIE: door.key}),
        asked_with(**{who.COOKIE: "ä"}),
    ):
        assert who.person(request) == visitor
    shown = who.PASSES.open()
    assert who.person(asked_with(**{who.COOKIE: shown})) == policy.OWNER
    assert who.is_owner_key(door.key) and not who.is_owner_key(shown) and not who.is_owner_key("")


def test_every_start_has_a_key_of_its_own() -> None:
    assert who.decide_owner("0.0.0.0").key != who.decide_owner("0.0.0.0").key


def test_a_short_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTSPACE_OWNER_KEY", "short")
    with pytest.raises(ConfigError, match="BERTSPACE_OWNER_KEY has 5 characters"):
        who.decide_owner()


def test_every_login_of_the_owners_is_another_and_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    who.decide_owner("0.0.0.0")
    first, second = who.PASSES.open(), who.PASSES.open()
    who.PASSES.close(first)
    assert who.person(asked_with(**{who.COOKIE: first})) == policy.VISITOR
    assert who.person(asked_with(**{who.COOKIE: second})) == policy.OWNER
    month = time.time() + 30 * 24 * 3600 + 1
    monkeypatch.setattr(time, "time", lambda: month)
    assert who.person(asked_with(**{who.COOKIE: second})) == policy.VISITOR


def test_a_restart_asks_the_owner_for_the_key_again() -> None:
    who.decide_owner("0.0.0.0")
    shown = who.PASSES.open()
    who.decide_owner("0.0.0.0")
    assert who.person(asked_with(**{who.COOKIE: shown})) == policy.VISITOR


def test_an_action_is_given_with_the_person_or_refused() -> None:
    assert who.allowed(None, "train") == policy.LOCAL
    who.decide_owner("0.0.0.0")
    with pytest.raises(ForbiddenError, match="Training is not open to you here"):
        who.allowed(None, "train")


def test_the_owners_way_in_is_printed_but_not_a_key_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    app: Any = SimpleNamespace(share_url=None, local_url="http://localhost:7860/")
    assert page.owner_address(app) == ""
    key = who.decide_owner("0.0.0.0").key
    assert f"http://localhost:7860/?key={key}" in page.owner_address(app)
    monkeypatch.setenv("BERTSPACE_OWNER_KEY", "0123456789abcdef")
    monkeypatch.setenv("SPACE_HOST", "ada-space.hf.space")
    who.decide_owner("0.0.0.0")
    assert "https://ada-space.hf.space/?key=<BERTSPACE_OWNER_KEY>" in page.owner_address(app)


# The gate


def test_every_right_is_needed_by_some_handler() -> None:
    built = page.build_app()
    assert {needs_of(each.fn).right for each in built.fns.values()} == set(policy.ACTIONS)


def test_a_handler_that_says_nothing_keeps_the_app_from_being_built() -> None:
    with Page() as built:
        gr.Button().click(lambda: None)
    with pytest.raises(KeyError, match="does not say what a person must be allowed"):
        built.check()


def test_a_right_that_there_is_not_is_no_right() -> None:
    with pytest.raises(KeyError, match="no right 'tarin'"):
        needs("tarin")


def test_a_generator_that_yields_nothing_leaves_its_outputs_as_they_are() -> None:
    """gradio makes None of what such a handler does not say, which would empty a form."""

    @needs("try models")
    def nothing() -> Iterator[str]:
        yield from ()

    for count in (1, 2):
        with Page() as built:
            boxes = [gr.Textbox(f"kept {each}") for each in range(count)]
            gr.Button().click(nothing, None, boxes)
        answered = asyncio.run(built.process_api(0, [], SessionState(built)))
        assert answered["data"] == [{"__type__": "update"}] * count


@pytest.mark.slow
def test_no_generator_of_the_page_empties_what_was_filled_in() -> None:
    """Each as the page first calls it: step 2, touched before there was data, lost its task and settings."""
    built = page.build_app()
    events = [each for each in built.fns.values() if inspect.isgeneratorfunction(each.fn)]
    assert events
    for event in events:
        clicked = gr.EventData(None, {})
        asked = built.process_api(event, values_of(event), SessionState(built), event_data=clicked)
        found = asyncio.run(asked)
        for component, data in zip(event.outputs, found["data"], strict=True):
            assert data is not None or isinstance(component, gr.State), f"{event.api_name}: {component}"


def values_of(event: BlockFunction) -> list[Any]:
    """What the page's controls hold at first."""
    return [None if isinstance(each, gr.State) else each.value for each in event.inputs]


def test_waiting_is_bounded_and_cannot_be_gone_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTSPACE_MAX_QUEUE", "6")
    built = page.build_app()
    assert isinstance(built._queue, Turns)
    assert (built._queue.places.each, built._queue.places.total) == (3, 6)
    assert built._queue.default_concurrency_limit == page.AT_ONCE
    assert built.api_open is False


def test_characters_are_counted_wherever_they_stand() -> None:
    assert gate.characters(["ab", 7, None, ["c", {"de": ["f"]}], ("g",)]) == 7


def test_a_call_that_takes_too_long_is_answered_and_counts_against_its_person_alone() -> None:
    places, later = Places(1, 9), asyncio.Event()

    async def slow() -> dict[str, Any]:
        await later.wait()
        raise ValueError("later")

    async def quick() -> dict[str, Any]:
        return {"data": [1]}

    async def both() -> None:
        assert await gate.within(1, quick, "a") == await gate.within(0, quick) == {"data": [1]}
        with pytest.raises(ForbiddenError, match="longer than 1 s"):
            await gate.within(1, slow, "a", places)
        assert (places.held("a"), places.has_room("a"), places.has_room("b")) == (1, False, True)
        with pytest.raises(ForbiddenError, match="still at work here"):
            await gate.within(1, quick, "a", places)
        assert await gate.within(1, quick, "b", places) == {"data": [1]}
        later.set()
        await asyncio.sleep(0.01)  # its failure is not lost to the log
        assert await gate.within(1, quick, "a", places) == {"data": [1]}

    asyncio.run(both())


def test_an_open_app_takes_smaller_files_and_never_the_hosts_token(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(tables, "MAX_FILE_BYTES", tables.MAX_FILE_BYTES)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    assert page.launch_options()["max_file_size"] == 2_000_000_000
    assert constants.HF_HUB_DISABLE_IMPLICIT_TOKEN is False
    options = page.launch_options(share=True)
    assert (options["share"], options["max_file_size"]) == (True, page.UPLOAD_BYTES)
    assert tables.MAX_FILE_BYTES == page.UPLOAD_BYTES
    assert constants.HF_HUB_DISABLE_IMPLICIT_TOKEN is True


def test_the_environment_can_share_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_guard_host", lambda: None)
    monkeypatch.setenv("GRADIO_SHARE", "True")
    assert page.launch_options()["share"] is True
    assert who.owner_access().key


# Limits


def test_a_users_run_is_theirs_and_within_their_limits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(who, "person", lambda request: USER)
    monkeypatch.setattr("bertspace.jobs.queue.start_next", lambda: None)
    monkeypatch.setenv("BERTSPACE_MAX_WAITING", "1")
    values = {"text_column": "", "model": "starter", "max_steps": 2}
    run_id, problem = tab.start("sample", "office", **values)
    assert problem == "" and (home / "ada" / run_id / "state.json").is_file()
    assert policy.runs.find(run_id, "ada").state().minutes == 30
    _, problem = tab.start("sample", "office", **values)
    assert "2 runs waiting or at work; the limit here is 1" in problem
    monkeypatch.setenv("BERTSPACE_MAX_ROWS", "9")
    _, problem = tab.start("sample", "office", **values)
    assert "rows in all; the limit here is 9" in problem


def test_parquet_is_read_for_the_owner_alone() -> None:
    policy.check_file(policy.OWNER, "a.parquet")
    policy.check_file(USER, "a.csv.gz")
    with pytest.raises(BertspaceError, match="Parquet"):
        policy.check_file(USER, "/tmp/a.PARQUET.gz")


# Uploads


def test_downloads_lie_in_the_persons_own_folder_where_nobody_can_guess(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    first, second = (Path(files.written_csv(frame, "a.csv")) for _ in range(2))
    assert first != second and first.parent.parent == second.parent.parent == files.folder()
    assert files.folder().parent == tmp_path / "uploads"
    assert first.read_text() == "a\n1\n"
    with files.kept_for("u-1"):
        assert Path(files.written_csv(frame, "a.csv")).parent.parent == files.folder() != first.parent.parent


def file_of(key: str, size: int = 100) -> Path:
    """A file of the person's."""
    with files.kept_for(key):
        path = files.new_path("a.csv")
    path.write_bytes(b"x" * size)
    time.sleep(0.02)  # the time of change tells them apart
    return path


def test_a_persons_own_oldest_make_room_and_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTSPACE_MAX_CACHE_BYTES", "1000")
    owners, others = file_of("owner", 900), file_of("at 8.8.8.8", 200)
    mine = [file_of("at 1.1.1.1") for _ in range(2)]
    with files.kept_for("at 1.1.1.1"):
        files.make_room(100)  # a quarter of the whole for each
    assert [path.is_file() for path in (*mine, others, owners)] == [False, True, True, True]
    assert not mine[0].parent.exists()
    with files.kept_for("owner"):
        files.make_room(10**12)
    assert [path.is_file() for path in (mine[1], others, owners)] == [True, True, False]


def test_where_all_others_leave_no_room_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTSPACE_MAX_CACHE_BYTES", "1000")
    made = [file_of(f"at 1.1.1.{number}", 240) for number in range(4)]
    with files.kept_for("at 8.8.8.8"), pytest.raises(ForbiddenError, match="no room for more files"):
        files.new_path("a.csv", 100)
    file_of("owner", 900)
    assert all(path.is_file() for path in made)


def test_what_is_too_old_goes_and_what_is_not_ours_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [file_of("owner"), file_of("at 1.1.1.1")]
    for name in ("a" * 64, "written-abc", "somebody's"):
        path = tmp_path / "uploads" / name / "a.csv"
        path.parent.mkdir()
        path.write_text("x")
        made.append(path)
    files.remove_old()
    assert all(path.is_file() for path in made)
    monkeypatch.setattr(files, "OLDEST", -1)
    files.remove_old()
    assert [path.parent.exists() for path in made] == [False, False, False, False, True]


def test_a_file_is_its_persons_alone(tmp_path: Path) -> None:
    own, others = file_of("at 1.1.1.1"), file_of("at 8.8.8.8")
    (own.parent / "link.csv").symlink_to(others)

    def sent(path: object) -> list[Any]:
        return ["text", {"deep": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}]

    with files.kept_for("at 1.1.1.1"):
        files.check_own(sent(str(own)))
        wrong = [others, own.parent / "gone", own.parent / "link.csv", f"{own}/../../../x", "a\0b", ""]
        for path in wrong:
            with pytest.raises(BertspaceError, match="not uploaded here"):
                files.check_own(sent(str(path)))


def test_the_folder_is_for_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    folder = Path(files.own_folder())
    assert folder == tmp_path / f"bertspace-{os.getuid()}" == Path(files.own_folder())
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    folder.symlink_to(tmp_path)  # somebody was there first
    assert Path(files.own_folder()).name.startswith("bertspace-") and files.own_folder() != str(folder)
