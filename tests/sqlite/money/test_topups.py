"""Orders and their ledger entries, at the store itself: any order of arrival, several processes, and kills."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys

import pytest

from gateway.errors import Refusal
from gateway.payments import MAX_AMOUNT, Part, PaymentEvent
from gateway.sqlite import open_stores
from gateway.stores import MAX_CREDITS

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


async def test_every_order_of_arrival_has_the_same_end(stores):
    statements = [
        PAID, PAID,
        Part("refund:1", -100, 1), Part("refund:1", -100, 2),
        Part("refund:2", -50, 1), Part("refund:2", 0, 3),
        Part("dispute:1", -900, 1), Part("dispute:1", 0, 2),
    ]  # fmt: skip
    for seed in range(40):
        order = await new_order(stores, f"account {seed}")
        mixed = [*statements, *statements]
        random.Random(seed).shuffle(mixed)
        for part in mixed:
            await stores.topups.book("till", event(order, part))
            assert await balance(stores, order) >= 0
        topup = await stores.topups.get(order.id)
        assert (topup.settled, topup.returned, topup.credited, topup.owed) == (1000, 100, 9_000_000, 0)
        assert await balance(stores, order) == 9_000_000


async def test_parts_that_grow_are_credited_by_the_difference(stores):
    order = await new_order(stores, credits=3333)
    for settled in (1, 333, 333, 1000, 1001):
        await stores.topups.book("till", event(order, Part("payment", settled, settled)))
        assert await balance(stores, order) == 3333 * settled // 1000
    assert (await stores.topups.get(order.id)).status == "paid"


async def test_states_do_not_go_back(stores):
    order = await new_order(stores)
    for state, status in (
        ("processing", "processing"), ("pending", "processing"), ("expired", "expired"), ("processing", "expired"),
        ("failed", "expired"),
    ):  # fmt: skip
        assert (await stores.topups.book("till", event(order, state=state))).status == status
    assert (await stores.topups.book("till", event(order, PAID))).status == "paid"


@pytest.mark.parametrize(
    "part", [Part("", 1, 1), Part("x" * 201, 1, 1), Part("a", MAX_AMOUNT + 1, 1), Part("a", 1, MAX_CREDITS + 1)]
)
async def test_absurd_figures_are_refused(stores, part):
    order = await new_order(stores)
    with pytest.raises(Refusal, match="make no sense"):
        await stores.topups.book("till", event(order, part))


async def test_a_balance_never_leaves_its_bounds(stores):
    order = await new_order(stores, credits=MAX_CREDITS // 2)
    with pytest.raises(Refusal, match="too large"):
        await stores.topups.book("till", event(order, Part("payment", 5000, 1)))
    assert await balance(stores, order) == 0
    assert (await stores.topups.get(order.id)).settled == 0


async def test_unknown_orders_and_accounts(stores):
    assert await stores.topups.book("till", PaymentEvent("e", "topup_unknown", parts=(PAID,))) is None
    assert await stores.topups.get("topup_unknown") is None
    assert await stores.topups.set_checkout("topup_unknown", "c", "u") is None
    with pytest.raises(Refusal, match="no such account"):
        await stores.topups.open("acct_unknown", "till", currency="usd", amount=1, credits=1)


async def test_pages_of_orders(stores):
    first = await new_order(stores)
    second = await stores.topups.open(first.account_id, "till", currency="usd", amount=1, credits=1)
    other = await new_order(stores, "b")
    listed = await stores.topups.list_topups()
    assert [topup.id for topup in listed] == [other.id, second.id, first.id]
    assert [topup.id for topup in await stores.topups.list_topups(first.account_id, before=second.id)] == [first.id]


async def test_two_processes_book_once(stores, tmp_path):
    order = await new_order(stores)
    other = await open_stores(tmp_path / "gateway.db", SECRET)
    try:
        both = [opened.topups.book("till", event(order, PAID)) for _ in range(20) for opened in (stores, other)]
        await asyncio.gather(*both)
    finally:
        await other.close()
    assert await balance(stores, order) == 10_000_000
    entries = await stores.ledger.entries(order.account_id)
    assert [entry.kind for entry in entries] == ["topup"]


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
