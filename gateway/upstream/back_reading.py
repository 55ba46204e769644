"""Answers of a target that speaks the Responses API only, as the chat that its caller asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.call import Call
from gateway.errors import Fault, UpstreamFault
from gateway.profile import Dialect
from gateway.provider import Answer, Reader, StreamDecoder, StreamItem, Tally, UpstreamReply
from gateway.readers import measure_chat
from gateway.wire.bridge.back_reply import ChatFromResponses, chat_from_response
from gateway.wire.chat.fold import unfold
from gateway.wire.chat.tally import ChatTally
from gateway.wire.mending import load_mended


class BackReader:
    """Answers of a Responses upstream as chat; implements `gateway.provider.Reader`."""

    dialect: Dialect = "chat"

    def __init__(self, reader: Reader, call: Call) -> None:
        self._reader = reader
        self._envelope: dict[str, Any] = {
            "completion_id": "chatcmpl-" + call.id.removeprefix("req_"),
            "model": call.model,
            "created": call.created,
        }

    def read_reply(self, reply: UpstreamReply) -> Answer:
        """A whole response, turned back into a completion and measured."""
        return measure_chat(chat_from_response(self._reader.read_reply(reply).body, **self._envelope))

    def is_stream(self, headers: Mapping[str, str]) -> bool:
        """The reader's own."""
        return self._reader.is_stream(headers)

    def open_stream(self) -> StreamDecoder:
        """A decoder that turns the events of a response back into chunks."""
        return _BackDecoder(self._reader.open_stream(), self._envelope)

    def open_tally(self, choices: int) -> Tally:
        """A tally of the chunks that are made of the events."""
        return ChatTally(choices)

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer (status >= 400) means."""
        return self._reader.read_fault(reply)

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """The chunks for a whole response that came although a stream was asked for."""
        return list(unfold(self.read_reply(reply).body, True))


class _BackDecoder:
    """Events of a Responses upstream as chat chunks."""

    def __init__(self, decoder: StreamDecoder, envelope: dict[str, Any]) -> None:
        self._decoder = decoder
        self._machine = ChatFromResponses(**envelope)

    @property
    def done(self) -> bool:
        return self._decoder.done

    @done.setter
    def done(self, value: bool) -> None:
        self._decoder.done = value

    def feed(self, data: bytes) -> list[StreamItem]:
        return self._turn_back(self._decoder.feed(data))

    def finish(self) -> list[StreamItem]:
        return self._turn_back(self._decoder.finish())

    def _turn_back(self, items: list[StreamItem]) -> list[StreamItem]:
        out: list[StreamItem] = []
        for item in items:
            if isinstance(item, Fault):
                out.append(item)
                continue
            try:
                event = load_mended(item) if isinstance(item, bytes) else item
            except orjson.JSONDecodeError:
                out.append(
                    UpstreamFault(
                        "The provider sent a stream event that is not a JSON object.",
                        code="upstream_invalid_response",
                    )
                )
                break
            out += self._machine.feed(event)
        return out
