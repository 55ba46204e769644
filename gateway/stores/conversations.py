"""Conversations of the Responses API; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True, frozen=True)
class StoredConversation:
    """A conversation without its items. created, expires: unix seconds."""

    id: str
    account_id: str
    created: int
    expires: int
    metadata: Mapping[str, str]


class Conversations(Protocol):
    """Lists of items that grow with every turn. What belongs to another account is as good as unknown. Items keep the
    order in which they were added; an item whose id is there already takes the place of the earlier one."""

    async def create_conversation(
        self, account_id: str, metadata: Mapping[str, str], items: Sequence[Mapping[str, Any]], *, expires: int
    ) -> StoredConversation:
        """A new one, with its first items, in one step."""

    async def get_conversation(self, account_id: str, conversation_id: str) -> StoredConversation | None:
        """One conversation without its items."""

    async def update_conversation(
        self, account_id: str, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        """Replace the metadata; None when it is unknown."""

    async def delete_conversation(self, account_id: str, conversation_id: str) -> bool:
        """Its items go with it. False when there was none."""

    async def conversation_items(
        self, account_id: str, conversation_id: str, *, most: int
    ) -> Sequence[Mapping[str, Any]] | None:
        """All items, oldest first; None when it is unknown. Raises Refusal(400) when they are larger than `most`
        bytes."""

    async def add_items(
        self, account_id: str, conversation_id: str, items: Sequence[Mapping[str, Any]], *, most: int
    ) -> bool:
        """Append items, all or none; each has an `id`. False when it is unknown. Raises Refusal(400) when there would
        be more than `most`."""

    async def delete_item(self, account_id: str, conversation_id: str, item_id: str) -> bool:
        """Take one item out; False when it or the conversation is unknown."""

    async def prune_conversations(self, now: int) -> int:
        """Delete what expired, with its items; returns how many. A response that is saved into a conversation keeps it
        as long as itself."""
