"""Speed and memory, side by side: this loop, the tutorials' loop, and transformers.Trainer in two ways.

    python tests/benchmarks/speed.py [--steps 60] [--repeats 3] [--only cola|imdb] [--data FOLDER]

Same model, same rows and same batch size for all. Every measurement is a process of its own, so that the peak
of its memory is its own; the order turns from repeat to repeat, so that a busy minute of the machine hits all
alike. Only training steps are counted: no loading, no scoring, no warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    import pandas as pd

    from bertspace.schema import TrainConfig

ENVIRONMENT = dict(os.environ)
SHARED_DATA = ROOT.parent / "shared" / "data"
BATCH = 32
LENGTH = 128  # tokens: the most a CoLA row may have, and all that an IMDb chunk has
WARM_UP = 10  # steps that are not counted: first touches of memory, kernels picked

OURS = "this loop"
PLAIN = "tutorials' loop, padded to 128, fp32"
TRAINER = "Trainer, defaults"
TRAINER_FAST = "Trainer, bf16, grouped by length"
METHODS = (OURS, PLAIN, TRAINER, TRAINER_FAST)

TITLES = {"cola": "CoLA, classification", "imdb": "IMDb, fill-mask, chunks of 128"}

# The bars of the project, on two cores with AVX512-BF16 and the starter: this loop is so many times as fast.
BARS = {"cola": {PLAIN: 12.0, TRAINER: 2.5}, "imdb": {TRAINER: 2.5, TRAINER_FAST: 1.5}}
LESS_MEMORY_THAN = {"cola": (), "imdb": (TRAINER, TRAINER_FAST)}


@dataclass(frozen=True)
class Measured:
    """One measurement. tokens: real ones, without padding."""

    examples_per_second: float
    tokens_per_second: float
    peak_memory_bytes: int
    steps: int


@dataclass(frozen=True)
class Setting:
    """What all methods of a measurement share."""

    data_set: str
    model: str
    data: str
    steps: int
    warm_up: int = WARM_UP

    @property
    def total_steps(self) -> int:
        return self.warm_up + self.steps

    @property
    def config(self) -> TrainConfig:
        from bertspace.schema import TrainConfig

        return TrainConfig(
            task="text-classification" if self.data_set == "cola" else "fill-mask",
            model=self.model,
            max_steps=self.total_steps,
            epochs=1000,
            batch_size=BATCH,
            max_length=LENGTH,
            chunk_size=LENGTH,
            # fill-mask counts chunks; they are cut from no more texts than are needed.
            max_train_rows=0 if self.data_set == "cola" else self.total_steps * BATCH,
            validation_share=0.01,
        )


# The rows


def rows(setting: Setting) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The training rows under their canonical columns, enough for all the steps, and the label names."""
    import pandas as pd

    from bertspace import data

    if not setting.data:
        sample = "office" if setting.data_set == "cola" else "lighthouse"
        splits = data.load_splits(data_config(setting, dataset=f"sample:{sample}"))
        frame, names = splits.train, splits.label_names
    elif setting.data_set == "cola":
        columns = {"text_column": "sentence", "label_column": "label"}
        file = "cola/in_domain_train.tsv"
        splits = data.load_splits(data_config(setting, train_file=file, data_dir=setting.data, **columns))
        frame, names = splits.train, splits.label_names
    else:
        table = data.read_table(Path(setting.data) / "imdb" / "train.parquet")
        # 280 tokens a review on average: three times as many as are needed.
        frame, names = table[["text"]].head(setting.total_steps * BATCH), ()
    # Texts of a sample are repeated until they last. 4 characters a token at least.
    need = setting.total_steps * BATCH
    have = len(frame) if setting.data_set == "cola" else int(frame["text"].str.len().sum() / 6 / LENGTH)
    return pd.concat([frame] * max(1, -(-need // max(1, have))), ignore_index=True), names


def data_config(setting: Setting, **changes: Any) -> TrainConfig:
    from dataclasses import replace

    return replace(setting.config, max_train_rows=0, **changes)


def load(setting: Setting, frame: pd.DataFrame, names: Sequence[str]) -> tuple[Any, Any, Any]:
    """The tokenizer, the model, and the rows as bertspace encodes them, for every method alike."""
    from bertspace import models
    from bertspace.tasks import TASKS

    config = setting.config
    task, located = TASKS[config.task], models.locate(config.model)
    tokenizer = models.load_tokenizer(located)
    options = {"num_labels": len(names)} if names else {}
    model = models.load_model(located, task.name, new_head=True, **options)
    return tokenizer, model, task.encode(tokenizer, frame, config, config.max_train_rows)


def as_items(encoded: Any) -> list[dict[str, Any]]:
    """The rows as the dicts that transformers' collators take."""
    if encoded.labels is None:
        return [{"input_ids": ids.tolist()} for ids in encoded.input_ids]
    return [
        {"input_ids": ids.tolist(), "attention_mask": [1] * len(ids), "labels": int(label)}
        for ids, label in zip(encoded.input_ids, encoded.labels, strict=True)
    ]


# The methods: each yields, after every training step, its seconds, examples and tokens so far


def ours(setting: Setting, frame: pd.DataFrame, names: tuple[str, ...]) -> Iterator[tuple[float, int, int]]:
    """bertspace's own loop, by its own events; written down as the worker does."""
    from bertspace import data, models, training
    from bertspace.models.batching import epoch_batches
    from bertspace.runs import Run
    from bertspace.tasks import TASKS

    splits = data.Splits(frame, frame.head(BATCH), None, names, TITLES[setting.data_set], ())
    run = Run.create(data.run_config(setting.config, splits))
    data.write_splits(splits, run.path / "data")
    config = run.config()
    tokenizer = models.load_tokenizer(models.locate(config.model))
    lengths = TASKS[config.task].encode(tokenizer, frame, config, config.max_train_rows).lengths
    batches = epoch_batches(lengths, BATCH, config.seed, epoch=1)
    assert setting.total_steps <= len(batches), "an epoch's scoring would fall between the steps"
    tokens = 0
    for event in training.train(config, run):
        run.append(event)
        if event.kind == "step":
            tokens += int(lengths[batches[event.step - 1]].sum())
            yield event.seconds, event.examples, tokens


def plain(setting: Setting, frame: pd.DataFrame, names: tuple[str, ...]) -> Iterator[tuple[float, int, int]]:
    """The loop of the tutorials: fixed padding, fp32, all logits, torch's AdamW and a linear schedule."""
    import torch
    from torch.utils.data import DataLoader
    from transformers import (
        DataCollatorForLanguageModeling,
        DataCollatorWithPadding,
        get_linear_schedule_with_warmup,
    )

    from bertspace import hardware

    tokenizer, model, encoded = load(setting, frame, names)
    if names:
        collator: Any = DataCollatorWithPadding(tokenizer, padding="max_length", max_length=LENGTH)
    else:
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    loader = DataLoader(as_items(encoded), batch_size=BATCH, shuffle=True, collate_fn=collator)
    device = hardware.device()
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, setting.total_steps)
    examples, tokens, begin = 0, 0, time.monotonic()
    for batch in endless(loader):
        batch = {key: value.to(device) for key, value in batch.items()}
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss.item()
        examples += len(batch["input_ids"])
        tokens += real_tokens(batch)
        yield time.monotonic() - begin, examples, tokens


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def real_tokens(batch: Any) -> int:
    mask = batch.get("attention_mask")
    return int(mask.sum()) if mask is not None else batch["input_ids"].numel()


def by_trainer(
    setting: Setting, frame: pd.DataFrame, names: tuple[str, ...], **options: Any
) -> Iterator[tuple[float, int, int]]:
    """transformers.Trainer; dynamic padding, as its examples do."""
    from datasets import Dataset
    from transformers import (
        DataCollatorForLanguageModeling,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from bertspace import hardware

    tokenizer, model, encoded = load(setting, frame, names)
    if names:
        collator: Any = DataCollatorWithPadding(tokenizer)
    else:
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    sizes: list[tuple[int, int]] = []  # one a batch collated; Accelerate collates one ahead
    steps: list[float] = []

    def counted(items: list[dict[str, Any]]) -> Any:
        sizes.append((len(items), sum(len(item["input_ids"]) for item in items)))
        return collator(items)

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            steps.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH,
            max_steps=setting.total_steps,
            report_to="none",
            save_strategy="no",
            eval_strategy="no",
            disable_tqdm=True,
            use_cpu=hardware.device() == "cpu",
            **options,
        )
        Trainer(model, arguments, counted, Dataset.from_list(as_items(encoded)), callbacks=[Clock()]).train()
    examples, tokens = 0, 0
    for moment, (size, length) in zip(steps, sizes, strict=False):
        examples, tokens = examples + size, tokens + length
        yield moment - steps[0], examples, tokens


def trainer(
    setting: Setting, frame: pd.DataFrame, names: tuple[str, ...]
) -> Iterator[tuple[float, int, int]]:
    return by_trainer(setting, frame, names)


def trainer_fast(
    setting: Setting, frame: pd.DataFrame, names: tuple[str, ...]
) -> Iterator[tuple[float, int, int]]:
    return by_trainer(setting, frame, names, bf16=True, train_sampling_strategy="group_by_length")


RUNNERS: dict[str, Callable[..., Iterator[tuple[float, int, int]]]] = dict(
    zip(METHODS, (ours, plain, trainer, trainer_fast), strict=True)
)


def measure(method: str, setting: Setting) -> Measured:
    """Run the method in this process. What is counted begins after the warm-up's last step."""
    from bertspace import hardware

    frame, names = rows(setting)
    seen: list[tuple[float, int, int]] = []
    for step in RUNNERS[method](setting, frame, names):
        seen.append(step)
        if len(seen) == setting.total_steps and method == PLAIN:
            break
    (begin, examples, tokens), (end, all_examples, all_tokens) = seen[setting.warm_up - 1], seen[-1]
    seconds = end - begin
    return Measured(
        (all_examples - examples) / seconds,
        (all_tokens - tokens) / seconds,
        hardware.peak_memory_bytes(),
        len(seen) - setting.warm_up,
    )


# The comparison


def measure_apart(method: str, setting: Setting) -> Measured:
    """The same in a process of its own, with a home of its own and no network.

    This loop has the environment that bertspace gives its workers; the others have what their users have.
    """
    from bertspace import processes

    with tempfile.TemporaryDirectory() as home:
        given = processes.child_environment(trains=True) if method == OURS else ENVIRONMENT
        environment = given | {
            "BERTSPACE_HOME": home,
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "true",
        }
        command = [sys.executable, __file__, "--measure", method, "--setting", json.dumps(asdict(setting))]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{method} failed:\n{done.stderr[-3000:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def compare(setting: Setting, repeats: int) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = {method: [] for method in METHODS}
    for repeat in range(repeats):
        turn = repeat % len(METHODS)
        for method in METHODS[turn:] + METHODS[:turn]:
            measured = measure_apart(method, setting)
            found[method].append(measured)
            print(f"  {repeat + 1}/{repeats} {method}: {measured.examples_per_second:.1f}/s", file=sys.stderr)
    return found


def median(found: Sequence[Measured], name: str) -> float:
    return statistics.median(getattr(each, name) for each in found)


def table(found: dict[str, list[Measured]]) -> str:
    """Aligned columns; the last one says how many times as fast this loop is."""
    head = ("", "n", "examples/s", "range", "tokens/s", "peak memory", "this loop is")
    lines = [head]
    for method, measured in found.items():
        speeds = [each.examples_per_second for each in measured]
        lines.append(
            (
                method,
                str(len(measured)),
                f"{statistics.median(speeds):.1f}",
                f"{min(speeds):.1f}-{max(speeds):.1f}",
                f"{median(measured, 'tokens_per_second'):.0f}",
                f"{median(measured, 'peak_memory_bytes') / 2**30:.2f} GiB",
                "" if method == OURS else f"{ratio(found, method):.2f} times as fast",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zipped)
        )
        for zipped in (list(zip(line, widths, strict=True)) for line in lines)
    )


def ratio(found: dict[str, list[Measured]], method: str) -> float:
    return median(found[OURS], "examples_per_second") / median(found[method], "examples_per_second")


def verdicts(data_set: str, found: dict[str, list[Measured]]) -> list[str]:
    """A line a bar: met or missed."""
    lines = []
    for method, bar in BARS[data_set].items():
        word = "met" if ratio(found, method) >= bar else "MISSED"
        lines.append(f"{word}: at least {bar:g} times {method} (is {ratio(found, method):.2f})")
    for method in LESS_MEMORY_THAN[data_set]:
        mine, other = (median(found[each], "peak_memory_bytes") / 2**30 for each in (OURS, method))
        lines.append(
            f"{'met' if mine < other else 'MISSED'}: less memory than {method} ({mine:.2f}, {other:.2f} GiB)"
        )
    return lines


def machine() -> str:
    """What the figures were obtained on."""
    import torch

    from bertspace import hardware

    packages = ("torch", "transformers", "accelerate", "datasets")
    names = [f"{name} {version(name)}" for name in packages]
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        processor = found[0] if found else processor
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{hardware.describe()}, {torch.get_num_threads()} threads, {processor}{load}; "
        f"Python {platform.python_version()}, {', '.join(names)}"
    )


def data_folder(given: Path | None) -> str:
    """The folder of the public data sets; empty where there is none, which is said."""
    folder = given or SHARED_DATA
    if folder.is_dir():
        return str(folder.resolve())
    print(f"There is no {folder}: the samples of bertspace are used instead.")
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--steps", type=int, default=60, help="steps that are counted, after --warm-up that are not"
    )
    parser.add_argument(
        "--warm-up", type=int, default=WARM_UP, help="steps before those; a GPU needs some hundred"
    )
    parser.add_argument("--repeats", type=int, default=3, help="measurements a method")
    parser.add_argument("--only", choices=tuple(TITLES), help="one of the two comparisons")
    parser.add_argument(
        "--data", type=Path, help="the folder that holds cola/ and imdb/ (default: ../shared/data)"
    )
    parser.add_argument("--model", default="starter")
    parser.add_argument("--measure", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asdict(measure(options.measure, Setting(**json.loads(options.setting))))))
        return
    from bertspace import hardware

    folder = data_folder(options.data)
    for data_set in [options.only] if options.only else TITLES:
        setting = Setting(data_set, options.model, folder, options.steps, options.warm_up)
        found = compare(setting, options.repeats)
        print(f"\n{TITLES[data_set]}, batches of {BATCH}, {options.model}, {options.steps} steps\n")
        print(table(found))
        if hardware.device() == "cpu":
            print("\n" + "\n".join(verdicts(data_set, found)))
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
