"""Caller connections: aiohttp's protocol plus what it leaves open.

- A deadline for the request head: a connection with half a head does not stay.
- Errors of the HTTP layer itself (malformed heads, too many headers) answered in the API's error shape.
- Flow control of the caller's socket handed to whoever streams to it.
- Callers who close their half after a whole request get their answer.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp.http import HttpVersion10, HttpVersion11

from gateway.errors import CallerFault, Fault, GatewayFault
from gateway.http import web
from gateway.wire.errors.render import error_bytes

SERVER = "tollgate"
"""The `server` header of every answer: which libraries and versions stand behind it is nobody's business."""

HandleRequest = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Report = Callable[[str, Fault], None]
"""Told of each request that was answered before it reached a handler: its id and the fault."""


_AT_ONCE = 64

_PROBES = (0.02, 0.2, 1.0, 5.0)
"""Seconds from one probe of a half-closed connection to the next. The second meets the reset that answers the first."""


class RequestIds:
    """Fresh ids that nobody can guess and that sort by time: ids index the ledger for ever, and what is close in time
    should be close there."""

    __slots__ = ("_random",)

    def __init__(self) -> None:
        self._random = ""

    def new(self) -> str:
        """The next id."""
        # Random bytes for many ids at once: each question to the system lets go of the interpreter, and a loop that is
        # busy waits long to get it back.
        left = self._random or secrets.token_hex(8 * _AT_ONCE)
        self._random = left[16:]
        return f"req_{time.time_ns() // 1_000_000:011x}{left[:16]}"


class _Messages(list[Any]):
    """The requests that wait on a connection. aiohttp's own queue takes 760 bytes, also while there are none."""

    __slots__ = ()

    def popleft(self) -> Any:
        """The first of them, hardly ever one of many."""
        return self.pop(0)


class Connection(web.RequestHandler):
    """One caller connection. head_timeout: seconds from the first byte of a request to the end of its head.
    write_timeout, min_rate: as long as an answer waits for its caller, that many bytes per second must go, and after so
    many seconds of less the connection is broken off."""

    __slots__ = (
        "_asked",
        "_body",
        "_busy",
        "_half_closed",
        "_head_timeout",
        "_head_timer",
        "_ids",
        "_log",
        "_min_rate",
        "_probe_timer",
        "_report",
        "_spoke",
        "_taken",
        "_unsent",
        "_write_timeout",
        "_write_timer",
        "on_flow",
        "on_probe",
    )

    def __init__(
        self,
        server: web.Server,
        *,
        head_timeout: float,
        write_timeout: float = 60.0,
        min_rate: int = 0,
        log: logging.Logger,
        report: Report,
        ids: RequestIds,
        **options: Any,
    ) -> None:
        super().__init__(server, **options)
        self._messages = _Messages()  # type: ignore[assignment]
        self.on_flow: Callable[[bool], None] | None = None
        self.on_probe: Callable[[], None] | None = None
        self._half_closed = False
        # The last request that came and is not answered: its head, and its body.
        self._asked: tuple[Any, aiohttp.StreamReader] | None = None
        self._probe_timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._spoke = False
        self._body: aiohttp.StreamReader | None = None
        self._report = report
        self._ids = ids
        self._head_timeout = head_timeout
        self._head_timer: asyncio.TimerHandle | None = None
        self._log = log
        self._write_timeout = write_timeout
        self._min_rate = min_rate
        self._write_timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._taken: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.head_complete()
        self.on_flow = self.on_probe = None
        self._stop_write_timer()
        if self._probe_timer is not None:
            self._probe_timer.cancel()
            self._probe_timer = None
        self._answer_is_taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        body = self._body
        # aiohttp calls this with nothing to parse on. And bytes may be the rest of a body that nobody waits for any
        # more, of a request that was answered early.
        if data:
            self._spoke = True
            begins = self._head_timer is None and not self._busy and (body is None or body.is_eof())
        else:
            begins = False
        super().data_received(data)
        if self._messages:
            self._asked = self._messages[-1]
        elif begins:
            self._await_head()  # nearly always the head is whole, and needs no timer
        if self._busy and self._messages and body is not None and not body.is_eof() and body.exception() is None:
            # A message can only stand behind an unfinished body when the body's framing broke: aiohttp queues its
            # own answer to that behind ours, and the handler would wait for the rest.
            self._lingering_time = 0.0
            body.set_exception(web.RequestPayloadError("its framing is not valid HTTP"))

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp lets asyncio close, by None
        """The caller sends no more. Whoever has asked in HTTP/1.1 may still be reading, or be gone: both look alike
        until something is written, which only a connection that is gone answers with a reset."""
        if not self._waits_for_answer():
            return False
        self._half_closed = True
        self._probe(0)
        return True

    def _waits_for_answer(self) -> bool:
        message, body = self._asked or (None, None)
        version = getattr(message, "version", HttpVersion10)  # what is no HTTP has none
        return body is not None and body.is_eof() and version >= HttpVersion11

    def _probe(self, count: int) -> None:
        """Write something that means nothing, again and again until the answer is out."""
        self._probe_timer = None
        transport, request = self.transport, self._current_request
        if transport is None or self._asked is None:
            return
        if self.on_probe is not None:
            self.on_probe()
        elif request is None or request.writer.output_size == 0:
            # RFC 9110, section 15.2.1: a client that did not expect it discards it.
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        loop = asyncio.get_running_loop()
        self._probe_timer = loop.call_later(_PROBES[min(count, len(_PROBES) - 1)], self._probe, count + 1)

    @property
    def expecting(self) -> bool:
        """A first request is on its way, or the head of the next one has begun."""
        return self._head_timer is not None

    @property
    def idle(self) -> bool:
        """Nothing is asked, being answered, or on its way."""
        return self._waiter is not None and not self._messages and not self.expecting

    def head_complete(self, body: aiohttp.StreamReader | None = None) -> None:
        """A whole head has arrived; its request is being handled until `request_done`."""
        self._busy = True
        self._body = body
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def request_done(self, taken: Callable[[], None]) -> None:
        """The next bytes on this connection begin a new head. taken: called when the answer has been written out."""
        self._busy = False
        if self.transport is None:
            taken()
        else:
            self._taken = taken

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """aiohttp's last step of a request: it writes a whole answer, and waits while the socket is full."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answer_is_taken()

    def _answer_is_taken(self) -> None:
        if not self._messages:
            self._asked = None
            if self._half_closed:
                self.close()  # nothing more will be asked
        taken, self._taken = self._taken, None
        if taken is not None:
            taken()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()
        if self.on_flow is not None:
            self.on_flow(False)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()
        if self.on_flow is not None:
            self.on_flow(True)

    def _watch_writing(self) -> None:
        transport = self.transport
        if transport is not None:
            self._unsent = transport.get_write_buffer_size()
            self._write_timer = asyncio.get_running_loop().call_later(self._write_timeout, self._look_at_writing)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _look_at_writing(self) -> None:
        """The socket has been full for a while: has the caller taken anything of it?"""
        transport = self.transport
        if transport is None:
            return
        went = self._unsent - transport.get_write_buffer_size()
        if went > self._min_rate * self._write_timeout:
            self._watch_writing()
            return
        self._log.info("a caller does not read its answer: broken off (server.write_timeout)", extra={"took": went})
        transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp answers by itself: broken HTTP from the caller, or a bug that escaped our own handling."""
        self.head_complete()
        if request.writer.output_size > 0:
            # A second head would corrupt the answer; aiohttp breaks the connection off instead.
            raise ConnectionError("the answer has begun")
        if status < 500:
            reason = " ".join((message or str(exc) or "malformed HTTP").split())
            fault: Fault = CallerFault(f"Bad HTTP request: {reason[:300]}", status=status, code="bad_http")
        else:
            self._log.error("unhandled error in the HTTP layer", exc_info=exc)
            fault = GatewayFault("The gateway failed.")
        request_id, body = self._refuse(fault)
        headers = {"x-request-id": request_id, "server": SERVER}
        response = web.Response(status=fault.status, body=body, content_type="application/json", headers=headers)
        response.force_close()
        return response

    def _refuse(self, fault: Fault) -> tuple[str, bytes]:
        """Id and body of an answer to what never became a request."""
        request_id = self._ids.new()
        self._report(request_id, fault)
        return request_id, error_bytes(fault, request_id)

    def _await_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(self._head_timeout, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport is None:
            return
        if self._spoke:
            late = "The request head did not arrive in time (server.request_head_timeout)."
            request_id, body = self._refuse(CallerFault(late, status=408, code="request_timeout"))
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nx-request-id: %b\r\n"
                b"server: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (request_id.encode(), SERVER.encode(), len(body), body)
            )
        # A connection that was opened in advance and never used is closed without a word.
        self.force_close()


class Server(web.Server):
    """aiohttp's low-level server with `Connection` as its protocol. connection: its keyword arguments."""

    def __init__(self, handler: HandleRequest, **connection: Any) -> None:
        # Cancellation is how a handler learns at once that its caller left.
        super().__init__(handler, handler_cancellation=True)
        self._connection = connection

    def close_idle(self) -> None:
        """Close the connections that wait for nothing. Whose request is on its way was accepted a moment ago, and no
        other process can take it. aiohttp's own `close` would leave idle ones open and deaf, and cut off a body that
        is being read."""
        for connection in self.connections:
            if isinstance(connection, Connection) and connection.idle:
                connection.force_close()

    @property
    def expecting(self) -> bool:
        """Whether a request is on its way on any connection."""
        return any(isinstance(connection, Connection) and connection.expecting for connection in self.connections)

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=asyncio.get_running_loop(), **self._connection)
