"""What a call is billed for, bare: usage that was told, usage that cannot be, and what an abandoned call owes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.api import Call, Profile, Target
from gateway.runner.bill import measure_abandoned, measure_ended_stream, measure_stream
from gateway.testing import chunk, make_call, make_target, usage
from gateway.wire.chat.tally import ChatTally
from gateway.wire.tokens import estimate_input_tokens

BODY = {"messages": [{"role": "user", "content": "Tell me about tokens, at length."}]}
INPUT = estimate_input_tokens(BODY)


def call_of(target: Target | None = None, **members: Any) -> Call:
    call = make_call(dict(BODY, **members.pop("body", {})))
    call.target = target or make_target()
    for name, value in members.items():
        setattr(call, name, value)
    return call


def tally_of(*chunks: dict[str, Any]) -> ChatTally:
    tally = ChatTally()
    tally.add(list(chunks))
    return tally


def counts(measured: Any) -> tuple[int, int, str]:
    return measured.usage.prompt_tokens, measured.usage.completion_tokens, measured.basis


def test_what_the_provider_told_counts_when_it_can_be() -> None:
    tally = tally_of(chunk({"content": "Hello"}), {**chunk({}, finish="stop"), "usage": usage(9, 4)})
    assert counts(measure_ended_stream(call_of(), tally)) == (9, 4, "provider")


def test_no_output_beside_text_is_not_believed() -> None:
    tally = tally_of(chunk({"content": "Hello there, dear reader"}), {**chunk({}, finish="stop"), "usage": usage(9, 0)})
    prompt, completion, basis = counts(measure_ended_stream(call_of(), tally))
    assert (prompt, basis) == (9, "estimated")
    assert completion >= 5


def test_no_input_is_not_believed() -> None:
    tally = tally_of(chunk({"content": "Hi"}), {**chunk({}, finish="stop"), "usage": usage(0, 3)})
    assert counts(measure_ended_stream(call_of(), tally)) == (INPUT, 3, "estimated")


def test_a_stream_that_broke_off_counts_what_it_told_and_what_came() -> None:
    told = {**chunk({"role": "assistant"}), "usage": usage(10_010, 0, cached=10_000)}
    tally = tally_of(told, *(chunk({"content": "wordwordw "}) for _ in range(8)))
    found = measure_stream(call_of(), tally)
    assert counts(found) == (10_010, 20, "estimated")
    assert found.usage.cached_tokens == 10_000, "what the cache served is not paid for as fresh"


def test_what_came_after_the_last_word_about_usage_counts_when_a_stream_breaks_off() -> None:
    told = {**chunk({"content": "wordwordw "}), "usage": usage(9, 2)}
    tally = tally_of(told, *(chunk({"content": "wordwordw "}) for _ in range(7)))
    assert counts(measure_stream(call_of(), tally)) == (9, 20, "estimated")


def test_what_broke_off_without_an_answer_costs_nothing() -> None:
    assert counts(measure_stream(call_of(), ChatTally())) == (0, 0, "void")
    told = {**chunk({"role": "assistant"}), "usage": usage(9, 0)}
    assert counts(measure_stream(call_of(), tally_of(told))) == (0, 0, "void")


def test_whoever_leaves_owes_the_input() -> None:
    assert counts(measure_abandoned(call_of(), None)) == (INPUT, 0, "estimated")
    assert counts(measure_abandoned(call_of(), ChatTally())) == (INPUT, 0, "estimated")


def test_the_input_of_each_request_of_a_fan_out() -> None:
    target = replace(make_target(), profile=Profile(max_choices=1))
    assert counts(measure_abandoned(call_of(target, body={"n": 7}), None)) == (7 * INPUT, 0, "estimated")


@pytest.mark.parametrize(("covered", "most", "owed"), [(500, 4096, 500), (None, 4096, 4096), (None, None, 0)])
def test_hidden_thoughts_are_counted_as_all_that_was_covered(covered: int | None, most: int | None, owed: int) -> None:
    call = call_of(replace(make_target(), thinks=True), max_output=most)
    call.covered = covered
    assert counts(measure_abandoned(call, None)) == (INPUT, owed, "estimated")


def test_an_answer_that_came_whole_is_billed_as_it_is() -> None:
    tally = tally_of(chunk({"content": "Hello"}), {**chunk({}, finish="stop"), "usage": usage(9, 4)})
    thinking = replace(make_target(), thinks=True)
    assert counts(measure_abandoned(call_of(thinking, max_output=4096), tally)) == (9, 4, "provider")


def test_what_never_went_out_owes_nothing() -> None:
    call = call_of()
    call.target = None
    assert counts(measure_abandoned(call, None)) == (0, 0, "void")
