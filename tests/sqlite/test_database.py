"""The file as a whole: migrations, secrets, backup, audit."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.call import Usage
from gateway.errors import GatewayFault
from gateway.sqlite import check_database, open_stores
from gateway.sqlite.engine import migrations
from gateway.sqlite.engine.core import open_writing
from gateway.stores import fail_over

SECRET = b"a secret of the tests, not a real one"


async def fill(house):
    for i in range(5):
        await house.stores.ledger.hold(house.request(f"r{i}"))
    await house.stores.ledger.settle("r0", 10, "provider", Usage(), "lab/model")
    await house.stores.ledger.settle("r1", 60, "provider", Usage(), "lab/model")
    await house.stores.ledger.void("r2")
    (code,) = await house.stores.ledger.create_vouchers(1, 50)
    await house.stores.ledger.redeem(house.account.id, code)


class TestOpening:
    async def test_ten_at_once_on_a_new_file(self, tmp_path):
        opened = await asyncio.gather(*(open_stores(tmp_path / "new" / "gateway.db", SECRET) for _ in range(10)))
        assert await opened[0].check() == []
        for stores in opened:
            await stores.close()

    def test_many_may_switch_a_new_file_to_the_log_at_once(self, tmp_path):
        def open_and_close(place: Path) -> None:
            open_writing(place).close()

        with ThreadPoolExecutor(10) as threads:
            for number in range(40):
                list(threads.map(open_and_close, [tmp_path / f"{number}.db"] * 10))

    def test_nobody_sees_a_version_between(self, monkeypatch, tmp_path):
        """Else a process that starts beside another one takes a new database for an old one, and copies it."""
        place = tmp_path / "gateway.db"
        connection = sqlite3.connect(place, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        seen = set()
        other = sqlite3.connect(place, isolation_level=None)

        def look(*_):
            seen.add(other.execute("PRAGMA user_version").fetchone()[0])

        connection.set_trace_callback(look)
        migrations.migrate(connection, lambda version: seen.add(f"copied {version}"))
        connection.set_trace_callback(None)
        assert seen == {0}
        assert other.execute("PRAGMA user_version").fetchone() == (len(migrations.STEPS),)
        connection.close()
        other.close()

    async def test_only_the_owner_may_read_it(self, house, tmp_path):
        for file in tmp_path.glob("gateway.db*"):
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file

    async def test_a_newer_database_is_refused(self, opening, tmp_path):
        await (await opening()).close()
        connection = sqlite3.connect(tmp_path / "gateway.db")
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(GatewayFault, match=r"version 99.*newer gateway"):
            await opening()

    async def test_a_foreign_database_is_refused(self, opening, tmp_path):
        connection = sqlite3.connect(tmp_path / "gateway.db")
        connection.execute("CREATE TABLE somebody_elses (x)")
        connection.close()
        with pytest.raises(GatewayFault, match="not made by this gateway"):
            await opening()

    async def test_another_secret_is_refused_unless_adopted(self, opening, tmp_path):
        await (await opening()).close()
        with pytest.raises(GatewayFault, match="secret"):
            await open_stores(tmp_path / "gateway.db", b"another secret of the tests")
        adopted = await open_stores(tmp_path / "gateway.db", b"another secret of the tests", adopt_secret=True)
        await adopted.close()
        with pytest.raises(GatewayFault, match="secret"):
            await opening()

    async def test_a_short_secret_is_refused(self, tmp_path):
        with pytest.raises(GatewayFault, match="16 bytes"):
            await open_stores(tmp_path / "gateway.db", b"")

    def test_a_failing_step_changes_nothing(self, monkeypatch):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        last = migrations.migrate(connection)
        bad = (*migrations.STEPS, ("CREATE TABLE half (x)", "CREATE TABLE accounts (x)"))
        versions = (*migrations._SET_VERSION, "PRAGMA user_version = " + str(last + 1))
        monkeypatch.setattr(migrations, "STEPS", bad)
        monkeypatch.setattr(migrations, "_SET_VERSION", versions)
        with pytest.raises(sqlite3.OperationalError):
            migrations.migrate(connection)
        assert connection.execute("PRAGMA user_version").fetchone() == (last,)
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)
        monkeypatch.setattr(migrations, "STEPS", (*bad[:-1], ("CREATE TABLE whole (x)",)))
        assert migrations.migrate(connection) == last + 1
        connection.close()


class TestBackup:
    async def test_under_load_it_is_whole(self, house, tmp_path):
        await fill(house)
        busy = asyncio.create_task(self.traffic(house))
        target = tmp_path / "copy" / "backup.db"
        target.parent.mkdir()
        for _ in range(3):
            await house.stores.backup(str(target))
            assert await asyncio.to_thread(check_database, target) == []
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert [file.name for file in target.parent.iterdir()] == ["backup.db"]
        restored = await open_stores(target, SECRET)
        await fail_over(restored, {})
        assert (await restored.accounts.get_account(house.account.id)).held == 0
        assert await restored.keys.authenticate(house.plain, "") is not None
        assert await restored.check() == []
        await restored.close()

    async def traffic(self, house):
        for i in range(100_000):
            await house.stores.ledger.hold(house.request(f"t{i}", base=1, units=0))
            await house.stores.ledger.settle(f"t{i}", 0, "provider", Usage(), "lab/model")


class TestCheck:
    @pytest.mark.parametrize(
        ("damage", "found"),
        [
            ("UPDATE accounts SET balance = balance + 1", "balance against the sum of its entries"),
            ("UPDATE accounts SET held = held - 1 WHERE n = 1", "held against its open holds"),
            ("UPDATE accounts SET held = held - 1 WHERE n = 1", "held against the sum of its entries"),
            ("DELETE FROM holds WHERE state = 0", "held against its open holds"),
            ("DROP TRIGGER entries_remain; DELETE FROM entries WHERE n = 2", "reserved credits left over"),
            ("DROP TRIGGER entries_stay; UPDATE entries SET amount = amount + 1 WHERE n = 1", "running sum"),
            ("UPDATE holds SET charged = charged + 1 WHERE state = 1", "charged against its entries"),
            ("UPDATE holds SET state = 1 WHERE state = 2", "number of charges and voids"),
            ("UPDATE holds SET state = 2 WHERE request_id = 'r3'", "number of charges and voids"),
            ("UPDATE months SET used = used + 1", "credits used in a month"),
            ("UPDATE months SET held = held + 1", "credits held in a month"),
            ("DELETE FROM months", "a month without a row"),
            ("UPDATE rollups SET credits = credits - 1", "credits of a day"),
            ("DELETE FROM rollups", "credits of a day"),
            ("UPDATE vouchers SET account = 2", "redeemed without an entry"),
            ("DELETE FROM names", "row of table"),
        ],
    )
    async def test_finds_every_damage(self, house, tmp_path, damage, found):
        await fill(house)
        copy = tmp_path / "copy.db"
        await house.stores.accounts.create_account("eve")
        await house.stores.backup(str(copy))
        assert await asyncio.to_thread(check_database, copy) == []
        told = [str(one) for one in await asyncio.to_thread(self.damage, copy, damage)]
        assert any(found in one for one in told), told

    def damage(self, path, sql):
        connection = sqlite3.connect(path)
        connection.executescript(sql)
        connection.close()
        return check_database(path)

    async def test_the_database_itself_refuses_what_cannot_be(self, house):
        for sql in (
            "UPDATE accounts SET balance = -1, held = 0",
            "UPDATE accounts SET held = balance + 1",
            "UPDATE accounts SET held = -1",
            "UPDATE accounts SET balance = 9007199254740993",
        ):
            with pytest.raises(GatewayFault):
                await house.stores.write(lambda connection, sql=sql: connection.execute(sql))


async def test_workers_share_rate_windows_beside_the_database(tmp_path):
    (tmp_path / "a.db-rates").write_bytes(b"of a version before")
    async with (
        await open_stores(tmp_path / "a.db", SECRET, shared_counters=True) as one,
        await open_stores(tmp_path / "a.db", SECRET, shared_counters=True) as two,
    ):
        told = [(await stores.counters.hit([("a", 5)], 60.0))[0].remaining for stores in (one, two, one)]
        assert told == [4, 3, 2]
        assert (tmp_path / "a.db-windows").exists()
        assert not (tmp_path / "a.db-rates").exists()
