"""Moonshot's errors in the gateway's terms.

Source: its list of errors (platform.kimi.ai, "Errors"): `{"error": {"type", "message"}}`. 429 stands for three things:
`rate_limit_reached_error`, `exceeded_current_quota_error` (no money left), and `engine_overloaded_error`. None brings a
`retry-after`; the first says in its message how long to wait. The gateway reads them like those of any server of the
dialect; what is Moonshot's own is added here.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway.api import CallerFault, Fault, UpstreamFault, UpstreamReply, fault_from_openai_error

_TOO_LONG = re.compile(r"(?i)exceeded model token limit|token length too long")
_NO_MONEY = re.compile(r"(?i)insufficient balance|exceeded your current|account .{0,80}(?:suspended|in arrears)")


def fault_from_reply(reply: UpstreamReply) -> Fault:
    """The fault for an answer with status >= 400. Not yet redacted."""
    kind, message = _said(reply.body)
    if kind == "engine_overloaded_error":
        # Said with 429, but it is not the gateway that is too fast.
        status = 503
    elif reply.status in (403, 429) and _NO_MONEY.search(message):
        status = 402
    else:
        status = reply.status
    fault = fault_from_openai_error(status, reply.body, reply.headers)
    if isinstance(fault, UpstreamFault):
        fault.upstream_status = reply.status
    elif isinstance(fault, CallerFault) and _TOO_LONG.search(message):
        fault.code = "context_length_exceeded"
    return fault


def _said(body: bytes) -> tuple[str, str]:
    """Type and message of an error body, "" for what is not there."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", ""
    error = value.get("error") if isinstance(value, dict) else None
    error = error if isinstance(error, dict) else {}
    kind, message = error.get("type"), error.get("message")
    return kind if isinstance(kind, str) else "", message[:2000] if isinstance(message, str) else ""
