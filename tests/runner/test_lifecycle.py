"""One call, one bill: whatever ends a call, and how often, `finish_call` runs once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import CallerFault, UpstreamFault
from gateway.testing import chunk, openai_completion, usage

from .kit import Bench, stream_of

FINE = openai_completion("Hi", reported=usage(3, 4))
PHASES = ["identify", "read", "authorize", "admit", "choose"]


def stream(fault: Any = None) -> Any:
    return stream_of(chunk({"content": "Hi"}), chunk({}, finish="stop", usage=usage(3, 4)), fault=fault)


async def test_a_whole_answer_is_billed_before_it_is_given() -> None:
    bench = Bench(openai_completion("Hi", reported=usage(3, 4)))
    await bench.run()
    assert bench.recorder.phases == [*PHASES, "finish"]
    assert bench.sink.answer is not None
    assert bench.sink.answer["usage"]["cost"] == 7
    assert bench.sink.answer["model"] == bench.call.model
    (outcome,) = bench.recorder.outcomes
    assert (outcome.status, outcome.basis, outcome.usage.prompt_tokens, outcome.attempts) == (200, "provider", 3, 1)
    assert bench.runner.unfinished is None


async def test_a_stream_is_billed_before_its_last_byte() -> None:
    bench = Bench(stream(), stream=True)
    bench.recorder.slow = asyncio.Event()
    task = await bench.begin()
    assert b"Hi" in bench.sink.data
    assert not bench.sink.ended
    bench.recorder.slow.set()
    await task
    assert bench.sink.data.endswith(b"data: [DONE]\n\n")
    assert b'"cost":7' in bench.sink.data


async def test_whatever_comes_after_the_first_end_is_ignored() -> None:
    bench = Bench(openai_completion("Hi"))
    await bench.run()
    bench.runner.caller_left()
    await bench.runner.fail(UpstreamFault("late"))
    bench.runner.caller_left()
    await bench.host.rest()
    assert [outcome.status for outcome in bench.recorder.outcomes] == [200]


async def test_nobody_identified_nobody_billed() -> None:
    bench = Bench()
    await bench.runner.fail(UpstreamFault("x"))
    bench.runner.caller_left()
    assert (bench.recorder.outcomes, bench.host.tasks) == ([], [])


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_fault_without_an_answer_is_raised_and_void(streamed: bool) -> None:
    bench = Bench(UpstreamFault("x", code="c"), stream=streamed)
    with pytest.raises(UpstreamFault):
        await bench.run()
    (outcome,) = bench.recorder.outcomes
    assert (outcome.status, outcome.basis, outcome.fault_code) == (502, "void", "c")
    assert not bench.sink.begun


async def test_a_fault_in_a_stream_that_has_begun_is_told_there_and_billed() -> None:
    bench = Bench(stream_of(chunk({"content": "Hi"}), fault=UpstreamFault("gone", code="c")), stream=True)
    await bench.run()
    (outcome,) = bench.recorder.outcomes
    assert (outcome.status, outcome.basis, outcome.fault_code) == (502, "estimated", "c")
    assert b'"code":"c"' in bench.sink.data
    assert b"[DONE]" not in bench.sink.data
    assert bench.sink.fault is not None


@pytest.mark.parametrize("phase", PHASES)
async def test_a_bug_in_a_phase_is_our_fault_told_once(phase: str) -> None:
    bench = Bench(openai_completion("Hi"))
    original = bench.recorder._phase

    async def broken(name: str) -> None:
        await original(name)
        if name == phase:
            raise ZeroDivisionError

    bench.recorder._phase = broken  # type: ignore[method-assign]
    with pytest.raises(Exception, match="failed to handle") as raised:
        await bench.run()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert [outcome.status for outcome in bench.recorder.outcomes] == ([] if phase == "identify" else [500])
    assert bench.log.getvalue().count("call failed") == 1
    assert "ZeroDivisionError" in bench.log.getvalue()


@pytest.mark.parametrize("phase", PHASES)
async def test_leaving_during_a_phase_releases_what_was_reserved(phase: str) -> None:
    bench = Bench(openai_completion("Hi"))
    bench.recorder.hang = phase
    task = await bench.begin()
    assert bench.recorder.phases[-1] == phase
    await bench.leave(task)
    await bench.host.rest()
    assert task.cancelled()
    assert [(outcome.status, outcome.basis, outcome.client_left) for outcome in bench.recorder.outcomes] == (
        [] if phase == "identify" else [(499, "void", True)]
    )
    assert bench.dispatcher.sent == []


@pytest.mark.parametrize("phase", PHASES)
async def test_an_interruption_during_a_phase_is_a_fault(phase: str) -> None:
    bench = Bench(openai_completion("Hi"))
    bench.recorder.hang = phase
    task = await bench.begin()
    bench.runner.interrupt(UpstreamFault("stop", status=503, code="draining"))
    task.cancel()
    with pytest.raises(UpstreamFault, match="stop"):
        await task
    assert [outcome.status for outcome in bench.recorder.outcomes] == ([] if phase == "identify" else [503])


async def test_leaving_while_the_bill_is_written_does_not_stop_it() -> None:
    bench = Bench(openai_completion("Hi"))
    bench.recorder.slow = asyncio.Event()
    task = await bench.begin()
    await bench.leave(task)
    assert task.cancelled()
    assert bench.runner.unfinished is not None
    bench.recorder.slow.set()
    await bench.runner.unfinished
    assert [outcome.status for outcome in bench.recorder.outcomes] == [200]


async def test_leaving_cancels_or_drains_as_the_provider_says() -> None:
    go = asyncio.Event()
    bench = Bench(go, FINE)
    await bench.leave(await bench.begin())
    assert bench.dispatcher.cancelled
    await bench.host.rest()
    (outcome,) = bench.recorder.outcomes
    assert (outcome.status, outcome.basis, outcome.usage.completion_tokens) == (499, "estimated", 0)
    assert outcome.usage.prompt_tokens > 0, "it had reached the provider"

    bench = Bench(go, openai_completion("Hi", reported=usage(3, 4)), on_disconnect="drain")
    await bench.leave(await bench.begin())
    assert bench.runner.unfinished is not None
    go.set()
    await bench.host.rest()
    (outcome,) = bench.recorder.outcomes
    assert (outcome.status, outcome.basis, outcome.usage.completion_tokens) == (499, "provider", 4)
    assert outcome.client_left
    assert not bench.dispatcher.cancelled


@pytest.mark.parametrize("by", ["limit", "interruption"])
async def test_draining_is_bounded(by: str) -> None:
    bench = Bench(asyncio.Event(), on_disconnect="drain", drain=0.02 if by == "limit" else 60)
    await bench.leave(await bench.begin())
    await asyncio.sleep(0)
    if by == "interruption":
        bench.runner.interrupt(UpstreamFault("stop"))
    async with asyncio.timeout(30):
        await bench.host.rest()
    assert bench.dispatcher.cancelled
    assert [(outcome.status, outcome.basis) for outcome in bench.recorder.outcomes] == [(499, "estimated")]
    bench.runner.interrupt(UpstreamFault("again"))


async def test_an_interruption_stops_what_would_outlive_the_caller() -> None:
    bench = Bench(asyncio.Event(), on_disconnect="drain")
    task = await bench.begin()
    bench.runner.interrupt(UpstreamFault("The process stops.", status=503, code="draining"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bench.dispatcher.cancelled
    assert [outcome.fault_code for outcome in bench.recorder.outcomes] == ["draining"]


async def test_an_answer_is_drained_once_however_many_steps_hear_that_the_caller_left() -> None:
    go = asyncio.Event()
    bench = Bench(go, openai_completion("Hi", reported=usage(3, 4)), on_disconnect="drain")

    async def handle() -> None:
        await bench.runner.guard(bench.run())

    task = asyncio.create_task(handle())
    for _ in range(20):
        await asyncio.sleep(0)
    await bench.leave(task)
    assert sum(found.get_name().startswith("drain") for found in bench.host.tasks) == 1
    go.set()
    await bench.host.rest()
    assert [outcome.status for outcome in bench.recorder.outcomes] == [499]


class TestDetached:
    """A task of the process conducts the call; the handler only looks on."""

    async def start(self, bench: Bench) -> asyncio.Task[None]:
        inbound = await bench.runner.open(bench.read)
        await bench.runner.admit()

        async def work() -> None:
            await bench.runner.answer(inbound, bench.sink)

        return bench.runner.detach(work(), "work")

    async def test_the_handler_may_leave(self) -> None:
        go = asyncio.Event()
        bench = Bench(go, openai_completion("Hi"))
        task = await self.start(bench)

        async def look_on() -> None:
            await bench.runner.guard(asyncio.shield(task))  # type: ignore[arg-type]

        handler = asyncio.create_task(look_on())
        await asyncio.sleep(0)
        await bench.leave(handler)
        go.set()
        await task
        assert [outcome.status for outcome in bench.recorder.outcomes] == [200]

    async def test_it_is_interrupted_before_its_first_step(self) -> None:
        bench = Bench(openai_completion("Hi"))
        task = await self.start(bench)
        bench.runner.interrupt(UpstreamFault("stop", code="draining"))
        with pytest.raises(UpstreamFault):
            await task
        assert bench.dispatcher.sent == []
        assert [outcome.fault_code for outcome in bench.recorder.outcomes] == ["draining"], "what was held is released"

    async def test_it_is_interrupted_in_the_middle(self) -> None:
        bench = Bench(asyncio.Event())
        task = await self.start(bench)
        await asyncio.sleep(0.001)
        bench.runner.interrupt(UpstreamFault("stop", code="draining"))
        with pytest.raises(UpstreamFault):
            await task
        assert bench.dispatcher.cancelled
        assert bench.runner.unfinished is None

    async def test_its_task_is_cancelled_as_if_the_caller_left(self) -> None:
        bench = Bench(asyncio.Event())
        task = await self.start(bench)
        await asyncio.sleep(0.001)
        await bench.leave(task)
        await bench.host.rest()
        assert [outcome.status for outcome in bench.recorder.outcomes] == [499]


async def test_an_upstream_is_closed_before_the_bill_is_counted() -> None:
    closed_at: list[list[str]] = []
    bench = Bench(stream_of(chunk({"content": "Hi"})), stream=True)
    task = await bench.begin()
    found = bench.runner._rounds.last
    assert found is not None
    pump: Any = found.pump
    close = pump.close

    def note() -> None:
        closed_at.append(list(bench.recorder.phases))
        close()

    pump.close = note
    bench.runner.interrupt(CallerFault("x"))
    task.cancel()
    await task
    assert closed_at == [PHASES], "nothing may arrive between counting and writing the bill"
    assert pump.closed
