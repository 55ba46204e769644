"""Events of a streamed response: as bytes on the wire, and the templates of the frequent ones.

Source: OpenAI's OpenAPI document 2.3.0, `ResponseStreamEvent`. Every event is a dict with `type` and
`sequence_number`; on the wire it is `event: <type>`, `data: <json>`, blank line, and there is no `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.errors import Fault, UpstreamFault

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
"""Types of the event that ends a stream."""


def encode_event(event: Mapping[str, Any]) -> bytes:
    """One event ready to send. Raises UpstreamFault when it holds what JSON cannot say (half a surrogate pair)."""
    try:
        return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), orjson.dumps(event))
    except TypeError as error:
        raise UpstreamFault(
            "The provider sent data that cannot be written as JSON.",
            code="upstream_invalid_response",
            detail=str(error),
        ) from None


def encode_events(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Several events ready to send."""
    return b"".join([encode_event(event) for event in events])


def error_event(fault: Fault, sequence_number: int, *, nested: bool = False) -> dict[str, Any]:
    """The `error` event of OpenAI's document: flat, every member present.

    nested: add the `error` object that OpenAI's servers really send (and the Open Responses specification asks
    for); the official SDKs then raise APIError at this event instead of handing it to the program.
    """
    event: dict[str, Any] = {
        "type": "error",
        "code": fault.code or fault.type,
        "message": fault.message,
        "param": fault.param,
        "sequence_number": sequence_number,
    }
    if nested:
        inner = {"type": fault.type, "code": fault.code, "message": fault.message, "param": fault.param}
        event["error"] = inner
    return event


class DeltaTemplate:
    """The bytes around the text of one kind of delta of one item, made once per item.

    `encode(text, n)` equals `encode_event(event(text, n))` for every text and sequence number.
    """

    __slots__ = ("_fields", "_head", "_tail", "_type")

    def __init__(self, kind: str, fields: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> None:
        """kind: the event's type. fields: members before `delta`, extra: members after it."""
        self._type = kind
        self._fields = (dict(fields), dict(extra or {}))
        opening = orjson.dumps({"type": kind, **fields})[:-1]
        self._head = b"event: " + kind.encode() + b"\ndata: " + opening + b',"delta":'
        closing = orjson.dumps(self._fields[1])[1:-1]
        self._tail = (b"," + closing if closing else b"") + b',"sequence_number":'

    def event(self, text: str, number: int) -> dict[str, Any]:
        before, after = self._fields
        return {"type": self._type, **before, "delta": text, **after, "sequence_number": number}

    def encode(self, text: str, number: int) -> bytes:
        return b"%b%b%b%d}\n\n" % (self._head, orjson.dumps(text), self._tail, number)
