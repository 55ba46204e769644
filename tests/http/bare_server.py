"""The gateway's server without sockets: bytes in and bytes out in the same process, for fuzzing at length.

Above the transport everything is the real thing: head and body parsing, routes, policies, dialects, providers, stores.
Upstreams are answered by `Refusing`, which stands in the place of the pool.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.provider import Exchange, Sink, UpstreamRequest
from gateway.testing import RunningGateway

REFUSAL = b'{"error": {"message": "no", "type": "invalid_request_error"}}'
_HEAD = {"content-type": "application/json"}


class Wire(asyncio.Transport):
    """One connection. What the server writes is in `written`; `over` is set when it is closed."""

    def __init__(self, server: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)})
        self.written = bytearray()
        self.over = asyncio.Event()
        self._protocol = server()
        self._protocol.connection_made(self)

    def send(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def write(self, data: Any) -> None:
        self.written += data

    def writelines(self, parts: Any) -> None:
        for part in parts:
            self.written += part

    def is_closing(self) -> bool:
        return self.over.is_set()

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if not self.over.is_set():
            self.over.set()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """As above."""

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol


class Refusing:
    """A transport to upstreams that all refuse; implements `gateway.provider.Transport` and `Exchange`."""

    def __init__(self) -> None:
        self.requests = 0

    def send(self, request: UpstreamRequest, sink: Sink) -> Exchange:
        self.requests += 1
        asyncio.get_running_loop().call_soon(self._answer, sink)
        return self

    def _answer(self, sink: Sink) -> None:
        sink.head(400, _HEAD)
        sink.data(REFUSAL)
        sink.end(None)

    def pause(self) -> None:
        """All of it has come."""

    resume = cancel = pause


class BareServer:
    """The server of a gateway that runs, with its upstreams replaced."""

    def __init__(self, running: RunningGateway) -> None:
        self.upstream = Refusing()
        running.gateway.runtime._dispatcher._transport = self.upstream
        server = running.service._server
        assert server is not None
        self._server = server

    async def exchange(self, request: bytes) -> bytes:
        """The whole answer to the bytes of a request that says `connection: close`."""
        wire = Wire(self._server)
        wire.send(request)
        async with asyncio.timeout(60):
            await wire.over.wait()
        return bytes(wire.written)
