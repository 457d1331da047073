"""What a finished run's folder says, gathered for its card."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bertspace.data import PARTS, SAMPLE_PREFIX, origin
from bertspace.data.labels import parse_names
from bertspace.data.run_data import coded
from bertspace.drawing import Point
from bertspace.errors import HubError, RunError
from bertspace.hub.client import answered, api
from bertspace.publish import repeat
from bertspace.publish.card import examples, scores
from bertspace.publish.card.base import base_of
from bertspace.publish.card.content import CONFUSION, CURVE, Card, Label, Results
from bertspace.publish.card.limits import limits
from bertspace.runs import Run
from bertspace.tasks import verdict_of

if TYPE_CHECKING:
    import pandas as pd

MOST_DRAWN = 40  # labels of a confusion matrix that can be read as a picture

_log = logging.getLogger(__name__)
T = TypeVar("T")


def describe(
    run: Run,
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
    config, result = run.config(), run.result()
    if result is None:
        raise RunError(f"The run {run.id} has no result yet.", hint="Wait until it has ended.")
    about, parts, names = run.source(), Parts(), parse_names(config.label_names)
    texts = shows_rows(run) if texts is None else texts
    card = _recorded(run, repo_id, result)
    if not texts:
        shown: frozenset[str] = parts.get("the columns", lambda: repeat.columns(about), frozenset())
        card = replace(card, findings=tuple(repeat.unquoted(each, shown) for each in card.findings))
    card = replace(card, repeat=parts.get("how to repeat it", lambda: repeat.of_run(run), repeat.Repeat()))
    if config.task == "fill-mask":
        token = parts.get("the mask token", lambda: examples.mask_token(run.path / "model"), "")
        card = replace(card, mask_token=token)
    codes = tuple(code for part in language.split(",") if (code := part.strip()))
    card = replace(
        card, license=license.strip().lower() or card.base.license, language=codes, adapter=adapter
    )
    frames: dict[str, pd.DataFrame] = parts.get("the rows", lambda: _frames(run, names), {})
    curve: tuple[Point, ...] = parts.get("the curve", lambda: _curve(run), ())
    results = parts.get("the results", lambda: _results(run, names, result), None)
    judged = parts.get("the verdict", lambda: verdict_of(result), None)
    card = replace(card, curve=curve, results=results, verdict=judged)
    card = replace(
        card,
        labels=parts.get("the labels", lambda: _labels(names, about, frames, texts), ()),
        limits=parts.get("the limits", lambda: limits(card, _total_steps(run)), ()),
        examples=parts.get("the examples", lambda: examples.choose(run, card, frames), ()) if texts else (),
        pictures=tuple(_pictures(card)),
    )
    return replace(card, problems=tuple(parts.problems))


def shows_rows(run: Run) -> bool:
    """Whether rows may stand on a card unasked: of a sample, and of what everybody may read on the Hub."""
    come_from = origin.read(run.source())
    if not come_from.hub_id:
        return come_from.dataset.startswith(SAMPLE_PREFIX)
    try:
        return answered(lambda: _is_open(come_from.hub_id), come_from.hub_id)
    except HubError:
        return False


def _is_open(dataset: str) -> bool:
    info = api(False).dataset_info(dataset)
    return not info.private and not info.gated


def _recorded(run: Run, repo_id: str, result: Mapping[str, Any]) -> Card:
    """What the run's own files say, as it is."""
    config, about = run.config(), run.source()
    return Card(
        repo_id=repo_id,
        task=config.task,
        config=result["config"],
        base=base_of(config),
        model_type=_architecture(run.path / "model").get("model_type", ""),
        label_names=parse_names(config.label_names),
        pairs=bool(config.pair_column),
        source=str(about.get("source", "")),
        origin=origin.read(about),
        findings=tuple(map(str, about.get("findings", ()))),
        rows=result["rows"],
        epochs=tuple(result["epochs"]),
        training=result,
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


def _architecture(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _frames(run: Run, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    paths = {part: run.path / "data" / f"{part}.parquet" for part in PARTS}
    return {part: coded(pd.read_parquet(path), names) for part, path in paths.items() if path.is_file()}


def _curve(run: Run) -> tuple[Point, ...]:
    """(step, loss); a step that was done again counts once."""
    events, _ = run.events()
    losses = {event.step: event.loss for event in events if event.kind == "step" and event.loss is not None}
    return tuple(sorted((float(step), loss) for step, loss in losses.items()))


def _total_steps(run: Run) -> int:
    return max((event.total_steps for event in run.events()[0]), default=0)


def _results(run: Run, names: Sequence[str], result: Mapping[str, Any]) -> Results:
    """Of the test rows where they were scored, else of the validation rows."""
    import pandas as pd

    split = "test" if result.get("test") else "validation"
    tuned = pd.read_parquet(run.path / "predictions.parquet").query("split == @split")
    path = run.path / "base.parquet"  # runs from before there was any have none
    base = pd.read_parquet(path).query("split == @split") if path.is_file() else None
    told = result.get("base") or {}
    majority = (told.get("majority") or {}).get(split, {})
    return scores.measure(result["config"]["task"], split, names, tuned, base, told.get(split, {}), majority)


def _labels(
    names: Sequence[str], about: Mapping[str, Any], frames: Mapping[str, pd.DataFrame], texts: bool
) -> tuple[Label, ...]:
    counts = about.get("labels") or {}
    return tuple(
        Label(
            name,
            {part: counts[part][name] for part in PARTS if name in counts.get(part, {})},
            examples.of_label(frames["train"], number) if texts and "train" in frames else (),
        )
        for number, name in enumerate(names)
    )


def _pictures(card: Card) -> list[str]:
    confusion = card.results is not None and 2 <= len(card.results.confusion) <= MOST_DRAWN
    return [CONFUSION][:confusion] + [CURVE][: len(card.curve) >= 2]
