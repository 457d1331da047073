"""Many people at once: clients that fill masks and classify without a pause, while a run trains.

    python tests/benchmarks/load.py [--clients 50] [--seconds 120] [--pause 0] [--model starter]

The app is a process of its own on 127.0.0.1, with a temporary BERTSPACE_HOME. First a small classifier is
trained on a sample; then a longer run trains, alone for a while and then beside the clients. Each client is
a gradio_client of its own, as a page is, and asks again as soon as (or --pause seconds after) it has its
answer, which is compared with the one given to somebody alone. The clients compute on the same machine.
Printed are errors, wrong answers, latencies, requests a second, the app's memory and the training's speed.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from gradio_client import Client

    from bertspace.runs import Run

ALONE_SECONDS = 20.0  # of training that its own speed is taken from
PATIENCE = 180.0  # seconds that the app, a run's first step or one answer may take
MASKED = (
    "Paris is the [MASK] of France.",
    "She opened the door and walked into the [MASK].",
    "The keeper lit the [MASK] and wrote the hour in the [MASK].",
    "This is a great [MASK].",
)
TEXTS = (
    "Could you send me the figures before noon?",
    "I will have the report on your desk tomorrow.",
    "The meeting was moved to the large room.",
    "Please check the invoice of last week.",
)


@dataclass
class Asked:
    """What clients saw of one endpoint: seconds an answer, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: int = 0

    def percentile(self, share: float) -> float:
        """Seconds within which this share of the answers came (nearest rank)."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


@dataclass(frozen=True)
class Report:
    """What a load came to. memory: resident bytes of the app before and after. speeds: examples a second."""

    asked: dict[str, Asked]
    seconds: float
    memory: tuple[int, int]
    speed_alone: float
    speed_beside: float

    @property
    def errors(self) -> int:
        return sum(each.errors.total() for each in self.asked.values())

    @property
    def wrong(self) -> int:
        return sum(each.wrong for each in self.asked.values())


# The app and its runs


@contextmanager
def app_on(home: Path) -> Iterator[tuple[str, int]]:
    """The app in a process of its own: its address and its pid; it ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "BERTSPACE_HOME": str(home),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
    }
    with (home / "app.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")], cwd=home, env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: process.poll() is not None or answers(address), "the app")
        if process.poll() is not None:
            raise SystemExit(f"The app ended:\n{(home / 'app.log').read_text()[-3000:]}")
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(30)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/config", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def wait_for(there: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not there():
        if time.monotonic() > end:
            raise SystemExit(f"No {what} within {PATIENCE:g} seconds.")
        time.sleep(0.2)


def trained(task: str, model: str, **settings: Any) -> Run:
    """A run of the task's sample that has ended."""
    run = submitted(task, model, **settings)
    from bertspace.jobs import engine

    engine.wait(run, PATIENCE)
    if run.state().status != "done":
        raise SystemExit(f"The run did not end well: {run.state()}\n{run.log_tail()}")
    return run


def submitted(task: str, model: str, **settings: Any) -> Run:
    from bertspace.jobs import engine
    from bertspace.schema import TrainConfig

    sample = "sample:office" if task == "text-classification" else "sample:lighthouse"
    return engine.submit(TrainConfig(task=task, model=model, dataset=sample, **settings))


def speed(run: Run, since: float, until: float = math.inf) -> float:
    """Examples a second of the steps between these times (the events' own seconds), scoring left out."""
    events, _ = run.events()
    steps = [pair for pair in itertools.pairwise(events) if {each.kind for each in pair} == {"step"}]
    steps = [(a, b) for a, b in steps if a.seconds >= since and b.seconds <= until]
    seconds = sum(b.seconds - a.seconds for a, b in steps)
    return sum(b.examples - a.examples for a, b in steps) / seconds if seconds else math.nan


def last_seconds(run: Run) -> float:
    """The time of the run's newest step; -1 before its first."""
    return max((event.seconds for event in run.events()[0] if event.kind == "step"), default=-1.0)


# The clients


class Load:
    """Clients that all ask the two endpoints in turn until the time is over."""

    def __init__(self, address: str, models: dict[str, str], pause: float) -> None:
        self.address, self.models, self.pause = address, models, pause
        self.asked = {"fill_mask": Asked(), "classify": Asked()}
        self.lock = threading.Lock()
        self.expected = {
            (endpoint, text): self.ask(self.client(), endpoint, text) for endpoint, text in self.questions()
        }

    def client(self) -> Client:
        from gradio_client import Client

        return Client(self.address, verbose=False, analytics_enabled=False)

    def questions(self) -> list[tuple[str, str]]:
        pairs = zip(MASKED, TEXTS, strict=True)
        return [each for mask, text in pairs for each in (("fill_mask", mask), ("classify", text))]

    def ask(self, client: Client, endpoint: str, text: str) -> Any:
        given = {"top_k": 5} if endpoint == "fill_mask" else {"pair": ""}
        job = client.submit(text=text, model=self.models[endpoint], **given, api_name=f"/{endpoint}")
        return job.result(timeout=PATIENCE)

    def run(self, clients: int, seconds: float) -> float:
        """All the clients at once for so long; the seconds until the last answer."""
        ready = [self.client() for _ in range(clients)]
        begin = time.monotonic()
        threads = [
            threading.Thread(target=self.work, args=(client, number, begin + seconds))
            for number, client in enumerate(ready)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - begin
        for client in ready:
            client.close()
        return took

    def work(self, client: Client, number: int, end: float) -> None:
        questions = itertools.cycle(self.questions())
        for endpoint, text in itertools.islice(questions, number % len(self.questions()), None):
            if time.monotonic() >= end:
                return
            self.once(client, endpoint, text)
            time.sleep(self.pause)

    def once(self, client: Client, endpoint: str, text: str) -> None:
        begin = time.monotonic()
        answer, error = None, ""
        try:
            answer = self.ask(client, endpoint, text)
        except Exception as problem:  # whatever a client can see is an error of the app
            error = f"{type(problem).__name__}: {str(problem)[:200]}"
        with self.lock:
            found = self.asked[endpoint]
            if error:
                found.errors[error] += 1
                return
            found.seconds.append(time.monotonic() - begin)
            found.wrong += not alike(answer, self.expected[endpoint, text])


def alike(answer: Any, expected: Any) -> bool:
    """The same texts, labels and scores, whatever the order in which floats were added."""
    if isinstance(expected, dict):
        return answer.keys() == expected.keys() and all(alike(answer[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(answer) == len(expected) and all(map(alike, answer, expected))
    return math.isclose(answer, expected, abs_tol=1e-4) if isinstance(expected, float) else answer == expected


def resident(pid: int) -> int:
    import psutil

    return int(psutil.Process(pid).memory_info().rss)


def measure(
    home: Path,
    models: dict[str, str],
    clients: int,
    seconds: float,
    *,
    train: str = "starter",
    pause: float = 0.0,
    alone: float = ALONE_SECONDS,
) -> Report:
    """The load on `models`, by endpoint, while a run trains the model `train`. BERTSPACE_HOME is `home`."""
    from bertspace.jobs import engine

    with app_on(home) as (address, pid):
        load = Load(address, models, pause)
        run = submitted("text-classification", train, epochs=1000, max_length=64)
        try:
            wait_for(lambda: last_seconds(run) > 0, "step of the training")
            first = last_seconds(run)
            time.sleep(alone)
            before, begin = resident(pid), last_seconds(run)
            took = load.run(clients, seconds)
            end, after = last_seconds(run), resident(pid)
        finally:
            engine.kill(run)
    return Report(load.asked, took, (before, after), speed(run, first, begin), speed(run, begin, end))


def lines(report: Report) -> Iterator[str]:
    """The report in words."""
    for endpoint, found in report.asked.items():
        middle = statistics.median(found.seconds) if found.seconds else math.nan
        yield (
            f"{endpoint:<10} {len(found.seconds):6d} answers, {len(found.seconds) / report.seconds:6.1f} a"
            f" second; p50 {middle:.2f} s, p95 {found.percentile(0.95):.2f} s;"
            f" {found.errors.total()} errors, {found.wrong} wrong"
        )
        yield from (f"    {count} times {error}" for error, count in found.errors.most_common(5))
    before, after = (size / 2**20 for size in report.memory)
    yield f"memory of the app: {before:.0f} MiB before, {after:.0f} MiB after"
    slower = report.speed_alone / report.speed_beside
    yield (
        f"training: {report.speed_alone:.1f} examples a second alone, {report.speed_beside:.1f} beside the"
        f" clients ({slower:.2f} times as slow)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds between an answer and the next call"
    )
    parser.add_argument("--model", default="starter", help="what the runs train")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"BERTSPACE_HOME": folder, "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        classifier = trained("text-classification", options.model, epochs=1, max_length=64)
        models = {"fill_mask": "starter", "classify": f"run:{classifier.id}"}
        report = measure(
            Path(folder),
            models,
            options.clients,
            options.seconds,
            train=options.model,
            pause=options.pause,
        )
    print(f"{options.clients} clients, {report.seconds:.0f} seconds, load {os.getloadavg()[0]:.1f}")
    print("\n".join(lines(report)))
    if report.errors or report.wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
