"""bertspace evaluate, predict and compare: what finished models say of texts and files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bertspace.cli import words
from bertspace.cli.outcome import (
    MODEL_HELP,
    Commands,
    Outcome,
    add_command,
    add_settings,
    given_settings,
    model_name,
    whole_number,
)
from bertspace.data.columns import texts
from bertspace.data.reading import READING
from bertspace.errors import DataError
from bertspace.models import comparison, held_out, inference
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, metric

T = TypeVar("T")
FILE_HELP = "csv, tsv, jsonl, parquet or txt, each also gzipped; zip or tar.gz"
COLUMNS = ("text_column", "pair_column", "label_column")
LABELLED = (*COLUMNS, "unlabelled_rows")


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "evaluate", "Score a model on the rows of a file.", evaluate)
    parser.add_argument("model_or_run", metavar="MODEL_OR_RUN", help=MODEL_HELP)
    parser.add_argument("--file", required=True, metavar="FILE", help=FILE_HELP)
    parser.add_argument(
        "--max-rows", type=whole_number, default=0, metavar="N", help="Score the first N only."
    )
    add_settings(parser, ("task", *READING, *LABELLED))

    parser = add_command(commands, "predict", "Fill the [MASK]s of texts, or classify them.", predict)
    parser.add_argument("model_or_run", metavar="MODEL_OR_RUN", help=MODEL_HELP)
    _add_texts(parser)
    add_settings(parser, ("task", *READING, *COLUMNS[:2]))

    parser = add_command(commands, "compare", "Put a base model beside a fine-tuned one.", compare)
    parser.add_argument("base", metavar="BASE", help=MODEL_HELP)
    parser.add_argument("tuned", metavar="TUNED", help="the same; a run, where the base has no classifier")
    _add_texts(parser)
    add_settings(parser, (*READING, *LABELLED))


def _add_texts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="*", help="Without one, each line of stdin is one.")
    parser.add_argument("--pair", action="append", metavar="TEXT", help="The second text; one for each TEXT.")
    parser.add_argument("--file", default="", metavar="FILE", help=f"Take the texts from it: {FILE_HELP}.")
    parser.add_argument(
        "--top-k", type=whole_number, default=5, metavar="K", help="Words a mask (default: 5)."
    )


def evaluate(arguments: argparse.Namespace) -> Outcome:
    """The metrics of a model on a file."""
    result = comparison.evaluate_file(
        model_name(arguments.model_or_run),
        Path(arguments.file).expanduser(),
        max_rows=arguments.max_rows,
        **given_settings(arguments),
    )
    words.say_findings(result["findings"], result.pop("remedies"))
    rows = [(name, metric(name).figure(value)) for name, value in result["metrics"].items()]
    cut = f", texts cut to {length:,} tokens" if (length := result.get("max_length")) else ""
    head = f"{result['model']} on {result['file']} ({result['task']}, {result['rows']:,} rows{cut})"
    return Outcome(result, f"{head}\n\n{words.table(('', ''), rows).lstrip()}")


def predict(arguments: argparse.Namespace) -> Outcome:
    """What a model says of each text."""
    name, given = model_name(arguments.model_or_run), given_settings(arguments)
    task = TrainConfig(**given).task if "task" in given else inference.task_of(name)
    asked = _asked(arguments, name, task)
    predicted = inference.predict(name, asked.texts, task=task, pairs=asked.pairs, top_k=arguments.top_k)
    answers = asked.placed(predicted)
    rows = [row | TASKS[task].as_json(each or ()) for row, each in zip(asked.rows, answers, strict=True)]
    blocks = []
    for row, each in zip(asked.rows, answers, strict=True):
        title = each[0].text if each and each[0].part else _title(row, blank=each is None)
        blocks.append("\n".join([title, *(words.prediction_words(each) if each else ())]))
    document = {"model": name, "task": task, "max_length": inference.longest(name), "predictions": rows}
    return Outcome(document, "\n\n".join(blocks))


def _title(row: Mapping[str, Any], blank: bool) -> str:
    texts = " | ".join(filter(str.strip, (row["text"], row.get("pair", ""))))
    return f"{texts} (row {row['row']:,} is blank)".strip() if blank else texts


def _entry(text: str, pair: str) -> dict[str, Any]:
    return {"text": text, "pair": pair} if pair else {"text": text}


@dataclass(frozen=True)
class _Asked:
    """What a model is asked. rows: {[row], text, [pair]} of each text and, among a file's, of blank ones.

    row: its number in the file, or its line on stdin, from 1. places: those of the texts among the rows.
    """

    texts: list[str]
    pairs: list[str] | None
    rows: list[dict[str, Any]]
    places: list[int]

    def placed(self, answers: Sequence[T]) -> list[T | None]:
        """One a row, None for a blank one."""
        by_place = dict(zip(self.places, answers, strict=True))
        return [by_place.get(place) for place in range(len(self.rows))]


def _asked(arguments: argparse.Namespace, model: str, task: str) -> _Asked:
    """The texts, and their second ones where they are pairs: from the arguments, a file or stdin."""
    if _reads_file(arguments):
        config = TrainConfig(**given_settings(arguments) | {"task": task})
        return _asked_by(held_out.read(model, Path(arguments.file).expanduser(), config, labelled=False))
    numbered = list(enumerate(arguments.text))
    stdin = not numbered and not sys.stdin.isatty()
    if stdin:
        numbered = [(line, text.strip()) for line, text in enumerate(sys.stdin) if text.strip()]
    if not numbered:
        raise DataError("There is no text.", hint="Give a TEXT, --file FILE, or lines on stdin.")
    pairs = [*(arguments.pair or ()), *[""] * len(numbered)]
    rows = [
        ({"row": line + 1} if stdin else {}) | _entry(text, pair)
        for (line, text), pair in zip(numbered, pairs, strict=False)
    ]
    return _Asked([text for _, text in numbered], arguments.pair, rows, list(range(len(rows))))


def _asked_by(file_rows: held_out.FileRows) -> _Asked:
    """The rows of a file, of which the blank ones are named and not asked."""
    words.say_findings(file_rows.findings, file_rows.table.remedies)
    frame, columns = file_rows.frame, file_rows.columns
    columns_read = [texts(file_rows.table, name) for name in (columns.text, columns.pair) if name]
    rows = [
        {"row": row + 1} | _entry(*(each if len(each) > 1 else (*each, "")))
        for row, *each in zip(file_rows.table.frame.index, *columns_read, strict=True)
    ]
    blank = {row - 1 for row in file_rows.blank}
    places = [place for place, row in enumerate(file_rows.table.frame.index) if row not in blank]
    return _Asked(frame["text"].tolist(), frame["pair"].tolist() if columns.pair else None, rows, places)


def _reads_file(arguments: argparse.Namespace) -> bool:
    """Whether the texts are a file's; raises DataError where there are others too."""
    if arguments.file and (arguments.text or arguments.pair):
        raise DataError("Both texts and --file are given.", hint="Leave one of them out.")
    return bool(arguments.file)


def compare(arguments: argparse.Namespace) -> Outcome:
    """Both models' answers to the same texts, or both on the rows of a file."""
    base, tuned = model_name(arguments.base), model_name(arguments.tuned)
    if _reads_file(arguments):
        return _compare_file(base, tuned, arguments)
    task = inference.task_of(tuned)
    asked = _asked(arguments, tuned, task)
    compared = comparison.compare(base, tuned, asked.texts, pairs=asked.pairs, top_k=arguments.top_k)
    base_title = comparison.base_words(base, tuned)
    rows = [
        _entry(each.text, each.pair)
        | {
            "base": TASKS[task].as_json(each.base),
            "tuned": TASKS[task].as_json(each.tuned),
            "changed": each.changed,
        }
        for each in compared
    ]
    blocks = [_side_by_side(each, base_title, tuned) for each in compared]
    return Outcome({"base": base_title, "tuned": tuned, "task": task, "rows": rows}, "\n\n".join(blocks))


def _side_by_side(each: comparison.Compared, base_title: str, tuned: str) -> str:
    left, right = words.prediction_words(each.base, ""), words.prediction_words(each.tuned, "")
    height = max(len(left), len(right))
    columns = [lines + [""] * (height - len(lines)) for lines in (left, right)]
    title = " | ".join(filter(None, (each.text, each.pair)))
    return f"{title}\n" + words.table((base_title, tuned), zip(*columns, strict=True), numbers=False)


def _compare_file(base: str, tuned: str, arguments: argparse.Namespace) -> Outcome:
    path = Path(arguments.file).expanduser()
    result = comparison.compare_file(base, tuned, path, **given_settings(arguments))
    words.say_findings(result.findings, result.remedies)
    document = {
        "base": result.base_words,
        "tuned": result.tuned,
        "file": path.name,
        "rows": result.rows,
        "base_metrics": result.base_metrics,
        "tuned_metrics": result.tuned_metrics,
        "fixed": result.fixed,
        "broken": result.broken,
        "verdict": result.verdict.to_dict(),
        "table": result.table.to_dict("records"),
        "findings": list(result.findings),
    }
    rows = [
        (name, *map(metric(name).figure, (result.base_metrics.get(name), value)))
        for name, value in result.tuned_metrics.items()
    ]
    parts = [f"{path.name}, {result.rows:,} rows", words.table(("", result.base_words, result.tuned), rows)]
    if result.fixed or result.broken:
        parts.append(f"Rows fixed: {result.fixed:,}; rows broken: {result.broken:,}")
    parts.append(result.verdict.words)
    return Outcome(document, "\n\n".join(parts))
