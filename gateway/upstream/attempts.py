"""Sending a call: targets in order, retries with backoff, and never a second try once a byte was relayed.

What is tried again: failed connections, 429, 5xx, and a first byte that came too late, each only before anything of an
answer reached the caller. Where it is tried says `gateway.upstream.plan`. What the caller did wrong is not tried again
anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from gateway.aside import SMALL, Aside
from gateway.call import Call, Target
from gateway.costs import CONVERSATIONS, Owns, check_kept, nobody_owns, read_costs
from gateway.dialect import Relay
from gateway.errors import CallerFault, Fault, GatewayFault, UpstreamFault
from gateway.fetch import CallMedia, Links, MediaFetcher
from gateway.operations import OPERATIONS
from gateway.profile import COMPLETIONS, Dialect
from gateway.provider import Answer, Attempt, Exchange, MediaProvider, Provider, Sink, Tally, Transport, UpstreamRequest
from gateway.records import AttemptRecord
from gateway.upstream.fan_out import FanOut, gather_all, merge_answers, part_of, parts_needed
from gateway.upstream.filtering import FilteredReader
from gateway.upstream.lanes import Lanes, Observe, Try
from gateway.upstream.output_limit import OutputLimit
from gateway.upstream.plan import Plan, RetryPolicy
from gateway.upstream.reading import fault_of
from gateway.upstream.stream_pump import StreamPump, WholeReply
from gateway.upstream.timeouts import time_limit_passed
from gateway.upstream.translation import Spoken, speak
from gateway.wire.chat.plain import says_only_words
from gateway.wire.kept_ids import KeptId

_CHECKED = CONVERSATIONS | {"plain"}
"""Dialects whose bodies say in known words what they want of a provider; a plugin's own it checks itself."""

Tap = Callable[[Call, Target, Attempt, Sink], Sink]

MakeRelay = Callable[[Dialect], Relay]
"""A fresh relay for the caller's side of one attempt, by the dialect of what it will be fed."""


def unobserved(call: Call, record: AttemptRecord) -> None:
    """What a dispatcher tells its attempts that has no observer."""


class Dispatcher:
    """Sends calls to providers.

    lanes: the ways to the targets, and the limits there. transport: for providers that bring none.
    total: seconds that a call may take, over all its attempts.
    dispatched: called right before each request goes out (the hook `before_dispatch`); returns headers to go with it.
    fetcher: for providers that want media as bytes, None where the operator has not enabled `fetch`.
    observe: told of every attempt that is over.
    aside: where big requests are translated, None for at once.
    tap: puts a sink that records before another, None where none does.
    links: judges the URLs of media that providers fetch themselves, None for no judge.
    owns: whether an account got an id at a provider through this gateway.
    """

    def __init__(
        self,
        lanes: Lanes,
        transport: Transport,
        total: float,
        policy: RetryPolicy,
        dispatched: Callable[[Call, Target], Mapping[str, str]],
        fetcher: MediaFetcher | None = None,
        observe: Observe = unobserved,
        aside: Aside | None = None,
        tap: Tap | None = None,
        links: Links | None = None,
        owns: Owns = nobody_owns,
    ) -> None:
        self._lanes = lanes
        self._transport = transport
        self._total = total
        self._policy = policy
        self._dispatched = dispatched
        self._fetcher = fetcher
        self._observe = observe
        self._aside = aside or Aside()
        self._tap = tap
        self._links = links
        self._owns = owns

    def deadline(self) -> float:
        """The loop time at which a call that starts now must be over (`upstream.total`)."""
        return asyncio.get_running_loop().time() + self._total

    async def whole(self, call: Call, deadline: float) -> Answer:
        """A whole answer. Raises the Fault of the last attempt when none succeeded."""
        plan = Plan(call, self._lanes, self._policy, deadline)
        while True:
            if plan.last_resort:
                await plan.ready()
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
        on_try: Callable[[Tally], None] | None = None,
    ) -> StreamPump:
        """A pump whose first output waits in it, or that ended well without any.

        on_silence: awaited after each `quiet` seconds in which nothing came yet. on_try: is given the tally of each
        attempt, which may tell what its opening used.
        Raises the Fault of the last attempt when none began to answer.
        """
        plan = Plan(call, self._lanes, self._policy, deadline)
        while True:
            if plan.last_resort:
                await plan.ready()
            try:
                return await self._open(call, plan, make_relay, quiet, on_silence, on_try)
            except UpstreamFault as fault:
                await plan.advance(fault)

    def rests(self, target: Target) -> bool:
        """Whether all ways to a target rest after failures, so that it is passed over while another is well."""
        return self._lanes.choose(target, asyncio.get_running_loop().time(), ()) is None

    async def preview(self, call: Call, target: Target) -> list[UpstreamRequest]:
        """What would go out to `target` for a call that is explained. Nothing is sent or fetched. Raises Fault."""
        plan = Plan(call, self._lanes, self._policy, self.deadline())
        found = self._lanes.choose(target, plan.clock(), ()) or self._lanes.of(target)[0][0]
        plan.target, plan.lane = target, found
        return [attempt.request for attempt in await self._prepare(call, plan)]

    async def _fetch(self, call: Call, plan: Plan) -> Answer:
        attempts = await self._prepare(call, plan)
        tried = self._try(call, plan)
        try:
            if len(attempts) == 1:
                answer = await self._fetch_one(call, plan, attempts[0])
            else:
                answer = merge_answers(await gather_all([self._fetch_one(call, plan, one) for one in attempts]))
        except Fault as fault:
            tried.end(fault)
            raise
        except BaseException:  # cancellation too; raised again once things are put right
            tried.give_up()
            raise
        tried.end(None)
        if call.max_output is None:
            return answer
        limit = OutputLimit(call.max_output, OPERATIONS[call.operation].choices(call.body))
        size = 4 * answer.output_tokens
        return limit.end(answer) if size <= SMALL else await self._aside(size, limit.end, answer)

    def _try(self, call: Call, plan: Plan) -> Try:
        return Try(call, plan.target, plan.lane, plan.clock, self._observe)

    async def _fetch_one(self, call: Call, plan: Plan, attempt: Attempt) -> Answer:
        sink = WholeReply(*plan.limits())
        try:
            sink.exchange = self._send(call, plan, attempt, sink)
            reply = await sink.result
        finally:
            sink.close()
        if reply.status >= 300:
            raise fault_of(attempt.reader, reply)
        read, size = attempt.reader.read_reply, len(reply.body)
        return read(reply) if size <= SMALL else await self._aside(size, read, reply)

    async def _open(
        self,
        call: Call,
        plan: Plan,
        make_relay: MakeRelay,
        quiet: float,
        on_silence: Callable[[], Awaitable[None]],
        on_try: Callable[[Tally], None] | None = None,
    ) -> StreamPump:
        attempts = await self._prepare(call, plan)
        reader = attempts[0].reader
        choices = OPERATIONS[call.operation].choices(call.body)
        tally = reader.open_tally(choices)
        if on_try is not None:
            on_try(tally)
        pump = StreamPump(reader, tally, make_relay(reader.dialect), *plan.limits(), quiet)
        pump.attempt = self._try(call, plan)
        if call.max_output is not None:
            pump.limit = OutputLimit(call.max_output, choices)
        try:
            pump.exchange = self._begin(call, plan, attempts, pump)
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

    async def _prepare(self, call: Call, plan: Plan) -> list[Attempt]:
        """What goes out to the target of `plan`: one request, or one for each choice. Raises Fault."""
        target = plan.target
        operation = OPERATIONS[call.operation]
        if not operation.done_by(target.profile):
            raise CallerFault(
                f"The model '{target.model}' {operation.cannot}.", code="unsupported_operation", param="model"
            )
        provider = plan.lane.endpoint.provider
        small = call.size <= SMALL
        said = _say(call, target) if small else await self._aside(call.size, _say, call, target)
        spoken, ready = said.spoken, said.spoken.call
        if said.kept:
            await check_kept(ready, said.kept, target, self._owns)
        if target.profile.media == "bytes" and operation.takes_media and ready.dialect == "chat":
            # That such a provider names its media was checked when it was loaded.
            ready = await self._with_media(ready, cast("MediaProvider", provider), plan)
        count = parts_needed(operation.choices(call.body), target)
        make = _make_one if count == 1 else _make_parts
        given = provider, ready, target, count
        made = make(*given) if small else await self._aside(call.size, make, *given)
        if self._links is not None and operation.takes_media and not said.plain:
            names = await self._aside(call.size, self._links.judge, ready.body)
            if names:
                await self._links.check(names, made[0].request.url)
        return [self._read_as_asked(call, spoken, attempt) for attempt in made]

    @staticmethod
    def _read_as_asked(call: Call, spoken: Spoken, attempt: Attempt) -> Attempt:
        reader = spoken.reader(attempt.reader)
        if call.answer_filters:
            reader = FilteredReader(reader, call.answer_filters)
        return attempt if reader is attempt.reader else Attempt(attempt.request, reader)

    async def _with_media(self, call: Call, provider: MediaProvider, plan: Plan) -> Call:
        """The call as a provider takes it that wants bytes, with media in the place of URLs. Raises Fault."""
        if call.explanation is not None and self._fetcher is not None and (urls := provider.media_urls(call.body)):
            raise GatewayFault(
                f"The request is made of the bytes of {len(urls)} media, which the gateway fetches first.",
                code="media_not_fetched",
            )
        if plan.media is None:
            plan.media = CallMedia(self._fetcher)
        try:
            async with asyncio.timeout_at(plan.deadline):
                return await plan.media.fill(call, plan.target, provider.media_urls, self._aside)
        except TimeoutError:
            raise time_limit_passed("total") from None

    def _begin(self, call: Call, plan: Plan, attempts: list[Attempt], pump: StreamPump) -> Exchange:
        if len(attempts) == 1:
            return self._send(call, plan, attempts[0], pump)
        fan_out = FanOut([attempt.reader for attempt in attempts], plan.limits()[0], pump.deliver, pump.end)
        try:
            for attempt, sink in zip(attempts, fan_out.parts, strict=True):
                sink.exchange = self._send(call, plan, attempt, sink)
        except BaseException:  # cancellation too; raised again once things are put right
            fan_out.cancel()
            raise
        return fan_out

    def _send(self, call: Call, plan: Plan, attempt: Attempt, sink: Sink) -> Exchange:
        progress = call.progress
        progress.target = plan.target
        progress.attempts += 1
        more = self._dispatched(call, plan.target)
        request = attempt.request
        if more:
            request = replace(request, headers={**more, **request.headers})
        connect = self._lanes.of(plan.target)[1].connect
        if connect is not None:
            request = replace(request, connect=connect)
        if self._tap is not None:
            sink = self._tap(call, plan.target, attempt, sink)
        transport = plan.lane.endpoint.provider.transport or self._transport
        return transport.send(request, sink)


class _Said(NamedTuple):
    """A call as one target is told it. kept: ids in it of what the provider keeps, which its account must own. plain:
    it is nothing but words (`gateway.wire.chat.plain`)."""

    spoken: Spoken
    kept: Sequence[KeptId] = ()
    plain: bool = False


def _say(call: Call, target: Target) -> _Said:
    """Raises CallerFault for what cannot be said there, or asks for what costs more than the prices say."""
    operation = OPERATIONS[call.operation]
    as_it_is = call.dialect == "chat" and not call.forms and not operation.over and "chat" in target.profile.dialects
    if as_it_is and operation.in_dialects and says_only_words(call.body):
        return _Said(Spoken(call), plain=True)
    spoken = speak(call, target)
    ready = spoken.call
    # A completion's own words are those of a chat, but for the prompts, which name nothing.
    said, dialect = (call.body, "chat") if ready.dialect == COMPLETIONS else (ready.body, ready.dialect)
    if not operation.in_dialects:
        dialect = "plain"
    return _Said(spoken, read_costs(said, dialect, target) if dialect in _CHECKED else ())


def _make_one(provider: Provider, call: Call, target: Target, count: int) -> list[Attempt]:
    return [provider.prepare(call, target)]


def _make_parts(provider: Provider, call: Call, target: Target, count: int) -> list[Attempt]:
    return [provider.prepare(part_of(call), target) for _ in range(count)]
