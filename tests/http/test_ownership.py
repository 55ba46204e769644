"""A response that is being made belongs to its account, like one that is stored: to others it is not there."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.testing import Hold, Reply, openai_stream, usage

from .responses_kit import RESPONSES

ANSWER = openai_stream("secret", " text", reported=usage(10, 2))


@pytest.mark.parametrize("background", [False, True])
async def test_another_account_finds_no_running_response(site: Any, background: bool) -> None:
    go = asyncio.Event()
    site.upstream.reply(Reply([*ANSWER[:2], Hold(go), *ANSWER[2:]]))
    stranger = await site.running.new_key(credits=1_000)
    client = await site.connect()
    raw = orjson.dumps({"input": "Hello!", "stream": True, "background": background})
    await client.send(site.head_of(len(raw), path=RESPONSES) + raw)
    await client.head()
    seen = b""
    chunks = client.chunks()
    while b"secret" not in seen:
        seen += await anext(chunks)
    first = next(line for line in seen.split(b"\n") if line.startswith(b"data: "))
    response_id = orjson.loads(first[6:])["response"]["id"]
    path = f"{RESPONSES}/{response_id}"
    assert site.running.gateway.running_responses.get(site.running.account.id, response_id) is not None
    async with asyncio.timeout(30):
        found = [
            await site.running.get(path, key=stranger),
            await site.running.get(path + "?stream=true", key=stranger),
            await site.running.get(path + "?stream=true&starting_after=0", key=stranger),
            await site.running.post(path + "/cancel", {}, key=stranger),
        ]
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {stranger}"}) as session,
            session.delete(site.running.url + path) as deleted,
        ):
            found.append((deleted.status, deleted.headers, await deleted.read()))
    for status, _, body in found:
        assert status == 404, body
        assert orjson.loads(body)["error"]["code"] == "response_not_found"
        assert b"secret" not in body
    own = orjson.loads((await site.running.get(path))[2])
    assert own["status"] == "in_progress", "nobody else can end it"
    go.set()
    seen += b"".join([part async for part in chunks])
    assert b'"response.completed"' in seen
