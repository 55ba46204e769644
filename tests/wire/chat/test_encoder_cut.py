"""A chat stream that the gateway ends itself: every choice that goes on gets the finish_reason `length`."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.tally import ChatTally

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def chunk(index: int, text: str, finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return orjson.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def ends(relay: ChatRelay, sent: bytes) -> list[Any]:
    relay.cut()
    *events, done = (sent + relay.finish(USAGE)).removesuffix(b"\n\n").split(b"\n\n")
    assert done == b"data: [DONE]"
    return [orjson.loads(event.removeprefix(b"data: ")) for event in events]


@pytest.mark.parametrize("asked", [True, False])
def test_one_choice(asked: bool) -> None:
    relay = ChatRelay("ours", asked)
    sent, _ = relay.feed(ChatTally(3).add([chunk(0, "a"), chunk(0, "b"), chunk(0, "c")]))
    events = ends(relay, sent)
    reasons = [choice["finish_reason"] for event in events for choice in event["choices"]]
    assert reasons == [None, None, None, "length"]
    assert events[-1]["usage"] == USAGE
    assert events[-1]["choices"] == [] if asked else events[-1]["choices"]
    assert all(event["model"] == "ours" and event["id"] == "c" for event in events)


@pytest.mark.parametrize("asked", [True, False])
def test_choices_that_had_ended_keep_their_reason(asked: bool) -> None:
    relay = ChatRelay("ours", asked, 3)
    sent, _ = relay.feed(ChatTally(3).add([chunk(0, "a"), chunk(1, "b", "stop"), chunk(2, "c")]))
    events = ends(relay, sent)
    found = [(c["index"], c["finish_reason"]) for event in events for c in event["choices"] if c["finish_reason"]]
    assert sorted(found) == [(0, "length"), (1, "stop"), (2, "length")]
    assert [bool(event.get("usage")) for event in events] == [False] * (len(events) - 1) + [True]


def test_an_answer_that_was_whole_stays_as_it_is() -> None:
    relay = ChatRelay("ours", False)
    sent, _ = relay.feed(ChatTally(3).add([chunk(0, "a"), chunk(0, "b", "content_filter")]))
    events = ends(relay, sent)
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, "content_filter"]
