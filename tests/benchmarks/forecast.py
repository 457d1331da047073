"""How right the forecasts are: ten real runs of different settings, each with the starter, on the samples.

    python tests/benchmarks/forecast.py [--only 3 7] [--model starter]

Every run is a process of its own with the environment of a worker. Printed are the seconds from step 1 to the
end and the memory, as forecast from the trial batches and as they came; and the seconds of the whole run as
the page forecasts them before the start. The bar: a median error of 30 % at most.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from bertspace.schema import TrainConfig

BAR = 0.30
CLASSES, MASKS = "text-classification", "fill-mask"
SETTINGS: tuple[dict[str, Any], ...] = (
    {"dataset": "sample:office", "batch_size": 32, "max_length": 128, "max_steps": 60},
    {"dataset": "sample:office", "batch_size": 8, "max_length": 32, "max_steps": 300},
    {"dataset": "sample:office", "batch_size": 16, "max_length": 64, "max_steps": 150, "lora_rank": 8},
    {"dataset": "sample:pairs", "batch_size": 64, "max_length": 128, "max_steps": 60},
    {"dataset": "sample:pairs", "batch_size": 16, "max_length": 64, "max_steps": 120, "freeze_layers": 4},
    {
        "dataset": "sample:pairs",
        "batch_size": 8,
        "max_length": 256,
        "max_steps": 60,
        "gradient_accumulation": 4,
    },
    {"dataset": "sample:lighthouse", "batch_size": 16, "chunk_size": 128, "max_steps": 80},
    {"dataset": "sample:lighthouse", "batch_size": 8, "chunk_size": 256, "max_steps": 60, "lora_rank": 16},
    {"dataset": "sample:lighthouse", "batch_size": 32, "chunk_size": 64, "max_steps": 60, "freeze_layers": 3},
    {
        "dataset": "sample:lighthouse",
        "batch_size": 16,
        "chunk_size": 0,
        "max_length": 96,
        "max_steps": 60,
        "gradient_accumulation": 2,
    },
)


@dataclass(frozen=True)
class Outcome:
    """Of one run: what was forecast, by its trial and (`page`) before it began, and what came."""

    seconds: float
    memory: float
    seconds_forecast: float
    memory_forecast: float
    whole: float
    trial: float
    page_seconds: float = 0.0
    page_memory: float = 0.0

    def errors(self) -> dict[str, float]:
        """Shares of what came: the trial's seconds and memory, the page's seconds and memory."""
        return {
            "seconds": self.seconds_forecast / self.seconds - 1,
            "memory": self.memory_forecast / self.memory - 1,
            "seconds on the page": self.page_seconds / self.whole - 1,
            "memory on the page": self.page_memory / self.memory - 1,
        }


def configured(number: int, model: str) -> TrainConfig:
    from bertspace.schema import TrainConfig

    setting = SETTINGS[number]
    task = MASKS if "lighthouse" in setting["dataset"] else CLASSES
    return TrainConfig(task=task, model=model, epochs=1000, **setting)


def measure(number: int, model: str) -> Outcome:
    """Train in this process."""
    from bertspace import data, training
    from bertspace.runs import Run

    config = configured(number, model)
    splits = data.load_splits(config)
    run = Run.create(data.run_config(config, splits))
    data.write_splits(splits, run.path / "data")
    events = {event.kind: event for event in training.train(run.config(), run) if event.kind != "step"}
    told, done, result = events["forecast"], events["done"], run.result() or {}
    return Outcome(
        done.seconds - told.seconds,
        result["peak_memory_bytes"],
        told.metrics["seconds"],
        told.metrics["memory_bytes"],
        done.seconds,
        told.seconds - events["base"].seconds,
    )


def measure_apart(number: int, model: str) -> Outcome:
    """The same in a process of its own, after the page's forecast in this one."""
    from bertspace import data, processes
    from bertspace.training import forecast
    from bertspace.ui.fine_tune.preview import measure as lengths_of

    config = configured(number, model)
    splits = data.load_splits(config)
    page = forecast.estimate(config, splits, lengths_of(model, splits.train).tokens)
    with tempfile.TemporaryDirectory() as home:
        environment = processes.child_environment(trains=True) | {
            "BERTSPACE_HOME": home,
            "HF_HUB_OFFLINE": "1",
        }
        command = [sys.executable, __file__, "--measure", str(number), "--model", model]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Run {number} failed:\n{done.stderr[-3000:]}")
    found = Outcome(**json.loads(done.stdout.splitlines()[-1]))
    return replace(found, page_seconds=page.seconds, page_memory=page.memory_bytes)


def line(number: int, found: Outcome) -> str:
    """Forecast against measured, and the errors."""
    setting = " ".join(f"{name}={value}" for name, value in SETTINGS[number].items())
    errors = {name: f"{error:+.0%}" for name, error in found.errors().items()}
    gib = 2**30
    return (
        f"{number:2d}  {setting.replace('dataset=sample:', '')} (the trial took {found.trial:.1f} s)\n"
        f"    from step 1: {found.seconds:6.1f} s came, {found.seconds_forecast:6.1f} s forecast"
        f" ({errors['seconds']});"
        f" memory {found.memory / gib:.2f} GiB, {found.memory_forecast / gib:.2f} ({errors['memory']})\n"
        f"    on the page: {found.whole:6.1f} s came, {found.page_seconds:6.1f} s forecast"
        f" ({errors['seconds on the page']});"
        f" memory {found.page_memory / gib:.2f} ({errors['memory on the page']})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=int, nargs="+", choices=range(len(SETTINGS)), help="some of the runs")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    from bertspace import hardware

    if options.measure is not None:
        print(json.dumps(asdict(measure(options.measure, options.model))))
        return
    hardware.share_cores()  # as the app does: the page's forecasts are made in this process
    found = []
    for number in options.only or range(len(SETTINGS)):
        found.append(measure_apart(number, options.model))
        print(line(number, found[-1]), flush=True)
    print()
    for name in found[0].errors():
        middle = statistics.median(abs(each.errors()[name]) for each in found)
        print(
            f"{'met' if middle <= BAR else 'MISSED'}: median error of the {name} {middle:.0%} (bar {BAR:.0%})"
        )


if __name__ == "__main__":
    main()
