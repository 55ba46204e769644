"""What a payment plugin implements: pure translation between an order and one payment service's API.

Like a provider, a payment method never opens a socket. It says what to send for an order (`build_checkout`), reads
what came back (`read_checkout`), and reads what the service reports later (`read_webhook`). The gateway owns
connections, time limits, the stored orders (`TopUps`) and the ledger; no plugin ever moves a credit.

What a service reports is not "add so much" but "this part of the order's money now stands at so much". Such a
statement may arrive twice, late or out of order and still leads to the same sum, so no delivery has to be remembered.

Amounts are integers in the currency's minor unit (cents). Times are unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from gateway.provider import UpstreamReply, UpstreamRequest

MAX_AMOUNT = 10**12
"""The largest amount in minor units that is believed of anybody."""

CheckoutState = Literal["pending", "processing", "failed", "expired"]
"""How far an order without money has come. `processing`: the payer has acted, but the money is not certain yet.
Nothing leads back: `failed` and `expired` are last words, which only arriving money overrides."""


@dataclass(slots=True, frozen=True)
class Order:
    """What is to be paid. id: ours, to be carried by the service and given back in `PaymentEvent.order_id`.

    amount: minor units of `currency` (lower case, e.g. `usd`). credits: what the account gets for it.
    success_url, cancel_url: where the payer's browser goes afterwards.
    """

    id: str
    account_id: str
    amount: int
    currency: str
    credits: int
    success_url: str
    cancel_url: str


@dataclass(slots=True, frozen=True)
class Checkout:
    """The service's page for one order. id: the service's name for it. url: where the payer goes."""

    id: str
    url: str


@dataclass(slots=True, frozen=True)
class Part:
    """A part of an order's money, as it stands now.

    name: the same for every statement about the same money, e.g. `payment` or `refund:re_1`; at most 200 characters.
    amount: minor units, positive for money received, negative for money given or taken back.
    rank: of two statements about a part, the one with the higher rank counts; of two with the same rank, the one
        with the larger amount (without regard to its sign). So it must grow with the part's own history: the step
        of a fixed life cycle, or the time of a statement that was confirmed afterwards.
    """

    name: str
    amount: int
    rank: int


@dataclass(slots=True, frozen=True)
class PaymentEvent:
    """What a service says about one order.

    id: the service's id of the message, for logs. order_id: ours, "" when only a lookup can tell.
    checkout_id: the service's name for the order, "" when the message does not say. currency: lower case.
    state: None when it says nothing new. parts: the parts of the money it speaks of.
    context: what the plugin wants to remember between `read_webhook` and `read_lookup`.
    """

    id: str
    order_id: str = ""
    checkout_id: str = ""
    currency: str = ""
    state: CheckoutState | None = None
    parts: tuple[Part, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class PaymentMethod(Protocol):
    """One configured payment service. name: the instance's name in the YAML."""

    name: str

    def build_checkout(self, order: Order) -> UpstreamRequest:
        """The request that makes the service's page for this order. Carries `order.id` so that every later message
        about the money leads back to it, and as the idempotency key where the service knows one."""

    def read_checkout(self, reply: UpstreamReply) -> Checkout:
        """The page that was made. Raises UpstreamFault for error answers and nonsense; repeats no credentials."""

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now: float) -> list[PaymentEvent]:
        """Verify a message and read it; empty when it is none of ours. headers: lower-case names. now: unix seconds.
        Raises CallerFault (400, code `invalid_signature`) when the message is not the service's, or too old."""

    def build_lookup(self, event: PaymentEvent) -> Sequence[UpstreamRequest]:
        """What to ask the service before the event may count; empty when the event itself is proof enough."""

    def read_lookup(self, event: PaymentEvent, replies: Sequence[UpstreamReply]) -> list[PaymentEvent]:
        """The events that really happened, read from the answers to `build_lookup`, in its order. Raises
        UpstreamFault when they make no sense: the service is then asked to deliver its message again."""


@dataclass(slots=True, frozen=True)
class PaymentKind:
    """A kind of payment service that a plugin registers: `create(name, settings)` builds one instance.

    kind: the value of `plugin:` in the YAML. settings_model: the pydantic model of the instance's section
    (without `plugin`, `minimum` and `maximum`, which the core reads). `ready(settings)` returns "" or why the
    instance is switched off; an empty secret must switch it off, because a signature made with an empty secret
    can be made by anybody.
    """

    kind: str
    settings_model: type[Any]
    create: Any = field(repr=False)
    ready: Any = field(repr=False)
