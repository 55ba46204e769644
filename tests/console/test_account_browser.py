"""An account's pages in a real browser: the whole way of a new user, the live view, and whether all can use them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from gateway.call import Usage
from gateway.stores import KeySettings, NewLink, UsageRow
from gateway.testing import RunningGateway

from .chromium import chromium
from .conftest import CONFIG, Serve
from .looking import looking

__all__ = ["chromium"]

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "correct horse battery"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> AsyncIterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("account")
    async with serve(folder, {**CONFIG, "credits": {"signup_grant": 100_000}}) as running:
        yield running


async def invited(gateway: RunningGateway, page: Page, email: str) -> None:
    """Make an account by an invitation, as the one who got it does."""
    _, token = await gateway.gateway.stores.logins.create_link(NewLink("invitation", 600, email=email))
    await page.goto(f"{gateway.url}/invite/{token}")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await page.wait_for_url("**/account")


async def test_from_an_invitation_to_the_cost_of_a_call(chromium: Browser, gateway: RunningGateway) -> None:
    async with looking(chromium, "new-user") as look:
        page = look.page
        await invited(gateway, page, "ada@example.org")
        await page.get_by_role("link", name="Generate API key").click()
        await page.get_by_label("Name").fill("laptop")
        await page.get_by_label("Monthly limit").fill("50000")
        await page.get_by_role("button", name="Generate API key").click()
        key = await page.locator(".secret code").inner_text()
        assert f'base_url="{gateway.url}/v1"' in await page.locator(".tab code").first.inner_text()
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key)
        answer = await client.chat.completions.create(
            model="echo/echo", messages=[{"role": "user", "content": "Hello there"}]
        )
        await client.close()
        assert answer.usage is not None
        cost = answer.usage.to_dict()["cost"]
        await page.get_by_role("link", name="I have stored it").click()
        row = page.get_by_role("row").filter(has_text="laptop")
        assert f"{cost:,} of 50,000" in await row.inner_text()
        await page.get_by_role("link", name="Usage", exact=True).click()
        calls = page.locator("#calls tbody tr")
        assert await calls.count() == 1
        said = await calls.first.inner_text()
        assert "laptop" in said
        assert f"{cost:,}" in said
        assert "200" in said
        await page.get_by_role("link", name="API keys").click()
        await page.get_by_text("Revoke", exact=True).click()
        assert "Revoke the key laptop" in await page.locator(".asking-box").inner_text()
        await page.get_by_role("button", name="Revoke key").click()
        await page.get_by_text("The key laptop is revoked.").wait_for()
        with pytest.raises(openai.AuthenticationError):
            async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key) as gone:
                await gone.models.list()
        await page.locator(".menu summary").click()
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/login")
        await page.get_by_label("E-mail address").fill("ada@example.org")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.locator("main").get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/account")


async def test_calls_appear_while_one_watches(chromium: Browser, gateway: RunningGateway) -> None:
    async with looking(chromium, "live") as look:
        page = look.page
        await invited(gateway, page, "live@example.org")
        stores = gateway.gateway.stores
        account = await stores.accounts.find_account("live@example.org")
        assert account is not None
        row = UsageRow(
            "req_first", account.id, "", "echo/echo", "", "/v1/images/generations", 200, Usage(images=3, seconds=1500),
            "void", int(time.time()),
        )  # fmt: skip
        stores.usage.record(row)
        await stores.ledger.void("flush")
        await page.goto(gateway.url + "/usage")
        assert await page.get_by_text("3 images, 1,500 seconds").count() == 2, "of the range, and of the call"
        async with page.expect_response("**/account/requests/live"):
            await page.get_by_role("button", name="Watch live").click()
        _, plain = await stores.keys.create_key(account.id, KeySettings(name="new one"))
        hostile = {"model": "<img src=x onerror=alert(1)>", "messages": [{"role": "user", "content": "Hi"}]}
        await gateway.post("/v1/chat/completions", {"messages": hostile["messages"]}, key=plain)
        evil = UsageRow(
            'req_"><img>', account.id, "", str(hostile["model"]), "", "/v1/chat/completions", 404,
            Usage(characters=2500, searches=1), "void", int(time.time()), None, 1, "<b>code",
        )  # fmt: skip
        stores.usage.record(evil)
        await stores.ledger.void("flush")
        await page.locator("#calls tbody tr").nth(2).wait_for()
        assert await page.locator("#calls img, #calls b").count() == 0
        assert "<img src=x" in await page.locator("#calls").inner_text()
        assert "2,500 characters, 1 search" in await page.locator("#calls tr", has_text="<img").inner_text()
        await page.get_by_role("button", name="Stop watching").click()


PAGES = ("/account", "/settings/api-keys", "/settings/api-keys/{key}", "/usage", "/usage?key={key}&key=console",
         "/usage?model=none", "/credits", "/settings")  # fmt: skip


async def test_everybody_can_use_the_pages(chromium: Browser, gateway: RunningGateway) -> None:
    stores = gateway.gateway.stores
    async with looking(chromium, "account") as look:
        page, email = look.page, "many@example.org"
        for path in ("/login", "/signup"):
            await page.goto(gateway.url + path)
            assert await look.inspect() == [], path
        await invited(gateway, page, email)
        empty = [path for path in PAGES if "{key}" not in path]
        account = await stores.accounts.find_account(email)
        assert account is not None
        for path in empty:
            await page.goto(gateway.url + path)
            assert await look.inspect(briefly=True) == [], f"{path} while it is empty"
        key, plain = await stores.keys.create_key(
            account.id,
            KeySettings(name="A key with a rather long name " * 3, monthly_limit=2_000_000, models=("echo/*",)),
        )
        chat = {"messages": [{"role": "user", "content": "Hi"}]}
        await asyncio.gather(*(gateway.post("/v1/chat/completions", chat, key=plain) for _ in range(4)))
        name = "provider/" + "very-long-" * 12
        stores.usage.record(
            UsageRow(
                "req_long", account.id, key.id, name, "", "/v1/chat/completions", 402, Usage(), "void",
                int(time.time()), None, 1, "insufficient_quota",
            )
        )  # fmt: skip
        await stores.topups.open(account.id, "stripe", currency="usd", amount=2000, credits=20_000_000)
        for path in PAGES:
            answer = await page.goto(gateway.url + path.format(key=key.id))
            assert answer is not None
            assert answer.status == 200, path
            assert await look.inspect() == [], path
        await page.goto(gateway.url + "/settings/api-keys")
        await page.get_by_text("Generate API key").first.click()
        await page.get_by_role("button", name="Generate API key").click()
        await page.locator(".secret code").wait_for()
        assert await look.inspect() == []


async def test_pages_are_light(chromium: Browser, gateway: RunningGateway) -> None:
    """All that a reader gets the first time, as it was sent."""
    async with looking(chromium, "weight") as look:
        await invited(gateway, look.page, "light@example.org")
        await look.page.goto(gateway.url + "/usage")
        sizes = await look.page.evaluate(
            "performance.getEntries().map(one => one.encodedBodySize ?? 0).reduce((sum, size) => sum + size)"
        )
        assert 10_000 < sizes < 100_000
