"""Streams of the Responses API that leave out, or tell in two ways, what SDKs build the answer from."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.errors import UpstreamFault
from gateway.wire.responses.fold import ResponseFold
from gateway.wire.responses.native import NativeRelay
from gateway.wire.responses.objects import new_response
from gateway.wire.sse import EventReader

FIXTURES = Path(__file__).parents[1] / "fixtures" / "responses"
Json = dict[str, Any]
Stream = list[Json]
BEGUN = new_response({"input": "x"}, response_id="resp_ours", model="openai/gpt", now=1)
STREAMS = ["parallel-calls", "reasoning-and-call", "refusal", "incomplete", "text"]


def recorded(name: str) -> Stream:
    return [orjson.loads(data) for data in EventReader().feed_data((FIXTURES / f"{name}.sse").read_bytes())]


def without(*ends: str) -> Callable[[Stream], Stream]:
    """The events of these kinds are never sent."""
    return lambda events: [event for event in events if not event["type"].endswith(ends)]


def with_an_id_for_each_event(events: Stream) -> Stream:
    """As GitHub Copilot's server does it; the last object has ids of its own."""
    for number, event in enumerate(events):
        if "item_id" in event:
            event["item_id"] = f"blob{number}"
        if "item" in event:
            event["item"]["id"] = f"blob{number}"
    return events


def with_every_item_as_the_first(events: Stream) -> Stream:
    return [{**event, "output_index": 0} if "output_index" in event else event for event in events]


def without_numbers(events: Stream) -> Stream:
    return [{key: value for key, value in event.items() if key != "sequence_number"} for event in events]


def with_the_same_number(events: Stream) -> Stream:
    return [{**event, "sequence_number": 0} for event in events]


def with_signs_of_life(events: Stream) -> Stream:
    """Without a number, as a server's proxy puts them in."""
    return [each for event in events for each in (event, {"type": "keepalive"})][:-1]


def with_other_ids_at_the_end(events: Stream) -> Stream:
    for item in events[-1]["response"]["output"]:
        item["id"] = f"chatcmpl-{item['id']}"
    return events


ODD: dict[str, Callable[[Stream], Stream]] = {
    "nothing": lambda events: events,
    "an id for each event": with_an_id_for_each_event,
    "every item as the first": with_every_item_as_the_first,
    "no numbers": without_numbers,
    "one number": with_the_same_number,
    "other ids at the end": with_other_ids_at_the_end,
    "no deltas": without(".delta"),
    "no parts begin": without("part.added"),
    "no parts end": without(".delta", "part.done"),
    "items alone": lambda events: [event for event in events if "response" in event or "item" in event],
    "no item ends": without("output_item.done"),
    "no items begin": without("output_item.added"),
    "no items begin, and no parts": without("output_item.added", "part.added"),
    "no items begin or end": without("output_item.added", "output_item.done"),
    "signs of life": with_signs_of_life,
    "items that are done alone": lambda events: [
        event for event in events if "response" in event or event["type"].endswith("item.done")
    ],
    "the last object alone": lambda events: [event for event in events if "response" in event],
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("odd", ODD)
def test_the_events_make_the_answer(name: str, odd: str) -> None:
    relay = NativeRelay(BEGUN)
    sent = b"".join(relay.feed(orjson.dumps(event)) for event in ODD[odd](recorded(name)))
    events = [orjson.loads(data) for data in EventReader().feed_data(sent)]
    fold = ResponseFold()
    for event in events:
        fold.add(event)
    assert fold.problems == []
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert relay.final is not None
    wanted = recorded(name)[-1]["response"]["output"]
    assert [_words(item) for item in relay.final["output"]] == [_words(item) for item in wanted]
    ids = {event["item_id"] for event in events if "item_id" in event}
    assert ids <= {item["id"] for item in relay.final["output"]}
    if name != "refusal":
        assert any(event["type"].endswith(".delta") for event in events)
    told = [(event["type"], event["output_index"], _part(event)) for event in events if event["type"].endswith(".done")]
    assert len(told) == len(set(told))
    for (index, part), text in _said(events).items():
        item = relay.final["output"][index]
        parts = item.get("content") or item.get("summary") or [item]
        assert text == next(
            parts[part or 0][key] for key in ("text", "refusal", "arguments") if key in parts[part or 0]
        )


def _part(event: Json) -> int | None:
    part: int | None = event.get("content_index", event.get("summary_index"))
    return part


def _said(events: Stream) -> dict[tuple[int, int | None], str]:
    """What the deltas add up to."""
    texts: dict[tuple[int, int | None], str] = {}
    for event in events:
        if event["type"].endswith(".delta"):
            key = event["output_index"], _part(event)
            texts[key] = texts.get(key, "") + event["delta"]
    return texts


def _words(item: Json) -> Any:
    parts = item.get("content") or item.get("summary") or []
    return item["type"], item.get("arguments"), [part.get("text", part.get("refusal")) for part in parts]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_whole_passes_unread(name: str) -> None:
    relay = NativeRelay(BEGUN)
    for event in recorded(name):
        data = orjson.dumps(event)
        sent = relay.feed(data)
        if event["type"] == "response.output_text.delta":
            assert data in sent
    assert not relay._steady.loose


def test_signs_of_life_wait_for_the_response() -> None:
    relay = NativeRelay(BEGUN)
    created, *_ = recorded("text")
    alive = b'{"type":"keepalive","sequence_number":%d}'
    assert relay.feed(alive % 0) == b""
    assert relay.feed(orjson.dumps({**created, "sequence_number": 1})).startswith(b"event: response.created\n")
    assert relay.feed(alive % 2) == b"event: keepalive\ndata: " + alive % 2 + b"\n\n"


def test_what_must_come_before_the_end_is_kept_apart_from_it() -> None:
    relay = NativeRelay(BEGUN)
    events = ODD["the last object alone"](recorded("text"))
    sent = [relay.feed(orjson.dumps(event)) for event in events]
    assert relay.untold.startswith(b"event: response.output_item.added\n")
    assert sent[-1].startswith(relay.untold)
    assert b"response.completed" not in relay.untold


def test_an_item_that_is_told_whole_at_once_is_not_told_twice() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": '{"a":1}'}
    output = [{**call, "status": "completed"}]
    events = [
        {"type": "response.created", "response": {"object": "response", "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**call, "status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": output[0]},
        {"type": "response.completed", "response": {"object": "response", "status": "completed", "output": output}},
    ]
    relay = NativeRelay(BEGUN)
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    sent = b"".join(relay.feed(orjson.dumps(event)) for event in numbered)
    assert b".delta" not in sent
    assert sent.count(b"event: ") == 4


def test_half_an_escape_passes_in_the_first_piece_too() -> None:
    events = recorded("text")
    relay = NativeRelay(BEGUN)
    for event in events:
        if event["type"] == "response.output_text.delta":
            data = orjson.dumps({**event, "delta": "HERE"}).replace(b"HERE", b"\\ud83d")
            assert data in relay.feed(data)
            break
        relay.feed(orjson.dumps(event))


@pytest.mark.parametrize("odd", [[], {"a": 1}, None, "x", 10**30, -1, True, 1.5])
@pytest.mark.parametrize("member", ["output_index", "content_index", "item_id", "sequence_number", "id"])
def test_no_member_is_believed_to_be_what_it_should_be(member: str, odd: Any) -> None:
    relay = NativeRelay(BEGUN)
    for event in recorded("text"):
        held = [event, event.get("item"), *event.get("response", {}).get("output", ())]
        for place in held if member == "id" else [event]:
            if isinstance(place, dict) and member in place:
                place[member] = odd
        relay.feed(orjson.dumps(event) if odd != 10**30 else json.dumps(event, separators=(",", ":")).encode())
    assert relay.ended
    assert relay.final is not None


def test_a_place_of_many_digits_is_no_place() -> None:
    relay = NativeRelay(BEGUN)
    for event in recorded("text"):
        data = orjson.dumps(event)
        if event["type"].endswith(".delta"):
            data = data.replace(b'"output_index":0', b'"output_index":' + b"9" * 5000)
        with contextlib.suppress(UpstreamFault):
            relay.feed(data)
    assert relay.ended
