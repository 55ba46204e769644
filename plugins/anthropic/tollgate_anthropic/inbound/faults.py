"""Faults in Anthropic's words.

Shape: `{"type": "error", "error": {"type", "message"}, "request_id"}`, the same in a body and in an `error` event of a
stream (Anthropic's pages "Errors" and "Streaming Messages").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import Fault, encode_event
from tollgate_anthropic.costs import THREAD

TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
"""`error.type` by status. Other 4xx are `invalid_request_error`, other 5xx `api_error`."""


_TOO_LONG = "prompt is too long"
_NUMBER = re.compile(r"(?<![\w.])\d{3,9}(?![\w.]\d)")


def _words(fault: Fault) -> str:
    """The message; of a prompt that does not fit into the model's window in Anthropic's words, whoever said it: agents
    compact on these, and on no others."""
    if fault.code != "context_length_exceeded" or _TOO_LONG in fault.message.lower():
        return fault.message
    numbers = sorted({int(found.replace(",", "")) for found in _NUMBER.findall(fault.message)})
    if len(numbers) < 2:
        return f"{_TOO_LONG}: {fault.message}"
    return f"{_TOO_LONG}: {numbers[-1]} tokens > {numbers[0]} maximum"


def error_object(fault: Fault, request_id: str) -> dict[str, Any]:
    """The error as an object."""
    kind = TYPES.get(fault.status)
    if kind is None:
        kind = "invalid_request_error" if fault.status < 500 else "api_error"
    if fault.type == "overloaded":
        kind = "overloaded_error"
    error: dict[str, Any] = {"type": kind, "message": _words(fault)}
    if fault.code == THREAD:
        error["details"] = {"error_code": THREAD}
    return {"type": "error", "error": error, "request_id": request_id}


def error_json(fault: Fault, request_id: str) -> bytes:
    """The error as JSON. Never raises: half surrogate pairs in a message are replaced."""
    body = error_object(fault, request_id)
    try:
        return orjson.dumps(body)
    except TypeError:
        body["error"]["message"] = _words(fault).encode("utf-8", "replace").decode()
        return orjson.dumps(body)


def error_event(fault: Fault, request_id: str) -> bytes:
    """The error as the last event of a stream that has begun. No `message_stop` follows."""
    return encode_event("error", error_json(fault, request_id))
