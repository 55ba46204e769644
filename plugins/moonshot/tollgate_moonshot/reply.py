"""Answers, whole and streamed. The dialect is OpenAI's own, so what comes in a stream passes as its bytes but for
usage, and for the names of functions that had to be changed on the way in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
_USAGE_OR_CALLS = re.compile(rb'"usage"\s*:\s*\{|"tool_calls"\s*:\s*\[')


class MoonshotReader(ChatReader):
    """names: of functions as they were sent, where they differ, to the caller's own. secrets: kept out of faults."""

    def __init__(self, call: Call, names: Mapping[str, str], secrets: tuple[str, ...]) -> None:
        super().__init__(call)
        self.names = names
        self.secrets = secrets

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """A whole answer as the hub has it. Raises Fault for what is none."""
        return read_message(reply, self.names)

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return MoonshotDecoder(self.names, self.clean)

    def fault_of(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer means, not yet cleaned."""
        return fault_from_reply(reply)

    def clean(self, fault: Fault) -> Fault:
        """The fault without the operator's secrets."""
        return redact_fault(fault, self.secrets)


def read_message(reply: UpstreamReply, names: Mapping[str, str]) -> dict[str, Any]:
    """The completion. names: see `MoonshotReader`. Raises UpstreamFault when it makes no sense."""
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
        if names:
            _rename(message, names)
    lift_usage(completion)
    return completion


class MoonshotDecoder:
    """Implements `gateway.api.StreamDecoder`. names: see `MoonshotReader`. clean: applied to every fault."""

    def __init__(self, names: Mapping[str, str], clean: Callable[[Fault], Fault]) -> None:
        self.done = False
        self._chunks = ChatStreamDecoder(clean)
        self._clean = clean
        self._names = names
        # Inside JSON strings the quotes are escaped, so text that a model wrote never matches.
        self._notable = _USAGE_OR_CALLS if names else _USAGE
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
            if isinstance(item, bytes) and self._notable.search(item):
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
        choices = chunk.get("choices") if self._names else None
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and isinstance(choice.get("delta"), dict):
                _rename(choice["delta"], self._names)
        return chunk


def _rename(message: dict[str, Any], names: Mapping[str, str]) -> None:
    """Give the calls of a message or delta the caller's names, in place."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            function["name"] = names.get(function["name"], function["name"])
