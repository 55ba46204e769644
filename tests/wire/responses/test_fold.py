"""Events added up: recorded streams of OpenAI give their own final objects, and contradictions are noticed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.responses.fold import ResponseFold
from gateway.wire.sse import EventReader

FIXTURES = Path(__file__).parents[1] / "fixtures" / "responses"
STREAMS = ["parallel-calls", "reasoning-and-call", "refusal", "incomplete", "text", "web-search", "error"]


def recorded(name: str) -> list[dict[str, Any]]:
    return [orjson.loads(data) for data in EventReader().feed_data((FIXTURES / f"{name}.sse").read_bytes())]


def fold(events: list[Any]) -> ResponseFold:
    made = ResponseFold()
    for event in events:
        made.add(event)
    return made


def without_ciphertext(response: dict[str, Any]) -> dict[str, Any]:
    output = [{key: item[key] for key in item if key != "encrypted_content"} for item in response["output"]]
    return {**response, "output": output}


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_events_add_up_to_the_recorded_object(name: str) -> None:
    events = recorded(name)
    made = fold(events)
    assert made.problems == []
    assert made.final == events[-1]["response"]
    assert without_ciphertext(made.added_up) == without_ciphertext(events[-1]["response"])


@pytest.mark.parametrize("name", STREAMS)
def test_a_cut_stream_is_folded_as_far_as_it_came(name: str) -> None:
    events = recorded(name)
    for end in range(len(events)):
        made = fold(events[:end])
        assert made.problems == []
        assert made.final is None
        assert made.response == made.added_up
        texts = [event["delta"] for event in events[:end] if event["type"] == "response.output_text.delta"]
        parts = [part for item in made.response["output"] for part in item.get("content") or ()]
        assert "".join(part.get("text", "") for part in parts) == "".join(texts)


def test_the_error_event_is_kept() -> None:
    made = fold(recorded("error"))
    assert made.error is not None
    assert made.error["error"]["code"] == "insufficient_quota"


def changed(events: list[dict[str, Any]], kind: str, **members: Any) -> list[dict[str, Any]]:
    made = copy.deepcopy(events)
    event = next(event for event in made if event["type"] == kind)
    event.update(members)
    return made


@pytest.mark.parametrize(
    ("kind", "members", "problem"),
    [
        ("response.output_text.delta", {"sequence_number": 99}, "sequence_number"),
        ("response.output_text.delta", {"sequence_number": None}, "sequence_number"),
        ("response.output_text.delta", {"delta": "other"}, "not what the deltas add up to"),
        ("response.output_text.delta", {"item_id": "msg_other"}, "item_id"),
        ("response.output_text.delta", {"output_index": 7}, "no item at output_index"),
        ("response.output_text.delta", {"content_index": 7}, "no part at content_index"),
        ("response.output_text.done", {"text": "other"}, "not what the deltas add up to"),
        ("response.content_part.added", {"content_index": 1}, "content_index"),
        ("response.content_part.done", {"part": {"type": "output_text", "text": "x"}}, "not what the events add up to"),
        ("response.output_item.added", {"output_index": 1}, "output_index"),
        ("response.output_item.done", {"item": {"type": "message", "id": "x"}}, "not what the events add up to"),
        ("response.completed", {"response": {"id": "resp_other", "output": []}}, "id changed"),
        ("response.completed", {"response": None}, "no response"),
    ],
)
def test_contradictions_are_noticed(kind: str, members: dict[str, Any], problem: str) -> None:
    made = fold(changed(recorded("text"), kind, **members))
    assert any(problem in line for line in made.problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.data())
def test_hostile_events_never_raise(data: st.DataObject) -> None:
    events = recorded("web-search")
    for _ in range(3):
        event = events[data.draw(st.integers(0, len(events) - 1))]
        event[data.draw(st.sampled_from(sorted(event)))] = data.draw(JSON)
    made = fold([*events, data.draw(JSON)])
    assert isinstance(made.response, dict)


def test_nesting_without_end_is_not_followed() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    made = fold([{"type": "response.created", "sequence_number": 0, "response": deep}])
    assert made.problems == ["an event nests too deeply"]
