"""The file and the library that everything stands on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.errors import GatewayFault
from gateway.journal import Journal
from gateway.sqlite import database, open_stores
from gateway.sqlite.database import resets_safely
from gateway.sqlite.engine.ground import Ground
from gateway.sqlite.engine.reserve import SIZE, Reserve

SECRET = b"s" * 32


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True), ((3, 45, 0), False), ((3, 50, 6), False),
        ((3, 50, 7), True), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 60, 0), True),
    ],
)  # fmt: skip
async def test_several_workers_are_warned_of_a_library_without_the_fix(
    version: tuple[int, int, int], safe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resets_safely(version) is safe
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    async with await open_stores(tmp_path / "a.db", SECRET, shared_counters=True) as stores:
        assert len(stores.warnings()) == (not safe)
    async with await open_stores(tmp_path / "b.db", SECRET) as stores:
        assert not stores.warnings(), "one process alone cannot meet it"


@pytest.mark.blocking_allowed
def test_a_file_that_is_another_and_a_full_disk_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"1")
    journal = Journal(tmp_path / "pending")
    ground = Ground(path, 1, journal)
    ground.check()
    with pytest.raises(GatewayFault) as told:
        Ground(path, 1 << 60, journal).check()
    assert (told.value.status, told.value.code) == (503, "disk_full")
    path.rename(tmp_path / "b.db")
    for _ in range(2):
        with pytest.raises(GatewayFault) as told:
            ground.check()
        assert (told.value.status, told.value.code) == (503, "database_replaced")
        path.write_bytes(b"1")


@pytest.mark.blocking_allowed
async def test_an_impossible_place_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(GatewayFault, match="cannot be opened for writing"):
        await open_stores(tmp_path / "file" / "a.db", SECRET)
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(GatewayFault, match="cannot be opened for writing"):
        await open_stores(tmp_path / "folder.db", SECRET)


async def test_what_is_deleted_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with await open_stores(path, SECRET) as stores:
        account = await stores.accounts.create_account("Ada")
        item = {"id": "msg_1", "type": "message", "content": "a secret of Ada's " * 2_000}
        made = await stores.conversations.create_conversation(account.id, {}, [item], expires=2**40)
        assert await stores.conversations.delete_conversation(account.id, made.id)
    raw = path.read_bytes() + b"".join(each.read_bytes() for each in tmp_path.glob("a.db-*") if each.is_file())
    assert b"a secret of Ada's" not in raw


@pytest.mark.blocking_allowed
async def test_a_gateway_that_starts_on_a_full_disk_gives_up_its_reserve_for_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reserve = tmp_path / "a.db", tmp_path / "a.db-reserve"
    async with await open_stores(path, SECRET) as stores:
        account = await stores.accounts.create_account("ada", grant=7)
        assert reserve.stat().st_blocks * 512 >= reserve.stat().st_size > 1 << 20, "its room is really its own"
    opening = database.open_writing

    def open_writing(place: Path) -> sqlite3.Connection:
        if reserve.exists():
            raise sqlite3.OperationalError("database or disk is full")
        return opening(place)

    monkeypatch.setattr(database, "open_writing", open_writing)
    async with await open_stores(path, SECRET) as stores:
        assert (await stores.accounts.get_account(account.id)) == account
        await stores.ping()
        assert reserve.exists(), "there is room again"
    monkeypatch.setattr(database, "Reserve", lambda _: SimpleNamespace(give_up=lambda **_: False))
    monkeypatch.setattr(database, "free_beside", lambda _: 0)
    with pytest.raises(GatewayFault, match="disk is full: make room"):
        await open_stores(path, SECRET)


def test_the_reserve_is_given_up_only_when_little_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 4 * SIZE - 1
    monkeypatch.setattr("gateway.sqlite.engine.reserve.free_beside", lambda _: free)
    reserve = Reserve(tmp_path / "a.db")
    reserve.take()
    assert list(tmp_path.iterdir()) == []
    free = 4 * SIZE
    reserve.take()
    assert not reserve.give_up(less_than=SIZE)
    free = SIZE - 1
    assert reserve.give_up(less_than=SIZE)
    assert not reserve.give_up()
    assert list(tmp_path.iterdir()) == []
