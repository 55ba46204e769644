"""OpenAI's own Python SDK reads what the bridge writes, over a transport that never leaves the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import openai
import orjson
import pytest
from openai._models import construct_type
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from gateway.errors import UpstreamFault
from gateway.wire.bridge.request import chat_from_responses
from gateway.wire.bridge.stream import BridgeStream
from gateway.wire.responses.events import encode_events
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.objects import new_response
from gateway.wire.responses.request import validate_responses

Json = dict[str, Any]
pytestmark = pytest.mark.sdk


def chunk(delta: Json | None = None, finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}]}


USAGE: Json = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}}
END = [chunk({}, "stop"), USAGE]


def client(upstream: Callable[[Json], list[Json]], *, cut: bool = False) -> openai.OpenAI:
    """An SDK client whose requests are answered by the bridge; `upstream` plays the chat model."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        body = orjson.loads(request.content)
        validate_responses(body)
        form = chat_from_responses(body, canonical_items(body["input"]))
        stream = BridgeStream(body, response_id="resp_1", model=body["model"], now=1, emulated=form.tools.emulated)
        sent = encode_events(stream.start())
        for entry in upstream(form.body):
            sent += stream.feed_bytes(entry)
        sent += encode_events(stream.fail(UpstreamFault("The line was cut."), 2) if cut else stream.finish(2))
        if body.get("stream"):
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=sent)
        return httpx2.Response(200, json=stream.response)

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(
        api_key="x", base_url="http://gateway.test/v1", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def says(*texts: str) -> Callable[[Json], list[Json]]:
    return lambda body: [*[chunk({"content": text}) for text in texts], *END]


class Person(BaseModel):
    name: str
    age: int


def test_create() -> None:
    response = client(says("Hel", "lo")).responses.create(model="a/b", input="hi")
    assert response.output_text == "Hello"
    assert response.usage is not None
    assert response.usage.output_tokens == 7


def test_the_stream_helper() -> None:
    with client(says("Hel", "lo")).responses.stream(model="a/b", input="hi") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots == ["Hel", "Hello"]
    assert final.output_text == "Hello"


def test_structured_output() -> None:
    upstream = says('{"name":"A', 'nn","age":3}')
    parsed = client(upstream).responses.parse(model="a/b", input="hi", text_format=Person)
    assert parsed.output_parsed == Person(name="Ann", age=3)
    with client(upstream).responses.stream(model="a/b", input="hi", text_format=Person) as stream:
        assert stream.get_final_response().output_parsed == Person(name="Ann", age=3)


TOOLS: Any = [
    {
        "type": "function",
        "name": "get_horoscope",
        "parameters": {"type": "object", "properties": {"sign": {"type": "string"}}},
    }
]


def horoscope(body: Json) -> list[Json]:
    """A model that thinks, calls two functions in parallel, and then says what they gave."""
    results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    if results:
        asked = [call["id"] for message in body["messages"] for call in message.get("tool_calls") or ()]
        answered = [message["tool_call_id"] for message in body["messages"] if message["role"] == "tool"]
        assert asked == answered == ["functions.get_horoscope:0", "call_2"]
        return [chunk({"content": " and ".join(results)}), *END]

    def call(index: int, arguments: str, **members: Any) -> Json:
        return chunk(
            {
                "tool_calls": [
                    {
                        "index": index,
                        **members,
                        "function": {"arguments": arguments, **({"name": "get_horoscope"} if members else {})},
                    }
                ]
            }
        )

    return [
        chunk({"reasoning_content": "hm"}),
        call(0, "", id="functions.get_horoscope:0", type="function"),
        call(1, '{"sign"', id="call_2", type="function"),
        call(0, '{"sign":"Lion"}'),
        call(1, ':"Ram"}'),
        chunk({}, "tool_calls"),
        USAGE,
    ]


@pytest.mark.parametrize("spelling", ["documents", "openai", "whole items"])
def test_the_function_calling_program(spelling: str) -> None:
    gateway = client(horoscope)
    items: list[Any] = [{"type": "message", "role": "user", "content": "What is my horoscope?"}]
    final: list[Any] = []
    for event in gateway.responses.create(model="a/b", tools=TOOLS, input=items, stream=True):
        if event.type == "response.completed":
            final = event.response.output
    if spelling == "whole items":
        items += final
    for item in final:
        if item.type != "function_call":
            continue
        result = orjson.loads(item.arguments)["sign"]
        if spelling == "documents":
            call_id = item.id or item.callId or item.call_id
            ids = {"id": call_id, "callId": call_id}
            items.append({"type": "function_call", **ids, "name": item.name, "arguments": item.arguments})
            items.append({"type": "function_call_output", **ids, "output": result})
        else:
            if spelling == "openai":
                items.append(item)
            items.append({"type": "function_call_output", "call_id": item.call_id, "output": result})
    events = list(gateway.responses.create(model="a/b", input=items, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Lion and Ram"


def test_custom_tools_arrive_as_such() -> None:
    def upstream(body: Json) -> list[Json]:
        function = {"name": "sql", "arguments": '{"input":"SELECT 1"}'}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        return [chunk({"tool_calls": [call]}), chunk({}, "tool_calls"), USAGE]

    tools: Any = [{"type": "custom", "name": "sql"}]
    with client(upstream).responses.stream(model="a/b", input="hi", tools=tools) as stream:
        (item,) = stream.get_final_response().output
    assert item.type == "custom_tool_call"
    assert item.input == "SELECT 1"


def test_a_failure_in_the_stream_is_seen() -> None:
    events = list(client(says("Hel"), cut=True).responses.create(model="a/b", input="hi", stream=True))
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    failed: Any = events[-1]
    assert failed.response.error.message == "The line was cut."
    assert failed.response.output_text == "Hel"


def test_every_event_has_a_model_in_the_sdk() -> None:
    stream = BridgeStream({"input": "x"}, response_id="resp_1", model="a/b", now=1)
    events = stream.start()
    for entry in (
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "a", "annotations": [{"type": "url_citation", "url_citation": {"url": "https://x"}}]}),
        chunk({"refusal": "no"}),
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}),
        *END,
    ):
        events += stream.feed(entry)
    events += stream.finish(2)
    for event in events:
        made: Any = construct_type(type_=ResponseStreamEvent, value=event)
        assert made.type == event["type"]
        assert made.to_dict(mode="json") == event
        # construct_type takes anything; a strict reading shows that the types are right, too.
        type(made).model_validate(event)


def test_the_response_is_valid_for_the_sdk() -> None:
    begun = new_response({"input": "x", "tools": TOOLS}, response_id="resp_1", model="a/b", now=1)
    assert Response.model_validate(begun).id == "resp_1"
