"""The cost of a request does not grow: what it reads is the same however many accounts, keys and requests there are."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import asyncpg
from tollgate_postgres.opened import open_stores

from gateway.api import Usage
from gateway.api.stores import HoldRequest, KeySettings, StoredResponse, StoresSettings, UsageRow

SECRET = b"a secret of the tests, not a real one"
MANY = 3000
# Other accounts with a key each, and as many requests of the one account that asks.
FILL = """
    INSERT INTO accounts (id, name, role, balance, created)
        SELECT 'acct_' || i, 'other ' || i, 'user', 1000, 1700000000 FROM generate_series(1, $many) AS i;
    INSERT INTO keys (id, account, name, label, created)
        SELECT 'key_' || n, n, '', '', 1700000000 FROM accounts WHERE name LIKE 'other %';
    INSERT INTO secrets (digest, key) SELECT decode(md5(n::text), 'hex'), n FROM keys WHERE label = '';
    INSERT INTO months (key, period, used) SELECT n, 202611, 0 FROM keys WHERE label = '';
    INSERT INTO holds (request_id, account, key, period, created, model, amount, units, state, charged, logged)
        SELECT 'old ' || i, $account, $key, 202611, 1700000000, 'lab/model', 0, 0, 1, 1, true
        FROM generate_series(1, $many) AS i;
    INSERT INTO entries (account, kind, amount, reserved, unpaid, balance, created, hold, idem)
        SELECT $account, 5, 0, 0, 0, 0, 1700000000, n, 'fill ' || n FROM holds;
    INSERT INTO rollups (account, day, key, model, credits, requests, tokens)
        SELECT $account, i, $key, 'lab/model', 0, 1, 1 FROM generate_series(1, $many) AS i;
    INSERT INTO tag_sums (account, day, name, value, key, credits, requests, tokens)
        SELECT $account, i, 'team', 'a', $key, 0, 1, 1 FROM generate_series(1, $many) AS i;
    INSERT INTO usage (account, key, hold, request_id, model, target, route, status, basis, created, counts, total_ms,
            error)
        SELECT $account, $key, n, request_id, model, model, '/x', 200, 1, 1700000000, '{1,1}', 1, '' FROM holds;
    INSERT INTO responses (id, account, status, created, expires, background, request_id, size, input, response, output,
            item_ids)
        SELECT 'resp_' || i, $account, 'completed', 0, 1099511627776, false, '', 1, '[]', '{}', '[]', '{}'
        FROM generate_series(1, $many) AS i;
    INSERT INTO answers (name, account, body, request_id, expires)
        SELECT decode(md5(i::text), 'hex'), $account, '', '', 1099511627776 FROM generate_series(1, $many) AS i;
    ANALYZE;
"""
READ = """
    SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables
    WHERE schemaname = current_schema()
"""


OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


async def ask(url, sql, *values):
    """On a connection of its own, once everybody else's has ended: what a process of the server has counted is told
    when it ends."""
    connection = await asyncpg.connect(url)
    try:
        while await connection.fetchval(OTHERS):
            await asyncio.sleep(0.02)
        return await (connection.fetch(sql, *values) if values or sql == READ else connection.execute(sql))
    finally:
        await connection.close()


async def test_what_a_request_reads_is_the_same_beside_much_history(database_url, tmp_path):
    """By what the database counts: rows that its scans read and fetched, those of statements in functions too."""
    settings = StoresSettings(str(tmp_path), SECRET)
    async with await open_stores(database_url, settings) as stores:
        account = await stores.accounts.create_account("ada", grant=100_000)
        key, plain = await stores.keys.create_key(account.id, KeySettings(name="first"))
    [(owner, number)] = await ask(database_url, "SELECT account, n FROM keys WHERE id = $1", key.id)
    fill = FILL.replace("$many", str(MANY)).replace("$account", str(owner)).replace("$key", str(number))
    await ask(database_url, fill)
    await ask(database_url, "SELECT pg_stat_reset()")
    async with await open_stores(database_url, settings) as stores:
        assert (await stores.keys.authenticate(plain, "")).account_id == account.id
        for at in range(3):
            await live_through(stores, account, key, f"r{at}")
        await asyncio.gather(*(live_beside_others(stores, account, key, f"b{at}") for at in range(8)))
        await stores.lanes.drain()
    read = {row[0]: row[1] for row in await ask(database_url, READ)}
    assert read["holds"] > 0, "it counts"
    assert {table: rows for table, rows in read.items() if rows > MANY / 10} == {}


async def live_through(stores, account, key, name):
    """Everything that a request asks the stores."""
    await stores.counters.hit([(f"key:{key.id}", 100)], 60.0)
    hold = HoldRequest(name, account.id, key.id, "2026-11", 50_000, Decimal(10), Decimal(2), 20, 1, "lab/model")
    await stores.ledger.hold(hold)
    stores.ledger.mark_dispatched(name)
    assert await stores.ledger.grow(name, 10) == 10
    stores.ledger.note_usage(name, 15, Usage(5, 5))
    stores.usage.record(
        UsageRow(name, account.id, key.id, "lab/model", "lab/model", "/x", 200, Usage(5, 5), "provider",
                 stores.database.now(), tags=(("team", "a"),))
    )  # fmt: skip
    assert await stores.ledger.settle(name, 30, "provider", Usage(5, 5), "lab/model") == 30
    await stores.ledger.hold(HoldRequest(f"{name} void", *hold_rest(hold)))
    await stores.ledger.void(f"{name} void")
    await stores.stored(account.id)
    assert await stores.responses.get(account.id, "resp_7") is not None
    answered = StoredResponse(f"resp_{name}", account.id, "completed", 0, 2**40, name, [], {"output": []}, "resp_7")
    await stores.responses.save(answered, most=2**40)
    assert await stores.responses.chain(account.id, answered.id, most=10) is not None
    keyed = name.encode().rjust(32)
    assert (await stores.idempotency.claim(keyed, b"", name, account.id, 2**40)).state == "ours"
    await stores.idempotency.finish(keyed, name, status=200, headers={}, body=b"{}", expires=2**40)
    assert await stores.idempotency.get(keyed) is not None
    await stores.responses.asked_to_cancel()
    await stores.presence.renew()
    await stores.notices.heard()
    await stores.open_holds()
    assert await stores.usage.find(name) is not None


async def live_beside_others(stores, account, key, name):
    """What most requests ask, and the database answers for several of them in one statement."""
    await stores.counters.hit([(f"key:{key.id}", 100)], 60.0)
    await stores.ledger.hold(
        HoldRequest(name, account.id, key.id, "2026-11", None, Decimal(10), Decimal(2), 20, 1, "m")
    )
    stores.ledger.mark_dispatched(name)
    stores.usage.record(
        UsageRow(name, account.id, key.id, "m", "m", "/x", 200, Usage(5, 5), "provider", stores.database.now())
    )
    assert await stores.ledger.settle(name, 30, "provider", Usage(5, 5), "m") == 30


def hold_rest(hold):
    return (hold.account_id, hold.key_id, hold.period, hold.monthly_limit, hold.base, hold.unit_price, hold.units,
            hold.least_units, hold.model)  # fmt: skip


MONTHS = """
    SELECT gw_make_partition('202310', 1696118400, 1698796800);
    SELECT gw_make_partition('202311', 1698796800, 1701388800);
    INSERT INTO usage (account, key, request_id, model, target, route, status, basis, created, counts, total_ms, error)
        SELECT 1, 0, 'old', '', '', '', 200, 1, 1696118400 + i, '{1,1}', 1, '' FROM generate_series(1, 5000) AS i;
    INSERT INTO usage (account, key, request_id, model, target, route, status, basis, created, counts, total_ms, error)
        SELECT 1, 0, 'new', '', '', '', 200, 1, 1698796800 + i, '{1,1}', 1, '' FROM generate_series(1, 9000) AS i;
    ANALYZE
"""
MONTH = 1_698_796_800
"""Begin of November 2023."""


async def test_retention_drops_months_and_reads_only_what_it_deletes_of_the_last_one(database_url, tmp_path):
    settings = StoresSettings(str(tmp_path), SECRET)
    await ask(database_url, MONTHS)
    await ask(database_url, "SELECT pg_stat_reset()")
    async with await open_stores(database_url, settings) as stores:
        assert await stores.usage.prune(MONTH + 100) == 5000 + 99
        assert await stores.usage.prune(MONTH + 100) == 0
    read = {row[0]: row[1] for row in await ask(database_url, READ)}
    assert "usage_202310" not in read
    assert read["usage_202311"] < 9000, "neither does what stays have to be looked through"
    # While somebody reads, nobody waits behind a month that is to go: it goes the next time.
    async with await open_stores(database_url, settings) as stores:
        reader = await asyncpg.connect(database_url)
        async with reader.transaction():
            await reader.fetchval("SELECT count(*) FROM usage")
            assert await stores.usage.prune(MONTH + 40 * 86_400) == 0
        await reader.close()
        assert await stores.usage.prune(MONTH + 40 * 86_400) == 8901
