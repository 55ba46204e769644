"""Answers, whole and streamed. The dialect is OpenAI's own, so what comes in a stream passes as its bytes but for
usage."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from gateway.api import (
    Call,
    ChatReader,
    ChatStreamDecoder,
    Fault,
    StreamDecoder,
    StreamItem,
    UpstreamReply,
    check_depth,
    nonsense,
    read_completion,
    redact_fault,
)

from .faults import fault_from_reply
from .usage import lift_usage

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
"""Inside JSON strings the quotes are escaped, so text that a model wrote never matches."""


class MoonshotReader(ChatReader):
    """secrets: kept out of faults."""

    def __init__(self, call: Call, secrets: tuple[str, ...]) -> None:
        super().__init__(call)
        self.secrets = secrets

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """A whole answer as the hub has it. Raises Fault for what is none."""
        return read_message(reply)

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return MoonshotDecoder(self.clean)

    def fault_of(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer means, not yet cleaned."""
        return fault_from_reply(reply)

    def clean(self, fault: Fault) -> Fault:
        """The fault without the operator's secrets."""
        return redact_fault(fault, self.secrets)


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


class MoonshotDecoder:
    """Implements `gateway.api.StreamDecoder`. clean: applied to every fault."""

    def __init__(self, clean: Callable[[Fault], Fault]) -> None:
        self.done = False
        self._chunks = ChatStreamDecoder(clean)
        self._clean = clean
        self._failed = False

    def feed(self, data: bytes) -> list[StreamItem]:
        """Take the next bytes."""
        return self._read(self._chunks.feed(data))

    def finish(self) -> list[StreamItem]:
        """The connection ended."""
        return self._read(self._chunks.finish())

    def _read(self, items: list[bytes | dict[str, Any] | Fault]) -> list[StreamItem]:
        out: list[StreamItem] = []
        for item in items if not self._failed else ():
            if isinstance(item, bytes) and _USAGE.search(item):
                try:
                    out.append(self._translate(item))
                except Fault as fault:
                    self._failed = True
                    out.append(self._clean(fault))
                    return out
            else:
                out.append(item)
        self.done = self._chunks.done
        return out

    def _translate(self, raw: bytes) -> dict[str, Any]:
        try:
            chunk: dict[str, Any] = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise nonsense("The provider sent a stream event that is not a JSON object.", raw) from None
        check_depth(chunk, raw)
        lift_usage(chunk)
        return chunk
