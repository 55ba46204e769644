"""The shape changes while gateways run: expand, then contract."""

from __future__ import annotations

import asyncpg
import pytest
from tollgate_postgres.kind import PostgresKind
from tollgate_postgres.opened import open_stores
from tollgate_postgres.schema import VERSION, contract, migrate, plan, read_scripts

from gateway.api import GatewayFault
from gateway.api.stores import StoresSettings

SECRET = b"a secret of the tests, not a real one"
CONTRACT = "-- Contract 3: the label of keys, which version 2 wrote.\n\nALTER TABLE keys DROP COLUMN label CASCADE;\n"


def clock_of(functions):
    begin = functions.index("CREATE OR REPLACE FUNCTION gw_clock")
    return functions[begin : functions.index("$$;", begin) + 3]


@pytest.fixture
async def connection(empty_database_url):
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@pytest.fixture
def settings(tmp_path):
    return StoresSettings(str(tmp_path), SECRET)


@pytest.fixture
async def first(connection):
    """A database of version 1, with one gateway that lives."""
    scripts = read_scripts()
    async with connection.transaction():
        await connection.execute(scripts["v1.sql"])
        # Of its functions, the one that is asked here before the database is expanded.
        await connection.execute(clock_of(scripts["functions.sql"]))
        await connection.execute("INSERT INTO facts VALUES ('version', '1'), ('functions', '1')")
        await connection.execute("INSERT INTO leases (id, expires) VALUES ('old', gw_clock() + 600)")
    return scripts


async def test_nothing_is_made_by_looking(empty_database_url, settings, connection):
    found = await PostgresKind().plan(empty_database_url, settings)
    assert (found.version, found.newest, found.living) == (0, VERSION, 0)
    assert await connection.fetchval("SELECT to_regclass('facts')") is None


async def test_an_old_gateway_goes_on_while_a_new_one_expands(empty_database_url, settings, first, connection):
    found = await PostgresKind().plan(empty_database_url, settings)
    assert (found.version, found.living, found.blocked) == (1, 1, "")
    assert [(step.stage, step.version) for step in found.steps] == [
        ("expand", number) for number in range(2, VERSION + 1)
    ]
    assert "leases tell the version" in found.steps[1].what
    assert (await PostgresKind().migrate(empty_database_url, settings)).version == 1
    # What the old one says to its lease and its ledger works as before.
    await connection.execute("INSERT INTO leases (id, expires) VALUES ('older', gw_clock() + 600)")
    assert await connection.fetchval("SELECT gw_run('old', 0, 1, 0, '[]'::jsonb)") == "[]"
    async with await open_stores(empty_database_url, settings):
        found = await PostgresKind().plan(empty_database_url, settings)
        assert (found.version, found.living, found.steps) == (VERSION, 3, [])


async def test_nothing_is_taken_away_from_an_old_gateway_that_lives(empty_database_url, settings, first, connection):
    scripts = {**first, "c3.sql": CONTRACT}
    found = await plan(connection, scripts)
    assert found.blocked == "1 running gateways are older than version 3 and use what would be taken away"
    await migrate(connection, SECRET, scripts)
    with pytest.raises(GatewayFault, match="older than version 3"):
        await contract(connection, scripts)
    assert await connection.fetchval("SELECT count(*) FROM information_schema.columns WHERE column_name = 'label' "
                                     "AND table_name = 'keys' AND table_schema = current_schema()") == 1  # fmt: skip
    await connection.execute("UPDATE leases SET expires = 0 WHERE id = 'old'")
    async with await open_stores(empty_database_url, settings):
        await contract(connection, scripts)
    assert await connection.fetchval("SELECT value FROM facts WHERE name = 'least'") == "3"
    assert (await plan(connection, scripts)).steps == []


async def test_a_gateway_that_is_too_old_can_neither_open_it_nor_join_again(empty_database_url, settings, connection):
    async with await open_stores(empty_database_url, settings) as stores:
        await connection.execute("INSERT INTO facts VALUES ('least', $1)", str(VERSION + 1))
        with pytest.raises(GatewayFault, match="too new"):
            await stores.presence.join()
    for attempt in (PostgresKind().open, PostgresKind().plan, PostgresKind().migrate):
        with pytest.raises(GatewayFault, match="Install a newer one"):
            await attempt(empty_database_url, settings)


async def test_a_database_that_newer_gateways_have_expanded_is_opened(empty_database_url, settings, connection):
    async with await open_stores(empty_database_url, settings):
        pass
    await connection.execute("UPDATE facts SET value = '99' WHERE name IN ('version', 'functions')")
    async with await open_stores(empty_database_url, settings) as stores:
        assert await stores.check() == []
    assert await connection.fetchval("SELECT value FROM facts WHERE name = 'version'") == "99", "it stays"
