"""What is held and what is charged, without HTTP and without a database."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.api import COMPLETIONS, BilledRound, Form, GatewayFault, Outcome, Price, Profile, Refusal, Upload, Usage
from gateway.builtin.quota import Plugin

from .kit import Ledger, app, call_for, priced

ONE_CHOICE = Profile(max_choices=1)


async def started(ledger: Ledger, **settings: Any) -> Any:
    plugin = Plugin()
    await plugin.start_up(app(ledger=ledger, **settings))
    return plugin


async def held(*targets: Any, tokens: int = 100, **body: Any) -> Any:
    """What is asked of the ledger for a call."""
    ledger = Ledger()
    await (await started(ledger, tokens=tokens)).admit_call(call_for(*targets, **body))
    return ledger.asked[0]


class TestTheHold:
    async def test_input_at_its_bound_and_output_as_asked(self) -> None:
        request = await held(priced(), max_tokens=50)
        assert (request.base, request.unit_price, request.units, request.least_units) == (100, 2, 50, 16)
        assert (request.account_id, request.key_id, request.period) == ("acct_1", "key_1", "2025-06")

    @pytest.mark.parametrize(
        ("body", "units", "least"),
        [
            ({}, 1000, 16),  # all that the model can
            ({"max_tokens": 5}, 5, 5),
            ({"max_completion_tokens": 7, "max_tokens": 9}, 7, 7),
            ({"max_tokens": 10**6}, 1000, 16),
        ],
    )
    async def test_the_output_is_what_was_asked_within_what_the_model_can(self, body: Any, units: int, least: int):
        request = await held(priced(), **body)
        assert (request.units, request.least_units) == (units, least)

    async def test_the_dearest_candidate_counts_for_each_part(self) -> None:
        cheap_in, cheap_out = priced("a", price=(1, 9)), priced("b", price=(7, 2))
        request = await held(cheap_in, cheap_out)
        assert (request.base, request.unit_price) == (700, 9)

    async def test_free_targets_cost_nothing(self) -> None:
        request = await held(priced(price=(0, 0)), replace(priced("b", free=True), price=None))
        assert request.base == 0

    async def test_n_choices_multiply_the_output(self) -> None:
        request = await held(priced(), n=4, max_tokens=50)
        assert (request.base, request.unit_price, request.units) == (100, 8, 50)

    @pytest.mark.parametrize(("most", "times"), [(None, 1), (1, 4), (4, 1), (8, 1), (2, 4)])
    async def test_a_prompt_that_is_read_n_times_is_held_n_times(self, most: int | None, times: int) -> None:
        request = await held(priced(profile=Profile(max_choices=most)), n=4)
        assert request.base == 100 * times

    async def test_one_candidate_that_reads_it_n_times_is_enough(self) -> None:
        request = await held(priced("a", price=(3, 1)), priced("b", price=(1, 1), profile=ONE_CHOICE), n=4)
        assert request.base == 400

    async def test_a_price_per_request_is_held_too(self) -> None:
        price = Price(Decimal(1), Decimal(2), per_request=Decimal(1000))
        assert (await held(replace(priced(), price=price))).base == 1100

    async def test_embeddings_write_nothing(self) -> None:
        ledger = Ledger()
        plugin = await started(ledger)
        call = call_for(input=["a" * 10])
        call.operation = "embeddings"
        await plugin.admit_call(call)
        assert (ledger.asked[0].units, ledger.asked[0].least_units) == (0, 0)

    async def test_what_is_unknown_of_a_request_is_held_for_as_text(self) -> None:
        """vLLM reads the `messages` of a request for embeddings."""
        bases = []
        for more in ({}, {"messages": [{"role": "user", "content": "a" * 900}]}, {"pictures": [Upload(b"a" * 900)]}):
            ledger = Ledger()
            call = call_for(input="a", **more)
            call.operation = "embeddings"
            await (await started(ledger)).admit_call(call)
            bases.append(ledger.asked[0].base)
        assert min(bases[1:]) > bases[0] + 800

    async def test_a_model_without_price_is_never_called(self) -> None:
        ledger = Ledger()
        unpriced = replace(priced("b"), price=None)
        with pytest.raises(GatewayFault) as refused:
            await (await started(ledger)).admit_call(call_for(priced(), unpriced))
        assert (refused.value.status, refused.value.code) == (503, "model_unpriced")
        assert ledger.asked == []


def free(name: str = "a") -> Any:
    return replace(priced(name, free=True), price=None)


class TestFreeModels:
    async def call(self, ledger: Ledger, **body: Any) -> tuple[Any, Any]:
        plugin, call = await started(ledger), call_for(free(), free("b"), **body)
        await plugin.admit_call(call)
        call.attempts = 1
        plugin.before_dispatch(call)
        return plugin, call

    async def test_the_ledger_hears_nothing_of_them(self) -> None:
        ledger = Ledger()
        plugin, call = await self.call(ledger, max_tokens=50)
        spent = BilledRound(free(), Usage(prompt_tokens=10, completion_tokens=20), "provider")
        await plugin.finish_call(call, Outcome(200, spent.usage, "provider", target=free(), rounds=(spent,)))
        assert (ledger.asked, ledger.told, call.cost, call.max_output) == ([], [], 0, 50)

    async def test_their_output_is_cut_at_what_the_model_can(self) -> None:
        _, call = await self.call(Ledger(), max_tokens=5000)
        assert call.max_output == 1000
        assert call.answer_headers["x-gateway-clamped"] == "max_tokens=1000; reason=model"

    async def test_what_a_tool_costs_is_held_when_it_is_first_owed(self) -> None:
        ledger = Ledger(grows=[1])
        plugin, call = await self.call(ledger)
        await plugin.admit_round(call, [])
        assert ledger.asked == []
        await plugin.admit_fees(call, [], 30)
        assert [(one.base, one.units, one.least_units) for one in ledger.asked] == [(30, 0, 0)]
        await plugin.admit_fees(call, [], 50)
        assert ledger.told == [("grow", call.id, 1, Decimal(20))]
        call.fees = Decimal(50)
        await plugin.finish_call(call, Outcome(200, Usage(), "provider", target=free(), fees=Decimal(50)))
        assert ledger.told[1][:3] == ("settle", call.id, 50)

    async def test_a_tool_that_cannot_be_paid_leaves_no_bill(self) -> None:
        ledger = Ledger(refuses=True)
        plugin, call = await self.call(ledger)
        with pytest.raises(Refusal):
            await plugin.admit_fees(call, [], 30)
        await plugin.finish_call(call, Outcome(402, Usage(), "void"))
        assert (ledger.told, call.cost) == ([], 0)


class TestClamping:
    async def test_what_cannot_be_paid_is_cut_and_said(self) -> None:
        plugin = await started(Ledger(units=33))
        call = call_for(max_tokens=50)
        await plugin.admit_call(call)
        assert call.max_output == 33
        assert call.answer_headers["x-gateway-clamped"] == "max_tokens=33; reason=credits"

    async def test_what_can_be_paid_is_sent_as_asked(self) -> None:
        plugin = await started(Ledger())
        call = call_for(max_tokens=50)
        await plugin.admit_call(call)
        assert (call.max_output, call.answer_headers) == (50, {})
        open_ended = call_for()
        await plugin.admit_call(open_ended)
        assert open_ended.max_output is None


class TestSteps:
    async def opened(self, ledger: Ledger, **body: Any) -> tuple[Any, Any]:
        plugin = await started(ledger, step=100)
        call = call_for(stream=True, **body)
        await plugin.admit_call(call)
        return plugin, call

    async def test_a_stream_is_held_for_step_by_step(self) -> None:
        ledger = Ledger(grows=[100, 50])
        plugin, call = await self.opened(ledger, max_tokens=250)
        assert (ledger.asked[0].units, ledger.asked[0].reserve, call.covered) == (250, 100, 100)
        call.target = call.candidates[0]
        assert await plugin.extend_call(call, 80)
        assert call.covered == 200
        assert await plugin.extend_call(call, 180)
        assert call.covered is None  # all of it
        grown = [told[2] for told in ledger.told if told[0] == "grow"]
        assert grown == [100, 50]
        notes = [told[2] for told in ledger.told if told[0] == "note"]
        assert notes[1] - notes[0] == 100 * 2

    async def test_a_step_that_cannot_be_paid_ends_it(self) -> None:
        plugin, call = await self.opened(Ledger(grows=[0]), max_tokens=250)
        assert not await plugin.extend_call(call, 80)
        assert call.covered == 100

    async def test_choices_share_what_is_covered(self) -> None:
        _, call = await self.opened(Ledger(), max_tokens=250, n=3)
        assert call.covered == 300

    @pytest.mark.parametrize("more", [{"thinks": True}, {"output_modalities": ("text", "image")}])
    async def test_what_cannot_be_counted_is_held_for_whole(self, more: Any) -> None:
        ledger = Ledger()
        plugin = await started(ledger, step=100)
        await plugin.admit_call(call_for(priced(**more), stream=True))
        assert ledger.asked[0].reserve is None

    async def test_a_whole_answer_is_held_for_whole(self) -> None:
        ledger = Ledger()
        await (await started(ledger, step=100)).admit_call(call_for())
        assert ledger.asked[0].reserve is None


class TestRounds:
    """The first round is held at 100 credits of input and 1,000 tokens at 2; SPENT is all of that."""

    SPENT = BilledRound(priced(), Usage(prompt_tokens=100, completion_tokens=1000), "provider")

    async def admitted(self, *grows: int) -> tuple[Ledger, Any, Any]:
        ledger = Ledger(grows=list(grows))
        plugin, call = await started(ledger), call_for()
        await plugin.admit_call(call)
        return ledger, plugin, call

    async def test_what_the_first_left_pays_for_the_next(self) -> None:
        ledger, plugin, call = await self.admitted()
        await plugin.admit_round(call, [])
        assert (ledger.told, call.max_output) == ([], None)

    async def test_a_further_round_is_paid_for_or_refused(self) -> None:
        ledger, plugin, call = await self.admitted(1000, 10)
        await plugin.admit_round(call, [self.SPENT])
        assert ledger.told == [("grow", "req_test", 1000, Decimal(100))]
        with pytest.raises(Refusal) as refused:
            await plugin.admit_round(call, [self.SPENT] * 2)
        assert refused.value.status == 402

    async def test_a_round_that_can_be_paid_in_part_is_cut(self) -> None:
        _, plugin, call = await self.admitted(40)
        await plugin.admit_round(call, [self.SPENT])
        assert call.max_output == 40

    async def test_fees_of_tools_are_paid_for_or_refused(self) -> None:
        ledger, plugin, call = await self.admitted(1, 0)
        await plugin.admit_fees(call, [], 2000)
        assert ledger.told == []
        await plugin.admit_fees(call, [self.SPENT], 30)
        assert ledger.told == [("grow", "req_test", 1, Decimal(30))]
        with pytest.raises(Refusal) as refused:
            await plugin.admit_fees(call, [self.SPENT], 60)
        assert refused.value.status == 402


class TestTheEnd:
    async def test_what_was_billed_is_settled_once(self) -> None:
        ledger = Ledger()
        plugin = await started(ledger)
        call, target = call_for(), priced()
        await plugin.admit_call(call)
        usage = Usage(prompt_tokens=3, completion_tokens=4)
        outcome = Outcome(200, usage, "provider", target, rounds=(BilledRound(target, usage, "provider"),) * 2)
        await plugin.finish_call(call, outcome)
        assert ledger.told == [("settle", "req_test", 22, 0, "provider", "test/a")]
        assert call.cost == 22

    async def test_more_than_was_possible_is_disputed(self) -> None:
        ledger = Ledger()
        plugin = await started(ledger)
        call, target = call_for(max_tokens=50), priced()
        await plugin.admit_call(call)
        usage = Usage(prompt_tokens=2**40, completion_tokens=4)
        outcome = Outcome(200, usage, "provider", target, rounds=(BilledRound(target, usage, "provider"),))
        await plugin.finish_call(call, outcome)
        [(_, _, charge, disputed, _, _)] = ledger.told
        assert (charge, charge + disputed) == (100 + 50 * 2, outcome.charge)

    async def test_the_prompt_of_older_completions_brings_no_tools(self) -> None:
        """So what their provider tells is believed as far as that of a chat."""
        ledger = Ledger()
        plugin = await started(ledger)
        call, target = call_for(max_tokens=50), priced()
        call.operation = COMPLETIONS
        call.forms = {"chat": Form(call.body), COMPLETIONS: Form({"prompt": "a"})}
        await plugin.admit_call(call)
        usage = Usage(prompt_tokens=100, completion_tokens=9_000)
        outcome = Outcome(200, usage, "provider", target, rounds=(BilledRound(target, usage, "provider"),))
        await plugin.finish_call(call, outcome)
        [(_, _, charge, disputed, _, _)] = ledger.told
        assert (charge, charge + disputed) == (100 + 50 * 2, outcome.charge)

    async def test_nothing_billed_releases_the_hold(self) -> None:
        ledger = Ledger()
        plugin = await started(ledger)
        call = call_for()
        await plugin.admit_call(call)
        await plugin.finish_call(call, Outcome(502, Usage(), "void"))
        assert (ledger.told, call.cost) == ([("void", "req_test")], 0)

    async def test_a_hold_that_was_refused_or_interrupted_is_released_all_the_same(self) -> None:
        ledger = Ledger(refuses=True)
        plugin = await started(ledger)
        call = call_for()
        with pytest.raises(Refusal):
            await plugin.admit_call(call)
        await plugin.finish_call(call, Outcome(402, Usage(), "void"))
        assert ledger.told == [("void", "req_test")]

    async def test_a_call_that_was_never_admitted_is_not_settled(self) -> None:
        ledger = Ledger()
        plugin = await started(ledger)
        call = call_for()
        await plugin.finish_call(call, Outcome(403, Usage(), "void"))
        assert (ledger.told, call.cost) == ([], None)

    async def test_only_the_first_attempt_marks_it_dispatched(self) -> None:
        ledger = Ledger()
        plugin = await started(ledger)
        call = call_for()
        call.attempts = 1
        plugin.before_dispatch(call)
        assert ledger.told == []  # nothing is held
        await plugin.admit_call(call)
        for attempt in (1, 2, 3):
            call.attempts = attempt
            plugin.before_dispatch(call)
        assert ledger.told == [("dispatched", "req_test")]
