"""A gateway with a scripted model, a SearXNG-shaped search service and a fake MCP server, all on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import openai
import orjson
import pytest

from gateway.testing import (
    FakeUpstream,
    Received,
    Reply,
    RunningGateway,
    json_reply,
    running_gateway,
    sse,
    upstream_config,
)

from .mcp.conftest import FakeMcp

RESULTS = [
    {"url": "https://moon.example/a", "title": "The moon", "content": "It goes round."},
    {"url": "https://sun.example/b", "title": "The sun", "content": "It shines."},
]


def call(name: str, arguments: Any = None, call_id: str = "call_1", index: int = 0) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
    return {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


@dataclass
class Turn:
    """What the model says in one round: text, reasoning, calls."""

    text: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    reasoning: str = ""
    usage: tuple[int, int] = (10, 5)

    @property
    def reason(self) -> str:
        return "tool_calls" if self.calls else "stop"

    def usage_object(self) -> dict[str, Any]:
        read, written = self.usage
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def stream(self) -> Reply:
        def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

        chunks = [chunk({"role": "assistant", "content": ""})]
        chunks += [chunk({"reasoning_content": piece}) for piece in pieces(self.reasoning)]
        chunks += [chunk({"content": piece}) for piece in pieces(self.text)]
        for made in self.calls:
            function = made["function"]
            chunks.append(chunk({"tool_calls": [{**made, "function": {**function, "arguments": ""}}]}))
            chunks += [
                chunk({"tool_calls": [{"index": made["index"], "function": {"arguments": piece}}]})
                for piece in pieces(function["arguments"])
            ]
        chunks.append(chunk({}, self.reason))
        chunks.append({**chunk({}), "choices": [], "usage": self.usage_object()})
        return Reply([*(sse(one) for one in chunks), b"data: [DONE]\n\n"])

    def whole(self) -> Reply:
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.calls:
            message["tool_calls"] = [{k: v for k, v in made.items() if k != "index"} for made in self.calls]
        choice = {"index": 0, "message": message, "finish_reason": self.reason}
        return json_reply(
            {
                "id": "c1",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
                "usage": self.usage_object(),
            }
        )


def pieces(text: str, size: int = 7) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


class Model:
    """An OpenAI-compatible upstream that says its turns one after the other."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.upstream = upstream
        self.turns: list[Turn | Reply] = []
        self.before: Callable[[int], None] = lambda number: None
        upstream.answer(self._answer)

    def script(self, *turns: Turn | Reply) -> None:
        self.turns = list(turns)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.json for request in self.upstream.requests]

    def _answer(self, request: Received) -> Reply:
        number = len(self.upstream.requests) - 1
        self.before(number)
        turn = self.turns[min(number, len(self.turns) - 1)]
        if isinstance(turn, Reply):
            return turn
        return turn.stream() if request.json.get("stream") else turn.whole()


@dataclass
class Bench:
    gateway: RunningGateway
    model: Model
    search: FakeUpstream
    mcp: FakeMcp
    client: openai.AsyncOpenAI
    stack: AsyncExitStack

    async def client_of(self, key: str) -> openai.AsyncOpenAI:
        """The SDK with another key."""
        client = openai.AsyncOpenAI(base_url=f"{self.gateway.url}/v1", api_key=key, max_retries=0)
        return await self.stack.enter_async_context(client)

    async def spent(self) -> int:
        account = await self.gateway.gateway.stores.accounts.get_account(self.gateway.account.id)
        return 1_000_000_000 - account.balance


@pytest.fixture
def settings() -> dict[str, Any]:
    """Sections laid over the configuration; a test may parametrize them."""
    return {}


@pytest.fixture
async def bench(tmp_path, settings) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        upstream, search, server = [await stack.enter_async_context(FakeUpstream()) for _ in range(3)]
        search.answer(lambda request: json_reply({"results": RESULTS, "unresponsive_engines": []}))
        mcp = FakeMcp(server)
        config = upstream_config(
            f"{upstream.url}/v1",
            **{
                "search": {"price": 0.01, "backends": {"searxng": {"url": search.url}}, **settings.pop("search", {})},
                "mcp_servers": {"fake": {"url": mcp.url, "price": 0.001}, **settings.pop("mcp_servers", {})},
                "tools": {"connect": "5s", **settings.pop("tools", {})},
                **settings,
            },
        )
        gateway = await stack.enter_async_context(running_gateway(tmp_path, config))
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
        await stack.enter_async_context(client)
        yield Bench(gateway, Model(upstream), search, mcp, client, stack)
