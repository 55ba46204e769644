"""Anthropic's errors in the gateway's terms, whole answers and `error` events alike.

Sources: Anthropic's page "Errors" (types and statuses), its page on rate limits (`retry-after`), and recorded
errors. Whatever concerns the operator's account (key, billing, permissions, limits of spending) is told to the
operator's log only; what the caller can mend is passed on in Anthropic's own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.api import (
    Fault,
    UpstreamFault,
    UpstreamReply,
    fault_from_openai_error,
    is_too_long,
    load_mended,
    read_retry_after,
    redact_fault,
    text_of,
)
from gateway.api import redact as redact_text


@dataclass(slots=True, frozen=True)
class _Row:
    """How one kind of error appears. message: "" passes Anthropic's own words on."""

    status: int
    type: str
    code: str | None
    retryable: bool
    message: str


_BUSY = "The model's provider is overloaded; try again in a moment."
_FAILED = "The model's provider failed to answer; try again."
_ACCOUNT = "The model's provider does not accept the gateway's account; the operator has to look into it."
_SLOW = "The model's provider took too long to answer; ask for less at a time, or use a stream."
_LIMITED = "The model's provider limits the rate of the gateway's requests; try again later."

_INVALID = _Row(400, "invalid_request_error", None, False, "")
_TOO_LONG = _Row(400, "invalid_request_error", "context_length_exceeded", False, "")
_DENIED = _Row(502, "upstream_error", "upstream_account_refused", False, _ACCOUNT)
_MISSING = _Row(
    404,
    "invalid_request_error",
    "model_not_found",
    False,
    "the provider does not know this model (or address); the operator has to mend the configuration",
)
_TOO_LARGE = _Row(
    413, "invalid_request_error", "request_too_large", False, "The request is larger than the model's provider accepts."
)
_RATE = _Row(429, "rate_limit", "upstream_rate_limit_exceeded", True, _LIMITED)
_BROKEN = _Row(502, "upstream_error", "upstream_failed", True, _FAILED)
_OVERLOAD = _Row(503, "overloaded", "upstream_overloaded", True, _BUSY)
_TIMEOUT = _Row(504, "upstream_error", "upstream_timeout", True, _SLOW)

BY_TYPE: Mapping[str, _Row] = {
    "invalid_request_error": _INVALID,
    "authentication_error": _DENIED,
    "permission_error": _DENIED,
    "billing_error": _DENIED,
    "not_found_error": _MISSING,
    "request_too_large": _TOO_LARGE,
    "rate_limit_error": _RATE,
    "api_error": _BROKEN,
    "timeout_error": _TIMEOUT,
    "overloaded_error": _OVERLOAD,
}
"""Rows by `error.type`."""

BY_STATUS: Mapping[int, _Row] = {
    400: _INVALID,
    401: _DENIED,
    402: _DENIED,
    403: _DENIED,
    404: _MISSING,
    408: _TIMEOUT,
    413: _TOO_LARGE,
    422: _INVALID,
    429: _RATE,
    503: _OVERLOAD,
    504: _TIMEOUT,
    529: _OVERLOAD,
}
"""Rows by HTTP status, for bodies that are not Anthropic's (a proxy's page, an unknown type)."""

BY_MESSAGE: tuple[tuple[re.Pattern[str], _Row], ...] = (
    (re.compile(r"credit balance|usage limits?\b|organization (has been|is) disabled|billing", re.I), _DENIED),
)
"""What an invalid_request_error really is, by its message: Anthropic has no codes for these."""

_PAST_LIMIT = "exceed context limit"
"""What Anthropic says of an input that leaves no room for `max_tokens`."""
_SECRET = re.compile(r"sk-ant-[A-Za-z0-9_-]+|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b(?:org|wrkspc)_\w+")
"""Keys, and the ids of organisations and workspaces, as they stand in Anthropic's messages."""


def fault_from_reply(reply: UpstreamReply) -> Fault:
    """The fault for an answer with status >= 400. Not yet redacted: see `redact`."""
    try:
        raw = load_mended(reply.body)
    except orjson.JSONDecodeError:
        raw = None
    if reply.status in (400, 422) and not _is_anthropics(raw):
        # A server that copied the dialect, and says in a shape of its own what the caller can mend.
        return fault_from_openai_error(reply.status, reply.body, reply.headers)
    fault = fault_from_error(raw, reply.status, reply.headers)
    if not fault.detail:
        fault.detail = reply.body[:2000].decode("utf-8", "replace")
    return fault


def _is_anthropics(raw: Any) -> bool:
    error = raw.get("error") if isinstance(raw, dict) else None
    return isinstance(error, dict) and text_of(error.get("type")) in BY_TYPE and bool(text_of(error.get("message")))


def fault_from_error(raw: Any, status: int | None, headers: Mapping[str, str] | None = None) -> UpstreamFault:
    """The fault for an error object `{"type": "error", "error": {"type", "message"}}`.

    status: the HTTP status, None for an event inside a stream. Not yet redacted: see `redact`.
    """
    error = raw.get("error") if isinstance(raw, dict) else None
    error = error if isinstance(error, dict) else {}
    message = text_of(error.get("message"))[:2000]
    row = _row(text_of(error.get("type")), status, message)
    headers = headers or {}
    retryable = row.retryable and headers.get("x-should-retry") != "false"
    return UpstreamFault(
        row.message or message or "The model's provider refused the request.",
        status=row.status,
        type=row.type,
        code=row.code,
        retryable=retryable,
        retry_after=read_retry_after(headers) if row.retryable else None,
        upstream_status=status,
        detail=f"{text_of(error.get('type'))[:100]}: {message}" if error else "",
        # What only the operator can mend cannot mend itself: SDKs repeat a 502.
        headers={"x-should-retry": "false"} if row in (_DENIED, _MISSING) else None,
    )


def _row(kind: str, status: int | None, message: str) -> _Row:
    row = BY_TYPE.get(kind)
    if row is None:
        if status is not None and status in BY_STATUS:
            row = BY_STATUS[status]
        elif status is not None and 400 <= status < 500:
            # The gateway sent a request that this server does not take at all: nothing the caller wrote.
            row = _Row(502, "upstream_error", "upstream_refused", False, "The model's provider refused the request.")
        else:
            row = _BROKEN
    if row is _INVALID:
        if is_too_long(message) or _PAST_LIMIT in message:
            return _TOO_LONG
        for pattern, special in BY_MESSAGE:
            if pattern.search(message):
                return special
    return row


def redact(fault: Fault, secrets: Sequence[str]) -> Fault:
    """The same fault without the operator's key (`secrets`, its value) and without ids of the operator's account."""
    fault.message = redact_text(_SECRET.sub("[redacted]", fault.message))
    fault.detail = redact_text(_SECRET.sub("[redacted]", fault.detail))
    return redact_fault(fault, secrets)
