"""Against the reference server of the protocol's makers: `npm install -g @modelcontextprotocol/server-everything`, or
its `dist/index.js` in MCP_SERVER_EVERYTHING."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.config import FetchSettings, McpServerSettings
from gateway.servertools.mcp.spec import ServerSpec, own_server

from .conftest import LOOPBACK, node_program


@pytest.fixture(params=["streamableHttp", "sse", "stdio"])
async def server(request, tmp_path) -> AsyncIterator[ServerSpec]:
    path = node_program("mcp-server-everything", "MCP_SERVER_EVERYTHING")
    if request.param == "stdio":
        yield own_server("every", McpServerSettings(command=("node", path, "stdio")), FetchSettings(), 20.0)
        return
    (tmp_path / "loopback.cjs").write_text(LOOPBACK)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        "node",
        "-r",
        str(tmp_path / "loopback.cjs"),
        path,
        request.param,
        env={"PATH": os.environ["PATH"], "PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        sse = request.param == "sse"
        url = f"http://127.0.0.1:{port}/{'sse' if sse else 'mcp'}"
        settings = McpServerSettings(url=url, transport="sse" if sse else "http")
        yield own_server("every", settings, FetchSettings(), 20.0)
    finally:
        process.kill()
        await process.wait()


async def test_what_it_offers(server, servers):
    tools = {tool["name"]: tool for tool in await servers.tools(server)}
    assert {"echo", "get-sum", "get-tiny-image", "get-structured-content"} <= tools.keys()
    sessions = servers.sessions()
    told: list[str] = []

    async def call(name, arguments):
        return await sessions.call(server, name, arguments, told.append)

    assert (await call("echo", {"message": "hi"})).text == "Echo: hi"
    image = await call("get-tiny-image", {})
    assert image.images[0].media_type == "image/png"
    structured = await call("get-structured-content", {"location": "New York"})
    assert "temperature" in structured.structured
    links = await call("get-resource-links", {"count": 2})
    assert "[resource" in links.text
    assert (await call("get-sum", {"a": "x"})).error
    await call("trigger-long-running-operation", {"duration": 0.2, "steps": 2})
    assert told
    results = await asyncio.gather(*(call("get-sum", {"a": n, "b": 1}) for n in range(5)))
    assert [result.text.split()[-1] for result in results] == [f"{n + 1}." for n in range(5)]
    await sessions.close()
