"""Log lines without secrets, and metrics with bounded labels."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import orjson
import pytest

from gateway.call import Caller, Outcome, Usage
from gateway.errors import UpstreamFault
from gateway.exposition import merge, render
from gateway.logs import RequestLog, make_logger, request_entry
from gateway.metrics import Metrics
from gateway.testing import make_call, make_target
from gateway.upstream.health import HealthBook
from gateway.wire.redact import Redactor


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


HOSTILE = 'x"\r\n2026-01-01T00:00:00.000Z error   forged account=acct_9\x1b[2J\x7f\u2028\u202egnol\u200b'


def request_line(style: str, entry: dict[str, Any], secrets: tuple[str, ...] = ()) -> str:
    stream = io.StringIO()
    RequestLog(enabled=True, style=style, redact=Redactor(secrets), stream=stream).write(dict(entry))
    return stream.getvalue()


def is_one_line(text: str) -> bool:
    """For every reader: by `splitlines`, which knows more ends of lines than most, and without anything invisible."""
    return len(text.splitlines()) == 1 and text.endswith("\n") and text[:-1].isprintable()


@pytest.mark.parametrize("style", ["json", "text"])
def test_nothing_a_caller_writes_makes_a_line(style: str) -> None:
    assert is_one_line(written(style, message_of=HOSTILE))
    assert is_one_line(written(style, model=HOSTILE, listed=[HOSTILE], nested={HOSTILE: HOSTILE}))
    call = make_call({"messages": []})
    call.model = HOSTILE
    call.dropped.append(HOSTILE)
    call.caller = Caller("acct_1", "key_1", HOSTILE)
    fault = UpstreamFault(HOSTILE, code=HOSTILE, detail=HOSTILE)
    entry = request_entry("req_1", HOSTILE, HOSTILE, 502, 0, fault, call, None)
    assert is_one_line(request_line(style, entry))


def test_a_value_cannot_look_like_two() -> None:
    line = request_line("text", {"model": "a account=acct_2", "reason": "b=c", "dropped": ["x y"]})
    assert "model='a account=acct_2' reason='b=c' dropped=['x y']" in line


def test_a_trace_cannot_look_like_an_entry() -> None:
    stream = io.StringIO()
    log = make_logger("test", level="info", style="text", redact=Redactor(), stream=stream)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("failed")
    first, *trace = stream.getvalue().splitlines()
    assert first.endswith("failed")
    assert all(line.startswith("    ") and line.isprintable() for line in trace)


@pytest.mark.parametrize("style", ["json", "text"])
def test_secrets_in_a_request_line_are_masked_before_they_are_cut(style: str) -> None:
    secret = "mgas_aaaabbbbccccddddeeeeffff"
    for at in range(160, 201):
        call = make_call({"messages": []})
        call.model = "m" * at + secret
        line = request_line(style, request_entry("req_1", "POST", "/v1/responses", 404, 0, None, call, None))
        assert "mgas_aaaa" not in line
    call.dropped.append("known-value-1234")
    call.model = "KNOWN-VALUE-1234"
    entry = request_entry("req_1", "POST", "/v1/responses", 404, 0, None, call, None)
    assert "known-value" not in request_line(style, entry, ("known-value-1234",)).lower()


def test_a_line_is_written_whatever_stands_in_it() -> None:
    assert "ud800" in written(model="\ud800", number=1 << 70)
    assert is_one_line(written("text", model="\ud800", number=1 << 70))


def test_a_pattern_does_not_meet_the_quotes_between_two_members() -> None:
    line = orjson.loads(
        written(first="http://x", second="y@z", third={"authorization": "abc", "x": ["Bearer abcdefg1"]})
    )
    assert (line["first"], line["second"]) == ("http://x", "y@z")
    assert line["third"] == {"authorization": "[redacted]", "x": ["Bearer [redacted]"]}


def test_the_request_entry() -> None:
    call = make_call({"model": "fake/model", "stream": True, "messages": [{"role": "user", "content": "private"}]})
    call.caller = Caller("acct_1", "key_1", "mghp_...abcd")
    call.cost, call.attempts = 12, 2
    call.dropped.append("seed")
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
        "provider": "test",
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
    assert (entry["error"], entry["reason"], len(entry["detail"])) == ("x", "Broken.", 4000)
    line = orjson.loads(request_line("json", entry))
    assert (line["error"], line["reason"], len(line["detail"])) == ("x", "Broken.", 1000)


def test_metrics_never_take_labels_from_callers() -> None:
    metrics = Metrics(HealthBook())
    call = make_call({"model": "made up by a caller"})
    metrics.observe("/v1/chat/completions", 404, 0.01, call, None)
    assert "made up" not in render(merge([metrics.snapshot()])).decode()


def test_two_gateways_count_apart() -> None:
    first, second = Metrics(HealthBook()), Metrics(HealthBook())
    first.observe("/r", 200, 0.1, None, None)
    pages = [render(merge([metrics.snapshot()])).decode() for metrics in (first, second)]
    assert 'gateway_requests_total{model="",route="/r",status="200",target=""} 1.0' in pages[0]
    assert 'status="200"' not in pages[1]


async def test_the_lines_of_one_turn_of_the_loop_are_one_write() -> None:
    writes: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return len(text)

    log = RequestLog(enabled=True, style="json", redact=Redactor(), stream=Stream())
    for number in range(3):
        log.write({"request_id": f"req_{number}"})
    assert writes == []
    await asyncio.sleep(0)
    (text,) = writes
    assert [orjson.loads(line)["request_id"] for line in text.splitlines()] == ["req_0", "req_1", "req_2"]
    log.write({"request_id": "req_3"})
    await asyncio.sleep(0)
    assert len(writes) == 2
