"""A streamed answer on the caller's connection: the response head once, then SSE bytes written straight to the
socket from wherever they come, with the caller's backpressure handed on to the upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from aiohttp import HttpVersion11, web

from gateway.errors import Fault
from gateway.http.server.connection import Connection

LAST_BYTES = 5.0
"""Seconds that a caller has at least to take the last bytes of an answer."""

_SSE_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class EventStream(Protocol):
    """Where a handler writes an event stream: to its caller (`SseResponse`), or into a recording."""

    response: web.StreamResponse
    begun: bool

    async def begin(self) -> None:
        """Send the response head, once."""

    def write(self, data: bytes) -> None:
        """Write bytes now."""

    def write_last(self, data: bytes, fault: Fault | None = None) -> None:
        """The closing bytes of the stream, and the fault that it ends with."""

    async def end(self, seconds: float) -> web.StreamResponse:
        """Close the event stream in an orderly way, within so many seconds."""


class SseResponse:
    """Writes one event stream.

    headers: called when the head is sent, so that it carries everything known by then.
    flow: called with False when the caller's socket is full and with True when it has drained.
    """

    def __init__(
        self, request: web.BaseRequest, headers: Callable[[], Mapping[str, str]], flow: Callable[[bool], None]
    ) -> None:
        self.response = web.StreamResponse()
        self.begun = False
        self._request = request
        self._headers = headers
        self._flow = flow
        self._chunked = request.version >= HttpVersion11

    async def begin(self) -> None:
        """Send the response head, once."""
        if self.begun:
            return
        self.begun = True
        self.response.headers.update({**_SSE_HEADERS, **self._headers()})
        if self._chunked:
            self.response.enable_chunked_encoding()
        await self.response.prepare(self._request)
        connection = self._request.protocol
        if isinstance(connection, Connection):
            connection.on_flow = self._flow

    def write(self, data: bytes) -> None:
        """Write bytes now. On a connection that is gone this does nothing: the handler is told by cancellation."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def write_last(self, data: bytes, fault: Fault | None = None) -> None:
        """The closing bytes of the stream, and the fault that it ends with."""
        self.write(data)

    async def end(self, seconds: float) -> web.StreamResponse:
        """Close the event stream in an orderly way; the connection may serve further requests.

        seconds: how long (and `LAST_BYTES` at least) to wait for a caller who does not read what is left; after that
        the connection is broken off, which no client takes for the end of the answer.
        """
        connection = self._request.protocol
        if isinstance(connection, Connection):
            connection.on_flow = None
        transport = self._request.transport
        try:
            async with asyncio.timeout(max(seconds, LAST_BYTES)):
                await self.response.write_eof()
        except TimeoutError:
            if transport is not None:
                transport.abort()
        return self.response
