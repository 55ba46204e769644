"""Reading what a server of the Responses API sends: its events one by one, and its whole answer.

Source: OpenAI's OpenAPI document 2.3.0 (`ResponseStreamEvent`, `Response`), and recorded traffic. A failure comes as an
`error` event, as `response.failed`, or as both.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway.errors import Fault, UpstreamFault
from gateway.wire.chat.endings import nameless_call
from gateway.wire.errors.render import fault_from_stream_event
from gateway.wire.event_decoder import EventDecoder, StreamItem
from gateway.wire.lenient import dump, nonsense
from gateway.wire.mending import load_mended
from gateway.wire.responses.items import CALLS
from gateway.wire.responses.objects import usage_of_response
from gateway.wire.responses.replay import events_of
from gateway.wire.sse import DONE_DATA

Json = dict[str, Any]

# The type is the first member of every event that was recorded; where it is not, the event is parsed.
_KIND = re.compile(rb'\{\s*"type"\s*:\s*"([a-z_.]+)"')
_ITEM_DONE = b"response.output_item.done"
_DONE = b"response.done"
_CALL = b"_call"
_ENDS = (b"response.completed", b"response.incomplete", b"response.failed", b"response.cancelled", b"error")


class ResponsesEventDecoder(EventDecoder):
    """Incremental reader of a streamed response.

    Events come out as the JSON bytes of their data, not parsed, up to the terminal one; a failure comes out as a
    Fault.
    """

    def is_whole(self, payload: bytes) -> bool:
        """An object, that is."""
        return _object(payload) is not None

    def read(self, payloads: list[bytes], out: list[StreamItem]) -> None:
        """Pass events on up to the terminal one. Raises the fault that a failure means, and for what is no event."""
        for payload in payloads:
            found = _KIND.match(payload)
            kind = found.group(1) if found is not None else _kind(payload)
            if kind == _DONE:
                kind, payload = _ended(payload)
            if kind in _ENDS:
                _check_failure(kind, payload)
                self.done = True
                out.append(payload)
                return
            if kind == _ITEM_DONE and _CALL in payload and _is_nameless((_object(payload) or {}).get("item")):
                raise nameless_call()
            if kind:
                out.append(payload)
            elif payload.strip() != DONE_DATA:
                raise _no_event(payload)


def _ended(payload: bytes) -> tuple[bytes, bytes]:
    """The last event of servers that say only that the response is done: as its status says, and its JSON."""
    event = _object(payload) or {}
    response = event.get("response")
    status = response.get("status") if isinstance(response, dict) else None
    kind = f"response.{status}" if status in ("incomplete", "failed", "cancelled") else "response.completed"
    return kind.encode(), dump({**event, "type": kind}).encode()


def _kind(payload: bytes) -> bytes:
    event = _object(payload)
    if event is None:
        return b""
    kind = event.get("type")
    if isinstance(kind, str) and kind:
        return kind.encode("utf-8", "replace")
    return b"error" if isinstance(event.get("error"), dict) else b""


def _check_failure(kind: bytes, payload: bytes) -> None:
    """Raise the fault that a terminal event means, if it tells of a failure."""
    event = _object(payload)
    if event is None:
        raise _no_event(payload)
    if kind in (b"error", b"response.failed"):
        raise _failure(event)
    if kind == b"response.cancelled":
        fault = _unfinished()
        fault.usage = _failure(event).usage
        raise fault


def read_response(body: bytes) -> Json:
    """A whole answer as the response object it is, members untouched.

    Raises UpstreamFault for what is none, and the fault of a failed one.
    """
    value = _object(body)
    if value is None:
        raise nonsense("The provider's answer is not a JSON object.", body)
    if value.setdefault("object", "response") != "response" or not isinstance(value.get("output"), list):
        error = value.get("error")
        if isinstance(error, dict):
            raise fault_from_stream_event(value)
        raise nonsense("The provider's answer is not a response object.", body)
    if value.get("status") == "failed":
        raise _failure({"response": value})
    if value.get("status") not in ("completed", "incomplete", None):
        raise _unfinished()
    if any(_is_nameless(item) for item in value["output"]):
        raise nameless_call()
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


def _unfinished() -> UpstreamFault:
    return UpstreamFault("The provider's answer is not finished.", code="upstream_invalid_response")


def _is_nameless(item: Any) -> bool:
    """Whether an output item is a call that nobody can answer."""
    return isinstance(item, dict) and item.get("type") in CALLS and not item.get("name")


def _object(data: bytes) -> Json | None:
    try:
        value = load_mended(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _no_event(payload: bytes) -> UpstreamFault:
    return UpstreamFault(
        "The provider sent a stream event that is not one of the Responses API.",
        code="upstream_invalid_response",
        detail=payload[:500].decode("utf-8", "replace"),
    )
