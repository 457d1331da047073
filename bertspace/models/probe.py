"""The frozen base's answer to a classification: a logistic regression on its mean-pooled features.

It tells what the encoder knew of the labels before it was fine-tuned (Alain and Bengio 2016, linear probes).
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel

MAX_BYTES = 64 * 1024**2  # of a file with a probe: 1,000 labels of 8,192 features are half of it
HEADER_BYTES = 16 * 1024
FLOATS = ("F16", "F32", "F64")
MAX_ROWS = 2000  # training rows that a probe is fitted on
# Of 0.001 to 1 the lowest log loss on held-out rows of CoLA, MRPC, emotion and two samples taken together (by
# accuracy 0.001 was 0.8 points better in the mean); 1 over-fits on each.
STRENGTH = 0.01


@dataclass(frozen=True)
class Probe:
    """weight (labels, H) and bias (labels,), fp32."""

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, classes: int) -> Probe:
        """scikit-learn's logistic regression (L2) on features (N, H), scaled to unit variance."""
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        weight = np.zeros((classes, features.shape[1]))
        bias = np.full(classes, -1e4)  # a label that no fitted row has is never predicted
        if len(set(labels.tolist())) == 1:
            bias[labels[0]] = 0
            return cls(weight.astype(np.float32), bias.astype(np.float32))
        mean, spread = features.mean(0), features.std(0) + 1e-6
        model = LogisticRegression(C=STRENGTH, max_iter=1000).fit((features - mean) / spread, labels)
        if len(model.classes_) == 2:
            weight[model.classes_] = np.concatenate([-model.coef_, model.coef_]) / 2
            bias[model.classes_] = np.concatenate([-model.intercept_, model.intercept_]) / 2
        else:
            weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
        weight /= spread
        return cls(weight.astype(np.float32), (bias - weight @ mean).astype(np.float32))

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(N, labels) of (N, H)."""
        from scipy.special import softmax

        return softmax(features @ self.weight.T + self.bias, axis=1)

    def save(self, path: Path, base: str = "") -> None:
        """base: the name of the model whose features it reads, for where that is not known otherwise."""
        from safetensors.numpy import save_file

        save_file({"weight": self.weight, "bias": self.bias}, path, metadata={"base": base})

    @classmethod
    def load(cls, path: Path) -> Probe:
        """Raises ModelError for a file that holds no probe: it may come from the Hub, and be anybody's."""
        import numpy as np
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        with suppress(OSError, SafetensorError, TypeError, ValueError):
            header = _header(path)
            if set(header) - {"__metadata__"} == {"weight", "bias"} and all(
                header[name]["dtype"] in FLOATS for name in ("weight", "bias")
            ):
                tensors = load_file(path)
                fits = tensors["weight"].ndim == 2 and tensors["bias"].shape == tensors["weight"].shape[:1]
                if fits and all(np.isfinite(each).all() for each in tensors.values()):
                    return cls(**tensors)
        raise ModelError(f"{path.name} holds no probe.", hint="Name a base model that classifies.")

    def check(self, labels: int, features: int) -> None:
        """Raises ModelError where it is not one of so many labels and features."""
        if self.weight.shape != (labels, features):
            raise ModelError(
                f"The probe is of {self.weight.shape[0]} labels and {self.weight.shape[1]} features; "
                f"the model has {labels} labels, and its base {features} features.",
                hint="Name a base model that classifies.",
            )

    @staticmethod
    def base_of(path: Path) -> str:
        """The name that the probe was saved with; "" for none, and where there is no probe."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            return str(_header(path).get("__metadata__", {}).get("base", ""))[:200]
        return ""


def _header(path: Path) -> dict[str, Any]:
    """What a safetensors file says that it holds: it may be anybody's, and is read into the app's own memory.

    Raises OSError, and ValueError for a file or a header larger than any probe's.
    """
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise ValueError("no file, or too large a one")
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > HEADER_BYTES:
            raise ValueError("too large a header")
        header = json.loads(file.read(size))
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header


def mean_pooled(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B, H): the mean of the last hidden states over each row's tokens, in fp32."""
    inner = getattr(model, "module", model)
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}
    hidden = inner.base_model(**inputs).last_hidden_state.float()
    mask = batch["attention_mask"].unsqueeze(-1).float()
    return (hidden * mask).sum(1) / mask.sum(1)


def answers(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """The table of a classification, as its task's own: (N, labels) probabilities, (N,) label, (N,) loss."""
    import numpy as np

    loss = -np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-12, 1))
    return {"probabilities": probabilities, "label": truth, "loss": loss}
