"""Runs that are killed at any moment, and an app that is: what is lost of them, and what is said wrongly.

    python tests/benchmarks/kills.py [--kills 50] [--restarts 20] [--seed N]

First, runs of every kind (both tasks; accumulation, LoRA, bf16, the best epoch with patience, whole words,
lines; dropout on; a checkpoint every step or two) on a tiny BERT made here. Each is a worker process, started
as the app starts it. Its whole group gets SIGKILL at a random moment, from the first import to the last
write; the run is resumed and killed again until its share of the kills is used up; then it is compared, bit
for bit, with one that nothing ended. Half of the moments are uniform over the start, which takes most of so
short a run's life, half over what follows: the steps, checkpoints, scores and last writes.

Then the app is ended and started again and again, by SIGKILL or SIGTERM, while one run trains and one waits.
The endpoints `runs` and `run`, a page that is loaded anew and one that stayed open tell what each run does;
the kernel's lock, /proc and state.json tell whether that is true. In between the worker is killed, beside
the app or while there is none, and resumed by the endpoint `resume`.

Printed are kills and where they fell, runs lost, differences, restarts, false states, and seconds; the exit
code is 1 if a number is not 0 that has to be. The same seed gives the same moments, though not on a machine
of another speed.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from bertspace.runs import Run
    from bertspace.schema import TrainConfig

PATIENCE = 180.0  # seconds that a run's start or end, the app or an answer may take
LOOK_SECONDS = 0.02
EPOCHS = 20.0
FINISHED = {
    "config.yaml",
    "data",
    "events.jsonl",
    "lock",
    "log.txt",
    "memory",
    "model",
    "predictions.parquet",
}
FINISHED |= {"base.parquet", "probe.safetensors", "result.json", "state.json"}


def wait_for(there: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            raise SystemExit(f"No {what} within {seconds:g} seconds.")
        time.sleep(LOOK_SECONDS)


def tiny_model(folder: Path) -> Path:
    """A random BERT of two layers with a masked-LM head, whose vocabulary is that of the rows below."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    from tests.support.training import SPLITS

    words = sorted({word for text in SPLITS.train["text"] for word in text.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=128, **sizes))
    model.save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=128).save_pretrained(folder)
    return folder


def kinds() -> dict[str, dict[str, Any]]:
    from tests.support.training import KINDS

    return KINDS


def submitted(config: TrainConfig, rows: int = 64) -> Run:
    """A run of the config on so many training rows, started if none runs."""
    import pandas as pd

    from bertspace.data import Splits
    from bertspace.jobs import engine
    from tests.support.training import SPLITS, TEXTS

    splits = TEXTS if config.task == "fill-mask" else SPLITS
    train = pd.concat([splits.train] * math.ceil(rows / len(splits.train)), ignore_index=True)
    several = Splits(train, splits.validation, splits.test, splits.label_names, splits.source, ())
    return engine.submit(config, splits=several)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kill(run: Run) -> bool:
    """SIGKILL to the run's whole group; whether there was one to get it. Returns when the lock is free."""
    wait_for(lambda: run.written_state().pid or not run.is_locked(), "number of a process")  # 0 is our own
    if not run.is_locked():
        return False
    with suppress(ProcessLookupError):
        os.killpg(run.written_state().pid, signal.SIGKILL)
    wait_for(lambda: not run.is_locked(), "end of a process that was killed")
    return True


# Runs that are killed


@dataclass(frozen=True)
class Whole:
    """A run that nothing ended. start, work: seconds until its first step, and from there to its end."""

    outcome: dict[str, Any]
    steps: int
    start: float
    work: float


@dataclass
class Kills:
    """What the kills came to. phases: where they fell. anew: work done again although a checkpoint had it."""

    phases: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    lost: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    anew: list[str] = field(default_factory=list)
    left_over: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.lost or self.differences or self.anew or self.left_over)

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.phases.total()} kills of {self.runs} runs in {self.seconds:.0f} seconds:"
            f" {len(self.lost)} runs lost, {len(self.differences)} differences,"
            f" {len(self.anew)} times kept work done again, {self.left_over.total()} files left over"
        )
        yield from (f"    {count:3d} {phase}" for phase, count in self.phases.most_common())
        yield from (f"    {each}" for each in (*self.lost, *self.differences, *self.anew))
        yield from (f"    left over: {name} ({count} times)" for name, count in self.left_over.most_common())


def killed_runs(
    model: Path, kills: int, random: random.Random, only: Iterable[str] = (), epochs: float = EPOCHS
) -> Kills:
    """So many kills, over runs of the kinds in turn, each run compared with one of its kind left alone."""
    begin, names = time.monotonic(), list(only) or list(kinds())
    lives = _Lives(model, random, epochs)
    share = math.ceil(kills / len(names))
    for name in itertools.cycle(names):
        left = kills - lives.found.phases.total()
        if not left or lives.found.runs > 3 * len(names) + kills:
            break
        lives.kill_and_compare(name, min(share, left))
    lives.found.seconds = time.monotonic() - begin
    return lives.found


class _Lives:
    """Runs, each ended and resumed some times."""

    def __init__(self, model: Path, random: random.Random, epochs: float) -> None:
        self.model, self.random, self.epochs = model, random, epochs
        self.found = Kills()
        self.wholes: dict[str, Whole] = {}

    def config(self, kind: str) -> TrainConfig:
        from bertspace.schema import TrainConfig
        from tests.support.training import FAST

        every = 1 + list(kinds()).index(kind) % 2
        schedule = {"epochs": self.epochs, "checkpoint_steps": every, "checkpoint_minutes": 0}
        return TrainConfig(model=str(self.model), **FAST | schedule | kinds()[kind])

    def whole(self, kind: str) -> Whole:
        """The kind's run that nothing ended; trained once."""
        if kind not in self.wholes:
            from bertspace.jobs import engine

            run = submitted(self.config(kind))
            engine.wait(run, PATIENCE)
            state = run.state()
            if state.status != "done":
                raise SystemExit(f"A run that nothing ended did not end well: {state}\n{run.log_tail()}")
            steps = [event for event in run.events()[0] if event.kind == "step"]
            work = run.events()[0][-1].seconds - steps[0].seconds
            start = state.ended - state.started - work
            self.wholes[kind] = Whole(outcome(run), len(steps), start, work)
        return self.wholes[kind]

    def kill_and_compare(self, kind: str, kills: int) -> None:
        """A run of the kind, killed up to so many times, resumed each time, and compared in the end."""
        from bertspace.jobs import engine

        whole, run = self.whole(kind), submitted(self.config(kind))
        self.found.runs, late = self.found.runs + 1, False
        for number in range(kills + 1):
            log, began, kept = _size(run.path / "log.txt"), time.time(), run.checkpoint()
            if number < kills:
                self.wait_for_moment(run, whole, log, kills - number)
                if kill(run):
                    self.found.phases[phase(run, began)] += 1
                    late = run.result() is not None
            engine.wait(run, 0 if number < kills else PATIENCE)
            self.look_whether_it_went_on(kind, run, log, kept)
            status = run.state().status
            if status != "interrupted":
                break
            engine.resume(run)
        wait_for(lambda: not run.is_locked(), f"end of the {status} run")
        self.compare(kind, run, whole, late)

    def wait_for_moment(self, run: Run, whole: Whole, log: int, kills: int) -> None:
        """Until the next kill, or the run's end. kills: how many are left, half of them for its steps."""
        seconds = self.random.uniform(0, whole.start)
        if self.random.random() < 0.5:
            wait_for(lambda: not run.is_locked() or "Trying the" in _log_from(run, log), "step of a run")
            ahead = whole.work * (1 - (run.checkpoint() or 0) / whole.steps)
            # The first of so many moments that are uniform over what lies ahead.
            seconds = ahead * (1 - self.random.random() ** (1 / math.ceil(kills / 2)))
        end = time.monotonic() + seconds
        while time.monotonic() < end and run.is_locked():
            time.sleep(min(LOOK_SECONDS, max(0.0, end - time.monotonic())))

    def look_whether_it_went_on(self, kind: str, run: Run, log: int, kept: int | None) -> None:
        """From the checkpoint that there was when its process began; and a training once whole ends soon."""
        said = _log_from(run, log)
        gone_on = re.search(r"Going on after step ([\d,]+)", said)
        if kept is not None and ("Scoring the base" in said or (gone_on and _number(gone_on[1]) != kept)):
            self.found.anew.append(f"{kind}: not gone on from step {kept}")
        ended = (run.path / "result.json").is_file() and run.state().status == "interrupted"
        if ended and run.checkpoint() is None:
            self.found.anew.append(f"{kind}: its result was written, and its checkpoints are gone")

    def compare(self, kind: str, run: Run, whole: Whole, late: bool) -> None:
        """late: its result was written when it was killed, so that its checkpoints may lie there still."""
        state = run.state()
        if state.status != "done":
            self.found.lost.append(f"{kind} ({run.id}): {state.status}, {state.message} {run.log_tail(5)}")
            return
        found = outcome(run)
        unlike = [name for name, value in whole.outcome.items() if found[name] != value]
        self.found.differences += [f"{kind} ({run.id}): {name}" for name in unlike]
        known = FINISHED | {"checkpoints"} if late or not run.checkpoints() else FINISHED
        self.found.left_over.update(path.name for path in run.path.iterdir() if path.name not in known)


def outcome(run: Run) -> dict[str, Any]:
    """All that must not depend on how often the run was ended: no times, no forecasts of times."""
    import pandas as pd

    from tests.support.training import TIMES

    events = [event.to_dict() for event in run.events()[0] if event.kind in ("base", "step", "epoch")]
    result = run.result() or {}
    return {
        "events": [{name: value for name, value in each.items() if name != "seconds"} for each in events],
        "result": {name: value for name, value in result.items() if name not in TIMES},
        "weights": sha256(run.path / "model" / "model.safetensors"),
        "model's files": sorted(path.name for path in (run.path / "model").iterdir()),
        "predictions": pd.read_parquet(run.path / "predictions.parquet").to_csv(),
    }


def phase(run: Run, began: float) -> str:
    """What a process that began then was doing when it was killed, by what it left half done."""
    events = [json.loads(line) for line in _whole_lines(run.path / "events.jsonl", began)]
    half = [*run.path.glob(".*"), *(run.path / "checkpoints").glob(".step-*.tmp")]
    for name in sorted(path.name for path in half if path.lstat().st_mtime >= began):
        part = re.sub(r"^\.|\.\d+\.tmp$|\.(new|old|tmp)$|-\d+", "", name)
        return f"while {'a checkpoint' if part == 'step' else part} was written"
    if not events:
        return "before the first event"
    last = events[-1]
    said = last.get("message", "")
    if last["kind"] == "status":
        return "after: " + re.sub(r" step [\d,]+", " a step", said)
    return f"after: {last['kind']}"


def _whole_lines(path: Path, began: float) -> list[bytes]:
    """The events' whole lines; none where this process has not written any yet."""
    with suppress(FileNotFoundError):
        if path.stat().st_mtime >= began:
            return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return []


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _log_from(run: Run, offset: int) -> str:
    with (run.path / "log.txt").open("rb") as file:
        file.seek(offset)
        return file.read().decode("utf-8", "replace")


def _number(words: str) -> int:
    return int(words.replace(",", ""))


# An app that is ended and started again


@dataclass
class Restarts:
    """What the restarts came to. looks: answers compared with the truth; skipped: it changed meanwhile."""

    restarts: int = 0
    apps_killed: int = 0
    workers_killed: int = 0
    resumed: int = 0
    looks: int = 0
    skipped: int = 0
    false: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.false or self.stuck)

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.restarts} restarts of the app ({self.apps_killed} times after SIGKILL) and"
            f" {self.workers_killed} kills of a worker in {self.seconds:.0f} seconds:"
            f" {self.looks} states seen ({self.skipped} more that changed just then), {len(self.false)} of"
            f" them false; {self.resumed} runs resumed, {len(self.stuck)} of them did not go on"
        )
        yield from (f"    {each}" for each in (*self.false, *self.stuck))


CHANGING = "changing"  # between two states: a process is being started or is ending


def truth(run: Run) -> str:
    """A run's status by the kernel's lock, by /proc and by what is written in state.json."""
    state = run.written_state()
    held, lives = run.is_locked(), works(state.pid, run)
    if held and lives and state.status == "running":
        return "running"
    if held or lives:
        return CHANGING
    return "interrupted" if state.status == "running" else state.status


def works(pid: int, run: Run) -> bool:
    """Whether this process lives, is no zombie, and is the run's worker."""
    try:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
            return False
        return str(run.path) in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


class App:
    """The app as a process of its own on an address that stays the same, and what it says of runs."""

    def __init__(self, home: Path) -> None:
        from bertspace.ui.app import build_app

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.home, self.address = home, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        named = {
            f"{each.fn.__module__}.{each.fn.__qualname__}": n
            for n, each in build_app().fns.items()
            if each.fn
        }
        self.numbers = {name.rpartition("ui.")[2]: number for name, number in named.items()}
        self.stayed = uuid.uuid4().hex  # the session of a page that is never loaded anew
        self.drawn = ["", "", ""]  # what that page shows: header, panel, list

    def start(self) -> None:
        environment = os.environ | {
            "BERTSPACE_HOME": str(self.home),
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(self.port),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_OFFLINE": "1",
        }
        with (self.home / "app.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "app.py")], cwd=self.home, env=environment, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Until it answers."""
        from tests.benchmarks.load import answers

        wait_for(lambda: self.has_ended() or answers(self.address), "app")
        if self.has_ended():
            raise SystemExit(f"The app ended:\n{(self.home / 'app.log').read_text()[-3000:]}")

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE)

    def client(self) -> Any:
        from gradio_client import Client

        return Client(self.address, verbose=False, analytics_enabled=False)

    def event(self, name: str, data: list[Any], session: str) -> list[str]:
        """The texts that a handler gives, by the way that a page takes."""
        asked = {"fn_index": self.numbers[name], "data": data, "session_hash": session}
        self.post("queue/join", asked)
        heard = f"{self.address}/gradio_api/queue/data?session_hash={session}"
        with urllib.request.urlopen(heard, timeout=PATIENCE) as stream:
            for line in stream:
                message = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
                if message.get("msg") == "process_completed":
                    given = message["output"]["data"]
                    return [
                        str(each.get("value", "")) if isinstance(each, dict) else str(each) for each in given
                    ]
        raise SystemExit(f"No answer from {name}.")

    def post(self, path: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self.address}/gradio_api/{path}",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def claims(self, runs: list[Run]) -> Iterator[tuple[str, str, str]]:
        """(where, run id, status): all that the app says of the runs."""
        client = self.client()
        for line in client.predict(api_name="/runs"):
            yield "the endpoint runs", line["id"], line["status"]
        for run in runs:
            yield "the endpoint run", run.id, client.predict(run.id, api_name="/run")["status"]
        client.close()
        for page in ("/", "/config"):
            urllib.request.urlopen(self.address + page, timeout=PATIENCE).close()
        fresh = uuid.uuid4().hex
        shown = self.event("app.open_page", [], fresh)[1]
        yield from _page_claims("a page loaded anew", shown, self.drawn_for(fresh, shown), runs)
        new = self.drawn_for(self.stayed, runs[0].id)
        self.drawn = [part or before for part, before in zip(new, self.drawn, strict=True)]
        yield from _page_claims("a page that stayed open", runs[0].id, self.drawn, runs)

    def drawn_for(self, session: str, shown: str) -> list[str]:
        """Header, panel and list; "" for what the page has already."""
        drawn = self.event("fine_tune.run_step.refresh", [shown, None, ""], session)
        return [self.event("header.look", [""], session)[0], drawn[0], drawn[-2]]


def _page_claims(where: str, shown: str, drawn: list[str], runs: list[Run]) -> Iterator[tuple[str, str, str]]:
    """What a page says that shows this run: in its header, the run's panel and the list."""
    header, panel, listed = drawn
    at_work = re.findall(r'bs-working" data-run="([^"]+)"', header)
    for run in runs:
        yield f"{where}, header", run.id, "running" if run.id in at_work else "not running"
    yield f"{where}, panel", shown, re.findall(r"bs-pill-([a-z]+)", panel)[0]
    for run_id, status in re.findall(r'data-run="([^"]+)".*?bs-pill-([a-z]+)', listed):
        yield f"{where}, list", run_id, status


def restarted_app(model: Path, home: Path, restarts: int, random: random.Random) -> Restarts:
    """The app on `home`, which is BERTSPACE_HOME, ended and started again so often while a run trains."""
    begin = time.monotonic()
    with _watched(model, home, random) as watch:
        watch.app.start()
        while watch.found.restarts < restarts:
            watch.app.wait()
            watch.look()
            watch.live_for_a_while()
            watch.restart()
        watch.app.wait()
        watch.look()
        watch.see_all_go_on()
    watch.found.seconds = time.monotonic() - begin
    return watch.found


@contextmanager
def _watched(model: Path, home: Path, random: random.Random) -> Iterator[_Watch]:
    """One run that trains, one that waits, and the app; none of it outlives the block."""
    from bertspace.errors import RunError
    from bertspace.jobs import engine
    from bertspace.schema import TrainConfig
    from tests.support.training import FAST

    config = TrainConfig(model=str(model), epochs=1000, checkpoint_steps=20, **FAST)
    watch = _Watch([submitted(config, rows=20 * 64) for _ in range(2)], App(home), random)
    try:
        yield watch
    finally:
        watch.app.end(signal.SIGKILL)
        for run in reversed(watch.runs):
            if not run.is_locked():
                with suppress(RunError):  # it has ended
                    engine.stop(run)
        for run in watch.runs:
            kill(run)


class _Watch:
    """The app and its runs, and what was seen of them."""

    def __init__(self, runs: list[Run], app: App, random: random.Random) -> None:
        self.runs, self.app, self.random = runs, app, random
        self.found = Restarts()
        self.to_go_on: dict[str, int] = {}  # the steps that resumed runs are to pass

    def look(self) -> None:
        """Compare all that is said now with what is true before and after."""
        before = self.truths()
        said = list(self.app.claims(self.runs))
        after = self.truths()
        working = [run.id for run in self.runs if before[run.id] == after[run.id] == "running"]
        if len(working) > 1:
            self.found.false.append(f"at work at the same time: {', '.join(working)}")
        for where, run_id, status in said:
            true = before[run_id]
            if true != after[run_id] or true == CHANGING:
                self.found.skipped += 1
                continue
            self.found.looks += 1
            if status != true and not (status == "not running" and true != "running"):
                self.found.false.append(f"{where}: {run_id} is {status}, and in truth {true}")

    def truths(self) -> dict[str, str]:
        """Each run's; one that is changing is waited for, and may not be so for long."""
        with suppress(SystemExit):
            wait_for(lambda: CHANGING not in map(truth, self.runs), "end of a change")
        found = {run.id: truth(run) for run in self.runs}
        for run in self.runs:
            if found[run.id] == CHANGING:
                self.found.false.append(f"{run.id} is neither at work nor ended: {run.written_state()}")
        return found

    def live_for_a_while(self) -> None:
        """Look some times; kill the worker, see it told, and resume the run."""
        for _ in range(self.random.randrange(2)):
            time.sleep(self.random.uniform(0, 1.5))
            self.look()
        at_work = [run for run in self.runs if run.is_locked()]
        if at_work and self.random.random() < 0.4:
            self.kill_worker(at_work[0])
            self.look()
        for run in self.runs:
            if run.state().status == "interrupted":
                self.resume(run)
        self.look()
        time.sleep(self.random.uniform(0, 1.5))

    def kill_worker(self, run: Run) -> None:
        self.found.workers_killed += kill(run)

    def resume(self, run: Run) -> None:
        """By the endpoint; the app may die before it answers."""
        self.to_go_on[run.id] = last_step(run)
        if self.random.random() < 0.3:
            self.app.post("call/resume", {"data": [run.id]})
            time.sleep(self.random.uniform(0, 0.2))
            self.restart()
            self.app.wait()
        else:
            client = self.app.client()
            client.predict(run.id, api_name="/resume")
            client.close()
        self.found.resumed += run.state().status != "interrupted"

    def restart(self) -> None:
        """End the app, now and then once more while it starts, and kill the worker while there is none."""
        self.end_app()
        at_work = [run for run in self.runs if run.is_locked()]
        if at_work and self.random.random() < 0.3:
            self.kill_worker(at_work[0])
        self.app.start()
        if self.random.random() < 0.15:
            time.sleep(self.random.uniform(0, 5))
            self.end_app()
            self.app.start()

    def end_app(self) -> None:
        number = self.random.choice((signal.SIGKILL, signal.SIGTERM))
        self.app.end(number)
        self.found.restarts += 1
        self.found.apps_killed += number == signal.SIGKILL

    def see_all_go_on(self) -> None:
        """Every run that was resumed passes the step at which it was killed, once it is its turn."""
        for run in self.runs:
            while run.state().status in ("interrupted", "paused"):
                self.resume(run)
            for other in self.runs:
                if run.id in self.to_go_on and other is not run and other.is_locked():
                    self.app.client().predict(other.id, api_name="/pause")
            with suppress(SystemExit):
                wait_for(partial(self.has_gone_on, run), "step")
            if not self.has_gone_on(run):
                self.found.stuck.append(f"{run.id} has not gone on after step {self.to_go_on[run.id]}")

    def has_gone_on(self, run: Run) -> bool:
        return run.id not in self.to_go_on or last_step(run) > self.to_go_on[run.id]


def last_step(run: Run) -> int:
    return max((event.step for event in run.events()[0]), default=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="of runs, in the first part")
    parser.add_argument("--restarts", type=int, default=20, help="of the app, in the second part")
    parser.add_argument("--seed", type=int, default=None, help="of the random moments; drawn where left out")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}, load {os.getloadavg()[0]:.1f}", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        model = tiny_model(place / "model")
        for part in ("kills", "restarts"):
            count = getattr(options, part)
            os.environ["BERTSPACE_HOME"] = str(place / part)
            (place / part).mkdir()
            if not count:
                continue
            moments = random.Random(f"{seed} {part}")
            if part == "kills":
                found: Kills | Restarts = killed_runs(model, count, moments)
            else:
                found = restarted_app(model, place / part, count, moments)
            print("\n".join(found.lines()), flush=True)
            failed = failed or found.failed
    print(f"load {os.getloadavg()[0]:.1f}")
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
