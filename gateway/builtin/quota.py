"""What it costs: a hold before the call, one charge after it.

The hold is an upper bound where the balance allows: the bounded input (a token for each byte) at the dearest
candidate's dearest input price, plus the allowed output at the dearest output price. Of a long input it is at least
what is expected to be due, with a margin (`credits.hold`): what it costs beyond that in the rare case is booked
visibly, as an overrun. When the balance or the key's ceiling cannot pay all of the output that was asked for, the
output is clamped, not the call refused, down to `credits.minimum_output` tokens.

The hold of a stream covers `credits.hold_step` output tokens at first and grows by as many, so that one open-ended
request does not lock a small balance. At each step the ledger notes what was delivered so far, which is billed should
the process die. Nothing is noted before the first step: an answer that was hardly begun is the operator's loss.
A model that may think unseen, or that writes more than text, is held for whole: its output cannot be counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from gateway.api import (
    COMPLETIONS,
    OPERATIONS,
    App,
    BilledRound,
    Call,
    Fault,
    GatewayFault,
    HoldRequest,
    Ledger,
    ModelOperation,
    Outcome,
    Price,
    Refusal,
    Target,
    Usage,
    estimate_input_tokens,
    hookimpl,
)
from gateway.api.stores import MAX_CREDITS
from gateway.builtin.foresight import foresee
from gateway.builtin.input_tokens import InputTokens

_STATE = "quota"
# Output tokens to hold for when neither the caller nor the model sets a limit.
_UNKNOWN_MODEL_OUTPUT = 32_768
# Members of the bodies of all dialects by which a provider may be made to read more than was sent.
_HOSTED = ("tools", "web_search_options", "mcp_servers", "cachedContent", "container", "prompt")
_NOTHING = Decimal(0)
_LITTLE = 16_384
"""Bytes of a request that is held for as it is bounded: counting it would cost more than holding too much."""
_MOST_READINGS, _MOST_SEARCHES, _UNKNOWN_CONTEXT = 32, 1_000, 1_000_000


class Plugin:
    """Holds, clamps and settles every call through the ledger."""

    def __init__(self) -> None:
        self._hour = (-1, "")

    @hookimpl
    async def start_up(self, app: App) -> None:
        self._stores = app.stores
        self._ledger: Ledger = app.stores.ledger
        self._provider = app.provider
        self._aside = app.aside
        credits = app.config.credits
        self._tokens = InputTokens(credits.hold_margin) if credits.hold == "expected" else None
        self._minimum: int = app.config.credits.minimum_output
        self._step: int | None = app.config.credits.hold_step

    @hookimpl
    async def admit_call(self, call: Call) -> None:
        free = True
        for target in call.candidates:
            if target.price is not None:
                free = False
            elif not target.free:
                raise _unpriced(target)
        operation = OPERATIONS[call.operation]
        choices = operation.choices(call.body)
        given = (call, choices, self._provider, self._tokens)
        if call.size <= _LITTLE:
            least, base, unit = _bound(*given)
        else:
            least, base, unit = await self._aside(_weight(call), _bound, *given)
        asked = _asked_output(call)
        wanted = _wanted_output(call, asked)
        cover = _Cover(choices, base=base, unit=unit, possible=math.ceil(base + unit * wanted))
        request = self._request(call, cover, wanted, min(self._minimum, wanted))
        if least != base:
            request = replace(request, least_base=least)
        if call.explanation is not None and call.explanation.in_batch:
            call.explanation.note(wanted=cover.possible)
            _clamp(call, wanted, wanted, asked)
            return
        if call.explanation is not None:
            foreseen = await foresee(self._stores, request, choices, call.explanation)
            _clamp(call, foreseen.units, wanted, asked)
            return
        # Registered before it is awaited: should the caller leave meanwhile, `finish_call` still releases it.
        call.state[_STATE] = cover
        if free:
            # Nothing can be owed but tools' fees, which hold for themselves (`_cover`).
            cover.held = wanted
            _clamp(call, wanted, wanted, asked)
            return
        cover.open = True
        hold = await self._ledger.hold(request)
        if hold.base is not None:
            cover.base = hold.base
        # What the upstream is told is its limit: of a clamped answer no more is believed.
        if operation.tells_limit and hold.units != wanted:
            cover.possible = math.ceil(base + unit * hold.units)
        _clamp(call, hold.units, wanted, asked)
        cover.held = hold.units if hold.covered is None else hold.covered
        if hold.covered is not None:
            cover.most, cover.covered = hold.units, hold.covered
            call.covered = hold.covered * choices

    @hookimpl
    def before_dispatch(self, call: Call) -> None:
        if call.attempts == 1 and _STATE in call.state and call.state[_STATE].open:
            self._ledger.mark_dispatched(call.id)

    @hookimpl
    async def admit_round(self, call: Call, billed: Sequence[BilledRound]) -> None:
        cover: _Cover | None = call.state.get(_STATE)
        if cover is None:
            return
        input_cost, bound, unit = await self._aside(
            _weight(call), _bound, call, cover.choices, self._provider, self._tokens
        )
        wanted = _wanted_output(call, _asked_output(call))
        cover.possible += math.ceil(bound + unit * wanted)
        step = self._step_of(call)
        asked = wanted if step is None else min(step, wanted)
        # A price that is higher for a longer input goes into the base: the hold has one price of a unit.
        dearer = max(unit - cover.unit, Decimal(0)) * wanted
        cover.spent = sum(part.charge for part in billed)
        spare = await self._cover(call, cover, call.fees + input_cost + dearer, asked)
        if spare < min(self._minimum, asked):
            raise _refused("its next request to the model cannot be paid")
        cover.most, cover.covered, cover.input = wanted, min(spare, wanted), None
        if spare >= wanted:
            return
        if asked < wanted:
            call.covered = spare * cover.choices
        else:
            call.max_output = spare

    @hookimpl
    async def admit_fees(self, call: Call, billed: Sequence[BilledRound], fees: int) -> None:
        cover: _Cover | None = call.state.get(_STATE)
        if cover is None:
            return
        cover.spent = sum(part.charge for part in billed)
        await self._cover(call, cover, Decimal(fees), 0)

    async def _cover(self, call: Call, cover: _Cover, more: Decimal, units: int) -> int:
        """Let the hold cover what was spent, `more` credits, and `units` of output. Returns the units that it covers.
        Raises Refusal when it cannot cover the credits."""
        lacking = cover.spent + more - cover.base - cover.unit * cover.held
        spare = int(max(-lacking, Decimal(0)) // cover.unit) if cover.unit else units
        base, lacks = max(lacking, Decimal(0)), max(units - spare, 0)
        if not base and not lacks:
            return spare
        if not cover.open:
            # A free model: this is the first that its call can owe.
            cover.open, cover.base = True, base
            try:
                await self._ledger.hold(self._request(call, cover, 0, 0))
            except Fault:
                cover.open = False
                raise
            return units
        # One unit at least, because that nothing was added must mean that the base was not either.
        added = await self._ledger.grow(call.id, max(lacks, 1), base=base)
        if added:
            cover.base += base
            cover.held += added
        elif base:
            raise _refused("its tools and their results cannot be paid")
        return spare + added

    @hookimpl
    async def extend_call(self, call: Call, tokens: int) -> bool:
        cover: _Cover | None = call.state.get(_STATE)
        if cover is None or self._step is None or call.covered is None:
            return True
        target = call.target
        if target is not None and target.price is not None:
            if cover.input is None:
                cover.input = await self._aside(call.size, estimate_input_tokens, call.body)
            usage = Usage(prompt_tokens=cover.input, completion_tokens=tokens)
            self._ledger.note_usage(call.id, cover.spent + target.price.charge(usage), usage)
        more = await self._ledger.grow(call.id, min(self._step, cover.most - cover.covered))
        cover.covered += more
        cover.held += more
        call.covered = None if cover.covered >= cover.most else cover.covered * cover.choices
        return more > 0

    @hookimpl
    async def finish_call(self, call: Call, outcome: Outcome) -> None:
        if _STATE not in call.state:
            return
        cover: _Cover = call.state[_STATE]
        if not cover.open:
            call.progress.cost = 0
            return
        if not outcome.rounds and not outcome.fees:
            await self._ledger.void(call.id)
            call.progress.cost = 0
            return
        charge, disputed = outcome.charge, 0
        fees = outcome.fees
        if charge > (cover.possible + fees if fees else cover.possible):
            # More than the whole input at its dearest and all output that could be asked for.
            possible = cover.possible + math.ceil(fees + _read_by_tools(call))
            charge, disputed = min(charge, possible), max(charge - possible, 0)
            call.progress.disputed = disputed
        call.progress.cost = await self._ledger.settle(
            call.id, charge, outcome.basis, outcome.usage, call.model, disputed=min(disputed, MAX_CREDITS)
        )

    def _request(self, call: Call, cover: _Cover, units: int, least: int) -> HoldRequest:
        caller = call.caller
        assert caller is not None
        return HoldRequest(
            request_id=call.id,
            account_id=caller.account_id,
            key_id=caller.key_id,
            period=self._period(call.created),
            monthly_limit=caller.monthly_limit,
            base=cover.base,
            unit_price=cover.unit,
            units=units,
            least_units=least,
            model=call.model,
            reserve=self._step_of(call),
            tags=call.tags,
        )

    def _period(self, created: int) -> str:
        """The UTC month of a time. Within one hour it is the same."""
        hour = created // 3600
        if hour != self._hour[0]:
            self._hour = (hour, time.strftime("%Y-%m", time.gmtime(created)))
        return self._hour[1]

    def _step_of(self, call: Call) -> int | None:
        """By how many output tokens this call's hold grows; None when it is held for whole."""
        return self._step if call.stream and all(_countable(target) for target in call.candidates) else None


def possible_cost(call: Call, provider: Callable[[str], Any]) -> int:
    """Credits that a call can cost at most whose request was sent once, with the output limit `call.max_output`: who
    tells of more usage is not believed. provider: an instance by its name."""
    choices = OPERATIONS[call.operation].choices(call.body)
    _, base, unit = _bound(call, choices, provider, None)
    limit = call.max_output if OPERATIONS[call.operation].tells_limit else None
    told = _wanted_output(call, _asked_output(call)) if limit is None else limit
    return math.ceil(base + unit * told) + math.ceil(_read_by_tools(call))


def _bound(
    call: Call, choices: int, provider: Callable[[str], Any], expect: InputTokens | None
) -> tuple[Decimal, Decimal, Decimal]:
    """What the input is expected to cost, what it costs at most, and the price of one output token (for all choices):
    the dearest of any candidate. An answer that is no text belongs to the input here: it has one size. expect: counts
    what the input is expected to have; None takes the most."""
    least = base = unit = _NOTHING
    bounds: dict[tuple[str, str, int | None, int], int] = {}
    expected: dict[int, int] = {}
    operation = OPERATIONS[call.operation]
    for target in call.candidates:
        price = target.price
        if price is None:
            continue
        # An alias may lead to one model by many roads: its input is counted once.
        same = (target.provider, target.upstream, target.context, id(target.options))
        tokens = bounds.get(same, -1)
        if tokens < 0:
            tokens = operation.bound_input(provider(target.provider), call.body, target)
            bounds[same] = tokens
        # A target that gives fewer choices per request reads the prompt once for each of them.
        most = target.profile.max_choices
        requests = choices if most is not None and choices > most else 1
        dearest = price.dearest_input(tokens)
        if requests > 1:
            dearest *= requests
        fewer = tokens
        if expect is not None and call.size > _LITTLE and operation.writes:
            fewer = expected[tokens] = expected.get(tokens) or expect.less_than(tokens, call.body)
        most_here = price.per_request + dearest * tokens
        least_here = most_here if fewer == tokens else price.per_request + dearest * fewer
        if operation.bound_counts is not None:
            answer, likely, fewer = _other_answer(operation, call.body, target, price, tokens)
            most_here += answer
            least_here = price.per_request + dearest * fewer + likely
        of_output = price.dearest_output(tokens)
        base, least = max(base, most_here), max(least, least_here)
        unit = max(unit, of_output * choices if choices > 1 else of_output)
    return least, base, unit


def _other_answer(
    operation: ModelOperation, body: Mapping[str, Any], target: Target, price: Price, tokens: int
) -> tuple[Decimal, Decimal, int]:
    """What an answer that is no text costs at most, what it is expected to cost, and the expected tokens of the input.
    tokens: those of the input at most. Raises GatewayFault for a price that says nothing of such answers."""
    assert operation.bound_counts is not None
    assert operation.bound_output is not None
    assert operation.estimate_output is not None
    written = operation.bound_output(body, target)
    most = price.most_for(Usage(prompt_tokens=tokens, completion_tokens=written, **operation.bound_counts(body)))
    # Where nothing is written, the tokens of the input are all that there is.
    if not most and not price.per_request and price.charges and (written or not price.by_tokens):
        raise _unpriced(target, " for this: its price names nothing that such an answer has")
    if operation.expect_counts is None:
        return most, most, tokens
    written = min(written, operation.estimate_output(body, target))
    likely = price.most_for(Usage(prompt_tokens=tokens, completion_tokens=written, **operation.expect_counts(body)))
    return most, likely, min(tokens, operation.estimate_input(body))


def _unpriced(target: Target, why: str = "") -> GatewayFault:
    return GatewayFault(
        f"The model '{target.model}' has no price{why}, so it cannot be billed. The operator must set `price` or "
        "`free: true` for it.",
        status=503,
        type="upstream_error",
        code="model_unpriced",
        param="model",
    )


@dataclass(slots=True)
class _Cover:
    """A hold that grows, in output tokens per choice.

    most: that could be paid at the beginning.
    covered: that are held for.
    input: the estimated tokens of the round's input, once they were counted.
    spent: credits that earlier rounds of the call cost.
    base, unit, held: what is held is `base` credits, and `unit` for each of `held` tokens.
    open: there is a hold; a call whose models are all free needs none until a tool costs something.
    possible: credits that the call can cost at most, but for what tools of the provider's own read; whoever tells of
        more is not believed.
    """

    choices: int
    base: Decimal = Decimal(0)
    unit: Decimal = Decimal(0)
    held: int = 0
    most: int = 0
    covered: int = 0
    input: int | None = None
    spent: int = 0
    possible: int = 0
    open: bool = False


def _clamp(call: Call, units: int, wanted: int, asked: int | None) -> None:
    """Tell the upstream, and the caller, of the output limit. units: what can be paid of those wanted, which are within
    those asked."""
    if units < wanted:
        call.max_output = units
        call.answer_headers["x-gateway-clamped"] = f"max_tokens={units}; reason=credits"
        return
    if asked is not None:
        call.max_output = wanted
        if wanted < asked:
            call.answer_headers["x-gateway-clamped"] = f"max_tokens={wanted}; reason=model"


def _read_by_tools(call: Call) -> Decimal:
    """Credits for the input that tools of the provider's own may add, in a request that may hold such: a model that
    runs them reads its window again and again, and more than so often in one request is not believed of any."""
    if not OPERATIONS[call.operation].in_dialects:
        return Decimal(0)
    # A prompt of the older completions is their text, and no stored one that may bring tools.
    bodies = [form.body for dialect, form in call.forms.items() if dialect != COMPLETIONS] or [call.body]
    if not any(body.get(name) for body in bodies for name in _HOSTED):
        return Decimal(0)
    most = Decimal(0)
    for target in call.candidates:
        if target.price is not None:
            tokens = _MOST_READINGS * (target.context or _UNKNOWN_CONTEXT)
            most = max(most, target.price.dearest_input(tokens) * tokens + target.price.per_web_search * _MOST_SEARCHES)
    return most


def _weight(call: Call) -> int:
    """The size to do the counting by: a tokenizer is not for the loop, however short the text."""
    return 4 * call.size + 1 if call.size > _LITTLE else call.size


def _refused(why: str) -> Refusal:
    return Refusal(
        f"Not enough credits to go on with this call: {why}.",
        status=402,
        type="insufficient_quota",
        code="insufficient_quota",
    )


def _countable(target: Target) -> bool:
    return not target.thinks and target.output_modalities == ("text",)


def _asked_output(call: Call) -> int | None:
    asked = call.body.get("max_completion_tokens") or call.body.get("max_tokens")
    # More than there can be credits is as good as no limit, and no ledger counts so far.
    return min(asked, MAX_CREDITS) if isinstance(asked, int) else None


def _model_limit(target: Target) -> int:
    return target.max_output or target.context or _UNKNOWN_MODEL_OUTPUT


def _wanted_output(call: Call, asked: int | None) -> int:
    """Output tokens per choice to hold for: what was asked, within what the largest candidate can give, where that is
    known."""
    if not OPERATIONS[call.operation].writes:
        return 0
    most, known = 0, True
    for target in call.candidates:
        limit = target.max_output
        if limit is None:
            known, limit = False, _model_limit(target)
        if limit > most:
            most = limit
    if asked is None:
        return most
    return min(asked, most) if known else asked
