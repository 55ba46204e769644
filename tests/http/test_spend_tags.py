"""Spending told apart by end users and labels, at every door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from gateway.testing import RunningGateway, running_gateway

ECHO: dict[str, Any] = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"price": {"input": 1, "output": 2}}},
    "default_model": "echo/echo",
    "usage": {"tag_metadata": ["team"]},
}
HELLO = [{"role": "user", "content": "Hello!"}]
TEXT = {"role": "user", "parts": [{"text": "Hello!"}]}


async def read(gateway: RunningGateway, path: str, status: int = 200) -> Any:
    found, _, raw = await gateway.get(path)
    assert found == status, raw
    return orjson.loads(raw)


@pytest.mark.parametrize(
    ("path", "body", "team"),
    [
        ("/v1/chat/completions", {"messages": HELLO, "user": "ada", "metadata": {"team": "blue"}}, "blue"),
        ("/v1/chat/completions", {"messages": HELLO, "safety_identifier": "ada", "stream": True}, None),
        ("/v1/responses", {"input": "Hello!", "user": "ada", "metadata": {"team": "blue"}}, "blue"),
        ("/v1/embeddings", {"input": "Hello!", "user": "ada"}, None),
        ("/v1/messages", {"messages": HELLO, "max_tokens": 9, "metadata": {"user_id": "ada"}}, None),
        ("/v1beta/models/echo%2Fecho:generateContent", {"contents": [TEXT], "labels": {"team": "blue"}}, "blue"),
    ],
)
async def test_what_a_call_cost_stands_under_its_tags(
    tmp_path: Path, path: str, body: dict[str, Any], team: str | None
) -> None:
    async with running_gateway(tmp_path, ECHO) as gateway:
        given = body if path.startswith("/v1beta") else {"model": "echo/echo", **body}
        status, _, raw = await gateway.post(path, given)
        assert status == 200, raw
        [row] = (await read(gateway, "/account/requests"))["data"]
        assert row["credits"] > 0
        user = None if path.startswith("/v1beta") else "ada"
        assert row["tags"] == {name: value for name, value in (("user", user), ("team", team)) if value}
        for name, value in (("user", user), ("team", team)):
            found = await read(gateway, f"/v1/usage?group_by={name}")
            tokens = row["prompt_tokens"] + row["completion_tokens"]
            sums = {"value": value, "credits": row["credits"], "requests": 1, "tokens": tokens}
            assert (found["group_by"], found["groups"]) == (name, [sums])


async def test_the_sdk_tells_two_users_apart(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, ECHO) as gateway:
        async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key=gateway.key) as client:
            for user in ("ada", "eve", "ada"):
                await client.chat.completions.create(model="echo/echo", messages=HELLO, user=user)  # type: ignore[arg-type]
            await client.chat.completions.create(model="echo/echo", messages=HELLO)  # type: ignore[arg-type]
        found = await read(gateway, "/v1/usage?group_by=user")
        assert [(one["value"], one["requests"]) for one in found["groups"]] == [("ada", 2), ("eve", 1), (None, 1)]
        assert sum(one["credits"] for one in found["groups"]) == found["totals"]["credits"]
        assert sum(one["tokens"] for one in found["groups"]) == found["totals"]["tokens"]
        ours = await read(gateway, "/account/requests?user=ada")
        assert [one["tags"] for one in ours["data"]] == [{"user": "ada"}] * 2
        assert await read(gateway, "/account/requests?tag=user:eve&limit=9") == await read(
            gateway, "/account/requests?user=eve"
        )
        _, _, table = await gateway.get("/account/usage.csv?group_by=user")
        assert table.decode().splitlines()[0] == "user,credits,requests,tokens"
        assert table.decode().splitlines()[1].startswith("ada,")
        _, _, table = await gateway.get("/account/requests.csv?user=eve")
        head, row = table.decode().splitlines()
        assert (head.split(",")[-2:], row.split(",")[-2:]) == (["user", "tags"], ["eve", ""])


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/usage?group_by=", "group_by"),
        ("/v1/usage?group_by=" + "x" * 65, "group_by"),
        ("/account/requests?tag=ada", "tag"),
        ("/account/requests?tag=user:ada&user=eve", "tag"),
    ],
)
async def test_wrong_queries_name_the_parameter(tmp_path: Path, path: str, param: str) -> None:
    async with running_gateway(tmp_path, ECHO) as gateway:
        assert (await read(gateway, path, 400))["error"]["param"] == param


async def test_users_are_not_written_down_where_that_is_off(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, {**ECHO, "usage": {"tag_user": False}}) as gateway:
        await gateway.post("/v1/chat/completions", {"messages": HELLO, "user": "ada", "metadata": {"team": "blue"}})
        [row] = (await read(gateway, "/account/requests"))["data"]
        assert row["tags"] == {}
