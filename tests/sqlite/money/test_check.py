"""A check that goes on from the last one finds all that is new, and believes no sums that are not this database's."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from gateway.call import Usage
from gateway.sqlite import check_database
from gateway.sqlite.money.check import SUFFIX
from gateway.stores import Discrepancy
from gateway.testing.stores_contract import House


async def calls(house: House, begin: int) -> None:
    """Calls that ended in each way, and one that is still open."""
    for n in range(begin, begin + 5):
        await house.stores.ledger.hold(house.request(f"r{n}"))
    await house.stores.ledger.settle(f"r{begin}", 10, "provider", Usage(), "lab/model")
    await house.stores.ledger.settle(f"r{begin + 1}", 60, "provider", Usage(), "lab/model")
    await house.stores.ledger.void(f"r{begin + 2}")
    await house.stores.ledger.void(f"r{begin + 3}")


async def checked(path: Path, sql: str = "", *, full: bool = False) -> list[str]:
    """What a check that may go on finds, after `sql`."""

    def work() -> list[Discrepancy]:
        if sql:
            with sqlite3.connect(path, isolation_level=None) as connection:
                connection.executescript(sql)
            connection.close()
        return check_database(path, full=full, keep=True)

    return [str(one) for one in await asyncio.to_thread(work)]


@pytest.fixture
async def copy(house: House, tmp_path: Path) -> Path:
    """A database with a clean check in the middle of its history, and calls that were open then and ended since."""
    target = tmp_path / "apart" / "copy.db"
    target.parent.mkdir()
    await calls(house, 0)
    await house.stores.backup(str(target))
    assert await checked(target, full=True) == []
    sums = target.with_name(target.name + SUFFIX).read_bytes()
    await house.stores.ledger.settle("r4", 10, "provider", Usage(), "lab/model")
    await calls(house, 5)
    target.unlink()
    await house.stores.backup(str(target))
    target.with_name(target.name + SUFFIX).write_bytes(sums)
    return target


def since(path: Path) -> int:
    """The last entry that is in the kept sums."""
    connection = sqlite3.connect(path.with_name(path.name + SUFFIX))
    [(entry,)] = connection.execute("SELECT coalesce(max(entry), 0) FROM was_at")
    connection.close()
    return int(entry)


async def test_it_goes_on_and_is_kept_when_clean(copy: Path) -> None:
    before = since(copy)
    assert before > 0
    assert await checked(copy) == []
    assert since(copy) > before
    assert await checked(copy) == []
    assert stat.S_IMODE(copy.with_name(copy.name + SUFFIX).stat().st_mode) & 0o077 == 0


async def test_what_was_right_is_not_read_again_but_by_a_full_check(copy: Path) -> None:
    damage = "UPDATE holds SET charged = charged + 1 WHERE request_id = 'r0'"
    assert await checked(copy, damage) == []
    assert any("charged against its entries" in one for one in await checked(copy, full=True))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE accounts SET balance = balance + 1", "balance against the sum of its entries"),
        ("UPDATE accounts SET held = held - 1", "held against its open holds"),
        ("UPDATE accounts SET held = held - 1", "held against the sum of its entries"),
        ("DELETE FROM holds WHERE state = 0", "held against its open holds"),
        (
            "DROP TRIGGER entries_remain; DELETE FROM entries WHERE n = (SELECT max(n) FROM entries)",
            "charges and voids",
        ),
        (
            "DROP TRIGGER entries_stay; UPDATE entries SET amount = amount + 1 "
            "WHERE n = (SELECT max(n) FROM entries WHERE kind = 5)",
            "running sum",
        ),
        ("UPDATE holds SET charged = charged + 1 WHERE request_id = 'r4'", "charged against its entries"),
        ("UPDATE holds SET charged = charged + 1 WHERE request_id = 'r6'", "charged against its entries"),
        ("UPDATE holds SET state = 2 WHERE request_id = 'r9'", "number of charges and voids"),
        ("UPDATE holds SET state = 0 WHERE request_id = 'r5'", "reserved credits left over"),
        ("UPDATE months SET used = used + 1", "credits used in a month"),
        ("UPDATE months SET held = held + 1", "credits held in a month"),
        ("DELETE FROM months", "a month without a row"),
        ("UPDATE rollups SET credits = credits - 1", "credits of a day"),
        ("DELETE FROM rollups", "credits of a day"),
    ],
)
async def test_damage_since_then_is_found_and_not_kept(copy: Path, damage: str, found: str) -> None:
    before = since(copy)
    told = await checked(copy, damage)
    assert any(found in one for one in told), told
    assert since(copy) == before
    assert any(found in one for one in await checked(copy)), "found once, it must be found again"


async def test_sums_of_another_history_are_not_believed(copy: Path) -> None:
    damage = """
        DROP TRIGGER entries_stay;
        UPDATE entries SET created = created + 1;
        UPDATE holds SET charged = charged + 1 WHERE request_id = 'r0'
    """
    assert any("charged against its entries" in one for one in await checked(copy, damage))


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
async def test_a_file_that_is_none_of_ours_does_no_harm(copy: Path, content: bytes) -> None:
    copy.with_name(copy.name + SUFFIX).write_bytes(content)
    assert await checked(copy) == []
    assert any("balance" in one for one in await checked(copy, "UPDATE accounts SET balance = balance + 1"))


async def test_two_at_once_are_both_right(copy: Path) -> None:
    connection = sqlite3.connect(copy.with_name(copy.name + SUFFIX), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        assert await checked(copy) == []
        assert any("balance" in one for one in await checked(copy, "UPDATE accounts SET balance = balance + 1"))
    finally:
        connection.close()
