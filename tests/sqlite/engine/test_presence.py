"""Leases of SQLite: exact on one machine, and fenced all the same."""

from __future__ import annotations

import pytest

from gateway.call import Usage
from gateway.errors import GatewayFault
from gateway.stores import fail_over

ERROR = {"code": "server_error"}


async def test_a_lease_lives_with_its_process(house, opening):
    other = await opening()
    presence = house.stores.presence
    assert presence.lease.lifetime is None
    assert await presence.renew()
    assert await presence.dead() == []
    await other.ledger.hold(house.request("left"))
    lease = other.presence.lease.id
    await other.close()
    assert await presence.dead() == [lease]
    assert (await fail_over(house.stores, ERROR)).holds == 1
    assert await presence.dead() == []


async def test_who_was_taken_for_dead_begins_nothing_and_settles_late(house, opening):
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
