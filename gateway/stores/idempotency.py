"""What is remembered of requests with an `Idempotency-Key`, as a protocol; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

ClaimState = Literal["ours", "running", "answered", "too_large", "conflict"]


@dataclass(slots=True, frozen=True)
class Claim:
    """What stands under a key. request_id: of the attempt that counts. state:

    ours: nothing, or what had broken off: the claimant runs it now. running: in another process. answered: see
    `Idempotency.get`. too_large: answered and charged, but not kept. conflict: taken by a request with another body.
    """

    state: ClaimState
    request_id: str


@dataclass(slots=True, frozen=True)
class KeptAnswer:
    """An HTTP answer: status, headers with lower-case names, and the whole body."""

    request_id: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Idempotency(Protocol):
    """One row per name. name: a digest of account, route and key. body: a digest of the request's body.
    expires: unix seconds. A row that runs belongs to the lease of its process."""

    async def claim(self, name: bytes, body: bytes, request_id: str, account_id: str, expires: int) -> Claim:
        """Take the name, or learn who has it; atomic over all processes: of many that ask at once, one gets it.

        A name that this process has is taken again: the claimant knows that it does not run it (any more). A name whose
        lease was buried, or that was broken off, is taken over; what the earlier attempt was charged is refunded in
        the same step, so that the request costs once in total."""

    async def is_running(self, name: bytes) -> bool:
        """Whether a process has the name whose lease was not buried."""

    async def get(self, name: bytes) -> KeptAnswer | None:
        """The answer under a name, None when there is none (any more)."""

    async def finish(
        self, name: bytes, request_id: str, *, status: int, headers: Mapping[str, str], body: bytes, expires: int
    ) -> None:
        """Keep the answer of the attempt `request_id`; nothing happens when the name has another attempt by now.
        status 0: it was too large to be kept."""

    async def drop(self, name: bytes, request_id: str) -> None:
        """The attempt failed before there was an answer, and cost nothing: the name is free. Idempotent; an answer
        that was kept stays."""

    async def break_off(self, name: bytes, request_id: str) -> None:
        """The attempt failed in the middle through our fault: the same request may run again, and is billed once.
        Idempotent; an answer that was kept stays."""

    async def prune(self, now: int) -> int:
        """Delete what expired and does not run; returns how many."""
