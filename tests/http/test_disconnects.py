"""Callers who leave or do not read: the upstream is closed at once or read on, everything is billed once, and memory
stays bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import gateway.http.streaming.sse_response
from gateway.testing import (
    DONE_EVENT,
    Hold,
    Pause,
    Reply,
    Stall,
    chunk,
    json_reply,
    openai_completion,
    openai_error,
    openai_stream,
    sse,
    usage,
)
from gateway.testing.upstream import PATIENCE
from gateway.wire.chat.tally import ChatTally
from gateway.wire.tokens import estimate_input_tokens

from .conftest import HELLO

FIRST = sse(chunk({"content": "Hello"}))
AT_ONCE = 0.1


INPUT = estimate_input_tokens({"messages": HELLO})
"""What the provider has read by the time its caller leaves; one credit a token."""


async def closes_at_once(site: Any, left: float, number: int = 0) -> None:
    closed = await site.upstream.requests[number].wait_closed()
    assert closed - left < AT_ONCE
    assert not site.upstream.requests[number].complete


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_leaving_before_the_first_byte(site: Any) -> None:
    site.upstream.reply(Reply([Stall()]))
    client = await site.begin(stream=True)
    await site.upstream.wait_for_requests(1)
    client.abort()
    await closes_at_once(site, now())
    row = await site.row()
    assert (row.row.status, row.row.error, row.row.basis) == (499, "client_disconnected", "estimated")
    assert row.credits == INPUT, "the provider has it, whatever happens next"
    assert row.row.target == "fake/model"
    line = site.request_lines()[-1]
    assert (line["status"], line["client_left"], line["error"]) == (499, True, "client_disconnected")


async def test_leaving_after_an_opening_that_told_what_was_read(site: Any, monkeypatch: Any) -> None:
    """The opening waits for the first word, since another try may take its place; what it told is owed."""
    seen, add = asyncio.Event(), ChatTally.add

    def note(self: ChatTally, items: Any) -> Any:
        found = add(self, items)
        if self.usage is not None:
            seen.set()
        return found

    monkeypatch.setattr(ChatTally, "add", note)
    opening = {**chunk({"role": "assistant"}), "usage": usage(5000, 0)}
    site.upstream.reply(Reply([sse(opening), Stall()]))
    client = await site.begin(stream=True)
    async with asyncio.timeout(PATIENCE):
        await seen.wait()
    client.abort()
    assert (await site.row()).credits == 5000


async def test_leaving_is_no_cheaper_where_a_byte_is_a_token(site: Any) -> None:
    """Providers send many tokens in a piece; 4,000 digits with spaces between are as many tokens, not 1,000."""
    text = " ".join("0123456789" * 200)
    site.upstream.reply(Reply([sse(chunk({"content": text[:1000]})), sse(chunk({"content": text[1000:]})), Stall()]))
    client = await site.begin(stream=True)
    await client.head()
    await client.reader.readuntil(text[-20:].encode())
    client.abort()
    row = await site.row()
    assert row.credits >= INPUT + 2 * 0.9 * len(text)


async def test_leaving_in_the_middle_of_a_stream(site: Any) -> None:
    site.upstream.reply(Reply([FIRST, Stall()]))
    client = await site.begin(stream=True)
    await client.head()
    await client.reader.readuntil(b"Hello")
    client.abort()
    await closes_at_once(site, now())
    row = await site.row()
    assert (row.row.status, row.row.basis) == (499, "estimated")
    assert row.credits == await site.spent() > 0, "what was received is billed"
    line = site.request_lines()[-1]
    assert line["credits"] == row.credits, "the log is written when the bill is"
    assert (
        f'gateway_credits_total{{model="fake/model",target="fake/model"}} {row.credits}.0'
        in (await site.get("/metrics")).body.decode()
    )


async def test_an_orderly_goodbye_counts_as_well(site: Any) -> None:
    site.upstream.reply(Reply([FIRST, Stall()]))
    client = await site.begin(stream=True)
    await client.head()
    client.writer.close()
    await closes_at_once(site, now())
    assert (await site.row()).row.status == 499


async def test_leaving_while_a_whole_answer_is_awaited(site: Any) -> None:
    site.upstream.reply(json_reply(openai_completion("Hi"), delay=5))
    client = await site.begin()
    await site.upstream.wait_for_requests(1)
    client.abort()
    await closes_at_once(site, now())
    row = await site.row()
    assert (row.row.status, row.credits) == (499, INPUT)


async def test_leaving_during_a_backoff(serve: Any) -> None:
    site = await serve(upstream={"backoff": "10m", "max_backoff": "10m"})
    site.upstream.reply(json_reply(openai_error("No"), 500))
    client = await site.begin()
    await site.upstream.wait_for_requests(1)
    await asyncio.sleep(0.02)
    client.abort()
    await site.rest()
    assert (await site.row()).row.status == 499
    assert len(site.upstream.requests) == 1


async def test_leaving_while_the_body_is_sent(site: Any) -> None:
    client = await site.connect()
    await client.send(site.head_of(1000) + b'{"messages"')
    await asyncio.sleep(0.02)
    assert site.running.service.app.busy == 1
    client.abort()
    await site.rest()
    assert await site.rows() == [], "nobody knows which model it would have been"
    assert site.request_lines()[-1]["status"] == 499


async def test_leaving_at_every_moment_of_a_stream(serve: Any) -> None:
    """At any byte of the answer: exactly one bill, and no hold left (the fixture checks the books)."""
    site = await serve()
    site.upstream.answer(
        lambda _: Reply([step for event in openai_stream("Hello", " world") for step in (event, Pause(0.001))])
    )
    whole = len((await site.ask(stream=True)).body)
    for size in range(0, whole + 400, 37):
        client = await site.begin(stream=True)
        if size:
            try:
                await asyncio.wait_for(client.reader.readexactly(size), 0.5)
            except asyncio.IncompleteReadError:
                pass
            except TimeoutError:
                pass
        client.abort()
    rows = await site.rows()
    assert len(rows) == 1 + len(range(0, whole + 400, 37))
    assert {row.row.status for row in rows} == {200, 499}
    assert sum(row.credits for row in rows) == await site.spent()


async def drained(serve: Any, **upstream: Any) -> Any:
    site = await serve(upstream=upstream)
    config = site.running.config_path
    await asyncio.to_thread(
        config.write_text,
        (await asyncio.to_thread(config.read_text)).replace('"plugin":', '"on_disconnect": "drain", "plugin":'),
    )
    await site.running.gateway.reload()
    return site


async def test_drain_reads_on_and_bills_in_full(serve: Any) -> None:
    site = await drained(serve)
    go = asyncio.Event()
    rest = [sse(chunk({}, finish="stop")), sse({**chunk({}), "choices": [], "usage": usage(10, 1000)}), DONE_EVENT]
    site.upstream.reply(Reply([FIRST, Hold(go), *rest]))
    client = await site.begin(stream=True)
    await client.head()
    client.abort()
    await asyncio.sleep(0.03)
    go.set()
    row = await site.row()
    assert (row.row.status, row.row.basis, row.credits) == (499, "provider", 2010)
    assert site.upstream.requests[0].complete
    line = site.request_lines()[-1]
    assert (line["status"], line["credits"], line["completion_tokens"]) == (499, 2010, 1000)


@pytest.mark.parametrize("stream", [False, True])
async def test_drain_also_before_the_first_byte(serve: Any, stream: bool) -> None:
    site = await drained(serve)
    go = asyncio.Event()
    if stream:
        reply = Reply([Hold(go), *openai_stream("Hello", reported=usage(10, 500))])
    else:
        reply = Reply(
            [Hold(go), *json_reply(openai_completion("Hi", reported=usage(10, 500))).body],
            media_type="application/json",
        )
    site.upstream.reply(reply)
    client = await site.begin(stream=stream)
    await site.upstream.wait_for_requests(1)
    client.abort()
    await asyncio.sleep(0.03)
    go.set()
    row = await site.row()
    assert (row.row.status, row.row.basis, row.credits) == (499, "provider", 1010)


async def test_drain_ends_at_its_limit(serve: Any) -> None:
    site = await drained(serve, drain="50ms")
    site.upstream.reply(Reply([FIRST, Stall()]))
    client = await site.begin(stream=True)
    await client.head()
    client.abort()
    await site.upstream.requests[0].wait_closed()
    row = await site.row()
    assert (row.row.status, row.row.basis) == (499, "estimated")
    assert row.credits > 0


async def test_a_drained_call_keeps_its_configuration_through_a_reload(serve: Any) -> None:
    site = await drained(serve)
    go = asyncio.Event()
    site.upstream.reply(Reply([FIRST, Hold(go), *openai_stream("!", reported=usage(10, 500))[2:]]))
    client = await site.begin(stream=True)
    await client.head()
    client.abort()
    await asyncio.sleep(0.02)
    await site.running.gateway.reload()
    go.set()
    row = await site.row()
    assert (row.row.basis, row.credits) == ("provider", 1010)


PIECE = sse(chunk({"content": "x" * 16_000}))
BOUND = 2**20


async def stuck(site: Any) -> Any:
    """A client that reads the head of an endless stream and then nothing, until everything stands still."""
    client = await site.begin(stream=True)
    await client.head()
    client.writer.transport.pause_reading()
    (connection,) = site.connections()
    async with asyncio.timeout(30):
        while not connection._paused:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    return client, connection


async def test_a_client_that_does_not_read_stops_the_upstream(serve: Any) -> None:
    site = await serve(upstream={"idle": "1s"})
    count = 3000
    site.upstream.reply(Reply([*([PIECE] * count), *openai_stream("", reported=usage(10, 5))[1:]]))
    client, connection = await stuck(site)
    sizes = set()
    for _ in range(12):
        sizes.add(connection.transport.get_write_buffer_size())
        await asyncio.sleep(0.1)
    assert len(sizes) == 1, "nothing moves"
    assert max(sizes) < BOUND
    assert not site.upstream.requests[0].complete
    assert not site.upstream.requests[0].closed_at, "the silence is the client's, not the upstream's: no idle limit"
    client.writer.transport.resume_reading()
    body = b"".join([part async for part in client.chunks()])
    assert body.count(b"x" * 16_000) == count
    assert body.endswith(DONE_EVENT)
    assert (await site.row()).row.status == 200


async def test_a_client_that_never_reads_is_cut_off_in_the_end(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.http.streaming.sse_response, "LAST_BYTES", 0.05)
    site = await serve(upstream={"total": "3s"})
    site.upstream.reply(Reply([PIECE] * 3000))
    client, _ = await stuck(site)
    await site.upstream.requests[0].wait_closed()
    await site.rest()
    row = await site.row()
    assert (row.row.status, row.row.error) == (504, "upstream_total_timeout")
    assert row.credits > 0
    client.writer.transport.resume_reading()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        _ = [part async for part in client.chunks()]


async def test_a_client_that_stops_reading_and_then_leaves(site: Any) -> None:
    site.upstream.reply(Reply([PIECE] * 3000))
    client, _ = await stuck(site)
    client.abort()
    await site.upstream.requests[0].wait_closed()
    assert (await site.row()).row.status == 499
