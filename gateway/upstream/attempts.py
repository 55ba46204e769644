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
from typing import Any

from gateway.call import Call, Target
from gateway.dialect import Relay
from gateway.errors import CallerFault, Fault, UpstreamFault
from gateway.fetch import CallMedia, MediaFetcher
from gateway.provider import (
    Embeds,
    Exchange,
    Provider,
    Sink,
    Transport,
    UpstreamReply,
    WantsMedia,
)
from gateway.upstream.fan_out import FanOut, gather_all, merge_completions, part_of, parts_needed
from gateway.upstream.stream_pump import StreamPump, WholeReply
from gateway.upstream.timeouts import Limits, time_limit_passed
from gateway.upstream.translation import Translation


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

    async def whole(self, call: Call, deadline: float) -> dict[str, Any]:
        """A whole chat completion, or a response object (`call.answered_in`). Raises the Fault of the last attempt
        when none succeeded."""
        plan = _Plan(call, self._policy, deadline)
        while True:
            try:
                return await self._fetch(call, plan, deadline)
            except UpstreamFault as fault:
                await plan.advance(fault)

    async def stream(
        self,
        call: Call,
        deadline: float,
        make_relay: Callable[[], Relay],
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
                return await self._open(call, plan, deadline, make_relay, quiet, on_silence)
            except UpstreamFault as fault:
                await plan.advance(fault)

    async def _fetch(self, call: Call, plan: _Plan, deadline: float) -> dict[str, Any]:
        target = plan.target
        provider = self._find_provider(target.provider)
        speech = Translation(call, provider, target, _fault_of)
        ready = speech.call
        if hasattr(provider, "media_urls"):
            ready = await self._with_media(ready, provider, plan)
        count = parts_needed(call, provider)
        if count == 1:
            return await self._fetch_one(call, ready, speech, provider, target, deadline)
        parts = (part_of(ready) for _ in range(count))
        return merge_completions(
            await gather_all([self._fetch_one(call, part, speech, provider, target, deadline) for part in parts])
        )

    async def _fetch_one(
        self, call: Call, part: Call, speech: Translation, provider: Provider, target: Target, deadline: float
    ) -> dict[str, Any]:
        """One request and its answer. part: the call itself, or the share of it that this request is for, or the call
        with its media in it."""
        sink = WholeReply(self._limits, deadline)
        try:
            sink.exchange = self._send(call, part, provider, target, sink)
            reply = await sink.result
        finally:
            sink.close()
        if reply.status >= 300:
            raise _fault_of(provider, reply)
        if call.operation == "embeddings":
            return _embedder(provider, target).read_embeddings(part, reply)
        return speech.read_reply(part, reply)

    async def _open(
        self,
        call: Call,
        plan: _Plan,
        deadline: float,
        make_relay: Callable[[], Relay],
        quiet: float,
        on_silence: Callable[[], Awaitable[None]],
    ) -> StreamPump:
        target = plan.target
        provider = self._find_provider(target.provider)
        speech = Translation(call, provider, target, _fault_of)
        ready = speech.call
        if hasattr(provider, "media_urls"):
            ready = await self._with_media(ready, provider, plan)
        pump = StreamPump(speech, make_relay(), self._limits, deadline, quiet)
        try:
            pump.exchange = self._begin(call, ready, provider, target, pump)
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

    async def _with_media(self, call: Call, provider: Provider, plan: _Plan) -> Call:
        """The call as a provider takes it that wants bytes, with media in the place of URLs. Raises Fault."""
        if not isinstance(provider, WantsMedia) or call.operation != "chat" or call.dialect != "chat":
            return call
        if plan.media is None:
            plan.media = CallMedia(self._fetcher)
        try:
            async with asyncio.timeout_at(plan.deadline):
                return await plan.media.fill(call, plan.target, provider.media_urls)
        except TimeoutError:
            raise time_limit_passed("total") from None

    def _begin(self, call: Call, ready: Call, provider: Provider, target: Target, pump: StreamPump) -> Exchange:
        count = parts_needed(call, provider)
        if count == 1:
            return self._send(call, ready, provider, target, pump)
        parts = [part_of(ready) for _ in range(count)]
        readers = [Translation(part, provider, target, _fault_of) for part in parts]
        fan_out = FanOut(readers, self._limits, pump.deliver, pump.end)
        try:
            for part, sink in zip(parts, fan_out.parts, strict=True):
                sink.exchange = self._send(call, part, provider, target, sink)
        except BaseException:  # cancellation too; raised again once things are put right
            fan_out.cancel()
            raise
        return fan_out

    def _send(self, call: Call, part: Call, provider: Provider, target: Target, sink: Sink) -> Exchange:
        call.target = part.target = target
        if call.operation == "embeddings":
            request = _embedder(provider, target).build_embeddings(part, target)
        else:
            request = provider.build_request(part, target)
        call.attempts += 1
        self._dispatched(call, target)
        return (provider.transport or self._transport).send(request, sink)


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


def _embedder(provider: Provider, target: Target) -> Embeds:
    if isinstance(provider, Embeds):
        return provider
    raise CallerFault(f"The model '{target.model}' makes no embeddings.", code="unsupported_operation", param="model")


def _fault_of(provider: Provider, reply: UpstreamReply) -> Fault:
    if reply.status < 400:
        return UpstreamFault(
            "The provider answered with a redirect, which the gateway does not follow.", code="upstream_redirect"
        )
    return provider.read_fault(reply)
