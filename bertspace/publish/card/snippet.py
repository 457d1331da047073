"""The lines by which a card says how to use the model, and their run before they are claimed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertspace import processes
from bertspace.errors import ModelError, without_paths
from bertspace.publish.card.content import Card, Example, Ran
from bertspace.publish.card.markdown import clean

ALL_LABELS = 6  # up to so many, every label's score is shown; of more the first five
SECONDS = 300.0
MEMORY, TIMES_FILES = 2 * 1024**3, 4  # bytes that the lines may take: so much, and of the weights' files
_OBJECT = {"text-classification": "classify", "fill-mask": "fill_mask"}
_HEAD = {"text-classification": "AutoModelForSequenceClassification", "fill-mask": "AutoModelForMaskedLM"}
_PRINTED = {"text-classification": "label", "fill-mask": "token_str"}

# Runs in a process of its own: the lines as a person would paste them, then the other examples.
_DRIVER = """
import contextlib, io, json, sys
from bertspace.safety import confine
told = json.load(sys.stdin)
confine.memory(told["memory"])
names, printed = {}, io.StringIO()
with contextlib.redirect_stdout(printed):
    exec(compile(told["code"], "snippet.py", "exec"), names)
    answers = [names[told["object"]](each, top_k=told["top_k"]) for each in told["inputs"]]
import transformers
found = [[(each[told["key"]], each["score"]) for each in answer] for answer in answers]
print(json.dumps({"printed": printed.getvalue(), "answers": found, "transformers": transformers.__version__}))
"""


def usage(card: Card, model: str = "", base: str = "") -> str:
    """Lines that use the model; "" for an adapter to weights that the Hub lacks.

    model, base: folders in place of the names.
    """
    example = card.examples[0] if card.examples else _neutral(card)
    if example is None or (card.adapter and not card.base.direct):
        return ""
    loading = _loading_adapter(card, model, base) if card.adapter else _loading(card, model)
    name, key = _OBJECT[card.task], _PRINTED[card.task]
    given = "pair" if example.pair else "text"
    top_k = "" if card.task == "fill-mask" else f", top_k={_top_k(card)}"
    return (
        f"{loading}\n"
        f"{given} = {_written(_input(example))}\n"
        f"for guess in {name}({given}{top_k}):\n"
        f"    print(f\"{{guess['score']:.3f}}  {{guess['{key}']}}\")\n"
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
    told = {
        "code": code,
        "object": _OBJECT[card.task],
        "key": _PRINTED[card.task],
        "top_k": _top_k(card) or 5,
        "memory": _memory(model_folder, *([base_folder] if base_folder else [])),
        "inputs": [_input(example) for example in card.examples],
    }
    if card.task == "text-classification":
        told["top_k"] = _top_k(card)
    found = _run(told, seconds)
    answers = tuple(
        replace(example, output=tuple((clean(name), float(score)) for name, score in answer))
        for example, answer in zip(card.examples, found["answers"], strict=True)
    )
    lines = "\n".join(line.rstrip() for line in found["printed"].splitlines())
    return replace(card, examples=answers, ran=Ran(lines, found["transformers"]))


def _neutral(card: Card) -> Example | None:
    """An input that is nobody's, for a card that shows no text of the data."""
    if card.task == "text-classification":
        return Example("A text of yours.", "", "Another one." if card.pairs else "")
    return Example(f"It was a {card.mask_token} day.", "") if card.mask_token else None


def _run(told: dict[str, Any], seconds: float) -> dict[str, Any]:
    environment = processes.bare_environment() | {
        "CUDA_VISIBLE_DEVICES": "",  # a training may need all of the GPU
        "PYTHONIOENCODING": "utf-8",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _DRIVER],
                input=json.dumps(told),
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


def _top_k(card: Card) -> int | None:
    return None if card.task == "text-classification" and len(card.label_names) <= ALL_LABELS else 5


def _input(example: Example) -> str | dict[str, str]:
    return {"text": example.text, "text_pair": example.pair} if example.pair else example.text


def _loading(card: Card, model: str) -> str:
    truncation = ", truncation=True" if card.task == "text-classification" else ""
    return (
        "from transformers import pipeline\n\n"
        f'{_OBJECT[card.task]} = pipeline("{card.task}", model={_written(model or card.repo_id)}{truncation})'
    )


def _loading_adapter(card: Card, model: str, base: str) -> str:
    head, here = _HEAD[card.task], _written(model or card.repo_id)
    labels = dict(enumerate(map(str, card.label_names)))
    options = f", num_labels={len(labels)}, id2label={_written(labels)}" if labels else ""
    revision = f', revision="{card.base.revision}"' if card.base.revision and not base else ""
    truncation = ", truncation=True" if card.task == "text-classification" else ""
    return (
        "from peft import PeftModel\n"
        f"from transformers import {head}, AutoTokenizer, pipeline\n\n"
        f"base = {head}.from_pretrained({_written(base or card.base.repo_id)}{revision}{options})\n"
        f"model = PeftModel.from_pretrained(base, {here}).merge_and_unload()\n"
        f"tokenizer = AutoTokenizer.from_pretrained({here})\n"
        f'{_OBJECT[card.task]} = pipeline("{card.task}", model=model, tokenizer=tokenizer{truncation})'
    )


def _written(value: Any) -> str:
    """A value as Python; JSON's double quotes where there is a choice."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    pairs = (
        f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(each, ensure_ascii=False)}"
        for key, each in value.items()
    )
    return f"{{{', '.join(pairs)}}}"
