"""A whole store in memory, for tests and as an example: `memory://NAME`. A plugin offers it in three lines:

    KIND = MemoryKind()

    @hookimpl
    def register_stores(register):
        register(KIND)

Everything is kept in a `World`, one per URL, as long as the `MemoryKind` lives. Nothing awaits in the middle of a
method, so each one is an atomic step; what another store needs transactions for comes for free here. It promises all
that `gateway.stores` asks for, but that anything survives the end of the Python process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from gateway.api import GatewayFault
from gateway.api.stores import Discrepancy, MigrationPlan, Snapshot, Stores, StoresSettings
from gateway.testing.memory_stores.identity import MemoryAccounts, MemoryAudit, MemoryKeys, MemorySessions
from gateway.testing.memory_stores.logins import MemoryLogins
from gateway.testing.memory_stores.money import MemoryLedger
from gateway.testing.memory_stores.objects import MemoryObjects
from gateway.testing.memory_stores.orders import MemoryTopUps
from gateway.testing.memory_stores.state import MemoryConversations, MemoryIdempotency, MemoryResponses
from gateway.testing.memory_stores.transfer import fill, open_snapshot
from gateway.testing.memory_stores.usage import MemoryUsage
from gateway.testing.memory_stores.world import MemoryPresence, World

__all__ = ["MemoryKind", "MemoryStores", "World"]


@dataclass(slots=True)
class MemoryStores(Stores):
    """`gateway.stores.Stores` on a `World`."""

    world: World = field(kw_only=True)

    async def ping(self) -> None:
        """It is always there."""

    def describe(self) -> Mapping[str, str]:
        """How many worlds there are is nobody's business."""
        return {"kind": "memory", "place": "this process", "version": "1"}

    async def open_holds(self) -> tuple[int, int]:
        """Those of the world."""
        held = [one.amount for one in self.world.holds.values() if one.state == "open"]
        return len(held), sum(held)

    async def check(self, *, full: bool = True) -> list[Discrepancy]:
        """Balances and what is held, against entries and open holds."""
        found = []
        for account in self.world.accounts.values():
            own = [entry for entry in self.world.entries if entry.account_id == account.id]
            held = sum(one.amount for one in self.world.holds.values()
                       if one.state == "open" and one.request.account_id == account.id)  # fmt: skip
            for what, expected, is_ in (
                ("balance", sum(entry.amount for entry in own), account.balance),
                ("reserved", sum(entry.reserved for entry in own), account.held),
                ("held", held, account.held),
            ):
                if expected != is_:
                    found.append(Discrepancy(f"account {account.id}: {what}", expected, is_))
        return found

    async def prune(self, now: int, *, usage_before: int) -> Mapping[str, int]:
        """One kind after the other."""
        gone = {
            "answers": await self.idempotency.prune(now),
            "sessions": await self.sessions.prune(now),
            "links": await self.logins.prune_links(now),
            "conversations": await self.conversations.prune_conversations(now),
            "responses": await self.responses.prune(now),
            "usage rows": await self.usage.prune(usage_before),
        }
        return {kind: count for kind, count in gone.items() if count}

    async def backup(self, target: str) -> int:
        """There is nothing to keep."""
        raise GatewayFault("a database in memory cannot be backed up")

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Made at once."""
        return open_snapshot(self.world)

    async def take_over(self, snapshot: Snapshot, told: Callable[[str, int], None]) -> None:
        """Read first, then written without waiting."""
        await fill(self.world, snapshot, told)

    async def close(self) -> None:
        """Leave the world, which stays."""
        await self.presence.leave()


class MemoryKind:
    """`gateway.stores.StoresKind`."""

    def __init__(self) -> None:
        self.worlds: dict[str, World] = {}

    @property
    def schemes(self) -> tuple[str, ...]:
        """`memory`"""
        return ("memory",)

    def check(self, url: str) -> str:
        """Any name will do."""
        return ""

    async def open(self, url: str, settings: StoresSettings) -> Stores:
        """Join the world of this URL, which begins with its first process."""
        world = self.worlds.setdefault(url, World())
        presence = MemoryPresence(world)
        await presence.join()
        parts = (world, settings, presence)
        return MemoryStores(
            accounts=MemoryAccounts(*parts),
            keys=MemoryKeys(*parts),
            sessions=MemorySessions(*parts),
            logins=MemoryLogins(*parts),
            ledger=MemoryLedger(*parts),
            usage=MemoryUsage(*parts),
            counters=world.windows,
            topups=MemoryTopUps(*parts),
            responses=MemoryResponses(*parts),
            conversations=MemoryConversations(*parts),
            idempotency=MemoryIdempotency(*parts),
            audit=MemoryAudit(*parts),
            objects=MemoryObjects(*parts),
            presence=presence,
            world=world,
        )

    async def plan(self, url: str, settings: StoresSettings) -> MigrationPlan:
        """There is one shape only."""
        world = self.worlds.get(url)
        return MigrationPlan(0 if world is None else 1, 1, (), sum(world.leases.values()) if world else 0)

    async def migrate(self, url: str, settings: StoresSettings) -> MigrationPlan:
        """Nothing is to be done."""
        return await self.plan(url, settings)

    async def restore(self, url: str, data: str, source: str, *, replace: bool, secret: bytes | None = None) -> str:
        """There are no backups of it."""
        raise GatewayFault("a database in memory cannot be restored")
