"""Streams that are not quite OpenAI's: failures are failures at every door, and what an SDK cannot read is repaired."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest

from gateway.testing import (
    FakeUpstream,
    Reply,
    chunk,
    json_reply,
    openai_completion,
    openai_stream,
    running_gateway,
    sse,
)
from gateway.testing.running import upstream_config

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ASKED = [{"role": "user", "content": "x"}]
DOORS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": ASKED, "stream": True}),
    "responses": ("/v1/responses", {"input": "x", "stream": True}),
    "messages": ("/v1/messages", {"messages": ASKED, "max_tokens": 50, "stream": True}),
    "gemini": (
        "/v1beta/models/$MODEL:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "x"}]}]},
    ),
}


def failed(reason: str, *before: dict[str, Any]) -> Reply:
    parts = [sse(chunk(delta)) for delta in before]
    return Reply([*parts, sse({**chunk({}, finish=reason), "usage": USAGE}), b"data: [DONE]\n\n"])


async def asked(tmp_path: Any, door: str, *replies: Reply, **more: Any) -> tuple[int, bytes, int]:
    """Status and body of one call at a door, and how often the upstream was asked."""
    path, body = DOORS[door]
    async with FakeUpstream() as upstream:
        upstream.queue(*replies)
        config = upstream_config(upstream.url, upstream={"retries": 2, "backoff": "1ms", "max_backoff": "2ms"})
        async with running_gateway(tmp_path, config) as gateway:
            model = config["default_model"]
            sent = {**body, **more} if door == "gemini" else {"model": model, **body, **more}
            status, _, answer = await gateway.post(path.replace("$MODEL", model), sent)
            return status, answer, len(upstream.requests)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("reason", ["error", "MALFORMED_FUNCTION_CALL"])
async def test_a_failure_after_text_is_an_error(tmp_path: Any, door: str, reason: str) -> None:
    status, body, tries = await asked(tmp_path, door, failed(reason, {"content": "A"}))
    assert (status, tries) == (200, 1)
    assert b"failed inside its answer" in body
    for end in (b"[DONE]", b"response.completed", b"message_stop", b'"STOP"'):
        assert end not in body


@pytest.mark.parametrize("door", DOORS)
async def test_a_failure_before_anything_is_tried_again(tmp_path: Any, door: str) -> None:
    status, body, tries = await asked(tmp_path, door, failed("error"), Reply(openai_stream("Fine")))
    assert (status, tries) == (200, 2)
    assert b"Fine" in body


@pytest.mark.parametrize("door", DOORS)
async def test_a_guardrail_is_no_clean_end(tmp_path: Any, door: str) -> None:
    _, body, _ = await asked(tmp_path, door, failed("guardrail_intervened", {"content": "A"}))
    told = {
        "chat": b'"content_filter"',
        "responses": b'"content_filter"',
        "messages": b'"refusal"',
        "gemini": b"SAFETY",
    }
    assert told[door] in body


FUNCTION = {"name": "get_weather", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
OFFERED: dict[str, Any] = {
    "chat": {"type": "function", "function": FUNCTION},
    "responses": {"type": "function", **FUNCTION},
    "messages": {"name": FUNCTION["name"], "input_schema": FUNCTION["parameters"]},
    "gemini": {"functionDeclarations": [FUNCTION]},
}


def called(*deltas: dict[str, Any]) -> Reply:
    """A stream with one call of the function. deltas: its name and arguments, in pieces."""
    first: dict[str, Any] = {"id": "call_1", "type": "function"}
    calls = [{"index": 0, "function": delta, **(first if not at else {})} for at, delta in enumerate(deltas)]
    events = [sse(chunk({"tool_calls": [call]})) for call in calls]
    return Reply([*events, sse({**chunk({}, finish="tool_calls"), "usage": USAGE}), b"data: [DONE]\n\n"])


@pytest.mark.parametrize("door", DOORS)
async def test_a_name_in_pieces_is_told_whole(tmp_path: Any, door: str) -> None:
    reply = called(
        {"name": "get_", "arguments": ""}, {"name": "weather"}, {"arguments": '{"a":'}, {"arguments": '"b"}'}
    )
    _, body, _ = await asked(tmp_path, door, reply, tools=[OFFERED[door]])
    assert b'"get_weather"' in body
    assert b'"get_"' not in body
    assert b'"weather"' not in body


async def test_a_whole_answer_that_failed_is_tried_again(tmp_path: Any) -> None:
    broken = openai_completion("")
    broken["choices"][0]["finish_reason"] = "error"
    replies = (json_reply(broken), json_reply(openai_completion("Fine")))
    status, body, tries = await asked(tmp_path, "chat", *replies, stream=False)
    assert (status, tries) == (200, 2)
    assert orjson.loads(body)["choices"][0]["message"]["content"] == "Fine"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_compressed_answer_is_read(tmp_path: Any, stream: bool) -> None:
    whole = b"".join(openai_stream("Fine")) if stream else orjson.dumps(openai_completion("Fine"))
    kind = "text/event-stream" if stream else "application/json"
    reply = Reply([gzip.compress(whole)], headers={"content-encoding": "gzip"}, media_type=kind)
    status, body, tries = await asked(tmp_path, "chat", reply, stream=stream)
    assert (status, tries) == (200, 1)
    assert b"Fine" in body


@pytest.mark.parametrize("stream", [False, True])
async def test_a_compressed_error_tells_its_message(tmp_path: Any, stream: bool) -> None:
    whole = orjson.dumps({"error": {"message": "tools[0]: no such thing", "type": "invalid_request_error"}})
    headers = {"content-encoding": "gzip"}
    reply = Reply([gzip.compress(whole)], 400, headers=headers, media_type="application/json")
    status, body, _ = await asked(tmp_path, "chat", reply, stream=stream)
    assert status == 400
    assert b"no such thing" in body


@pytest.mark.parametrize("stream", [False, True])
async def test_a_coding_that_nobody_asked_for_is_told(tmp_path: Any, stream: bool) -> None:
    reply = Reply([b"\x8b"], headers={"content-encoding": "br"})
    status, body, _ = await asked(tmp_path, "chat", reply, stream=stream)
    assert status == 502
    assert b"compressed" in body
