"""Faults in Google's words: `{"error": {"code", "message", "status", "details"}}`, the same in a body and in a stream.

Sources: google.rpc.Code with its mapping to HTTP, google.rpc error details (ErrorInfo, RetryInfo), Google's
troubleshooting page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import Fault, encode_data

STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""`error.status` by HTTP status. Other 4xx are INVALID_ARGUMENT, other 5xx INTERNAL."""

_TYPE = "type.googleapis.com/google.rpc."


def error_object(fault: Fault, request_id: str) -> dict[str, Any]:
    """The error as an object. `details` name the gateway's own code and the request."""
    status = STATUSES.get(fault.status) or ("INVALID_ARGUMENT" if fault.status < 500 else "INTERNAL")
    facts = {"requestId": request_id}
    if fault.param:
        facts["param"] = fault.param
    reason = str(fault.code or fault.type).upper()
    details: list[dict[str, Any]] = [
        {"@type": _TYPE + "ErrorInfo", "reason": reason, "domain": "gateway", "metadata": facts}
    ]
    if fault.retry_after is not None:
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": f"{max(math.ceil(fault.retry_after), 0)}s"})
    return {"error": {"code": fault.status, "message": fault.message, "status": status, "details": details}}


def error_json(fault: Fault, request_id: str) -> bytes:
    """The error as JSON. Never raises: half surrogate pairs in a message are replaced."""
    body = error_object(fault, request_id)
    try:
        return orjson.dumps(body)
    except TypeError:
        body["error"]["message"] = fault.message.encode("utf-8", "replace").decode()
        body["error"]["details"] = []
        return orjson.dumps(body)


def error_event(fault: Fault, request_id: str) -> bytes:
    """The error as the last event of a stream that has begun."""
    return encode_data(error_json(fault, request_id))
