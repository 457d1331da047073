"""bertspace push, pull, train --push-to and Hub names on the command line, against the test Hub."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertspace.cli import main
from tests.support import ROOT, until

SENTENCES = [f"we saw the {a} {b}" for a in ("good", "bad", "big") for b in ("ship", "sea", "house", "dog")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_snippet: None) -> Iterator[Path]:
    from huggingface_hub import constants

    folder = tmp_path / "huggingface" / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HOME", str(folder.parent))
    yield folder


@pytest.fixture
def alice(hub: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The machine's own login."""
    token = hub.user("alice")
    monkeypatch.setenv("HF_TOKEN", token)
    return token


@pytest.fixture
def model(hub: Any, tiny_bert: Path) -> str:
    hub.user("base")
    hub.put("base/tiny", tiny_bert)
    return "base/tiny"


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[Any, str]:
    """The JSON document and stderr of a command."""
    assert main([*words, "--json"]) == code, capsys.readouterr().err
    out, err = capsys.readouterr()
    return json.loads(out or "null"), err


def test_a_model_is_pulled_and_used_by_its_name(
    hub: Any, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pulled, err = said(capsys, "pull", model)
    assert (pulled["model"], pulled["revision"]) == (model, hub.repo(model).refs["main"])
    assert Path(pulled["folder"], "model.safetensors").is_file() and " of " in err
    answered, _ = said(capsys, "predict", model, "we saw the [MASK]", "--top-k", "2")
    assert len(answered["predictions"][0]["masks"][0]) == 2


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("base/none", "no model base/none"),
        ("no name", "is no model name"),
        ("base/tiny@v9", "no revision 'v9'"),
    ],
)
def test_what_cannot_be_pulled_is_one_line_and_bad_input(
    name: str, why: str, hub: Any, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", name]) == 2
    err = capsys.readouterr().err
    assert why in err and err.count("\n") == 1 and "Traceback" not in err


@pytest.mark.slow
def test_a_run_is_trained_from_the_hub_published_and_compared(
    hub: Any, model: str, alice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{text},{'good' if 'good' in text else 'other'}\n" for text in SENTENCES * 3)
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}")
    settings = ["--model", model, "--train-file", str(tmp_path / "rows.csv"), "--epochs", "2"]
    settings += ["--batch-size", "8", "--max-length", "16", "--learning-rate", "1e-3", "--precision", "fp32"]
    to = ["--push-to", "alice/greetings", "--push-each-epoch", "--private", "--language", "en"]
    done, _ = said(capsys, "train", *settings, *to)
    assert done["status"] == "done" and done["published"]["verified"] is True
    assert hub.repo("alice/greetings").private
    titles = hub.commits("alice/greetings")
    assert titles[0].endswith("by bertspace") and titles[-1] == "initial commit"
    assert done["config"]["model"] == f"{model}@{hub.repo(model).refs['main']}"
    again, _ = said(capsys, "push", done["run"], "alice/greetings", "--language", "en")
    assert again["changed"] is False and hub.commits("alice/greetings") == titles
    found, _ = said(capsys, "compare", done["config"]["model"], "alice/greetings", "we saw the good sea")
    assert found["rows"][0]["tuned"]["label"] in ("good", "other")
    document = json.dumps([done, again, found])
    written = b"".join(path.read_bytes() for path in Path(done["folder"]).rglob("*") if path.is_file())
    assert alice not in document and alice.encode() not in written


def test_the_right_to_write_is_looked_at_before_the_training(
    hub: Any, model: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.user("bob", role="read"))
    assert main(["train", "--dataset", "sample:office", "--model", model, "--push-to", "bob/x"]) == 2
    assert "may read only" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", hub.user("carol"))
    assert main(["train", "--dataset", "sample:office", "--model", model, "--push-to", "bob/x"]) == 2
    assert "carol may not write to bob" in capsys.readouterr().err
    assert not list(home.rglob("state.json"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--push-to", "alice/x", "--no-wait"], "--no-wait"),
        (["--push-each-epoch"], "--push-to"),
        (["--push-to", "nowhere"], "no owner"),
        (["--push-to", "alice/x", "--branch", "b", "--pr"], "branch and a pull request"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    words: list[str], why: str, hub: Any, alice: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--dataset", "sample:office", *words]) == 2
    assert why in capsys.readouterr().err
    assert not list(home.rglob("state.json"))


def pulling(name: str, cache: Path) -> subprocess.Popen[str]:
    """`bertspace pull` in a process of its own."""
    environment = os.environ | {"HF_HOME": str(cache.parent), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "bertspace", "pull", name],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_pull_that_is_killed_keeps_what_has_arrived_and_goes_on(
    number: signal.Signals, hub: Any, model: str, cache: Path
) -> None:
    weights = hub.files(model)["model.safetensors"]
    blobs = cache / "models--base--tiny" / "blobs"
    partial = blobs / f"{hashlib.sha256(weights).hexdigest()}.incomplete"
    hub.fail("stall", path="/storage/", times=1, seconds=120)
    process = pulling(model, cache)
    until(lambda: process.poll() is not None or (partial.exists() and partial.stat().st_size))
    assert process.poll() is None, process.communicate()[1]
    process.send_signal(number)
    process.wait(300)
    process.communicate()
    arrived = partial.stat().st_size
    assert 0 < arrived < len(weights)
    hub.calm()
    asked = len(hub.requests)
    process = pulling(model, cache)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert f"bytes={arrived}-" in {each.range for each in hub.requests[asked:]}


@pytest.mark.slow
def test_a_mirror_is_asked_where_the_variable_says_so_and_offline_the_disk_serves(
    hub: Any, model: str, cache: Path
) -> None:
    process = pulling(model, cache)
    assert process.wait(300) == 0
    process.communicate()
    asked = len(hub.requests)
    environment = os.environ | {"HF_HOME": str(cache.parent), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}

    def predict(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bertspace", "predict", name, "we saw the [MASK]"]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    here, other = predict(model), predict("base/other")
    assert here.returncode == 0, here.stderr
    assert other.returncode == 2 and "HF_HUB_OFFLINE is set" in other.stderr
    assert len(hub.requests) == asked


def rows_of(tmp_path: Path) -> list[str]:
    rows = "".join(f"{text},{'good' if 'good' in text else 'other'}\n" for text in SENTENCES * 3)
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}")
    settings = ["--train-file", str(tmp_path / "rows.csv"), "--epochs", "1", "--batch-size", "12"]
    return [*settings, "--max-length", "16", "--precision", "fp32"]


@pytest.mark.slow
def test_where_the_push_fails_after_the_training_the_result_is_printed_with_a_code_of_its_own(
    hub: Any, model: str, alice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.fail(403, path="/preupload/", times=0, said="Private storage limit reached")
    done, err = said(
        capsys, "train", "--model", model, *rows_of(tmp_path), "--push-to", "alice/greetings", code=3
    )
    assert done["status"] == "done" and done["validation"]["accuracy"] >= 0
    assert "Private storage limit reached" in done["published"]["error"]
    assert f"The run {done['run']} is trained and kept, but it was not published" in err
    hub.calm()
    hub.fail(402, path="/api/repos/create", times=1, after=0, said="Gradio Spaces need a paid plan")
    hub.put("alice/greetings", {"notes.txt": b"x"})
    pushed, err = said(capsys, "push", done["run"], "alice/greetings", "--space", code=3)
    assert pushed["verified"] is True and "Gradio Spaces need a paid plan" in pushed["error"]
    assert "Gradio Spaces need a paid plan" in err and "Traceback" not in err


def test_what_cannot_be_pushed_is_refused_before_the_training(
    hub: Any, model: str, alice: str, home: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    hub.put("alice/public", {"notes.txt": b"x"})
    hub.user("bob")
    reads = hub.user("alice", grants={"alice": ("repo.content.read",)})
    for token, words, why in (
        (alice, ["--push-to", "alice/x", "--adapter"], "without LoRA has no adapter"),
        (alice, ["--push-to", "alice/public", "--private"], "is public on the Hub"),
        (alice, ["--push-to", "alice/a..b"], "is no repository name"),
        (reads, ["--push-to", "alice/x"], "fine-grained"),
        ("", ["--push-to", "alice/x"], "no token"),
    ):  # fmt: skip
        monkeypatch.setenv("HF_TOKEN", token)
        assert main(["train", "--dataset", "sample:office", "--model", model, *words]) == 2
        assert why in capsys.readouterr().err
    assert not list(home.rglob("state.json"))


@pytest.mark.slow
def test_a_push_writes_no_progress_bars_where_there_is_no_terminal(
    hub: Any, model: str, alice: str, tmp_path: Path
) -> None:
    """In a process of its own, as the Hub's client reads the variable when it is imported."""
    code = (
        "import sys\nfrom bertspace import processes\nprocesses.bars_in_terminals_only()\n"
        "from huggingface_hub import HfApi\n"
        "HfApi().upload_file(path_or_fileobj=b'x' * 100_000, path_in_repo='a.bin', repo_id='base/tiny')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_TOKEN": hub.user("base")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert "%|" not in done.stderr and "a.bin" in hub.files(model)
