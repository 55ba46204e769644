"""Events made again from a finished response, and reading the events and answers of a server."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from gateway.errors import Fault, UpstreamFault
from gateway.testing import HOSTILE_BODIES, HOSTILE_VALUES, all_splits
from gateway.wire.responses.decoder import ResponsesEventDecoder, read_response, unfold_response
from gateway.wire.responses.fold import ResponseFold
from gateway.wire.responses.replay import events_of

FIXTURES = Path(__file__).parents[1] / "fixtures" / "responses"
RECORDED = ["text", "reasoning-and-call", "parallel-calls", "refusal", "incomplete"]


def recorded(name: str) -> list[dict[str, Any]]:
    parts = (FIXTURES / f"{name}.sse").read_bytes().split(b"\n\n")
    return [orjson.loads(part.partition(b"data: ")[2]) for part in parts if part.strip()]


@cache
def validators() -> dict[str, Draft202012Validator]:
    schemas = orjson.loads((FIXTURES / "openai-schemas.json").read_bytes())["$defs"]
    made = {}
    for name, schema in schemas.items():
        kind = schema.get("properties", {}).get("type", {}).get("enum", [None])[0]
        if name.endswith("Event") and kind:
            made[kind] = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schemas})
    return made


@pytest.mark.parametrize("name", RECORDED)
def test_the_events_add_up_to_the_response(name: str) -> None:
    response = recorded(name)[-1]["response"]
    events = events_of(response)
    fold = ResponseFold()
    for event in events:
        fold.add(event)
        validators()[event["type"]].validate(event)
    assert fold.problems == []
    assert fold.final == response
    assert fold.added_up == response
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events_of(response) == events


@pytest.mark.parametrize("name", [*RECORDED, "web-search"])
def test_they_are_of_the_types_that_were_streamed(name: str) -> None:
    theirs = recorded(name)
    kinds = {event["type"] for event in events_of(theirs[-1]["response"])}
    assert kinds == {event["type"] for event in theirs}


def test_a_failed_one_has_its_error() -> None:
    response = recorded("text")[-1]["response"]
    failed = {**response, "status": "failed", "error": {"code": "server_error", "message": "Broken."}}
    events = events_of(failed)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert (events[-2]["code"], events[-2]["message"]) == ("server_error", "Broken.")


@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=repr)
def test_hostile_items_are_said_as_they_are(value: Any) -> None:
    for key in ("type", "id", "status", "content", "summary", "arguments", "name"):
        item = {"type": "function_call", "id": "x", "arguments": "{}", key: value}
        events_of({"id": "r", "status": "completed", "output": [item, value]})
        part = {"type": "output_text", "text": "x", "annotations": [], key: value}
        events_of({"id": "r", "status": value, "output": [{"type": "message", "content": [part, value]}]})
    events_of({"output": value, "error": value, "status": "failed"})


@pytest.mark.parametrize("name", [*RECORDED, "web-search", "error"])
def test_decoding_at_every_split(name: str) -> None:
    raw = (FIXTURES / f"{name}.sse").read_bytes()
    seen = []
    for _, pieces in all_splits(raw, seeds=range(2)):
        decoder = ResponsesEventDecoder()
        items = [item for piece in pieces for item in decoder.feed(piece)] + decoder.finish()
        told = [(str(item), item.code) if isinstance(item, Fault) else orjson.loads(bytes(item)) for item in items]
        seen.append((told, decoder.done))
    assert all(one == seen[0] for one in seen)
    told, done = seen[0]
    assert done is (name != "error")
    if name == "error":
        assert isinstance(told[-1], tuple)
    else:
        assert told == recorded(name)


def test_faults_are_cleaned_and_nothing_follows_them() -> None:
    cleaned: list[Fault] = []

    def clean(fault: Fault) -> Fault:
        cleaned.append(fault)
        return UpstreamFault("clean")

    decoder = ResponsesEventDecoder(clean)
    failed = {"type": "response.failed", "response": {"error": {"code": "invalid_prompt", "message": "sk-secret"}}}
    [fault] = decoder.feed(b"data: " + orjson.dumps(failed) + b"\n\ndata: {}\n\n")
    assert isinstance(fault, Fault)
    assert fault.message == "clean"
    assert "sk-secret" in cleaned[0].message + cleaned[0].detail
    assert decoder.feed(b'data: {"type":"response.completed","response":{}}\n\n') == []
    assert decoder.finish() == []


@pytest.mark.parametrize("payload", [b"nonsense", b"[]", b"{}", b'{"type":5}', b'{"type":""}'])
def test_what_is_no_event(payload: bytes) -> None:
    [fault] = ResponsesEventDecoder().feed(b"data: " + payload + b"\n\n")
    assert isinstance(fault, UpstreamFault)


def test_done_marks_are_passed_over_and_other_orders_of_members_are_read() -> None:
    decoder = ResponsesEventDecoder()
    end = b'{"sequence_number":3,"response":{"status":"completed"},"type":"response.completed"}'
    assert decoder.feed(b"data: [DONE]\n\ndata: " + end + b"\n\n") == [end]
    assert decoder.done


@pytest.mark.parametrize("body", HOSTILE_BODIES, ids=repr)
def test_hostile_answers_are_faults(body: bytes) -> None:
    with pytest.raises(Fault):
        read_response(body)


def test_whole_answers() -> None:
    response = recorded("text")[-1]["response"]
    assert read_response(orjson.dumps(response)) == response
    assert orjson.loads(unfold_response(response)[-1])["response"] == response
    for status in ("failed", "in_progress", "queued"):
        with pytest.raises(Fault):
            read_response(orjson.dumps({**response, "status": status}))
