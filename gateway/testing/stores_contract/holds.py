"""Hold, grow, settle, void: what they do to the balance, in which order soever."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from typing import Any

import pytest

from gateway.call import Usage
from gateway.errors import GatewayFault, Refusal
from gateway.stores import MAX_CREDITS, AccountChange, Hold, KeySettings

USAGE = Usage(prompt_tokens=5, completion_tokens=7)


async def settle(house: Any, request_id: Any, charge: Any, basis: Any = "provider") -> Any:
    return await house.stores.ledger.settle(request_id, charge, basis, USAGE, "lab/model")


class HoldPromises:
    """Nothing is held that cannot be paid: by the balance, by the ceiling of a key, by an account that is open."""

    async def test_hold_reserves_the_upper_bound(self, house: Any) -> None:
        assert await house.stores.ledger.hold(house.request("r")) == Hold("r", 50, 20)
        assert await house.balance() == (1000, 50)
        assert await house.kinds() == [("hold", 0, 50)]

    async def test_hold_rounds_up_once(self, house: Any) -> None:
        request = house.request(base=Decimal("0.4"), unit_price=Decimal("0.15"), units=3)
        assert (await house.stores.ledger.hold(request)).amount == 1  # 0.85

    async def test_hold_clamps_to_the_balance(self, house: Any) -> None:
        hold = await house.stores.ledger.hold(house.request(units=10_000, unit_price=Decimal("3.1")))
        assert (hold.amount, hold.units) == (999, 319)  # 10 + 319 * 3.1 = 998.9; one more would be 1002
        assert await house.balance() == (1000, 999)

    async def test_hold_takes_less_base_where_all_of_it_cannot_be_paid(self, house: Any) -> None:
        def ask(name: str, base: int, **more: Any) -> Any:
            values = {"base": Decimal(base), "least_base": Decimal(100), "unit_price": Decimal(2), "units": 300, **more}
            return house.stores.ledger.hold(house.request(name, **values))

        whole = await ask("whole", 400)
        assert (whole.amount, whole.units, whole.base) == (1000, 300, None)
        await house.stores.ledger.void("whole")
        part = await ask("part", 700)
        assert (part.amount, part.units, part.base) == (1000, 300, Decimal(400))
        await house.stores.ledger.void("part")
        short = await ask("short", 700, units=500, reserve=10)
        assert (short.amount, short.units, short.covered, short.base) == (120, 450, 10, Decimal(100))
        assert await house.stores.ledger.grow("short", 440) == 440
        assert await house.balance() == (1000, 1000)
        await house.stores.ledger.void("short")
        free = await ask("free", 2_000, unit_price=Decimal(0))
        assert (free.amount, free.base) == (1000, Decimal(1000))
        await house.stores.ledger.void("free")
        with pytest.raises(Refusal, match="at least 1012 credits"):
            await ask("poor", 5_000, least_base=Decimal(1_002), least_units=5)
        assert await house.balance() == (1000, 0)

    async def test_hold_clamps_to_the_keys_ceiling(self, house: Any) -> None:
        hold = await house.stores.ledger.hold(house.request(units=10_000, monthly_limit=100))
        assert (hold.amount, hold.units) == (100, 45)

    async def test_hold_the_ceiling_stored_with_the_key_counts_too(self, house: Any) -> None:
        key, _ = await house.stores.keys.create_key(house.account.id, KeySettings(monthly_limit=30))
        hold = await house.stores.ledger.hold(house.request(key_id=key.id, monthly_limit=100))
        assert hold.amount == 30

    async def test_hold_refuses_below_the_minimum_and_names_the_balance(self, house: Any) -> None:
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.hold(house.request(base=Decimal(981), least_units=10))
        fault = refused.value
        assert (fault.status, fault.type, fault.code) == (402, "insufficient_quota", "insufficient_quota")
        assert fault.headers == {"x-should-retry": "false"}
        assert "at least 1001 credits" in fault.message
        assert "balance has 1000 credits left" in fault.message
        assert await house.balance() == (1000, 0)

    async def test_hold_refuses_below_the_minimum_and_names_the_monthly_limit(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request(monthly_limit=60))
        with pytest.raises(Refusal, match=r"monthly limit of 60 credits leaves 10 for 2026-11 .50 more are held"):
            await house.stores.ledger.hold(house.request(monthly_limit=60))

    async def test_hold_accepts_exactly_the_minimum(self, house: Any) -> None:
        hold = await house.stores.ledger.hold(house.request(base=Decimal(980), least_units=10))
        assert (hold.amount, hold.units) == (1000, 10)

    async def test_hold_a_base_alone_that_cannot_be_paid_is_refused(self, house: Any) -> None:
        with pytest.raises(Refusal):
            await house.stores.ledger.hold(house.request(base=Decimal(1001), unit_price=Decimal(0), least_units=0))

    async def test_hold_a_free_call_needs_no_credits(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request(base=Decimal(1000), unit_price=Decimal(0)))
        free = house.request("free", base=Decimal(0), unit_price=Decimal(0))
        assert await house.stores.ledger.hold(free) == Hold("free", 0, 20)
        assert await settle(house, "free", 0) == 0

    async def test_hold_the_same_hold_again_is_the_same_hold(self, house: Any) -> None:
        request = house.request("r")
        assert await house.stores.ledger.hold(request) == await house.stores.ledger.hold(request)
        assert await house.balance() == (1000, 50)

    async def test_hold_a_used_request_id_is_refused(self, house: Any) -> None:
        request = house.request("r")
        await house.stores.ledger.hold(request)
        await house.stores.ledger.void("r")
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.hold(request)
        assert refused.value.status == 409

    async def test_hold_a_strangers_request_id_is_refused(self, house: Any) -> None:
        other = await house.stores.accounts.create_account("eve", grant=100)
        await house.stores.ledger.hold(house.request("r"))
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.hold(house.request("r", account_id=other.id, key_id=""))
        assert refused.value.status == 409

    async def test_hold_a_disabled_account_is_refused(self, house: Any) -> None:
        await house.stores.accounts.update_account(house.account.id, AccountChange(("disabled",), disabled=True))
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.hold(house.request())
        assert refused.value.status == 403

    async def test_hold_a_revoked_key_is_refused_inside_the_transaction(self, house: Any) -> None:
        await house.stores.keys.revoke_key(house.key.id)
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.hold(house.request())
        assert refused.value.status == 401

    async def test_hold_a_key_of_another_account_is_refused(self, house: Any) -> None:
        other = await house.stores.accounts.create_account("eve", grant=100)
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.hold(house.request(account_id=other.id))
        assert refused.value.status == 401

    @pytest.mark.parametrize(
        "wrong",
        [
            {"base": Decimal("NaN")},
            {"base": Decimal(-1)},
            {"unit_price": Decimal("Infinity")},
            {"unit_price": Decimal("1e400")},
            {"units": -1},
            {"units": MAX_CREDITS + 1},
            {"units": True},
            {"period": "2026-13"},
            {"period": "november"},
            {"request_id": "x" * 201},
        ],
    )
    async def test_hold_nonsense_is_our_fault_and_reserves_nothing(self, house: Any, wrong: Any) -> None:
        with pytest.raises(GatewayFault):
            await house.stores.ledger.hold(house.request(**wrong))
        assert await house.balance() == (1000, 0)

    async def test_hold_months_have_ceilings_of_their_own(self, house: Any) -> None:
        for request_id, period in (("a", "2026-11"), ("b", "2026-12")):
            await house.stores.ledger.hold(house.request(request_id, period=period, monthly_limit=50))
        house.clock.move(40 * 86_400)
        await settle(house, "a", 50)
        assert await house.stores.keys.month_use(house.key.id, "2026-11") == (50, 0)
        assert await house.stores.keys.month_use(house.key.id, "2026-12") == (0, 50)
        with pytest.raises(Refusal):
            await house.stores.ledger.hold(house.request(period="2026-11", monthly_limit=50))

    async def test_hold_huge_numbers_stay_exact(self, house: Any) -> None:
        await house.stores.ledger.grant(house.account.id, MAX_CREDITS - 1000, kind="grant", key="much")
        request = house.request("r", base=Decimal(1), unit_price=Decimal("0.000000001"), units=MAX_CREDITS)
        assert (await house.stores.ledger.hold(request)).amount == 1 + -(-MAX_CREDITS // 10**9)
        await house.stores.ledger.void("r")
        hold = await house.stores.ledger.hold(house.request(base=Decimal(0), unit_price=Decimal(3), units=MAX_CREDITS))
        assert hold.units == MAX_CREDITS // 3


class StepsPromises:
    """A hold that is made for a part says what it covers, and what could be paid in all."""

    async def test_steps_reserves_the_first_step_of_what_could_be_paid(self, house: Any) -> None:
        ledger = house.stores.ledger
        assert await ledger.hold(house.request("r", units=1_000, reserve=30)) == Hold("r", 70, 495, 30)
        assert await house.balance() == (1000, 70)
        assert await ledger.hold(house.request("r", units=1_000, reserve=30)) == Hold("r", 70, 30)
        assert await ledger.grow("r", 30) == 30
        assert await house.balance() == (1000, 130)

    async def test_steps_a_step_that_covers_all_is_no_step(self, house: Any) -> None:
        ledger = house.stores.ledger
        assert await ledger.hold(house.request("all", reserve=20)) == Hold("all", 50, 20)
        assert await ledger.hold(house.request("free", unit_price=Decimal(0), reserve=1)) == Hold("free", 10, 20)

    async def test_steps_the_minimum_must_be_payable_at_once(self, house: Any) -> None:
        with pytest.raises(Refusal):
            await house.stores.ledger.hold(house.request(units=1_000, least_units=496, reserve=1))

    async def test_steps_steps_of_many_share_a_balance(self, house: Any) -> None:
        ledger = house.stores.ledger
        for number in range(10):
            await ledger.hold(house.request(f"r{number}", units=1_000, reserve=45))
        assert await house.balance() == (1000, 1000)
        assert await ledger.grow("r0", 45) == 0
        await ledger.void("r1")
        assert await ledger.grow("r0", 60) == 50


class GrowPromises:
    """A hold grows within what can be paid, or not at all."""

    async def test_grow_in_steps_until_the_balance_ends(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r", units=100))
        grown = [await house.stores.ledger.grow("r", 200) for _ in range(4)]
        assert grown == [200, 195, 0, 0]
        assert await house.balance() == (1000, 1000)
        assert await house.kinds() == [("hold", 0, 210), ("hold_grow", 0, 400), ("hold_grow", 0, 390)]
        assert await settle(house, "r", 1000) == 1000

    async def test_grow_until_the_ceiling_ends(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r", monthly_limit=60))
        assert await house.stores.ledger.grow("r", 100) == 5

    async def test_grow_rounding_does_not_add_up(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r", base=Decimal(0), unit_price=Decimal("0.1"), units=1))
        for _ in range(9):
            assert await house.stores.ledger.grow("r", 1) == 1
        assert await house.balance() == (1000, 1)

    async def test_grow_with_more_input(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        assert await house.stores.ledger.grow("r", 10, base=Decimal(900)) == 10
        assert await house.balance() == (1000, 970)
        assert await house.stores.ledger.grow("r", 10, base=Decimal(29)) == 0
        assert await house.balance() == (1000, 970)

    async def test_grow_only_open_holds_of_enabled_accounts_grow(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        await house.stores.ledger.hold(house.request("s"))
        await house.stores.ledger.void("r")
        await house.stores.accounts.update_account(house.account.id, AccountChange(("disabled",), disabled=True))
        assert [await house.stores.ledger.grow(name, 1) for name in ("r", "s", "unknown")] == [0, 0, 0]


class SettlePromises:
    """A hold becomes one charge, once; what it did not cover is paid as far as there is room, and told."""

    async def test_settle_charges_and_releases_the_rest(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        assert await settle(house, "r", 12) == 12
        assert await house.balance() == (988, 0)
        assert await house.kinds() == [("hold", 0, 50), ("charge", -12, -50)]
        entry = (await house.stores.ledger.entries(house.account.id, newest_first=True, limit=1))[0]
        assert (entry.basis, entry.request_id, entry.key_id) == ("provider", "r", house.key.id)
        assert (entry.model, entry.balance) == ("lab/model", 988)

    async def test_settle_beyond_the_hold_is_an_overrun_that_is_paid_where_possible(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        assert await settle(house, "r", 80) == 80
        assert await house.kinds() == [("hold", 0, 50), ("charge", -50, -50), ("overrun", -30, 0)]

    async def test_settle_an_overrun_never_takes_what_others_hold(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        await house.stores.ledger.hold(house.request("s", base=Decimal(900)))
        assert await settle(house, "r", 5000) == 60
        assert await house.balance() == (940, 940)
        entries = await house.stores.ledger.entries(house.account.id)
        assert [entry.unpaid for entry in entries if entry.kind == "overrun"] == [4940]

    async def test_settle_an_overrun_never_breaks_the_keys_ceiling(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r", monthly_limit=55))
        assert await settle(house, "r", 80) == 55
        assert await house.stores.keys.month_use(house.key.id, "2026-11") == (55, 0)

    @pytest.mark.parametrize("order", list(itertools.product(["settle", "void"], repeat=3)), ids="-".join)
    async def test_settle_the_first_end_counts(self, house: Any, order: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        charged = []
        for i, what in enumerate(order):
            if what == "void":
                await house.stores.ledger.void("r")
            else:
                charged.append(await settle(house, "r", 10 + i))
        expected = 10 if order[0] == "settle" else 0
        assert set(charged) <= {expected}
        assert await house.balance() == (1000 - expected, 0)

    async def test_settle_a_hundred_at_once_charge_once(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        charged = await asyncio.gather(*(settle(house, "r", 20 + i) for i in range(100)))
        assert set(charged) == {20}
        assert await house.balance() == (980, 0)

    async def test_settle_basis_void_releases(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        assert await settle(house, "r", 0, "void") == 0
        assert await house.kinds() == [("hold", 0, 50), ("void", 0, -50)]

    @pytest.mark.parametrize("charge", [-1, MAX_CREDITS + 1, 1.5, True, float("nan")])
    async def test_settle_nonsense_is_our_fault_and_leaves_the_hold(self, house: Any, charge: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        with pytest.raises(GatewayFault):
            await settle(house, "r", charge)
        assert await house.balance() == (1000, 50)

    async def test_settle_without_a_hold(self, house: Any) -> None:
        with pytest.raises(GatewayFault, match="no hold"):
            await settle(house, "unknown", 10)

    async def test_settle_void_of_an_unknown_request_is_fine(self, house: Any) -> None:
        await house.stores.ledger.void("unknown")

    async def test_settle_a_disabled_account_still_pays_for_what_it_had(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        await house.stores.accounts.update_account(house.account.id, AccountChange(("disabled",), disabled=True))
        assert await settle(house, "r", 12) == 12
