"""What only a SQLite file's way in and out must keep; the rest is promised to all stores (`stores_contract`)."""

from __future__ import annotations

import pytest

from gateway.api.stores import TABLES
from gateway.sqlite import open_stores
from gateway.sqlite.transfer import READ, fill, open_snapshot

SECRET = b"a secret of the tests, not a real one"
OWN = {"facts", "names", "processes", "stored", "sqlite_sequence"}
"""Tables of which no row is copied: they are made anew."""
# What the rows of `TABLES` say otherwise, or what is derived from them.
OTHERWISE = {
    "responses": {"process", "size"},
    "holds": {"process"},
    "answers": {"n", "process"},
    "rollups": {"prompt", "completion"},
    "usage": set(
        "prompt completion cached cache_write reasoning audio_input audio_output image_input image_output "
        "web_searches cache_write_1h images characters seconds searches".split()
    ),
}


def nothing(table, count):
    pass


@pytest.fixture
async def stores(tmp_path):
    async with await open_stores(tmp_path / "gateway.db", SECRET) as stores:
        yield stores


async def test_no_table_and_no_column_stays_behind(stores, tmp_path):
    rows = await stores.read("SELECT name FROM sqlite_schema WHERE type = 'table'")
    assert {row[0] for row in rows} - OWN == set(TABLES) == set(READ)
    for table in TABLES:
        columns = {row[0] for row in await stores.read("SELECT name FROM pragma_table_info(?)", (table,))}
        assert columns - OTHERWISE.get(table, set()) <= set(TABLES[table]), table


async def test_what_happens_meanwhile_is_not_in_it(stores, tmp_path):
    await stores.accounts.create_account("ada", grant=5)
    async with open_snapshot(tmp_path / "gateway.db") as snapshot:
        await stores.accounts.create_account("bo", grant=5)
        assert [row[2] async for rows in snapshot.rows("accounts") for row in rows] == ["ada"]
        assert len([row async for rows in snapshot.rows("entries") for row in rows]) == 1


class Breaking:
    """A snapshot that cannot be read to its end."""

    async def rows(self, table):
        if table == "accounts":
            yield [(1, "acct_x", "ada", "user", 0, 0, None, False, 0, None)]
        elif table == "keys":
            raise OSError("the way broke")


async def test_a_copy_that_breaks_off_leaves_nothing(stores, tmp_path):
    with pytest.raises(OSError, match="broke"):
        await fill(tmp_path / "gateway.db", Breaking(), nothing)
    assert await stores.accounts.list_accounts() == []
    await stores.accounts.create_account("ada", grant=1)
