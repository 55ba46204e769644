"""Signing in to the console: passwords, links, sessions, forged requests, and what the log says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.stores import AccountChange, NewLink
from gateway.testing import RunningGateway, running_gateway

from .people_kit import PASSWORD, Browser, browser

CONFIG = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"price": {"input": 1, "output": 2}, "context": 8000, "max_output": 1000}},
    "default_model": "echo/echo",
    "console": {"sign_up": "open"},
    "credits": {"signup_grant": 5000},
}
HELLO = {"messages": [{"role": "user", "content": "Hello!"}]}
ADA = "ada@example.org"


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[Any]:
    """`house(n)` more browsers; `house.gateway`."""

    class House:
        gateway: RunningGateway

        async def __call__(self) -> Browser:
            return await stack.enter_async_context(browser(self.gateway))

    async with AsyncExitStack() as stack:
        found = House()
        found.gateway = await stack.enter_async_context(running_gateway(tmp_path, CONFIG))
        yield found


@pytest_asyncio.fixture
async def ada(house: Any) -> Browser:
    person = await house()
    await person.sign_up(ADA)
    return person


async def test_from_sign_up_to_sign_out(house: Any, ada: Browser) -> None:
    status, me = await ada.ask("GET", "/account/me")
    assert (status, me["name"], me["email"], me["role"], me["has_password"]) == (200, ADA, ADA, "user", True)
    assert (await ada.ask("GET", "/account/balance"))[1]["available"] == 5000
    status, answer = await ada.ask("POST", "/v1/chat/completions", HELLO)
    assert (status, answer["object"]) == (200, "chat.completion")
    other = await house()
    await other.sign_in(" ADA@Example.org ")
    assert other.csrf != ada.csrf
    assert (await ada.ask("POST", "/account/sign-out"))[0] == 200
    assert (await ada.ask("GET", "/account/me"))[0] == 401
    assert (await other.ask("GET", "/account/me"))[0] == 200


async def test_all_that_may_be_wrong_is_one_answer_after_one_hash(house: Any, ada: Browser) -> None:
    """An unknown name costs the same work as a known one, so its time tells nothing either."""
    hashed: list[str] = []
    passwords = house.gateway.gateway.passwords
    matches = passwords.matches

    async def counting(password: str, stored: str) -> bool:
        hashed.append(stored)
        return await matches(password, stored)

    passwords.matches = counting
    await house.gateway.gateway.stores.logins.set_login(house.gateway.account.id, email="off@example.org")
    disabled = await house()
    await disabled.sign_up("disabled@example.org")
    await house.gateway.gateway.stores.accounts.update_account(
        disabled.account, AccountChange(("disabled",), disabled=True)
    )
    person = await house()
    tries = [
        (ADA, "wrong password"),
        ("nobody@example.org", PASSWORD),
        ("no address", PASSWORD),
        ("off@example.org", ""),
        ("disabled@example.org", PASSWORD),
        (ADA, PASSWORD + " "),
        (ADA, "x" * 50_000),
    ]
    for email, password in tries:
        if not password:
            continue
        answer = await person.sign_in(email, password, 401)
        assert answer["error"]["message"] == "The e-mail address or the password is wrong."
    assert len(hashed) == len(tries) - 1
    assert (await disabled.ask("GET", "/account/me"))[0] == 401


async def test_an_account_without_a_password_is_entered_by_none(house: Any) -> None:
    await house.gateway.gateway.stores.logins.set_login(house.gateway.account.id, email="off@example.org")
    person = await house()
    await person.sign_in("off@example.org", "anything at all", 401)


async def test_tries_are_limited_by_name_and_by_address(house: Any, ada: Browser) -> None:
    person = await house()
    statuses = [(await person.ask("POST", "/account/sign-in", {"email": ADA, "password": "w" * 12}))[0]
                for _ in range(11)]  # fmt: skip
    # The sign-up of that address was a try, too.
    assert statuses == [401] * 9 + [429] * 2
    # Those that were counted: the sign-up and nine tries; a refused try counts nowhere.
    for number in range(10):
        await person.sign_in(f"somebody{number}@example.org", PASSWORD, 401)
    body = {"email": "more@example.org", "password": PASSWORD}
    status, headers, _ = await person.ask_whole("POST", "/account/sign-in", body)
    assert status == 429
    assert float(headers["retry-after"]) > 0


async def test_the_cookie_is_for_this_host_and_for_no_script(house: Any) -> None:
    person = await house()
    body = {"email": "eve@example.org", "password": PASSWORD}
    _, headers, _ = await person.ask_whole("POST", "/account/sign-up", body)
    cookie = headers["set-cookie"]
    assert cookie.startswith("gateway_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert headers["cache-control"] == "no-store"


async def test_over_tls_the_cookie_is_locked_to_the_host(tmp_path: Path) -> None:
    server = {"public_url": "https://llm.example.org"}
    async with running_gateway(tmp_path, {**CONFIG, "server": server}) as gateway, browser(gateway) as person:
        body = {"email": "eve@example.org", "password": PASSWORD}
        names = {"Host": "llm.example.org", "Origin": "https://llm.example.org"}
        _, headers, _ = await person.ask_whole("POST", "/account/sign-up", body, headers=names)
        cookie = headers["set-cookie"]
        assert cookie.startswith("__Host-session=")
        assert "Secure" in cookie
        stranger = {"Host": "llm.example.org", "Origin": "https://evil.example"}
        assert (await person.ask("POST", "/account/sign-in", body, headers=stranger))[0] == 403


@pytest.mark.parametrize(
    ("server", "console", "headers", "status"),
    [
        ({}, {}, {"Host": "llm.example.org"}, 403),
        ({}, {"plain_http": True}, {"Host": "llm.example.org"}, 200),
        ({}, {}, {"Host": "localhost:8080"}, 200),
        ({}, {}, {"Host": "llm.example.org", "X-Forwarded-Proto": "https"}, 403),
        ({"trusted_proxies": ["127.0.0.0/8"]}, {}, {"Host": "llm.example.org", "X-Forwarded-Proto": "https"}, 200),
        ({"public_url": "https://llm.example.org"}, {}, {"Host": "10.0.0.7:8080"}, 403),
    ],
)
async def test_no_password_is_typed_in_where_others_can_read_it(
    tmp_path: Path, server: Any, console: Any, headers: Any, status: int
) -> None:
    config = {**CONFIG, "server": server, "console": {"sign_up": "open", **console}}
    async with running_gateway(tmp_path, config) as gateway, browser(gateway) as person:
        body = {"email": "eve@example.org", "password": PASSWORD}
        sent = {"Origin": None, **headers}
        found, answer = await person.ask("POST", "/account/sign-up", body, headers=sent)
        assert found == status
        if status == 403:
            assert answer["error"]["code"] == "tls_required"


FORGED = [
    ({"X-CSRF-Token": None}, "bad_csrf_token"),
    ({"X-CSRF-Token": "x" * 43}, "bad_csrf_token"),
    ({"Origin": "http://evil.example"}, "wrong_origin"),
    ({"Origin": "null"}, "wrong_origin"),
    ({"Origin": None, "Sec-Fetch-Site": "cross-site"}, "wrong_origin"),
    ({"Origin": None, "Sec-Fetch-Site": "same-site"}, "wrong_origin"),
]


@pytest.mark.parametrize(("headers", "code"), FORGED)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/chat/completions", HELLO),
        ("POST", "/api/v1/responses", {"input": "Hi"}),
        ("POST", "/account/sign-out", None),
        ("POST", "/account/login", {"password": "another password"}),
        ("DELETE", "/account/sessions", None),
    ],
)
async def test_a_cookie_alone_changes_nothing(
    ada: Browser, method: str, path: str, body: Any, headers: Any, code: str
) -> None:
    status, answer = await ada.ask(method, path, body, headers=headers)
    assert (status, answer["error"]["code"]) == (403, code)
    assert (await ada.ask("GET", "/account/balance"))[1]["balance"] == 5000
    assert (await ada.ask("GET", "/account/me"))[0] == 200


async def test_the_token_of_one_session_is_no_good_for_another(house: Any, ada: Browser) -> None:
    other = await house()
    await other.sign_in(ADA)
    status, _ = await ada.ask("POST", "/account/sign-out", headers={"X-CSRF-Token": other.csrf})
    assert status == 403


async def test_what_a_session_opens_and_what_not(ada: Browser) -> None:
    assert (await ada.ask("GET", "/v1/models"))[0] == 200
    for method, path in (
        ("GET", "/v1/usage"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/conversations"),
        ("GET", "/admin/api/accounts"),
        ("GET", "/metrics"),
    ):
        status, _ = await ada.ask(method, path, {} if method == "POST" else None)
        assert status == {"/metrics": 200, "/admin/api/accounts": 403}.get(path, 401), path


async def test_a_key_cannot_do_what_people_do(house: Any, ada: Browser) -> None:
    key = {"Authorization": f"Bearer {house.gateway.key}"}
    assert (await ada.ask("GET", "/account/me", headers=key))[1]["name"] == "test", "the key says who, not the cookie"
    for method, path, body in (
        ("GET", "/account/sessions", None),
        ("DELETE", "/account/sessions", None),
        ("POST", "/account/login", {"password": "another password"}),
        ("POST", "/account/sign-out", None),
    ):
        status, answer = await ada.ask(method, path, body, headers=key)
        assert (status, answer["error"]["code"]) == (403, "session_required")


async def test_a_password_is_changed_only_by_who_knows_it_and_ends_the_other_sessions(house: Any, ada: Browser) -> None:
    other = await house()
    await other.sign_in(ADA)
    body = {"current_password": "wrong password", "password": "another password"}
    assert (await ada.ask("POST", "/account/login", body))[0] == 403
    assert (await other.ask("GET", "/account/me"))[0] == 200
    body["current_password"] = PASSWORD
    assert (await ada.ask("POST", "/account/login", body))[0] == 200
    assert (await ada.ask("GET", "/account/me"))[0] == 200
    assert (await other.ask("GET", "/account/me"))[0] == 401
    await other.sign_in(ADA, PASSWORD, 401)
    await other.sign_in(ADA, "another password")


@pytest.mark.parametrize("password", ["short", "x" * 201, "aaaaaaaaaaaa", "lovelace@example.org", ""])
async def test_bad_passwords_are_refused_everywhere(house: Any, ada: Browser, password: str) -> None:
    person = await house()
    answer = await person.sign_up("lovelace@example.org", password, 400)
    assert answer["error"]["param"] == "password"
    body = {"current_password": PASSWORD, "password": password, "email": "lovelace@example.org"}
    assert (await ada.ask("POST", "/account/login", body))[0] == 400
    assert (await ada.ask("GET", "/account/me"))[1]["email"] == ADA


async def test_sessions_are_listed_and_ended(house: Any, ada: Browser) -> None:
    other, eve = await house(), await house()
    await other.sign_in(ADA)
    await eve.sign_up("eve@example.org")
    _, listed = await ada.ask("GET", "/account/sessions")
    assert [one["current"] for one in listed["data"]] == [False, True]
    assert listed["data"][0]["remote"] == "127.0.0.1"
    assert "Python" in listed["data"][0]["agent"]
    assert ada.cookie() not in str(listed)
    theirs = listed["data"][0]["id"]
    assert (await eve.ask("DELETE", f"/account/sessions/{theirs}"))[0] == 404
    assert (await other.ask("GET", "/account/me"))[0] == 200
    assert (await ada.ask("DELETE", f"/account/sessions/{theirs}"))[0] == 200
    assert (await other.ask("GET", "/account/me"))[0] == 401
    await other.sign_in(ADA)
    assert (await other.ask("DELETE", "/account/sessions"))[1]["ended"] == 2
    assert (await ada.ask("GET", "/account/me"))[0] == 401
    assert (await eve.ask("GET", "/account/me"))[0] == 200


async def test_signing_in_again_ends_the_browsers_old_session(house: Any, ada: Browser) -> None:
    before = ada.cookie()
    await ada.sign_in(ADA)
    assert ada.cookie() != before
    assert await house.gateway.gateway.stores.sessions.find_session(before) is None


async def test_an_invitation_makes_one_account(house: Any) -> None:
    logins = house.gateway.gateway.stores.logins
    _, token = await logins.create_link(
        NewLink("invitation", lifetime=60, email="boss@example.org", role="admin", credits=7)
    )
    person = await house()
    await person.sign_up("eve@example.org", PASSWORD, 404, invitation=token)
    await person.sign_up("boss@example.org", invitation=token)
    assert (await person.ask("GET", "/account/me"))[1]["role"] == "admin"
    assert (await person.ask("GET", "/account/balance"))[1]["balance"] == 5007
    # Not even an administrator's session opens what needs the secret.
    assert (await person.ask("GET", "/account/sessions"))[0] == 200
    await person.sign_up("boss2@example.org", PASSWORD, 404, invitation=token)


@pytest.mark.parametrize(("rule", "status", "invited"), [("open", 200, 200), ("invite", 403, 200), ("off", 403, 200)])
async def test_who_may_make_an_account(tmp_path: Path, rule: str, status: int, invited: int) -> None:
    async with running_gateway(tmp_path, {**CONFIG, "console": {"sign_up": rule}}) as gateway:
        async with browser(gateway) as person:
            await person.sign_up("eve@example.org", PASSWORD, status)
            _, token = await gateway.gateway.stores.logins.create_link(NewLink("invitation", lifetime=60))
            await person.sign_up("bob@example.org", PASSWORD, invited, invitation=token)


async def test_links_sign_in_once_and_set_passwords_once(house: Any, ada: Browser) -> None:
    logins = house.gateway.gateway.stores.logins
    _, token = await logins.create_link(NewLink("sign_in", lifetime=60, account_id=ada.account))
    person = await house()
    await person.enter("/account/sign-in", {"link": token})
    assert person.account == ada.account
    await person.enter("/account/sign-in", {"link": token}, 404)
    _, token = await logins.create_link(NewLink("password", lifetime=60, account_id=ada.account))
    await person.enter("/account/password/reset", {"link": token, "password": "short"}, 400)
    await person.enter("/account/password/reset", {"link": token, "password": "yet another one"})
    assert (await ada.ask("GET", "/account/me"))[0] == 401
    assert (await person.ask("GET", "/account/me"))[0] == 200
    await person.enter("/account/password/reset", {"link": token, "password": "yet another two"}, 404)
    await ada.sign_in(ADA, "yet another one")


async def test_a_disabled_account_is_out_at_once(house: Any, ada: Browser) -> None:
    accounts = house.gateway.gateway.stores.accounts
    await accounts.update_account(ada.account, AccountChange(("disabled",), disabled=True))
    assert (await ada.ask("GET", "/account/me"))[0] == 401
    status, answer = await ada.ask("POST", "/v1/chat/completions", HELLO)
    assert (status, answer["error"]["code"]) == (401, "session_ended")


async def test_the_log_tells_no_password_no_token_and_no_address(house: Any, ada: Browser) -> None:
    await ada.ask("POST", "/account/login", {"current_password": PASSWORD, "password": "another password"})
    await (await house()).sign_in("mistyped-secret@example.org", "my other secret", 401)
    _, token = await house.gateway.gateway.stores.logins.create_link(
        NewLink("sign_in", lifetime=60, account_id=ada.account)
    )
    await (await house()).enter("/account/sign-in", {"link": token})
    text = house.gateway.stream.getvalue()
    assert "signed in" in text
    for secret in (PASSWORD, "another password", "my other secret", "mistyped-secret", token, ada.cookie(), ada.csrf):
        assert secret not in text
    entries = await house.gateway.gateway.stores.audit.entries()
    assert [entry.action for entry in entries] == ["password.change", "account.sign_up"]
    assert PASSWORD not in str(entries)


async def test_calls_of_a_session_are_the_accounts_and_no_keys(house: Any, ada: Browser) -> None:
    _, answer = await ada.ask("POST", "/v1/chat/completions", HELLO)
    stores = house.gateway.gateway.stores
    await stores.ledger.void("flush")
    [row] = await stores.usage.recent(ada.account)
    assert (row.row.key_id, row.credits) == ("", answer["usage"]["cost"])
    assert await stores.check() == []


async def test_where_the_console_is_off_nobody_signs_in(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, {**CONFIG, "console": {"enabled": False}}) as gateway:
        async with browser(gateway) as person:
            await person.sign_in(ADA, PASSWORD, 404)
            _, token = await gateway.gateway.stores.logins.create_link(NewLink("invitation", lifetime=60))
            await person.sign_up(ADA, PASSWORD, 404, invitation=token)
