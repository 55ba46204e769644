"""What a call is billed for: measured once per round, summed once per call.

A provider's own usage counts when it makes sense; otherwise tokens are estimated from what was sent and received, and
the bill says so (`Basis`). What a stream told of its usage before it broke off counts as far as it goes. Nothing of
something is not believed: no output beside text, or no input. What the provider broke off before it answered costs
nothing, unless it told what it had used; what the caller abandoned costs at least its input, so that leaving early is
never cheaper than staying.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.call import Basis, BilledRound, Call, Usage
from gateway.operations import OPERATIONS
from gateway.provider import Answer, Tally, written_output
from gateway.wire.usage import UsageNumbers, add_usage, read_usage


class Measured(NamedTuple):
    """What one round used, on which basis, and the usage object to show for it."""

    usage: Usage
    basis: Basis
    shown: Mapping[str, Any]


class Bill(NamedTuple):
    """The sum of a call's rounds: see `Measured`. rounds: each with its target, because prices differ."""

    usage: Usage
    basis: Basis
    shown: Mapping[str, Any]
    rounds: tuple[BilledRound, ...]


def nothing() -> Measured:
    """Of a round that was not answered."""
    return Measured(Usage(), "void", {})


def measure_whole(call: Call, answer: Answer) -> Measured:
    """Of a whole answer to `call`, as the provider gave it."""
    return _measure(call, answer.usage, answer.output_tokens, answer.body)


def measure_failed(call: Call, usage: dict[str, Any]) -> Measured:
    """Of an answer that failed, by what its provider told that it had used."""
    return _measure(call, usage, 0)


def measure_stream(call: Call, tally: Tally) -> Measured:
    """Of a stream, as far as it came: nothing, unless there was something of an answer, or its whole usage."""
    if not (tally.chunks or (tally.usage and tally.complete)):
        return nothing()
    found = measure_ended_stream(call, tally)
    if tally.complete:
        return found
    # The usage of a stream that is not over is what it was when it was told.
    written = max(found.usage.completion_tokens, written_output(tally))
    return _estimated(replace(found.usage, completion_tokens=written))


def measure_abandoned(call: Call, tally: Tally | None) -> Measured:
    """Of a request whose caller left before it was answered, or whose answer nobody received to its end.

    It reached the provider, which reads the input of each request whatever happens next. What a model may have thought
    unseen cannot be known, and is counted as all that was covered. tally: of its stream, None while there was none.
    """
    target = call.target
    if target is None:
        return nothing()
    found = nothing() if tally is None else measure_stream(call, tally)
    usage = found.usage
    if found.basis == "void" and OPERATIONS[call.operation].count is not None:
        # What it makes is made all the same, whoever waits for it.
        return _measure(call, None, 0)
    if found.basis == "void":
        raw = None if tally is None else tally.usage
        choices = OPERATIONS[call.operation].choices(call.body)
        most = target.profile.max_choices
        requests = choices if most is not None and choices > most else 1
        usage = replace(_measure(call, raw, 0).usage, completion_tokens=0)
        if raw is None:
            usage.prompt_tokens *= requests
    if target.thinks and (tally is None or not tally.complete):
        unseen = call.covered if call.covered is not None else call.max_output
        usage = replace(usage, completion_tokens=max(usage.completion_tokens, unseen or 0))
    return found if found.basis == "provider" else _estimated(usage)


def measure_ended_stream(call: Call, tally: Tally) -> Measured:
    """Of a stream that came to its end, be it an empty one: its input was read."""
    return _measure(call, tally.usage, written_output(tally), {"usage": tally.usage})


def limit_output(measured: Measured, most: int) -> Measured:
    """The same with at most so many output tokens: of a stream that its provider was told to end there."""
    if measured.usage.completion_tokens <= most:
        return measured
    return _estimated(replace(measured.usage, completion_tokens=most))


def sum_up(rounds: Iterable[tuple[Call, Measured]]) -> Bill:
    """The bill of a call. rounds: what was sent, and what was measured."""
    paid = [(sent, measured) for sent, measured in rounds if measured.basis != "void" and sent.target is not None]
    if not paid:
        return Bill(Usage(), "void", {}, ())
    billed = tuple(
        [BilledRound(sent.target, measured.usage, measured.basis) for sent, measured in paid if sent.target is not None]
    )
    if len(paid) == 1:
        return Bill(*paid[0][1], billed)
    usage = Usage()
    for part in billed:
        add_counts(usage, part.usage)
    basis: Basis = "provider" if all(part.basis == "provider" for part in billed) else "estimated"
    return Bill(usage, basis, add_usage(measured.shown for _, measured in paid) or {}, billed)


def add_counts(usage: Usage, more: Usage) -> None:
    """Add what `more` counts to `usage`."""
    for name in _COUNTED:
        setattr(usage, name, getattr(usage, name) + getattr(more, name))
    usage.image_kind = more.image_kind or usage.image_kind


def _measure(
    call: Call, raw: dict[str, Any] | None, estimate: int, answer: Mapping[str, Any] = MappingProxyType({})
) -> Measured:
    """raw: the provider's usage object. estimate: tokens of the answer, for when that is of no use. answer: its body,
    where it came whole; of a stream, what it told of its usage."""
    operation = OPERATIONS[call.operation]
    found = _measure_tokens(call, raw, estimate)
    if operation.count is None:
        return found
    price = None if call.target is None else call.target.price
    if found.basis == "estimated" and price is not None and not price.by_tokens:
        found = Measured(Usage(), "provider", {})  # what is counted here is not guessed
    counted = operation.count(call.body, answer)
    return found._replace(usage=replace(found.usage, **counted))


def _measure_tokens(call: Call, raw: dict[str, Any] | None, estimate: int) -> Measured:
    numbers = read_usage(raw) if raw is not None else None
    operation = OPERATIONS[call.operation]
    if operation.estimate_output is not None:
        estimate = operation.estimate_output(call.body, call.target)
    expected = operation.estimate_input
    if raw is not None and numbers is not None and numbers.sane:
        usage = _usage_of(numbers)
        if usage.prompt_tokens and (usage.completion_tokens or not estimate):
            return Measured(usage, "provider", raw)
        usage.prompt_tokens = usage.prompt_tokens or expected(call.body)
        usage.completion_tokens = usage.completion_tokens or estimate
        return _estimated(usage)
    return _estimated(Usage(prompt_tokens=expected(call.body), completion_tokens=estimate))


def _estimated(usage: Usage) -> Measured:
    shown: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens or usage.cache_write_tokens:
        shown["prompt_tokens_details"] = {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        }
    return Measured(usage, "estimated", shown)


def _usage_of(numbers: UsageNumbers) -> Usage:
    return Usage(*_COUNTS(numbers))


_COUNTS = attrgetter(*(field.name for field in fields(UsageNumbers) if field.name != "sane"))
"""The members that both have, in their common order."""
_COUNTED = tuple(field.name for field in fields(Usage) if field.name != "image_kind")
