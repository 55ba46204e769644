"""The plugin alone: bytes in, statements out, and nothing but faults for nonsense."""

from __future__ import annotations

import time

import orjson
import pytest
from tollgate_stripe import StripeCheckout, StripeSettings
from tollgate_stripe.settings import why_not_ready
from tollgate_stripe.signature import is_authentic, sign

from gateway.api import CallerFault, Fault, Order, PaymentEvent, PaymentMethod, UpstreamFault, UpstreamReply

ORDER = Order("topup_1", "acct_1", 1234, "usd", 12_340_000, "https://a.example/x", "https://a.example/y")


def method(**changes) -> StripeCheckout:
    values = {"secret_key": "sk_test_example", "webhook_secret": "whsec_example", **changes}
    return StripeCheckout("stripe", StripeSettings(**values))


def signed(body: bytes) -> dict[str, str]:
    return {"stripe-signature": sign("whsec_example", body, int(time.time()))}


def test_it_is_a_payment_method():
    assert isinstance(method(), PaymentMethod)


def test_signature_by_the_documented_scheme():
    """The digest comes from: printf '1492774577.{}' | openssl dgst -sha256 -hmac whsec_example"""
    header = "t=1492774577,v1=1b622e9c31804ad429912b4a8c10bbcd38e1a169158ed34ac27b54b0848623c0"
    assert sign("whsec_example", b"{}", 1492774577) == header
    assert is_authentic("whsec_example", header, b"{}", now=1492774577 + 300, tolerance=300)
    assert not is_authentic("whsec_example", header, b"{}", now=1492774577 + 301, tolerance=300)
    assert not is_authentic("", sign("", b"{}", 1492774577), b"{}", now=1492774577, tolerance=300)


def test_a_method_without_a_webhook_secret_believes_nothing():
    body = b'{"type": "checkout.session.completed"}'
    header = {"stripe-signature": sign("", body, int(time.time()))}
    with pytest.raises(CallerFault) as refused:
        method(webhook_secret="").read_webhook(header, body, time.time())
    assert refused.value.code == "invalid_signature"


def test_why_it_is_not_ready():
    assert why_not_ready(StripeSettings()) == "secret_key is empty"
    assert why_not_ready(StripeSettings(secret_key="sk_test_example", webhook_secret="  ")) == "webhook_secret is empty"
    assert why_not_ready(StripeSettings(secret_key="sk_test_example", webhook_secret="whsec_example")) == ""
    with pytest.raises(ValueError, match="one word"):
        StripeSettings(secret_key="sk\r\nx-injected: 1")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""), (200, b"null"), (200, b"[]"), (200, b"\xff"), (200, b'{"id": 3, "url": null}'),
        (200, b'{"id": "cs_1"}'), (302, b"{}"), (402, b'{"error": null}'), (500, b'{"error": {"message": 7}}'),
    ],
)  # fmt: skip
def test_bad_answers_are_faults(status, body):
    reply = UpstreamReply(status, {}, body)
    with pytest.raises(UpstreamFault):
        method().read_checkout(reply)
    for context in ({"refunds_of": {"charge": "ch_1"}}, {"charge": "ch_1"}):
        try:
            events = method().read_lookup(PaymentEvent("evt_1", context=context), [reply])
        except UpstreamFault:
            continue
        assert events == []


def test_an_error_never_repeats_the_key():
    body = orjson.dumps({"error": {"type": "invalid_request_error", "message": "Invalid API Key: sk_test_*ple"}})
    with pytest.raises(UpstreamFault) as refused:
        method().read_checkout(UpstreamReply(401, {}, body))
    assert "sk_test" not in refused.value.message


HOSTILE = [None, 0, -1, 1.5, True, "", "x", [], {}, [None], {"id": None}, 10**18, "é\0"]


@pytest.mark.parametrize(
    "kind",
    ["checkout.session.completed", "checkout.session.expired", "refund.created", "charge.refunded",
     "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"],
)  # fmt: skip
def test_hostile_events_raise_only_faults(kind):
    good = {
        "id": "x_1", "object": "charge", "payment_status": "paid", "amount": 1, "amount_total": 1, "currency": "usd",
        "metadata": {"tollgate_order": "topup_1"}, "charge": "ch_1", "payment_intent": "pi_1", "status": "succeeded",
    }  # fmt: skip
    subject = method()
    for name in good:
        for value in HOSTILE:
            body = orjson.dumps({"id": "evt_1", "type": kind, "data": {"object": {**good, name: value}}}, default=str)
            try:
                events = subject.read_webhook(signed(body), body, time.time())
            except Fault:
                continue
            for event in events:
                assert all(isinstance(part.amount, int) for part in event.parts)
                subject.build_lookup(event)


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"7", b'{"type": null, "data": 3}', b'{"type": [], "data": {}}', b"{}"]
)
def test_events_of_no_kind_are_none_of_ours(body):
    assert method().read_webhook(signed(body), body, time.time()) == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
def test_signed_bodies_that_are_not_json_are_refused(body):
    with pytest.raises(CallerFault, match="not JSON"):
        method().read_webhook(signed(body), body, time.time())


def test_ids_in_paths_are_escaped():
    event = PaymentEvent("evt_1", context={"charge": "../v1/payouts?x"})
    [request] = method().build_lookup(event)
    assert request.url == "https://api.stripe.com/v1/charges/..%2Fv1%2Fpayouts%3Fx"


def test_the_form():
    request = method(product="{credits} coins").build_checkout(ORDER)
    assert request.url == "https://api.stripe.com/v1/checkout/sessions"
    assert b"unit_amount%5D=1234" in request.body
    assert b"name%5D=12%2C340%2C000+coins" in request.body
    assert request.headers["authorization"] == "Bearer sk_test_example"
