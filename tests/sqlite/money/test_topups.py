"""Orders and their ledger entries, at the store itself: any order of arrival, several processes, and kills."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from gateway.payments import Part, PaymentEvent
from gateway.sqlite import open_stores

SECRET = b"0123456789abcdef0123456789abcdef"
PAID = Part("payment", 1000, 1)


@pytest.fixture
async def stores(tmp_path):
    opened = await open_stores(tmp_path / "gateway.db", SECRET)
    yield opened
    assert await opened.check() == []
    await opened.close()


async def new_order(stores, name="a", credits=10_000_000):
    account = await stores.accounts.create_account(name)
    return await stores.topups.open(account.id, "till", currency="usd", amount=1000, credits=credits)


def event(order, *parts, **more):
    return PaymentEvent("e", order.id, currency="usd", parts=parts, **more)


async def balance(stores, order):
    return (await stores.accounts.get_account(order.account_id)).balance


KILLED = """
import asyncio, os, sys
from pathlib import Path
from gateway.sqlite import open_stores
from gateway.sqlite.money.unit_of_work import UnitOfWork
from gateway.payments import Part, PaymentEvent

async def main(path, order_id, when):
    stores = await open_stores(Path(path), {secret!r})
    flush = UnitOfWork.flush
    def dying(book):
        flush(book)
        os._exit(9)
    if when == "before":
        UnitOfWork.flush = dying
    event = PaymentEvent("e", order_id, currency="usd", parts=(Part("payment", 1000, 1),))
    await stores.topups.book("till", event)
    os._exit(9)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(("when", "left"), [("before", 0), ("after", 10_000_000)])
async def test_a_kill_before_or_after_the_commit(tmp_path, when, left):
    path = tmp_path / "gateway.db"
    stores = await open_stores(path, SECRET)
    order = await new_order(stores)
    await stores.close()
    command = [sys.executable, "-c", KILLED.format(secret=SECRET), str(path), order.id, when]
    killed = await asyncio.to_thread(subprocess.run, command, capture_output=True)
    assert killed.returncode == 9, killed.stderr
    stores = await open_stores(path, SECRET)
    try:
        assert await balance(stores, order) == left
        await stores.topups.book("till", event(order, PAID))  # redelivered
        assert await balance(stores, order) == 10_000_000
        assert await stores.check() == []
    finally:
        await stores.close()
