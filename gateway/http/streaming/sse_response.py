"""A streamed answer on the caller's connection: the response head once, then bytes written straight to the
socket from wherever they come, with the caller's backpressure handed on to the source."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from aiohttp.http import HttpVersion11

from gateway.dialect import EVENT_STREAM, KEEP_ALIVE
from gateway.errors import Fault
from gateway.http import web
from gateway.http.server.connection import Connection
from gateway.http.server.request_context import SSE_TYPE
from gateway.logs import BodyCopy
from gateway.runner.sink import Flow

LAST_BYTES = 5.0
"""Seconds that a caller has at least to take the last bytes of an answer."""

_UNBUFFERED = {"cache-control": "no-cache", "x-accel-buffering": "no"}


def stream_header(media_type: str) -> str:
    """The `content-type` of a stream of this media type."""
    return SSE_TYPE if media_type == EVENT_STREAM else media_type


class SseResponse:
    """Writes one stream, nearly always of events; implements `gateway.runner.sink.EventStream`.

    begun: the head was sent.
    quiet: seconds of silence after which a sign of life is due, 0 for never.

    headers: called when the head is sent, so that it carries everything known by then. sign_of_life: the bytes of
    `keep_alive`, in the caller's dialect. media_type: of the stream; only events have signs of life, and errors.
    """

    __slots__ = (
        "_chunked",
        "_copy",
        "_headers",
        "_media_type",
        "_request",
        "_response",
        "_sign_of_life",
        "_transport",
        "begun",
        "quiet",
    )

    def __init__(
        self,
        request: web.BaseRequest,
        headers: Callable[[], Mapping[str, str]],
        *,
        quiet: float = 0.0,
        sign_of_life: bytes = KEEP_ALIVE,
        copy: BodyCopy | None = None,
        media_type: str = EVENT_STREAM,
    ) -> None:
        # Made by `begin`: most answers are whole, and never need one.
        self._response: web.StreamResponse | None = None
        self.begun = False
        self.quiet = quiet if media_type == EVENT_STREAM else 0.0
        self._media_type = media_type
        self._request = request
        self._transport = request.transport
        self._headers = headers
        self._sign_of_life = sign_of_life
        self._copy = copy
        self._chunked = request.version >= HttpVersion11

    @property
    def response(self) -> web.StreamResponse:
        """What the handler returns, once it has begun."""
        assert self._response is not None
        return self._response

    async def begin(self, flow: Flow) -> None:
        """Send the response head, once. flow: called as the caller's socket fills and drains."""
        if self.begun:
            return
        self.begun = True
        head = {"content-type": stream_header(self._media_type), **_UNBUFFERED, **self._headers()}
        self._response = web.StreamResponse(headers=head)
        if self._chunked:
            self._response.enable_chunked_encoding()
        with contextlib.suppress(ConnectionError):  # the handler is told by cancellation that its caller is gone
            await self._response.prepare(self._request)
        self._response.headers.clear()  # they are sent: a kilobyte less for as long as the stream is open
        connection = self._request.protocol
        if isinstance(connection, Connection):
            connection.on_flow, connection.on_probe = flow, self.keep_alive
            connection.keep_alive(True)  # it is; its timer is set anew when the answer is out

    def write(self, data: bytes) -> None:
        """Write bytes now. On a connection that is gone this does nothing: the handler is told by cancellation."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._copy is not None:
            self._copy.write(data)
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def keep_alive(self) -> None:
        """Write a sign of life."""
        self.write(self._sign_of_life)

    async def end(self, last: bytes, fault: Fault | None, seconds: float) -> None:
        """Close the event stream in an orderly way; the connection may serve further requests.

        seconds: how long (and `LAST_BYTES` at least) to wait for a caller who does not read what is left; after that
        the connection is broken off, which no client takes for the end of the answer.
        """
        if last:
            self.write(last)
        connection = self._request.protocol
        if isinstance(connection, Connection):
            connection.on_flow = connection.on_probe = None
        transport = self._request.transport
        if fault is not None and self._media_type != EVENT_STREAM and transport is not None:
            transport.abort()  # nothing else tells that what came is not the whole
            return
        try:
            async with asyncio.timeout(max(seconds, LAST_BYTES)):
                with contextlib.suppress(ConnectionError):
                    await self.response.write_eof()
        except TimeoutError:
            if transport is not None:
                transport.abort()
