"""Reading what a server of the Responses API sends: its events one by one, and its whole answer.

Source: OpenAI's OpenAPI document 2.3.0 (`ResponseStreamEvent`, `Response`), and recorded traffic. A failure comes as an
`error` event, as `response.failed`, or as both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from gateway.errors import Fault, UpstreamFault
from gateway.wire.errors.render import fault_from_stream_event
from gateway.wire.exact_json import load_exact
from gateway.wire.responses.objects import usage_of_response
from gateway.wire.responses.replay import events_of
from gateway.wire.sse import DONE_DATA, EventReader

Json = dict[str, Any]

# The type is the first member of every event that was recorded; where it is not, the event is parsed.
_KIND = re.compile(rb'\{\s*"type"\s*:\s*"([a-z_.]+)"')
_ENDS = (b"response.completed", b"response.incomplete", b"response.failed", b"response.cancelled", b"error")


class ResponsesEventDecoder:
    """Incremental reader of a streamed response; implements `gateway.provider.StreamDecoder`.

    Events come out as the JSON bytes of their data, not parsed, up to the terminal one; a failure comes out as a
    Fault. clean: applied to every fault before it is handed on (redaction), or None.
    """

    def __init__(self, clean: Callable[[Fault], Fault] | None = None) -> None:
        self.done = False
        self._clean = clean
        self._events = EventReader()
        self._failed = False

    def feed(self, data: bytes) -> list[bytes | Json | Fault]:
        """Take the next bytes; return the events they completed, and a Fault as the last item if one was sent."""
        if self._failed or self.done:
            return []
        try:
            payloads = self._events.feed_data(data)
        except Fault as fault:
            return [self._fail(fault)]
        return self._read(payloads)

    def finish(self) -> list[bytes | Json | Fault]:
        """The connection ended; a last event without its blank line counts when it is whole."""
        if self._failed or self.done:
            return []
        event = self._events.finish()
        return [] if event is None or _object(event.data) is None else self._read([event.data])

    def _read(self, payloads: list[bytes]) -> list[bytes | Json | Fault]:
        out: list[bytes | Json | Fault] = []
        for payload in payloads:
            found = _KIND.match(payload)
            kind = found.group(1) if found is not None else self._kind(payload)
            if kind in _ENDS:
                event = _object(payload)
                if event is None or kind in (b"error", b"response.failed"):
                    out.append(self._fail(_nonsense(payload) if event is None else _failure(event)))
                else:
                    self.done = True
                    out.append(payload)
                break
            if kind:
                out.append(payload)
            elif payload.strip() != DONE_DATA:
                out.append(self._fail(_nonsense(payload)))
                break
        return out

    @staticmethod
    def _kind(payload: bytes) -> bytes:
        event = _object(payload)
        if event is None:
            return b""
        kind = event.get("type")
        if isinstance(kind, str) and kind:
            return kind.encode("utf-8", "replace")
        return b"error" if isinstance(event.get("error"), dict) else b""

    def _fail(self, fault: Fault) -> Fault:
        self._failed = True
        return self._clean(fault) if self._clean else fault


def read_response(body: bytes) -> Json:
    """A whole answer as the response object it is, members untouched.

    Raises UpstreamFault for what is none, and the fault of a failed one.
    """
    value = _object(body)
    if value is None:
        raise _nonsense(body)
    if value.get("object") != "response" or not isinstance(value.get("output"), list):
        error = value.get("error")
        if isinstance(error, dict):
            raise fault_from_stream_event(value)
        raise UpstreamFault(
            "The provider's answer is not a response object.",
            code="upstream_invalid_response",
            detail=body[:500].decode("utf-8", "replace"),
        )
    if value.get("status") == "failed":
        raise _failure({"response": value})
    if value.get("status") not in ("completed", "incomplete", None):
        raise UpstreamFault("The provider's answer is not finished.", code="upstream_invalid_response")
    return value


def unfold_response(response: Json) -> list[bytes]:
    """The events that would have said a whole response, as their JSON bytes."""
    return [orjson.dumps(event) for event in events_of(response)]


def _failure(event: Json) -> Fault:
    """What an event that tells of a failure means, with what the response had used by then."""
    fault = fault_from_stream_event(event)
    response = event.get("response")
    fault.usage = usage_of_response(response) if isinstance(response, dict) else None
    return fault


def _object(data: bytes) -> Json | None:
    try:
        value = load_exact(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _nonsense(payload: bytes) -> UpstreamFault:
    return UpstreamFault(
        "The provider sent a stream event that is not one of the Responses API.",
        code="upstream_invalid_response",
        detail=payload[:500].decode("utf-8", "replace"),
    )
