"""Orders and webhooks over HTTP, with a payment service of the simplest kind: what it says, it says plainly."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from contextlib import redirect_stdout
from decimal import Decimal
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.call import Usage
from gateway.cli import main
from gateway.sqlite.money.unit_of_work import UnitOfWork
from gateway.stores import HoldRequest
from gateway.testing import FakeUpstream, Hold, Reply, json_reply, running_gateway, upstream_config

PLUGIN = """
import orjson
from pydantic import BaseModel
from gateway.api import CallerFault, Checkout, Part, PaymentEvent, PaymentKind, UpstreamFault, UpstreamRequest, hookimpl

class Settings(BaseModel, extra="forbid"):
    url: str
    secret: str = ""

class Till:
    def __init__(self, name, settings):
        self.name, self.settings = name, settings

    def build_checkout(self, order):
        body = {"order": order.id, "amount": order.amount, "success": order.success_url, "cancel": order.cancel_url}
        return UpstreamRequest(self.settings.url + "/orders", {"content-type": "application/json"}, orjson.dumps(body))

    def read_checkout(self, reply):
        if reply.status != 200:
            raise UpstreamFault("no", detail=str(reply.status))
        return Checkout(**orjson.loads(reply.body))

    def read_webhook(self, headers, body, now):
        if headers.get("x-till") != self.settings.secret:
            raise CallerFault("wrong signature", code="invalid_signature")
        events = orjson.loads(body)
        return [PaymentEvent(**{**event, "parts": tuple(Part(*part) for part in event["parts"])}) for event in events]

    def build_lookup(self, event):
        return []

    def read_lookup(self, event, replies):
        return []

@hookimpl
def register_payments(register):
    register(PaymentKind("till", Settings, Till, lambda settings: "" if settings.secret else "secret is empty"))
"""
SECRET = "till-secret-example"


class Shop:
    def __init__(self, gateway, upstream) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.stores = gateway.gateway.stores
        self.pages = 0
        upstream.answer(self.page)

    def page(self, _: Any) -> Reply:
        self.pages += 1
        return json_reply({"id": f"page{self.pages}", "url": f"https://till.example.org/{self.pages}"})

    async def order(self, key: str | None = None, status: int = 200, **body: Any) -> dict[str, Any]:
        asked = {"method": "till", "amount_usd": "10", **body}
        found, _, answer = await self.gateway.post("/account/topups", asked, key=key)
        assert found == status, answer
        return orjson.loads(answer)

    async def topup(self, order: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        _, _, answer = await self.gateway.get(f"/account/topups/{order['id']}", key=key)
        return orjson.loads(answer)

    async def say(self, order: dict[str, Any], *parts: tuple[str, int, int], **more: Any) -> int:
        event = {"id": "e1", "order_id": order["id"], "currency": "usd", "parts": parts, **more}
        return await self.deliver(orjson.dumps([event]))

    async def deliver(self, body: bytes, secret: str = SECRET, name: str = "till") -> int:
        url = f"{self.gateway.url}/payments/{name}/webhook"
        headers = {"X-Till": secret, "Content-Type": "application/json"}
        async with self.gateway.session.post(url, data=io.BytesIO(body), headers=headers) as response:
            await response.read()
            return response.status

    async def account(self, account_id: str):
        return await self.stores.accounts.get_account(account_id)

    async def poor_account(self) -> tuple[str, str]:
        """The key and the id of an account without credits."""
        key = await self.gateway.new_key(credits=0)
        accounts = await self.stores.accounts.list_accounts()
        return key, accounts[-1].id


def config_of(upstream, **terms):
    section = {"plugin": "till", "url": upstream.url, "secret": SECRET, **terms}
    return upstream_config("http://127.0.0.1:9", plugins={"dir": "plugins.d"}, payments={"till": section})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plugins.d").mkdir()
    (tmp_path / "plugins.d" / "till.py").write_text(PLUGIN)
    return tmp_path


@pytest_asyncio.fixture
async def shop(folder):
    async with FakeUpstream() as upstream, running_gateway(folder, config_of(upstream)) as gateway:
        yield Shop(gateway, upstream)
        assert await gateway.gateway.stores.check() == []


async def test_an_order_is_paid(shop):
    order = await shop.order(success_url="https://app.example.org/ok")
    assert order["url"] == "https://till.example.org/1"
    assert {name: order[name] for name in ("object", "status", "amount", "credits", "method", "credited")} == {
        "object": "topup", "status": "pending", "amount": "10.00", "credits": 10_000_000, "method": "till",
        "credited": 0,
    }  # fmt: skip
    sent = shop.upstream.requests[0].json
    assert (sent["order"], sent["amount"]) == (order["id"], 1000)
    assert sent["success"] == "https://app.example.org/ok"
    assert sent["cancel"].endswith(f"/credits?topup={order['id']}")
    assert await shop.say(order, ("payment", 1000, 1), checkout_id="page1") == 200
    assert (await shop.topup(order))["status"] == "paid"
    account = await shop.account(shop.gateway.account.id)
    assert account.balance == shop.gateway.account.balance + 10_000_000


async def test_the_order_is_stored_before_the_service_hears_of_it(shop):
    go_on = asyncio.Event()
    shop.upstream.reply(Reply([Hold(go_on), b'{"id": "p", "url": "https://t.example"}'], media_type="application/json"))
    ordering = asyncio.get_running_loop().create_task(shop.order())
    [request] = await shop.upstream.wait_for_requests(1)
    stored = await shop.stores.topups.get(request.json["order"])
    assert (stored.account_id, stored.amount, stored.status) == (shop.gateway.account.id, 1000, "pending")
    go_on.set()
    assert (await ordering)["id"] == stored.id


async def test_credits_may_be_asked_for_and_are_never_fewer(folder):
    async with FakeUpstream() as upstream:
        config = {**config_of(upstream, minimum=0.5), "credits": {"per_usd": 333_333}}
        async with running_gateway(folder, config) as gateway:
            shop = Shop(gateway, upstream)
            order = await plain_order(shop, {"method": "till", "credits": 1_666_666})
            assert (order["amount"], order["credits"]) == ("5.01", 1_669_998)
            order = await plain_order(shop, {"method": "till", "amount_usd": "5.00"})
            assert (order["amount"], order["credits"]) == ("5.00", 1_666_665)


async def plain_order(shop, body):
    status, _, answer = await shop.gateway.post("/account/topups", body)
    assert status == 200, answer
    return orjson.loads(answer)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"method": "cash"}, "method"),
        ({"method": None}, "method"),
        ({"amount_usd": 10.0}, "amount_usd"),
        ({"amount_usd": "10.005"}, "amount_usd"),
        ({"amount_usd": "-10"}, "amount_usd"),
        ({"amount_usd": "1e3"}, "amount_usd"),
        ({"amount_usd": "٣٠"}, "amount_usd"),
        ({"amount_usd": "4.99"}, "amount_usd"),
        ({"amount_usd": "1000.01"}, "amount_usd"),
        ({"amount_usd": "10", "credits": 5}, "amount_usd"),
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"cancel_url": "https://a.example\r\nx"}, "cancel_url"),
        ({"cancel_url": "/relative"}, "cancel_url"),
        ({"success_url": "https://user@bank.example"}, "success_url"),
        ({"account_id": "acct_other"}, "account_id"),
        ({"price": 1}, "price"),
    ],
)
async def test_bad_orders_name_the_member(shop, change, param):
    answer = await shop.order(status=400, **change)
    assert answer["error"]["param"] == param
    assert await shop.stores.topups.list_topups() == []
    assert shop.upstream.requests == []


async def test_orders_of_others_are_unknown(shop):
    order = await shop.order()
    other = await shop.gateway.new_key(credits=0)
    assert (await shop.topup(order, key=other))["error"]["code"] == "topup_not_found"
    _, _, listed = await shop.gateway.get("/account/topups", key=other)
    assert orjson.loads(listed)["data"] == []
    _, _, listed = await shop.gateway.get("/account/topups")
    assert [found["id"] for found in orjson.loads(listed)["data"]] == [order["id"]]
    assert orjson.loads(listed)["methods"] == [{"name": "till", "minimum_usd": "5.00", "maximum_usd": "1000.00"}]
    assert (await shop.gateway.get(f"/account/topups/{order['id']}", key="mghp_nonsense"))[0] == 401


async def test_orders_are_limited_per_account(shop):
    for _ in range(10):
        await shop.order()
    assert (await shop.order(status=429))["error"]["type"] == "rate_limit"
    await shop.order(key=await shop.gateway.new_key(credits=0))


async def test_money_goes_to_the_account_that_ordered(shop):
    key, account_id = await shop.poor_account()
    order = await shop.order(key=key)
    await shop.say(order, ("payment", 1000, 1))
    assert (await shop.account(account_id)).balance == 10_000_000
    assert (await shop.account(shop.gateway.account.id)).balance == shop.gateway.account.balance


@pytest.mark.parametrize("change", [{"checkout_id": "page7"}, {"currency": "eur"}])
async def test_what_does_not_fit_the_order_is_refused(shop, change):
    order = await shop.order()
    assert await shop.say(order, ("payment", 1000, 1), **change) == 409
    assert (await shop.topup(order))["credited"] == 0


async def test_another_service_cannot_pay_this_ones_orders(folder):
    async with FakeUpstream() as upstream:
        config = config_of(upstream)
        config["payments"]["other"] = {**config["payments"]["till"], "secret": "other-secret"}
        async with running_gateway(folder, config) as gateway:
            shop = Shop(gateway, upstream)
            order = await shop.order()
            event = {"id": "e", "order_id": order["id"], "currency": "usd", "parts": [["payment", 1000, 1]]}
            assert await shop.deliver(orjson.dumps([event]), "other-secret", "other") == 409
            assert await shop.deliver(orjson.dumps([event]), "other-secret", "till") == 400
            assert (await shop.topup(order))["credited"] == 0


async def test_webhooks_of_nobody_too_large_or_unsigned(shop):
    assert await shop.deliver(b"[]", name="nothing") == 404
    assert await shop.deliver(b"[]", secret="") == 400
    assert await shop.deliver(b" " * (1 << 20) + b"[]") == 413
    assert (await shop.gateway.get("/payments/till/webhook"))[0] == 405


async def spend(shop, account_id: str, credits: int, *, hold: int = 0) -> None:
    """Spend credits by a call, and hold others for one that goes on."""
    for request_id, amount in (("spent", credits), ("held", hold)):
        if amount:
            await shop.stores.ledger.hold(
                HoldRequest(request_id, account_id, "", "2026-11", None, Decimal(amount), Decimal(0), 0, 0, "m")
            )
    if credits:
        await shop.stores.ledger.settle("spent", credits, "provider", Usage(), "m")


async def test_credits_that_were_spent_or_are_held_cannot_be_taken_back(shop):
    key, account_id = await shop.poor_account()
    order = await shop.order(key=key)
    paid = ("payment", 1000, 1)
    refund = ("refund:1", -1000, 1)
    await shop.say(order, paid)
    await spend(shop, account_id, 7_000_000, hold=1_000_000)
    for _ in range(3):  # replays take nothing more
        assert await shop.say(order, refund) == 200
    account = await shop.account(account_id)
    assert (account.balance, account.held) == (1_000_000, 1_000_000)
    topup = await shop.topup(order, key=key)
    assert (topup["status"], topup["credited"], topup["owed"]) == ("refunded", 8_000_000, 8_000_000)
    [entry] = await shop.stores.ledger.entries(account_id, newest_first=True, limit=1)
    assert (entry.kind, entry.amount, entry.unpaid) == ("correction", -2_000_000, 8_000_000)
    assert any("8000000 are owed" in line["message"] for line in shop.gateway.log)

    # The refund fails: only what was really taken comes back.
    await shop.say(order, ("refund:1", 0, 2))
    await shop.say(order, refund)  # late
    account = await shop.account(account_id)
    assert account.balance == 3_000_000
    assert (await shop.topup(order, key=key))["owed"] == 0


@pytest.mark.blocking_allowed  # the command line is a process of its own in real life
async def test_the_command_line_lists_orders(shop, monkeypatch):
    key, account_id = await shop.poor_account()
    first, second = await shop.order(key=key), await shop.order()
    await shop.say(first, ("payment", 1000, 1))
    await spend(shop, account_id, 10_000_000)
    await shop.say(first, ("refund:1", -1000, 1))
    monkeypatch.setenv("GATEWAY_DATA", str(shop.gateway.config_path.parent / "data"))

    async def run(*arguments: str) -> str:
        with redirect_stdout(io.StringIO()) as out:
            command = ["topups", "--config", str(shop.gateway.config_path), *arguments]
            assert await asyncio.to_thread(main, command) == 0
        return out.getvalue()

    listed = (await run()).splitlines()
    assert [line.split()[0] for line in listed[1:]] == [second["id"], first["id"]]
    [owed] = orjson.loads(await run("--owed", "--json"))
    assert (owed["id"], owed["owed"], owed["status"]) == (first["id"], 10_000_000, "refunded")
    assert first["id"] not in await run("--account", "test")


async def test_a_booking_that_breaks_off_is_done_at_redelivery(shop, monkeypatch):
    order = await shop.order()
    flush = UnitOfWork.flush

    def broken(book: UnitOfWork) -> None:
        flush(book)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(UnitOfWork, "flush", broken)
    assert await shop.say(order, ("payment", 1000, 1)) == 503
    assert (await shop.topup(order))["credited"] == 0
    monkeypatch.undo()
    assert await shop.say(order, ("payment", 1000, 1)) == 200
    assert await shop.say(order, ("payment", 1000, 1)) == 200
    assert (await shop.topup(order))["credited"] == 10_000_000


async def test_a_service_that_sends_nonsense_makes_a_failed_order(shop):
    for answer in ({"id": "", "url": "https://t.example"}, {"id": "1", "url": "javascript:alert(1)"}):
        shop.upstream.reply(json_reply(answer))
        assert (await shop.order(status=502))["error"]["code"] == "payment_service_failed"
    shop.upstream.reply(json_reply({}, 500))
    await shop.order(status=502)
    shop.upstream.reply(json_reply({"stumble": "over this"}))
    await shop.order(status=500)
    _, _, listed = await shop.gateway.get("/account/topups")
    assert [found["status"] for found in orjson.loads(listed)["data"]] == ["failed"] * 4


async def test_without_payments_nothing_can_be_bought(tmp_path):
    async with running_gateway(tmp_path, upstream_config("http://127.0.0.1:9")) as gateway:
        status, _, answer = await gateway.post("/account/topups", {"method": "till", "amount_usd": "10"})
        assert (status, orjson.loads(answer)["error"]["code"]) == (404, "not_found")
