"""A cache of loaded models, bounded in bytes, and predict(): batched, sorted by length, in inference mode."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace import hardware
from bertspace.errors import ConfigError, DataError, ModelError
from bertspace.models import apart, loading, sources, unknown
from bertspace.models.probe import Probe
from bertspace.processes import Deadline
from bertspace.safety import loadable
from bertspace.safety.config import heads
from bertspace.safety.json_values import CONFIG, read_json
from bertspace.tasks import TASKS, Answer, task_with_head
from bertspace.tasks.base import encodings, text_inputs

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH = 32
# Their convolutions, Fourier transforms, poolings and landmarks take in padding, whatever the mask says.
READ_PADDING = ("convbert", "fnet", "funnel", "mobilebert", "nystromformer")
MAX_CHARACTERS = 50_000_000  # of all answers of one call: a vocabulary may hold pieces of any length
SHARE_OF_MEMORY = 0.25  # of the machine's, or of the GPU's: what the kept models may take


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer, ready to predict; the lock keeps one thread at a time in the model."""

    located: sources.Located
    task: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    written: int  # when its weights were, in nanoseconds: a run's model changes while the run goes on
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        """Bytes of its parameters and buffers."""
        tensors = itertools.chain(self.model.parameters(), self.model.buffers())
        return sum(tensor.nbytes for tensor in tensors)


class ModelCache:
    """The models used last, as many as fit into so many bytes, and one at least.

    One is loaded at a time, as transformers' loading is not safe across threads; predictions with those that
    are there go on meanwhile. Simultaneous first calls load a model once, and a failed load leaves nothing.
    """

    def __init__(self) -> None:
        self.models: OrderedDict[tuple[Path, str, int], Loaded] = OrderedDict()
        self.lock = threading.Lock()  # for a look at `models` only
        self.loading = threading.Lock()

    def get(self, located: sources.Located, task: str, deadline: Deadline) -> Loaded:
        """The model out of the cache or from disk; raises ModelError or TimeLimitError."""
        written = _written(located)
        if loaded := self._find(located, task, written):
            return loaded
        with deadline.holding(self.loading):
            if loaded := self._find(located, task, written):  # loaded by another thread meanwhile
                return loaded
            loaded = _load(located, task, written)
            self._keep(loaded)
        return loaded

    def _find(self, located: sources.Located, task: str, written: int) -> Loaded | None:
        key = (located.path, task, located.max_length)
        with self.lock:
            loaded = self.models.get(key)
            if loaded is None or loaded.written != written:
                return None
            self.models.move_to_end(key)
            return loaded

    def _keep(self, loaded: Loaded) -> None:
        most = most_bytes()
        with self.lock:
            key = (loaded.located.path, loaded.task, loaded.located.max_length)
            self.models.pop(key, None)
            self.models[key] = loaded
            while len(self.models) > 1 and self.size > most:
                self.models.popitem(last=False)

    @property
    def size(self) -> int:
        """Bytes of all the models that are kept."""
        return sum(each.size for each in self.models.values())


_CACHE = ModelCache()


def most_bytes() -> int:
    """What the kept models may take: BERTSPACE_MODEL_CACHE_BYTES, else a share of the memory there is."""
    if not (given := os.environ.get("BERTSPACE_MODEL_CACHE_BYTES", "").strip()):
        return int(SHARE_OF_MEMORY * hardware.device_memory_bytes())
    if not given.isdecimal():
        raise ConfigError(f"BERTSPACE_MODEL_CACHE_BYTES is {given!r}.", hint="Give a whole number of bytes.")
    return int(given)


def _written(located: sources.Located) -> int:
    """When the weights were written; raises ModelError while they are being replaced."""
    try:
        return max(path.stat().st_mtime_ns for path in located.path.glob("*.safetensors"))
    except (ValueError, FileNotFoundError) as error:
        raise ModelError(f"{located.name} is being saved.", hint="Try again in a moment.") from error


def _load(located: sources.Located, task: str, written: int) -> Loaded:
    model = loading.load_model(located, task)
    return Loaded(located, task, model.to(hardware.device()), loading.load_tokenizer(located), written)


def task_of(name: str) -> str:
    """What the model can predict: its run's task, or as its config.json tells it; raises ModelError."""
    if name.startswith("run:"):
        return sources.run_called(name).config().task
    located = sources.locate(name)
    if located.kind == "starter":
        return task_with_head(sources.STARTER_HEAD)
    if (task := str(read_json(located.path / CONFIG).get(sources.TASK_KEY))) in TASKS:
        return task
    config = located.config
    if task := loadable.task_of(config, loadable.telling_weights(config, located.path)):
        return task
    head = next(iter(heads(config)), "a model without a head")
    known = ", ".join(task.auto_class for task in TASKS.values())
    raise ModelError(f"{name} is {head}, which does no task here ({known}).", hint="Fine-tune it first.")


def predict(
    name: str,
    texts: Sequence[str],
    *,
    task: str = "",
    pairs: Sequence[str] | None = None,
    top_k: int = 5,
    seconds: float = 0,
    max_length: int = 0,
) -> list[list[Answer]]:
    """One list a text, in the order of the texts: one answer of the task's type, or one a mask.

    Raises DataError for blank texts and texts without a mask, ModelError where the model does not fit,
    TimeLimitError when it would take more seconds than these (0: no limit), looked at between batches.
    max_length: tokens that a text is cut to; 0: the model's own.
    """
    task = task or task_of(name)
    _check(texts, pairs)
    return predict_by(_reading(name, task, max_length), texts, task, pairs, top_k, seconds)


def _reading(name: str, task: str, max_length: int) -> sources.Located:
    located = sources.locate(name, task)
    return replace(located, max_length=max_length or located.max_length)


def longest(name: str) -> int:
    """Tokens that the model reads of a text: its run's max_length, else as many as it can."""
    return int(apart.compute(sources.locate(name), "longest_text", {}))


def predict_by(
    located: sources.Located,
    texts: Sequence[str],
    task: str,
    pairs: Sequence[str] | None = None,
    top_k: int = 5,
    seconds: float = 0,
) -> list[list[Answer]]:
    """`predict` by a model whose files are on disk."""
    asked = {"task": task, "texts": list(texts), "pairs": list(pairs) if pairs else None, "top_k": top_k}
    return checked_answers(apart.compute(located, "answers", asked, seconds=seconds), len(texts), task)


def checked_answers(values: Any, count: int, task: str) -> list[list[Answer]]:
    """The answers that `answers` wrote; raises ModelError for what it cannot have written."""
    kind = TASKS[task].answer
    try:
        answers = [[kind.from_list(answer) for answer in each] for each in values]
        every = [answer for each in answers for answer in each]
        if not all(each.is_finite for each in every):
            raise ModelError(
                "The model gives no numbers: its weights are not finite.", hint="Choose another model."
            )
        if len(answers) == count and sum(each.characters for each in every) <= MAX_CHARACTERS:
            return answers
    except (TypeError, ValueError, OverflowError, AttributeError):
        pass
    raise ModelError("The model gave answers of another shape.", hint="Choose another model.")


def predict_with_probe(
    base: str,
    probe: Probe,
    names: Sequence[str],
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    task: str,
    seconds: float = 0,
    max_length: int = 0,
) -> list[list[Answer]]:
    """What the frozen base says through a probe of its features; the same shape as `predict`'s.

    Raises ModelError where the probe is none of these labels or of this base.
    """
    _check(texts, pairs)
    asked = {"texts": list(texts), "pairs": list(pairs) if pairs else None}
    features = apart.compute(_reading(base, "", max_length), "features", asked, seconds=seconds)
    pooled = checked_array(features, len(texts))
    probe.check(len(names), pooled.shape[1])
    rows = probe.probabilities(pooled).tolist()
    return [[each] for each in TASKS[task].from_probabilities(rows, names, texts, pairs)]


def checked_array(array: Any, rows: int, dimensions: int = 2) -> np.ndarray:
    """The array, if it is one of so many rows of numbers; raises ModelError."""
    if getattr(array, "ndim", 0) == dimensions and len(array) == rows and array.dtype.kind in "fiub":
        return array
    raise ModelError("The model gave answers of another shape.", hint="Choose another model.")


# What is computed, here or apart


def answers(
    located: sources.Located,
    *,
    task: str,
    texts: list[str],
    pairs: list[str] | None,
    top_k: int,
    seconds: float,
) -> list[list[list[Any]]]:
    """The answers' lists, a list a text."""
    import torch

    deadline = Deadline(seconds)
    loaded = _CACHE.get(located, task, deadline)
    answers_by_text: list[list[list[Any]]] = [[] for _ in texts]
    for places in _by_length(texts, pairs, texts_at_once(loaded.model)):
        chosen = [pairs[place] for place in places] if pairs else None
        # Between two batches a short text of someone else has its turn.
        with deadline.holding(loaded.lock), torch.inference_mode(), loading.named(located.name):
            results = TASKS[task].predict(
                loaded.model, loaded.tokenizer, [texts[place] for place in places], chosen, top_k
            )
        for place, result in zip(places, results, strict=True):
            answers_by_text[place] = [each.to_list() for each in result]
    return answers_by_text


def features(
    located: sources.Located, *, texts: list[str], pairs: list[str] | None, seconds: float
) -> np.ndarray:
    """The encoder's mean-pooled last hidden states of the texts, (N, H) in fp32."""
    import numpy as np
    import torch

    from bertspace.models.probe import mean_pooled

    deadline = Deadline(seconds)
    loaded = _CACHE.get(located, sources.FEATURES, deadline)
    features_by_text: list[np.ndarray] = [np.empty(0)] * len(texts)
    for places in _by_length(texts, pairs, texts_at_once(loaded.model)):
        own = [texts[place] for place in places]
        others = [pairs[place] for place in places] if pairs else None
        with deadline.holding(loaded.lock), torch.inference_mode(), loading.named(located.name):
            pooled = mean_pooled(loaded.model, text_inputs(loaded.model, loaded.tokenizer, own, others))
        for place, row in zip(places, pooled.cpu().numpy(), strict=True):
            features_by_text[place] = row
    return np.stack(features_by_text)


def token_counts(
    located: sources.Located, *, texts: list[str], pairs: list[str] | None, seconds: float
) -> list[int]:
    """How many tokens each text has, special ones counted."""
    with loading.named(located.name):
        encoded = encodings(loading.load_tokenizer(located), texts, pairs, None)
        return [len(each.ids) for each in encoded]


def unknown_share(
    located: sources.Located, *, texts: list[str], pairs: list[str] | None, seconds: float
) -> float:
    """Of the texts' tokens, those that stand for what the model's vocabulary does not have."""
    with loading.named(located.name):
        tokenizer = loading.load_tokenizer(located)
        return unknown.share(tokenizer, (each.ids for each in encodings(tokenizer, texts, pairs, None)))


def vocabulary(located: sources.Located, *, seconds: float) -> str:
    """A digest of the tokens and their numbers: equal where two tokenizers have the same."""
    tokens = sorted(loading.load_tokenizer(located).get_vocab().items())
    return sha256(json.dumps(tokens).encode()).hexdigest()


def longest_text(located: sources.Located, *, seconds: float) -> int:
    """Tokens that the model reads of a text."""
    return int(loading.load_tokenizer(located).model_max_length)


def _check(texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    if pairs is not None and len(pairs) != len(texts):
        raise DataError(f"{len(texts)} texts and {len(pairs)} second texts.", hint="Give one of each.")
    for place, text in enumerate(texts):
        if not text.strip() or (pairs and not pairs[place].strip()):
            which = "" if len(texts) == 1 else f" {place + 1}"
            raise DataError(f"Text{which} is blank.", hint="Write a text.")


def texts_at_once(model: PreTrainedModel) -> int:
    """Texts of a batch: one, where its answer depends on the padding that others bring with them."""
    return 1 if model.config.model_type in READ_PADDING else BATCH


def _by_length(texts: Sequence[str], pairs: Sequence[str] | None, size: int) -> list[list[int]]:
    """Places, `size` of them a batch, the longest texts first: characters stand in for tokens."""
    lengths = [len(text) + (len(pairs[place]) if pairs else 0) for place, text in enumerate(texts)]
    order = sorted(range(len(texts)), key=lambda place: -lengths[place])
    return [order[start : start + size] for start in range(0, len(order), size)]
