"""What a call cost is on disk before its end can be written, and the next process writes it, exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import sys
from functools import partial
from pathlib import Path

import orjson
import pytest

from gateway.call import Usage
from gateway.errors import GatewayFault
from gateway.journal import Journal, inherited
from gateway.sqlite import open_stores
from gateway.sqlite.engine.presence import folder_of
from gateway.sqlite.money.inheritance import settle_inheritance

pytestmark = pytest.mark.blocking_allowed  # the tests look into files
SECRET = b"a secret of the tests, not a real one"
DYING = """
import asyncio, sys
from decimal import Decimal
from pathlib import Path
from gateway.call import Usage
from gateway.sqlite import open_stores
from gateway.stores import HoldRequest, UsageRow

async def main(path, account):
    stores = await open_stores(Path(path), b"a secret of the tests, not a real one", patience=60.0)
    for name in ("paid", "void"):
        await stores.ledger.hold(
            HoldRequest(name, account, "", "2026-11", None, Decimal(10), Decimal(2), 20, 1, "lab/model")
        )
        stores.ledger.mark_dispatched(name)
        stores.ledger.note_usage(name, 5, Usage(prompt_tokens=5))
    await stores.accounts.list_accounts()
    print("held", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    usage = Usage(prompt_tokens=3, completion_tokens=4)
    stores.usage.record(
        UsageRow("paid", account, "", "lab/model", "lab/model", "/chat", 200, usage, "provider", 1_790_000_000)
    )
    await asyncio.gather(stores.ledger.settle("paid", 37, "provider", usage, "lab/model"), stores.ledger.void("void"))

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.contextmanager
def locked(path: Path):
    """Somebody else writes to the database, and does not end."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def kept(path: Path) -> list[str]:
    """What is in the journals of a database whose processes may live."""
    found = []
    for journal in path.parent.glob(path.name + "-pending-*"):
        found += journal.read_bytes().replace(b"\0", b"").splitlines()
    return found


async def test_a_process_that_is_killed_while_the_database_is_locked_leaves_its_exact_bills(tmp_path):
    path = tmp_path / "gateway.db"
    async with await open_stores(path, SECRET) as stores:
        account = await stores.accounts.create_account("ada", grant=1000)
    dying = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DYING, str(path), account.id, stdin=-1, stdout=-1
    )
    assert await dying.stdout.readline() == b"held\n"
    with locked(path):
        dying.stdin.write(b"\n")
        async with asyncio.timeout(60):
            while len(kept(path)) < 3:
                await asyncio.sleep(0.02)
        dying.kill()
        await dying.wait()
    await dying.communicate()
    async with await open_stores(path, SECRET) as heir:
        for lease in await heir.presence.dead():
            assert await heir.ledger.fail_over(lease) == 0, "there was nothing left to guess"
        found = await heir.accounts.get_account(account.id)
        assert (found.balance, found.held) == (963, 0)
        [logged] = await heir.usage.recent(account.id)
        assert (logged.row.status, logged.row.usage.completion_tokens, logged.credits) == (200, 4, 37)
        assert await heir.check() == []
    assert kept(path) == []


async def test_a_full_disk_does_not_keep_the_bills_from_the_journal(house):
    stores, path = house.stores, house.stores.core.path
    await stores.ledger.hold(house.request("r"))

    def limit(connection, extra):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute("PRAGMA max_page_count = " + str(pages + extra))

    async def fill():
        for number in range(100):
            await stores.write(partial(insert, str(number).zfill(200)))

    def insert(text, connection):
        connection.execute("INSERT INTO names (text) VALUES (?)", (text,))

    await stores.write(lambda connection: limit(connection, 0))
    with pytest.raises(GatewayFault):
        await fill()
    with pytest.raises(GatewayFault) as told:
        await stores.ledger.settle("r", 30, "provider", Usage(), "m" * 200)
    assert (told.value.status, told.value.code, len(kept(path))) == (503, "database_unavailable", 1)
    await stores.write(lambda connection: limit(connection, 1000))
    assert await stores.ledger.settle("r", 30, "provider", Usage(), "m" * 200) == 30
    assert kept(path) == []


async def test_what_is_inherited_twice_or_was_written_already_is_charged_once(house, clock):
    stores, path = house.stores, house.stores.core.path
    log = logging.getLogger("gateway.sqlite")
    for name in ("written", "new", "guessed"):
        await stores.ledger.hold(house.request(name))
    await stores.ledger.settle("written", 30, "provider", Usage(), "lab/model")
    lines = [
        {"do": "settle", "r": name, "charge": 30, "basis": "provider", "model": "lab/model", "disputed": 0}
        for name in ("written", "new", "unknown")
    ]
    lines += [{"do": "void", "r": "guessed"}, {"do": "dance", "r": "new"}, {"do": "settle", "r": "new", "charge": -1}]
    for _ in range(2):
        path.with_name(path.name + "-pending-dead").write_bytes(b"\n".join(map(orjson.dumps, lines)))
        assert await settle_inheritance(path, stores.core.writer, stores.core.now(), log) == len(lines)
        assert await house.balance() == (940, 0)
    assert inherited(path.parent, path.name + "-pending-") == ([], [])


async def test_a_database_that_takes_nothing_keeps_the_journals(house, tmp_path):
    path = house.stores.core.path
    await house.stores.ledger.hold(house.request("r"))
    left = Journal(path.with_name(path.name + "-pending-dead"))
    left.keep([{"do": "void", "r": "r"}])
    left.close()
    with locked(path):
        async with await open_stores(path, SECRET, patience=0.0) as late:
            assert not late.presence.joined
            for _ in range(3):
                with pytest.raises(GatewayFault):
                    await late.ping()
            assert len(list(folder_of(path).iterdir())) == 1, "what could not join leaves no lock behind"
            assert kept(path)
            assert (await late.accounts.get_account(house.account.id)).balance == 1000, "what can be read, is"
    async with await open_stores(path, SECRET) as heir:
        assert kept(path) == []
        assert heir.presence.joined
    assert await house.balance() == (1000, 0)


async def test_on_the_clean_way_the_journal_is_not_touched(house, monkeypatch):
    journal = house.stores.core.writer._journal

    def touched(*_):
        raise AssertionError("nothing had to wait")

    monkeypatch.setattr(journal, "keep", touched)
    monkeypatch.setattr(journal, "forget", touched)
    await house.stores.ledger.hold(house.request("r"))
    assert await house.stores.ledger.settle("r", 30, "provider", Usage(), "lab/model") == 30
