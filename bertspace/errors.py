"""The errors that a person can do something about: what happened, and what to do."""

import errno
import re
from dataclasses import dataclass

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what the system says of a disk that is full
# Absolute, with a folder at least: not the slash of an address, a closing tag, "and/or" or "1/2".
_QUOTED_PATH = re.compile(r"""(["'`])(?:file:)?/[^\n"'`]*/([^\n"'`/]*)(["'`])""")
_PATH = re.compile(r"""(?:file:/*|(?<![\w./<~:])/+|(?<=:)/(?!/)|~/)(?:[^\s"'`/:,;()<>|]+/+)+""")


@dataclass(frozen=True)
class Remedy:
    """One way out: `title` says on a button what it does ("Read it as Windows-1252"), `settings` are
    the (name, value) pairs that do it, by the names of TrainConfig's fields.
    """

    title: str
    settings: tuple[tuple[str, str], ...]


class BertspaceError(Exception):
    """Something that the user can put right: `message` says what happened, `hint` what to do.

    remedies: what can be chosen instead, where a setting does it.
    """

    def __init__(self, message: str, hint: str = "", remedies: tuple[Remedy, ...] = ()) -> None:
        super().__init__(message, hint)
        self.message, self.hint, self.remedies = message, hint, remedies

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(BertspaceError):
    """A setting has a value that it cannot have."""


class DataError(BertspaceError):
    """A file, a column, a row or a label is not what it has to be."""


class HubError(BertspaceError):
    """The Hub cannot be reached, or does not give what was asked for."""


class HubUnreachable(HubError):
    """The Hub does not answer now: what is on disk may serve, and a later try may go through.

    seconds: what the Hub asks to wait for; 0 where it does not say.
    """

    def __init__(self, message: str, hint: str = "", seconds: float = 0.0) -> None:
        super().__init__(message, hint)
        self.seconds = seconds


class TokenRefused(HubError):
    """The Hub does not know the token: another, or none, may do."""


class Cancelled(BertspaceError):
    """The person asked for the end of what was going on."""


class ModelError(BertspaceError):
    """A model is missing, unsafe to load, or does not fit the task."""


class RunError(BertspaceError):
    """There is no such run, or it is not in a state that allows this."""


class ForbiddenError(BertspaceError):
    """Who asked may not do this."""


class TimeLimitError(BertspaceError):
    """An answer would take more time than it may."""


class TrainingError(BertspaceError):
    """A training cannot go on, and why."""


class OutOfMemory(TrainingError):
    """Memory ran out; `advice` are settings that need less."""

    def __init__(self, message: str, hint: str = "", advice: dict[str, int] | None = None) -> None:
        super().__init__(message, hint)
        self.advice = advice or {}


def without_paths(text: str) -> str:
    """A library's words, with only the last name of every absolute path: a host's folders are its own."""
    return _PATH.sub("", _QUOTED_PATH.sub(r"\1\2\3", text))
