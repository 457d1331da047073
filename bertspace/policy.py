"""Who may do what: one table of rights, and the limits of everyone but the owner. Knows nothing of pages."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import TYPE_CHECKING

from bertspace import hardware, runs
from bertspace.errors import BertspaceError, ConfigError, ForbiddenError
from bertspace.jobs import engine
from bertspace.runs import ENDED, LOCAL_OWNER
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS

if TYPE_CHECKING:
    from bertspace.data import Splits

KINDS = ("owner", "user", "visitor", "shared visitor")
RIGHTS: dict[str, tuple[str, ...]] = {
    "try models": KINDS,
    "read data": ("owner", "user"),
    "see runs": ("owner", "user"),
    "train": ("owner", "user"),
    "manage runs": ("owner", "user"),
    "publish": ("owner", "user"),
    "give a token": ("owner",),  # for the owner's own rights at the Hub; everybody else signs in
    "name folders": ("owner",),  # a path of the host: on the command line, never on a page that others reach
}
ACTIONS = tuple(RIGHTS)
_DOING = {
    "try models": "Trying models",
    "read data": "Reading data",
    "see runs": "Seeing runs",
    "train": "Training",
    "manage runs": "Managing runs",
    "publish": "Publishing",
    "give a token": "Giving a token",
    "name folders": "Naming folders of this machine",
}
TO_GET_THE_RIGHT = (
    "The owner opens this page with the key that was printed at its start; on a machine of your own, "
    "you are the owner."
)
TO_SIGN_IN = "Sign in with Hugging Face, at the top of the page. The owner has a key instead."
_STABLE_ID = re.compile("[0-9a-f]{24}")  # as the Hub numbers its accounts
CHARACTERS_A_TOKEN = 4  # of English
MAX_SCORES = 5_000_000  # of a file's rows, each a label's; 100 bytes each until they are written


@dataclass(frozen=True)
class Person:
    """Someone at the page. owner: the folder of their runs under BERTSPACE_HOME, "" for who has none.

    more: how they get rights that they lack.
    """

    kind: str
    owner: str
    name: str
    more: str = TO_GET_THE_RIGHT


LOCAL = Person("owner", LOCAL_OWNER, "Local owner")  # whoever is at a page that only this machine reaches
OWNER = Person("owner", LOCAL_OWNER, "Owner")  # came with the key
VISITOR = Person("visitor", "", "Visitor")
SIGNED_OUT = Person("visitor", "", "Visitor", TO_SIGN_IN)  # who could sign in
SHARED_VISITOR = Person("shared visitor", "", "Visitor by a shared link")


def user(account_id: str, name: str) -> Person:
    """Who signed in: known by the id that the account keeps, never by its name, which may become another's.

    Another provider's ids may be anything, so they are hashed, to names longer than those of the Hub's ids.
    """
    known = account_id if _STABLE_ID.fullmatch(account_id) else sha256(account_id.encode()).hexdigest()[:48]
    return Person("user", f"u-{known}", name)


def allowed(person: Person, action: str) -> bool:
    return person.kind in RIGHTS[action]


def require(person: Person, action: str) -> None:
    """Raises ForbiddenError where the person may not do this."""
    if not allowed(person, action):
        raise ForbiddenError(f"{_DOING[action]} is not open to you here ({person.name}).", hint=person.more)


@dataclass(frozen=True)
class Limits:
    """What one person may take up; 0 is no limit. Each is set by BERTSPACE_MAX_<NAME>.

    rows: of a data set, all parts together. minutes: of training. waiting: runs queued or at work.
    stored_bytes: of runs, and once more of models and data sets that they alone may see. characters: of one
    call to the page, and of a row's texts. seconds: of one call. model_bytes: of one model or data set of the
    Hub; hub_bytes: of all that guests brought to the cache that everybody shares, where what they used
    longest ago makes room. memory_bytes: of a run's processes. batch_tokens: of a batch of the longest texts.
    """

    rows: int = 20_000
    steps: int = 2_000
    minutes: int = 30
    waiting: int = 2
    stored_bytes: int = 2 * 10**9
    characters: int = 10_000
    seconds: int = 60
    model_bytes: int = 1500 * 10**6
    hub_bytes: int = 20 * 10**9
    memory_bytes: int = min(8 * 1024**3, hardware.memory_limit_bytes() // 2)
    batch_tokens: int = 65_536


NONE = Limits(*[0] * len(fields(Limits)))


def limits(person: Person) -> Limits:
    """The person's limits: the owner has none. Raises ConfigError for a variable that is no number."""
    if person.kind == "owner":
        return NONE
    return Limits(
        **{each.name: from_environment(each.name, int(str(each.default))) for each in fields(Limits)}
    )


def from_environment(name: str, default: int) -> int:
    """BERTSPACE_MAX_<NAME> as a whole number, 0 and above; `default` where it is not set."""
    variable = f"BERTSPACE_MAX_{name.upper()}"
    value = os.environ.get(variable, "").strip() or str(default)
    if not value.isascii() or not value.isdecimal():
        raise ConfigError(f"{variable} is {value!r}.", hint="Give a whole number; 0 is no limit.")
    return int(value)


def check_characters(person: Person, count: int) -> None:
    """Raises ForbiddenError where one call brings more text than the person may send."""
    most = limits(person).characters
    if most and count > most:
        raise ForbiddenError(
            f"The text has {count:,} characters; the limit here is {most:,}.", hint="Send less at once."
        )


def check_file(person: Person, name: str) -> None:
    """Raises ForbiddenError for a kind of file that only the owner's may be.

    A small parquet file may unpack to more than any memory holds, and does not say so before it is read.
    """
    if limits(person).rows and name.lower().removesuffix(".gz").endswith(".parquet"):
        raise ForbiddenError("Parquet files are read for the owner alone here.", hint="Give csv or jsonl.")


def check_rows(person: Person, rows: int) -> None:
    """Raises ForbiddenError where data has more rows than the person may use."""
    _check("rows in all", rows, limits(person).rows, "Give fewer rows.")


def check_texts(person: Person, index: Iterable[int], *columns: Iterable[str], of: str = "") -> None:
    """Raises ForbiddenError where a row's texts are longer than one call's may be; rows count from 1."""
    most = limits(person).characters
    if not most:
        return
    for row, *texts in zip(index, *columns, strict=True):
        if (count := sum(map(len, texts))) > most:
            raise ForbiddenError(
                f"Row {row + 1:,}{of and f' of {of}'} has {count:,} characters; the limit here is {most:,}.",
                hint="Shorten it, or take it out.",
            )


def check_scores(person: Person, rows: int, labels: int) -> None:
    """Raises ForbiddenError where so many rows by so many labels take more memory than they should."""
    most = MAX_SCORES if limits(person).rows else 0
    _check(f"scores ({rows:,} rows by {labels:,} labels)", rows * labels, most, "Give fewer rows.")


def check_data(person: Person, splits: Splits) -> None:
    """Raises ForbiddenError where data has more rows, or longer ones, than the person may use."""
    check_rows(person, rows_of(splits))
    for name in ("train", "validation", "test"):
        if (part := getattr(splits, name)) is not None:
            texts = [part[each].tolist() for each in ("text", "pair") if each in part]
            if splits.label_names:
                texts.append([splits.label_names[label] for label in part["label"].tolist()])
            check_texts(person, part.index, *texts, of=f"the {name} rows")


def rows_of(splits: Splits) -> int:
    """The rows of all parts together."""
    return sum(len(part) for part in (splits.train, splits.validation, splits.test) if part is not None)


def check_run(person: Person, config: TrainConfig, splits: Splits) -> None:
    """Raises ForbiddenError where the person may not start this run now: it names the limit and the value."""
    require(person, "train")
    most = limits(person)
    check_data(person, splits)
    _check("steps", planned_steps(config, splits), most.steps, "Lower the epochs, or set Steps at most.")
    _check_batch(config, most.batch_tokens)
    check_place(person)


def _check_batch(config: TrainConfig, most: int) -> None:
    rows, longest = config.batch_size, TASKS[config.task].longest(config)
    what = f"tokens a batch ({rows:,} rows of up to {longest:,})"
    _check(what, rows * longest, most, "Lower the batch size, or how long a text may be.")


def check_place(person: Person) -> None:
    """Raises ForbiddenError where one more run of the person's may not wait now, a resumed one too."""
    most, own = limits(person), runs.list_runs(person.owner)
    _check("runs waiting or at work", 1 + _unended(own), most.waiting, "Wait until one has ended.")
    if most.stored_bytes:
        stored = sum(engine.size(run) for run in own)
        _check("bytes stored", stored, most.stored_bytes, "Delete a run.")


def _check(what: str, value: int, most: int, hint: str) -> None:
    if most and value > most:
        raise ForbiddenError(f"That would be {value:,} {what}; the limit here is {most:,}.", hint=hint)


def _unended(own: list[runs.Run]) -> int:
    count = 0
    for run in own:
        try:
            count += run.state().status not in ENDED
        except BertspaceError:
            continue  # it is being made or deleted at this moment
    return count


def planned_steps(config: TrainConfig, splits: Splits) -> int:
    """The optimizer steps that the config asks for, with tokens estimated from the characters."""
    tokens = float(splits.train["text"].str.len().sum()) / CHARACTERS_A_TOKEN
    rows = float(TASKS[config.task].expected_rows(config, len(splits.train), tokens))
    rows = min(rows, config.max_train_rows) if config.max_train_rows else rows
    return config.total_steps(math.ceil(rows / config.batch_size))
