"""The pages of an account, complete without scripts: signing in, keys, usage, credits, settings."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.call import Usage
from gateway.stores import KeySettings, NewLink, UsageRow
from gateway.testing import RunningGateway

from .conftest import BROWSER, CONFIG, Seen, Serve

PASSWORD = "correct horse battery"
EVIL = "<script>alert(1)</script>"


class Reader:
    """A browser without scripts: keeps cookies, follows nothing by itself, and fills in forms as they stand."""

    def __init__(self, gateway: RunningGateway, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session

    async def get(self, path: str) -> Seen:
        return await self._ask("GET", path)

    async def post(self, path: str, *, page: str = "", **fields: str) -> Seen:
        """Send the form of a page (`path` itself, where none is named) with its hidden fields and these."""
        shown = await self.get(page or path)
        token = re.search(r'name="csrf" value="([^"]*)"', shown.text)
        csrf = {"csrf": token[1]} if token else {}
        return await self._ask("POST", path, {**csrf, **fields})

    async def _ask(self, method: str, path: str, data: Any = None) -> Seen:
        headers = {"accept": BROWSER, "origin": self.gateway.url}
        async with self.session.request(
            method, self.gateway.url + path, data=data, headers=headers, allow_redirects=False
        ) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Seen(answer.status, found, await answer.text())

    async def sign_up(self, email: str) -> None:
        seen = await self.post("/signup", email=email, password=PASSWORD)
        assert (seen.status, seen.headers["location"]) == (303, "/account"), seen.text


@asynccontextmanager
async def reader(gateway: RunningGateway) -> AsyncIterator[Reader]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Reader(gateway, session)


@pytest_asyncio.fixture
async def gateway(tmp_path: Path, serve: Serve) -> AsyncIterator[RunningGateway]:
    config = {**CONFIG, "console": {"sign_up": "open"}, "credits": {"signup_grant": 5000}}
    async with serve(tmp_path, config) as running:
        yield running


@pytest_asyncio.fixture
async def ada(gateway: RunningGateway) -> AsyncIterator[Reader]:
    async with reader(gateway) as person:
        await person.sign_up("ada@example.org")
        yield person


SIGNED_IN = ("/account", "/settings/api-keys", "/api", "/usage", "/credits", "/settings")


async def test_strangers_are_led_to_the_sign_in_and_back(gateway: RunningGateway) -> None:
    async with reader(gateway) as person:
        await person.sign_up("eve@example.org")
        await person.post("/logout", page="/account")
        for path in (*SIGNED_IN, "/usage?days=7"):
            seen = await person.get(path)
            assert seen.status == 303
            assert seen.headers["location"].startswith("/login?next=")
        seen = await person.post(
            "/login", page=seen.headers["location"], email="eve@example.org", password=PASSWORD, next="/usage?days=7"
        )
        assert (seen.status, seen.headers["location"]) == (303, "/usage?days=7")


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\\..\\b", "", "/\n/x"]
)
async def test_the_sign_in_leads_nowhere_else(gateway: RunningGateway, ada: Reader, to: str) -> None:
    async with reader(gateway) as person:
        seen = await person.post("/login", email="ada@example.org", password=PASSWORD, next=to)
        assert (seen.status, seen.headers["location"]) == (303, "/account")


async def test_a_wrong_password_is_told_beside_the_form(gateway: RunningGateway, ada: Reader) -> None:
    async with reader(gateway) as person:
        seen = await person.post("/login", email="ada@example.org", password="wrong password")
        assert seen.status == 401
        assert "The e-mail address or the password is wrong." in seen.text
        assert 'value="ada@example.org"' in seen.text
        assert "wrong password" not in seen.text
        assert seen.headers["cache-control"] == "no-store" or "private" in seen.headers["cache-control"]


async def test_a_key_is_shown_once_and_works(gateway: RunningGateway, ada: Reader) -> None:
    fields = {"name": EVIL, "expires": "30", "monthly_limit": "1 000", "requests_per_minute": "", "ip_allow": "",
              "models": "echo/*\necho/echo"}  # fmt: skip
    seen = await ada.post("/settings/api-keys", **fields)
    assert seen.status == 200
    assert seen.headers["cache-control"] == "no-store"
    plain = re.search(r"mghp_\w{30}_\w{6}", seen.text)
    assert plain is not None
    assert f"{gateway.url}/v1" in seen.text
    assert "I have stored it" in seen.text
    assert (
        await gateway.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}, key=plain[0])
    )[0] == 200
    listed = await ada.get("/settings/api-keys")
    assert plain[0] not in listed.text
    assert EVIL not in listed.text
    assert EVIL in unescape(listed.text)
    [key] = [one for one in await gateway.gateway.stores.keys.list_keys() if one.name == EVIL]
    assert (key.monthly_limit, key.models) == (1000, ("echo/*", "echo/echo"))
    assert key.expires_at is not None
    assert abs(key.expires_at - time.time() - 30 * 86_400) < 100
    edited = await ada.post(f"/settings/api-keys/{key.id}", name="desk", expires="keep", monthly_limit="", models="")
    assert (edited.status, edited.headers["location"]) == (303, "/settings/api-keys")
    changed = await gateway.gateway.stores.keys.get_key(key.id)
    assert changed is not None
    assert (changed.name, changed.monthly_limit, changed.models) == ("desk", None, None)
    assert changed.expires_at == key.expires_at
    rotated = await ada.post(f"/settings/api-keys/{key.id}/rotate", page=f"/settings/api-keys/{key.id}", grace="0")
    assert "mghp_" in rotated.text
    assert plain[0] not in rotated.text
    revoked = await ada.post(f"/settings/api-keys/{key.id}/revoke", page="/settings/api-keys")
    assert revoked.status == 303
    assert "1 revoked or expired" in (await ada.get("/settings/api-keys")).text


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("monthly_limit", "lots", "Write a whole number"),
        ("monthly_limit", "9" * 18, "monthly_limit"),
        ("models", "no/*,sp ace\x01", "Expected a model id"),
        ("ip_allow", "10.0.0.1/8", "Expected an address or a network"),
        ("expires", "31", "Choose one of the list"),
        ("requests_per_minute", "0", "Expected an integer"),
        ("name", "x" * 101, "Expected 0 to 100"),
    ],
)
async def test_a_fault_stands_beside_its_field(ada: Reader, field: str, value: str, said: str) -> None:
    seen = await ada.post("/settings/api-keys", **{"name": "kept", field: value})
    assert seen.status == 400
    fault = re.search(r'<strong class="fault">([^<]*)</strong>', seen.text)
    assert fault is not None
    if said != field:
        assert said in unescape(fault[1])
    if field != "name":
        assert 'value="kept"' in seen.text, "what was typed in stays"


async def test_what_is_anothers_is_not_there(gateway: RunningGateway, ada: Reader) -> None:
    stores = gateway.gateway.stores
    key, _ = await stores.keys.create_key(gateway.account.id, KeySettings(name="somebody elses"))
    session, token = await stores.sessions.open_session(gateway.account.id, lifetime=100)
    for path, page in (
        (f"/settings/api-keys/{key.id}", "/settings"),
        (f"/settings/api-keys/{key.id}/revoke", "/settings"),
        (f"/settings/api-keys/{key.id}/rotate", "/settings"),
        (f"/settings/sessions/{session.id}/end", "/settings"),
    ):
        seen = await ada.post(path, page=page, name="mine", grace="0")
        assert seen.status == 404, path
        assert "somebody elses" not in seen.text
    assert (await ada.get(f"/settings/api-keys/{key.id}")).status == 404
    assert await stores.keys.get_key(key.id) == key
    assert await stores.sessions.find_session(token) is not None
    topup = await stores.topups.open(gateway.account.id, "x", currency="usd", amount=500, credits=5)
    assert topup.id not in (await ada.get(f"/credits?topup={topup.id}")).text


FORMS = (
    ("/settings/api-keys", {"name": "forged"}),
    ("/settings", {"email": "new@example.org", "current_password": PASSWORD}),
    ("/settings/sessions/end", {}),
    ("/credits/redeem", {"code": "AAAAA-AAAAA-AAAAA-AAAAA"}),
    ("/credits/buy", {"method": "stripe", "amount_usd": "20"}),
    ("/logout", {}),
)


@pytest.mark.parametrize(("path", "fields"), FORMS)
async def test_forged_forms_change_nothing(gateway: RunningGateway, ada: Reader, path: str, fields: Any) -> None:
    async with reader(gateway) as other:
        await other.sign_up("eve@example.org")
        theirs = re.search(r'name="csrf" value="([^"]*)"', (await other.get("/settings")).text)
        assert theirs is not None
    for token in ("", "x" * 43, theirs[1]):
        seen = await ada._ask("POST", path, {"csrf": token, **fields})
        assert seen.status == 403, path
    assert (await ada.get("/settings")).status == 200
    assert "forged" not in (await ada.get("/settings/api-keys")).text


async def test_hostile_names_are_text_everywhere(gateway: RunningGateway, ada: Reader) -> None:
    stores = gateway.gateway.stores
    account = await stores.accounts.find_account("ada@example.org")
    assert account is not None
    key, _ = await stores.keys.create_key(account.id, KeySettings(name='"><img src=x>', monthly_limit=5))
    for number in range(3):
        stores.usage.record(
            UsageRow(
                f"req_{number}\"'><b>", account.id, key.id, f"{EVIL}/{number}", EVIL, "/v1/chat/completions", 404,
                Usage(5, 5), "void", int(time.time()), None, 12, f"{EVIL}_code", (("user", f"{EVIL}{number}"),),
            )
        )  # fmt: skip
    _, token = await stores.sessions.open_session(account.id, lifetime=100, remote="127.0.0.1", agent=EVIL)
    await stores.ledger.void("flush")
    for path in (*SIGNED_IN, f"/settings/api-keys/{key.id}", f"/usage?key={key.id}", "/usage?model=%3Cscript%3E"):
        seen = await ada.get(path)
        assert seen.status == 200, path
        assert EVIL not in seen.text, path
        assert "<img" not in seen.text, path
        assert "'><b>" not in seen.text, path
    assert EVIL in unescape((await ada.get("/usage")).text)
    assert token not in (await ada.get("/settings")).text


def link(text: str, words: str) -> str:
    """The address that a page has under these words."""
    found = re.search(rf'href="([^"]+)">{words}</a>', text)
    assert found is not None, words
    return unescape(found[1])


async def test_usage_is_read_in_pages_and_its_view_stands_in_the_address(gateway: RunningGateway, ada: Reader) -> None:
    stores = gateway.gateway.stores
    account = await stores.accounts.find_account("ada@example.org")
    assert account is not None
    for number in range(120):
        stores.usage.record(
            UsageRow(
                f"req_{number:03d}", account.id, "", "echo/echo", "echo/echo", "/v1/chat/completions",
                500 if number == 7 else 200, Usage(5, 5), "provider", int(time.time()), 1, 2,
            )
        )  # fmt: skip
    await stores.ledger.void("flush")

    def rows(text: str) -> list[str]:
        return re.findall(r'<tr title="(req_\d+)"', text)

    first = (await ada.get("/usage")).text
    assert rows(first) == [f"req_{n:03d}" for n in range(119, 69, -1)]
    second = (await ada.get(link(first, "Older"))).text
    assert rows(second) == [f"req_{n:03d}" for n in range(69, 19, -1)]
    third = (await ada.get(link(second, "Older"))).text
    assert rows(third) == [f"req_{n:03d}" for n in range(19, -1, -1)]
    assert ">Older</a>" not in third
    assert rows((await ada.get(link(third, "Newer"))).text) == rows(second)
    assert rows((await ada.get(link(second, "Newer"))).text) == rows(first)
    failed = (await ada.get(link(first, "Only failures"))).text
    assert rows(failed) == ["req_007"]
    assert rows((await ada.get("/usage?key=console&days=7")).text) == rows(first)
    table = await ada.get(link(failed, "CSV"))
    assert table.text.count("\r\n") == 2
    assert (await ada.get(link(first, "Days as CSV"))).text.startswith("day,credits,requests")
    for query in ("days=x", "start=2026-13-01", "before=-1"):
        assert (await ada.get("/usage?" + query)).status == 400


async def test_usage_is_told_apart_by_end_users(gateway: RunningGateway, ada: Reader) -> None:
    stores = gateway.gateway.stores
    account = await stores.accounts.find_account("ada@example.org")
    assert account is not None
    key, plain = await stores.keys.create_key(account.id, KeySettings())
    chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    assert "By end user" not in (await ada.get("/usage")).text
    for user in ("zoe & co", "zoe & co", "max", None):
        await gateway.post("/v1/chat/completions", chat | ({"user": user} if user else {}), key=plain)
    for path in ("/usage", f"/usage?key={key.id}"):
        text = (await ada.get(path)).text
        part = text[text.index("By end user") : text.index('id="requests-part"')]
        assert re.findall(r'class="num">(\d)</td>', part) == ["2", "1", "1"]
        assert "none named" in part
        found = re.search(r'href="([^"]+)">zoe &amp; co</a>', part)
        assert found is not None
        only = (await ada.get(unescape(found[1]))).text
        assert only.count('<tr title="req_') == 2
        assert "by user zoe &amp; co" in only
        table = re.search(r'href="([^"]+)">All as CSV</a>', part)
        assert table is not None
        assert (await ada.get(unescape(table[1]))).text.splitlines()[1].startswith("zoe & co,")
    assert "By end user" not in (await ada.get("/usage?key=console")).text


async def test_several_keys_are_compared(gateway: RunningGateway, ada: Reader) -> None:
    stores = gateway.gateway.stores
    account = await stores.accounts.find_account("ada@example.org")
    assert account is not None
    chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    spent: dict[str, int] = {}
    for name in ("one", "two", "three"):
        key, plain = await stores.keys.create_key(account.id, KeySettings(name=name))
        _, headers, _ = await gateway.post("/v1/chat/completions", chat, key=plain)
        spent[key.id] = int(headers["x-gateway-cost"])
    first, second, _ = spent
    text = (await ada.get(f"/usage?key={first}&key={second}")).text
    assert "Spent by 2 keys" in text
    assert f"<dd>{spent[first] + spent[second]:,}<" in text
    assert text.count('class="legend"') == 1
    shown = re.findall(r'data-label="Key"><div>([^<]+)<', text)
    assert sorted(shown) == ["one", "two"], "the calls are those of the keys, too"
    assert "Requests of one and two" in text
    assert "Days as CSV" not in text, "that table is of one key, or of all"
    table = (await ada.get(link(text, "CSV"))).text
    assert sorted(row["key_id"] for row in csv.DictReader(io.StringIO(table))) == sorted([first, second])
    assert "Spent by 1 key" in (await ada.get(f"/usage?key={first}")).text
    assert (await ada.get("/usage?key=key_of_somebody_else")).status == 200


async def test_vouchers_and_orders(gateway: RunningGateway, ada: Reader) -> None:
    [code] = await gateway.gateway.stores.ledger.create_vouchers(1, 700)
    assert "Credits are not sold here" in (await ada.get("/credits")).text
    seen = await ada.post("/credits/redeem", page="/credits", code="AAAAA-AAAAA-AAAAA-AAAAA")
    assert seen.status == 400
    assert "unknown, used or expired" in seen.text
    seen = await ada.post("/credits/redeem", page="/credits", code=code)
    assert (seen.status, seen.headers["location"]) == (303, "/credits")
    shown = (await ada.get("/credits")).text
    assert "700 credits were added." in shown
    assert "5,700" in shown


async def test_a_password_and_sessions_are_changed_under_settings(gateway: RunningGateway, ada: Reader) -> None:
    async with reader(gateway) as other:
        await other.post("/login", email="ada@example.org", password=PASSWORD)
        seen = await ada.post("/settings", email="ada@example.org", password="another password", current_password="no")
        assert seen.status == 403
        assert "This is not the present password." in seen.text
        seen = await ada.post(
            "/settings", email="ada@example.org", password="another password", current_password=PASSWORD
        )
        assert seen.status == 303
        assert (await other.get("/account")).status == 303
        assert (await ada.get("/account")).status == 200
        await other.post("/login", email="ada@example.org", password="another password")
        listed = (await ada.get("/settings")).text
        ends = re.findall(r'action="(/settings/sessions/sess_\w+/end)"', listed)
        assert len(ends) == 2
        assert (await ada.post(ends[0], page="/settings")).headers["location"] == "/settings"
        assert (await other.get("/account")).status == 303
        seen = await ada.post("/settings/sessions/end", page="/settings")
        assert seen.headers["location"] == "/login"
        assert (await ada.get("/account")).status == 303


async def test_links_are_pages_with_a_button_and_used_up_by_it_alone(gateway: RunningGateway) -> None:
    logins = gateway.gateway.stores.logins
    account = gateway.account.id
    async with reader(gateway) as person:
        _, token = await logins.create_link(NewLink("sign_in", 100, account))
        for _ in range(3):
            assert "It works once" in (await person.get(f"/sign-in/{token}")).text
        seen = await person.post(f"/sign-in/{token}")
        assert (seen.status, seen.headers["location"]) == (303, "/settings"), "no password yet"
        assert (await person.get("/settings")).status == 200
        assert (await person.get(f"/sign-in/{token}")).status == 404
        _, token = await logins.create_link(NewLink("password", 100, account))
        seen = await person.post(f"/reset/{token}", email="test@example.org", password="short")
        assert seen.status == 400
        seen = await person.post(f"/reset/{token}", email="test@example.org", password=PASSWORD)
        assert (seen.status, seen.headers["location"]) == (303, "/account")
        _, token = await logins.create_link(NewLink("invitation", 100, email="bob@example.org", credits=50))
        await person.post("/logout", page="/account")
        assert "bob@example.org" in (await person.get(f"/invite/{token}")).text
        seen = await person.post(f"/invite/{token}", password=PASSWORD)
        assert (seen.status, seen.headers["location"]) == (303, "/account")
        assert "5,050" in (await person.get("/account")).text
        for path in (f"/invite/{token}", "/reset/none", "/sign-in/none", "/invite/none"):
            assert (await person.get(path)).status == 404
    assert token not in gateway.stream.getvalue()


async def test_a_team_behind_one_address_opens_its_invitations_while_guessing_is_slowed_down(
    gateway: RunningGateway,
) -> None:
    logins = gateway.gateway.stores.logins
    tokens = [(await logins.create_link(NewLink("invitation", 100, email=f"{n}@example.org")))[1] for n in range(12)]
    for token in tokens:
        async with reader(gateway) as person:
            assert (await person.get(f"/invite/{token}")).status == 200
            assert (await person.post(f"/invite/{token}", password=PASSWORD)).status == 303
    async with reader(gateway) as guesser:
        answers = [(await guesser.get(f"/invite/guess-{n}")).status for n in range(20)]
        assert set(answers) == {404, 429}
        assert answers == sorted(answers)


async def test_without_tls_no_password_is_asked_for(gateway: RunningGateway) -> None:
    for path in ("/login", "/signup"):
        async with gateway.session.get(
            gateway.url + path, headers={"accept": BROWSER, "host": "llm.example.org"}
        ) as answer:
            text = await answer.text()
            assert "was not loaded over TLS" in text
            assert 'type="password"' not in text
