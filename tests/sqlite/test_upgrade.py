"""A database made by the gateway before version 5 opens as it is: its keys, codes and balances count on.

`fixtures/version_4.sql` was written by that gateway, with the values beside it; nothing in it opens anything else.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import GatewayFault, Refusal
from gateway.server_secret import admin_secret
from gateway.sqlite import open_stores
from gateway.sqlite.engine.migrations import STEPS
from gateway.stores import fail_over

HERE = Path(__file__).parent / "fixtures"


@pytest.fixture
def made():
    return json.loads((HERE / "version_4.json").read_text())


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "gateway.db"
    connection = sqlite3.connect(path)
    connection.executescript((HERE / "version_4.sql").read_text())
    connection.close()
    return path


async def test_everything_made_before_still_works(made, database):
    secret = bytes.fromhex(made["secret"])
    async with await open_stores(database, secret, clock=lambda: float(made["now"])) as stores:
        assert stores.describe()["version"] == str(len(STEPS))
        for text in made["keys"]:
            caller = await stores.keys.authenticate(made["prefix"] + text, "127.0.0.1")
            assert caller is not None
            assert caller.account_id == made["account"]
        done = await fail_over(stores, {"code": "server_error"})
        assert (done.holds, done.responses) == (2, 1)
        _, before = 0, (await stores.accounts.get_account(made["account"])).balance
        with pytest.raises(Refusal, match="unknown, used or expired"):
            await stores.ledger.redeem(made["account"], made["used_voucher"])
        assert await stores.ledger.redeem(made["account"], made["voucher"]) == (50, before + 50)
        assert (await stores.idempotency.get(b"n" * 32)).body == b"{}"
        assert (await stores.responses.get(made["account"], "resp_2")).status == "failed"
        assert len(await stores.conversations.conversation_items(made["account"], made["conversation"], most=9999)) == 1
        assert (await stores.topups.get(made["topup"])).status == "paid"
        kept = await stores.stored(made["account"])
        assert kept is not None
        assert (kept.objects, kept.bytes > 0) == (6, True)
        account = await stores.accounts.get_account(made["account"])
        assert account.alert_thresholds is None
        for logged in await stores.usage.recent(made["account"]):
            assert (logged.row.usage.images, logged.row.usage.seconds) == (0, 0)
        assert (await stores.usage.summary(made["account"], start=0, end=2**40)).others == {}
        assert await stores.check() == []
    assert admin_secret(secret) == "mgas_" + made["admin_secret"]


@pytest.fixture
def look():
    """Reads one row of a database file, beside the loop."""

    def read(path, sql):
        with closing(sqlite3.connect(path)) as connection:
            row = connection.execute(sql).fetchone()
            connection.commit()
            return row

    return lambda path, sql: asyncio.to_thread(read, path, sql)


async def test_it_is_copied_before_it_is_upgraded_and_a_newer_one_is_refused(made, database, look):
    before = await look(database, "SELECT count(*) FROM entries")
    async with await open_stores(database, bytes.fromhex(made["secret"])) as stores:
        assert stores.describe()["older_copies"] == f"{database}.version-4"
    copy = f"{database}.version-4"
    assert await look(copy, "PRAGMA user_version") == (4,)
    assert await look(copy, "SELECT count(*) FROM entries") == before
    await look(database, "PRAGMA user_version = 99")
    with pytest.raises(GatewayFault, match="made by a newer gateway"):
        await open_stores(database, bytes.fromhex(made["secret"]))


async def test_another_secret_is_refused(database):
    with pytest.raises(GatewayFault, match="not the one this database was made with"):
        await open_stores(database, b"x" * 32)
