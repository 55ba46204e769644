"""What a recorded answer comes to, read again."""

from __future__ import annotations

import orjson

from gateway.provider import UpstreamReply
from gateway.readers import ChatReader
from gateway.runner.replaying import read_again
from gateway.testing import make_call, make_target, openai_completion, openai_error, openai_stream, tool_call, usage

SSE = {"content-type": "text/event-stream"}


def read(status: int, headers: dict[str, str], body: bytes) -> tuple[dict[str, object], int, int]:
    call = make_call()
    call.target = make_target()
    told, measured = read_again(call, ChatReader(call), UpstreamReply(status, headers, body))
    return told, measured.usage.prompt_tokens, measured.usage.completion_tokens


def test_a_whole_answer_and_its_stream_come_to_the_same() -> None:
    whole = read(200, {}, orjson.dumps(openai_completion("Hello you", reported=usage(9, 2))))
    stream = read(200, SSE, b"".join(openai_stream("Hello", " you", reported=usage(9, 2))))
    assert whole == stream
    assert whole[0]["choices"][0]["text"] == "Hello you"  # type: ignore[index]
    assert whole[1:] == (9, 2)


def test_calls_are_compared_and_ids_are_not() -> None:
    first = read(200, {}, orjson.dumps(openai_completion("", tool_calls=[tool_call("f", "call_1", x=1)])))
    second = read(200, {}, orjson.dumps(openai_completion("", tool_calls=[tool_call("f", "call_2", x=1)])))
    assert first == second


def test_faults() -> None:
    assert read(429, {}, orjson.dumps(openai_error()))[0]["fault"]
    assert read(200, {}, b"<html>")[0]["fault"]
    assert read(200, SSE, b'data: {"error": {"message": "no"}}\n\n')[0]["fault"]
