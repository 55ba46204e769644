"""Callers who close their half of the connection when they have asked, and those who are gone: both send the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.testing import Hold, Reply, Stall, chunk, json_reply, openai_completion, openai_stream, sse

from .conftest import Answer


async def final(client: Any) -> Answer:
    """The next answer that is not one of the interim ones, as clients read it (RFC 9110, section 15.2)."""
    while True:
        answer: Answer = await client.answer()
        if answer.status != 100:
            return answer


@pytest.mark.parametrize("stream", [False, True])
async def test_they_get_their_answer(site: Any, stream: bool) -> None:
    go = asyncio.Event()
    parts = openai_stream("Good ", "day") if stream else json_reply(openai_completion("Good day")).body
    kind = "text/event-stream" if stream else "application/json"
    site.upstream.reply(Reply([Hold(go), *parts], media_type=kind))
    client = await site.begin(stream=stream)
    client.writer.write_eof()
    await site.upstream.wait_for_requests(1)
    go.set()
    answer = await final(client)
    assert answer.status == 200
    assert b"Good" in answer.body
    assert await client.rest() == b"", "and then the connection closes"
    assert await site.spent() > 0


async def test_an_answer_that_has_begun_is_given_to_its_end(site: Any) -> None:
    go = asyncio.Event()
    first, *others = openai_stream("Good ", "day")
    site.upstream.reply(Reply([first, Hold(go), *others]))
    client = await site.begin(stream=True)
    status, _ = await client.head()
    client.writer.write_eof()
    await asyncio.sleep(0.03)  # longer than the first probes
    go.set()
    body = b"".join([part async for part in client.chunks()])
    assert status == 200
    assert body.endswith(b"data: [DONE]\n\n")
    assert b"day" in body


async def test_all_of_several_requests_are_answered(site: Any) -> None:
    site.upstream.reply(json_reply(openai_completion("Hi")))
    client = await site.connect()
    await client.send(site.request() + site.request())
    client.writer.write_eof()
    assert [(await final(client)).status for _ in range(2)] == [200, 200]
    assert await client.rest() == b""
    assert [row.row.status for row in await site.rows()] == [200, 200]


@pytest.mark.parametrize("begun", [False, True])
async def test_who_is_gone_is_missed_without_a_word_of_the_upstream(site: Any, begun: bool) -> None:
    site.upstream.reply(Reply([*([sse(chunk({"content": "x"}))] if begun else []), Stall()]))
    client = await site.begin(stream=True)
    await site.upstream.wait_for_requests(1)
    if begun:
        await client.head()
    client.writer.close()
    await site.rest()
    assert (await site.row()).row.status == 499


async def test_half_a_request_is_none(site: Any) -> None:
    client = await site.connect()
    await client.send(site.request()[:-3])
    client.writer.write_eof()
    assert await client.rest() == b""
    assert site.upstream.requests == []
