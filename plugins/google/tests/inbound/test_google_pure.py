"""The dialect without a gateway: requests to chat bodies, streams at every split, what is kept between turns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from tollgate_google import Settings, create
from tollgate_google.details import SKIP
from tollgate_google.faults import tidy
from tollgate_google.inbound import GenerateDialect
from tollgate_google.inbound.answer import response_of
from tollgate_google.inbound.faults import error_object
from tollgate_google.inbound.native import GENERATE, NativeDecoder
from tollgate_google.inbound.relay import GenerateRelay
from tollgate_google.inbound.schema import json_schema
from tollgate_google.inbound.sealing import details_in, envelope_in, signature_of
from tollgate_google.inbound.tally import GenerateTally
from tollgate_google.inbound.turns import chat_messages
from tollgate_google.reading import Reading

from gateway.api import Call, CallerFault, Fault, Notes, UpstreamFault, UpstreamReply, activity_notes, dump
from gateway.testing import HOSTILE_BODIES, all_splits, load_transcripts, make_call, make_target

Json = dict[str, Any]

STREAMS = [
    found
    for found in load_transcripts(Path(__file__).parent.parent.parent / "transcripts")
    if found.status == 200 and found.streamed
]
KEY = "AIza-test-key-0123456789"
PROVIDER = create("test", Settings.model_validate({"api_key": KEY}))
HELLO: Json = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def opened(body: Json, method: str = "generateContent", **more: Any) -> Call:
    call = make_call({}, **more)
    GenerateDialect().open(call, body, {"model": "google/gemini", "method": method})
    return call


def chat(config: Json | None = None, **more: Any) -> Json:
    body = opened({**HELLO, **more, **({"generationConfig": config} if config is not None else {})}).body
    return {key: value for key, value in body.items() if key not in ("model", "messages")}


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"temperature": 0.5, "topP": 0.9, "maxOutputTokens": 7}, {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7}),
        ({"max_output_tokens": 7, "seed": 3}, {"max_tokens": 7, "seed": 3}),
        ({"presencePenalty": 1, "frequencyPenalty": -1}, {"presence_penalty": 1, "frequency_penalty": -1}),
        ({"candidateCount": 2, "stopSequences": ["a", ""]}, {"n": 2, "stop": ["a"]}),
        ({"responseLogprobs": True, "logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"responseMimeType": "application/json"}, {"response_format": {"type": "json_object"}}),
        ({"thinkingConfig": {"thinkingBudget": 0}}, {"reasoning_effort": "none"}),
        ({"thinkingConfig": {"thinkingBudget": 1024}}, {"reasoning_effort": "low"}),
        ({"thinkingConfig": {"thinkingBudget": 30_000}}, {"reasoning_effort": "high"}),
        ({"thinkingConfig": {"thinkingBudget": -1}}, {}),
        ({"thinkingConfig": {"thinkingLevel": "HIGH"}}, {"reasoning_effort": "high"}),
        ({"thinkingConfig": {"includeThoughts": True}}, {"reasoning_effort": "medium"}),
        ({"responseModalities": ["TEXT", "IMAGE"]}, {"modalities": ["text", "image"]}),
        ({"responseModalities": ["TEXT"], "topK": 3.0}, {"top_k": 3}),
        ({"topK": 0}, {}),
    ],
)
def test_parameters(config: Json, wanted: Json) -> None:
    assert chat(config) == wanted


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"temperature": "hot"}, "generationConfig.temperature"),
        ({"maxOutputTokens": 0}, "generationConfig.maxOutputTokens"),
        ({"topK": 1.5}, "generationConfig.topK"),
        ({"stopSequences": "x"}, "generationConfig.stopSequences"),
        ({"logprobs": 3}, "generationConfig.logprobs"),
        ({"thinkingConfig": {"thinkingLevel": "huge"}}, "generationConfig.thinkingConfig.thinkingLevel"),
        ({"responseModalities": ["SMELL"]}, "generationConfig.responseModalities"),
    ],
)
def test_malformed_parameters_are_named(config: Json, param: str) -> None:
    with pytest.raises(CallerFault) as caught:
        chat(config)
    assert caught.value.param == param


def test_what_only_google_has_is_reported_or_refused_elsewhere() -> None:
    call = opened({**HELLO, "safetySettings": [{}], "generationConfig": {"audioTimestamp": True}, "labels": {}})
    assert list(call.forms["chat"].dropped) == ["generationConfig.audioTimestamp", "safetySettings", "labels"]
    assert call.forms["chat"].fault is None
    assert call.forms[GENERATE].dropped == ()
    others: list[Json] = [{"tools": [{"codeExecution": {}}]}, {"cachedContent": "cachedContents/x"}]
    for more in others:
        assert opened({**HELLO, **more}).forms["chat"].fault is not None
    with pytest.raises(CallerFault):
        opened({**HELLO, "api_base": "https://elsewhere"})


def test_tool_choices() -> None:
    tools = [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}, {"google_search": {}}]

    def choice(config: Json) -> Json:
        return chat(tools=tools, toolConfig={"functionCallingConfig": config})

    assert choice({"mode": "ANY"})["tool_choice"] == "required"
    assert choice({"mode": "NONE"})["tool_choice"] == "none"
    one = choice({"mode": "ANY", "allowedFunctionNames": ["b"]})
    assert one["tool_choice"] == {"type": "function", "function": {"name": "b"}}
    assert len(one["tools"]) == 2
    assert one["web_search_options"] == {}
    some = choice({"mode": "AUTO", "allowedFunctionNames": ["b"]})
    assert [tool["function"]["name"] for tool in some["tools"]] == ["b"]
    with pytest.raises(CallerFault):
        choice({"mode": "ANY", "allowedFunctionNames": ["c"]})


def test_what_google_did_is_told_in_words_to_others() -> None:
    parts = [
        {"text": "Let me see."},
        {"executableCode": {"language": "PYTHON", "code": "print(2)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2\n"}},
        {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q"]}}},
        {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {"a": "b"}}},
        {"text": "Two."},
    ]
    (message,) = chat_messages(Notes("Google"), None, [{"role": "model", "parts": parts}])
    assert message["content"] == "Let me see.Two."
    assert activity_notes(message) == [
        (11, "(Ran this code:\nprint(2)\n)"),
        (11, "(Ran the code above. It printed:\n2\n\n)"),
        (11, '(Called the tool GOOGLE_SEARCH_WEB with {"queries":["q"]})'),
        (11, '(Called the tool GOOGLE_SEARCH_WEB. It brought:\n{"a":"b"}\n)'),
    ]
    own = {entry["activity"] for entry in message["reasoning_details"]}
    assert activity_notes(message, own) == []


def test_the_pieces_of_a_stream_are_one_turn_of_the_model() -> None:
    """Google's SDK keeps each piece of a stream as a content of its own, and answers parallel calls by their names."""
    call, result = {"name": "add", "args": {}}, {"name": "add", "response": {"result": 3}}
    contents: list[Json] = [
        {"role": "user", "parts": [{"text": "Add."}]},
        {"role": "model", "parts": [{"text": "I a"}]},
        {"role": "model", "parts": [{"text": "dd."}, {"functionCall": call, "thoughtSignature": "c2lnbg=="}]},
        {"role": "model", "parts": [{"functionCall": call}]},
        {"role": "model", "parts": [{"text": ""}]},
        {"role": "user", "parts": [{"functionResponse": result}, {"functionResponse": result}]},
        {"role": "model", "parts": [{"text": "Do"}]},
        {"role": "model", "parts": [{"text": "ne."}]},
    ]
    _, calls, first, second, last = chat_messages(Notes("Google"), None, contents)
    assert calls["content"] == "I add."
    assert [entry["id"] for entry in calls["reasoning_details"]] == [calls["tool_calls"][0]["id"]]
    assert [call["id"] for call in calls["tool_calls"]] == [first["tool_call_id"], second["tool_call_id"]]
    assert last == {"role": "assistant", "content": "Done."}


def test_a_single_part_is_a_list_of_one() -> None:
    """As Google's own documents write it, for the system above all."""
    body: Json = {"system_instruction": {"parts": {"text": "You are a cat."}}, "contents": {"parts": {"text": "Hello"}}}
    assert opened(body).body["messages"] == [
        {"role": "system", "content": "You are a cat."},
        {"role": "user", "content": "Hello"},
    ]


def test_media_and_results_without_ids() -> None:
    contents = [
        {
            "parts": [
                {"inlineData": {"mimeType": "image/png", "data": "iV-_"}},
                {"inline_data": {"mime_type": "audio/wav", "data": "AAAA"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}},
            ]
        },
        {
            "role": "model",
            "parts": [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "args": {"x": 1}}}],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"result": "one"}}},
                {"functionResponse": {"name": "f", "response": {}}},
                {"text": "Go on."},
            ],
        },
    ]
    messages = opened({"contents": contents, "systemInstruction": {"parts": [{"text": "S"}]}}).body["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "tool", "user"]
    kinds = [part["type"] for part in messages[1]["content"]]
    assert kinds == ["image_url", "input_audio", "file", "image_url"]
    assert messages[1]["content"][0]["image_url"]["url"] == "data:image/png;base64,iV+/"
    called = [call["id"] for call in messages[2]["tool_calls"]]
    assert [message["tool_call_id"] for message in messages[3:5]] == called
    assert len(set(called)) == 2
    bad: list[Any] = [{"role": "robot"}, {"parts": [{"functionResponse": {"name": "g"}}]}, {"parts": [{}]}, 7]
    for wrong in bad:
        with pytest.raises(CallerFault) as caught:
            opened({"contents": [wrong]})
        assert str(caught.value.param).startswith("contents[0]")


def test_signatures_travel() -> None:
    details = [{"type": "other.thinking", "signature": "s"}]
    for signature in (signature_of(details), signature_of(details).replace("+", "-").replace("/", "_").rstrip("=")):
        assert details_in(envelope_in(signature), "x") == details
    assert envelope_in("CpgBAUhh") == ""
    parts: list[Json] = [
        {"text": "thought", "thought": True},
        {"text": "Hello", "thoughtSignature": "R29vZ2xl"},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": signature_of(details)},
    ]
    call = opened({"contents": [*HELLO["contents"], {"role": "model", "parts": parts}]})
    message = call.body["messages"][1]
    assert message["reasoning_content"] == "thought"
    own = {"type": "google.thought_signature", "signature": "R29vZ2xl", "part": "text", "start": 0, "end": 5}
    assert message["reasoning_details"] == [own, *details]
    sent = orjson.loads(PROVIDER.prepare(spoken(call), make_target("gemini-3-pro-preview")).request.body)
    assert sent["contents"][1]["parts"] == [*parts[:2], {**parts[2], "thoughtSignature": SKIP}]


def spoken(call: Call) -> Call:
    """The call as a provider of the same dialect gets it."""
    return call.view(GENERATE, call.forms[GENERATE].body)


def test_a_native_body_goes_out_as_it_was_written() -> None:
    native = spoken(opened({**HELLO, "generationConfig": {"topK": 3}}))
    sent = orjson.loads(PROVIDER.prepare(native, make_target("gemini")).request.body)
    assert sent == {**HELLO, "generationConfig": {"topK": 3}}


def test_the_output_limit_is_the_gateways() -> None:
    body = {**HELLO, "generation_config": {"max_output_tokens": 900, "thinking_config": {"thinking_budget": 800}}}
    native = spoken(opened(body, max_output=100))
    sent = orjson.loads(PROVIDER.prepare(native, make_target("gemini")).request.body)
    assert sent["generationConfig"] == {"maxOutputTokens": 100, "thinkingConfig": {"thinkingBudget": 80}}


@pytest.mark.parametrize("transcript", STREAMS, ids=lambda found: found.id)
def test_streams_at_every_split(transcript: Any) -> None:
    outputs = set()
    for _, pieces in all_splits(transcript.body):
        call = opened(HELLO, "streamGenerateContent")
        decoder, relay, tally = (
            NativeDecoder(lambda fault: tidy(fault, KEY)),
            GenerateRelay(call, "id", None, native=True),
            GenerateTally(Reading()),
        )
        out = b""
        for items in [*(decoder.feed(piece) for piece in pieces), decoder.finish()]:
            data, fault = relay.feed(tally.add(items))
            assert fault is None
            out += data
        assert decoder.done
        assert tally.complete
        assert tally.usage is not None
        assert tally.text_bytes > 0
        searches = tally.usage.get("server_tool_use_details", {}).get("web_search_requests", 0)
        assert bool(searches) == (b"webSearchQueries" in transcript.body)
        outputs.add(out + relay.finish(tally.usage))
    (only,) = outputs
    events = [orjson.loads(line[6:]) for line in only.splitlines() if line]
    wanted = [orjson.loads(line[6:]) for line in transcript.body.splitlines() if line.startswith(b"data: ")]
    assert events == [{**event, "modelVersion": "google/gemini"} for event in wanted]


@pytest.mark.parametrize("listed", [True, False])
def test_several_responses_are_one_to_who_asked_for_no_stream(listed: bool) -> None:
    sign = {"text": "", "thoughtSignature": "s"}
    call = {"functionCall": {"name": "f", "args": {"a": 2**70}}}
    parts = [{"text": "hm", "thought": True}, {"text": "Hel"}, {"text": "lo"}, call, sign]
    responses: list[Json] = [
        {"candidates": [{"content": {"parts": [part], "role": "model"}}], "usageMetadata": {"promptTokenCount": 5}}
        for part in parts
    ]
    responses[-1]["candidates"][0]["finishReason"] = "STOP"
    responses[-1]["usageMetadata"] = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}
    told = [json.dumps(response).encode() for response in responses]
    body = b"[" + b",".join(told) + b"]" if listed else b"".join(b"data: " + one + b"\n\n" for one in told)
    view = opened(HELLO)
    view.dialect, view.body = GENERATE, view.forms[GENERATE].body
    answer = PROVIDER.prepare(view, make_target()).reader.read_reply(UpstreamReply(200, {}, body))
    [candidate] = json.loads(dump(answer.body))["candidates"]
    assert candidate["content"] == {"role": "model", "parts": [parts[0], {"text": "Hello"}, call, sign]}
    assert candidate["finishReason"] == "STOP"
    assert answer.body["usageMetadata"]["totalTokenCount"] == 8
    assert answer.usage is not None


def test_a_stream_that_is_cut_by_the_gateway() -> None:
    call = opened(HELLO, "streamGenerateContent")
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    for item in (
        {"candidates": [{"content": {"parts": [{"text": "Hel"}]}}]},
        {"choices": [{"index": 0, "delta": {"content": "Hel"}}]},
    ):
        native = "candidates" in item
        relay, tally = GenerateRelay(call, "id", None, native=native), GenerateTally(Reading())
        assert b"Hel" in relay.feed(tally.add([item]))[0]
        relay.cut()
        tally.cut()
        last = orjson.loads(relay.finish(usage)[6:])
        assert last["candidates"][0]["finishReason"] == "MAX_TOKENS"
        assert last["usageMetadata"]["totalTokenCount"] == 3
        assert tally.finish_reason == "length"


def test_hostile_streams_raise_faults_only() -> None:
    for body in HOSTILE_BODIES:
        call = opened(HELLO, "streamGenerateContent")
        decoder, relay, tally = (
            NativeDecoder(lambda fault: tidy(fault, KEY)),
            GenerateRelay(call, "id", None, native=True),
            GenerateTally(Reading()),
        )
        one_line = b"data: " + body.replace(b"\n", b" ") + b"\n\n"
        relay.feed(tally.add([*decoder.feed(one_line), *decoder.finish()]))
        relay.finish({})
        assert not decoder.done or tally.complete
        GenerateRelay(make_call({}), "id", None).feed([body])


def test_errors() -> None:
    fault = UpstreamFault("slow down", status=429, retry_after=2.1, code="rate_limited")
    error = error_object(fault, "req_1")["error"]
    assert (error["code"], error["status"], error["message"]) == (429, "RESOURCE_EXHAUSTED", "slow down")
    assert [detail.get("retryDelay") for detail in error["details"]] == [None, "3s"]


def test_schemas() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "a": {"type": "STRING", "nullable": True, "enum": ["x"], "format": "enum"},
            "b": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "2"},
        },
        "propertyOrdering": ["a", "b"],
    }
    assert json_schema(schema) == {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", None]},
            "b": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        },
    }


def test_embeddings_of_openais_dialect() -> None:
    assert "embeddings" in PROVIDER.profile(make_target()).operations
    call = make_call(
        {"input": ["a", "b"], "dimensions": 2, "encoding_format": "base64", "user": "u", "taskType": "T"},
        operation="embeddings",
    )
    request = PROVIDER.prepare(call, make_target("gemini-embedding-001")).request
    assert request.url.endswith("/v1beta/models/gemini-embedding-001:batchEmbedContents")
    first = {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}}
    assert orjson.loads(request.body)["requests"][0] == {**first, "outputDimensionality": 2, "taskType": "T"}
    assert call.dropped == ["user"]
    answer = {"embeddings": [{"values": [1, 0.5]}, {"values": [0, 0]}], "usageMetadata": {"promptTokenCount": 4}}
    read = PROVIDER.prepare(call, make_target()).reader.read_reply(UpstreamReply(200, {}, orjson.dumps(answer))).body
    assert read["data"][0] == {"object": "embedding", "index": 0, "embedding": "AACAPwAAAD8="}
    assert read["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    bare = {"embeddings": [{"values": [1]}]}
    plain = (
        PROVIDER.prepare(make_call({"input": "a"}, operation="embeddings"), make_target())
        .reader.read_reply(UpstreamReply(200, {}, orjson.dumps(bare)))
        .body
    )
    assert plain["data"][0]["embedding"] == [1]
    assert "usage" not in plain
    with pytest.raises(CallerFault) as caught:
        PROVIDER.prepare(make_call({"input": ["a", [1]]}, operation="embeddings"), make_target("gemini-embedding-001"))
    assert caught.value.param == "input[1]"
    lies: list[Any] = [{"embeddings": [{"values": [None]}]}, {"embeddings": [{"values": [1e300]}]}, {"embeddings": []}]
    for body in (*HOSTILE_BODIES, *(orjson.dumps(lie) for lie in lies)):
        with pytest.raises(Fault):
            PROVIDER.prepare(make_call({"input": "a"}, operation="embeddings"), make_target()).reader.read_reply(
                UpstreamReply(200, {}, body)
            )


def test_documents_and_free_text_of_other_providers() -> None:
    cited = {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 3}
    custom = {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    message = {"role": "assistant", "content": "Yes.", "citations": [cited], "tool_calls": [custom]}
    answer = response_of({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {}}, "r")
    (candidate,) = answer["candidates"]
    assert candidate["groundingMetadata"]["groundingChunks"] == [{"retrievedContext": {"title": "a.pdf", "text": ""}}]
    call = candidate["content"]["parts"][-1]["functionCall"]
    assert (call["name"], call["args"]) == ("sql", {"input": "SELECT 1"})


def test_one_tool_stands_for_a_list_of_one() -> None:
    listed = chat(tools=[{"functionDeclarations": [{"name": "f"}]}])
    assert chat(tools={"functionDeclarations": [{"name": "f"}]}) == listed
    assert listed["tools"]


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER", "A_NEW_FAILURE"])
def test_an_answer_that_broke_off_before_it_began_may_be_tried_again(reason: str) -> None:
    def event(*parts: Json) -> bytes:
        candidate = {"index": 0, "content": {"parts": list(parts)}, "finishReason": reason}
        return b"data: " + orjson.dumps({"candidates": [candidate]}) + b"\n\n"

    (fault,) = NativeDecoder().feed(event({"text": ""}))
    assert isinstance(fault, UpstreamFault)
    assert fault.retryable
    # What was said cannot be taken back, and the caller knows the reason.
    (item,) = NativeDecoder().feed(event({"text": "Hi"}))
    assert isinstance(item, dict)


def test_what_only_opens_an_answer() -> None:
    tally = GenerateTally(Reading())
    tally.add([{"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}}], "usageMetadata": {}}])
    assert tally.opening
    tally.add([{"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "QQ=="}}]}}]}])
    assert not tally.opening
