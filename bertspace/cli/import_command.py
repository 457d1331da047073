"""bertspace import: an old checkpoint to a folder that loads safely."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from bertspace.cli.outcome import Commands, Outcome, add_command
from bertspace.models.legacy import checkpoints
from bertspace.models.legacy.checkpoints import Imported
from bertspace.words import size

FOLDER_HELP = "with pytorch_model.bin and config.json, or bert_model.ckpt.*, bert_config.json and vocab.txt"


def add_commands(commands: Commands) -> None:
    summary = "Turn pytorch_model.bin or a TensorFlow BERT checkpoint into safetensors."
    parser = add_command(commands, "import", summary, bring_in)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help=FOLDER_HELP)
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="A new folder (default: FOLDER-safetensors beside it)."
    )
    parser.add_argument(
        "--lower-case",
        action=argparse.BooleanOptionalAction,
        help="Whether a tokenizer made from vocab.txt lowers letters (default: as the vocabulary looks).",
    )


def bring_in(arguments: argparse.Namespace) -> Outcome:
    done = checkpoints.import_checkpoint(arguments.folder, arguments.output, lower_case=arguments.lower_case)
    return Outcome(asdict(done) | {"folder": str(done.folder)}, _words(done))


def _words(done: Imported) -> str:
    what = f"{' and '.join(done.architectures)}: {done.parameters:,} parameters, {size(done.bytes)}"
    lines = [f"{done.folder}", what]
    if done.lower_case is not None:
        lines.append(f"The tokenizer {'lowers' if done.lower_case else 'keeps'} capital letters.")
    if done.left_out:
        lines.append(f"Left out, as no part of the model: {', '.join(done.left_out)}")
    return "\n".join(lines)
