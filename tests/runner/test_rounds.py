"""A call of several rounds: one sink, one settlement, the sum of what every round cost at its own target's price."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.aside import Aside
from gateway.builtin.quota import Plugin
from gateway.call import Price, Usage
from gateway.errors import Refusal, UpstreamFault
from gateway.runner.rounds import Round
from gateway.stores import Hold, HoldRequest
from gateway.testing import chunk, make_target, openai_completion, usage

from .kit import Bench, stream_of

SECOND = {"model": "test/model", "messages": [{"role": "tool", "content": "It rains.", "tool_call_id": "c"}]}


class FakeLedger:
    """Notes what the quota plugin asks for. room: output tokens that it grants at most, per request."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.grown: list[tuple[int, Decimal]] = []
        self.noted: list[int] = []
        self.settled: list[tuple[int, str, Usage]] = []
        self.voided = 0

    async def hold(self, request: HoldRequest) -> Hold:
        covered = request.reserve if request.reserve is None else min(request.reserve, request.units)
        return Hold(request.request_id, amount=0, units=request.units, covered=covered)

    async def grow(self, request_id: str, units: int, *, base: Decimal = Decimal(0)) -> int:
        self.grown.append((units, base))
        return min(units, self.room)

    def mark_dispatched(self, request_id: str) -> None:
        return None

    def note_usage(self, request_id: str, charge: int, usage: Usage) -> None:
        self.noted.append(charge)

    async def settle(
        self, request_id: str, charge: int, basis: str, usage: Usage, model: str, *, disputed: int = 0
    ) -> int:
        self.settled.append((charge, basis, usage))
        return charge

    async def void(self, request_id: str) -> None:
        self.voided += 1


def priced(*answers: Any, room: int = 1_000_000, step: int | None = None, **more: Any) -> tuple[Bench, FakeLedger]:
    """A bench with the quota plugin, whose target costs 1 per input and 2 per output token and 5 per request."""
    ledger, quota = FakeLedger(room), Plugin()
    quota._ledger = ledger  # type: ignore[assignment]
    quota._aside, quota._tokens = Aside(), None
    quota._provider = lambda _: SimpleNamespace(bound_input_tokens=lambda body, target: 100)  # type: ignore[assignment,return-value]
    quota._minimum, quota._step = 1, step
    bench = Bench(*answers, plugins={"quota": quota}, **more)
    price = Price(Decimal(1), Decimal(2), per_request=Decimal(5))
    bench.call.candidates = [make_target(price=price, free=False, max_output=1000)]
    bench.recorder.targets = bench.call.candidates
    return bench, ledger


def once(body: dict[str, Any] | None) -> tuple[Callable[[Round], Awaitable[dict[str, Any] | None]], list[Round]]:
    """What asks for one further round with this body, and the rounds it was told."""
    told: list[Round] = []

    async def next_body(found: Round) -> dict[str, Any] | None:
        told.append(found)
        return body if len(told) == 1 else None

    return next_body, told


async def test_two_whole_rounds_are_settled_once_with_the_sum() -> None:
    first, last = openai_completion("", reported=usage(10, 1)), openai_completion("Rain", reported=usage(30, 4))
    bench, ledger = priced(first, last)
    next_body, told = once(SECOND)
    await bench.run(next_body)
    assert bench.dispatcher.sent == [bench.call.body, SECOND]
    ((charge, basis, used),) = ledger.settled
    assert charge == (5 + 10 + 2) + (5 + 30 + 8)
    assert (basis, used.prompt_tokens, used.completion_tokens) == ("provider", 40, 5)
    assert bench.sink.answer is not None
    assert bench.sink.answer["choices"][0]["message"]["content"] == "Rain"
    shown = bench.sink.answer["usage"]
    assert (shown["prompt_tokens"], shown["completion_tokens"], shown["total_tokens"], shown["cost"]) == (40, 5, 45, 60)
    (outcome,) = bench.recorder.outcomes
    assert (outcome.attempts, len(outcome.rounds), [found.answer and found.answer.body for found in told]) == (
        2,
        2,
        [first, last],
    )
    assert ledger.grown == [(9, Decimal(0))], "what the first round left of 2105 credits is counted on"
    assert bench.recorder.phases.count("finish") == 1


async def test_two_streamed_rounds_go_into_one_sink() -> None:
    def says(text: str, prompt: int, output: int) -> Any:
        return stream_of(chunk({"content": text}), chunk({}, finish="stop", usage=usage(prompt, output)))

    bench, ledger = priced(says("One", 10, 1), says("Two", 30, 4), stream=True, step=50)
    next_body, _ = once(SECOND)
    await bench.run(next_body)
    data = bench.sink.data
    assert data.index(b"One") < data.index(b"Two") < data.index(b"[DONE]")
    assert data.count(b"[DONE]") == 1
    assert b'"prompt_tokens":40' in data
    assert [(charge, basis) for charge, basis, _ in ledger.settled] == [(60, "provider")]
    assert ledger.grown == [(9, Decimal(0))], "the first round cost 17: as much is lacking for a step like the first"


async def test_a_step_within_a_further_round_notes_what_the_first_cost() -> None:
    words = [chunk({"content": "word"})] * 60
    bench, ledger = priced(
        stream_of(chunk({"content": "One"}), chunk({}, finish="stop", usage=usage(10, 1))),
        stream_of(*words, chunk({}, finish="stop", usage=usage(30, 60))),
        stream=True,
        step=50,
    )
    next_body, _ = once(SECOND)
    task = await bench.begin(next_body)
    await task
    await bench.host.rest()
    assert len(ledger.grown) == 2
    assert all(noted > 17 for noted in ledger.noted)
    assert len(ledger.noted) == 1


async def test_a_round_that_cannot_be_paid_ends_the_call_which_is_billed_for_what_came_before() -> None:
    bench, ledger = priced(openai_completion("", reported=usage(10, 1000)), openai_completion("x"), room=0)
    next_body, _ = once(SECOND)
    with pytest.raises(Refusal) as refused:
        await bench.run(next_body)
    assert (refused.value.status, len(bench.dispatcher.sent)) == (402, 1)
    assert [charge for charge, _, _ in ledger.settled] == [2015]


async def test_a_second_round_that_fails_leaves_the_first_on_the_bill() -> None:
    bench, ledger = priced(openai_completion("", reported=usage(10, 1)), UpstreamFault("gone"))
    next_body, _ = once(SECOND)
    with pytest.raises(UpstreamFault):
        await bench.run(next_body)
    assert [(charge, basis) for charge, basis, _ in ledger.settled] == [(17, "provider")]
    (outcome,) = bench.recorder.outcomes
    assert (outcome.status, outcome.attempts, len(outcome.rounds)) == (502, 2, 1)


async def test_leaving_between_two_rounds_stops_at_once_and_bills_what_was_caused() -> None:
    bench, ledger = priced(openai_completion("", reported=usage(10, 1)), openai_completion("x"))

    async def works_for_ever(found: Round) -> dict[str, Any] | None:
        await asyncio.Event().wait()
        return SECOND

    await bench.leave(await bench.begin(works_for_ever))
    await bench.host.rest()
    assert len(bench.dispatcher.sent) == 1
    assert [charge for charge, _, _ in ledger.settled] == [17]
    assert [outcome.status for outcome in bench.recorder.outcomes] == [499]


async def test_one_round_of_an_estimate_makes_the_sum_an_estimate() -> None:
    silent = openai_completion("Rain")
    silent.pop("usage", None)
    bench, ledger = priced(openai_completion("", reported=usage(10, 1)), silent)
    next_body, _ = once(SECOND)
    await bench.run(next_body)
    ((_, basis, used),) = ledger.settled
    assert basis == "estimated"
    assert used.prompt_tokens > 10
