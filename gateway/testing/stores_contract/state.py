"""State of the Responses API, and rate windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.stores import StoredResponse, Window, fail_over

FAR = 10**7
ERROR: Mapping[str, str] = {"code": "server_error", "message": "The gateway stopped."}


def response(house: Any, name: str, **changes: Any) -> StoredResponse:
    """A stored response with one item in and one out."""
    now = int(house.clock.time())
    values: dict[str, Any] = {
        "id": name,
        "account_id": house.account.id,
        "status": "completed",
        "created": now,
        "expires": now + FAR,
        "request_id": "req_" + name,
        "input": [{"type": "message", "role": "user", "content": name}],
        "response": {"id": name, "output": [{"id": "msg_" + name, "type": "message"}]},
    }
    return StoredResponse(**(values | changes))


class ResponsesPromises:
    """Stored responses are their account's alone, chain up, and go when their time is over."""

    async def test_responses_come_back_to_their_account_alone(self, house: Any) -> None:
        store = house.stores.responses
        saved = response(house, "resp_1", events=b"tape")
        await store.save(saved, most=10_000)
        assert await store.get(house.account.id, "resp_1") == saved
        assert await store.get("acct_other", "resp_1") is None
        assert not await store.delete("acct_other", "resp_1")
        assert await store.find_items("acct_other", ["msg_resp_1"]) == {}
        found = await store.find_items(house.account.id, ["msg_resp_1", "msg_none"])
        assert found == {"msg_resp_1": {"id": "msg_resp_1", "type": "message"}}
        assert await store.delete(house.account.id, "resp_1")
        assert await store.get(house.account.id, "resp_1") is None
        with pytest.raises(Refusal) as refused:
            await store.save(response(house, "resp_2"), most=10)
        assert refused.value.status == 400

    async def test_responses_chains_are_followed_and_say_what_is_lost(self, house: Any) -> None:
        store = house.stores.responses
        before = ""
        for name in ("a", "b", "c"):
            await store.save(response(house, name, previous_id=before), most=10_000)
            before = name
        chain = await store.chain(house.account.id, "c", most=10_000)
        assert [turn.id for turn in chain.turns] == ["a", "b", "c"]
        assert not chain.lost
        with pytest.raises(Refusal):
            await store.chain(house.account.id, "c", most=10)
        assert await store.chain("acct_other", "c", most=10_000) is None
        await store.delete(house.account.id, "a")
        chain = await store.chain(house.account.id, "c", most=10_000)
        assert ([turn.id for turn in chain.turns], chain.lost) == (["b", "c"], True)

    async def test_responses_expire_but_stay_while_they_are_continued(self, house: Any) -> None:
        store, now = house.stores.responses, int(house.clock.time())
        await store.save(response(house, "a", expires=now + 10), most=10_000)
        await store.save(response(house, "b", expires=now + 50, previous_id="a"), most=10_000)
        house.clock.move(20)
        assert await store.get(house.account.id, "a") is None
        assert await store.prune(now + 20) == 0
        assert len((await store.chain(house.account.id, "b", most=10_000)).turns) == 2
        assert await store.prune(now + 60) == 2

    async def test_responses_that_run_are_ended_once(self, house: Any, opening: Any, stores_factory: Any) -> None:
        store, dying = house.stores.responses, await opening()
        for stores, name in ((house.stores, "mine"), (dying, "theirs"), (dying, "ended")):
            await stores.responses.save(
                response(house, name, status="in_progress", background=True, running=True), most=10_000
            )
        await store.ask_to_cancel("acct_other", "theirs")
        assert await dying.responses.asked_to_cancel() == []
        await store.ask_to_cancel(house.account.id, "theirs")
        assert await dying.responses.asked_to_cancel() == ["theirs"]
        assert await store.asked_to_cancel() == []
        await dying.responses.save(response(house, "ended", background=True), most=10_000)
        assert (await store.get(house.account.id, "ended")).status == "completed"
        await stores_factory.crash(dying)
        assert (await fail_over(house.stores, ERROR)).responses == 1
        failed = await store.get(house.account.id, "theirs")
        assert (failed.status, failed.running, failed.response["error"]) == ("failed", False, ERROR)
        await store.delete(house.account.id, "mine")
        await store.save(response(house, "mine", background=True), most=10_000)
        assert await store.get(house.account.id, "mine") is None, "deleted meanwhile, so it stays deleted"


class ConversationsPromises:
    """Conversations are their account's alone; their items keep their order."""

    async def test_conversations_grow_in_order(self, house: Any) -> None:
        store, account = house.stores.conversations, house.account.id
        made = await store.create_conversation(account, {"k": "v"}, [{"id": "i0"}], expires=2**40)
        assert await store.get_conversation(account, made.id) == made
        assert await store.add_items(account, made.id, [{"id": "i1"}, {"id": "i2"}], most=3)
        with pytest.raises(Refusal):
            await store.add_items(account, made.id, [{"id": "i3"}], most=3)
        saved = response(house, "r", conversation_id=made.id, items=[{"id": "i3"}])
        await house.stores.responses.save(saved, most=10_000)
        items = await store.conversation_items(account, made.id, most=10_000)
        assert [item["id"] for item in items] == ["i0", "i1", "i2", "i3"]
        with pytest.raises(Refusal):
            await store.conversation_items(account, made.id, most=5)
        assert await store.delete_item(account, made.id, "i1")
        assert not await store.delete_item(account, made.id, "i1")
        changed = await store.update_conversation(account, made.id, {})
        assert changed.metadata == {}

    async def test_conversations_belong_to_their_account(self, house: Any) -> None:
        store, account = house.stores.conversations, house.account.id
        made = await store.create_conversation(account, {}, [{"id": "i0"}], expires=2**40)
        assert await store.get_conversation("acct_other", made.id) is None
        assert await store.update_conversation("acct_other", made.id, {"a": "b"}) is None
        assert await store.conversation_items("acct_other", made.id, most=100) is None
        assert not await store.add_items("acct_other", made.id, [{"id": "x"}], most=9)
        assert not await store.delete_item("acct_other", made.id, "i0")
        assert not await store.delete_conversation("acct_other", made.id)
        assert await store.delete_conversation(account, made.id)
        assert await store.get_conversation(account, made.id) is None

    async def test_conversations_expire_with_their_items(self, house: Any) -> None:
        store, now = house.stores.conversations, int(house.clock.time())
        made = await store.create_conversation(house.account.id, {}, [{"id": "i0"}], expires=now + 10)
        assert await store.prune_conversations(now + 10) == 0
        assert await store.prune_conversations(now + 11) == 1
        assert await store.conversation_items(house.account.id, made.id, most=100) is None


class CountersPromises:
    """Windows count all that came within them, whoever counts."""

    async def test_counters_count_down_and_refuse(self, stores: Any, clock: Any) -> None:
        async def hit() -> Window:
            [window] = await stores.counters.hit([("a", 2)], 60.0)
            return window  # type: ignore[no-any-return]  # `stores` is anybody's

        assert await hit() == Window(True, 2, 1, 60.0, 0.0)
        clock.move(10)
        assert await hit() == Window(True, 2, 0, 60.0, 50.0)
        assert await hit() == Window(False, 2, 0, 60.0, 50.0)
        clock.move(49.75)
        assert (await hit()).retry_after == 0.25
        clock.move(0.25)
        assert (await hit()).allowed

    async def test_counters_a_refused_hit_counts_nowhere(self, stores: Any) -> None:
        await stores.counters.hit([("full", 1)], 60.0)
        both = await stores.counters.hit([("roomy", 5), ("full", 1)], 60.0)
        assert [(one.allowed, one.remaining) for one in both] == [(False, 5), (False, 0)]
        assert await stores.counters.peek([("roomy", 5)], 60.0) == [Window(True, 5, 5, 0.0, 0.0)]
        assert (await stores.counters.hit([("full", 1)], 5.0))[0].allowed, "windows of other lengths are apart"

    async def test_counters_tell_of_others_beside_what_they_count(self, stores: Any) -> None:
        async def hit(limit: int, *seen: tuple[str, int]) -> list[tuple[bool, int]]:
            told = await stores.counters.hit([("counted", limit)], 60.0, seen=seen)
            return [(one.allowed, one.remaining) for one in told]

        assert await hit(2, ("seen", 1), ("other", 7)) == [(True, 1), (True, 1), (True, 7)]
        await stores.counters.hit([("seen", 1)], 60.0)
        assert await hit(2, ("seen", 1), ("other", 7)) == [(True, 0), (False, 0), (False, 7)]
        assert await hit(2, ("other", 7)) == [(False, 0), (True, 7)], "what is seen does not depend on what is full"
        assert await stores.counters.peek([("other", 7)], 60.0) == [Window(True, 7, 7, 0.0, 0.0)]
