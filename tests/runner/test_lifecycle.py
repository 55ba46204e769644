"""One call, one bill: whatever ends a call, and how often, `finish_call` runs once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine
from typing import Any

import pytest

from gateway.api import Call, Caller, Outcome, hookimpl
from gateway.errors import UpstreamFault
from gateway.logs import Redactor, make_logger
from gateway.pipeline import Pipeline
from gateway.pluginload import load
from gateway.runner.lifecycle import CallRunner
from gateway.testing import make_call, make_target, openai_completion, usage


class Recorder:
    """A plugin that knows everybody and notes how calls end."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.slow: asyncio.Event | None = None

    @hookimpl
    async def identify_caller(self, call: Call) -> Caller:
        return Caller("acct", "key", "k...")

    @hookimpl
    async def choose_targets(self, call: Call) -> Any:
        return [make_target()]

    @hookimpl
    async def finish_call(self, call: Call, outcome: Outcome) -> None:
        if self.slow is not None:
            await self.slow.wait()
        self.outcomes.append(outcome)
        call.cost = 7


class Host:
    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.append(task)
        return task


class Dispatcher:
    """Answers at once, or as slowly as told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.cancelled = False

    def deadline(self) -> float:
        return asyncio.get_running_loop().time() + 60

    async def whole(self, call: Call, deadline: float) -> Any:
        call.attempts, call.target = 1, call.targets[0]
        try:
            if isinstance(self.answer, asyncio.Event):
                await self.answer.wait()
                return openai_completion("Hi", reported=usage(3, 4))
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Provider:
    def __init__(self, on_disconnect: str) -> None:
        self.on_disconnect = on_disconnect


def build(
    answer: Any, on_disconnect: str = "cancel", drain: float = 5
) -> tuple[CallRunner, Recorder, Host, Dispatcher]:
    recorder, host, dispatcher = Recorder(), Host(), Dispatcher(answer)
    log = make_logger("test", level="info", style="json", redact=Redactor(), stream=io.StringIO())
    pipeline = Pipeline(load({"recorder": recorder}, entry_point_group=None), log)
    found: Any = (make_call(), host, pipeline, dispatcher, lambda _: Provider(on_disconnect), log, drain)
    return CallRunner(*found), recorder, host, dispatcher


async def begin(runner: CallRunner) -> asyncio.Task[Any]:
    """A handler's task that waits for the whole answer, as the HTTP side runs it."""
    await runner.identify()
    await runner.admit()

    async def handle() -> Any:
        try:
            return await runner.whole()
        except asyncio.CancelledError:
            runner.caller_left()
            raise

    task = asyncio.get_running_loop().create_task(handle())
    await asyncio.sleep(0.005)
    return task


async def test_a_whole_answer_is_billed_before_it_is_given() -> None:
    runner, recorder, _, _ = build(openai_completion("Hi", reported=usage(3, 4)))
    answer = await (await begin(runner))
    assert answer["usage"]["cost"] == 7
    assert answer["model"] == runner.call.model
    (outcome,) = recorder.outcomes
    assert (outcome.status, outcome.basis, outcome.usage.prompt_tokens, outcome.attempts) == (200, "provider", 3, 1)
    assert runner.unfinished is None


async def test_whatever_comes_after_the_first_end_is_ignored() -> None:
    runner, recorder, host, _ = build(openai_completion("Hi"))
    await (await begin(runner))
    runner.caller_left()
    await runner.fail(UpstreamFault("late"))
    runner.caller_left()
    await asyncio.gather(*host.tasks)
    assert [outcome.status for outcome in recorder.outcomes] == [200]


async def test_nobody_identified_nobody_billed() -> None:
    runner, recorder, host, _ = build(None)
    await runner.fail(UpstreamFault("x"))
    runner.caller_left()
    assert (recorder.outcomes, host.tasks) == ([], [])


async def test_a_fault_without_an_answer_is_void() -> None:
    fault = UpstreamFault("x", code="c")
    runner, recorder, _, _ = build(fault)
    with pytest.raises(UpstreamFault):
        await (await begin(runner))
    await runner.fail(fault)
    (outcome,) = recorder.outcomes
    assert (outcome.status, outcome.basis, outcome.fault_code) == (502, "void", "c")


async def test_leaving_while_the_bill_is_written_does_not_stop_it() -> None:
    runner, recorder, _, _ = build(openai_completion("Hi"))
    recorder.slow = asyncio.Event()
    task = await begin(runner)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runner.unfinished is not None
    recorder.slow.set()
    await runner.unfinished
    assert [outcome.status for outcome in recorder.outcomes] == [200]


async def test_leaving_cancels_or_drains_as_the_provider_says() -> None:
    go = asyncio.Event()
    runner, recorder, host, dispatcher = build(go)
    task = await begin(runner)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert dispatcher.cancelled
    await asyncio.gather(*host.tasks)
    assert [(outcome.status, outcome.basis) for outcome in recorder.outcomes] == [(499, "void")]

    runner, recorder, host, dispatcher = build(go, "drain")
    task = await begin(runner)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert runner.drains
    go.set()
    await asyncio.gather(*host.tasks)
    await asyncio.gather(*host.tasks)
    (outcome,) = recorder.outcomes
    assert (outcome.status, outcome.basis, outcome.usage.completion_tokens) == (499, "provider", 4)
    assert outcome.client_left
    assert not dispatcher.cancelled


@pytest.mark.parametrize("by", ["limit", "stop"])
async def test_draining_is_bounded(by: str) -> None:
    runner, recorder, _, dispatcher = build(asyncio.Event(), "drain", 0.02 if by == "limit" else 60)
    task = await begin(runner)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    if by == "stop":
        runner.stop_draining()
    async with asyncio.timeout(1):
        while runner.unfinished is not None:
            await asyncio.sleep(0.001)
    assert dispatcher.cancelled
    assert [(outcome.status, outcome.basis) for outcome in recorder.outcomes] == [(499, "void")]
    runner.stop_draining()


async def test_an_interruption_stops_what_would_outlive_the_caller() -> None:
    runner, recorder, _, dispatcher = build(asyncio.Event(), "drain")
    task = await begin(runner)
    await runner.fail(UpstreamFault("The process stops.", status=503, code="draining"))
    await asyncio.gather(task, return_exceptions=True)
    assert dispatcher.cancelled
    assert [outcome.fault_code for outcome in recorder.outcomes] == ["draining"]
