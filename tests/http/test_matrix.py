"""Who may do what: every route that a session reaches, by every kind of person, over every channel.

The table is complete by construction: a route under /account that it does not name fails a test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from gateway.stores import AccountChange, KeySettings, NewLink
from gateway.testing import RunningGateway, running_gateway

from .people_kit import Browser, browser

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

Needs = Literal["nothing", "key", "session"]
"""Who gets through: anybody; a key or a session; only somebody who is signed in."""

CONFIG = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {
        "echo/echo": {"price": {"input": 1, "output": 2}, "context": 8000, "max_output": 1000},
        "echo/draws": {"operations": ["images"], "free": True},
        "echo/speaks": {"operations": ["speech"], "free": True},
    },
    "default_model": "echo/echo",
    "console": {"sign_up": "off"},
    "rate_limit": {"requests_per_minute": 100_000},
}
CHAT = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 5}
DRAW = {"model": "echo/draws", "prompt": "a house"}
SPEAK = {"model": "echo/speaks", "input": "Hi", "voice": "alloy"}

ROUTES: Mapping[str, tuple[Needs, Any]] = {
    "POST /account/sign-in": ("nothing", {"link": "none"}),
    "POST /account/sign-up": ("nothing", {"email": "x@example.org", "password": "correct horse"}),
    "POST /account/password/reset": ("nothing", {"link": "none", "password": "correct horse"}),
    "POST /account/sign-out": ("session", None),
    "GET /account/me": ("key", None),
    "GET /account/balance": ("key", None),
    "POST /account/login": ("session", {"email": "new@example.org"}),
    "GET /account/sessions": ("session", None),
    "DELETE /account/sessions": ("session", None),
    "DELETE /account/sessions/{id}": ("session", None),
    "GET /account/keys": ("session", None),
    "POST /account/keys": ("session", {"name": "made"}),
    "GET /account/keys/{id}": ("session", None),
    "PATCH /account/keys/{id}": ("session", {"name": "changed"}),
    "DELETE /account/keys/{id}": ("session", None),
    "POST /account/keys/{id}/rotate": ("session", {}),
    "GET /account/alerts": ("key", None),
    "GET /account/usage": ("key", None),
    "GET /account/usage.csv": ("key", None),
    "GET /account/requests": ("key", None),
    "GET /account/requests.csv": ("key", None),
    "GET /account/requests/live": ("key", None),
    "POST /account/topups": ("key", {"method": "none", "amount_usd": "5"}),
    "GET /account/topups": ("key", None),
    "GET /account/topups/{id}": ("key", None),
    "POST /account/vouchers/redeem": ("key", {"code": "none"}),
    "POST /v1/chat/completions": ("key", CHAT),
    "POST /api/v1/chat/completions": ("key", CHAT),
    "POST /v1/responses": ("key", {"input": "Hi", "max_output_tokens": 16}),
    "POST /api/v1/responses": ("key", {"input": "Hi", "max_output_tokens": 16}),
    "POST /v1/explain": ("key", {"body": CHAT}),
    "POST /api/v1/explain": ("key", {"body": CHAT}),
    "POST /v1/images/generations": ("key", DRAW),
    "POST /api/v1/images/generations": ("key", DRAW),
    "POST /v1/audio/speech": ("key", SPEAK),
    "POST /api/v1/audio/speech": ("key", SPEAK),
    "GET /v1/models": ("key", None),
    "GET /api/v1/models": ("key", None),
}
SAFE = ("GET",)


class Cast:
    """The people of the table: Ada, an administrator, somebody who was disabled, and nobody; and the house."""

    def __init__(self, gateway: RunningGateway, stack: AsyncExitStack) -> None:
        self.gateway = gateway
        self._stack = stack
        self.keys: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    async def person(self, name: str, role: str = "user") -> Browser:
        stores = self.gateway.gateway.stores
        account = await stores.accounts.find_account(name)
        if account is None:
            account = await stores.accounts.create_account(name, role=role, grant=100_000)
            key, self.keys[name] = await stores.keys.create_key(account.id, KeySettings(name="first"))
            self.ids[name] = key.id
        found = await self._stack.enter_async_context(browser(self.gateway))
        _, token = await stores.logins.create_link(NewLink("sign_in", 600, account.id))
        await found.enter("/account/sign-in", {"link": token})
        return found

    async def nobody(self) -> Browser:
        return await self._stack.enter_async_context(browser(self.gateway))

    async def disable(self, name: str, disabled: bool) -> None:
        accounts = self.gateway.gateway.stores.accounts
        account = await accounts.find_account(name)
        assert account is not None
        await accounts.update_account(account.id, AccountChange(("disabled",), disabled=disabled))


@pytest_asyncio.fixture
async def cast(tmp_path: Path) -> AsyncIterator[Cast]:
    async with AsyncExitStack() as stack:
        yield Cast(await stack.enter_async_context(running_gateway(tmp_path, CONFIG)), stack)


async def ask(
    person: Browser, route: str, thing: str, headers: Mapping[str, str | None] | None = None
) -> tuple[int, str]:
    """Status and code of the answer. A live view is only begun."""
    method, path = route.split(" ")
    path = path.replace("{id}", thing)
    if path.endswith("/live"):
        sent = {name: value for name, value in (headers or {}).items() if value is not None}
        async with person.session.get(person.gateway.url + path, headers=sent) as answer:
            return answer.status, "" if answer.status == 200 else (await answer.json())["error"]["code"]
    status, value = await person.ask(method, path, ROUTES[route][1], headers=headers)
    return status, "" if status < 400 else value["error"]["code"]


async def test_every_route_of_an_account_is_in_the_table(cast: Cast) -> None:
    await cast.gateway.get("/v1/models")
    routes = cast.gateway.gateway.runtime.routes
    served = {
        f"{method} {route.template}"
        for route in routes._by_template.values()
        for method in route.handlers
        if route.template.startswith("/account/")
    }
    assert served == {route for route in ROUTES if " /account/" in route}
    document = {
        f"{found.method} {found.path}": {scheme.name for scheme in found.operation.auth if scheme is not None}
        for found in routes.documented()
    }
    for route, (needs, _) in ROUTES.items():
        plain = route.replace("/api/v1", "").replace("/v1", "")
        expected: dict[Needs, set[str]] = {"nothing": set(), "key": {"apiKey", "session"}, "session": {"session"}}
        assert document[plain] == expected[needs], route
    opened = {route for route, schemes in document.items() if "session" in schemes}
    assert opened <= {route.replace("/api/v1", "").replace("/v1", "") for route in ROUTES} | {
        route for route in opened if " /admin/" in route
    }


@pytest.mark.parametrize("route", ROUTES)
async def test_a_route_lets_through_who_may_and_nobody_else(cast: Cast, route: str) -> None:
    needs, method = ROUTES[route][0], route.split(" ")[0]
    ada, boss, gone = await cast.person("ada"), await cast.person("boss", "admin"), await cast.person("gone")
    await cast.disable("gone", True)
    nobody = await cast.nobody()
    key = {"Authorization": f"Bearer {cast.keys['ada']}", "X-CSRF-Token": None, "Origin": None}
    stale = {"Authorization": f"Bearer {cast.keys['gone']}"}
    thing = cast.ids["ada"]

    if needs == "nothing":
        status, _ = await ask(nobody, route, thing)
        assert status in (403, 404), "there is no such link, and nobody signs up"
        assert (await ask(nobody, route, thing, {"Origin": "https://evil.example"}))[0] == 403
        return
    assert (await ask(nobody, route, thing))[0] == 401
    assert (await ask(nobody, route, thing, {"Authorization": "Bearer mghp_wrong"}))[0] == 401
    assert (await ask(gone, route, thing)) == (401, "session_ended")
    assert (await ask(gone, route, thing, stale))[0] == 401
    status, code = await ask(nobody, route, thing, key)
    assert status != 401
    assert (code == "session_required") == (needs == "session"), "a key does not do what a person does"
    # An administrator is like everybody here: no rights over the things of others.
    status, code = await ask(boss, route, thing)
    if "{id}" in route:
        assert status == 404
    else:
        assert status not in (401, 403), code
    if method not in SAFE:
        fresh = await cast.person("ada")
        for headers, expected in (
            ({"X-CSRF-Token": None}, "bad_csrf_token"),
            ({"X-CSRF-Token": boss.csrf or "x"}, "bad_csrf_token"),
            ({"Origin": "https://evil.example"}, "wrong_origin"),
            ({"Origin": None, "Sec-Fetch-Site": "cross-site"}, "wrong_origin"),
        ):
            assert await ask(fresh, route, thing, headers) == (403, expected)
    status, code = await ask(ada, route, thing)
    assert status not in (401, 403), code


ELSEWHERE = [
    ("GET", "/admin/api/accounts"),
    ("GET", "/v1/usage"),
    ("GET", "/v1/models/echo/echo"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/images/edits"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/messages"),
    ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/input_tokens"),
    ("POST", "/v1/conversations"),
    ("POST", "/v1beta/models/echo:generateContent"),
]


@pytest.mark.parametrize(("method", "path"), ELSEWHERE)
async def test_a_session_opens_nothing_else_of_the_api(cast: Cast, method: str, path: str) -> None:
    ada = await cast.person("ada")
    status, _ = await ada.ask(method, path, {} if method == "POST" else None)
    assert status == (403 if path.startswith("/admin/") else 401), "the admin API knows who asks, and that it may not"
