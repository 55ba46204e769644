"""Requests of the worst kind, half as large as the limits allow, at every door: none of them keeps the event loop busy,
and others are answered meanwhile. Work is counted, not timed: the functions that the loop's thread runs in one turn of
the loop. What a body of so many values makes would be hundreds of thousands of them."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from gateway.aside import Aside
from gateway.config import Server

VALUES = Server().json_values // 2
MOST_IN_A_TURN = 30_000
"""Functions in one turn of the loop. A few milliseconds."""

USER = {"role": "user", "content": "x"}


def messages(count: int) -> list[dict[str, Any]]:
    return [USER] * (count // 3)


def junk(count: int) -> dict[str, int]:
    return {f"k{n}": 1 for n in range(count)}


CHAT = {"model": "fake/model"}
LINK = {"type": "image_url", "image_url": {"url": "https://cats.example.com/x.png"}}
BODIES: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
    "chat, messages": lambda: ("/v1/chat/completions", {**CHAT, "messages": messages(VALUES)}),
    "chat, parts": lambda: (
        "/v1/chat/completions",
        {**CHAT, "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * (VALUES // 3)}]},
    ),
    "chat, keys": lambda: ("/v1/chat/completions", {**CHAT, "messages": [USER], **junk(VALUES)}),
    "chat, text": lambda: ("/v1/chat/completions", {**CHAT, "messages": [{**USER, "content": '"\\é' * 3_000_000}]}),
    "chat, tools": lambda: (
        "/v1/chat/completions",
        {**CHAT, "messages": [USER], "tools": [{"type": "function", "function": {"name": "f"}}] * (VALUES // 4)},
    ),
    "chat, links": lambda: (
        "/v1/chat/completions",
        {**CHAT, "messages": [{"role": "user", "content": [LINK] * (VALUES // 5)}]},
    ),
    "embeddings": lambda: ("/v1/embeddings", {**CHAT, "input": ["x"] * 2_000, **junk(VALUES - 3_000)}),
    "responses, items": lambda: (
        "/v1/responses",
        {**CHAT, "input": [USER] * 5_000, "metadata": {}, **junk(VALUES - 40_000)},
    ),
    "responses, parts": lambda: (
        "/v1/responses",
        {**CHAT, "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}] * (VALUES // 3)}]},
    ),
    "input_tokens": lambda: (
        "/v1/responses/input_tokens",
        {**CHAT, "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}] * (VALUES // 3)}]},
    ),
    "input_tokens, auto": lambda: (
        "/v1/responses/input_tokens",
        {**CHAT, "truncation": "auto", "input": [{"role": "user", "content": "x" * 2_000}] * 5_000},
    ),
    "messages": lambda: ("/v1/messages", {**CHAT, "max_tokens": 9, "messages": messages(VALUES)}),
    "messages, keys": lambda: ("/v1/messages", {**CHAT, "max_tokens": 9, "messages": [USER], **junk(VALUES)}),
    "count_tokens": lambda: ("/v1/messages/count_tokens", {**CHAT, "messages": messages(VALUES)}),
    "generateContent": lambda: (
        "/v1beta/models/fake/model:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "x"}] * (VALUES // 2)}]},
    ),
    "countTokens": lambda: (
        "/v1beta/models/fake/model:countTokens",
        {"contents": [{"role": "user", "parts": [{"text": "x"}]}] * (VALUES // 5)},
    ),
}


async def post(site: Any, path: str, raw: bytes, key: str) -> tuple[int, bytes]:
    """In pieces, because aiohttp warns of large bodies in one."""
    status, _, answer = await site.running.post(path, io.BytesIO(raw), key=key)
    return status, answer


class Turns:
    """Counts the functions of each turn of the loop; `most` is the worst."""

    def __init__(self) -> None:
        self.most = self._now = 0

    def see(self, frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self._now += 1
            self.most = max(self.most, self._now)

    def turn(self) -> None:
        self._now = 0


@contextmanager
def counted_turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    """`sys.setprofile` sees this thread alone, which is the loop's."""
    turns, original = Turns(), asyncio.Handle._run

    def run(self: asyncio.Handle) -> None:
        turns.turn()
        original(self)

    monkeypatch.setattr(asyncio.Handle, "_run", run)
    sys.setprofile(turns.see)
    try:
        yield turns
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("kind", BODIES)
async def test_no_body_keeps_the_loop_busy(serve: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = await serve()
    path, body = BODIES[kind]()
    raw = orjson.dumps(body)
    assert len(raw) <= 20 << 20
    with counted_turns(monkeypatch) as turns:
        # Without credits, so that all of it is read, checked and counted, and then refused: nobody has to answer it.
        key = await site.running.new_key(credits=0)
        turns.turn()
        turns.most = 0
        status, answer = await post(site, path, raw, key)
    assert status in (200, 400, 402), answer[:300]
    assert site.running.gateway.aside.done > 0
    assert turns.most < MOST_IN_A_TURN, f"{turns.most} functions in one turn of the loop"


def test_the_count_sees_work_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy() -> None:
        for number in range(MOST_IN_A_TURN):
            len(range(number))

    with counted_turns(monkeypatch) as turns:
        asyncio.run(busy())
    assert turns.most >= MOST_IN_A_TURN


@pytest.mark.parametrize("kind", ["chat, messages", "input_tokens", "count_tokens", "countTokens"])
async def test_others_are_answered_while_a_big_request_is_worked_on(
    serve: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that reads the big body waits for a gate that opens only when the neighbour has its answer."""
    site = await serve()
    begun, gate = threading.Event(), threading.Event()
    original = Aside.__call__

    async def gated(self: Aside, size: int, work: Any, *given: Any, **named: Any) -> Any:
        def waiting(*given: Any, **named: Any) -> Any:
            if size > 1 << 20:
                begun.set()
                assert gate.wait(30)
            return work(*given, **named)

        return await original(self, size, waiting, *given, **named)

    monkeypatch.setattr(Aside, "__call__", gated)
    path, body = BODIES[kind]()
    key = await site.running.new_key(credits=0)
    big = asyncio.ensure_future(post(site, path, orjson.dumps(body), key))
    assert await asyncio.to_thread(begun.wait, 30)
    status, _, _ = await site.running.get("/v1/models")
    assert status == 200
    assert not big.done()
    gate.set()
    status, answer = await big
    assert status in (200, 400, 402), answer[:300]


async def test_a_call_for_which_there_is_no_room_is_refused_before_its_body_is_read(serve: Any) -> None:
    site = await serve(rate_limit={"requests_per_minute": 1})
    key = await site.running.new_key(credits=0)
    assert (await site.ask(key=key)).status == 402
    client = await site.connect()
    head = site.head_of(20_000_000).replace(site.running.key.encode(), key.encode())
    await client.send(head)  # and not one byte of the body
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
    assert float(answer.headers["retry-after"]) > 0


async def test_every_request_of_an_account_counts_whatever_it_asks_for(serve: Any) -> None:
    site = await serve(rate_limit={"requests_per_minute": 2, "other_requests_per_minute": 3})
    asked = [await site.get(path) for path in ("/v1/models", "/v1/usage", "/v1/responses/resp_x", "/v1/models")]
    asked.append(await site.ask(path="/v1/conversations"))
    assert [answer.status for answer in asked] == [200, 200, 404, 200, 200]
    refused = await site.get("/v1/models")
    assert (refused.status, refused.error["type"], refused.error["code"]) == (429, "rate_limit", "rate_limit_exceeded")
    assert refused.headers["x-ratelimit-limit-requests"] == "5"
    assert "retry-after" in refused.headers
    assert (await site.ask()).status == 429
    assert (await site.get("/v1/models", key=await site.running.new_key(credits=0))).status == 200, "another account's"
