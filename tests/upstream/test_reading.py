"""One answer as it comes in: whole or streamed, compressed or not, within its limits."""

from __future__ import annotations

import gzip
from dataclasses import replace

import orjson
import pytest

from gateway.errors import UpstreamFault
from gateway.provider import StreamItem
from gateway.readers import ChatReader
from gateway.testing import chunk, make_call, parsed, sse
from gateway.upstream.reading import CollectedBody, StreamReading

from .kit import EVENTS, JSON, LIMITS

STREAM = sse(chunk({"content": "Hi"})) + sse(chunk({}, finish="stop"))
WHOLE = orjson.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]})
GZIP = {"content-encoding": "gzip"}


def reading(**limits: int) -> StreamReading:
    return StreamReading(ChatReader(make_call()), replace(LIMITS, **limits))


def text_of(items: list[StreamItem]) -> str:
    read = parsed(items)
    assert all(isinstance(item, dict) for item in read)
    return "".join(choice["delta"].get("content") or "" for item in read for choice in item["choices"])  # type: ignore[index, union-attr]


UNSAID = {"x-coding": "gzip"}
"""gzip, by a proxy that says so in no header."""


@pytest.mark.parametrize("coding", [{}, GZIP, UNSAID], ids=["plain", "gzip", "unsaid"])
def test_a_stream_at_every_split(coding: dict[str, str]) -> None:
    data = gzip.compress(STREAM) if coding else STREAM
    for at in range(len(data)):
        read = reading()
        read.head(200, {**EVENTS, **coding})
        items = read.feed(data[:at]) + read.feed(data[at:]) + read.end()
        assert text_of(items) == "Hi"
        assert not read.done
    read.feed(b"")


def test_the_end_mark_is_known() -> None:
    read = reading()
    read.head(200, EVENTS)
    read.feed(STREAM)
    assert not read.done
    read.feed(b"data: [DONE]\n\n")
    assert read.done


@pytest.mark.parametrize("coding", [{}, GZIP, UNSAID], ids=["plain", "gzip", "unsaid"])
def test_a_whole_answer_to_a_request_for_a_stream_is_taken_apart(coding: dict[str, str]) -> None:
    data = gzip.compress(WHOLE) if coding else WHOLE
    read = reading()
    read.head(200, {**JSON, **coding})
    assert read.feed(data[:1]) + read.feed(data[1:]) == []
    assert text_of(read.end()) == "Hi"


def test_an_error_answer_is_its_fault_at_the_end() -> None:
    read = reading()
    read.head(429, {**JSON, "retry-after": "3"})
    assert read.feed(b'{"error": {"message": "slow down"}}') == []
    with pytest.raises(UpstreamFault) as caught:
        read.end()
    assert (caught.value.status, caught.value.retry_after) == (429, 3.0)


def test_nothing_came_at_all() -> None:
    assert reading().end() == []


def test_what_makes_no_event_is_not_kept_without_end() -> None:
    read = reading(max_event=100)
    read.head(200, EVENTS)
    read.feed(b"data: " + b"x" * 90)
    with pytest.raises(UpstreamFault, match=r"upstream\.max_event"):
        read.feed(b"x" * 20)


def test_events_that_come_through_do_not_add_up() -> None:
    read = reading(max_event=len(STREAM))
    read.head(200, EVENTS)
    for _ in range(20):
        assert len(read.feed(STREAM)) == 2


def test_little_that_becomes_much_is_refused() -> None:
    read = reading(max_event=10_000)
    read.head(200, {**EVENTS, **GZIP})
    with pytest.raises(UpstreamFault, match=r"upstream\.max_event"):
        read.feed(gzip.compress(b": " + b"x" * 1_000_000 + b"\n\n"))


@pytest.mark.parametrize("coding", [{}, GZIP], ids=["plain", "gzip"])
def test_a_body_beyond_its_limit_is_refused(coding: dict[str, str]) -> None:
    data = b"x" * 101
    body = CollectedBody(200, coding, 100)
    with pytest.raises(UpstreamFault) as caught:
        body.add(gzip.compress(data) if coding else data)
    assert caught.value.code == "upstream_reply_too_large"


def test_a_date_to_retry_after_can_be_reckoned_with() -> None:
    body = CollectedBody(503, {"retry-after": "Fri, 27 Nov 2026 05:00:00 GMT"}, 100)
    assert "date" in body.reply().headers
    dated = {"retry-after": "x", "date": "Fri, 27 Nov 2026 04:00:00 GMT"}
    assert CollectedBody(503, dated, 100).reply().headers == dated
    assert "date" not in CollectedBody(503, {}, 100).reply().headers
