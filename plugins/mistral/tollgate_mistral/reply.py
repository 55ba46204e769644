"""A whole answer as a chat completion, and the ends of both whole and streamed ones."""

from __future__ import annotations

from typing import Any

from gateway.api import Call, UpstreamFault, UpstreamReply, check_depth, read_completion

from .calls import whole_calls
from .content import Content
from .sources import Sources
from .usage import translate_usage

FINISH = {"model_length": "length"}
"""Mistral's finish reasons (its API reference) that OpenAI has another word for; `error` is a fault."""


def read_message(call: Call, reply: UpstreamReply) -> dict[str, Any]:
    """The completion. Raises UpstreamFault when it makes no sense, or says itself that it failed."""
    completion = read_completion(reply.body)
    check_depth(completion, reply.body)
    sources = Sources(call.body)
    for at, choice in enumerate(completion["choices"]):
        message = choice["message"]
        message.setdefault("role", "assistant")
        message.setdefault("refusal", None)
        choice.setdefault("logprobs", None)
        chunks = message.get("content")
        message["content"] = None if isinstance(chunks, list) else chunks
        if isinstance(chunks, list):
            content = Content(sources)
            content.read(chunks, message)
            content.close(message)
        calls = whole_calls(message.pop("tool_calls", None), f"{completion.get('id')}:{at}")
        if calls:
            message["tool_calls"] = calls
        reason = choice.get("finish_reason")
        if reason == "error":
            raise failed()
        if isinstance(reason, str):
            choice["finish_reason"] = FINISH.get(reason, reason)
    if "usage" in completion:
        completion["usage"] = translate_usage(completion["usage"])
    return completion


def failed() -> UpstreamFault:
    """The answer ended with Mistral's finish reason `error`."""
    return UpstreamFault(
        "the provider failed inside its answer; try again",
        code="upstream_failed",
        retryable=True,
        detail="finish_reason: error",
    )
