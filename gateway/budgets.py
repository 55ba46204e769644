"""Budgets of a month, and telling the operator when one is nearly used up.

The budget of a key is its monthly ceiling. That of an account is what it had and was given in the month: its balance
and what it spent. Both are looked at after calls, beside their path. What passes a threshold is told once a month, over
all processes and restarts: the claims of the idempotency store are used for that, so that a process that dies while it
tells leaves the telling to the next.

The webhook is signed as Standard Webhooks has it (standardwebhooks.com): HMAC-SHA-256 of `id.timestamp.body`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from gateway.config import AlertSettings, FetchSettings
from gateway.fetch import FetchProblem
from gateway.fetch.post import GuardedPost
from gateway.fetch.urls import UrlProblem, parse_url
from gateway.stores import Stores

LOOK_EVERY = 5.0
"""Seconds between two looks at what was used."""
PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0, 4 * 3600.0, 12 * 3600.0)
"""Seconds before each further attempt at a webhook; after the last one it is given up."""
_KEEP = 70 * 86_400
"""Seconds for which it is remembered that something was told: longer than its month."""
_PAGE = 1000


class Post(Protocol):
    """Sends one notice and returns the status; see `gateway.fetch.post.GuardedPost`."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Raises FetchProblem."""


@dataclass(slots=True, frozen=True)
class Budget:
    """One budget of a month. kind: `account` or `key`. subject: its id, name: for people. used, limit: credits. own:
    percents at which is told of it; None: those of the configuration."""

    kind: str
    account_id: str
    subject: str
    name: str
    period: str
    used: int
    limit: int
    own: tuple[int, ...] | None = None

    @property
    def percent(self) -> int:
        """Whole percent that are used, rounded down."""
        return self.used * 100 // self.limit if self.limit > 0 else 0

    def thresholds(self, usual: tuple[int, ...]) -> tuple[int, ...]:
        """The percents at which is told of it. usual: those of the configuration."""
        return usual if self.own is None else self.own

    def passed(self, usual: tuple[int, ...]) -> list[int]:
        """The thresholds that are reached."""
        return [
            threshold
            for threshold in self.thresholds(usual)
            if self.limit > 0 and self.used * 100 >= threshold * self.limit
        ]

    def shown(self, usual: tuple[int, ...]) -> dict[str, Any]:
        """As JSON."""
        return {
            "period": self.period,
            "used": self.used,
            "limit": self.limit,
            "percent": self.percent,
            "thresholds": list(self.thresholds(usual)),
            "passed": self.passed(usual),
        }


def period_of(now: float) -> str:
    """The UTC month of a time in unix seconds, such as `2026-11`."""
    return time.strftime("%Y-%m", time.gmtime(now))


async def account_budget(stores: Stores, account_id: str, now: float) -> Budget:
    """The budget of an account in the month of `now`."""
    today = datetime.fromtimestamp(now, UTC)
    first = datetime(today.year, today.month, 1, tzinfo=UTC)
    summary = await stores.usage.summary(account_id, start=int(first.timestamp()), end=int(now) + 86_400)
    limit = summary.balance + summary.credits
    account = await stores.accounts.get_account(account_id)
    name, own = (account_id, None) if account is None else (account.name, account.alert_thresholds)
    return Budget("account", account_id, account_id, name, period_of(now), summary.credits, limit, own)


async def key_budget(stores: Stores, key_id: str, now: float) -> Budget | None:
    """The budget of a key in the month of `now`; None for one without a ceiling."""
    key = await stores.keys.get_key(key_id)
    if key is None or not key.monthly_limit:
        return None
    used, _ = await stores.keys.month_use(key_id, period_of(now))
    name = f"{key.name} ({key.label})" if key.name else key.label
    return Budget("key", key.account_id, key.id, name, period_of(now), used, key.monthly_limit, key.alert_thresholds)


def sign(secret: str, message_id: str, at: int, body: bytes) -> str:
    """The header `webhook-signature`. secret: `whsec_` and base64, or any text, whose bytes are then the key."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret[6:], validate=True)
        except binascii.Error:
            pass
    digest = hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def alert_post(settings: AlertSettings) -> GuardedPost | None:
    """What sends to the webhook of these settings, None without one. Its own port may be any."""
    url = settings.webhook.url
    if url is None:
        return None
    ports = {80, 443}
    try:
        ports.add(parse_url(url).port)
    except UrlProblem:  # it is told when something is to be sent
        pass
    return GuardedPost(FetchSettings(ports=tuple(sorted(ports)), allow_hosts=settings.webhook.allow_hosts))


@dataclass(slots=True)
class _Notice:
    name: bytes
    id: str
    body: bytes
    attempts: int = 0
    due: float = 0.0


class BudgetWatch:
    """Looks at the budgets of who called, and tells. One per process.

    settings, post: asked for each time, because a reload may change them. post: None while there is no webhook.
    clock: unix seconds; monotonic: seconds.
    """

    def __init__(
        self,
        stores: Stores,
        settings: Callable[[], AlertSettings],
        post: Callable[[], Post | None],
        log: logging.Logger,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._post = post
        self._log = log
        self._clock = clock
        self._monotonic = monotonic
        self._called: set[tuple[str, str]] = set()
        self._done: set[tuple[str, str, int]] = set()
        self._notices: dict[bytes, _Notice] = {}

    def called(self, account_id: str, key_id: str) -> None:
        """A call of this account and key was charged; cheap, and never waits."""
        self._called.add((account_id, key_id))

    async def run(self) -> None:
        """Look again and again; first at everybody, for what a process before this one did not get to."""
        everybody = True
        while True:
            try:
                if everybody:
                    await self._call_everybody()
                    everybody = False
                await self.look()
            except Exception:  # a database that is away now may be back at the next look
                self._log.exception("looking at budgets failed")
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Look at whoever was called since the last time, and send what is due."""
        called, self._called = self._called, set()
        now = self._clock()
        usual = self._settings().thresholds
        self._done = {done for done in self._done if done[0] == period_of(now)}
        budgets: list[Budget] = []
        for account_id in dict.fromkeys(account for account, _ in called):
            budgets.append(await account_budget(self._stores, account_id, now))
        for key_id in dict.fromkeys(key for _, key in called if key):
            budget = await key_budget(self._stores, key_id, now)
            if budget is not None:
                budgets.append(budget)
        for budget in budgets:
            for threshold in budget.passed(usual):
                if (budget.period, budget.subject, threshold) not in self._done:
                    await self._tell(budget, threshold)
                    self._done.add((budget.period, budget.subject, threshold))
        for notice in [notice for notice in self._notices.values() if notice.due <= self._monotonic()]:
            await self._send(notice)

    async def _call_everybody(self) -> None:
        page = await self._stores.accounts.list_accounts(limit=_PAGE)
        while page:
            self._called |= {(account.id, "") for account in page}
            page = (
                await self._stores.accounts.list_accounts(after=page[-1].id, limit=_PAGE) if len(page) == _PAGE else []
            )
        keys = await self._stores.keys.list_keys()
        self._called |= {(key.account_id, key.id) for key in keys if key.monthly_limit and key.revoked_at is None}

    async def _tell(self, budget: Budget, threshold: int) -> None:
        if await self._claim("told", budget, threshold) is not None:
            shown = budget.shown(self._settings().thresholds)
            detail = {**shown, "kind": budget.kind, "threshold": threshold}
            called = "key" if budget.kind == "key" else "account_name"
            self._log.warning(
                "budget threshold passed", extra={"account": budget.account_id, called: budget.name, **detail}
            )
            await self._stores.audit.record("gateway", "budget.threshold", budget.subject, detail=detail)
            await self._finish(*_names("told", budget, threshold))
        if self._post() is None:
            return
        claimed = await self._claim("sent", budget, threshold)
        if claimed is not None:
            name, message_id = claimed
            self._notices[name] = _Notice(name, message_id, _body(budget, threshold, message_id, self._clock()))

    async def _claim(self, what: str, budget: Budget, threshold: int) -> tuple[bytes, str] | None:
        """The claim's name and id when it is for this process to do; None when it was done, or another is at it."""
        name, message_id = _names(what, budget, threshold)
        expires = int(self._clock()) + _KEEP
        claim = await self._stores.idempotency.claim(name, b"", message_id, budget.account_id, expires)
        return (name, message_id) if claim.state == "ours" and name not in self._notices else None

    async def _finish(self, name: bytes, message_id: str) -> None:
        expires = int(self._clock()) + _KEEP
        await self._stores.idempotency.finish(name, message_id, status=200, headers={}, body=b"", expires=expires)

    async def _send(self, notice: _Notice) -> None:
        post, webhook = self._post(), self._settings().webhook
        if post is None or webhook.url is None:
            return
        at = int(self._clock())
        headers = {
            "content-type": "application/json",
            "user-agent": "tollgate",
            "webhook-id": notice.id,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(webhook.secret or "", notice.id, at, notice.body),
        }
        try:
            status = await post.post(webhook.url, headers, notice.body)
            problem = "" if 200 <= status < 300 else f"status {status}"
        except FetchProblem as error:
            problem = f"{error.text} {error.detail}".strip()
        if not problem:
            await self._finish(notice.name, notice.id)
            del self._notices[notice.name]
            self._log.info("alert sent", extra={"alert": notice.id})
            return
        again = notice.attempts < len(PAUSES)
        self._log.warning("alert not sent", extra={"alert": notice.id, "reason": problem, "again": again})
        if again:
            notice.due = self._monotonic() + PAUSES[notice.attempts]
            notice.attempts += 1
        else:
            await self._finish(notice.name, notice.id)
            del self._notices[notice.name]


def _names(what: str, budget: Budget, threshold: int) -> tuple[bytes, str]:
    text = f"budget {what} {budget.period} {budget.kind} {budget.subject} {threshold}"
    digest = hashlib.sha256(text.encode()).digest()
    return digest, f"alert_{digest[:12].hex()}"


def _body(budget: Budget, threshold: int, message_id: str, now: float) -> bytes:
    return orjson.dumps(
        {
            "type": "budget.threshold",
            "id": message_id,
            "timestamp": datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z"),
            "data": {
                "kind": budget.kind,
                "account_id": budget.account_id,
                "key_id": budget.subject if budget.kind == "key" else None,
                "name": budget.name,
                "threshold": threshold,
                "period": budget.period,
                "used": budget.used,
                "limit": budget.limit,
                "percent": budget.percent,
            },
        }
    )
