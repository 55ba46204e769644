"""A fake BTCPay Server: one store's invoices by the Greenfield API, payments, and the store's webhook."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.testing import FakeUpstream, Received, Reply, RunningGateway, json_reply, running_gateway, upstream_config

API_KEY = "btcpay-key-example"
WEBHOOK_SECRET = "webhook-secret-example"
STORE = "9CiNzKoANXxmk5ayZngSXrHTiVvvgCrwrpFQd4m2K776"
RATE = Decimal("64392.23")


class FakeBtcPay:
    """The store. `api_down` makes the API fail; webhooks are made by `event`."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.upstream = upstream
        self.invoices: dict[str, dict[str, Any]] = {}
        self.payments: dict[str, list[dict[str, Any]]] = {}
        self.api_down = False
        self._numbers = itertools.count(1)
        upstream.answer(self._answer)

    # The API

    def _answer(self, request: Received) -> Reply:
        if self.api_down:
            return json_reply(b"<html>Bad gateway</html>", 502)
        if request.headers.get("authorization") != f"token {API_KEY}":
            return json_reply({"code": "unauthenticated", "message": "Authentication is required"}, 401)
        base = f"/api/v1/stores/{STORE}/invoices"
        if not request.path.startswith(base):
            return json_reply({"code": "missing-permission", "message": "Insufficient API Permissions"}, 403)
        rest = request.path[len(base) :].strip("/").split("/")
        if request.method == "POST" and rest == [""]:
            return self._create(request)
        invoice = self.invoices.get(rest[0])
        if request.method != "GET" or invoice is None:
            return json_reply({"code": "invoice-not-found", "message": "The invoice was not found"}, 404)
        return json_reply(self._methods(rest[0]) if rest[1:] == ["payment-methods"] else invoice)

    def _create(self, request: Received) -> Reply:
        asked = request.json
        unknown = set(asked) - {"amount", "currency", "metadata", "checkout", "receipt", "additionalSearchTerms"}
        if unknown or not isinstance(asked["amount"], str):
            return json_reply([{"path": "amount", "message": "The request is not valid"}], 422)
        invoice_id = f"INVoice{next(self._numbers)}"
        now = int(time.time())
        self.payments[invoice_id] = []
        self.invoices[invoice_id] = invoice = {
            "id": invoice_id,
            "storeId": STORE,
            "amount": str(Decimal(asked["amount"])),
            "paidAmount": "0",
            "currency": asked["currency"],
            "type": "Standard",
            "checkoutLink": f"https://pay.example.org/i/{invoice_id}",
            "createdTime": now,
            "expirationTime": now + 900,
            "monitoringExpiration": now + 87_300,
            "status": "New",
            "additionalStatus": "None",
            "availableStatusesForManualMarking": ["Settled", "Invalid"],
            "archived": False,
            "metadata": asked["metadata"],
            "checkout": asked["checkout"],
        }
        return json_reply(invoice)

    def _methods(self, invoice_id: str) -> list[dict[str, Any]]:
        """On-chain with the payments; Lightning beside it, without any."""
        paid = sum((Decimal(payment["value"]) for payment in self.payments[invoice_id]), Decimal(0))
        amount = (Decimal(self.invoices[invoice_id]["amount"]) / RATE).quantize(Decimal("1e-8"))
        common = {"rate": str(RATE), "currency": "BTC", "totalPaid": str(paid), "amount": str(amount),
                  "due": str(amount - paid), "paymentMethodFee": "0", "activated": True}  # fmt: skip
        return [
            {**common, "paymentMethodId": "BTC-CHAIN", "destination": "bc1q-example",
             "paymentMethodPaid": str(paid), "payments": self.payments[invoice_id]},
            {**common, "paymentMethodId": "BTC-LN", "destination": "lnbc-example", "paymentMethodPaid": "0",
             "payments": []},
        ]  # fmt: skip

    # What happens at the store

    def pay(self, invoice_id: str, usd: str, status: str = "Settled") -> dict[str, Any]:
        """Coins worth about `usd` arrive: eight decimals of a coin rarely meet a cent exactly."""
        payment = {
            "id": f"tx{next(self._numbers)}-0",
            "receivedDate": int(time.time()),
            "value": str((Decimal(usd) / RATE).quantize(Decimal("1e-8"))),
            "fee": "0",
            "status": status,
            "destination": "bc1q-example",
        }
        self.payments[invoice_id].append(payment)
        return payment

    def become(self, invoice_id: str, status: str, additional: str = "None") -> None:
        self.invoices[invoice_id] |= {"status": status, "additionalStatus": additional}

    def event(self, kind: str, invoice_id: str, **more: Any) -> bytes:
        """The body of a webhook."""
        delivery = f"delivery{next(self._numbers)}"
        return orjson.dumps(
            {
                "deliveryId": delivery, "webhookId": "webhook1", "originalDeliveryId": delivery,
                "isRedelivery": False, "type": kind, "timestamp": int(time.time()), "storeId": STORE,
                "invoiceId": invoice_id, "metadata": self.invoices.get(invoice_id, {}).get("metadata"), **more,
            },
            option=orjson.OPT_INDENT_2,
        )  # fmt: skip


def btcpay_signature(body: bytes, secret: str = WEBHOOK_SECRET) -> str:
    """As BTCPay makes it, written from its documentation and not with the plugin's code."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


class Shop:
    """A running gateway, a fake BTCPay, and how they meet."""

    def __init__(self, gateway: RunningGateway, btcpay: FakeBtcPay) -> None:
        self.gateway = gateway
        self.btcpay = btcpay

    async def order(self, amount: str = "10") -> tuple[dict[str, Any], str]:
        """The order and its invoice's id."""
        status, _, body = await self.gateway.post("/account/topups", {"method": "coins", "amount_usd": amount})
        assert status == 200, body
        order = orjson.loads(body)
        return order, str(order["url"]).rpartition("/")[2]

    async def topup(self, order: Mapping[str, Any]) -> dict[str, Any]:
        status, _, body = await self.gateway.get(f"/account/topups/{order['id']}")
        assert status == 200, body
        return dict(orjson.loads(body))

    async def deliver(self, body: bytes, signature: str | None = None) -> int:
        sent = {"Content-Type": "application/json", "BTCPay-Sig": signature or btcpay_signature(body)}
        url = self.gateway.url + "/payments/coins/webhook"
        async with self.gateway.session.post(url, data=body, headers=sent) as response:
            await response.read()
            return response.status

    async def balance(self) -> int:
        account = await self.gateway.gateway.stores.accounts.get_account(self.gateway.account.id)
        assert account is not None
        return account.balance - self.gateway.account.balance

    async def sums_agree(self) -> bool:
        return await self.gateway.gateway.stores.check() == []


@pytest_asyncio.fixture
async def shop(tmp_path: Any) -> AsyncIterator[Shop]:
    async with FakeUpstream() as upstream:
        btcpay = FakeBtcPay(upstream)
        section = {
            "plugin": "btcpay", "url": upstream.url, "store_id": STORE, "api_key": API_KEY,
            "webhook_secret": WEBHOOK_SECRET,
        }  # fmt: skip
        config = upstream_config("http://127.0.0.1:9", payments={"coins": section})
        async with running_gateway(tmp_path, config) as gateway:
            yield Shop(gateway, btcpay)


@pytest.fixture
def signature() -> Callable[..., str]:
    return btcpay_signature
