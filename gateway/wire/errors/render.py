"""A fault as the caller sees it: OpenAI's error object, in a body or as an event of a stream that has begun.

Shape: `{"error": {"message", "type", "param", "code"}}`, all four always there (OpenAI, `openapi.yaml`,
ErrorResponse). How a provider's own error becomes a fault is in `gateway.wire.errors.parse`, re-exported here.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from gateway.errors import Fault, GatewayFault
from gateway.wire.errors.parse import fault_from_openai_error, fault_from_stream_event
from gateway.wire.sse import encode_data

__all__ = [
    "error_body",
    "error_bytes",
    "fault_from_openai_error",
    "fault_from_stream_event",
    "fault_headers",
    "stream_error_event",
]


def error_body(fault: Fault, request_id: str) -> dict[str, Any]:
    """The error as an object. Our own failures name the request id, so that an operator can find them in the log."""
    message = fault.message
    if (fault.status == 500 or isinstance(fault, GatewayFault)) and request_id:
        message = f"{message} (request id: {request_id})"
    return {"error": {"message": message, "type": fault.type, "param": fault.param, "code": fault.code}}


def error_bytes(fault: Fault, request_id: str) -> bytes:
    """The error as a JSON body. Never raises: half surrogate pairs in a message are replaced."""
    body = error_body(fault, request_id)
    try:
        return orjson.dumps(body)
    except TypeError:
        members = body["error"]
        for name, value in members.items():
            if value is not None:
                members[name] = str(value).encode("utf-8", "replace").decode()
        return orjson.dumps(body)


def stream_error_event(fault: Fault, request_id: str) -> bytes:
    """The error as an SSE event for a chat stream that has begun. Nothing follows it, in particular no `[DONE]`:
    the official SDKs raise APIError on a top-level `error`, and a cut must not look like a clean end."""
    return encode_data(error_bytes(fault, request_id))


def fault_headers(fault: Fault) -> dict[str, str]:
    """Response headers of an error: `retry-after` (whole seconds, rounded up) and `retry-after-ms`, both read by the
    official SDKs; `x-should-retry: false` for 402, because money does not come back by itself; and the fault's own,
    which win. Names are lower case; line ends and other control characters in values become spaces."""
    headers: dict[str, str] = {}
    wait = fault.retry_after
    if wait is not None and math.isfinite(wait) and wait >= 0:
        headers["retry-after"] = str(math.ceil(wait))
        headers["retry-after-ms"] = str(math.ceil(wait * 1000))
    if fault.status == 402:
        headers["x-should-retry"] = "false"
    for name, value in fault.headers.items():
        headers[name.lower()] = "".join(ch if ch.isprintable() else " " for ch in value)
    return headers
