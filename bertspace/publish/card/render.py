"""A card as README.md; a fault in it never keeps the weights from being pushed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bertspace.data import PARTS
from bertspace.drawing import WIDTH
from bertspace.publish.card import drawing, markdown, sentences
from bertspace.publish.card.content import CONFUSION, CURVE, Base, Card, Label
from bertspace.publish.card.description import Parts, begun, describe
from bertspace.publish.card.front import metadata
from bertspace.publish.card.mark import marked
from bertspace.publish.card.snippet import run_snippet, usage
from bertspace.publish.run_facts import RunFacts
from bertspace.schema import TrainConfig
from bertspace.tasks import metric
from bertspace.words import decimals

MAX_LABELS = 40  # of a table; of more the worst or the commonest are shown


@dataclass(frozen=True)
class Written:
    """A card's text, its pictures' file names, and what could not be made of it."""

    text: str
    pictures: tuple[str, ...]
    problems: tuple[str, ...]


def write(card: Card) -> str:
    """README.md: front matter and body. Sections with nothing to say are left out."""
    return _joined(metadata(card).to_yaml(), _template("model_card.jinja").render(_names(card)))


def write_minimal(card: Card) -> str:
    """Front matter without measurements, and one sentence; for when the whole cannot be made."""
    lines = [
        f"# {markdown.prose(card.name)}",
        "",
        sentences.summary(replace(card, results=None)),
        "",
        _note(card),
    ]
    return _joined(metadata(card, minimal=True).to_yaml(), "\n".join(lines).rstrip() + "\n")


def safe_write(
    facts: RunFacts,
    repo_id: str,
    folder: Path,
    *,
    license: str = "",
    language: str = "",
    adapter: bool = False,
    texts: bool | None = None,
    model_folder: Path | None = None,
    base_folder: Path | None = None,
) -> Written:
    """README.md and its pictures in the folder, as good as they can be made; what failed is named.

    model_folder: what goes up, for running the usage snippet; without it the card does not claim that it was
    run. base_folder: the base model's files, for an adapter.
    Whatever the run's folder holds, this returns a card that can be pushed, so that a card never
    stands between a training and its weights. A part that fails is left out and named in `problems` and in a
    comment of the text; where all fails there is a card of front matter and a sentence. Only a folder that
    cannot be written to raises (OSError).
    """
    parts = Parts()
    settings: dict[str, Any] = {"license": license, "language": language, "adapter": adapter}
    described = parts.get(
        "what was measured", lambda: describe(facts, repo_id, texts=texts, **settings), None
    )
    if described is None:
        bare = replace(_bare(facts, repo_id, **settings), problems=tuple(parts.problems))
        return _put(folder, write_minimal(bare), bare)
    card = described
    if model_folder is not None:
        ran = partial(run_snippet, card, model_folder, base_folder)
        card = parts.get("the usage snippet's run", ran, card)
    card = parts.get("the pictures", partial(_drawn, card, folder), replace(card, pictures=()))
    card = replace(card, problems=(*card.problems, *parts.problems))
    whole = Parts()
    if text := whole.get("the text", partial(write, card), ""):
        return _put(folder, text, card)
    bare = replace(card, pictures=(), problems=(*card.problems, *whole.problems))
    return _put(folder, write_minimal(bare), bare)


def _drawn(card: Card, folder: Path) -> Card:
    """The card, once its pictures lie in the folder."""
    drawing.pictures(card, folder)
    return card


def _put(folder: Path, text: str, card: Card) -> Written:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return Written(text, card.pictures, card.problems)


def _bare(facts: RunFacts, repo_id: str, **settings: Any) -> Card:
    """What a run's settings alone tell, or nothing."""
    nothing = Card(repo_id, "", TrainConfig(), Base(), license=settings["license"].strip().lower())
    return Parts().get("the settings", lambda: begun(facts, repo_id, facts.config, **settings), nothing)


def _joined(front: str, body: str) -> str:
    spaced = re.sub(r"\n{3,}", "\n\n", body.strip())  # what the template's parts leave between them
    return marked(f"---\n{front}\n---\n\n{spaced}\n")


def _template(name: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Markdown, not HTML: what comes from data goes through these filters, one by one.
    jinja = Environment(  # noqa: S701
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (markdown.prose, markdown.item, markdown.code, markdown.fenced, decimals)
    jinja.filters |= {each.__name__: each for each in (*filters, sentences.interval, sentences.change)}
    jinja.globals["metric"] = metric
    jinja.filters["n"] = lambda count: f"{count:,}"
    return jinja.get_template(name)


def _names(card: Card) -> dict[str, Any]:
    """What the template is given."""
    results = card.results
    classes, labels = (results.classes if results else ()), card.labels
    return {
        "c": card,
        "summary": sentences.summary(card),
        "snippet": usage(card),
        "without_pipeline": sentences.without_pipeline(card),
        "note": _note(card),
        "measured_on": sentences.measured_on(card),
        "intervals": sentences.intervals(card),
        "majority": any(score.majority is not None for score in results.scores) if results else False,
        "base_column": sentences.base_column(card),
        "classes": sorted(classes, key=lambda each: each.f1)[:MAX_LABELS] if _many(classes) else classes,
        "labels": sorted(labels, key=_rows)[-MAX_LABELS:][::-1] if _many(labels) else labels,
        "many": _many(labels),
        "parts": [part for part in PARTS if part in card.rows],
        "epochs": sentences.shown_epochs(card),
        "epoch_metrics": sentences.epoch_metrics(card),
        "source": sentences.source(card),
        "rows": sentences.rows(card),
        "split": list(sentences.split(card)),
        "settings": list(sentences.settings(card)),
        "repeated": sentences.repeated(card),
        "files": list(sentences.files(card)),
        "intended": sentences.intended(card),
        "adapted": sentences.adapted(card),
        "project": sentences.PROJECT,
        "texts": any(label.texts for label in labels),
        "confusion": CONFUSION if CONFUSION in card.pictures else "",
        "confusion_width": round(drawing.confusion_matrix(results).width) if results and classes else 0,
        "curve_width": WIDTH,
        "curve": CURVE if CURVE in card.pictures else "",
        "right": sum(row[place] for place, row in enumerate(results.confusion)) if results else 0,
        "licence": sentences.licence(card),
    }


def _many(labels: Sequence[Any]) -> bool:
    return len(labels) > MAX_LABELS


def _rows(label: Label) -> int:
    return sum(label.rows.values())


def _note(card: Card) -> str:
    """A comment for who edits the card; its words are ours and the names of Python's errors."""
    return f"<!-- bertspace left out: {'; '.join(card.problems)} -->" if card.problems else ""
