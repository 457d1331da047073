"""Results as plain text: tables, numbers and notes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from bertspace.errors import Remedy
from bertspace.tasks import Answer, metric, verdict_of
from bertspace.words import duration, shortened, size

NONE = "–"
MAX_LABELS, LONGEST_NAME = 100, 100  # of one answer, and characters of a label


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = True) -> str:
    """Columns two blanks apart, the first one to the left, the others to the right where they are numbers."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 or not numbers else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def forecast_words(metrics: Mapping[str, float]) -> str:
    """about 3 min 20 s and 1.2 GB of memory"""
    return f"about {duration(metrics['seconds'])} and {size(metrics['memory_bytes'])} of memory"


def result_table(result: Mapping[str, Any]) -> str:
    """The base, every epoch (* the one kept) and the test rows, each with all metrics."""
    names = ["train_loss", *result["validation"]]

    def line(title: str, metrics: Mapping[str, float]) -> list[str]:
        return [title, *(metric(name).figure(metrics.get(name)) for name in names)]

    base = result["base"]
    rows = _base_lines(base, "validation", "", line)
    for epoch in result["epochs"]:
        mark = " *" if epoch["step"] == result["best_step"] else ""
        rows.append(line(f"epoch {epoch['epoch']:.3g}{mark}", epoch))
    if result["test"]:
        rows += [*_base_lines(base, "test", "test: ", line), line("test: fine-tuned", result["test"])]
    return table(["", *names], rows)


def _base_lines(base: Mapping[str, Any], split: str, title: str, line: Any) -> list[list[str]]:
    if split not in base:  # a task whose base has no answer
        return []
    if base["kind"] == "model":
        return [line(f"{title}base", base[split])]
    majority = line(f"{title}majority class", base["majority"][split])
    return [majority, line(f"{title}frozen base, probe", base[split])]


def headline(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """{"metric", "value", "split", "base"} of the result's first number; None where there is no result."""
    if not result:
        return None
    split, name = ("test" if result["test"] else "validation"), result["headline"]
    base = result["base"].get(split, {}).get(name)
    return {"metric": name, "value": result[split][name], "split": split, "base": base}


def headline_words(result: Mapping[str, Any] | None) -> str:
    """accuracy 0.82 (base 0.7)"""
    if not (best := headline(result)):
        return ""
    figure = metric(best["metric"]).figure
    against = "" if best["base"] is None else f" (base {figure(best['base'])})"
    return f"{best['metric']} {figure(best['value'])}{against}"


def outcome_words(result: Mapping[str, Any]) -> str:
    """Whether it helped, which epoch is kept, and what to try; a line each."""
    judged = verdict_of(result)
    lines = [judged.words if judged else "", result.get("kept", ""), *result.get("hints", ())]
    return "\n".join(filter(None, lines))


def figures_words(figures: Sequence[Mapping[str, Any]]) -> str:
    """A recipe's published figures, one line for each metric and split; empty where there are none."""
    lines: dict[tuple[str, str, str], list[str]] = {}
    for figure in figures:
        value = f"{figure['value']:g}" + (f" to {figure['to']:g}" if "to" in figure else "")
        lines.setdefault((figure["source"], figure["split"], figure["metric"]), []).append(value)
    named = [
        f"  {split} {metric}: {', '.join(values)}  ({source})"
        for (source, split, metric), values in lines.items()
    ]
    return "\n".join(["Published:", *named]) if named else ""


def prediction_words(answers: Sequence[Answer], indent: str = "  ") -> list[str]:
    """A line for each label or token; several parts of one text, as masks, are numbered."""
    lines = []
    for place, answer in enumerate(answers, start=1):
        if len(answers) > 1:
            lines.append(f"{indent}{answer.part} {place}")
        shown = [
            (shortened(name, LONGEST_NAME), score)
            for name, score in islice(answer.scores.items(), MAX_LABELS)
        ]
        width = max(len(name) for name, _ in shown)
        lines += [f"{indent}{name.ljust(width)}  {score:.3f}" for name, score in shown]
        if (more := len(answer.scores) - len(shown)) > 0:
            lines.append(f"{indent}and {more:,} more (--json has them all)")
        if answer.note:
            lines.append(f"{indent}({answer.note})")
    return lines


def say_findings(findings: Iterable[str], remedies: Iterable[Remedy] = ()) -> None:
    """What was guessed or altered in reading, on stderr, and the flags that say otherwise."""
    for finding in findings:
        print(f"note: {' '.join(finding.split())}", file=sys.stderr)
    for remedy in remedies:
        print(f"note: {remedy_words(remedy)}", file=sys.stderr)


def remedy_words(remedy: Remedy) -> str:
    """Leave these rows out: --unlabelled-rows 'leave out'"""
    flags = [f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in remedy.settings]
    return " ".join(f"{remedy.title}: {' '.join(flags)}".split())
