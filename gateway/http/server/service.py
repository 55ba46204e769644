"""The life of a serving process: start up, serve, drain, shut down."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gateway.claim import announce, withdraw
from gateway.errors import ConfigFault, GatewayFault
from gateway.http.routes import Part
from gateway.http.server.app import HttpApp
from gateway.http.server.connection import Server
from gateway.reloading import report, write_outcome
from gateway.runtime import Gateway

BACKLOG = 2048
# How long a worker that ends waits for requests on connections that it has accepted already.
_FIRST_WORDS = 1.0
# How often it looks.
_LOOK = 0.02
# After the drain time, how long handlers get to write their error events and bills.
_LAST_WORDS = 3.0
# How long connections get to end when the process does.
_CLOSING = 1.0


def shutting_down() -> GatewayFault:
    """What a call ends with that outlasts the drain time."""
    return GatewayFault(
        "The gateway is shutting down and cannot finish this answer; try again.",
        status=503,
        type="overloaded",
        code="draining",
        retry_after=1.0,
    )


class Service:
    """Serves one gateway on one address. host, port: override the configuration's; port 0 picks a free one.
    listening: a socket to serve on instead, shared with other workers whose supervisor keeps the pid file.
    parts: add routes besides the API's, such as the console's."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        host: str | None = None,
        port: int | None = None,
        listening: socket.socket | None = None,
        parts: Sequence[Part] = (),
    ) -> None:
        self.gateway = gateway
        self.app = HttpApp(gateway, parts)
        self._host = host
        self._port = port
        self._listening = listening
        self._server: Server | None = None
        self._listener: asyncio.Server | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.address = ("", 0)

    async def start(self) -> None:
        """Listen. The gateway must have been started. Raises OSError when the address is taken."""
        config = self.gateway.runtime.config.server
        server = Server(
            self.app.handle,
            head_timeout=config.request_head_timeout,
            write_timeout=config.write_timeout,
            min_rate=config.min_body_rate,
            log=self.gateway.log,
            report=self.app.report_refused,
            ids=self.app.ids,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=config.idle_connection,
            max_line_size=config.max_header_size,
            max_field_size=config.max_header_size,
            max_headers=config.max_headers,
            logger=self.gateway.log,
        )
        self._server = server
        loop = asyncio.get_running_loop()
        if self._listening is not None:
            self._listener = await loop.create_server(server, sock=self._listening, backlog=BACKLOG)
        else:
            host = self._host or config.host
            port = config.port if self._port is None else self._port
            self._listener = await loop.create_server(server, host, port, backlog=BACKLOG)
        address = self._listener.sockets[0].getsockname()
        self.address = (str(address[0]), int(address[1]))

    async def serve(self) -> None:
        """Serve until a signal (or `request_stop`) says otherwise, then drain."""
        try:
            if self._listening is None:
                await asyncio.to_thread(self._announce)
            await self._stop.wait()
            await self.drain()
        finally:
            if self._listening is None:
                await asyncio.to_thread(withdraw, self.gateway.runtime.config.data)

    def _announce(self) -> None:
        config = self.gateway.runtime.config
        announce(config.data, self._host or config.server.host, self.address[1])

    def request_stop(self) -> None:
        """First call: drain and stop. Second call: stop fast."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def drain(self) -> None:
        """Say that this gateway leaves, and serve on for `server.drain_delay`, until balancers have looked away. Then
        take no more calls, let the running ones finish within `server.drain`, and end the rest with an error."""
        self.gateway.leaving = True
        delay = self.gateway.runtime.config.server.drain_delay
        if delay:
            self.gateway.log.info("leaving", extra={"seconds": delay})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), delay)
        if self._listening is not None and self._listener is not None:
            # Another worker, or the supervisor's refusal, takes what comes from now on: nothing is accepted only to be
            # turned away. Connections that are idle close, the others after their answer.
            self._listener.close()
            await self._hear_out()
        else:
            self.gateway.draining = True
        limit = self.gateway.runtime.config.server.drain
        self.gateway.log.info("draining", extra={"requests": self.app.busy, "seconds": limit})
        if not await self._idle(limit):
            self.app.interrupt_all(shutting_down)
            await self._idle(_LAST_WORDS)

    async def close(self) -> None:
        """Close the listening socket and every connection."""
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            await asyncio.sleep(0)  # what was accepted last is told to its protocol in the next turn of the loop
            self._server.pre_shutdown()
            await self._server.shutdown(_CLOSING)

    async def _hear_out(self) -> None:
        """Close idle connections, and give requests that are on their way a moment to arrive."""
        server = self._server
        if server is None:
            return
        await asyncio.sleep(0)  # what was accepted last is told to its protocol in the next turn of the loop
        server.close_idle()
        for _ in range(round(_FIRST_WORDS / _LOOK)):
            if not server.expecting:
                break
            await asyncio.sleep(_LOOK)

    async def _idle(self, seconds: float) -> bool:
        """Wait until no request is being handled; False when time is up or somebody is in a hurry."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.app.busy:
            if loop.time() >= end:
                return False
            if self._hurry.is_set():
                self._hurry.clear()
                return False
            await asyncio.sleep(_LOOK)
        return True

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Obey SIGTERM, SIGINT and SIGHUP. To be entered before `start`: whoever sees the socket or the pid may send
        a signal, and one that nobody handles ends the process without draining."""
        loop = asyncio.get_running_loop()
        numbers = {
            signal.SIGTERM: self.request_stop,
            signal.SIGINT: self.request_stop,
            signal.SIGHUP: lambda: self.gateway.spawn(self._reload(), "reload"),
        }
        for number, act in numbers.items():
            loop.add_signal_handler(number, act)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def _reload(self) -> None:
        gateway = self.gateway
        problems: list[str] = []
        try:
            await gateway.reload()
        except ConfigFault as fault:
            problems = fault.problems
            for problem in problems:
                gateway.log.error("configuration not reloaded: %s", problem)
        except Exception as error:  # whoever asked waits for an answer, whatever a plugin raises as it starts
            gateway.log.exception("configuration not reloaded")
            problems = [f"{type(error).__name__}: {error}"]
        told = report(gateway.config_path, problems, gateway.runtime.config.warnings)
        if self._listening is None:
            await asyncio.to_thread(write_outcome, gateway.runtime.config.data, [told])
        else:
            gateway.siblings.tell("reloaded", told)
