"""Leaving at any byte of a stream, held against a model of what the provider has worked by then: the bill is never
less, and never more than what was held. For every door, every dialect of providers, before the first byte, for `n`."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gateway.testing import Hold, Reply, chunk, sse, usage
from gateway.wire.tokens import estimate_input_tokens

from .conftest import HELLO
from .test_logged_text import DOORS

WORD = "1234"
"""Four bytes: a token by any count, one for each event."""
WORDS = 6
INPUT_TOLD = 10
INPUT = min(INPUT_TOLD, estimate_input_tokens({"messages": HELLO}))
PRICE = {"input": 1, "output": 2}


def openai() -> list[bytes]:
    words = [sse(chunk({"content": WORD})) for _ in range(WORDS)]
    return [*words, sse(chunk({}, finish="stop", usage=usage(INPUT_TOLD, WORDS))), sse(b"[DONE]")]


def responses() -> list[bytes]:
    begun = {"id": "r", "object": "response", "status": "in_progress", "output": []}
    place = {"output_index": 0, "item_id": "m"}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    whole = {**item, "status": "completed", "content": [{**part, "text": WORD * WORDS}]}
    told = {"input_tokens": INPUT_TOLD, "output_tokens": WORDS, "total_tokens": INPUT_TOLD + WORDS}
    delta = {"type": "response.output_text.delta", **place, "content_index": 0, "delta": WORD}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "content_index": 0, "part": part},
        *[delta] * WORDS,
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        {"type": "response.completed", "response": {**begun, "status": "completed", "output": [whole], "usage": told}},
    ]
    return [sse({**event, "sequence_number": number}) for number, event in enumerate(events)]


def anthropic() -> list[bytes]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORD}}
    events = [
        {"type": "message_start", "message": {**head, "usage": {"input_tokens": INPUT_TOLD, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[text] * WORDS,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": WORDS}},
        {"type": "message_stop"},
    ]
    return [sse(event, name=str(event["type"])) for event in events]


def google() -> list[bytes]:
    events: list[dict[str, Any]] = []
    for count in range(1, WORDS + 1):
        told = {"promptTokenCount": INPUT_TOLD, "candidatesTokenCount": count, "totalTokenCount": INPUT_TOLD + count}
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [{"text": WORD}]}}
        if count == WORDS:
            candidate["finishReason"] = "STOP"
        events.append({"candidates": [candidate], "usageMetadata": told})
    return [sse(event) for event in events]


SPOKEN: dict[str, tuple[dict[str, Any], Any]] = {
    "chat": ({"plugin": "openai", "responses": "bridge"}, openai),
    "responses": ({"plugin": "openai", "responses": "only"}, responses),
    "anthropic": ({"plugin": "anthropic"}, anthropic),
    "google": ({"plugin": "google"}, google),
}


async def site_of(serve: Any, upstream: str, dialect: str) -> Any:
    provider = {**SPOKEN[dialect][0], "base_url": upstream + "/v1", "api_key": "leave-key-0123456789"}
    model = {"provider": "up", "upstream": "m", "price": PRICE, "context": 50_000, "max_output": 4096}
    return await serve(providers={"up": provider}, models={"fake/model": model}, credits={"hold_step": 1000})


def raw_request(site: Any, door: str, **more: Any) -> bytes:
    _, body, path = DOORS[door]
    raw = orjson.dumps({**body, **({} if door == "gemini" else {"stream": True}), **more})
    return bytes(site.head_of(len(raw), path=path) + raw)


async def turns(count: int) -> None:
    """All are in one loop and on one machine: what was written is read in the next turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def left_at(site: Any, upstream: Any, door: str, sent: bytes, requests: int = 1, **more: Any) -> tuple[Any, int]:
    """The bill of a caller who left when the provider had written these bytes, and what was held for it."""
    before, go = len(upstream.requests), asyncio.Event()
    upstream.reply(Reply([*([sent] if sent else []), Hold(go)]))
    client = await site.connect()
    await client.send(raw_request(site, door, **more))
    await upstream.wait_for_requests(before + requests)
    await turns(40)
    client.abort()
    await site.rest()
    go.set()
    row = (await site.rows())[-1]
    entries = await site.running.gateway.stores.ledger.entries_of(row.row.request_id)
    return row, sum(entry.reserved for entry in entries if entry.kind in ("hold", "hold_grow"))


def sample(events: list[bytes]) -> list[int]:
    """Every border between events, the bytes beside it, and the middle of each."""
    found, at = {0, 1}, 0
    for event in events:
        found |= {at + len(event) // 2, at + len(event) - 1, at + len(event), at + len(event) + 1}
        at += len(event)
    return sorted(place for place in found if place <= at)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("dialect", SPOKEN)
async def test_no_byte_is_a_cheap_one(serve: Any, fake_upstream: Any, dialect: str, door: str) -> None:
    site = await site_of(serve, fake_upstream.url, dialect)
    events = SPOKEN[dialect][1]()
    whole = b"".join(events)
    fake_upstream.reply(Reply([whole]))
    client = await site.connect()
    await client.send(raw_request(site, door))
    assert (await client.answer()).status == 200
    stayed = (await site.rows())[-1]
    assert (stayed.row.basis, stayed.credits) == ("provider", INPUT_TOLD + 2 * WORDS)
    places = sample(events)
    for place in places[:: max(1, len(places) // 16)]:
        sent = whole[:place]
        row, held = await left_at(site, fake_upstream, door, sent)
        worked = sum(WORD.encode() in event for event in sent.split(b"\n\n")[:-1])
        worked = min(worked, WORDS)
        where = f"{dialect} {door} byte {place} of {len(whole)}: {row.row.usage} {row.row.basis}"
        assert row.credits >= INPUT + 2 * worked, where
        assert row.row.usage.completion_tokens >= worked, where
        assert row.row.usage.prompt_tokens >= INPUT, where
        assert row.row.status == (499 if worked < WORDS else row.row.status), where
        assert 0 < row.credits <= held, where
        assert row.row.basis == "estimated" or row.credits == stayed.credits, where
    assert await site.running.gateway.stores.check() == []


@pytest.mark.parametrize("count", [2, 5])
async def test_each_request_of_several_choices_is_paid(serve: Any, fake_upstream: Any, count: int) -> None:
    """The provider gives one choice a request, so the prompt is read so many times."""
    site = await site_of(serve, fake_upstream.url, "anthropic")
    one, _ = await left_at(site, fake_upstream, "chat", b"")
    row, held = await left_at(site, fake_upstream, "chat", b"", requests=count, n=count)
    assert row.row.usage.prompt_tokens == count * one.row.usage.prompt_tokens
    assert one.credits * count <= row.credits <= held
