"""HTTP/1.1 to upstreams without a task per exchange: llhttp (by httptools) parses, callbacks push into the sink.

This is the hot path's transport. It speaks what provider APIs need: keep-alive pools per origin, TLS with
verification, chunked, sized and close-delimited bodies, backpressure. It follows no redirects, keeps no cookies,
reads no proxy settings from the environment, and asks for uncompressed answers.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Mapping
from typing import cast

import aiohappyeyeballs
import httptools

from gateway.certificates import Certificates
from gateway.errors import Fault, GatewayFault, UpstreamFault
from gateway.provider import Sink, UpstreamRequest
from gateway.upstream.proxied import cut, unreachable
from gateway.upstream.reading import NOBODY
from gateway.upstream.request_head import Origin, RequestHeads

MAX_HEAD = 64 * 1024
"""Bytes of a response head."""
IDLE_SECONDS = 30.0
"""How long an unused connection is kept; shorter than the servers' own limits, so that few are found dead."""
DNS_SECONDS = 60.0
TOLD_EVERY = 60.0
"""Seconds between two warnings that requests to one host wait for a connection."""

_NOWHERE: Origin = (False, "", 0)


class PooledTransport:
    """Implements `gateway.provider.Transport`. connect: seconds for DNS, TCP and TLS together."""

    def __init__(
        self, *, connect: float, connections_per_host: int, log: logging.Logger, tls: ssl.SSLContext | None = None
    ) -> None:
        self.log = log
        self._connect = connect
        self._most = connections_per_host
        self._certificates = Certificates(tls)
        self._idle: dict[Origin, deque[_Connection]] = {}
        self._open: dict[Origin, set[_Connection | _Exchange]] = {}
        self._waiting: dict[Origin, deque[_Exchange]] = {}
        self._told_full: dict[Origin, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._heads = RequestHeads()
        self._names: dict[Origin, tuple[float, list[aiohappyeyeballs.AddrInfoType]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def send(self, request: UpstreamRequest, sink: Sink) -> _Exchange:
        """Begin an exchange. Faults reach the sink, not the caller of this method."""
        try:
            origin, head = self._heads.make(request)
        except GatewayFault as fault:
            exchange = _Exchange(self, _NOWHERE, b"", sink)
            asyncio.get_running_loop().call_soon(exchange.fail, fault)
            return exchange
        exchange = _Exchange(self, origin, head + request.body, sink)
        exchange.connect = request.connect
        self.start(exchange)
        return exchange

    async def close(self) -> None:
        """Abort every exchange and close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for queue in self._waiting.values():
            for exchange in queue:
                exchange.fail(cut("the gateway closed the connection"))
        for connections in list(self._open.values()):
            for connection in list(connections):
                if isinstance(connection, _Connection):
                    connection.abort("the gateway closed the connection")

    # Connections

    def start(self, exchange: _Exchange) -> None:
        """Give `exchange` an idle connection, or a new one, or a place in the queue."""
        origin = exchange.origin
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable:
                connection.run(exchange, reused=True)
                return
        places = self._open.setdefault(origin, set())
        if len(places) >= self._most:
            self._waiting.setdefault(origin, deque()).append(exchange)
            self._report_full(origin)
            return
        places.add(exchange)
        task = asyncio.get_running_loop().create_task(self._dial(exchange))
        exchange.dialling = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection, because there are as many as may be."""
        return sum(not exchange.over for queue in self._waiting.values() for exchange in queue)

    def _report_full(self, origin: Origin) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._told_full.get(origin, now):
            self._told_full[origin] = now + TOLD_EVERY
            self.log.warning(
                "requests to %s:%d wait: all %d connections are in use (upstream.connections_per_host)",
                origin[1],
                origin[2],
                self._most,
            )

    def keep(self, connection: _Connection) -> None:
        """A connection finished its exchange in good order: serve the next who waits, or stay idle."""
        waiting = self._waiting.get(connection.origin)
        while waiting:
            exchange = waiting.popleft()
            if not exchange.over:
                connection.run(exchange, reused=True)
                return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.setdefault(connection.origin, deque()).append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)

    def forget(self, origin: Origin, place: _Connection | _Exchange) -> None:
        """A place in the pool is free again; whoever waits gets it."""
        self._open.get(origin, set()).discard(place)
        waiting = self._waiting.get(origin)
        while waiting:
            exchange = waiting.popleft()
            if not exchange.over:
                self.start(exchange)
                return

    async def _dial(self, exchange: _Exchange) -> None:
        origin = exchange.origin
        connection: _Connection | None = None
        fault: Fault | None = None
        try:
            async with asyncio.timeout(self._connect if exchange.connect is None else exchange.connect):
                connection = await self._connect_to(origin)
        except TimeoutError:
            fault = UpstreamFault(
                "Connecting to the provider took too long (upstream.connect).",
                status=504,
                retryable=True,
                code="upstream_connect_timeout",
                detail=f"{origin[1]}:{origin[2]}",
            )
        except OSError as error:
            self._names.pop(origin, None)
            fault = unreachable(error, f"{origin[1]}:{origin[2]}: {error}")
        except asyncio.CancelledError:
            self.forget(origin, exchange)
            exchange.fail(cut("the gateway closed the connection"))
            raise
        except Exception as error:  # a bug of ours must reach the sink, or the caller would wait for ever
            self.log.exception("connecting to an upstream failed")
            fault = GatewayFault("The gateway failed while connecting to the provider.", detail=repr(error))
        if connection is None:
            self.forget(origin, exchange)
            exchange.fail(fault or cut("no connection"))
            return
        places = self._open[origin]
        places.discard(exchange)
        places.add(connection)
        exchange.dialling = None
        if exchange.over:
            self.keep(connection)
        else:
            connection.run(exchange, reused=False)

    async def _connect_to(self, origin: Origin) -> _Connection:
        secure, host, _ = origin
        tls = await self._certificates.context() if secure else None
        loop = asyncio.get_running_loop()
        socket = await aiohappyeyeballs.start_connection(
            await self._resolve(origin), happy_eyeballs_delay=0.25, interleave=1, loop=loop
        )
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self, origin),
                sock=socket,
                ssl=tls,
                server_hostname=host if secure else None,
            )
        except BaseException:  # cancellation too; raised again once things are put right
            socket.close()
            raise
        return connection

    async def _resolve(self, origin: Origin) -> list[aiohappyeyeballs.AddrInfoType]:
        loop = asyncio.get_running_loop()
        known = self._names.get(origin)
        if known is not None and known[0] > loop.time():
            return known[1]
        found = await loop.getaddrinfo(origin[1], origin[2], type=1)
        self._names[origin] = (loop.time() + DNS_SECONDS, list(found))
        return list(found)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        for idle in self._idle.values():
            while idle and (idle[0].idle_since <= oldest or not idle[0].usable):
                idle.popleft().abort("idle")
        self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep) if any(self._idle.values()) else None


class _Exchange:
    """One request and its answer; implements `gateway.provider.Exchange`."""

    __slots__ = ("connect", "connection", "dialling", "origin", "over", "paused", "payload", "pool", "sink")

    def __init__(self, pool: PooledTransport, origin: Origin, payload: bytes, sink: Sink) -> None:
        self.pool = pool
        self.origin = origin
        self.payload = payload
        self.connect: float | None = None
        self.connection: _Connection | None = None
        self.dialling: asyncio.Task[None] | None = None
        self.over = False
        self.paused = False
        self.sink: Sink = sink

    def pause(self) -> None:
        self.paused = True
        if self.connection is not None:
            self.connection.read(False)

    def resume(self) -> None:
        self.paused = False
        if self.connection is not None:
            self.connection.read(True)

    def cancel(self) -> None:
        if self.over:
            return
        self.over = True
        self.sink = NOBODY
        if self.connection is not None:
            self.connection.abort("cancelled")
        elif self.dialling is not None:
            self.dialling.cancel()

    # Called by the connection.

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.payload = b""  # it need not be sent again
        if not self.over:
            self.sink.head(status, headers)

    def end(self) -> None:
        self._finish(None)

    def fail(self, fault: Fault) -> None:
        self._finish(fault)

    def _finish(self, fault: Fault | None) -> None:
        self.connection = None
        if not self.over:
            self.over = True
            # Sink and exchange know each other: without this, each answer would stay until cycles are collected.
            sink, self.sink = self.sink, NOBODY
            sink.end(fault)


class _Connection(asyncio.Protocol):
    """One upstream connection; serves one exchange at a time."""

    __slots__ = (
        "_body",
        "_close_delimited",
        "_closing",
        "_complete",
        "_exchange",
        "_head_size",
        "_headers",
        "_keep_alive",
        "_parser",
        "_pool",
        "_reused",
        "_status",
        "_transport",
        "idle_since",
        "origin",
    )

    def __init__(self, pool: PooledTransport, origin: Origin) -> None:
        self.origin = origin
        self.idle_since = 0.0
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None
        self._reused = False
        self._closing = ""
        self._parser: httptools.HttpResponseParser | None = None
        self._keep_alive = False

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing() and not self._closing

    def run(self, exchange: _Exchange, *, reused: bool) -> None:
        """Send the exchange's request and receive its answer."""
        transport = self._transport
        self._exchange = exchange
        self._reused = reused
        if self._parser is None or not self._keep_alive:
            # One that has read a whole answer reads the next as well.
            self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._head_size = 0
        self._status = 0
        self._body: list[bytes] = []
        self._complete = False
        self._close_delimited = False
        self._keep_alive = False
        exchange.connection = self
        if transport is None or transport.is_closing():
            self._give_up(cut("the connection closed as it was made"))
            return
        if exchange.paused:
            self.read(False)
        transport.write(exchange.payload)

    def read(self, on: bool) -> None:
        if self._transport is not None and not self._transport.is_closing():
            if on:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def abort(self, why: str) -> None:
        """Close at once."""
        self._closing = self._closing or why
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # A server that speaks without being asked (408 before it closes, usually) is not to be used again.
            self.abort("unexpected data")
            return
        if not self._status:
            self._head_size += len(data)
        try:
            assert self._parser is not None
            self._parser.feed_data(data)
            if not self._status and self._head_size > MAX_HEAD:
                raise httptools.HttpParserError("the response head is too large")
            if self._body:
                body = b"".join(self._body)
                self._body.clear()
                if not exchange.over:
                    exchange.sink.data(body)
        except (httptools.HttpParserUpgrade, httptools.HttpParserError) as error:
            if isinstance(error, httptools.HttpParserCallbackError):
                self._sink_failed(error)
            else:
                self._give_up(_broken_http(error))
            return
        except Exception as error:  # a bug in a sink: it must learn of it, or the caller would wait for ever
            self._sink_failed(error)
            return
        if self._complete:
            self._message_ended(exchange)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parser = None  # it holds the connection
        exchange, self._exchange = self._exchange, None
        if exchange is not None and not exchange.over:
            if self._reused and not self._head_size and not self._closing:
                # The server closed an idle connection just as it was used again: it never saw this request.
                exchange.connection = None
                self._pool.forget(self.origin, self)
                self._pool.start(exchange)
                return
            if self._status and self._close_delimited and exc is None and not self._closing:
                exchange.end()
            else:
                exchange.fail(cut(self._closing or str(exc or "connection closed")))
        self._pool.forget(self.origin, self)

    # httptools

    def on_message_begin(self) -> None:
        if self._complete:
            self._closing = "more than one answer"

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < 200 or self._complete:
            self._headers = {}
            return
        self._status = status
        headers, self._headers = self._headers, {}
        self._close_delimited = "content-length" not in headers and "transfer-encoding" not in headers
        if self._exchange is not None:
            self._exchange.head(status, headers)

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status:
            self._complete = True
            # llhttp knows the answer only here: afterwards its state is that of the next message.
            assert self._parser is not None
            self._keep_alive = self._parser.should_keep_alive()

    def _message_ended(self, exchange: _Exchange) -> None:
        self._exchange = None
        keep = self._keep_alive and not exchange.paused and self.usable
        exchange.end()
        if keep and self.usable:
            self._pool.keep(self)
        else:
            self.abort("done")

    def _sink_failed(self, error: Exception) -> None:
        self._pool.log.error("handling an upstream's answer failed", exc_info=error)
        self._give_up(GatewayFault("The gateway failed while reading the provider's answer.", detail=repr(error)))

    def _give_up(self, fault: Fault) -> None:
        exchange, self._exchange = self._exchange, None
        self.abort(fault.code or "failed")
        if exchange is not None:
            exchange.fail(fault)


def _broken_http(error: Exception) -> UpstreamFault:
    return UpstreamFault(
        "The provider's answer is not valid HTTP.",
        retryable=True,
        code="upstream_invalid_response",
        detail=f"{type(error).__name__}: {error}",
    )
