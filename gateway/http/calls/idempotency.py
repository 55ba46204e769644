"""`Idempotency-Key` on model calls: a request that is sent again gets the answer of the first, and one charge.

A keyed call runs in a task of the process, whether its caller stays or not, and its answer is recorded. Whoever sends
the same key with the same body follows the recording, from the beginning; when another process makes the answer, its
end is waited for; later, it comes from the store. What failed before its answer began may be sent again. A row in the
store, made before the call runs, decides between processes; see `gateway.stores.idempotency`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Mapping

import orjson
from aiohttp import web

from gateway.dialect import InboundCall, InboundDialect, keep_alive_of
from gateway.errors import CallerFault, Fault, GatewayFault, Refusal, UpstreamFault
from gateway.http.calls.background import bug
from gateway.http.calls.model_calls import read_call, serve_call
from gateway.http.server.request_context import IDEMPOTENCY_KEY, Flow, RequestContext
from gateway.http.server.request_reading import parse_body, read_body
from gateway.http.streaming.recording import Reader, Recording, RecordingStream
from gateway.http.streaming.sse_response import LAST_BYTES, EventStream, SseResponse
from gateway.runtime import Gateway

REPLAY = "x-gateway-idempotent-replay"
REPEATS_PER_MINUTE = 600
"""How often an account may ask for answers that it has, or that are being made."""
_KEY = re.compile(r"[!-~]{1,255}")
_STREAM = "text/event-stream; charset=utf-8"
# What belongs to one request, not to its answer.
_OF_THE_REQUEST = re.compile(r"server|date|content-length|x-ratelimit-.*")
_SHORTEST_NAP, _LONGEST_NAP = 0.02, 0.25
_LOOK_FOR_THE_DEAD = 1.0
_LAST_WORDS = 2.0


class Entry:
    """What is going on under one key in this process. digest: of the body. followers: callers who wait for it.
    kept: the answer comes from the store. elsewhere: another process makes it."""

    def __init__(self, name: bytes, digest: bytes, limit: int) -> None:
        self.name = name
        self.digest = digest
        self.followers = 0
        self.kept = False
        self.elsewhere = False
        self.given_up = False
        self.task: asyncio.Task[None] | None = None
        self.recording = Recording(limit, self._abandoned)

    def _abandoned(self) -> None:
        """Nobody reads an answer that cannot be kept either."""
        if self.task is not None and not self.followers and not self.given_up:
            self.given_up = True
            self.task.cancel()


class Idempotency:
    """The keyed calls of one process. running: the requests being handled; running keyed calls count among them."""

    def __init__(self, gateway: Gateway, running: set[RequestContext]) -> None:
        self._gateway = gateway
        self._running = running
        self._entries: dict[bytes, Entry] = {}

    async def serve(self, context: RequestContext, dialect: InboundDialect) -> web.StreamResponse:
        """Answer one request with an `Idempotency-Key`. Faults before the answer begins are raised."""
        settings = context.runtime.config.idempotency
        if not settings.keep:
            return await serve_call(context, dialect)
        call = context.new_call(dialect)
        runner = context.begin(call)
        try:
            await runner.identify()
            key = _read_key(context)
            context.raw = await read_body(context.request, context.runtime.body_limits)
            digest = await _digest(context)
            inbound = await read_call(context, call, dialect)
            await context.runtime.pipeline.authorize(call)
        except Fault as fault:
            await runner.fail(fault)
            raise
        except asyncio.CancelledError:
            interruption = context.was_interrupted()
            if interruption is None:
                runner.caller_left()
                raise
            await runner.fail(interruption)
            raise interruption from None
        except Exception as error:  # a bug, ours or a plugin's; it is reported like that of any other call
            await runner.fail(bug(error))
            raise
        assert call.caller is not None
        name = _name(call.caller.account_id, context, key)
        entry = self._entries.get(name)
        first = entry is None
        if entry is None:
            entry = self._entries[name] = Entry(name, digest, settings.max_answer)
            entry.task = self._gateway.spawn(self._settle(entry, context, dialect), f"keyed {context.id}")
            runner.detach(entry.task)
        elif entry.digest != digest:
            raise _conflict()
        return await self._follow(_Follower(entry, context, inbound, first))

    # How the answer comes about.

    async def _settle(self, entry: Entry, context: RequestContext, dialect: InboundDialect) -> None:
        """Find or make the answer; whatever happens, those who follow are told."""
        recording = entry.recording
        try:
            await self._find(entry, context, dialect)
        except Fault as fault:
            recording.fail(fault)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not entry.given_up or task is None:
                raise
            task.uncancel()
        except Exception as error:  # a bug, ours or a plugin's: the callers get a clean 500, we get the trace
            self._gateway.log.exception("keyed call failed", extra={"request_id": context.id})
            recording.fail(bug(error))
        finally:
            del self._entries[entry.name]
            recording.end()

    async def _find(self, entry: Entry, context: RequestContext, dialect: InboundDialect) -> None:
        answers = self._gateway.stores.answers
        caller = context.call.caller if context.call is not None else None
        assert caller is not None
        while True:
            claim = await answers.claim(entry.name, entry.digest, context.id, caller.account_id, _expiry(context))
            if claim.state == "ours":
                entry.elsewhere = False
                await self._run(entry, context, dialect)
                return
            if claim.state == "conflict":
                raise _conflict()
            if claim.state == "too_large":
                raise _too_large()
            if claim.state == "running":
                await self._wait_for_other(entry, context)
                continue
            found = await answers.get(entry.name)
            if found is not None:
                entry.kept = True
                streamed = found.headers.get("content-type") == _STREAM
                entry.recording.give(found.status, found.headers, found.body, streamed=streamed)
                return

    async def _run(self, entry: Entry, context: RequestContext, dialect: InboundDialect) -> None:
        """Make the answer, by the way of any other call, only recorded."""
        recording = entry.recording
        run = RequestContext(
            self._gateway,
            context.runtime,
            context.request,
            context.id,
            context.started,
            context.template,
            context.values,
        )
        run.raw, run.task = context.raw, asyncio.current_task()

        async def keep(_: Recording, last: bytes, fault: Fault | None) -> None:
            headers = {**_relevant(recording.headers), "content-type": _STREAM}
            await self._keep(entry, run, headers, recording.whole + last, fault)

        def record(run: RequestContext, flow: Flow) -> EventStream:
            return RecordingStream(recording, lambda: _without_id(run.headers(), run.id), flow, keep)

        run.recorder = record
        self._running.add(run)
        try:
            response = await serve_call(run, dialect)
            if not recording.begun:
                status, headers, body = _content(response, run.id)
                await self._keep(entry, run, _relevant(headers), body, None)
                recording.give(status, headers, body, streamed=False)
        except BaseException:  # cancellation too; raised again once things are put right
            if entry.given_up:
                await self._store(entry, run, 0, {}, b"")
            elif not recording.begun:
                await self._release(entry, run)
            raise
        finally:
            self._running.discard(run)
            # The bill of the run stands in the log line of the request that began it.
            context.call, context.runner = run.call, run.runner

    async def _keep(
        self, entry: Entry, run: RequestContext, headers: Mapping[str, str], body: bytes, fault: Fault | None
    ) -> None:
        """Store a finished answer before its last byte is given out. One that we broke off ourselves may run again."""
        if isinstance(fault, GatewayFault):
            await self._guarded(run, self._gateway.stores.answers.break_off(entry.name, run.id))
        elif entry.recording.too_large or len(body) > run.runtime.config.idempotency.max_answer:
            await self._store(entry, run, 0, {}, b"")
        else:
            await self._store(entry, run, 200, headers, body)

    async def _store(
        self, entry: Entry, run: RequestContext, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        answers = self._gateway.stores.answers
        expires = _expiry(run)
        await self._guarded(
            run, answers.finish(entry.name, run.id, status=status, headers=headers, body=body, expires=expires)
        )

    async def _release(self, entry: Entry, run: RequestContext) -> None:
        """There was no answer: the same request may come again."""
        answers = self._gateway.stores.answers
        outcome = run.runner.outcome if run.runner is not None else None
        free = outcome is None or outcome.basis == "void"
        await self._guarded(run, (answers.drop if free else answers.break_off)(entry.name, run.id))

    async def _guarded(self, run: RequestContext, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:  # an answer that is paid for is given, whatever the database says; see `Answers.claim`
            self._gateway.log.exception("an answer could not be kept", extra={"request_id": run.id})

    async def _wait_for_other(self, entry: Entry, context: RequestContext) -> None:
        """Return when no living process makes this answer any more."""
        stores = self._gateway.stores
        entry.elsewhere = True
        loop = asyncio.get_running_loop()
        look = loop.time()
        end = look + context.runtime.config.upstream.total
        nap = _SHORTEST_NAP
        while await stores.answers.is_running(entry.name):
            if loop.time() >= end or not entry.followers:
                raise UpstreamFault(
                    "The request with this Idempotency-Key is still running; try again later.",
                    status=504,
                    code="idempotency_timeout",
                )
            if loop.time() >= look:
                # A process that was killed does not say so; its calls are resolved before they may run again.
                await stores.fail_over_holds()
                look = loop.time() + _LOOK_FOR_THE_DEAD
            await asyncio.sleep(nap)
            nap = min(nap * 1.5, _LONGEST_NAP)

    # How it is given.

    async def _follow(self, follower: _Follower) -> web.StreamResponse:
        context, entry = follower.context, follower.entry
        entry.followers += 1
        try:
            if not follower.first:
                await self._throttle(context)
            await follower.wait_for_beginning()
            if follower.first and entry.kept:
                await self._throttle(context)
            return await follower.give()
        except asyncio.CancelledError:
            interruption = context.was_interrupted()
            if interruption is None:
                raise
            if not follower.outlet.begun:
                raise interruption from None
            # What makes the answer was interrupted as well, and tells in the stream how it ends.
            async with asyncio.timeout(_LAST_WORDS):
                return await follower.finish()
        finally:
            entry.followers -= 1
            entry.recording.leave(follower.reader)

    async def _throttle(self, context: RequestContext) -> None:
        """Answers that are given again are no calls, so no policy counts them."""
        caller = context.call.caller if context.call is not None else None
        assert caller is not None
        limits = [(f"repeats:{caller.account_id}", REPEATS_PER_MINUTE)]
        (window,) = await self._gateway.stores.counters.hit(limits, 60.0)
        if not window.allowed:
            raise Refusal(
                f"Too many repeated requests: at most {window.limit} in a minute.",
                status=429,
                type="rate_limit",
                code="rate_limit_exceeded",
                retry_after=window.retry_after,
            )


class _Follower:
    """One caller who is given what is recorded. first: whose request is the one that runs."""

    def __init__(self, entry: Entry, context: RequestContext, inbound: InboundCall, first: bool) -> None:
        self.entry = entry
        self.context = context
        self.first = first
        self.reader = Reader(entry.recording)
        self.outlet = SseResponse(context.request, self._headers, self.reader.flow)
        self.reader.outlet = self.outlet
        self._inbound = inbound
        self._conductor = context.runner

    async def give(self) -> web.StreamResponse:
        """The whole answer, once it has begun. Faults before are raised."""
        recording = self.entry.recording
        if not recording.begun:
            fault = recording.fault or _too_large()
            if not self.outlet.begun:
                raise fault
            self.outlet.write(self._inbound.relay(None).fail(fault, self.context.id))
            return await self.outlet.end(0)
        if not recording.streamed:
            return web.Response(status=recording.status, body=recording.whole, headers=self._headers())
        if recording.cut:
            raise _too_large()
        await self.outlet.begin()
        recording.join(self.reader)
        return await self.finish()

    async def finish(self) -> web.StreamResponse:
        """Wait until the recording has ended and is written out, then close the stream."""
        assert self._conductor is not None
        seconds = max(self._conductor.remaining(), LAST_BYTES)
        try:
            async with asyncio.timeout(seconds):
                await self.reader.read_all()
            broken = self.entry.recording.fault is not None
        except TimeoutError:  # a caller who does not read
            broken = True
        transport = self.context.request.transport
        if broken and transport is not None:
            transport.abort()
        return await self.outlet.end(self._conductor.remaining())

    async def wait_for_beginning(self) -> None:
        """With keep-alives while another process makes a stream; one that is made here keeps itself alive."""
        recording = self.entry.recording
        quiet = self.context.runtime.config.server.keep_alive or None
        while not (recording.begun or recording.ended):
            try:
                async with asyncio.timeout(quiet):
                    await recording.wait()
            except TimeoutError:
                if self.entry.elsewhere and self.context.call is not None and self.context.call.stream:
                    await self.outlet.begin()
                    self.outlet.write(keep_alive_of(self.context.dialect))

    def _headers(self) -> dict[str, str]:
        """This request's own headers, and those of the answer."""
        recorded = self.entry.recording.headers
        if self.first and not (self.entry.kept or self.entry.elsewhere):
            return {**self.context.headers(), **recorded}
        return {**self.context.headers(), **_relevant(recorded), REPLAY: "true"}


def _read_key(context: RequestContext) -> str:
    keys = context.request.headers.getall(IDEMPOTENCY_KEY)
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise CallerFault(
            "Idempotency-Key: expected one header of 1 to 255 visible ASCII characters.",
            code="invalid_idempotency_key",
            param="Idempotency-Key",
        )
    return keys[0]


async def _digest(context: RequestContext) -> bytes:
    """Of the body as JSON, so that white space and the order of members do not count. Raises CallerFault."""
    body = await parse_body(context.raw or b"", context.runtime.config.server)
    return hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=32).digest()


def _name(account_id: str, context: RequestContext, key: str) -> bytes:
    """Of account, route and key; the API's prefixes are equal."""
    route = (context.template.removeprefix("/api"), *(f"{name}={value}" for name, value in context.values.items()))
    return hashlib.blake2b("\0".join((account_id, *route, key)).encode(), digest_size=32).digest()


def _expiry(context: RequestContext) -> int:
    return int(time.time() + context.runtime.config.idempotency.keep)


def _content(response: web.StreamResponse, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer that is no stream."""
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(body, bytes | bytearray):
        raise GatewayFault("The gateway failed to read its own answer.")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return response.status, _without_id(headers, request_id), bytes(body)


def _without_id(headers: Mapping[str, str], request_id: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if value != request_id}


def _relevant(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not _OF_THE_REQUEST.fullmatch(name)}


def _conflict() -> CallerFault:
    return CallerFault(
        "Idempotency-Key: this key was used for a request with another body. Use a new key for a new request.",
        status=409,
        code="idempotency_conflict",
        param="Idempotency-Key",
    )


def _too_large() -> CallerFault:
    return CallerFault(
        "Idempotency-Key: this request was answered and billed, but its answer was too large to be kept "
        "(idempotency.max_answer). Use a new key to send it again.",
        status=409,
        code="idempotency_answer_too_large",
        param="Idempotency-Key",
    )
