"""What accounts keep at providers: files and batches; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

ObjectKind = Literal["file", "batch"]


@dataclass(slots=True, frozen=True)
class KeptObject:
    """Something that a provider keeps in the operator's one account there, and whose it is.

    id: the provider's. provider: the name of its section. size: bytes there, 0 where there are none. details: a small
    JSON object of whoever made it. is_open: something is still to be done about it (a batch without its bill). seq:
    grows with every new one; 0 before it is kept.
    """

    id: str
    account_id: str
    provider: str
    kind: ObjectKind
    size: int
    created: int
    details: Mapping[str, Any] = field(default_factory=dict)
    is_open: bool = False
    seq: int = 0


class Objects(Protocol):
    """Which account made what at which provider. What belongs to another account is as good as unknown. Their sizes
    count among what is kept for the account (`Stores.stored`)."""

    async def add_object(self, kept: KeptObject) -> None:
        """Remember it. Idempotent for the account that has it; raises Refusal(409) when it is another's, Refusal(404)
        for an unknown account."""

    async def find_object(self, account_id: str, kind: ObjectKind, object_id: str) -> KeptObject | None:
        """One of the account's, at whichever provider."""

    async def owns_object(self, account_id: str, provider: str, kind: ObjectKind, object_id: str) -> bool:
        """Whether the account made this there. Asked for every request that names such an id."""

    async def list_objects(
        self, account_id: str, kind: ObjectKind | None = None, *, before: int = 0, limit: int = 100
    ) -> list[KeptObject]:
        """Newest first; `before` is the `seq` of the last one of the page before. limit: 1 to 1000."""

    async def open_objects(self, *, after: int = 0, limit: int = 100) -> list[KeptObject]:
        """Those of all accounts that are open, oldest first, from the one after `seq` on. limit: 1 to 1000."""

    async def change_object(self, kept: KeptObject) -> bool:
        """New `size`, `details` and `is_open`; False when it is gone. Durable when it returns."""

    async def remove_object(self, account_id: str, provider: str, object_id: str) -> bool:
        """Forget it; False when the account has none such."""
