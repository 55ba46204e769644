"""Orders and their ledger entries: any order of arrival, several processes."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.payments import MAX_AMOUNT, Part, PaymentEvent
from gateway.stores import MAX_CREDITS

PAID = Part("payment", 1000, 1)


async def new_order(stores: Any, name: Any = "a", credits: Any = 10_000_000) -> Any:
    account = await stores.accounts.create_account(name)
    return await stores.topups.open(account.id, "till", currency="usd", amount=1000, credits=credits)


def event(order: Any, *parts: Any, **more: Any) -> Any:
    return PaymentEvent("e", order.id, currency="usd", parts=parts, **more)


async def balance(stores: Any, order: Any) -> Any:
    return (await stores.accounts.get_account(order.account_id)).balance


class TopupsPromises:
    """A payment is credited once, whatever its service says how often."""

    async def test_topups_every_order_of_arrival_has_the_same_end(self, stores: Any) -> None:
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

    async def test_topups_parts_that_grow_are_credited_by_the_difference(self, stores: Any) -> None:
        order = await new_order(stores, credits=3333)
        for settled in (1, 333, 333, 1000, 1001):
            await stores.topups.book("till", event(order, Part("payment", settled, settled)))
            assert await balance(stores, order) == 3333 * settled // 1000
        assert (await stores.topups.get(order.id)).status == "paid"

    async def test_topups_states_do_not_go_back(self, stores: Any) -> None:
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
    async def test_topups_absurd_figures_are_refused(self, stores: Any, part: Any) -> None:
        order = await new_order(stores)
        with pytest.raises(Refusal, match="make no sense"):
            await stores.topups.book("till", event(order, part))

    async def test_topups_a_balance_never_leaves_its_bounds(self, stores: Any) -> None:
        order = await new_order(stores, credits=MAX_CREDITS // 2)
        with pytest.raises(Refusal, match="too large"):
            await stores.topups.book("till", event(order, Part("payment", 5000, 1)))
        assert await balance(stores, order) == 0
        assert (await stores.topups.get(order.id)).settled == 0

    async def test_topups_unknown_orders_and_accounts(self, stores: Any) -> None:
        assert await stores.topups.book("till", PaymentEvent("e", "topup_unknown", parts=(PAID,))) is None
        assert await stores.topups.get("topup_unknown") is None
        assert await stores.topups.set_checkout("topup_unknown", "c", "u") is None
        with pytest.raises(Refusal, match="no such account"):
            await stores.topups.open("acct_unknown", "till", currency="usd", amount=1, credits=1)

    async def test_topups_pages_of_orders(self, stores: Any) -> None:
        first = await new_order(stores)
        second = await stores.topups.open(first.account_id, "till", currency="usd", amount=1, credits=1)
        other = await new_order(stores, "b")
        listed = await stores.topups.list_topups()
        assert [topup.id for topup in listed] == [other.id, second.id, first.id]
        assert [topup.id for topup in await stores.topups.list_topups(first.account_id, before=second.id)] == [first.id]

    async def test_topups_two_processes_book_once(self, stores: Any, opening: Any) -> None:
        order = await new_order(stores)
        other = await opening()
        both = [opened.topups.book("till", event(order, PAID)) for _ in range(20) for opened in (stores, other)]
        await asyncio.gather(*both)
        assert await balance(stores, order) == 10_000_000
        entries = await stores.ledger.entries(order.account_id)
        assert [entry.kind for entry in entries] == ["topup"]
