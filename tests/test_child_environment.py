"""What the processes that bertspace starts are told: what they need, and no secret whatever it is called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertspace import processes
from tests.support import until

SECRETS = {
    **dict.fromkeys(("HF_TOKEN", "MY_API_KEY", "db_password", "OAUTH_CLIENT_SECRET"), "s3cr3t"),
    **dict.fromkeys(("hugging_face_hub_token", "DATABASE_URL", "MY_PAT", "GH_PAT", "PGPASS"), "s3cr3t"),
    **dict.fromkeys(
        ("BERTSPACE_OWNER_KEY", "HUGGING_FACE_HUB_TOKEN", "SMTP", "PYTHON_KEYRING_PAT"), "s3cr3t"
    ),
    **dict.fromkeys(("HF_HUB_PAT", "HF_AUTH", "SMTP", "XDG_SECRET", "TOKENIZERS_API_KEY"), "s3cr3t"),
    "HTTPS_PROXY": "http://me:s3cr3t@proxy:3128",
    "http_proxy": "http://s3cr3t@proxy:3128",
    "HF_ENDPOINT": "https://me:s3cr3t@hub.example",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("trains", [True, False])
def test_no_child_is_told_a_secret(trains: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    found = processes.child_environment(trains=trains)
    assert not [name for name, value in found.items() if "s3cr3t" in value]
    assert not [name for name in found if "TOKEN" in name.upper() and name != "TOKENIZERS_PARALLELISM"]
    package = str(Path(processes.__file__).resolve().parents[1])
    assert found["PYTHONPATH"].split(os.pathsep) == [package, "/somewhere"]
    assert found["PATH"] == os.environ["PATH"]


def test_a_worker_is_told_what_it_computes_with(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("BERTSPACE_HOME", os.path.relpath(home))
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    given = {
        **{"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": "/cache", "CUDA_VISIBLE_DEVICES": "0"},
        **{"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "BERTSPACE_LAUNCHER": "torchrun"},
        **{"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "localhost", "SSL_CERT_FILE": "/ca.pem"},
        **{"FSDP_OFFLOAD_PARAMS": "true", "PYTORCH_CUDA_ALLOC_CONF": "x", "LD_LIBRARY_PATH": "/lib"},
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = processes.child_environment(trains=True)
    assert given.items() <= found.items()
    assert found["BERTSPACE_HOME"] == str(home)


def test_a_worker_is_told_nothing_of_the_launcher_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_RUN_ID", "ROLE_NAME"):
        monkeypatch.setenv(name, "1")
    found = processes.child_environment(trains=True)
    assert not [name for name in found if "RANK" in name or "TORCHELASTIC" in name or "MASTER" in name]
    assert not {"WORLD_SIZE", "ROLE_NAME"} & found.keys()


def test_who_reads_what_a_stranger_wrote_knows_nothing_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HOME", "BERTSPACE_HOME", "HTTPS_PROXY", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = processes.child_environment()
    assert "/somewhere" not in found.values()
    assert (found["OMP_NUM_THREADS"], found["HF_HUB_OFFLINE"]) == ("3", "1")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    child = "from bertspace.processes import die_with_parent; import time; die_with_parent()"
    child += "; print('up', flush=True); time.sleep(600)"
    parent = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}])"
    parent += "; print(p.pid, flush=True); p.wait()"
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=processes.child_environment(),
    ) as process:
        assert process.stdout is not None
        pid, up = int(process.stdout.readline()), process.stdout.readline()
        assert up == "up\n"
        process.kill()
    until(lambda: has_ended(pid), "the child lives on")


def has_ended(pid: int) -> bool:
    """Gone, or a zombie: whoever took the orphan in has not looked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
