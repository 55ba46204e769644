"""A fake Stripe: the few parts of its API that the plugin uses, as strict as the real one, and its webhooks."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
import pytest_asyncio

from gateway.testing import FakeUpstream, Received, Reply, RunningGateway, json_reply, running_gateway, upstream_config

SECRET_KEY = "sk_test_example"
WEBHOOK_SECRET = "whsec_example"
KNOWN_PARAMETERS = {
    "mode", "client_reference_id", "success_url", "cancel_url", "line_items", "metadata", "payment_intent_data",
}  # fmt: skip


def nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0][c]=d` as Stripe reads it."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        path = [name.split("[")[0], *re.findall(r"\[([^\]]*)\]", name)]
        place = root
        for part in path[:-1]:
            place = place.setdefault(part, {})
        assert path[-1] not in place, f"{name} is given twice"
        place[path[-1]] = value
    return root


class FakeStripe:
    """Sessions, charges, refunds and disputes of one account."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.upstream = upstream
        self.sessions: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.fail_next = 0
        self._answers: dict[str, tuple[bytes, Reply]] = {}
        self._numbers = itertools.count(1)
        upstream.answer(self._answer)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_test_{next(self._numbers)}"

    # The API

    def _answer(self, request: Received) -> Reply:
        if self.fail_next:
            self.fail_next -= 1
            return self.error(500, "api_error", "An unknown error occurred")
        if request.headers.get("authorization") != f"Bearer {SECRET_KEY}":
            return self.error(401, "invalid_request_error", "Invalid API Key provided: sk_test_*****")
        path = urlsplit(request.path)
        query = nested(parse_qsl(path.query))
        if request.method == "POST" and path.path == "/v1/checkout/sessions":
            return self._once(request, self._create_session)
        if request.method == "GET" and path.path == "/v1/refunds":
            return self._list_refunds(query)
        if request.method == "GET" and path.path.startswith("/v1/charges/"):
            charge = self.charges.get(path.path.rpartition("/")[2])
            return json_reply(charge) if charge else self.error(404, "invalid_request_error", "No such charge")
        return self.error(404, "invalid_request_error", f"Unrecognized request URL ({request.method}: {path.path}).")

    def error(self, status: int, kind: str, message: str, **more: str) -> Reply:
        return json_reply({"error": {"type": kind, "message": message, **more}}, status)

    def _once(self, request: Received, work: Callable[[dict[str, Any]], Reply]) -> Reply:
        """Idempotency: the first answer again, or an error when the same key comes with other parameters."""
        key = request.headers.get("idempotency-key", "")
        if key in self._answers:
            body, reply = self._answers[key]
            if body != request.body:
                return self.error(400, "idempotency_error", "Keys for idempotent requests can only be used once.")
            return reply
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return self.error(400, "invalid_request_error", "Invalid request: use form encoding.")
        reply = work(nested(parse_qsl(request.body.decode(), strict_parsing=True, keep_blank_values=True)))
        if key:
            self._answers[key] = (request.body, reply)
        return reply

    def _create_session(self, form: dict[str, Any]) -> Reply:
        for name in form:
            if name not in KNOWN_PARAMETERS:
                return self.error(400, "invalid_request_error", f"Received unknown parameter: {name}", param=name)
        for name in ("mode", "success_url", "line_items"):
            if not form.get(name):
                return self.error(400, "invalid_request_error", f"Missing required param: {name}.", param=name)
        amount = 0
        for item in form["line_items"].values():
            price = item["price_data"]
            assert price["currency"] == "usd"
            assert price["product_data"]["name"]
            amount += int(price["unit_amount"]) * int(item["quantity"])
        if amount < 50:
            return self.error(400, "invalid_request_error", "Amount too small.", code="amount_too_small")
        session_id = self.new_id("cs")
        self.sessions[session_id] = session = {
            "id": session_id,
            "object": "checkout.session",
            "amount_subtotal": amount,
            "amount_total": amount,
            "cancel_url": form.get("cancel_url"),
            "client_reference_id": form.get("client_reference_id"),
            "currency": "usd",
            "expires_at": int(time.time()) + 86_400,
            "livemode": False,
            "metadata": form.get("metadata", {}),
            "mode": form["mode"],
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "success_url": form["success_url"],
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "url": f"https://checkout.stripe.com/c/pay/{session_id}",
            "_intent_metadata": form.get("payment_intent_data", {}).get("metadata", {}),
        }
        return json_reply({name: value for name, value in session.items() if not name.startswith("_")})

    def _list_refunds(self, query: dict[str, Any]) -> Reply:
        found = []
        for refund in reversed(self.refunds.values()):
            if query.get("charge", refund["charge"]) == refund["charge"]:
                expanded = "data.charge" in query.get("expand", {}).values()
                found.append({**refund, "charge": self.charges[refund["charge"]] if expanded else refund["charge"]})
        limit = int(query.get("limit", 10))
        return json_reply(
            {"object": "list", "url": "/v1/refunds", "has_more": len(found) > limit, "data": found[:limit]}
        )

    # What happens at Stripe

    def pay(self, session_id: str, *, at_once: bool = True) -> dict[str, Any]:
        """The payer finishes; returns the session as it is then."""
        session = self.sessions[session_id]
        charge_id, intent = self.new_id("ch"), self.new_id("pi")
        session |= {"status": "complete", "payment_intent": intent, "payment_status": "paid" if at_once else "unpaid"}
        # Stripe copies a payment intent's metadata to its charge, once.
        self.charges[charge_id] = {
            "id": charge_id,
            "object": "charge",
            "amount": session["amount_total"],
            "amount_refunded": 0,
            "currency": "usd",
            "metadata": dict(session["_intent_metadata"]),
            "payment_intent": intent,
            "refunded": False,
        }
        return session

    def charge_of(self, session: Mapping[str, Any]) -> dict[str, Any]:
        return next(charge for charge in self.charges.values() if charge["payment_intent"] == session["payment_intent"])

    def refund(self, charge: dict[str, Any], amount: int, status: str = "succeeded") -> dict[str, Any]:
        refund_id = self.new_id("re")
        self.refunds[refund_id] = refund = {
            "id": refund_id,
            "object": "refund",
            "amount": amount,
            "charge": charge["id"],
            "currency": "usd",
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "status": status,
        }
        charge["amount_refunded"] += amount
        return refund

    def dispute(self, charge: Mapping[str, Any], status: str = "needs_response") -> dict[str, Any]:
        return {
            "id": self.new_id("dp"),
            "object": "dispute",
            "amount": charge["amount"],
            "charge": charge["id"],
            "currency": "usd",
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "status": status,
        }

    def event(self, kind: str, about: Mapping[str, Any]) -> bytes:
        """The body of a webhook."""
        found = {name: value for name, value in about.items() if not name.startswith("_")}
        return orjson.dumps(
            {
                "id": self.new_id("evt"),
                "object": "event",
                "api_version": "2024-06-20",
                "created": int(time.time()),
                "data": {"object": found},
                "livemode": False,
                "pending_webhooks": 1,
                "type": kind,
            },
            option=orjson.OPT_INDENT_2,  # as Stripe sends it: the signature is over these very bytes
        )


def stripe_signature(body: bytes, *, secret: str = WEBHOOK_SECRET, at: int | None = None, also: str = "") -> str:
    """As Stripe makes it, written from its documentation and not with the plugin's code."""
    at = int(time.time()) if at is None else at
    payload = f"{at}.".encode() + body
    return f"t={at},{also}v1={hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()},v0={'0' * 64}"


class Shop:
    """A running gateway, a fake Stripe, and how they meet."""

    def __init__(self, gateway: RunningGateway, stripe: FakeStripe) -> None:
        self.gateway = gateway
        self.stripe = stripe

    async def order(self, amount: str = "10", **more: Any) -> dict[str, Any]:
        status, _, body = await self.gateway.post("/account/topups", {"method": "stripe", "amount_usd": amount, **more})
        assert status == 200, body
        return dict(orjson.loads(body))

    def session(self, order: Mapping[str, Any]) -> str:
        return str(order["url"]).rpartition("/")[2]

    async def topup(self, order: Mapping[str, Any]) -> dict[str, Any]:
        status, _, body = await self.gateway.get(f"/account/topups/{order['id']}")
        assert status == 200, body
        return dict(orjson.loads(body))

    async def deliver(self, body: bytes, signature: str | None = None) -> int:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": stripe_signature(body) if signature is None else signature,
        }
        url = self.gateway.url + "/payments/stripe/webhook"
        async with self.gateway.session.post(url, data=body, headers=headers) as response:
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
        stripe = FakeStripe(upstream)
        section = {"secret_key": SECRET_KEY, "webhook_secret": WEBHOOK_SECRET, "base_url": upstream.url}
        config = upstream_config("http://127.0.0.1:9", payments={"stripe": section})
        async with running_gateway(tmp_path, config) as gateway:
            yield Shop(gateway, stripe)


@pytest.fixture
def signature() -> Callable[..., str]:
    return stripe_signature
