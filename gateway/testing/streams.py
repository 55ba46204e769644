"""Bytes that an OpenAI-compatible server would send, for scripts of the fake upstream and for decoder tests.

Source: OpenAI's API reference, chat completion and chat completion chunk objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

DONE_EVENT = b"data: [DONE]\n\n"


def sse(payload: bytes | dict[str, Any], name: str = "") -> bytes:
    """One event; a dict is sent as JSON."""
    data = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return (b"event: " + name.encode() + b"\n" if name else b"") + b"data: " + data + b"\n\n"


def parsed(items: Iterable[object]) -> list[Any]:
    """What a stream decoder gave, chunks that came as their bytes parsed."""
    return [orjson.loads(item) if isinstance(item, bytes) else item for item in items]


def usage(prompt: int = 10, completion: int = 5, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def chunk(
    delta: dict[str, Any], *, finish: str | None = None, model: str = "fake-model", **more: Any
) -> dict[str, Any]:
    """One chat completion chunk with a single choice."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_envelope("chat.completion.chunk", model), "choices": [choice], **more}


def openai_stream(
    *texts: str,
    finish: str = "stop",
    reported: dict[str, Any] | None = None,
    with_usage: bool = True,
    done: bool = True,
    model: str = "fake-model",
) -> list[bytes]:
    """The events of a streamed answer, one slice each: a role chunk, one chunk per text, the finish chunk, the usage
    chunk (`reported`, or one token per text) unless `with_usage` is false, and `[DONE]` unless `done` is false."""
    events = [sse(chunk({"role": "assistant", "content": "", "refusal": None}, model=model))]
    events += [sse(chunk({"content": text}, model=model)) for text in texts]
    events.append(sse(chunk({}, finish=finish, model=model)))
    if with_usage:
        figures = usage(completion=len(texts)) if reported is None else reported
        events.append(sse({**_envelope("chat.completion.chunk", model), "choices": [], "usage": figures}))
    if done:
        events.append(DONE_EVENT)
    return events


def openai_completion(
    text: str,
    *,
    finish: str = "stop",
    reported: dict[str, Any] | None = None,
    model: str = "fake-model",
    **message: Any,
) -> dict[str, Any]:
    """A whole chat completion; `message` adds members such as `tool_calls`."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None, **message},
        "logprobs": None,
        "finish_reason": finish,
    }
    figures = usage() if reported is None else reported
    return {**_envelope("chat.completion", model), "choices": [choice], "usage": figures}


def tool_call(name: str, call_id: str = "call_1", **arguments: Any) -> dict[str, Any]:
    """A call of a function, as it stands in the `tool_calls` of a whole message."""
    function = {"name": name, "arguments": orjson.dumps(arguments).decode()}
    return {"id": call_id, "type": "function", "function": function}


def openai_error(
    message: str = "The server had an error.", type: str = "server_error", code: str | None = None
) -> dict[str, Any]:
    """OpenAI's error body."""
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def huge_event(size: int = 16 * 1024 * 1024) -> bytes:
    """One event whose line is at least `size` bytes long, as an inline picture makes it."""
    return sse(chunk({"content": "x" * size}))


def _envelope(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake",
        "object": kind,
        "created": 1_750_000_000,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }
