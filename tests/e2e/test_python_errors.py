"""The official Python SDK: each failure is the exception that its users expect, retried when that makes sense."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from gateway.stores import KeySettings
from gateway.testing import Cut, Reply, Stall, json_reply, openai_completion, openai_error, openai_stream, refused_url

from .conftest import PATIENCE

pytestmark = pytest.mark.sdk

HELLO = [{"role": "user", "content": "Hello!"}]
GOOD = json_reply(openai_completion("Hello again"))


def ask(client: openai.OpenAI, model: str = "muh-chat", **more: Any) -> Any:
    return client.chat.completions.create(**{"model": model, "messages": HELLO, **more})


@pytest.mark.parametrize("key", ["wrong", "mghp_" + "x" * 30 + "_xxxxxx", "sk-anything"])
def test_a_wrong_key(world, key):
    with world.client(api_key=key, max_retries=2) as client, pytest.raises(openai.AuthenticationError) as caught:
        ask(client)
    error = caught.value
    assert (error.status_code, error.type, error.code) == (401, "invalid_request_error", "invalid_api_key")
    assert error.request_id.startswith("req_")
    assert key not in error.message
    assert world.logged(request_id=error.request_id)["status"] == 401
    assert len(world.log_lines(request_id=error.request_id)) == 1


def test_no_key_at_all(world):
    with world.client() as client, pytest.raises(openai.AuthenticationError):
        client.models.with_raw_response.list(extra_headers={"Authorization": openai.Omit()})


def test_a_revoked_key(world):
    key = world.key()
    stores = world.gateway.gateway.stores
    with world.client(api_key=key) as client:
        ask(client)
        keys = world.run(stores.keys.list_keys(world.gateway.account.id))
        (found,) = [one for one in keys if one.label.endswith(key[-4:])]
        world.run(stores.keys.revoke_key(found.id))
        with pytest.raises(openai.AuthenticationError):
            ask(client)


def test_a_model_outside_the_allow_list(world):
    key = world.key(KeySettings(models=("echo/*",)))
    with world.client(api_key=key) as client:
        assert ask(client, "echo/echo").choices
        assert ask(client, "muh-chat").choices, "the alias leads only to allowed models"
        with pytest.raises(openai.PermissionDeniedError) as caught:
            ask(client, "fake/model")
    error = caught.value
    assert (error.status_code, error.type, error.param) == (403, "model_not_allowed", "model")


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model(client, stream):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "nobody/nothing", stream=stream)
    assert (caught.value.code, caught.value.param, caught.value.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    assert "nobody/nothing" in caught.value.message


def test_other_things_that_are_not_there(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody/nothing")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.get("/nothing/here", cast_to=object)
    with pytest.raises(openai.APIStatusError) as refused:
        client.models.delete("fake/model")
    assert refused.value.status_code == 405


WRONG = {
    "temperature": {"temperature": 3},
    "top_p": {"top_p": -0.1},
    "n": {"n": 0},
    "stop": {"stop": ["a", "b", "c", "d", "e"]},
    "max_completion_tokens": {"max_completion_tokens": 0},
    "top_logprobs": {"logprobs": True, "top_logprobs": 21},
    "messages": {"messages": []},
    "messages[0].role": {"messages": [{"role": "robot", "content": "x"}]},
    "messages[1].content[1].image_url.url": {
        "messages": [
            {"role": "system", "content": "x"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "ftp://x/y"}}],
            },
        ]
    },
    "messages[1].tool_call_id": {"messages": [*HELLO, {"role": "tool", "content": "x"}]},
    "tools[0].function.name": {"tools": [{"type": "function", "function": {"name": "two words"}}]},
    "tool_choice.function.name": {
        "tools": [{"type": "function", "function": {"name": "a"}}],
        "tool_choice": {"type": "function", "function": {"name": "b"}},
    },
    "response_format.json_schema": {"response_format": {"type": "json_schema"}},
    "stream_options": {"stream_options": {"include_usage": True}},
    "metadata.a": {"metadata": {"a": 1}},
    "api_base": {"extra_body": {"api_base": "http://127.0.0.1/"}},
}


@pytest.mark.parametrize("param", WRONG)
def test_a_bad_request_names_the_field(world, client, param):
    requests = world.play(GOOD)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "fake/model", **WRONG[param])
    error = caught.value
    assert (error.status_code, error.type, error.param) == (400, "invalid_request_error", param)
    assert error.body["message"].startswith(f"{param}: ")
    assert not requests, "nothing is sent upstream"


def test_a_body_that_is_too_large(client):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, messages=[{"role": "user", "content": "x" * (21 * 1024 * 1024)}])
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
    assert ask(client).choices, "the client goes on"


def test_no_credits_is_not_retried(world):
    key = world.key(credits=0)
    with world.client(api_key=key, max_retries=3) as client, pytest.raises(openai.APIStatusError) as caught:
        ask(client)
    error = caught.value
    assert (error.status_code, error.type, error.code) == (402, "insufficient_quota", "insufficient_quota")
    assert error.response.headers["x-should-retry"] == "false"
    assert len(world.log_lines(status=402, account=world.logged(request_id=error.request_id)["account"])) == 1


def test_too_many_requests(world):
    key = world.key(KeySettings(requests_per_minute=2))
    with world.client(api_key=key) as client:
        ask(client)
        ask(client)
        with pytest.raises(openai.RateLimitError) as caught:
            ask(client)
        client.models.list()  # only model calls are counted
    error = caught.value
    assert (error.type, error.code) == ("rate_limit", "rate_limit_exceeded")
    headers = error.response.headers
    assert 50 <= int(headers["retry-after"]) <= 60
    assert 0 <= int(headers["retry-after"]) * 1000 - int(headers["retry-after-ms"]) < 1000
    assert headers["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize("status", [429, 503])
def test_the_sdk_retries_what_passes(world, status):
    """The gateway gives up after three tries of its own, and tells the SDK when to come back."""
    busy = json_reply(openai_error("Slow down."), status, headers={"retry-after-ms": "20"})
    requests = world.play(busy, busy, busy, busy, GOOD)
    answers: list[Any] = []
    seen = openai.DefaultHttpxClient(event_hooks={"response": [answers.append]})
    with world.client(max_retries=2, http_client=seen) as client:
        raw = client.chat.completions.with_raw_response.create(model="fake/model", messages=HELLO)
    assert raw.parse().choices[0].message.content == "Hello again"
    assert (raw.retries_taken, len(requests)) == (1, 5)
    assert [answer.status_code for answer in answers] == [status, 200]
    assert 0 <= int(answers[0].headers["retry-after-ms"]) <= 1000


def test_what_the_gateway_retries_itself_the_sdk_never_sees(world):
    bad = json_reply(openai_error("Oops."), 500)
    requests = world.play(bad, Reply([Cut()]), GOOD)
    with world.client(max_retries=0) as client:
        assert ask(client, "fake/model").choices[0].message.content == "Hello again"
    assert len(requests) == 3


UPSTREAM = [
    # What the upstream says, what the SDK raises, the status it carries, and whether the SDK would try again.
    (json_reply(openai_error("Slow down.", "tokens"), 429), openai.RateLimitError, 429, True),
    (json_reply(openai_error("Oops."), 500), openai.InternalServerError, 502, True),
    (json_reply(openai_error("Oops."), 503), openai.InternalServerError, 503, True),
    (json_reply(b"<html>Bad gateway</html>", 502), openai.InternalServerError, 502, True),
    (json_reply(openai_error("Incorrect API key provided: sk-x"), 401), openai.InternalServerError, 502, False),
    (json_reply(openai_error("Not found", code="model_not_found"), 404), openai.NotFoundError, 404, False),
    (json_reply(openai_error("Used up", code="insufficient_quota"), 429), openai.InternalServerError, 502, False),
    (json_reply(openai_error("Wrong.", "invalid_request_error"), 400), openai.BadRequestError, 400, False),
    (json_reply(b"not json"), openai.InternalServerError, 502, True),
    (Reply([Cut()]), openai.InternalServerError, 502, True),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("reply", "kind", "status", "again"), UPSTREAM)
def test_failures_of_the_upstream(world, client, stream, reply, kind, status, again):
    world.play(reply)
    with pytest.raises(kind) as caught:
        ask(client, "fake/model", stream=stream)
    error = caught.value
    assert type(error) is kind
    assert error.status_code == status
    assert client._should_retry(error.response) is again
    assert "sk-" not in error.message
    if status == 502:
        assert error.type == "upstream_error"


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_cannot_be_reached(client, stream):
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "dead/model", stream=stream)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_unreachable")


def test_the_fallback_of_an_alias(client):
    raw = client.chat.completions.with_raw_response.create(model="spare", messages=HELLO)
    assert raw.parse().model == "spare"
    assert raw.headers["x-gateway-model"] == "echo/echo"


@pytest.mark.parametrize("stream", [False, True])
def test_the_gateways_own_time_limit(hurried, stream):
    requests = hurried.play(Reply([Stall()], delay=0.0, media_type="application/json"))
    with hurried.client() as client:
        if stream:
            # The keep-alive began the answer before the time was up: the error comes inside the stream.
            answer = ask(client, "fake/model", stream=True)
            with pytest.raises(openai.APIError) as caught:
                list(answer)
            assert caught.value.code.endswith("timeout")
        else:
            with pytest.raises(openai.InternalServerError) as failed:
                ask(client, "fake/model")
            assert failed.value.status_code == 504
    hurried.run(requests[0].wait_closed(PATIENCE))


def test_a_stream_that_stalls(hurried):
    requests = hurried.play(Reply([*openai_stream("Hello")[:2], Stall()]))
    texts: list[str] = []
    with hurried.client() as client, pytest.raises(openai.APIError) as caught:
        texts.extend(piece.choices[0].delta.content or "" for piece in ask(client, "fake/model", stream=True))
    assert "".join(texts) == "Hello"
    assert caught.value.code.endswith("timeout")
    hurried.run(requests[0].wait_closed(PATIENCE))


def test_nobody_listens():
    with refused_url() as url, openai.OpenAI(base_url=url, api_key="x", max_retries=0) as client:
        with pytest.raises(openai.APIConnectionError):
            ask(client)
