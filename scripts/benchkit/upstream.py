"""An OpenAI-compatible upstream that costs as little CPU per event as Python allows: `python -m benchkit.upstream`.

- A request that does not stream is answered at once with prebuilt bytes.
- A request that streams gets its first event at once, then one event per pace interval (`pace=50ms` in the prompt).
  One timer per millisecond serves all streams: a stream sits in one slot of a wheel, and slots are filled
  round-robin, so 1,000 streams at 100 ms are ten events every millisecond and never a burst.
- `POST /bench/release` ends all streams in order; `GET /bench/stats` answers counters as JSON.
It prints `ready PORT` on its standard output. It only listens on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
from time import monotonic_ns
from typing import ClassVar, cast

from benchkit import wire

TICK_NS = 1_000_000
MAX_REQUEST = 1 << 20


class Upstream:
    """All connections, the wheel of paced streams, and the counters."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.wheels: dict[int, list[dict[Connection, None]]] = {}
        self.placed: dict[int, int] = {}
        self.open = 0
        self.events = 0
        self.requests = 0
        self.stalled = 0
        self.late_ns = 0
        self.tick = 0
        self.timer: asyncio.TimerHandle | None = None
        self.answer = wire.completion()

    def place(self, stream: Connection, pace_ms: int) -> dict[Connection, None]:
        """Give `stream` a slot of the wheel for its pace, and start the timer when it stands still."""
        wheel = self.wheels.get(pace_ms)
        if wheel is None:
            wheel = self.wheels[pace_ms] = [{} for _ in range(pace_ms)]
        # 617 is prime to every pace in use: neighbours in time of opening come to lie far apart on the wheel.
        count = self.placed[pace_ms] = self.placed.get(pace_ms, 0) + 1
        slot = wheel[count * 617 % pace_ms]
        slot[stream] = None
        self.open += 1
        if self.timer is None:
            self.tick = monotonic_ns() // TICK_NS
            self.timer = self.loop.call_later(0.001, self.on_tick)
        return slot

    def on_tick(self) -> None:
        """Serve every slot that is due, the ones missed by a late timer too."""
        if not self.open:
            self.timer = None
            return
        now = monotonic_ns()
        due = now // TICK_NS
        late = now - (self.tick + 1) * TICK_NS
        if late > self.late_ns:
            self.late_ns = late
        wheels = tuple(self.wheels.items())
        while self.tick < due:
            self.tick += 1
            for pace_ms, wheel in wheels:
                for stream in wheel[self.tick % pace_ms]:
                    stream.event()
        self.timer = self.loop.call_later(0.001, self.on_tick)

    def release(self) -> int:
        """End every open stream; how many there were."""
        streams = [stream for wheel in self.wheels.values() for slot in wheel for stream in slot]
        for stream in streams:
            stream.finish()
        return len(streams)

    def stats(self) -> bytes:
        """Counters as JSON; reading them resets the worst lateness of the timer."""
        counters = {
            "open": self.open,
            "events": self.events,
            "requests": self.requests,
            "stalled": self.stalled,
            "late_ms": self.late_ns / 1e6,
        }
        self.late_ns = 0
        return wire.compact(counters)


class Connection(asyncio.Protocol):
    """One connection: a request parser that knows just enough, and at most one stream."""

    __slots__ = ("after", "before", "buffer", "paused", "sent", "slot", "transport", "up", "with_usage")

    parts: ClassVar = {flag: wire.event_parts(flag) for flag in (False, True)}

    def __init__(self, up: Upstream) -> None:
        self.up = up
        self.buffer = b""
        self.paused = False
        self.slot: dict[Connection, None] | None = None
        self.sent = 0
        self.with_usage = False
        self.before = self.after = b""
        self.transport: asyncio.Transport = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self.keep(data)
            return
        length = 0
        if data[:4] == b"POST":
            head = data[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                self.transport.write(wire.http_answer("411 Length Required", b"{}"))
                self.transport.close()
                return
            length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        total = end + 4 + length
        if len(data) < total:
            self.keep(data)
            return
        self.buffer = data[total:]
        self.serve(data, end)

    def keep(self, data: bytes) -> None:
        """Hold the beginning of a request; a connection that sends too much is closed."""
        self.buffer = data
        if len(data) > MAX_REQUEST:
            self.transport.close()

    def serve(self, data: bytes, end: int) -> None:
        """Answer the whole request that `data` begins with; its head ends at `end`."""
        path = data[: data.find(b"\r\n")].split(b" ")[1]
        if path.startswith(b"/bench/"):
            if path == b"/bench/release":
                payload = wire.compact({"released": self.up.release()})
            else:
                payload = self.up.stats()
            self.transport.write(wire.http_answer("200 OK", payload))
        elif not path.endswith(b"/chat/completions"):
            self.transport.write(wire.http_answer("404 Not Found", b'{"error":{"message":"no such route"}}'))
        else:
            self.up.requests += 1
            if wire.WANTS_STREAM.search(data, end):
                self.start_stream(data, end)
            else:
                self.transport.write(self.up.answer)

    def start_stream(self, data: bytes, end: int) -> None:
        """Send head and first event, and take a place in the wheel."""
        pace = wire.PACE.search(data, end)
        self.with_usage = wire.WANTS_USAGE.search(data, end) is not None
        self.before, self.after = self.parts[self.with_usage]
        self.sent = 0
        self.transport.write(wire.STREAM_HEAD)
        self.event()
        self.slot = self.up.place(self, max(1, min(int(pace[1]) if pace else 50, 60_000)))

    def event(self) -> None:
        """Write one stamped event, or none while the reader is behind (it then counts as stalled, not as sent)."""
        if self.paused:
            self.up.stalled += 1
            return
        self.transport.write(b"%b%019d%b" % (self.before, monotonic_ns(), self.after))
        self.sent += 1
        self.up.events += 1

    def leave(self) -> None:
        """Give the slot back."""
        if self.slot is not None:
            del self.slot[self]
            self.slot = None
            self.up.open -= 1

    def finish(self) -> None:
        """End the stream as a provider does; the connection stays usable."""
        self.leave()
        self.transport.write(wire.stream_end(self.sent, self.with_usage))


async def serve(port: int) -> None:
    """Serve on 127.0.0.1:`port` (0: any) until SIGTERM, SIGINT or cancellation."""
    loop = asyncio.get_running_loop()
    up = Upstream(loop)
    server = await loop.create_server(lambda: Connection(up), "127.0.0.1", port, backlog=4096)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    server.close()


def main() -> None:
    """Run the upstream as a process of its own."""
    parser = argparse.ArgumentParser(description="paced OpenAI-compatible upstream of the benchmark")
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port
    # A collection in the middle of a window would be measured as lag; the process lives for minutes only.
    gc.disable()
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(port))
    else:
        uvloop.run(serve(port))


if __name__ == "__main__":
    main()
