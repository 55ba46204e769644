"""The frame that the readers of all event streams share, with a dialect of three words."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from gateway.errors import Fault, UpstreamFault
from gateway.wire.chat.decoder import ChatChunkEditor
from gateway.wire.event_decoder import JsonEventDecoder, StreamItem
from gateway.wire.sse import encode_data

BIG = 2**70


class Words(JsonEventDecoder):
    """`say` gives a chunk, `fail` is a fault, `end` the end mark; `last` makes an end without one whole."""

    exact = b'"id"'

    def __init__(self, clean: Any = None) -> None:
        super().__init__(clean)
        self.last = ""

    def take(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        if "fail" in event:
            raise UpstreamFault(event["fail"])
        self.done = "end" in event
        self.last = event.get("last", self.last)
        out.append(event)

    def take_other(self, value: Any, out: list[StreamItem]) -> None:
        if value == ["odd"]:
            out.append({"odd": True})

    def end(self, out: list[StreamItem]) -> None:
        if self.last == "bad":
            raise UpstreamFault("broke off")
        self.done = self.last == "good"
        out.append({"ended": self.last})


def marked(fault: Fault) -> Fault:
    fault.message += " (clean)"
    return fault


def sse(*events: Any) -> bytes:
    return b"".join(encode_data(event if isinstance(event, bytes) else orjson.dumps(event)) for event in events)


def messages(items: list[StreamItem]) -> list[Any]:
    return [item.message if isinstance(item, Fault) else item for item in items]


def test_what_comes_before_a_fault_stays_and_nothing_follows_it() -> None:
    words = Words(marked)
    assert messages(words.feed(sse({"say": 1}, {"fail": "no"}, {"say": 2}))) == [{"say": 1}, "no (clean)"]
    assert words.feed(sse({"say": 3})) == []
    assert words.finish() == []
    assert not words.done


@pytest.mark.parametrize("payload", [b"{", b"nonsense", b'{"say": 1}}'])
def test_what_is_no_json_is_a_fault_that_shows_it_to_the_operator(payload: bytes) -> None:
    [fault] = Words(marked).feed(sse(payload))
    assert isinstance(fault, UpstreamFault)
    assert fault.code == "upstream_invalid_response"
    assert fault.detail == payload.decode()
    assert fault.message.endswith("(clean)")


def test_nothing_is_read_behind_the_end_mark() -> None:
    words = Words()
    assert words.feed(sse({"end": 1}, {"say": 2})) == [{"end": 1}]
    assert words.done
    assert words.feed(sse({"fail": "late"})) == []
    assert words.finish() == []
    assert words.done


def test_an_event_that_is_too_large_is_a_clean_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Words(marked)
    monkeypatch.setattr(words._events, "_max", 10)
    [fault] = words.feed(sse({"say": "x" * 20}))
    assert isinstance(fault, UpstreamFault)
    assert fault.code == "upstream_event_too_large"
    assert fault.message.endswith("(clean)")
    assert words.feed(sse({"say": 1})) == []


@pytest.mark.parametrize("rest", [b'data: {"say": 1, "last": "go', b'data: {"last": {"good": 1}', b"data: nonsense"])
def test_half_of_a_last_event_is_not_read(rest: bytes) -> None:
    words = Words()
    assert words.feed(sse({"say": 0}) + rest) == [{"say": 0}]
    assert words.finish() == [{"ended": ""}]
    assert not words.done


def test_a_last_event_without_its_blank_line_counts_when_it_is_whole() -> None:
    words = Words()
    words.feed(b'data: {"last": "good"}')
    assert words.finish() == [{"last": "good"}, {"ended": "good"}]
    assert words.done
    assert words.finish() == []


def test_the_end_is_said_once_and_not_behind_the_mark() -> None:
    words = Words()
    words.feed(b'data: {"end": 1}')
    assert words.finish() == [{"end": 1}]
    assert words.done


def test_the_end_may_be_a_fault() -> None:
    words = Words(marked)
    words.feed(sse({"last": "bad"}))
    assert messages(words.finish()) == ["broke off (clean)"]
    assert words.finish() == []
    assert not words.done


def test_digits_are_kept_where_the_dialect_says_so_and_other_json_is_its_own_business() -> None:
    words = Words()
    exact, rounded, odd = words.feed(sse(b'{"id":%d}' % BIG, b'{"say":%d}' % BIG, ["odd"], 7, b"[DONE]"))
    assert orjson.dumps(exact) == b'{"id":%d}' % BIG
    assert rounded == {"say": float(BIG)}
    assert odd == {"odd": True}


class Shout(ChatChunkEditor):
    """Shouts what is marked with an id; an id of 13 is a fault that comes behind its chunk."""

    notable = re.compile(rb'"id":')

    def edit(self, chunk: dict[str, Any], out: list[StreamItem]) -> None:
        self.look_at_all = chunk.get("id") == "all"
        out.append({**chunk, "loud": True})
        if chunk.get("id") == 13:
            raise UpstreamFault("unlucky")


def test_an_editor_parses_only_what_it_must_see() -> None:
    shout = Shout()
    plain, loud, again, hushed = shout.feed(
        sse({"choices": []}, {"id": "all", "choices": []}, {"choices": []}, {"choices": []})
    )
    assert plain == b'{"choices":[]}'
    assert loud == {"id": "all", "choices": [], "loud": True}
    assert again == {"choices": [], "loud": True}
    assert hushed == b'{"choices":[]}'


def test_an_editors_fault_comes_behind_its_chunk_and_nothing_follows_it() -> None:
    shout = Shout(marked)
    items = shout.feed(sse({"id": 13, "choices": []}, {"choices": []}, b"[DONE]"))
    assert messages(items) == [{"id": 13, "choices": [], "loud": True}, "unlucky (clean)"]
    assert not shout.done
    assert shout.feed(sse({"choices": []})) == []
    assert shout.finish() == []


def test_a_fault_of_the_stream_stays_one_with_an_editor() -> None:
    items = Shout(marked).feed(sse({"choices": []}, {"error": {"message": "full"}}))
    assert items[0] == b'{"choices":[]}'
    assert messages(items[1:])[0].endswith("(clean)")
    assert len(items) == 2


def test_an_editor_sees_the_end_mark() -> None:
    shout = Shout()
    assert shout.feed(sse({"choices": []}, b"[DONE]")) == [b'{"choices":[]}']
    assert shout.done
