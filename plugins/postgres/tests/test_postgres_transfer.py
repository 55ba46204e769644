"""Into PostgreSQL and back: nothing stays behind."""

from __future__ import annotations

from decimal import Decimal

import asyncpg
import pytest
from tollgate_postgres.opened import open_stores
from tollgate_postgres.transfer import READ

from gateway.api import Usage
from gateway.api.stores import TABLES, HoldRequest, StoresSettings, UsageRow, counts_of
from gateway.testing.memory_stores import MemoryKind
from gateway.testing.stores_contract import Clock

OWN = {"facts", "generation", "leases", "lanes", "stored", "windows", "hits", "notices"}
OTHERWISE = {
    "responses": {"lease", "size", "item_ids", "kept"},
    "holds": {"lease"},
    "answers": {"lease", "kept"},
    "conversations": {"kept"},
    "conversation_items": {"kept", "account"},
    "objects": {"kept"},
}


@pytest.fixture
async def connection(database_url):
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def stores(database_url, tmp_path):
    clock = Clock()
    settings = StoresSettings(str(tmp_path), b"a secret of the tests, not a real one")
    async with await open_stores(database_url, settings, clock=clock.time, monotonic=clock.monotonic) as stores:
        stores.extra["clock"] = clock
        yield stores


async def test_no_table_and_no_column_stays_behind(connection):
    tables = "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace AND " \
        "c.relkind IN ('r', 'p') AND NOT c.relispartition"  # fmt: skip
    assert {row[0] for row in await connection.fetch(tables)} - OWN == set(TABLES) == set(READ)
    for table in TABLES:
        columns = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0"
        found = {row[0] for row in await connection.fetch(columns, table)}
        assert found - OTHERWISE.get(table, set()) <= set(TABLES[table]), table


async def test_rows_with_fewer_counts_are_filled_up(stores, connection):
    """Those of a call that crashed, and those that an older gateway has written."""
    account = await stores.accounts.create_account("ada", grant=100)
    hold = HoldRequest("r", account.id, "", "2026-11", None, Decimal(10), Decimal(0), 1, 1, "lab/model")
    await stores.ledger.hold(hold)
    stores.ledger.mark_dispatched("r")
    stores.ledger.note_usage("r", 5, Usage(3, 2))
    await stores.lanes.drain()
    assert await stores.ledger.fail_over(stores.presence.lease.id) == 1
    [kept] = await connection.fetchval("SELECT array_agg(cardinality(counts)) FROM usage")
    async with stores.snapshot() as snapshot:
        [[row]] = [batch async for batch in snapshot.rows("usage")]
    assert kept < len(counts_of(Usage()))
    assert row[TABLES["usage"].index("counts")] == tuple(counts_of(Usage(3, 2)))


async def test_old_months_get_partitions_of_their_own(stores, connection, tmp_path):
    memory = await MemoryKind().open("memory://x", StoresSettings("/nowhere", b"a secret of the tests"))
    account = await memory.accounts.create_account("ada", grant=10)
    for month in range(3):
        at = 1_700_000_000 + month * 31 * 86_400
        memory.usage.record(UsageRow(f"r{month}", account.id, "", "m", "", "/x", 200, Usage(), "void", at))
    async with memory.snapshot() as snapshot:
        await stores.take_over(snapshot, lambda table, count: None)
    found = {row[0] for row in await connection.fetch("SELECT DISTINCT tableoid::regclass::text FROM usage")}
    assert found == {"usage_202311", "usage_202312", "usage_202401"}
