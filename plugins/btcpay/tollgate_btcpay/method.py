"""Orders to invoices, and BTCPay's webhooks to statements about an order's money.

A webhook says only that something happened to an invoice. What it is worth is asked for by the Greenfield API: the
invoice for its status, and its payments for what has really settled. (Greenfield API v1: Invoices, Webhooks.)
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

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
from tollgate_btcpay.settings import BtcPaySettings

ORDER = "tollgateOrder"
"""A metadata key of our own: `orderId` may also be set by the public pages of a store's other apps."""
_EVENTS = frozenset(
    {"InvoiceReceivedPayment", "InvoicePaymentSettled", "InvoiceProcessing", "InvoiceSettled", "InvoiceExpired",
     "InvoiceInvalid"}
)  # fmt: skip
# Invoice.status -> our state. What has settled is told by parts, so a settled invoice needs none.
_STATES: Mapping[str, CheckoutState | None] = MappingProxyType(
    {"New": None, "Processing": "processing", "Settled": None, "Expired": "expired", "Invalid": "failed"}
)
_INVOICE_ID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_EXACT = Context(prec=60)
_MOST = Decimal(10**10)

Json = dict[str, Any]


class BtcPayInvoices:
    """One store of one BTCPay Server. Implements `gateway.payments.PaymentMethod`."""

    def __init__(self, name: str, settings: BtcPaySettings) -> None:
        self.name = name
        self._settings = settings
        self._invoices = f"{settings.url}/api/v1/stores/{settings.store_id}/invoices"

    def build_checkout(self, order: Order) -> UpstreamRequest:
        """POST /api/v1/stores/{store}/invoices. No tolerance: what is missing is not credited."""
        options: Json = {"redirectURL": order.success_url, "paymentTolerance": 0}
        if self._settings.expiration:
            options["expirationMinutes"] = self._settings.expiration
        body = {
            "amount": f"{order.amount // 100}.{order.amount % 100:02}",
            "currency": order.currency.upper(),
            "metadata": {
                "orderId": order.id,
                ORDER: order.id,
                "itemDesc": self._settings.product.replace("{credits}", f"{order.credits:,}"),
            },
            "checkout": options,
        }
        headers = {**self._headers(), "content-type": "application/json"}
        return UpstreamRequest(self._invoices, headers, orjson.dumps(body))

    def read_checkout(self, reply: UpstreamReply) -> Checkout:
        invoice = _object(reply)
        return Checkout(_text(invoice, "id"), _text(invoice, "checkoutLink"))

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now: float) -> list[PaymentEvent]:
        """`BTCPay-Sig: sha256=HMAC256(secret, body)`. There is no time in it; an old message is harmless, because
        nothing in it is believed but the invoice's id."""
        if not is_authentic(self._settings.webhook_secret.get_secret_value(), headers.get("btcpay-sig", ""), body):
            raise CallerFault("The signature is missing or wrong.", code="invalid_signature")
        try:
            event = orjson.loads(body)
        except ValueError as error:
            raise CallerFault("The event is not JSON.") from error
        if not isinstance(event, dict) or str(event.get("type")) not in _EVENTS:
            return []
        invoice, at = event.get("invoiceId"), event.get("timestamp")
        if event.get("storeId") != self._settings.store_id or not isinstance(invoice, str):
            return []
        # The server's button "send test" invents an id such as `__test__...__test__`.
        if not _INVOICE_ID.fullmatch(invoice):
            return []
        if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at <= 2**40:
            raise CallerFault("timestamp: expected unix seconds.", param="timestamp")
        return [PaymentEvent(str(event.get("deliveryId"))[:100], context={"invoice": invoice, "at": at})]

    def build_lookup(self, event: PaymentEvent) -> Sequence[UpstreamRequest]:
        url = f"{self._invoices}/{event.context['invoice']}"
        return [UpstreamRequest(path, self._headers(), b"", "GET") for path in (url, f"{url}/payment-methods")]

    def read_lookup(self, event: PaymentEvent, replies: Sequence[UpstreamReply]) -> list[PaymentEvent]:
        invoice, methods = _object(replies[0]), _read(replies[1])
        metadata = invoice.get("metadata")
        order_id = metadata.get(ORDER) if isinstance(metadata, dict) else None
        if not isinstance(order_id, str) or not order_id:
            return []  # an invoice for something else
        invoice_id, status = _text(invoice, "id"), _text(invoice, "status")
        if invoice_id != event.context["invoice"] or status not in _STATES:
            raise UpstreamFault("BTCPay's answer makes no sense.", detail=f"{invoice_id} {status}"[:300])
        # A statement about the whole payment, as of the message's time: the answer is at least as new as that.
        part = Part("payment", _paid(invoice, status, methods), event.context["at"])
        currency = _text(invoice, "currency").lower()
        return [PaymentEvent(event.id, order_id, invoice_id, currency, _STATES[status], (part,))]

    def _headers(self) -> dict[str, str]:
        return {
            "authorization": f"token {self._settings.api_key.get_secret_value()}",
            "accept": "application/json",
            "user-agent": "tollgate-btcpay",
        }


def sign(secret: str, body: bytes) -> str:
    """The header `BTCPay-Sig` for `body`."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_authentic(secret: str, header: str, body: bytes) -> bool:
    """Whether `body` was signed under `secret`; never under an empty one, because everybody can sign with that."""
    return bool(secret) and hmac.compare_digest(sign(secret, body).encode(), header.strip().encode("utf-8", "replace"))


def _paid(invoice: Json, status: str, methods: Any) -> int:
    """Cents that count. A settled invoice was paid in full, says the server, who knows the rates; what came beyond is
    counted by its payments, and so is what came to an invoice that is not settled."""
    if status == "Invalid":
        return 0
    settled = _cents(_settled(methods))
    if status != "Settled":
        return settled
    asked = _cents(_decimal(invoice, "amount"))
    return asked if invoice.get("additionalStatus") == "None" else max(asked, settled)


def _settled(methods: Any) -> Decimal:
    """The settled payments in the invoice's currency, each counted once."""
    total = Decimal(0)
    seen: set[str] = set()
    for method in _list(methods):
        payments = [payment for payment in _list(method.get("payments")) if payment.get("status") == "Settled"]
        for payment in payments:
            name = _text(payment, "id")
            if name not in seen:
                seen.add(name)
                net = _EXACT.subtract(_decimal(payment, "value"), _decimal(payment, "fee", "0"))
                total = _EXACT.add(total, _EXACT.multiply(net, _decimal(method, "rate")))
    return max(total, Decimal(0))


def _cents(amount: Decimal) -> int:
    # Rounded, not cut: coins have eight decimals, so an exact payment comes out a tenth of a cent too high or low.
    return int(_EXACT.multiply(amount, Decimal(100)).to_integral_value(ROUND_HALF_UP))


def _read(reply: UpstreamReply) -> Any:
    try:
        value = orjson.loads(reply.body)
    except ValueError:
        value = None
    if reply.status == 200 and value is not None:
        return value
    raise UpstreamFault(
        "BTCPay Server refused the request.",
        retryable=reply.status == 429 or reply.status >= 500,
        upstream_status=reply.status,
        detail=f"status {reply.status}: {reply.body[:300].decode('utf-8', 'replace')}",
    )


def _object(reply: UpstreamReply) -> Json:
    value = _read(reply)
    if not isinstance(value, dict):
        raise UpstreamFault("BTCPay's answer makes no sense.", detail=str(value)[:300])
    return value


def _list(value: Any) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UpstreamFault("BTCPay's answer makes no sense.", detail=str(value)[:300])
    return value


def _text(holder: Json, name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        raise UpstreamFault("BTCPay's answer makes no sense.", detail=f"{name}: {value!r}"[:300])
    return value


def _decimal(holder: Json, name: str, absent: str | None = None) -> Decimal:
    """A number, which BTCPay writes as text."""
    value = holder.get(name, absent)
    try:
        number = Decimal(value) if isinstance(value, str) and len(value) <= 40 else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or not 0 <= number <= _MOST:
        raise UpstreamFault("BTCPay's answer makes no sense.", detail=f"{name}: {value!r}"[:300])
    return number
