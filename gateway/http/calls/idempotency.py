"""`Idempotency-Key` on model calls: a request that is sent again gets the answer of the first, and one charge.

A keyed call runs in a task of the process, whether its caller stays or not, and its answer is recorded. Whoever sends
the same key with the same body follows the recording, from the beginning; when another process makes the answer, its
end is waited for; later, it comes from the store. What failed before its answer began may be sent again. A row in the
store, made before the call runs, decides between processes; see `gateway.stores.idempotency`.

Every request is identified and read once, in its handler. It is authorized once: that of the call that runs as part of
its admission, any other before it is given an answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Mapping
from typing import Any

import orjson

from gateway.dialect import InboundCall, InboundDialect, keep_alive_of, stream_type_of
from gateway.errors import CallerFault, Fault, GatewayFault, UpstreamFault, too_fast
from gateway.http import web
from gateway.http.calls.keyed_answer import KeyedAnswer, relevant_headers
from gateway.http.calls.model_calls import answer_call, open_call, serve_call
from gateway.http.server.request_context import IDEMPOTENCY_KEY, SSE_TYPE, RequestContext
from gateway.http.streaming.sse_response import LAST_BYTES, SseResponse
from gateway.runner.lifecycle import CallRunner
from gateway.runner.recording import Reader, Recording
from gateway.runtime import Gateway
from gateway.wire.multipart import describe_uploads

REPLAY = "x-gateway-idempotent-replay"
REPEATS_PER_MINUTE = 600
"""How often an account may ask for answers that it has, or that are being made."""
_KEY = re.compile(r"[!-~]{1,255}")
_SHORTEST_NAP, _LONGEST_NAP = 0.02, 0.25
_LOOK_FOR_THE_DEAD = 1.0
_LAST_WORDS = 2.0


class KeyedCall:
    """What is going on under one key in this process.

    name: a digest of account, route and key.
    digest: of the body.
    followers: callers who wait for it.
    from_store: the answer comes from there.
    elsewhere: another process makes it.
    given_up: nobody waits for an answer that cannot be kept either.
    task: in which it is found or made.
    """

    def __init__(self, name: bytes, digest: bytes, limit: int) -> None:
        self.name = name
        self.digest = digest
        self.followers = 0
        self.from_store = False
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
    """The keyed calls of one process."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._keyed: dict[bytes, KeyedCall] = {}

    async def serve(self, context: RequestContext, dialect: InboundDialect) -> web.StreamResponse:
        """Answer one request with an `Idempotency-Key`. Faults before the answer begins are raised."""
        settings = context.runtime.config.idempotency
        if not settings.keep:
            return await serve_call(context, dialect)
        runner = context.begin(context.new_call(dialect))
        key = digest = b""

        async def read() -> InboundCall:
            nonlocal key, digest
            key = _read_key(context)
            body = await context.read_body_for(dialect)
            digest = await context.aside(_digest, body)  # before the dialect may change it
            return await open_call(context, dialect, runner, body)

        inbound = await runner.open(read)
        name = _name(account_of(runner), context, key)
        keyed = self._keyed.get(name)
        first = keyed is None
        if keyed is None:
            keyed = self._keyed[name] = KeyedCall(name, digest, settings.max_answer)
            keyed.task = runner.detach(self._settle(keyed, context, runner, inbound), f"keyed {context.id}")
        else:
            await runner.authorize()
            if keyed.digest != digest:
                raise _conflict()
        return await self._follow(_Follower(keyed, context, runner, inbound, first))

    # How the answer comes about.

    async def _settle(
        self, keyed: KeyedCall, context: RequestContext, runner: CallRunner, inbound: InboundCall
    ) -> None:
        """Find or make the answer; whatever happens, those who follow are told."""
        try:
            await runner.guard(self._find(keyed, context, runner, inbound))
        except Fault as fault:
            keyed.recording.fail(fault)
        finally:
            del self._keyed[keyed.name]
            keyed.recording.end()

    async def _find(self, keyed: KeyedCall, context: RequestContext, runner: CallRunner, inbound: InboundCall) -> None:
        answers = self._gateway.stores.idempotency
        authorized = False
        while True:
            if not await self._quota_has_room(keyed, context, runner):
                return
            claim = await answers.claim(keyed.name, keyed.digest, context.id, account_of(runner), _expiry(context))
            if claim.state == "ours":
                keyed.elsewhere = False
                await self._run(keyed, context, runner, inbound)
                return
            if not authorized:
                await runner.authorize()
                authorized = True
            # What a repeat is refused with is the answer to its request, not the end of a call: nothing is billed or
            # logged as a call.
            refused: Fault | None = None
            if claim.state == "conflict":
                refused = _conflict()
            elif claim.state == "too_large":
                refused = _too_large()
            elif claim.state == "running":
                if await self._wait_for_other(keyed, context):
                    continue
                refused = _still_running()
            if refused is not None:
                keyed.recording.fail(refused)
                return
            found = await answers.get(keyed.name)
            if found is not None:
                keyed.from_store = True
                streamed = found.headers.get("content-type") == SSE_TYPE
                keyed.recording.give(found.status, found.headers, found.body, streamed=streamed)
                return

    async def _quota_has_room(self, keyed: KeyedCall, context: RequestContext, runner: CallRunner) -> bool:
        """False when there is no room for an answer; one that is there already is given all the same."""
        quota, account = context.runtime.quota, account_of(runner)
        if await quota.has_room(account) or await self._gateway.stores.idempotency.get(keyed.name) is not None:
            return True
        try:
            await quota.check(account, "The answer to this Idempotency-Key")
        except Fault as fault:
            keyed.recording.fail(fault)
            return False
        return True

    async def _run(self, keyed: KeyedCall, context: RequestContext, runner: CallRunner, inbound: InboundCall) -> None:
        """Make the answer, by the way of any other call, only recorded."""

        async def keep(status: int, headers: Mapping[str, str], body: bytes, fault: Fault | None) -> None:
            await self._keep(keyed, context, status, headers, body, fault)

        answer = KeyedAnswer(keyed.recording, context, inbound, keep)
        try:
            await answer_call(context, runner, inbound, answer)
        except BaseException:  # cancellation too; raised again once things are put right
            if keyed.given_up:
                await self._store(keyed, context, 0, {}, b"")
            elif not keyed.recording.begun:
                await self._release(keyed, context, runner)
            raise

    async def _keep(
        self,
        keyed: KeyedCall,
        context: RequestContext,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        fault: Fault | None,
    ) -> None:
        """Store a finished answer before its last byte is given out. One that we broke off ourselves may run again."""
        if isinstance(fault, GatewayFault):
            await self._guarded(context, self._gateway.stores.idempotency.break_off(keyed.name, context.id))
        elif keyed.recording.too_large or len(body) > context.runtime.config.idempotency.max_answer:
            await self._store(keyed, context, 0, {}, b"")
        else:
            await self._store(keyed, context, status, headers, body)

    async def _store(
        self, keyed: KeyedCall, context: RequestContext, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        answers = self._gateway.stores.idempotency
        expires = _expiry(context)
        await self._guarded(
            context, answers.finish(keyed.name, context.id, status=status, headers=headers, body=body, expires=expires)
        )

    async def _release(self, keyed: KeyedCall, context: RequestContext, runner: CallRunner) -> None:
        """There was no answer: the same request may come again."""
        answers = self._gateway.stores.idempotency
        free = runner.outcome is None or runner.outcome.basis == "void"
        await self._guarded(context, (answers.drop if free else answers.break_off)(keyed.name, context.id))

    async def _guarded(self, context: RequestContext, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:  # an answer that is paid for is given, whatever the database says; see `Idempotency.claim`
            self._gateway.log.exception("an answer could not be kept", extra={"request_id": context.id})

    async def _wait_for_other(self, keyed: KeyedCall, context: RequestContext) -> bool:
        """Wait until no living process makes this answer any more; False when that takes too long, or nobody waits."""
        stores = self._gateway.stores
        keyed.elsewhere = True
        loop = asyncio.get_running_loop()
        look = loop.time()
        end = look + context.runtime.config.upstream.total
        nap = _SHORTEST_NAP
        while await stores.idempotency.is_running(keyed.name):
            if loop.time() >= end or not keyed.followers:
                return False
            if loop.time() >= look:
                # A process that was killed does not say so; its calls are resolved before they may run again.
                await self._gateway.fail_over()
                look = loop.time() + _LOOK_FOR_THE_DEAD
            await asyncio.sleep(nap)
            nap = min(nap * 1.5, _LONGEST_NAP)
        return True

    # How it is given.

    async def _follow(self, follower: _Follower) -> web.StreamResponse:
        context, keyed = follower.context, follower.keyed
        keyed.followers += 1
        try:
            if not follower.first:
                await self._throttle(follower.runner)
            await follower.wait_for_beginning()
            if follower.first and keyed.from_store:
                await self._throttle(follower.runner)
            return await follower.give()
        except asyncio.CancelledError:
            interruption = context.was_interrupted()
            if interruption is None:
                raise
            if not follower.stream.begun:
                raise interruption from None
            # What makes the answer was interrupted as well, and tells in the stream how it ends.
            async with asyncio.timeout(_LAST_WORDS):
                return await follower.finish()
        finally:
            keyed.followers -= 1
            keyed.recording.leave(follower.reader)

    async def _throttle(self, runner: CallRunner) -> None:
        """Answers that are given again are no calls, so no policy counts them."""
        limits = [(f"repeats:{account_of(runner)}", REPEATS_PER_MINUTE)]
        (window,) = await self._gateway.stores.counters.hit(limits, 60.0)
        if not window.allowed:
            raise too_fast(
                f"Too many repeated requests: at most {window.limit} in a minute.",
                retry_after=window.retry_after,
            )


class _Follower:
    """One caller who is given what is recorded. first: whose request is the one that runs."""

    def __init__(
        self, keyed: KeyedCall, context: RequestContext, runner: CallRunner, inbound: InboundCall, first: bool
    ) -> None:
        self.keyed = keyed
        self.context = context
        self.runner = runner
        self.first = first
        quiet = context.runtime.config.server.keep_alive
        sign_of_life = keep_alive_of(context.dialect)
        self.stream = SseResponse(
            context.request,
            self._headers,
            quiet=quiet,
            sign_of_life=sign_of_life,
            copy=context.copy_stream(),
            media_type=stream_type_of(inbound),
        )
        self.reader = Reader(keyed.recording, self.stream)
        self._inbound = inbound

    async def give(self) -> web.StreamResponse:
        """The whole answer, once it has begun. Faults before are raised."""
        recording, stream = self.keyed.recording, self.stream
        if not recording.begun:
            fault = recording.fault or _too_large()
            if not stream.begun:
                raise fault
            await stream.end(self._inbound.relay(None).fail(fault, self.context.id), fault, 0)
            return stream.response
        if not recording.streamed:
            return web.Response(status=recording.status, body=recording.whole, headers=self._headers())
        if recording.beginning_lost:
            raise _too_large()
        await stream.begin(self.reader.flow)
        recording.join(self.reader)
        return await self.finish()

    async def finish(self) -> web.StreamResponse:
        """Wait until the recording has ended and is written out, then close the stream."""
        seconds = max(self.runner.remaining(), LAST_BYTES)
        try:
            async with asyncio.timeout(seconds):
                await self.reader.read_all()
            broken = self.keyed.recording.fault is not None
        except TimeoutError:  # a caller who does not read
            broken = True
        transport = self.context.request.transport
        if broken and transport is not None:
            transport.abort()
        await self.stream.end(b"", None, self.runner.remaining())
        return self.stream.response

    async def wait_for_beginning(self) -> None:
        """With keep-alives while another process makes a stream; one that is made here keeps itself alive."""
        recording = self.keyed.recording
        while not (recording.begun or recording.ended):
            try:
                async with asyncio.timeout(self.stream.quiet or None):
                    await recording.wait()
            except TimeoutError:
                if self.keyed.elsewhere and self.runner.call.stream:
                    await self.stream.begin(self.reader.flow)
                    self.stream.keep_alive()

    def _headers(self) -> dict[str, str]:
        """This request's own headers, and those of the answer."""
        recorded = self.keyed.recording.headers
        if self.first and not (self.keyed.from_store or self.keyed.elsewhere):
            return {**self.context.headers(), **recorded}
        return {**self.context.headers(), **relevant_headers(recorded), REPLAY: "true"}


def account_of(runner: CallRunner) -> str:
    """Whose call it is; known once the runner has opened it."""
    assert runner.call.caller is not None
    return runner.call.caller.account_id


def _read_key(context: RequestContext) -> bytes:
    keys = context.request.headers.getall(IDEMPOTENCY_KEY)
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise CallerFault(
            "Idempotency-Key: expected one header of 1 to 255 visible ASCII characters.",
            code="invalid_idempotency_key",
            param="Idempotency-Key",
        )
    return keys[0].encode()


def _digest(body: dict[str, Any]) -> bytes:
    """Of the body as JSON, so that white space and the order of members do not count."""
    raw = orjson.dumps(body, default=describe_uploads, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS)
    return hashlib.blake2b(raw, digest_size=32).digest()


def _name(account_id: str, context: RequestContext, key: bytes) -> bytes:
    """Of account, route and key; the API's prefixes are equal."""
    route = (context.template.removeprefix("/api"), *(f"{name}={value}" for name, value in context.values.items()))
    return hashlib.blake2b("\0".join((account_id, *route, key.decode())).encode(), digest_size=32).digest()


def _expiry(context: RequestContext) -> int:
    return int(time.time() + context.runtime.config.idempotency.keep)


def _still_running() -> UpstreamFault:
    return UpstreamFault(
        "The request with this Idempotency-Key is still running; try again later.",
        status=504,
        code="idempotency_timeout",
    )


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
