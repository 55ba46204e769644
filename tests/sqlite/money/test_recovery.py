"""What becomes of the holds of dead processes. `tests/ledger/test_proofs.py` kills real ones."""

from __future__ import annotations

import pytest

from gateway.call import Usage
from gateway.sqlite.engine.presence import ProcessLock, folder_of, is_dead, remove
from gateway.stores import fail_over

ERROR = {"code": "server_error", "message": "The gateway stopped."}


@pytest.fixture
async def after_crash(house, opening):
    """Another process that made four calls and died: returns nothing, leaves its holds."""
    dying = await opening()
    for name in ("held", "dispatched", "noted", "dear"):
        await dying.ledger.hold(house.request(name))
    for name in ("dispatched", "noted", "dear"):
        dying.ledger.mark_dispatched(name)
    dying.ledger.note_usage("noted", 9, Usage(prompt_tokens=1, completion_tokens=2))
    dying.ledger.note_usage("noted", 12, Usage(prompt_tokens=3, completion_tokens=4))
    dying.ledger.note_usage("dear", 70, Usage(prompt_tokens=3, completion_tokens=4))
    await dying.close()
    return house


async def test_many_holds_are_resolved_in_pieces(house, opening, monkeypatch):
    monkeypatch.setattr("gateway.sqlite.money.recovery._AT_ONCE", 3)
    dying = await opening()
    for i in range(10):
        await dying.ledger.hold(house.request(f"r{i}"))
    await dying.close()
    assert (await fail_over(house.stores, ERROR)).holds == 10
    assert await house.balance() == (1000, 0)


async def test_numbers_of_processes_are_not_used_again(opening):
    numbers = []
    for _ in range(3):
        stores = await opening()
        numbers.append(stores.core.process)
        await stores.close()
    assert len(set(numbers)) == 3


@pytest.mark.blocking_allowed
def test_locks(tmp_path):
    folder = folder_of(tmp_path / "gateway.db")
    lock = ProcessLock(folder)
    assert not is_dead(folder, lock.token)
    assert is_dead(folder, "0" * 16)
    (folder / "left").touch()
    assert is_dead(folder, "left")
    remove(folder, "left")
    lock.release()
    lock.release()
    assert is_dead(folder, lock.token)
    assert list(folder.iterdir()) == []


async def test_what_a_process_left_after_signing_off_is_resolved(after_crash):
    house = after_crash
    await house.stores.write(lambda connection: connection.execute("DELETE FROM processes WHERE n != 1").rowcount)
    assert (await fail_over(house.stores, ERROR)).holds == 4
    assert await house.balance() == (918, 0)
