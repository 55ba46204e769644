"""A fake upstream: an HTTP/1.1 server on 127.0.0.1 that plays scripts, byte for byte, and remembers what it got.

It stands on a bare `asyncio.Protocol`, not on a web framework, because a framework would refuse to do what providers
really do: break off in the middle of a chunk, end a body by closing, declare a wrong length, send no HTTP at all.

    async with FakeUpstream() as upstream:
        upstream.reply(Reply(openai_stream("Hello", " world")))
        ...
        assert upstream.requests[0].json["model"] == "gpt-4.1-mini"
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, Self, cast

import orjson

PATIENCE = 30.0
"""Seconds that the kit waits for what must come. Long, because a busy machine is no fault of what is tested."""


@dataclass(slots=True, frozen=True)
class Pause:
    """Nothing for so many seconds."""

    seconds: float


@dataclass(slots=True, frozen=True)
class Hold:
    """Nothing until the event is set: lets a test decide when the upstream goes on."""

    event: asyncio.Event


@dataclass(slots=True, frozen=True)
class Stall:
    """Nothing any more; the connection stays open until the client closes it."""


@dataclass(slots=True, frozen=True)
class Cut:
    """Break the connection: reset=True as a crash does (RST), False as an orderly close before the end (FIN)."""

    reset: bool = True


Step = bytes | Pause | Hold | Stall | Cut


@dataclass(slots=True, frozen=True)
class Reply:
    """What to answer to one request.

    body: bytes (each written on its own) and other steps. headers: added to what framing needs.
    framing: `chunked`; `length` (declares `length`, or the true size; a wrong one ends by closing the connection);
    `close` (ends by closing the connection);
    `raw` (the body is everything, status line included: for malformed HTTP).
    delay: seconds before the head. media_type: the content-type, "" for none.
    """

    body: Sequence[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Literal["chunked", "length", "close", "raw"] = "chunked"
    length: int | None = None
    delay: float = 0.0
    media_type: str = "text/event-stream"

    def head(self) -> bytes:
        """The status line and headers; nothing for raw framing."""
        if self.framing == "raw":
            return b""
        phrase = HTTPStatus(self.status).phrase if self.status in HTTPStatus._value2member_map_ else "Unknown"
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        if self.media_type:
            lines.append(f"content-type: {self.media_type}")
        if self.framing == "chunked":
            lines.append("transfer-encoding: chunked")
        elif self.framing == "length":
            size = sum(len(step) for step in self.body if isinstance(step, bytes))
            lines.append(f"content-length: {size if self.length is None else self.length}")
        else:
            lines.append("connection: close")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def json_reply(value: Any, status: int = 200, **more: Any) -> Reply:
    """A whole JSON answer; `value` may also be bytes that are sent as they are."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return Reply([body], status, framing="length", media_type="application/json", **more)


@dataclass(slots=True, eq=False)
class Received:
    """One request as it came. headers: lower-case names. at, closed_at: the loop's clock, in seconds.

    closed_at: when the client closed the connection, None while it is open. complete: the reply was sent whole.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int
    closed_at: float | None = None
    complete: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    async def wait_closed(self, within: float = PATIENCE) -> float:
        """Wait until the client closed the connection; returns the time of it. Raises TimeoutError."""
        async with asyncio.timeout(within):
            await self.closed.wait()
        assert self.closed_at is not None
        return self.closed_at


class FakeUpstream:
    """The server. Replies come from the queue first, then from `reply` or `answer`; 500 when none is set."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self._queue: deque[Reply] = deque()
        self._answer: Callable[[Received], Reply] | None = None
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._arrived = asyncio.Condition()
        self._notices: set[asyncio.Task[None]] = set()
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1; `url` is `http://127.0.0.1:PORT` afterwards."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.gather(*self._notices)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def reply(self, reply: Reply) -> None:
        """Answer every request like this."""
        self._answer = lambda _: reply

    def queue(self, *replies: Reply) -> None:
        """Answer the next requests with these, one each."""
        self._queue.extend(replies)

    def answer(self, decide: Callable[[Received], Reply]) -> None:
        """Let a function decide on each request."""
        self._answer = decide

    def forget(self) -> None:
        """As if nothing had been asked and no reply been set: for tests that share one upstream in turn."""
        self.requests.clear()
        self._queue.clear()
        self._answer = None

    async def wait_for_requests(self, count: int, within: float = PATIENCE) -> list[Received]:
        """Wait until `count` requests have arrived in all. Raises TimeoutError."""
        async with asyncio.timeout(within), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests[:count]

    def _take(self, received: Received) -> Reply:
        self.requests.append(received)
        notice = asyncio.get_running_loop().create_task(self._notify())
        self._notices.add(notice)
        notice.add_done_callback(self._notices.discard)
        if self._queue:
            return self._queue.popleft()
        if self._answer is not None:
            return self._answer(received)
        return json_reply({"error": {"message": "no reply was set on the fake upstream"}}, 500)

    async def _notify(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()


class _Connection(asyncio.Protocol):
    """One client connection; requests are answered one after the other."""

    def __init__(self, owner: FakeUpstream) -> None:
        self._owner = owner
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._playing: asyncio.Task[None] | None = None
        self._received: Received | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._owner.connections += 1
        self._number = self._owner.connections
        self._owner._open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._owner._open.discard(self)
        if self._playing is not None:
            self._playing.cancel()
        for received in self._owner.requests:
            if received.connection == self._number and received.closed_at is None:
                received.closed_at = asyncio.get_running_loop().time()
                received.closed.set()

    def pause_writing(self) -> None:
        self._flowing.clear()

    def resume_writing(self) -> None:
        self._flowing.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        """Answer the next request when it has arrived whole and the last answer is out."""
        if self._playing is not None or self._transport is None:
            return
        parsed = _parse_request(self._buffer)
        if parsed is None:
            return
        method, path, headers, body, size = parsed
        del self._buffer[:size]
        loop = asyncio.get_running_loop()
        received = Received(method, path, headers, body, loop.time(), self._number)
        self._received = received
        reply = self._owner._take(received)
        self._playing = loop.create_task(self._play(received, reply))
        self._playing.add_done_callback(self._played)

    def _played(self, task: asyncio.Task[None]) -> None:
        self._playing = None
        if not task.cancelled() and task.exception() is None and self._transport and not self._transport.is_closing():
            self._next()

    async def _play(self, received: Received, reply: Reply) -> None:
        transport = self._transport
        assert transport is not None
        if reply.delay:
            await asyncio.sleep(reply.delay)
        head = reply.head()
        if head:
            transport.write(head)
        for step in reply.body:
            match step:
                case bytes():
                    chunked = reply.framing == "chunked"
                    transport.write(b"%x\r\n%b\r\n" % (len(step), step) if chunked and step else step)
                    await self._flowing.wait()
                    await asyncio.sleep(0)
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Hold(event):
                    await event.wait()
                case Stall():
                    await asyncio.get_running_loop().create_future()
                case Cut(reset):
                    if reset:
                        transport.abort()
                    else:
                        transport.close()
                    return
        if reply.framing == "chunked":
            transport.write(b"0\r\n\r\n")
        received.complete = True
        if reply.framing in ("close", "raw") or reply.length is not None:
            transport.close()


def _parse_request(buffer: bytearray) -> tuple[str, str, dict[str, str], bytes, int] | None:
    """Method, path, headers, body and size of the first request in the buffer; None while it is incomplete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    start = end + 4
    if "chunked" in headers.get("transfer-encoding", ""):
        return _parse_chunked(buffer, start, method, path, headers)
    size = start + int(headers.get("content-length", "0"))
    if len(buffer) < size:
        return None
    return method, path, headers, bytes(buffer[start:size]), size


def _parse_chunked(
    buffer: bytearray, start: int, method: str, path: str, headers: dict[str, str]
) -> tuple[str, str, dict[str, str], bytes, int] | None:
    body = bytearray()
    while (line := buffer.find(b"\r\n", start)) >= 0:
        size = int(bytes(buffer[start:line]).split(b";")[0], 16)
        start = line + 2
        if len(buffer) < start + size + 2:
            return None
        body += buffer[start : start + size]
        start += size + 2
        if size == 0:
            return method, path, headers, bytes(body), start
    return None


def whole(data: bytes) -> list[bytes]:
    """One slice."""
    return [data]


def slices(data: bytes, size: int = 1) -> list[bytes]:
    """Slices of `size` bytes, the last one maybe shorter."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def random_slices(data: bytes, seed: int, longest: int = 64) -> list[bytes]:
    """Slices of 1 to `longest` bytes, the same for the same seed."""
    source = random.Random(seed)
    found, start = [], 0
    while start < len(data):
        size = source.randint(1, longest)
        found.append(data[start : start + size])
        start += size
    return found


def all_splits(data: bytes, seeds: Iterable[int] = range(5)) -> Iterator[tuple[str, list[bytes]]]:
    """The ways a stream is tested to arrive: (name, slices): whole, byte by byte, and at random places."""
    yield "whole", whole(data)
    yield "bytewise", slices(data)
    for seed in seeds:
        yield f"random {seed}", random_slices(data, seed)


@contextmanager
def refused_url() -> Iterator[str]:
    """An address that refuses connections for as long as the block runs: its port is taken but nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
