"""A gateway sells credits through a fake BTCPay Server: the whole way over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from gateway.testing import running_gateway, upstream_config

TEN_USD = 10_000_000


async def test_coins_become_credits(shop):
    order, invoice = await shop.order("10")
    assert order["status"] == "pending"
    [request] = shop.btcpay.upstream.requests
    assert request.json["amount"] == "10.00"
    assert request.json["currency"] == "USD"
    assert request.json["metadata"]["orderId"] == order["id"]
    assert request.json["checkout"]["paymentTolerance"] == 0

    shop.btcpay.pay(invoice, "10.00", "Processing")
    shop.btcpay.become(invoice, "Processing")
    assert await shop.deliver(shop.btcpay.event("InvoiceProcessing", invoice)) == 200
    assert (await shop.topup(order))["status"] == "processing"
    assert await shop.balance() == 0

    shop.btcpay.payments[invoice][0]["status"] = "Settled"
    shop.btcpay.become(invoice, "Settled")
    assert await shop.deliver(shop.btcpay.event("InvoiceSettled", invoice, manuallyMarked=False)) == 200
    assert await shop.balance() == TEN_USD
    assert (await shop.topup(order))["status"] == "paid"
    assert await shop.sums_agree()


async def test_nothing_in_the_webhook_is_believed(shop):
    """A signed message that says it is settled, about an invoice that is not."""
    order, invoice = await shop.order()
    event = shop.btcpay.event("InvoiceSettled", invoice, amount="1000000", paidAmount="1000000", status="Settled")
    assert await shop.deliver(event) == 200
    assert await shop.balance() == 0
    assert (await shop.topup(order))["status"] == "pending"


async def test_replays_and_duplicates_credit_once(shop):
    _, invoice = await shop.order()
    shop.btcpay.pay(invoice, "10")
    shop.btcpay.become(invoice, "Settled")
    event = shop.btcpay.event("InvoiceSettled", invoice)
    assert await asyncio.gather(*(shop.deliver(event) for _ in range(20))) == [200] * 20
    again = shop.btcpay.event("InvoiceSettled", invoice, isRedelivery=True)
    assert await shop.deliver(again) == 200
    assert await shop.balance() == TEN_USD
    assert await shop.sums_agree()


async def test_messages_in_the_wrong_order(shop):
    order, invoice = await shop.order()
    shop.btcpay.become(invoice, "Processing")
    messages = [shop.btcpay.event("InvoiceReceivedPayment", invoice), shop.btcpay.event("InvoiceProcessing", invoice)]
    shop.btcpay.pay(invoice, "10")
    shop.btcpay.become(invoice, "Settled")
    messages += [shop.btcpay.event("InvoicePaymentSettled", invoice), shop.btcpay.event("InvoiceSettled", invoice)]
    for message in reversed(messages):
        assert await shop.deliver(message) == 200
    assert await shop.balance() == TEN_USD
    assert (await shop.topup(order))["status"] == "paid"


async def test_a_part_of_the_sum_is_credited_in_proportion(shop):
    order, invoice = await shop.order()
    shop.btcpay.pay(invoice, "4.00")
    shop.btcpay.pay(invoice, "3.00", "Processing")
    shop.btcpay.become(invoice, "Expired", "PaidPartial")
    await shop.deliver(shop.btcpay.event("InvoiceExpired", invoice, partiallyPaid=True))
    topup = await shop.topup(order)
    assert (topup["status"], topup["received"], topup["credited"]) == ("partial", "4.00", 4_000_000)
    # The rest arrives late and settles.
    shop.btcpay.payments[invoice][1]["status"] = "Settled"
    await shop.deliver(shop.btcpay.event("InvoicePaymentSettled", invoice, afterExpiration=True))
    assert await shop.balance() == 7_000_000
    assert await shop.sums_agree()


async def test_too_much_is_credited_too(shop):
    order, invoice = await shop.order()
    shop.btcpay.pay(invoice, "12.34")
    shop.btcpay.become(invoice, "Settled", "PaidOver")
    await shop.deliver(shop.btcpay.event("InvoiceSettled", invoice, overPaid=True))
    assert (await shop.topup(order))["status"] == "paid"
    assert await shop.balance() == 12_340_000


async def test_an_expired_invoice_without_money(shop):
    order, invoice = await shop.order()
    shop.btcpay.become(invoice, "Expired")
    await shop.deliver(shop.btcpay.event("InvoiceExpired", invoice))
    assert (await shop.topup(order))["status"] == "expired"
    assert await shop.balance() == 0


async def test_an_invoice_that_becomes_invalid_takes_its_credits_back(shop):
    order, invoice = await shop.order()
    shop.btcpay.pay(invoice, "10")
    shop.btcpay.become(invoice, "Settled")
    await shop.deliver(shop.btcpay.event("InvoiceSettled", invoice))
    shop.btcpay.become(invoice, "Invalid", "Marked")
    later = shop.btcpay.event("InvoiceInvalid", invoice, manuallyMarked=True, timestamp=2_000_000_000)
    await shop.deliver(later)
    assert await shop.balance() == 0
    assert (await shop.topup(order))["status"] == "failed"
    assert await shop.sums_agree()


async def test_the_merchants_word_counts(shop):
    _, invoice = await shop.order()
    shop.btcpay.become(invoice, "Settled", "Marked")
    await shop.deliver(shop.btcpay.event("InvoiceSettled", invoice, manuallyMarked=True))
    assert await shop.balance() == TEN_USD


@pytest.mark.parametrize(
    "make",
    [
        lambda body, sign: "sha256=",
        lambda body, sign: sign(body, "another"),
        lambda body, sign: sign(body, ""),
        lambda body, sign: sign(body + b" "),
        lambda body, sign: sign(body).removeprefix("sha256="),
        lambda body, sign: "sha256=é",
    ],
)
async def test_a_wrong_signature_is_refused(shop, signature, make):
    _, invoice = await shop.order()
    shop.btcpay.become(invoice, "Settled")
    body = shop.btcpay.event("InvoiceSettled", invoice)
    before = len(shop.btcpay.upstream.requests)
    assert await shop.deliver(body, make(body, signature)) == 400
    assert len(shop.btcpay.upstream.requests) == before
    assert await shop.balance() == 0


async def test_an_invoice_of_another_order_or_app_is_not_booked(shop):
    """Who can make invoices with metadata of their choice cannot pay a large order with a small invoice."""
    order, invoice = await shop.order("500")
    small = {**shop.btcpay.invoices[invoice], "id": "INVsmall", "amount": "0.01"}
    shop.btcpay.invoices["INVsmall"] = small
    shop.btcpay.payments["INVsmall"] = []
    shop.btcpay.become("INVsmall", "Settled")
    assert await shop.deliver(shop.btcpay.event("InvoiceSettled", "INVsmall")) == 409
    small["metadata"] = {"orderId": order["id"]}
    assert await shop.deliver(shop.btcpay.event("InvoiceSettled", "INVsmall")) == 200
    assert await shop.balance() == 0


async def test_another_currency_is_not_booked(shop):
    _, invoice = await shop.order()
    shop.btcpay.invoices[invoice]["currency"] = "BTC"
    shop.btcpay.become(invoice, "Settled")
    assert await shop.deliver(shop.btcpay.event("InvoiceSettled", invoice)) == 409
    assert await shop.balance() == 0


async def test_what_does_not_concern_us_is_accepted_without_a_lookup(shop):
    _, invoice = await shop.order()
    before = len(shop.btcpay.upstream.requests)
    for body in (
        shop.btcpay.event("InvoiceCreated", invoice),
        shop.btcpay.event("PayoutCreated", invoice),
        shop.btcpay.event("InvoiceSettled", "__test__aaaa__test__"),
        shop.btcpay.event("InvoiceSettled", "../../users/me"),
        shop.btcpay.event("InvoiceSettled", invoice, storeId="another"),
    ):
        assert await shop.deliver(body) == 200
    assert len(shop.btcpay.upstream.requests) == before


async def test_an_unreachable_server_means_redelivery(shop):
    _, invoice = await shop.order()
    shop.btcpay.pay(invoice, "10")
    shop.btcpay.become(invoice, "Settled")
    event = shop.btcpay.event("InvoiceSettled", invoice)
    shop.btcpay.api_down = True
    assert await shop.deliver(event) == 502
    shop.btcpay.api_down = False
    assert await shop.deliver(event) == 200
    assert await shop.balance() == TEN_USD


@pytest.mark.parametrize("missing", ["url", "store_id", "api_key", "webhook_secret"])
async def test_an_empty_setting_switches_the_service_off(tmp_path, signature, missing):
    section = {
        "plugin": "btcpay", "url": "http://127.0.0.1:9", "store_id": "S", "api_key": "k-example",
        "webhook_secret": "w-example", missing: "",
    }  # fmt: skip
    config = upstream_config("http://127.0.0.1:9", payments={"coins": section})
    async with running_gateway(tmp_path, config) as gateway:
        status, _, _ = await gateway.post("/account/topups", {"method": "coins", "amount_usd": "10"})
        assert status == 404
        for secret in ("", "w-example"):
            headers = {"BTCPay-Sig": signature(b"{}", secret)}
            status, _, _ = await gateway.post("/payments/coins/webhook", b"{}", headers=headers)
            assert status == 404
