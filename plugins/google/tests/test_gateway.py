"""Recorded answers as an upstream behind a running gateway, read by OpenAI's SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
import pytest_asyncio

from gateway.testing import FakeUpstream, Received, Reply, RunningGateway, json_reply, load_transcripts, running_gateway

# Read here: within a test the event loop must not be blocked by a file.
RECORDED = {found.id: found for found in load_transcripts(Path(__file__).parent.parent / "transcripts")}
KEY = "AIzaSyVerySecretValue0123456789abcdefghi"
MODEL = "google/gemini"

pytestmark = pytest.mark.sdk


def answer(name: str) -> Reply:
    transcript = RECORDED[name]
    if not transcript.streamed:
        return json_reply(transcript.body, transcript.status)
    return Reply([transcript.body[at : at + 97] for at in range(0, len(transcript.body), 97)])


@pytest_asyncio.fixture
async def gateway(tmp_path: Path, fake_upstream: FakeUpstream) -> AsyncIterator[RunningGateway]:
    config = {
        "providers": {"google": {"plugin": "google", "base_url": fake_upstream.url, "api_key": KEY}},
        "models": {
            MODEL: {
                "provider": "google",
                "upstream": "gemini-3-pro-preview",
                "price": {"input": 2, "cached_input": 0.5, "output": 12},
                "context": 1_048_576,
                "max_output": 65_536,
            }
        },
        "default_model": MODEL,
        "upstream": {"backoff": "10ms", "max_backoff": "20ms"},
    }
    async with running_gateway(tmp_path, config) as running:
        yield running


def client(gateway: RunningGateway) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)


TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def last_body(upstream: FakeUpstream) -> dict[str, Any]:
    received: Received = upstream.requests[-1]
    assert received.headers["x-goog-api-key"] == KEY
    assert KEY not in received.path
    return dict(orjson.loads(received.body))


async def test_a_conversation_with_tools_goes_on_with_its_signatures(
    gateway: RunningGateway, fake_upstream: FakeUpstream
) -> None:
    fake_upstream.queue(answer("tool-gemini-3"), answer("signed-text-after-tool-stream"))
    async with client(gateway) as sdk:
        messages: list[Any] = [{"role": "user", "content": "Weather?"}]
        first = await sdk.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
        assert fake_upstream.requests[-1].path == "/v1beta/models/gemini-3-pro-preview:generateContent"
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        assert message.tool_calls
        assert first.usage is not None
        assert first.usage.completion_tokens == 1816
        messages += [
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "40 C"},
        ]
        stream = await sdk.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL], stream=True)
        chunks = [chunk async for chunk in stream]
    sent = last_body(fake_upstream)
    call, result = sent["contents"][1]["parts"][0], sent["contents"][2]["parts"][0]
    assert call["thoughtSignature"].startswith("Eqo+Cqc+Ab4")
    assert call["functionCall"]["id"] == result["functionResponse"]["id"]
    assert fake_upstream.requests[-1].path.endswith(":streamGenerateContent?alt=sse")
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.startswith("The current weather in Florence")
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 286


async def test_pieces_of_arguments_reach_the_sdk(gateway: RunningGateway, fake_upstream: FakeUpstream) -> None:
    fake_upstream.reply(answer("tool-argument-pieces-stream"))
    async with (
        client(gateway) as sdk,
        sdk.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": "x"}], tools=[TOOL]) as stream,
    ):
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.arguments for call in calls] == ['{"location":"Boston"}', '{"location":"San Francisco"}']


async def test_errors_reach_the_sdk_without_the_operators_secrets(
    gateway: RunningGateway, fake_upstream: FakeUpstream
) -> None:
    async with client(gateway) as sdk:
        for name, status in (("error-400-key", 502), ("error-404", 404), ("error-429", 429)):
            fake_upstream.reply(answer(name))
            with pytest.raises(openai.APIStatusError) as caught:
                await sdk.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": "x"}], stream=name == "error-404"
                )
            assert caught.value.status_code == status
            assert KEY not in str(caught.value)
            if status == 429:
                assert float(caught.value.response.headers["retry-after"]) >= 48


async def test_a_stream_that_is_cut_is_an_error(gateway: RunningGateway, fake_upstream: FakeUpstream) -> None:
    whole = RECORDED["thinking-stream"].body
    fake_upstream.reply(Reply([whole[: len(whole) // 2]]))
    async with client(gateway) as sdk:
        stream = await sdk.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "x"}], stream=True
        )
        with pytest.raises(openai.APIError):
            _ = [chunk async for chunk in stream]
