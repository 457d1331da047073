"""What a model card says: frozen values, raw as they were measured; nothing is escaped or rounded here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bertspace.data.origin import Origin
from bertspace.publish.repeat import Repeat
from bertspace.schema import TrainConfig
from bertspace.tasks.card import ClassScore, Example, Score
from bertspace.tasks.verdict import Verdict

PART_NAMES = {"train": "training", "validation": "validation", "test": "test"}
CONFUSION, CURVE = "confusion_matrix.svg", "learning_curve.svg"  # beside the README, which links them
EARLIER_PICTURES = ("confusion_matrix.png", "learning_curve.png")  # of cards of earlier versions


@dataclass(frozen=True)
class Base:
    """The model that was fine-tuned.

    repo_id: its id on the Hub, "" where there is none. direct: the training began with that model's very
    weights, and not with those of a run of it. license: as its own card has it. starter: it is bertspace's.
    adapted: with the adapter in it that comes with bertspace.
    """

    repo_id: str = ""
    revision: str = ""
    license: str = ""
    starter: bool = False
    direct: bool = False
    adapted: bool = False


@dataclass(frozen=True)
class Results:
    """What was measured on one split.

    count: rows, as the task counts them. detail: by what they were measured, "164 hidden tokens", where that
    is not the rows. confusion: rows by truth, then by prediction, in the order of `classes`.
    """

    split: str
    count: int
    scores: tuple[Score, ...]
    detail: str = ""
    classes: tuple[ClassScore, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()

    def score(self, metric: str) -> Score | None:
        return next((score for score in self.scores if score.metric == metric), None)


@dataclass(frozen=True)
class Label:
    """A label, its rows by part, and a few short training texts of it (a pair is two texts)."""

    name: str
    rows: Mapping[str, int]
    texts: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Ran:
    """What the usage snippet printed when it was run, and with which transformers."""

    output: str
    transformers: str


@dataclass(frozen=True)
class Card:
    """All that a finished run's card says. Texts are as the data has them; shares in 0..1; times in seconds.

    config: the settings as the training had them. training: what result.json says of how it went. curve:
    (step, loss). placeholder: an input to show in the place of examples. repeat: how it is trained again.
    problems: the parts that could not be made, and why.
    """

    repo_id: str
    task: str
    config: TrainConfig
    base: Base
    license: str = ""
    language: tuple[str, ...] = ()
    adapter: bool = False
    model_type: str = ""
    placeholder: str = ""
    parameters: int = 0
    label_names: tuple[str, ...] = ()
    pairs: bool = False
    source: str = ""
    origin: Origin = field(default_factory=Origin)
    findings: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    results: Results | None = None
    verdict: Verdict | None = None
    epochs: tuple[Mapping[str, float], ...] = ()
    curve: tuple[tuple[float, float], ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    pictures: tuple[str, ...] = ()
    ran: Ran | None = None
    repeat: Repeat = field(default_factory=Repeat)
    problems: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repo_id.rpartition("/")[2]
