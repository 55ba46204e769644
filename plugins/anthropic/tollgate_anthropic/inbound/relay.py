"""The caller's side of a stream, from an upstream that speaks Anthropic's dialect and from any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import Call, Fault, Finder, StreamItem, StreamRelay, Watch, dump, encode_event, nonsense, text_of
from tollgate_anthropic.reading import Reading
from tollgate_anthropic.stream import EventTranslator
from tollgate_anthropic.usage import merge_usage, translate_usage

from .faults import error_event
from .native import DELTA, filled
from .straight import DELTA_NAME, finder
from .stream import ChatStream
from .usage import usage_of

Json = dict[str, Any]

_TAIL = b"\n\n"


class MessagesRelay(StreamRelay):
    """Implements `gateway.api.Relay`. Which side of it works is seen by what comes: an upstream of the same dialect
    may still answer a request for a stream with a whole message, which the gateway takes apart into chunks."""

    def __init__(
        self, call: Call, message_id: str, stops: list[str], watch: Watch | None, *, native: bool = False
    ) -> None:
        self._native = native
        self._events = NativeStream(call, watch)
        self._chat = ChatStream(message_id, call.model, stops, watch)
        self._used: NativeStream | ChatStream = self._events if self._native else self._chat

    def write(self, item: bytes | Json, out: list[bytes]) -> None:
        """Append the events that one item makes. Raises UpstreamFault when it makes no sense."""
        if self._native and isinstance(item, bytes):
            self._events.feed(item, out)
        else:
            self._used = self._chat
            out.append(self._chat.feed(item))

    def straight(self, decoder: object, tally: object) -> Finder | None:
        """See `gateway.api.Finder`: for events that pass as they come, and that nobody watches."""
        return finder(decoder, tally) if self._native and not self._events.watched else None

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self._used.cut()

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The closing bytes of a stream that ended well, with the usage to show (OpenAI's names, plus `cost`)."""
        return self._used.finish(usage)

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """See `Relay`: the error alone, because what was held back would look like an end."""
        return error_event(fault, request_id)


class NativeStream:
    """Events of the same dialect, passed on as they came but for the model's name. The event that tells the end waits
    until the call is billed. watched: plugins see each of them."""

    def __init__(self, call: Call, watch: Watch | None) -> None:
        self._cut = self._complete = False
        self._model = call.model
        self._watch = watch
        self.watched = watch is not None
        self._chunks = EventTranslator(call, Reading()) if watch is not None else None
        self._counts: Json = {}
        self._held: Json | None = None
        self._open: dict[Any, None] = {}

    def feed(self, item: bytes, out: list[bytes]) -> None:
        """Take the JSON of one event. Raises UpstreamFault when it is none."""
        if self._watch is None and item.startswith(DELTA) and b"\n" not in item:
            out += (DELTA_NAME, item, _TAIL)
            return
        try:
            event = orjson.loads(item)
        except orjson.JSONDecodeError:
            raise nonsense("The provider sent a stream event that is not JSON.", item) from None
        self._show(event)
        kind = event["type"]
        if kind == "message_start":
            out.append(self._begin(event))
        elif kind == "message_delta":
            self._end(event, out)
        else:
            if kind == "content_block_start":
                self._open[_place(event)] = None
            elif kind == "content_block_stop":
                self._open.pop(_place(event), None)
            # Clients that read line by line do not put several together; no line end is part of a text.
            out.append(encode_event(kind, item.replace(b"\n", b" ")))

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self._cut = not self._complete

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The closing events, with what was billed."""
        reason = "max_tokens" if self._cut else "end_turn"
        held = self._held or {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}}
        stops = [
            encode_event("content_block_stop", dump({"type": "content_block_stop", "index": index}).encode())
            for index in self._open
        ]
        told = held.get("usage")
        counts = dict(told) if isinstance(told, dict) else {}
        told_usage = translate_usage(self._counts) if self._complete else None
        untold = type(counts.get("output_tokens")) is not int  # SDKs take it for given
        if untold or told_usage is None or usage.get("prompt_tokens") != told_usage["prompt_tokens"]:
            counts.update(usage_of(usage))
        elif usage.get("cost") is not None:
            counts["cost"] = usage["cost"]
        end = encode_event("message_delta", dump({**held, "usage": counts}).encode())
        return b"".join([*stops, end, encode_event("message_stop", b'{"type":"message_stop"}')])

    def _begin(self, event: Json) -> bytes:
        message = event.get("message")
        message = message if isinstance(message, dict) else {}
        merge_usage(self._counts, message.get("usage"))
        begun = {**filled(message), "model": self._model}
        if not isinstance(begun.get("usage"), dict):
            begun["usage"] = {"input_tokens": 0, "output_tokens": 0}  # SDKs count on in it; the end has what was billed
        event["message"] = begun
        return encode_event("message_start", dump(event).encode())

    def _end(self, event: Json, out: list[bytes]) -> None:
        merge_usage(self._counts, event.get("usage"))
        if self._held is not None:
            out.append(encode_event("message_delta", dump(self._held).encode()))
        self._held = event
        delta = event.get("delta")
        reason = text_of(delta.get("stop_reason")) if isinstance(delta, dict) else ""
        self._complete = self._complete or bool(reason)

    def _show(self, event: Json) -> None:
        """Let plugins that watch see the stream as chat chunks, as they see every other."""
        if self._watch is None or self._chunks is None:
            return
        made: list[StreamItem] = []
        self._chunks.feed(event, made)
        for chunk in made:
            if isinstance(chunk, dict):
                self._watch({**chunk, "model": self._model})


def _place(event: Json) -> Any:
    """The block an event belongs to."""
    index = event.get("index")
    return index if type(index) is int else -1
