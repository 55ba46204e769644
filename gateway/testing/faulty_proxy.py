"""A way to a server that can be cut, slowed down, or go silent: a proxy for one address."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType

Address = str | tuple[str, int]
"""The path of a Unix socket, or a host and a port."""


class FaultyProxy:
    """Forwards bytes between clients and a server until it is told otherwise. To be used with `async with`, or with
    `open` and `cut`.

    delay: seconds that each piece waits, either way. pace: bytes for each hundredth of a second, None for all at once.
    swallow: a mark; the connection over which a client sends it is cut after the server has answered, and the answer is
    not passed on. swallowed: how many were. silent: whether nothing goes through. silences: how often it fell silent.
    """

    def __init__(self, there: Address, here: Address = ("127.0.0.1", 0)) -> None:
        self._there = there
        self._here = here
        self.delay = 0.0
        self.pace: int | None = None
        self.swallow = b""
        self.swallowed = 0
        self.silent = False
        self.silences = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FaultyProxy:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    @property
    def port(self) -> int:
        """Where it listens, if that is no Unix socket; the same after each `open`."""
        assert not isinstance(self._here, str)
        return self._here[1]

    async def open(self) -> None:
        """Let clients through (again)."""
        if isinstance(self._here, str):
            self._server = await asyncio.start_unix_server(self._serve, self._here)
        else:
            self._server = await asyncio.start_server(self._serve, *self._here)
            self._here = self._server.sockets[0].getsockname()[:2]

    async def cut(self) -> None:
        """End all connections, and refuse new ones."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fall_silent(self) -> None:
        """Both sides are gone without a word, as when a cable is pulled: what there is stays open, is taken in, and
        goes nowhere, until `cut`. New connections fare likewise, until `speak`."""
        self.silent = True
        self.silences += 1

    def speak(self) -> None:
        """Let new connections through again. The old ones stay silent for ever."""
        self.silent = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.silent:
            await _Pipe(self).swallow_for_ever(reader)
        if isinstance(self._there, str):
            far_reader, far_writer = await asyncio.open_unix_connection(self._there)
        else:
            far_reader, far_writer = await asyncio.open_connection(*self._there)
        self._writers.add(far_writer)
        pipe = _Pipe(self)
        try:
            await asyncio.gather(pipe.pump(reader, far_writer, up=True), pipe.pump(far_reader, writer, up=False))
        finally:
            self._writers.discard(far_writer)
            with contextlib.suppress(OSError, RuntimeError):
                far_writer.transport.abort()


class _Pipe:
    """One connection. doomed: its next answer is not passed on."""

    def __init__(self, proxy: FaultyProxy) -> None:
        self._proxy = proxy
        self._doomed = False
        self._silences = proxy.silences

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        """One direction, until the connection ends."""
        proxy = self._proxy
        while data := await reader.read(1 << 16):
            if self._silences != proxy.silences:
                await self.swallow_for_ever(reader)
            if up and proxy.swallow and proxy.swallow in data:
                self._doomed, proxy.swallow = True, b""
            elif not up and self._doomed:
                proxy.swallowed += 1
                raise ConnectionResetError
            await self._write(writer, data)
        # In silence nobody hears that the other side has gone.
        if self._silences != proxy.silences:
            await asyncio.Event().wait()
        raise ConnectionResetError

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        proxy = self._proxy
        if proxy.delay:
            await asyncio.sleep(proxy.delay)
        step = proxy.pace or len(data)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            if proxy.pace:
                await asyncio.sleep(0.01)

    async def swallow_for_ever(self, reader: asyncio.StreamReader) -> None:
        """Take everything in. The peer hears nothing, not even an end."""
        while await reader.read(1 << 16):
            pass
        await asyncio.Event().wait()
