"""The account behind a token, and where it may write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertspace.hub.client import api, call_hub

WRITERS = ("admin", "write", "contributor")  # roles in an organisation


@dataclass(frozen=True)
class Account:
    """Whose token it is. organisations: those that it may write to.

    granted: the accounts, organisations and repositories that a fine-grained token may write to; None for a
    token of another kind, which may whatever its account may.
    """

    id: str
    name: str
    organisations: tuple[str, ...]
    may_write: bool
    granted: tuple[str, ...] | None = None

    @property
    def owners(self) -> tuple[str, ...]:
        """The names under which the account may own repositories, its own first."""
        return self.name, *self.organisations


def whoami() -> Account:
    """The account of the token at hand; raises HubError where there is none, or the Hub does not know it."""
    found = call_hub(lambda: api().whoami(), "your account")
    token = (found.get("auth") or {}).get("accessToken") or {}
    organisations = tuple(
        str(each["name"])
        for each in found.get("orgs") or ()
        if each.get("name") and each.get("roleInOrg", "write") in WRITERS
    )
    return Account(
        str(found.get("id") or found["name"]),
        str(found["name"]),
        organisations,
        token.get("role") != "read",
        _granted(token),
    )


def _granted(token: dict[str, Any]) -> tuple[str, ...] | None:
    """The names that a fine-grained token may write to; None for a token of another kind."""
    grants = token.get("fineGrained")
    if token.get("role") != "fineGrained" or not isinstance(grants, dict):
        return None
    return tuple(
        str((each.get("entity") or {}).get("name") or "")
        for each in grants.get("scoped") or ()
        if "repo.write" in (each.get("permissions") or ())
    )
