"""The admin API: everything the command line can do to accounts, keys and credits, for the admin secret only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.testing import RunningGateway, running_gateway

CONFIG = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"price": {"input": 1, "output": 2}, "context": 8000, "max_output": 1000}},
    "default_model": "echo/echo",
}
HELLO = {"messages": [{"role": "user", "content": "hi"}]}


class Admin:
    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway

    async def __call__(self, method: str, path: str, body: Any = None, *, secret: str | None = None) -> tuple[int, Any]:
        secret = self.gateway.gateway.admin_secret() if secret is None else secret
        headers = {"Authorization": f"Bearer {secret}"}
        url = self.gateway.url + "/admin/api" + path
        async with self.gateway.session.request(method, url, json=body, headers=headers) as answer:
            assert answer.headers["x-request-id"]
            if answer.status < 400:
                assert answer.headers["cache-control"] == "no-store"
            return answer.status, orjson.loads(await answer.read())


@pytest_asyncio.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with running_gateway(tmp_path, CONFIG) as gateway:
        yield Admin(gateway)


async def test_a_customer_from_first_to_last(admin: Admin) -> None:
    status, account = await admin("POST", "/accounts", {"name": "Ada", "credits": 100})
    assert (status, account["balance"], account["role"]) == (201, 100, "user")

    more = {"credits": 900, "idempotency_key": "order 7", "note": "paid by invoice"}
    assert await admin("POST", "/accounts/Ada/credits", more) == (200, {"account_id": account["id"], "balance": 1000})
    # The same order again: nothing happens twice.
    assert (await admin("POST", "/accounts/Ada/credits", more))[1]["balance"] == 1000

    settings = {"name": "laptop", "models": ["echo/*"], "monthly_limit": 500}
    status, key = await admin("POST", f"/accounts/{account['id']}/keys", settings)
    assert status == 201
    assert key["key"].startswith("mghp_")
    status, headers, _ = await admin.gateway.post("/v1/chat/completions", HELLO, key=key["key"])
    assert status == 200
    cost = int(headers["x-gateway-cost"])

    _, usage = await admin("GET", "/accounts/Ada/usage?days=1")
    assert (usage["balance"], usage["totals"]["credits"], usage["totals"]["requests"]) == (1000 - cost, cost, 1)
    _, entries = await admin("GET", "/accounts/Ada/entries")
    # Newest first: the call (hold, then charge), the order, and what the account began with.
    assert [(entry["kind"], entry["amount"]) for entry in entries["data"]] == [
        ("charge", -cost),
        ("hold", 0),
        ("grant", 900),
        ("grant", 100),
    ]

    back = {"request_id": entries["data"][0]["request_id"], "credits": cost, "idempotency_key": "sorry"}
    assert (await admin("POST", "/refunds", back))[1]["balance"] == 1000

    _, listed = await admin("GET", "/accounts/Ada/keys")
    assert [item["name"] for item in listed["data"]] == ["laptop"]
    assert key["key"] not in orjson.dumps(listed).decode()
    status, rotated = await admin("POST", f"/keys/{key['id']}/rotate", {})
    assert status == 200
    assert (await admin.gateway.post("/v1/chat/completions", HELLO, key=rotated["key"]))[0] == 200
    assert (await admin("DELETE", f"/keys/{key['id']}"))[1]["revoked_at"]
    assert (await admin.gateway.post("/v1/chat/completions", HELLO, key=rotated["key"]))[0] == 401
    assert await admin("GET", "/ledger/check") == (200, {"ok": True, "discrepancies": []})


async def test_a_change_touches_what_it_names_and_nothing_else(admin: Admin) -> None:
    _, account = await admin("POST", "/accounts", {"name": "Bob", "credits": 5})
    status, changed = await admin("PATCH", "/accounts/Bob", {"requests_per_minute": 3})
    assert (status, changed) == (200, {**account, "requests_per_minute": 3})
    status, fault = await admin("PATCH", "/accounts/Bob", {"balance": 10**6})
    assert (status, fault["error"]["param"]) == (400, "balance")

    _, key = await admin("POST", "/accounts/Bob/keys", {"name": "a", "monthly_limit": 7, "models": ["echo/echo"]})
    _, changed = await admin("PATCH", f"/keys/{key['id']}", {"monthly_limit": None})
    assert (changed["name"], changed["monthly_limit"], changed["models"]) == ("a", None, ["echo/echo"])


async def test_a_disabled_account_is_out_at_once(admin: Admin) -> None:
    _, account = await admin("POST", "/accounts", {"name": "Eve", "credits": 5000})
    _, key = await admin("POST", "/accounts/Eve/keys", {})
    await admin("PATCH", f"/accounts/{account['id']}", {"disabled": True})
    assert (await admin.gateway.post("/v1/chat/completions", HELLO, key=key["key"]))[0] == 401


async def test_vouchers(admin: Admin) -> None:
    status, made = await admin("POST", "/vouchers", {"credits": 50, "count": 2})
    assert (status, len(made["codes"])) == (201, 2)
    _, listed = await admin("GET", "/vouchers")
    assert [voucher["credits"] for voucher in listed["data"]] == [50, 50]
    status, revoked = await admin("DELETE", f"/vouchers/{listed['data'][0]['id']}")
    assert (status, revoked["revoked_at"] is not None) == (200, True)
    assert (await admin("DELETE", "/vouchers/x"))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("POST", "/accounts", {}, 400, "name"),
        ("POST", "/accounts", {"name": "x", "credits": -1}, 400, "credits"),
        ("POST", "/accounts", {"name": "x", "credits": 1.5}, 400, "credits"),
        ("POST", "/accounts", {"name": "test"}, 409, None),
        ("POST", "/accounts/nobody/keys", {}, 404, None),
        ("POST", "/accounts/test/keys", {"models": "echo/*"}, 400, "models"),
        ("POST", "/accounts/test/keys", {"ip_allow": ["nonsense"]}, 400, None),
        ("POST", "/accounts/test/credits", {"credits": 5}, 400, "idempotency_key"),
        ("GET", "/accounts/test/usage?days=0", None, 400, "days"),
        ("GET", "/accounts?limit=x", None, 400, "limit"),
        ("GET", "/keys/unknown", None, 404, None),
        ("POST", "/refunds", {"request_id": "req_x", "credits": 1, "idempotency_key": "k"}, 404, None),
    ],
)
async def test_mistakes_are_named(
    admin: Admin, method: str, path: str, body: Any, status: int, param: str | None
) -> None:
    found, answer = await admin(method, path, body)
    assert found == status
    if param is not None:
        assert answer["error"]["param"] == param


async def test_only_the_admin_secret_opens_it_and_guessing_is_slow(admin: Admin) -> None:
    for secret in ("", admin.gateway.key, "mgas_" + "a" * 32, "é"):
        assert (await admin("GET", "/accounts", secret=secret))[0] == 401
    statuses = [(await admin("GET", "/accounts", secret="wrong"))[0] for _ in range(25)]
    assert statuses[-1] == 429
    # Who knows it is not locked out by who does not.
    assert (await admin("GET", "/accounts"))[0] == 200
