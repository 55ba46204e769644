"""What an account may keep, have in flight, and leave lying: limits for everything that calls no model."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import orjson
import pytest

from gateway.errors import Fault
from gateway.http.server.flight import FREE, Flight, InFlight
from gateway.testing import json_reply, openai_completion, openai_stream, usage
from gateway.testing.upstream import Reply

from .conftest import Answer
from .responses_kit import RESPONSES

FINE = openai_completion("Hi", reported=usage(10, 2))
ITEM = {"type": "message", "role": "user", "content": "x" * 500}


async def send(site: Any, path: str, headers: dict[str, str] | None = None, **body: Any) -> Answer:
    """POST; large bodies as a file, because aiohttp warns of others."""
    status, found, raw = await site.running.post(path, io.BytesIO(orjson.dumps(body)), headers=headers)
    return Answer(status, {name.lower(): value for name, value in found.items()}, raw)


async def broken_off(site: Any) -> None:
    async with asyncio.timeout(30):
        while not any("does not read its answer" in line["message"] for line in site.log):
            await asyncio.sleep(0.005)


# Storage.


async def storage(site: Any) -> dict[str, int]:
    found: dict[str, int] = (await site.get("/v1/usage")).json["storage"]
    return found


async def test_what_is_kept_is_counted_and_what_is_deleted_is_not(site: Any) -> None:
    assert await storage(site) == {"bytes": 0, "max_bytes": 1 << 30, "objects": 0, "max_objects": 100_000}
    site.upstream.reply(json_reply(FINE))
    made = (await send(site, RESPONSES, input="Hi")).json
    conversation = (await send(site, "/v1/conversations", items=[ITEM, ITEM], metadata={"a": "b"})).json
    site.upstream.reply(json_reply(FINE))
    await site.ask(headers={"Idempotency-Key": "k"})
    found = await storage(site)
    assert found["objects"] == 1 + 3 + 1
    assert found["bytes"] > 1_000
    await site.running.session.delete(f"{site.running.url}/v1/responses/{made['id']}", headers=bearer(site))
    url = f"{site.running.url}/v1/conversations/{conversation['id']}"
    await site.running.session.delete(url, headers=bearer(site))
    assert (await storage(site))["objects"] == 1


def bearer(site: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {site.running.key}"}


@pytest.mark.parametrize("limits", [{"objects_per_account": 1}, {"bytes_per_account": 100}])
async def test_a_full_account_keeps_nothing_more_and_says_so(serve: Any, limits: Any) -> None:
    site = await serve(storage=limits)
    full = (await send(site, "/v1/conversations", items=[ITEM])).json["id"]
    before = await storage(site)
    refused = [
        await send(site, "/v1/conversations", items=[ITEM]),
        await send(site, f"/v1/conversations/{full}/items", items=[ITEM]),
        await send(site, RESPONSES, input="Hi", background=True),
        await send(site, RESPONSES, input="Hi", store=True),
        await send(site, RESPONSES, input="Hi", conversation=full),
        await site.ask(headers={"Idempotency-Key": "k"}),
    ]
    assert [(answer.status, answer.error["code"]) for answer in refused] == [(403, "storage_quota_exceeded")] * 6
    assert len(site.upstream.requests) == 0
    site.upstream.reply(json_reply(FINE))
    answered = await send(site, RESPONSES, input="Hi")
    assert (answered.status, answered.json["store"]) == (200, False)
    assert answered.headers["x-gateway-not-stored"] == "storage"
    assert await storage(site) == before
    url = f"{site.running.url}/v1/conversations/{full}"
    await site.running.session.delete(url, headers=bearer(site))
    assert (await send(site, "/v1/conversations", items=[ITEM])).status == 200, "deleting makes room"


async def test_an_answer_that_was_kept_is_given_again_by_a_full_account(serve: Any) -> None:
    site = await serve(storage={"objects_per_account": 1})
    site.upstream.reply(json_reply(FINE))
    headers = {"Idempotency-Key": "k"}
    first, again = await site.ask(headers=headers), await site.ask(headers=headers)
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert (await site.ask(headers={"Idempotency-Key": "other"})).status == 403


# In flight.


def test_small_requests_are_not_counted_and_large_ones_with_all_their_bytes() -> None:
    in_flight = InFlight()
    flight = Flight(in_flight, 200_000, 150_000)
    flight.account = "a"
    flight.take(FREE)
    assert in_flight.total == 0
    flight.take(1)
    assert (in_flight.total, dict(in_flight.account)) == (FREE + 1, {"a": FREE + 1})
    with pytest.raises(Fault) as refused:
        flight.take(150_000 - FREE)
    assert (refused.value.status, refused.value.code) == (429, "too_many_bytes_in_flight")
    other = Flight(in_flight, 200_000, 150_000)
    other.account = "b"
    with pytest.raises(Fault) as refused:
        other.take(200_000 - FREE)
    assert (refused.value.status, refused.value.type, refused.value.headers["connection"]) == (
        503,
        "overloaded",
        "close",
    )
    other.hold(200_000)
    assert in_flight.total == 200_000 + FREE + 1, "what is paid for is counted, and not refused"
    for each in (flight, other, other):
        each.release()
    assert (in_flight.total, dict(in_flight.account)) == (0, {})


async def test_stalled_bodies_of_one_account_are_bounded_and_others_go_on(serve: Any) -> None:
    site = await serve(server={"max_in_flight_per_account": "1MiB"})
    in_flight = site.running.service.app._in_flight
    stalled = []
    for _ in range(2):
        client = await site.connect()
        await client.send(site.head_of(1_000_000) + b" " * 500_000)
        stalled.append(client)
    async with asyncio.timeout(30):
        while in_flight.total < 1_000_000:
            await asyncio.sleep(0.001)
    client = await site.connect()
    await client.send(site.head_of(1_000_000) + b" " * 100_000)
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (429, "too_many_bytes_in_flight")
    assert "retry-after" in answer.headers
    site.upstream.reply(json_reply(FINE))
    assert (await site.ask(key=await site.running.new_key(credits=10_000_000))).status == 200
    for client in stalled:
        client.abort()
    await site.rest()
    assert in_flight.total == 0


async def test_unread_answers_of_one_account_are_bounded(serve: Any) -> None:
    site = await serve(server={"max_in_flight_per_account": "20MiB"})
    items = [{**ITEM, "content": "x" * 3_000_000}] * 4
    conversation = (await send(site, "/v1/conversations", items=items)).json["id"]
    path = f"/v1/conversations/{conversation}/items"
    in_flight = site.running.service.app._in_flight
    unread = await site.connect()
    unread.writer.transport.pause_reading()
    await unread.send(site.head_of(method="GET", path=path))
    async with asyncio.timeout(30):
        while in_flight.total < 11_000_000:
            await asyncio.sleep(0.001)
    refused = await site.get(path)
    assert (refused.status, refused.error["code"]) == (429, "too_many_bytes_in_flight")
    unread.writer.transport.resume_reading()
    assert len((await unread.answer(method="GET")).json["data"]) == 4
    async with asyncio.timeout(30):
        while in_flight.total:
            await asyncio.sleep(0.001)
    assert (await site.get(path)).status == 200


# Time.


async def test_what_came_at_once_is_no_credit_for_a_stall(serve: Any) -> None:
    """At 1 KiB a second a megabyte would have a quarter of an hour."""
    site = await serve(server={"body_timeout": "80ms", "min_body_rate": "1KiB"})
    client = await site.connect()
    await client.send(site.head_of(2_000_000) + b" " * 1_000_000)
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")


async def test_a_body_has_a_time_limit_however_steadily_it_comes(serve: Any) -> None:
    site = await serve(server={"max_body_time": "100ms"})
    client = await site.connect()
    await client.send(site.head_of(2_000_000))

    async def trickle() -> None:
        while True:
            await client.send(b" " * 1_000)
            await asyncio.sleep(0.005)

    sending = asyncio.ensure_future(trickle())
    answer = await client.answer()
    sending.cancel()
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")


async def test_a_stream_that_nobody_reads_is_broken_off_and_billed(serve: Any) -> None:
    site = await serve(server={"write_timeout": "100ms"})
    text = "x" * 50_000
    site.upstream.reply(Reply(openai_stream(*[text] * 400, reported=usage(10, 4000))))
    client = await site.begin(stream=True)
    client.writer.transport.pause_reading()
    await broken_off(site)
    row = await site.row()
    assert (row.row.status, row.credits > 0) == (499, True)
    client.abort()


async def test_a_whole_answer_that_nobody_reads_is_broken_off(serve: Any) -> None:
    site = await serve(server={"write_timeout": "100ms"})
    items = [{**ITEM, "content": "x" * 3_000_000}] * 4
    conversation = (await send(site, "/v1/conversations", items=items)).json["id"]
    client = await site.connect()
    client.writer.transport.pause_reading()
    await client.send(site.head_of(method="GET", path=f"/v1/conversations/{conversation}/items"))
    await broken_off(site)
    async with asyncio.timeout(30):
        while site.running.service.app._in_flight.total:
            await asyncio.sleep(0.001)


async def test_a_slow_reader_that_keeps_the_rate_gets_all_of_it(serve: Any) -> None:
    site = await serve(server={"write_timeout": "500ms", "min_body_rate": "1KiB"})
    items = [{**ITEM, "content": "x" * 3_000_000}] * 4
    conversation = (await send(site, "/v1/conversations", items=items)).json["id"]
    client = await site.connect()
    await client.send(site.head_of(method="GET", path=f"/v1/conversations/{conversation}/items"))
    _, headers = await client.head()
    body = b""
    while len(body) < int(headers["content-length"]):
        part = await client.reader.read(300_000)
        assert part, "broken off"
        body += part
        await asyncio.sleep(0.04)
    assert len(orjson.loads(body)["data"]) == 4
