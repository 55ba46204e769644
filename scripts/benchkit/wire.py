"""The bytes of the benchmark: requests of the load generator and answers of the upstream, built once.

The answers have the shape of OpenAI's Chat Completions (`chat.completion`, `chat.completion.chunk`), of a usual
size. A stream chunk carries the moment of its writing in `delta.content` as `@t=` and 19 digits, nanoseconds of
CLOCK_MONOTONIC, which all processes of one machine share: the lag is measured without any side channel, and it
survives a relay that parses and writes the JSON anew.
"""

from __future__ import annotations

import json
import re
from typing import Any

MODEL = "bench/model"
PATH = "/v1/chat/completions"
ANSWER_TEXT = "This is the whole benchmark answer, of a usual length for a short question."
STAMP = b"@t="
STAMP_DIGITS = 19
STREAM_END = b"0\r\n\r\n"
DONE = b"data: [DONE]"
PACE = re.compile(rb"pace=(\d+)ms")
WANTS_STREAM = re.compile(rb'"stream"\s*:\s*true')
WANTS_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
COMPLETION_TOKENS = re.compile(rb'"completion_tokens"\s*:\s*(\d+)')

_ID = "chatcmpl-Bench0123456789abcdefghijklm"
_CREATED = 1760000000


def compact(value: Any) -> bytes:
    """JSON without spaces, as providers send it."""
    return json.dumps(value, separators=(",", ":")).encode()


def request(body: dict[str, Any], port: int, key: str | None, path: str = PATH) -> bytes:
    """A whole keep-alive HTTP/1.1 POST of `body` as JSON to 127.0.0.1:`port`."""
    payload = compact(body)
    authorization = f"authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: application/json\r\n{authorization}"
        f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


def call_body(model: str = MODEL) -> dict[str, Any]:
    """A small chat request, answered at once and whole."""
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a short and helpful assistant."},
            {"role": "user", "content": "Say something of a usual length."},
        ],
        "max_tokens": 64,
    }


def stream_body(pace_ms: int, model: str = MODEL) -> dict[str, Any]:
    """A chat request whose stream gets one event every `pace_ms` milliseconds until the upstream is told to end."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": f"Count for ever, pace={pace_ms}ms please."}],
        "stream": True,
        "max_tokens": 8192,
    }


def http_answer(status: str, payload: bytes) -> bytes:
    """A whole keep-alive HTTP/1.1 JSON answer."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


def completion() -> bytes:
    """The upstream's whole answer to a request that does not stream."""
    message: dict[str, Any] = {"role": "assistant", "content": ANSWER_TEXT, "refusal": None, "annotations": []}
    return http_answer(
        "200 OK",
        compact(
            {
                "id": _ID,
                "object": "chat.completion",
                "created": _CREATED,
                "model": "model",
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
                "usage": _usage(16),
                "service_tier": "default",
                "system_fingerprint": "fp_bench",
            }
        ),
    )


def _usage(completion_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": 24,
        "completion_tokens": completion_tokens,
        "total_tokens": 24 + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _chunk(choices: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    return {
        "id": _ID,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": "model",
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
        "choices": choices,
        **extra,
    }


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _framed(payload: bytes) -> bytes:
    """One SSE event in one HTTP chunk."""
    event = b"data: " + payload + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def event_parts(with_usage: bool) -> tuple[bytes, bytes]:
    """What stands before and after the 19 digits of an event, HTTP framing included."""
    extra = {"usage": None} if with_usage else {}
    content = STAMP.decode() + "0" * STAMP_DIGITS + " word"
    framed = _framed(compact(_chunk([_choice({"content": content})], **extra)))
    at = framed.index(STAMP) + len(STAMP)
    return framed[:at], framed[at + STAMP_DIGITS :]


def stream_end(events: int, with_usage: bool) -> bytes:
    """Finish chunk, usage chunk (its `completion_tokens` is the number of events sent), `[DONE]`, HTTP end."""
    extra = {"usage": None} if with_usage else {}
    finish = _framed(compact(_chunk([_choice({}, "stop")], **extra)))
    usage = _framed(compact(_chunk([], usage=_usage(events))))
    return finish + usage + _framed(b"[DONE]") + STREAM_END
