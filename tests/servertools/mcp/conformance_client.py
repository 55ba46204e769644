"""A client for the conformance suite, made of the gateway's own: it lists the tools of the server whose address is the
last argument, and calls each."""

from __future__ import annotations

import asyncio
import sys

from gateway.config import FetchSettings, McpServerSettings, ToolSettings
from gateway.fetch import Guard
from gateway.servertools.mcp.servers import McpServers
from gateway.servertools.mcp.spec import own_server

ARGUMENTS = {"add_numbers": {"a": 5, "b": 3}}


async def main(url: str) -> None:
    servers = McpServers(Guard(FetchSettings()), ToolSettings())
    spec = own_server("tested", McpServerSettings(url=url), FetchSettings(), 20.0)
    sessions = servers.sessions()
    for tool in await servers.tools(spec):
        name = tool["name"]
        print(name, await sessions.call(spec, name, ARGUMENTS.get(name, {}), print))
    await sessions.close()
    await servers.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1]))
