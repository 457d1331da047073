"""The Hub's client: a model's files brought to disk, with time-outs. Knows nothing of models."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from bertspace.errors import HubError, HubUnreachable

ANSWER_SECONDS = (
    8  # the first answer comes in this time or not at all; the client's own retries take 23 to 900
)
MODEL_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
_NAME = r"\w(?:[\w.-]{0,94}\w)?"
_REPO_ID = re.compile(rf"(?:{_NAME}/)?{_NAME}", re.ASCII)


def snapshot(repo_id: str, revision: str | None = None) -> Path:
    """The folder that holds a model repository's configuration, tokenizer and safetensors; raises HubError.

    One question with a time-out finds out whether the Hub answers; where it does not, what was downloaded
    before serves. The libraries' own loaders wait for 23 s and more (for ever, where a peer hangs).
    """
    check_id(repo_id)
    if revision is not None and any(part in ("", ".", "..") for part in revision.split("/")):
        raise HubError(f"{repo_id} has no revision {revision!r}.", hint="Leave the part after @ away.")
    cached = _cached(repo_id, revision)
    try:
        commit = _commit(repo_id, revision)
    except HubUnreachable:  # not where the Hub says no: what another person's rights brought is not for all
        if cached is not None:
            return cached
        raise
    return cached if cached is not None and cached.name == commit else _download(repo_id, commit)


def check_id(repo_id: str) -> str:
    """The id, if it can be one; raises HubError."""
    if not _REPO_ID.fullmatch(repo_id) or re.search(r"\.\.|--|\.git$", repo_id) or len(repo_id) > 96:
        raise HubError(f"{repo_id!r} is no model name.", hint="Write owner/name as on the Hub, or: starter.")
    return repo_id


def _cached(repo_id: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(repo_id, revision=revision, allow_patterns=MODEL_FILES, local_files_only=True)
        )
    except LocalEntryNotFoundError:
        return None


def _commit(repo_id: str, revision: str | None) -> str:
    """The commit that the revision names now, asked in a thread: name look-ups know no time-out."""
    found: list[Any] = []
    thread = threading.Thread(target=_ask, args=(repo_id, revision, found), daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if not found:
        said = f"The Hub did not answer about {repo_id} in {ANSWER_SECONDS} seconds."
        raise HubUnreachable(said, hint=_OFFLINE)
    if isinstance(found[0], HubError):
        raise found[0]
    return str(found[0])


_OFFLINE = "Use the model named starter, which needs no network, or check the connection."


def _ask(repo_id: str, revision: str | None, found: list[Any]) -> None:
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        found.append(HfApi().model_info(repo_id, revision=revision, timeout=ANSWER_SECONDS - 1).sha)
    except GatedRepoError:
        found.append(
            HubError(f"{repo_id} asks for its terms to be accepted.", hint="Accept them on its page first.")
        )
    except RevisionNotFoundError:
        found.append(
            HubError(f"{repo_id} has no revision {revision!r}.", hint="Leave the part after @ away.")
        )
    except RepositoryNotFoundError:
        found.append(
            HubError(f"The Hub has no model {repo_id} (or it is private).", hint="Check the spelling.")
        )
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        found.append(
            HubUnreachable(
                f"The Hub cannot be reached for {repo_id} ({type(error).__name__}).", hint=_OFFLINE
            )
        )


def _download(repo_id: str, commit: str) -> Path:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                repo_id, revision=commit, allow_patterns=MODEL_FILES, etag_timeout=ANSWER_SECONDS
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx2.HTTPError, OSError) as error:
        raise HubError(
            f"The download of {repo_id} broke off ({type(error).__name__}).",
            hint="Try again: what has arrived is kept.",
        ) from error
