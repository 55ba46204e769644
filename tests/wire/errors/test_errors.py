"""Faults on the wire, and providers' errors turned into faults."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallerFault, Fault, GatewayFault, Refusal, UpstreamFault
from gateway.wire.errors.render import (
    error_body,
    error_bytes,
    fault_from_openai_error,
    fault_from_stream_event,
    fault_headers,
    stream_error_event,
)
from gateway.wire.redact import redact
from gateway.wire.sse import EventReader

FIXTURES = Path(__file__).parents[1] / "fixtures" / "chat"


# --- out ---------------------------------------------------------------------------------------------------------


def test_error_body_has_all_four_members() -> None:
    fault = CallerFault("model: is missing", param="model", code="missing_required_parameter")
    assert error_body(fault, "req_1") == {
        "error": {
            "message": "model: is missing",
            "type": "invalid_request_error",
            "param": "model",
            "code": "missing_required_parameter",
        }
    }
    assert orjson.loads(error_bytes(UpstreamFault("x"), "req_1"))["error"] == {
        "message": "x",
        "type": "upstream_error",
        "param": None,
        "code": None,
    }


def test_our_own_failures_name_the_request() -> None:
    assert error_body(GatewayFault("broken"), "req_1")["error"]["message"] == "broken (request id: req_1)"
    assert "req_1" in error_body(Fault("broken"), "req_1")["error"]["message"]
    assert "req_1" in error_body(GatewayFault("busy", status=503), "req_1")["error"]["message"]
    assert error_body(UpstreamFault("down"), "req_1")["error"]["message"] == "down"
    assert error_body(GatewayFault("broken"), "")["error"]["message"] == "broken"


def test_half_a_surrogate_pair_is_no_second_failure() -> None:
    body = orjson.loads(error_bytes(CallerFault("x\ud800", param="\udc00"), ""))
    assert body["error"]["message"] == "x?"


def test_stream_error_event_is_one_event_and_no_end() -> None:
    event = stream_error_event(UpstreamFault("line\nline"), "req_1")
    assert b"[DONE]" not in event
    assert event.startswith(b'data: {"error":')
    (payload,) = EventReader().feed_data(event)
    assert orjson.loads(payload)["error"]["message"] == "line\nline"


@pytest.mark.parametrize(
    ("fault", "headers"),
    [
        (CallerFault("x"), {}),
        (Refusal("x", status=429, retry_after=1.2), {"retry-after": "2", "retry-after-ms": "1200"}),
        (Refusal("x", status=429, retry_after=0), {"retry-after": "0", "retry-after-ms": "0"}),
        (Refusal("x", status=429, retry_after=0.0001), {"retry-after": "1", "retry-after-ms": "1"}),
        (Refusal("x", retry_after=-1), {}),
        (Refusal("x", retry_after=float("nan")), {}),
        (Refusal("x", retry_after=float("inf")), {}),
        (Refusal("x", status=402), {"x-should-retry": "false"}),
        (Refusal("x", status=402, headers={"X-Should-Retry": "true"}), {"x-should-retry": "true"}),
        (Refusal("x", headers={"X-A": "b\r\nset-cookie: c"}), {"x-a": "b  set-cookie: c"}),
    ],
)
def test_headers(fault: Fault, headers: dict[str, str]) -> None:
    assert fault_headers(fault) == headers


# --- in ----------------------------------------------------------------------------------------------------------


def error(**members: Any) -> bytes:
    return orjson.dumps({"error": {"message": "m", "type": None, "param": None, "code": None, **members}})


def recorded(name: str) -> Fault:
    case = orjson.loads((FIXTURES / f"{name}.json").read_bytes())
    return fault_from_openai_error(case["status"], orjson.dumps(case["body"]), {"content-type": "application/json"})


def test_recorded_unsupported_parameter_is_the_callers() -> None:
    fault = recorded("error-legacy-parameter")
    assert type(fault) is CallerFault
    assert (fault.status, fault.type) == (400, "invalid_request_error")
    assert (fault.param, fault.code) == ("max_tokens", "unsupported_parameter")
    assert fault.message.startswith("Unsupported parameter: 'max_tokens' is not supported with this model.")


@pytest.mark.parametrize(
    ("name", "param", "code"),
    [
        ("error-role", "messages[0].role", "unsupported_value"),
        ("error-content-block", "messages[3]", "invalid_value"),
        ("error-context-length", "input", "context_length_exceeded"),
    ],
)
def test_recorded_errors_of_the_callers(name: str, param: str, code: str) -> None:
    fault = recorded(name)
    assert isinstance(fault, CallerFault)
    assert (fault.status, fault.param, fault.code) == (400, param, code)


@pytest.mark.parametrize(
    ("name", "told", "secret"),
    [
        ("error-api-key", (502, "upstream_error", "upstream_credentials_refused"), "invalid-"),
        ("error-model-not-found", (404, "invalid_request_error", "model_not_found"), "does-not-exist"),
    ],
)
def test_recorded_errors_of_the_operators(name: str, told: tuple[int, str, str], secret: str) -> None:
    fault = recorded(name)
    assert isinstance(fault, UpstreamFault)
    assert (fault.status, fault.type, fault.code) == told
    assert not fault.retryable
    assert secret not in fault.message
    assert fault_headers(fault)["x-should-retry"] == "false"


def test_a_refused_key_is_in_no_text() -> None:
    assert "2345" not in recorded("error-api-key").detail
    assert "Incorrect API key" in recorded("error-api-key").detail


BAD, OURS = "invalid_request_error", "upstream_error"
KEY, MONEY, MODEL = "upstream_credentials_refused", "upstream_quota_exhausted", "model_not_found"

# status, body, status of the fault, its type, its code, retryable (None: a CallerFault), words of the message
CASES: list[tuple[int, bytes, int, str, str | None, bool | None, str]] = [
    (400, error(), 400, BAD, None, None, "m"),
    (422, error(code="x"), 400, BAD, "x", None, "m"),
    (400, b"", 400, BAD, None, None, "without saying why"),
    (400, b"<html><body>Bad Request</body></html>", 400, BAD, None, None, "without saying why"),
    (400, b'{"error":"plain words"}', 400, BAD, None, None, "plain words"),
    (400, b'{"error":"Bad Request","message":"what was wrong"}', 400, BAD, None, None, "what was"),
    (400, b'{"object":"error","message":"too hot","code":400}', 400, BAD, None, None, "too hot"),
    (400, b'[{"error":{"code":400,"message":"in a list"}}]', 400, BAD, None, None, "in a list"),
    (422, b'{"detail":"Not good"}', 400, BAD, None, None, "Not good"),
    (422, b'{"detail":[{"loc":["body","top_p"],"msg":"too big"}]}', 400, BAD, None, None, "body.top_p: too big"),
    (422, b'{"message":{"detail":[{"msg":"bad"}]}}', 400, BAD, None, None, "without saying why"),
    (400, error(message="maximum context length is 8192"), 400, BAD, "context_length_exceeded", None, "8192"),
    (400, error(code="content_filter", message="filtered"), 400, BAD, "content_filter", None, "filtered"),
    (403, error(code="content_policy_violation"), 400, BAD, "content_policy_violation", None, "m"),
    (400, error(code="model_not_found"), 404, BAD, MODEL, False, "does not know"),
    (400, error(message="API key not valid. Please pass a valid API key."), 502, OURS, KEY, False, "credentials"),
    (400, error(message="Incorrect API key provided: ab***yz."), 502, OURS, KEY, False, "credentials"),
    (400, error(code="billing_hard_limit_reached"), 502, OURS, MONEY, False, "no quota"),
    (401, error(), 502, OURS, KEY, False, "credentials"),
    (401, b"", 502, OURS, KEY, False, "credentials"),
    (402, error(), 502, OURS, MONEY, False, "no quota"),
    (403, error(code="unsupported_country"), 502, OURS, KEY, False, "credentials"),
    (404, b"not found", 404, BAD, MODEL, False, "does not know"),
    (405, error(), 502, OURS, "upstream_unexpected_status", False, "status 405"),
    (408, error(), 502, OURS, "upstream_failed", True, "try again"),
    (409, error(), 502, OURS, "upstream_failed", True, "try again"),
    (413, error(message="too big"), 413, BAD, None, None, "too big"),
    (413, b"", 413, BAD, None, None, "send less"),
    (425, error(), 502, OURS, "upstream_failed", True, "try again"),
    (429, error(code="insufficient_quota"), 502, OURS, MONEY, False, "no quota"),
    (429, error(type="insufficient_quota"), 502, OURS, MONEY, False, "no quota"),
    (429, error(type="exceeded_current_quota_error"), 502, OURS, MONEY, False, "no quota"),
    (429, error(code="rate_limit_exceeded"), 429, "rate_limit", "upstream_rate_limit_exceeded", True, "rate limit"),
    (429, b"slow down", 429, "rate_limit", "upstream_rate_limit_exceeded", True, "rate limit"),
    (500, error(), 502, OURS, "upstream_failed", True, "status 500"),
    (502, b"<html>", 502, OURS, "upstream_failed", True, "status 502"),
    (503, error(), 503, "overloaded", "upstream_overloaded", True, "overloaded"),
    (529, error(), 503, "overloaded", "upstream_overloaded", True, "overloaded"),
    (504, b"", 504, OURS, "upstream_timeout", True, "out of time"),
    (524, b"", 502, OURS, "upstream_failed", True, "status 524"),
    (302, b"", 502, OURS, "upstream_unexpected_status", False, "status 302"),
    (418, error(), 502, OURS, "upstream_unexpected_status", False, "status 418"),
    (999, b"", 502, OURS, "upstream_unexpected_status", False, "status 999"),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_error_answers(case: tuple[int, bytes, int, str, str | None, bool | None, str]) -> None:
    upstream, body, status, kind, code, retryable, words = case
    fault = fault_from_openai_error(upstream, body, {})
    assert (fault.status, fault.type, fault.code) == (status, kind, code)
    assert words in fault.message
    assert fault.retry_after is None
    if retryable is None:
        assert isinstance(fault, CallerFault)
    else:
        assert isinstance(fault, UpstreamFault)
        assert (fault.retryable, fault.upstream_status) == (retryable, upstream)


NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:20 GMT"}, 20),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1" * 500}, None),
        ({"retry-after": "9999999"}, 86400),
        ({"retry-after": "Fri, 99 Foo 2027"}, None),
        ({"retry-after": ""}, None),
        ({"x-ratelimit-reset-requests": "6ms", "x-ratelimit-reset-tokens": "1m2.5s"}, 62.5),
        (
            {
                "x-ratelimit-reset-requests": "1h0m0s",
                "x-ratelimit-reset-tokens": "2s",
                "x-ratelimit-remaining-tokens": "0",
            },
            2,
        ),
        ({"x-ratelimit-reset-requests": "12"}, 12),
        ({"x-ratelimit-reset-requests": "tomorrow"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    fault = fault_from_openai_error(429, error(), headers, now=NOW)
    assert fault.retry_after == seconds


def test_a_date_is_read_against_the_answers_own_date() -> None:
    headers = {"retry-after": "Fri, 15 Jan 2027 08:00:20 GMT", "date": "Fri, 15 Jan 2027 08:00:05 GMT"}
    assert fault_from_openai_error(503, b"", headers).retry_after == 15
    del headers["date"]
    assert fault_from_openai_error(503, b"", headers).retry_after is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit reached. Please try again in 20s. RequestContext x.", 20),
        ("Please try again in 1m2.5s.", 62.5),
        ("Please retry after 4 seconds", 4),
        ("try again in 120ms", 0.12),
        ("try again in a while", None),
        ("try again in 1.2.3.4", None),
    ],
)
def test_waiting_times_in_words(text: str, seconds: float | None) -> None:
    assert fault_from_openai_error(429, error(message=text), {}).retry_after == seconds


# event, class, status, code
EVENTS: list[tuple[dict[str, Any], type[Fault], int, str | None]] = [
    ({"error": {"message": "boom", "type": "server_error"}}, UpstreamFault, 502, "upstream_failed"),
    ({"error": {"message": "boom"}}, UpstreamFault, 502, "upstream_failed"),
    ({"error": "boom"}, UpstreamFault, 502, "upstream_failed"),
    ({"error": {"message": "x", "code": 429, "metadata": {}}}, UpstreamFault, 429, "upstream_rate_limit_exceeded"),
    (
        {"error": {"message": "x", "code": 503}, "choices": [{"finish_reason": "error"}]},
        UpstreamFault,
        503,
        "upstream_overloaded",
    ),
    ({"error": {"message": "x", "type": "overloaded_error"}}, UpstreamFault, 503, "upstream_overloaded"),
    ({"error": {"message": "x", "code": 400}}, CallerFault, 400, None),
    ({"error": {"message": "x", "type": "invalid_request_error", "code": "y"}}, CallerFault, 400, "y"),
    ({"error": {"message": "x", "code": "content_filter"}}, CallerFault, 400, "content_filter"),
    ({"error": {"message": "x", "type": "authentication_error"}}, UpstreamFault, 502, KEY),
    ({"error": {"message": "x", "code": "model_not_found"}}, UpstreamFault, 404, MODEL),
    (
        {"type": "error", "code": "rate_limit_exceeded", "message": "x", "param": None, "sequence_number": 3},
        UpstreamFault,
        429,
        "upstream_rate_limit_exceeded",
    ),
    ({"type": "error", "error": {"type": "insufficient_quota", "message": "x"}}, UpstreamFault, 502, MONEY),
    ({"type": "error", "code": "context_length_exceeded", "message": "x"}, CallerFault, 400, "context_length_exceeded"),
    (
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}},
        UpstreamFault,
        502,
        "upstream_failed",
    ),
    ({}, UpstreamFault, 502, "upstream_failed"),
]


@pytest.mark.parametrize(("event", "kind", "status", "code"), EVENTS)
def test_stream_events(event: dict[str, Any], kind: type[Fault], status: int, code: str | None) -> None:
    fault = fault_from_stream_event(event)
    assert type(fault) is kind
    assert (fault.status, fault.code) == (status, code)
    if isinstance(fault, UpstreamFault):
        assert fault.upstream_status is None
        assert "boom" not in fault.message


def test_recorded_stream_errors_of_both_shapes() -> None:
    sse = orjson.loads((FIXTURES / "error-in-responses-stream.json").read_bytes())["sse"].encode()
    events = {event.name: orjson.loads(event.data) for event in EventReader().feed(sse)}
    for name in ("error", "response.failed"):
        fault = fault_from_stream_event(events[name])
        assert isinstance(fault, UpstreamFault)
        assert (fault.status, fault.code) == (502, "upstream_quota_exhausted")
        assert "exceeded your current quota" in fault.detail


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcDEF123456_x-y",
        "sk-****************abcd",
        "sk-ant-api03-AAAA1111",
        "org-AbCdEf123456789",
        "proj_AbCdEf123456789",
        "ann.smith+x@mail.example.com",
        "AIzaSyA1234567890abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        "mghp_1234567890abcdefghij",
    ],
)
def test_secrets_are_cut_out_of_every_text(secret: str) -> None:
    body = error(message=f"Bad thing with '{secret}', sorry", param=secret, code=secret)
    for fault in (fault_from_openai_error(400, body, {}), fault_from_openai_error(500, body, {})):
        assert secret not in f"{fault.message} {fault.param} {fault.code} {fault.detail}"
    assert fault_from_openai_error(400, body, {}).message == "Bad thing with '[redacted]', sorry"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("see https://user:pw@host.example/x", "see https://[redacted]@host.example/x"),
        ("GET /v1?key=abc123&x=1", "GET /v1?key=[redacted]&x=1"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]"),
        ('{"api_key": "0123456789abcdef"}', '{"api_key": "[redacted]"}'),
        ("API key provided: 0123456789abcdef.", "API key provided: [redacted]"),
        # ordinary words stay
        ("a user-provided schema, org-wide, in task-oriented risk-averse words", None),
        ("max_tokens: 100000 is more than 4096", None),
        ("https://platform.openai.com/docs/guides/error-codes", None),
        ("Unexpected token: identifier", None),
        ("call_8ElDxJj6u7IUDEwQIrwFbveM and req_39477683f0a842109fac", None),
    ],
)
def test_redact(text: str, clean: str | None) -> None:
    assert redact(text) == (text if clean is None else clean)


def test_hostile_texts_are_bounded_and_one_line() -> None:
    body = error(message="a\r\n\x00\x1b[31m" + "x" * 100_000, param="p\n" * 500, code="c" * 500)
    fault = fault_from_openai_error(400, body, {})
    for text, most in ((fault.message, 1000), (fault.param, 200), (fault.code, 100), (fault.detail, 4000)):
        assert text is not None
        assert len(text) <= most
        assert text.isprintable()


@pytest.mark.parametrize("pattern", ["sk-", "a@", "a.b-", "http://", "key=", "eyJ", "org-", "token: ", "1h", "retry "])
def test_hostile_texts_take_no_time(pattern: str) -> None:
    started = time.process_time()
    for status in (400, 429):
        fault_from_openai_error(status, error(message=pattern * 100_000), {"retry-after": pattern * 1000})
    assert time.process_time() - started < 0.5


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "param", "detail", "msg", "loc", "response", "status"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date", "x-ratelimit-reset-tokens"]),
    st.text(max_size=30) | st.dates().map(lambda day: f"{day:%a, %d %b %Y} 25:61:00 GMT"),
)


@given(st.integers(300, 599), ANY | st.binary(max_size=20), HEADERS, st.none() | st.just(NOW))
def test_whatever_a_provider_sends_becomes_a_fault(
    status: int, said: Any, headers: dict[str, str], now: float | None
) -> None:
    body = said if isinstance(said, bytes) else orjson.dumps(said)
    fault: Fault = fault_from_openai_error(status, body, headers, now=now)
    assert isinstance(fault, CallerFault | UpstreamFault)
    assert fault.retry_after is None or 0 <= fault.retry_after <= 86400
    assert orjson.loads(error_bytes(fault, "r"))["error"]["message"]
    if isinstance(said, dict):
        assert fault_from_stream_event(said).message


def test_deep_nesting_exhausts_no_stack() -> None:
    deep: Any = "x"
    for _ in range(1000):
        deep = {"message": deep}
    assert fault_from_stream_event({"error": deep}).status == 502
    body = b'{"error":' * 1000 + b"1" + b"}" * 1000
    assert fault_from_openai_error(400, body, {}).status == 400
    assert fault_from_openai_error(400, b"[" * 100_000, {}).status == 400


LONG = [
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
    "the request exceeds the available context size, try increasing it",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
    "Input is too long for requested model.",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Range of input length should be [1, 98304]",
    "Prompt exceeds max length",
    "invalid params, context window exceeds limit (2013)",
    "the model is loaded with context length of only 4096 tokens, which is not enough.",
    "Input length 5000 exceeds the maximum allowed length of 4096 tokens.",
    "prompt too long; exceeded max context length by 50 tokens",
    "prompt is too long: 205000 tokens > 200000 maximum",
]
SHORT = [
    "max_tokens: 100000 exceeds the maximum number of output tokens, 8192",
    "messages: context is required",
    "the prompt must be a string",
    "tools[0].name is too long",
]


@pytest.mark.parametrize("message", LONG + SHORT)
def test_an_input_beyond_the_window_is_told_by_its_code(message: str) -> None:
    """Agents make room when they see it, and give up at any other 400."""
    for body in ({"error": {"message": message}}, {"error": message}, {"message": message}, {"detail": message}):
        fault = fault_from_openai_error(400, orjson.dumps(body), {})
        assert (fault.status, fault.message) == (400, message)
        assert (fault.code == "context_length_exceeded") is (message in LONG)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"errors": [{"message": "no such tool"}]}', "no such tool"),
        (b'{"title": "no such tool", "status": 400}', "no such tool"),
        (b"no such tool", "no such tool"),
        (b"<html>no such tool</html>", ""),
        (b'{"half": "no such to', ""),
    ],
)
def test_more_places_of_the_message(body: bytes, message: str) -> None:
    assert (fault_from_openai_error(400, body, {}).message == message) is bool(message)


PASSED_ON = "Provider returned error"
LONG_OF_ANTHROPIC = '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}'


@pytest.mark.parametrize(
    ("raw", "message", "code"),
    [
        (LONG_OF_ANTHROPIC, "prompt is too long: 9 > 8", "context_length_exceeded"),
        ({"error": {"message": "tools: bad schema"}}, "tools: bad schema", None),
        ({"message": "bad"}, "bad", None),
        ("The tool choice is not supported.", "The tool choice is not supported.", None),
        ("<html>", PASSED_ON, None),
        ({"error": {"metadata": {"raw": {}}}}, PASSED_ON, None),
        (None, PASSED_ON, None),
        (7, PASSED_ON, None),
    ],
)
def test_what_a_provider_behind_openrouter_says_is_told(raw: Any, message: str, code: str | None) -> None:
    told = {"message": PASSED_ON, "code": 400, "metadata": {"raw": raw, "provider_name": "X"}}
    for fault in (
        fault_from_openai_error(400, orjson.dumps({"error": told}), {}),
        fault_from_stream_event({"error": told}),
    ):
        assert (fault.status, fault.message, fault.code) == (400, message, code)


def test_words_of_its_own_count_before_what_stands_behind_them() -> None:
    told = {"message": "No endpoints found", "metadata": {"raw": "other"}}
    assert fault_from_openai_error(400, orjson.dumps({"error": told}), {}).message == "No endpoints found"


def test_answers_within_answers_come_to_an_end() -> None:
    told = PASSED_ON
    for _ in range(12):
        told = orjson.dumps({"error": {"message": PASSED_ON, "metadata": {"raw": told}}}).decode()
    assert fault_from_openai_error(400, told.encode(), {}).message == PASSED_ON
