"""A task that is none of the package's: how many words does a text have?"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bertspace import data
from bertspace.schema import TASK_NAMES, TrainConfig
from bertspace.tasks import METRICS, TASKS, Answer, Metric, Rows, Task, register
from bertspace.tasks.base import attention_mask, cross_entropies, encodings, pad, text_inputs, width_of
from bertspace.tasks.metrics import ACCURACY

COUNTS = tuple(map(str, range(1, 8)))
OFF_BY = Metric("off_by", "Off by", "words off", "Mean distance from the number.", lower_is_better=True)


@dataclass(frozen=True)
class Counted(Answer):
    """scores: number of words -> probability. unit: what is counted."""

    unit: str = "words"

    @property
    def count(self) -> int:
        return int(self.best)


class WordCount(Task):
    name = "word-count"
    title = "Word count"
    does, to_do = "counts words", "count words"
    head = "SequenceClassification"
    head_weights = re.compile(r"(^|\.)classifier\.")
    columns = ("text", "label")
    metrics = (ACCURACY, OFF_BY)
    headline = "accuracy"
    answer = Counted
    baseline = "none"
    placeholder = "five words stand right here"
    page = "tests.support.toy_page:WordCountPage"

    @property
    def script(self) -> Path:
        return Path(__file__).with_name("toy_script.py")

    def encode(self, tokenizer: Any, frame: pd.DataFrame, config: TrainConfig, limit: int = 0) -> Rows:
        texts = frame["text"].tolist()[: limit or None]
        found = list(encodings(tokenizer, texts, None, config.max_length))
        ids = [np.array(each.ids, dtype=np.int32) for each in found]
        labels = frame["label"].to_numpy(np.int64)[: limit or None] if "label" in frame else None
        return Rows(ids, labels, truncated=sum(bool(each.overflowing) for each in found))

    def collate(self, keys: Any, rows: Rows, tokenizer: Any, config: TrainConfig) -> dict[str, torch.Tensor]:
        numbers = [row for _, row in keys]
        chosen = [rows.input_ids[row] for row in numbers]
        width = width_of(chosen, tokenizer)
        batch = {
            "rows": torch.tensor(numbers),
            "input_ids": pad(chosen, tokenizer.pad_token_id, width),
            "attention_mask": attention_mask([len(row) for row in chosen], width),
        }
        return batch | ({"labels": torch.from_numpy(rows.labels[numbers])} if rows.labels is not None else {})

    def loss(self, model: Any, batch: Any, smoothing: float) -> tuple[torch.Tensor, torch.Tensor]:
        return cross_entropies(_logits(model, batch), batch["labels"], smoothing)

    def table(self, model: Any, batch: Any) -> dict[str, torch.Tensor]:
        logits = _logits(model, batch)
        loss = torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="none")
        return {"guess": logits.argmax(-1), "label": batch["labels"], "loss": loss}

    def score(self, table: dict[str, np.ndarray]) -> dict[str, float]:
        wrong = np.abs(table["guess"] - table["label"])
        accuracy, off_by = float((wrong == 0).mean()), float(wrong.mean())
        return {"loss": float(table["loss"].mean()), "accuracy": accuracy, "off_by": off_by}

    def compare_rows(
        self,
        frame: pd.DataFrame,
        base: Mapping[str, np.ndarray],
        tuned: Mapping[str, np.ndarray],
        names: Sequence[str],
    ) -> pd.DataFrame:
        return frame[["text"]].assign(base=base["guess"], tuned=tuned["guess"])

    def predict(
        self, model: Any, tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, top_k: int
    ) -> list[list[Counted]]:
        scores = _logits(model, text_inputs(model, tokenizer, texts, None)).softmax(-1)
        best = scores.topk(min(top_k, scores.shape[-1]))
        names = [[model.config.id2label[number] for number in row] for row in best.indices.tolist()]
        return [
            [Counted(text, dict(zip(row, values, strict=True)))]
            for text, row, values in zip(texts, names, best.values.tolist(), strict=True)
        ]


def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    inputs = {
        name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch
    }
    logits: torch.Tensor = model(**inputs).logits.float()
    return logits


@contextmanager
def registered() -> Iterator[Task]:
    """The task, registered as the package's own are."""
    task = WordCount()
    register(task)
    try:
        yield task
    finally:
        del TASKS[task.name], METRICS[OFF_BY.name]
        TASK_NAMES.remove(task.name)


def splits(train: int = 48, validation: int = 16) -> data.Splits:
    """Texts of one to seven words, each labelled with their number."""
    rows = [_rows(count, seed) for count, seed in ((train, 1), (validation, 2))]
    return data.Splits(rows[0], rows[1], None, COUNTS, "counted here", ())


def _rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(COUNTS)
    words = "ship sea light storm keeper lamp night day house door".split()
    texts = [" ".join(random.choice(words, size=label + 1)) for label in labels]
    return pd.DataFrame({"text": pd.array(texts, dtype="str"), "label": labels.astype("int64")})
