"""Answers of the gateway's own making against OpenAI's published schemas (schemas/README.md): no deviation at all."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from gateway.stores import KeySettings
from gateway.testing import Cut, Reply, json_reply, openai_completion, openai_stream

HELLO = [{"role": "user", "content": "What is the weather and the time in Lisbon?"}]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_time")
]
SOUND = base64.b64encode(bytes(300)).decode()
BODIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "two choices": {"n": 2},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "one token": {"max_tokens": 1},
    "functions": {"tools": TOOLS},
    "one function": {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False},
    "json": {"response_format": {"type": "json_object"}},
    "refusal": {"echo": {"refusal": "No, thank you."}},
    "reasoning": {"echo": {"reasoning": "Let me think."}},
    "filtered": {"echo": {"finish": "content_filter"}},
    "no usage": {"echo": {"usage": "none"}},
    "no text": {"echo": {"text": ""}},
    "parts": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
                    {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}},
                ],
            }
        ]
    },
}


def ask(world, body: dict[str, Any], **more: Any) -> tuple[int, bytes]:
    status, _, answer = world.run(world.gateway.post("/v1/chat/completions", {"messages": HELLO, **body, **more}))
    return status, answer


def events(answer: bytes) -> list[Any]:
    found = [event.removeprefix(b"data: ") for event in answer.split(b"\n\n") if event.startswith(b"data: ")]
    return [orjson.loads(event) for event in found if event != b"[DONE]"]


@pytest.mark.parametrize("name", BODIES)
def test_whole_answers(world, problems, name):
    status, answer = ask(world, BODIES[name])
    assert status == 200
    value = orjson.loads(answer)
    assert not problems("CreateChatCompletionResponse", value)
    assert "usage" in value


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["ridden", "extra"])
@pytest.mark.parametrize("name", BODIES)
def test_streams(world, problems, name, options):
    status, answer = ask(world, BODIES[name], stream=True, **options)
    assert status == 200
    assert answer.endswith(b"data: [DONE]\n\n")
    chunks = events(answer)
    assert not [problem for chunk in chunks for problem in problems("CreateChatCompletionStreamResponse", chunk)]
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert bool(chunks[-1]["choices"]) is not bool(options)


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_whole_answer_becomes_in_a_stream(world, problems, stream):
    """An upstream that answers a streamed question whole, and one that streams nothing but an end."""
    for reply in (json_reply(openai_completion("Hello")), Reply(openai_stream())):
        world.play(reply)
        status, answer = ask(world, {"model": "fake/model"}, stream=True)
        assert status == 200
        assert not [
            problem for chunk in events(answer) for problem in problems("CreateChatCompletionStreamResponse", chunk)
        ]


def test_models(world, problems):
    status, _, answer = world.run(world.gateway.get("/v1/models"))
    assert status == 200
    value = orjson.loads(answer)
    assert not problems("ListModelsResponse", value)
    for model in value["data"]:
        for path in (model["id"], model["id"].replace("/", "%2F")):
            status, _, answer = world.run(world.gateway.get(f"/v1/models/{path}"))
            assert (status, orjson.loads(answer)) == (200, model)
            assert not problems("Model", model)


FAILURES: list[tuple[str, int, Any]] = [
    ("/v1/chat/completions", 400, b"{"),
    ("/v1/chat/completions", 400, b"[]"),
    ("/v1/chat/completions", 400, {"messages": []}),
    ("/v1/chat/completions", 404, {"messages": HELLO, "model": "nobody/nothing"}),
    ("/v1/chat/completions", 502, {"messages": HELLO, "model": "dead/model"}),
    ("/v1/chat/completions", 503, {"messages": HELLO, "echo": {"fail": 503}}),
    ("/v1/nowhere", 404, {}),
    ("/v1/models", 405, {}),
    ("/", 405, {}),
]


@pytest.mark.parametrize(("path", "status", "body"), FAILURES)
def test_errors(world, problems, path, status, body):
    got, headers, answer = world.run(world.gateway.post(path, body))
    assert got == status or (path == "/" and got == 404)
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"].startswith("req_")
    assert not problems("ErrorResponse", orjson.loads(answer))


def test_refusals(world, problems):
    slow, poor = world.key(KeySettings(requests_per_minute=1)), world.key(credits=0)
    narrow = world.key(KeySettings(models=("fake/*",)))
    for key, statuses in ((slow, [200, 429]), (poor, [402]), (narrow, [403]), ("wrong", [401])):
        for status in statuses:
            got, _, answer = world.run(world.gateway.post("/v1/chat/completions", {"messages": HELLO}, key=key))
            assert got == status
            assert status == 200 or not problems("ErrorResponse", orjson.loads(answer))


def test_errors_inside_a_stream(world, problems):
    world.play(Reply([*openai_stream("Hello")[:2], Cut()]))
    for body in ({"model": "fake/model"}, {"echo": {"error_event_after": 4}}, {"echo": {"garbage_after": 2}}):
        status, answer = ask(world, body, stream=True)
        assert status == 200
        assert b"[DONE]" not in answer
        *chunks, error = events(answer)
        assert not problems("ErrorResponse", error)
        assert chunks
        assert not [problem for chunk in chunks for problem in problems("CreateChatCompletionStreamResponse", chunk)]


def test_a_deviation_is_found(problems):
    assert problems("Model", {"id": "x", "object": "model", "created": "today", "owned_by": "me"})
    assert problems("CreateChatCompletionStreamResponse", {"id": "x", "choices": [{"index": 0}]})
