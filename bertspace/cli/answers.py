"""bertspace evaluate, predict and compare: what finished models say of texts and files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertspace import comparison, data, inference
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
from bertspace.errors import DataError
from bertspace.reading import READING
from bertspace.schema import Prediction, TrainConfig

FILE_HELP = "csv, tsv, jsonl, parquet or txt, each also gzipped; zip or tar.gz"
COLUMNS = ("text_column", "pair_column", "label_column")


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "evaluate", "Score a model on the rows of a file.", evaluate)
    parser.add_argument("model_or_run", metavar="MODEL_OR_RUN", help=MODEL_HELP)
    parser.add_argument("--file", required=True, metavar="FILE", help=FILE_HELP)
    parser.add_argument(
        "--max-rows", type=whole_number, default=0, metavar="N", help="Score the first N only."
    )
    add_settings(parser, ("task", *READING, *COLUMNS))

    parser = add_command(commands, "predict", "Fill the [MASK]s of texts, or classify them.", predict)
    parser.add_argument("model_or_run", metavar="MODEL_OR_RUN", help=MODEL_HELP)
    _add_texts(parser)
    add_settings(parser, ("task", *READING, *COLUMNS[:2]))

    parser = add_command(commands, "compare", "Put a base model beside a fine-tuned one.", compare)
    parser.add_argument("base", metavar="BASE", help=MODEL_HELP)
    parser.add_argument("tuned", metavar="TUNED", help="the same; a run, where the base has no classifier")
    _add_texts(parser)
    add_settings(parser, (*READING, *COLUMNS))


def _add_texts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="*", help="Without one, each line of stdin is one.")
    parser.add_argument("--pair", action="append", metavar="TEXT", help="The second text; one for each TEXT.")
    parser.add_argument("--file", default="", metavar="FILE", help=f"Take the texts from it: {FILE_HELP}.")
    parser.add_argument(
        "--top-k", type=whole_number, default=5, metavar="K", help="Words a mask (default: 5)."
    )


def evaluate(arguments: argparse.Namespace) -> Outcome:
    """The metrics of a model on a file."""
    found = comparison.evaluate_file(
        model_name(arguments.model_or_run),
        Path(arguments.file).expanduser(),
        max_rows=arguments.max_rows,
        **given_settings(arguments),
    )
    rows = [(name, words.number(value)) for name, value in found["metrics"].items()]
    cut = f", texts cut to {length:,} tokens" if (length := found.get("max_length")) else ""
    head = f"{found['model']} on {found['file']} ({found['task']}, {found['rows']:,} rows{cut})"
    return Outcome(found, f"{head}\n\n{words.table(('', ''), rows).lstrip()}")


def predict(arguments: argparse.Namespace) -> Outcome:
    """What a model says of each text."""
    name, given = model_name(arguments.model_or_run), given_settings(arguments)
    task = TrainConfig(**given).task if "task" in given else inference.task_of(name)
    texts, pairs = _texts(arguments, task)
    found = inference.predict(name, texts, task=task, pairs=pairs, top_k=arguments.top_k)
    rows = [_entry(text, pairs[place] if pairs else "") for place, text in enumerate(texts)]
    document = {
        "model": name,
        "task": task,
        "max_length": inference.longest(name),
        "predictions": [row | _answer(each, task) for row, each in zip(rows, found, strict=True)],
    }
    blocks = []
    for row, each in zip(rows, found, strict=True):
        title = each[0].text if task == "fill-mask" else " | ".join(row.values())
        blocks.append("\n".join([title, *words.prediction_words(each)]))
    return Outcome(document, "\n\n".join(blocks))


def _entry(text: str, pair: str) -> dict[str, str]:
    return {"text": text, "pair": pair} if pair else {"text": text}


def _answer(found: Sequence[Prediction], task: str) -> dict[str, Any]:
    """The part of a JSON row that one model's answer is."""
    if task == "fill-mask":
        return {"filled": found[0].text, "masks": [each.scores for each in found]}
    said = {"meaning": found[0].meaning} if found[0].meaning else {}
    return {"label": found[0].label, "scores": found[0].scores, **said}


def _texts(arguments: argparse.Namespace, task: str) -> tuple[list[str], list[str] | None]:
    """The texts, and their second ones where they are pairs: from the arguments, a file or stdin."""
    if _reads_file(arguments):
        config = replace(TrainConfig(**given_settings(arguments)), task=task)
        frame = data.load_held_out(Path(arguments.file).expanduser(), config, (), labelled=False)
        return frame["text"].tolist(), frame["pair"].tolist() if "pair" in frame else None
    texts = arguments.text
    if not texts and not sys.stdin.isatty():
        texts = [line.strip() for line in sys.stdin if line.strip()]
    if not texts:
        raise DataError("There is no text.", hint="Give a TEXT, --file FILE, or lines on stdin.")
    return texts, arguments.pair


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
    texts, pairs = _texts(arguments, task)
    found = comparison.compare(base, tuned, texts, pairs=pairs, top_k=arguments.top_k)
    said = comparison.base_words(base, tuned)
    rows = [
        _entry(each.text, each.pair)
        | {"base": _answer(each.base, task), "tuned": _answer(each.tuned, task), "changed": each.changed}
        for each in found
    ]
    blocks = [_side_by_side(each, said, tuned) for each in found]
    return Outcome({"base": said, "tuned": tuned, "task": task, "rows": rows}, "\n\n".join(blocks))


def _side_by_side(each: comparison.Compared, said: str, tuned: str) -> str:
    left, right = words.prediction_words(each.base, ""), words.prediction_words(each.tuned, "")
    height = max(len(left), len(right))
    columns = [lines + [""] * (height - len(lines)) for lines in (left, right)]
    title = " | ".join(filter(None, (each.text, each.pair)))
    return f"{title}\n" + words.table((said, tuned), zip(*columns, strict=True), numbers=False)


def _compare_file(base: str, tuned: str, arguments: argparse.Namespace) -> Outcome:
    path = Path(arguments.file).expanduser()
    found = comparison.compare_file(base, tuned, path, **given_settings(arguments))
    document = {
        "base": found.base_words,
        "tuned": found.tuned,
        "file": path.name,
        "rows": found.rows,
        "base_metrics": found.base_metrics,
        "tuned_metrics": found.tuned_metrics,
        "fixed": found.fixed,
        "broken": found.broken,
        "table": found.table.to_dict("records"),
    }
    rows = [
        (name, words.number(found.base_metrics.get(name)), words.number(value))
        for name, value in found.tuned_metrics.items()
    ]
    parts = [f"{path.name}, {found.rows:,} rows", words.table(("", found.base_words, found.tuned), rows)]
    if found.fixed or found.broken:
        parts.append(f"Rows fixed: {found.fixed:,}; rows broken: {found.broken:,}")
    return Outcome(document, "\n\n".join(parts))
