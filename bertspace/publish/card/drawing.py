"""A card's two pictures: the confusion matrix, and how the model learned."""

from __future__ import annotations

import math
from pathlib import Path

from bertspace.drawing import Chart, Line, Matrix, Point, in_a_row, thin
from bertspace.publish.card.content import CONFUSION, CURVE, Card, Results
from bertspace.tasks import TASKS, metric
from bertspace.words import one_line

POINTS = 120  # of the training loss: of more, each is a mean of neighbours


def pictures(card: Card, folder: Path) -> None:
    """The SVG files that the card's text links, `card.pictures`, in the folder of the README."""
    if CONFUSION in card.pictures and card.results:
        _write(folder / CONFUSION, confusion_matrix(card.results).svg())
    if CURVE in card.pictures:
        _write(folder / CURVE, in_a_row(learning_curves(card)))


def _write(path: Path, svg: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, encoding="utf-8")


def confusion_matrix(results: Results) -> Matrix:
    return Matrix(results.split, [one_line(each.label) for each in results.classes], results.confusion)


def learning_curves(card: Card) -> tuple[Chart, Chart]:
    """The loss of training and validation rows, and the headline metric with the base's."""
    headline = TASKS[card.task].headline
    base = (card.training.get("base") or {}).get("validation") or {}
    loss = [
        Line("training", thin([(x, y) for x, y in card.curve if math.isfinite(y)], POINTS), "quiet"),
        Line("validation", _after_epochs(card, "loss"), "tuned", "dots"),
    ]
    scores = [Line("fine-tuned", _after_epochs(card, headline), "tuned", "dots")]
    if headline in base:
        name = "probe on the frozen base" if TASKS[card.task].baseline == "probe" else "base"
        scores.append(Line(name, ((0.0, base[headline]),), "base", "dashed"))
    steps = (0.0, max(step for step, _ in card.curve))
    title = f"{metric(headline).title}, validation rows"
    return Chart("Loss", loss, "step", steps, floor=0), Chart(title, scores, "step", steps)


def _after_epochs(card: Card, name: str) -> tuple[Point, ...]:
    return tuple((float(each["step"]), each[name]) for each in card.epochs if name in each)
