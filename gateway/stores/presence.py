"""Which processes live, and what becomes of what the dead left behind; see `gateway.stores`.

What a process is in the middle of (holds, running responses, running keyed requests) names the lease under which it
does it. When a lease is dead, whoever notices resolves what it named, each thing once, and buries it. A process whose
lease was buried although it lives (it hung, or was cut off) is fenced: nothing that names the old lease can be begun
any more, and what it still ends was ended already, or is charged late without its hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, frozen=True)
class Lease:
    """The right of one process to begin things in its own name.

    id: never used again for another lease. lifetime: seconds it lasts without `renew`; None when it lasts as long as
    the process, because the store learns of a process's end from the kernel, and not from a clock.
    """

    id: str
    lifetime: float | None = None


class Presence(Protocol):
    """Leases. An opened store has joined already.

    A store on one machine may know exactly who lives (a lock that the kernel drops). A store on a network cannot: its
    leases expire, by the store's own clock and never by the hosts', and it must check in the same transaction that
    begins something that the lease named there is still the holder's.
    """

    @property
    def lease(self) -> Lease:
        """The lease of this process."""

    async def join(self) -> Lease:
        """Take a new lease, in place of the one before: for a process that finds its own buried. What it began under
        the old one stays with the old one."""

    async def renew(self) -> bool:
        """Prolong the lease; False when it was buried. Called at least three times in a lifetime."""

    async def leave(self) -> None:
        """This process begins nothing more. What is still open under its lease is at once the others' to resolve.
        Idempotent; closing the store does it too."""

    async def dead(self) -> list[str]:
        """The ids of the leases that are over, or are named by something open though nobody holds them. Safe to call at
        any time: a lease that is listed can never come to life again, and its holder's `renew` says False."""

    async def bury(self, lease: str) -> None:
        """Forget a dead lease whose things are all resolved. Idempotent. Burying one that lives is a mistake that the
        store survives: its holder is fenced."""
