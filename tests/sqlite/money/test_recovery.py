"""What becomes of the holds of dead processes. `tests/ledger/test_proofs.py` kills real ones."""

from __future__ import annotations

import asyncio

import pytest

from gateway.call import Usage
from gateway.sqlite.engine.presence import ProcessLock, folder_of, is_dead, remove
from gateway.sqlite.money.recovery import CRASHED
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


async def test_the_living_keep_their_holds(house, opening):
    await house.stores.ledger.hold(house.request("mine"))
    other = await opening()
    assert (await fail_over(other, ERROR)).holds == 0
    assert await house.balance() == (1000, 50)


async def test_dispatched_is_charged_what_is_known_and_the_rest_is_void(after_crash):
    house = after_crash
    await house.stores.ledger.hold(house.request("mine"))
    assert await house.balance() == (1000, 250)
    assert (await fail_over(house.stores, ERROR)).holds == 4
    assert (await fail_over(house.stores, ERROR)).holds == 0
    assert await house.balance() == (1000 - 12 - 70, 50)
    ends = {
        (entry.request_id, entry.kind, entry.amount, entry.basis)
        for entry in await house.stores.ledger.entries(house.account.id)
        if entry.kind in ("charge", "void", "overrun")
    }
    assert ends == {
        ("held", "void", 0, "void"),
        ("dispatched", "charge", 0, "estimated"),
        ("noted", "charge", -12, "estimated"),
        ("dear", "charge", -50, "estimated"),
        ("dear", "overrun", -20, "estimated"),
    }


async def test_it_appears_in_the_usage_log(after_crash):
    house = after_crash
    await fail_over(house.stores, ERROR)
    logged = {one.row.request_id: one for one in await house.stores.usage.recent()}
    assert set(logged) == {"dispatched", "noted", "dear"}
    row = logged["noted"].row
    assert (row.status, row.error, row.basis, row.model) == (500, CRASHED, "estimated", "lab/model")
    assert (row.usage.prompt_tokens, row.usage.completion_tokens, logged["noted"].credits) == (3, 4, 12)


async def test_opening_alone_resolves_nothing(after_crash, opening):
    """Commands open the stores too; it is the gateway that resolves, when it starts and ever after."""
    other = await opening()
    assert (await after_crash.balance())[1] > 0
    await fail_over(other, ERROR)
    assert await after_crash.balance() == (918, 0)


async def test_a_late_settlement_of_a_given_up_hold_is_charged_once(after_crash):
    house = after_crash
    await fail_over(house.stores, ERROR)
    for _ in range(2):
        assert await house.stores.ledger.settle("held", 30, "provider", Usage(), "lab/model") == 30
    assert await house.balance() == (1000 - 12 - 70 - 30, 0)
    for _ in range(2):
        assert await house.stores.ledger.settle("noted", 30, "provider", Usage(), "lab/model") == 12


async def test_a_late_void_of_a_given_up_hold_is_final(after_crash):
    house = after_crash
    await fail_over(house.stores, ERROR)
    await house.stores.ledger.void("held")
    assert await house.stores.ledger.settle("held", 30, "provider", Usage(), "lab/model") == 0


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


async def test_two_heirs_resolve_each_hold_once(after_crash, opening):
    house = after_crash
    await house.stores.ledger.hold(house.request("mine"))
    heirs = [house.stores, await opening()]
    await asyncio.gather(*(fail_over(heir, ERROR) for heir in heirs * 5))
    assert await house.balance() == (918, 50)
    await house.stores.ledger.void("mine")


async def test_what_a_process_left_after_signing_off_is_resolved(after_crash):
    house = after_crash
    await house.stores.write(lambda connection: connection.execute("DELETE FROM processes WHERE n != 1").rowcount)
    assert (await fail_over(house.stores, ERROR)).holds == 4
    assert await house.balance() == (918, 0)
