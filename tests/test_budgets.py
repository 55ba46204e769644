"""Budgets and their alerts, on stores in memory and a clock of the test's own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import orjson
import pytest_asyncio

from gateway import budgets
from gateway.api.stores import StoresSettings
from gateway.budgets import Budget, BudgetWatch, account_budget, key_budget, sign
from gateway.call import Usage
from gateway.config import AlertSettings
from gateway.fetch import FetchProblem
from gateway.stores import AccountChange, HoldRequest, KeySettings, Stores
from gateway.testing.memory_stores import MemoryKind

URL = "https://hook.example/"
WEBHOOK = {"webhook": {"url": URL, "secret": "a secret of ours"}}


class Post:
    """Notes what is sent; answers with what it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, str], Any]] = []
        self.answers: list[int | FetchProblem] = []

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        assert url == URL
        self.sent.append((headers, orjson.loads(body)))
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, FetchProblem):
            raise answer
        return answer


class Bench:
    """An account with 1000 credits and a key that may use 100 of them."""

    def __init__(self, stores: Stores, kind: MemoryKind) -> None:
        self.stores, self.kind = stores, kind
        self.post = Post()
        self.now = 0.0
        self.lines: list[logging.LogRecord] = []
        self.settings = AlertSettings.model_validate(WEBHOOK)
        self.log = logging.Logger("test")
        self.log.addFilter(lambda record: self.lines.append(record) or False)
        self.calls = 0

    async def open(self) -> None:
        self.account = await self.stores.accounts.create_account("a", grant=1000)
        self.key, _ = await self.stores.keys.create_key(self.account.id, KeySettings(name="k", monthly_limit=100))

    def watch(self, stores: Stores | None = None) -> BudgetWatch:
        return BudgetWatch(
            stores or self.stores,
            lambda: self.settings,
            lambda: self.post if self.settings.webhook.url else None,
            self.log,
            monotonic=lambda: self.now,
        )

    async def spend(self, credits: int, key: str | None = None) -> None:
        self.calls += 1
        name, key = f"req_{self.calls}", self.key.id if key is None else key
        period = budgets.period_of(time.time())
        await self.stores.ledger.hold(
            HoldRequest(name, self.account.id, key, period, None, Decimal(credits), Decimal(0), 1, 1, "m")
        )
        await self.stores.ledger.settle(name, credits, "provider", Usage(), "m")

    @property
    def told(self) -> list[str]:
        return [record.getMessage() for record in self.lines]

    @property
    def sent(self) -> list[tuple[str, int]]:
        return [(body["data"]["kind"], body["data"]["threshold"]) for _, body in self.post.sent]


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    kind = MemoryKind()
    async with await kind.open("memory://m", StoresSettings("/nowhere", b"s" * 32)) as stores:
        made = Bench(stores, kind)
        await made.open()
        yield made


async def test_each_threshold_is_told_once(bench: Bench) -> None:
    watch = bench.watch()
    await bench.spend(79)
    watch.called(bench.account.id, bench.key.id)
    await watch.look()
    assert not bench.post.sent
    await bench.spend(1)
    for _ in range(3):
        watch.called(bench.account.id, bench.key.id)
        await watch.look()
    assert bench.sent == [("key", 80)]
    await bench.spend(20)
    watch.called(bench.account.id, bench.key.id)
    await watch.look()
    assert bench.sent == [("key", 80), ("key", 100)]
    await bench.spend(700, key="")
    watch.called(bench.account.id, "")
    await watch.look()
    assert bench.sent[2:] == [("account", 80)]
    assert bench.told.count("budget threshold passed") == 3
    entries = await bench.stores.audit.entries(action="budget.threshold")
    assert [(entry.subject, entry.detail["threshold"]) for entry in entries] == [
        (bench.account.id, 80),
        (bench.key.id, 100),
        (bench.key.id, 80),
    ]
    assert {tuple(entry.detail["thresholds"]) for entry in entries} == {(80, 100)}, "those that count"
    assert bench.post.sent[-1][1]["data"]["name"] == bench.account.name


async def test_the_notice_and_its_signature(bench: Bench) -> None:
    watch = bench.watch()
    await bench.spend(85)
    watch.called(bench.account.id, bench.key.id)
    await watch.look()
    [(headers, body)] = bench.post.sent
    assert body["type"] == "budget.threshold"
    assert body["data"] == {
        "kind": "key",
        "account_id": bench.account.id,
        "key_id": bench.key.id,
        "name": f"k ({bench.key.label})",
        "threshold": 80,
        "period": budgets.period_of(time.time()),
        "used": 85,
        "limit": 100,
        "percent": 85,
    }
    assert headers["webhook-id"] == body["id"]
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + orjson.dumps(body)
    digest = hmac.new(b"a secret of ours", text, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_a_secret_as_the_standard_has_it_is_decoded() -> None:
    """The example of the specification of Standard Webhooks' libraries."""
    body = b'{"test": 2432232314}'
    secret, message = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert sign(secret, message, 1614265330, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign("whsec_not base64!", message, 1, body) == sign("whsec_not base64!", message, 1, body)


async def test_what_was_not_taken_is_sent_again_and_given_up_in_the_end(bench: Bench) -> None:
    watch = bench.watch()
    bench.post.answers = [500, FetchProblem("media_fetch_failed", "no answer"), 204]
    await bench.spend(80)
    watch.called(bench.account.id, bench.key.id)
    await watch.look()
    await watch.look()
    assert len(bench.post.sent) == 1, "not before its time"
    for pause in budgets.PAUSES[:2]:
        bench.now += pause
        await watch.look()
    bench.now += 1e6
    await watch.look()
    assert len(bench.post.sent) == 3
    assert bench.told == ["budget threshold passed", "alert not sent", "alert not sent", "alert sent"]
    assert len({headers["webhook-id"] for headers, _ in bench.post.sent}) == 1, "it can be recognized"
    bench.post.answers = [500] * 99
    await bench.spend(20)
    watch.called(bench.account.id, bench.key.id)
    for _ in range(20):
        await watch.look()
        bench.now += 1e6
    assert len(bench.post.sent) == 3 + 1 + len(budgets.PAUSES)


async def test_of_several_processes_one_tells_and_what_the_dead_did_not_send_is_sent(bench: Bench) -> None:
    settings = StoresSettings("/nowhere", b"s" * 32)
    first_stores = await bench.kind.open("memory://m", settings)
    first, second = bench.watch(first_stores), bench.watch()
    await bench.spend(80)
    bench.post.answers = [500]
    for watch in (first, second):
        watch.called(bench.account.id, bench.key.id)
        await watch.look()
    assert len(bench.post.sent) == 1
    assert bench.told.count("budget threshold passed") == 1
    await first_stores.close()  # it dies while it waits to try again
    third = bench.watch()
    running = asyncio.get_running_loop().create_task(third.run())
    while len(bench.post.sent) < 2:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert bench.sent == [("key", 80)] * 2
    assert bench.told.count("budget threshold passed") == 1


async def test_without_a_webhook_it_is_logged_and_kept(bench: Bench) -> None:
    bench.settings = AlertSettings.model_validate({"thresholds": [50]})
    watch = bench.watch()
    await bench.spend(50)
    watch.called(bench.account.id, bench.key.id)
    await watch.look()
    assert bench.told == ["budget threshold passed"]
    assert len(await bench.stores.audit.entries(action="budget.threshold")) == 1


async def test_budgets(bench: Bench) -> None:
    await bench.spend(30)
    now = time.time()
    found = await account_budget(bench.stores, bench.account.id, now)
    assert (found.used, found.limit, found.percent, found.passed((2, 3, 4))) == (30, 1000, 3, [2, 3])
    of_key = await key_budget(bench.stores, bench.key.id, now)
    assert of_key is not None
    assert (of_key.used, of_key.limit, of_key.percent) == (30, 100, 30)
    free, _ = await bench.stores.keys.create_key(bench.account.id, KeySettings())
    assert await key_budget(bench.stores, free.id, now) is None
    assert Budget("account", "a", "a", "a", "2026-11", 0, 0).passed((1,)) == []


async def test_an_account_and_a_key_may_have_thresholds_of_their_own(bench: Bench) -> None:
    """Told once each, in the log and by webhook, beside those of the configuration."""
    stores, watch = bench.stores, bench.watch()
    change = AccountChange(("alert_thresholds",), alert_thresholds=(5,))
    await stores.accounts.update_account(bench.account.id, change)
    silent, _ = await stores.keys.create_key(
        bench.account.id, KeySettings(name="silent", monthly_limit=100, alert_thresholds=())
    )
    await bench.spend(60)
    await bench.spend(90, silent.id)
    watch.called(bench.account.id, bench.key.id)
    watch.called(bench.account.id, silent.id)
    await watch.look()
    assert bench.sent == [("account", 5)]
    await stores.keys.update_key(bench.key.id, KeySettings(name="k", monthly_limit=100, alert_thresholds=(50, 99)))
    watch.called(bench.account.id, bench.key.id)
    await watch.look()
    assert bench.sent == [("account", 5), ("key", 50)]
    shown = (await key_budget(stores, bench.key.id, time.time())).shown((80, 100))
    assert (shown["thresholds"], shown["passed"]) == ([50, 99], [50])
    assert (await key_budget(stores, silent.id, time.time())).shown((80,))["passed"] == []
