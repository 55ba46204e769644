"""Which dialect a target is spoken to in, and its answers in the dialect that the caller's side reads.

    caller    target             request            answer
    chat      chat               as it is           as it is
    chat      responses only     bridged back       bridged back, so it is chat again
    responses responses          its native form    as it is (`call.answered_in`)
    responses chat               its chat form      chat; the caller's side bridges it

A plugin's own dialect is handled like `responses`: a target that speaks it gets that form, any other the chat form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from gateway.call import Call, Dialect, Target
from gateway.errors import CallerFault, Fault, UpstreamFault
from gateway.provider import Provider, StreamDecoder, StreamItem, UpstreamReply, dialects_at
from gateway.wire.bridge.back_reply import ChatFromResponses, chat_from_response
from gateway.wire.bridge.back_request import responses_from_chat
from gateway.wire.chat.request import unfold
from gateway.wire.responses.decoder import unfold_response


class Translation:
    """How one attempt is made at one target; also what the pump reads its stream with.

    call: what the provider gets: the call itself, or a copy of it in the dialect that the target speaks.
    fault_of: the fault that an error answer means. Raises CallerFault for what cannot be said to this target.
    """

    def __init__(
        self, call: Call, provider: Provider, target: Target, fault_of: Callable[[Provider, UpstreamReply], Fault]
    ) -> None:
        self._provider = provider
        self._fault_of = fault_of
        self._back = False
        self.call = self._spoken(call, target) if call.operation == "chat" else call

    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """A whole answer, in the dialect of `call.answered_in`. Raises Fault."""
        answer = self._provider.read_reply(call, reply)
        return chat_from_response(answer, **_envelope(call)) if self._back else answer

    def open_stream(self) -> StreamDecoder:
        """See `gateway.upstream.reading.StreamReader`."""
        decoder = self._provider.open_stream(self.call)
        return _BackDecoder(decoder, self.call) if self._back else decoder

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """See `gateway.upstream.reading.StreamReader`."""
        return self._fault_of(self._provider, reply)

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """See `gateway.upstream.reading.StreamReader`."""
        answer = self.read_reply(self.call, reply)
        if self.call.answered_in == "responses":
            return list(unfold_response(answer))
        return list(unfold(answer, True))

    def _spoken(self, call: Call, target: Target) -> Call:
        dialects = dialects_at(self._provider, target)
        if call.forms:
            dialect: Dialect = next((name for name in call.forms if name != "chat" and name in dialects), "chat")
            form = call.forms[dialect]
            call.answered_in = dialect
            if form.fault is not None:
                raise form.fault
            report_dropped(call, form.dropped)
            if dialect != call.dialect:
                return replace(call, dialect=dialect, body=form.body, target=target)
        if "chat" in dialects:
            return call
        body, dropped = responses_from_chat(call.body)
        self._back = True
        report_dropped(call, dropped)
        return replace(call, dialect="responses", body=body, target=target)


def report_dropped(call: Call, paths: Sequence[str]) -> None:
    """Note what is not carried. Raises CallerFault instead when the call is strict."""
    for path in paths:
        if call.strict:
            raise CallerFault(
                f"{path}: the model {call.model} does not support this; leave it out.",
                param=path,
                code="unsupported_parameter",
            )
        call.dropped.append(path)


def _envelope(call: Call) -> dict[str, Any]:
    return {"completion_id": "chatcmpl-" + call.id.removeprefix("req_"), "model": call.model, "created": call.created}


class _BackDecoder:
    """Events of a Responses upstream as chat chunks."""

    def __init__(self, decoder: StreamDecoder, call: Call) -> None:
        self._decoder = decoder
        self._machine = ChatFromResponses(**_envelope(call))

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
