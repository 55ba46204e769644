"""Inbound dialects: how a caller speaks to the gateway, whatever the upstream speaks.

Everything behind the door works on the hub format, a Chat Completions body. A dialect reads its own request into
that format and writes completions, streams and faults back in its own. OpenAI's Chat Completions is one, the
Responses API another; plugins add others with `Router.add_dialect`. Dialects are pure: no sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.call import Call
from gateway.errors import CallerFault, Fault
from gateway.profile import Dialect
from gateway.provider import Answer, StreamItem
from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.request import validate_chat
from gateway.wire.chat.spellings import restate
from gateway.wire.errors.render import error_bytes

_KEY_HEADERS = ("x-api-key", "x-goog-api-key", "api-key")
"""Where clients put a key that is no bearer token."""

_CHAT_ONLY = ("response_format", "max_completion_tokens", "stream_options", "functions")

Watch = Callable[[Mapping[str, Any]], None]

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which readers of event streams skip (WHATWG HTML, server-sent events)."""


def keep_alive_of(thing: object) -> bytes:
    """What is sent while an upstream is silent. A dialect and its relay may name their own bytes as `keep_alive`, for
    clients that cannot read comments."""
    found = getattr(thing, "keep_alive", KEEP_ALIVE)
    return found if isinstance(found, bytes) else KEEP_ALIVE


EVENT_STREAM = "text/event-stream"
"""The media type of streams that are events; a fault is told inside them, which no other can do."""


@dataclass(slots=True, frozen=True)
class RawAnswer:
    """A whole answer that is no JSON."""

    media_type: str
    content: bytes


def stream_type_of(inbound: object) -> str:
    """The media type of a call's stream. An inbound call may name its own as `stream_type`."""
    found = getattr(inbound, "stream_type", EVENT_STREAM)
    return found if isinstance(found, str) else EVENT_STREAM


class Relay(Protocol):
    """The caller's side of one stream: decoded items in, bytes for the caller out. It measures nothing: what is to be
    billed is found before (`gateway.provider.Tally`).

    One that passes most events on as they came may also have `straight(decoder, tally)`, which returns the
    `gateway.wire.chat.straight.Finder` of a way past all three, or None.
    """

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """Take decoded items, as the tally passed them on; return the bytes to send now, and the fault that
        ends the stream, if one came."""

    def cut(self) -> None:
        """The gateway ends the answer here: `finish`, which follows, shall give its length as the reason."""

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The closing bytes of a stream that ended well, with the usage to show (OpenAI's names, plus `cost`)."""

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """The bytes that end a stream which has begun and cannot go on: what was held back, then the error."""


class InboundCall(Protocol):
    """One request in its dialect, after it was read."""

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> Relay:
        """A fresh encoder for this request's stream; called once per attempt. watch: to be called with every chunk
        as a dict, None when nobody watches. dialect: of the items it will be fed (`Reader.dialect`)."""

    def whole(self, answer: Answer) -> dict[str, Any] | RawAnswer:
        """A whole answer (its usage is what was billed, with `cost`) as this dialect's. Called once."""


class StatefulInboundCall:
    """An `InboundCall` that the gateway remembers. A class to inherit from, neither a protocol nor an abstract one:
    every call is asked several times whether it is one, which costs 40 us of a protocol, and one of an abstract class.

    background: the call goes on without its caller; see `gateway.http.calls.background`.
    """

    background: bool

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> Relay:
        """As of every `InboundCall`."""
        raise NotImplementedError

    def whole(self, answer: Answer) -> dict[str, Any]:
        """As of every `InboundCall`."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Called once the caller and the candidates are known, before anything is reserved: load what stands before,
        and put the request into `call.body` and `call.forms`. Raises Fault."""
        raise NotImplementedError

    def run(self, stop: Callable[[Fault], None] | None) -> None:
        """The call is going to be streamed: from now on whoever comes back for the answer finds it. stop: ends a
        background call with a fault, None for one that ends with its caller."""
        raise NotImplementedError

    def abandon(self) -> None:
        """The call ended before its answer began: nothing is kept."""
        raise NotImplementedError

    def break_off(self, fault: Fault, usage: Mapping[str, Any]) -> bytes:
        """The bytes that end a stream which has begun and cannot go on. usage: what was billed, empty for nothing."""
        raise NotImplementedError

    async def keep(self) -> None:
        """Called when the call is over and billed, before the last byte leaves: write down what `whole`, `break_off` or
        the relay's `finish` made. Does not raise: the caller has paid for the answer, and gets it."""
        raise NotImplementedError

    async def keep_left(self, found: Relay | Answer | None, whole: bool, usage: Mapping[str, Any]) -> None:
        """The same for a caller who left. found: the stream's relay, or the whole answer, or nothing. whole: it came to
        its end. usage: as in `break_off`."""
        raise NotImplementedError


class InboundDialect(Protocol):
    """A way to speak to the gateway. name: for logs and metrics. request_id_header (optional): another header, beside
    `x-request-id`, in which its clients look for the request id. own_header (optional): a header (lower case) that its
    clients send and no others do; by it they are told of unknown paths in their own words. error_stream (optional):
    `(fault, request_id, headers) -> bytes | None`, asked for callers of streams: the whole stream that says `fault`,
    sent with status 200, for a client (known by its request's headers) that mistakes an error status for what can be
    tried again; None for the plain error. form (optional): the members of its body by name, for requests that may come
    as forms with files (`gateway.wire.multipart`). turns (optional): the member of a body in which a conversation
    stands; with it, sign (optional): `(body) -> str`, the member that only bodies of this dialect have, "" when there
    is none, and road (optional): the path to be told to callers at another dialect's door (`gateway.doors`).
    """

    name: str

    def credential(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        """The caller's key as this dialect sends it (lower-case header names), "" when there is none."""

    def open(self, call: Call, body: dict[str, Any], values: Mapping[str, str]) -> InboundCall:
        """Validate `body` (parsed JSON) and put its hub form into `call`: `body`, `model` ("" for the default) and
        `stream`. values: the places of the route's template. Raises CallerFault that names the field."""

    def error_body(self, fault: Fault, request_id: str) -> bytes:
        """The JSON body of an error answer."""


class ChatDialect:
    """OpenAI's Chat Completions, the hub format itself."""

    name = "chat"
    turns = "messages"

    def credential(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        return bearer(headers)

    def sign(self, body: Mapping[str, Any]) -> str:
        """The member that other dialects with `messages` do not have."""
        tools = body.get("tools")
        if isinstance(tools, list) and any(isinstance(tool, dict) and "function" in tool for tool in tools):
            return "tools[].function"
        return next((name for name in _CHAT_ONLY if body.get(name) is not None), "")

    def open(self, call: Call, body: dict[str, Any], values: Mapping[str, str]) -> InboundCall:
        if body.get("system"):
            # Nobody would read it, and the model answer without its instructions.
            raise CallerFault(
                "system: a chat has no such parameter; send a message whose role is 'system'.", param="system"
            )
        try:
            validate_chat(body, allow_missing_model=True)
        except CallerFault:
            if not restate(body):
                raise
            validate_chat(body, allow_missing_model=True)
        call.body = body
        call.model = body.get("model") or ""
        call.stream = body.get("stream") is True
        return _ChatCall(call)

    def error_body(self, fault: Fault, request_id: str) -> bytes:
        return error_bytes(fault, request_id)


class _ChatCall:
    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> Relay:
        body = self._call.body
        options = body.get("stream_options") or {}
        return ChatRelay(self._call.model, options.get("include_usage") is True, body.get("n") or 1, watch)

    def whole(self, answer: Answer) -> dict[str, Any]:
        return {**answer.body, "model": self._call.model, "usage": answer.usage}


def own_credential(credential: str, headers: Mapping[str, str], prefix: str) -> str:
    """The credential that counts: `credential`, where the dialect has it, unless that is none of our keys and one of
    ours (by its `prefix`) stands where another client would put it. Clients often send what they hold for another
    service beside the key that they were given for this one."""
    if credential.startswith(prefix):
        return credential
    others = (bearer(headers), *(headers.get(name, "").strip() for name in _KEY_HEADERS))
    return next((other for other in others if other.startswith(prefix)), credential)


def bearer(headers: Mapping[str, str]) -> str:
    """The credential of `Authorization: Bearer KEY` (lower-case header names), "" when there is none."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""
