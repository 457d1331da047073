"""Push a run's model to the Hub: check access, make one commit (retried where it may help), verify it.

Acts with the `hub.credentials` in use. Nothing that is here can harm a run: what is sent is a copy of its
links.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bertspace import hub, models
from bertspace.errors import Cancelled, HubError, HubUnreachable, ModelError, RunError
from bertspace.files import write_atomically
from bertspace.hub import commit as hub_commit
from bertspace.hub import credentials
from bertspace.hub.client import api, call_hub, check_id
from bertspace.hub.commit import There
from bertspace.hub.reasons import no_token
from bertspace.models.probe import Probe
from bertspace.publish import card as card_of
from bertspace.publish import repeat, roundtrip
from bertspace.publish.card import mark
from bertspace.publish.card.content import CONFUSION, CURVE, EARLIER_PICTURES
from bertspace.publish.model_files import is_model_file
from bertspace.publish.run_facts import RunFacts
from bertspace.runs import ENDED, Run
from bertspace.safety.layout import laid_out
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS

# What git does not take in the name of a branch.
_NO_BRANCH = re.compile(r"^[-/.]|[\x00-\x20~^:?*\[\\\x7f]|\.\.|//|/\.|@\{|^@$|(?:\.|/|\.lock)$")
Tell = Callable[[str], None]
Stopped = Callable[[], bool]

LOOK_SECONDS = 0.5  # between two looks at a run that is followed
COPIES, COPY_SECONDS = 10, 0.1  # how often a model that is replaced meanwhile is copied, and after what time
RECORD, WANTED, PROBE = "published.json", "to_publish.json", "probe.safetensors"
NOTHING_LOST = "Nothing is lost: the run keeps its model. Push it again; what has arrived is not sent twice."
CARD = "README.md"
TRAINING = ("events.jsonl", "result.json", repeat.CONFIG, repeat.ENVIRONMENT, repeat.DATA)


@dataclass(frozen=True)
class Destination:
    """Where a run's model goes, and how. private: a new repository is made so, and an existing one has to be;
    else an existing one stays as it is.

    adapter: LoRA's part alone. license and language stand on the card; "" is what the base has, or none.
    examples: whether rows of the data stand on the card, for everybody who may see it; None: those of a
    sample and of what everybody may read on the Hub do, those of files do not. replace_card: also a README.md
    that a person wrote or changed gives way to the card.
    """

    repo_id: str
    private: bool = False
    branch: str = ""
    pull_request: bool = False
    message: str = ""
    adapter: bool = False
    license: str = ""
    language: str = ""
    examples: bool | None = None
    replace_card: bool = False

    def __post_init__(self) -> None:
        check_id(self.repo_id, "repository")
        if "/" not in self.repo_id:
            raise HubError(f"{self.repo_id!r} has no owner.", hint="Write owner/name.")
        if self.branch and self.pull_request:
            raise HubError("Both a branch and a pull request are asked for.", hint="Leave one of them out.")
        hub.check_revision(self.repo_id, self.branch or None)
        if _NO_BRANCH.search(self.branch):
            raise HubError(
                f"{self.branch!r} is no branch's name.", hint="Write letters, digits, and - _ . /."
            )


@dataclass(frozen=True)
class Published:
    """A push that went through. verified: whether what was pulled again predicts as the run does; None: not
    looked at. rows: those that it was tried on. difference: the largest between two probabilities. removed:
    files of a model that was there before. card: the SHA-256 of the README.md that was sent, "" for none.
    """

    repo_id: str
    commit: str
    url: str
    pull_request: str = ""
    private: bool = False
    adapter: bool = False
    changed: bool = True
    time: float = 0.0
    verified: bool | None = None
    rows: int = 0
    difference: float = 0.0
    message: str = ""
    removed: tuple[str, ...] = ()
    card: str = ""


def check_access(destination: Destination) -> hub.Account:
    """The account that would push; raises HubError where it may not write there, or everybody would see what
    is to be private."""
    if credentials.current().token is False:
        raise no_token()
    account, repo_id = hub.whoami(), destination.repo_id
    _check_account(account, destination)
    private = call_hub(lambda: _private(repo_id), repo_id)
    if private is False and destination.private:
        raise hub_commit.is_public(repo_id)
    owner = repo_id.partition("/")[0]
    if private is None and account.granted is not None and owner not in account.granted:
        raise HubError(
            f"The token of {account.name} may not make repositories under {owner}.",
            hint=f"Let it write to the repositories of {owner} on the Hub, or give another token.",
        )
    if private is None and owner not in account.owners:
        raise HubError(
            f"The Hub has no model {repo_id} to make a pull request to.", hint="Check the spelling."
        )
    return account


def _private(repo_id: str) -> bool | None:
    """Whether a model's repository is private; None where there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return bool(api().model_info(repo_id).private)
    except RepositoryNotFoundError:
        return None


def _check_account(account: hub.Account, destination: Destination) -> None:
    owner = destination.repo_id.partition("/")[0]
    if not account.may_write:
        raise HubError(
            f"The token of {account.name} may read only.", hint="Sign in with a token that may write."
        )
    if owner not in account.owners and not destination.pull_request:
        raise HubError(
            f"{account.name} may not write to {owner} on the Hub.",
            hint=f"Choose one of: {', '.join(account.owners)}; or make a pull request.",
        )
    granted = account.granted
    asks = destination.pull_request
    if granted is not None and not {owner, destination.repo_id} & set(granted) and not asks:
        may = f"It may write to: {', '.join(granted)}. " if granted else ""
        raise HubError(
            f"The fine-grained token of {account.name} may not write to {destination.repo_id}.",
            hint=f"{may}Add the right to write there in the token's settings, or give another token.",
        )


def _check_run(facts: RunFacts, destination: Destination) -> None:
    """Raises RunError or ModelError where the run has nothing to push, or not in this way."""
    run = facts.run
    check_config(facts.config, destination)
    if not (run.path / "model" / "model.safetensors").is_file():
        raise RunError(f"The run {run.id} has no model yet.", hint="Wait for its first epoch.")
    if destination.adapter and not (run.path / "model" / "adapter").is_dir():
        raise RunError(f"The run {run.id} has no adapter.", hint="Train it again, or push the whole model.")


def check_config(config: TrainConfig, destination: Destination) -> None:
    """Raises RunError where a run of these settings cannot be pushed in this way, whatever it comes to."""
    if not destination.adapter:
        return
    if not config.lora_rank:
        raise RunError(
            "An adapter alone is to be pushed, and a run without LoRA has no adapter.",
            hint="Train with a lora_rank above 0, or push the whole model.",
        )
    if not base_on_hub(config)[0]:
        raise RunError(
            "The base of the run is not on the Hub, and an adapter is nothing without it.",
            hint="Push the whole model.",
        )
    if config.model != "starter" and _is_adapter(config.model):
        raise RunError(
            f"The base of the run, {config.model.partition('@')[0]}, is an adapter itself, and no adapter "
            "can be loaded onto another.",
            hint="Push the whole model.",
        )


def _is_adapter(base: str) -> bool:
    """Whether a model of the Hub is an adapter; not known where the Hub does not answer."""
    with suppress(HubError):
        return hub.facts(base).is_adapter
    return False


def base_on_hub(config: TrainConfig) -> tuple[str, str]:
    """(id, commit) of a run's base on the Hub, "" twice where it is not there as it was trained from.

    Where the starter has the task's head, that and its adapter come with bertspace, and are not on the Hub.
    """
    if config.model == "starter":
        adapted = TASKS[config.task].head == models.STARTER_HEAD
        return ("", "") if adapted else (models.STARTER_HUB_ID, models.STARTER_REVISION)
    if config.model.startswith("run:") or os.path.isabs(config.model):
        return "", ""
    repo_id, _, revision = config.model.partition("@")
    return repo_id, revision


def push(
    run: Run,
    destination: Destination,
    *,
    card: str = "",
    tell: Tell = lambda words: None,
    stopped: Stopped = lambda: False,
) -> Published:
    """Send the run's model, record and card in one commit, pull it again and compare; what came of it.

    card: its text, "" for the one made from the run. tell: the step at work, in words. The same content makes
    no second commit. Raises BertspaceError: nothing of the run is lost by any.
    """
    facts = RunFacts(run)
    _check_run(facts, destination)
    card_of.check_front(card)
    tell("Looking at the account")
    check_access(destination)
    rows = card_of.shows_rows(facts) if destination.examples is None else destination.examples
    destination = replace(destination, examples=rows)
    with _copied(facts, destination.adapter, rows) as folder:
        tell("Writing the card")
        note = _write_card(facts, destination, folder, card)
        done = _sent(run, folder, destination, f"{run.name} by bertspace", tell, stopped)
        note = " ".join(filter(None, (note, done.message)))
        done = replace(done, message=note)
        _record(run, done)
        tell("Pulling it again to compare")
        checked = roundtrip.check(facts, destination.repo_id, done.commit, destination.adapter, stopped)
    done = replace(done, verified=checked.same, rows=checked.rows, difference=checked.difference)
    if checked.message:
        done = replace(done, message=" ".join(filter(None, (note, checked.message))))
    _record(run, done)
    return done


def push_epochs(run: Run, destination: Destination, *, tell: Tell, stopped: Stopped) -> None:
    """While the run is at work, send the model as each epoch leaves it: no card and no check yet.

    Returns at the run's end, or when it is stopped. A push that fails is reported; the next makes up for it.
    """
    offset = 0
    while not stopped() and (run.state().status not in ENDED or run.is_locked()):
        events, offset = run.events(offset)
        epochs = [event for event in events if event.kind == "epoch"]
        if not epochs or not (run.path / "model" / "model.safetensors").is_file():
            time.sleep(LOOK_SECONDS)
            continue
        title = f"Epoch {epochs[-1].epoch:g}"
        try:
            with _copied(RunFacts(run), destination.adapter) as folder:
                _sent(run, folder, replace(destination, message=""), title, tell, stopped)
        except Cancelled:
            return  # by the end of the wait: the last push makes up for it
        except (HubError, RunError, OSError) as error:
            tell(f"{title} was not pushed: {error}")


def follow(
    run: Run,
    destination: Destination,
    *,
    card: str = "",
    each_epoch: bool = False,
    tell: Tell = lambda words: None,
    stopped: Stopped = lambda: False,
) -> Published:
    """Wait for a run's end and push it then, each epoch too where asked; raises BertspaceError."""
    card_of.check_front(card)
    check_config(run.config(), destination)
    if each_epoch:
        push_epochs(run, destination, tell=tell, stopped=stopped)
    while (state := run.state()).status not in ENDED or run.is_locked():
        if stopped():
            raise Cancelled("Publishing was cancelled.", hint="The run goes on; publish it later.")
        time.sleep(LOOK_SECONDS)
    if state.status not in ("done", "stopped") or run.result() is None:
        raise RunError(
            f"The run {run.id} is {state.status}: it was not published.", hint="Resume it, then publish it."
        )
    return push(run, destination, card=card, tell=tell, stopped=stopped)


def note_wanted(run: Run, repo_id: str) -> None:
    """Keep in the run's folder where it is to be published, "" for nowhere (any more).

    Who waits for the run's end does so in memory, with a token that is written nowhere: after a restart this
    is what tells that it has to be asked for again.
    """
    if repo_id:
        write_atomically(run.path / WANTED, json.dumps({"repo_id": repo_id}))
    else:
        (run.path / WANTED).unlink(missing_ok=True)


def wanted(run: Run) -> str:
    """Where the run is to be published; "" for nowhere."""
    try:
        return str(json.loads((run.path / WANTED).read_text(encoding="utf-8"))["repo_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def published(run: Run) -> list[Published]:
    """The run's publications, the newest first; one for each repository and branch."""
    try:
        pushes = json.loads((run.path / RECORD).read_text(encoding="utf-8"))
        return [Published(**each | {"removed": tuple(each.get("removed", ()))}) for each in pushes]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def _record(run: Run, done: Published) -> None:
    others = [each for each in published(run) if (each.repo_id, each.commit) != (done.repo_id, done.commit)]
    write_atomically(run.path / RECORD, json.dumps([asdict(each) for each in (done, *others)], indent=1))


@contextmanager
def _copied(facts: RunFacts, adapter: bool, rows: bool = False) -> Iterator[Path]:
    """A folder of what goes up, as links: the run may replace its model meanwhile.

    Raises RunError where it does so at every try.
    """
    with facts.run.pushing() as place:
        folder = _copied_whole(facts.run, adapter, place)
        _copy_probe(facts, folder)
        _write_training(facts, folder / repeat.FOLDER, rows)
        yield folder


def _write_training(facts: RunFacts, folder: Path, rows: bool) -> None:
    """How the run went, and what it takes to train it again. rows: whether rows may be quoted."""
    folder.mkdir()
    paths = (facts.run.path / name for name in ("events.jsonl", "result.json"))
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths if path.is_file()}
    for name, text in (texts | repeat.texts(facts, rows=rows)).items():
        (folder / name).write_text(_without_path(text, facts.config.model), encoding="utf-8")


def _copied_whole(run: Run, adapter: bool, place: Path) -> Path:
    """A folder in `place` with links to one model's files, all of them."""
    for number in range(COPIES):
        time.sleep(COPY_SECONDS if number else 0)
        folder = place / str(number)
        folder.mkdir()
        with suppress(FileNotFoundError), _same_after(run.path / "model") as same:
            _link_model(run.path / "model", adapter, folder)
            if same():
                return folder
    raise RunError(f"The model of run {run.id} is replaced time and again.", hint="Push it again.")


@contextmanager
def _same_after(folder: Path) -> Iterator[Callable[[], bool]]:
    """Whether the path still leads to the folder that it led to: a new model takes its place by a rename."""
    held = os.open(folder, os.O_RDONLY)  # while it is open, no new folder can have its number
    try:
        yield lambda: os.path.samestat(os.fstat(held), os.stat(folder))
    finally:
        os.close(held)


def _link_model(model: Path, adapter: bool, folder: Path) -> None:
    for path in (model / "adapter" if adapter else model).iterdir():
        if path.is_file():
            _link(path, folder / path.name)
    if adapter:
        for path in model.iterdir():
            if path.is_file() and path.suffix != ".safetensors" and path.name != "config.json":
                _link(path, folder / path.name)


def _copy_probe(facts: RunFacts, folder: Path) -> None:
    """What the base knew, so that who pulls the model can compare; where they can get the base too."""
    path, base = facts.run.path / PROBE, facts.config.model
    if path.is_file() and (base == "starter" or base_on_hub(facts.config)[0]):
        Probe.load(path).save(folder / PROBE, base)


def _link(path: Path, place: Path) -> None:
    try:
        os.link(path.resolve(), place)
    except OSError:  # another file system
        shutil.copyfile(path, place)


def _without_path(text: str, model: str) -> str:
    """The text with a base model's folder on this machine named by its last part only."""
    base = model.removeprefix("run:")
    return text.replace(base, Path(base).name) if os.path.isabs(base) else text


def _write_card(facts: RunFacts, destination: Destination, folder: Path, given: str) -> str:
    """README.md and its pictures, as the Hub accepts them; what went wrong never keeps the weights back."""
    made = card_of.safe_write(
        facts,
        destination.repo_id,
        folder,
        license=destination.license or _license_on_hub(facts.config),
        language=destination.language,
        adapter=destination.adapter,
        texts=destination.examples,
        model_folder=folder,
        base_folder=_laid_out_base(facts.config) if destination.adapter else None,
    )
    notes = [f"Left out of the card: {problem}" for problem in made.problems]
    for text, instead in ((given, "the card that was made is used"), (made.text, "there is none")):
        if not text:
            continue
        (folder / "README.md").write_text(text, encoding="utf-8")
        if not (why := _refused(text)):
            return " ".join(notes)
        notes.append(f"The Hub refuses the card ({why}): {instead}.")
    (folder / "README.md").unlink()
    return " ".join(notes)


def _laid_out_base(config: TrainConfig) -> Path:
    base = models.locate(config.model)
    return laid_out(base.path, base.name)


def _license_on_hub(config: TrainConfig) -> str:
    """The licence that the base has on the Hub; "" where it says none or does not answer."""
    repo_id, revision = base_on_hub(config)
    if not repo_id or repo_id == models.STARTER_HUB_ID:
        return ""
    with suppress(HubError, ModelError):
        return hub.facts(f"{repo_id}@{revision}" if revision else repo_id).license
    return ""


def _refused(card: str) -> str:
    """Why the Hub does not accept the card; empty where it does, or does not say."""
    from huggingface_hub import ModelCard

    try:
        hub.call_hub(lambda: ModelCard(card).validate(), "the card")
    except HubUnreachable:
        return ""  # the commit will tell
    except HubError as error:
        return error.message
    return ""


def _sent(
    run: Run, folder: Path, destination: Destination, title: str, tell: Tell, stopped: Stopped
) -> Published:
    repo_id = destination.repo_id
    earlier = _earlier_pull_request(run, repo_id) if destination.pull_request else ""
    target = hub_commit.Target(
        repo_id,
        destination.private,
        destination.branch or earlier or "main",
        new_pull_request=destination.pull_request and not earlier,
    )
    existing = _Existing(folder, destination, frozenset(each.card for each in published(run)))
    done = hub_commit.commit(
        folder,
        target,
        destination.message or title,
        gone=existing.outdated,
        kept=NOTHING_LOST,
        tell=tell,
        stopped=stopped,
    )
    before = [each.pull_request for each in published(run) if each.repo_id == repo_id and earlier]
    asked = done.pull_request or next(iter(before), "")
    notes = [existing.note]
    if done.private and not destination.private:
        notes.append(f"{repo_id} is private on the Hub, and stays so: its settings there change that.")
    if done.removed and done.changed:
        notes.append(f"Taken away, of a model before: {', '.join(done.removed)}.")
    card = folder / CARD
    return Published(
        repo_id,
        done.commit,
        done.url,
        asked,
        done.private,
        destination.adapter,
        done.changed,
        time.time(),
        message=" ".join(filter(None, notes)),
        removed=done.removed,
        card=mark.digest(card.read_text(encoding="utf-8")) if card.is_file() else "",
    )


@dataclass
class _Existing:
    """What becomes of the files that the repository has: a README.md, and those of a model before.

    known: digests of the cards that the run's pushes sent. note: what became of the README.md, "" where that
    needs no words.
    """

    folder: Path
    destination: Destination
    known: frozenset[str]
    note: str = ""

    def outdated(self, there: There) -> set[str]:
        """The files to delete; the card is taken out of the folder where the one there stays."""
        replaced = self._replaces_card(there)
        if not replaced:
            for name in (CARD, CONFUSION, CURVE):
                (self.folder / name).unlink(missing_ok=True)
        ours = {f"{repeat.FOLDER}/{name}" for name in TRAINING}
        ours |= {CONFUSION, CURVE, *EARLIER_PICTURES} if replaced else set()
        return {name for name in there.files if is_model_file(name) or name in ours}

    def _replaces_card(self, there: There) -> bool:
        """Whether there is a card to send, and the one there, if any, is not a person's."""
        card = self.folder / CARD
        if not card.is_file():
            return False
        text = there.text(CARD)
        if text is not None and (not text.strip() or mark.is_made(text)):
            return True
        digest = mark.digest(text) if text is not None else ""
        if digest and digest in (self.known | {mark.digest(card.read_text(encoding="utf-8"))}):
            return True
        if text is not None and mark.is_of_earlier_version(text):
            self.note = "The card there, by an earlier version of bertspace, was replaced."
            return True
        if self.destination.replace_card:
            self.note = "The README.md there was replaced; its commits on the Hub keep the old one."
            return True
        self.note = (
            "README.md there was written or changed by hand, and stays as it is. To put the card in its "
            "place, push again and replace it (--replace-card)."
        )
        return False


def _earlier_pull_request(run: Run, repo_id: str) -> str:
    """The reference of the pull request that the run has made there before; "" for none."""
    earlier = [each for each in published(run) if each.repo_id == repo_id and each.pull_request]
    return f"refs/pr/{earlier[0].pull_request.rstrip('/').rpartition('/')[2]}" if earlier else ""
