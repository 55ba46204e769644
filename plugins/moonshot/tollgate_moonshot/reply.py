"""Answers, whole and streamed. The dialect is OpenAI's own, so what comes in a stream passes as its bytes but for
usage, and for the names of functions that had to be changed on the way in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.api import (
    Call,
    ChatStreamDecoder,
    Fault,
    StreamItem,
    UpstreamReply,
    check_depth,
    nonsense,
    read_completion,
)

from .usage import lift_usage

STATE = "moonshot"
"""Key in `call.state` under which a built request leaves its changed names."""

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_USAGE_OR_CALLS = re.compile(rb'"usage"\s*:\s*\{|"tool_calls"\s*:\s*\[')


def names_of(call: Call) -> Mapping[str, str]:
    """Names of functions as they were sent to the caller's own, where they differ."""
    found = call.state.get(STATE)
    return found if isinstance(found, Mapping) else {}


def read_message(call: Call, reply: UpstreamReply) -> dict[str, Any]:
    """The completion. Raises UpstreamFault when it makes no sense."""
    completion = read_completion(reply.body)
    check_depth(completion, reply.body)
    names = names_of(call)
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
    """Implements `gateway.api.StreamDecoder`. clean: applied to every fault (redaction)."""

    def __init__(self, call: Call, clean: Callable[[Fault], Fault]) -> None:
        self.done = False
        self._call = call
        self._chunks = ChatStreamDecoder(clean)
        self._clean = clean
        self._names: Mapping[str, str] = {}
        self._notable: re.Pattern[bytes] | None = None
        self._failed = False

    def feed(self, data: bytes) -> list[StreamItem]:
        """See `gateway.api.StreamDecoder`."""
        if self._notable is None:
            # Not earlier: a decoder may be opened before the request is built, which notes the names.
            self._names = names_of(self._call)
            # Inside JSON strings the quotes are escaped, so text that a model wrote never matches.
            self._notable = _USAGE_OR_CALLS if self._names else _USAGE
        return self._read(self._chunks.feed(data))

    def finish(self) -> list[StreamItem]:
        """See `gateway.api.StreamDecoder`."""
        return self._read(self._chunks.finish())

    def _read(self, items: list[bytes | dict[str, Any] | Fault]) -> list[StreamItem]:
        out: list[StreamItem] = []
        for item in items if not self._failed else ():
            if isinstance(item, bytes) and (self._notable or _USAGE).search(item):
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
