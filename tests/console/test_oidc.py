"""Signing in by another service, with a real one beside: who is let in, and what is believed of what it says."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from gateway.errors import ConfigFault
from gateway.http.api.account.oidc import OpenIdConnect
from gateway.stores import AccountChange
from gateway.testing import RunningGateway

from .conftest import BROWSER, CONFIG, Seen, Serve
from .oidc_provider import CLIENT, SECRET, Provider, provider

Start = Callable[..., Awaitable["House"]]


class House:
    """A gateway, the service, and one browser."""

    def __init__(self, gateway: RunningGateway, service: Provider, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.service = service
        self.session = session

    async def ask(self, url: str, method: str = "GET", **more: Any) -> Seen:
        url = url if url.startswith("http") else self.gateway.url + url
        async with self.session.request(
            method, url, headers={"accept": BROWSER}, allow_redirects=False, **more
        ) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Seen(answer.status, found, await answer.text())

    async def to_service(self, path: str = "/login/oidc") -> str:
        """The address that the service sends the browser back to."""
        seen = await self.ask(path)
        assert seen.status == 303, seen.text
        assert seen.headers["location"].startswith(self.service.url + "/authorize?tenant=1&")
        assert "HttpOnly" in seen.headers["set-cookie"]
        seen = await self.ask(seen.headers["location"])
        return seen.headers["location"]

    async def sign_in(self, path: str = "/login/oidc") -> Seen:
        return await self.ask(await self.to_service(path))

    async def name(self) -> str | None:
        async with self.session.get(self.gateway.url + "/account/me") as answer:
            return (await answer.json())["name"] if answer.status == 200 else None


@pytest_asyncio.fixture
async def start(tmp_path: Path, serve: Serve) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def run(**more: Any) -> House:
            service = await stack.enter_async_context(provider())
            oidc = {"issuer": service.url, "client_id": CLIENT, "client_secret": SECRET, "name": "House ID", **more}
            console = {"oidc": oidc}
            config = {**CONFIG, "console": console, "credits": {"signup_grant": 70}}
            gateway = await stack.enter_async_context(serve(tmp_path, config))
            jar = aiohttp.CookieJar(unsafe=True)
            session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
            return House(gateway, service, session)

        yield run


async def test_the_first_time_makes_an_account_and_the_second_finds_it(start: Start) -> None:
    house = await start()
    assert "Sign in by House ID" in (await house.ask("/login")).text
    seen = await house.sign_in("/login/oidc?next=/usage")
    assert (seen.status, seen.headers["location"]) == (303, "/usage")
    assert await house.name() == "ada@example.org"
    [account] = [one for one in await house.gateway.gateway.stores.accounts.list_accounts() if one.name != "test"]
    assert account.balance == 70
    house.session.cookie_jar.clear()
    house.service.person["email"] = "lovelace@example.org"
    assert (await house.sign_in()).headers["location"] == "/account"
    assert await house.name() == "ada@example.org", "known by the subject, not by the address"
    assert SECRET not in house.gateway.stream.getvalue()
    assert len(house.service.asked[0]["code_verifier"]) >= 43


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"iss": "https://evil.example"}, "RS256"),
    ({"aud": "somebody-else"}, "RS256"),
    ({"aud": ["gateway", "other"], "azp": "other"}, "RS256"),
    ({"nonce": "replayed"}, "RS256"),
    ({"nonce": None}, "RS256"),
    ({"exp": int(time.time()) - 1000}, "RS256"),
    ({"sub": None}, "RS256"),
    ({}, "HS256"),
    ({}, "none"),
]


@pytest.mark.parametrize(("change", "algorithm"), WRONG)
async def test_a_token_that_does_not_hold_lets_nobody_in(start: Start, change: Any, algorithm: str) -> None:
    house = await start()
    house.service.change, house.service.algorithm = change, algorithm
    seen = await house.sign_in()
    assert seen.status == 502
    assert "did not answer as it should" in seen.text
    assert await house.name() is None
    assert len(await house.gateway.gateway.stores.accounts.list_accounts()) == 1


async def test_a_key_of_the_service_may_change(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[OpenIdConnect] = []

    class Known(OpenIdConnect):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr("gateway.console.pages.oidc.OpenIdConnect", Known)
    house = await start()
    await house.sign_in()
    house.session.cookie_jar.clear()
    house.service.new_key()
    assert (await house.sign_in()).status == 502, "keys are not read again within a minute: strangers' tokens are cheap"
    [service] = made
    service._keys_at -= 61
    assert (await house.sign_in()).status == 303


async def test_what_was_not_begun_in_this_browser_is_not_finished(start: Start) -> None:
    house = await start()
    back = await house.to_service()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as other:
        mine, house.session = house.session, other
        seen = await house.ask(back)
        assert (seen.status, await house.name()) == (400, None)
        house.session = mine
    state = parse_qs(urlsplit(back).query)["state"][0]
    seen = await house.ask(back.replace(state, "x" * len(state)))
    assert (seen.status, await house.name()) == (400, None)
    assert (await house.ask(back)).status == 303
    mine.cookie_jar.clear()
    assert (await house.ask(back)).status == 400, "the cookie is gone, and the code was used"


async def test_a_refusal_over_there_is_told(start: Start) -> None:
    house = await start()
    state = parse_qs(urlsplit(await house.to_service()).query)["state"][0]
    seen = await house.ask(f"/login/oidc/callback?error=access_denied&error_description=%3Cb%3E&state={state}")
    assert seen.status == 403
    assert "did not let you in" in seen.text
    assert "<b>" not in seen.text


async def test_an_address_is_never_enough_to_enter_an_account(start: Start) -> None:
    house = await start()
    logins = house.gateway.gateway.stores.logins
    await logins.set_login(house.gateway.account.id, email="ada@example.org", password_hash="x")
    seen = await house.sign_in()
    assert seen.status == 409
    assert "connect this service under Settings" in seen.text
    assert await house.name() is None


async def test_an_account_is_connected_from_its_own_settings_only(start: Start) -> None:
    house = await start(create_accounts=False)
    seen = await house.sign_in()
    assert (seen.status, await house.name()) == (403, None)
    stores = house.gateway.gateway.stores
    _, token = await stores.sessions.open_session(house.gateway.account.id, lifetime=1000)
    house.session.cookie_jar.update_cookies({"gateway_session": token}, URL(house.gateway.url))
    assert (await house.ask("/login/oidc?connect=1")).status == 403
    settings = (await house.ask("/settings")).text
    link = next(part for part in settings.split('"') if part.startswith("/login/oidc?connect="))
    seen = await house.sign_in(link)
    assert (seen.status, seen.headers["location"]) == (303, "/settings")
    house.session.cookie_jar.clear()
    await house.sign_in()
    assert await house.name() == "test"
    change = AccountChange(("disabled",), disabled=True)
    await stores.accounts.update_account(house.gateway.account.id, change)
    house.session.cookie_jar.clear()
    assert (await house.sign_in()).status == 403


@pytest.mark.parametrize(
    ("person", "status"),
    [
        ({"email": "ada@example.org", "email_verified": True}, 303),
        ({"email": "ada@Example.org", "email_verified": "true"}, 303),
        ({"email": "ada@example.org", "email_verified": False}, 403),
        ({"email": "ada@example.org"}, 403),
        ({"email": "ada@evil.example", "email_verified": True}, 403),
        ({"email": "ada@sub.example.org", "email_verified": True}, 403),
    ],
)
async def test_only_verified_addresses_of_a_domain(start: Start, person: Any, status: int) -> None:
    house = await start(domains=["example.org"])
    house.service.person = {"sub": "7", **person}
    assert (await house.sign_in()).status == status


async def test_the_address_may_be_told_by_the_other_endpoint(start: Start) -> None:
    house = await start()
    house.service.tells_email = False
    assert (await house.sign_in()).status == 303
    assert await house.name() == "ada@example.org"


async def test_a_service_that_is_away_is_told_and_the_page_stays(start: Start) -> None:
    house = await start(issuer="http://127.0.0.1:9")
    seen = await house.ask("/login/oidc")
    assert seen.status == 502
    assert 'type="password"' in seen.text, "one can still sign in by a password"
    [line] = [line for line in house.gateway.log if "another service failed" in line["message"]]
    assert "127.0.0.1:9/.well-known/openid-configuration" in line["detail"]


@pytest.mark.parametrize(
    ("oidc", "said"),
    [
        ({"issuer": "http://id.example.org", "client_id": "x"}, "https"),
        ({"issuer": "https://id.example.org"}, "client_id"),
        ({"issuer": "https://id.example.org/?x=1", "client_id": "x"}, "issuer"),
    ],
)
async def test_settings_that_cannot_be_meant_stop_the_start(tmp_path: Path, serve: Serve, oidc: Any, said: str) -> None:
    with pytest.raises(ConfigFault, match=said):
        async with serve(tmp_path, {**CONFIG, "console": {"oidc": oidc}}):
            pass


async def test_without_a_service_there_is_no_such_page(tmp_path: Path, serve: Serve) -> None:
    async with serve(tmp_path, CONFIG) as gateway:
        for path in ("/login/oidc", "/login/oidc/callback?state=x&code=y"):
            assert (await gateway.get(path, key=""))[0] == 404
