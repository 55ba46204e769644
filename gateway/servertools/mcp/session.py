"""One connection to one MCP server. Imported late: this module and `transport` import the SDK.

The SDK's client lives in a task of its own, because what it opens must be closed by the task that opened it. Callers
wait for their answer and for the end of that task, whichever comes first: HTTP errors that the SDK loses on the way
end the session, and with it every call that waits.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2
from jsonschema import SchemaError, ValidationError, validate
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CONNECTION_CLOSED,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    PaginatedRequestParams,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from referencing.exceptions import Unresolvable

from gateway.fetch import Guard
from gateway.servertools.mcp.results import read_result, read_tools
from gateway.servertools.mcp.spec import McpFault, ServerSpec, SessionLost
from gateway.servertools.mcp.transport import McpTransport, RefusedAddress, make_client
from gateway.tools import ToolResult

_T = TypeVar("_T")
_PAGES = 50
"""Pages of a tool list that are read."""
_TERMINATED = "Session terminated"
"""The SDK's words for a 404 to a session id: the server has forgotten it, and nothing was done."""


def silence_sdk() -> None:
    """The SDK logs what it receives, which is not the gateway's to write down; what matters comes as errors."""
    for name in ("mcp", "client", "httpx2", "httpcore2"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


class McpSession:
    """guard: judges addresses. most: bytes of one answer. connect: seconds for the handshake. `open` first."""

    def __init__(self, spec: ServerSpec, guard: Guard, *, most: int, connect: float) -> None:
        self.spec = spec
        self._guard = guard
        self._most = most
        self._connect = connect
        self._client: Client | None = None
        self._ready = asyncio.Event()
        self._close = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
        return not self._close.is_set() and self._task is not None and not self._task.done()

    async def open(self) -> None:
        """Connect and shake hands. Raises McpFault."""
        silence_sdk()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"mcp {self.spec.label}")
        try:
            await self._within(self._ready.wait(), self._connect, "did not answer the handshake")
        except BaseException:  # cancellation too; raised again once things are put right
            await self.close()
            raise

    async def close(self) -> None:
        """End the session; the server is told where it can be. Waits a moment for that, not longer."""
        self._close.set()
        task = self._task
        if task is None or task.done():
            return
        _, pending = await asyncio.wait([task], timeout=2.0)
        if pending:
            task.cancel()
            await asyncio.wait([task], timeout=2.0)

    async def list_tools(self, seconds: float) -> list[dict[str, Any]]:
        """All tools; see `read_tools`. Raises McpFault."""
        client = self._client
        assert client is not None

        async def read() -> list[dict[str, Any]]:
            found: list[Any] = []
            cursor: str | None = None
            for _ in range(_PAGES):
                params = PaginatedRequestParams(cursor=cursor) if cursor else None
                page = await client.session.list_tools(params=params)
                found += [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in page.tools]
                cursor = page.next_cursor
                if not cursor:
                    return read_tools(found)
            raise McpFault(f"lists its tools on more than {_PAGES} pages")

        return await self._within(read(), seconds, "did not list its tools")

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        seconds: float,
        told: Callable[[str], None],
        listed: dict[str, Any] | None = None,
    ) -> ToolResult:
        """Call a tool. listed: what the server's list says of it. Raises McpFault, SessionLost when the server had
        forgotten the session and did nothing."""
        client = self._client
        assert client is not None

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            told(message or (f"{progress:g} of {total:g}" if total else f"{progress:g}"))

        async def ask() -> ToolResult:
            if listed is None or client.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
                found = await client.call_tool(name, arguments, progress_callback=tell)
                return read_result(found.model_dump(by_alias=True, mode="json", exclude_none=True))
            # The SDK would ask for the list once more in each session, to know the schema of the result.
            request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments))
            made = await client.session.send_request(request, CallToolResult, progress_callback=tell)
            result = read_result(made.model_dump(by_alias=True, mode="json", exclude_none=True))
            schema = listed.get("output_schema")
            if schema is not None and not result.error:
                _check(name, made.structured_content, schema)
            return result

        return await self._within(ask(), seconds, "did not answer")

    # -- the task ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        async with self._opened() as client:
            self._client = client
            self._ready.set()
            await self._close.wait()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Client]:
        spec = self.spec
        who = Implementation(name="tollgate", version="1")
        if spec.command:
            stdio = StdioServerParameters(command=spec.command[0], args=list(spec.command[1:]), env=dict(spec.env))
            with await asyncio.to_thread(open, os.devnull, "w") as nowhere:
                async with Client(stdio_client(stdio, errlog=nowhere), client_info=who, cache=None) as client:
                    yield client
            return
        listens = spec.transport == "sse"
        tls = await self._guard.certificates.context()
        transport = McpTransport(self._guard, spec.policy, tls, self._most, listens)
        seconds = max(spec.timeout, self._connect)
        http = make_client(transport, spec.headers, seconds)
        if listens:
            wire = sse_client(spec.url, httpx_client_factory=lambda headers=None, timeout=None, auth=None: http)
            # The older protocol; a probe for the newer one would only cost time.
            async with Client(wire, client_info=who, cache=None, mode="legacy") as client:
                yield client
            return
        async with http:
            wire = streamable_http_client(spec.url, http_client=http, max_sse_event_size=self._most)
            async with Client(wire, client_info=who, cache=None) as client:
                yield client

    async def _within(self, work: Coroutine[Any, Any, _T], seconds: float, what: str) -> _T:
        """Await `work` for so long, and as long as the session lives. Raises McpFault."""
        assert self._task is not None
        doing = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait({doing, self._task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            if self._task.done():
                raise _lost(self._task)
            raise McpFault(f"{what} within {seconds:g} seconds")
        except MCPError as error:
            if error.message == _TERMINATED:
                raise SessionLost("forgot the session") from None
            if error.code == CONNECTION_CLOSED:
                self._close.set()  # a program that ended, or a stream that will not come back
            raise McpFault(f"answered with an error: {_short(error.message)}") from None
        except (McpFault, asyncio.CancelledError):
            raise
        except Exception as error:  # the SDK raises what it likes: pydantic, anyio, RuntimeError for a broken schema
            raise McpFault(_reason(error)) from None
        finally:
            if not doing.done():
                doing.cancel()
                await asyncio.wait({doing}, timeout=1.0)


def _check(name: str, structured: Any, schema: dict[str, Any]) -> None:
    if structured is None:
        raise McpFault(f"gave no structured content for the tool {name!r}, though it promises some")
    try:
        validate(structured, schema)
    except ValidationError as error:
        raise McpFault(
            f"gave a result of the tool {name!r} that breaks its own schema: {_short(error.message)}"
        ) from None
    except (SchemaError, Unresolvable):
        raise McpFault(f"has a schema for the result of the tool {name!r} that makes no sense") from None


def _lost(task: asyncio.Task[None]) -> McpFault:
    if task.cancelled():
        return McpFault("was closed")
    error = task.exception()
    return McpFault("closed the connection") if error is None else McpFault(_reason(error))


def _reason(error: BaseException) -> str:
    """What is wrong, in words that a caller may read: no addresses, no headers."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, RefusedAddress):
        return f"was not reached: {error}"
    if isinstance(error, httpx2.HTTPStatusError):
        return f"answered with status {error.response.status_code}"
    if isinstance(error, MCPError):
        return f"answered with an error: {_short(error.message)}"
    if isinstance(error, McpFault):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "cannot be started: the program is not there"
    if isinstance(error, RuntimeError) and "tool" in str(error):
        return _short(str(error).splitlines()[0])
    return f"broke off ({type(error).__name__})"


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "..."
