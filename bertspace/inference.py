"""A bounded cache of loaded models, and predict(): batched, sorted by length, in inference mode."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bertspace import hardware, models
from bertspace.errors import DataError, ModelError
from bertspace.probe import Probe
from bertspace.schema import Prediction
from bertspace.tasks import TASKS
from bertspace.tasks.text_classification import pair_inputs, ranked

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST_MODELS = 4
BATCH = 32


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer, ready to predict; the lock keeps one thread at a time in the model."""

    located: models.Located
    task: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Cache:
    """The models used last. One is loaded at a time: transformers' loading is not safe across threads.

    Simultaneous first calls load a model once; a failed load is not kept.
    """

    def __init__(self) -> None:
        self.models: OrderedDict[tuple[object, ...], Loaded] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, located: models.Located, task: str) -> Loaded:
        weights = max(path.stat().st_mtime_ns for path in located.path.glob("*.safetensors"))
        key = (located.path, task, weights)  # a run's model changes while the run goes on
        with self.lock:
            if key not in self.models:
                self.models[key] = _load(located, task)
            self.models.move_to_end(key)
            while len(self.models) > MOST_MODELS:
                self.models.popitem(last=False)
            return self.models[key]


_CACHE = _Cache()


def load(name: str, task: str) -> Loaded:
    """The model called `name`, from the cache or from disk; raises BertspaceError."""
    return _CACHE.get(models.locate(name), task)


def _load(located: models.Located, task: str) -> Loaded:
    model = models.load_model(located, task)
    return Loaded(located, task, model.to(hardware.device()), models.load_tokenizer(located))


def task_of(name: str) -> str:
    """What the model can predict, by what its configuration says; raises ModelError."""
    located = models.locate(name)
    for task in ("text-classification", "fill-mask"):
        if not models.misfit(located, task):
            return task
    head = (located.config.get("architectures") or ["a model without a head"])[0]
    raise ModelError(f"{name} is {head}: it neither classifies nor fills masks.", hint="Fine-tune it first.")


def predict(
    name: str,
    texts: Sequence[str],
    *,
    task: str = "",
    pairs: Sequence[str] | None = None,
    top_k: int = 5,
) -> list[list[Prediction]]:
    """One list a text, in the order of the texts: one Prediction of a class, or one a mask.

    Raises DataError for blank texts and texts without a mask, ModelError where the model does not fit.
    """
    import torch

    task = task or task_of(name)
    _check(texts, pairs)
    loaded = load(name, task)
    found: list[list[Prediction]] = [[] for _ in texts]
    with loaded.lock, torch.inference_mode():
        for places in _by_length(texts, pairs):
            chosen = [pairs[place] for place in places] if pairs else None
            results = TASKS[task].predict(
                loaded.model, loaded.tokenizer, [texts[place] for place in places], chosen, top_k
            )
            for place, result in zip(places, results, strict=True):
                found[place] = result
    return found


def predict_with_probe(
    base: str, probe: Probe, names: Sequence[str], texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[list[Prediction]]:
    """What the frozen base says through a probe of its features; the same shape as `predict`'s."""
    import torch

    from bertspace.probe import mean_pooled

    _check(texts, pairs)
    loaded = _CACHE.get(models.locate(base), "features")
    found: list[list[Prediction]] = [[] for _ in texts]
    with loaded.lock, torch.inference_mode():
        for places in _by_length(texts, pairs):
            own = [texts[place] for place in places]
            others = [pairs[place] for place in places] if pairs else None
            features = mean_pooled(loaded.model, pair_inputs(loaded.model, loaded.tokenizer, own, others))
            rows = probe.probabilities(features.cpu().numpy()).tolist()
            for place, prediction in zip(
                places, ranked(rows, dict(enumerate(names)), own, others), strict=True
            ):
                found[place] = [prediction]
    return found


def _check(texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    if pairs is not None and len(pairs) != len(texts):
        raise DataError(f"{len(texts)} texts and {len(pairs)} second texts.", hint="Give one of each.")
    for place, text in enumerate(texts):
        if not text.strip() or (pairs and not pairs[place].strip()):
            which = "" if len(texts) == 1 else f" {place + 1}"
            raise DataError(f"Text{which} is blank.", hint="Write a text.")


def _by_length(texts: Sequence[str], pairs: Sequence[str] | None) -> list[list[int]]:
    """Places, a batch each, the longest texts first: characters stand in for tokens."""
    lengths = [len(text) + (len(pairs[place]) if pairs else 0) for place, text in enumerate(texts)]
    order = sorted(range(len(texts)), key=lambda place: -lengths[place])
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
