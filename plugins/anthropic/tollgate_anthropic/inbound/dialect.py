"""Anthropic's Messages API as a dialect at the door, `POST /messages`, for every model.

A request becomes two forms of itself: its own words, for a provider that speaks the same dialect, and a chat body, by
which it is also held, clamped and estimated, for every other. Which of the two goes out is decided per attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.api import Answer, Call, Dialect, Fault, Form, Notes, Relay, Watch, bearer

from .faults import error_json
from .native import BETA, MESSAGES, read_betas
from .relay import MessagesRelay
from .request import chat_body, check
from .stream import message_of

Json = dict[str, Any]


class MessagesDialect:
    """Implements `gateway.api.InboundDialect`. counting: for requests that only ask how long they are."""

    name = "messages"
    request_id_header = "request-id"
    own_header = "anthropic-version"
    turns = "messages"

    def __init__(self, *, counting: bool = False) -> None:
        self._counting = counting

    def credential(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        """The key in `Authorization: Bearer`, else in `x-api-key`: Anthropic's clients send either."""
        return bearer(headers) or headers.get("x-api-key", "").strip()

    def sign(self, body: Mapping[str, Any]) -> str:
        """The member that other dialects with `messages` do not have."""
        if body.get("messages") is None:
            return ""
        tools = body.get("tools")
        if isinstance(tools, list) and any(isinstance(tool, dict) and "input_schema" in tool for tool in tools):
            return "tools[].input_schema"
        return next((name for name in ("system", "stop_sequences") if body.get(name)), "")

    def open(self, call: Call, body: Json, values: Mapping[str, str]) -> MessagesCall:
        """Validate `body` (parsed JSON) and put its hub form into `call`."""
        check(body, counting=self._counting)
        betas = read_betas(call.headers)
        notes = Notes("Anthropic")
        if betas:
            notes.report(BETA)
        chat = chat_body(body, notes)
        call.forms = {"chat": notes.form(call, chat), MESSAGES: Form(body)}
        call.model = body.get("model") or ""
        call.stream = body.get("stream") is True
        return MessagesCall(call, body)

    def error_body(self, fault: Fault, request_id: str) -> bytes:
        """The JSON body of an error answer."""
        return error_json(fault, request_id)


class MessagesCall:
    """One request; implements `gateway.api.InboundCall`."""

    def __init__(self, call: Call, body: Json) -> None:
        self._call = call
        self._id = "msg_" + call.id.removeprefix("req_")
        stops = body.get("stop_sequences")
        self._stops = [stop for stop in stops if isinstance(stop, str)] if isinstance(stops, list) else []

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> Relay:
        """A fresh encoder for this request's stream."""
        return MessagesRelay(self._call, self._id, self._stops, watch, native=dialect == MESSAGES)

    def whole(self, answer: Answer) -> Json:
        """A whole answer (its usage is what was billed, with `cost`) as this dialect's."""
        if answer.dialect != MESSAGES:
            return message_of({**answer.body, "usage": answer.usage, "model": self._call.model}, self._id, self._stops)
        message = {**answer.body, "model": self._call.model}
        counts = message.get("usage")
        cost = (answer.usage or {}).get("cost")
        if isinstance(counts, dict) and cost is not None:
            message["usage"] = {**counts, "cost": cost}
        return message
