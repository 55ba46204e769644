"""What a call is billed for: measured once per round, summed once per call.

A provider's own usage counts when it makes sense; otherwise tokens are estimated from what was sent and received, and
the bill says so (`Basis`). What did not begin to answer costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from gateway.call import Basis, BilledRound, Call, Usage
from gateway.operations import OPERATIONS
from gateway.provider import Answer, Tally
from gateway.upstream.fan_out import add_usage
from gateway.wire.tokens import estimate_tokens
from gateway.wire.usage import UsageNumbers, read_usage


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
    return _measure(call, answer.usage, answer.output_tokens)


def measure_stream(call: Call, tally: Tally) -> Measured:
    """Of a stream, as far as it came."""
    if not (tally.chunks or tally.usage):
        return nothing()
    return measure_ended_stream(call, tally)


def measure_ended_stream(call: Call, tally: Tally) -> Measured:
    """Of a stream that came to its end, be it an empty one: its input was read."""
    # Providers send at least one token per chunk, so a stream is never estimated below its number of chunks.
    return _measure(call, tally.usage, max(estimate_tokens(tally.text_bytes), tally.chunks))


def sum_up(rounds: Iterable[tuple[Call, Measured]]) -> Bill:
    """The bill of a call. rounds: what was sent, and what was measured."""
    paid = [(sent, measured) for sent, measured in rounds if measured.basis != "void" and sent.target is not None]
    if not paid:
        return Bill(Usage(), "void", {}, ())
    billed = tuple(
        BilledRound(sent.target, measured.usage, measured.basis) for sent, measured in paid if sent.target is not None
    )
    if len(paid) == 1:
        return Bill(*paid[0][1], billed)
    usage = Usage()
    for part in billed:
        for field in fields(Usage):
            setattr(usage, field.name, getattr(usage, field.name) + getattr(part.usage, field.name))
    basis: Basis = "provider" if all(part.basis == "provider" for part in billed) else "estimated"
    return Bill(usage, basis, add_usage(measured.shown for _, measured in paid) or {}, billed)


def _measure(call: Call, raw: dict[str, Any] | None, estimate: int) -> Measured:
    """raw: the provider's usage object. estimate: tokens of the answer, for when that is of no use."""
    numbers = read_usage(raw) if raw is not None else None
    if raw is not None and numbers is not None and numbers.sane:
        return Measured(_usage_of(numbers), "provider", raw)
    prompt = OPERATIONS[call.operation].estimate_input(call.body)
    usage = Usage(prompt_tokens=prompt, completion_tokens=estimate)
    shown = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    return Measured(usage, "estimated", shown)


def _usage_of(numbers: UsageNumbers) -> Usage:
    return Usage(**{field.name: getattr(numbers, field.name) for field in fields(numbers) if field.name != "sane"})
