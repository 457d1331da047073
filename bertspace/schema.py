"""The frozen dataclasses that cross module borders, TrainConfig first among them."""

from __future__ import annotations

import math
import shlex
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bertspace.errors import ConfigError

TASK_NAMES: list[str] = []  # filled by tasks.register, in the order of the pickers
SCHEDULES = ("linear", "cosine", "constant_with_warmup")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
ENCODINGS = (
    *("auto", "utf-8", "utf-16", "windows-1252", "windows-1250", "windows-1251", "mac-roman"),
    *("shift-jis", "gb18030"),
)
SEPARATORS = ("auto", "comma", "semicolon", "tab", "bar", "none")
QUOTING = ("auto", "quotes", "backslash", "none")
QUOTED = 80  # characters of a value in a message
STATUSES = ("queued", "running", "done", "stopped", "paused", "failed", "interrupted")


def setting(
    default: Any,
    group: str,
    hint: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """A TrainConfig field: its default, its group and hint on the form, and the values that it may have."""
    return field(
        default=default, metadata={"group": group, "hint": hint, "low": low, "high": high, "choices": choices}
    )


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run; the same names are the form's keys, the CLI's flags and the
    YAML's.

    Lengths are in tokens, shares and probabilities in 0..1. `learning_rate=None` means the model's own
    default (`models.default_learning_rate`), an empty task the first one; `0` in max_steps, max_train_rows,
    patience and lora_rank means "off".
    Raises ConfigError, which names the field, the value and the choices.
    """

    task: str = setting("", "task", "What the model learns to do.", choices=TASK_NAMES)
    model: str = setting(
        "starter", "model", "starter, a Hub id (owner/name[@revision]) or address, run:<id>, or a folder."
    )

    dataset: str = setting(
        "", "data", "sample:<name>, or a data set on the Hub: owner/name[@revision] or its address."
    )
    dataset_config: str = setting("", "data", "The Hub data set's configuration, where it has several.")
    train_file: str = setting(
        "", "data", "csv, tsv, jsonl, parquet or txt, each also gzipped; zip or tar.gz."
    )
    validation_file: str = setting("", "data", "Left empty, a share of the training rows is held out.")
    test_file: str = setting("", "data", "Scored once, at the end.")
    train_split: str = setting("train", "data", "The Hub data set's split to train on.")
    validation_split: str = setting("", "data", "The Hub data set's split to validate on.")
    test_split: str = setting("", "data", "The Hub data set's split to test on.")
    data_dir: str = setting(
        "", "data", "The folder, zip or tar.gz that the file names above are looked up in."
    )
    header: str = setting(
        "auto", "data", "Whether a table's first line names its columns.", choices=("auto", "yes", "no")
    )
    encoding: str = setting("auto", "data", "What text files are written in.", choices=ENCODINGS)
    separator: str = setting("auto", "data", "What stands between a table's columns.", choices=SEPARATORS)
    quoting: str = setting(
        "auto",
        "data",
        'quotes: doubled in a quoted cell (""); backslash: as \\"; none: every quote is text.',
        choices=QUOTING,
    )
    text_column: str = setting("", "data", "Left empty, it is guessed from the columns there are.")
    pair_column: str = setting("", "data", "The second text of a pair; empty for single texts.")
    label_column: str = setting("", "data", "Left empty, it is guessed from the columns there are.")
    label_names: str = setting("", "data", "Names for the labels 0, 1, …, separated by commas.")
    unlabelled_rows: str = setting(
        "refuse", "data", "What becomes of rows without a label.", choices=("refuse", "leave out")
    )
    max_train_rows: int = setting(0, "data", "Train on a random sample of this many rows; 0 for all.", low=0)
    validation_share: float = setting(
        0.1,
        "data",
        "Share of the training rows held out where there is no validation file.",
        low=0.01,
        high=0.5,
    )

    max_length: int = setting(128, "tokens", "Longer texts are cut to this many tokens.", low=8, high=8192)
    chunk_size: int = setting(
        128, "masks", "Tokens a chunk, cut across documents; 0 for one text a row.", low=0, high=8192
    )
    mask_probability: float = setting(
        0.15, "masks", "Share of the tokens (or words) to be predicted.", low=0.01, high=0.9
    )
    whole_words: bool = setting(False, "masks", "Mask all the pieces of a word together.")

    epochs: float = setting(
        3.0, "schedule", "Passes over the training rows; 2 to 4 is usual.", low=0.01, high=1000
    )
    max_steps: int = setting(0, "schedule", "Stop after this many optimizer steps; 0 for no limit.", low=0)
    batch_size: int = setting(
        32, "schedule", "Rows a batch, shared by all devices; 16 or 32 is usual.", low=1, high=4096
    )
    gradient_accumulation: int = setting(
        1, "schedule", "Batches whose gradients are added up before a step.", low=1, high=1024
    )
    learning_rate: float | None = setting(
        None,
        "schedule",
        "Empty: the model's own default (2e-5 for base size, more for small models and for LoRA).",
        low=0,
        high=1,
    )
    warmup_ratio: float = setting(
        0.1, "schedule", "Share of the steps in which the rate climbs to its full value.", low=0, high=1
    )
    schedule: str = setting("linear", "schedule", "How the rate falls after the warm-up.", choices=SCHEDULES)

    weight_decay: float = setting(0.01, "regularisation", "Kept off biases and LayerNorms.", low=0, high=1)
    max_grad_norm: float = setting(
        1.0, "regularisation", "Longer gradients are shortened to this; 0: never.", low=0
    )
    label_smoothing: float = setting(
        0.0, "regularisation", "Share of certainty taken off each label.", low=0, high=0.9
    )
    dropout: float | None = setting(
        None, "regularisation", "Empty: the model's own (0.1 for BERT).", low=0, high=0.9
    )
    freeze_layers: int = setting(
        0,
        "regularisation",
        "Leave the embeddings and this many lower layers as they are; 0: train all.",
        low=0,
        high=99,
    )
    lora_rank: int = setting(
        0,
        "regularisation",
        "Train low-rank updates of this rank instead of all weights; 0: all.",
        low=0,
        high=512,
    )

    precision: str = setting("auto", "precision", "auto: what the hardware is fast at.", choices=PRECISIONS)
    best_metric: str = setting(
        "", "evaluation", "Keep the epoch that is best by this metric; empty: keep the last one."
    )
    patience: int = setting(
        0, "evaluation", "Stop after this many epochs without a better one; 0: never.", low=0, high=1000
    )
    checkpoint_steps: int = setting(
        0, "checkpoints", "Keep a state to go on from every so many steps; 0: by the clock only.", low=0
    )
    checkpoint_minutes: float = setting(
        5.0, "checkpoints", "And every so many minutes; 0: at the end of an epoch only.", low=0, high=1440
    )
    seed: int = setting(
        42, "evaluation", "The same seed gives the same run on the same machine.", low=0, high=2**31
    )

    def __post_init__(self) -> None:
        if not self.task:
            object.__setattr__(self, "task", TASK_NAMES[0])
        for each in fields(self):
            _check(each.name, getattr(self, each.name), each.metadata)

    def steps_an_epoch(self, batches: int) -> int:
        """Optimizer steps of an epoch of so many batches; the last one may have fewer of them."""
        return math.ceil(batches / self.gradient_accumulation)

    def total_steps(self, batches: int) -> int:
        """Optimizer steps of the whole training, with epochs of so many batches."""
        steps = max(1, math.ceil(self.steps_an_epoch(batches) * self.epochs))
        return min(steps, self.max_steps) if self.max_steps else steps

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Built from YAML, a form or flags; texts are converted to the field's type. Raises ConfigError."""
        known = {each.name for each in fields(cls)}
        if unknown := sorted(map(str, set(values) - known)):
            raise ConfigError(
                f"No setting named {', '.join(each[:QUOTED] for each in unknown[:5])}.",
                hint=f"The settings: {', '.join(known)}.",
            )
        return cls(**{name: convert(name, value) for name, value in values.items()})


def as_command(config: TrainConfig, separator: str = " ") -> str:
    """The command line that trains the same: a flag for each setting that is not its default."""
    defaults = TrainConfig().to_dict()
    flags = [as_flag(name, value) for name, value in config.to_dict().items() if value != defaults[name]]
    return separator.join(["python -m bertspace train", *flags])


def as_flag(name: str, value: Any) -> str:
    """A setting as a command has it, quoted for a shell."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    text = str(value)
    # argparse takes what begins with a dash for another flag, unless an equals sign ties the two.
    return shlex.quote(f"{flag}={text}") if text.startswith("-") else f"{flag} {shlex.quote(text)}"


FIELD_TYPES: dict[str, Any] = typing.get_type_hints(TrainConfig)
_CHOICES: dict[str, Sequence[str]] = {each.name: each.metadata["choices"] for each in fields(TrainConfig)}


def convert(name: str, value: Any) -> Any:
    """The value as the type of TrainConfig's field `name`; raises ConfigError where it has none."""
    kind, optional = _plain_type(FIELD_TYPES[name])
    if value is None or (isinstance(value, str) and value.strip() == "" and kind is not str):
        if optional:
            return None
        if kind is str:
            return ""
        raise ConfigError(f"{name} is empty.", hint=f"Give {_article(kind)}.")
    if isinstance(value, bool) and "yes" in _CHOICES[name]:  # YAML's own reading of a bare yes and no
        value = "yes" if value else "no"
    try:
        return _READERS[kind](value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{name} is {quoted(value)}.", hint=f"Give {_article(kind)}.") from error


def quoted(value: Any) -> str:
    """A value as a message has it; of a long one its begin, of one that cannot be written what it is."""
    try:
        said = repr(value)
    except (ValueError, RecursionError):  # of more than 4,300 digits, or nested as deep as it goes
        return f"a {type(value).__name__} that is too large"
    return said if len(said) <= QUOTED else f"{said[: QUOTED - 1]}…"


def _plain_type(annotation: Any) -> tuple[type, bool]:
    if isinstance(annotation, types.UnionType):
        inner = [each for each in typing.get_args(annotation) if each is not type(None)]
        return inner[0], True
    return annotation, False


def _read_int(value: Any) -> int:
    number = float(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


def _read_bool(value: Any) -> bool:
    words = {
        "true": True,
        "yes": True,
        "1": True,
        "on": True,
        "false": False,
        "no": False,
        "0": False,
        "off": False,
    }
    if isinstance(value, bool):
        return value
    if (word := str(value).strip().lower()) not in words:
        raise ValueError(value)
    return words[word]


_READERS: dict[type, Any] = {
    int: _read_int,
    float: float,
    bool: _read_bool,
    str: lambda value: str(value).strip(),
}


def _article(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a text")


def _check(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    kind, optional = _plain_type(FIELD_TYPES[name]) if "FIELD_TYPES" in globals() else (type(value), True)
    if value is None and optional:
        return
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = _as_float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{name} is {quoted(value)}.", hint=f"Give {_article(kind)}.")
    if limits["choices"] and value not in limits["choices"]:
        raise ConfigError(f"{name} is {quoted(value)}.", hint=f"Choose from: {', '.join(limits['choices'])}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} is {value}.", hint="Give a finite number.")
    low, high = limits["low"], limits["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        raise ConfigError(f"{name} is {quoted(value)}.", hint=f"It has to {_between(low, high)}.")


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _between(low: float | None, high: float | None) -> str:
    """ "be 0 or more", "be 99 or less" or "lie between 0 and 99"."""
    if high is None:
        return f"be {low} or more"
    return f"be {high} or less" if low is None else f"lie between {low} and {high}"


@dataclass(frozen=True)
class TrainEvent:
    """One line of events.jsonl: what happened in a run, and when.

    kind: "status" (message: what is being done), "finding" (message: what to look at), "base" (metrics of
    the base before step 1), "forecast" (metrics: seconds and memory_bytes that the training is thought to
    take), "step" (loss, learning_rate, tokens so far), "epoch" (metrics of the validation rows, train_loss
    among them), "done" (metrics of the test rows, where there are any), "paused". seconds: of work on the
    run. loss: mean cross-entropy over the rows (or masked tokens) of the step, whatever the label smoothing.
    learning_rate: the one that the step was taken with.
    """

    kind: str
    step: int = 0
    total_steps: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    loss: float | None = None
    learning_rate: float | None = None
    examples: int = 0
    tokens: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Without what is empty, so that a step is one short line."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "", {})}


@dataclass(frozen=True)
class RunState:
    """state.json: where a run is in its life. Times are seconds since the epoch (UTC).

    place: its order among those that wait, the lowest first. minutes: how long it may train. memory_bytes:
    what its processes may hold. stored_bytes: of all its owner's runs on disk. 0 for no limit.
    advice: settings that need less, after memory ran out.
    """

    status: str = "queued"
    name: str = ""
    created: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    pid: int = 0
    message: str = ""
    hint: str = ""
    notes: str = ""
    place: float = 0.0
    minutes: float = 0.0
    memory_bytes: int = 0
    stored_bytes: int = 0
    advice: dict[str, int] = field(default_factory=dict)
