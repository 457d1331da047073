"""Finished runs whose base is on the Hub, and somebody who may push."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertspace.hub.credentials import Credentials, using
from bertspace.publish import pushing
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from tests.support.training import FAST, Trained


@pytest.fixture(scope="package")
def on_hub(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A cache of huggingface_hub that holds base/tiny, so that runs have a base on the Hub."""
    cache = tmp_path_factory.mktemp("cache")
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = cache / "models--base--tiny"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    for path in tiny_bert.iterdir():
        (folder / "snapshots" / commit / path.name).write_bytes(path.read_bytes())
    return cache


@pytest.fixture
def cache(on_hub: Path, monkeypatch: pytest.MonkeyPatch, no_snippet: None) -> Iterator[None]:
    """That cache; the card's snippet in a process of its own (4 s) is for test_card.py."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(on_hub))
    with using(Credentials(token=False)):
        yield


def trained(folder: Path, cache: Path, **settings: Any) -> Run:
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        finished = Trained(folder, TrainConfig(model="base/tiny", epochs=1, **FAST | settings))
    run = finished.run
    for event in finished.events:
        run.append(event)
    run.write_state(RunState(status="done", name="tiny on greetings"))
    return run


@pytest.fixture(scope="package")
def classified(on_hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("classified"), on_hub)


@pytest.fixture(scope="package")
def masked(on_hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("masked"), on_hub, task="fill-mask", chunk_size=16)


@pytest.fixture(scope="package")
def lora(on_hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("lora"), on_hub, lora_rank=4)


@pytest.fixture
def run(classified: Run) -> Iterator[Run]:
    yield classified
    (classified.path / pushing.RECORD).unlink(missing_ok=True)
    assert not list(classified.path.glob(".push-*"))


@pytest.fixture
def alice(hub: Any) -> Iterator[str]:
    token = hub.user("alice", orgs=("team",))
    with using(Credentials(token=token)):
        yield token
