"""text-classification: one text, or a true pair of texts (two segments), and one label of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bertspace.schema import Prediction, TrainConfig, meaning
from bertspace.tasks.base import Rows, Task, attention_mask, cross_entropies, encodings, pad, width_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TextClassification(Task):
    name = "text-classification"
    title = "Text classification"
    columns = ("text", "pair", "label")
    metrics = ("accuracy", "f1_macro", "f1_weighted", "precision_macro", "matthews_correlation")
    headline = "accuracy"

    def encode(
        self, tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame, config: TrainConfig, limit: int = 0
    ) -> Rows:
        import numpy as np

        frame = frame.iloc[:limit] if limit else frame
        pairs = frame["pair"].tolist() if "pair" in frame else None
        length = min(config.max_length, tokenizer.model_max_length)
        ids: list[np.ndarray] = []
        segments: list[np.ndarray] | None = (
            [] if pairs and "token_type_ids" in tokenizer.model_input_names else None
        )
        truncated = 0
        for encoding in encodings(tokenizer, frame["text"].tolist(), pairs, length):
            ids.append(np.array(encoding.ids, dtype=np.int32))
            truncated += bool(encoding.overflowing)
            if segments is not None:
                segments.append(np.array(encoding.type_ids, dtype=np.int8))
        labels = frame["label"].to_numpy(np.int64) if "label" in frame else None
        return Rows(ids, labels, segments, truncated=truncated)

    def collate(
        self,
        keys: Sequence[tuple[int, int]],
        rows: Rows,
        tokenizer: PreTrainedTokenizerBase,
        config: TrainConfig,
    ) -> dict[str, torch.Tensor]:
        import torch

        numbers = [row for _, row in keys]
        chosen = [rows.input_ids[row] for row in numbers]
        width = width_of(chosen, tokenizer)
        batch = {
            "rows": torch.tensor(numbers),
            "input_ids": pad(chosen, tokenizer.pad_token_id, width),
            "attention_mask": attention_mask([len(row) for row in chosen], width),
        }
        if rows.segments is not None:
            batch["token_type_ids"] = pad(
                [rows.segments[row] for row in numbers], tokenizer.pad_token_type_id, width
            )
        if rows.labels is not None:
            batch["labels"] = torch.from_numpy(rows.labels[numbers])
        return batch

    def loss(
        self, model: PreTrainedModel, batch: dict[str, torch.Tensor], smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return cross_entropies(_logits(model, batch), batch["labels"], smoothing)

    def table(self, model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        from torch.nn.functional import cross_entropy

        logits = _logits(model, batch)
        return {
            "probabilities": logits.softmax(-1),
            "label": batch["labels"],
            "loss": cross_entropy(logits, batch["labels"], reduction="none"),
        }

    def score(self, table: dict[str, np.ndarray]) -> dict[str, float]:
        from bertspace.tasks import metrics

        predicted = table["probabilities"].argmax(-1)
        return {
            "loss": float(table["loss"].mean()),
            **metrics.compute(self.metrics, predicted.tolist(), table["label"].tolist()),
        }

    def predict(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        top_k: int,
    ) -> list[list[Prediction]]:
        logits = _logits(model, pair_inputs(model, tokenizer, texts, pairs))
        said = meaning(model.config.problem_type, model.config.num_labels)
        scores = logits if said == "number" else logits.sigmoid() if said else logits.softmax(-1)
        found = ranked(scores.tolist(), model.config.id2label or {}, texts, pairs, said)
        return [[each] for each in found]


def pair_inputs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
) -> dict[str, torch.Tensor]:
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


def ranked(
    rows: Sequence[Sequence[float]],
    names: Mapping[int, str],
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    said: str = "",
) -> list[Prediction]:
    """A Prediction a row of scores, the highest first; said: what they are."""
    found = []
    width = len(rows[0]) if rows else 0
    own = distinct([str(names.get(label, label)) for label in range(width)])
    for place, row in enumerate(rows):
        order = sorted(range(len(row)), key=lambda label: -row[label])
        scores = {own[label]: row[label] for label in order}
        found.append(Prediction(texts[place], scores, pairs[place] if pairs else "", said))
    return found


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names with those that stand there again told apart: a, a (2). Else one score would hide another."""
    taken, times, found = set(names), dict.fromkeys(names, 0), []
    for name in names:
        times[name] += 1
        own = name
        while times[name] > 1 and own in taken:
            own = f"{name} ({times[name]})"
            times[name] += own in taken
        taken.add(own)
        found.append(own)
    return tuple(found)


def _logits(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B, labels) in fp32."""
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}
    return model(**inputs).logits.float()
