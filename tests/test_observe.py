"""Log lines without secrets, and metrics with bounded labels."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pytest

from gateway.call import Caller, Outcome, Usage
from gateway.errors import UpstreamFault
from gateway.logs import Redactor, make_logger, request_entry
from gateway.metrics import Metrics
from gateway.testing import make_call, make_target


def written(style: str = "json", secrets: tuple[str, ...] = (), **extra: Any) -> str:
    stream = io.StringIO()
    log = make_logger("test", level="info", style=style, redact=Redactor(secrets), stream=stream)
    log.info("a message of %s", extra.pop("message_of", "mine"), extra=extra)
    return stream.getvalue()


def test_one_object_per_line() -> None:
    text = written(path="/a\r\nb", number=7, nothing=None, nested={"a": [1]})
    assert text.count("\n") == 1
    line = orjson.loads(text)
    assert line["message"] == "a message of mine"
    assert (line["path"], line["number"], line["nothing"], line["nested"]) == ("/a\r\nb", 7, None, {"a": [1]})
    assert line["level"] == "info"
    assert line["time"].endswith("Z")


@pytest.mark.parametrize(
    "secret",
    [
        "mghp_abcdefgh12345678abcdefgh12_abc123",
        "sk-proj-AbCdEf0123456789",
        "Bearer abc.def-ghi_jkl0123",
        "bearer abcdefgh12345678",
    ],
)
def test_what_looks_like_a_credential_is_masked(secret: str) -> None:
    for text in (written(message_of=f"<{secret}>"), written(detail={"headers": [secret]})):
        assert secret.split()[-1] not in text
        assert "[redacted]" in text


def test_known_values_are_masked_whatever_they_look_like() -> None:
    text = written(
        secrets=("correct horse battery", "longer correct horse battery staple", "abc"),
        detail="x abc y longer correct horse battery staple",
    )
    assert "horse" not in text
    assert "abc" in text, "too short to be masked: it would hide ordinary words"


@pytest.mark.parametrize(
    "field", ["authorization", "Cookie", "api_key", "x-api-key", "password", "client_secret", "access_token"]
)
def test_fields_that_hold_secrets_are_masked(field: str) -> None:
    assert "plain-text" not in written(**{field: "plain-text"})


def test_exceptions_are_masked_too() -> None:
    stream = io.StringIO()
    log = make_logger("test", level="info", style="json", redact=Redactor(), stream=stream)
    try:
        raise ValueError("sk-0123456789abcdef")
    except ValueError:
        log.exception("failed")
    assert "sk-0123456789abcdef" not in stream.getvalue()
    assert "ValueError" in orjson.loads(stream.getvalue())["trace"]


def test_the_text_style_is_one_line_for_eyes() -> None:
    text = written("text", path="/v1", reason="two words")
    assert text.rstrip("\n").endswith("path=/v1 reason='two words'")
    assert "a message of mine" in text


def test_the_request_entry() -> None:
    call = make_call({"model": "fake/model", "stream": True, "messages": [{"role": "user", "content": "private"}]})
    call.caller = Caller("acct_1", "key_1", "mghp_...abcd")
    call.cost, call.attempts, call.dropped = 12, 2, ["seed"]
    outcome = Outcome(
        499,
        Usage(3, 4),
        "estimated",
        make_target("m"),
        "client_disconnected",
        first_byte=0.01,
        attempts=2,
        client_left=True,
    )
    entry = request_entry("req_1", "POST", "/v1/chat/completions", 499, 0.5, None, call, outcome)
    assert entry == {
        "request_id": "req_1",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 499,
        "total_ms": 500.0,
        "account": "acct_1",
        "key": "mghp_...abcd",
        "model": "fake/model",
        "stream": True,
        "credits": 12,
        "dropped": ["seed"],
        "target": "test/m",
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "basis": "estimated",
        "attempts": 2,
        "first_byte_ms": 10.0,
        "client_left": True,
        "error": "client_disconnected",
    }


def test_a_fault_without_a_call() -> None:
    fault = UpstreamFault("Broken.", code="x", detail="d" * 5000)
    entry = request_entry("req_1", "GET", "", 502, 0, fault, None, None)
    assert (entry["error"], entry["reason"], len(entry["detail"])) == ("x", "Broken.", 1000)


def test_metrics_never_take_labels_from_callers() -> None:
    metrics = Metrics()
    call = make_call({"model": "made up by a caller"})
    metrics.observe("/v1/chat/completions", 404, 0.01, call, None)
    assert "made up" not in metrics.exposition()[0].decode()


def test_two_gateways_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.observe("/r", 200, 0.1, None, None)
    assert 'gateway_requests_total{model="",route="/r",status="200",target=""} 1.0' in first.exposition()[0].decode()
    assert 'status="200"' not in second.exposition()[0].decode()
