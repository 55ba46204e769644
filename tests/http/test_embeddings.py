"""POST /embeddings, through the same chain and bill as chat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from gateway.testing import FakeUpstream, json_reply, running_gateway, upstream_config

ANSWER = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}],
    "model": "upstream-model",
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
}


async def test_the_answer_comes_through_and_is_billed(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    fake_upstream.reply(json_reply(ANSWER))
    async with running_gateway(tmp_path, upstream_config(fake_upstream.url)) as gateway:
        body = {"model": "fake/model", "input": ["hello"], "dimensions": 2, "future_parameter": 1}
        status, headers, raw = await gateway.post("/v1/embeddings", body)
        answer = orjson.loads(raw)
        assert status == 200
        assert answer["data"] == ANSWER["data"]
        assert answer["model"] == "fake/model"
        assert headers["x-gateway-cost"] == "8"
        sent = fake_upstream.requests[0]
        assert sent.path.endswith("/embeddings")
        assert sent.json == {**body, "model": "upstream-model"}
        account = await gateway.gateway.stores.accounts.get_account(gateway.account.id)
        assert account is not None
        assert (account.held, gateway.account.balance - account.balance) == (0, 8)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [["x"]]}, "input[0]"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "api_base": "http://x"}, "api_base"),
    ],
)
async def test_bad_requests_name_the_field_and_cost_nothing(
    tmp_path: Path, fake_upstream: FakeUpstream, given: dict[str, Any], param: str
) -> None:
    async with running_gateway(tmp_path, upstream_config(fake_upstream.url)) as gateway:
        status, _, raw = await gateway.post("/v1/embeddings", given)
        assert status == 400
        assert orjson.loads(raw)["error"]["param"] == param
        assert not fake_upstream.requests


async def test_the_sdk_gets_vectors_from_the_echo_model(tmp_path: Path) -> None:
    config = {
        "providers": {"echo": {"plugin": "echo"}},
        "models": {"echo/echo": {"free": True}},
        "default_model": "echo/echo",
    }
    async with running_gateway(tmp_path, config) as gateway:
        client = openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key=gateway.key)
        async with client:
            # The SDK asks for base64 by itself and unpacks it.
            answer = await client.embeddings.create(
                model="echo/echo", input=["a red house", "A red house", "quarks and gluons"]
            )
            near, same, far = (item.embedding for item in answer.data)
        assert len(near) == 64
        assert near == same
        assert sum(a * b for a, b in zip(near, far, strict=True)) < 0.5
