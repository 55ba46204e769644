"""What the tests of the Responses API share: SDK clients, checks that are always true of a stream, and upstreams."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import openai
import orjson
from jsonschema import Draft202012Validator

from gateway.testing import RunningGateway, sse
from gateway.wire.responses.fold import ResponseFold

Json = dict[str, Any]
SCHEMAS = Path(__file__).parents[1] / "wire/fixtures/responses/openai-schemas.json"
RESPONSES = "/v1/responses"

ECHO: Json = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"provider": "echo", "upstream": "echo", "price": {"input": 1, "output": 2}}},
    "aliases": dict.fromkeys(("openai/gpt-4.1-mini", "openai/gpt-4.1-nano"), "echo/echo"),
    "default_model": "echo/echo",
    "rate_limit": {"requests_per_minute": 1_000_000},
}

WEATHER: Json = {
    "type": "function",
    "name": "weather",
    "description": "Get weather information for a location",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}


def sdk(gateway: RunningGateway, key: str | None = None, **options: Any) -> openai.AsyncOpenAI:
    """A client of the official SDK, without retries; to be used in an `async with` block."""
    return openai.AsyncOpenAI(
        api_key=gateway.key if key is None else key, base_url=gateway.url + "/v1", max_retries=0, timeout=10, **options
    )


@cache
def _schemas() -> Json:
    found: Json = orjson.loads(SCHEMAS.read_bytes())["$defs"]
    return found


@cache
def schema(name: str) -> Draft202012Validator:
    """The validator of one of OpenAI's published schemas."""
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _schemas()})


@cache
def _events() -> dict[str, str]:
    named = {}
    for name, found in _schemas().items():
        kind = found.get("properties", {}).get("type", {}).get("enum", [None])[0]
        if name.endswith("Event") and kind:
            named[kind] = name
    return named


def read_stream(body: bytes) -> list[Json]:
    """The events of a whole stream, comments left out; each must bear its type as its event name."""
    assert body.endswith(b"\n\n")
    events = []
    for block in body.split(b"\n\n")[:-1]:
        if block.startswith(b":"):
            continue
        name, _, data = block.partition(b"\ndata: ")
        event = orjson.loads(data)
        assert name == b"event: " + event["type"].encode()
        events.append(event)
    return events


def check_stream(events: list[Json], *, published: bool = True) -> Json:
    """Everything that is always true of a whole stream; returns the final object. published: it also keeps to OpenAI's
    published schemas, which some of its own recorded answers do not."""
    fold = ResponseFold()
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        fold.add(event)
        if published and event["type"] != "response.cancelled":
            schema(_events()[event["type"]]).validate(event)
    assert fold.problems == []
    assert fold.final is not None
    return fold.final


def text_of(response: Json) -> str:
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )


def message_stream(blocks: list[Json], *, model: str = "claude-sonnet-4-20250514") -> list[bytes]:
    """An answer of the Messages API, streamed: blocks as a whole answer has them, in the order of events that
    Anthropic's document gives (thinking, then its signature; input as pieces of JSON)."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []}
    usage = {"input_tokens": 50, "output_tokens": 1}
    out = [_named({"type": "message_start", "message": {**start, "stop_reason": None, "usage": usage}})]
    for index, block in enumerate(blocks):
        kind = block["type"]
        empty = {**block, **{"thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}.get(kind, {})}
        if kind == "text":
            empty["text"] = ""
        out.append(_named({"type": "content_block_start", "index": index, "content_block": empty}))
        for delta in _deltas(block):
            out.append(_named({"type": "content_block_delta", "index": index, "delta": delta}))
        out.append(_named({"type": "content_block_stop", "index": index}))
    reason = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
    ended = {"stop_reason": reason, "stop_sequence": None}
    out.append(_named({"type": "message_delta", "delta": ended, "usage": {"output_tokens": 20}}))
    out.append(_named({"type": "message_stop"}))
    return out


def _deltas(block: Json) -> list[Json]:
    if block["type"] == "thinking":
        thought = block["thinking"]
        return [
            {"type": "thinking_delta", "thinking": thought[:7]},
            {"type": "thinking_delta", "thinking": thought[7:]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if block["type"] == "tool_use":
        text = orjson.dumps(block["input"]).decode()
        return [{"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:3], text[3:])]
    return [{"type": "text_delta", "text": block["text"]}]


def _named(event: Json) -> bytes:
    return sse(event, event["type"])


def native_stream(texts: list[str]) -> list[bytes]:
    """An answer of a server of the Responses API, streamed."""
    whole = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress", "model": "m", "output": []}
    item: Json = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    text = "".join(texts)
    done = {**item, "status": "completed", "content": [{**part, "text": text}]}
    usage = {"input_tokens": 10, "output_tokens": len(texts), "total_tokens": 10 + len(texts)}
    events: list[Json] = [
        {"type": "response.created", "response": whole},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **at, "part": part},
        *({"type": "response.output_text.delta", **at, "delta": text, "logprobs": []} for text in texts),
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": {**part, "text": text}},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": {**whole, "status": "completed", "output": [done], "usage": usage}},
    ]
    return [_named({**event, "sequence_number": number}) for number, event in enumerate(events)]
