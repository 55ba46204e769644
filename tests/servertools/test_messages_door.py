"""The loop on `POST /v1/messages`, through Anthropic's SDK, on an upstream that speaks chat."""

from __future__ import annotations

import anthropic
import orjson
import pytest

from .conftest import Turn, call
from .test_chat_loop import CITED

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
ASK = [{"role": "user", "content": "?"}]


@pytest.fixture
async def client(bench):
    async with anthropic.AsyncAnthropic(base_url=bench.gateway.url, api_key=bench.gateway.key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
async def test_search(bench, client, stream):
    bench.model.script(Turn("Look.", [call("web_search", {"query": "moon"})]), Turn(CITED))
    request = {"model": "fake/model", "max_tokens": 500, "messages": ASK, "tools": [SEARCH]}
    if stream:
        async with client.messages.stream(**request) as events:
            message = await events.get_final_message()
    else:
        message = await client.messages.create(**request)
    kinds = [block.type for block in message.content]
    assert sorted(kinds) == sorted(
        ["text", "server_tool_use", "web_search_tool_result", "text"][: len(kinds)] if stream else kinds
    )
    use = next(block for block in message.content if block.type == "server_tool_use")
    found = next(block for block in message.content if block.type == "web_search_tool_result")
    assert use.input == {"query": "moon"}
    assert found.tool_use_id == use.id
    assert [result.url for result in found.content] == ["https://moon.example/a", "https://sun.example/b"]
    text = "".join(block.text for block in message.content if block.type == "text")
    assert text == "Look." + CITED
    cited = [citation for block in message.content if block.type == "text" for citation in block.citations or ()]
    assert [citation.url for citation in cited] == ["https://moon.example/a"]
    assert message.stop_reason == "end_turn"
    assert message.usage.server_tool_use.web_search_requests == 1
    assert message.usage.input_tokens == 20
    # and what came goes back in the next turn
    bench.model.script(Turn("You are welcome."))
    history = [
        *ASK,
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]},
    ]
    again = await client.messages.create(
        model="fake/model", max_tokens=500, messages=[*history, {"role": "user", "content": "Thanks."}]
    )
    assert again.content[0].text == "You are welcome."


async def test_the_mcp_connector(bench):
    server = {"type": "url", "url": "https://mcp.invalid/mcp", "name": "far", "authorization_token": "geheim"}
    body = {"model": "fake/model", "max_tokens": 9, "messages": ASK, "mcp_servers": [server]}
    status, _, raw = await bench.gateway.post("/v1/messages", body, headers={"anthropic-version": "2023-06-01"})
    error = orjson.loads(raw)
    assert (status, error["type"]) == (424, "error")
    assert "'far'" in error["error"]["message"]
    assert b"geheim" not in raw
    assert "geheim" not in bench.gateway.stream.getvalue()


@pytest.mark.parametrize("settings", [{"search": {"backends": {}}}])
async def test_without_a_service(client):
    with pytest.raises(anthropic.BadRequestError, match=r"search\.backends"):
        await client.messages.create(model="fake/model", max_tokens=9, messages=ASK, tools=[SEARCH])
