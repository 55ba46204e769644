"""The admin API's other half: who may use it, how people get in, the path of a request, what runs, an account's end."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import pytest_asyncio
from yarl import URL

from gateway.http.api.admin.routes import PREFIX, TABLE
from gateway.http.server.sessions import SignedIn
from gateway.stores import AccountChange, KeySettings
from gateway.testing import (
    FakeUpstream,
    RunningGateway,
    json_reply,
    openai_completion,
    running_gateway,
    upstream_config,
)

from .people_kit import Browser, browser

SECRETS = {"FAKE_KEY": "sk-very-secret-upstream", "TOKEN": "mcp-token-424242"}
HELLO = {"messages": [{"role": "user", "content": "hi"}]}


class House:
    """A gateway with an upstream, an administrator and a user, each with a browser, and the admin secret's channel."""

    gateway: RunningGateway
    upstream: FakeUpstream
    admin: Browser
    user: Browser

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack

    async def person(self, name: str, role: str = "user") -> Browser:
        """Somebody who is signed in."""
        stores = self.gateway.gateway.stores
        account = await stores.accounts.create_account(name, role=role, grant=1_000_000)
        session, token = await stores.sessions.open_session(account.id, lifetime=600)
        found = await self.stack.enter_async_context(browser(self.gateway))
        found.session.cookie_jar.update_cookies({"gateway_session": token}, URL(self.gateway.url))
        found.csrf, found.account = SignedIn(session, account, token).csrf, account.id
        return found

    async def secretly(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """By the admin secret."""
        headers = {"Authorization": f"Bearer {self.gateway.gateway.admin_secret()}"}
        async with self.gateway.session.request(
            method, self.gateway.url + PREFIX + path, json=body, headers=headers
        ) as answer:
            return answer.status, orjson.loads(await answer.read())


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        made = House(stack)
        made.upstream = await stack.enter_async_context(FakeUpstream())
        config = upstream_config(
            made.upstream.url + "/v1",
            providers={"off": {"plugin": "openai", "api_key": "${OFF_KEY:-}"}},
            models={"off/model": {"provider": "off", "free": True}},
            aliases={"best": ["fake/model", {"model": "off/model", "when": "unavailable"}]},
            mcp_servers={"notes": {"url": "https://x.example/mcp", "headers": {"X": "${TOKEN}"}}},
        )
        config["providers"]["fake"] = {
            "plugin": "openai",
            "base_url": made.upstream.url + "/v1",
            "api_key": "${FAKE_KEY}",
        }
        made.gateway = await stack.enter_async_context(running_gateway(tmp_path, config, env=SECRETS))
        made.admin = await made.person("root", "admin")
        made.user = await made.person("ada")
        yield made


# -- who may use it ------------------------------------------------------------------------------------------------


def address(template: str) -> str:
    """A path that is there as far as the route goes; what it names is not."""
    return PREFIX + re.sub(r"\{\w+\}", "nothing", template)


ROUTES = [pytest.param(method, template, id=f"{method} {template}") for method, template, _ in TABLE]


@pytest.mark.parametrize(("method", "template"), ROUTES)
async def test_nobody_but_administrators_gets_in(house: House, method: str, template: str) -> None:
    path = address(template)
    accounts = house.gateway.gateway.stores.accounts
    before = await accounts.list_accounts()
    stranger = await house.stack.enter_async_context(browser(house.gateway))
    key = {"Authorization": f"Bearer {house.gateway.key}"}
    admins_key = await house.gateway.gateway.stores.keys.create_key(house.admin.account, KeySettings())
    refusals = [
        ("stranger", stranger, {}, 401),
        ("user", house.user, {}, 403),
        ("user without token", house.user, {"X-CSRF-Token": None}, 403),
        ("key", stranger, key, 401),
        ("an administrator's key", stranger, {"Authorization": f"Bearer {admins_key[1]}"}, 401),
        ("a key beside an administrator's cookie", house.admin, key, 401),
    ]
    if method != "GET":
        refusals += [
            ("admin without token", house.admin, {"X-CSRF-Token": None}, 403),
            ("admin with another's token", house.admin, {"X-CSRF-Token": house.user.csrf}, 403),
            ("admin from elsewhere", house.admin, {"Origin": "https://evil.example"}, 403),
        ]
    for who, person, headers, wanted in refusals:
        status, answer = await person.ask(method, path, {} if method != "GET" else None, headers=headers)
        assert (who, status) == (who, wanted), answer
    assert await accounts.list_accounts() == before
    # An administrator's own session gets to the work itself: to a 404, a 400 for the empty body, or an answer.
    status, answer = await house.admin.ask(method, path, {} if method != "GET" else None)
    assert status in (200, 201, 400, 404), answer


async def test_an_administrator_who_is_one_no_more_is_out_at_once(house: House) -> None:
    assert (await house.admin.ask("GET", PREFIX + "/accounts"))[0] == 200
    accounts = house.gateway.gateway.stores.accounts
    await accounts.update_account(house.admin.account, AccountChange(("role",), role="user"))
    assert (await house.admin.ask("GET", PREFIX + "/accounts"))[0] == 403
    await accounts.update_account(house.admin.account, AccountChange(("role", "disabled"), role="admin", disabled=True))
    assert (await house.admin.ask("GET", PREFIX + "/accounts"))[0] == 401


async def test_the_audit_log_names_who_did_it(house: House) -> None:
    await house.admin.ask("POST", PREFIX + "/accounts", {"name": "bob"})
    await house.secretly("POST", "/accounts", {"name": "eve"})
    _, log = await house.secretly("GET", "/audit?action=account.create")
    assert [(entry["actor"], entry["detail"]["name"]) for entry in log["data"]] == [
        ("admin", "eve"),
        (house.admin.account, "bob"),
    ]


# -- how people get in ---------------------------------------------------------------------------------------------


async def test_an_invitation_makes_an_account(house: House) -> None:
    asked = {"email": "new@example.org", "role": "user", "credits": 700, "days": 1}
    status, link = await house.admin.ask("POST", PREFIX + "/invitations", asked)
    assert (status, link["email"], link["credits"]) == (201, "new@example.org", 700)
    token = urlsplit(link["url"]).path.removeprefix("/invite/")
    assert link["url"].startswith(house.gateway.url + "/invite/")
    _, links = await house.admin.ask("GET", PREFIX + "/links")
    assert [one["id"] for one in links["data"]] == [link["id"]]
    assert token not in str(links)
    newcomer = await house.stack.enter_async_context(browser(house.gateway))
    await newcomer.sign_up("new@example.org", invitation=token)
    _, [account] = (
        (await house.secretly("GET", "/accounts?find=new@example.org"))[0],
        (await house.secretly("GET", "/accounts?find=new@example.org"))[1]["data"],
    )
    assert account["balance"] == 700
    assert token not in house.gateway.stream.getvalue()


async def test_links_for_an_account_and_signing_it_out(house: House) -> None:
    status, link = await house.admin.ask("POST", f"{PREFIX}/accounts/ada/links", {"purpose": "sign_in", "hours": 1})
    assert status == 201
    _, login = await house.admin.ask("GET", f"{PREFIX}/accounts/ada/login")
    assert (login["email"], login["has_password"], len(login["sessions"])) == (None, False, 1)
    assert (await house.admin.ask("DELETE", f"{PREFIX}/accounts/ada/sessions"))[1] == {"ended": 1}
    assert (await house.user.ask("GET", "/account/me"))[0] == 401
    assert (await house.admin.ask("DELETE", f"{PREFIX}/links/{link['id']}"))[0] == 200
    assert (await house.admin.ask("DELETE", f"{PREFIX}/links/{link['id']}"))[0] == 404
    assert (await house.admin.ask("POST", f"{PREFIX}/accounts/ada/links", {"purpose": "root"}))[0] == 400


# -- calls ---------------------------------------------------------------------------------------------------------


async def test_the_whole_path_of_a_request(house: House) -> None:
    house.upstream.queue(json_reply({"error": {"message": "busy"}}, 503))
    house.upstream.reply(json_reply(openai_completion("ok")))
    status, headers, _ = await house.gateway.post("/v1/chat/completions", HELLO)
    assert status == 200
    name, cost = headers["x-request-id"], int(headers["x-gateway-cost"])
    _, listed = await house.admin.ask("GET", f"{PREFIX}/requests?account=test")
    [row] = listed["data"]
    assert (row["request_id"], row["account_id"], row["credits"]) == (name, house.gateway.account.id, cost)
    for query in ("", f"?seq={row['seq']}", f"?seq={row['seq'] + 5}"):
        status, path = await house.admin.ask("GET", f"{PREFIX}/requests/{name}{query}")
        assert status == 200
        assert path["request"] == row
        assert [(one["outcome"], one["status"]) for one in path["attempts"]] == [("failed", 503), ("ok", 200)]
        assert [entry["kind"] for entry in path["entries"]] == ["hold", "charge"]
        assert path["entries"][1]["amount"] == -cost
    assert (await house.admin.ask("GET", f"{PREFIX}/requests/req_unknown"))[0] == 404


async def test_the_path_of_a_request_outlives_the_process(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream:
        upstream.queue(json_reply({"error": {"message": "busy with sk-1" + "a" * 40}}, 503))
        upstream.reply(json_reply(openai_completion("ok")))
        config = upstream_config(upstream.url + "/v1")
        async with running_gateway(tmp_path, config) as gateway:
            _, headers, _ = await gateway.post("/v1/chat/completions", HELLO)
            secret = {"authorization": f"Bearer {gateway.gateway.admin_secret()}"}
            place = f"{PREFIX}/requests/{headers['x-request-id']}"
            async with gateway.session.get(gateway.url + place, headers=secret) as answer:
                before = await answer.json()
        async with running_gateway(tmp_path, config, account_name="later") as gateway:
            async with gateway.session.get(gateway.url + place, headers=secret) as answer:
                assert await answer.json() == before
    failed, ok = before["attempts"]
    assert (failed["outcome"], failed["status"], failed["target"]) == ("failed", 503, "fake/model")
    assert "busy with [redacted]" in failed["reason"]
    assert ok["outcome"] == "ok"
    assert 0 <= ok["first_byte"] <= ok["seconds"]


async def test_calls_are_filtered(house: House) -> None:
    house.upstream.reply(json_reply(openai_completion("ok")))
    await house.gateway.post("/v1/chat/completions", HELLO)
    await house.user.ask("POST", "/v1/chat/completions", HELLO)
    house.upstream.reply(json_reply({"error": {"message": "no"}}, 400))
    await house.user.ask("POST", "/v1/chat/completions", {**HELLO, "model": "best"})

    async def found(query: str) -> list[str]:
        status, listed = await house.admin.ask("GET", f"{PREFIX}/requests?{query}")
        assert status == 200, listed
        return [row["model"] for row in listed["data"]]

    assert await found("") == ["best", "fake/model", "fake/model"]
    assert await found("account=ada") == ["best", "fake/model"]
    assert await found("account=ada&failed=true") == ["best"]
    assert await found("key=console") == ["best", "fake/model"]
    assert await found("model=best&limit=1") == ["best"]
    assert (await house.admin.ask("GET", f"{PREFIX}/requests?account=nobody"))[0] == 404
    assert (await house.admin.ask("GET", f"{PREFIX}/requests?failed=maybe"))[0] == 400


# -- what runs -----------------------------------------------------------------------------------------------------


async def test_providers_and_their_rates(house: House) -> None:
    house.upstream.queue(*[json_reply({"error": {"message": "busy"}}, 503)] * 3)
    house.upstream.reply(json_reply(openai_completion("ok")))
    for _ in range(2):
        await house.gateway.post("/v1/chat/completions", HELLO)
    _, listed = await house.admin.ask("GET", PREFIX + "/providers")
    fake, off = listed["data"]
    assert fake["switched_off"] is None
    assert fake["attempts"]["ok"] >= 1
    assert fake["attempts"]["failed"] == 3
    assert fake["error_rate"] == round(3 / (3 + fake["attempts"]["ok"]), 4)
    assert "OFF_KEY" in off["switched_off"]
    assert (off["models"], off["unset"], off["error_rate"]) == (["off/model"], ["OFF_KEY"], None)


async def test_models_and_plugins(house: House) -> None:
    _, listed = await house.admin.ask("GET", PREFIX + "/models")
    by_id = {model["id"]: model for model in listed["data"]}
    assert [one["model"] for one in by_id["best"]["chain"]] == ["fake/model", "off/model"]
    assert (by_id["fake/model"]["upstream"], by_id["off/model"]["available"]) == ("upstream-model", False)
    _, plugins = await house.admin.ask("GET", PREFIX + "/plugins")
    assert plugins["plugins"][:2] == ["auth", "model_allow_list"]
    assert plugins["phases"]["identify_caller"] == ["auth"]


async def test_the_configuration_is_shown_without_secrets(house: House) -> None:
    status, told = await house.admin.ask("GET", PREFIX + "/configuration")
    assert status == 200
    text = orjson.dumps(told).decode()
    for secret in (*SECRETS.values(), house.gateway.gateway.admin_secret()):
        assert secret not in text
    values = told["values"]
    assert values["providers"]["fake"]["settings"]["api_key"] == "[redacted]"
    assert values["providers"]["off"]["settings"]["api_key"] == ""
    assert values["server"]["max_body"] == 20 * 1024 * 1024
    assert values["mcp_servers"]["notes"]["headers"] == {"X": "[redacted]"}
    assert values["models"]["fake/model"]["settings"]["price"]["input"] == "1"


# -- an account's end ----------------------------------------------------------------------------------------------


async def test_an_account_is_exported_and_erased(house: House) -> None:
    house.upstream.reply(json_reply(openai_completion("ok")))
    stores = house.gateway.gateway.stores
    [session] = await stores.sessions.list_sessions(house.user.account)
    await stores.logins.set_login(house.user.account, email="ada@example.org", password_hash="h", keep=session.id)
    _, key = await house.admin.ask("POST", f"{PREFIX}/accounts/ada/keys", {"name": "Ada's laptop"})
    await house.gateway.post("/v1/chat/completions", HELLO, key=key["key"])
    _, stored = await house.user.ask("POST", "/v1/responses", {"input": "my secret"})
    status, headers, raw = await house.admin.ask_whole("GET", f"{PREFIX}/accounts/ada/export")
    assert status == 200
    assert headers["content-disposition"] == f'attachment; filename="{house.user.account}.ndjson"'
    kept = [orjson.loads(line) for line in raw.splitlines()]
    assert [one["type"] for one in kept][:2] == ["account", "login"]
    assert {"session", "key", "entry", "request"} <= {one["type"] for one in kept}
    assert key["key"] not in raw.decode()

    for wrong in ({}, {"name": "Ada"}, {"name": "ada", "more": 1}):
        assert (await house.admin.ask("DELETE", f"{PREFIX}/accounts/ada", wrong))[0] == 400
    own = await house.admin.ask("DELETE", f"{PREFIX}/accounts/root", {"name": "root"})
    assert (own[0], own[1]["error"]["code"]) == (400, "own_account")
    entries = await stores.ledger.entries(house.user.account)
    status, erased = await house.admin.ask("DELETE", f"{PREFIX}/accounts/ada", {"name": "ada"})
    assert (status, erased["name"], erased["disabled"]) == (200, f"erased {house.user.account}", True)
    assert (await house.user.ask("GET", "/account/me"))[0] == 401
    assert (await house.gateway.post("/v1/chat/completions", HELLO, key=key["key"]))[0] == 401
    assert await stores.logins.find_login("ada@example.org") is None
    assert await stores.responses.get(house.user.account, stored["id"]) is None
    assert await stores.ledger.entries(house.user.account) == entries
    assert (await house.secretly("GET", "/ledger/check"))[1]["ok"] is True


async def test_orders_are_listed(house: House) -> None:
    stores = house.gateway.gateway.stores
    order = await stores.topups.open(house.user.account, "shop", currency="usd", amount=500, credits=5_000_000)
    _, listed = await house.admin.ask("GET", f"{PREFIX}/topups?account=ada")
    assert [(one["id"], one["status"]) for one in listed["data"]] == [(order.id, "pending")]
    assert (await house.admin.ask("GET", f"{PREFIX}/topups?owed=true"))[1]["data"] == []
    assert (await house.admin.ask("GET", f"{PREFIX}/topups?owed=perhaps"))[0] == 400
