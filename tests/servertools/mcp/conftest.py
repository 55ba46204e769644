"""A fake MCP server (streamable HTTP) on loopback, as good or as bad as a test wants it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.config import FetchSettings, McpServerSettings, ToolSettings
from gateway.fetch import Guard
from gateway.servertools.mcp.servers import McpServers
from gateway.servertools.mcp.spec import ServerSpec, own_server
from gateway.testing import FakeUpstream, Received, Reply, json_reply

TOOLS = [
    {"name": "zeta", "description": "last", "inputSchema": {"type": "object", "properties": {}}},
    {"name": "add", "description": "adds", "inputSchema": {"type": "object", "properties": {"a": {"type": "number"}}}},
]

# The programs' own `listen` names no address; strangers on the network shall not find them.
LOOPBACK = """
const net = require("net");
net.Server.prototype.listen = function (port, ...rest) {
  for (const entry of rest) if (typeof entry === "function") this.once("listening", entry);
  this._listen2("127.0.0.1", Number(port), 4, 511);
  return this;
};
"""


def node_program(name: str, variable: str) -> str:
    """The file of a program for Node that is installed, or that an environment variable names; skips without."""
    found = os.environ.get(variable) or shutil.which(name)
    if not found or not shutil.which("node"):
        pytest.skip(f"{name} is not installed: npm install -g @modelcontextprotocol/{name.removeprefix('mcp-')}")
    return str(Path(found).resolve())


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value}], **more}


class FakeMcp:
    """tools: what it lists. on_call: (name, arguments) -> a result, or a Reply. override: first look at a request;
    what it returns, if anything, is the answer."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.upstream = upstream
        self.tools: list[Any] = list(TOOLS)
        self.on_call: Callable[[str, dict[str, Any]], Any] = lambda name, arguments: text(f"{name} {arguments}")
        self.override: Callable[[Received], Reply | None] = lambda request: None
        self.sessions = 0
        upstream.answer(self._answer)

    @property
    def url(self) -> str:
        return f"{self.upstream.url}/mcp"

    def methods(self) -> list[str]:
        return [
            request.json["method"] if request.method == "POST" else request.method
            for request in self.upstream.requests
            if request.method != "POST" or "method" in request.json
        ]

    def _answer(self, request: Received) -> Reply:
        made = self.override(request)
        if made is not None:
            return made
        if request.method != "POST":
            return Reply(status=200 if request.method == "DELETE" else 405, framing="length")
        asked = request.json
        method, number = asked.get("method"), asked.get("id")
        if number is None:
            return Reply(status=202, framing="length")
        if method == "initialize":
            self.sessions += 1
            result: Any = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
            }
            return self.result(number, result, {"mcp-session-id": f"s{self.sessions}"})
        if method == "tools/list":
            return self.result(number, {"tools": self.tools})
        if method == "tools/call":
            made = self.on_call(asked["params"]["name"], asked["params"].get("arguments") or {})
            return made if isinstance(made, Reply) else self.result(number, made)
        return self.error(number, -32601, "Method not found")

    def result(self, number: Any, result: Any, headers: dict[str, str] | None = None) -> Reply:
        return json_reply({"jsonrpc": "2.0", "id": number, "result": result}, headers=headers or {})

    def error(self, number: Any, code: int, message: str) -> Reply:
        return json_reply({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}})


def event(value: Any, *, id: str = "") -> bytes:
    mark = f"id: {id}\n" if id else ""
    return f"{mark}event: message\ndata: {orjson.dumps(value).decode() if value is not None else ''}\n\n".encode()


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeMcp]:
    async with FakeUpstream() as upstream:
        yield FakeMcp(upstream)


@pytest_asyncio.fixture
async def guard() -> AsyncIterator[Guard]:
    guard = Guard(FetchSettings())
    yield guard
    guard.close()


@pytest_asyncio.fixture
async def servers(guard) -> AsyncIterator[McpServers]:
    servers = McpServers(guard, ToolSettings(connect="5s", max_reply=1 << 20))
    yield servers
    await servers.close()


def own(fake: FakeMcp, timeout: float = 5.0, **settings: Any) -> ServerSpec:
    """The fake as the operator would define it."""
    return own_server("fake", McpServerSettings(url=fake.url, **settings), FetchSettings(), timeout)
