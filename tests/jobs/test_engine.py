"""Submit, stop, kill, delete: real worker processes on a tiny BERT, which outlive whoever started them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertspace import data, files, models, processes, runs
from bertspace.errors import BertspaceError, ConfigError, DataError, RunError
from bertspace.hub import cache
from bertspace.hub.credentials import Credentials, using
from bertspace.jobs import engine, queue, worker
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from tests.support import ROOT, until

pytestmark = pytest.mark.slow

TEXTS = [
    f"the {good} ship at {place}" for good in ("good", "bad") for place in ("sea", "night", "day", "home")
] * 3
FRAME = pd.DataFrame({"text": pd.array(TEXTS, dtype="str"), "label": [0, 0, 0, 0, 1, 1, 1, 1] * 3})
SPLITS = data.Splits(FRAME, FRAME.iloc[:8].reset_index(drop=True), None, ("good", "bad"), "ships.csv", ())


@pytest.fixture(scope="module")
def config(tiny_bert: Path) -> TrainConfig:
    return TrainConfig(
        model=str(tiny_bert), batch_size=8, epochs=1, precision="fp32", learning_rate=1e-3, max_length=16
    )


def has(run: Run, kind: str) -> bool:
    return any(event.kind == kind for event in run.events()[0])


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Submitted runs stay in the queue: no process."""
    monkeypatch.setattr(queue, "start_next", lambda: None)


@pytest.fixture
def ended_after() -> Iterator[list[Run]]:
    """Runs whose process must not outlive the test, whatever happens in it."""
    given: list[Run] = []
    yield given
    for run in given:
        if run.path.exists():
            engine.kill(run, seconds=1.0)


# Two runs, submitted by a process that is then killed


SUBMIT = """
import json, sys, time
from pathlib import Path
import pandas as pd
from bertspace import data
from bertspace.jobs import engine
from bertspace.schema import TrainConfig
config = TrainConfig.from_dict(json.loads(sys.argv[1]))
frame = pd.read_parquet(sys.argv[2])
splits = data.Splits(frame, frame.iloc[:8].reset_index(drop=True), None, ("good", "bad"), "ships.csv", ())
first, second = (engine.submit(config, splits=splits, name=name) for name in ("first", "second"))
print(json.dumps([str(first.path), str(second.path)]), flush=True)
time.sleep(600)
"""


@dataclass
class Pair:
    """Two runs after both have ended, and what was seen of the first one's process while it lived."""

    first: Run
    second: Run
    environment: dict[str, str]
    session: int
    outlived_it: bool
    seen: list[str]


@pytest.fixture(scope="module")
def pair(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    home = tmp_path_factory.mktemp("pair")
    FRAME.to_parquet(home / "rows.parquet")
    environment = os.environ | {
        "BERTSPACE_HOME": str(home / "runs"),
        "HF_TOKEN": "s3cr3t",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SUBMIT, json.dumps(config.to_dict()), str(home / "rows.parquet")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment | {"MY_SECRET": "s3cr3t"},
    )
    first, second = (Run(Path(path)) for path in json.loads(process.stdout.readline()))
    seen = [first.state().status, second.state().status]
    process.kill()
    process.wait()
    process.stdout.close()
    pid = first.state().pid
    raw = Path(f"/proc/{pid}/environ").read_bytes() if Path("/proc").exists() else b""
    variables = dict(part.split("=", 1) for part in raw.decode().split("\0") if "=" in part)
    session, alive = os.getsid(pid), first.is_locked()
    until(lambda: all(r.state().status in runs.ENDED and not r.is_locked() for r in (first, second)))
    return Pair(first, second, variables, session, alive, seen)


def test_one_run_works_and_the_other_waits(pair: Pair) -> None:
    assert pair.seen == ["running", "queued"]
    assert pair.first.state().ended <= pair.second.state().started


def test_both_runs_are_done_although_their_submitter_was_killed(pair: Pair) -> None:
    assert pair.outlived_it
    assert [run.state().status for run in (pair.first, pair.second)] == ["done", "done"], (
        pair.first.log_tail()
    )
    assert [run.result()["steps"] for run in (pair.first, pair.second)] == [3, 3]
    assert [event.step for event in pair.second.events()[0] if event.kind == "step"] == [1, 2, 3]


def test_the_same_run_in_two_processes_gives_the_same_losses(pair: Pair) -> None:
    first, second = (
        [e.loss for e in run.events()[0] if e.kind == "step"] for run in (pair.first, pair.second)
    )
    assert first == second


def test_a_worker_is_the_leader_of_a_session_of_its_own(pair: Pair) -> None:
    assert pair.session == pair.first.state().pid


def test_a_worker_is_told_no_secret(pair: Pair) -> None:
    if not Path("/proc").exists():
        pytest.skip("this system has no /proc")
    assert "s3cr3t" not in pair.environment.values()
    assert not [name for name in pair.environment if "TOKEN" in name and name != "TOKENIZERS_PARALLELISM"]
    assert pair.environment["BERTSPACE_HOME"] == str(pair.first.path.parents[1])


def test_a_finished_run_holds_all_that_a_viewer_needs(pair: Pair) -> None:
    run = pair.first
    assert {path.name for path in run.path.iterdir()} == {
        *("config.yaml", "data", "events.jsonl", "lock", "log.txt", "memory", "model"),
        *("base.parquet", "predictions.parquet", "probe.safetensors", "result.json", "state.json"),
    }
    state = run.state()
    assert (state.name, state.message, state.hint) == ("first", "", "")
    assert state.created <= state.started <= state.ended
    assert run.source()["source"] == "ships.csv"
    assert [event.message for event in run.events()[0][:2]] == ["Starting", "Loading the libraries"]
    assert 1e8 < int((run.path / "memory").read_text()) < 1e10
    assert "Traceback" not in run.log_tail(1000)


def test_no_file_of_a_run_names_a_folder_of_this_machine_but_its_models(
    pair: Pair, config: TrainConfig
) -> None:
    told = (pair.first.path / "config.yaml").read_text().replace(config.model, "")
    told += (pair.first.path / "data" / "source.json").read_text()
    assert str(pair.first.path.parents[1]) not in told


def test_what_has_ended_cannot_be_stopped(pair: Pair) -> None:
    with pytest.raises(RunError) as caught:
        engine.stop(pair.first)
    assert caught.value.message == f"The run {pair.first.id} has ended already (done)."


# Submitting


def test_bad_data_is_refused_before_anything_is_kept(tmp_path: Path, config: TrainConfig) -> None:
    (tmp_path / "train.csv").write_text("text,label\n")
    with pytest.raises(DataError):
        engine.submit(replace(config, train_file=str(tmp_path / "train.csv")), folder=tmp_path / "out")
    assert runs.list_runs() == [] and not (tmp_path / "out").exists()


def test_more_frozen_layers_than_there_are_are_refused_before_anything_is_kept(
    waiting: None, config: TrainConfig
) -> None:
    with pytest.raises(ConfigError, match=r"freeze_layers is 99. This model has \d layers"):
        engine.submit(replace(config, freeze_layers=99), splits=SPLITS)
    assert not runs.list_runs()
    engine.submit(replace(config, freeze_layers=1), splits=SPLITS)


def test_a_submitted_run_keeps_its_own_copy_of_the_rows(
    waiting: None, config: TrainConfig, tmp_path: Path
) -> None:
    FRAME.assign(label=FRAME["label"].map({0: "good", 1: "bad"})).to_csv(tmp_path / "ships.csv", index=False)
    run = engine.submit(replace(config, train_file="ships.csv", data_dir=str(tmp_path)))
    (tmp_path / "ships.csv").unlink()
    assert (run.state().status, run.name, run.source()["source"]) == (
        "queued",
        "tiny-bert0 on ships.csv",
        "ships.csv",
    )
    again = data.load_splits(replace(run.config(), data_dir=str(run.path)))
    assert (len(again.train) + len(again.validation), set(again.label_names)) == (24, {"good", "bad"})


def test_a_model_named_by_a_relative_folder_is_found_by_the_worker_too(
    waiting: None, config: TrainConfig, tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(tiny_bert)
    monkeypatch.chdir(tmp_path)
    run = engine.submit(replace(config, model="models/mine"), splits=SPLITS)
    monkeypatch.chdir(run.path)  # where the worker works
    assert models.locate(run.config().model).path.resolve() == tiny_bert.resolve()


@pytest.mark.parametrize(
    ("model", "title"),
    [
        ("starter", "starter on ships.csv"),
        ("google-bert/bert-base-uncased@v1", "bert-base-uncased on ships.csv"),
    ],
)
def test_a_runs_first_name_is_what_on_what(model: str, title: str) -> None:
    assert engine.title(TrainConfig(model=model), SPLITS) == title


# Stopping, killing, deleting


def test_a_queued_run_is_stopped_at_once(waiting: None, config: TrainConfig) -> None:
    run = engine.submit(config, splits=SPLITS)
    engine.stop(run)
    state = run.state()
    assert (state.status, state.message, state.ended > 0) == ("stopped", "Stopped before it began.", True)
    engine.wait(run)


def test_a_running_run_stops_after_its_step_with_a_model_and_the_next_one_starts(
    config: TrainConfig, ended_after: list[Run], tmp_path: Path
) -> None:
    """And a run in a folder of one's own choice, killed, frees the queue; deleted, it is gone for good."""
    long = replace(config, epochs=1000.0)
    first = engine.submit(long, splits=SPLITS)
    second = engine.submit(long, splits=SPLITS, folder=tmp_path / "mine")
    third = engine.submit(long, splits=SPLITS)
    ended_after += [first, second, third]
    assert [queue.position(run) for run in (first, second, third)] == [0, 1, 2]
    until(lambda: has(first, "step"))
    engine.stop(first)
    assert first.state().status == "running"
    engine.wait(first, seconds=180)
    assert first.state().status == "stopped", first.log_tail()
    result = first.result()
    assert result["stopped"] and result["steps"] < 3000
    assert models.locate(f"run:{first.id}").kind == "run"

    until(lambda: has(second, "status"))
    engine.kill(second)
    assert not second.is_locked()
    assert second.state().status in ("failed", "interrupted")
    engine.delete(second)
    assert not (tmp_path / "mine").exists() and not second.path.is_symlink()
    assert second.id not in [run.id for run in runs.list_runs()]

    until(lambda: has(third, "status"))
    os.kill(third.state().pid, signal.SIGKILL)
    until(lambda: not third.is_locked())
    assert third.state().status == "interrupted"
    with pytest.raises(RunError, match="interrupted"):
        engine.stop(third)
    engine.delete(third)
    assert [run.id for run in runs.list_runs()] == [first.id]


def test_a_run_paused_killed_and_terminated_goes_on_each_time_and_equals_one_that_was_left_alone(
    pair: Pair, config: TrainConfig, ended_after: list[Run]
) -> None:
    long = replace(config, epochs=20, checkpoint_steps=1)  # 60 steps
    run = engine.submit(long, splits=SPLITS)
    ended_after.append(run)

    def steps() -> int:
        return max((event.step for event in run.events()[0]), default=0)

    until(lambda: steps() >= 3)
    engine.pause(run)
    engine.wait(run, seconds=180)
    assert (run.state().status, run.result()) == ("paused", None)
    paused_at = run.checkpoint()
    assert paused_at == steps() < 60

    engine.resume(run)
    with pytest.raises(RunError, match="cannot be resumed"):
        engine.resume(run)
    until(lambda: steps() > paused_at + 2)
    os.killpg(run.state().pid, signal.SIGKILL)
    until(lambda: not run.is_locked())
    state = run.state()
    assert state.status == "interrupted" and "Resume it: it goes on after step" in state.hint
    engine.edit(run, name="renamed", notes="kept through all of it")

    engine.resume(run)
    killed_at = run.checkpoint()
    until(lambda: steps() > killed_at + 2 or run.state().status == "done")
    os.kill(run.state().pid, signal.SIGTERM)
    until(lambda: run.state().status in runs.ENDED and not run.is_locked())
    if run.state().status != "done":
        assert (run.state().status, run.state().message) == ("interrupted", worker.TERMINATED)
        engine.resume(run)
        engine.wait(run, seconds=180)
    assert run.state().status == "done", run.log_tail()
    assert (run.name, run.state().notes) == ("renamed", "kept through all of it")

    alone = engine.submit(replace(long, checkpoint_steps=0), splits=SPLITS)
    ended_after.append(alone)
    engine.wait(alone, seconds=180)
    found, wanted = (
        [
            (each.step, each.loss, each.metrics)
            for each in one.events()[0]
            if each.kind in ("base", "step", "epoch", "done")
        ]
        for one in (run, alone)
    )
    assert found == wanted
    weights = [(one.path / "model" / "model.safetensors").read_bytes() for one in (run, alone)]
    assert weights[0] == weights[1]
    assert not run.checkpoints()
    with pytest.raises(RunError, match="is done: it cannot be resumed"):
        engine.resume(run)


def test_a_queued_run_that_is_paused_waits_no_longer_and_comes_back_at_the_end(
    waiting: None, config: TrainConfig
) -> None:
    first, second = (engine.submit(config, splits=SPLITS) for _ in range(2))
    engine.pause(first)
    assert (first.state().status, queue.position(second)) == ("paused", 1)
    engine.resume(first)
    assert (first.state().status, queue.position(first), first.state().message) == ("queued", 2, "")


def test_only_the_batch_may_change_in_the_middle_of_a_run(waiting: None, config: TrainConfig) -> None:
    run = engine.submit(config, splits=SPLITS)
    engine.pause(run)
    engine.resume(run, {"max_length": 24})
    engine.pause(run)
    (run.path / "checkpoints" / "step-000000003").mkdir(parents=True)
    with pytest.raises(RunError, match="max_length cannot change"):
        engine.resume(run, {"max_length": 16, "batch_size": 4})
    assert run.state().status == "paused"
    engine.resume(run, {"batch_size": 4, "gradient_accumulation": 2})
    found = run.config()
    assert (found.max_length, found.batch_size, found.gradient_accumulation) == (24, 4, 2)


def test_a_name_and_notes_are_edited_within_limits_and_whatever_the_state(
    waiting: None, config: TrainConfig
) -> None:
    run = engine.submit(config, splits=SPLITS)
    engine.edit(run, name="  mine ", notes="tried twice")
    assert (run.name, run.state().notes, run.state().status) == ("mine", "tried twice", "queued")
    engine.edit(run, notes="")
    assert (run.name, run.state().notes) == ("mine", "")
    with pytest.raises(RunError, match="201 characters"):
        engine.edit(run, name="n" * 201)
    run.write_state(replace(run.state(), status="running"))
    engine.edit(run, name="other")
    assert run.written_state().status == "running"


def test_the_size_of_a_run_is_that_of_its_files(waiting: None, config: TrainConfig) -> None:
    run = engine.submit(config, splits=SPLITS)
    before = engine.size(run)
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints" / "big").write_bytes(b"0" * 5000)
    assert engine.size(run) == before + 5000 > 5000


FULL = """
import resource, sys
from bertspace.jobs import worker
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
sys.exit(worker.main([sys.argv[1]]))
"""


@pytest.mark.parametrize("limit", [1_000, 60_000, 300_000])
def test_a_full_disk_at_any_write_leaves_a_readable_run_that_goes_on(
    limit: int, waiting: None, config: TrainConfig, tmp_path: Path
) -> None:
    """The limit on a file's size hits the events, the result, a checkpoint or the model, as it is small."""
    run = engine.submit(replace(config, epochs=3, checkpoint_steps=2), splits=SPLITS)
    environment = processes.child_environment(trains=True)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(run.path), str(limit)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    state = run.state()
    assert state.status in ("failed", "interrupted")
    if state.status == "failed":
        assert state.message == "The disk is full: a file could not be written."
    assert not [path for path in run.path.rglob("*.tmp") if path.is_file()]
    engine.resume(run)
    assert worker.main([str(run.path)]) == 0
    assert [event.step for event in run.events()[0] if event.kind == "step"] == list(range(1, 10))


def test_waiting_ends_after_the_seconds_given(waiting: None, config: TrainConfig) -> None:
    run = engine.submit(config, splits=SPLITS)
    begin = time.monotonic()
    engine.wait(run, seconds=0.5)
    assert time.monotonic() - begin > 0.4
    assert run.state().status == "queued"


def test_a_deleted_run_leaves_its_neighbours_alone(waiting: None, config: TrainConfig) -> None:
    gone, kept = engine.submit(config, splits=SPLITS), engine.submit(config, splits=SPLITS)
    engine.delete(gone)
    assert [run.id for run in runs.list_runs()] == [kept.id]


def test_a_process_that_ended_meanwhile_is_not_an_error(waiting: None, config: TrainConfig) -> None:
    run = engine.submit(config, splits=SPLITS)
    run.write_state(RunState(status="running", pid=2**22 - 7))
    engine.kill(run, seconds=0.1)
    assert run.state().status == "interrupted"


# Bases on the Hub


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A common cache of the test's own, here and in the workers."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "common"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "common"))
    return tmp_path / "common"


def test_a_base_is_pinned_to_its_commit_when_the_run_is_submitted(
    hub: Any, config: TrainConfig, tiny_bert: Path, own_cache: Path, waiting: None
) -> None:
    commit = hub.put("alice/tiny", tiny_bert)
    for name in ("alice/tiny", "alice/tiny@main", f"alice/tiny@{commit}"):
        run = engine.submit(replace(config, model=name), splits=SPLITS)
        assert run.config().model == f"alice/tiny@{commit}" and run.name == "tiny on ships.csv"
    assert not list(own_cache.glob("models--*"))  # a public one is left to the worker


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("alice/none", "no model alice/none"),
        ("alice/secret", "no model alice/secret"),
        ("alice/gated", "asks for its terms"),
        ("alice/pickled", "no safetensors"),
        ("alice/gpt", "gpt"),
        ("alice/large", "the limit here is 1 kB"),
        ("alice/large@gone", "no revision 'gone'"),
    ],
)
def test_a_base_that_cannot_be_had_fails_at_once_and_leaves_nothing(
    name: str, why: str, hub: Any, config: TrainConfig, tiny_bert: Path, own_cache: Path, home: Path
) -> None:
    hub.user("alice")
    hub.put("alice/secret", tiny_bert, private=True)
    hub.put("alice/gated", tiny_bert, gated=True)
    hub.put("alice/pickled", {"config.json": b'{"model_type": "bert"}', "pytorch_model.bin": b"x"})
    hub.put("alice/gpt", {"config.json": b'{"model_type": "gpt2"}', "model.safetensors": b"x"})
    hub.put("alice/large", tiny_bert)
    with using(Credentials(False, guest=True, max_bytes=1024)), pytest.raises(BertspaceError, match=why):
        engine.submit(replace(config, model=name), splits=SPLITS)
    assert runs.list_runs() == [] and not list(own_cache.glob("models--*"))


def test_a_private_base_is_trained_by_a_worker_that_has_no_token(
    hub: Any, config: TrainConfig, tiny_bert: Path, own_cache: Path, ended_after: list[Run]
) -> None:
    token, owner = hub.user("alice"), "u-0123456789abcdef01234567"
    commit = hub.put("alice/secret", tiny_bert, private=True)
    with using(Credentials(token, cache.of_owner(owner), guest=True)):
        run = engine.submit(replace(config, model="alice/secret", epochs=200), owner=owner, splits=SPLITS)
    ended_after.append(run)
    assert run.owner == owner and run.config().model == f"alice/secret@{commit}"
    hub.fail(503, times=0)  # the worker needs nothing of the Hub
    until(lambda: has(run, "step"))
    if sys.platform == "linux":
        process = Path("/proc") / str(run.written_state().pid)
        assert token.encode() not in (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    engine.stop(run)
    engine.wait(run, 180)
    assert run.state().status == "stopped"
    assert not list(own_cache.glob("models--*")) and list(cache.of_owner(owner).glob("models--*"))
    held = [
        path for path in files.home().rglob("*") if path.is_file() and token.encode() in path.read_bytes()
    ]
    assert held == []
    assert [each.id for each in runs.list_runs(owner)] == [run.id]


def test_a_private_base_that_does_not_arrive_in_time_is_to_be_pulled_first(
    hub: Any, config: TrainConfig, tiny_bert: Path, own_cache: Path
) -> None:
    hub.put("alice/secret", tiny_bert, private=True)
    with using(Credentials(hub.user("alice"))), pytest.raises(BertspaceError, match="Pull it in the Hub tab"):
        engine.submit(replace(config, model="alice/secret"), splits=SPLITS, seconds=1e-9)
    assert runs.list_runs() == []


def test_a_workers_rights_are_its_owners_without_a_token(home: Path, tmp_path: Path) -> None:
    own, users = (Run.create(TrainConfig(), owner=owner) for owner in ("local", "u-1"))
    elsewhere = Run.create(TrainConfig(), folder=tmp_path / "mine")
    assert worker.credentials_of(own) == worker.credentials_of(elsewhere) == Credentials()
    assert worker.credentials_of(Run(tmp_path / "mine")) == Credentials()
    assert worker.credentials_of(users) == Credentials(False, home / "u-1" / "hub")
