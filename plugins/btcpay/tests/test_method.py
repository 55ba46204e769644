"""The plugin alone: bytes in, statements out, and nothing but faults for nonsense."""

from __future__ import annotations

import orjson
import pytest
from tollgate_btcpay import BtcPayInvoices, BtcPaySettings
from tollgate_btcpay.method import is_authentic, sign
from tollgate_btcpay.settings import why_not_ready

from gateway.api import CallerFault, Fault, PaymentEvent, PaymentMethod, UpstreamFault, UpstreamReply

INVOICE = {
    "id": "INV1", "storeId": "S", "amount": "10.00", "currency": "USD", "status": "Settled",
    "additionalStatus": "None", "metadata": {"tollgateOrder": "topup_1"}, "checkoutLink": "https://pay.example.org/i/1",
}  # fmt: skip
METHODS = [
    {"paymentMethodId": "BTC-CHAIN", "rate": "50000",
     "payments": [{"id": "tx1-0", "value": "0.00010000", "fee": "0.00002", "status": "Settled"}]},
    {"paymentMethodId": "BTC-LN", "rate": "50000",
     "payments": [{"id": "tx1-0", "value": "0.00010000", "fee": "0", "status": "Settled"},
                  {"id": "ln1", "value": "0.0001", "fee": "0", "status": "Invalid"}]},
]  # fmt: skip
EVENT = PaymentEvent("delivery1", context={"invoice": "INV1", "at": 7})
HOSTILE = [None, 0, -1, 1.5, True, "", "x", "NaN", "Infinity", "-5", "9" * 60, "1e999", [], {}, [None], 10**18]


def method(**changes) -> BtcPayInvoices:
    values = {"url": "https://pay.example.org/", "store_id": "S", "api_key": "k", "webhook_secret": "w", **changes}
    return BtcPayInvoices("coins", BtcPaySettings(**values))


def read(invoice, methods):
    replies = [UpstreamReply(200, {}, orjson.dumps(value)) for value in (invoice, methods)]
    return method().read_lookup(EVENT, replies)


def test_it_is_a_payment_method():
    assert isinstance(method(), PaymentMethod)


def test_signature_by_the_documented_scheme():
    """The digest comes from: printf '{}' | openssl dgst -sha256 -hmac w"""
    header = "sha256=6a7dee211c8984c96c66995ea74c8ad8e2c636fd2df954a3436fcd4561404e2b"
    assert sign("w", b"{}") == header
    assert is_authentic("w", header, b"{}")
    assert not is_authentic("", sign("", b"{}"), b"{}")


def test_payments_count_once_without_their_fee():
    [event] = read({**INVOICE, "status": "Expired", "additionalStatus": "PaidPartial"}, METHODS)
    assert [(part.amount, part.rank) for part in event.parts] == [(400, 7)]
    assert event.state == "expired"


@pytest.mark.parametrize(
    ("status", "additional", "cents"),
    [("Settled", "None", 1000), ("Settled", "PaidOver", 1000), ("Settled", "Marked", 1000), ("New", "None", 400),
     ("Processing", "PaidPartial", 400), ("Invalid", "Marked", 0)],
)  # fmt: skip
def test_what_counts(status, additional, cents):
    [event] = read({**INVOICE, "status": status, "additionalStatus": additional}, METHODS)
    assert event.parts[0].amount == cents
    assert (event.order_id, event.checkout_id, event.currency) == ("topup_1", "INV1", "usd")


def test_hostile_answers_raise_only_faults():
    cases = [({**INVOICE, name: value}, METHODS) for name in INVOICE for value in HOSTILE]
    cases += [(INVOICE, value) for value in HOSTILE]
    for name in ("rate", "payments"):
        cases += [({**INVOICE, "status": "New"}, [{**METHODS[0], name: value}]) for value in HOSTILE]
    for name in ("id", "value", "fee", "status"):
        for value in HOSTILE:
            payment = {**METHODS[0]["payments"][0], name: value}
            cases.append(({**INVOICE, "status": "New"}, [{**METHODS[0], "payments": [payment]}]))
    for invoice, methods in cases:
        try:
            events = read(invoice, methods)
        except UpstreamFault:
            continue
        assert all(0 <= part.amount <= 10**12 for event in events for part in event.parts), (invoice, methods)


@pytest.mark.parametrize(("status", "body"), [(200, b""), (200, b"null"), (200, b"\xff"), (302, b"{}"), (403, b"{}")])
def test_bad_answers_are_faults(status, body):
    bad, good = UpstreamReply(status, {}, body), UpstreamReply(200, {}, orjson.dumps(INVOICE))
    with pytest.raises(UpstreamFault):
        method().read_checkout(bad)
    for replies in ([bad, good], [good, bad]):
        with pytest.raises(UpstreamFault):
            method().read_lookup(EVENT, replies)


def test_hostile_webhooks_raise_only_faults():
    good = {"type": "InvoiceSettled", "storeId": "S", "invoiceId": "INV1", "timestamp": 1, "deliveryId": "d"}
    subject = method()
    bodies = [orjson.dumps({**good, name: value}) for name in good for value in HOSTILE]
    for body in [*bodies, b"", b"null", b"[]", b"\xff"]:
        try:
            events = subject.read_webhook({"btcpay-sig": sign("w", body)}, body, 0.0)
        except Fault:
            continue
        for event in events:
            for request in subject.build_lookup(event):
                assert request.url.startswith("https://pay.example.org/api/v1/stores/S/invoices/")


def test_an_empty_secret_believes_nothing():
    body = orjson.dumps({"type": "InvoiceSettled", "storeId": "S", "invoiceId": "INV1", "timestamp": 1})
    with pytest.raises(CallerFault):
        method(webhook_secret="").read_webhook({"btcpay-sig": sign("", body)}, body, 0.0)


def test_why_it_is_not_ready():
    values = {"url": "https://pay.example.org", "store_id": "S", "api_key": "k", "webhook_secret": "w"}
    assert why_not_ready(BtcPaySettings(**values)) == ""
    for name in values:
        assert why_not_ready(BtcPaySettings(**{**values, name: ""})) == f"{name} is empty"
    for bad in ({"url": "ftp://x"}, {"store_id": "../x"}, {"api_key": "a\r\nb: c"}):
        with pytest.raises(ValueError, match="must"):
            BtcPaySettings(**{**values, **bad})
