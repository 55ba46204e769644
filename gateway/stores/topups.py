"""Top-ups: credits that users buy, from the order to the payment; see `gateway.stores`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.payments import CheckoutState, PaymentEvent

TopUpStatus = Literal[CheckoutState, "paid", "partial", "refunded", "partially_refunded"]


@dataclass(slots=True, frozen=True)
class TopUp:
    """An order of credits through a payment service, and what became of it.

    amount, settled, returned: minor units of `currency`: asked for, received so far, given or taken back since.
    credits: what the full amount buys. credited: the sum of this order's ledger entries.
    owed: credits that had to be taken back but were already spent; they stand as `unpaid` in the ledger.
    method: the payment service's name in the YAML. checkout_id, url: its page, "" before it was made.
    state: of the page; see `status` for the whole.
    """

    id: str
    account_id: str
    method: str
    currency: str
    amount: int
    credits: int
    created_at: int
    state: CheckoutState = "pending"
    checkout_id: str = ""
    url: str = ""
    settled: int = 0
    returned: int = 0
    credited: int = 0
    owed: int = 0

    @property
    def status(self) -> TopUpStatus:
        """Where the order stands: by its money once there was any, by its page before."""
        if self.settled <= 0:
            return self.state
        if self.returned:
            return "refunded" if self.returned >= self.settled else "partially_refunded"
        return "paid" if self.settled >= self.amount else "partial"


class TopUps(Protocol):
    """Orders of credits through payment services. Money and order change in one transaction, so that there is no
    moment at which one of them knows of a payment and the other does not."""

    async def open(self, account_id: str, method: str, *, currency: str, amount: int, credits: int) -> TopUp:
        """A new order. Raises Refusal(404) when there is no such account."""

    async def set_checkout(self, topup_id: str, checkout_id: str, url: str) -> TopUp | None:
        """Note the service's page; the first one stays. None when there is no such order."""

    async def give_up(self, topup_id: str) -> None:
        """No page could be made: the state becomes `failed`. Idempotent; an order that has a page stays as it is."""

    async def get(self, topup_id: str, *, account_id: str | None = None) -> TopUp | None:
        """One order; where `account_id` is given, an order of another account is as good as unknown."""

    async def list_topups(self, account_id: str | None = None, *, before: str = "", limit: int = 100) -> list[TopUp]:
        """Newest first; `before` is the id of the last order of the page before."""

    async def book(self, method: str, event: PaymentEvent) -> TopUp | None:
        """Take over what a payment service says (`event.order_id` must be set), and bring the ledger in line with it:
        a top-up entry for money received, a correction for money taken back, down to what is held at most; the rest
        is `owed`. The same event may come again, and events may come in any order. None when the order is unknown.
        Raises Refusal(409, code `payment_mismatch`) when service, page or currency are not the order's."""
