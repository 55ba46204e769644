"""Receivers of an upstream's answer: one that collects a whole reply, one that pumps a stream to the caller.

The pump is the relay's heart. The transport's callback runs decoder and encoder and writes to the caller's
socket at once: no task wakes per event and no queue stands between the two sockets. When the caller reads
slowly, its socket pauses the upstream's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from gateway.dialect import Relay, keep_alive_of
from gateway.errors import Fault, GatewayFault, UpstreamFault
from gateway.provider import Exchange, Reader, StreamItem, Tally, UpstreamReply
from gateway.upstream.output_limit import OutputLimit
from gateway.upstream.proxied import cut
from gateway.upstream.reading import CollectedBody, StreamReading, let_go
from gateway.upstream.timeouts import Limits, Watchdog
from gateway.wire.chat.straight import Finder, Straight, way_finder


class Outlet(Protocol):
    """Where the pump writes: the caller's connection, already past the response head."""

    def write(self, data: bytes) -> None:
        """Queue SSE bytes on the caller's socket; never waits."""


class Attempted(Protocol):
    """Who keeps the record of an attempt (`gateway.upstream.lanes.Try`)."""

    def answers(self) -> None:
        """The answer has begun."""

    def end(self, fault: Fault | None) -> None:
        """It came to its end, a good one without a fault."""

    def give_up(self) -> None:
        """Nobody waits for it any more; after its end this says nothing."""


class Meter(Protocol):
    """Who looks how much of the stream is paid for (`gateway.upstream.metering.StreamMeter`).

    from_chunks, from_bytes: of the tally; nothing needs to be looked at before either is reached, or another usage is
    told.
    """

    from_chunks: int
    from_bytes: int

    def look(self) -> None:
        """Something was relayed."""


class WholeReply:
    """Collects one whole answer; `result` resolves to it or to the fault that prevented it."""

    __slots__ = ("_body", "_limits", "_watchdog", "exchange", "result")

    def __init__(self, limits: Limits, deadline: float) -> None:
        self.result: asyncio.Future[UpstreamReply] = asyncio.get_running_loop().create_future()
        self._limits = limits
        self._watchdog = Watchdog(limits, deadline, self._fail, _nothing, 0)
        self._body: CollectedBody | None = None
        self.exchange: Exchange | None = None

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        try:
            self._body = CollectedBody(status, headers, self._limits.max_reply)
        except Fault as fault:
            self._fail(fault)

    def data(self, chunk: bytes) -> None:
        self._watchdog.touch_in()
        if self._body is None:
            return
        try:
            self._body.add(chunk)
        except Fault as fault:
            self._fail(fault)

    def end(self, fault: Fault | None) -> None:
        self._watchdog.stop()
        if self.result.done():
            return
        if fault is None and self._body is None:
            fault = cut("no answer")
        if fault is not None:
            self.result.set_exception(fault)
        elif self._body is not None:
            self.result.set_result(self._body.reply())

    def close(self) -> None:
        """The caller left or the attempt is given up: end the exchange now."""
        self._watchdog.stop()
        exchange, self.exchange = self.exchange, None
        if exchange is not None and self.exchange is None:
            exchange.cancel()

    def _fail(self, fault: Fault) -> None:
        self.close()
        self.end(fault)


def _nothing() -> None:
    return None


class _Void:
    """The outlet of a caller who left."""

    def write(self, data: bytes) -> None:
        return None


class StreamPump:
    """Relays one streamed answer.

    Before `attach`, what should go to the caller waits in a backlog; afterwards it is written straight through.
    `started`: something of an answer is (or was) ready for the caller; an opening (`Tally.opening`) waits for what it
    opens, for `quiet` seconds at most. `ended`: nothing more will come; `fault` says why.
    `meter`: looks at what was relayed, None for nobody.
    `tally`: what the stream came to so far; sees every item before the relay does.
    `attempt`: told once how it ended, None for nobody.
    `limit`: of the output that its provider was told, None for none; `overran`: it went on all the same, and was ended.
    """

    __slots__ = (
        "_answered",
        "_backlog",
        "_find",
        "_full",
        "_held_back",
        "_late",
        "_looks",
        "_outlet",
        "_over",
        "_reading",
        "_straight",
        "_usage",
        "_waiter",
        "_waiting",
        "_watchdog",
        "attempt",
        "ended",
        "exchange",
        "fault",
        "limit",
        "meter",
        "overran",
        "relay",
        "silent",
        "started",
        "tally",
    )

    def __init__(
        self, reader: Reader, tally: Tally, relay: Relay, limits: Limits, deadline: float, quiet: float
    ) -> None:
        self.tally = tally
        self.relay = relay
        self.attempt: Attempted | None = None
        self.exchange: Exchange | None = None
        self.started = False
        self.ended = False
        self.fault: Fault | None = None
        self.silent = False
        self._reading = StreamReading(reader, limits)
        self._outlet: Outlet | None = None
        self._backlog: list[bytes] = []
        self._full = self._held_back = False
        # Items that came with those that used up what is paid for; and whether nothing comes after them.
        self._waiting: list[StreamItem] = []
        self._over = False
        self._late: Fault | None = None  # why nothing more will come, should the answer not be whole
        self.meter: Meter | None = None
        self.limit: OutputLimit | None = None
        self.overran = False
        self._answered = False
        self._waiter: asyncio.Future[None] | None = None
        self._watchdog = Watchdog(limits, deadline, self._expire, self._keep_alive, quiet)
        self._usage: Mapping[str, Any] | None = None  # what was told last
        self._straight: Straight | None = None
        self._find: Finder | None = None
        self._looks = True  # for a straight way; whether there can be one is not known before the first event

    # The sink's side, called by the transport.

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        try:
            self._reading.head(status, headers)
        except Fault as fault:
            self._finish(fault)

    def data(self, chunk: bytes) -> None:
        if self.ended:
            return
        straight = self._straight
        if straight is not None:
            ready = straight.take(chunk)
            if ready is not None:
                self._watchdog.touch_through()
                self._outlet.write(ready)  # type: ignore[union-attr]  # who has a straight way has an outlet
                self._look()
                return
        self._watchdog.touch_in()
        try:
            items = self._reading.feed(chunk)
        except Fault as fault:
            self._finish(fault)
            return
        self._relay(items, self._reading.size)
        if self._reading.done:
            self._conclude()
        elif self._looks:
            self._straight = self._find_straight(chunk)

    def end(self, fault: Fault | None) -> None:
        if self.ended:
            return
        if self._answered:
            # It may be whole all the same: some servers break the connection off behind it, without an end mark.
            self._late, fault = fault, None
        if fault is None:
            try:
                items = self._reading.end(self.limit)
                self.overran = self._reading.overran
                self._relay(items)
            except Fault as error:
                fault = error
            except Exception as error:  # a bug in a decoder: nobody above would hear of it, and the caller would wait
                fault = GatewayFault("The gateway failed while reading the provider's answer.", detail=repr(error))
                fault.__cause__ = error
        if fault is None:
            self._over = True
            self.exchange = None
            self._conclude()
        elif not self.ended:
            self._finish(self._late or fault)

    def deliver(self, items: list[StreamItem]) -> None:
        """Take items that were decoded elsewhere (`gateway.upstream.fan_out`)."""
        if not self.ended:
            self._watchdog.touch_in()
            self._relay(items)

    # The caller's side.

    def attach(self, outlet: Outlet) -> None:
        """Write what waits to `outlet`, and from now on everything."""
        if not self.ended:
            self._outlet = outlet
        self.silent = False
        self._watchdog.touch_out()
        if self._backlog:
            outlet.write(b"".join(self._backlog))
            self._backlog.clear()

    def detach(self) -> None:
        """The caller left: go on receiving (policy `drain`) without writing."""
        self._outlet = _Void()
        self._backlog.clear()
        self.flow(True)

    def flow(self, on: bool) -> None:
        """Pause or resume the upstream, as the caller's socket fills and drains."""
        self._full = not on
        self._set_flow()

    def hold_back(self, on: bool) -> None:
        """Pause or resume the upstream until it is known whether the answer may go on."""
        if self._held_back != on:
            self._held_back = on
            self._set_flow()
            if not on and self._waiting and not self.ended:
                waiting, self._waiting = self._waiting, []
                self._relay(waiting)
                self._conclude()

    def stop(self) -> None:
        """The gateway ends the answer here, in good order."""
        if not self.ended:
            self.tally.cut()
            self.relay.cut()
            self.close()
            self._wake()

    def wait(self) -> Awaitable[None]:
        """Done when something happened: first output (`started`), `ended`, or a silence (`silent`)."""
        waiter = asyncio.get_running_loop().create_future()
        if self.ended or self.silent or (self.started and self._outlet is None):
            waiter.set_result(None)
        else:
            self._waiter = waiter
        return waiter

    def close(self) -> None:
        """Give up: close the upstream connection now. Nothing is delivered afterwards."""
        self.ended = True
        self._watchdog.stop()
        if self.exchange is not None:
            self.exchange.cancel()
        self._let_loose()
        if self.attempt is not None:
            self.attempt.give_up()

    # Inside.

    def _set_flow(self) -> None:
        if self.exchange is None or self.ended:
            return
        on = not (self._full or self._held_back)
        self._watchdog.suspend(not on)
        if on:
            self.exchange.resume()
        else:
            self.exchange.pause()

    def _relay(self, items: list[StreamItem], size: int | None = None) -> None:
        """size: bytes of the events that these items were, None when that is not known."""
        if len(items) < 2 or (self.meter is None and not self._is_near_limit(len(items), size)):
            self._pass_on(items)
            return
        # One by one: many come in one read, and no more may go out than is paid for.
        for place, item in enumerate(items):
            if self._held_back:
                self._waiting += items[place:]
                return
            if self.ended:
                return
            self._pass_on([item])

    def _find_straight(self, data: bytes) -> Straight | None:
        """The way of the next event, if it is like those before. data: the last ones."""
        decoder = self._reading.decoder
        if decoder is None or self._outlet is None or self._waiting:
            return None
        if self._find is None:
            self._find = way_finder(decoder, self.tally, self.relay)
            if self._find is None:
                self._looks = False
                return None
        return self._find(self._straight, data)

    def _is_near_limit(self, more: int, size: int | None) -> bool:
        return self.limit is not None and (size is None or self.limit.is_near(self.tally, more, size))

    def _conclude(self) -> None:
        """The upstream has said its last word: end, once all of it was relayed."""
        if self.ended or self._waiting or not (self._over or self._reading.done):
            return
        whole = self._reading.done or self.tally.complete
        if self._late is not None:
            whole = whole and bool(self.tally.finish_reason)  # a sound only ends with its connection
        self._finish(None if whole else self._late or cut("the stream ended without a finish_reason"))

    def _pass_on(self, items: list[StreamItem]) -> None:
        tally = self.tally
        if items:
            self._answered = True
        data, fault = self.relay.feed(tally.add(items))
        if data:
            outlet = self._outlet
            if outlet is not None:
                self._watchdog.touch_out()
                outlet.write(data)
            else:
                self._backlog.append(data)
        if not self.started and self._backlog and not getattr(tally, "opening", False):
            self._start()
        if fault is not None:
            self._finish(fault)
            return
        self._look()

    def _look(self) -> None:
        """May the stream go on, after what was relayed? Nearly always it is far from everything."""
        tally, limit, meter = self.tally, self.limit, self.meter
        chunks, size, told = tally.chunks, tally.text_bytes, tally.usage is not self._usage
        if told:
            self._usage = tally.usage
        if limit is not None and (told or chunks > limit.tokens or size > limit.text) and limit.is_passed(tally):
            self.overran = True
            self.stop()
        elif meter is not None and (told or chunks >= meter.from_chunks or size >= meter.from_bytes):
            meter.look()

    def _start(self) -> None:
        """What waits is for the caller, and no other try can take its place."""
        self.started = True
        if self.attempt is not None:
            self.attempt.answers()
        self._wake()

    def _finish(self, fault: Fault | None) -> None:
        if fault is None and not self._answered:
            fault = _empty()
        self.ended = True
        self.fault = fault
        self._watchdog.stop()
        if self.exchange is not None:
            if fault is not None:
                self.exchange.cancel()
            elif self._reading.done:
                let_go(self.exchange)
        self._let_loose()
        if self.attempt is not None:
            self.attempt.end(fault)
        self._wake()

    def _let_loose(self) -> None:
        """Caller and meter know the pump: without this a call would stay until cycles are collected."""
        self._outlet = self.meter = None

    def _expire(self, fault: Fault) -> None:
        if self.ended:
            return
        exchange = self.exchange
        self.end(fault)
        if exchange is not None:
            exchange.cancel()

    def _keep_alive(self) -> None:
        if self._outlet is not None:
            self._outlet.write(keep_alive_of(self.relay))
        elif self._backlog and not self.started:
            self._start()
        else:
            self.silent = True
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _empty() -> UpstreamFault:
    """A stream that ends in good order without a single chunk is no answer; another try may bring one."""
    return UpstreamFault("The provider's answer was an empty stream.", retryable=True, code="upstream_invalid_response")
