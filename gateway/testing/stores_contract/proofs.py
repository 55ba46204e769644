"""Money under concurrency, from several processes at once, and the life of a store."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from gateway.call import Usage
from gateway.errors import Refusal
from gateway.stores import fail_over

USAGE = Usage(prompt_tokens=10, completion_tokens=20)


class ProofsPromises:
    """However many ask at once, over several processes, nothing is paid or spent twice, and no balance is overdrawn."""

    async def test_proof_exactly_what_the_balance_pays_for(self, house: Any, opening: Any) -> None:
        everybody = [house.stores, await opening(), await opening()]

        async def one(number: int) -> int:
            ledger = everybody[number % 3].ledger
            request = house.request(f"race-{number}", base=Decimal(50), unit_price=Decimal(0))
            try:
                await ledger.hold(request)
            except Refusal as refused:
                return 0 if refused.status == 402 else -1
            ledger.mark_dispatched(request.request_id)
            return int(await ledger.settle(request.request_id, 50, "provider", USAGE, "lab/model"))

        charged = await asyncio.gather(*(one(number) for number in range(120)))
        assert sorted(charged, reverse=True) == [50] * 20 + [0] * 100
        assert await house.balance() == (0, 0)

    async def test_proof_a_ceiling_is_exact_over_processes(self, house: Any, opening: Any) -> None:
        other = await opening()
        requests = [house.request(f"r{number}", units=1, monthly_limit=60) for number in range(20)]
        found = await asyncio.gather(
            *((house.stores, other)[i % 2].ledger.hold(request) for i, request in enumerate(requests)),
            return_exceptions=True,
        )
        assert sum(not isinstance(one, Refusal) for one in found) == 5
        assert await house.stores.keys.month_use(house.key.id, house.period) == (0, 60)

    async def test_proof_settling_and_voiding_at_once_ends_once(self, house: Any, opening: Any) -> None:
        other = await opening()
        for number in range(10):
            name = f"r{number}"
            await house.stores.ledger.hold(house.request(name))
            ends = [house.stores.ledger.settle(name, 7, "provider", USAGE, "m"), other.ledger.void(name),
                    other.ledger.settle(name, 9, "provider", USAGE, "m"), house.stores.ledger.void(name)]  # fmt: skip
            await asyncio.gather(*ends)
        ends = [kind for kind, _, _ in await house.kinds() if kind in ("charge", "void")]
        assert len(ends) == 10

    async def test_proof_steps_over_processes_never_overdraw(self, house: Any, opening: Any) -> None:
        other = await opening()
        for number in range(4):
            await house.stores.ledger.hold(house.request(f"r{number}", units=1000, reserve=10))
        grown = await asyncio.gather(
            *((house.stores, other)[i % 2].ledger.grow(f"r{i % 4}", 37) for i in range(60)),
        )
        balance, held = await house.balance()
        assert held == 4 * 30 + 2 * sum(grown)
        assert held <= balance
        assert balance - held < 2

    async def test_proof_a_cancelled_caller_leaves_no_trace_or_a_whole_one(self, house: Any) -> None:
        ledger = house.stores.ledger

        async def one(number: int) -> None:
            await ledger.hold(house.request(f"r{number}", units=0, least_units=0))
            await ledger.settle(f"r{number}", 3, "provider", USAGE, "m")

        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(one(number)) for number in range(60)]
        for turn, task in enumerate(tasks):
            if turn % 3 == 0:
                await asyncio.sleep(0)
            if turn % 2:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in range(60):
            await ledger.void(f"r{number}")
        balance, held = await house.balance()
        charges = sum(kind == "charge" for kind, _, _ in await house.kinds())
        assert (balance, held) == (1000 - 3 * charges, 0)
        assert charges >= 30

    async def test_proof_one_refund_and_one_voucher_over_processes(self, house: Any, opening: Any) -> None:
        other = await opening()
        both = (house.stores.ledger, other.ledger)
        await both[0].hold(house.request("r"))
        await both[0].settle("r", 30, "provider", USAGE, "m")
        refunds = [both[i % 2].refund("r", 20, key=f"k{i}") for i in range(10)]
        done = await asyncio.gather(*refunds, return_exceptions=True)
        assert sum(not isinstance(one, Refusal) for one in done) == 1
        (code,) = await both[0].create_vouchers(1, 40)
        done = await asyncio.gather(
            *(both[i % 2].redeem(house.account.id, code) for i in range(10)), return_exceptions=True
        )
        assert sum(not isinstance(one, Refusal) for one in done) == 1
        assert await house.balance() == (1000 - 30 + 20 + 40, 0)


class LifePromises:
    """What was done, and noted, is there for the next who opens the store; what is over is dropped by `prune`."""

    async def test_life_it_answers_and_tells_what_it_is(self, house: Any) -> None:
        await house.stores.ping()
        told = house.stores.describe()
        assert {"kind", "place", "version"} <= set(told)
        assert all(isinstance(value, str) for value in told.values())

    async def test_life_what_was_done_is_there_for_the_next(self, house: Any, opening: Any) -> None:
        await house.stores.ledger.hold(house.request("open"))
        await house.stores.ledger.hold(house.request("r"))
        await house.stores.ledger.settle("r", 30, "provider", USAGE, "m")
        await house.stores.close()
        await house.stores.close()
        house.stores = await opening()
        assert await house.stores.keys.authenticate(house.plain, "192.0.2.1") is not None
        assert (await house.balance())[0] == 970
        assert (await fail_over(house.stores, {})).holds == 1, "what a closed process left open is the others'"
        assert await house.balance() == (970, 0)
        assert await house.stores.check() == []

    async def test_life_notes_that_nobody_waits_for_are_there_after_a_close(self, house: Any, opening: Any) -> None:
        other = await opening()
        await other.ledger.hold(house.request("r"))
        other.ledger.mark_dispatched("r")
        other.ledger.note_usage("r", 17, USAGE)
        await other.close()
        await fail_over(house.stores, {})
        assert await house.balance() == (983, 0)

    async def test_life_prune_drops_what_is_over(self, house: Any) -> None:
        await house.stores.sessions.open_session(house.account.id, lifetime=10)
        now = int(house.clock.time())
        assert await house.stores.prune(now, usage_before=0) == {}
        assert await house.stores.prune(now + 11, usage_before=0) == {"sessions": 1}
