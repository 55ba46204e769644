"""Answers, whole and streamed. The dialect is OpenAI's own, so what comes in a stream passes as its bytes but for
usage."""

from __future__ import annotations

import re
from typing import Any

from gateway.api import (
    ChatChunkEditor,
    ChatReader,
    Fault,
    StreamDecoder,
    StreamItem,
    UpstreamReply,
    check_depth,
    read_completion,
)

from .faults import fault_from_reply
from .usage import lift_usage

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
"""Inside JSON strings the quotes are escaped, so text that a model wrote never matches."""


class MoonshotReader(ChatReader):
    """Reads answers, whole and streamed."""

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """A whole answer as the hub has it. Raises Fault for what is none."""
        return read_message(reply)

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return MoonshotDecoder(self.clean)

    def fault_of(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer means, not yet cleaned."""
        return fault_from_reply(reply)


def read_message(reply: UpstreamReply) -> dict[str, Any]:
    """The completion. Raises UpstreamFault when it makes no sense."""
    completion = read_completion(reply.body)
    check_depth(completion, reply.body)
    for choice in completion["choices"]:
        message = choice["message"]
        message.setdefault("role", "assistant")
        message.setdefault("content", None)
        message.setdefault("refusal", None)
        choice.setdefault("logprobs", None)
        if not message.get("tool_calls", True):
            del message["tool_calls"]
    lift_usage(completion)
    return completion


class MoonshotDecoder(ChatChunkEditor):
    """Reads one streamed answer, whose usage is lifted to where OpenAI has it."""

    notable = _USAGE

    def edit(self, chunk: dict[str, Any], out: list[StreamItem]) -> None:
        """Lift the usage of one chunk."""
        lift_usage(chunk)
        out.append(chunk)
