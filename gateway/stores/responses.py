"""State of the Responses API; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True, frozen=True)
class StoredResponse:
    """An answer of the Responses API as it is kept.

    input: the canonical items of its own turn. response: the whole object. previous_id: the response that it
    continues, "" for none. conversation_id: where its items go when it is saved, "" for none. background: it runs
    without its caller. running: the process that makes it is still at it. events: the events that were streamed, ""
    when they were not kept. request_id: of the call that made it. expires: unix seconds.
    """

    id: str
    account_id: str
    status: str
    created: int
    expires: int
    request_id: str
    input: Sequence[Mapping[str, Any]]
    response: Mapping[str, Any]
    previous_id: str = ""
    conversation_id: str = ""
    background: bool = False
    running: bool = False
    events: bytes = b""


@dataclass(slots=True, frozen=True)
class StoredConversation:
    """A conversation without its items. created, expires: unix seconds."""

    id: str
    account_id: str
    created: int
    expires: int
    metadata: Mapping[str, str]


@dataclass(slots=True, frozen=True)
class Turn:
    """One response of a chain: its canonical input items and what it answered."""

    id: str
    status: str
    input: Sequence[Mapping[str, Any]]
    output: Sequence[Mapping[str, Any]]


@dataclass(slots=True, frozen=True)
class Chain:
    """A response and all that it continues, oldest first. lost: an earlier one of them is not there any more."""

    turns: Sequence[Turn]
    lost: bool = False


class Responses(Protocol):
    """State of the Responses API. What belongs to another account is as good as unknown."""

    async def save(self, response: StoredResponse, *, most: int) -> None:
        """Write a new one, or the end of one that was `running`: that belongs to this process until then, and when it
        was deleted meanwhile it stays deleted. The items go to the conversation unless it is `running`.
        Raises Refusal(400) when it is larger than `most` bytes."""

    async def get(self, account_id: str, response_id: str) -> StoredResponse | None: ...

    async def delete(self, account_id: str, response_id: str) -> bool: ...

    async def chain(self, account_id: str, response_id: str, *, most: int) -> Chain | None:
        """A response and all that it continues; None when it is unknown.
        Raises Refusal(400) when they are larger than `most` bytes."""

    async def find_items(self, account_id: str, item_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Those of these items that one of the account's recent responses holds, by id."""

    async def ask_to_cancel(self, account_id: str, response_id: str) -> None:
        """Leave word for the process that makes this response."""

    async def asked_to_cancel(self) -> list[str]:
        """The ids of this process's running responses for which somebody left word."""

    async def fail_over(self, error: Mapping[str, Any]) -> int:
        """Mark the running responses of dead processes as failed with this `error`; returns how many."""

    async def prune(self, now: int) -> int:
        """Delete what expired and is not continued by anything that has not; returns how many."""

    async def create_conversation(
        self, account_id: str, metadata: Mapping[str, str], items: Sequence[Mapping[str, Any]], *, expires: int
    ) -> StoredConversation: ...

    async def get_conversation(self, account_id: str, conversation_id: str) -> StoredConversation | None: ...

    async def update_conversation(
        self, account_id: str, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None: ...

    async def delete_conversation(self, account_id: str, conversation_id: str) -> bool:
        """Its items go with it."""

    async def conversation_items(
        self, account_id: str, conversation_id: str, *, most: int
    ) -> Sequence[Mapping[str, Any]] | None:
        """All items, oldest first; None when it is unknown. Raises Refusal(400) when they are larger than `most`
        bytes."""

    async def add_items(
        self, account_id: str, conversation_id: str, items: Sequence[Mapping[str, Any]], *, most: int
    ) -> bool:
        """Append items; each has an `id`. Raises Refusal(400) when there would be more than `most`."""

    async def delete_item(self, account_id: str, conversation_id: str, item_id: str) -> bool: ...
