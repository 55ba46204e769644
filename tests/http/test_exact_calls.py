"""Calls of functions arrive as they were made, at every door and from every kind of upstream: the caller's own names
although no provider takes them, and every digit of a number that no double holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import FakeUpstream, Reply, chunk, json_reply, openai_completion, running_gateway, sse
from gateway.testing.running import upstream_config
from gateway.wire.tool_names import fresh_name

NAME = "mcp:files.read-" + "x" * 50
SENT = fresh_name(NAME, lambda name: False)
DIGITS = "12345678901234567890123"
ARGUMENTS = f'{{"n":{DIGITS}}}'
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}

KINDS = {
    "chat": {"plugin": "openai", "responses": "bridge"},
    "responses": {"plugin": "openai", "responses": "native"},
    "only": {"plugin": "openai", "responses": "only"},
    "anthropic": {"plugin": "anthropic"},
    "google": {"plugin": "google"},
    "mistral": {"plugin": "mistral"},
    "moonshot": {"plugin": "moonshot"},
}
SPOKEN = {"responses": "responses", "only": "responses", "anthropic": "anthropic", "google": "google"}
OWN_DOOR = {"anthropic": "messages", "google": "gemini", "responses": "responses"}
"""Doors whose dialect the upstream speaks itself."""
CALLED = {"id": "call_1", "type": "function", "function": {"name": SENT, "arguments": ARGUMENTS}}


def door(name: str, stream: bool) -> tuple[str, bytes]:
    """Path and body of a second turn, which gives a call and its result back."""
    n: Any = orjson.Fragment(DIGITS)
    if name == "chat":
        call = {**CALLED, "function": {"name": NAME, "arguments": ARGUMENTS}}
        body: Any = {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "r"},
            ],
            "tools": [{"type": "function", "function": {"name": NAME, "parameters": SCHEMA}}],
            "tool_choice": {"type": "function", "function": {"name": NAME}},
        }
        return "/v1/chat/completions", orjson.dumps({**body, "stream": stream})
    if name == "responses":
        call = {"type": "function_call", "call_id": "call_1", "name": NAME, "arguments": ARGUMENTS}
        result = {"type": "function_call_output", "call_id": "call_1", "output": "r"}
        body = {
            "input": [{"role": "user", "content": "x"}, call, result],
            "tools": [{"type": "function", "name": NAME, "parameters": SCHEMA, "strict": False}],
        }
        return "/v1/responses", orjson.dumps({**body, "stream": stream})
    if name == "messages":
        call = {"type": "tool_use", "id": "call_1", "name": NAME, "input": {"n": n}}
        result = {"type": "tool_result", "tool_use_id": "call_1", "content": "r"}
        messages = [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
        tools = [{"name": NAME, "input_schema": SCHEMA}]
        return "/v1/messages", orjson.dumps({"max_tokens": 50, "messages": messages, "tools": tools, "stream": stream})
    parts = [{"functionCall": {"name": NAME, "args": {"n": n}}}]
    contents = [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": parts},
        {"role": "user", "parts": [{"functionResponse": {"name": NAME, "response": {"output": "r"}}}]},
    ]
    tools = [{"functionDeclarations": [{"name": NAME, "parametersJsonSchema": SCHEMA}]}]
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/fake/model:{verb}", orjson.dumps({"contents": contents, "tools": tools})


def reply(dialect: str, name: str, stream: bool) -> Reply:
    """An upstream's answer: one call of the function."""
    n: Any = orjson.Fragment(DIGITS)
    if dialect == "anthropic":
        block = {"type": "tool_use", "id": "call_2", "name": name, "input": {"n": n}}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [block]}
        message |= {"stop_reason": "tool_use", "usage": {"input_tokens": 10, "output_tokens": 5}}
        if not stream:
            return json_reply(message)
        delta = {"type": "input_json_delta", "partial_json": ARGUMENTS}
        events = [
            {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ]
        return Reply([sse(event, event["type"]) for event in events])
    if dialect == "google":
        content = {"role": "model", "parts": [{"functionCall": {"name": name, "args": {"n": n}}}]}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        answer = {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}], "usageMetadata": usage}
        return Reply([sse(answer)]) if stream else json_reply(answer)
    if dialect == "responses":
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_2", "name": name, "status": "completed"}
        done = {**item, "arguments": ARGUMENTS}
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        whole = {"id": "resp_1", "object": "response", "status": "completed", "output": [done], "usage": usage}
        if not stream:
            return json_reply(whole)
        place = {"output_index": 0, "item_id": "fc_1"}
        events = [
            {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
            {"type": "response.function_call_arguments.done", **place, "name": name, "arguments": ARGUMENTS},
            {"type": "response.output_item.done", "output_index": 0, "item": done},
            {"type": "response.completed", "response": whole},
        ]
        return Reply([sse({**event, "sequence_number": at}) for at, event in enumerate(events)])
    call = {"id": "call_00002", "type": "function", "function": {"name": name, "arguments": ARGUMENTS}}
    if not stream:
        return json_reply(openai_completion("", finish="tool_calls", tool_calls=[call]))
    delta = sse(chunk({"role": "assistant", "tool_calls": [{"index": 0, **call}]}))
    return Reply([delta, sse(chunk({}, finish="tool_calls")), b"data: [DONE]\n\n"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_arrives_as_it_was_made(tmp_path: Path, kind: str, stream: bool) -> None:
    async with FakeUpstream() as upstream:
        config = upstream_config(upstream.url)
        config["providers"]["fake"] = {"api_key": "sk-fake-key", "base_url": upstream.url, **KINDS[kind]}
        async with running_gateway(tmp_path, config) as gateway:
            for name in ("chat", "responses", "messages", "gemini"):
                own = OWN_DOOR.get(kind) == name and name != "responses"
                told = NAME if own else SENT
                bridged = kind == "responses" and name != "responses"
                upstream.queue(reply("chat" if bridged else SPOKEN.get(kind, "chat"), told, stream))
                path, body = door(name, stream)
                body = body.replace(b"{", b'{"model":"fake/model",', 1) if name != "gemini" else body
                status, _, answer = await gateway.post(path, body)
                where = f"{name} at {kind}: {answer!r}"
                assert status == 200, where
                sent = bytes(upstream.requests[-1].body)
                assert DIGITS in sent.decode(), where
                assert (NAME in sent.decode(), SENT in sent.decode()) == (own, not own), where
                text = answer.decode().replace("\\", "")
                assert NAME in text, where
                assert SENT not in text, where
                assert DIGITS in text, where
                assert "1.2345" not in text, where
