"""State of the Responses API; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True, frozen=True)
class StoredResponse:
    """An answer of the Responses API as it is kept.

    input: the canonical items of its own turn. response: the whole object. previous_id: the response that it continues,
    "" for none. conversation_id: where `items` go when it is saved and not `running`, "" for none; each of them has an
    id. background: it runs without its caller. running: the process that makes it is still at it. events: the events
    that were streamed, "" when they were not kept. request_id: of the call that made it. expires: unix seconds.
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
    items: Sequence[Mapping[str, Any]] = ()
    background: bool = False
    running: bool = False
    events: bytes = b""


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
    """State of the Responses API. What belongs to another account is as good as unknown, and so is what has expired."""

    async def save(self, response: StoredResponse, *, most: int) -> None:
        """Write a new one, or the end of one that was `running`, and give its items to its conversation, in one step.

        A `running` one belongs to the lease of this process until its end is saved. When it was deleted meanwhile it
        stays deleted; when `fail_over` ended it, it stays failed. Raises Refusal(400) when it is larger than `most`
        bytes."""

    async def get(self, account_id: str, response_id: str) -> StoredResponse | None:
        """One response, with `previous_id` as long as that one is there; `conversation_id` and `items` are not kept."""

    async def delete(self, account_id: str, response_id: str) -> bool:
        """Gone at once; whatever continued it says so (`Chain.lost`). False when there was none."""

    async def chain(self, account_id: str, response_id: str, *, most: int) -> Chain | None:
        """A response and all that it continues, oldest first, also those that have expired meanwhile; None when it is
        unknown. Raises Refusal(400) when they are larger than `most` bytes."""

    async def find_items(self, account_id: str, item_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Those of these items that one of the account's recent responses holds, by id."""

    async def ask_to_cancel(self, account_id: str, response_id: str) -> None:
        """Leave word for the process that makes this response, whichever that is. Idempotent."""

    async def asked_to_cancel(self) -> list[str]:
        """The ids of this process's running responses for which somebody left word. Asked twice a second, so it is
        cheap when there are none."""

    async def fail_over(self, lease: str, error: Mapping[str, Any]) -> int:
        """Mark the running responses of a dead lease as failed with this `error`; returns how many. Idempotent, and
        safe from several processes at once."""

    async def prune(self, now: int) -> int:
        """Delete what expired, does not run, and is not continued by anything that has not expired; returns how
        many."""
