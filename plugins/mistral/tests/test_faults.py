"""Mistral's errors in the contract's statuses, types and codes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_mistral import Settings, create

from gateway.api import CallerFault, Fault, UpstreamFault, UpstreamReply
from gateway.testing import make_call, make_target

KEY = "test-key-0123456789"


def read(status: int, body: Any, headers: dict[str, str] | None = None) -> Fault:
    provider = create("test", Settings.model_validate({"api_key": KEY}))
    return provider.prepare(make_call(), make_target()).reader.read_fault(
        UpstreamReply(status, headers or {}, orjson.dumps(body))
    )


def own(message: Any, kind: str = "invalid_request_error", code: Any = None) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


EXTRA = [
    {"type": "extra_forbidden", "loc": ["body", "messages", 3, "user", "name"], "msg": "Extra inputs", "input": ""}
]
LENGTH = "Prompt contains 150000 tokens and 0 draft tokens, too large for model with 131072 maximum context length"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {"message": "Unauthorized", "request_id": "x"}, (502, "upstream_error", "upstream_credentials_refused")),
        (401, {"detail": "Unauthorized"}, (502, "upstream_error", "upstream_credentials_refused")),
        (402, {"detail": "Payment required"}, (502, "upstream_error", "upstream_quota_exhausted")),
        (
            429,
            own("Requests rate limit exceeded", "rate_limited", "1300"),
            (429, "rate_limit", "upstream_rate_limit_exceeded"),
        ),
        (429, {"message": "Requests rate limit exceeded"}, (429, "rate_limit", "upstream_rate_limit_exceeded")),
        (400, own("Invalid model: x", "invalid_model", "1500"), (404, "invalid_request_error", "model_not_found")),
        (400, own(LENGTH, code="3051"), (400, "invalid_request_error", "context_length_exceeded")),
        (400, own("Unexpected role", "invalid_request_message_order", "3230"), (400, "invalid_request_error", "3230")),
        (422, {"detail": EXTRA}, (400, "invalid_request_error", None)),
        (500, own("Internal", "internal_server_error", "1000"), (502, "upstream_error", "upstream_failed")),
        (503, own("Overloaded", "service_unavailable", "3700"), (503, "overloaded", "upstream_overloaded")),
    ],
)
def test_errors(status: int, body: Any, expected: tuple[int, str, str | None]) -> None:
    fault = read(status, body)
    assert (fault.status, fault.type, fault.code) == expected
    assert isinstance(fault, CallerFault if expected[0] == 400 else UpstreamFault)


@pytest.mark.parametrize(
    "body", [{"detail": EXTRA}, own({"detail": EXTRA}), own(orjson.dumps({"detail": EXTRA}).decode())]
)
def test_a_refused_member_is_named(body: dict[str, Any]) -> None:
    fault = read(422, body)
    assert fault.param == "messages[3].name"
    assert "Extra inputs" in fault.message
    one = [{"loc": ["body", "max_completion_tokens"], "msg": "Extra inputs"}]
    assert read(422, own({"detail": one})).param == "max_completion_tokens"


def test_waiting_times() -> None:
    limited = own("Requests rate limit exceeded", "rate_limited", "1300")
    assert read(429, limited, {"retry-after": "3", "ratelimit-reset": "9"}).retry_after == 3
    assert read(429, limited, {"ratelimit-reset": "9"}).retry_after == 9
    assert read(429, limited, {"ratelimit-reset": "soon"}).retry_after is None
    assert read(429, limited).retry_after is None


def test_the_operators_key_never_shows() -> None:
    for status in (400, 401, 422, 429, 500):
        fault = read(status, own(f"bad key {KEY}", KEY, KEY))
        assert KEY not in "|".join(map(str, (fault, vars(fault))))
