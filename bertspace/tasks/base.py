"""What a task must say about itself, and the few lines that tasks share."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from bertspace import hardware
from bertspace.errors import ConfigError
from bertspace.schema import TrainConfig
from bertspace.tasks import verdict
from bertspace.tasks.answers import Answer
from bertspace.tasks.card import TaskCard
from bertspace.tasks.metrics import Metric
from bertspace.tasks.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Tokenizer: TypeAlias = PreTrainedTokenizerBase

    Batch = dict[str, torch.Tensor]
    Losses = tuple[torch.Tensor, torch.Tensor]
    Table = Mapping[str, np.ndarray]

GPU_TOKENS = 8
IGNORED = -100  # cross_entropy leaves out what has this target
VERDICTS = ("fixed", "broken", "same right", "same wrong")  # of a row, base against fine-tuned
TOKENIZE_AT_ONCE = 1000  # texts handed to the tokenizer together: enough to keep its threads busy


@dataclass(frozen=True)
class Rows:
    """A split as token ids. segments: token types of pairs. words: each token's word (-1: none)."""

    input_ids: list[np.ndarray]
    labels: np.ndarray | None = None
    segments: list[np.ndarray] | None = None
    words: list[np.ndarray] | None = None
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens a row, shape (N,)."""
        import numpy as np

        return np.array([len(row) for row in self.input_ids], dtype=np.int64)


@dataclass(frozen=True)
class Judged:
    """What a verdict on two tables has to know of their rows.

    names, counts: the labels and their training rows. against: what the base answered by ("": what the
    baseline is). chosen: the model is of the epoch that was best on these rows.
    """

    config: TrainConfig
    names: Sequence[str] = ()
    counts: Sequence[int] = ()
    against: str = ""
    split: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Sample:
    """A small data set that comes with the package; `sample:<name>` as a config's dataset.

    columns: the file's names by role (text, pair, label).
    """

    name: str
    task: str
    title: str
    description: str
    file: str
    columns: Mapping[str, str]
    validation_share: float = 0.3  # of so few rows a tenth would be too few to judge by


class Task:
    """One thing that an encoder can be trained to do; named by its Hub pipeline tag.

    does, to_do: in a sentence ("fills masks", "fill masks"). head: transformers' Auto class without
    "AutoModelFor". head_weights: matches the names of the weights that such a head alone has. columns: what
    its rows have, of text, pair and label. headline: the metric that it is judged by. baseline: what a
    fine-tuned model is compared with: "model" (the base has this head, and is scored as it is), "probe" (a
    logistic regression on its frozen features, and the commonest label) or "none". settings: TrainConfig's
    groups that are for this task alone. small_model_rate: the learning rate of encoders far below base size.
    placeholder: an input that is nobody's. card: its part of a model card. page: "module:class" of its
    page in ui/tasks.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    does: ClassVar[str]
    to_do: ClassVar[str]
    head: ClassVar[str]
    head_weights: ClassVar[re.Pattern[str]]
    columns: ClassVar[tuple[str, ...]]
    metrics: ClassVar[tuple[Metric, ...]]
    headline: ClassVar[str]
    answer: ClassVar[type[Answer]]
    baseline: ClassVar[str]
    card: ClassVar[TaskCard] = TaskCard()
    page: ClassVar[str]
    settings: ClassVar[tuple[str, ...]] = ()
    samples: ClassVar[tuple[Sample, ...]] = ()
    small_model_rate: ClassVar[float] = 1e-4
    placeholder: ClassVar[str] = "A text of yours."

    @property
    def has_labels(self) -> bool:
        return "label" in self.columns

    @property
    def takes_pairs(self) -> bool:
        return "pair" in self.columns

    @property
    def auto_class(self) -> str:
        """The name of transformers' class that loads a model with this head."""
        return f"AutoModelFor{self.head}"

    # Rows

    def unit(self, config: TrainConfig) -> str:
        """What one row of a split is called: row, chunk or text."""
        return "row"

    def length_setting(self, config: TrainConfig) -> str:
        """The setting that bounds a row's tokens."""
        return "max_length"

    def longest(self, config: TrainConfig) -> int:
        """The most tokens that a row can have."""
        return int(getattr(config, self.length_setting(config)))

    def text_length(self, config: TrainConfig) -> int:
        """Tokens that a text is cut to; 0 where texts are joined, which says nothing of one."""
        return config.max_length if self.length_setting(config) == "max_length" else 0

    def held_out_limit(self, config: TrainConfig) -> int:
        """Rows of a held-out part that are scored at most; 0 for all."""
        return 0

    def expected_rows(self, config: TrainConfig, texts: int, tokens: float) -> float:
        """How many rows so many texts, of so many tokens together, will make."""
        return texts

    @property
    def script(self) -> Path:
        """A script of the same training without bertspace, which an export fills the settings into."""
        return Path(inspect.getfile(type(self))).with_name("script.py")

    @property
    def demo(self) -> Path:
        """A page for one model, for a small Space of it; what it lacks is that model's name and examples."""
        return Path(inspect.getfile(type(self))).with_name("demo.py")

    def encode(self, tokenizer: Tokenizer, frame: pd.DataFrame, config: TrainConfig, limit: int = 0) -> Rows:
        """The frame's rows as token ids, tokenised once; at most `limit` of them where it is not 0."""
        raise NotImplementedError(self.name)

    def collate(
        self, keys: Sequence[tuple[int, int]], rows: Rows, tokenizer: Tokenizer, config: TrainConfig
    ) -> Batch:
        """One batch of tensors for the rows of `keys`, which are (epoch, row); epoch 0 is evaluation's."""
        raise NotImplementedError(self.name)

    # Training and scoring

    def loss(self, model: PreTrainedModel, batch: Batch, smoothing: float) -> Losses:
        """The batch's mean loss, a scalar with a gradient, and its mean cross-entropy, as scoring has it.

        They are one where the labels are not smoothed.
        """
        raise NotImplementedError(self.name)

    def weight(self, batch: Batch) -> int:
        """How much the batch's mean loss is the mean of: its rows, where a task says nothing else."""
        return len(batch["rows"])

    def table(self, model: PreTrainedModel, batch: Batch) -> Batch:
        """Per-row results, each of shape (B, …), so that sums over batches and processes stay exact."""
        raise NotImplementedError(self.name)

    def score(self, table: Table) -> dict[str, float]:
        """The metrics of a whole split from its table, rows in their order."""
        raise NotImplementedError(self.name)

    def judge(self, metric: str, tuned: Table, base: Table, rows: Judged) -> Verdict:
        """Whether fine-tuning helped, from the tables of both models on the same rows.

        Where a task says nothing else, it is judged by the mean loss.
        """
        unit = f"{self.unit(rows.config)}s"
        return verdict.of_losses(tuned, base, unit=unit, split=rows.split, chosen=rows.chosen)

    def compare_rows(
        self, frame: pd.DataFrame, base: Table, tuned: Table, names: Sequence[str]
    ) -> pd.DataFrame:
        """Both models' answers row by row; column "verdict", where there is one: one of VERDICTS."""
        raise NotImplementedError(self.name)

    def unscorable(self, config: Mapping[str, Any]) -> str:
        """Why a model with this config.json cannot be scored against the task's labels; "" where it can."""
        return ""

    # Answers

    def from_probabilities(
        self,
        rows: Sequence[Sequence[float]],
        names: Sequence[str],
        texts: Sequence[str],
        pairs: Sequence[str] | None,
    ) -> Sequence[Answer]:
        """An answer a row of labels' probabilities, as a probe gives them."""
        raise NotImplementedError(self.name)

    def predict(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        top_k: int,
    ) -> Sequence[Sequence[Answer]]:
        """One answer a text, or one a mask; in the order of the texts. The caller sorts and batches."""
        raise NotImplementedError(self.name)

    def as_json(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The answers to one text as a row of JSON; of a blank text there are none."""
        return (
            {"best": answers[0].best, "scores": answers[0].scores}
            if answers
            else {"best": None, "scores": {}}
        )

    def examples(self, frame: pd.DataFrame, most: int, longest: int = 200) -> list[tuple[str, str]]:
        """(text, second text) of a few rows, as a model can be asked them. longest: characters."""
        short = frame[frame["text"].str.len() <= longest].drop_duplicates("text").head(most)
        pairs = short["pair"] if "pair" in short else [""] * len(short)
        return list(zip(short["text"], pairs, strict=True))

    # Settings

    def check(self, config: TrainConfig) -> None:
        """Raises ConfigError for settings that this task does not know."""
        known = ("loss", *(each.name for each in self.metrics))
        if config.best_metric and config.best_metric not in known:
            raise ConfigError(
                f"best_metric is {config.best_metric!r}.", hint=f"Choose from: {', '.join(known)}."
            )


def cross_entropies(
    logits: torch.Tensor, targets: torch.Tensor, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross-entropy with smoothed labels and the one without; a target of IGNORED counts nothing."""
    import torch
    from torch.nn.functional import cross_entropy

    loss = cross_entropy(logits, targets, ignore_index=IGNORED, label_smoothing=smoothing)
    if not smoothing:
        return loss, loss.detach()
    with torch.no_grad():
        return loss, cross_entropy(logits, targets, ignore_index=IGNORED)


def encodings(
    tokenizer: Tokenizer, texts: list[str], pairs: list[str] | None, max_length: int | None
) -> Iterator[Any]:
    """tokenizers.Encoding objects, one a text (or pair), cut to max_length tokens where that is given."""
    limit = {"truncation": True, "max_length": max_length} if max_length else {"truncation": False}
    for start in range(0, len(texts), TOKENIZE_AT_ONCE):
        end = start + TOKENIZE_AT_ONCE
        batch = tokenizer(
            texts[start:end], pairs[start:end] if pairs else None, padding=False, verbose=False, **limit
        )
        yield from batch.encodings or []


def width_of(rows: Sequence[np.ndarray], tokenizer: Tokenizer) -> int:
    """Tokens that a batch's rows are padded to: the longest's, on a GPU the next multiple of GPU_TOKENS.

    Its tensor cores take them so, and it loads kernels anew for each shape that it has not met yet.
    """
    longest = max(len(row) for row in rows)
    if hardware.device() != "cuda":
        return longest
    return max(longest, min(-(-longest // GPU_TOKENS) * GPU_TOKENS, tokenizer.model_max_length))


def pad(rows: Sequence[np.ndarray], value: int, width: int) -> torch.Tensor:
    """Rows of token ids as one (B, width) int64 tensor."""
    import numpy as np
    import torch

    padded = np.full((len(rows), width), value, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded)


def attention_mask(lengths: Sequence[int], width: int) -> torch.Tensor:
    """(B, width) int64: 1 for a token, 0 for padding."""
    import torch

    return (torch.arange(width) < torch.tensor(lengths)[:, None]).long()


def text_inputs(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
) -> Batch:
    """The texts (or pairs) as one padded batch on the model's device."""
    batch = tokenizer(
        list(texts),
        list(pairs) if pairs else None,
        truncation=True,
        max_length=tokenizer.model_max_length,
        padding=True,
        return_tensors="pt",
    )
    return {key: value.to(model.device) for key, value in batch.items()}


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names with those that stand there again told apart: a, a (2). Else one score would hide another."""
    taken, times, unique = set(names), dict.fromkeys(names, 0), []
    for name in names:
        times[name] += 1
        own = name
        while times[name] > 1 and own in taken:
            own = f"{name} ({times[name]})"
            times[name] += own in taken
        taken.add(own)
        unique.append(own)
    return tuple(unique)
