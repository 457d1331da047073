"""A run on disk: its files, states and owner. The folder is the only truth; pages and commands are viewers
of it.

    config.yaml  data/*.parquet  state.json  events.jsonl  log.txt  checkpoints/  model/  probe.safetensors
    base.parquet  result.json  predictions.parquet  memory  lock  stop | pause (requests, made by others)

Knows nothing of processes and devices. Linux and macOS (flock).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from bertspace import hardware
from bertspace.errors import BertspaceError, RunError
from bertspace.files import folder_bytes, home, whole_file, write_atomically
from bertspace.schema import RunState, TrainConfig, TrainEvent
from bertspace.tasks import lighter

LOCAL_OWNER = "local"
LOOKS, LOOK_SECONDS = 100, 0.01  # how often, and after what time, a lock is tried that a reader looks at
CHANGEABLE = {"batch_size", "gradient_accumulation"}  # what a run may go on with another value of
NEAR = 0.85  # of the memory there is: a process killed above it was likely killed for it
# Nothing works on it, and nothing will unasked.
ENDED = ("done", "stopped", "paused", "failed", "interrupted")
RESUMABLE = ("stopped", "paused", "failed", "interrupted")
PUSHED = ".push-"  # how the folders begin in which pushes put together what they send
_ID = re.compile(r"[0-9a-z][0-9a-z-]{0,63}")
_CHECKPOINT = re.compile(r"step-\d{9}")


class Run:
    """One run's folder. Reading is always safe; once started, only its worker writes its state."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls,
        config: TrainConfig,
        *,
        owner: str = LOCAL_OWNER,
        name: str = "",
        folder: Path | None = None,
        minutes: float = 0.0,
        memory_bytes: int = 0,
        stored_bytes: int = 0,
        fill: Callable[[Path], None] | None = None,
    ) -> Run:
        """A new queued run, in `folder` (which must be empty or absent) or under the owner's own.

        minutes, memory_bytes, stored_bytes: its bounds, as in RunState. fill: writes what else belongs into
        it, before anybody sees it; where that fails, nothing is kept.
        """
        run_id = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)
        place = home() / owner / run_id
        if folder is not None:
            folder = folder.resolve()
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise RunError(
                    f"{folder} is not empty.", hint="Give --output a new folder, or delete this one."
                )
            folder.mkdir(parents=True, exist_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(folder)  # so that the page and `runs list` show it with the others
        else:
            place.mkdir(parents=True)
        run, now = cls(place), time.time()
        try:
            run.write_config(config)
            (run.path / "lock").touch()
            if fill:
                fill(run.path)
            bounds: dict[str, Any] = {"minutes": minutes, "memory_bytes": memory_bytes}
            bounds |= {"stored_bytes": stored_bytes}
            run.write_state(RunState(status="queued", name=name, created=now, place=now, **bounds))
        except BaseException:
            run.remove()
            raise
        return run

    def remove(self) -> None:
        """Remove the folder, and its name among the owner's where it lies elsewhere."""
        shutil.rmtree(self.path.resolve())
        if self.path.is_symlink():
            self.path.unlink()

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def owner(self) -> str:
        """Whose it is; the local owner's where it lies elsewhere."""
        return self.path.parent.name if self.path.parent.parent == home() else LOCAL_OWNER

    @property
    def name(self) -> str:
        return self.state().name or self.id

    # What the run is

    def config(self) -> TrainConfig:
        """The settings, as they are in config.yaml; raises RunError where they cannot be read."""
        import yaml

        try:
            return TrainConfig.from_dict(
                yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
            )
        except (OSError, ValueError, TypeError, yaml.YAMLError, BertspaceError) as error:
            raise RunError(
                f"The settings of run {self.id} cannot be read.", hint="Delete the run."
            ) from error

    def write_config(self, config: TrainConfig) -> None:
        import yaml

        write_atomically(self.path / "config.yaml", yaml.safe_dump(config.to_dict(), sort_keys=False))

    def state(self) -> RunState:
        """Where the run is in its life; "interrupted" where it says running and no process holds its lock."""
        state = self.written_state()
        if state.status == "running" and not self.is_locked():
            state = self.written_state()  # the worker may have ended between the two looks
            if state.status == "running":
                return self._interrupted(state)
        return state

    def written_state(self) -> RunState:
        """The state as the file has it; raises RunError."""
        try:
            return RunState(**json.loads((self.path / "state.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"There is no readable run at {self.path.name}.", hint="See: python -m bertspace runs list"
            ) from error

    def _interrupted(self, state: RunState) -> RunState:
        """What a dead process left, with the likeliest reason: the kernel ends who takes the last memory."""
        state = replace(state, ended=self._last_sign())
        if self.is_complete():
            return replace(state, status="done")  # it died on the last few lines
        step = self.checkpoint()
        hint = f"Resume it: it goes on after step {step:,}." if step else "Resume it to begin anew."
        message, advice = "The process ended before the run did.", {}
        if self._noted_memory() > NEAR * (state.memory_bytes or hardware.memory_limit_bytes()):
            message = "The process was ended when memory was nearly full, most likely by the system for that."
            advice = self.lighter()
            hint = "Go on with the smaller settings, or free some memory and resume the run."
        return replace(state, status="interrupted", message=message, hint=hint, advice=advice)

    def lighter(self) -> dict[str, int]:
        """Settings that need less memory and that the run can go on with."""
        with suppress(RunError):
            settings = lighter(self.config())
            return settings if self.checkpoint() is None or set(settings) <= CHANGEABLE else {}
        return {}

    def is_complete(self) -> bool:
        """Whether it was trained to its end, whatever its state says."""
        return (self.result() or {}).get("stopped") is False

    def _last_sign(self) -> float:
        """When the process wrote its last line; 0 where it wrote none."""
        try:
            return (self.path / "events.jsonl").stat().st_mtime
        except OSError:
            return 0.0

    def note_memory(self, taken: int) -> None:
        """Write down what the worker's process holds."""
        (self.path / "memory").write_text(str(taken), encoding="ascii")

    def _noted_memory(self) -> int:
        try:
            return int((self.path / "memory").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def write_state(self, state: RunState) -> None:
        write_atomically(self.path / "state.json", json.dumps(asdict(state), indent=1))

    def change_state(self, **changes: Any) -> None:
        """Write the state with these fields changed; for who holds the queue's lock."""
        self.write_state(replace(self.written_state(), **changes))

    def result(self) -> dict[str, Any] | None:
        """result.json; None while there is none."""
        return self._json("result.json")

    def source(self) -> dict[str, Any]:
        """data/source.json: where the rows came from, and what was found in them."""
        return self._json("data/source.json") or {}

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    @property
    def has_model(self) -> bool:
        """Whether model/ is there, as it is from the first scored epoch on."""
        return (self.path / "model" / "config.json").is_file()

    def held_out(self) -> Path:
        """The file of rows that the run was not trained on: its test rows, or else its validation rows."""
        test = self.path / "data" / "test.parquet"
        return test if test.is_file() else test.with_name("validation.parquet")

    def checkpoint(self) -> int | None:
        """The step of the newest whole checkpoint; None where there is none."""
        steps = [int(path.name[5:]) for path in self.checkpoints()]
        return steps[-1] if steps else None

    def checkpoints(self) -> list[Path]:
        """The folders of the whole checkpoints, oldest first; one half written has another name."""
        folders = (self.path / "checkpoints").glob("step-*")
        return sorted(path for path in folders if _CHECKPOINT.fullmatch(path.name))

    # Events and log

    def events(self, offset: int = 0) -> tuple[list[TrainEvent], int]:
        """The events from byte `offset` on, and the offset to go on from; a torn last line is for later."""
        try:
            with (self.path / "events.jsonl").open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return [], offset
        whole = data[: data.rfind(b"\n") + 1]
        return [TrainEvent(**json.loads(line)) for line in whole.splitlines()], offset + len(whole)

    def seconds(self) -> float:
        """Of work on the run until its last event, in all its sessions; 0.0 before the first."""
        try:
            with (self.path / "events.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return 0.0
        for line in reversed(lines):
            with suppress(ValueError):  # torn by a full disk, or cut where the read began
                if line.endswith(b"\n"):
                    return float(json.loads(line).get("seconds", 0.0))
        return 0.0

    def append(self, event: TrainEvent) -> None:
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event.to_dict()) + "\n")

    def rewind(self, step: int) -> None:
        """Take back what was written after this step, before the run goes on from there."""
        path = self.path / "events.jsonl"
        if not path.is_file():
            return
        lines = []
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                event = json.loads(line)
            except ValueError:
                break  # torn by a full disk or a dead machine
            after = event.get("step", 0) > step or (event.get("step", 0) == step and event["kind"] != "step")
            if (after and step) or not step or not line.endswith(b"\n"):
                break
            lines.append(line)
        with whole_file(path) as temporary:
            temporary.write_bytes(b"".join(lines))

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of log.txt, of which at most 16 KiB are read."""
        try:
            with (self.path / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
                return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    # Requests and the lock

    def request_stop(self) -> None:
        (self.path / "stop").touch()

    def stop_requested(self) -> bool:
        return (self.path / "stop").exists()

    def request_pause(self) -> None:
        (self.path / "pause").touch()

    def pause_requested(self) -> bool:
        return (self.path / "pause").exists()

    def clear_requests(self) -> None:
        for name in ("stop", "pause"):
            (self.path / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a process that was killed had half written; for the worker, before it writes."""
        for path in self.path.glob(".*.tmp"):
            path.unlink(missing_ok=True)
        for name in (".model.new", ".model.old"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        self.sweep_pushes()

    def sweep_pushes(self) -> None:
        """Remove what pushes that were killed had copied, unless one is at work."""
        with suppress(OSError), _locked_folder(self.path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for path in self.path.glob(f"{PUSHED}*"):
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def pushing(self) -> Iterator[Path]:
        """A hidden folder for what a push sends, which goes at its end."""
        self.sweep_pushes()
        with (
            _locked_folder(self.path, fcntl.LOCK_SH),
            tempfile.TemporaryDirectory(dir=self.path, prefix=PUSHED) as name,
        ):
            yield Path(name)

    def take_lock(self, file: IO[bytes]) -> bool:
        """Hold the lock by this open file; False where a worker has it. A reader's look lasts a moment."""
        for _ in range(LOOKS):
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def is_locked(self) -> bool:
        """Whether a worker lives: the kernel drops its lock at its death."""
        try:
            with (self.path / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False


@contextmanager
def _locked_folder(folder: Path, how: int) -> Iterator[None]:
    """Hold a lock on the folder itself, which `lock` in it has nothing to do with; raises BlockingIOError."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, how)
        yield
    finally:
        os.close(held)


def stored_bytes(run: Run) -> int:
    """What this run and all beside it take on disk: its owner's, less the models that lie there too."""
    return sum(folder_bytes(path.parent) for path in run.path.parent.glob("*/config.yaml"))


def list_runs(owner: str = LOCAL_OWNER) -> list[Run]:
    """The owner's runs, newest first."""
    folder = home() / owner
    if not folder.is_dir():
        return []
    names = sorted((path.name for path in folder.iterdir() if _ID.fullmatch(path.name)), reverse=True)
    return [Run(folder / name) for name in names if (folder / name / "state.json").is_file()]


def every_run() -> list[Run]:
    """Every owner's runs."""
    folder = home()
    owners = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [run for owner in owners for run in list_runs(owner)]


def models_in_use() -> set[str]:
    """The bases of all runs that have not ended: their workers read them later, and may not bring them."""
    found = set()
    for run in every_run():
        with suppress(BertspaceError):  # it is being made or deleted at this moment
            if run.state().status not in ENDED:
                found.add(run.config().model)
    return found


def find(name: str, owner: str = LOCAL_OWNER) -> Run:
    """The owner's run with this id, or the run in this folder; raises RunError."""
    if _ID.fullmatch(name) and (home() / owner / name / "state.json").is_file():
        return Run(home() / owner / name)
    with suppress(OSError, ValueError, RuntimeError):  # too long, a NUL, a home of nobody
        folder = Path(name).expanduser()
        if (folder / "state.json").is_file() and (folder / "config.yaml").is_file():
            known = [run for run in list_runs(owner) if run.path.resolve() == folder.resolve()]
            return known[0] if known else Run(folder.resolve())
    raise RunError(f"There is no run {name!r}.", hint="See: python -m bertspace runs list")
