"""A way to the database that can be cut: a proxy on a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

_NAME = ".s.PGSQL.5432"


class Way:
    """Forwards bytes between clients and the server until it is told otherwise.

    url: what to connect to. swallow: a mark; the connection over which a client sends it is cut after the server has
    answered, and the answer is not passed on.
    """

    def __init__(self, url: str, place: Path) -> None:
        query = dict(parse_qsl(urlsplit(url).query))
        self._there = str(Path(query["host"]) / _NAME)
        self._here = place / _NAME
        self.url = url.replace(query["host"], str(place))
        self.swallow = b""
        self.swallowed = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Let clients through (again)."""
        self._here.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._here))

    async def cut(self) -> None:
        """End all connections, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        self._here.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_unix_connection(self._there)
        self._writers |= {writer, far_writer}
        state = {"doomed": False}
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, state, up=True), self._pump(far_reader, writer, state, up=False)
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for one in (writer, far_writer):
                self._writers.discard(one)
                with contextlib.suppress(OSError, RuntimeError):
                    one.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader, writer, state, *, up):
        while data := await reader.read(1 << 16):
            if up and self.swallow and self.swallow in data:
                state["doomed"], self.swallow = True, b""
            elif not up and state["doomed"]:
                self.swallowed += 1
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
