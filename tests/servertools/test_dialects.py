"""The loop on upstreams that speak neither chat nor Responses: every round in their own dialect, streamed and whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import openai
import orjson
import pytest

from gateway.testing import FakeUpstream, Reply, json_reply, running_gateway

from .conftest import RESULTS
from .test_responses_loop import CITED, WEATHER, check

USAGE = {"input_tokens": 10, "output_tokens": 5}


def messages_stream(*blocks: dict, reason: str) -> Reply:
    """An answer of the Messages API as events."""
    start = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [], "stop_reason": None}
    events = [{"type": "message_start", "message": {**start, "stop_sequence": None, "usage": USAGE}}]
    for index, block in enumerate(blocks):
        kind = block["type"]
        empty, deltas = dict(block), []
        if kind == "text":
            empty = {"type": "text", "text": ""}
            deltas = [
                {"type": "text_delta", "text": block["text"][at : at + 5]} for at in range(0, len(block["text"]), 5)
            ]
        elif kind == "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        elif kind == "tool_use":
            empty = {**block, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": orjson.dumps(block["input"]).decode()}]
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": USAGE})
    events.append({"type": "message_stop"})
    return Reply([f"event: {event['type']}\ndata: {orjson.dumps(event).decode()}\n\n".encode() for event in events])


def messages_answer(stream: bool, *blocks: dict, reason: str) -> Reply:
    if stream:
        return messages_stream(*blocks, reason=reason)
    answer = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": list(blocks)}
    return json_reply({**answer, "stop_reason": reason, "stop_sequence": None, "usage": USAGE})


def generate_answer(stream: bool, *parts: dict) -> Reply:
    """An answer of generateContent."""
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    whole = {
        "candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": "x",
        "responseId": "r",
    }
    if not stream:
        return json_reply(whole)
    return Reply([f"data: {orjson.dumps(whole).decode()}\r\n\r\n".encode()])


class Site:
    def __init__(self, client: openai.AsyncOpenAI, upstreams: dict[str, FakeUpstream]) -> None:
        self.client = client
        self.upstreams = upstreams

    async def ask(self, model: str, stream: bool, **request):
        if not stream:
            return await self.client.responses.create(model=model, **request)
        events = [event async for event in await self.client.responses.create(model=model, stream=True, **request)]
        check(events)
        return events[-1].response


@pytest.fixture
def mode() -> str:
    return "own"


@pytest.fixture
async def site(tmp_path, mode) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        names = ("anthropic", "google", "search")
        upstreams = {name: await stack.enter_async_context(FakeUpstream()) for name in names}
        upstreams["search"].answer(lambda request: json_reply({"results": RESULTS, "unresponsive_engines": []}))
        price = {"input": 1, "output": 2}
        model = {"price": price, "context": 100_000, "max_output": 1000}
        config = {
            "providers": {
                name: {"plugin": name, "base_url": upstreams[name].url, "api_key": "k"} for name in names[:2]
            },
            "models": {
                "anthropic/claude-sonnet-4.5": {**model, "upstream": "claude-sonnet-4-5"},
                "google/gemini-2.5-flash": {**model, "upstream": "gemini-2.5-flash"},
            },
            "search": {"mode": mode, "backends": {"searxng": {"url": upstreams["search"].url}}},
        }
        gateway = await stack.enter_async_context(running_gateway(tmp_path, config))
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
        await stack.enter_async_context(client)
        yield Site(client, upstreams)


@pytest.mark.parametrize("stream", [False, True])
async def test_messages(site, stream):
    """Thoughts are signed and go back with the results, or the next round would be refused."""
    upstream = site.upstreams["anthropic"]
    use = {"type": "tool_use", "id": "toolu_1", "name": "web_search", "input": {"query": "moon"}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    upstream.queue(
        messages_answer(stream, thought, {"type": "text", "text": "Look."}, use, reason="tool_use"),
        messages_answer(stream, {"type": "text", "text": CITED}, reason="end_turn"),
    )
    final = await site.ask(
        "anthropic/claude-sonnet-4.5",
        stream,
        input="?",
        tools=[{"type": "web_search"}, WEATHER],
        reasoning={"effort": "low"},
    )
    assert [item.type for item in final.output] == ["reasoning", "message", "web_search_call", "message"]
    assert [citation.title for citation in final.output[3].content[0].annotations] == ["The moon"]
    assert final.usage.input_tokens == 20
    first, second = (request.json for request in upstream.requests)
    assert [tool["name"] for tool in first["tools"]] == ["get_weather", "web_search", "open_page"]
    assistant, results = second["messages"][-2:]
    assert [block["type"] for block in assistant["content"]] == ["thinking", "text", "tool_use"]
    assert assistant["content"][0]["signature"] == "c2ln"
    [result] = results["content"]
    assert (result["type"], result["tool_use_id"]) == ("tool_result", "toolu_1")


@pytest.mark.parametrize("stream", [False, True])
async def test_generate_content(site, stream):
    upstream = site.upstreams["google"]
    ask = {"functionCall": {"name": "web_search", "args": {"query": "moon"}}, "thoughtSignature": "c2ln"}
    upstream.queue(
        generate_answer(stream, {"text": "Look."}, ask),
        generate_answer(stream, {"text": CITED}),
    )
    final = await site.ask("google/gemini-2.5-flash", stream, input="?", tools=[{"type": "web_search"}, WEATHER])
    kinds = [item.type for item in final.output if item.type != "reasoning"]
    assert kinds == ["message", "web_search_call", "message"]
    assert [citation.title for citation in final.output[-1].content[0].annotations] == ["The moon"]
    second = upstream.requests[1].json
    model, results = second["contents"][-2:]
    [called] = [part for part in model["parts"] if "functionCall" in part]
    assert called["thoughtSignature"] == "c2ln"
    assert results["parts"][0]["functionResponse"]["name"] == "web_search"


@pytest.mark.parametrize("mode", ["auto"])
class TestNative:
    """Providers that search themselves are asked to, unless they would refuse it."""

    async def test_messages(self, site):
        upstream = site.upstreams["anthropic"]
        upstream.queue(messages_answer(False, {"type": "text", "text": "ok"}, reason="end_turn"))
        final = await site.ask("anthropic/claude-sonnet-4.5", False, input="?", tools=[{"type": "web_search"}, WEATHER])
        assert final.output_text == "ok"
        sent = upstream.requests[0].json["tools"]
        assert [tool.get("type") for tool in sent] == [None, "web_search_20250305"]
        assert site.upstreams["search"].requests == []

    async def test_generate_content_alone(self, site):
        upstream = site.upstreams["google"]
        upstream.queue(generate_answer(False, {"text": "ok"}))
        final = await site.ask("google/gemini-2.5-flash", False, input="?", tools=[{"type": "web_search"}])
        assert final.output_text == "ok"
        assert upstream.requests[0].json["tools"] == [{"googleSearch": {}}]

    async def test_generate_content_beside_functions(self, site):
        """Its own search would be refused there: the gateway's takes its place."""
        upstream = site.upstreams["google"]
        upstream.queue(generate_answer(False, {"text": "ok"}))
        await site.ask("google/gemini-2.5-flash", False, input="?", tools=[{"type": "web_search"}, WEATHER])
        [tools] = upstream.requests[0].json["tools"]
        assert [function["name"] for function in tools["functionDeclarations"]] == [
            "get_weather",
            "web_search",
            "open_page",
        ]
