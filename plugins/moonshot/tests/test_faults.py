"""Moonshot's errors in the contract's statuses, types and codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from tollgate_moonshot import Settings, create

from gateway.api import CallerFault, Fault, UpstreamFault, UpstreamReply
from gateway.testing import load_transcript, make_call, make_target

KEY = "test-key-0123456789"
TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"


def read(status: int, body: Any) -> Fault:
    provider = create("test", Settings.model_validate({"api_key": KEY}))
    return provider.prepare(make_call(), make_target()).reader.read_fault(UpstreamReply(status, {}, orjson.dumps(body)))


RATE = (429, "rate_limit", "upstream_rate_limit_exceeded")
MONEY = (502, "upstream_error", "upstream_quota_exhausted")
LONG = (400, "invalid_request_error", "context_length_exceeded")


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (
            429,
            "rate_limit_reached_error",
            "Your account reached max request: 3, please try again after 1 seconds",
            RATE,
        ),
        (429, "exceeded_current_quota_error", "You exceeded your current token quota: 0", MONEY),
        (429, "", "You exceeded your current token quota", MONEY),
        (
            429,
            "engine_overloaded_error",
            "The engine is currently overloaded",
            (503, "overloaded", "upstream_overloaded"),
        ),
        (403, "permission_denied_error", "Your account is suspended, insufficient balance", MONEY),
        (401, "invalid_authentication_error", "x", (502, "upstream_error", "upstream_credentials_refused")),
        (401, "incorrect_api_key_error", "x", (502, "upstream_error", "upstream_credentials_refused")),
        (403, "permission_denied_error", "x", (502, "upstream_error", "upstream_credentials_refused")),
        (404, "resource_not_found_error", "Not found the model", (404, "invalid_request_error", "model_not_found")),
        (400, "content_filter", "high risk", (400, "invalid_request_error", "content_filter")),
        (400, "invalid_request_error", "Your request exceeded model token limit : 131072", LONG),
        (400, "invalid_request_error", "Input token length too long", LONG),
        (400, "invalid_request_error", "invalid temperature", (400, "invalid_request_error", None)),
        (500, "server_error", "x", (502, "upstream_error", "upstream_failed")),
    ],
)
def test_errors(status: int, kind: str, message: str, expected: tuple[int, str, str | None]) -> None:
    fault = read(status, {"error": {"type": kind, "message": message}})
    assert (fault.status, fault.type, fault.code) == expected
    if isinstance(fault, UpstreamFault):
        assert fault.upstream_status == status
    else:
        assert isinstance(fault, CallerFault)
        assert fault.message == message


def test_the_message_says_how_long_to_wait_and_never_whose_account() -> None:
    provider = create("test", Settings())
    fault = provider.prepare(make_call(), make_target()).reader.read_fault(
        load_transcript(TRANSCRIPTS / "error-429-rate.json").reply
    )
    assert fault.retry_after == 1
    assert "org-0123456789abcdef" not in fault.message + fault.detail


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":[]}', b'{"error":{"type":[],"message":{}}}'])
def test_bodies_of_any_kind(body: bytes) -> None:
    fault = (
        create("test", Settings()).prepare(make_call(), make_target()).reader.read_fault(UpstreamReply(429, {}, body))
    )
    assert (fault.status, fault.code, fault.retry_after) == (429, "upstream_rate_limit_exceeded", None)


def test_the_operators_key_never_shows() -> None:
    for status in (400, 401, 403, 429, 500):
        fault = read(status, {"error": {"type": KEY, "message": f"bad key {KEY}", "code": KEY}})
        assert KEY not in "|".join(map(str, (fault, vars(fault))))
