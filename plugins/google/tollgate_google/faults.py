"""Google's errors in the gateway's terms, whole answers and events inside a stream alike.

Shape: `{"error": {"code", "message", "status", "details": [...]}}`, wrapped in a list by some front ends. What the
shared reading makes of it (`gateway.api.fault_from_openai_error`) is refined by `details`: ErrorInfo with a reason,
RetryInfo with the delay. Sources: google.rpc error details, Google's troubleshooting page, recorded errors. Whatever
concerns the operator's account (key, billing, region) is told to the operator's log only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.api import (
    CallerFault,
    Fault,
    UpstreamFault,
    UpstreamReply,
    clean,
    dict_of,
    dicts_of,
    fault_from_openai_error,
    fault_from_stream_event,
    load_mended,
    redact_fault,
    text_of,
)

_MOST_WAIT = 86_400.0

_ACCOUNT_REASONS = frozenset({
    "API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED",
    "API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED", "CONSUMER_INVALID", "CONSUMER_SUSPENDED",
    "SERVICE_DISABLED", "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_TYPE_UNSUPPORTED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    "CREDENTIALS_MISSING", "USER_PROJECT_DENIED",
})  # fmt: skip
_ACCOUNT_TEXT = re.compile(r"(?i)api key|user location is not supported|permission.{0,40}project|service account")
_MONEY_REASONS = frozenset({"BILLING_DISABLED", "BILLING_NOT_ENABLED"})
_MONEY_TEXT = re.compile(
    r"(?i)billing account|enable billing|prepay\w* credits?|credits? (are|is) depleted|spend(ing)? cap"
)
_LONG_TEXT = re.compile(
    r"(?i)token count.{0,60}exceeds|exceeds the maximum number of (input )?tokens|context (window|length)"
)
_CALLERS_TEXT = re.compile(r"(?i)cachedcontent|\bthe file\b|\bfiles?/[\w-]{4,}")
_PROJECT = re.compile(r"(?i)\b(projects?(?:[ _]number)?[:=/ ] ?)['\"]?(?=[\w.:-]{0,40}\d)[\w.:-]{4,60}")

_MESSAGES = {
    "upstream_credentials_refused": "the provider refused the gateway's credentials; the operator has to mend this",
    "upstream_quota_exhausted": (
        "the gateway's account at the provider has no quota left; the operator has to mend this"
    ),
}


def fault_from_reply(reply: UpstreamReply) -> Fault:
    """The fault for an answer with status >= 400. Not yet tidied: see `tidy`."""
    fault = fault_from_openai_error(reply.status, reply.body, reply.headers)
    try:
        raw = load_mended(reply.body)
    except orjson.JSONDecodeError:
        return fault
    return _refine(fault, _error_in(raw), reply.status)


def fault_from_event(event: dict[str, Any]) -> Fault:
    """The fault for an error event inside a stream. Not yet tidied."""
    return _refine(fault_from_stream_event(event), _error_in(event), None)


def _error_in(raw: Any) -> dict[str, Any]:
    if isinstance(raw, list) and raw:
        raw = raw[0]
    return dict_of(dict_of(raw).get("error"))


def _refine(fault: Fault, error: dict[str, Any], status: int | None) -> Fault:
    """The same fault with what `details` and Google's own sentences say beyond the shared reading."""
    message, details = text_of(error.get("message"))[:4000], dicts_of(error.get("details"))
    reasons = {text_of(entry.get("reason")) for entry in details}
    code = error.get("code") if status is None and type(error.get("code")) is int else status
    if code in (400, 401, 403, 429) and (reasons & _MONEY_REASONS or _MONEY_TEXT.search(message)):
        if code != 429 or not _wait(details):
            return _operators(fault, "upstream_quota_exhausted", status)
    if code == 403 and not reasons & _ACCOUNT_REASONS and _CALLERS_TEXT.search(message):
        return CallerFault(clean(message, 1000), code="file_not_found", detail=fault.detail)
    if code in (400, 403) and (reasons & _ACCOUNT_REASONS or _ACCOUNT_TEXT.search(message)):
        return _operators(fault, "upstream_credentials_refused", status)
    if isinstance(fault, CallerFault) and fault.status == 400 and _LONG_TEXT.search(message):
        fault.code = "context_length_exceeded"
    wait = _wait(details)
    if wait is not None and isinstance(fault, UpstreamFault) and fault.retryable:
        # The sentence ("Please retry in 48.9s") is sometimes more exact than the detail ("48s"): the later counts.
        fault.retry_after = max(wait, fault.retry_after or 0.0)
    return fault


def _operators(fault: Fault, code: str, status: int | None) -> UpstreamFault:
    headers = {"x-should-retry": "false"}
    return UpstreamFault(_MESSAGES[code], code=code, upstream_status=status, detail=fault.detail, headers=headers)


def _wait(details: list[dict[str, Any]]) -> float | None:
    """Seconds in RetryInfo's `retryDelay`, a protobuf Duration such as `48s` or `1.5s`."""
    for entry in details:
        if text_of(entry.get("@type")).endswith("google.rpc.RetryInfo"):
            found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", text_of(entry.get("retryDelay")))
            if found:
                return min(float(found[1]), _MOST_WAIT)
    return None


def tidy(fault: Fault, secrets: Sequence[str]) -> Fault:
    """The same fault without the operator's key (`secrets`, its value) and without the names of its projects."""
    fault.message = _PROJECT.sub(r"\1[redacted]", fault.message)
    return redact_fault(fault, secrets)
