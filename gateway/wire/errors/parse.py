"""A provider's error, in the OpenAI dialect and its many relatives, turned into a fault of ours.

Whose fault it is decides everything: what the caller can mend is a CallerFault with the provider's own words (cleaned);
what is the operator's business (credentials, money, a wrong model name) is an UpstreamFault with a neutral message,
the provider's words only in `detail` for the log. Sources: OpenAI's guide to error codes, recorded errors (tests), and
the shapes `{"error": "..."}`, `{"message": ...}`, `{"detail": ...}`, `[{"error": ...}]` of compatible servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.errors import CallerFault, Fault, UpstreamFault
from gateway.wire.mending import load_mended
from gateway.wire.redact import clean
from gateway.wire.retry_after import read_retry_after, wait_in_text

MOST_MESSAGE = 1000
"""Characters of a provider's message that reach a caller."""

MOST_DETAIL = 4000
"""Characters of a provider's answer that reach the log."""

_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "account_deactivated",
        "access_terminated",
        "exceeded_current_quota_error",
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_funds",
        "payment_required",
        "budget_exceeded",
    }
)
_CREDENTIAL_CODES = frozenset(
    {
        "invalid_api_key",
        "api_key_invalid",
        "incorrect_api_key",
        "authentication_error",
        "invalid_authentication_error",
        "unauthorized",
        "unauthenticated",
        "invalid_organization",
        "permission_denied",
        "permission_error",
    }
)
_FILTER_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "responsible_ai_policy_violation",
        "responsibleaipolicyviolation",
        "moderation_blocked",
        "safety_violations",
    }
)
_MODEL_CODES = frozenset({"model_not_found", "model_not_available", "unknown_model", "invalid_model"})

# Errors inside a stream come without a status: the status that the same code or type has over HTTP.
_STATUS_BY_WORD = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "rate_limit_reached_error": 429,
    "too_many_requests": 429,
    "engine_overloaded_error": 503,
    "overloaded_error": 503,
    "overloaded": 503,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "not_found_error": 404,
    "timeout_error": 504,
    "timeout": 504,
    "server_error": 500,
}

_SENTENCE = re.compile(r"[A-Za-z`'\"][^<>{}\[\]]{2,500}")
"""A body that is a sentence for people, and no page and no half of something else."""
_PASSED_ON = "provider returned error"
"""What OpenRouter says of every error of a provider behind it, whose own words stand in `metadata.raw`."""
_CREDENTIAL_TEXT = re.compile(
    r"(?i)\b(?:incorrect|invalid|expired|missing)\b[^.]{0,20}\bapi[ _-]?key|api key not valid"
)
_CONTEXT_TEXT = re.compile(
    r"(?i)maximum (?:context|prompt) length|context window|context length exceeded|context length of only"
    r"|exceed\w* (?:the )?(?:available |model's )?(?:max(?:imum)? )?context|(?:prompt|input) (?:is |was )?too long"
    r"|(?:range of|prompt|input) (?:input )?length (?:should|\d+ exceeds)|prompt exceeds max|`inputs`.{0,60} must"
)
"""How servers say that the input is longer than their model's window: OpenAI, Anthropic, vLLM, llama.cpp, TGI, Ollama,
LM Studio, SGLang, Bedrock, xAI, DashScope, Zhipu, MiniMax."""


@dataclass(slots=True, frozen=True)
class _Said:
    """What the provider said: cleaned message, param and code; `words` are its code and type in lower case."""

    message: str = ""
    param: str | None = None
    code: str | None = None
    words: tuple[str, ...] = ()
    status: int | None = None
    detail: str = ""

    def any_of(self, codes: frozenset[str]) -> bool:
        return any(word in codes for word in self.words)


def fault_from_openai_error(
    status: int, body: bytes, headers: Mapping[str, str], *, now: float | None = None
) -> UpstreamFault | CallerFault:
    """An error answer of an OpenAI-compatible server.

    status: its HTTP status. body: as received, of any kind. headers: lower-case names.
    now: unix seconds, to read waiting times given as dates; without it the answer's own `date` header is used.
    Never raises.
    """
    said = _read_body(body)
    wait = (
        read_retry_after(headers, now=now, message=said.message)
        if status in (408, 409, 425, 429) or status >= 500
        else None
    )
    return _judge(status, said, wait, status)


def fault_from_stream_event(obj: Mapping[str, Any]) -> Fault:
    """An error event inside a stream: `{"error": {...}}`, `{"type": "error", "error": {...}}`, the flat
    `{"type": "error", "code", "message", "param"}`, or `response.failed` with the error in its response.

    There is no HTTP status, so it is taken from the error's own code or type; an unknown error counts as a failure
    of the provider's. Never raises.
    """
    inner: Any = obj.get("error")
    response = obj.get("response")
    if inner is None and isinstance(response, Mapping):
        inner = response.get("error")
    if inner is None:
        inner = {key: obj.get(key) for key in ("message", "code", "param")}
    said = _read_error(inner, _show(inner))
    status = _status_of(said)
    wait = wait_in_text(said.message) if status in (429, 503) else None
    return _judge(status, said, wait, None)


def _status_of(said: _Said) -> int:
    """The HTTP status that an error without one stands for."""
    if said.status is not None:
        return said.status
    if said.any_of(_CREDENTIAL_CODES):
        return 401
    if said.any_of(_MODEL_CODES):
        return 404
    return next((_STATUS_BY_WORD[word] for word in said.words if word in _STATUS_BY_WORD), 500)


def _show(inner: Any) -> str:
    """An error's plain members, for the log. Not `str(inner)`: hostile nesting would exhaust the stack."""
    if isinstance(inner, Mapping):
        plain = [(key, value) for key, value in inner.items() if isinstance(value, str | int | float)]
        return ", ".join(f"{key}: {str(value)[:MOST_DETAIL]}" for key, value in plain[:20])
    return inner if isinstance(inner, str) else ""


def _judge(status: int, said: _Said, wait: float | None, upstream: int | None) -> UpstreamFault | CallerFault:
    """The contract's table: who can mend it, and may it be tried again."""
    if status in (400, 401, 402, 403, 422, 429) or upstream is None:
        if status == 402 or said.any_of(_QUOTA_CODES):
            return _upstream(
                "the gateway's account at the provider has no quota left; the operator has to mend this",
                "upstream_quota_exhausted",
                said,
                upstream,
            )
        if said.any_of(_FILTER_CODES) and status != 429:
            return CallerFault(
                said.message or "the provider's content filter refused the request; change its content",
                code=said.code or "content_filter",
                param=said.param,
                detail=said.detail,
            )
    if status in (401, 403) or (status == 400 and _is_about_credentials(said)):
        return _upstream(
            "the provider refused the gateway's credentials; the operator has to mend this",
            "upstream_credentials_refused",
            said,
            upstream,
        )
    if status == 404 or (status == 400 and said.any_of(_MODEL_CODES)):
        return model_not_found(upstream, said.detail)
    if status in (400, 422):
        return CallerFault(
            said.message or "the provider refused the request without saying why; check its parameters",
            code="context_length_exceeded" if is_too_long(said.message) else said.code,
            param=said.param,
            detail=said.detail,
        )
    if status == 413:
        return CallerFault(
            said.message or "the request is too large for the provider; send less",
            status=413,
            code=said.code,
            param=said.param,
            detail=said.detail,
        )
    return _try_again_later(status, said, wait, upstream)


def is_too_long(message: str) -> bool:
    """Whether an error says that the input is longer than the model's window."""
    return _CONTEXT_TEXT.search(message) is not None


def _is_about_credentials(said: _Said) -> bool:
    """Some servers answer a wrong API key with 400."""
    return said.any_of(_CREDENTIAL_CODES) or _CREDENTIAL_TEXT.search(said.message) is not None


def _upstream(message: str, code: str, said: _Said, upstream: int | None) -> UpstreamFault:
    """The operator's business. The caller's SDK is told not to retry what cannot mend itself."""
    return UpstreamFault(
        message,
        code=code,
        upstream_status=upstream,
        detail=said.detail,
        headers={"x-should-retry": "false"},
    )


def model_not_found(upstream: int | None = None, detail: str = "") -> UpstreamFault:
    """The provider does not know a model that is listed here: the operator's business, and to the caller what an
    unknown model always is. Another target may still know it. upstream: the provider's status."""
    return UpstreamFault(
        "the provider does not know this model (or address); the operator has to mend the configuration",
        status=404,
        type="invalid_request_error",
        code="model_not_found",
        param="model",
        upstream_status=upstream,
        detail=detail,
        headers={"x-should-retry": "false"},
    )


def _try_again_later(status: int, said: _Said, wait: float | None, upstream: int | None) -> UpstreamFault:
    if status == 429:
        return UpstreamFault(
            "the provider's rate limit is reached; try again later",
            status=429,
            type="rate_limit",
            code="upstream_rate_limit_exceeded",
            retryable=True,
            retry_after=wait,
            upstream_status=upstream,
            detail=said.detail,
        )
    if status in (503, 529):
        return UpstreamFault(
            "the provider is overloaded; try again later",
            status=503,
            type="overloaded",
            code="upstream_overloaded",
            retryable=True,
            retry_after=wait,
            upstream_status=upstream,
            detail=said.detail,
        )
    if status == 504:
        return UpstreamFault(
            "the provider ran out of time; try again",
            status=504,
            code="upstream_timeout",
            retryable=True,
            retry_after=wait,
            upstream_status=upstream,
            detail=said.detail,
        )
    passing = status in (408, 409, 425) or 500 <= status <= 599
    shown = "inside its answer" if upstream is None else f"with status {status}"
    return UpstreamFault(
        f"the provider failed {shown}" + ("; try again" if passing else ""),
        code="upstream_failed" if passing else "upstream_unexpected_status",
        retryable=passing,
        retry_after=wait,
        upstream_status=upstream,
        detail=said.detail,
    )


def _read_body(body: bytes) -> _Said:
    """The error inside a body; hostile, empty or HTML bodies give no message, only a detail."""
    detail = clean(body[: MOST_DETAIL * 4].decode("utf-8", "replace"), MOST_DETAIL)
    try:
        parsed: Any = load_mended(body)
    except orjson.JSONDecodeError:
        return _Said(message=detail if _SENTENCE.fullmatch(detail) else "", detail=detail)
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return _Said(detail=detail)
    inner = parsed.get("error")
    several = parsed.get("errors")
    if inner is None and isinstance(several, list) and several:
        inner = several[0]
    if isinstance(inner, str) and isinstance(parsed.get("message"), str):
        inner = None  # {"error": "Bad Request", "message": "what was wrong"}
    return _read_error(parsed if inner is None else inner, detail)


def _read_error(inner: Any, detail: str) -> _Said:
    """The members of an error object; `inner` may also be the bare message."""
    detail = clean(detail, MOST_DETAIL)
    if isinstance(inner, str):
        return _Said(message=clean(inner, MOST_MESSAGE), detail=detail)
    if not isinstance(inner, Mapping):
        return _Said(detail=detail)
    code, param = inner.get("code"), inner.get("param")
    words = (code, inner.get("type"), inner.get("status"))
    status = code if type(code) is int and 400 <= code <= 599 else None
    return _Said(
        message=clean(_find_message(inner), MOST_MESSAGE),
        param=clean(param, 200) or None if isinstance(param, str) else None,
        code=clean(code, 100) or None if isinstance(code, str) else None,
        words=tuple(word[:100].lower() for word in words if isinstance(word, str)),
        status=status,
        detail=detail,
    )


def _find_message(inner: Mapping[str, Any]) -> str:
    """The sentence meant for people; FastAPI servers send `detail`, as text or as a list of `{"loc", "msg"}`."""
    for name in ("message", "detail", "msg", "error_description", "title"):
        value = inner.get(name)
        if isinstance(value, str) and value:
            return value if value.strip(" .").lower() != _PASSED_ON else _find_raw(inner) or value
        if isinstance(value, Mapping):
            value = [value]
        if isinstance(value, list):
            found = [_find_detail(item) for item in value[:5] if isinstance(item, Mapping)]
            if any(found):
                return "; ".join(filter(None, found))
    return ""


def _find_raw(inner: Mapping[str, Any]) -> str:
    """The sentence of a provider behind the server, which is given as that provider's whole answer."""
    metadata = inner.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if isinstance(raw, str):
        return _read_body(raw.encode("utf-8", "replace")).message
    told = raw.get("error", raw) if isinstance(raw, Mapping) else None
    message = told.get("message") if isinstance(told, Mapping) else told
    return message if isinstance(message, str) else ""


def _find_detail(item: Mapping[str, Any]) -> str:
    text = item.get("msg") or item.get("message")
    if not isinstance(text, str):
        return ""
    where = item.get("loc")
    steps = where[:12] if isinstance(where, list) else []
    path = ".".join(str(step)[:40] for step in steps if isinstance(step, str | int))
    return f"{path}: {text}" if path else text
