"""What stands before a new turn: what can be continued, what cannot, and what references mean."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import CallerFault
from gateway.responses.history import conversation_of, listed_chain, load_earlier, load_references
from gateway.stores import Chain, Turn

ASKED = {"type": "message", "role": "user", "content": "Hi", "id": "msg_a"}
SAID = {"type": "message", "role": "assistant", "id": "msg_b", "status": "completed", "content": []}
HALF = {"type": "message", "role": "assistant", "id": "msg_c", "status": "incomplete", "content": []}
CALLED = {"type": "function_call", "id": "fc_a", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"}
HALF_CALLED = {**CALLED, "id": "fc_b", "arguments": '{"a":', "status": "incomplete"}


class Store:
    """One account's responses and conversations; notes who asks and for what."""

    def __init__(self, chain: Chain | None = None, items: Sequence[Any] | None = None, stored: Any = None) -> None:
        self._chain, self._items, self._stored = chain, items, stored
        self.asked: list[tuple[str, ...]] = []

    async def chain(self, account_id: str, response_id: str, *, most: int) -> Chain | None:
        self.asked.append((account_id, response_id))
        return self._chain

    async def conversation_items(self, account_id: str, conversation_id: str, *, most: int) -> Sequence[Any] | None:
        self.asked.append((account_id, conversation_id))
        return self._items

    async def get(self, account_id: str, response_id: str) -> Any:
        self.asked.append((account_id, response_id))
        return self._stored

    async def find_items(self, account_id: str, ids: Sequence[str]) -> dict[str, Any]:
        self.asked.append((account_id, *ids))
        return {item_id: SAID for item_id in ids if item_id == "msg_b"}


def services(store: Store) -> Any:
    return SimpleNamespace(store=store, conversations=store, settings=SimpleNamespace(max_context=1000))


def turn(status: str, *output: Any) -> Turn:
    return Turn(f"resp_{status}", status, [ASKED], output)


async def test_a_first_turn_asks_nothing() -> None:
    store = Store()
    assert await load_earlier(services(store), "acct", {"input": "Hi"}) == ((), frozenset())
    assert store.asked == []


async def test_a_chain_is_what_was_asked_and_said() -> None:
    store = Store(Chain([turn("completed", SAID), turn("incomplete", HALF)]))
    found, _ = await load_earlier(services(store), "acct", {"previous_response_id": "resp_x"})
    assert found == [ASKED, SAID, ASKED, HALF]
    assert store.asked == [("acct", "resp_x")]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_of_a_turn_that_broke_off_only_what_can_be_built_upon(status: str) -> None:
    store = Store(Chain([turn(status, HALF, CALLED, HALF_CALLED)]))
    found, _ = await load_earlier(services(store), "acct", {"previous_response_id": "resp_x"})
    assert found == [ASKED, HALF, CALLED], "half a call cannot be answered, half a text can be read"


@pytest.mark.parametrize(
    ("chain", "status", "code"),
    [
        (None, 404, "previous_response_not_found"),
        (Chain([turn("completed", SAID)], lost=True), 404, "previous_response_not_found"),
        (Chain([turn("in_progress")]), 400, "previous_response_in_progress"),
        (Chain([turn("queued")]), 400, "previous_response_in_progress"),
    ],
)
async def test_what_cannot_be_continued(chain: Chain | None, status: int, code: str) -> None:
    with pytest.raises(CallerFault) as raised:
        await load_earlier(services(Store(chain)), "acct", {"previous_response_id": "resp_x"})
    assert (raised.value.status, raised.value.code, raised.value.param) == (status, code, "previous_response_id")


async def test_a_conversation() -> None:
    store = Store(items=[ASKED, SAID])
    assert await load_earlier(services(store), "acct", {"conversation": {"id": "conv_1"}}) == (
        [ASKED, SAID],
        frozenset(),
    )
    assert store.asked == [("acct", "conv_1")]
    with pytest.raises(CallerFault) as raised:
        await load_earlier(services(Store()), "acct", {"conversation": "conv_1"})
    assert raised.value.code == "conversation_not_found"


def test_the_conversation_that_a_request_names() -> None:
    named = ({}, {"conversation": None}, {"conversation": "c"}, {"conversation": {"id": "c"}})
    assert [conversation_of(request) for request in named] == ["", "", "c", "c"]


async def test_references_ask_only_for_what_does_not_stand_before() -> None:
    def reference(item_id: str) -> dict[str, str]:
        return {"type": "item_reference", "id": item_id}

    store = Store()
    request = {"input": [reference("msg_a"), reference("msg_b"), reference("msg_b"), reference("msg_x")]}
    assert await load_references(services(store), "acct", request, [ASKED]) == {"msg_b": SAID}
    assert store.asked == [("acct", "msg_b", "msg_x")]
    assert await load_references(services(store), "acct", {"input": "text"}, []) == {}
    with pytest.raises(CallerFault, match="at most 100"):
        await load_references(services(store), "acct", {"input": [reference(f"m{n}") for n in range(101)]}, [])


async def test_an_id_that_was_given_to_an_input_item_leads_to_its_response() -> None:
    asked = {"type": "message", "role": "user", "content": "Hi"}
    (listed,) = listed_chain(Chain([Turn("resp_abc", "completed", [asked], [])]))
    store = Store(stored=SimpleNamespace(id="resp_abc", input=[asked]))
    request = {"input": [{"type": "item_reference", "id": listed["id"]}]}
    found = await load_references(services(store), "acct", request, [])
    assert found == {listed["id"]: listed}
    assert store.asked == [("acct", "resp_abc")]


def test_a_chain_is_listed_without_the_last_answer() -> None:
    chain = Chain([Turn("resp_a", "completed", [ASKED], [SAID]), Turn("resp_b", "completed", [ASKED], [CALLED])])
    assert [item["id"] for item in listed_chain(chain)] == ["msg_a", "msg_b", "msg_a"]
