"""The other way round: a chat request as a Responses request, and its answer as chat."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.errors import CallerFault, Fault, UpstreamFault
from gateway.wire.bridge.back_reply import ChatFromResponses, chat_from_response
from gateway.wire.bridge.back_request import responses_from_chat
from gateway.wire.bridge.reply import response_from_chat
from gateway.wire.bridge.request import Abilities, chat_from_responses
from gateway.wire.bridge.stream import BridgeStream
from gateway.wire.chat.activity import Activity, activity_event
from gateway.wire.chat.request import ChatFold, fold_stream, validate_chat
from gateway.wire.responses.decoder import ResponsesEventDecoder
from gateway.wire.responses.events import encode_events
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.request import validate_responses

FIXTURES = Path(__file__).parents[1] / "fixtures" / "responses"
Json = dict[str, Any]
WHOLE = {"type": "object", "properties": {}}

_SCHEMAS = orjson.loads((FIXTURES / "openai-schemas.json").read_bytes())["$defs"]
CREATE = Draft202012Validator({"$ref": "#/$defs/CreateResponse", "$defs": _SCHEMAS})


class Decoder:
    """The bytes of a streamed response as chat chunks: the two machines that the gateway joins for such an upstream."""

    def __init__(self) -> None:
        self._events = ResponsesEventDecoder()
        self._machine = ChatFromResponses(completion_id="c", model="m", created=1)

    @property
    def done(self) -> bool:
        return self._machine.done

    def feed(self, data: bytes) -> list[Any]:
        return self._turn_back(self._events.feed(data))

    def finish(self) -> list[Any]:
        return self._turn_back(self._events.finish())

    def _turn_back(self, items: list[Any]) -> list[Any]:
        out: list[Any] = []
        for item in items:
            out += [item] if isinstance(item, Fault) else self._machine.feed(orjson.loads(item))
        return out


def back(**body: Any) -> tuple[Json, list[str]]:
    body.setdefault("messages", [{"role": "user", "content": "q"}])
    validate_chat({"model": "m", **body}, allow_missing_model=False)
    made, dropped = responses_from_chat(body)
    validate_responses(made)
    return made, dropped


FIXED = {"store": False, "include": ["reasoning.encrypted_content"]}
QUESTION = [{"type": "message", "role": "user", "content": "q"}]

ROWS: list[tuple[Json, Json, list[str]]] = [
    ({}, {}, []),
    ({"max_tokens": 50}, {"max_output_tokens": 50}, []),
    ({"max_completion_tokens": 5}, {"max_output_tokens": 16}, ["max_completion_tokens"]),
    ({"temperature": 0, "top_p": 1, "user": "u"}, {"temperature": 0, "top_p": 1, "user": "u"}, []),
    ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}, []),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}}},
        [],
    ),
    (
        {"verbosity": "low", "reasoning_effort": "high"},
        {"text": {"verbosity": "low"}, "reasoning": {"effort": "high"}},
        [],
    ),
    ({"stop": "x", "seed": 1, "frequency_penalty": 1}, {}, ["stop", "seed", "frequency_penalty"]),
    ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}, []),
    ({"parallel_tool_calls": False, "tools": [], "tool_choice": "auto", "brand_new": 1}, {"brand_new": 1}, []),
    ({"n": 1, "modalities": ["text"], "store": True}, {}, []),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": "required"},
        {"tools": [{"type": "function", "parameters": WHOLE, "strict": False, "name": "f"}], "tool_choice": "required"},
        [],
    ),
    (
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}},
                }
            ],
            "tool_choice": {"type": "custom", "custom": {"name": "c"}},
        },
        {
            "tools": [{"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark"}}],
            "tool_choice": {"type": "custom", "name": "c"},
        },
        [],
    ),
    (
        {
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        },
        {
            "tools": [{"type": "function", "parameters": None, "strict": False, "name": "f"}],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        },
        [],
    ),
    (
        {
            "web_search_options": {
                "search_context_size": "low",
                "filters": {"allowed_domains": ["a.example"]},
                "max_uses": 3,
                "user_location": {"type": "approximate", "approximate": {"city": "Bern"}},
            }
        },
        {
            "tools": [
                {
                    "type": "web_search",
                    "search_context_size": "low",
                    "filters": {"allowed_domains": ["a.example"]},
                    "user_location": {"type": "approximate", "city": "Bern"},
                }
            ]
        },
        [],
    ),
    (
        {"web_search_options": {"user_location": {"type": "approximate", "approximate": {"country": "DE"}}}},
        {"tools": [{"type": "web_search", "user_location": {"type": "approximate", "country": "DE"}}]},
        [],
    ),
]


@pytest.mark.parametrize(("given_body", "expected", "dropped"), ROWS)
def test_every_parameter_has_its_row(given_body: Json, expected: Json, dropped: list[str]) -> None:
    body, notes = back(**given_body)
    assert body == {**FIXED, "input": QUESTION, **expected}
    assert notes == dropped


@pytest.mark.parametrize("file", [{"file_data": "https://a.example/x.pdf"}, {"file_url": "https://a.example/x.pdf"}])
def test_the_address_of_a_document_is_its_only_source(file: Json) -> None:
    both = {"file_data": "https://a.example/x.pdf", **file, "filename": "x.pdf"}
    body, _ = responses_from_chat({"messages": [{"role": "user", "content": [{"type": "file", "file": both}]}]})
    made = {"type": "input_file", "filename": "x.pdf", "file_url": "https://a.example/x.pdf"}
    assert body["input"][0]["content"] == [made]


def test_logprobs_are_included() -> None:
    body, _ = back(logprobs=True, top_logprobs=2)
    assert body["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]
    assert body["top_logprobs"] == 2


@pytest.mark.parametrize(("field", "value"), [("n", 2), ("modalities", ["text", "audio"])])
def test_what_must_not_be_attempted(field: str, value: Any) -> None:
    with pytest.raises(CallerFault) as caught:
        back(**{field: value})
    assert caught.value.param == field


def test_messages_become_items() -> None:
    foreign = {"type": "responses.reasoning", "item": {"type": "reasoning", "id": "rs_1", "summary": []}}
    body, dropped = back(
        messages=[
            {"role": "system", "content": "s"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
                    {"type": "file", "file": {"file_id": "file_1"}},
                    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                ],
            },
            {
                "role": "assistant",
                "content": "b",
                "reasoning_details": [foreign],
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
            {"role": "assistant", "content": None, "refusal": "no"},
        ]
    )
    assert dropped == []
    assert body["input"] == [
        {"type": "message", "role": "system", "content": "s"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "https://x/a.png", "detail": "auto"},
                {"type": "input_file", "file_id": "file_1"},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ],
        },
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": "b"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]


def test_searches_of_earlier_turns_are_items_and_the_rest_is_words() -> None:
    action = {"type": "search", "query": "q"}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}
    found = {**search, "id": "ws_2", "results": [{"url": "https://a.example/", "title": "A"}]}
    code = {"type": "code_interpreter_call", "id": "ci_1", "code": "1+1", "outputs": []}
    events = [activity_event(item) for item in (search, found, code)]
    said = {"role": "assistant", "content": "2", "x_gateway": events}
    body, dropped = back(messages=[{"role": "user", "content": "q"}, said])
    sources = [{"type": "url", "url": "https://a.example/"}]
    assert body["input"][1:] == [
        {"type": "web_search_call", "status": "completed", "action": action},
        {"type": "web_search_call", "status": "completed", "action": {**action, "sources": sources}},
        {"type": "message", "role": "assistant", "content": "(Ran this code:\n1+1\n)\n\n2"},
    ]
    assert dropped == []


def test_what_messages_were_meant_as_comes_back() -> None:
    def item(place: str, phase: str, text: str) -> Json:
        part = {"type": "output_text", "text": text, "annotations": []}
        return {"type": "message", "id": place, "role": "assistant", "phase": phase, "content": [part]}

    output = [item("msg_1", "commentary", "Let me look. "), item("msg_2", "final_answer", "Done.")]
    completion = chat_from_response(
        {"object": "response", "status": "completed", "output": output}, completion_id="c", model="m", created=1
    )
    answer = completion["choices"][0]["message"]
    assert answer["content"] == "Let me look. Done."
    question = {"role": "user", "content": "q"}
    body, dropped = back(messages=[question, answer, question])
    assert dropped == []
    assert body["input"][1:3] == [
        {"type": "message", "role": "assistant", "content": "Let me look. ", "phase": "commentary"},
        {"type": "message", "role": "assistant", "content": "Done.", "phase": "final_answer"},
    ]
    machine = ChatFromResponses(completion_id="c", model="m", created=1)
    told = machine.feed({"type": "response.output_item.added", "output_index": 0, "item": item("m", "commentary", "")})
    (first,) = told
    assert isinstance(first, dict)  # before any of its text
    assert first["choices"][0]["delta"]["reasoning_details"][0] == {
        "type": "responses.phase", "phase": "commentary", "start": 0,
    }  # fmt: skip
    assert machine.feed({"type": "response.output_item.done", "output_index": 0, "item": item("m", "other", "")}) == []
    shorter = {**answer, "content": "Done."}
    nonsense = {**answer, "reasoning_details": [{"type": "responses.phase"}]}
    for odd in ({**answer, "content": None, "refusal": "no"}, shorter, nonsense):
        assert all("phase" not in one for one in back(messages=[question, odd, question])[0]["input"])


def test_what_its_servers_did_is_told_beside_the_words() -> None:
    action = {"type": "search", "query": "q"}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}
    code = {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "outputs": []}
    part = {"type": "output_text", "text": "Hi", "annotations": []}
    said = {"type": "message", "id": "msg_1", "role": "assistant", "content": [part]}
    completion = chat_from_response(
        {"object": "response", "status": "completed", "output": [search, code, said, {**search, "id": None}]},
        completion_id="c",
        model="m",
        created=1,
    )
    message = completion["choices"][0]["message"]
    assert isinstance(message["x_gateway"], Activity)
    assert [event["item"] for event in message["x_gateway"] if event["event"] == "done"] == [search, code]
    assert completion["choices"][0]["finish_reason"] == "stop"
    machine = ChatFromResponses(completion_id="c", model="m", created=1)
    (chunk,) = machine.feed({"type": "response.output_item.done", "output_index": 0, "item": search})
    assert isinstance(chunk["choices"][0]["delta"]["x_gateway"], Activity)
    assert machine.web_searches == 1


@pytest.mark.parametrize(
    ("reason", "finish", "native"),
    [("max_output_tokens", "length", None), ("content_filter", "content_filter", None), ("odd", "length", "odd")],
)
def test_why_an_answer_is_incomplete_is_told(reason: str, finish: str, native: str | None) -> None:
    part = {"type": "output_text", "text": "Hi", "annotations": []}
    response = {
        "object": "response",
        "status": "incomplete",
        "incomplete_details": {"reason": reason},
        "output": [{"type": "message", "id": "m", "role": "assistant", "content": [part]}],
    }
    (choice,) = chat_from_response(response, completion_id="c", model="m", created=1)["choices"]
    assert (choice["finish_reason"], choice.get("native_finish_reason")) == (finish, native)


def test_thoughts_that_cannot_be_proved_are_reported() -> None:
    _, dropped = back(
        messages=[
            {"role": "user", "content": "q", "name": "n"},
            {"role": "assistant", "content": "a", "reasoning_content": "x"},
        ]
    )
    assert dropped == ["messages[0].name", "messages[1].reasoning_content"]


def test_long_call_ids_stay_pairs() -> None:
    long = "x" * 300
    body, _ = back(
        messages=[
            {
                "role": "assistant",
                "tool_calls": [{"id": long, "type": "function", "function": {"name": "f", "arguments": ""}}],
            },
            {"role": "tool", "tool_call_id": long, "content": "1"},
        ]
    )
    first, second = body["input"]
    assert first["call_id"] == second["call_id"]
    assert len(first["call_id"]) <= 64


def test_there_and_back_again() -> None:
    """A chat conversation through Responses items and back is the same conversation."""
    messages = [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://x"}}],
        },
        {
            "role": "assistant",
            "content": "b",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": "2"},
        {"role": "assistant", "content": "c"},
    ]
    body, _ = responses_from_chat({"messages": messages})
    again = chat_from_responses(body, canonical_items(body["input"]), abilities=Abilities(custom_tools=True)).body
    messages[1]["content"][1]["image_url"]["detail"] = "auto"  # type: ignore[index]
    assert again["messages"] == messages


# -- answers ----------------------------------------------------------------------------------------------------


def whole(name: str) -> Json:
    return chat_from_response(
        orjson.loads((FIXTURES / f"{name}.json").read_bytes()), completion_id="c", model="m", created=1
    )


def test_whole_answers() -> None:
    made = whole("calls")
    (choice,) = made["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert [call["type"] for call in choice["message"]["tool_calls"]] == ["function"] * 2
    assert choice["message"]["reasoning_details"][0]["item"]["type"] == "reasoning"
    assert made["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    custom = whole("custom-call")["choices"][0]["message"]["tool_calls"][0]
    assert custom["custom"] == {"name": "write_sql", "input": "SELECT * FROM users WHERE age > 25"}
    summary = whole("summary")["choices"][0]["message"]
    assert summary["reasoning_content"].startswith("**")
    assert summary["content"].startswith("The current temperature")
    assert orjson.loads(whole("object")["choices"][0]["message"]["content"])["age"] == 30


@pytest.mark.parametrize(
    "name", ["parallel-calls", "reasoning-and-call", "refusal", "incomplete", "text", "web-search"]
)
def test_a_stream_folds_to_what_the_whole_answer_says(name: str) -> None:
    data = (FIXTURES / f"{name}.sse").read_bytes()
    decoder = Decoder()
    chunks: list[Any] = decoder.feed(data)
    assert decoder.done
    assert all(isinstance(chunk, dict) for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    streamed = fold_stream(chunks)
    final = orjson.loads(data.rpartition(b"data: ")[2])["response"]
    expected = chat_from_response(final, completion_id="c", model="m", created=1)
    for side in (streamed, expected):
        for detail in side["choices"][0]["message"].get("reasoning_details", ()):
            detail["item"].pop("encrypted_content")  # OpenAI encrypts anew for every event
        side["choices"][0].pop("logprobs")
    assert streamed == {**expected, "usage": expected["usage"]}


@pytest.mark.parametrize("name", ["parallel-calls", "text", "error", "web-search"])
def test_every_split_gives_the_same(name: str) -> None:
    data = (FIXTURES / f"{name}.sse").read_bytes()

    def decode(cuts: list[int]) -> list[str]:
        decoder = Decoder()
        out: list[Any] = []
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            out += decoder.feed(data[start:end])
        out += decoder.finish()
        return [str(entry.message) if isinstance(entry, Fault) else str(entry) for entry in out]

    expected = decode([])
    assert decode(list(range(1, len(data)))) == expected
    chance = random.Random(7)
    for _ in range(20):
        assert decode(sorted(chance.sample(range(1, len(data)), 9))) == expected


def test_errors_in_the_stream_become_faults() -> None:
    decoder = Decoder()
    out = decoder.feed((FIXTURES / "error.sse").read_bytes())
    assert isinstance(out[-1], UpstreamFault)
    assert len(out) == 1
    assert not decoder.done
    assert decoder.feed(b"data: {}\n\n") == [] == decoder.finish()
    nonsense = Decoder().feed(b"data: nonsense\n\n")
    assert isinstance(nonsense[0], UpstreamFault)


def test_an_event_without_its_blank_line_counts_when_whole() -> None:
    data = (FIXTURES / "text.sse").read_bytes().rstrip(b"\n")
    decoder = Decoder()
    decoder.feed(data)
    assert not decoder.done
    decoder.finish()
    assert decoder.done
    cut = Decoder()
    cut.feed(data[:-40])
    assert cut.finish() == []
    assert not cut.done


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"object": "response", "output": None},
        {"object": "response", "output": [], "status": "in_progress"},
        {"object": "response", "output": [], "status": "failed", "error": {"code": "server_error", "message": "x"}},
    ],
)
def test_answers_that_are_none(response: Json) -> None:
    with pytest.raises(Fault):
        chat_from_response(response, completion_id="c", model="m", created=1)


def test_our_own_events_come_back_as_the_chunks_they_were() -> None:
    """Both bridges in a row keep what was said."""

    def chunk(delta: Json, finish: str | None = None) -> Json:
        return {
            "id": "c",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    chunks = [
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "a"}),
        chunk({"content": "b"}),
        chunk(
            {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
        chunk({}, "tool_calls"),
    ]
    stream = BridgeStream({"input": "x"}, response_id="resp_1", model="m", now=1)
    data = encode_events(
        [*stream.start(), *[event for entry in chunks for event in stream.feed(entry)], *stream.finish(2)]
    )
    decoder = Decoder()
    again = fold_stream(decoder.feed(data))  # type: ignore[arg-type]
    before = fold_stream(chunks)
    assert again["choices"][0]["message"] == before["choices"][0]["message"]
    assert again["choices"][0]["finish_reason"] == "tool_calls"


def test_web_searches_are_counted_and_images_kept() -> None:
    machine = ChatFromResponses(completion_id="c", model="m", created=1)
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    assert machine.feed({"type": "response.output_item.done", "output_index": 0, "item": search})
    assert machine.web_searches == 1
    image = {"type": "image_generation_call", "id": "ig_1", "result": "AAAA"}
    (chunk,) = machine.feed({"type": "response.output_item.done", "output_index": 1, "item": image})
    assert isinstance(chunk, dict)
    assert chunk["choices"][0]["delta"]["images"][0]["image_url"]["url"] == "data:image/png;base64,AAAA"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "id"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.data())
def test_hostile_events_give_nothing_but_chunks_and_faults(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["parallel-calls", "web-search", "reasoning-and-call"]))
    lines = (FIXTURES / f"{name}.sse").read_bytes().split(b"\n")
    events = [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: ")]
    for _ in range(4):
        event = data.draw(st.sampled_from(events))
        holder = data.draw(st.sampled_from([event, event.get("item"), event.get("response")]))
        if isinstance(holder, dict) and holder:
            holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)
    machine = ChatFromResponses(completion_id="c", model="m", created=1)
    fold = ChatFold()
    for event in [*events, data.draw(JSON)]:
        for chunk in machine.feed(event):
            if isinstance(chunk, Fault):
                return
            fold.add(chunk)


CALL = {
    "type": "function_call",
    "id": "fc",
    "call_id": "c1",
    "name": "f",
    "arguments": '{"a":1}',
    "status": "completed",
}
SEARCH = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "x"}}
TEXT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}


@pytest.mark.parametrize("told", ["done", "completed", "item", "added and completed", "all"])
def test_arguments_that_come_without_deltas(told: str) -> None:
    machine = ChatFromResponses(completion_id="c", model="m", created=1)
    events: list[Json] = []
    if told in ("done", "added and completed", "all"):
        item = {**CALL, "arguments": ""}
        events.append({"type": "response.output_item.added", "output_index": 0, "item": item})
    if told in ("done", "all"):
        done = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": CALL["arguments"]}
        events.append(done)
    if told in ("item", "all"):
        events.append({"type": "response.output_item.done", "output_index": 0, "item": CALL})
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    response = {"object": "response", "status": "completed", "output": [CALL, SEARCH, TEXT], "usage": usage}
    events.append({"type": "response.completed", "response": response})
    chunks = [chunk for event in events for chunk in machine.feed(event)]
    answer = fold_stream([chunk for chunk in chunks if isinstance(chunk, dict)])
    (choice,) = answer["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (call["id"], call["function"]) == ("c1", {"name": "f", "arguments": '{"a":1}'})
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hi", "tool_calls")
    assert answer["usage"]["server_tool_use_details"] == {"web_search_requests": 1}


def test_a_text_told_by_deltas_is_not_told_again() -> None:
    machine = ChatFromResponses(completion_id="c", model="m", created=1)
    response = {"object": "response", "status": "completed", "output": [SEARCH, TEXT]}
    events = [
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi"},
        {"type": "response.completed", "response": response},
    ]
    chunks = [chunk for event in events for chunk in machine.feed(event)]
    answer = fold_stream([chunk for chunk in chunks if isinstance(chunk, dict)])
    assert answer["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize("last", ["done", "item", "completed"])
def test_a_text_whose_deltas_broke_off_is_told_to_its_end(last: str) -> None:
    machine = ChatFromResponses(completion_id="c", model="m", created=1)
    place = {"output_index": 0, "content_index": 0}
    item = {"type": "message", "content": [{"type": "output_text", "text": "Got it, here."}]}
    events: list[Json] = [{"type": "response.output_text.delta", **place, "delta": "Got it"}]
    if last == "done":
        events.append({"type": "response.output_text.done", **place, "text": "Got it, here."})
    if last == "item":
        events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events.append({"type": "response.completed", "response": {"output": [item] if last == "completed" else []}})
    made = fold_stream([chunk for event in events for chunk in machine.feed(event) if isinstance(chunk, dict)])
    said = made["choices"][0]["message"]["content"]
    # Where no event told the whole, the last one repeats what was told at another place: it is left alone.
    assert said == ("Got it" if last == "completed" else "Got it, here.")


def test_citations_of_files_are_no_annotations_of_chat() -> None:
    cited = {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 3}
    address = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 1}
    part = {"type": "output_text", "text": "Yes.", "annotations": [cited, address]}
    response = {"object": "response", "output": [{"type": "message", "content": [part]}]}
    message = chat_from_response(response, completion_id="c", model="m", created=1)["choices"][0]["message"]
    assert [note["type"] for note in message["annotations"]] == ["url_citation"]
    assert message["citations"] == [cited]


def test_citations_of_documents_reach_callers_of_responses() -> None:
    stream = BridgeStream({}, response_id="resp_1", model="m", now=1)
    document = {"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": "Report"}
    of_file = {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 3}
    reference = {"type": "reference", "reference_ids": [1]}
    delta = {"content": "Yes.", "citations": [{**document, "end_index": 4}, of_file, reference]}
    stream.feed({"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]})
    stream.finish(2)
    (item,) = stream.response["output"]
    made, same = item["content"][0]["annotations"]
    assert (made["type"], made["filename"], made["index"], made["cited_text"]) == ("file_citation", "Report", 4, "x")
    assert same == of_file


def test_what_was_done_beside_the_words_comes_before_them() -> None:
    item = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    message = {"role": "assistant", "content": "Yes."}
    completion = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    made = response_from_chat(completion, {}, response_id="resp_1", model="m", now=1, server_items=[item])
    assert [entry["type"] for entry in made["output"]] == ["web_search_call", "message"]
    assert made["output"][0] == item


def test_marks_of_what_anthropic_shall_cache_are_left_out_and_told_once() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    text = {"type": "text", "text": "Hi", **mark}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": [text]},
        {"role": "user", "content": [text, {"type": "text", "text": "you"}]},
        {"role": "assistant", "content": [text], "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [text]},
    ]
    tools = [{"type": "function", "function": {"name": "f"}, **mark}]
    body, dropped = responses_from_chat({"messages": messages, "tools": tools})
    assert "cache_control" not in str(body)
    assert dropped == ["cache_control"]
    assert str(body).count("'Hi'") == 4
