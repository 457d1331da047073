"""A stranger's model is computed with in a process apart, which has nothing to lose and can be ended."""

import ast
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertspace import models, runs
from bertspace.data import Splits
from bertspace.errors import DataError, ModelError, TimeLimitError
from bertspace.hub.credentials import Credentials, using
from bertspace.models import apart, children, evaluation, inference, wire
from bertspace.processes import Deadline
from bertspace.safety import confine
from bertspace.schema import RunState, TrainConfig
from bertspace.training import pace
from tests.support import until

pytestmark = pytest.mark.slow

TEXT = "the ship is [MASK]"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Landlock, seccomp and /proc are Linux's")


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[apart.Pool]:
    """The app's children, of this test alone."""
    fresh = apart.Pool()
    monkeypatch.setattr(apart, "_POOL", fresh)
    monkeypatch.setattr(apart, "_on", True)
    yield fresh
    fresh.end()


def run_of(owner: str, tiny_bert: Path) -> models.Located:
    """A finished run with the tiny model."""
    run = runs.Run.create(TrainConfig(task="fill-mask"), owner=owner)
    run.write_state(RunState(status="done"))
    shutil.copytree(tiny_bert, run.path / "model")
    return models.locate(f"run:{run.id}" if owner == runs.LOCAL_OWNER else f"run:{owner}/{run.id}")


def guests_run(tiny_bert: Path) -> models.Located:
    return run_of("u-0123456789abcdef01234567", tiny_bert)


def own_run(tiny_bert: Path) -> models.Located:
    return run_of(runs.LOCAL_OWNER, tiny_bert)


def test_who_answers_for_a_model_decides_where_it_is_computed_with(tiny_bert: Path) -> None:
    assert own_run(tiny_bert).is_trusted
    assert models.Located("starter", tiny_bert, "starter").is_trusted
    assert models.Located(str(tiny_bert), tiny_bert, "folder").is_trusted
    assert not guests_run(tiny_bert).is_trusted
    assert not models.Located("owner/name", tiny_bert, "hub").is_trusted
    assert not models.Located("what was pushed", tiny_bert, "guest's").is_trusted


def test_the_owners_models_start_no_process(pool: apart.Pool, tiny_bert: Path) -> None:
    assert inference.predict_by(own_run(tiny_bert), [TEXT], "fill-mask")[0]
    assert pool.processes == []


def test_every_work_gives_the_same_apart_as_here(
    pool: apart.Pool, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    located = guests_run(tiny_bert)
    texts = ["the ship is [MASK] and [MASK]", "a [MASK]", "[MASK]"]
    config = TrainConfig(task="fill-mask", model=located.name, max_length=32, chunk_size=0)
    frame = pd.DataFrame({"text": ["the sea is big", "a storm", "the keeper saw the light"]})

    def all_of_it() -> list[Any]:
        asked = {"texts": texts, "pairs": None}
        table = evaluation.tabulate(located, frame, config)
        pooled = evaluation.tabulate(located, frame, config, features=True)
        return [
            inference.predict_by(located, texts, "fill-mask", top_k=3),
            np.round(apart.compute(located, "features", asked), 5).tolist(),
            apart.compute(located, "token_counts", asked),
            apart.compute(located, "vocabulary", {}),
            apart.compute(located, "longest_text", {}),
            {name: np.round(values, 5).tolist() for name, values in (table | pooled).items()},
        ]

    there = all_of_it()
    assert len(pool.processes) == 1
    monkeypatch.setattr(apart, "_on", False)
    assert json.dumps(there, default=str) == json.dumps(all_of_it(), default=str)


def test_the_pace_of_a_strangers_base_is_measured_apart(pool: apart.Pool, tiny_bert: Path) -> None:
    located = guests_run(tiny_bert)
    frame = pd.DataFrame({"text": ["the sea is big", "a storm"], "label": [0, 1]})
    splits = Splits(frame, frame, None, ("a", "b"), "rows", ())
    found = pace.of(TrainConfig(model=located.name, text_column="text"), splits)
    assert found.values > 10_000 and found.layers == 2 and found.longest == 128
    assert len(pool.processes) == 1
    assert not any(located.name in key for key in pace._KNOWN)


def test_errors_come_back_as_they_are(pool: apart.Pool, tiny_bert: Path) -> None:
    with pytest.raises(DataError, match="No .MASK. in 'no mask'"):
        inference.predict_by(guests_run(tiny_bert), ["no mask"], "fill-mask")
    assert len(pool.processes) == 1


@LINUX
def test_the_child_has_no_secrets_and_is_confined(
    pool: apart.Pool, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("HF_TOKEN", "BERTSPACE_OWNER_KEY", "DATABASE_URL", "MY_PAT", "OAUTH_CLIENT_SECRET", "AWS_X")
    for name in secrets:
        monkeypatch.setenv(name, "the-secret-of-the-host")
    inference.predict_by(guests_run(tiny_bert), [TEXT], "fill-mask")
    (pid,) = pool.processes
    told = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"the-secret" not in told and not any(name.encode() in told for name in secrets)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max data size             unlimited" not in limits
    assert not [path for path in Path(f"/proc/{pid}/fd").iterdir() if "socket" in os.readlink(path)]


CONFINED = """
import os, socket, subprocess, sys
from pathlib import Path
from bertspace.safety import confine
holds = confine.reach([Path(sys.argv[1])], Path(sys.argv[2]))
def tried(work):
    try:
        work()
        return "done"
    except (OSError, MemoryError) as error:
        return type(error).__name__
confine.memory(200_000_000)
def signalled(pid):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.tgkill(pid, pid, 0):
        raise OSError(ctypes.get_errno(), "refused")
print(holds, {
    "own": tried(lambda: (Path(sys.argv[1]) / "a").read_text()),
    "scratch": tried(lambda: (Path(sys.argv[2]) / "b").write_text("b")),
    "host": tried(lambda: Path(sys.argv[3]).read_text()),
    "passwd": tried(lambda: Path("/etc/passwd").read_text()),
    "parent": tried(lambda: Path(f"/proc/{os.getppid()}/environ").read_text()),
    "write": tried(lambda: Path(sys.argv[3]).write_text("x")),
    "up": tried(lambda: (Path(sys.argv[2]) / ".." / "c").write_text("c")),
    "tcp": tried(lambda: socket.create_connection(("127.0.0.1", 9), 1)),
    "unix": tried(lambda: socket.socket(socket.AF_UNIX)),
    "udp": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "program": tried(lambda: subprocess.run(["true"])),
    "kill": tried(lambda: os.kill(os.getppid(), 0)),
    "shared memory": tried(lambda: os.listdir("/dev/shm")),
    "another's thread": tried(lambda: signalled(os.getppid())),
    "memory": tried(lambda: bytearray(400_000_000)),
})
"""


@LINUX
def test_a_confined_process_reaches_its_files_and_nothing_else(tmp_path: Path) -> None:
    for name in ("own", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "own" / "a").write_text("a")
    (tmp_path / "host").write_text("secret")
    arguments = [str(tmp_path / name) for name in ("own", "scratch", "host")]
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, *arguments], capture_output=True, text=True, check=True, timeout=300
    )
    if "('files', 'signals', 'calls')" not in done.stdout:
        pytest.skip(f"this kernel has not all of Landlock and seccomp: {done.stdout}")
    refused = {"host": "PermissionError", "passwd": "PermissionError", "parent": "PermissionError"}
    refused |= {"write": "PermissionError", "up": "PermissionError", "memory": "MemoryError"}
    refused |= dict.fromkeys(
        ("tcp", "unix", "udp", "program", "kill", "shared memory", "another's thread"), "PermissionError"
    )
    answers = ast.literal_eval(done.stdout[done.stdout.index("{") :])
    assert answers == {"own": "done", "scratch": "done"} | refused


# Time and memory


def slow_model(tiny_bert: Path) -> models.Located:
    """A run whose few weights are gone through a thousand times."""
    from transformers import AlbertConfig, AlbertForMaskedLM

    located = guests_run(tiny_bert)
    config = AlbertConfig(
        vocab_size=400, embedding_size=8, hidden_size=64, num_attention_heads=4, num_hidden_layers=1000,
        intermediate_size=64, max_position_embeddings=512,
    )  # fmt: skip
    AlbertForMaskedLM(config).save_pretrained(located.path)
    return located


def test_a_call_that_does_not_end_is_ended_and_others_go_on(pool: apart.Pool, tiny_bert: Path) -> None:
    quick, slow = guests_run(tiny_bert), slow_model(tiny_bert)
    expected = inference.predict_by(quick, [TEXT], "fill-mask")
    inference.predict_by(slow, ["[MASK]"], "fill-mask")
    children = set(pool.processes)
    assert len(children) == 2
    begin = time.monotonic()
    with pytest.raises(TimeLimitError):
        inference.predict_by(slow, ["the " * 120 + "[MASK]"] * 32, "fill-mask", seconds=2)
    assert time.monotonic() - begin < 60
    (left,) = pool.processes
    assert left in children and inference.predict_by(quick, [TEXT], "fill-mask") == expected
    (ended,) = children - {left}
    assert not Path(f"/proc/{ended}").exists()
    assert inference.predict_by(slow, ["[MASK]"], "fill-mask")[0]


def test_a_model_that_takes_too_much_memory_is_told_and_takes_nothing_from_others(
    pool: apart.Pool, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import DebertaV2Config, DebertaV2ForMaskedLM

    monkeypatch.setattr(apart, "MEMORY", 400_000_000)
    located = guests_run(tiny_bert)
    config = DebertaV2Config(
        vocab_size=400, hidden_size=64, num_attention_heads=64, num_hidden_layers=1, intermediate_size=8,
        max_position_embeddings=8192, position_biased_input=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        DebertaV2ForMaskedLM(config).save_pretrained(located.path)
    tokenizer = located.path / "tokenizer_config.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"model_max_length": 8192}))
    with pytest.raises(ModelError, match="more memory than it may here|more than it may here"):
        inference.predict_by(located, ["the " * 4000 + "[MASK]"], "fill-mask", seconds=60)
    assert inference.predict_by(located, [TEXT], "fill-mask", seconds=60)[0]


def test_a_child_that_was_killed_is_started_anew(pool: apart.Pool, tiny_bert: Path) -> None:
    located = guests_run(tiny_bert)
    expected = inference.predict_by(located, [TEXT], "fill-mask")
    (pid,) = pool.processes
    os.kill(pid, 9)
    (child,) = pool._idle.values()
    until(lambda: not child.lives)
    assert inference.predict_by(located, [TEXT], "fill-mask") == expected
    assert pool.processes != [pid]


def test_weights_that_vanish_meanwhile_are_no_traceback(pool: apart.Pool, tiny_bert: Path) -> None:
    located = guests_run(tiny_bert)
    (located.path / "extra.safetensors").symlink_to("/nonexistent")
    with pytest.raises(ModelError, match="is being saved"):
        inference.predict_by(located, [TEXT], "fill-mask")


def test_a_model_that_was_written_anew_gets_a_new_child(pool: apart.Pool, tiny_bert: Path) -> None:
    located = guests_run(tiny_bert)
    inference.predict_by(located, [TEXT], "fill-mask")
    time.sleep(0.01)
    (located.path / "model.safetensors").touch()
    inference.predict_by(located, [TEXT], "fill-mask")
    assert len(pool.processes) == 2


def test_there_are_never_more_children_than_places(
    pool: apart.Pool, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTSPACE_MAX_MODEL_PROCESSES", "1")
    first, second = guests_run(tiny_bert), guests_run(tiny_bert)
    for located in (first, second, first):
        inference.predict_by(located, [TEXT], "fill-mask")
        assert len(pool.processes) == 1


def test_what_nobody_asks_ends_and_leaves_nothing(pool: apart.Pool, tiny_bert: Path) -> None:
    inference.predict_by(guests_run(tiny_bert), [TEXT], "fill-mask")
    (child,) = pool._idle.values()
    scratch = Path(child.scratch.name)
    assert any(scratch.rglob("config.json"))  # the layout is made there
    pool.end(3600)
    assert child.lives
    pool.end()
    assert not child.lives and not scratch.exists() and pool.processes == []


def test_one_person_never_has_all_the_places(pool: apart.Pool) -> None:
    pool._busy = {("a",): "one", ("b",): "one"}
    with using(Credentials(who="one")):
        assert not pool._may_begin(("c",), "one")
        with pytest.raises(TimeLimitError):
            pool._take(("c",), Deadline(0.05))
    assert pool._may_begin(("c",), "two")
    assert not pool._may_begin(("a",), "two")  # one call at a time


def test_two_calls_to_one_model_take_turns(pool: apart.Pool, tiny_bert: Path) -> None:
    located = guests_run(tiny_bert)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(inference.predict_by(located, [TEXT], "fill-mask")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(each == found[0] for each in found)
    assert len(pool.processes) == 1


@LINUX
def test_children_end_with_what_they_are_forked_from_and_come_again(
    pool: apart.Pool, tiny_bert: Path
) -> None:
    located = guests_run(tiny_bert)
    expected = inference.predict_by(located, [TEXT], "fill-mask")
    (pid,) = pool.processes
    process = children.SERVER._process
    assert process is not None
    process.kill()
    until(lambda: not Path(f"/proc/{pid}/cmdline").exists())
    assert inference.predict_by(located, [TEXT], "fill-mask") == expected


# What a child may answer


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, "a", 2.5, True, {"a": [None, "😀"]}],
        {"\0array": 1, "\0\0b": {"\0array": np.zeros(2)}},
        {"table": np.arange(6, dtype=np.float32).reshape(2, 3), "rows": [np.array([1, 2]), np.zeros((0, 4))]},
    ],
    ids=["nothing", "plain", "keys", "arrays"],
)
def test_what_is_packed_is_unpacked(value: Any) -> None:
    message = wire.pack(value)
    whole, text = wire.lengths(message[: wire.HEAD.size])
    assert whole == len(message) - wire.HEAD.size
    found = wire.unpack(message[wire.HEAD.size :], text)
    assert repr(found) == repr(value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{",
        '{"\\u0000array": ["object", [1]]}',
        '{"\\u0000array": ["float32", [-1]]}',
        '{"\\u0000array": ["float32", [1000000000, 1000000000]]}',
        '{"\\u0000array": ["float32"]}',
        '{"\\u0000array": 7}',
        '{"\\u0000array": ["float32", [1, 1, 1, 1, 1]]}',
        '{"\\u0000array": ["float32", [' + "9" * 4000 + "]]}",
        '{"a": 1}trailing',
    ],
)
def test_a_message_that_cannot_be_is_refused(text: str) -> None:
    body = text.encode()
    with pytest.raises(ValueError):
        wire.unpack(body, len(body))


@pytest.mark.parametrize("head", [b"\xff" * 16, wire.HEAD.pack(5, 6), wire.HEAD.pack(2**40, 0)])
def test_a_message_of_no_length_that_can_be_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError):
        wire.lengths(head)


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"error": None}, {"error": ["SystemExit", "x"]}, {"error": [1, 2, 3]}, "text",
     {"error": ["KeyboardInterrupt", "a" * 10**6, "b"]}],
)  # fmt: skip
def test_an_error_of_any_shape_is_a_short_model_error(answer: Any) -> None:
    with pytest.raises(ModelError) as caught:
        apart._value(answer, "evil/model")
    assert len(str(caught.value)) < 2100


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        [[["a", {"b": float("nan")}, ""]]],
        [[["a", {"b": 10**400}, ""]]],
        [[["a", {"b": 1}]]],
        [[["a", {"b": "x"}, ""]]],
        [[["a", {}, ""]]],
        [[["a", [], ""]]],
        [1],
        {},
    ],
)
def test_answers_of_another_shape_are_refused(found: Any) -> None:
    with pytest.raises(ModelError, match="another shape|not finite"):
        inference.checked_answers(found, 1, "text-classification")


def test_the_processor_time_of_a_call_is_bounded(tmp_path: Path) -> None:
    code = "from bertspace.safety import confine\nconfine.processor(0.2)\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", code], timeout=300, check=False)
    assert done.returncode < 0
    assert confine._data_bytes() >= 0
