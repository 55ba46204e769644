"""A gateway sells credits through a fake Stripe: the whole way over HTTP."""

from __future__ import annotations

import asyncio
import time
from itertools import permutations
from urllib.parse import parse_qs

import orjson
import pytest

from gateway.testing import running_gateway, upstream_config

TEN_USD = 10_000_000


async def test_a_card_payment_becomes_credits(shop):
    order = await shop.order("10", success_url="https://example.org/done?a=1&b=2")
    assert order["status"] == "pending"
    assert (order["amount"], order["credits"], order["currency"]) == ("10.00", TEN_USD, "usd")
    [request] = shop.stripe.upstream.requests
    form = parse_qs(request.body.decode())
    assert form["success_url"] == ["https://example.org/done?a=1&b=2"]
    assert form["line_items[0][price_data][unit_amount]"] == ["1000"]
    assert form["line_items[0][price_data][product_data][name]"] == ["10,000,000 credits"]
    assert request.headers["idempotency-key"] == order["id"]
    assert await shop.balance() == 0

    session = shop.stripe.pay(shop.session(order))
    assert await shop.deliver(shop.stripe.event("checkout.session.completed", session)) == 200
    assert await shop.balance() == TEN_USD
    topup = await shop.topup(order)
    assert (topup["status"], topup["received"], topup["credited"]) == ("paid", "10.00", TEN_USD)
    [_, entry] = await shop.gateway.gateway.stores.ledger.entries(shop.gateway.account.id)
    assert (entry.kind, entry.amount) == ("topup", TEN_USD)
    assert await shop.sums_agree()


async def test_replays_credit_once(shop):
    order = await shop.order()
    event = shop.stripe.event("checkout.session.completed", shop.stripe.pay(shop.session(order)))
    for _ in range(3):
        assert await shop.deliver(event) == 200
    assert await shop.balance() == TEN_USD
    assert await shop.sums_agree()


async def test_twenty_duplicates_at_once_credit_once(shop):
    order = await shop.order()
    event = shop.stripe.event("checkout.session.completed", shop.stripe.pay(shop.session(order)))
    assert await asyncio.gather(*(shop.deliver(event) for _ in range(20))) == [200] * 20
    assert await shop.balance() == TEN_USD
    assert await shop.sums_agree()


@pytest.mark.parametrize(
    "make",
    [
        lambda body, sign: "",
        lambda body, sign: sign(body, secret="whsec_another"),
        lambda body, sign: sign(body, secret=""),
        lambda body, sign: sign(body + b" "),
        lambda body, sign: sign(body, at=int(time.time()) - 310),
        lambda body, sign: sign(body, at=int(time.time()) + 310),
        lambda body, sign: sign(body).replace("v1=", "v0="),
        lambda body, sign: sign(body) + f",t={int(time.time())}",
        lambda body, sign: "t=,v1=",
        lambda body, sign: "t=1e9,v1=é",
    ],
)
async def test_a_wrong_or_old_signature_is_refused(shop, signature, make):
    order = await shop.order()
    body = shop.stripe.event("checkout.session.completed", shop.stripe.pay(shop.session(order)))
    assert await shop.deliver(body, make(body, signature)) == 400
    assert await shop.balance() == 0
    assert await shop.deliver(body) == 200
    assert await shop.balance() == TEN_USD


async def test_a_secret_that_is_being_rolled(shop, signature):
    order = await shop.order()
    body = shop.stripe.event("checkout.session.completed", shop.stripe.pay(shop.session(order)))
    assert await shop.deliver(body, signature(body, also=f"v1={'a' * 64},")) == 200
    assert await shop.balance() == TEN_USD


async def test_a_delayed_payment_counts_when_the_money_is_there(shop):
    order = await shop.order()
    session = shop.stripe.pay(shop.session(order), at_once=False)
    completed = shop.stripe.event("checkout.session.completed", session)
    await shop.deliver(completed)
    assert (await shop.topup(order))["status"] == "processing"
    assert await shop.balance() == 0
    session["payment_status"] = "paid"
    await shop.deliver(shop.stripe.event("checkout.session.async_payment_succeeded", session))
    await shop.deliver(completed)  # late
    assert (await shop.topup(order))["status"] == "paid"
    assert await shop.balance() == TEN_USD


@pytest.mark.parametrize(
    ("kind", "status"),
    [("checkout.session.expired", "expired"), ("checkout.session.async_payment_failed", "failed")],
)
async def test_orders_without_money(shop, kind, status):
    order = await shop.order()
    session = shop.stripe.sessions[shop.session(order)]
    completed = shop.stripe.event("checkout.session.completed", session)
    await shop.deliver(shop.stripe.event(kind, session))
    await shop.deliver(completed)  # late: does not bring the order back to life
    assert (await shop.topup(order))["status"] == status
    assert await shop.balance() == 0


async def test_refunds_in_any_order_and_twice(shop):
    stripe = shop.stripe
    for order_of_arrival in permutations(range(3)):
        before = await shop.balance()
        order = await shop.order()
        session = stripe.pay(shop.session(order))
        charge = stripe.charge_of(session)
        events = [stripe.event("checkout.session.completed", session)]
        events.append(stripe.event("refund.created", stripe.refund(charge, 250)))
        stripe.refund(charge, 100)
        events.append(stripe.event("charge.refunded", charge))
        for index in (*order_of_arrival, *order_of_arrival):
            assert await shop.deliver(events[index]) == 200
        topup = await shop.topup(order)
        assert (topup["status"], topup["returned"], topup["credited"]) == ("partially_refunded", "3.50", 6_500_000)
        assert await shop.balance() - before == 6_500_000
    assert await shop.sums_agree()


async def test_a_refund_that_fails_returns_the_credits(shop):
    order = await shop.order()
    session = shop.stripe.pay(shop.session(order))
    await shop.deliver(shop.stripe.event("checkout.session.completed", session))
    refund = shop.stripe.refund(shop.stripe.charge_of(session), 1000, "pending")
    created = shop.stripe.event("refund.created", refund)
    await shop.deliver(created)
    assert await shop.balance() == 0
    assert (await shop.topup(order))["status"] == "refunded"
    refund["status"] = "failed"
    await shop.deliver(shop.stripe.event("refund.failed", refund))
    await shop.deliver(created)
    assert await shop.balance() == TEN_USD
    assert (await shop.topup(order))["status"] == "paid"
    assert await shop.sums_agree()


async def test_a_dispute_takes_the_credits_and_a_won_one_returns_them(shop):
    order = await shop.order()
    session = shop.stripe.pay(shop.session(order))
    await shop.deliver(shop.stripe.event("checkout.session.completed", session))
    dispute = shop.stripe.dispute(shop.stripe.charge_of(session))
    taken = shop.stripe.event("charge.dispute.funds_withdrawn", dispute)
    await shop.deliver(taken)
    assert await shop.balance() == 0
    await shop.deliver(shop.stripe.event("charge.dispute.funds_reinstated", dispute))
    await shop.deliver(taken)  # late
    assert await shop.balance() == TEN_USD
    assert await shop.sums_agree()


async def test_payments_for_something_else_are_none_of_ours(shop):
    foreign = {
        "id": "cs_other", "object": "checkout.session", "payment_status": "paid", "amount_total": 1000,
        "currency": "usd", "metadata": {}, "client_reference_id": "order-7",
    }  # fmt: skip
    assert await shop.deliver(shop.stripe.event("checkout.session.completed", foreign)) == 200
    unknown = {**foreign, "metadata": {"tollgate_order": "topup_unknown"}}
    assert await shop.deliver(shop.stripe.event("checkout.session.completed", unknown)) == 200
    shop.stripe.charges["ch_other"] = charge = {
        "id": "ch_other", "object": "charge", "amount": 5, "amount_refunded": 0, "currency": "usd", "metadata": {},
        "payment_intent": "pi_other",
    }  # fmt: skip
    assert await shop.deliver(shop.stripe.event("refund.created", shop.stripe.refund(charge, 5))) == 200
    dispute = shop.stripe.dispute(charge)
    assert await shop.deliver(shop.stripe.event("charge.dispute.funds_withdrawn", dispute)) == 200
    assert await shop.deliver(shop.stripe.event("customer.created", {"id": "cus_1"})) == 200
    assert await shop.balance() == 0
    assert any(line["message"] == "a payment for an unknown order was reported" for line in shop.gateway.log)


async def test_only_what_was_paid_is_credited(shop):
    """Another amount than the order's: by a discount, or by a mistake of whoever changed the session."""
    order = await shop.order("10")
    session = shop.stripe.pay(shop.session(order))
    session["amount_total"] = 1
    await shop.deliver(shop.stripe.event("checkout.session.completed", session))
    assert await shop.balance() == 10_000
    assert (await shop.topup(order))["status"] == "partial"


@pytest.mark.parametrize(
    "change", [{"currency": "jpy"}, {"id": "cs_another"}, {"amount_total": -5}, {"amount_total": 10**18}]
)
async def test_money_that_is_not_the_orders_is_not_booked(shop, change):
    order = await shop.order()
    session = {**shop.stripe.pay(shop.session(order)), **change}
    if "amount_total" in change:
        session["amount_subtotal"] = change["amount_total"]
    assert await shop.deliver(shop.stripe.event("checkout.session.completed", session)) in (409, 502)
    assert await shop.balance() == 0


async def test_a_lookup_that_fails_is_done_again_at_redelivery(shop):
    order = await shop.order()
    session = shop.stripe.pay(shop.session(order))
    await shop.deliver(shop.stripe.event("checkout.session.completed", session))
    event = shop.stripe.event("refund.created", shop.stripe.refund(shop.stripe.charge_of(session), 1000))
    shop.stripe.fail_next = 1
    assert await shop.deliver(event) == 502
    assert await shop.balance() == TEN_USD
    assert await shop.deliver(event) == 200
    assert await shop.balance() == 0


async def test_stripe_refuses_the_checkout(shop):
    shop.stripe.fail_next = 1
    status, _, body = await shop.gateway.post("/account/topups", {"method": "stripe", "amount_usd": "10"})
    assert status == 502
    assert b"unknown error" not in body
    [topup] = await shop.gateway.gateway.stores.topups.list_topups()
    assert topup.status == "failed"


@pytest.mark.parametrize("missing", ["secret_key", "webhook_secret"])
async def test_an_empty_secret_switches_the_service_off(tmp_path, signature, missing):
    section = {"secret_key": "sk_test_example", "webhook_secret": "whsec_example", missing: "${STRIPE_NOTHING:-}"}
    async with running_gateway(
        tmp_path, upstream_config("http://127.0.0.1:9", payments={"stripe": section})
    ) as gateway:
        status, _, body = await gateway.post("/account/topups", {"method": "stripe", "amount_usd": "10"})
        assert status == 404
        body = orjson.dumps({"id": "evt_1", "type": "checkout.session.completed", "data": {"object": {}}})
        for secret in ("", "whsec_example"):
            headers = {"Stripe-Signature": signature(body, secret=secret)}
            status, _, _ = await gateway.post("/payments/stripe/webhook", body, headers=headers)
            assert status == 404
        assert any("payment service stripe is switched off" in line["message"] for line in gateway.log)
