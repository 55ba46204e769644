"""Rows of keyed requests: one process runs them, a dead one's are taken over for one charge in total."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.call import Usage
from gateway.stores import fail_over
from gateway.stores.idempotency import KeptAnswer

ERROR = {"code": "server_error", "message": "The gateway stopped."}


NAME, BODY = b"n" * 32, b"b" * 32


async def claim(
    stores: Any, house: Any, request_id: Any, *, name: Any = NAME, body: Any = BODY, keep: Any = 3600
) -> Any:
    found = await stores.idempotency.claim(name, body, request_id, house.account.id, int(house.clock.time()) + keep)
    return found.state


async def finish(
    stores: Any, house: Any, request_id: Any, body: Any = b"answer", status: Any = 200, keep: Any = 3600
) -> Any:
    expires = int(house.clock.time()) + keep
    headers = {"content-type": "application/json"}
    await stores.idempotency.finish(NAME, request_id, status=status, headers=headers, body=body, expires=expires)


async def bill(stores: Any, house: Any, request_id: Any) -> Any:
    await stores.ledger.hold(house.request(request_id))
    stores.ledger.mark_dispatched(request_id)
    await stores.ledger.settle(request_id, 30, "provider", Usage(), "lab/model")


class IdempotencyPromises:
    """A name is claimed by one request; its answer is kept for whoever asks again."""

    @pytest.mark.parametrize("size", [0, 10, 300_000])
    async def test_keyed_one_runs_the_others_get_the_answer(self, house: Any, opening: Any, size: Any) -> None:
        other = await opening()
        assert await claim(house.stores, house, "r1") == "ours"
        assert await claim(other, house, "r2") == "running"
        assert await other.idempotency.is_running(NAME)
        assert await claim(other, house, "r2", body=b"x" * 32) == "conflict"
        assert await other.idempotency.get(NAME) is None
        body = bytes(range(256)) * (size // 256) + b"."
        await finish(house.stores, house, "r1", body)
        assert not await other.idempotency.is_running(NAME)
        assert await claim(other, house, "r2") == "answered"
        assert await other.idempotency.get(NAME) == KeptAnswer("r1", 200, {"content-type": "application/json"}, body)
        assert await claim(other, house, "r2", body=b"x" * 32) == "conflict"

    async def test_keyed_exactly_one_of_many_at_once(self, house: Any, opening: Any) -> None:
        other = await opening()
        stores = [house.stores, other] * 20
        found = await asyncio.gather(
            *(claim(one, house, f"r{at}", name=bytes([at // 2])) for at, one in enumerate(stores))
        )
        assert sorted(found) == ["ours"] * 20 + ["running"] * 20

    async def test_keyed_what_was_dropped_is_free(self, house: Any) -> None:
        await claim(house.stores, house, "r1")
        await house.stores.idempotency.drop(NAME, "another")
        assert await house.stores.idempotency.is_running(NAME)
        await house.stores.idempotency.drop(NAME, "r1")
        assert await claim(house.stores, house, "r2", body=b"x" * 32) == "ours"

    async def test_keyed_a_finished_answer_is_not_dropped(self, house: Any) -> None:
        await claim(house.stores, house, "r1")
        await finish(house.stores, house, "r1")
        await house.stores.idempotency.drop(NAME, "r1")
        await house.stores.idempotency.break_off(NAME, "r1")
        assert await claim(house.stores, house, "r2") == "answered"

    async def test_keyed_too_large(self, house: Any) -> None:
        await claim(house.stores, house, "r1")
        await finish(house.stores, house, "r1", b"", status=0)
        assert await claim(house.stores, house, "r2") == "too_large"
        assert await house.stores.idempotency.get(NAME) is None

    async def test_keyed_what_broke_off_is_given_back_once(self, house: Any) -> None:
        stores = house.stores
        await claim(stores, house, "r1")
        await bill(stores, house, "r1")
        await stores.idempotency.break_off(NAME, "r1")
        assert await claim(stores, house, "r2") == "ours"
        assert await house.balance() == (1000, 0)
        await bill(stores, house, "r2")
        await finish(stores, house, "r2")
        assert await claim(stores, house, "r3") == "answered"
        assert await house.balance() == (970, 0)

    async def test_keyed_a_partly_refunded_one_is_given_back_to_its_whole(self, house: Any) -> None:
        stores = house.stores
        await claim(stores, house, "r1")
        await bill(stores, house, "r1")
        await stores.ledger.refund("r1", 10, key="goodwill")
        await stores.idempotency.break_off(NAME, "r1")
        assert await claim(stores, house, "r2") == "ours"
        assert await house.balance() == (1000, 0)

    @pytest.mark.parametrize("known", [True, False])
    async def test_keyed_a_dead_process(self, house: Any, opening: Any, known: Any) -> None:
        """It stays running for the others until its calls are resolved; then they take over, and it costs once."""
        dying = await opening()
        assert await claim(dying, house, "r1") == "ours"
        await dying.ledger.hold(house.request("r1"))
        dying.ledger.mark_dispatched("r1")
        if known:
            dying.ledger.note_usage("r1", 20, Usage(prompt_tokens=1, completion_tokens=2))
        await dying.close()
        assert await claim(house.stores, house, "r2") == "running"
        assert (await fail_over(house.stores, ERROR)).holds == 1
        assert await house.balance() == (980 if known else 1000, 0)
        assert await claim(house.stores, house, "r2") == "ours"
        assert await house.balance() == (1000, 0)
        await bill(house.stores, house, "r2")
        assert await house.balance() == (970, 0)

    async def test_keyed_a_process_that_ended_in_good_order(self, house: Any, opening: Any) -> None:
        other = await opening()
        await claim(other, house, "r1")
        await other.close()
        assert await claim(house.stores, house, "r2") == "ours"

    async def test_keyed_time(self, house: Any, opening: Any) -> None:
        await claim(house.stores, house, "r1", keep=10)
        await finish(house.stores, house, "r1", keep=10)
        house.clock.move(9)
        assert await claim(house.stores, house, "r2") == "answered"
        assert await house.stores.idempotency.prune(int(house.clock.time())) == 0
        house.clock.move(1)
        assert await house.stores.idempotency.get(NAME) is None
        assert await claim(house.stores, house, "r2", body=b"x" * 32) == "ours"
        house.clock.move(4000)
        assert await house.stores.idempotency.prune(int(house.clock.time())) == 0, "it runs"
        await house.stores.idempotency.break_off(NAME, "r2")
        await house.stores.prune(int(house.clock.time()), usage_before=0)
        assert await claim(house.stores, house, "r3") == "ours"
