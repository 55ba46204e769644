"""What a payment service's statement does to an order, as arithmetic that every store shares; see `TopUps.book`.

An order keeps the *parts* of its money (the payment, each refund, each dispute) as the service last stated them. After
every statement the credits that the order is worth are computed anew, and the difference to what was booked is posted.
So replays change nothing and the order of arrival does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.errors import Refusal
from gateway.payments import MAX_AMOUNT, CheckoutState, Part, PaymentEvent
from gateway.stores.ledger import MAX_CREDITS
from gateway.stores.topups import TopUp

_LONGEST_TEXT = 200
_STEPS: Mapping[str, int] = MappingProxyType({"pending": 0, "processing": 1, "failed": 2, "expired": 2})


def worth(credits: int, amount: int, paid: int) -> int:
    """Credits for `paid` minor units when `amount` of them buy `credits`; rounded down, exact."""
    return credits * paid // amount


def next_state(state: CheckoutState, stated: CheckoutState | None) -> CheckoutState:
    """The page's state after a statement: it only goes on, and never back."""
    return stated if stated and _STEPS[stated] > _STEPS[state] else state


def newer_parts(known: Mapping[str, Part], stated: Iterable[Part]) -> Iterator[Part]:
    """Those statements that are news: of a higher rank, or of a larger sum in the same rank."""
    for part in stated:
        earlier = known.get(part.name)
        if earlier is None or (part.rank, abs(part.amount)) > (earlier.rank, abs(earlier.amount)):
            yield part


def sums_of(parts: Iterable[Part]) -> tuple[int, int]:
    """The money received and the money returned, in minor units."""
    amounts = [part.amount for part in parts]
    return sum(amount for amount in amounts if amount > 0), -sum(amount for amount in amounts if amount < 0)


def check_parts(parts: Iterable[Part]) -> None:
    """Raises Refusal(409). A plugin's mistake, or a service gone mad: refused before anything is stored."""
    for part in parts:
        if not 0 < len(part.name) <= _LONGEST_TEXT or abs(part.amount) > MAX_AMOUNT or abs(part.rank) > MAX_CREDITS:
            raise Refusal("This payment cannot be booked: its figures make no sense.", status=409,
                          code="payment_mismatch", detail=repr(part)[:300])  # fmt: skip


def check_fit(topup: TopUp, method: str, event: PaymentEvent) -> None:
    """Raises Refusal(409) when service, page or currency are not the order's."""
    for what, ours, theirs in (
        ("payment service", topup.method, method),
        ("currency", topup.currency, event.currency or topup.currency),
        ("checkout", topup.checkout_id, event.checkout_id if topup.checkout_id and event.checkout_id else None),
    ):
        if theirs is not None and ours != theirs:
            raise Refusal(
                f"This payment is not the order's: another {what}.",
                status=409,
                code="payment_mismatch",
                detail=f"order {topup.id}, event {event.id}: {what} {theirs[:100]!r}, expected {ours!r}",
            )


@dataclass(slots=True)
class Change:
    """posted: what the ledger gets or loses. unpaid: what it should lose besides, but cannot. owed: after all."""

    wanted: int
    owed: int
    posted: int = 0
    unpaid: int = 0


def change_of(topup: TopUp, settled: int, returned: int) -> Change:
    """What the order's new sums mean in credits, before the account's balance is looked at."""
    due = worth(topup.credits, topup.amount, max(settled - returned, 0))
    wanted = due - (topup.credited - topup.owed)
    if wanted <= 0:
        return Change(wanted, topup.owed)
    # Credits that were owed are paid first: they had been spent.
    repaid = min(topup.owed, wanted)
    return Change(wanted - repaid, topup.owed - repaid)


def take(change: Change, free: int) -> None:
    """Fill in what a change that takes credits away really takes: not what is held or spent (`free`: what is
    neither)."""
    taken = min(-change.wanted, free)
    change.posted = -taken
    change.unpaid = -change.wanted - taken
    change.owed += change.unpaid
