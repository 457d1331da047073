"""bertspace push, pull and deploy: a run's model to the Hub, a model from it, this app to a Space."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TextIO

from bertspace import models, publish
from bertspace.cli.outcome import (
    DONE,
    FAILURE,
    LEFT,
    NOT_PUBLISHED,
    RUN_HELP,
    Commands,
    Outcome,
    add_command,
    run_named,
)
from bertspace.errors import BertspaceError, ConfigError, HubError
from bertspace.hub import names, quota
from bertspace.publish import Destination, Published, app_space, demo_space
from bertspace.runs import Run
from bertspace.words import duration, size

EVERY_SECONDS = 0.2  # between two lines about bytes on a terminal
DESTINATION = tuple(each.name for each in fields(Destination))


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "push", "Publish a run's model on the Hub, with its card.", push)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("repo_id", metavar="OWNER/NAME", help="the repository; made where there is none")
    add_destination(parser)
    parser.add_argument(
        "--card", default="", metavar="FILE", help="A card of your own instead of the made one."
    )
    parser.add_argument(
        "--space", action="store_true", help="Make a small Space for the model too: OWNER/NAME-space."
    )
    parser = add_command(commands, "deploy", "This app to a Space, from a working copy.", deploy_app)
    parser.add_argument("repo_id", metavar="OWNER/NAME")
    parser.add_argument("--private", action="store_true", help="Make a new Space private.")
    parser.add_argument(
        "--hardware", default="", metavar="ID", help="What to suggest: cpu-basic, t4-small, …"
    )
    parser.add_argument(
        "--variable",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="A public variable of the Space.",
    )
    parser.add_argument("--message", default="", metavar="M", help="The commit's message.")
    parser = add_command(commands, "pull", "Bring a model of the Hub to this machine.", pull)
    parser.add_argument("name", metavar="OWNER/NAME[@REVISION]", help="as on the Hub, or its address")


def add_destination(parser: argparse.ArgumentParser) -> None:
    """The flags of a Destination, but for its repository."""
    group = parser.add_argument_group("publishing")
    group.add_argument(
        "--private", action="store_true",
        help="Make a new repository private, and send nothing to one that is public.",
    )  # fmt: skip
    group.add_argument("--branch", default="", metavar="B", help="Commit to this branch.")
    group.add_argument("--pr", dest="pull_request", action="store_true", help="Open a pull request.")
    group.add_argument("--message", default="", metavar="M", help="The commit's message.")
    group.add_argument("--adapter", action="store_true", help="LoRA's adapter alone, instead of all weights.")
    group.add_argument("--license", default="", metavar="ID", help="For the card (default: the base's).")
    group.add_argument("--language", default="", metavar="CODE", help="For the card: en, de, …")
    group.add_argument(
        "--examples", action=argparse.BooleanOptionalAction, default=None,
        help="Show rows of the data on the card (default: of samples and public data sets of the Hub only).",
    )  # fmt: skip
    group.add_argument(
        "--replace-card", action="store_true",
        help="Put the card in the place of a README.md that was written or changed by hand.",
    )  # fmt: skip


def destination(arguments: argparse.Namespace, repo_id: str) -> Destination:
    """Where the arguments say that a model goes; raises HubError."""
    given = vars(arguments) | {"repo_id": repo_id}
    return Destination(**{name: given[name] for name in DESTINATION})


def push(arguments: argparse.Namespace) -> Outcome:
    """Send a run's model, pull it again and say whether it predicts the same."""
    run = run_named(arguments.run)
    card = _read(arguments.card) if arguments.card else ""
    outcome = publish_run(run, destination(arguments, arguments.repo_id), card)
    if not arguments.space:
        return outcome
    done = outcome.document

    def make() -> Outcome:
        space = demo_space.make(demo_space.of_run(run, done["repo_id"], private=done["private"]), tell=say)
        return Outcome({"space": space.url}, f"Space: {space.url}")

    return outcome.with_more(made_after(make, "The Space was not made"))


def made_after(make: Callable[[], Outcome], failed: str) -> Outcome:
    """The outcome of a further step, whose failure must not hide that the first one succeeded.

    Never raises: any exception is an outcome of its own, in one line, a bug's traceback before it.
    """
    try:
        return make()
    except KeyboardInterrupt:
        why, code = "It was left by Ctrl-C.", LEFT
    except BertspaceError as error:
        why, code = " ".join(str(error).split()), NOT_PUBLISHED
    except Exception as error:
        traceback.print_exc()
        why, code = f"This is a bug ({type(error).__name__}).", NOT_PUBLISHED
    print(f"error: {failed}: {why}", file=sys.stderr)
    return Outcome({"error": f"{failed}: {why}"}, f"{failed}: {why}", code)


def deploy_app(arguments: argparse.Namespace) -> Outcome:
    """Make or update a Space that runs bertspace."""
    variables = dict(_variable(each) for each in arguments.variable)
    done = app_space.deploy(
        arguments.repo_id,
        private=arguments.private,
        hardware=arguments.hardware,
        variables=variables,
        message=arguments.message,
        tell=say,
    )
    what = f"{done.files} files" if done.changed else "nothing new"
    return Outcome(asdict(done), f"{done.url} ({what}, commit {done.commit[:12]})")


def _variable(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"{text!r} is no variable.", hint="Write NAME=VALUE.")
    return name, value


def _read(file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise HubError(f"The card {file} cannot be read.", hint="Give a text file.") from error


def publish_run(run: Run, where: Destination, card: str = "") -> Outcome:
    """What a push came to; a failure where what was pulled again is another model."""
    done = publish.push(run, where, card=card, tell=say)
    return Outcome(
        {"run": run.id, **asdict(done)}, _summary(done), FAILURE if done.verified is False else DONE
    )


def _summary(done: Published) -> str:
    if done.pull_request:
        where = f"Pull request: {done.pull_request}"
    elif not done.changed:
        where = f"Nothing new: {done.url} has it already."
    else:
        where = f"{'Private' if done.private else 'Public'}: {done.url}"
    checked = {
        True: f"Verified: pulled again, it predicts the same on {done.rows} rows.",
        False: "NOT verified.",
        None: "Not verified.",
    }[done.verified]
    return "\n".join(filter(None, (where, f"Commit: {done.commit}", checked, done.message)))


def say(text: str) -> None:
    """A step in a line on stderr."""
    print(text, file=sys.stderr, flush=True)


def pull(arguments: argparse.Namespace) -> Outcome:
    """Bring a model's files to disk, or what is missing of them."""
    begin = time.monotonic()
    located = models.locate(_hub_name(arguments.name), progress=bytes_line(sys.stderr))
    quota.take_over(located.path, asked=True)
    took = sum(path.stat().st_size for path in located.path.iterdir())
    document = {
        "model": located.name,
        "revision": located.revision,
        "folder": str(located.path),
        "bytes": took,
    }
    seconds = duration(time.monotonic() - begin)
    text = f"{located.name} at {located.revision[:12]}: {size(took)} in {seconds}"
    return Outcome(document, f'{text}\nTry it:  python -m bertspace predict {located.name} "…"')


def _hub_name(name: str) -> str:
    if Path(name).exists():
        raise HubError(f"{name} is a folder here.", hint="Give owner/name as on the Hub.")
    return str(names.parse(name))


def bytes_line(stream: TextIO) -> Callable[[int, int], None]:
    """What tells a download's bytes: over one line on a terminal, else in a few lines."""
    last = [0.0]

    def tell(done: int, total: int) -> None:
        now, live = time.monotonic(), stream.isatty()
        if done < total and now - last[0] < (EVERY_SECONDS if live else 10):
            return
        last[0] = now
        line = f"{size(done)} of {size(total)}"[: shutil.get_terminal_size().columns - 1]
        stream.write(f"\r\x1b[K{line}" + ("\n" if done >= total else "") if live else f"{line}\n")
        stream.flush()

    return tell
