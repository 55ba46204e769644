"""The caller's side of a streamed response: over the bridge, and from an upstream that speaks Responses itself.

Both implement `gateway.dialect.Relay`, and both hold back the last events until the call is billed, so that the usage
they carry is the one that was paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.dialect import Watch
from gateway.errors import Fault
from gateway.provider import StreamItem
from gateway.responses.running import ResponseCancelled
from gateway.wire.bridge.stream import BridgeStream
from gateway.wire.chat.activity import MEMBER, Activity
from gateway.wire.responses.events import encode_event, encode_events
from gateway.wire.responses.native import NativeRelay
from gateway.wire.responses.objects import shown_usage
from gateway.wire.stream_relay import StreamRelay
from gateway.wire.usage import find_usage

Json = dict[str, Any]


class _TakenRelay(StreamRelay):
    """taken: sees all that goes to the caller, or None. watch: see `InboundCall.relay`."""

    def __init__(self, watch: Watch | None, taken: Callable[[bytes], None] | None) -> None:
        self._watch = watch
        self._taken = taken

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """As every relay; what it sends is taken."""
        data, fault = super().feed(items)
        return self._send(data), fault

    def _send(self, data: bytes) -> bytes:
        if data and self._taken is not None:
            self._taken(data)
        return data


class BridgeRelay(_TakenRelay):
    """Chat chunks in, Responses events out. clock: unix seconds. taken: sees all that goes to the caller, or None."""

    def __init__(
        self, stream: BridgeStream, watch: Watch | None, clock: Callable[[], int], taken: Callable[[bytes], None] | None
    ) -> None:
        super().__init__(watch, taken)
        self._usage: Json | None = None
        self._reason: str | None = None
        self._stream = stream
        self._clock = clock
        self._places: dict[str, int] = {}

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

    def write(self, item: bytes | Json, out: list[bytes]) -> None:
        """Append the events that one chunk makes. Raises UpstreamFault when it makes no sense."""
        out.append(self._raw(item) if isinstance(item, bytes) else self._chunk(item))

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self._reason = "length"

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The closing bytes of a stream that ended well, with the usage to show (OpenAI's names, plus `cost`)."""
        return self._send(encode_events(self._stream.finish(self._clock(), usage=usage, reason=self._reason)))

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """The bytes that end a stream which has begun and cannot go on."""
        return self._send(encode_events(self._stream.fail(fault, self._clock(), usage=self._usage)))

    def cancel(self, usage: Mapping[str, Any]) -> bytes:
        """The bytes that end a stream which its caller stopped. usage: what was billed, empty for nothing."""
        return self._send(encode_events(self._stream.cancel(self._clock(), usage=usage or None)))

    def _raw(self, item: bytes) -> bytes:
        if self._watch is not None:
            chunk = orjson.loads(item)
            if isinstance(chunk, dict):
                return self._chunk(chunk)
        return self._stream.feed_raw(item)

    def _chunk(self, chunk: Json) -> bytes:
        # For an answer that breaks off, whose last event tells what it has cost by then.
        self._usage = find_usage(chunk) or self._usage
        if self._watch is not None:
            self._watch(chunk)
        events = _activity_of(chunk)
        return self._stream.feed_bytes(chunk) if events is None else self._activity(events)

    def _activity(self, events: list[Json]) -> bytes:
        """What the gateway does for this answer, as items and events of the Responses API."""
        stream = self._stream
        out = stream.start()
        for event in events:
            kind = event["event"]
            if kind == "round":
                out += stream.next_round()
                continue
            item_id = event["id"]
            if kind == "added":
                self._places[item_id], opened = stream.server_item(event["item"])
                out += opened
            elif kind == "done":
                out += stream.server_item_done(self._places[item_id], event["item"])
            elif event["type"].startswith("response."):
                out += stream.server_event(event["type"], self._places[item_id], item_id=item_id, **event["members"])
        return encode_events(out)


def done_items(completion: Mapping[str, Any]) -> list[Json]:
    """The items of what was done for a whole answer, beside the model's words."""
    choices = completion.get("choices")
    message = (
        choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    )
    events = message.get(MEMBER) if isinstance(message, dict) else None
    return [event["item"] for event in events if event["event"] == "done"] if isinstance(events, Activity) else []


def _activity_of(chunk: Mapping[str, Any]) -> list[Json] | None:
    """The events in a chunk that the gateway made itself; see `gateway.servertools.activity`."""
    choices = chunk.get("choices")
    delta = choices[0].get("delta") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    events = delta.get(MEMBER) if isinstance(delta, dict) else None
    # Of an upstream's own making it would be a plain list of anything; ours says so.
    return events if isinstance(events, Activity) else None


class NativeStream(_TakenRelay):
    """Events of an upstream that speaks Responses, as ours. begun: our response object at its beginning."""

    def __init__(self, begun: Json, watch: Watch | None, taken: Callable[[bytes], None] | None) -> None:
        super().__init__(watch, taken)
        self._relay = NativeRelay(begun, remember=True)
        self._last: Json | None = None
        self._told = False
        self._closing = b""

    @property
    def response(self) -> Json:
        """The response as it stands."""
        return self._relay.added_up() if self._last is None else self._last

    def add_up(self, most: int) -> bool:
        """Take up to `most` events more into the object; returns whether there are more."""
        return self._last is None and self._relay.final is None and self._relay.add_up(most)

    @property
    def dropped(self) -> list[str]:
        """Nothing: the answer is relayed as it is."""
        return []

    def write(self, item: bytes | Json, out: list[bytes]) -> None:
        """Append the event as ours. Raises the fault that it means. Nothing is said behind the terminal one, which
        `finish` tells again, with the bill in it."""
        if self._relay.ended:
            return
        data = item if isinstance(item, bytes) else orjson.dumps(item)
        if self._watch is not None and isinstance(event := orjson.loads(data), dict):
            self._watch(event)
        event_bytes = self._relay.feed(data)
        if self._relay.fault is not None:
            raise self._relay.fault
        if self._relay.ended:
            self._last = self._relay.final
            out.append(self._relay.untold)
        else:
            out.append(event_bytes)

    def cut(self) -> None:
        """The gateway ends the answer here."""
        if not self._relay.ended:
            *closing, _, _ = self._break_off(ResponseCancelled())
            self._closing = encode_events(closing)
            details = {"reason": "max_output_tokens"}
            self._last = {**self.response, "status": "incomplete", "error": None, "incomplete_details": details}
            self._relay.final = self._last
            self._relay.number += 1  # of the terminal event, which `finish` sends

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The closing bytes of a stream that ended well, with the usage to show (OpenAI's names, plus `cost`)."""
        last = self._last = {**self.response, "usage": shown_usage(usage)}
        self._told = True
        kind = f"response.{last.get('status')}"
        event = encode_event({"type": kind, "response": last, "sequence_number": self._relay.number - 1})
        return self._send(self._closing + event)

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """The bytes that end a stream which has begun and cannot go on."""
        return self._send(encode_events(self._break_off(fault)))

    def cancel(self, usage: Mapping[str, Any]) -> bytes:
        """The events that end a response which its owner cancelled, with the usage to show."""
        *events, error, _ = self._break_off(ResponseCancelled()) or [{}, {}]
        if not error:
            return b""
        shown = shown_usage(usage) if usage else None
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
