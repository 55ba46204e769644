"""Leases, and what becomes of what the dead were in the middle of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from gateway.call import Usage
from gateway.errors import GatewayFault
from gateway.stores import CRASHED, fail_over

ERROR = {"code": "server_error", "message": "The gateway stopped."}


ERROR = {"code": "server_error"}


class FailOverPromises:
    """Holds of a process that died are settled by what is known, and once."""

    @pytest_asyncio.fixture
    async def after_crash(self, house: Any, opening: Any, stores_factory: Any) -> Any:
        """Another process that made four calls and died: returns nothing, leaves its holds."""
        dying = await opening()
        for name in ("held", "dispatched", "noted", "dear"):
            await dying.ledger.hold(house.request(name))
        for name in ("dispatched", "noted", "dear"):
            dying.ledger.mark_dispatched(name)
        dying.ledger.note_usage("noted", 9, Usage(prompt_tokens=1, completion_tokens=2))
        dying.ledger.note_usage("noted", 12, Usage(prompt_tokens=3, completion_tokens=4))
        dying.ledger.note_usage("dear", 70, Usage(prompt_tokens=3, completion_tokens=4))
        await stores_factory.crash(dying)
        return house

    async def test_fail_over_the_living_keep_their_holds(self, house: Any, opening: Any) -> None:
        await house.stores.ledger.hold(house.request("mine"))
        other = await opening()
        assert (await fail_over(other, ERROR)).holds == 0
        assert await house.balance() == (1000, 50)

    async def test_fail_over_dispatched_is_charged_what_is_known_and_the_rest_is_void(self, after_crash: Any) -> None:
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

    async def test_fail_over_it_appears_in_the_usage_log(self, after_crash: Any) -> None:
        house = after_crash
        await fail_over(house.stores, ERROR)
        logged = {one.row.request_id: one for one in await house.stores.usage.recent()}
        assert set(logged) == {"dispatched", "noted", "dear"}
        row = logged["noted"].row
        assert (row.status, row.error, row.basis, row.model) == (500, CRASHED, "estimated", "lab/model")
        assert (row.usage.prompt_tokens, row.usage.completion_tokens, logged["noted"].credits) == (3, 4, 12)

    async def test_fail_over_opening_alone_resolves_nothing(self, after_crash: Any, opening: Any) -> None:
        """Commands open the stores too; it is the gateway that resolves, when it starts and ever after."""
        other = await opening()
        assert (await after_crash.balance())[1] > 0
        await fail_over(other, ERROR)
        assert await after_crash.balance() == (918, 0)

    async def test_fail_over_a_late_settlement_of_a_given_up_hold_is_charged_once(self, after_crash: Any) -> None:
        house = after_crash
        await fail_over(house.stores, ERROR)
        for _ in range(2):
            assert await house.stores.ledger.settle("held", 30, "provider", Usage(), "lab/model") == 30
        assert await house.balance() == (1000 - 12 - 70 - 30, 0)

    async def test_fail_over_what_it_cost_beyond_the_charge_of_others_is_charged_late(self, after_crash: Any) -> None:
        """The lease ran out while the database was away; then come the bills that its process had kept."""
        house = after_crash
        await fail_over(house.stores, ERROR)
        ledger = house.stores.ledger
        for name, cost, total in (("noted", 30, 30), ("noted", 99, 30), ("dispatched", 5, 5), ("dear", 60, 70)):
            assert await ledger.settle(name, cost, "provider", Usage(), "lab/model") == total
        assert await house.balance() == (1000 - 30 - 5 - 70, 0)
        kinds = [(entry.kind, entry.amount) for entry in await ledger.entries_of("noted")]
        assert kinds == [("hold", 0), ("charge", -12), ("overrun", -18)]

    async def test_fail_over_what_was_given_back_is_not_charged_late(self, after_crash: Any) -> None:
        house = after_crash
        await fail_over(house.stores, ERROR)
        await house.stores.ledger.refund("noted", 12, key="sorry")
        assert await house.stores.ledger.settle("noted", 30, "provider", Usage(), "lab/model") == 12

    async def test_fail_over_a_late_void_of_a_given_up_hold_is_final(self, after_crash: Any) -> None:
        house = after_crash
        await fail_over(house.stores, ERROR)
        await house.stores.ledger.void("held")
        assert await house.stores.ledger.settle("held", 30, "provider", Usage(), "lab/model") == 0

    async def test_fail_over_two_heirs_resolve_each_hold_once(self, after_crash: Any, opening: Any) -> None:
        house = after_crash
        await house.stores.ledger.hold(house.request("mine"))
        heirs = [house.stores, await opening()]
        await asyncio.gather(*(fail_over(heir, ERROR) for heir in heirs * 5))
        assert await house.balance() == (918, 50)
        await house.stores.ledger.void("mine")


class LeasePromises:
    """A process is there as long as it says so, and is taken for dead afterwards."""

    async def test_lease_a_lease_lives_with_its_process(self, house: Any, opening: Any) -> None:
        other = await opening()
        presence = house.stores.presence
        assert presence.lease.lifetime is None or presence.lease.lifetime > 0
        assert await presence.renew()
        assert await presence.dead() == []
        await other.ledger.hold(house.request("left"))
        lease = other.presence.lease.id
        await other.close()
        assert await presence.dead() == [lease]
        assert (await fail_over(house.stores, ERROR)).holds == 1
        assert await presence.dead() == []

    async def test_lease_who_was_taken_for_dead_begins_nothing_and_settles_late(self, house: Any, opening: Any) -> None:
        hung = await opening()
        await hung.ledger.hold(house.request("before"))
        lease = hung.presence.lease.id
        assert await house.stores.ledger.fail_over(lease) == 1
        await house.stores.presence.bury(lease)
        assert not await hung.presence.renew()
        with pytest.raises(GatewayFault) as refused:
            await hung.ledger.hold(house.request("after"))
        assert (refused.value.status, refused.value.code) == (503, "lease_lost")
        assert await house.balance() == (1000, 0)
        # Its hold was voided: what it still has to bill is charged late, once, from what is free.
        for _ in range(2):
            assert await hung.ledger.settle("before", 30, "provider", Usage(), "lab/model") == 30
        assert await house.balance() == (970, 0)
        assert (await hung.presence.join()).id != lease
        assert await hung.presence.renew()
        await hung.ledger.hold(house.request("after"))
        assert await house.stores.presence.dead() == []
        await hung.ledger.void("after")
