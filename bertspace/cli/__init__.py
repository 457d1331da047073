"""`bertspace …` and `python -m bertspace …`: train, evaluate, predict, compare, push, pull, import, runs.

A command returns an Outcome; only this module writes to stdout, so that `--json` is one document, alone; of
an error {"error", "hint"}.
Exit codes: 0 done, 2 bad input (one line on stderr), 1 failure, 3 trained (or pushed) but what was to be
published after that was not, 130 left by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from bertspace import __version__, hardware, processes
from bertspace.cli import answers, hub_commands, import_command, run_commands, train, words
from bertspace.cli.outcome import BAD_INPUT, LEFT, Outcome
from bertspace.errors import BertspaceError

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: the usage alone would be forty."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"error: {message}. See: {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Arguments that argparse refuses raise SystemExit(2)."""
    arguments = _parse(argv)
    hardware.share_cores()
    processes.bars_in_terminals_only()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # whatever a library prints is no part of the answer
            outcome: Outcome = arguments.command(arguments)
    except BertspaceError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        words.say_findings((), error.remedies)
        outcome = Outcome({"error": error.message, "hint": error.hint}, code=BAD_INPUT)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        outcome = Outcome({"error": "Interrupted.", "hint": ""}, code=LEFT)
    _write(outcome, arguments.json)
    return outcome.code


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse gives a list of positionals the words before the first option only.
    if rest and (any(word.startswith("-") for word in rest) or not hasattr(arguments, "text")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.text += rest
    return arguments


def _parser() -> _Parser:
    parser = _Parser(
        prog="bertspace",
        description="Fine-tune a BERT-family encoder, try it, and see what the training changed.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bertspace {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (train, answers, hub_commands, import_command, run_commands):
        module.add_commands(commands)
    return parser


def _write(outcome: Outcome, as_json: bool) -> None:
    text = json.dumps(_finite(outcome.document), ensure_ascii=False, indent=1) if as_json else outcome.text
    if not text:
        return
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader (head, less) has seen enough, and Python's own last flush must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _finite(value: Any) -> Any:
    """With null for NaN and infinities, which JSON does not know; a loss that overflowed is one."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
