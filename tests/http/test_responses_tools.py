"""Function calls over many turns, on every kind of upstream: both spellings of their results in any mix, and the
signatures of thoughts, which providers want back unchanged and in their places."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import (
    FakeUpstream,
    Received,
    Reply,
    chunk,
    json_reply,
    running_gateway,
    sse,
    upstream_config,
    usage,
)

from .responses_kit import RESPONSES, WEATHER, check_stream, message_stream, read_stream, text_of

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

CITIES = ["Rome", "Oslo", "Lima", "Pune"]
FREE = {"free": True, "context": 200_000, "max_output": 8192}
Turn = dict[str, Any]


def our_spelling(call: Turn, output: Any) -> list[Turn]:
    return [{"type": "function_call_output", "call_id": call["call_id"], "output": output}]


def their_spelling(call: Turn, output: Any) -> list[Turn]:
    """The documents': whatever the item had as its id."""
    return [{"type": "function_call_output", "id": call["id"], "callId": call["id"], "output": output}]


def mixed(call: Turn, output: Any) -> list[Turn]:
    return [{"type": "function_call_output", "callId": call["call_id"], "output": output}]


SPELLINGS = [our_spelling, their_spelling, mixed]


@asynccontextmanager
async def gateway_before(folder: Path, plugin: str, upstream: str, **options: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A gateway whose model `fake/model` is this plugin's, and its upstream."""
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeUpstream())
        provider = {"plugin": plugin, "base_url": fake.url + options.pop("path", ""), "api_key": "sk-fake-key"}
        model = {**FREE, "provider": "fake", "upstream": upstream, "options": options}
        config = upstream_config(fake.url, providers={"fake": provider}, models={"fake/model": model})
        yield await stack.enter_async_context(running_gateway(folder, config)), fake


async def turn(gateway: Any, *, stream: bool, **body: Any) -> Turn:
    status, _, raw = await gateway.post(RESPONSES, {"tools": [WEATHER], "stream": stream, **body})
    assert status == 200, raw
    if stream:
        return check_stream(read_stream(raw))
    found: Turn = orjson.loads(raw)
    return found


async def chain(gateway: Any, stream: bool, **body: Any) -> list[Turn]:
    """A question, a call and its result per city, and the answer; each turn continues the one before."""
    responses = [await turn(gateway, stream=stream, input="Weather in four cities?", **body)]
    for number, city in enumerate(CITIES):
        [call] = [item for item in responses[-1]["output"] if item["type"] == "function_call"]
        assert orjson.loads(call["arguments"]) == {"location": city}
        results = SPELLINGS[number % 3](call, f"{number} C")
        responses.append(
            await turn(gateway, stream=stream, input=results, previous_response_id=responses[-1]["id"], **body)
        )
    assert text_of(responses[-1]) == "All warm."
    return responses


class TestMessagesApi:
    """The plugin for Anthropic, with thinking."""

    @staticmethod
    def blocks(number: int) -> list[Turn]:
        thought = {"type": "thinking", "thinking": f"Thought number {number}.", "signature": f"sig-{number}=="}
        if number == len(CITIES):
            return [thought, {"type": "text", "text": "All warm."}]
        place = {"location": CITIES[number]}
        call = {"type": "tool_use", "id": f"toolu_{number}", "name": "weather", "input": place}
        return [thought, *([{"type": "text", "text": "Next."}] if number == 1 else []), call]

    def answer(self, received: Received) -> Reply:
        number = sum(1 for message in received.json["messages"] if message["role"] == "assistant")
        blocks = self.blocks(number)
        if received.json.get("stream"):
            return Reply(message_stream(blocks))
        whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": blocks}
        reason = "end_turn" if number == len(CITIES) else "tool_use"
        figures = {"input_tokens": 50, "output_tokens": 20}
        return json_reply({**whole, "stop_reason": reason, "stop_sequence": None, "usage": figures})

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    async def test_signatures_travel(self, tmp_path: Path, stream: bool) -> None:
        async with gateway_before(tmp_path, "anthropic", "claude-sonnet-4-20250514") as (gateway, upstream):
            upstream.answer(self.answer)
            responses = await chain(gateway, stream, reasoning={"effort": "low", "summary": "auto"})
            sent = upstream.requests[-1].json
        assert sent["thinking"]["type"] == "enabled"
        messages = sent["messages"]
        assert [message["role"] for message in messages] == ["user", *["assistant", "user"] * len(CITIES)]
        for number, message in enumerate(messages[1::2]):
            assert [_plain(block) for block in message["content"]] == self.blocks(number)
        for number, message in enumerate(messages[2::2]):
            [result] = message["content"]
            assert (result["type"], result["tool_use_id"]) == ("tool_result", f"toolu_{number}")
            assert f"{number} C" in str(result["content"])
        thoughts = [item for item in responses[0]["output"] if item["type"] == "reasoning"]
        assert thoughts[0]["summary"][0]["text"] == "Thought number 0."
        assert thoughts[0]["encrypted_content"]

    async def test_without_the_store_the_client_carries_them(self, tmp_path: Path) -> None:
        """`store: false`: everything goes back as input items, as SDK programs do it."""
        async with gateway_before(tmp_path, "anthropic", "claude-sonnet-4-20250514") as (gateway, upstream):
            upstream.answer(self.answer)
            items: list[Turn] = [{"role": "user", "content": "Weather in four cities?"}]
            for number in range(len(CITIES) + 1):
                body = {"reasoning": {"effort": "low"}, "store": False, "include": ["reasoning.encrypted_content"]}
                response = await turn(gateway, stream=True, input=items, **body)
                items += response["output"]
                for call in response["output"]:
                    if call["type"] == "function_call":
                        items += SPELLINGS[number % 3](call, f"{number} C")
            last = upstream.requests[-1].json["messages"]
        for number, message in enumerate(last[1::2]):
            assert [_plain(block) for block in message["content"]] == self.blocks(number)

    async def test_a_result_with_a_picture(self, tmp_path: Path) -> None:
        async with gateway_before(tmp_path, "anthropic", "claude-sonnet-4-20250514") as (gateway, upstream):
            upstream.answer(self.answer)
            first = await turn(gateway, stream=True, input="Weather?")
            [call] = [item for item in first["output"] if item["type"] == "function_call"]
            picture = "data:image/png;base64,iVBORw0KGgo="
            output = [{"type": "input_text", "text": "See:"}, {"type": "input_image", "image_url": picture}]
            more = {"input": our_spelling(call, output), "previous_response_id": first["id"]}
            await turn(gateway, stream=True, **more)
            assert "iVBORw0KGgo=" in orjson.dumps(upstream.requests[-1].json["messages"]).decode()


class TestGenerateContentApi:
    """The plugin for Google: signatures ride on the calls themselves."""

    def answer(self, received: Received) -> Reply:
        number = sum(1 for content in received.json["contents"] if content["role"] == "model")
        parts: list[Turn] = [{"text": f"Thought number {number}.", "thought": True}]
        signature = f"c2lnLX{number}="
        if number == len(CITIES):
            parts.append({"text": "All warm.", "thoughtSignature": signature})
        else:
            call = {"name": "weather", "args": {"location": CITIES[number]}}
            parts.append({"functionCall": call, "thoughtSignature": signature})
        figures = {"promptTokenCount": 50, "candidatesTokenCount": 20, "totalTokenCount": 70}
        content = {"parts": parts, "role": "model"}
        found = {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], "usageMetadata": figures}
        return Reply([sse(found)]) if "stream" in received.path else json_reply(found)

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    async def test_signatures_travel(self, tmp_path: Path, stream: bool) -> None:
        async with gateway_before(tmp_path, "google", "gemini-3-pro-preview") as (gateway, upstream):
            upstream.answer(self.answer)
            await chain(gateway, stream, reasoning={"effort": "low"})
            contents = upstream.requests[-1].json["contents"]
        calls = [part for content in contents if content["role"] == "model" for part in content["parts"]]
        calls = [part for part in calls if "functionCall" in part]
        assert [part["functionCall"]["args"]["location"] for part in calls] == CITIES
        assert [part["thoughtSignature"] for part in calls] == [f"c2lnLX{number}=" for number in range(len(CITIES))]


class TestChatServers:
    """Any server of OpenAI's chat dialect, and echo."""

    @staticmethod
    def answer(received: Received) -> Reply:
        messages = received.json["messages"]
        number = sum(1 for message in messages if message["role"] == "assistant")
        if number == len(CITIES):
            said: Turn = {"content": "All warm."}
        else:
            place = orjson.dumps({"location": CITIES[number]}).decode()
            function = {"name": "weather", "arguments": place}
            # One server's ids are not of OpenAI's form; the item's id must lead back to them all the same.
            call = {"index": 0, "id": f"functions.weather:{number}", "type": "function", "function": function}
            said = {"tool_calls": [call]}
        finish = "stop" if "content" in said else "tool_calls"
        return Reply([sse(chunk(said)), sse(chunk({}, finish=finish, usage=usage(5, 5)))])

    async def test_a_chain(self, tmp_path: Path) -> None:
        async with gateway_before(tmp_path, "openai", "m", path="/v1") as (gateway, upstream):
            upstream.answer(self.answer)
            await chain(gateway, True)
            messages = upstream.requests[-1].json["messages"]
        assert [message["role"] for message in messages] == ["user", *["assistant", "tool"] * len(CITIES)]
        for number, message in enumerate(messages[2::2]):
            assert message["tool_call_id"] == f"functions.weather:{number}"
            assert message["content"] == f"{number} C"

    async def test_a_call_without_its_result_is_refused(self, tmp_path: Path) -> None:
        async with gateway_before(tmp_path, "openai", "m", path="/v1") as (gateway, upstream):
            upstream.answer(self.answer)
            first = await turn(gateway, stream=True, input="Weather?")
            status, _, raw = await gateway.post(RESPONSES, {"input": "Well?", "previous_response_id": first["id"]})
        assert status == 400
        assert "functions.weather:0" in orjson.loads(raw)["error"]["message"]

    async def test_custom_tools_are_emulated(self, tmp_path: Path) -> None:
        tool = {"type": "custom", "name": "shell", "description": "Runs a command."}
        function = {"name": "shell", "arguments": '{"input": "ls -l"}'}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        async with gateway_before(tmp_path, "openai", "m", path="/v1") as (gateway, upstream):
            upstream.reply(
                Reply([sse(chunk({"tool_calls": [call]})), sse(chunk({}, finish="tool_calls", usage=usage(5, 5)))])
            )
            first = await turn(gateway, stream=True, input="List.", tools=[tool])
            [made] = first["output"]
            assert (made["type"], made["input"]) == ("custom_tool_call", "ls -l")
            upstream.reply(Reply([sse(chunk({"content": "ok"})), sse(chunk({}, finish="stop", usage=usage(5, 5)))]))
            result = {"type": "custom_tool_call_output", "call_id": made["call_id"], "output": "a.txt"}
            more = {"input": [result], "previous_response_id": first["id"], "tools": [tool]}
            await turn(gateway, stream=True, **more)
            sent = upstream.requests[-1].json["messages"]
        assert sent[1]["tool_calls"][0]["function"]["name"] == "shell"
        assert sent[2]["content"] == "a.txt"


def _plain(block: Turn) -> Turn:
    return {key: value for key, value in block.items() if key != "cache_control"}
