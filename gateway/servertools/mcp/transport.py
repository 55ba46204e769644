"""The HTTP client under the SDK: addresses pinned by the guard, sizes and reconnects bounded.

Imported late, with the SDK. What the SDK would do without it: resolve names itself, follow a server that closes
normally for ever, and hold an answer of any size.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import httpcore2
import httpx2

from gateway.config import FetchSettings
from gateway.fetch import FetchProblem, Guard
from gateway.fetch.urls import UrlProblem, parse_url

RECONNECTS = 5
"""Times that one session may take up a broken stream. The SDK itself counts only failures, not a server that accepts
and closes."""


class RefusedAddress(httpx2.ConnectError):
    """The guard does not let the client connect there; the text is fit for callers."""


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens sockets to judged addresses only. policy: what is allowed for this server."""

    def __init__(self, guard: Guard, policy: FetchSettings) -> None:
        self._guard = guard
        self._policy = policy
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            url = parse_url(f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/")
            async with asyncio.timeout(self._policy.connect):
                addresses = await self._guard.addresses(url, self._policy)
        except UrlProblem as problem:
            raise RefusedAddress(str(problem)) from None
        except FetchProblem as problem:
            raise RefusedAddress(problem.text) from None
        except TimeoutError:
            raise RefusedAddress("the host's name was not resolved in time") from None
        problem_at_last: Exception = RefusedAddress("the host has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout or self._policy.connect)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                problem_at_last = error
        raise problem_at_last


class McpTransport(httpx2.AsyncBaseTransport):
    """One session's connections. most: bytes of one answer. listens: the protocol needs the client's GET stream (SSE);
    in streamable HTTP it is optional and only brings what nobody here waits for, so it is not opened."""

    def __init__(self, guard: Guard, policy: FetchSettings, tls: ssl.SSLContext, most: int, listens: bool) -> None:
        backend = GuardedBackend(guard, policy)
        self._pool = httpcore2.AsyncConnectionPool(tls, network_backend=backend, max_connections=16)
        self._most = most
        self._listens = listens
        self._reconnects = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and not self._listens:
            if "last-event-id" not in request.headers:
                return httpx2.Response(405, request=request)
            self._reconnects += 1
            if self._reconnects > RECONNECTS:
                raise httpx2.ConnectError("The server closed the stream too often.", request=request)
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        url = request.url
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        reply = await self._pool.handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=target,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        headers = httpx2.Headers(reply.headers)
        if headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            # Nobody asked for it, and what it inflates to has no bound.
            await reply.aclose()
            raise httpx2.ReadError("The server sent compressed content, though none was asked for.", request=request)
        return httpx2.Response(reply.status, headers=headers, stream=_Bounded(reply, self._most), request=request)

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """The content of an answer, at most so many bytes of it."""

    def __init__(self, reply: httpcore2.Response, most: int) -> None:
        self._reply = reply
        self._left = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._reply.aiter_stream():
            self._left -= len(part)
            if self._left < 0:
                raise httpx2.ReadError("The server's answer is too large.")
            yield part

    async def aclose(self) -> None:
        await self._reply.aclose()


def make_client(transport: McpTransport, headers: Mapping[str, str], seconds: float) -> httpx2.AsyncClient:
    """The client that the SDK gets. seconds: between two pieces of an answer, at most."""
    return httpx2.AsyncClient(
        transport=transport,
        headers={**headers, "accept-encoding": "identity"},
        timeout=httpx2.Timeout(seconds),
        trust_env=False,
        max_redirects=3,
    )
