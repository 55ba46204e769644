"""Sending a call: targets in order, retries with backoff, and never a second try once a byte was relayed.

What is tried again: failed connections, 429, 5xx, and a first byte that came too late, each only before
anything of an answer reached the caller. A `retry-after` is honoured when it is short, otherwise the next
target is tried. What the caller did wrong is not tried again anywhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from gateway.call import Call, Target
from gateway.dialect import Relay
from gateway.errors import CallerFault, UpstreamFault
from gateway.fetch import CallMedia, MediaFetcher
from gateway.operations import OPERATIONS
from gateway.profile import Dialect
from gateway.provider import Answer, Attempt, Exchange, MediaProvider, Provider, Sink, Transport
from gateway.upstream.fan_out import FanOut, gather_all, merge_answers, part_of, parts_needed
from gateway.upstream.reading import fault_of
from gateway.upstream.stream_pump import StreamPump, WholeReply
from gateway.upstream.timeouts import Limits, time_limit_passed
from gateway.upstream.translation import speak

MakeRelay = Callable[[Dialect], Relay]
"""A fresh relay for the caller's side of one attempt, by the dialect of what it will be fed."""


@dataclass(slots=True, frozen=True)
class RetryPolicy:
    """retries: further tries per target. backoff: seconds before the first of them, doubled each time with jitter,
    at most max_backoff."""

    retries: int
    backoff: float
    max_backoff: float


class Dispatcher:
    """Sends calls to providers.

    find_provider: the instance by name. transport: for providers that bring none.
    dispatched: called right before each request goes out (the hook `before_dispatch`).
    fetcher: for providers that want media as bytes, None where the operator has not enabled `fetch`.
    """

    def __init__(
        self,
        find_provider: Callable[[str], Provider],
        transport: Transport,
        limits: Limits,
        policy: RetryPolicy,
        dispatched: Callable[[Call, Target], None],
        fetcher: MediaFetcher | None = None,
    ) -> None:
        self._find_provider = find_provider
        self._transport = transport
        self._limits = limits
        self._policy = policy
        self._dispatched = dispatched
        self._fetcher = fetcher

    def deadline(self) -> float:
        """The loop time at which a call that starts now must be over (`upstream.total`)."""
        return asyncio.get_running_loop().time() + self._limits.total

    async def whole(self, call: Call, deadline: float) -> Answer:
        """A whole answer. Raises the Fault of the last attempt when none succeeded."""
        plan = _Plan(call, self._policy, deadline)
        while True:
            try:
                return await self._fetch(call, plan)
            except UpstreamFault as fault:
                await plan.advance(fault)

    async def stream(
        self,
        call: Call,
        deadline: float,
        make_relay: MakeRelay,
        quiet: float,
        on_silence: Callable[[], Awaitable[None]],
    ) -> StreamPump:
        """A pump whose first output waits in it, or that ended well without any.

        on_silence: awaited after each `quiet` seconds in which nothing came yet.
        Raises the Fault of the last attempt when none began to answer.
        """
        plan = _Plan(call, self._policy, deadline)
        while True:
            try:
                return await self._open(call, plan, make_relay, quiet, on_silence)
            except UpstreamFault as fault:
                await plan.advance(fault)

    async def _fetch(self, call: Call, plan: _Plan) -> Answer:
        attempts = await self._prepare(call, plan)
        if len(attempts) == 1:
            return await self._fetch_one(call, plan, attempts[0])
        work = [self._fetch_one(call, plan, attempt) for attempt in attempts]
        return merge_answers(await gather_all(work))

    async def _fetch_one(self, call: Call, plan: _Plan, attempt: Attempt) -> Answer:
        sink = WholeReply(self._limits, plan.deadline)
        try:
            sink.exchange = self._send(call, plan.target, attempt, sink)
            reply = await sink.result
        finally:
            sink.close()
        if reply.status >= 300:
            raise fault_of(attempt.reader, reply)
        return attempt.reader.read_reply(reply)

    async def _open(
        self,
        call: Call,
        plan: _Plan,
        make_relay: MakeRelay,
        quiet: float,
        on_silence: Callable[[], Awaitable[None]],
    ) -> StreamPump:
        attempts = await self._prepare(call, plan)
        reader = attempts[0].reader
        tally = reader.open_tally(OPERATIONS[call.operation].choices(call.body))
        pump = StreamPump(reader, tally, make_relay(reader.dialect), self._limits, plan.deadline, quiet)
        try:
            pump.exchange = self._begin(call, plan.target, attempts, pump)
            while not (pump.started or pump.ended):
                await pump.wait()
                if pump.silent:
                    pump.silent = False
                    await on_silence()
            if pump.fault is not None and not pump.started:
                raise pump.fault
        except BaseException:  # cancellation too; raised again once things are put right
            pump.close()
            raise
        return pump

    async def _prepare(self, call: Call, plan: _Plan) -> list[Attempt]:
        """What goes out to the target of `plan`: one request, or one for each choice. Raises Fault."""
        target = plan.target
        operation = OPERATIONS[call.operation]
        if call.operation not in target.profile.operations:
            raise CallerFault(
                f"The model '{target.model}' {operation.cannot}.", code="unsupported_operation", param="model"
            )
        provider = self._find_provider(target.provider)
        spoken = speak(call, target)
        ready = spoken.call
        if target.profile.media == "bytes" and operation.takes_media and ready.dialect == "chat":
            # That such a provider names its media was checked when it was loaded.
            ready = await self._with_media(ready, cast("MediaProvider", provider), plan)
        count = parts_needed(operation.choices(call.body), target)
        views = [ready] if count == 1 else [part_of(ready) for _ in range(count)]
        made = [provider.prepare(view, target) for view in views]
        return [Attempt(attempt.request, spoken.reader(attempt.reader)) for attempt in made]

    async def _with_media(self, call: Call, provider: MediaProvider, plan: _Plan) -> Call:
        """The call as a provider takes it that wants bytes, with media in the place of URLs. Raises Fault."""
        if plan.media is None:
            plan.media = CallMedia(self._fetcher)
        try:
            async with asyncio.timeout_at(plan.deadline):
                return await plan.media.fill(call, plan.target, provider.media_urls)
        except TimeoutError:
            raise time_limit_passed("total") from None

    def _begin(self, call: Call, target: Target, attempts: list[Attempt], pump: StreamPump) -> Exchange:
        if len(attempts) == 1:
            return self._send(call, target, attempts[0], pump)
        fan_out = FanOut([attempt.reader for attempt in attempts], self._limits, pump.deliver, pump.end)
        try:
            for attempt, sink in zip(attempts, fan_out.parts, strict=True):
                sink.exchange = self._send(call, target, attempt, sink)
        except BaseException:  # cancellation too; raised again once things are put right
            fan_out.cancel()
            raise
        return fan_out

    def _send(self, call: Call, target: Target, attempt: Attempt, sink: Sink) -> Exchange:
        call.target = target
        call.attempts += 1
        self._dispatched(call, target)
        transport = self._find_provider(target.provider).transport or self._transport
        return transport.send(attempt.request, sink)


class _Plan:
    """Which target to try next, and when. media: what was fetched for the call so far."""

    def __init__(self, call: Call, policy: RetryPolicy, deadline: float) -> None:
        self.target, *self._rest = call.targets
        self.deadline = deadline
        self.media: CallMedia | None = None
        self._policy = policy
        self._tries = 0
        self._call = call
        self._reported = len(call.dropped)

    async def advance(self, fault: UpstreamFault) -> None:
        """Wait, or move on to the next target. Raises `fault` when nothing is left to try."""
        loop = asyncio.get_running_loop()
        policy = self._policy
        self._call.progress.refused = self._call.attempts
        # What the failed target could not carry says nothing about the next one.
        del self._call.dropped[self._reported :]
        if fault.retryable and self._tries < policy.retries:
            # Full jitter on the upper half spreads callers that failed together.
            delay = min(policy.backoff * 2**self._tries, policy.max_backoff) * random.uniform(0.5, 1.0)
            delay = max(delay, fault.retry_after or 0.0)
            if delay <= policy.max_backoff and loop.time() + delay < self.deadline:
                self._tries += 1
                await asyncio.sleep(delay)
                return
        if not self._rest or loop.time() >= self.deadline:
            raise fault
        self.target = self._rest.pop(0)
        self._tries = 0
