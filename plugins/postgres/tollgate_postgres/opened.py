"""All stores of one process on one database: opened, planned, migrated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.api import GatewayFault
from gateway.api.stores import Discrepancy, MigrationPlan, Snapshot, Stored, Stores, StoresSettings
from tollgate_postgres.check import check
from tollgate_postgres.counters import PostgresCounters
from tollgate_postgres.engine import REPORT_WITHIN, Database, away, is_away
from tollgate_postgres.idempotency import PostgresIdempotency
from tollgate_postgres.identity import PostgresAccounts, PostgresAudit, PostgresSessions
from tollgate_postgres.keys import PostgresKeys
from tollgate_postgres.kind import USE_ITS_TOOLS
from tollgate_postgres.lanes import Lanes
from tollgate_postgres.ledger import PostgresLedger
from tollgate_postgres.logins import PostgresLogins
from tollgate_postgres.notices import PostgresNotices
from tollgate_postgres.objects import PostgresObjects
from tollgate_postgres.presence import LIFETIME, PostgresPresence
from tollgate_postgres.responses import PostgresConversations, PostgresResponses
from tollgate_postgres.schema import VERSION, contract, migrate, plan, read_scripts
from tollgate_postgres.topups import PostgresTopUps
from tollgate_postgres.transfer import PostgresSnapshot, fill, open_snapshot
from tollgate_postgres.usage import PostgresUsage

if TYPE_CHECKING:
    import asyncpg

_LEAVE_WITHIN = 5.0


@dataclass(slots=True)
class PostgresStores(Stores):
    """`gateway.stores.Stores` on PostgreSQL. windows: its own counters; `counters` may be another's."""

    database: Database = field(kw_only=True)
    lanes: Lanes = field(kw_only=True)
    windows: PostgresCounters = field(kw_only=True)
    data: str = field(kw_only=True)
    closed: bool = field(default=False, kw_only=True)

    async def ping(self) -> None:
        """One round trip."""
        await self.database.value("SELECT 1")

    def backlog(self) -> int:
        """What waits in the lanes."""
        return self.lanes.length

    async def open_holds(self) -> tuple[int, int]:
        """Counted over the open ones, which are few."""
        row = await self.database.row(
            "SELECT count(*), coalesce(sum(amount), 0)::bigint FROM holds WHERE state = 0", within=REPORT_WITHIN
        )
        assert row is not None
        return int(row[0]), int(row[1])

    async def stored(self, account_id: str) -> Stored:
        """One row, which triggers keep."""
        row = await self.database.row(
            "SELECT s.bytes, s.objects FROM stored AS s JOIN accounts AS a ON a.n = s.account WHERE a.id = $1",
            account_id,
        )
        return Stored(0, 0) if row is None else Stored(row[0], row[1])

    def describe(self) -> Mapping[str, str]:
        """Host and database, without user and password."""
        parts = urlsplit(self.database.url)
        return {"kind": "postgres", "place": f"{parts.hostname or 'local'}{parts.path}", "version": str(VERSION)}

    async def check(self, *, full: bool = True) -> list[Discrepancy]:
        """In one snapshot."""
        await self.lanes.drain()
        return await self.database.run(check, within=None)

    async def prune(self, now: int, *, usage_before: int) -> Mapping[str, int]:
        """One kind after the other."""
        assert isinstance(self.usage, PostgresUsage)
        await self.usage.make_partitions()
        await self.windows.prune()
        assert isinstance(self.notices, PostgresNotices)
        await self.notices.prune()
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
        """PostgreSQL's own tools do it better."""
        raise GatewayFault(f"a PostgreSQL database is not backed up to a file by the gateway; {USE_ITS_TOOLS}")

    def snapshot(self) -> AbstractAsyncContextManager[PostgresSnapshot]:
        """A connection of its own; what waits in the lanes is not in it."""
        return open_snapshot(self.database.url)

    async def take_over(self, snapshot: Snapshot, told: Callable[[str, int], None]) -> None:
        """In one transaction, on a connection of its own."""
        await fill(self.database.url, snapshot, told)

    async def close(self) -> None:
        """What cannot be written within some seconds stays in the journal."""
        if self.closed:
            return
        self.closed = True
        assert isinstance(self.keys, PostgresKeys)
        try:
            async with asyncio.timeout(_LEAVE_WITHIN):
                await self.keys.settle_down()
                await self.lanes.drain()
                await self.presence.leave()
        except (TimeoutError, GatewayFault):
            pass  # The lease expires by itself.
        await self.windows.close()
        await self.lanes.stop()
        await self.database.close()


async def plan_stores(url: str, settings: StoresSettings) -> MigrationPlan:
    """What stands between the database and its newest shape. Raises GatewayFault."""
    scripts = await asyncio.to_thread(read_scripts)
    return await _ask(url, settings, lambda connection: plan(connection, scripts))


async def migrate_stores(url: str, settings: StoresSettings) -> MigrationPlan:
    """Expand the database as by opening it; then contract it. Returns what there was to do. Raises GatewayFault."""
    scripts = await asyncio.to_thread(read_scripts)

    async def work(connection: asyncpg.Connection[asyncpg.Record]) -> MigrationPlan:
        found = await plan(connection, scripts)
        if found.blocked:
            raise GatewayFault(found.blocked)
        await migrate(connection, settings.secret, scripts)
        await contract(connection, scripts)
        return found

    return await _ask(url, settings, work)


async def _ask(
    url: str, settings: StoresSettings, work: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[MigrationPlan]]
) -> MigrationPlan:
    """Run `work` on a connection to a database that nobody has to have opened."""
    database = Database(url, clock=settings.clock)
    await database.start()
    try:
        return await database.run(work, within=None)
    finally:
        await database.close()


async def open_stores(
    url: str,
    settings: StoresSettings,
    *,
    clock: Callable[[], float] | None = None,
    monotonic: Callable[[], float] | None = None,
    lifetime: float = LIFETIME,
) -> PostgresStores:
    """Open the stores of one process. clock, monotonic: a test's; the database's are used without them. lifetime: of
    the lease, seconds."""
    database = Database(url, clock=clock or settings.clock)
    await database.start()
    scripts = await asyncio.to_thread(read_scripts)
    try:
        await database.run(lambda connection: migrate(connection, settings.secret, scripts), within=None)
        presence = PostgresPresence(database, lifetime=lifetime)
        await presence.join()
    except BaseException as error:  # cancellation too: nothing stays open, and it is raised again
        await database.close()
        if is_away(error):
            raise away(error) from error
        raise
    lanes = Lanes(database, lambda: presence.lease.id, settings.data)
    usage = PostgresUsage(database, lanes)
    keys = PostgresKeys(database, settings, monotonic or time.monotonic)
    windows = PostgresCounters(database, monotonic)
    stores = PostgresStores(
        accounts=PostgresAccounts(database, lanes, keys.forget),
        keys=keys,
        sessions=PostgresSessions(database, settings.secret),
        logins=PostgresLogins(database, settings.secret),
        ledger=PostgresLedger(database, lanes, presence, settings.secret),
        usage=usage,
        counters=windows,
        windows=windows,
        topups=PostgresTopUps(database),
        responses=PostgresResponses(database, presence),
        conversations=PostgresConversations(database),
        idempotency=PostgresIdempotency(database, presence),
        audit=PostgresAudit(database),
        objects=PostgresObjects(database),
        presence=presence,
        notices=PostgresNotices(database, presence),
        database=database,
        lanes=lanes,
        data=settings.data,
    )
    await usage.make_partitions()
    await lanes.settle_inheritance()
    return stores
