"""The official Python SDK: everything that is answered whole."""

from __future__ import annotations

import base64
from typing import Any, Literal

import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from gateway.stores import KeySettings
from gateway.testing import json_reply, openai_completion, usage

pytestmark = pytest.mark.sdk

HELLO = [{"role": "user", "content": "Hello!"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
    },
}
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
SOUND = base64.b64encode(b"RIFF" + bytes(3000)).decode()


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
def test_a_question_is_answered(world, prefix):
    with world.client(prefix) as client:
        answer = client.chat.completions.create(model="muh-chat", messages=HELLO)
    assert isinstance(answer, ChatCompletion)
    assert answer.model == "muh-chat"
    assert "Hello!" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.usage.cost == answer.usage.prompt_tokens + 2 * answer.usage.completion_tokens
    assert answer._request_id.startswith("req_")


async def test_the_async_client_does_the_same(world):
    async with world.async_client() as client:
        answer = await client.chat.completions.create(model="echo/echo", messages=HELLO)
        again = await client.chat.completions.create(model="echo/echo", messages=HELLO)
    assert answer.choices[0].message.content == again.choices[0].message.content
    assert answer.model == "echo/echo"


@pytest.mark.parametrize("body", [{}, {"model": None}])
def test_without_a_model_the_default_answers(world, client, body):
    answer = client.post("/chat/completions", body={**body, "messages": HELLO}, cast_to=ChatCompletion)
    assert answer.model == "muh-chat"
    assert "Hello!" in answer.choices[0].message.content


def test_raw_responses_carry_the_contracts_headers(client):
    raw = client.chat.completions.with_raw_response.create(model="muh-chat", messages=HELLO)
    answer = raw.parse()
    assert raw.status_code == 200
    assert raw.headers["content-type"].startswith("application/json")
    assert raw.request_id == raw.headers["x-request-id"] == answer._request_id
    assert int(raw.headers["x-ratelimit-limit-requests"]) == 1_000_000
    assert 0 <= int(raw.headers["x-ratelimit-remaining-requests"]) < 1_000_000
    assert float(raw.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 60
    assert int(raw.headers["x-gateway-cost"]) == answer.usage.cost


def test_streamed_responses_are_read_piece_by_piece(client):
    with client.chat.completions.with_streaming_response.create(model="muh-chat", messages=HELLO) as response:
        assert response.headers["x-request-id"].startswith("req_")
        answer = response.parse()
    assert "Hello!" in answer.choices[0].message.content


def test_several_choices(client):
    answer = client.chat.completions.create(model="muh-chat", messages=HELLO, n=2, seed=7)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all("Hello!" in choice.message.content for choice in answer.choices)


def test_logprobs(client):
    answer = client.chat.completions.create(model="muh-chat", messages=HELLO, logprobs=True, top_logprobs=3)
    choice = answer.choices[0]
    tokens = choice.logprobs.content
    assert "".join(token.token for token in tokens) == choice.message.content
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in tokens)
    assert all(bytes(token.bytes).decode() == token.token for token in tokens)


def test_limits_and_stops(client):
    short = client.chat.completions.create(model="muh-chat", messages=HELLO, max_completion_tokens=3)
    assert short.choices[0].finish_reason == "length"
    assert short.usage.completion_tokens == 3
    stopped = client.chat.completions.create(model="muh-chat", messages=HELLO, stop=["said", "never"])
    assert stopped.choices[0].message.content == "You "


def test_a_function_is_called_and_its_result_used(client):
    messages: list[Any] = [{"role": "user", "content": "Weather in Lisbon?"}]
    answer = client.chat.completions.create(model="muh-chat", messages=messages, tools=[WEATHER], tool_choice="auto")
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name, call.function.arguments) == ("function", "get_weather", '{"city":"Lisbon"}')
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 24 degrees"}]
    final = client.chat.completions.create(model="muh-chat", messages=messages, tools=[WEATHER])
    assert final.choices[0].message.content == "Sunny, 24 degrees"


def test_functions_are_called_in_parallel(client):
    messages = [{"role": "user", "content": "What is the weather and the time in Lisbon?"}]
    both = client.chat.completions.create(model="muh-chat", messages=messages, tools=[WEATHER, TIME])
    calls = both.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert len({call.id for call in calls}) == 2
    one = client.chat.completions.create(
        model="muh-chat", messages=messages, tools=[WEATHER, TIME], parallel_tool_calls=False
    )
    assert len(one.choices[0].message.tool_calls) == 1


class Person(BaseModel):
    """What `.parse()` asks for."""

    name: str
    age: int
    mood: Literal["glad", "sad"]
    tags: list[str]


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str


def test_structured_output_becomes_a_pydantic_object(client):
    answer = client.chat.completions.parse(
        model="muh-chat", messages=[{"role": "user", "content": "Ada, 36, sad"}], response_format=Person
    )
    person = answer.choices[0].message.parsed
    assert isinstance(person, Person)
    assert (person.age, person.mood) == (36, "sad")


def test_parsed_function_arguments(client):
    answer = client.chat.completions.parse(
        model="muh-chat",
        messages=[{"role": "user", "content": "Weather in Lisbon?"}],
        tools=[openai.pydantic_function_tool(GetWeather)],
        tool_choice="required",
    )
    assert answer.choices[0].message.tool_calls[0].function.parsed_arguments == GetWeather(city="Lisbon")


def test_json_mode(client):
    answer = client.chat.completions.create(model="muh-chat", messages=HELLO, response_format={"type": "json_object"})
    assert answer.choices[0].message.content == '{"echo":"Hello!"}'


def test_a_refusal(client):
    answer = client.chat.completions.create(
        model="muh-chat", messages=HELLO, extra_body={"echo": {"refusal": "I would rather not."}}
    )
    assert answer.choices[0].message.refusal == "I would rather not."
    assert answer.choices[0].message.content is None


def test_pictures_and_sound_reach_the_upstream_unchanged(world, client):
    requests = world.play(json_reply(openai_completion("A cat that purrs.")))
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"}},
    ]
    answer = client.chat.completions.create(model="fake/model", messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content == "A cat that purrs."
    assert requests[0].json["messages"] == [{"role": "user", "content": content}]
    heard = client.chat.completions.create(model="echo/echo", messages=[{"role": "user", "content": content}])
    assert "What is this? [image] [image] [audio] [file]" in heard.choices[0].message.content


def test_every_parameter_reaches_the_upstream(world, client):
    """Also one that neither the SDK nor the gateway has heard of."""
    requests = world.play(json_reply(openai_completion("Yes.")))
    parameters: dict[str, Any] = {
        "temperature": 0.3,
        "top_p": 0.9,
        "max_completion_tokens": 100,
        "frequency_penalty": -1.5,
        "presence_penalty": 1.5,
        "logit_bias": {"1234": -100},
        "seed": 2**40,
        "stop": ["\n", "END"],
        "user": "someone",
        "metadata": {"purpose": "test"},
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "n": 1,
        "service_tier": "auto",
        "store": False,
    }
    unknown = {"guided_regex": "[a-z]+", "nested": {"a": [1, None, {"b": 0.1}]}}
    client.chat.completions.create(model="fake/model", messages=HELLO, extra_body=unknown, **parameters)
    # A compatible server is asked with the older name, which they all know (plugins/openai/README.md).
    parameters["max_tokens"] = parameters.pop("max_completion_tokens")
    assert requests[0].json == {**parameters, **unknown, "model": "upstream-model", "messages": HELLO}
    assert requests[0].headers["authorization"] == "Bearer sk-fake-upstream-key"


def test_what_the_upstream_adds_reaches_the_caller(world, client):
    reported = {**usage(7, 3, cached=2, reasoning=1), "made_up": 1}
    reply = openai_completion("Yes.", reported=reported, reasoning_content="Hm.", annotations=[])
    world.play(json_reply({**reply, "provider_hint": "x"}))
    answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert (answer.id, answer.model, answer.provider_hint) == (reply["id"], "gpt-4o", "x")
    assert answer.choices[0].message.reasoning_content == "Hm."
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    assert answer.usage.completion_tokens_details.reasoning_tokens == 1
    assert answer.usage.made_up == 1
    assert answer.usage.cost == 12  # 5 plain and 2 cached tokens at half the price, 3 tokens out at 2


def test_a_picture_of_fifteen_mebibytes(world, client):
    requests = world.play(json_reply(openai_completion("Large.")))
    url = "data:image/png;base64," + "A" * (15 * 1024 * 1024 // 4 * 4)
    content = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = client.chat.completions.create(model="fake/model", messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content == "Large."
    assert requests[0].json["messages"][0]["content"][1]["image_url"]["url"] == url


def test_a_long_conversation(client):
    messages: list[Any] = [{"role": "system", "content": "Be brief."}]
    for turn in range(500):
        messages += [{"role": "user", "content": f"turn {turn} " * 20}, {"role": "assistant", "content": "ok"}]
    messages.append({"role": "user", "content": "and now?"})
    answer = client.chat.completions.create(model="muh-chat", messages=messages)
    assert "and now?" in answer.choices[0].message.content


TEXT = 'Grüße, 世界 — مرحبا 👩‍👩‍👧‍👦 \U0001f600 \u2028 \x7f "quoted" \\ and\ttabs'


def test_every_script_survives(world, client):
    answer = client.chat.completions.create(model="muh-chat", messages=[{"role": "user", "content": TEXT}])
    assert TEXT in answer.choices[0].message.content
    requests = world.play(json_reply(openai_completion(TEXT)))
    answer = client.chat.completions.create(model="fake/model", messages=[{"role": "user", "content": TEXT}])
    assert answer.choices[0].message.content == TEXT == requests[0].json["messages"][0]["content"]


def test_models_are_listed_and_found(client):
    listed = {model.id: model for model in client.models.list()}
    assert {"muh-chat", "gpt-4o", "fake/model", "echo/echo", "dead/model"} <= listed.keys()
    for name in ("fake/model", "muh-chat"):
        model = client.models.retrieve(name)
        assert (model.id, model.object) == (name, "model")
        assert model.created == listed[name].created
    plain = client.get("/models/fake/model", cast_to=openai.types.Model)
    assert plain.id == "fake/model"
    assert plain.context_length == 128_000


def test_a_keys_own_limits_do_not_hide_other_accounts(world):
    """Two keys of one gateway at the same time: each sees its own window."""
    slow = world.key(KeySettings(requests_per_minute=5))
    with world.client(api_key=slow) as client, world.client() as other:
        raw = client.chat.completions.with_raw_response.create(model="muh-chat", messages=HELLO)
        assert (raw.headers["x-ratelimit-limit-requests"], raw.headers["x-ratelimit-remaining-requests"]) == ("5", "4")
        raw = other.chat.completions.with_raw_response.create(model="muh-chat", messages=HELLO)
        assert raw.headers["x-ratelimit-limit-requests"] == "1000000"
