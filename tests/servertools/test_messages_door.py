"""The loop on `POST /v1/messages`, through Anthropic's SDK, on an upstream that speaks chat."""

from __future__ import annotations

import anthropic
import orjson
import pytest

from gateway.testing import Reply

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
    served = ["server_tool_use", "web_search_tool_result"]
    kinds = [block.type for block in message.content if block.type != "text"]
    assert kinds == served
    if stream:
        # Whole, the text is one; in a stream each round is a block of its own, where citations do not cut it.
        assert [block.type for block in message.content][:4] == ["text", *served, "text"]
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
    assert message.usage.server_tool_use.web_fetch_requests == 0
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


PAGE = "<html><head><title>Stone</title></head><body><article><p>" + "The moon is made of stone. " * 40
READABLE = {"fetch": {"allow_hosts": ["127.0.0.1"], "ports": [*range(1, 65536)]}}


@pytest.mark.parametrize("settings", [READABLE])
@pytest.mark.parametrize("stream", [False, True])
async def test_pages(bench, client, stream):
    """Blocks, the count in the usage, and the limits that the request sets: of uses, of hosts, of a page's length."""
    bench.search.answer(lambda request: Reply([PAGE.encode()], media_type="text/html"))
    url = f"{bench.search.url}/page"
    opened = [call("open_page", {"url": url}), call("open_page", {"url": "https://other.example/"}, "call_2", 1)]
    bench.model.script(Turn(calls=opened), Turn(calls=[call("open_page", {"url": url}, "call_3")]), Turn("Stone."))
    tool = {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2, "allowed_domains": ["127.0.0.1"]}
    request = {"model": "fake/model", "max_tokens": 500, "messages": ASK, "tools": [{**tool, "max_content_tokens": 20}]}
    if stream:
        async with client.beta.messages.stream(**request) as events:
            message = await events.get_final_message()
    else:
        message = await client.beta.messages.create(**request)
    uses = {block.id: block.input["url"] for block in message.content if block.type == "server_tool_use"}
    results = {block.tool_use_id: block.content for block in message.content if block.type == "web_fetch_tool_result"}
    assert sorted(uses) == sorted(results)
    assert [result.type for result in results.values()].count("web_fetch_result") == 1
    shown = next(result for result in results.values() if result.type == "web_fetch_result")
    assert shown.content.source.data == PAGE.partition("<p>")[2][:80]
    codes = [result.error_code for result in results.values() if result.type != "web_fetch_result"]
    assert sorted(codes) == ["max_uses_exceeded", "unavailable"]
    assert message.usage.server_tool_use.web_fetch_requests == 2
    assert len(bench.search.requests) == 1, "neither the other host nor the third page was asked for"


async def test_limits_of_a_search(bench, client):
    bench.model.script(
        Turn(calls=[call("web_search", {"query": "a"}), call("web_search", {"query": "b"}, "call_2", 1)]), Turn("ok")
    )
    tool = {**SEARCH, "max_uses": 1, "blocked_domains": ["sun.example"]}
    message = await client.messages.create(model="fake/model", max_tokens=500, messages=ASK, tools=[tool])
    results = [block.content for block in message.content if block.type == "web_search_tool_result"]
    found, none = sorted(results, key=lambda content: not isinstance(content, list))
    assert [result.url for result in found] == ["https://moon.example/a"]
    assert none.error_code == "max_uses_exceeded"
    assert message.usage.server_tool_use.web_search_requests == 1
    # 10,000 credits for the search that was made, none for the other
    assert 10_000 <= await bench.spent() < 11_000


@pytest.mark.parametrize("settings", [{"tools": {"connect": "5s"}, **READABLE}])
@pytest.mark.parametrize(
    ("toolset", "offered"),
    [
        ({}, ["far__add", "far__zeta"]),
        ({"configs": {"zeta": {"enabled": False}}}, ["far__add"]),
        ({"default_config": {"enabled": False}, "configs": {"zeta": {"enabled": True}}}, ["far__zeta"]),
        ({"default_config": {"enabled": False}}, []),
    ],
)
async def test_the_tools_of_an_mcp_toolset(bench, toolset, offered):
    """What a toolset takes away is neither offered nor called."""
    name = next(iter(offered), "far__add")
    bench.model.script(Turn(calls=[call(name, {})]) if offered else Turn("none"), Turn("ok"))
    body = {
        "model": "fake/model", "max_tokens": 99, "messages": ASK,
        "mcp_servers": [{"type": "url", "url": bench.mcp.url, "name": "far"}],
        "tools": [{"type": "mcp_toolset", "mcp_server_name": "far", **toolset}],
    }  # fmt: skip
    status, _, raw = await bench.gateway.post("/v1/messages", body, headers={"anthropic-version": "2023-06-01"})
    answer = orjson.loads(raw)
    assert status == 200, raw
    assert [tool["function"]["name"] for tool in bench.model.bodies[0].get("tools", ())] == offered
    if offered:
        use, result, said = answer["content"]
        assert (use["type"], use["name"], use["server_name"]) == ("mcp_tool_use", name[5:], "far")
        assert (result["type"], result["tool_use_id"], result["is_error"]) == ("mcp_tool_result", use["id"], False)
        assert said["text"] == "ok"


async def test_a_toolset_of_no_server(bench):
    tools = [{"type": "mcp_toolset", "mcp_server_name": "near"}]
    servers = [{"type": "url", "url": bench.mcp.url, "name": "far"}]
    body = {"model": "fake/model", "max_tokens": 9, "messages": ASK, "tools": tools, "mcp_servers": servers}
    status, _, raw = await bench.gateway.post("/v1/messages", body)
    assert (status, b"'near'" in raw) == (400, True)


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
