"""The usage snippet of a card, and a run of it before the card claims that it works."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertspace import processes
from bertspace.errors import ModelError, without_paths
from bertspace.publish.card.content import Card, Ran
from bertspace.tasks import TASKS
from bertspace.tasks.card import Example
from bertspace.words import one_line

SECONDS = 300.0
MEMORY, TIMES_FILES = 2 * 1024**3, 4  # bytes that the lines may take: so much, and of the weights' files

# Runs in a process of its own: the lines as a person would paste them, then the other examples.
_DRIVER = """
import contextlib, io, json, sys
from bertspace.safety import confine
order = json.load(sys.stdin)
confine.memory(order["memory"])
names, printed = {}, io.StringIO()
with contextlib.redirect_stdout(printed):
    exec(compile(order["code"], "snippet.py", "exec"), names)
    answers = [names[order["variable"]](each, **order["options"]) for each in order["inputs"]]
import transformers
found = [[(each[order["answer"]], each["score"]) for each in answer] for answer in answers]
print(json.dumps({"printed": printed.getvalue(), "answers": found, "transformers": transformers.__version__}))
"""


def usage(card: Card, model: str = "", base: str = "") -> str:
    """Lines that use the model; "" where there can be none.

    That is where no pipeline runs it, and for an adapter to weights that the Hub lacks. model, base: folders
    in place of the names.
    """
    part = TASKS[card.task].card
    example = card.examples[0] if card.examples else _placeholder(card)
    if example is None or not part.pipeline or (card.adapter and not card.base.direct):
        return ""
    loading = _loading_adapter(card, model, base) if card.adapter else _loading(card, model)
    given = "pair" if example.pair else "text"
    return (
        f"{loading}\n"
        f"{given} = {_written(_input(example))}\n"
        f"for guess in {part.variable}({given}{_options(part.call_options(len(card.label_names)))}):\n"
        f"    print(f\"{{guess['score']:.3f}}  {{guess['{part.answer}']}}\")\n"
    )


def run_snippet(
    card: Card, model_folder: Path, base_folder: Path | None = None, *, seconds: float = SECONDS
) -> Card:
    """The card with what its snippet printed, and with the model's answers to all examples.

    The lines run in a fresh Python, offline and with no secret in its environment, with the folder of the
    model (and for an adapter that of its base) in place of the name on the Hub.
    Raises ModelError where they fail: then nothing may be claimed of them.
    """
    code = usage(card, str(model_folder.resolve()), str(base_folder.resolve()) if base_folder else "")
    if not code:
        return card
    part = TASKS[card.task].card
    order = {
        "code": code,
        "variable": part.variable,
        "answer": part.answer,
        "options": part.call_options(len(card.label_names)),
        "memory": _memory(model_folder, *([base_folder] if base_folder else [])),
        "inputs": [_input(example) for example in card.examples],
    }
    found = _run(order, seconds)
    answers = tuple(
        replace(example, output=tuple((one_line(name), float(score)) for name, score in answer))
        for example, answer in zip(card.examples, found["answers"], strict=True)
    )
    lines = "\n".join(line.rstrip() for line in found["printed"].splitlines())
    return replace(card, examples=answers, ran=Ran(lines, found["transformers"]))


def _placeholder(card: Card) -> Example | None:
    """An input that is nobody's, for a card that shows no text of the data."""
    pair = "Another one." if card.pairs else ""
    return Example(card.placeholder, "", pair) if card.placeholder else None


def _run(order: dict[str, Any], seconds: float) -> dict[str, Any]:
    environment = processes.child_environment(
        CUDA_VISIBLE_DEVICES="",  # a training may need all of the GPU
        PYTHONIOENCODING="utf-8",
        TRANSFORMERS_VERBOSITY="error",
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _DRIVER],
                input=json.dumps(order),
                capture_output=True,
                text=True,
                encoding="utf-8",
                cwd=folder,
                env=environment,
                timeout=seconds,
                check=True,
            )
            return dict(json.loads(done.stdout.splitlines()[-1]))
        except subprocess.CalledProcessError as error:
            why = without_paths((error.stderr.strip().splitlines() or ["no word"])[-1])
            raise ModelError(f"The usage snippet fails: {why[:300]}", hint="See the log.") from error
        except (OSError, subprocess.TimeoutExpired, ValueError, LookupError) as error:
            raise ModelError(
                f"The usage snippet could not be run ({type(error).__name__}).", hint="Try again."
            ) from error


def _memory(*folders: Path) -> int:
    """Bytes that the lines may take with the weights in these folders."""
    weights = [path for folder in folders for path in folder.glob("*.safetensors")]
    return MEMORY + TIMES_FILES * sum(path.stat().st_size for path in weights)


def _input(example: Example) -> str | dict[str, str]:
    return {"text": example.text, "text_pair": example.pair} if example.pair else example.text


def _options(options: Mapping[str, Any]) -> str:
    """After a call's other arguments."""
    return "".join(f", {name}={_written(value)}" for name, value in options.items())


def _loading(card: Card, model: str) -> str:
    part, name = TASKS[card.task].card, _written(model or card.repo_id)
    return (
        "from transformers import pipeline\n\n"
        f'{part.variable} = pipeline("{part.pipeline}", model={name}{_options(part.options)})'
    )


def _loading_adapter(card: Card, model: str, base: str) -> str:
    task, here = TASKS[card.task], _written(model or card.repo_id)
    part, head = task.card, task.auto_class
    labels = dict(enumerate(map(str, card.label_names)))
    options = _options({"num_labels": len(labels), "id2label": labels} if labels else {})
    revision = f', revision="{card.base.revision}"' if card.base.revision and not base else ""
    return (
        "from peft import PeftModel\n"
        f"from transformers import {head}, AutoTokenizer, pipeline\n\n"
        f"base = {head}.from_pretrained({_written(base or card.base.repo_id)}{revision}{options})\n"
        f"model = PeftModel.from_pretrained(base, {here}).merge_and_unload()\n"
        f"tokenizer = AutoTokenizer.from_pretrained({here})\n"
        f'{part.variable} = pipeline("{part.pipeline}", model=model, tokenizer=tokenizer'
        f"{_options(part.options)})"
    )


def _written(value: Any) -> str:
    """A value as Python; JSON's double quotes where there is a choice."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict):
        return repr(value)
    pairs = (
        f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(each, ensure_ascii=False)}"
        for key, each in value.items()
    )
    return f"{{{', '.join(pairs)}}}"
