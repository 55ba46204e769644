"""Arguments of a call that come in pieces are JSON at every door, whatever the upstream speaks and its model writes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.testing import FakeUpstream, Reply, sse

from .test_repair import DOORS, OFFERED, called

PIECES = ['{\n "a"', ': "one', "\ntwo", " and plain", "\n\\", '"\t', "\\", "n", '"', "\n}"]
"""Line ends in a string and between members, escapes that are cut in two; a plain piece after each kind of others."""
WRITTEN = "".join(PIECES)
MEANT = {"a": 'one\ntwo and plain\n"\t\n'}
USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def chat() -> Reply:
    return called({"name": "get_weather", "arguments": ""}, *({"arguments": piece} for piece in PIECES))


def anthropic() -> Reply:
    block = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {}}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": USAGE}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in PIECES]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    return Reply([sse(event, event["type"]) for event in events])


def responses(*, numbered: bool = True) -> Reply:
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather", "status": "completed"}
    done, place = {**item, "arguments": WRITTEN}, {"output_index": 0, "item_id": "fc_1"}
    whole = {"id": "resp_1", "object": "response", "status": "completed", "output": [done], "usage": USAGE}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
        *({"type": "response.function_call_arguments.delta", **place, "delta": piece} for piece in PIECES),
        {"type": "response.function_call_arguments.done", **place, "name": "get_weather", "arguments": WRITTEN},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": whole},
    ]
    return Reply([sse({**event, "sequence_number": at} if numbered else event) for at, event in enumerate(events)])


UPSTREAMS: dict[str, tuple[dict[str, Any], Reply]] = {
    "chat": ({"plugin": "openai"}, chat()),
    "anthropic": ({"plugin": "anthropic"}, anthropic()),
    "responses only": ({"plugin": "openai", "responses": "only"}, responses()),
    "responses": ({"plugin": "openai", "responses": "native"}, responses()),
    "responses unnumbered": ({"plugin": "openai", "responses": "only"}, responses(numbered=False)),
}


def read(door: str, body: bytes) -> list[str]:
    """The arguments of the only call in a stream, in each way in which the door's dialect tells them."""
    events = [orjson.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    if door == "gemini":
        parts = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
        return [orjson.dumps(part["functionCall"]["args"]).decode() for part in parts if "functionCall" in part]
    if door == "chat":
        deltas = [event["choices"][0]["delta"] for event in events]
        return ["".join(c["function"].get("arguments", "") for delta in deltas for c in delta.get("tool_calls", ()))]
    if door == "messages":
        deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
        return ["".join(delta.get("partial_json", "") for delta in deltas)]
    pieces = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
    done = [event["arguments"] for event in events if event["type"] == "response.function_call_arguments.done"]
    return ["".join(pieces), *done, events[-1]["response"]["output"][0]["arguments"]]


@pytest.mark.parametrize("kind", UPSTREAMS)
async def test_line_ends_are_escaped_where_they_stand_in_a_string(
    serve: Any, fake_upstream: FakeUpstream, kind: str
) -> None:
    provider, reply = UPSTREAMS[kind]
    fake_upstream.reply(reply)
    price = {"input": 1, "output": 2}
    site = await serve(
        providers={"fake": {"base_url": fake_upstream.url, "api_key": "sk-fake-key-000", **provider}},
        models={"fake/model": {"upstream": "m", "price": price, "max_output": 99}},
        default_model="fake/model",
    )
    for door, (path, body) in DOORS.items():
        sent = {**body, "tools": [OFFERED[door]], **({} if door == "gemini" else {"model": "fake/model"})}
        if kind == "responses" and door != "responses":
            fake_upstream.queue(chat())
        status, _, raw = await site.running.post(path.replace("$MODEL", "fake/model"), sent)
        assert status == 200
        told = read(door, raw)
        assert len(set(told)) == 1, "deltas and what ends them say the same"
        assert orjson.loads(told[0]) == MEANT, (kind, door)
