"""What the policies are given, without a gateway: stores that note what they are asked, and an app that has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from gateway.api import Call, Caller, Hold, HoldRequest, Price, Refusal, Target, Window
from gateway.aside import Aside
from gateway.testing import make_call, make_target

CALLER = Caller("acct_1", "key_1", "mghp_...abcd")


@dataclass
class Ledger:
    """Pays `units` output tokens of what is asked, and writes down the rest. grows: what each `grow` gives."""

    units: int | None = None
    grows: list[int] = field(default_factory=list)
    refuses: bool = False
    asked: list[HoldRequest] = field(default_factory=list)
    told: list[tuple[Any, ...]] = field(default_factory=list)

    async def hold(self, request: HoldRequest) -> Hold:
        self.asked.append(request)
        if self.refuses:
            raise Refusal("Not enough credits.", status=402)
        units = request.units if self.units is None else min(self.units, request.units)
        covered = None if request.reserve is None or request.reserve >= units else request.reserve
        return Hold(request.request_id, 0, units, covered)

    async def grow(self, request_id: str, units: int, *, base: Decimal = Decimal(0)) -> int:
        self.told.append(("grow", request_id, units, base))
        return self.grows.pop(0)

    def mark_dispatched(self, request_id: str) -> None:
        self.told.append(("dispatched", request_id))

    def note_usage(self, request_id: str, charge: int, usage: Any) -> None:
        self.told.append(("note", request_id, charge))

    async def void(self, request_id: str) -> None:
        self.told.append(("void", request_id))

    async def settle(
        self, request_id: str, charge: int, basis: str, usage: Any, model: str, *, disputed: int = 0
    ) -> int:
        self.told.append(("settle", request_id, charge, disputed, basis, model))
        return charge


@dataclass
class Counters:
    """Answers every limit with `windows` in turn, and writes down what it was asked."""

    windows: list[Window] = field(default_factory=list)
    asked: list[tuple[str, list[tuple[str, int]], float]] = field(default_factory=list)

    async def hit(
        self, limits: list[tuple[str, int]], window: float, *, seen: Sequence[tuple[str, int]] = ()
    ) -> list[Window]:
        self.asked.append(("hit", limits, window))
        if not seen:
            return self.windows[: len(limits)]
        self.asked.append(("seen", list(seen), window))
        return [self.windows[0]] * len(limits) + self.windows[: len(seen)]

    async def peek(self, limits: list[tuple[str, int]], window: float) -> list[Window]:
        self.asked.append(("peek", limits, window))
        return self.windows[: len(limits)]


class Counting:
    """A provider that bounds every input at so many tokens, and notes whom it is asked for."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def bound_input_tokens(self, body: Any, target: Target) -> int:
        return self.tokens


def app(*, tokens: int = 100, minimum: int = 16, step: int | None = None, rate: int = 60, **stores: Any) -> Any:
    """An `App`. tokens: what any provider bounds an input at. The others are the settings of the same names."""
    return SimpleNamespace(
        stores=SimpleNamespace(**stores),
        config=SimpleNamespace(
            credits=SimpleNamespace(minimum_output=minimum, hold_step=step, hold="strict", hold_margin=25)
        ),
        provider=lambda name: Counting(tokens),
        section=lambda name: SimpleNamespace(requests_per_minute=rate, other_requests_per_minute=10 * rate),
        aside=Aside(),
    )


def priced(name: str = "a", *, price: tuple[int, int] = (1, 2), **more: Any) -> Target:
    """A target at so many credits per token of input and of output."""
    values = {"free": False, "max_output": 1000, "price": Price(Decimal(price[0]), Decimal(price[1])), **more}
    return make_target(name, **values)


def call_for(*candidates: Target, caller: Caller | None = CALLER, **body: Any) -> Call:
    """A call of a known caller that may go to these targets."""
    return make_call(
        {"model": "test/a", "messages": [{"role": "user", "content": "Hi"}], **body},
        caller=caller,
        candidates=candidates or (priced(),),
    )
