"""Administrators' pages: who sees them, every act by its form, hostile texts, and whether all can use them."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser
from yarl import URL

from gateway.call import Usage
from gateway.console.pages.admin import PAGES
from gateway.stores import Account, KeySettings, UsageRow
from gateway.testing import RunningGateway

from .chromium import chromium
from .conftest import BROWSER, CONFIG, Seen, Serve
from .looking import looking
from .visitors import COOKIE, Person, new_person, sign_in

__all__ = ["chromium"]

EVIL = '"><script>boom()</script><img src=x onerror=boom()>'


class House:
    """A gateway with an administrator and a user whose every text is hostile."""

    def __init__(self, running: RunningGateway, admin: Person, user: Person, request_id: str) -> None:
        self.running = running
        self.admin = admin
        self.user = user
        self.request_id = request_id

    @property
    def stores(self) -> Any:
        return self.running.gateway.stores

    async def ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, *, person: Person | None = None, **more: str
    ) -> Seen:
        """As a browser of this person does; redirects are not followed. more: headers."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            if person is not None:
                session.cookie_jar.update_cookies({COOKIE: person.token}, URL(self.running.url))
            headers = {"accept": BROWSER, "origin": self.running.url, **more}
            async with session.request(
                method, self.running.url + path, data=fields, headers=headers, allow_redirects=False
            ) as answer:
                found = {name.lower(): value for name, value in answer.headers.items()}
                return Seen(answer.status, found, await answer.text())

    async def get(self, path: str) -> Seen:
        return await self.ask("GET", path, person=self.admin)

    async def post(self, path: str, **fields: str) -> Seen:
        """A form as the administrator sends it."""
        return await self.ask("POST", path, {"csrf": self.admin.csrf, **fields}, person=self.admin)

    def fill(self, template: str) -> str:
        """A page's path with things that are there."""
        places = {"account": self.user.account.id, "request": self.request_id, "key": "nothing", "link": "nothing",
                  "voucher": "1"}  # fmt: skip
        return re.sub(r"\{(\w+)\}", lambda found: places[found[1]], template)

    async def account(self) -> Account:
        found: Account = await self.stores.accounts.get_account(self.user.account.id)
        return found


async def furnish(running: RunningGateway) -> House:
    stores = running.gateway.stores
    admin = await new_person(running, name="root", role="admin")
    user = await new_person(running, name=EVIL)
    await stores.logins.set_login(
        user.account.id,
        email="ada@example.org",
        password_hash="h",
        keep=(await stores.sessions.list_sessions(user.account.id))[0].id,
    )
    _, plain = await stores.keys.create_key(user.account.id, KeySettings(name=EVIL))
    status, headers, _ = await running.post(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}, key=plain
    )
    assert status == 200
    await running.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "/echo fail=503"}]}, key=plain)
    stores.usage.record(
        UsageRow("req_" + EVIL, user.account.id, "", EVIL, "", "/v1/chat/completions", 404, Usage(), "void",
                 int(time.time()), None, 1, EVIL)
    )  # fmt: skip
    await stores.ledger.grant(user.account.id, 5, kind="grant", key="evil", note=EVIL)
    await stores.ledger.create_vouchers(2, 100, note=EVIL)
    await stores.audit.record(EVIL, EVIL, EVIL, remote=EVIL, detail={EVIL: EVIL})
    await stores.topups.open(user.account.id, EVIL[:20], currency="usd", amount=500, credits=5)
    return House(running, admin, user, headers["x-request-id"])


@pytest_asyncio.fixture
async def house(tmp_path: Path, serve: Serve) -> AsyncIterator[House]:
    async with serve(tmp_path, {**CONFIG, "upstream": {"retries": 0}}) as running:
        yield await furnish(running)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> AsyncIterator[House]:
    async with serve(tmp_path_factory.mktemp("admin"), {**CONFIG, "upstream": {"retries": 0}}) as running:
        yield await furnish(running)


ROUTES = [pytest.param(page.method, path, id=f"{page.method} {path}") for page in PAGES for path in page.paths]
SHOWN = [path for page in PAGES for path in page.paths if page.method == "GET"]


@pytest.mark.asyncio(loop_scope="module")
class TestWho:
    @pytest.mark.parametrize(("method", "template"), ROUTES)
    async def test_only_administrators(self, lasting: House, method: str, template: str) -> None:
        path = lasting.fill(template)
        fields = None if method == "GET" else {"csrf": lasting.user.csrf}
        before = await lasting.account()
        stranger = await lasting.ask(method, path, fields)
        assert (stranger.status, stranger.headers.get("location", "").split("?")[0]) == (303, "/login")
        user = await lasting.ask(method, path, fields, person=lasting.user)
        assert user.status == 404
        assert "There is no such page" in user.text
        key = await lasting.ask(method, path, fields, authorization=f"Bearer {lasting.running.key}")
        assert key.status in (303, 401)
        if method == "POST":
            for wrong in ({}, {"csrf": lasting.user.csrf}):
                forged = await lasting.ask("POST", path, wrong, person=lasting.admin)
                assert forged.status == 403
            elsewhere = await lasting.ask(
                "POST", path, {"csrf": lasting.admin.csrf}, person=lasting.admin, origin="https://evil.example"
            )
            assert elsewhere.status == 403
        assert await lasting.account() == before

    async def test_a_user_sees_no_way_to_them(self, lasting: House) -> None:
        seen = await lasting.ask("GET", "/account", person=lasting.user)
        assert "/admin" not in seen.text
        assert "/admin" in (await lasting.get("/account")).text


@pytest.mark.asyncio(loop_scope="module")
class TestLook:
    @pytest.mark.parametrize("template", SHOWN)
    async def test_hostile_texts_stay_texts(self, lasting: House, template: str) -> None:
        seen = await lasting.get(lasting.fill(template))
        assert seen.status == 200, seen.text
        assert "<script>boom" not in seen.text
        assert "<img src=x" not in seen.text
        assert seen.headers["cache-control"] == "no-store"

    async def test_filters_and_the_path_of_a_request(self, lasting: House) -> None:
        listed = await lasting.get(f"/admin/requests?account={lasting.user.account.id}&failed=true")
        assert "upstream_overloaded" in listed.text
        assert lasting.request_id not in listed.text
        found = await lasting.get(f"/admin/requests/{lasting.request_id}")
        for said in (
            "1. Attempts at targets",
            "2. Hold and settlement",
            "charge",
            "/admin/accounts/" + lasting.user.account.id,
        ):
            assert said in found.text
        assert (await lasting.get("/admin/requests?account=nobody")).status == 404
        assert (await lasting.get("/admin/requests/req_nothing")).status == 404
        assert (await lasting.get("/admin/requests/" + "%22%3E%3Cscript%3E")).status == 404


class TestActs:
    async def test_pages_of_nothing_say_what_to_do(self, tmp_path: Path, serve: Serve) -> None:
        async with serve(tmp_path, CONFIG) as running:
            house = House(running, await new_person(running, name="root", role="admin"), Any, "")
            for path in ("/admin/requests", "/admin/payments", "/admin/audit", "/admin/keys?find=nothing"):
                seen = await house.get(path)
                assert (seen.status, 'class="empty"' in seen.text) == (200, True), path

    async def test_what_is_not_priced_by_tokens_is_not_called_free(self, tmp_path: Path, serve: Serve) -> None:
        models = {
            "echo/draws": {"price": {"per_image": {"default": 0.04}}, "operations": ["images"]},
            "echo/speaks": {"price": {"characters": 15}, "operations": ["speech"]},
            "echo/asks": {"price": {"input": 0, "output": 0, "per_request": 0.1}},
            "echo/gift": {"free": True},
            "echo/what": {},
        }
        made = {**CONFIG, "models": {name: {"upstream": "echo", **model} for name, model in models.items()}}
        made |= {"aliases": {"nice": "echo/draws"}, "default_model": "nice"}
        async with serve(tmp_path, made) as running:
            house = House(running, await new_person(running, name="root", role="admin"), Any, "")
            for path, columns in (("/admin/models", 3), ("/pricing", 4)):
                table = (await house.get(path)).text
                rows = {}
                for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL):
                    if named := re.search(r"<code[^>]*>([^<]+)</code>", row):
                        cells = re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)[-columns:]
                        rows[named[1]] = [re.sub(r"<[^>]+>", "", cell).strip() for cell in cells]
                for name in ("echo/draws", "echo/speaks"):
                    assert (rows[name][0], rows[name][-1]) == ("-", "more"), (path, name)
                assert rows["echo/asks"][-1] == "more", path
                assert (rows["echo/gift"][0], rows["echo/gift"][-1]) == ("free", ""), path
                if path == "/admin/models":
                    assert rows["nice"] == rows["echo/draws"]
                    assert rows["echo/what"] == ["no price", "no price", ""]

    async def test_an_account_is_made_and_found(self, house: House) -> None:
        made = await house.post("/admin/accounts", name="Grace Hopper", role="user", credits="1,000")
        assert made.status == 303
        page = await house.get(made.headers["location"])
        assert "Grace Hopper" in page.text
        assert "1,000" in page.text
        for text in ("Grace Hopper", "ada@example.org"):
            assert (await house.get(f"/admin/accounts?find={text.replace(' ', '+')}")).text.count("<tr>") == 2
        again = await house.post("/admin/accounts", name="Grace Hopper", credits="x")
        assert (again.status, "Write a whole number" in again.text) == (400, True)
        taken = await house.post("/admin/accounts", name="Grace Hopper")
        assert (taken.status, "There is an account with this name" in taken.text) == (409, True)

    async def test_an_invitation_is_shown_once(self, house: House) -> None:
        made = await house.post("/admin/invitations", email="new@example.org", days="3", role="user")
        [url] = re.findall(r"<code>(http://[^<]*/invite/[^<]*)</code>", made.text)
        assert made.headers["cache-control"] == "no-store"
        assert url.split("/")[-1] not in (await house.get("/admin/accounts")).text
        [link] = await house.stores.logins.list_links()
        assert (await house.post(f"/admin/links/{link.id}/revoke")).status == 303
        assert await house.stores.logins.list_links() == []
        wrong = await house.post("/admin/invitations", email="nobody", days="0")
        assert wrong.status == 400

    async def test_credits_are_booked_once_however_often_the_form_is_sent(self, house: House) -> None:
        there = f"/admin/accounts/{house.user.account.id}"
        page = (await house.get(there)).text
        [booking] = re.findall(r'name="idempotency_key" value="([^"]+)"', page)
        before = (await house.account()).balance
        for _ in range(2):
            sent = await house.post(f"{there}/credits", credits="70", kind="grant", note="x", idempotency_key=booking)
            assert sent.status == 303
        assert (await house.account()).balance == before + 70
        wrong = await house.post(f"{there}/credits", credits="", kind="grant", idempotency_key="other")
        assert (wrong.status, "Is missing" in wrong.text) == (400, True)

    async def test_suspending_keys_links_and_signing_out(self, house: House) -> None:
        there = f"/admin/accounts/{house.user.account.id}"
        changed = await house.post(there, name="Ada", role="user", requests_per_minute="5")
        assert changed.status == 303
        account = await house.account()
        assert (account.name, account.requests_per_minute) == ("Ada", 5)
        key = await house.post(f"{there}/keys", name="new", monthly_limit="100")
        [plain] = re.findall(r"<code>(mghp_[^<]*)</code>", unescape(key.text))[:1]
        assert plain not in (await house.get(there)).text
        link = await house.post(f"{there}/links", purpose="password", hours="2")
        assert "/reset/" in link.text
        await house.post(f"{there}/sign-out")
        assert await house.stores.sessions.list_sessions(house.user.account.id) == []
        [one] = [key for key in await house.stores.keys.list_keys(house.user.account.id) if key.name == "new"]
        assert (await house.post(f"/admin/keys/{one.id}/revoke")).status == 303
        await house.post(f"{there}/state", disabled="true")
        assert (await house.account()).disabled
        await house.post(f"{there}/state", disabled="false")
        assert not (await house.account()).disabled
        log = [entry.action for entry in await house.stores.audit.entries(actor=house.admin.account.id)]
        assert log == [
            *("account.update", "account.update", "key.revoke"),
            *("account.sign_out", "link.password", "key.create", "account.update"),
        ]

    async def test_alerts_of_an_account_and_of_a_key(self, house: House) -> None:
        there = f"/admin/accounts/{house.user.account.id}"
        made, _ = await house.stores.keys.create_key(house.user.account.id, KeySettings(name="k", monthly_limit=100))
        alerts = f"{there}/keys/{made.id}/alerts"
        said: list[tuple[str, tuple[int, ...] | None]] = [("90 %, 50,50", (50, 90)), ("None", ()), ("", None)]
        for text, thresholds in said:
            assert (await house.post(there, name="Ada", role="user", alert_thresholds=text)).status == 303
            assert (await house.post(alerts, alert_thresholds=text)).status == 303
            key = await house.stores.keys.get_key(made.id)
            assert ((await house.account()).alert_thresholds, key.alert_thresholds) == (thresholds, thresholds)
            shown = ", ".join(map(str, thresholds or ())) or ("none" if thresholds == () else "")
            assert (await house.get(there)).text.count(f' value="{shown}"') >= 2
        for text, complaint in (("half", "Write percents such as"), ("0 50", "Expected an integer from 1 to 100")):
            edited = await house.post(there, name="Ada", role="user", alert_thresholds=text)
            assert (edited.status, complaint in edited.text, f'value="{text}"' in edited.text) == (400, True, True)
            assert complaint in (await house.post(alerts, alert_thresholds=text)).text
        assert (await house.account()).alert_thresholds is None

    async def test_money(self, house: House) -> None:
        assert "Every balance" in (await house.post("/admin/ledger")).text
        made = await house.post("/admin/vouchers", credits="50", count="2", note="party")
        [codes] = re.findall(r"<code>([^<]*)</code></pre>", made.text)
        assert len(codes.split()) == 2
        newest = (await house.stores.ledger.list_vouchers())[-1]
        assert (await house.post(f"/admin/vouchers/{newest.id}/revoke")).status == 303
        assert (await house.post("/admin/vouchers", credits="no")).status == 400
        path = f"/admin/requests/{house.request_id}"
        charge = -sum(entry.amount for entry in await house.stores.ledger.entries_of(house.request_id))
        too_much = await house.post(f"{path}/refund", credits=str(charge + 1), idempotency_key="a")
        assert too_much.status in (400, 409)
        assert (await house.post(f"{path}/refund", credits=str(charge), idempotency_key="b")).status == 303
        assert "refund" in (await house.get(path)).text

    async def test_erasing_needs_the_name(self, house: House) -> None:
        there = f"/admin/accounts/{house.user.account.id}"
        wrong = await house.post(f"{there}/erase", name="somebody")
        assert (wrong.status, "Does not match" in wrong.text) == (400, True)
        assert (await house.post(f"{there}/erase", name=EVIL)).status == 303
        assert (await house.account()).name == f"erased {house.user.account.id}"
        own = await house.get(f"/admin/accounts/{house.admin.account.id}")
        assert "Erase this account" not in own.text


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_everybody_can_use_the_pages(chromium: Browser, lasting: House) -> None:
    async with looking(chromium, "admin") as look:
        await sign_in(lasting.running, look.page.context, lasting.admin)
        for template in SHOWN:
            await look.page.goto(lasting.running.url + lasting.fill(template))
            assert await look.inspect() == [], template
