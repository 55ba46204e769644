"""The audit log: what administrators did; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True, frozen=True)
class AuditEntry:
    """One administrative act.

    seq: grows with every entry. at: unix seconds. actor: who, such as `admin` (the admin secret), `cli:NAME` (a
    person at the machine) or an account id. remote: the address it came from, "" for the machine itself.
    action: what was done, such as `key.revoke`. subject: the id of what it was done to. detail: a small JSON object;
    never a secret.
    """

    seq: int
    at: int
    actor: str
    remote: str
    action: str
    subject: str
    detail: Mapping[str, Any]


class Audit(Protocol):
    """Append-only: nothing changes or deletes an entry, not even `prune`. Entries are recorded once the act itself is
    durable and before its answer is given; an act whose answer never came may therefore be missing."""

    async def record(
        self, actor: str, action: str, subject: str, *, remote: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """Add an entry; durable when it returns. Not idempotent. Texts are cut at 200 characters, and a `detail` of
        more than 8,000 bytes of JSON is replaced by a note that it was too large."""

    async def entries(
        self, *, before: int = 0, limit: int = 100, actor: str = "", action: str = "", subject: str = ""
    ) -> list[AuditEntry]:
        """Newest first, of this actor, action and subject where they are given; `before` is the `seq` of the last entry
        of the page before. limit: 1 to 1000."""
