"""The load generator: raw asyncio protocols, keep-alive, one request at a time per connection, every answer checked.

`run_calls` keeps N connections busy with whole answers (a closed loop) and measures the rate and the latency.
`StreamLoad` opens N paced streams, measures the lag of each event in a window, and checks how each stream ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any, cast

from benchkit import wire

HOST = "127.0.0.1"
OPENING_TOGETHER = 50
TAIL = 2048
MARK = wire.STAMP
MARK_SIZE = len(wire.STAMP) + wire.STAMP_DIGITS


class BadAnswer(Exception):
    """An answer that is not what the upstream sent; the message says how."""


@contextmanager
def without_collector() -> Iterator[None]:
    """No garbage collection inside: a pause of the load generator would be measured as lag of the target."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def answer_size(data: bytes) -> int:
    """Bytes of the whole HTTP answer that `data` begins with, or 0 while it is incomplete.

    Raises BadAnswer when its length cannot be known.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        total = end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])
        return total if len(data) >= total else 0
    if b"\r\ntransfer-encoding:" not in head:
        raise BadAnswer("an answer without a length")
    return len(data) if data.endswith(wire.STREAM_END) else 0


def excerpt(data: bytes, size: int = 160) -> str:
    """The status line and the end of an answer, short enough for a report."""
    head, _, body = data.partition(b"\r\n\r\n")
    line = head.split(b"\r\n", 1)[0]
    return " ".join((line + b" ... " + body[-size:]).decode("utf-8", "replace").split())


@dataclass
class CallLoad:
    """A running closed loop; `latencies` (ns) are those of answers that came while `recording`."""

    request: bytes
    expect: bytes
    recording: bool = False
    stopping: bool = False
    latencies: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    live: set[Caller] = field(default_factory=set)


class Caller(asyncio.Protocol):
    """One keep-alive connection of a closed loop: the next request leaves when the answer is whole and right."""

    __slots__ = ("buffer", "load", "sent", "transport", "waiting")

    def __init__(self, load: CallLoad) -> None:
        self.load = load
        self.buffer = b""
        self.sent = 0
        self.waiting = False
        self.transport: asyncio.Transport = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.load.live.add(self)
        self.send()

    def send(self) -> None:
        self.waiting = True
        self.sent = monotonic_ns()
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        if self.buffer:
            data = self.buffer + data
        load = self.load
        try:
            if not answer_size(data):
                self.buffer = data
                return
        except BadAnswer as fault:
            load.errors[str(fault)] += 1
            self.transport.close()
            return
        self.buffer = b""
        self.waiting = False
        if not data.startswith(b"HTTP/1.1 200") or load.expect not in data:
            load.errors[excerpt(data)] += 1
            self.transport.close()
            return
        if load.recording:
            load.latencies.append(now - self.sent)
        if load.stopping:
            self.transport.close()
        else:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.live.discard(self)
        if self.waiting and not self.load.stopping:
            self.load.errors[f"connection lost while an answer was due ({exc or 'closed by the target'})"] += 1


@dataclass
class CallResult:
    """What a closed loop measured: a rate over `seconds`, latencies in ns, what a probe saw at both ends."""

    seconds: float
    latencies: list[int]
    errors: Counter[str]
    reconnects: int
    before: Any = None
    after: Any = None


async def run_calls(
    port: int,
    request: bytes,
    connections: int,
    warm: float,
    seconds: float,
    probe: Callable[[], Any] = lambda: None,
    expect: bytes = wire.ANSWER_TEXT.encode(),
) -> CallResult:
    """Send `request` over `connections` connections for `warm` + `seconds` seconds; record the second part.

    `probe` is called at the beginning and the end of the recorded part. A connection that the target closes
    between two answers is opened again and counted; after 20 errors the loop ends early.
    """
    loop = asyncio.get_running_loop()
    load = CallLoad(request, expect)

    async def keep_connected(until: float) -> None:
        while loop.time() < until and load.errors.total() < 20:
            missing = connections - len(load.live)
            for _ in range(missing):
                await loop.create_connection(lambda: Caller(load), HOST, port)
            await asyncio.sleep(min(0.05, max(0.0, until - loop.time())))
            load.reconnects += connections - len(load.live)

    with without_collector():
        try:
            await keep_connected(loop.time() + warm)
            load.reconnects = 0
            before, start = probe(), monotonic_ns()
            load.recording = True
            await keep_connected(loop.time() + seconds)
            load.recording = False
            after, end = probe(), monotonic_ns()
            load.stopping = True
            for _ in range(100):
                if not load.live:
                    break
                await asyncio.sleep(0.02)
            late = sum(caller.waiting for caller in load.live)
            if late:
                load.errors[f"{late} of {connections} answers still due 2 s after the end"] += 1
        finally:
            load.stopping = True
            for caller in tuple(load.live):
                caller.transport.abort()
    return CallResult((end - start) / 1e9, load.latencies, load.errors, load.reconnects, before, after)


class Stream(asyncio.Protocol):
    """One connection with one stream: counts events, takes their lag, and checks the end."""

    __slots__ = ("events", "load", "over", "tail", "transport")

    def __init__(self, load: StreamLoad) -> None:
        self.load = load
        self.events = 0
        self.tail = b""
        self.over = False
        self.transport: asyncio.Transport = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.load.live.add(self)
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        load = self.load
        data = self.tail + data
        read, at, size = 0, data.find(MARK), len(data)
        while 0 <= at <= size - MARK_SIZE:
            read = at + MARK_SIZE
            if load.recording:
                load.lags.append(now - int(data[at + 3 : read]))
            self.events += 1
            if self.events == 1:
                load.first_event(self, data)
            at = data.find(MARK, read)
        self.tail = data[max(read, size - TAIL) :]
        if data.endswith(wire.STREAM_END):
            self.end()
        elif not self.events and b"\r\n\r\n" in data and not data.startswith(b"HTTP/1.1 200"):
            self.fail(excerpt(data))

    def end(self) -> None:
        """The answer is whole: it must carry `[DONE]`, and usage must count as many events as came."""
        if self.over:
            return
        counted = wire.COMPLETION_TOKENS.search(self.tail)
        if wire.DONE not in self.tail:
            self.fail("a stream ended without [DONE]: " + excerpt(self.tail))
        elif counted is None:
            self.fail("a stream ended without usage")
        elif int(counted[1]) != self.events:
            self.fail(f"{int(counted[1])} events sent, {self.events} received")
        else:
            self.over = True
            self.load.finished += 1
            self.transport.close()

    def fail(self, reason: str) -> None:
        self.over = True
        self.load.errors[reason] += 1
        self.load.wake()
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.live.discard(self)
        if not self.over and not self.load.abandoned:
            # An answer framed by the end of the connection is complete here.
            if exc is None and wire.DONE in self.tail:
                self.end()
            else:
                self.fail(f"a stream was cut ({exc or 'closed by the target'})")
        self.load.wake()


class StreamLoad:
    """N paced streams through one target. Use: `open`, `record`, then release them at the upstream, `close`."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self.request = request
        self.live: set[Stream] = set()
        self.lags: list[int] = []
        self.errors: Counter[str] = Counter()
        self.recording = False
        self.abandoned = False
        self.opened = 0
        self.finished = 0
        self.changed = asyncio.Event()

    def wake(self) -> None:
        self.changed.set()

    def first_event(self, stream: Stream, data: bytes) -> None:
        """A stream delivers: its head must be a 200."""
        self.opened += 1
        if not data.startswith(b"HTTP/1.1 200"):
            stream.fail(excerpt(data))
        self.wake()

    async def open(self, count: int, timeout: float) -> None:
        """Open `count` streams, at most 50 at a time without a first event.

        A stream that cannot be opened is an error in `errors`; after `timeout` seconds the rest is not tried.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        for started in range(0, count, OPENING_TOGETHER):
            for _ in range(min(OPENING_TOGETHER, count - started)):
                await loop.create_connection(lambda: Stream(self), HOST, self.port)
            target = min(started + OPENING_TOGETHER, count)
            if not await self.until(lambda target=target: self.opened + self.errors.total() >= target, until):  # type: ignore[misc]
                self.errors[f"only {self.opened} of {count} streams opened in {timeout:.0f} s"] += 1
                return
            if self.errors.total() >= 20:
                return

    async def until(self, reached: Callable[[], bool], deadline: float) -> bool:
        """Wait until `reached()` or `deadline` (loop time); whether it was reached."""
        loop = asyncio.get_running_loop()
        while not reached():
            self.changed.clear()
            left = deadline - loop.time()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(left):
                    await self.changed.wait()
            except TimeoutError:
                return reached()
        return True

    async def record(self, seconds: float, probe: Callable[[], Any] = lambda: None) -> tuple[float, Any, Any]:
        """Take the lag of every event for `seconds`; (exact seconds, probe before, probe after)."""
        with without_collector():
            before, start = probe(), monotonic_ns()
            self.recording = True
            await asyncio.sleep(seconds)
            self.recording = False
            after, end = probe(), monotonic_ns()
        return (end - start) / 1e9, before, after

    async def close(self, timeout: float) -> None:
        """Wait for every stream to end by itself, then cut what is left, which is an error."""
        loop = asyncio.get_running_loop()
        await self.until(lambda: not self.live, loop.time() + timeout)
        if self.live:
            self.errors[f"{len(self.live)} streams did not end in {timeout:.0f} s"] += 1
        self.abandon()

    def abandon(self) -> None:
        """Cut all streams without counting errors."""
        self.abandoned = True
        for stream in tuple(self.live):
            stream.transport.abort()


async def control(port: int, action: str) -> dict[str, Any]:
    """`release` or `stats` at the upstream's control routes; its JSON answer."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        method = "POST" if action == "release" else "GET"
        writer.write(f"{method} /bench/{action} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n\r\n".encode())
        data = b""
        while not answer_size(data):
            part = await asyncio.wait_for(reader.read(65536), 10)
            if not part:
                raise ConnectionError("the upstream closed a control connection")
            data += part
    finally:
        writer.close()
    return cast(dict[str, Any], json.loads(data.partition(b"\r\n\r\n")[2]))
