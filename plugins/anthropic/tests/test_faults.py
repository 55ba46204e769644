"""Anthropic's errors in the gateway's terms."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_anthropic import AnthropicProvider, Settings

from gateway.api import Fault, UpstreamFault, UpstreamReply
from gateway.testing import make_call, make_target, sse

KEY = "sk-ant-api03-abcdefgh"
Json = dict[str, Any]


def fault_of(status: int, kind: str, message: str = "x", headers: dict[str, str] | None = None) -> UpstreamFault:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    fault = (
        provider()
        .prepare(make_call(), make_target())
        .reader.read_fault(UpstreamReply(status, headers or {}, orjson.dumps(body)))
    )
    assert isinstance(fault, UpstreamFault)
    assert fault.upstream_status == status
    return fault


def provider() -> AnthropicProvider:
    return AnthropicProvider("test", Settings(api_key=KEY))


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", (400, "invalid_request_error", None, False)),
        (401, "authentication_error", (502, "upstream_error", "upstream_account_refused", False)),
        (402, "billing_error", (502, "upstream_error", "upstream_account_refused", False)),
        (403, "permission_error", (502, "upstream_error", "upstream_account_refused", False)),
        (404, "not_found_error", (404, "invalid_request_error", "model_not_found", False)),
        (413, "request_too_large", (413, "invalid_request_error", "request_too_large", False)),
        (429, "rate_limit_error", (429, "rate_limit", "upstream_rate_limit_exceeded", True)),
        (500, "api_error", (502, "upstream_error", "upstream_failed", True)),
        (504, "timeout_error", (504, "upstream_error", "upstream_timeout", True)),
        (529, "overloaded_error", (503, "overloaded", "upstream_overloaded", True)),
        (529, "", (503, "overloaded", "upstream_overloaded", True)),
        (418, "teapot_error", (502, "upstream_error", "upstream_refused", False)),
        (501, "new_error", (502, "upstream_error", "upstream_failed", True)),
    ],
)
def test_kinds(status: int, kind: str, expected: tuple[Any, ...]) -> None:
    fault = fault_of(status, kind)
    assert (fault.status, fault.type, fault.code, fault.retryable) == expected


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        ("prompt is too long: 210000 tokens > 200000 maximum", 400, "context_length_exceeded"),
        ("input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000", 400, "context_length_exceeded"),
        ("Your credit balance is too low to access the Anthropic API.", 502, "upstream_account_refused"),
        ("You have reached your specified API usage limits.", 502, "upstream_account_refused"),
        ("This organization has been disabled.", 502, "upstream_account_refused"),
        ("messages.0.content.0.image: could not process image", 400, None),
    ],
)
def test_what_an_invalid_request_really_is(message: str, status: int, code: str | None) -> None:
    fault = fault_of(400, "invalid_request_error", message)
    assert (fault.status, fault.code) == (status, code)
    assert (message in fault.message) is (status == 400)
    assert message in fault.detail


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"detail": "the word"}, None),
        ({"error": "the word"}, None),
        ({"type": "error", "error": {"message": "the word"}}, None),
        ({"detail": [{"loc": ["body", "tools"], "msg": "the word"}]}, None),
        ({"message": "the word: context window exceeds limit (2013)"}, "context_length_exceeded"),
    ],
)
def test_what_compatible_servers_say_otherwise_reaches_the_caller(body: Json, code: str | None) -> None:
    reader = provider().prepare(make_call(), make_target()).reader
    fault = reader.read_fault(UpstreamReply(400, {}, orjson.dumps(body)))
    assert (fault.status, fault.code, "the word" in fault.message) == (400, code, True)


def test_who_cannot_mend_it_is_told_not_to_try_again() -> None:
    for status, kind in ((401, "authentication_error"), (402, ""), (404, "not_found_error")):
        assert fault_of(status, kind).headers == {"x-should-retry": "false"}
    assert not fault_of(529, "overloaded_error").headers


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "99999999"}, 86400.0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:49 GMT"}, 10.0),
        ({}, None),
    ],
)
def test_hints_when_to_retry(headers: dict[str, str], seconds: float | None) -> None:
    assert fault_of(429, "rate_limit_error", headers=headers).retry_after == seconds
    assert fault_of(529, "overloaded_error", headers=headers).retry_after == seconds
    assert fault_of(400, "invalid_request_error", headers=headers).retry_after is None


def test_the_providers_word_against_a_retry_counts() -> None:
    assert not fault_of(500, "api_error", headers={"x-should-retry": "false"}).retryable


def test_the_operators_account_stays_hidden() -> None:
    said = f"Organization 01234567-89ab-cdef-0123-456789abcdef may not use {KEY} or sk-ant-other in wrkspc_01"
    for status, kind in ((400, "invalid_request_error"), (401, "authentication_error"), (429, "rate_limit_error")):
        fault = fault_of(status, kind, said)
        shown = fault.message + fault.detail + str(fault.args)
        for secret in (KEY, "sk-ant", "01234567-89ab", "wrkspc_01"):
            assert secret not in shown
    assert "Organization" not in fault_of(429, "rate_limit_error", said).message


def test_a_page_of_a_proxy() -> None:
    fault = (
        provider().prepare(make_call(), make_target()).reader.read_fault(UpstreamReply(503, {}, b"<html>busy</html>"))
    )
    assert (fault.status, fault.type, fault.detail) == (503, "overloaded", "<html>busy</html>")


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [
        ("overloaded_error", 503, "overloaded"),
        ("rate_limit_error", 429, "rate_limit"),
        ("api_error", 502, "upstream_error"),
    ],
)
def test_an_error_inside_a_stream(kind: str, status: int, type_: str) -> None:
    decoder = provider().prepare(make_call(), make_target()).reader.open_stream()
    start = {"type": "message_start", "message": {"id": "msg_1"}}
    error = {"type": "error", "error": {"type": kind, "message": "Overloaded"}}
    items = decoder.feed(sse(start, "message_start") + sse(error, "error") + sse({"type": "message_stop"}))
    assert len(items) == 2
    fault = items[-1]
    assert isinstance(fault, Fault)
    assert (fault.status, fault.type) == (status, type_)
    assert decoder.feed(sse(start)) == []
    assert decoder.finish() == []
    assert not decoder.done


def test_an_error_with_status_200() -> None:
    body = orjson.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    with pytest.raises(UpstreamFault) as caught:
        provider().prepare(make_call(), make_target()).reader.read_reply(UpstreamReply(200, {}, body))
    assert caught.value.status == 503
