"""Every route there is, by every channel a credential can come: who is let in is what the document and the page say.

Nothing is listed by hand: a new route is judged by what its `Operation` declares, a new page by what it needs.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from gateway.console.pages import PAGES
from gateway.stores import AccountChange, KeySettings, NewLink
from gateway.testing import RunningGateway, running_gateway
from gateway.wire.openapi import METRICS

from .people_kit import Browser, browser

CONFIG = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"price": {"input": 1, "output": 2}, "context": 8000, "max_output": 1000}},
    "default_model": "echo/echo",
    "rate_limit": {"requests_per_minute": 100_000},
    "metrics": {"token": "metrics-token-0123456789"},
    "files": {"providers": ["echo"]},
    "batches": {"providers": ["echo"]},
}
KEYS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
"""Headers that a key may stand in (docs/http-api.md); the document names those of a route's own dialect."""
CHANNELS = {"apiKey": "key", "bearerKey": "key", "xApiKey": "key", "xGoogApiKey": "key",
            "session": "session", "adminSecret": "secret", "metricsToken": "metrics"}  # fmt: skip
"""Names of the document to what one has to have."""
WIDE = (
    *("/chat/completions", "/completions", "/responses", "/responses/compact", "/responses/input_tokens", "/messages"),
    *("/messages/count_tokens", "/embeddings", "/rerank", "/moderations", "/explain", "/images/generations"),
    *("/images/edits", "/images/variations", "/audio/speech", "/audio/transcriptions", "/audio/translations"),
    *("/conversations", "/conversations/{id}/items"),
)
"""What takes contents as JSON, behind the prefix, besides Gemini's routes, which name a method behind a colon."""
NOT_IN = (401, 403, 429)
"""429: after so many wrong secrets nobody is let in from there at all."""


@dataclass(frozen=True)
class Door:
    """A route that wants a credential. schemes: what the declared ones are, of which one is needed."""

    method: str
    path: str
    schemes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def address(template: str) -> str:
    """A path that leads to the route; what it names is not there, but for the model."""
    path = re.sub(r"\{\w+(\.\.\.)?\}", "nothing", template)
    # Google's only way to stream; any other is refused whoever asks.
    return path + "?alt=sse" if path.endswith(":streamGenerateContent") else path


class House:
    """A gateway, its doors, and all who knock."""

    def __init__(self, gateway: RunningGateway, stack: AsyncExitStack) -> None:
        self.gateway, self.stack = gateway, stack
        self.gone = ""
        self._awake: dict[str, Browser] = {}

    async def person(self, name: str, role: str = "user") -> Browser:
        """Somebody who has just signed in."""
        stores = self.gateway.gateway.stores
        account = await stores.accounts.find_account(name)
        if account is None:
            account = await stores.accounts.create_account(name, role=role, grant=100_000)
        found = await self.stack.enter_async_context(browser(self.gateway))
        _, token = await stores.logins.create_link(NewLink("sign_in", 600, account.id))
        await found.enter("/account/sign-in", {"link": token})
        return found

    async def awake(self, name: str, role: str) -> Browser:
        """The same person as last time, signed in anew where that ended: some doors end sessions."""
        found = self._awake.get(name)
        if found is None or (await found.ask("GET", "/account/me"))[0] != 200:
            found = self._awake[name] = await self.person(name, role)
        return found

    async def submit(self, person: Browser, path: str) -> int:
        """The status of a page's form that somebody else's page sends."""
        async with person.session.post(
            self.gateway.url + address(path), data={"a": "b"}, headers={"accept": "text/html"}, allow_redirects=False
        ) as answer:
            return answer.status

    async def knock(self, door: Door, headers: dict[str, str], query: str = "") -> int:
        """The status for somebody without cookies."""
        body = None if door.method in ("GET", "HEAD") else {}
        path = address(door.path)
        path += query if "?" in path else query.replace("&", "?", 1)
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                door.method, self.gateway.url + path, json=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            return answer.status


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        made = House(await stack.enter_async_context(running_gateway(tmp_path, CONFIG)), stack)
        stores = made.gateway.gateway.stores
        account = await stores.accounts.create_account("gone", grant=1000)
        _, made.gone = await stores.keys.create_key(account.id, KeySettings())
        await stores.accounts.update_account(account.id, AccountChange(("disabled",), disabled=True))
        yield made


def doors(house: House) -> Iterator[Door]:
    routes = house.gateway.gateway.runtime.routes
    for found in routes.documented():
        # Metrics are open to all where no token is configured; here one is.
        if found.operation.auth and (None not in found.operation.auth or METRICS in found.operation.auth):
            schemes = frozenset(CHANNELS[scheme.name] for scheme in found.operation.auth if scheme is not None)
            for prefix in routes.prefixes if found.api else ("",):
                yield Door(found.method, prefix + (found.operation.path or found.path), schemes)


def token_of(person: Browser) -> str:
    return next(cookie.value for cookie in person.session.cookie_jar)


async def test_no_route_is_left_out(house: House) -> None:
    await house.gateway.get("/v1/models")
    routes = house.gateway.gateway.runtime.routes
    assert routes.undocumented() == []
    known = {name for door in doors(house) for name in door.schemes}
    assert known == {"key", "session", "secret", "metrics"}
    assert len(list(doors(house))) > 100


async def test_a_door_opens_for_what_it_declares_and_nothing_else(house: House) -> None:
    """A key, a session and the two secrets, each at every place where somebody might put it."""
    await house.gateway.get("/v1/models")
    user, secret = await house.person("ada"), house.gateway.gateway.admin_secret()
    key, token = house.gateway.key, token_of(user)
    cookies = "__Host-session={0}; gateway_session={0}"
    wrong: list[str] = []
    for door in doors(house):
        bearers = {"key": key, "secret": secret, "metrics": "metrics-token-0123456789"}
        sent = {name: [{"authorization": f"Bearer {value}"}] for name, value in bearers.items()}
        sent["key"] += [{header: key} for header in KEYS[1:]]
        refused: list[tuple[str, dict[str, str], str]] = [
            ("nothing", {}, ""),
            ("an invented key", {"authorization": "Bearer mghp_" + "a" * 36}, ""),
            ("a key of a disabled account", {"authorization": f"Bearer {house.gone}"}, ""),
            ("a session as a key", {"authorization": f"Bearer {token}"}, ""),
            ("a key as a session", {"cookie": cookies.format(key)}, ""),
            ("the secret as a session", {"cookie": cookies.format(secret)}, ""),
            ("an empty credential", {"authorization": "Bearer "}, ""),
            ("a key in the address", {}, f"&key={key}&api_key={key}&access_token={key}"),
        ]
        refused += [
            (f"{name} in {[*each]}", each, "") for name in sent if name not in door.schemes for each in sent[name]
        ]
        for header in KEYS[1:]:
            refused += [
                (f"the secret in {header}", {header: secret}, ""),
                (f"a session in {header}", {header: token}, ""),
            ]
        for who, headers, query in refused:
            status = await house.knock(door, headers, query)
            # Google's routes say in words that a key does not belong into an address.
            if status not in NOT_IN and not (query and status == 400):
                wrong.append(f"{door}: {who} got {status}")
        for name in door.schemes & sent.keys():
            for each in sent[name]:
                status = await house.knock(door, each)
                if status in (401, 403):
                    wrong.append(f"{door}: {name} in {[*each]} was refused with {status}")
    assert not wrong, "\n".join(wrong)


async def test_a_session_opens_what_is_declared_for_it_by_its_role(house: House) -> None:
    await house.gateway.get("/v1/models")
    wrong: list[str] = []
    for door in list(doors(house)):
        for who, role in (("ada", "user"), ("boss", "admin")):
            person = await house.awake(who, role)
            body = None if door.method == "GET" else {}
            headers = {"accept": "application/json"}
            if door.path.endswith("/live"):
                continue  # a stream without an end; tests/http/test_matrix.py begins it
            status, _ = await person.ask(door.method, address(door.path), body, headers=headers)
            is_admins = door.path.startswith("/admin/")
            welcome = "session" in door.schemes and (role == "admin" or not is_admins)
            if welcome == (status in (401, 403)):
                wrong.append(f"{door}: a session of the role {role} got {status}")
    assert not wrong, "\n".join(wrong)


async def test_a_page_opens_for_whom_it_is(house: House) -> None:
    """Strangers are led to the sign-in, people are kept out of the administration, and a form without the session's
    token changes nothing."""
    await house.gateway.get("/v1/models")
    user, boss = await house.person("ada"), await house.person("boss", "admin")
    page = {"accept": "text/html"}
    wrong: list[str] = []
    for shown in PAGES:
        for path in shown.paths:
            place = f"{shown.method} {path}"
            door = Door(shown.method, path, frozenset())
            status = await house.knock(door, page)
            if shown.needs is not None and status not in (303, 302, 401, 403):
                wrong.append(f"{place}: a stranger got {status}")
            if shown.method == "POST" and shown.needs is not None:
                for who, person in (("user", user), ("administrator", boss)):
                    status = await house.submit(person, path)
                    if status != (404 if shown.needs == "admin" and who == "user" else 403):
                        wrong.append(f"{place}: a form without a token of a {who} got {status}")
            if shown.method == "GET" and shown.needs == "admin":
                status, _ = await user.ask("GET", address(path), headers=page)
                if status != 404:
                    wrong.append(f"{place}: a user got {status}")
                status, _ = await boss.ask("GET", address(path), headers=page)
                if status not in (200, 404):
                    wrong.append(f"{place}: an administrator got {status}")
    assert not wrong, "\n".join(wrong)


async def test_only_contents_may_be_large(house: House) -> None:
    """Nobody has megabytes of a form parsed, and the answer says that it is the route's own limit."""
    await house.gateway.get("/v1/models")
    routes = house.gateway.gateway.runtime.routes
    wide = {f"/v1{path}" for path in WIDE}
    wrong: list[str] = []
    small = 0
    for found in routes.documented():
        path = ("/v1" if found.api else "") + (found.operation.path or found.path)
        if found.operation.request is None or path in wide or ":" in path or path.startswith("/payments/"):
            continue
        small += 1
        name = {CHANNELS[scheme.name] for scheme in found.operation.auth if scheme is not None}
        credential = house.gateway.gateway.admin_secret() if "secret" in name else house.gateway.key
        headers = {"authorization": f"Bearer {credential}", "content-type": "application/json"}
        if name == {"session"}:
            person = await house.awake("ada", "user")
            headers = {"cookie": f"gateway_session={token_of(person)}", "x-csrf-token": person.csrf}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                found.method, house.gateway.url + address(path), json={"x": ["/*"] * 60_000}, headers=headers
            ) as answer,
        ):
            text = await answer.text()
        if answer.status != 413 or "this route takes" not in text:
            wrong.append(f"{found.method} {path}: {answer.status} {text[:200]}")
    assert not wrong, "\n".join(wrong)
    assert small > 20
