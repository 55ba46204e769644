"""Which dialect a target is spoken to in, and its answers in a dialect that the caller's side reads.

    caller    target             request            answer (`Reader.dialect`)
    chat      chat               as it is           as it is
    chat      responses only     bridged back       bridged back, so it is chat again
    responses responses          its native form    as it is
    responses chat               its chat form      chat; the caller's side bridges it

A plugin's own dialect is handled like `responses`: a target that speaks it gets that form, any other the chat form.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.call import Call, Target
from gateway.errors import Fault, UpstreamFault
from gateway.operations import OPERATIONS
from gateway.profile import Dialect
from gateway.provider import Answer, Reader, StreamDecoder, StreamItem, Tally, UpstreamReply
from gateway.readers import measure_chat
from gateway.wire.bridge.back_reply import ChatFromResponses, chat_from_response
from gateway.wire.bridge.back_request import responses_from_chat
from gateway.wire.chat.fold import unfold
from gateway.wire.chat.tally import ChatTally


class Spoken:
    """A call as one target is told it. call: the view that its provider gets. back: its answer, in the Responses
    dialect, is to be bridged back into chat."""

    __slots__ = ("back", "call")

    def __init__(self, call: Call, back: bool) -> None:
        self.call = call
        self.back = back

    def reader(self, reader: Reader) -> Reader:
        """What the caller's side reads with."""
        return BackReader(reader, self.call) if self.back else reader


def speak(call: Call, target: Target) -> Spoken:
    """Say `call` in a dialect of `target`. Reports what is not carried; raises CallerFault for what cannot be said."""
    if not OPERATIONS[call.operation].in_dialects:
        return Spoken(call, False)
    dialects = target.profile.dialects
    if call.forms:
        dialect: Dialect = next((name for name in call.forms if name != "chat" and name in dialects), "chat")
        form = call.forms[dialect]
        if form.fault is not None:
            raise form.fault
        for path in form.dropped:
            call.report_dropped(path)
        if dialect != "chat":
            return Spoken(call.view(dialect, form.body), False)
    if "chat" in dialects:
        return Spoken(call if call.dialect == "chat" else call.view("chat", call.body), False)
    body, dropped = responses_from_chat(call.body)
    for path in dropped:
        call.report_dropped(path)
    return Spoken(call.view("responses", body), True)


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
                event = orjson.loads(item) if isinstance(item, bytes) else item
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
