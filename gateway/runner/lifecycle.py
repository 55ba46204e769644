"""One call from its admission to its bill, whatever dialect or transport it came by.

The runner takes a `Call` through the phases, hands it to the dispatcher, and makes sure that `finish_call` runs
exactly once, in a task that the process owns: at the last byte, at an error, or when the caller left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import fields
from typing import Any, Protocol

from gateway.call import Basis, Call, Outcome, Usage
from gateway.dialect import Relay
from gateway.errors import Fault, GatewayFault
from gateway.pipeline import Pipeline
from gateway.provider import Provider
from gateway.upstream.attempts import Dispatcher
from gateway.upstream.metering import StreamMeter
from gateway.upstream.stream_pump import StreamPump
from gateway.wire.bridge.back_reply import chat_from_response
from gateway.wire.embeddings import estimate_embedding_tokens
from gateway.wire.responses.objects import usage_of_response
from gateway.wire.tokens import estimate_input_tokens, estimate_output_tokens, estimate_tokens
from gateway.wire.usage import UsageNumbers, find_usage, read_usage

CLIENT_LEFT = 499
"""Status in logs and usage rows of a call whose caller disconnected before the end."""


_NOTHING: tuple[Usage, Basis] = (Usage(), "void")


Keep = Callable[[Relay | dict[str, Any] | None, bool, Mapping[str, Any]], Awaitable[None]]
"""Told, after the bill, what came of a call whose caller left: the stream's relay, or the whole answer, or nothing;
whether it came to its end; and the usage to show."""


class Host(Protocol):
    """What the runner needs of the process."""

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]: ...


class CallRunner:
    """Conducts one call. drain_limit: seconds that a call goes on upstream after its caller left (policy `drain`)."""

    def __init__(
        self,
        call: Call,
        host: Host,
        pipeline: Pipeline,
        dispatcher: Dispatcher,
        find_provider: Callable[[str], Provider],
        log: logging.Logger,
        drain_limit: float,
    ) -> None:
        self.call = call
        self.outcome: Outcome | None = None
        self.first_byte: float | None = None
        self._host = host
        self._pipeline = pipeline
        self._dispatcher = dispatcher
        self._find_provider = find_provider
        self._log = log
        self._drain_limit = drain_limit
        self._deadline = dispatcher.deadline()
        self._identified = False
        self._finishing: asyncio.Task[None] | None = None
        self._pump: StreamPump | None = None
        # The upstream work of a call that goes on although its caller leaves (policy `drain`).
        self._work: asyncio.Task[Any] | None = None
        self._draining: asyncio.Task[None] | None = None
        self.keep: Keep | None = None
        self._answer: dict[str, Any] | None = None
        self._came_whole = False
        self._shown: dict[str, Any] = {}
        self._detached: asyncio.Task[None] | None = None
        self._drain_scope: asyncio.Timeout | None = None

    @property
    def unfinished(self) -> asyncio.Task[None] | None:
        """What still goes on for this call in a task of the process; None when its bill is written."""
        for task in (self._detached, self._draining, self._finishing):
            if task is not None and not task.done():
                return task
        return None

    def detach(self, task: asyncio.Task[None]) -> None:
        """From now on `task`, of the process, conducts this call: the caller may leave."""
        self._detached = task

    @property
    def drains(self) -> bool:
        """Whether an answer is received to its end for a caller who left."""
        return self._draining is not None and not self._draining.done()

    def stop_draining(self) -> None:
        """The process cannot wait for that any longer: bill what came."""
        if self._drain_scope is not None:
            self._drain_scope.reschedule(asyncio.get_running_loop().time())

    async def identify(self) -> None:
        """Find the caller. Raises Refusal(401)."""
        await self._pipeline.identify(self.call)
        self._identified = True

    async def enter(self) -> None:
        """Identify and authorize a request that calls no model (lists, usage). Raises Refusal."""
        await self._pipeline.identify(self.call)
        await self._pipeline.authorize(self.call)

    async def admit(self) -> None:
        """Authorize, reserve, choose targets. Raises the Refusal of whoever says no."""
        await self._pipeline.authorize(self.call)
        await self._pipeline.admit(self.call)
        await self._pipeline.choose(self.call)

    async def whole(self) -> dict[str, Any]:
        """The whole completion (or response object, `call.answered_in`), billed, with the caller's model id and usage
        in it. Raises Fault."""
        completion: dict[str, Any] = await self._lasting(self._dispatcher.whole(self.call, self._deadline))
        await self.finish_whole(completion)
        return completion

    async def finish_whole(self, completion: dict[str, Any]) -> None:
        """Bill a whole completion and write the public model id and the usage into it."""
        call = self.call
        self.first_byte = time.monotonic()
        usage, basis, reported = self._measure(completion)
        await self._finish(200, usage, basis, finish_reason=_finish_reason(completion))
        completion["model"] = call.model
        completion["usage"] = self._with_cost(reported)

    async def stream(
        self, make_relay: Callable[[], Relay], quiet: float, on_silence: Callable[[], Awaitable[None]]
    ) -> StreamPump:
        """Open the stream; see `Dispatcher.stream`. Raises Fault when no target began to answer."""

        async def tell() -> None:
            if self._draining is None:
                await on_silence()

        opening = self._dispatcher.stream(self.call, self._deadline, make_relay, quiet, tell)
        pump: StreamPump = await self._lasting(opening)
        self._pump = pump
        self.first_byte = time.monotonic()
        if self.call.covered is not None:
            meter = StreamMeter(self.call, pump, self._pipeline.extend, self._host.spawn, self._log)
            pump.meter = meter.look
            meter.look()
        return pump

    async def finish_stream(self, pump: StreamPump) -> bytes:
        """Bill a stream that ended well; returns its closing bytes."""
        usage, basis, reported = self._usage(pump.relay.usage, lambda: _output_estimate(pump.relay))
        await self._finish(200, usage, basis, finish_reason=pump.relay.finish_reason)
        return pump.relay.finish(self._with_cost(reported))

    @property
    def shown(self) -> dict[str, Any]:
        """The usage that was billed, with its cost; empty while nothing was."""
        return self._with_cost(self._shown) if self._shown else {}

    def remaining(self) -> float:
        """Seconds until the call must be over (`upstream.total`), at least 0."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def fail(self, fault: Fault) -> None:
        """The call ends with `fault`: bill what the caller received of the answer, nothing otherwise."""
        # First of all no more may arrive: what comes after the bill was counted would be given away.
        if self._pump is not None:
            self._pump.close()
        if self._work is not None:
            self._work.cancel()
        usage, basis = self._received()
        if fault.status >= 500:
            bug = isinstance(fault, GatewayFault) and fault.__cause__ is not None
            self._log.log(
                logging.ERROR if bug else logging.WARNING,
                "call failed: %s",
                fault,
                extra={"request_id": self.call.id, "detail": fault.detail, "code": fault.code},
                exc_info=fault if bug else None,
            )
        await self._finish(fault.status, usage, basis, fault_code=fault.code or fault.type)

    def _measure(self, answer: dict[str, Any]) -> tuple[Usage, Basis, dict[str, Any]]:
        """`_usage` of a whole answer."""
        if self.call.answered_in == "responses":

            def estimate() -> int:
                chat = chat_from_response(answer, completion_id="", model=self.call.model, created=0)
                return estimate_output_tokens(chat)

            return self._usage(usage_of_response(answer), estimate)
        return self._usage(find_usage(answer), lambda: estimate_output_tokens(answer))

    def caller_left(self) -> None:
        """The caller disconnected: close the upstream at once or read on, as the provider's policy says, then bill.

        Returns immediately; the rest happens in a task of the process.
        """
        if self._finishing is not None or self._detached is not None:
            return
        target = self.call.target
        drain = target is not None and self._find_provider(target.provider).on_disconnect == "drain"
        if drain and self._work is not None:
            self._draining = self._host.spawn(self._drain(self._work), f"drain {self.call.id}")
            return
        if self._work is not None:
            self._work.cancel()
        if self._pump is not None:
            self._pump.close()
        usage, basis = self._received()
        self._begin_finish(CLIENT_LEFT, usage, basis, fault_code="client_disconnected", client_left=True)

    async def _lasting(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await upstream work; where a provider's policy is to drain, in a task that outlives the caller."""
        if all(self._find_provider(target.provider).on_disconnect != "drain" for target in self.call.targets):
            return await work
        # The caller's leaving cancels this handler, which must not take the upstream request with it.
        self._work = asyncio.get_running_loop().create_task(work)
        return await asyncio.shield(self._work)

    async def _drain(self, work: asyncio.Task[Any]) -> None:
        """Receive the rest of the answer for nobody, bounded in time, and bill all of it."""
        usage, basis = _NOTHING
        try:
            async with asyncio.timeout(self._drain_limit) as self._drain_scope:
                found = await work
                if isinstance(found, StreamPump):
                    self._pump = found
                    found.detach()
                    while not found.ended:
                        await found.wait()
                    self._came_whole = found.fault is None
                else:
                    usage, basis, _ = self._measure(found)
                    self._answer, self._came_whole = found, True
        except (TimeoutError, Fault) as error:
            self._log.info("drain ended early: %s", error, extra={"request_id": self.call.id})
        self._drain_scope = None
        if self._pump is not None:
            self._pump.close()
            usage, basis = self._received()
        await self._finish(CLIENT_LEFT, usage, basis, fault_code="client_disconnected", client_left=True)

    def _usage(self, raw: dict[str, Any] | None, estimate: Callable[[], int]) -> tuple[Usage, Basis, dict[str, Any]]:
        """What to bill, on which basis, and the usage object to show: the provider's own when it makes sense,
        otherwise our estimate, with `estimate()` tokens of answer."""
        numbers = read_usage(raw) if raw is not None else None
        if raw is not None and numbers is not None and numbers.sane:
            self._shown = raw
            return _to_usage(numbers), "provider", raw
        usage = Usage(prompt_tokens=self._estimate_input(), completion_tokens=estimate())
        shown = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }
        self._shown = shown
        return usage, "estimated", shown

    def _estimate_input(self) -> int:
        if self.call.operation == "embeddings":
            return estimate_embedding_tokens(self.call.body)
        return estimate_input_tokens(self.call.body)

    def _received(self) -> tuple[Usage, Basis]:
        """What to bill for an answer that did not come to its end."""
        pump = self._pump
        if pump is None or not (pump.relay.chunks or pump.relay.usage):
            return _NOTHING
        usage, basis, _ = self._usage(pump.relay.usage, lambda: _output_estimate(pump.relay))
        return usage, basis

    def _with_cost(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        cost = self.call.cost
        return {**usage} if cost is None else {**usage, "cost": cost}

    async def _and_keep(self, work: Coroutine[Any, Any, None], keep: Keep) -> None:
        await work
        found = self._answer if self._pump is None else self._pump.relay
        await keep(found, self._came_whole, self.shown)

    async def _finish(
        self,
        status: int,
        usage: Usage,
        basis: Basis,
        *,
        fault_code: str = "",
        finish_reason: str = "",
        client_left: bool = False,
    ) -> None:
        task = self._begin_finish(
            status, usage, basis, fault_code=fault_code, finish_reason=finish_reason, client_left=client_left
        )
        if task is not None:
            await asyncio.shield(task)

    def _begin_finish(
        self,
        status: int,
        usage: Usage,
        basis: Basis,
        *,
        fault_code: str = "",
        finish_reason: str = "",
        client_left: bool = False,
    ) -> asyncio.Task[None] | None:
        """Start the finish phase unless it has begun; returns its task, None for a call nobody identified."""
        if self._finishing is None:
            now = time.monotonic()
            call = self.call
            self.outcome = Outcome(
                status=status,
                usage=usage,
                basis=basis,
                target=call.target,
                fault_code=fault_code,
                finish_reason=finish_reason,
                first_byte=None if self.first_byte is None else self.first_byte - call.started,
                total=now - call.started,
                attempts=call.attempts,
                client_left=client_left,
            )
            if self._identified:
                work = self._pipeline.finish(call, self.outcome)
                if client_left and self.keep is not None:
                    work = self._and_keep(work, self.keep)
                self._finishing = self._host.spawn(work, f"finish {call.id}")
        return self._finishing


def _to_usage(numbers: UsageNumbers) -> Usage:
    return Usage(**{field.name: getattr(numbers, field.name) for field in fields(numbers) if field.name != "sane"})


def _output_estimate(relay: Relay) -> int:
    """Tokens of a stream without usage: by its text, but at least one per chunk, as providers send them."""
    return max(estimate_tokens(relay.text_bytes), relay.chunks)


def _finish_reason(completion: Mapping[str, Any]) -> str:
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return str(first.get("finish_reason") or "") if isinstance(first, dict) else ""
