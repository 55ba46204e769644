"""Google's errors in the contract's terms."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_google import Settings, create

from gateway.api import CallerFault, Fault, UpstreamFault, UpstreamReply
from gateway.testing import make_call, make_target

KEY = "AIzaSecretSecretSecretSecret0123456789a"
INFO, RETRY = "type.googleapis.com/google.rpc.ErrorInfo", "type.googleapis.com/google.rpc.RetryInfo"


def read(status: int, message: str = "", state: str = "", *details: Any, wrap: bool = False) -> Fault:
    error = {"error": {"code": status, "message": message, "status": state, "details": list(details)}}
    body = orjson.dumps([error] if wrap else error)
    return (
        create("x", Settings(api_key=KEY))
        .prepare(make_call(), make_target())
        .reader.read_fault(UpstreamReply(status, {}, body))
    )


@pytest.mark.parametrize("wrap", [False, True])
def test_the_callers_mistake_is_told_in_googles_words(wrap: bool) -> None:
    fault = read(400, "Invalid value at 'x'", "INVALID_ARGUMENT", wrap=wrap)
    assert isinstance(fault, CallerFault)
    assert (fault.status, fault.message) == (400, "Invalid value at 'x'")


def test_too_long() -> None:
    said = "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."
    assert read(400, said, "INVALID_ARGUMENT").code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("status", "message", "details"),
    [
        (400, "API key expired. Please renew the API key.", [{"@type": INFO, "reason": "API_KEY_INVALID"}]),
        (400, "API key not valid. Please pass a valid API key.", []),
        (400, "User location is not supported for the API use.", []),
        (401, "Request had invalid authentication credentials.", []),
        (403, "Method doesn't allow unregistered callers.", []),
        (403, "Gemini API has not been used in project 123456 before", [{"@type": INFO, "reason": "SERVICE_DISABLED"}]),
        (403, "Your file:/x project is denied", [{"@type": INFO, "reason": "CONSUMER_SUSPENDED"}]),
    ],
)
def test_the_operators_key_is_never_the_callers_business(status: int, message: str, details: list[Any]) -> None:
    fault = read(status, message, "X", *details)
    assert isinstance(fault, UpstreamFault)
    assert (fault.status, fault.code, fault.retryable) == (502, "upstream_credentials_refused", False)
    assert "operator" in fault.message
    assert message[:20] in fault.detail


def test_the_operators_money() -> None:
    for fault in (
        read(429, "Your prepayment credits are depleted. Please go to AI Studio", "RESOURCE_EXHAUSTED"),
        read(403, "x", "PERMISSION_DENIED", {"@type": INFO, "reason": "BILLING_DISABLED"}),
        read(400, "This API method requires billing to be enabled. Please enable billing on project #1", "FAILED"),
    ):
        assert (fault.status, fault.code) == (502, "upstream_quota_exhausted")


def test_the_callers_file() -> None:
    for said in (
        "You do not have permission to access the File abc123 or it may not exist.",
        "CachedContent not found (or permission denied)",
    ):
        fault = read(403, said, "PERMISSION_DENIED")
        assert isinstance(fault, CallerFault)
        assert fault.message == said


def test_limits_say_when_to_come_back() -> None:
    for wait, seconds in (("38s", 38.0), ("1.5s", 1.5), ("999999999s", 86400.0)):
        fault = read(429, "Quota exceeded", "RESOURCE_EXHAUSTED", {"@type": RETRY, "retryDelay": wait})
        assert isinstance(fault, UpstreamFault)
        assert (fault.status, fault.type, fault.code) == (429, "rate_limit", "upstream_rate_limit_exceeded")
        assert fault.retryable
        assert fault.retry_after == seconds
    for wait in ("soon", "-3s", None, 5):
        assert read(429, "x", "RESOURCE_EXHAUSTED", {"@type": RETRY, "retryDelay": wait}).retry_after is None


@pytest.mark.parametrize(
    ("status", "state", "expected"),
    [
        (404, "NOT_FOUND", (404, "model_not_found", False)),
        (409, "ABORTED", (502, "upstream_failed", True)),
        (499, "CANCELLED", (502, "upstream_unexpected_status", False)),
        (500, "INTERNAL", (502, "upstream_failed", True)),
        (503, "UNAVAILABLE", (503, "upstream_overloaded", True)),
        (504, "DEADLINE_EXCEEDED", (504, "upstream_timeout", True)),
    ],
)
def test_failures(status: int, state: str, expected: tuple[int, str, bool]) -> None:
    fault = read(status, "internal words", state)
    assert isinstance(fault, UpstreamFault)
    assert (fault.status, fault.code, fault.retryable) == expected
    assert "internal words" not in fault.message


def test_projects_and_keys_are_not_shown() -> None:
    fault = read(400, f"Request of project 123456789 (projects/my-proj-1) with {KEY} is malformed", "INVALID_ARGUMENT")
    assert "123456789" not in fault.message
    assert "my-proj-1" not in fault.message
    assert KEY not in fault.message + fault.detail
