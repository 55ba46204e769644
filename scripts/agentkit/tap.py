"""A wire tap between an agent and the gateway: bytes pass untouched, and what passed can be read afterwards."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field
from typing import Self


@dataclass(slots=True)
class Wire:
    """The bytes of one connection, each way."""

    sent: bytearray = field(default_factory=bytearray)
    got: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the status and body of its answer. status: None when no answer came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int | None
    answer: bytes


class Tap:
    """Listens on a free port of 127.0.0.1 and relays to the gateway's."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.wires: list[Wire] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in self._tasks if task is not None), return_exceptions=True)

    def take(self) -> list[Exchange]:
        """What passed since the last time, in the order in which the connections were made."""
        wires, self.wires = self.wires, []
        return [exchange for wire in wires for exchange in read_wire(wire)]

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        wire = Wire()
        self.wires.append(wire)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        there = asyncio.create_task(_pump(reader, up_writer, wire.sent))
        back = asyncio.create_task(_pump(up_reader, writer, wire.got))
        try:
            # When one side closes, the other must see it at once: that is what an interruption is.
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if not back.done():
                back.cancel()
        finally:
            there.cancel()
            back.cancel()
            up_writer.close()
            writer.close()
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
    try:
        while data := await reader.read(65536):
            record += data
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass


def read_wire(wire: Wire) -> list[Exchange]:
    """The requests of a connection with their answers; an answer that was cut is what came of it."""
    answers = list(_messages(bytes(wire.got)))
    found = []
    for number, (line, headers, body) in enumerate(_messages(bytes(wire.sent))):
        method, path = [*line.split(" "), "", ""][:2]
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        status, answer = None, b""
        if number < len(answers):
            status, answer = int(answers[number][0].split(" ")[1]), answers[number][2]
        found.append(Exchange(method, path, headers, body, status, answer))
    return found


def _messages(data: bytes) -> list[tuple[str, dict[str, str], bytes]]:
    """(first line, headers, body) of each message; the last body may be cut."""
    found = []
    while (end := data.find(b"\r\n\r\n")) >= 0:
        line, *rest = data[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
        data = data[end + 4 :]
        if "chunked" in headers.get("transfer-encoding", ""):
            body, data = _dechunk(data)
        else:
            size = int(headers.get("content-length", "0"))
            body, data = data[:size], data[size:]
        found.append((line, headers, body))
    return found


def _dechunk(data: bytes) -> tuple[bytes, bytes]:
    """A chunked body and what follows it."""
    body = b""
    while (end := data.find(b"\r\n")) >= 0:
        size = int(data[:end].split(b";")[0] or b"0", 16)
        body += data[end + 2 : end + 2 + size]
        data = data[end + 4 + size :]
        if size == 0:
            break
    return body, data
