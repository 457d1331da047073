"""The app to a Space, and small Spaces for published models, against the test Hub."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertspace.errors import ConfigError, HubError
from bertspace.hub.credentials import Credentials, using
from bertspace.publish import app_space, demo_space, requirements
from bertspace.publish.demo_space import Companion
from tests.support import ROOT

SPACE = "alice/my-bertspace"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A working copy with what must not go up lying about in it."""
    root = tmp_path / "copy"
    shutil.copytree(ROOT / "bertspace", root / "bertspace", ignore=shutil.ignore_patterns("starter"))
    for name in app_space.TOP:
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "docs", root / "docs")
    for name in (".env", "runs/local/x/state.json", "tests/test_x.py", "bertspace/.secret.py", ".git/config"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("TOKEN=hf_secret")
    (root / "bertspace" / "cache.pkl").write_bytes(b"hf_secret")
    (root / "bertspace" / "passwd.txt").symlink_to("/etc/passwd")
    return root


@pytest.fixture
def alice(hub: Any) -> Iterator[str]:
    token = hub.user("alice")
    with using(Credentials(token=token)):
        yield token


def test_a_space_gets_what_it_runs_from_and_nothing_else(hub: Any, alice: str, copy: Path) -> None:
    variables = {"BERTSPACE_MAX_ROWS": "500"}
    done = app_space.deploy(SPACE, private=True, hardware="cpu-basic", variables=variables, root=copy)
    files = hub.files(SPACE, kind="space")
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").iterdir()}
    assert pages | set(app_space.TOP) <= set(files)
    others = set(files) - pages - set(app_space.TOP)
    assert others and all(name.startswith("bertspace/") and "__pycache__" not in name for name in others)
    assert "bertspace/passwd.txt" not in files
    assert not [name for name, content in files.items() if b"hf_secret" in content]
    repo = hub.repo(SPACE, "space")
    assert (repo.private, repo.sdk, repo.variables) == (True, "gradio", variables)
    assert (done.changed, done.files) == (True, len(files))


def test_the_front_matter_says_what_signing_in_needs(hub: Any, alice: str, copy: Path) -> None:
    import gradio
    import yaml

    app_space.deploy(SPACE, hardware="cpu-basic", root=copy)
    front = yaml.safe_load(hub.files(SPACE, kind="space")["README.md"].decode().split("---\n")[1])
    assert front["hf_oauth"] is True and front["hf_oauth_scopes"] == app_space.SCOPES
    assert (front["sdk"], front["sdk_version"]) == ("gradio", gradio.__version__)
    assert front["suggested_hardware"] == "cpu-basic" and len(front["short_description"]) <= 60


def test_a_second_time_only_what_changed_goes_up_and_what_is_gone_goes(
    hub: Any, alice: str, copy: Path
) -> None:
    app_space.deploy(SPACE, root=copy)
    again = app_space.deploy(SPACE, root=copy)
    assert (again.changed, len(hub.commits(SPACE, kind="space"))) == (False, 2)
    (copy / "bertspace" / "policy.py").unlink()
    hub.put(SPACE, {".gitattributes": b"*.safetensors filter=lfs\n", "old.py": b"x"}, kind="space")
    assert app_space.deploy(SPACE, root=copy).changed
    files = hub.files(SPACE, kind="space")
    assert {"bertspace/policy.py", "old.py"}.isdisjoint(files) and ".gitattributes" in files


def test_what_is_no_working_copy_and_what_is_a_secret_is_refused(
    hub: Any, alice: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no working copy"):
        app_space.deploy(SPACE, root=tmp_path)
    for name, why in (("HF_TOKEN", "looks like a secret"), ("A B", "no variable's name")):
        with pytest.raises(ConfigError, match=why):
            app_space.deploy(SPACE, variables={name: "x"})
    with pytest.raises(ConfigError, match="no owner"):
        app_space.deploy("mine")
    with pytest.raises(HubError):
        app_space.deploy("bob/his")
    assert not hub.store.repos


@pytest.mark.slow
def test_the_workflows_command_needs_the_client_yaml_and_jinja_only() -> None:
    """What `python -m bertspace deploy` imports, in a process that has nothing heavy."""
    heavy = (
        "torch",
        "transformers",
        "datasets",
        "gradio",
        "pandas",
        "numpy",
        "sklearn",
        "accelerate",
        "PIL",
    )
    code = (
        "import sys\n"
        f"for name in {heavy!r}: sys.modules[name] = None\n"
        "from bertspace.cli import main\n"
        "main(['deploy', '--help'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0 and "OWNER/NAME" in done.stdout, done.stderr


def test_what_the_hub_says_of_a_space_that_it_does_not_make_is_told(hub: Any, alice: str, copy: Path) -> None:
    words = "Free accounts may not create Gradio Spaces; subscribe to PRO."
    hub.fail(402, path="/api/repos/create", times=0, said=words)
    for make in (
        lambda: app_space.deploy(SPACE, root=copy),
        lambda: demo_space.make(Companion("alice/tiny", "fill-mask")),
    ):
        with pytest.raises(HubError) as caught:
            make()
        assert words in caught.value.message and "plan" in caught.value.hint


def test_the_versions_that_are_written_are_those_of_the_readme_and_of_requirements() -> None:
    import yaml

    front = yaml.safe_load((ROOT / "README.md").read_text().split("---\n")[1])
    versions = (app_space.GRADIO_VERSION, app_space.PYTHON_VERSION)
    assert (front["sdk_version"], front["python_version"]) == versions
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    known = dict(
        found.groups() for line in lines if (found := re.match(r"([\w-]+)(?:\[\w+\])?([<>=].+)", line))
    )
    assert {name: known[name] for name in requirements.RANGES} == requirements.RANGES


# A small Space for a model


def shown(companion_: Companion, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The answer function and the examples of app.py, run as it is but for the launch."""
    import gradio as gr

    launched: list[Any] = []
    monkeypatch.setattr(gr.Interface, "launch", lambda self: launched.append(self))
    names: dict[str, Any] = {}
    exec(compile(demo_space.app(companion_), "app.py", "exec"), names)
    assert len(launched) == 1
    return names["answer"]


def test_the_page_of_a_fill_mask_model_answers(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio as gr

    answer = shown(Companion(str(tiny_bert), "fill-mask", examples=(("we saw the [MASK]",),)), monkeypatch)
    found = answer("we saw the [MASK]")
    assert len(found) == 5 and all(0 < score < 1 for score in found.values())
    with pytest.raises(gr.Error, match="one"):
        answer("no mask")


@pytest.fixture
def classifier(tiny_bert: Path, tmp_path: Path) -> Path:
    from transformers import BertForSequenceClassification, BertTokenizerFast

    names = {0: 'say "no"', 1: "yes\n'''"}
    model = BertForSequenceClassification.from_pretrained(tiny_bert, num_labels=2, id2label=names)
    model.save_pretrained(tmp_path / "classifier")
    BertTokenizerFast.from_pretrained(tiny_bert).save_pretrained(tmp_path / "classifier")
    return tmp_path / "classifier"


@pytest.mark.parametrize("pair", [False, True])
def test_the_page_of_a_classifier_answers(
    pair: bool, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = '"""); import os; os._exit(3) #'
    texts = (hostile, "the sea") if pair else (hostile,)
    answer = shown(Companion(str(classifier), "text-classification", pair, (texts,)), monkeypatch)
    found = answer(*texts)
    assert set(found) == {'say "no"', "yes\n'''"} and sum(found.values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_the_small_space_is_served_as_a_space_serves_it(classifier: Path, tmp_path: Path) -> None:
    from gradio_client import Client

    folder = tmp_path / "space"
    folder.mkdir()
    for name, text in demo_space.contents(Companion(str(classifier), "text-classification")).items():
        (folder / name).write_text(text)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "GRADIO_SERVER_PORT": str(free_port())}
    with subprocess.Popen(
        [sys.executable, "-u", "app.py"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = next(line for line in process.stdout if "http://" in line).split()[-1]
            found = Client(address, verbose=False).predict("the good sea", api_name="/answer")
            assert {each["label"] for each in found["confidences"]} == {'say "no"', "yes\n'''"}
        finally:
            process.kill()


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_small_space_is_made_beside_its_model(hub: Any, alice: str) -> None:
    import yaml

    done = demo_space.make(Companion("alice/tiny", "fill-mask", private=True))
    assert done.url.endswith("/spaces/alice/tiny-space") and done.private
    files = hub.files("alice/tiny-space", kind="space")
    assert set(files) == {"app.py", "requirements.txt", "README.md"}
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    app = yaml.safe_load(app_space.with_front_matter((ROOT / "README.md").read_text()).split("---\n")[1])
    built = ("sdk", "sdk_version", "python_version", "app_file")
    assert front["models"] == ["alice/tiny"] and [front[name] for name in built] == [
        app[name] for name in built
    ]
    asked = files["requirements.txt"].decode()
    assert all(f"{name}>=" in asked for name in ("transformers", "sentencepiece", "protobuf"))
    assert b"HF_TOKEN" in files["README.md"] and alice.encode() not in b"".join(files.values())
    assert not demo_space.make(Companion("alice/tiny", "fill-mask", private=True)).changed
