"""The caller's side of a streamed response: over the bridge, and from an upstream that speaks Responses itself.

Both implement `gateway.dialect.Relay`, and both hold back the last events until the call is billed, so that the usage
they carry is the one that was paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.dialect import Watch
from gateway.errors import Fault, GatewayFault
from gateway.provider import StreamItem
from gateway.wire.bridge.stream import BridgeStream
from gateway.wire.responses.events import encode_event, encode_events
from gateway.wire.responses.native import NativeRelay
from gateway.wire.responses.objects import usage_from_chat, usage_of_response
from gateway.wire.usage import find_usage

Json = dict[str, Any]

_TEXT = (b'"content":"', b'"reasoning_content":"', b'"arguments":"')
_USAGE, _NO_USAGE = b'"usage"', b'"usage":null'
_STOPPED = GatewayFault("The response was cancelled.")
_TEXT_KEYS = ("content", "reasoning_content", "reasoning", "refusal")


class BridgeRelay:
    """Chat chunks in, Responses events out. clock: unix seconds. taken: sees all that goes to the caller, or None."""

    def __init__(
        self, stream: BridgeStream, watch: Watch | None, clock: Callable[[], int], taken: Callable[[bytes], None] | None
    ) -> None:
        self.usage: Json | None = None
        self.text_bytes = 0
        self.chunks = 0
        self._reason: str | None = None
        self._stream = stream
        self._watch = watch
        self._clock = clock
        self._taken = taken

    @property
    def finish_reason(self) -> str:
        return self._reason or self._stream.finish_reason

    @property
    def complete(self) -> bool:
        """The model has said why it ended."""
        return bool(self._stream.finish_reason)

    @property
    def response(self) -> Json:
        """The response as it stands."""
        return self._stream.response

    def add_up(self, most: int) -> bool:
        """See `NativeRelay.add_up`; here it is done as the answer comes."""
        return False

    @property
    def dropped(self) -> list[str]:
        """What of the answer the Responses API cannot say."""
        return self._stream.dropped

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """See `Relay`."""
        out: list[bytes] = []
        fault: Fault | None = None
        for item in items:
            try:
                if isinstance(item, Fault):
                    fault = item
                elif isinstance(item, bytes):
                    out.append(self._raw(item))
                else:
                    out.append(self._chunk(item))
            except Fault as error:
                fault = error
            if fault is not None:
                break
        return self._send(b"".join(out)), fault

    def cut(self) -> None:
        """See `Relay`."""
        self._reason = "length"

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """See `Relay`."""
        return self._send(encode_events(self._stream.finish(self._clock(), usage=usage, reason=self._reason)))

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """See `Relay`."""
        return self._send(encode_events(self._stream.fail(fault, self._clock(), usage=self.usage)))

    def cancel(self, usage: Mapping[str, Any]) -> bytes:
        """The bytes that end a stream which its caller stopped. usage: what was billed, empty for nothing."""
        return self._send(encode_events(self._stream.cancel(self._clock(), usage=usage or None)))

    def _send(self, data: bytes) -> bytes:
        if data and self._taken is not None:
            self._taken(data)
        return data

    def _raw(self, item: bytes) -> bytes:
        if self._watch is not None or (_USAGE in item and _NO_USAGE not in item):
            chunk = orjson.loads(item) if item[:1] == b"{" else None
            if isinstance(chunk, dict):
                return self._chunk(chunk)
        self.chunks += 1
        for mark in _TEXT:
            at = item.find(mark)
            if at >= 0:
                at += len(mark)
                self.text_bytes += max(item.find(b'"}', at) - at, 0)
                break
        return self._stream.feed_raw(item)

    def _chunk(self, chunk: Json) -> bytes:
        usage = find_usage(chunk)
        if usage is not None:
            self.usage = usage
        if self._watch is not None:
            self._watch(chunk)
        size = _text_size(chunk)
        if size:
            self.chunks += 1
            self.text_bytes += size
        return self._stream.feed_bytes(chunk)


def _text_size(chunk: Mapping[str, Any]) -> int:
    """UTF-8 bytes that the model wrote in this chunk."""
    size = 0
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(delta, dict):
        return 0
    for key in _TEXT_KEYS:
        text = delta.get(key)
        if isinstance(text, str):
            size += len(text.encode("utf-8", "replace"))
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        for text in function.values() if isinstance(function, dict) else ():
            if isinstance(text, str):
                size += len(text.encode("utf-8", "replace"))
    return size


class NativeStream:
    """Events of an upstream that speaks Responses, as ours. begun: our response object at its beginning."""

    def __init__(self, begun: Json, watch: Watch | None, taken: Callable[[bytes], None] | None) -> None:
        self.usage: Json | None = None
        self.chunks = 0
        self._relay = NativeRelay(begun, remember=True)
        self._watch = watch
        self._taken = taken
        self._last: Json | None = None
        self._told = False
        self._closing = b""

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of text relayed so far."""
        return self._relay.text_bytes

    @property
    def complete(self) -> bool:
        """The terminal event came."""
        return self._relay.ended

    @property
    def finish_reason(self) -> str:
        """In the words of chat."""
        final = self._relay.final
        if final is None:
            return ""
        if final.get("status") == "incomplete":
            details = final.get("incomplete_details")
            reason = details.get("reason") if isinstance(details, dict) else None
            return "content_filter" if reason == "content_filter" else "length"
        output = final.get("output")
        kinds = {item.get("type") for item in output if isinstance(item, dict)} if isinstance(output, list) else set()
        return "tool_calls" if kinds & {"function_call", "custom_tool_call"} else "stop"

    @property
    def response(self) -> Json:
        """The response as it stands."""
        return self._relay.added_up() if self._last is None else self._last

    def add_up(self, most: int) -> bool:
        """See `NativeRelay.add_up`."""
        return self._last is None and self._relay.final is None and self._relay.add_up(most)

    @property
    def dropped(self) -> list[str]:
        """Nothing: the answer is relayed as it is."""
        return []

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """See `Relay`."""
        out: list[bytes] = []
        fault: Fault | None = None
        for item in items:
            if isinstance(item, Fault):
                fault = item
                break
            data = item if isinstance(item, bytes) else orjson.dumps(item)
            try:
                if self._watch is not None and isinstance(event := orjson.loads(data), dict):
                    self._watch(event)
                before = self._relay.text_bytes
                event_bytes = self._relay.feed(data)
            except Fault as error:
                fault = error
                break
            if self._relay.text_bytes > before:
                self.chunks += 1
            if self._relay.fault is not None:
                fault = self._relay.fault
                break
            if self._relay.ended:
                # Told again, with the bill in it, by `finish`.
                self._last = self._relay.final
                self.usage = usage_of_response(self._last or {})
                break
            out.append(event_bytes)
        return self._send(b"".join(out)), fault

    def cut(self) -> None:
        """See `Relay`."""
        if not self._relay.ended:
            *closing, _, _ = self._break_off(_STOPPED)
            self._closing = encode_events(closing)
            details = {"reason": "max_output_tokens"}
            self._last = {**self.response, "status": "incomplete", "error": None, "incomplete_details": details}
            self._relay.final = self._last
            self._relay.number += 1  # of the terminal event, which `finish` sends

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """See `Relay`."""
        shown = usage_from_chat(usage) if "prompt_tokens" in usage else dict(usage)
        last = self._last = {**self.response, "usage": shown}
        self._told = True
        kind = f"response.{last.get('status')}"
        event = encode_event({"type": kind, "response": last, "sequence_number": self._relay.number - 1})
        return self._send(self._closing + event)

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """See `Relay`."""
        return self._send(encode_events(self._break_off(fault)))

    def cancel(self, usage: Mapping[str, Any]) -> bytes:
        """See `BridgeRelay.cancel`."""
        *events, error, _ = self._break_off(_STOPPED) or [{}, {}]
        if not error:
            return b""
        shown = usage_from_chat(usage) if "prompt_tokens" in usage else dict(usage) or None
        last = self._last = {**self.response, "status": "cancelled", "error": None, "usage": shown}
        number = error["sequence_number"]
        events.append({"type": "response.cancelled", "response": last, "sequence_number": number})
        return self._send(encode_events(events))

    def _break_off(self, fault: Fault) -> list[Json]:
        if self._told:
            return []
        self._told = True
        if self._relay.ended:
            self._relay.number -= 1  # the terminal event was held back and will not be sent
        events = self._relay.fail(fault)
        self._last = self._relay.final
        return events

    def _send(self, data: bytes) -> bytes:
        if data and self._taken is not None:
            self._taken(data)
        return data
