"""Inbound dialects of the operations that are no conversations: a request checked as it is, an answer given as it came.

They are OpenAI's routes (API reference: embeddings, images, audio, moderations). Each is made of values: a new one is a
line where the routes are built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.call import Call
from gateway.dialect import EVENT_STREAM, InboundCall, RawAnswer, Relay, Watch, bearer
from gateway.errors import Fault
from gateway.profile import Dialect
from gateway.provider import Answer, StreamItem
from gateway.wire.errors.render import error_bytes
from gateway.wire.lenient import dict_of
from gateway.wire.sse import encode_event
from gateway.wire.validators import Validator

Json = dict[str, Any]


def as_it_came(body: Json) -> Json:
    """What needs no preparation."""
    return body


def _streams(body: Json) -> bool:
    return body.get("stream") is True


def _events(body: Json) -> str:
    return EVENT_STREAM


def show_costs(answer: Answer) -> Json | RawAnswer:
    """The answer as it came; with what it cost, where its provider told its usage."""
    told, cost = dict_of(answer.body.get("usage")), dict_of(answer.usage).get("cost")
    return {**answer.body, "usage": {**told, "cost": cost}} if told and cost is not None else answer.body


def show_usage(answer: Answer) -> Json | RawAnswer:
    """The answer with the usage that was billed."""
    return {**answer.body, "usage": answer.usage}


@dataclass(slots=True, eq=False)
class PlainDialect:
    """One of them; implements `InboundDialect`.

    name: of its operation (`gateway.operations.OPERATIONS`). request: checks a body. form: the members of one that
    comes as a form, None where it is always JSON. prepare: makes what is checked of what came. streams: whether a body
    asks for a stream; stream_type: of which media type that is. show: what the caller gets of a whole answer, whose
    body names the model as the caller did where `names_model`.
    """

    name: str
    request: Validator
    form: Mapping[str, Validator] | None = None
    prepare: Callable[[Json], Json] = as_it_came
    streams: Callable[[Json], bool] = _streams
    stream_type: Callable[[Json], str] = _events
    show: Callable[[Answer, Json], Json | RawAnswer] = field(default=lambda answer, body: show_costs(answer))
    names_model: bool = False

    def credential(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        """The key of `Authorization: Bearer`."""
        return bearer(headers)

    def open(self, call: Call, body: Json, values: Mapping[str, str]) -> InboundCall:
        """Check `body` and put it into `call`. Raises CallerFault that names the field."""
        body = self.prepare(body)
        self.request("body", body)
        call.operation = self.name
        call.body = body
        call.model = body.get("model") or ""
        call.stream = self.streams(body)
        return _PlainCall(call, self)

    def error_body(self, fault: Fault, request_id: str) -> bytes:
        """OpenAI's error object."""
        return error_bytes(fault, request_id)


class _PlainCall:
    def __init__(self, call: Call, dialect: PlainDialect) -> None:
        self._call = call
        self._dialect = dialect
        self.stream_type = dialect.stream_type(call.body)

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> Relay:
        # Whoever watches knows the chunks of chats; what streams here is none.
        return EventRelay() if self.stream_type == EVENT_STREAM else BytesRelay()

    def whole(self, answer: Answer) -> Json | RawAnswer:
        if self._dialect.names_model:
            answer.body = {**answer.body, "model": self._call.model}
        return self._dialect.show(answer, self._call.body)


class BytesRelay:
    """Passes bytes on as they come; implements `gateway.dialect.Relay`. Such a stream cannot say that it failed:
    whoever sends it breaks the connection off."""

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """The bytes among the items, and the fault that ends them."""
        fault = next((item for item in items if isinstance(item, Fault)), None)
        return b"".join(item for item in items if isinstance(item, bytes)), fault

    def cut(self) -> None:
        """Nothing: no such stream is held for in steps."""

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """Nothing: its end is the end of the message."""
        return b""

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """Nothing: there is no place for it."""
        return b""


class EventRelay:
    """Passes on events that name themselves in `type`; implements `gateway.dialect.Relay`.

    The event with the usage is kept until the call is billed: what it tells is then the caller's bill.
    """

    def __init__(self) -> None:
        self._last: Json | None = None

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """The events to send now, and the fault that ends them."""
        out: list[bytes] = []
        for item in items:
            if isinstance(item, Fault):
                return b"".join(out), item
            event = dict_of(orjson.loads(item) if isinstance(item, bytes) else item)
            if self._last is not None:
                out.append(_event(self._last))
                self._last = None
            if isinstance(event.get("usage"), dict):
                self._last = event
            else:
                out.append(_event(event))
        return b"".join(out), None

    def cut(self) -> None:
        """Nothing: no such stream is held for in steps."""

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The event that was kept, with what the call cost."""
        last, self._last = self._last, None
        if last is None:
            return b""
        if "cost" in usage:
            last = {**last, "usage": {**last["usage"], "cost": usage["cost"]}}
        return _event(last)

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """An event `error`."""
        return encode_event("error", error_bytes(fault, request_id))


def _event(event: Json) -> bytes:
    kind = event.get("type")
    name = kind if isinstance(kind, str) and kind.isprintable() else "message"
    return encode_event(name, orjson.dumps(event))
