"""What a finished run's folder says, gathered for its card."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from bertspace.data import PARTS, SAMPLE_PREFIX, origin
from bertspace.data.run_data import coded
from bertspace.drawing import Point
from bertspace.errors import HubError
from bertspace.hub.client import api, call_hub
from bertspace.models.evaluation import read_tables
from bertspace.publish import repeat
from bertspace.publish.card import scores
from bertspace.publish.card.base import base_of
from bertspace.publish.card.content import CONFUSION, CURVE, Card, Label, Results
from bertspace.publish.card.limits import limits
from bertspace.publish.run_facts import RunFacts
from bertspace.runs import Run
from bertspace.schema import TrainConfig
from bertspace.tasks import verdict_of
from bertspace.tasks.card import EXAMPLES, Example, short_rows

if TYPE_CHECKING:
    import pandas as pd

MAX_DRAWN = 40  # labels of a confusion matrix that can be read as a picture

_log = logging.getLogger(__name__)
T = TypeVar("T")


def describe(
    facts: RunFacts,
    repo_id: str,
    *,
    license: str = "",
    language: str = "",
    adapter: bool = False,
    texts: bool | None = None,
) -> Card:
    """Everything measured that the card of a finished run says.

    license: what its owner confirmed, else the base's own, where it is known. language: ISO 639 codes,
    several separated by commas; never guessed. adapter: LoRA's adapter goes up alone. texts: whether rows of
    the data may be shown as examples; None: as `shows_rows` has it.
    Raises RunError where the run has no result yet. Any other part that cannot be made is left out and named
    in `problems`: see `safe_write`.
    """
    parts = Parts()
    card = begun(facts, repo_id, facts.resolved, license=license, language=language, adapter=adapter)
    card = _recorded(facts, card)
    texts = shows_rows(facts) if texts is None else texts
    if not texts:
        shown: frozenset[str] = parts.get("the columns", lambda: repeat.columns(facts.source), frozenset())
        card = replace(card, findings=tuple(repeat.unquoted(each, shown) for each in card.findings))
    card = _measured(facts, card, parts)
    frames: dict[str, pd.DataFrame] = parts.get("the rows", lambda: _frames(facts), {})
    as_typed = partial(facts.task.card.as_typed, facts.task.placeholder, facts.model)
    card = replace(
        card,
        placeholder=parts.get("the placeholder", as_typed, ""),
        labels=parts.get("the labels", lambda: _labels(facts, frames, texts), ()),
        limits=parts.get("the limits", lambda: limits(card, _total_steps(facts.run)), ()),
        examples=parts.get("the examples", lambda: _examples(facts, card, frames), ()) if texts else (),
        pictures=tuple(_pictures(card)),
    )
    return replace(card, problems=tuple(parts.problems))


def begun(
    facts: RunFacts, repo_id: str, config: TrainConfig, *, license: str, language: str, adapter: bool
) -> Card:
    """What the settings alone say."""
    base = base_of(facts.config)
    return Card(
        repo_id,
        config.task,
        config,
        base,
        license=license.strip().lower() or base.license,
        language=tuple(code for part in language.split(",") if (code := part.strip())),
        adapter=adapter,
        label_names=facts.labels,
        pairs=bool(config.pair_column),
    )


def shows_rows(facts: RunFacts) -> bool:
    """Whether rows may stand on a card unasked: of a sample, and of what everybody may read on the Hub."""
    data = origin.read(facts.source)
    if not data.hub_id:
        return data.dataset.startswith(SAMPLE_PREFIX)
    try:
        return call_hub(lambda: _is_open(data.hub_id), data.hub_id)
    except HubError:
        return False


def _is_open(dataset: str) -> bool:
    info = api(False).dataset_info(dataset)
    return not info.private and not info.gated


def _recorded(facts: RunFacts, card: Card) -> Card:
    """With what the run's own files say, as it is."""
    about, result = facts.source, facts.result
    return replace(
        card,
        model_type=facts.architecture.get("model_type", ""),
        source=str(about.get("source", "")),
        origin=origin.read(about),
        findings=tuple(map(str, about.get("findings", ()))),
        rows=result["rows"],
        epochs=tuple(result["epochs"]),
        training=result,
    )


def _measured(facts: RunFacts, card: Card, parts: Parts) -> Card:
    """With figures, curve and verdict, and with how it is trained again."""
    judged = facts.task.baseline != "none"  # else there is nothing that it is compared with
    curve: tuple[Point, ...] = parts.get("the curve", lambda: _curve(facts.run), ())
    return replace(
        card,
        curve=curve,
        results=parts.get("the results", lambda: _results(facts), None),
        verdict=parts.get("the verdict", lambda: verdict_of(facts.result), None) if judged else None,
        repeat=parts.get("how to repeat it", lambda: repeat.of_run(facts), repeat.Repeat()),
    )


class Parts:
    """Parts that a card can do without: one that fails is logged, named, and replaced by an empty one.

    This is a border, the only place but `safe_write` where any exception is caught: what the card is about,
    the weights, must reach the Hub whatever a run's folder holds or lacks.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []

    def get(self, name: str, make: Callable[[], T], otherwise: T) -> T:
        try:
            return make()
        except Exception as error:
            _log.exception("The model card goes without %s", name)
            self.problems.append(f"{name} ({type(error).__name__})")
            return otherwise


def _frames(facts: RunFacts) -> dict[str, pd.DataFrame]:
    import pandas as pd

    paths = {part: facts.run.path / "data" / f"{part}.parquet" for part in PARTS}
    return {
        part: coded(pd.read_parquet(path), facts.labels) for part, path in paths.items() if path.is_file()
    }


def _curve(run: Run) -> tuple[Point, ...]:
    """(step, loss); a step that was done again counts once."""
    events, _ = run.events()
    losses = {event.step: event.loss for event in events if event.kind == "step" and event.loss is not None}
    return tuple(sorted((float(step), loss) for step, loss in losses.items()))


def _total_steps(run: Run) -> int:
    return max((event.total_steps for event in run.events()[0]), default=0)


def _results(facts: RunFacts) -> Results:
    """Of the test rows where they were scored, else of the validation rows."""
    path, base = facts.run.path, facts.result.get("base") or {}
    split = "test" if facts.result.get("test") else "validation"
    files = {"tuned": "predictions.parquet", "base": "base.parquet"}  # an earlier version wrote no base's
    read = {who: read_tables(path / name).get(split) for who, name in files.items()}
    tables = {who: table for who, table in read.items() if table}
    majority = (base.get("majority") or {}).get(split, {})
    return scores.measure(facts.task, split, facts.labels, tables, base.get(split, {}), majority)


def _labels(facts: RunFacts, frames: Mapping[str, pd.DataFrame], texts: bool) -> tuple[Label, ...]:
    counts = facts.source.get("labels") or {}
    return tuple(
        Label(
            name,
            {part: counts[part][name] for part in PARTS if name in counts.get(part, {})},
            _texts_of(frames["train"], number) if texts and "train" in frames else (),
        )
        for number, name in enumerate(facts.labels)
    )


def _texts_of(train: pd.DataFrame, label: int) -> tuple[tuple[str, ...], ...]:
    """The first few short texts (or pairs) with this label, each another."""
    found: dict[tuple[str, ...], None] = {}
    for texts in short_rows(train[train["label"] == label]):
        found[tuple(filter(None, texts))] = None
        if len(found) == EXAMPLES:
            break
    return tuple(found)


def _examples(facts: RunFacts, card: Card, frames: Mapping[str, pd.DataFrame]) -> tuple[Example, ...]:
    """Held-out inputs to try."""
    rows = frames.get(card.results.split if card.results else "validation")
    if rows is None:
        return ()
    return tuple(facts.task.card.examples(rows, facts.labels, facts.model))


def _pictures(card: Card) -> list[str]:
    confusion = card.results is not None and 2 <= len(card.results.confusion) <= MAX_DRAWN
    return [CONFUSION][:confusion] + [CURVE][: len(card.curve) >= 2]
