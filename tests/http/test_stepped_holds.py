"""Holds of streams that grow while the answer grows, and what happens when they cannot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.testing import Hold, Reply, Stall, chunk, json_reply, openai_completion, openai_stream, sse, usage
from gateway.wire.tokens import estimate_input_tokens

from .responses_kit import check_stream, read_stream

HELLO = [{"role": "user", "content": "Hello!"}]
INPUT = estimate_input_tokens({"messages": HELLO})
STEP = 100
WORD = "word"
"""Four bytes: one token by our count, whatever is counted."""


def words(count: int) -> list[bytes]:
    return [sse(chunk({"content": WORD})) for _ in range(count)]


async def account_of(site: Any, name: str = "account 1") -> Any:
    found = await site.running.gateway.stores.accounts.find_account(name)
    assert found is not None
    return found


@pytest.fixture
async def site(serve: Any) -> Any:
    return await serve(credits={"hold_step": STEP})


async def held(site: Any) -> int:
    account = await site.running.gateway.stores.accounts.get_account(site.running.account.id)
    return int(account.held)


async def test_a_stream_holds_one_step_and_a_whole_answer_all(site: Any) -> None:
    go = asyncio.Event()
    site.upstream.reply(Reply([*words(1), Hold(go), *openai_stream("x")]))
    client = await site.begin(stream=True)
    await client.head()
    bound = await held(site) - STEP * 2
    assert 0 < bound < 2_000, "the bounded input, and one step at 2 credits a token"
    assert "max_tokens" not in site.upstream.requests[0].json, "nothing was clamped"
    go.set()
    await site.rest()
    waits = asyncio.Event()
    site.upstream.reply(Reply([Hold(waits), b"{}"], media_type="application/json"))
    asked = asyncio.create_task(site.ask())
    await site.upstream.wait_for_requests(2)
    assert await held(site) == bound + 4096 * 2
    waits.set()
    assert (await asked).status == 502


async def test_a_step_larger_than_the_answer_changes_nothing(site: Any) -> None:
    go = asyncio.Event()
    site.upstream.reply(Reply([*words(1), Hold(go), *openai_stream("x")]))
    client = await site.begin(stream=True, max_tokens=STEP)
    await client.head()
    before = await held(site)
    go.set()
    await site.rest()
    kinds = [entry.kind for entry in await site.running.gateway.stores.ledger.entries()]
    assert before > 0
    assert kinds.count("hold_grow") == 0


async def test_the_hold_grows_with_the_answer(site: Any) -> None:
    pauses = [asyncio.Event() for _ in range(3)]
    body: list[Any] = []
    for pause in pauses:
        body += [*words(120), Hold(pause)]
    site.upstream.reply(Reply([*body, *openai_stream("x", reported=usage(10, 361))]))
    client = await site.begin(stream=True)
    await client.head()
    before = 0
    for number, pause in enumerate(pauses, 1):
        for _ in range(120):
            await client.reader.readuntil(WORD.encode())
        await asyncio.sleep(0.03)
        now = await held(site)
        assert now > before
        assert now >= 2 * 120 * number, "always more than what was delivered"
        before = now
        pause.set()
    text = await client.reader.readuntil(b"0\r\n\r\n")
    assert b"[DONE]" in text
    assert await site.spent() == 10 + 361 * 2
    kinds = [entry.kind for entry in await site.running.gateway.stores.ledger.entries()]
    assert 3 <= kinds.count("hold_grow") <= 8
    assert kinds.count("overrun") == 0


async def test_small_balances_stay_usable(site: Any) -> None:
    """Two open-ended streams beside each other, on a balance that could hold only one in full."""
    go = asyncio.Event()
    site.upstream.reply(Reply([*words(3), Hold(go), *openai_stream("x", reported=usage(10, 4))]))
    key = await site.running.new_key(credits=8_192 + 1_000)
    asked = [asyncio.create_task(site.ask(key=key, stream=True)) for _ in range(2)]
    await site.upstream.wait_for_requests(2)
    go.set()
    answers = [await task for task in asked]
    assert [answer.status for answer in answers] == [200, 200]
    assert all(answer.events[-1] == "[DONE]" for answer in answers)


async def test_the_balance_ends_in_the_middle(site: Any) -> None:
    """Another call took what was left: the gateway ends the answer itself, and bills what it delivered."""
    site.upstream.reply(Reply([*words(5_000), Stall()]))
    key = await site.running.new_key(credits=1_000)
    account = await account_of(site)
    stores = site.running.gateway.stores
    go = asyncio.Event()
    site.upstream.reply(Reply([*words(10), Hold(go), *words(5_000), Stall()]))
    client = await site.connect()
    request = site.request(stream=True).replace(site.running.key.encode(), key.encode())
    await client.send(request)
    await client.head()
    found = await stores.accounts.get_account(account.id)
    spare = found.balance - found.held
    await stores.ledger.grant(account.id, -spare + 50, kind="correction", key="gone")
    go.set()
    raw = b"".join([part async for part in client.chunks()])
    events = [line for line in raw.split(b"\n\n") if line]
    assert events[-1] == b"data: [DONE]"
    assert b'"finish_reason":"length"' in events[-2]
    assert b'"usage"' in events[-2]
    assert b'"cost"' in events[-2]
    await site.upstream.requests[0].wait_closed()
    await site.rest()
    delivered = raw.count(WORD.encode())
    assert (STEP + 25) * 3 // 4 <= delivered <= STEP + 25, "the first step, and what the last credits paid"
    row = (await site.rows())[-1]
    assert (row.row.status, row.row.basis, row.row.usage.completion_tokens) == (200, "estimated", delivered)
    assert row.credits == INPUT + 2 * delivered
    left = await stores.accounts.get_account(account.id)
    assert (left.held, left.balance >= 0) == (0, True)
    kinds = [entry.kind for entry in await stores.ledger.entries(account.id)]
    assert "overrun" not in kinds


async def test_credits_that_come_back_in_time_let_it_go_on(site: Any) -> None:
    key = await site.running.new_key(credits=1_000)
    account = await account_of(site)
    stores = site.running.gateway.stores
    one, two = asyncio.Event(), asyncio.Event()
    site.upstream.reply(
        Reply([*words(10), Hold(one), *words(60), Hold(two), *words(60), *openai_stream("x", reported=usage(10, 131))])
    )
    client = await site.connect()
    await client.send(site.request(stream=True).replace(site.running.key.encode(), key.encode()))
    await client.head()
    found = await stores.accounts.get_account(account.id)
    await stores.ledger.grant(account.id, -(found.balance - found.held), kind="correction", key="gone")
    one.set()
    for _ in range(70):
        await client.reader.readuntil(WORD.encode())
    await asyncio.sleep(0.03)
    await stores.ledger.grant(account.id, 10_000, kind="grant", key="back")
    two.set()
    assert b"[DONE]" in await client.reader.readuntil(b"0\r\n\r\n")
    row = (await site.rows())[-1]
    assert row.row.basis == "provider"
    assert row.credits == 10 + 131 * 2


async def test_usage_asked_for(site: Any) -> None:
    site.upstream.reply(Reply([*words(300), Stall()]))
    key = await site.running.new_key(credits=1_000)
    answer = await cut_short(site, key, stream_options={"include_usage": True})
    *chunks, last, done = answer
    assert done == "[DONE]"
    assert last["choices"] == []
    assert last["usage"]["cost"] > 0
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


async def test_several_choices(site: Any) -> None:
    both = [
        sse({**chunk({}), "choices": [{"index": index, "delta": {"content": WORD}, "finish_reason": None}]})
        for _ in range(300)
        for index in (0, 1)
    ]
    site.upstream.reply(Reply([*both, Stall()]))
    key = await site.running.new_key(credits=1_600)
    answer = await cut_short(site, key, n=2)
    ends = [
        (choice["index"], choice["finish_reason"])
        for event in answer[:-1]
        for choice in event["choices"]
        if choice["finish_reason"]
    ]
    assert ends == [(0, "length"), (1, "length")]
    assert answer[-2]["usage"]["cost"] > 0


async def cut_short(site: Any, key: str, **body: Any) -> list[Any]:
    """A stream whose account has nothing left beside its hold; returns the events."""
    stores = site.running.gateway.stores
    account = await account_of(site)
    replies = site.upstream._answer(None)
    go = asyncio.Event()
    site.upstream.reply(Reply([replies.body[0], Hold(go), *replies.body[1:]]))
    asked = asyncio.create_task(site.ask(key=key, stream=True, **body))
    await site.upstream.wait_for_requests(1)
    await asyncio.sleep(0.02)
    found = await stores.accounts.get_account(account.id)
    await stores.ledger.grant(account.id, -(found.balance - found.held), kind="correction", key="gone")
    go.set()
    answer = await asked
    assert answer.status == 200
    await site.rest()
    return answer.events


async def test_a_model_that_thinks_unseen_is_held_for_whole(serve: Any) -> None:
    site = await serve(
        credits={"hold_step": STEP},
        models={
            "fake/model": {
                "provider": "fake",
                "upstream": "u",
                "price": {"input": 1, "output": 2},
                "max_output": 4096,
                "supported_parameters": ["reasoning_effort"],
            }
        },
    )
    go = asyncio.Event()
    site.upstream.reply(Reply([*words(1), Hold(go), *openai_stream("x")]))
    client = await site.begin(stream=True)
    await client.head()
    assert await held(site) > 8192
    go.set()


async def test_no_steps_at_all(serve: Any) -> None:
    site = await serve(credits={"hold_step": None})
    go = asyncio.Event()
    site.upstream.reply(Reply([*words(1), Hold(go), *openai_stream("x")]))
    client = await site.begin(stream=True)
    await client.head()
    assert await held(site) > 8192
    go.set()


async def test_the_database_fails_at_a_step(site: Any, monkeypatch: Any) -> None:
    site.noisy = True
    site.upstream.reply(Reply([*words(5_000), Stall()]))

    async def broken(*_: Any, **__: Any) -> int:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(type(site.running.gateway.stores.ledger), "grow", broken)
        answer = await site.ask(stream=True)
    assert answer.events[-1] == "[DONE]"
    assert answer.events[-2]["choices"][0]["finish_reason"] == "length"
    assert answer.body.count(WORD.encode()) < 2 * STEP


async def test_a_caller_who_left_in_between(site: Any) -> None:
    site.upstream.reply(Reply([*words(160), Stall()]))
    client = await site.begin(stream=True)
    await client.head()
    for _ in range(160):
        await client.reader.readuntil(WORD.encode())
    client.abort()
    row = await site.row()
    assert row.row.usage.completion_tokens == 160
    assert await site.spent() == INPUT + 320


async def test_what_was_delivered_is_noted_for_a_crash(site: Any, monkeypatch: Any) -> None:
    noted: list[tuple[int, int]] = []
    ledger = type(site.running.gateway.stores.ledger)
    real = ledger.note_usage

    def note(self: Any, request_id: str, charge: int, used: Any) -> None:
        noted.append((charge, used.completion_tokens))
        real(self, request_id, charge, used)

    monkeypatch.setattr(ledger, "note_usage", note)
    site.upstream.reply(Reply([*words(300), *openai_stream("x", reported=usage(10, 301))]))
    await site.ask(stream=True)
    assert noted
    assert all(charge == INPUT + 2 * tokens for charge, tokens in noted)
    site.upstream.reply(json_reply(openai_completion("x")))
    count = len(noted)
    await site.ask()
    assert len(noted) == count


async def test_a_response_is_incomplete(site: Any) -> None:
    go = asyncio.Event()
    site.upstream.reply(Reply([*words(10), Hold(go), *words(3_000), Stall()]))
    key = await site.running.new_key(credits=1_000)
    account = await account_of(site)
    stores = site.running.gateway.stores
    asked = asyncio.create_task(site.running.post("/v1/responses", {"input": "Hello!", "stream": True}, key=key))
    await site.upstream.wait_for_requests(1)
    await asyncio.sleep(0.02)
    found = await stores.accounts.get_account(account.id)
    await stores.ledger.grant(account.id, -(found.balance - found.held), kind="correction", key="gone")
    go.set()
    _, _, body = await asked
    events = read_stream(body)
    final = check_stream(events, published=False)
    assert events[-1]["type"] == "response.incomplete"
    assert final["incomplete_details"] == {"reason": "max_output_tokens"}
    assert final["output"][0]["status"] == "incomplete"
    delivered = body.count(b'"delta":"word"')
    assert final["usage"]["output_tokens"] == delivered <= STEP
    await site.rest()
    row = (await site.rows())[-1]
    assert (row.row.status, row.row.usage.completion_tokens) == (200, delivered)
