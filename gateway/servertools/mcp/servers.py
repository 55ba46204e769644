"""All MCP servers as the gateway uses them: lists of tools, kept for a while, and sessions per request.

A request opens a session with each server it calls, when it first calls it, and closes it at its end: what one
caller's session holds is nobody else's. Programs that the operator defined run as long as the gateway, because
starting one can take seconds; they are started again when they end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.config import ToolSettings
from gateway.fetch import Guard
from gateway.servertools.mcp.spec import McpFault, ServerSpec, SessionLost
from gateway.tools import ToolResult

if TYPE_CHECKING:
    from gateway.servertools.mcp.session import McpSession

Json = dict[str, Any]

_MOST_LISTS = 1024
"""Lists of tools that are kept."""


class McpServers:
    """What lives as long as the configuration. guard: for all connections. settings: the `tools` section."""

    def __init__(self, guard: Guard, settings: ToolSettings) -> None:
        self._guard = guard
        self._settings = settings
        self._lists: OrderedDict[str, tuple[float, list[Json]]] = OrderedDict()
        self._programs: dict[str, McpSession] = {}
        self._starting: dict[str, asyncio.Lock] = {}

    def sessions(self) -> McpSessions:
        """The sessions of one request."""
        return McpSessions(self)

    async def tools(self, spec: ServerSpec) -> list[Json]:
        """The server's tools; see `read_tools`. Asked for again after `tools.list_for`. Raises McpFault."""
        now = asyncio.get_running_loop().time()
        key = spec.key
        kept = self._lists.get(key)
        if kept is not None and kept[0] > now:
            self._lists.move_to_end(key)
            return kept[1]
        sessions = self.sessions()
        try:
            session = await sessions.of(spec)
            tools = await session.list_tools(self._settings.connect)
        finally:
            await sessions.close()
        self._lists[key] = (now + self._settings.list_for, tools)
        while len(self._lists) > _MOST_LISTS:
            self._lists.popitem(last=False)
        return tools

    def listed(self, spec: ServerSpec, name: str) -> Json | None:
        """What the server's list, as far as it is kept, says of a tool."""
        kept = self._lists.get(spec.key)
        return next((tool for tool in kept[1] if tool["name"] == name), None) if kept is not None else None

    async def open(self, spec: ServerSpec) -> McpSession:
        """A fresh session. Raises McpFault."""
        # Here and not above: the SDK is large, and most gateways start without needing it.
        make = await asyncio.to_thread(_import_session)
        session = make(spec, self._guard, most=self._settings.max_reply, connect=self._settings.connect)
        await session.open()
        return session

    async def program(self, spec: ServerSpec) -> McpSession:
        """The running session of a server that is a program; started when it does not run. Raises McpFault."""
        async with self._starting.setdefault(spec.key, asyncio.Lock()):
            running = self._programs.get(spec.key)
            if running is not None and running.alive:
                return running
            self._programs[spec.key] = session = await self.open(spec)
            return session

    async def close(self) -> None:
        """Stop all programs."""
        programs, self._programs = list(self._programs.values()), {}
        await asyncio.gather(*(session.close() for session in programs))


class McpSessions:
    """One request's sessions, by server. `close` at the end of the request."""

    def __init__(self, servers: McpServers) -> None:
        self._servers = servers
        self._open: dict[str, McpSession] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def of(self, spec: ServerSpec) -> McpSession:
        """The session with this server, opened when there is none. Raises McpFault."""
        if spec.command:
            return await self._servers.program(spec)
        async with self._locks.setdefault(spec.key, asyncio.Lock()):
            session = self._open.get(spec.key)
            if session is None or not session.alive:
                self._open[spec.key] = session = await self._servers.open(spec)
            return session

    async def call(self, spec: ServerSpec, name: str, arguments: Json, progress: Callable[[str], None]) -> ToolResult:
        """Call a tool within the server's time limit. A server that forgot the session, and so did nothing, is asked
        once more in a new one. Raises McpFault."""
        try:
            async with asyncio.timeout(spec.timeout):
                session = await self.of(spec)
                listed = self._servers.listed(spec, name)
                try:
                    return await session.call(name, arguments, spec.timeout, progress, listed)
                except SessionLost:
                    await self._forget(spec, session)
                    session = await self.of(spec)
                    return await session.call(name, arguments, spec.timeout, progress, listed)
        except TimeoutError:
            raise McpFault(f"did not answer within {spec.timeout:g} seconds") from None

    async def close(self) -> None:
        """End all of them."""
        sessions, self._open = list(self._open.values()), {}
        await asyncio.gather(*(session.close() for session in sessions))

    async def _forget(self, spec: ServerSpec, session: McpSession) -> None:
        if self._open.get(spec.key) is session:
            del self._open[spec.key]
        await session.close()


def _import_session() -> type[McpSession]:
    # What checks results against their schemas reads files when it is first used: here, in a thread.
    from jsonschema import Draft202012Validator

    from gateway.servertools.mcp.session import McpSession

    Draft202012Validator.check_schema({"type": "object"})
    return McpSession
