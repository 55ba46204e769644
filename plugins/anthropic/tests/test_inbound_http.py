"""The official `anthropic` SDK against a running gateway: on the echo model, on an OpenAI upstream, and on an upstream
that replays what Anthropic once sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import orjson
import pytest
import pytest_asyncio

from gateway.testing import (
    Cut,
    FakeUpstream,
    Hold,
    Reply,
    RunningGateway,
    Transcript,
    chunk,
    json_reply,
    load_transcripts,
    openai_completion,
    openai_error,
    openai_stream,
    running_gateway,
    sse,
    upstream_config,
    usage,
)
from gateway.testing.running import CREDITS, KeySettings

from .inbound.kit import fold, read_events

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

Json = dict[str, Any]

TRANSCRIPTS = load_transcripts(Path(__file__).parent.parent / "transcripts")
STREAMS = [found for found in TRANSCRIPTS if found.status == 200 and found.streamed]
WHOLE = [found for found in TRANSCRIPTS if found.status == 200 and not found.streamed]
CLAUDE, FAKE, ECHO = "anthropic/claude", "fake/model", "echo/echo"
HELLO: Any = [{"role": "user", "content": "Hello!"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [{"name": "weather", "description": "The weather", "input_schema": CITY}]

MODELS = {
    ECHO: {"provider": "echo", "free": True},
    "modern/model": {"provider": "modern", "free": True},
    CLAUDE: {
        "provider": "claude",
        "upstream": "claude-sonnet-4-5",
        "price": {"input": 3, "cached_input": 1, "cache_write": 4, "output": 15},
        "max_output": 64_000,
    },
}


@dataclass
class Site:
    gateway: RunningGateway
    upstream: FakeUpstream
    client: anthropic.AsyncAnthropic

    async def spent(self) -> int:
        """Credits charged so far, once nothing is held any more."""
        gateway = self.gateway.gateway
        async with asyncio.timeout(30):
            while gateway._tasks or gateway.runtime.users:
                await asyncio.sleep(0.002)
        account = await gateway.stores.accounts.get_account(self.gateway.account.id)
        assert account is not None
        assert account.held == 0
        assert await gateway.stores.check() == []
        return CREDITS - account.balance


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def begin(**sections: Any) -> Site:
            upstream = await stack.enter_async_context(FakeUpstream())
            config = upstream_config(
                upstream.url + "/v1",
                **{
                    "models": MODELS,
                    "aliases": {"my-claude": CLAUDE, "either": [FAKE, CLAUDE]},
                    **sections,
                },
            )
            config["providers"] |= {
                "echo": {"plugin": "echo"},
                "claude": {"plugin": "anthropic", "base_url": upstream.url, "api_key": "sk-ant-upstream"},
                "modern": {"plugin": "openai", "base_url": upstream.url + "/v1", "responses": "only"},
            }
            gateway = await stack.enter_async_context(running_gateway(tmp_path, config))
            client = anthropic.AsyncAnthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0)
            return Site(gateway, upstream, await stack.enter_async_context(client))

        yield begin


@pytest_asyncio.fixture
async def site(start: Callable[..., Any]) -> Site:
    found: Site = await start()
    return found


def tool_stream() -> list[bytes]:
    """Thoughts, then two calls whose pieces come in turn."""

    def call(index: int, arguments: str, **more: Any) -> Json:
        named = {"name": "weather"} if more else {}
        return {"tool_calls": [{"index": index, **more, "function": {**named, "arguments": arguments}}]}

    pieces = [
        {"role": "assistant", "content": None},
        {"reasoning_content": "I need "},
        {"reasoning_content": "the weather."},
        call(0, "", id="call_a", type="function"),
        call(1, '{"ci', id="call_b", type="function"),
        call(0, '{"city":"Rome"}'),
        call(1, 'ty":"Oslo"}'),
    ]
    events = [sse(chunk(piece)) for piece in pieces]
    events += [sse(chunk({}, finish="tool_calls")), sse({"choices": [], "usage": usage(20, 9)})]
    return [*events, b"data: [DONE]\n\n"]


def replayed(message: Any) -> Json:
    """An answer as a client sends it back."""
    return {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]}


# -- on every model ------------------------------------------------------------------------------------------------


async def test_the_echo_model_answers(site: Site) -> None:
    message = await site.client.messages.create(model=ECHO, max_tokens=100, messages=HELLO)
    assert message.type == "message"
    assert message.role == "assistant"
    assert message.model == ECHO
    assert message.id.startswith("msg_")
    assert message.stop_reason == "end_turn"
    (block,) = message.content
    assert block.type == "text"
    assert "Hello!" in block.text
    assert message._request_id
    assert message._request_id.startswith("req_")
    assert message.usage.input_tokens > 0
    async with site.client.messages.stream(model=ECHO, max_tokens=100, messages=HELLO) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(texts) == block.text
    assert final.usage.output_tokens == message.usage.output_tokens


@pytest.mark.blocking_allowed
async def test_the_blocking_client(site: Site) -> None:
    site.upstream.reply(Reply(openai_stream("Hello", " world")))
    key, url = site.gateway.key, site.gateway.url

    def talk() -> tuple[str, int, list[str]]:
        with anthropic.Anthropic(base_url=url, auth_token=key, api_key=None, max_retries=0) as client:
            with client.messages.stream(model=FAKE, max_tokens=100, messages=HELLO) as stream:
                text = stream.get_final_text()
            count = client.messages.count_tokens(model=FAKE, messages=HELLO)
            return text, count.input_tokens, [model.id for model in client.models.list()]

    text, count, models = await asyncio.to_thread(talk)
    assert text == "Hello world"
    assert count > 0
    assert set(models) >= {ECHO, CLAUDE, FAKE}


async def test_a_turn_with_tools_on_an_openai_upstream(site: Site) -> None:
    site.upstream.queue(
        Reply(tool_stream()), json_reply(openai_completion("Sunny.", reported={**usage(40, 3, cached=16)}))
    )
    client = site.client
    async with client.messages.stream(
        model=FAKE, max_tokens=500, messages=HELLO, tools=TOOLS, tool_choice={"type": "auto"}, system="Be brief."
    ) as stream:
        first = await stream.get_final_message()
    assert first.stop_reason == "tool_use"
    thinking, rome, oslo = first.content
    assert thinking.type == "thinking"
    assert thinking.thinking == "I need the weather."
    assert thinking.signature
    assert rome.type == oslo.type == "tool_use"
    assert (rome.id, rome.input, oslo.id, oslo.input) == ("call_a", {"city": "Rome"}, "call_b", {"city": "Oslo"})
    assert (first.usage.input_tokens, first.usage.output_tokens) == (20, 9)
    results: Any = [
        {"type": "tool_result", "tool_use_id": "call_a", "content": "20 C"},
        {"type": "tool_result", "tool_use_id": "call_b", "content": "no station", "is_error": True},
    ]
    history: Any = [*HELLO, replayed(first)]
    second = await client.messages.create(
        model=FAKE, max_tokens=500, messages=[*history, {"role": "user", "content": results}], tools=TOOLS
    )
    assert second.content[0].type == "text"
    assert (second.usage.input_tokens, second.usage.cache_read_input_tokens) == (24, 16)
    one, two = (request.json for request in site.upstream.requests)
    assert one["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO]
    assert one["max_tokens"] == 500
    assert one["tools"][0]["function"]["name"] == "weather"
    assert two["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "I need the weather.",
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
                {"id": "call_b", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "20 C"},
        {"role": "tool", "tool_call_id": "call_b", "content": "Error: no station"},
    ]
    # 20 in and 9 out, then 24 fresh, 16 cached and 3 out, at 1, 0.5 and 2 credits.
    assert await site.spent() == (20 + 18) + (24 + 8 + 6)


async def test_an_upstream_that_speaks_only_responses(site: Site) -> None:
    part = {"type": "output_text", "text": "Hello", "annotations": []}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    figures = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    answer = {"id": "r", "object": "response", "status": "completed", "output": [item], "usage": figures}
    site.upstream.reply(json_reply(answer))
    message = await site.client.messages.create(model="modern/model", max_tokens=50, messages=HELLO, system="Be kind.")
    assert message.content[0].type == "text"
    assert message.content[0].text == "Hello"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 2)
    sent = site.upstream.requests[0]
    assert sent.path == "/v1/responses"
    assert sent.json["max_output_tokens"] == 50


async def test_a_schema_is_answered(site: Site) -> None:
    site.upstream.reply(json_reply(openai_completion('{"a":1}')))
    schema = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
    config: Any = {"format": {"type": "json_schema", "schema": schema}}
    await site.client.messages.create(model=FAKE, max_tokens=50, messages=HELLO, output_config=config)
    assert site.upstream.requests[0].json["response_format"]["json_schema"]["schema"] == schema


async def test_what_is_left_out_is_said(site: Site) -> None:
    site.upstream.reply(json_reply(openai_completion("ok")))
    system: Any = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]
    options: Any = {"model": FAKE, "max_tokens": 50, "messages": HELLO, "system": system, "extra_body": {"top_k": 3}}
    raw = await site.client.beta.messages.with_raw_response.create(**options, betas=["some-beta-2025-01-01"])
    assert raw.headers["x-gateway-dropped-params"] == "anthropic-beta, cache_control, top_k"
    sent = site.upstream.requests[0]
    assert "anthropic-beta" not in sent.headers
    assert sent.json["messages"][0] == {"role": "system", "content": "x"}
    assert "top_k" not in sent.json
    with pytest.raises(anthropic.BadRequestError, match="cache_control"):
        await site.client.messages.create(**options, extra_headers={"x-gateway-strict": "true"})


async def test_a_server_tool_needs_its_provider(site: Site) -> None:
    search: Any = [{"type": "bash_20250124", "name": "bash"}]
    with pytest.raises(anthropic.BadRequestError, match=r"tools\[0\]"):
        await site.client.messages.create(model=FAKE, max_tokens=50, messages=HELLO, tools=search)
    assert site.upstream.requests == []
    assert await site.spent() == 0


# -- on Anthropic's own dialect ------------------------------------------------------------------------------------


@pytest.mark.parametrize("transcript", STREAMS, ids=lambda transcript: transcript.id)
async def test_a_recorded_stream_reaches_the_sdk(site: Site, transcript: Transcript) -> None:
    site.upstream.reply(Reply([transcript.body]))
    body = {"model": CLAUDE, "max_tokens": 50_000, "messages": HELLO, "stream": True}
    status, headers, raw = await site.gateway.post("/v1/messages", body)
    assert status == 200
    assert headers["request-id"] == headers["x-request-id"]
    events = read_events(raw)
    recorded = [
        orjson.loads(line[5:])
        for line in transcript.body.splitlines()
        if line.startswith(b"data:") and b"[DONE]" not in line
    ]
    assert events[0]["message"].pop("model") == CLAUDE
    recorded[0]["message"].pop("model")
    cost = events[-2]["usage"].pop("cost")
    assert events == recorded
    assert await site.spent() == cost > 0
    async with site.client.messages.stream(model=CLAUDE, max_tokens=50_000, messages=HELLO) as stream:
        final = await stream.get_final_message()
    folded = fold(recorded_with_model(recorded))
    assert final.stop_reason == folded["stop_reason"]
    assert [block.type for block in final.content] == [block["type"] for block in folded["content"]]
    for block, said in zip(final.content, folded["content"], strict=True):
        for name in ("text", "thinking", "signature", "data", "input"):
            assert getattr(block, name, None) == said.get(name), name
    assert final.usage.output_tokens == folded["usage"]["output_tokens"]


def recorded_with_model(events: list[Json]) -> list[Json]:
    return [{**events[0], "message": {**events[0]["message"], "model": CLAUDE}}, *events[1:]]


@pytest.mark.parametrize("transcript", WHOLE, ids=lambda transcript: transcript.id)
async def test_a_recorded_message_reaches_the_sdk(site: Site, transcript: Transcript) -> None:
    site.upstream.reply(json_reply(transcript.body))
    said = orjson.loads(transcript.body)
    raw = await site.client.messages.with_raw_response.create(model=CLAUDE, max_tokens=8000, messages=HELLO)
    found = orjson.loads(await raw.read())
    cost = found["usage"].pop("cost")
    assert found == {"stop_sequence": None, **said, "model": CLAUDE}
    assert raw.headers["x-gateway-cost"] == str(cost)
    assert (await raw.parse()).stop_reason == said["stop_reason"]
    assert await site.spent() == cost > 0


async def test_a_turn_with_thinking_and_tools_loses_nothing(site: Site) -> None:
    (transcript,) = [found for found in TRANSCRIPTS if found.id == "redacted-thinking-stream"] or STREAMS[:1]
    block = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
    thought = {"type": "thinking", "thinking": "mm", "signature": "REAL"}
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [thought, {"type": "redacted_thinking", "data": "DATA"}, block],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    site.upstream.queue(json_reply(answer), Reply([transcript.body]))
    options: Any = {
        "model": "my-claude",
        "max_tokens": 5000,
        "tools": [{**TOOLS[0], "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "betas": ["interleaved-thinking-2025-05-14"],
    }
    client = site.client
    first = await client.beta.messages.create(messages=HELLO, **options)
    assert first.model == "my-claude"
    history: Any = [
        *HELLO,
        replayed(first),
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "20 C"}]},
    ]
    async with client.beta.messages.stream(messages=history, **options) as stream:
        final = await stream.get_final_message()
    assert final.content
    one, two = site.upstream.requests
    assert one.path == "/v1/messages"
    assert one.headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"
    assert one.headers["x-api-key"] == "sk-ant-upstream"
    assert one.json["model"] == "claude-sonnet-4-5"
    assert one.json["tools"] == options["tools"]
    assert one.json["thinking"] == options["thinking"]
    assert two.json["messages"] == history
    assert two.json["messages"][1]["content"] == [thought, {"type": "redacted_thinking", "data": "DATA"}, block]


async def test_a_conversation_that_changes_its_model(site: Site) -> None:
    """Turns of another model carry its sealed thoughts; Anthropic, which would refuse them, does not see them."""
    (transcript,) = [found for found in TRANSCRIPTS if found.id == "stop-sequence"] or WHOLE[:1]
    site.upstream.queue(Reply(tool_stream()), json_reply(transcript.body))
    async with site.client.messages.stream(model=FAKE, max_tokens=500, messages=HELLO, tools=TOOLS) as stream:
        first = await stream.get_final_message()
    results: Any = [{"type": "tool_result", "tool_use_id": f"call_{name}", "content": "x"} for name in "ab"]
    history: Any = [*HELLO, replayed(first), {"role": "user", "content": results}]
    await site.client.messages.create(model=CLAUDE, max_tokens=500, messages=history, tools=TOOLS)
    blocks = site.upstream.requests[1].json["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["tool_use", "tool_use"]


async def test_another_target_takes_over_in_its_own_dialect(site: Site) -> None:
    body = STREAMS[0].body

    def decide(received: Any) -> Reply:
        if received.path.endswith("/messages"):
            return Reply([body])
        return json_reply(openai_error(), 503)

    site.upstream.answer(decide)
    async with site.client.messages.stream(model="either", max_tokens=50_000, messages=HELLO) as stream:
        final = await stream.get_final_message()
    assert final.model == "either"
    assert final.content
    assert site.upstream.requests[-1].path == "/v1/messages"


async def test_a_whole_answer_to_a_request_for_a_stream(site: Site) -> None:
    transcript = WHOLE[0]
    site.upstream.reply(json_reply(transcript.body))
    async with site.client.messages.stream(model=CLAUDE, max_tokens=8000, messages=HELLO) as stream:
        final = await stream.get_final_message()
    said = orjson.loads(transcript.body)
    assert final.stop_reason == said["stop_reason"]
    assert [block.type for block in final.content] == [block["type"] for block in said["content"]]


async def test_emulated_json_reaches_callers_of_chat_in_a_stream(site: Site) -> None:
    """How an answer is to be read is known when the request was built, which is after its decoder was made."""
    tool = {"type": "tool_use", "id": "toolu_1", "name": "json_answer", "input": {}}
    start = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 5}}
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": tool},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
            for piece in ('{"a":', "{}}")
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    site.upstream.reply(Reply([sse(event, event["type"]) for event in events]))
    open_schema = {"type": "object", "properties": {"a": {"type": "object"}}, "additionalProperties": True}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": open_schema}}
    body = {"model": CLAUDE, "messages": HELLO, "stream": True, "response_format": wanted}
    _, _, raw = await site.gateway.post("/v1/chat/completions", body)
    assert site.upstream.requests[0].json["tools"][0]["name"] == "json_answer"
    chunks = [orjson.loads(line[6:]) for line in raw.splitlines() if line.startswith(b"data: {")]
    assert "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks) == '{"a":{}}'


# -- errors --------------------------------------------------------------------------------------------------------


def error_of(caught: pytest.ExceptionInfo[anthropic.APIStatusError]) -> tuple[str, str]:
    error = caught.value
    body: Any = error.body
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["request_id"] == error.request_id == error.response.headers["x-request-id"]
    return body["error"]["type"], body["error"]["message"]


async def test_errors_of_the_caller(site: Site) -> None:
    client = site.client
    ask: Any = {"model": FAKE, "max_tokens": 10, "messages": HELLO}
    with pytest.raises(anthropic.AuthenticationError) as caught:
        await client.with_options(api_key="mghp_wrong").messages.create(**ask)
    assert error_of(caught)[0] == "authentication_error"
    with pytest.raises(anthropic.NotFoundError) as caught:
        await client.messages.create(**{**ask, "model": "no/such"})
    assert error_of(caught)[0] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as caught:
        await client.messages.create(**ask, extra_body={"temperature": 7})
    kind, text = error_of(caught)
    assert kind == "invalid_request_error"
    assert "temperature" in text
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        await client.messages.create(**{**ask, "max_tokens": -1})
    limited = await site.gateway.new_key(KeySettings(models=("echo/*",)))
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        await client.with_options(api_key=limited).messages.create(**ask)
    assert error_of(caught)[0] == "permission_error"
    with pytest.raises(anthropic.PermissionDeniedError):
        await client.with_options(api_key=limited).messages.count_tokens(model=FAKE, messages=HELLO)
    poor = await site.gateway.new_key(credits=0)
    with pytest.raises(anthropic.APIStatusError) as caught:
        await client.with_options(api_key=poor).messages.create(**ask)
    assert caught.value.status_code == 402
    assert error_of(caught)[0] == "billing_error"
    assert site.upstream.requests == []


async def test_too_many_requests(start: Callable[..., Any]) -> None:
    site: Site = await start(rate_limit={"requests_per_minute": 1})
    client = site.client
    await client.messages.create(model=ECHO, max_tokens=10, messages=HELLO)
    with pytest.raises(anthropic.RateLimitError) as caught:
        await client.messages.create(model=ECHO, max_tokens=10, messages=HELLO)
    assert error_of(caught)[0] == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("status", "kind", "expected", "error"),
    [
        (529, "overloaded_error", 503, "overloaded_error"),
        (429, "rate_limit_error", 429, "rate_limit_error"),
        (400, "invalid_request_error", 400, "invalid_request_error"),
        (401, "authentication_error", 502, "api_error"),
        (500, "api_error", 502, "api_error"),
        (504, "timeout_error", 504, "timeout_error"),
        (413, "request_too_large", 413, "request_too_large"),
    ],
)
async def test_errors_of_the_provider(
    start: Callable[..., Any], status: int, kind: str, expected: int, error: str
) -> None:
    site: Site = await start(upstream={"retries": 0})
    site.upstream.reply(json_reply({"type": "error", "error": {"type": kind, "message": "no sk-ant-upstream"}}, status))
    for stream in (False, True):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await site.client.messages.create(model=CLAUDE, max_tokens=10, messages=HELLO, stream=stream)
        assert caught.value.status_code == expected
        found, text = error_of(caught)
        assert found == error
        assert "sk-ant-upstream" not in text
    assert await site.spent() == 0


@pytest.mark.parametrize("model", [FAKE, CLAUDE])
async def test_a_stream_that_breaks_off_is_an_error(start: Callable[..., Any], model: str) -> None:
    site: Site = await start(upstream={"retries": 0})
    native = STREAMS[0].body
    half: list[Any] = openai_stream("Hello", done=False)[:2] if model == FAKE else [native[: len(native) // 2]]
    site.upstream.reply(Reply([*half, Cut()]))
    status, _, raw = await site.gateway.post(
        "/v1/messages", {"model": model, "max_tokens": 10_000, "messages": HELLO, "stream": True}
    )
    assert status == 200
    events = read_events(raw)
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "api_error"
    assert events[-1]["request_id"].startswith("req_")
    assert "message_stop" not in [event["type"] for event in events]
    assert await site.spent() > 0
    with pytest.raises(anthropic.APIStatusError):
        async with site.client.messages.stream(model=model, max_tokens=10_000, messages=HELLO) as stream:
            await stream.get_final_message()


async def test_an_error_event_inside_a_native_stream(site: Site) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    start = STREAMS[0].body.split(b"\n\n")[0] + b"\n\n"
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    ask = {"model": CLAUDE, "max_tokens": 10, "messages": HELLO, "stream": True}
    site.upstream.reply(Reply([start, sse(block, block["type"]), sse(error, "error")]))
    _, _, raw = await site.gateway.post("/v1/messages", ask)
    assert read_events(raw)[-1]["error"]["type"] == "overloaded_error"
    site.upstream.queue(Reply([start, sse({"type": "ping"}, "ping"), sse(error, "error")]))
    site.upstream.reply(Reply([STREAMS[0].body]))
    _, _, raw = await site.gateway.post("/v1/messages", ask)
    kinds = [event["type"] for event in read_events(raw)]
    assert (kinds.count("message_start"), kinds[-1], len(site.upstream.requests)) == (1, "message_stop", 3), kinds


def long_answer(model: str) -> list[bytes]:
    words = "1234 " * 4
    if model == FAKE:
        return [sse(chunk({"content": words})) for _ in range(400)] + openai_stream("x")
    events: list[Json] = [
        {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}}] * 400,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2000}},
        {"type": "message_stop"},
    ]
    events[0]["message"] |= {"model": "x", "stop_reason": None, "usage": {"input_tokens": 5, "output_tokens": 1}}
    return [sse(event, event["type"]) for event in events]


@pytest.mark.parametrize("model", [FAKE, CLAUDE])
async def test_a_stream_that_the_balance_cannot_pay_to_its_end(start: Callable[..., Any], model: str) -> None:
    """Another call took what was left: the gateway ends the answer itself, in good order."""
    site: Site = await start(credits={"hold_step": 100, "minimum_output": 10})
    go = asyncio.Event()
    first, *rest = long_answer(model)
    site.upstream.reply(Reply([first, *rest[:2], Hold(go), *rest[2:]]))
    client = site.client.with_options(api_key=await site.gateway.new_key(credits=30_000))
    stores = site.gateway.gateway.stores
    account = await stores.accounts.find_account("account 1")
    assert account is not None
    async with client.messages.stream(model=model, max_tokens=2000, messages=HELLO) as stream:
        found = await stores.accounts.get_account(account.id)
        assert found is not None
        await stores.ledger.grant(account.id, found.held - found.balance, kind="correction", key="gone")
        go.set()
        final = await stream.get_final_message()
    assert final.stop_reason == "max_tokens"
    block = final.content[0]
    assert block.type == "text"
    assert 0 < len(block.text) <= 100 * 4 * 2
    assert final.usage.output_tokens >= len(block.text) // 5
    found = await stores.accounts.get_account(account.id)
    assert found is not None
    assert found.held == 0


# -- keys, counts, models ------------------------------------------------------------------------------------------


async def test_either_header_carries_the_key(site: Site) -> None:
    body = {"model": ECHO, "max_tokens": 10, "messages": HELLO}
    for headers in ({"x-api-key": site.gateway.key, "Authorization": ""}, {"x-api-key": "sk-ant-foreign"}):
        status, _, _ = await site.gateway.post("/api/v1/messages?beta=true", body, headers=headers)
        assert status == 200
    status, _, raw = await site.gateway.post("/v1/messages", body, headers={"Authorization": ""})
    assert status == 401
    assert orjson.loads(raw)["error"]["type"] == "authentication_error"


GUARD = """
from gateway.api import hookimpl

@hookimpl
async def authorize_call(call):
    call.answer_headers["x-seen"] = ",".join(call.headers)
    for message in call.body.get("messages", ()):
        message["content"] = message["content"].replace("secret", "****")
"""


async def test_a_plugin_sees_no_key_and_may_change_what_is_sent(start: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "guards"
    folder.mkdir()
    (folder / "guard.py").write_text(GUARD)
    site: Site = await start(plugins={"dir": str(folder)})
    site.upstream.reply(json_reply(WHOLE[0].body))
    body = {"model": CLAUDE, "max_tokens": 100, "messages": [{"role": "user", "content": "my secret"}]}
    headers = {"x-api-key": site.gateway.key, "Authorization": ""}
    status, answered, _ = await site.gateway.post("/v1/messages", body, headers=headers)
    assert status == 200
    assert "x-api-key" not in answered["x-seen"]
    assert "content-type" in answered["x-seen"]
    assert b"secret" not in site.upstream.requests[0].body


async def test_tokens_are_counted_for_nothing(site: Site) -> None:
    client = site.client
    short = await client.messages.count_tokens(model=FAKE, messages=HELLO)
    long = await client.messages.count_tokens(model=FAKE, messages=HELLO, system="x" * 400, tools=TOOLS)
    assert short.input_tokens + 100 <= long.input_tokens < 400
    raw = await client.messages.with_raw_response.count_tokens(model=FAKE, messages=HELLO)
    assert raw.headers["x-gateway-token-count"] == "estimated"
    assert site.upstream.requests == []
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        await client.messages.count_tokens(model=FAKE, messages=[])
    assert await site.spent() == 0


async def test_anthropic_counts_for_itself(site: Site) -> None:
    site.upstream.queue(
        json_reply({"input_tokens": 42}),
        json_reply({"type": "error", "error": {"type": "not_found_error", "message": "no such route"}}, 404),
        json_reply(b"nonsense"),
        json_reply({"type": "error", "error": {"type": "invalid_request_error", "message": "messages: bad"}}, 400),
    )
    client = site.client
    system: Any = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]
    ask: Any = {"model": CLAUDE, "messages": HELLO, "system": system}
    raw = await client.messages.with_raw_response.count_tokens(**ask)
    assert raw.headers["x-gateway-token-count"] == "exact"
    assert (await raw.parse()).input_tokens == 42
    sent = site.upstream.requests[0]
    assert sent.path == "/v1/messages/count_tokens"
    assert sent.json == {**ask, "model": "claude-sonnet-4-5"}
    for _ in range(2):
        raw = await client.messages.with_raw_response.count_tokens(**ask)
        assert raw.headers["x-gateway-token-count"] == "estimated"
    with pytest.raises(anthropic.BadRequestError, match="bad"):
        await client.messages.count_tokens(**ask)


async def test_models_in_both_shapes(site: Site) -> None:
    client = site.client
    first = await client.models.list(limit=2)
    assert len(first.data) == 2
    assert first.has_more
    every = [model async for model in client.models.list(limit=2)]
    assert {ECHO, CLAUDE, FAKE, "either"} <= {model.id for model in every}
    assert len(every) == len({model.id for model in every})
    assert every[0].display_name
    assert every[0].created_at.year > 2000
    back = await client.models.list(before_id=every[-1].id, limit=1)
    assert [model.id for model in back.data] == [every[-2].id]
    one = await client.models.retrieve(CLAUDE)
    assert (one.id, one.type, one.max_tokens) == (CLAUDE, "model", 64_000)
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("no/such")
    with pytest.raises(anthropic.BadRequestError):
        await client.models.list(after_id="no/such")
    with pytest.raises(anthropic.BadRequestError):
        await client.models.list(limit=0)
    with pytest.raises(anthropic.AuthenticationError):
        await client.with_options(api_key="mghp_wrong").models.list()
    status, _, raw = await site.gateway.get("/v1/models")
    assert (status, orjson.loads(raw)["object"]) == (200, "list")
