"""Orders to Checkout Sessions, and Stripe's events to statements about an order's money.

Everything that is made for an order carries its id as metadata `tollgate_order`: the session, and the payment intent,
from which Stripe copies it to the charge. Refunds and disputes carry nothing of ours, so before they count the charge
is asked for, which also says what they amount to now. (Stripe API reference: Checkout Sessions, Events, Refunds,
Disputes, Charges.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from gateway.api import (
    CallerFault,
    Checkout,
    CheckoutState,
    Order,
    Part,
    PaymentEvent,
    UpstreamFault,
    UpstreamReply,
    UpstreamRequest,
)
from tollgate_stripe.settings import StripeSettings
from tollgate_stripe.signature import is_authentic

API_VERSION = "2024-06-20"
"""Pinned, so that what we read does not change with the account's default."""
ORDER = "tollgate_order"
_MOST_REFUNDS = 100
# Refund.status -> (does it take the money back, step of its life). A refund that succeeded may still fail later.
_REFUND_STATES: Mapping[str, tuple[bool, int]] = MappingProxyType(
    {"pending": (True, 1), "requires_action": (True, 1), "succeeded": (True, 2), "failed": (False, 3),
     "canceled": (False, 3)}
)  # fmt: skip

Json = dict[str, Any]


class StripeCheckout:
    """One Stripe account. Implements `gateway.payments.PaymentMethod`."""

    def __init__(self, name: str, settings: StripeSettings) -> None:
        self.name = name
        self._settings = settings
        self._url = settings.base_url

    def build_checkout(self, order: Order) -> UpstreamRequest:
        """POST /v1/checkout/sessions. The order's id is also the idempotency key: asked twice, Stripe makes one."""
        price = "line_items[0][price_data]"
        form = {
            "mode": "payment",
            "client_reference_id": order.id,
            "success_url": order.success_url,
            "cancel_url": order.cancel_url,
            "line_items[0][quantity]": "1",
            f"{price}[currency]": order.currency,
            f"{price}[unit_amount]": str(order.amount),
            f"{price}[product_data][name]": self._settings.product.replace("{credits}", f"{order.credits:,}"),
            f"metadata[{ORDER}]": order.id,
            f"payment_intent_data[metadata][{ORDER}]": order.id,
        }
        headers = {
            **self._headers(),
            "content-type": "application/x-www-form-urlencoded",
            "idempotency-key": order.id,
        }
        return UpstreamRequest(self._url + "/v1/checkout/sessions", headers, urlencode(form).encode())

    def read_checkout(self, reply: UpstreamReply) -> Checkout:
        session = _read(reply)
        return Checkout(_text(session, "id"), _text(session, "url"))

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now: float) -> list[PaymentEvent]:
        secret = self._settings.webhook_secret.get_secret_value()
        header = headers.get("stripe-signature", "")
        if not is_authentic(secret, header, body, now=now, tolerance=self._settings.tolerance):
            raise CallerFault("The signature is missing, wrong or too old.", code="invalid_signature")
        try:
            event = orjson.loads(body)
        except ValueError as error:
            raise CallerFault("The event is not JSON.") from error
        data = event.get("data") if isinstance(event, dict) else None
        found = data.get("object") if isinstance(data, dict) else None
        reader = _READERS.get(str(event.get("type"))) if isinstance(event, dict) else None
        if reader is None or not isinstance(found, dict):
            return []
        read = reader(str(event.get("id"))[:100], found)
        return [] if read is None else [read]

    def build_lookup(self, event: PaymentEvent) -> Sequence[UpstreamRequest]:
        context = event.context
        if "refunds_of" in context:
            query = {**context["refunds_of"], "limit": str(_MOST_REFUNDS), "expand[]": "data.charge"}
            return [self._get("/v1/refunds?" + urlencode(query))]
        if "charge" in context:
            return [self._get("/v1/charges/" + quote(context["charge"], safe=""))]
        return []

    def read_lookup(self, event: PaymentEvent, replies: Sequence[UpstreamReply]) -> list[PaymentEvent]:
        answer = _read(replies[0])
        if "refunds_of" in event.context:
            return _refunds(event.id, answer)
        order_id = _order_of(answer)
        if not order_id:
            return []
        return [PaymentEvent(event.id, order_id, "", event.currency, None, event.parts)]

    def _get(self, path: str) -> UpstreamRequest:
        return UpstreamRequest(self._url + path, self._headers(), b"", "GET")

    def _headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._settings.secret_key.get_secret_value()}",
            "stripe-version": API_VERSION,
            "accept": "application/json",
            "user-agent": "tollgate-stripe",
        }


def _session(event_id: str, session: Json) -> PaymentEvent | None:
    """checkout.session.completed, checkout.session.async_payment_succeeded: paid, or on its way."""
    if session.get("payment_status") != "paid":
        return _unpaid("processing")(event_id, session)
    # What taxes add is not ours to credit; what a discount takes off was not paid.
    amount = min(_amount(session, "amount_total"), _amount(session, "amount_subtotal", "amount_total"))
    return _about(event_id, session, None, (Part("payment", amount, 1),))


def _unpaid(state: CheckoutState) -> Callable[[str, Json], PaymentEvent | None]:
    return lambda event_id, session: _about(event_id, session, state, ())


def _about(event_id: str, session: Json, state: CheckoutState | None, parts: tuple[Part, ...]) -> PaymentEvent | None:
    order_id = _order_of(session)
    if not order_id:
        return None
    return PaymentEvent(event_id, order_id, _text(session, "id"), _text(session, "currency").lower(), state, parts)


def _refund(event_id: str, refund: Json) -> PaymentEvent | None:
    """Anything about refunds: all of the charge's are asked for, so it does not matter which message came when."""
    key = "id" if refund.get("object") == "charge" else "charge"
    charge = _id(refund.get(key))
    intent = _id(refund.get("payment_intent"))
    if not charge and not intent:
        return None
    of = {"charge": charge} if charge else {"payment_intent": intent}
    return PaymentEvent(event_id, context={"refunds_of": of})


def _refunds(event_id: str, answer: Json) -> list[PaymentEvent]:
    refunds = answer.get("data")
    if not isinstance(refunds, list) or answer.get("has_more"):
        raise UpstreamFault("Stripe's list of refunds cannot be used.", detail=str(answer)[:300])
    parts: dict[str, list[Part]] = {}
    currency = ""
    for refund in refunds:
        if not isinstance(refund, dict):
            raise UpstreamFault("Stripe's list of refunds cannot be used.", detail=str(refund)[:300])
        charge = refund.get("charge")
        order_id = _order_of(charge) if isinstance(charge, dict) else ""
        state = _REFUND_STATES.get(str(refund.get("status")))
        if order_id and state is not None:
            takes, rank = state
            amount = -_amount(refund, "amount") if takes else 0
            parts.setdefault(order_id, []).append(Part("refund:" + _text(refund, "id"), amount, rank))
            currency = _text(refund, "currency").lower()
    return [PaymentEvent(event_id, order_id, "", currency, None, tuple(found)) for order_id, found in parts.items()]


def _dispute(takes: bool, rank: int) -> Callable[[str, Json], PaymentEvent | None]:
    """A cardholder's bank took the money back, or gave it back after the dispute was won."""

    def read(event_id: str, dispute: Json) -> PaymentEvent | None:
        charge = _id(dispute.get("charge"))
        if not charge:
            return None
        part = Part("dispute:" + _text(dispute, "id"), -_amount(dispute, "amount") if takes else 0, rank)
        currency = _text(dispute, "currency").lower()
        return PaymentEvent(event_id, currency=currency, parts=(part,), context={"charge": charge})

    return read


_READERS: Mapping[str, Callable[[str, Json], PaymentEvent | None]] = MappingProxyType(
    {
        "checkout.session.completed": _session,
        "checkout.session.async_payment_succeeded": _session,
        "checkout.session.async_payment_failed": _unpaid("failed"),
        "checkout.session.expired": _unpaid("expired"),
        "charge.refunded": _refund,
        "charge.refund.updated": _refund,
        "refund.created": _refund,
        "refund.updated": _refund,
        "refund.failed": _refund,
        "charge.dispute.funds_withdrawn": _dispute(True, 1),
        "charge.dispute.funds_reinstated": _dispute(False, 2),
    }
)


def _read(reply: UpstreamReply) -> Json:
    """A good answer as an object. Raises UpstreamFault; Stripe's own error message is for the operator's log only."""
    try:
        value = orjson.loads(reply.body)
    except ValueError:
        value = None
    if reply.status == 200 and isinstance(value, dict):
        return value
    error = value.get("error") if isinstance(value, dict) else None
    told = error if isinstance(error, dict) else {}
    raise UpstreamFault(
        "Stripe refused the request.",
        retryable=reply.status in (409, 429) or reply.status >= 500,
        upstream_status=reply.status,
        detail=f"status {reply.status}: {told.get('type')} {told.get('code')}: {str(told.get('message'))[:300]}",
    )


def _order_of(holder: Json) -> str:
    metadata = holder.get("metadata")
    value = metadata.get(ORDER) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""


def _id(value: Any) -> str:
    """An id, or the id of an object that Stripe has put in its place (`expand`)."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) else ""


def _text(holder: Json, name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        raise UpstreamFault("Stripe's answer makes no sense.", detail=f"{name}: {value!r}"[:300])
    return value


def _amount(holder: Json, *names: str) -> int:
    """The first member that is there. Stripe's amounts are whole numbers of the smallest unit."""
    value = next((holder[name] for name in names if holder.get(name) is not None), None)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UpstreamFault("Stripe's answer makes no sense.", detail=f"{names[0]}: {value!r}"[:300])
    return value
