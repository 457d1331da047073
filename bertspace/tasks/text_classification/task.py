"""text-classification: one text, or a true pair of texts (two segments), and one label of several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bertspace.schema import TrainConfig
from bertspace.tasks import verdict
from bertspace.tasks.answers import Answer
from bertspace.tasks.base import (
    VERDICTS,
    Judged,
    Rows,
    Sample,
    Task,
    attention_mask,
    cross_entropies,
    encodings,
    pad,
    text_inputs,
    width_of,
)
from bertspace.tasks.metrics import ACCURACY, F1_MACRO, F1_WEIGHTED, MATTHEWS, PRECISION_MACRO, compute
from bertspace.tasks.text_classification.answer import Classified, meaning, meaning_in, ranked
from bertspace.tasks.text_classification.card import ClassificationCard
from bertspace.tasks.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedModel

    from bertspace.tasks.base import Batch, Losses, Table, Tokenizer


class TextClassification(Task):
    name = "text-classification"
    title = "Text classification"
    does, to_do = "classifies", "classify"
    head = "SequenceClassification"
    head_weights = re.compile(r"(^|\.)(classifier|score|pre_classifier|sequence_summary)\.")
    columns = ("text", "pair", "label")
    metrics = (ACCURACY, F1_MACRO, F1_WEIGHTED, PRECISION_MACRO, MATTHEWS)
    headline = "accuracy"
    answer = Classified
    baseline = "probe"
    card = ClassificationCard()
    page = "bertspace.ui.tasks.text_classification:ClassifyPage"
    samples = (
        Sample(
            "office",
            "text-classification",
            "Office messages",
            "Lines from everyday work, sorted into requests, promises and reports.",
            "office_messages.csv",
            {"text": "text", "label": "label"},
        ),
        Sample(
            "pairs",
            "text-classification",
            "Question pairs",
            "Pairs of everyday questions that ask the same thing, or do not.",
            "question_pairs.csv",
            {"text": "text", "pair": "pair", "label": "label"},
        ),
    )

    def encode(self, tokenizer: Tokenizer, frame: pd.DataFrame, config: TrainConfig, limit: int = 0) -> Rows:
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
        self, keys: Sequence[tuple[int, int]], rows: Rows, tokenizer: Tokenizer, config: TrainConfig
    ) -> Batch:
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

    def loss(self, model: PreTrainedModel, batch: Batch, smoothing: float) -> Losses:
        return cross_entropies(_logits(model, batch), batch["labels"], smoothing)

    def table(self, model: PreTrainedModel, batch: Batch) -> Batch:
        from torch.nn.functional import cross_entropy

        logits = _logits(model, batch)
        return {
            "probabilities": logits.softmax(-1),
            "label": batch["labels"],
            "loss": cross_entropy(logits, batch["labels"], reduction="none"),
        }

    def score(self, table: Table) -> dict[str, float]:
        predicted = table["probabilities"].argmax(-1)
        return {"loss": float(table["loss"].mean()), **compute(self.metrics, predicted, table["label"])}

    def unscorable(self, config: Mapping[str, Any]) -> str:
        says = {"": "", "number": "gives a number", "each": "judges each label on its own"}
        return says[meaning_in(config)]

    def judge(self, metric: str, tuned: Table, base: Table, rows: Judged) -> Verdict:
        return verdict.of_labels(
            metric,
            tuned,
            base,
            rows.names,
            rows.counts,
            against=rows.against or verdict.PROBE,
            split=rows.split,
            chosen=rows.chosen,
        )

    def compare_rows(
        self, frame: pd.DataFrame, base: Table, tuned: Table, names: Sequence[str]
    ) -> pd.DataFrame:
        """text, [pair], label, base, tuned, verdict."""
        import numpy as np

        label = frame["label"].to_numpy()
        before, after = base["probabilities"].argmax(-1), tuned["probabilities"].argmax(-1)
        verdicts = np.select(
            [(before != label) & (after == label), (before == label) & (after != label), after == label],
            VERDICTS[:3],
            VERDICTS[3],
        )
        rows = frame[[name for name in ("text", "pair") if name in frame]].copy()
        columns = {"label": label, "base": before, "tuned": after}
        named = {key: [names[each] for each in value] for key, value in columns.items()}
        return rows.assign(**named, verdict=verdicts)

    def from_probabilities(
        self,
        rows: Sequence[Sequence[float]],
        names: Sequence[str],
        texts: Sequence[str],
        pairs: Sequence[str] | None,
    ) -> list[Classified]:
        return ranked(rows, dict(enumerate(names)), texts, pairs)

    def as_json(self, answers: Sequence[Answer]) -> dict[str, Any]:
        if not answers:
            return {"label": None, "scores": {}}
        answer = answers[0]
        more = {"meaning": answer.meaning} if isinstance(answer, Classified) and answer.meaning else {}
        return {"label": answer.best, "scores": answer.scores, **more}

    def examples(self, frame: pd.DataFrame, most: int, longest: int = 200) -> list[tuple[str, str]]:
        """One row of each label first, so that the examples differ."""
        turn = frame.groupby("label").cumcount()
        return super().examples(frame.iloc[turn.argsort(kind="stable")], most, longest)

    def predict(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        top_k: int,
    ) -> list[list[Classified]]:
        logits = _logits(model, text_inputs(model, tokenizer, texts, pairs))
        kind = meaning(model.config.problem_type, model.config.num_labels)
        scores = logits if kind == "number" else logits.sigmoid() if kind else logits.softmax(-1)
        answers = ranked(scores.tolist(), model.config.id2label or {}, texts, pairs, kind)
        return [[each] for each in answers]


def _logits(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """(B, labels) in fp32."""
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}
    return model(**inputs).logits.float()
