"""What people do with their own account over JSON: keys, usage, calls, and a live view of them."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.stores import AccountChange, UsageRow
from gateway.testing import RunningGateway, running_gateway

from .people_kit import Browser, browser

CONFIG = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"price": {"input": 1, "output": 2}, "context": 8000, "max_output": 1000}},
    "default_model": "echo/echo",
    "console": {"sign_up": "open"},
    "credits": {"signup_grant": 100_000},
    "rate_limit": {"requests_per_minute": 100_000},
}
HELLO = {"messages": [{"role": "user", "content": "Hello!"}]}


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path, CONFIG) as running:
        yield running


@pytest_asyncio.fixture
async def people(gateway: RunningGateway) -> AsyncIterator[list[Browser]]:
    """Ada and Eve."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(browser(gateway)) for _ in range(2)]
        for person, name in zip(found, ("ada", "eve"), strict=True):
            await person.sign_up(f"{name}@example.org")
        yield found


async def flush(gateway: RunningGateway) -> None:
    await gateway.gateway.stores.ledger.void("flushes what was handed over")


async def test_a_key_from_its_first_day_to_its_last(gateway: RunningGateway, people: list[Browser]) -> None:
    ada, _ = people
    settings = {"name": "laptop", "monthly_limit": 5000, "models": ["echo/*"], "requests_per_minute": 50,
                "ip_allow": ["127.0.0.0/8"], "expires_at": int(time.time()) + 3600}  # fmt: skip
    status, headers, made = await ada.ask_whole("POST", "/account/keys", settings)
    assert (status, headers["cache-control"]) == (201, "no-store")
    plain = made["key"]
    assert {name: made[name] for name in settings} == settings
    assert (made["state"], made["month_charged"]) == ("active", 0)
    status, headers, _ = await gateway.post("/v1/chat/completions", HELLO, key=plain)
    assert status == 200
    cost = int(headers["x-gateway-cost"])
    _, listed = await ada.ask("GET", "/account/keys")
    assert [(one["id"], one["month_charged"]) for one in listed["data"]] == [(made["id"], cost)]
    assert plain not in orjson.dumps(listed).decode()
    status, changed = await ada.ask("PATCH", f"/account/keys/{made['id']}", {"monthly_limit": None, "name": "desk"})
    assert (status, changed["name"], changed["monthly_limit"], changed["models"]) == (200, "desk", None, ["echo/*"])
    status, rotated = await ada.ask("POST", f"/account/keys/{made['id']}/rotate", {})
    assert (status, rotated["id"], rotated["month_charged"]) == (200, made["id"], cost)
    assert (await gateway.post("/v1/chat/completions", HELLO, key=plain))[0] == 401
    assert (await gateway.post("/v1/chat/completions", HELLO, key=rotated["key"]))[0] == 200
    status, revoked = await ada.ask("DELETE", f"/account/keys/{made['id']}")
    assert (status, revoked["state"]) == (200, "revoked")
    assert (await gateway.post("/v1/chat/completions", HELLO, key=rotated["key"]))[0] == 401
    acts = [(entry.actor, entry.action) for entry in await gateway.gateway.stores.audit.entries(subject=made["id"])]
    assert acts == [(ada.account, f"key.{what}") for what in ("revoke", "rotate", "update", "create")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"monthly_limit": -1}, "monthly_limit"),
        ({"account_id": "acct_x"}, "account_id"),
        ({"models": ["no spaces"]}, "models[0]"),
        ({"ip_allow": ["here"]}, "ip_allow[0]"),
        ({"expires_at": 5}, "expires_at"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_wrong_settings_are_named(people: list[Browser], body: Any, param: str) -> None:
    status, answer = await people[0].ask("POST", "/account/keys", body)
    assert (status, answer["error"]["param"]) == (400, param)


async def test_anothers_keys_calls_and_orders_are_not_there(gateway: RunningGateway, people: list[Browser]) -> None:
    ada, eve = people
    _, made = await ada.ask("POST", "/account/keys", {"name": "adas"})
    await gateway.post("/v1/chat/completions", HELLO, key=made["key"])
    topup = await gateway.gateway.stores.topups.open(ada.account, "x", currency="usd", amount=500, credits=5)
    await flush(gateway)
    key = f"/account/keys/{made['id']}"
    for method, path, body in (
        ("GET", key, None),
        ("PATCH", key, {"name": "mine"}),
        ("DELETE", key, None),
        ("POST", key + "/rotate", {}),
        ("GET", f"/account/topups/{topup.id}", None),
    ):
        assert (await ada.ask(method, path, body, headers={"X-CSRF-Token": eve.csrf}))[0] in (200, 403)
        status, answer = await eve.ask(method, path, body)
        assert status == 404, (method, path, answer)
    assert (await eve.ask("GET", "/account/keys"))[1]["data"] == []
    assert (await eve.ask("GET", "/account/requests"))[1]["data"] == []
    assert (await eve.ask("GET", f"/account/requests?key={made['id']}"))[1]["data"] == []
    assert (await eve.ask("GET", f"/account/usage?key={made['id']}"))[1]["totals"]["requests"] == 0
    assert (await eve.ask("GET", "/account/topups"))[1]["data"] == []
    assert (await ada.ask("GET", "/account/requests"))[1]["data"][0]["key_id"] == made["id"]


async def test_a_key_reads_but_makes_no_keys(gateway: RunningGateway, people: list[Browser]) -> None:
    _, made = await people[0].ask("POST", "/account/keys", {})
    bearer = {"Authorization": f"Bearer {made['key']}", "X-CSRF-Token": None}
    person = people[1]
    for path in ("me", "balance", "usage", "usage.csv", "requests", "requests.csv", "topups"):
        assert (await person.ask("GET", "/account/" + path, headers=bearer))[0] == 200, path
    assert (await person.ask("GET", "/account/me", headers=bearer))[1]["csrf_token"] is None
    for method, path in (("GET", "/keys"), ("POST", "/keys"), ("DELETE", f"/keys/{made['id']}")):
        status, answer = await person.ask(method, "/account" + path, {} if method == "POST" else None, headers=bearer)
        assert (status, answer["error"]["code"]) == (403, "session_required")


async def test_calls_are_listed_in_pages_by_key_model_and_failure(
    gateway: RunningGateway, people: list[Browser]
) -> None:
    ada, _ = people
    _, made = await ada.ask("POST", "/account/keys", {"models": ["nothing/*"]})
    for _ in range(3):
        await ada.ask("POST", "/v1/chat/completions", HELLO)
    assert (await gateway.post("/v1/chat/completions", HELLO, key=made["key"]))[0] == 403
    await flush(gateway)
    _, first = await ada.ask("GET", "/account/requests?limit=2")
    assert [(one["status"], one["error"], one["key_id"]) for one in first["data"]] == [
        (403, "model_not_allowed", made["id"]),
        (200, None, None),
    ]
    newest = first["data"][1]
    assert newest["credits"] > 0
    assert newest["prompt_tokens"] > 0
    assert newest["total_ms"] >= 0
    assert newest["target"] == "echo/echo"
    _, older = await ada.ask("GET", f"/account/requests?limit=2&before={newest['seq']}")
    assert len(older["data"]) == 2
    _, newer = await ada.ask("GET", f"/account/requests?limit=2&after={older['data'][0]['seq']}")
    assert newer == first
    assert len((await ada.ask("GET", "/account/requests?key=console"))[1]["data"]) == 3
    assert len((await ada.ask("GET", "/account/requests?failed=true"))[1]["data"]) == 1
    assert (await ada.ask("GET", "/account/requests?model=none"))[1]["data"] == []
    for query in ("limit=x", "failed=1", "account=acct_1", "before=-1", "after=1e3"):
        assert (await ada.ask("GET", "/account/requests?" + query))[0] == 400, query


async def test_usage_by_day_model_and_key(people: list[Browser]) -> None:
    ada, _ = people
    await ada.ask("POST", "/v1/chat/completions", HELLO)
    _, usage = await ada.ask("GET", "/account/usage?days=1")
    [by_key] = usage["by_key"]
    assert (by_key["key_id"], by_key["requests"], by_key["credits"]) == (None, 1, usage["totals"]["credits"])
    _, headers, table = await ada.ask_whole("GET", "/account/usage.csv?days=1")
    assert headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(table.decode())))
    assert rows[0] == ["day", "credits", "requests"]
    assert rows[1][1:] == [str(usage["totals"]["credits"]), "1"]


async def test_a_table_of_calls_holds_no_formulas(gateway: RunningGateway, people: list[Browser]) -> None:
    """A spreadsheet would run what begins with an equals sign, and the name of a model is anybody's text."""
    ada, _ = people
    from gateway.call import Usage

    for number in range(1203):
        gateway.gateway.stores.usage.record(
            UsageRow(
                request_id=f"req_{number}", account_id=ada.account, key_id="", model='=HYPERLINK("http://evil")',
                target="", route="/v1/chat/completions", status=404, usage=Usage(), basis="void",
                created=int(time.time()), error="model_not_found",
            )
        )  # fmt: skip
    await flush(gateway)
    status, headers, table = await ada.ask_whole("GET", "/account/requests.csv")
    assert status == 200
    assert "attachment" in headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    assert [row["request_id"] for row in rows] == [f"req_{number}" for number in reversed(range(1203))]
    assert {row["model"] for row in rows} == {'\'=HYPERLINK("http://evil")'}


class Live:
    """The events of a live view, one by one."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def next(self) -> Any:
        async with asyncio.timeout(30):
            while True:
                line = (await self.answer.content.readline()).decode()
                if line.startswith("data: "):
                    return orjson.loads(line[6:])
                assert line, "the stream ended"

    async def ended(self) -> bool:
        async with asyncio.timeout(30):
            while True:
                if not await self.answer.content.readline():
                    return True


async def test_calls_are_seen_as_they_happen_by_their_owner_alone(
    gateway: RunningGateway, people: list[Browser]
) -> None:
    ada, eve = people
    await ada.ask("POST", "/v1/chat/completions", HELLO)
    await flush(gateway)
    url = gateway.url + "/account/requests/live"
    async with ada.session.get(url) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        live = Live(answer)
        await eve.ask("POST", "/v1/chat/completions", HELLO)
        _, made = await ada.ask("POST", "/v1/chat/completions", HELLO)
        await flush(gateway)
        seen = await live.next()
        assert seen["credits"] == made["usage"]["cost"]
        _, listed = await ada.ask("GET", "/account/requests?limit=1")
        assert seen == listed["data"][0], "the one before it was there already, and the other is Eve's"
    before = listed["data"][0]["seq"]
    await ada.ask("POST", "/v1/chat/completions", HELLO)
    await flush(gateway)
    async with ada.session.get(url, headers={"Last-Event-ID": str(before)}) as answer:
        assert (await Live(answer).next())["seq"] > before, "what happened meanwhile is not lost"


@pytest.mark.parametrize("how", ["sign_out", "disabled"])
async def test_a_live_view_ends_with_its_session(gateway: RunningGateway, people: list[Browser], how: str) -> None:
    ada, _ = people
    async with ada.session.get(gateway.url + "/account/requests/live") as answer:
        assert answer.status == 200
        if how == "sign_out":
            await ada.ask("POST", "/account/sign-out")
        else:
            change = AccountChange(("disabled",), disabled=True)
            await gateway.gateway.stores.accounts.update_account(ada.account, change)
        assert await Live(answer).ended()


async def test_budgets_are_shown_with_what_they_have_passed(gateway: RunningGateway, people: list[Browser]) -> None:
    ada, eve = people
    _, made = await ada.ask("POST", "/account/keys", {"name": "small", "monthly_limit": 50})
    await ada.ask("POST", "/account/keys", {"name": "without a ceiling"})
    assert (await gateway.post("/v1/chat/completions", {**HELLO, "max_tokens": 20}, key=made["key"]))[0] == 200
    _, listed = await ada.ask("GET", "/account/alerts")
    account, key = listed["data"]
    assert (account["kind"], account["limit"], account["thresholds"], account["passed"]) == (
        "account", 100_000, [80, 100], [],
    )  # fmt: skip
    assert (key["kind"], key["key_id"], key["limit"]) == ("key", made["id"], 50)
    assert key["used"] == account["used"] > 0
    _, theirs = await eve.ask("GET", "/account/alerts")
    assert [one["used"] for one in theirs["data"]] == [0]


async def test_key_changes_are_limited(people: list[Browser]) -> None:
    statuses = [(await people[0].ask("POST", "/account/keys/key_none/rotate", {}))[0] for _ in range(31)]
    assert statuses == [404] * 30 + [429]


async def test_vouchers_are_redeemed_by_who_is_signed_in(gateway: RunningGateway, people: list[Browser]) -> None:
    ada, _ = people
    [code] = await gateway.gateway.stores.ledger.create_vouchers(1, 500)
    assert (await ada.ask("POST", "/account/vouchers/redeem", {"code": code}, headers={"X-CSRF-Token": None}))[0] == 403
    status, answer = await ada.ask("POST", "/account/vouchers/redeem", {"code": code})
    assert (status, answer["balance"]) == (200, 100_500)
