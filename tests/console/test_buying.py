"""Buying credits in a browser: order, the payment service's page, its message, and what the credits then pay for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from gateway.stores import NewLink
from gateway.testing import FakeUpstream, Received, Reply, RunningGateway, json_reply

from .chromium import chromium
from .conftest import CONFIG, Serve
from .looking import looking

__all__ = ["chromium"]

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(300)]
SECRET = "till-secret-example"
HOSTILE = "<script>document.title='owned'</script>"
PLUGIN = """
import orjson
from pydantic import BaseModel
from gateway.api import CallerFault, Checkout, Part, PaymentEvent, PaymentKind, UpstreamFault, UpstreamRequest, hookimpl

class Settings(BaseModel, extra="forbid"):
    url: str
    secret: str

class Till:
    def __init__(self, name, settings):
        self.name, self.settings = name, settings

    def build_checkout(self, order):
        body = {"order": order.id, "amount": order.amount, "back": order.success_url, "away": order.cancel_url}
        return UpstreamRequest(self.settings.url + "/orders", {"content-type": "application/json"}, orjson.dumps(body))

    def read_checkout(self, reply):
        if reply.status != 200:
            raise UpstreamFault(orjson.loads(reply.body)["error"], detail=str(reply.status))
        return Checkout(**orjson.loads(reply.body))

    def read_webhook(self, headers, body, now):
        if headers.get("x-till") != self.settings.secret:
            raise CallerFault("wrong signature", code="invalid_signature")
        return [PaymentEvent(**{**event, "parts": tuple(Part(*part) for part in event["parts"])})
                for event in orjson.loads(body)]

    def build_lookup(self, event):
        return []

    def read_lookup(self, event, replies):
        return []

@hookimpl
def register_payments(register):
    register(PaymentKind("till", Settings, Till, lambda settings: ""))
"""


@dataclass
class Till:
    """A payment service: it takes orders, and shows the payer a page with a button that pays."""

    upstream: FakeUpstream
    gateway: RunningGateway | None = None
    orders: dict[str, Any] = field(default_factory=dict)
    fails: bool = False

    def answer(self, request: Received) -> Reply:
        if request.path == "/orders":
            if self.fails:
                return json_reply({"error": HOSTILE}, 500)
            name = f"page{len(self.orders)}"
            self.orders[name] = request.json
            return json_reply({"id": name, "url": f"{self.upstream.url}/{name}"})
        order = self.orders.get(request.path.strip("/"))
        if order is None:  # a browser looks for a picture
            return Reply(status=404, framing="length")
        back, away = escape(order["back"]), escape(order["away"])
        page = f'<h1>Till</h1><a id="paid" href="{back}">Paid</a> <a href="{away}">No</a>'
        return Reply([page.encode()], media_type="text/html", framing="length")

    async def pay(self, name: str) -> int:
        """What the service tells the gateway once the payer has paid."""
        order = self.orders[name]
        event = {"id": "e1", "order_id": order["order"], "currency": "usd", "checkout_id": name,
                 "parts": [["payment", order["amount"], 1]]}  # fmt: skip
        assert self.gateway is not None
        async with self.gateway.session.post(
            f"{self.gateway.url}/payments/till/webhook",
            data=orjson.dumps([event]),
            headers={"X-Till": SECRET, "Content-Type": "application/json"},
        ) as answer:
            return answer.status


@pytest_asyncio.fixture(loop_scope="module")
async def till(tmp_path: Path, serve: Serve) -> AsyncIterator[Till]:
    (tmp_path / "plugins.d").mkdir()
    (tmp_path / "plugins.d" / "till.py").write_text(PLUGIN)
    async with AsyncExitStack() as stack:
        made = Till(await stack.enter_async_context(FakeUpstream()))
        made.upstream.answer(made.answer)
        config = {
            **CONFIG,
            "plugins": {"dir": "plugins.d"},
            "payments": {"till": {"plugin": "till", "url": made.upstream.url, "secret": SECRET}},
        }
        made.gateway = await stack.enter_async_context(serve(tmp_path, config))
        yield made


async def link_for(gateway: RunningGateway, email: str) -> str:
    _, token = await gateway.gateway.stores.logins.create_link(NewLink("invitation", 600, email=email))
    return f"{gateway.url}/invite/{token}"


async def test_from_no_credits_to_a_paid_call(chromium: Browser, till: Till) -> None:
    gateway = till.gateway
    assert gateway is not None
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(await link_for(gateway, "ada@example.org"))
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Make the account").click()
    await page.wait_for_url("**/account")
    stores = gateway.gateway.stores
    account = await stores.accounts.find_account("ada@example.org")
    assert account is not None
    assert account.balance == 0
    await page.goto(f"{gateway.url}/credits")
    await page.get_by_label("Amount in USD").fill("0.10")
    await page.get_by_role("button", name="Order credits").click()
    assert await page.locator("[aria-invalid=true]").get_attribute("id") == "amount_usd", "a fault beside its field"
    await page.get_by_label("Amount in USD").fill("12,50")
    await page.get_by_role("button", name="Order credits").click()
    await page.wait_for_url("**/credits?topup=*")
    assert "12,500,000 credits for 12.50 USD waits" in await page.locator("main").inner_text()
    assert "not paid yet" in (await page.locator("table.cards").inner_text()).lower()
    await page.get_by_role("link", name="Go to the payment page").click()
    await page.wait_for_url(till.upstream.url + "/**")
    assert await till.pay("page0") == 200
    await page.locator("#paid").click()
    await page.wait_for_url(f"{gateway.url}/credits?topup=*")
    told = await page.locator("main").inner_text()
    assert "Paid: 12,500,000 credits were added." in told
    await page.goto(f"{gateway.url}/account")
    assert "12,500,000" in await page.locator("main").inner_text()
    assert (await stores.accounts.find_account("ada@example.org")).balance == 12_500_000
    assert await till.pay("page0") == 200, "told twice"
    assert (await stores.accounts.find_account("ada@example.org")).balance == 12_500_000
    assert await stores.check() == []
    await context.close()


async def test_a_service_that_fails_and_one_that_is_left(chromium: Browser, till: Till) -> None:
    gateway = till.gateway
    assert gateway is not None
    async with looking(chromium, "buying") as look:
        page = look.page
        await page.goto(await link_for(gateway, "eve@example.org"))
        await page.get_by_label("Password").fill("correct horse battery")
        await page.get_by_role("button", name="Make the account").click()
        await page.wait_for_url("**/account")
        await page.goto(f"{gateway.url}/credits")
        till.fails = True
        await page.get_by_role("button", name="Order credits").click()
        assert await page.locator(".banner.bad").inner_text()
        assert "owned" not in await page.title()
        till.fails = False
        await page.get_by_role("button", name="Order credits").click()
        await page.wait_for_url("**/credits?topup=*")
        states = await page.locator("table.cards tbody tr").all_inner_texts()
        assert len(states) == 2
        assert await look.inspect() == []
        look.errors.clear()  # the answer of the order that failed, which the browser mentions
